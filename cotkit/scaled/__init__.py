"""Pieces of the scale front door (``cotkit/scaling.py``): the ladder, and its results as a grid."""

from cotkit.scaled.alike import Content, check_alike, difference
from cotkit.scaled.grid import Arms, Ran, Read, read_grid
from cotkit.scaled.ladder import check_count, check_ladder, members, rung_of

__all__ = [
    "Arms",
    "Content",
    "Ran",
    "Read",
    "check_alike",
    "check_count",
    "check_ladder",
    "difference",
    "members",
    "read_grid",
    "rung_of",
]
