"""Curves of solve rates: over a setting of one model, and over what models spend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cotkit.analysis.scale.spending import Spending, tokens_spent
from cotkit.analysis.values import Sweep, SweepPoint
from cotkit.printable import printable
from cotkit.report.document import Field, Table, make_table, say_number
from cotkit.report.html.figure import (
    COLORS,
    Chart,
    Style,
    draw_legend,
    label_unit,
    legend_height,
    make_axes,
    series_styles,
    shorten_name,
)
from cotkit.report.html.size_charts import draw_line
from cotkit.report.spending_tables import UNITS, name_curve, place_tokens

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FIELD, _AXIS = 110, 28  # heights of the field and of the words below it


@dataclass(frozen=True, slots=True, kw_only=True)
class _Curves:
    """What is drawn."""

    x_label: str
    ticks: Mapping[float, str]
    """Place on the axis -> what stands below it."""
    lines: Mapping[str, Sequence[tuple[float, SweepPoint]]]
    """Name -> places and points, from left to right."""
    styles: Mapping[str, Style]
    shaded: Mapping[str, float]
    """Name -> from which place on its colour is shaded."""
    steps: Sequence[tuple[float, float]] = ()
    """Places and rates of what nothing cheaper beats."""

    def height(self, width: float) -> float:
        """Return the height of a width."""
        return 18 + legend_height(list(self.lines), width) + _FIELD + _AXIS

    def paint(self, figure: Figure) -> None:
        """Draw all lines over one axis."""
        width, height = figure.bbox.size
        axes = make_axes(figure, x=24, y=height - _AXIS - _FIELD, width=width - 34, height=_FIELD)
        low, high = min(self.ticks), max(self.ticks)
        air = 0.05 * (high - low) or 0.5
        axes.set_xlim(low - air, high + air)
        axes.set_xticks(list(self.ticks), [printable(text) for text in self.ticks.values()])
        axes.set_xlabel(printable(self.x_label))
        axes.set_ylim(-2, 104)
        axes.grid(visible=True, axis="y")
        x, y = [place for place, _ in self.steps], [100 * rate for _, rate in self.steps]
        axes.step(x, y, where="post", color=COLORS["quiet"], linewidth=0.6)
        for name, line in self.lines.items():
            values = [(point.solve_rate, point.interval) for _, point in line]
            draw_line(axes, [place for place, _ in line], values, self.styles[name], name)
            if name in self.shaded:
                color = self.styles[name][0]
                axes.axvspan(self.shaded[name], high + air, color=color, alpha=0.1, linewidth=0)
        label_unit(axes, "solve rate, %")
        draw_legend(axes)


def draw_sweep(key: str, sweeps: Sequence[Sweep], margin: float) -> Chart:
    """Draw solve rates over the settings that these curves share; shade what is enough."""
    parameter = sweeps[0].parameter
    settings = [point.setting for point in sweeps[0].points]
    curves = _Curves(
        x_label=parameter,
        ticks={float(i): shorten_name(setting, 9) for i, setting in enumerate(settings)},
        lines={
            sweep.strategy: [(float(i), point) for i, point in enumerate(sweep.points)]
            for sweep in sweeps
        },
        styles=series_styles(sweep.strategy for sweep in sweeps),
        shaded={
            sweep.strategy: float(settings.index(sweep.enough))
            for sweep in sweeps
            if sweep.enough is not None
        },
    )
    return Chart(
        key=key,
        title=f"Solve rate by {parameter}",
        caption="Lines: each rate's own interval; shaded: from here on every setting is shown to "
        f"be within the margin of {say_number(margin, 'share')} points of the best of its curve",
        data=_tabulate(curves, parameter),
        height=curves.height,
        paint=curves.paint,
    )


def draw_spending(spending: Spending) -> Chart:
    """Draw solve rates over what was spent, and the steps that nothing cheaper beats."""
    unit = UNITS[spending.unit]
    spent = sorted({point.tokens for point in spending.points if point.tokens is not None})
    lines = {
        name_curve(curve, spending): sorted(
            ((place_tokens(tokens_spent(p, spending.unit)), p) for p in curve.sweep.points),
            key=lambda place: place[0],
        )
        for curve in spending.curves
    }
    curves = _Curves(
        x_label=f"{unit} per problem, logarithmic",
        ticks={place_tokens(tokens): say_number(tokens, "tokens") for tokens in spent},
        lines=lines,
        styles=series_styles(lines),
        shaded={},
        steps=sorted(
            (place_tokens(p.tokens), p.rate) for p in spending.points if "tokens" in p.on_frontier
        ),
    )
    return Chart(
        key="spending",
        title=f"Solve rate by {unit}",
        caption=f"{spending.bench}; {unit} per problem as measured, logarithmic; vertical: each "
        "rate's own interval; steps: nothing else solves as much for less",
        data=_tabulate(curves, "setting"),
        height=curves.height,
        paint=curves.paint,
    )


def _tabulate(curves: _Curves, setting: str) -> Table:
    return make_table(
        "curves",
        "Curves",
        (
            (
                Field("curve", "curve", name),
                Field("setting", setting, point.setting),
                Field("solve_rate", "solve rate %", point.solve_rate, "share"),
                Field("interval", "interval", point.interval, "share"),
                Field("generated_tokens", "generated tokens", point.generated_tokens),
                Field("thinking_tokens", "thinking tokens", point.thinking_tokens),
            )
            for name, line in curves.lines.items()
            for _, point in line
        ),
    )
