"""Read JSON of other programs field by field: an error names the field and its place."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import cast

from cotkit.errors import Location

_WORDS: Mapping[type, str] = {dict: "an object", list: "a list", str: "a text"}


def need(
    data: Mapping[str, object], names: Sequence[str], kind: type[object], place: Location
) -> object:
    """Return a field that must be there and of a kind, by its path (``["eval", "model"]``).

    Raises:
        BadInputError: it is missing or of another kind.
    """
    field = ".".join(names)
    value: object = data
    for name in names:
        if not isinstance(value, dict) or name not in value:
            raise place.make_error("missing", field=field, hint=f"must be {_WORDS[kind]}")
        value = value[name]
    if not isinstance(value, kind):
        raise place.make_error(
            f"must be {_WORDS[kind]}", field=field, hint=f"it is {str(value)[:40]!r}"
        )
    return value


def need_object(data: Mapping[str, object], place: Location, *names: str) -> Mapping[str, object]:
    """Return a field that must be an object."""
    return cast("Mapping[str, object]", need(data, names, dict, place))


def need_text(data: Mapping[str, object], place: Location, *names: str) -> str:
    """Return a field that must be a text."""
    return cast("str", need(data, names, str, place))


def need_list(data: Mapping[str, object], place: Location, *names: str) -> list[object]:
    """Return a field that must be a list."""
    return cast("list[object]", need(data, names, list, place))


def find_field(data: object, *names: str) -> object:
    """Return a field by its path; None where it is missing."""
    value = data
    for name in names:
        if not isinstance(value, dict):
            return None
        value = cast("dict[str, object]", value).get(name)
    return value


def find_object(data: object, *names: str) -> Mapping[str, object]:
    """Return a field as an object; an empty one where it is missing or of another kind."""
    value = find_field(data, *names)
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def as_number(value: object) -> float | None:
    """Return a value as a finite number (true is 1); None: it is none."""
    if not isinstance(value, (bool, int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:  # a whole number of hundreds of digits
        return None
    return number if math.isfinite(number) else None


def as_count(value: object) -> int | None:
    """Return a value as a whole number of 1 to 10^18; None: it is none."""
    number = None if isinstance(value, bool) else as_number(value)
    if number is None or not 1 <= number <= _MOST or number != int(number):
        return None
    return int(number)


_MOST = 10**18


def check_mean(stated: float, values: Sequence[float], place: Location, *, field: str) -> None:
    """Refuse a rate, 0..1, that is not the mean of its own samples.

    Raises:
        BadInputError: they are a quarter of a sample apart, or more: no rounding does that.
    """
    if abs(stated * len(values) - sum(values)) >= _ROUNDING:
        mean = sum(values) / len(values)
        problem = f"states {stated:.6g}, but the mean of its {len(values):,} samples is {mean:.6g}"
        raise place.make_error(
            problem, field=field, hint="one of the two was changed: run it again"
        )


_ROUNDING = 0.25
