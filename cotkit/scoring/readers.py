"""The panel: every reader by name, with the comparison that belongs to it."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from cotkit.scoring import answers, choices, expressions, texts
from cotkit.scoring.numbers import parse_gold
from cotkit.types import AnswerKind, Question, Reading

# Readers of other tools, reproduced with their bugs, to see what a verdict hangs on.
#
# They see the raw text, decoy answers inside ``<think>`` included, take no notice of why it
# stopped, and compare as their tool compares. ``Reading.value`` is the string that the tool
# compares.


_HASH = re.compile(r"#### (\-?[0-9\.\,]+)")
_COT_LINE = re.compile(r"The answer is (\-?[0-9\.\,]+).")
_FLEXIBLE = re.compile(r"(-?[$0-9.,]{2,})|(-?[0-9]+)")
_INSPECT_ESCAPED = re.compile(r"\\([$,£€*_])")
_INSPECT_SIGNS = re.compile(r"[$,£€*_]")
_INSPECT_STOP = re.compile(r"\.(?=\s|$|\D)")
_INSPECT_TRIM = "!?:;()[]{}'\"`"
_MINUS = "-\u2212\ufe63\uff0d"
_PLUS = "+\uff0b\ufe62"


def read_lm_eval_strict(text: str, _question: Question) -> Reading:
    """Read as lm-evaluation-harness 0.4.13, ``tasks/gsm8k/gsm8k.yaml``, else ``gsm8k-cot.yaml``.

    Filter ``strict-match``, first match. The unescaped dot at the end of the second pattern wants
    one more character on the same line: a final "39" is read as "3", a final "5" not at all.
    """
    for rule, pattern in (("hash", _HASH), ("answer-line", _COT_LINE)):
        if match := pattern.search(text):
            return Reading(value=_lm_eval_normal(match[1]), rule=rule)
    return Reading(value=None, rule="none")


def read_lm_eval_flexible(text: str, _question: Question) -> Reading:
    """Read as lm-evaluation-harness 0.4.13, the same files, ``flexible-extract``: last match.

    "..." is a match, and so is "$". Where the tool falls back to the text ``[invalid]`` the value
    here is None.
    """
    matches = [match[0] for match in _FLEXIBLE.finditer(text)]
    if not matches:
        return Reading(value=None, rule="none")
    return Reading(value=_lm_eval_normal(matches[-1]), rule="last-number")


def equals_lm_eval(value: str, gold: str, _question: Question) -> bool:
    """Compare as ``exact_match`` of ``lm_eval/api/metrics.py``: strings, so "18.00" is not "18"."""
    return value == _lm_eval_normal(gold)


def read_inspect_match(text: str, _question: Question) -> Reading:
    """Read as inspect_ai 0.3.285, ``match(location="end", numeric=True)`` of ``scorer/_common.py``.

    The last white-space-separated word that is a number, to five significant digits. A percent
    sign or a glued unit hides a number ("60%", "5km"). Chinese numerals, superscripts and digits
    grouped by apostrophes, which the tool also reads, are not reproduced.
    """
    for word in reversed(_inspect_stripped(text.strip().casefold()).split()):
        if (number := _inspect_number(word)) is not None:
            return Reading(value=format(number, ".5g"), rule="last-word")
    return Reading(value=None, rule="none")


def equals_inspect_match(value: str, gold: str, _question: Question) -> bool:
    """Compare five significant digits: 123457 equals 123456. A gold fraction never matches here."""
    number = _inspect_number(_inspect_stripped(gold))
    return number is not None and value == format(number, ".5g")


def _lm_eval_normal(text: str) -> str:
    """Remove commas, dollars, all up to the last hashes, a last dot: ``regexes_to_ignore``."""
    text = text.replace(",", "").replace("$", "").rpartition("#### ")[2]
    return text.removesuffix(".").lower()


def _inspect_stripped(text: str) -> str:
    text = _INSPECT_SIGNS.sub("", _INSPECT_ESCAPED.sub(r"\1", text))
    return _INSPECT_STOP.sub("", text)


def _inspect_number(word: str) -> float | None:
    word = word.strip(_INSPECT_TRIM)
    if not any(map(str.isnumeric, word)):
        return None  # "nan" and "inf" are not numbers there either
    try:
        number = float(word)
    except ValueError:
        number = _inspect_unicode(word)
    return number if number is not None and math.isfinite(number) else None


def _inspect_unicode(word: str) -> float | None:
    """Parse Unicode signs (any number of them), and a vulgar fraction after an integer."""
    digits = word.lstrip(_MINUS + _PLUS)
    signs = word[: len(word) - len(digits)]
    sign = -1.0 if sum(map(signs.count, _MINUS)) % 2 else 1.0
    if not digits:
        return None
    part = unicodedata.numeric(digits[-1], -1.0)
    if len(digits) == 1:
        return sign * part if part >= 0 else None
    is_mixed = 0.0 < part < 1.0
    try:
        integer = float(digits[:-1] if is_mixed else digits)
    except ValueError:
        return None
    return sign * (integer + part if is_mixed else integer)


ALL_KINDS: frozenset[AnswerKind] = frozenset({"number", "choice", "text", "expression"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """How an answer is found in a text and compared with the gold answer."""

    summary: str
    """What it reads, in one line."""
    read: Callable[[str, Question], Reading]
    """Text to reading; total: never raises, linear in the text."""
    equals: Callable[[str, str, Question], bool]
    """(value read, gold, question) -> whether this reader calls it correct."""
    kinds: frozenset[AnswerKind]
    """Answer kinds it can read; it has no reading for the others."""
    is_own: bool
    """Whether it is cotkit's own: reads what follows the reasoning, and guesses nothing if cut."""
    only_asked: frozenset[AnswerKind] = frozenset()
    """Of these kinds, those that it reads only where it is the reader asked for."""


