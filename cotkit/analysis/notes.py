"""Warnings that a reader of a comparison must see, in plain English."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cotkit.analysis.counting import Pair
from cotkit.analysis.results import Cell, Gain

MANY_CUT = 0.2
"""From this share of answers cut at their limit on, the limit is part of what is measured."""
CEILING = 0.9
"""From this solve rate of the control on, a small gain says little against the arm."""


def notes(
    cells: Sequence[Cell],
    paired: Mapping[tuple[str, str], Sequence[Pair]],
    gains: Sequence[Gain],
    *,
    n_problems: int,
    level: float,
) -> tuple[str, ...]:
    """Failures, cut answers, incomplete pairs, floors, ceilings, clusters, gains; in this order.

    Args:
        cells: Every arm.
        paired: (arm, control) -> the problems that both completed.
        gains: By the chosen reader, in the order of ``paired``.
        n_problems: Problems drawn.
        level: Of the report.
    """
    said = [note for cell in cells for note in _failures(cell)]
    said += [note for cell in cells for note in _truncated(cell)]
    said += [note for gain in gains for note in _incomplete(gain, n_problems)]
    said += [note for names, pairs in paired.items() for note in _no_room(names, pairs)]
    said += _clusters(max(paired.values(), key=len, default=()))
    said += _many(gains, level)
    return tuple(dict.fromkeys(said))


def _failures(cell: Cell) -> list[str]:
    failed = cell.outcomes["failed"]
    if not failed:
        return []
    left_out = "left out of its solve rate and of its pairs"
    return [f"{cell.arm}: {failed} of {cell.n + failed} attempts failed; {left_out}"]


def _truncated(cell: Cell) -> list[str]:
    cut = cell.outcomes["truncated"]
    if not cell.n or cut < MANY_CUT * cell.n:
        return []
    where = f"{cell.arm}: {cut} of {cell.n} attempts were cut at their token limit"
    return [f"{where} before an answer; raise --max-tokens (reasoning kept apart counts, too)"]


def _incomplete(gain: Gain, n_problems: int) -> list[str]:
    if gain.n >= n_problems:
        return []
    done = f"{gain.n} of {n_problems} problems were completed by both"
    return [f"{gain.arm} against {gain.control}: {done}; the rest are left out of the gain"]


def _no_room(names: tuple[str, str], pairs: Sequence[Pair]) -> list[str]:
    """Both never right, or the control nearly always: the gain can hardly be anything but 0."""
    if not pairs:
        return []
    arm, control = names
    n_arm, n_control = (sum(pair[i].outcome == "correct" for pair in pairs) for i in (0, 1))
    if n_arm == n_control == 0:
        where = f"neither {arm} nor {control} solved any of {len(pairs)} problems"
        return [f"floor: {where}; a gain near 0 says nothing about the strategy here"]
    if n_control >= CEILING * len(pairs):
        where = f"{control} alone solves {100 * n_control / len(pairs):.1f} %"
        return [f"ceiling: {where}; a small gain of {arm} is no evidence against it"]
    return []


def _clusters(pairs: Sequence[Pair]) -> list[str]:
    names = [row.cluster for row, _ in pairs if row.cluster is not None]
    if len(set(names)) == len(names):
        return []
    found = f"{len(names)} of {len(pairs)} problems come in {len(set(names))} clusters"
    return [f"{found}; intervals and p-values take them as independent and promise too much"]


def _many(gains: Sequence[Gain], level: float) -> list[str]:
    if len(gains) < 2:
        return []
    levels = f"each interval is at {100 * gains[0].interval.level:.4g} %"
    return [f"{len(gains)} gains: {levels}, all hold at {100 * level:.4g} %; p-values by Holm"]
