"""Whether arms did what they say: no reasoning where none is asked, room where some is.

An attempt *reasons before the answer* if its model kept reasoning apart (``<think>``, a provider's
field or token count), or if the text before the answer holds an equation or more than
`MAX_WORDS` words. The text before the answer ends where the number (or text) that the reader read
first stands, looked for after the first answer cue if there is one; if it stands nowhere, it ends
with that cue; without a cue it is the whole text, as the answer never came. The cue itself
("The answer is") is no part of it. A word is a run without white space that holds a letter or a
digit; an equation is a number, within 20 characters an operator and a number right after it, and
``=`` within 40 more, all on one line.

Only the text that was read is looked at: a strategy of several turns may have reasoned before.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from statistics import median

from cotkit.analysis.intervals import wilson
from cotkit.analysis.results import Audit, Verdict
from cotkit.store.rows import AttemptRow

MAX_WORDS = 8
"""Words before the answer that are no reasoning yet: "Janet makes a total of"."""
CONTAMINATED = 0.1
"""Share of reasoning answers that an arm without reasoning must not surely exceed."""
ENOUGH = 0.95
"""Share of the completed answers for which ``Audit.enough_tokens`` suffices."""
MIN_COMPLETED = 10
"""Completed answers from which that share is said."""

_CUE = re.compile(
    r"(?:\b(?:the|my|our)\s{1,3})?(?:\b(?:final|correct|right)\s{1,3})?\banswer[*_]{0,3}\s{0,3}(?:is\b|=|:)"
    r"|\\boxed\s{0,3}\{|####",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"[-\u2212]?(?:\d[\d,]*(?:\.\d+)?|\.\d+)(?:/\d+)?")
_OPERATOR = r"[-+*/\u00d7\u00f7\u2212x]"
_EQUATION = re.compile(rf"\d[^\n=]{{0,20}}?{_OPERATOR}[ $€£(]{{0,3}}\d[^\n=]{{0,40}}=")
_WORD = re.compile(r"\S*[^\W_]\S*")


def audits(
    rows: Sequence[AttemptRow], reasons: Mapping[str, bool], reader: str
) -> tuple[Audit, ...]:
    """One audit for each arm of ``reasons``, in its order.

    Args:
        rows: Of any arms; attempts that failed or were refused are not looked at.
        reasons: Arm -> whether its strategy asks for reasoning before the answer.
        reader: Whose readings say where the answer stands.
    """
    return tuple(
        _audit(arm, asks, [row for row in rows if row.arm == arm], reader)
        for arm, asks in reasons.items()
    )


def before_answer(text: str, read: str | None) -> str:
    """The text before the answer, by the rule of the module docstring; ``read``: what was read."""
    cue = _CUE.search(text)
    start = cue.end() if cue else 0
    found = _find(text, read, start) if read is not None else None
    never = start if cue else len(text)
    return _CUE.sub(" ", text[: never if found is None else found])


def is_reasoning(before: str) -> bool:
    """Whether a text before an answer reasons: an equation, or more than `MAX_WORDS` words."""
    return _EQUATION.search(before) is not None or _n_words(before) > MAX_WORDS


def withheld(arm: str, control: str, found: Sequence[Audit]) -> str | None:
    """Why a verdict on an arm and its control means nothing, as a sentence; None: it does."""
    leaks = [
        f"{role} {audit.arm} reasons before answering in {_share(audit)} of its answers"
        for name, role in ((control, "the control"), (arm, "the arm"))
        for audit in found
        if audit.arm == name and audit.is_contaminated
    ]
    return f"{arm} against {control} is withheld: {'; '.join(leaks)}." if leaks else None


def withhold(verdict: Verdict, found: Sequence[Audit]) -> Verdict:
    """The verdict, its sentence replaced where either of its arms is contaminated."""
    why = withheld(verdict.gain.arm, verdict.gain.control, found)
    return verdict if why is None else replace(verdict, sentence=why)


def audit_notes(found: Sequence[Audit]) -> tuple[str, ...]:
    """A note for each contaminated arm."""
    return tuple(
        f"contaminated: {audit.arm} asks for no reasoning, but reasons before answering in "
        f"{_share(audit)} of its {audit.n} answers; its verdicts are withheld"
        for audit in found
        if audit.is_contaminated
    )


def _audit(arm: str, asks: bool, rows: Sequence[AttemptRow], reader: str) -> Audit:  # noqa: FBT001 - what the mapping holds
    rows = [row for row in rows if row.outcome not in {"failed", "refused"}]
    texts = [before_answer(row.text, _read(row, reader)) for row in rows]
    n_reasoned = sum(
        row.reasoned_apart or bool(row.n_reasoning_tokens) or is_reasoning(text)
        for row, text in zip(rows, texts, strict=True)
    )
    tokens = [row.n_reasoning_tokens for row in rows]
    known = [n for n in tokens if n is not None]
    return Audit(
        arm=arm,
        reasons=asks,
        n=len(rows),
        reasoned=n_reasoned,
        median_words_before=median(map(_n_words, texts)) if texts else math.nan,
        reasoning_tokens=sum(known) if known and len(known) == len(tokens) else None,
        is_contaminated=not asks and wilson(n_reasoned, len(rows), 0.95).low > CONTAMINATED,
        truncated=sum(row.truncated for row in rows),
        enough_tokens=_enough(rows),
    )


def _enough(rows: Sequence[AttemptRow]) -> int | None:
    """Nearest-rank percentile of the tokens of completed attempts; twice the limit if truncated.

    An attempt's tokens are those of all its turns, so for several turns this is more than enough.
    Attempts with drafts (votes, rounds) say nothing of one completion: None.
    """
    known = [(row.truncated, row.n_generated_tokens) for row in rows if not row.drafts]
    cut = [n for truncated, n in known if truncated and n is not None]
    whole = sorted(n for truncated, n in known if not truncated and n is not None)
    needed = [2 * max(cut)] if cut else []
    if len(whole) >= MIN_COMPLETED:
        needed.append(whole[math.ceil(ENOUGH * len(whole)) - 1])
    return max(needed, default=None)


def _find(text: str, read: str, start: int) -> int | None:
    """Where what was read first stands, from ``start`` on."""
    try:
        wanted = Fraction(read)
    except (ValueError, ZeroDivisionError):  # a choice or a text
        at = text.casefold().find(read.casefold(), start)
        return at if at >= 0 else None
    for number in _NUMBER.finditer(text, start):
        if _value(number[0]) == wanted:
            return number.start()
    return None


def _value(written: str) -> Fraction | None:
    try:
        return Fraction(written.replace(",", "").replace("\u2212", "-"))
    except (ValueError, ZeroDivisionError):  # "3/0", "1.5/2"
        return None


def _read(row: AttemptRow, reader: str) -> str | None:
    reading = row.readings.get(reader)
    return None if reading is None else reading.value


def _n_words(text: str) -> int:
    return len(_WORD.findall(text))


def _share(audit: Audit) -> str:
    return f"{100 * audit.reasoned / audit.n:.0f} %"
