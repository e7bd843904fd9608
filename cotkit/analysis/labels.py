"""From an interval to a word: the labels of the onset rule."""

from __future__ import annotations

from cotkit.analysis.results import Interval, Label


def label(interval: Interval, margin: float) -> Label:
    """What an interval of a gain shows against the smallest gain that counts as material.

    Args:
        interval: Of the gain, -1..1; ends that touch a bound do not cross it.
        margin: In 0..1, more than 0.
    """
    if interval.low > margin:
        return "helps"
    if interval.low > 0:
        return "some_help"
    if interval.high < 0:
        return "harms"
    if interval.high < margin:
        return "no_material_help"
    return "undetermined"


def direction(of: Label) -> int:
    """+1 if the label says better, -1 if it says worse, 0 if it says neither."""
    return {"helps": 1, "some_help": 1, "harms": -1}.get(of, 0)
