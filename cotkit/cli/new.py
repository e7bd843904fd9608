"""``cotkit new``: the file that a new strategy begins as."""

from __future__ import annotations

import keyword
import re
from pathlib import Path

import typer

from cotkit.errors import UsageError

app = typer.Typer(help="Begin a strategy of your own.", no_args_is_help=True)

TEMPLATE = '''\
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
    stem = name.replace("-", "_")
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", stem) or keyword.iskeyword(stem):
        raise UsageError(
            f"{name!r} cannot name a strategy", hint="lower-case words and hyphens, e.g. my-idea"
        )
    path = Path(f"{stem}.py")
    command = f"cotkit compare --strategy ./{path} --model smollm2-135m --limit 20"
    text = TEMPLATE.format(
        title=stem.replace("_", " ").capitalize(),
        command=command,
        class_name="".join(word.capitalize() for word in stem.split("_")),
        stem=stem,
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
    typer.echo(f"wrote {path}; run it with:\n  {command}")
