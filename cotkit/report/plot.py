"""Two curves over size, drawn in characters: every row within the width, no colour needed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

from cotkit.report.document import Figure
from cotkit.report.words import printable

HEIGHT = 11
"""Rows of the field: one for each 10 points."""
WIDEST = 76
"""Columns of the field at most: more says nothing more."""
_LEFT = 6  # columns of the labels of the vertical axis and the axis itself
_UNICODE = {"upper": "●", "lower": "○", "both": "◉", "line": "·", "axis": "│", "floor": "─"}
_ASCII = {"upper": "o", "lower": "x", "both": "8", "line": ".", "axis": "|", "floor": "-"}


def draw_figure(figure: Figure, *, width: int, is_unicode: bool) -> list[str]:
    """Legend, field, axis with its ticks, and the bracket marked below it.

    Places that are equal at this size share a mark; a tick that would touch the one before it is
    left out.
    """
    marks = _UNICODE if is_unicode else _ASCII
    n_columns = min(width - _LEFT - 2, WIDEST)
    at = _columns(figure.x, n_columns)
    field = [[" "] * n_columns for _ in range(HEIGHT)]
    for curve in (figure.lower, figure.upper):
        for column, row in _line(at, curve.y):
            field[row][column] = marks["line"]
    for y, mark in ((figure.lower.y, "lower"), (figure.upper.y, "upper")):
        for column, value in zip(at, y, strict=True):
            if math.isfinite(value):
                row = _row(value)
                is_shared = mark == "upper" and field[row][column] == marks["lower"]
                field[row][column] = marks["both" if is_shared else mark]
    legend = (
        f"{marks['upper']} {printable(figure.upper.name)}   {marks['lower']} "
        f"{printable(figure.lower.name)}   {marks['both']} both   (solve rate in %)"
    )
    floor = f"{'':{_LEFT - 1}}{'└' if is_unicode else '+'}{marks['floor'] * (n_columns + 1)}"
    return [
        legend,
        *(
            f"{_label(row):>{_LEFT - 2}} {marks['axis']}{''.join(cells)}".rstrip()
            for row, cells in enumerate(field)
        ),
        floor,
        *_below(figure, at, n_columns, is_unicode=is_unicode),
    ]


def _columns(x: Sequence[float], n: int) -> list[int]:
    low, high = x[0], x[-1]
    return [round((value - low) / (high - low) * (n - 1)) for value in x]


def _row(value: float) -> int:
    return round((1 - min(max(value, 0.0), 1.0)) * (HEIGHT - 1))


def _label(row: int) -> str:
    share = 100 * (1 - row / (HEIGHT - 1))
    return f"{share:.0f}" if row % 5 == 0 else ""


def _line(at: Sequence[int], y: Sequence[float]) -> Iterator[tuple[int, int]]:
    """Cells between neighbours that were both measured."""
    for (left, low), (right, high) in pairwise(zip(at, y, strict=True)):
        if math.isfinite(low) and math.isfinite(high):
            for column in range(left + 1, right):
                yield column, _row(low + (high - low) * (column - left) / (right - left))


def _below(figure: Figure, at: Sequence[int], n_columns: int, *, is_unicode: bool) -> Iterator[str]:
    if figure.bracket is not None:
        low, high = (at[i] for i in figure.bracket)
        fill, words = "═" if is_unicode else "=", "help begins"
        inside, start = fill * (high - low - 1), _LEFT + low
        if high + 2 + len(words) <= n_columns:
            line = f"({inside}] {words}"
        elif start > len(words):
            line, start = f"{words} ({inside}]", start - len(words) - 1
        else:
            line = f"({f' {words} '.center(len(inside), fill)}]"
        yield f"{'':{start}}{line}"
    cells = [" "] * (n_columns + 2)
    for column, tick in zip(at, figure.ticks, strict=True):
        text = printable(tick)
        start = min(max(column - len(text) // 2, 0), len(cells) - len(text))
        around = cells[max(start - 1, 0) : start + len(text) + 1]
        if start >= 0 and all(cell == " " for cell in around):
            cells[start : start + len(text)] = text
    yield f"{'':{_LEFT}}{''.join(cells)}".rstrip()
    yield f"{'':{_LEFT}}{figure.axis}"
