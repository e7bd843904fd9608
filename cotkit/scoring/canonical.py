"""Gold answers, read as answers are: one text for one value, exactly."""

from __future__ import annotations

import re
from fractions import Fraction
from itertools import islice

from cotkit.scoring.candidates import last_boxed
from cotkit.scoring.numbers import canonical_form, find_numbers
from cotkit.scoring.settle import settle_number

_NUMBER = re.compile(
    r"(?P<sign>[-+]?)\s*[$€£]?\s*"
    r"(?:(?P<whole>[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.(?P<places>[0-9]*))?"
    r"|\.(?P<bare>[0-9]+)"
    r"|(?P<top>[0-9]+)\s*/\s*(?P<bottom>[0-9]+))"
    r"\s*%?"
)

_MAX_LENGTH = 400  # nobody's answer is longer, and Python refuses integers of 4,300 digits


def canonical_number(text: str) -> str | None:
    """Write a gold answer that is a number in plain digits; None if it is not one number.

    ``"$1,234.50"`` is ``"1234.5"``, ``"10."`` is ``"10"``, ``"2/8"`` is ``"0.25"``, ``"2/6"`` is
    ``"1/3"``, ``"25%"`` is ``"25"`` (the figure, as the readers read it). Nothing is rounded.
    """
    match = _NUMBER.fullmatch(text.strip())
    if match is None or len(text) > _MAX_LENGTH:
        return None
    if match["top"]:
        if int(match["bottom"]) == 0:
            return None
        value = Fraction(int(match["top"]), int(match["bottom"]))
    else:
        integer = (match["whole"] or "0").replace(",", "")
        value = Fraction(f"{integer}.{match['places'] or match['bare'] or '0'}")
    return canonical_form(-value if match["sign"] == "-" else value)


def read_gold_number(text: str) -> str | None:
    """Write a gold answer in plain digits, however an answer may state it; None: not one number.

    Beside what :func:`canonical_number` reads: ``"3 1/2"``, ``"1e3"``, ``"12 pears"``, LaTeX, the
    digits of other scripts. A benchmark whose kind follows from its golds asks that one, or a
    date might make numbers of its texts.
    """
    if (plain := canonical_number(text)) is not None:
        return plain
    if len(text) > _MAX_LENGTH:
        return None
    value = settle_number(text.strip()).value
    is_one = len(list(islice(find_numbers(text), 2))) < 2
    return canonical_form(value) if value is not None and is_one else None


_WORKED = re.compile(
    r"(?s)(?P<rationale>.*)(?:####|\b[Tt]he (?:final )?answer is:?)\s*(?P<answer>[^\n]+?)\.?\s*"
)
_CALCULATOR = re.compile(r"<<[^<>]*>>")
_BOX = re.compile(r"\\(?:boxed|fbox)\b\s*")


def split_solution(text: str) -> tuple[str, str] | None:
    r"""Split a worked solution into (rationale, answer); None: it does not end in an answer.

    The answer stands after ``####`` (GSM8K, whose calculator marks ``<<2*3=6>>`` are left out) or
    after "The answer is", or else in the last ``\boxed{}``, whose braces alone are left out.
    """
    if match := _WORKED.fullmatch(text):
        return _CALCULATOR.sub("", match["rationale"]).strip(), match["answer"].strip()
    box = last_boxed(text)
    return None if box is None else (_BOX.sub("", text).strip(), box)
