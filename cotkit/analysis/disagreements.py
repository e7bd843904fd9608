"""Why two tools that scored the same problem disagree, found from what each recorded of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from cotkit.types import StopReason

Cause: TypeAlias = Literal["gold", "reading", "cut off", "answer"]
"""Gold answers differ; a text is read differently; a text ended at its token limit; the model
answered differently."""

CAUSES: dict[Cause, str] = {
    "gold": "their gold answers differ",
    "reading": "one of them reads the answer differently",
    "cut off": "a completion was cut at its token limit",
    "answer": "the model answered differently",
}
"""In the order in which they are looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRecord:
    """What one tool had of a problem."""

    arm: str
    """What it is called here."""
    text: str
    """The completion."""
    gold: str
    """Its gold answer, canonical."""
    is_right: bool
    """Whether it called the completion correct."""
    read: str | None
    """What it read, as it says; None: it does not say, or read nothing."""
    reading: str | None
    """What cotkit's reader reads."""
    is_right_here: bool
    """Whether that equals the gold answer of the comparison."""
    stop_reason: StopReason
    """Why the completion ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """A problem that one tool called solved and the other not."""

    arm: str
    """One of them."""
    control: str
    """The other."""
    problem: str
    """Its question, shortened; its id where the question is not known."""
    right: str
    """Which of the two called it solved."""
    cause: Cause
    """Why, in a word."""
    why: str
    """Why, in a sentence."""


def find_disagreement(arm: ToolRecord, control: ToolRecord, problem: str) -> Disagreement | None:
    """Return why two tools disagree on a problem; None: both call it solved, or neither does."""
    if arm.is_right == control.is_right:
        return None
    cause, why = _find_cause(arm, control)
    return Disagreement(
        arm=arm.arm,
        control=control.arm,
        problem=problem,
        right=arm.arm if arm.is_right else control.arm,
        cause=cause,
        why=why,
    )


def _find_cause(arm: ToolRecord, control: ToolRecord) -> tuple[Cause, str]:
    sides = (arm, control)
    if arm.gold != control.gold:
        return (
            "gold",
            f"{arm.arm} wants {_shorten(arm.gold)}, {control.arm} {_shorten(control.gold)}",
        )
    if arm.text.strip() == control.text.strip():
        answers = " and ".join(f"{side.arm} reads {_shorten(side.read)}" for side in sides)
        return "reading", f"the same text: {answers}"
    misread = [side for side in sides if side.is_right != side.is_right_here]
    if misread:
        answers = " and ".join(
            f"{side.arm} calls {_shorten(side.read)} {_verdict_word(side.is_right)}, where the"
            f" text says {_shorten(side.reading)}"
            for side in misread
        )
        return "reading", answers
    cut = [side.arm for side in sides if side.stop_reason == "length" and not side.is_right]
    if cut:
        return "cut off", f"the text of {cut[0]} ends at its token limit"
    return "answer", " and ".join(f"{side.arm} says {_shorten(side.reading)}" for side in sides)


def _verdict_word(is_right: bool) -> str:  # noqa: FBT001 - it is the value that is put into words
    return "right" if is_right else "wrong"


def _shorten(text: str | None) -> str:
    if text is None:
        return "nothing"
    short = " ".join(text.split())
    return short if len(short) <= 40 else f"{short[:39]}…"
