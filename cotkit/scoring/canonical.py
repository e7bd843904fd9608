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
    """Plain digits for a number as people write gold answers; None if it is not one number.

    ``"$1,234.50"`` is ``"1234.5"``, ``"10."`` is ``"10"``, ``"2/8"`` is ``"0.25"``, ``"2/6"`` is
    ``"1/3"``, ``"25%"`` is ``"25"`` (the figure, as the readers read it). Nothing is rounded.
    """
    found = _NUMBER.fullmatch(text.strip())
    if found is None or len(text) > _MAX_LENGTH:
        return None
    if found["top"]:
        if int(found["bottom"]) == 0:
            return None
        value = Fraction(int(found["top"]), int(found["bottom"]))
    else:
        whole = (found["whole"] or "0").replace(",", "")
        value = Fraction(f"{whole}.{found['places'] or found['bare'] or '0'}")
    return _write_number(-value if found["sign"] == "-" else value)


def _write_number(value: Fraction) -> str:
    places, rest = 0, value.denominator
    for prime in (2, 5):
        power = 0
        while rest % prime == 0:
            rest //= prime
            power += 1
        places = max(places, power)
    if rest != 1:
        return f"{value.numerator}/{value.denominator}"
    if places == 0:
        return str(value.numerator)
    digits = str(abs(value.numerator) * 10**places // value.denominator).rjust(places + 1, "0")
    return f"{'-' if value < 0 else ''}{digits[:-places]}.{digits[-places:]}"
