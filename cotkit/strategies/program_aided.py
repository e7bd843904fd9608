"""Program-aided: the model writes Python, which is run for the answer (Gao et al. 2022)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import ClassVar

from cotkit.prompting import format_question, read_locked, render
from cotkit.strategies._base import DecodingStrategy
from cotkit.types import Attempt, Execute, Exemplar, Flow, Message, Question, Request

_FENCED = re.compile(r"```[ \t]*\w*[ \t]*\n(?P<code>.*?)(?P<end>\n[ \t]*```|\Z)", re.DOTALL)
_PRINT = "\n\n_ = solution()\nprint(round(_, 9) if isinstance(_, float) else _)\n"
"""The call. Nine decimals, because binary floats are not exact: 0.1 + 0.2 is to print 0.3."""


@dataclass(frozen=True, kw_only=True)
class ProgramAided(DecodingStrategy):
    """``few-shot`` with a function in place of each exemplar's answer, and an interpreter.

    Source: arXiv:2211.10435 (PAL). The answer is the last line that the code prints. Code that does
    not run to its end gives no answer, with the reason in the note; so does a function cut at
    ``max_tokens``, which is not run. Runs only with ``--confirm-run-unsafe-code``, and in a sandbox
    (``--sandbox``).
    """

    version: ClassVar[int] = 2
    group: ClassVar[str] = "tools"
    needs: ClassVar[str] = "--confirm-run-unsafe-code"
    prompts: ClassVar[tuple[str, ...]] = ("program-aided.v1.jinja", "exemplars.program.v1.jsonl")
    control: ClassVar[str] = "few-shot"
    reasons: ClassVar[bool] = True
    runs_code: ClassVar[bool] = True
    exemplars: tuple[Exemplar, ...]
    """Shown in this order, at least one; of the built-in ones, which alone have code."""
    max_tokens: int = 320
    timeout_s: float = 5.0
    """Wall time that the code may take, above 0 and up to 60 seconds."""

    def __post_init__(self) -> None:
        """Refuse values out of range and exemplars without code.

        Raises:
            ValueError: names the field and its range.
        """
        DecodingStrategy.__post_init__(self)
        if not 0 < self.timeout_s <= 60:
            raise ValueError(f"timeout_s is {self.timeout_s:g}, must be above 0 and up to 60")
        codes = programs()
        for exemplar in self.exemplars:
            if exemplar.question not in codes:
                start = exemplar.question[:40]
                raise ValueError(
                    f"exemplars: no code for {start!r}: only our word problems have some "
                    "(builtin:K of a benchmark of numbers)"
                )

    def solve(self, question: Question) -> Flow:
        """Send one request, then run its code."""
        codes = programs()
        shots = [{"question": x.question, "code": codes[x.question]} for x in self.exemplars]
        prompt = render("program-aided", 1, question=format_question(question), programs=shots)
        ask = Message(role="user", content=prompt)
        decoding = self.decoding(stop=("\nQ:",))
        (answer,) = yield Request(messages=(ask,), decoding=decoding)
        if answer.stop_reason == "refusal":
            return Attempt(text=answer.text, stop_reason="refusal")
        code, is_closed = cut_code(answer.text)
        if answer.stop_reason == "length" and not is_closed:
            note = f"the code was cut at {self.max_tokens} tokens, and not run"
            return Attempt(text="", stop_reason="length", note=note)
        (ran,) = yield Execute(code=code + _PRINT, timeout_s=self.timeout_s)
        printed = ran.text.strip().splitlines()
        if ran.error is not None or not printed:
            return Attempt(
                text="", stop_reason="stop", note=ran.error or "the code printed nothing"
            )
        return Attempt(text=f"The answer is {printed[-1]}.", stop_reason="stop")


def cut_code(text: str) -> tuple[str, bool]:
    """Return the code of a reply, and whether a closing fence says that it is complete.

    The first fenced block that defines ``solution``, else the first block, else the whole reply.
    """
    blocks = list(_FENCED.finditer(text))
    block = next((b for b in blocks if "def solution" in b["code"]), blocks[0] if blocks else None)
    return (block["code"].strip(), bool(block["end"])) if block else (text.strip(), False)


def programs() -> dict[str, str]:
    """Read the released code: question of a built-in exemplar -> source of its ``solution()``."""
    lines = read_locked("exemplars.program.v1.jsonl").splitlines()
    return {row["question"]: row["code"] for row in map(json.loads, lines)}
