"""A report in a notebook: sentences, numbers and a figure as HTML; the numbers as a data frame."""

from __future__ import annotations

import importlib
import math
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from html import escape
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeAlias

from cotkit.analysis.values import Comparison
from cotkit.errors import UsageError
from cotkit.events import AttemptDone, Event, RunEnded, RunStarted, Waits
from cotkit.printable import printable
from cotkit.report.comparison_tables import comparison_document
from cotkit.report.document import (
    Document,
    IntervalCell,
    Table,
    Value,
    Words,
    say_cell,
)
from cotkit.report.progress import ArmProgress
from cotkit.report.scale_tables import scale_documents

if TYPE_CHECKING:
    from cotkit.analysis.scale.values import Scale, Scales
    from cotkit.report.html.figure import Chart

_FRAMES = ("pandas", "polars")


_Report: TypeAlias = "Comparison | Scale | Scales"


def say_answer(report: _Report) -> str:
    """Return the answer in words, as the object of a shell."""
    return f"<{type(report).__name__}: {' '.join(_document(report).headline)}>"


def show_html(report: _Report) -> str:
    """Return one element: the answers, what changes how they are read, the numbers, a figure."""
    document = _document(report)
    parts = [f"<p><strong>{_text(sentence)}</strong></p>" for sentence in document.headline]
    if document.warnings:
        parts.append(f"<p>warnings: {_text(' · '.join(document.warnings))}</p>")
    parts += [f"<p>{_text(sentence)}</p>" for sentence in document.closing]
    parts.append(f"<p><small>{_text(' · '.join(document.caption))}</small></p>")
    parts += [_table_html(table) for table in _short_tables(document) if table.rows]
    if find_spec("matplotlib") is not None and (figure := plot(report)) is not None:
        parts.append(figure.to_html())
    return f"<div>{''.join(parts)}</div>"


def make_frame(report: _Report) -> object:
    """Return the numbers of the first screen as a frame of pandas or polars, unrounded.

    Ends of intervals are columns of their own; what there is not is missing.

    Raises:
        UsageError: neither of the two is installed.
    """
    name = next((name for name in _FRAMES if find_spec(name) is not None), None)
    if name is None:
        raise UsageError("neither pandas nor polars is installed", hint="pip install pandas")
    (table, *_) = _short_tables(_document(report))
    columns = {
        key: values
        for i, column in enumerate(table.columns)
        for key, values in _frame_columns(column.key, [row[i] for row in table.rows]).items()
    }
    return importlib.import_module(name).DataFrame(columns)


def plot(report: _Report) -> Chart | None:
    """Return the figure that says most: gains with intervals, or curves over size; None: none."""
    from cotkit.report.html.charts import list_charts

    if isinstance(report, Comparison):
        charts, name = list_charts([report]), report.run_id
    else:
        scales = _scales_of(report)
        charts = list_charts(scales=scales)
        name = "-".join(f"{scale.bench}-{scale.family}" for scale in scales)
    if not charts:
        return None
    key = re.sub(r"[^A-Za-z0-9]+", "-", f"cotkit-{name}-{charts[0].key}")
    return replace(charts[0], key=key)


def _scales_of(report: Scale | Scales) -> Sequence[Scale]:
    return report if isinstance(report, tuple) else (report,)


def _document(report: _Report) -> Document:
    if isinstance(report, Comparison):
        return comparison_document(report)
    return scale_documents(_scales_of(report), reach=None, timing=False)[0]


def _short_tables(document: Document) -> tuple[Table, ...]:
    return document.tables if document.screen is None else document.screen.tables


def _table_html(table: Table) -> str:
    places = [i for i, column in enumerate(table.columns) if not column.drawn]
    header = "".join(f"<th>{_text(table.columns[i].header)}</th>" for i in places)
    rows = ("".join(f"<td>{_text(say_cell(row[i]))}</td>" for i in places) for row in table.rows)
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f"<table><thead><tr>{header}</tr></thead><tbody>{body}</tbody></table>"


def _frame_columns(key: str, values: list[Value]) -> Mapping[str, list[object]]:
    """Return the columns of a frame that hold a column of a table."""
    if any(isinstance(value, IntervalCell) for value in values):
        return {
            f"{key}_{end}": [
                _known(getattr(value.interval, end)) if isinstance(value, IntervalCell) else None
                for value in values
            ]
            for end in ("low", "high")
        }
    return {
        key: [
            (value.raw or None) if isinstance(value, Words) else _known(value.value)  # pyright: ignore[reportAttributeAccessIssue] - no intervals here
            for value in values
        ]
    }


def _known(number: float | None) -> float | None:
    return number if number is not None and math.isfinite(number) else None


def _text(text: str) -> str:
    return escape(printable(text))


# A run in a notebook: a bar for each arm, in the output of the cell.


_EVERY_S = 0.2  # between two pictures of the bars, at least


def notebook_progress() -> Callable[[Event], None] | None:
    """Return what shows a run's events as bars in a notebook; None: this is none."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if getattr(shell, "kernel", None) is None:
        return None
    return _NotebookBars(importlib.import_module("IPython.display")).show


class _NotebookBars:
    """Bars of the current run, one for each arm, drawn again as it goes on."""

    def __init__(self, display: Any, clock: Callable[[], float] = time.monotonic) -> None:  # noqa: ANN401 - the module
        self.display = display
        self.clock = clock
        self.arms: dict[str, ArmProgress] = {}
        self.title = self.waits_for = ""
        self.handle: Any = None
        self.last_s = -math.inf

    def show(self, event: Event) -> None:
        """Take one event."""
        match event:
            case RunStarted():
                self.title = event.title
                n_each = event.n_attempts // len(event.arms)
                now_s = self.clock()
                self.arms = {
                    arm: ArmProgress(n_attempts=n_each, began_s=now_s) for arm in event.arms
                }
                self.draw()
            case AttemptDone():
                self.arms[event.arm].add(event)
                if self.clock() - self.last_s >= _EVERY_S:
                    self.draw()
            case Waits():
                self.waits_for = event.text
            case RunEnded():
                self.draw()
            case _:
                pass

    def draw(self) -> None:
        """Show how far each arm has come."""
        self.last_s = self.clock()
        rows = "".join(
            f"<tr><th>{_text(arm)}</th>"
            f'<td><progress value="{progress.n_done}" max="{progress.n_attempts}"></progress></td>'
            f"<td>{progress.n_done:,} of {progress.n_attempts:,}</td>"
            f"<td>{_text(progress.say(self.last_s))}</td></tr>"
            for arm, progress in self.arms.items()
        )
        title = " · ".join(filter(None, (self.title, self.waits_for)))
        html = self.display.HTML(f"<table><caption>{_text(title)}</caption>{rows}</table>")
        if self.handle is None:
            self.handle = self.display.display(html, display_id=True)
        else:
            self.handle.update(html)
