"""Whether arms did what they say: no reasoning where none is asked, room where some is.

An attempt *reasons before the answer* if its model kept reasoning apart (``<think>``, a provider's
field or token count), or if the text before the answer holds

- an equation: a number, within 20 characters an operator (``+ - * / x`` and their signs) and a
  number right after it, and ``=`` within 40 more, all on one line; or
- where an answer was read, a completed sentence or line of more than `MAX_WORDS` words. The
  sentence that holds the answer is not completed before it, so it never counts.

What a run declares is no leak: reasoning kept apart counts where ``thinking`` is off, or where
nobody said how the model thinks (texts and logs of other tools).

The text before the answer ends where what was read stands: its last place if the reader took the
last number (`_LAST_RULES`), else its first place after the first answer cue, or in the text if
there is no cue. If it stands nowhere, the text ends with that cue or, without one or if the reader
took the last line, where the last sentence begins. If nothing was read, it ends with the first cue
or is the whole text. The cue itself ("The answer is") is no part of it. A word is a run without
white space that holds a letter or a digit; a sentence ends with ``.``, ``!`` or ``?`` before white
space or the end.

Only the text that was read is looked at: a strategy of several turns may have reasoned before.
What this misses and what it takes for reasoning in error: docs/statistics.md, "The audit".
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from statistics import median

from cotkit.analysis.values import Aside, Audit, Gain, Verdict
from cotkit.stats.intervals import wilson
from cotkit.store.rows import AttemptRow, StoredReply
from cotkit.types import Reading

MAX_WORDS = 8
"""Most words of a completed sentence that is no reasoning: "Janet sells her eggs every day."."""
CONTAMINATED_SHARE = 0.1
"""An arm without reasoning is contaminated if surely more of its answers reason than this share."""
TOKEN_QUANTILE = 0.95
"""Share of the completed answers for which ``Audit.enough_tokens`` suffices."""
MIN_COMPLETED = 10
"""With fewer completed answers that quantile is not computed."""

_CUE = re.compile(
    r"(?:\b(?:the|my|our)\s{1,3})?(?:\b(?:final|correct|right)\s{1,3})?\banswer[*_]{0,3}\s{0,3}(?:is\b|=|:)"
    r"|\\boxed\s{0,3}\{|####",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"[-\u2212]?(?:\d[\d,]*(?:\.\d+)?|\.\d+)(?:/\d+)?")
_OPERATOR = r"(?:[-+*/\u00d7\u00f7\u2212x]|\\(?:times|cdot|div))"
_EQUATION = re.compile(rf"\d[^\n=]{{0,20}}?{_OPERATOR}[ $€£(\\]{{0,4}}\d[^\n=]{{0,40}}=")
_SENTENCE_END = re.compile(r"[.!?][*_\"')\]}]{0,4}(?=\s|$)|\n")
_LAST_RULES = frozenset({"last-number", "final-equals", "bold-final", "last-word"})
_WORD = re.compile(r"\S*[^\W_]\S*")


def audit_arms(
    rows: Sequence[AttemptRow],
    reasons: Mapping[str, bool],
    reader: str,
    thinking: Mapping[str, str | None] | None = None,
) -> tuple[Audit, ...]:
    """Audit each arm of ``reasons``, in its order.

    Args:
        rows: Of any arms; attempts that failed or were refused are not looked at.
        reasons: Arm -> whether its strategy asks for reasoning before the answer.
        reader: Whose readings say where the answer stands.
        thinking: Arm -> its declared setting (None: the model's own); of others nothing is known.
    """
    declared = thinking or {}
    return tuple(
        _audit_arm(
            arm,
            asks,
            [row for row in rows if row.arm == arm],
            reader,
            is_allowed=declared.get(arm, "off") != "off",
            is_off=declared.get(arm) == "off",
        )
        for arm, asks in reasons.items()
    )


def contamination_rate(replies: Iterable[StoredReply], *, may_think: bool = False) -> float | None:
    """Return the share of replies that reason, of an arm without reasoning; None: few enough.

    Args:
        replies: Of the arm.
        may_think: Whether thinking kept apart was declared.
    """
    n = n_reasoned = 0
    for reply in replies:
        n += 1
        n_reasoned += (reply.reasoned_apart and not may_think) or _has_reasoning(
            text_before_answer(reply.text, reply.reading), reply.reading
        )
    return n_reasoned / n if _is_contaminated(n_reasoned, n) else None


def text_before_answer(text: str, reading: Reading | None) -> str:
    """Return the text before the answer, by the rule of the module docstring."""
    return _CUE.sub(" ", text[: _answer_position(text, reading)])


def is_reasoning(before: str, *, was_read: bool) -> bool:
    """Return whether a text before an answer reasons, by the rule of the module docstring."""
    if _EQUATION.search(before):
        return True
    *completed, _ = _SENTENCE_END.split(before)
    return was_read and any(_n_words(sentence) > MAX_WORDS for sentence in completed)


def withholding_reason(arm: str, control: str, audits: Sequence[Audit]) -> str | None:
    """Return why a verdict on an arm and its control means nothing; None: it means something."""
    leaks = [
        f"{role} {audit.arm} {_leak_text(audit)} of its answers"
        for name, role in ((control, "the control"), (arm, "the arm"))
        for audit in audits
        if audit.arm == name and audit.is_contaminated
    ]
    return f"{arm} against {control} is withheld: {'; '.join(leaks)}." if leaks else None


def withhold(verdict: Verdict, audits: Sequence[Audit]) -> Verdict:
    """Return the verdict; where one of its arms is contaminated, its numbers without any claim.

    An upper bound stays labelled so: that is no claim either, and its name is marked by it.
    """
    why = withholding_reason(verdict.gain.arm, verdict.gain.control, audits)
    if why is None:
        return verdict
    return replace(
        verdict,
        gain=_withhold_label(verdict.gain),
        variants=tuple(replace(v, gain=_withhold_label(v.gain)) for v in verdict.variants),
        depends_on=(),
        sentence=why,
    )


def audit_notes(audits: Sequence[Audit]) -> tuple[str, ...]:
    """Return a note for each contaminated arm."""
    return tuple(
        Aside(
            f"contaminated: {audit.arm} "
            f"{'has thinking off' if audit.thought_though_off else 'asks for no reasoning'}, "
            f"but {_leak_text(audit)} of its {audit.n} answers; its verdicts are withheld"
        )
        for audit in audits
        if audit.is_contaminated
    )


def thinking_notes(
    rows: Sequence[AttemptRow], arms: Sequence[str], thinking: Mapping[str, str | None]
) -> tuple[str, ...]:
    """Say which arms' models thought by themselves: nobody told them to, and nobody not to."""
    own = [
        arm
        for arm in arms
        if thinking.get(arm, "unknown") is None
        and any(_has_thought(row) for row in rows if row.arm == arm)
    ]
    if not own:
        return ()
    note = (
        f"the model thinks by itself before it answers, in {', '.join(own)}: what is compared is"
        " the prompts of a model that thinks (--thinking off: of one that does not, where it can)"
    )
    return (note,)


def _has_thought(row: AttemptRow) -> bool:
    return row.reasoned_apart or bool(row.n_reasoning_tokens)


def _audit_arm(
    arm: str,
    asks: bool,  # noqa: FBT001 - what the mapping holds
    rows: Sequence[AttemptRow],
    reader: str,
    *,
    is_allowed: bool,
    is_off: bool,
) -> Audit:
    rows = [row for row in rows if row.outcome not in {"failed", "refused"}]
    readings = [row.readings.get(reader) for row in rows]
    texts = [
        text_before_answer(row.text, reading) for row, reading in zip(rows, readings, strict=True)
    ]
    has_thought = [_has_thought(row) for row in rows]
    n_reasoned = sum(
        (thought and (asks or not is_allowed)) or _has_reasoning(text, reading)
        for thought, reading, text in zip(has_thought, readings, texts, strict=True)
    )
    thinks_though_off = is_off and _is_contaminated(sum(has_thought), len(rows))
    tokens = [n for row in rows if (n := row.n_reasoning_tokens) is not None]
    return Audit(
        arm=arm,
        reasons=asks,
        n=len(rows),
        reasoned=n_reasoned,
        median_words_before=median(map(_n_words, texts)) if texts else math.nan,
        reasoning_tokens=sum(tokens) if tokens and len(tokens) == len(rows) else None,
        is_contaminated=thinks_though_off or (not asks and _is_contaminated(n_reasoned, len(rows))),
        thought_though_off=sum(has_thought) if thinks_though_off else 0,
        truncated=sum(row.truncated for row in rows),
        enough_tokens=_tokens_needed(rows),
    )


def _has_reasoning(before: str, reading: Reading | None) -> bool:
    return is_reasoning(before, was_read=reading is not None and reading.value is not None)


def _is_contaminated(n_reasoned: int, n: int) -> bool:
    return wilson(n_reasoned, n, 0.95).low > CONTAMINATED_SHARE


def _tokens_needed(rows: Sequence[AttemptRow]) -> int | None:
    """Return how many tokens attempts needed: a percentile, twice the limit if truncated.

    An attempt's tokens are those of all its turns, so for several turns this is more than enough.
    Attempts with drafts (votes, rounds) say nothing of one completion: None.
    """
    counts = [(row.truncated, row.n_generated_tokens) for row in rows if not row.drafts]
    cut = [n for truncated, n in counts if truncated and n is not None]
    complete = sorted(n for truncated, n in counts if not truncated and n is not None)
    needed = [2 * max(cut)] if cut else []
    if len(complete) >= MIN_COMPLETED:
        needed.append(complete[math.ceil(TOKEN_QUANTILE * len(complete)) - 1])
    return max(needed, default=None)


def _withhold_label(gain: Gain) -> Gain:
    return gain if gain.label == "upper_bound" else replace(gain, label="withheld")


def _answer_position(text: str, reading: Reading | None) -> int:
    """Return where the text before the answer ends."""
    cue = _CUE.search(text)
    if reading is None or reading.value is None:
        return cue.end() if cue else len(text)
    if reading.rule == "last-line":  # what was read is a letter that may stand for a name
        return _last_sentence_start(text)
    takes_last = reading.rule in _LAST_RULES
    start = cue.end() if cue and not takes_last else 0
    if places := list(_find_positions(text, reading.value, start)):
        return places[-1 if takes_last else 0]
    return cue.end() if cue else _last_sentence_start(text)


def _find_positions(text: str, value: str, start: int) -> Iterator[int]:
    """Yield where a value stands, from ``start`` on; a choice or a text as whole words."""
    try:
        target = Fraction(value)
    except (ValueError, ZeroDivisionError):
        case = re.IGNORECASE if len(value) > 1 else re.NOFLAG  # "a" is no letter A
        words = re.compile(rf"(?<!\w){re.escape(value)}(?!\w)", case)
        yield from (match.start() for match in words.finditer(text, start))
        return
    for number in _NUMBER.finditer(text, start):
        if _parse_number(number[0]) == target:
            yield number.start()


def _last_sentence_start(text: str) -> int:
    """Return where the last sentence or line begins."""
    text = text.rstrip()
    ends = [end.end() for end in _SENTENCE_END.finditer(text)]
    return max((end for end in ends if end < len(text)), default=0)


def _parse_number(digits: str) -> Fraction | None:
    try:
        return Fraction(digits.replace(",", "").replace("\u2212", "-"))
    except (ValueError, ZeroDivisionError):  # "3/0", "1.5/2"
        return None


def _n_words(text: str) -> int:
    return len(_WORD.findall(text))


def _leak_text(audit: Audit) -> str:
    """Say what the arm did that it should not, and in which share; "of its answers" follows."""
    if audit.thought_though_off:
        return f"thinks, although told not to, in {100 * audit.thought_though_off / audit.n:.0f} %"
    return f"reasons before answering in {100 * audit.reasoned / audit.n:.0f} %"
