"""Find where a monotone condition ends."""

from __future__ import annotations

from collections.abc import Callable

_HALVINGS = 60  # leaves 2**-60 of the stretch: below the spacing of floats near 1


def last_true(holds: Callable[[float], bool], low: float, high: float) -> float:
    """End of the stretch from ``low`` on which ``holds`` is true, by bisection.

    ``holds`` is true up to some point and false after it. ``high`` comes back if it never turns
    false, ``low`` if it is never true; both to ``2**-60`` of the stretch.
    """
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if holds(middle):
            low = middle
        else:
            high = middle
    return low
