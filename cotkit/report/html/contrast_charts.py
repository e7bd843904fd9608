"""The page and the figures of two models of a size, or of two ladders."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from cotkit.analysis.scale.contrasts import Contrast, ModelContrasts
from cotkit.printable import printable
from cotkit.report.contrast_tables import contrast_documents
from cotkit.report.document import say_ends, say_level, say_number
from cotkit.report.html.figure import (
    COLORS,
    TONE_COLORS,
    RenderedFigure,
    draw_figure,
    draw_legend,
    label_unit,
    make_axes,
)
from cotkit.report.html.gain_charts import ForestRow, draw_forest
from cotkit.report.html.page import PageSection, lay_out
from cotkit.report.html.size_charts import (
    AXES,
    draw_line,
    place_on_axis,
    say_size,
    set_size_axis,
)
from cotkit.report.verdicts import VERDICTS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_VALUES, _DIFFERENCES, _BELOW, _HEAD = 150, 120, 44, 30 + 2 * 16  # pixels


def contrasts_page(answers: Sequence[ModelContrasts]) -> str:
    """Write a page over all answers; ends in a newline.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    documents = contrast_documents(answers)[-len(answers) :]
    first, second = answers[0].names
    sections = [
        PageSection(heading=answer.bench, part=None, document=document)
        for answer, document in zip(answers, documents, strict=True)
    ]
    claims = [
        (f"{answer.bench}: {sentence}" if len(answers) > 1 else sentence, "")
        for answer in answers
        for sentence in answer.sentences
    ]
    return lay_out(
        title=f"{first} against {second}",
        answers=claims,
        caption=documents[0].caption,
        sections=sections,
        figures=[figure for i, a in enumerate(answers, start=1) for figure in _draw_answer(i, a)],
    )


def _draw_answer(i: int, answer: ModelContrasts) -> Iterator[RenderedFigure]:
    if answer.axis is None:
        yield _draw_pair(i, answer)
        return
    groups: dict[tuple[str, str | None], list[Contrast]] = {}
    for contrast in (*answer.of_gains(), *answer.contrasts):
        group = groups.setdefault((contrast.arm, contrast.control), [])
        group += [] if contrast in group else [contrast]
    for j, contrasts in enumerate(groups.values(), start=1):
        yield _draw_over_size(f"contrast-{i}-{j}", answer, contrasts)


def _draw_pair(i: int, answer: ModelContrasts) -> RenderedFigure:
    rows = [
        ForestRow(
            name=f"gain of {each.arm} over {each.control}" if each.control else each.arm,
            gain=each.difference,
            interval=each.interval,
            label=each.label,
        )
        for each in (*answer.of_gains(), *(c for c in answer.contrasts if c.control is None))
    ]
    return draw_forest(
        f"contrast-{i}", f"{answer.names[0]} less {answer.names[1]}", rows, answer.margin
    )


def _draw_over_size(
    key: str, answer: ModelContrasts, contrasts: Sequence[Contrast]
) -> RenderedFigure:
    arm, control = contrasts[0].arm, contrasts[0].control
    what = f"Gain of {arm} over {control}" if control else f"Solve rate of {arm}"
    sizes = "; ".join(
        f"{each.pair.model.model} against {each.pair.reference.model}: "
        f"{say_number(each.difference, 'points')} points "
        f"({say_ends(each.interval.low, each.interval.high, 'points')}), "
        f"{VERDICTS[each.label].words}"
        for each in contrasts
    )
    level = say_level(contrasts[0].interval.level)
    return draw_figure(
        key,
        title=f"{what}: {answer.names[0]} against {answer.names[1]}",
        caption=f"{answer.bench}. Above: each family, its own intervals; below: the difference, "
        f"paired by problem, with {level} intervals that hold together; grey: within the margin "
        f"of {say_number(answer.margin, 'share')} points",
        says=printable(sizes),
        height=_HEAD + _VALUES + 40 + _DIFFERENCES + _BELOW,
        paint=lambda figure: _paint_over_size(figure, answer, contrasts),
    )


def _paint_over_size(figure: Figure, answer: ModelContrasts, contrasts: Sequence[Contrast]) -> None:
    assert answer.axis is not None, "only ladders are drawn over size"
    values = make_axes(figure, left=36, right=10, top=_HEAD, bottom=_BELOW + _DIFFERENCES + 40)
    differences = make_axes(figure, left=36, right=10, top=_HEAD + _VALUES + 40, bottom=_BELOW)
    places = [place_on_axis(each.pair.x, answer.axis) for each in contrasts]
    names = [
        say_size(each.pair.model, x, answer.axis) for each, x in zip(contrasts, places, strict=True)
    ]
    for axes in (values, differences):
        set_size_axis(axes, places, names)
    values.tick_params(labelbottom=False)
    differences.set_xlabel(AXES[answer.axis])
    of_first = [(each.value, each.value_interval) for each in contrasts]
    of_second = [(each.reference, each.reference_interval) for each in contrasts]
    draw_line(values, places, of_first, 0, answer.names[0])
    draw_line(values, places, of_second, 1, answer.names[1])
    values.margins(y=0.1)
    is_gain = contrasts[0].control is not None
    label_unit(values, "gain, points" if is_gain else "solve rate, %")
    _paint_differences(differences, answer, contrasts, places)
    draw_legend(values, above=20)


def _paint_differences(
    axes: Axes, answer: ModelContrasts, contrasts: Sequence[Contrast], places: Sequence[float]
) -> None:
    ends = [end for each in contrasts for end in (each.interval.low, each.interval.high)]
    finite = [
        *(-2 * answer.margin, 2 * answer.margin),
        *(end for end in ends if math.isfinite(end)),
    ]
    room = 0.08 * (max(finite) - min(finite))
    axes.set_ylim(100 * (min(finite) - room), 100 * (max(finite) + room))
    axes.axhspan(-100 * answer.margin, 100 * answer.margin, color=COLORS["band"], linewidth=0)
    axes.axhline(0, color=COLORS["muted"], linewidth=1)
    axes.yaxis.set_major_formatter(lambda y, _: f"{y:+g}" if y else "0")
    label_unit(axes, "difference, points")
    for each, x in zip(contrasts, places, strict=True):
        style = VERDICTS[each.label]
        color = TONE_COLORS[style.tone]
        axes.vlines(x, 100 * each.interval.low, 100 * each.interval.high, color=color)
        axes.plot(
            x,
            100 * each.difference,
            style.marker,
            color=color,
            markerfacecolor=COLORS["paper"] if style.marker == "o" else color,
            markersize=8,
        )
