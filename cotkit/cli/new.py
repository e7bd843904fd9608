"""``cotkit new``: the file that a new strategy or benchmark begins as."""

from __future__ import annotations

import keyword
import re
from pathlib import Path

import typer

from cotkit.cli.options import CommandGroup
from cotkit.cli.output import print_lines
from cotkit.errors import UsageError

app = CommandGroup(help="Begin a strategy or a benchmark of your own.")

STRATEGY = '''\
"""{title}: the first answer, asked for again after it was seen (say whose idea it is).

Run it:  {command}
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cotkit.types import Attempt, Decoding, Flow, Message, Question, Request


@dataclass(frozen=True, kw_only=True)
class {class_name}:
    """The file is ``{stem}.py``, so the class is ``{class_name}``."""

    control: ClassVar[str] = "standard"
    """What it is measured against."""
    reasons: ClassVar[bool] = False
    """Whether it asks for reasoning before the answer; the audit holds it to that."""
    max_tokens: int = 64
    """A field is a parameter: ``./{stem}.py:max_tokens=32``."""

    def solve(self, question: Question) -> Flow:
        """Yield a request, be sent its completions, yield the next; return what is to be read."""
        decoding = Decoding(max_tokens=self.max_tokens, stop=("\\nQ:",))
        ask = Message(role="user", content=f"Q: {{question.text}}\\nA: The answer is")
        (first,) = yield Request(messages=(ask,), decoding=decoding)
        said = Message(role="assistant", content=first.text)
        again = Message(role="user", content="\\nChecked once more, the answer is")
        (second,) = yield Request(messages=(ask, said, again), decoding=decoding)
        return Attempt(text=f"The answer is{{second.text}}", stop_reason=second.stop_reason)
'''

BENCHMARK = '''\
"""{title}: sums of two numbers (say where your problems come from).

Run it:  {command}
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from cotkit.types import AnswerKind, Problem, Question


@dataclass(frozen=True, kw_only=True)
class {class_name}:
    """The file is ``{stem}.py``, so the class is ``{class_name}``."""

    name: ClassVar[str] = "{hyphens}"
    """What reports call it."""
    answer_kind: ClassVar[AnswerKind] = "number"
    """What the gold answers are; ``choice`` (with ``Question.choices``) and ``text`` are others."""
    n: int = 40
    """A field is a parameter: ``./{stem}.py:n=10``."""

    @property
    def version(self) -> str:
        """Change it with any problem or answer: a run is known by it."""
        return f"1-n{{self.n}}"

    def problems(self) -> Sequence[Problem]:
        """What is evaluated, always in the same order, each under an id of its own."""
        return [_problem("test", 11 + i, 3 * i + 5) for i in range(self.n)]

    def exemplar_pool(self) -> Sequence[Problem]:
        """For ``--exemplars train:8``: others, with worked solutions; empty if there are none."""
        return [_problem("train", i, i + 1) for i in range(1, 10)]


def _problem(split: str, left: int, right: int) -> Problem:
    return Problem(
        question=Question(
            id=f"{hyphens}/{{split}}/{{left}}-{{right}}",
            text=f"What is {{left}} plus {{right}}?",
        ),
        gold=str(left + right),
        rationale=f"{{left}} and {{right}} make {{left + right}}.",
        n_steps=1,
    )
'''


@app.callback()
def _group() -> None:  # pyright: ignore[reportUnusedFunction] - makes typer keep the subcommand
    pass


@app.command()
def strategy(
    name: str = typer.Argument(help="Its name, words joined by hyphens, e.g. my-idea."),
) -> None:
    """Write ./NAME.py, a strategy that works, and print the command that runs it.

    Examples:

      cotkit new strategy my-idea
    """
    _write_template("strategy", name, STRATEGY)


@app.command()
def benchmark(
    name: str = typer.Argument(help="Its name, words joined by hyphens, e.g. my-set."),
) -> None:
    """Write ./NAME.py, a benchmark that works, and print the command that runs it.

    Problems that are all written down need no Python: --bench ./NAME.jsonl reads one object a line,
    {"question": "...", "answer": "..."}.

    Examples:

      cotkit new benchmark my-set
    """
    _write_template("benchmark", name, BENCHMARK)


def _write_template(kind: str, name: str, template: str) -> None:
    stem = name.replace("-", "_")
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", stem) or keyword.iskeyword(stem):
        raise UsageError(
            f"{name!r} cannot name a {kind}", hint="lower-case words and hyphens, e.g. my-idea"
        )
    path = Path(f"{stem}.py")
    option = "--bench" if kind == "benchmark" else "--strategy"
    command = f"cotkit compare {option} ./{path} --model smollm2-135m --limit 20"
    text = template.format(
        title=stem.replace("_", " ").capitalize(),
        command=command,
        class_name="".join(word.capitalize() for word in stem.split("_")),
        stem=stem,
        hyphens=stem.replace("_", "-"),
    )
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(
            f"{path} is already there", hint="choose another name, or move it away"
        ) from None
    except OSError as refused:
        raise UsageError(f"cannot write {path}: {refused.strerror}") from refused
    print_lines(f"wrote {path}; run it with:", f"  {command}")
