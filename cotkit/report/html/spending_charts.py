"""The page and the figure of solve rate by what models spend while they answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cotkit.analysis.scale.spending import Spending, tokens_spent
from cotkit.analysis.values import PageRun
from cotkit.printable import printable
from cotkit.report.comparison_tables import comparison_document
from cotkit.report.document import say_number
from cotkit.report.html.figure import (
    COLORS,
    RenderedFigure,
    draw_figure,
    draw_legend,
    label_unit,
    make_axes,
)
from cotkit.report.html.page import PageSection, lay_out
from cotkit.report.html.size_charts import draw_frontiers, draw_line, set_size_axis
from cotkit.report.spending_tables import UNITS, name_curve, place_tokens, spending_document

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def spending_page(spending: Spending, parts: Sequence[PageRun]) -> str:
    """Write a page over the analysis and the runs that it is of; ends in a newline.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    document = spending_document(spending)
    sections = [PageSection(heading="By what was spent", part=None, document=document)]
    sections += [
        PageSection(heading=model, part=part, document=comparison_document(part.comparison))
        for model, part in zip(spending.runs, parts, strict=True)
    ]
    return lay_out(
        title=f"{', '.join(spending.runs)} on {spending.bench} by {UNITS[spending.unit]}",
        answers=[(sentence, "") for sentence in document.headline],
        warnings=document.warnings,
        caption=document.caption,
        sections=sections,
        figures=[
            _draw_spending(spending),
            *(
                figure
                for figure in draw_frontiers(
                    "frontier", spending.points, spending.bench, timing=False
                )
                if figure.key.endswith("usd")
            ),
        ],
        parts=parts,
    )


def _draw_spending(spending: Spending) -> RenderedFigure:
    unit = UNITS[spending.unit]
    return draw_figure(
        "spending",
        title=f"Solve rate by {unit}",
        caption=f"{spending.bench}; {unit} per problem as measured, logarithmic; vertical: each "
        "rate's own interval; steps: nothing else solves as much for less",
        says=printable(" ".join(spending.sentences)),
        height=280 + 16 * len(spending.curves),
        paint=lambda figure: _paint_spending(figure, spending, unit),
    )


def _paint_spending(figure: Figure, spending: Spending, unit: str) -> None:
    axes = make_axes(figure, left=36, right=12, top=30 + 16 * len(spending.curves), bottom=40)
    spent = sorted({point.tokens for point in spending.points if point.tokens is not None})
    set_size_axis(
        axes, list(map(place_tokens, spent)), [say_number(each, "tokens") for each in spent]
    )
    axes.set_ylim(0, 104)
    axes.set_xlabel(f"{unit} per problem")
    best = sorted(
        (place_tokens(p.tokens), 100 * p.rate) for p in spending.points if "tokens" in p.on_frontier
    )
    axes.step(
        [x for x, _ in best], [y for _, y in best], where="post", color=COLORS["quiet"], linewidth=1
    )
    for i, curve in enumerate(spending.curves):
        placed = sorted(
            ((place_tokens(tokens_spent(p, spending.unit)), p) for p in curve.sweep.points),
            key=lambda place: place[0],
        )
        values = [(point.solve_rate, point.interval) for _, point in placed]
        draw_line(axes, [x for x, _ in placed], values, i, name_curve(curve, spending))
    label_unit(axes, "solve rate, %")
    draw_legend(axes, above=20)
