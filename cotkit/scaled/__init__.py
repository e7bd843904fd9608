"""Pieces of the scale front door (``cotkit/scaling.py``): the ladder, and its results as a grid."""

from cotkit.scaled.alike import check_alike
from cotkit.scaled.grid import Arms, Ran, Read, read_grid
from cotkit.scaled.ladder import check_count, check_ladder, members, rung_of

__all__ = [
    "Arms",
    "Ran",
    "Read",
    "check_alike",
    "check_count",
    "check_ladder",
    "members",
    "read_grid",
    "rung_of",
]
