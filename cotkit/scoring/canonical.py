"""The canonical form of a gold number: one text for one value, exactly."""

from __future__ import annotations

import re
from fractions import Fraction

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
    return _write_number(-value if match["sign"] == "-" else value)


def _write_number(value: Fraction) -> str:
    places, cofactor = 0, value.denominator
    for prime in (2, 5):
        power = 0
        while cofactor % prime == 0:
            cofactor //= prime
            power += 1
        places = max(places, power)
    if cofactor != 1:
        return f"{value.numerator}/{value.denominator}"
    if places == 0:
        return str(value.numerator)
    digits = str(abs(value.numerator) * 10**places // value.denominator).rjust(places + 1, "0")
    return f"{'-' if value < 0 else ''}{digits[:-places]}.{digits[-places:]}"
