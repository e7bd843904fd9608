"""Readers of other tools, reproduced with their bugs, to see what a verdict hangs on.

They see the raw text, decoy answers inside ``<think>`` included, take no notice of why it stopped,
and compare as their tool compares. ``Reading.value`` is the string that the tool compares.
"""

from __future__ import annotations

import math
import re
import unicodedata

from cotkit.types import Question, Reading

_HASH = re.compile(r"#### (\-?[0-9\.\,]+)")
_COT_LINE = re.compile(r"The answer is (\-?[0-9\.\,]+).")
_FLEXIBLE = re.compile(r"(-?[$0-9.,]{2,})|(-?[0-9]+)")
_INSPECT_TRIM = "!?:;()[]{}'\"`"
_MINUS = "-\u2212\ufe63\uff0d"
_PLUS = "+\uff0b\ufe62"


def read_lm_eval_strict(text: str, _question: Question) -> Reading:
    """lm-evaluation-harness 0.4.13, ``tasks/gsm8k/gsm8k.yaml``, else ``gsm8k-cot.yaml``.

    Filter ``strict-match``, first match. The unescaped dot at the end of the second pattern wants
    one more character on the same line: a final "39" is read as "3", a final "5" not at all.
    """
    for rule, pattern in (("hash", _HASH), ("answer-line", _COT_LINE)):
        if found := pattern.search(text):
            return Reading(value=_lm_eval_normal(found[1]), rule=rule)
    return Reading(value=None, rule="none")


def read_lm_eval_flexible(text: str, _question: Question) -> Reading:
    """lm-evaluation-harness 0.4.13, the same files, filter ``flexible-extract``: last match.

    "..." is a match, and so is "$". Where the tool falls back to the text ``[invalid]`` the value
    here is None.
    """
    matches = [found[0] for found in _FLEXIBLE.finditer(text)]
    if not matches:
        return Reading(value=None, rule="none")
    return Reading(value=_lm_eval_normal(matches[-1]), rule="last-number")


def equals_lm_eval(value: str, gold: str, _question: Question) -> bool:
    """``exact_match`` of ``lm_eval/api/metrics.py``: strings, so "18.00" is not "18"."""
    return value == _lm_eval_normal(gold)


def read_inspect_match(text: str, _question: Question) -> Reading:
    """inspect_ai 0.3.285, ``scorer/_common.py``: ``match(location="end", numeric=True)``.

    The last white-space-separated word that is a number, to five significant digits. A percent
    sign or a glued unit hides a number ("60%", "5km"). Chinese numerals, superscripts and digits
    grouped by apostrophes, which the tool also reads, are not reproduced.
    """
    for word in reversed(_inspect_stripped(text.strip().casefold()).split()):
        if (number := _inspect_number(word)) is not None:
            return Reading(value=format(number, ".5g"), rule="last-word")
    return Reading(value=None, rule="none")


def equals_inspect_match(value: str, gold: str, _question: Question) -> bool:
    """Five significant digits: 123457 equals 123456. A fraction as gold never matches here."""
    number = _inspect_number(_inspect_stripped(gold))
    return number is not None and value == format(number, ".5g")


def _lm_eval_normal(text: str) -> str:
    """``regexes_to_ignore`` in their order: commas, dollars, up to the last hashes, a last dot."""
    text = text.replace(",", "").replace("$", "").rpartition("#### ")[2]
    return text.removesuffix(".").lower()


def _inspect_stripped(text: str) -> str:
    text = re.sub(r"\\([$,£€*_])", r"\1", text)
    return re.sub(r"\.(?=\s|$|\D)", "", re.sub(r"[$,£€*_]", "", text))


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
    """Unicode signs (any number of them), and one vulgar fraction after an optional integer."""
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
        whole = float(digits[:-1] if is_mixed else digits)
    except ValueError:
        return None
    return sign * (whole + part if is_mixed else whole)