def equals_exactly(value: str, gold: str, question: Question) -> bool:
    """Compare exactly: fractions, choice letters, or normalised text.

    Raises:
        ValueError: the gold answer of a number question is not a number.
    """
    match question.answer_kind:
        case "number":
            return parse_gold(value) == parse_gold(gold)
        case "choice":
            return choices.equals_choice(value, gold, question)
        case "text":
            return texts.equals_text(value, gold, question)
        case "expression":
            return expressions.equals_expression(value, gold, question)


def _read_answer(text: str, question: Question, *, guess: bool) -> Reading:
    match question.answer_kind:
        case "number":
            return answers.read_anything(text) if guess else answers.read_marked(text)
        case "choice":
            return choices.read_choice(text, question, guess=guess)
        case "text":
            return texts.read_text(text, question, guess=guess)
        case "expression":
            return expressions.read_expression(text, question, guess=guess)


def _own_reader(summary: str, *, guess: bool) -> Reader:
    read_text = partial(_read_answer, guess=guess)
    return Reader(
        summary=summary, read=read_text, equals=equals_exactly, kinds=ALL_KINDS, is_own=True
    )


def _peer_reader(
    summary: str,
    read_text: Callable[[str, Question], Reading],
    equals: Callable[[str, str, Question], bool],
) -> Reader:
    return Reader(
        summary=summary, read=read_text, equals=equals, kinds=frozenset({"number"}), is_own=False
    )


MATH_VERIFY = "math-verify"
READERS: Mapping[str, Reader] = MappingProxyType(
    {
        "strict": _own_reader(
            "A completed answer line, box, tag, field, ####, label or cue; no guess.", guess=False
        ),
        "flexible": _own_reader(
            "As strict, then ranked guesses down to the last number.", guess=True
        ),
        "lm-eval-strict": _peer_reader(
            "lm-eval's strict-match filters of gsm8k and gsm8k-cot, their traps included.",
            read_lm_eval_strict,
            equals_lm_eval,
        ),
        "lm-eval-flexible": _peer_reader(
            "lm-eval's flexible-extract filter: the last number-like run.",
            read_lm_eval_flexible,
            equals_lm_eval,
        ),
        "inspect-match": _peer_reader(
            "Inspect's match(numeric=True): compares five significant digits.",
            read_inspect_match,
            equals_inspect_match,
        ),
        MATH_VERIFY: Reader(
            summary="math-verify's own parse and verify (extra math); numbers only where asked.",
            read=expressions.read_math_verify,
            equals=expressions.equals_math_verify,
            kinds=frozenset({"expression", "number"}),
            is_own=False,
            only_asked=frozenset({"number"}),
        ),
    }
)
"""Reader name -> reader, those of cotkit first."""


def resolve_reader(name: str) -> str:
    """Return the name under which readings are stored: ``math-verify`` gets its version.

    Raises:
        MissingDependencyError: it is asked for and not installed.
    """
    return expressions.math_verify_name() if name == MATH_VERIFY else name


def panel_of(kind: AnswerKind, reader: str) -> dict[str, Reader]:
    """Return who reads a kind of answer, by stored name; what is installed changes no panel.

    Raises:
        MissingDependencyError: the kind or the reader needs math-verify, which is not installed.
    """
    is_asked = reader.startswith(f"{MATH_VERIFY}-")
    return {
        resolve_reader(name): member
        for name, member in READERS.items()
        if kind in member.kinds - member.only_asked
        or (name == MATH_VERIFY and is_asked and kind in member.kinds)
    }
