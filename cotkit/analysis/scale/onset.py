"""The bracket rule: from labelled sizes to where material help starts."""

from __future__ import annotations

from collections.abc import Sequence

from cotkit.analysis.scale.values import After, Onset, OnsetStatus, Point, SizeLabel

NO_HELP: frozenset[SizeLabel] = frozenset({"no_material_help", "harms"})
"""Labels that show that there is no material help."""
_OPEN: frozenset[SizeLabel] = frozenset({"undetermined", "some_help"})


def onset(points: Sequence[Point], margin: float) -> Onset:
    """Where material help starts, given the labels; sizes that are unknown or holes do not count.

    ``upper`` is the smallest size labelled ``helps``, ``lower`` the largest below it labelled
    ``no_material_help`` or ``harms``. The claim is (lower, upper]: the smallest tested size whose
    gain reaches the margin lies there, unless material help came and went below ``lower``.
    """
    tested = [point for point in points if point.x is not None and point.label != "missing"]
    at = next((i for i, point in enumerate(tested) if point.label == "helps"), None)
    below = tested if at is None else tested[:at]
    lower = next((point for point in reversed(below) if point.label in NO_HELP), None)
    first = next((point for point in tested if point.label in {"helps", "some_help"}), None)
    return Onset(
        status=_status(tested, at, lower, margin),
        lower=None if lower is None or at is None else lower.rung,
        upper=None if at is None else tested[at].rung,
        first_detected=None if first is None else first.rung,
        after=None if at is None else _after(tested[at + 1 :]),
        harmed=tuple(point.rung for point in tested if point.label == "harms"),
    )


def is_open(point: Point, margin: float) -> bool:
    """Whether a size may hide material help: neither shown nor excluded, and too few problems."""
    return point.label in _OPEN and not point.mde <= margin  # an MDE of NaN is beyond any margin


def _status(
    tested: Sequence[Point], at: int | None, lower: Point | None, margin: float
) -> OnsetStatus:
    if at is not None:
        return "at_or_below" if lower is None else "bracket"
    undecided = not tested or any(is_open(point, margin) for point in tested)
    return "cannot_be_decided" if undecided else "not_shown"


def _after(above: Sequence[Point]) -> After | None:
    if not above:
        return None
    if any(point.label == "harms" for point in above):
        return "reversed"
    helped = all(point.label == "helps" for point in above)
    return "sustained" if helped else "not_shown_beyond"
