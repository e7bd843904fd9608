"""One self-contained page: nothing is fetched, equal values give equal bytes.

All that came from a model, a benchmark or a user is escaped by the template, or lies in the JSON of
``samples.py`` and is set as text by ``report.js``. A content security policy names the hash of that
script and allows nothing else to run or to be fetched, should any of this fail.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cotkit.analysis.results import Comparison
from cotkit.analysis.scale.frontier import comparison_prices
from cotkit.analysis.scale.values import Scale
from cotkit.report.content import content
from cotkit.report.document import Document, Number, Span, Table, Value, Words
from cotkit.report.html.curves import curve
from cotkit.report.html.figure import Drawn
from cotkit.report.html.gains import by_steps, forest, gain_row, size_row
from cotkit.report.html.panel import panel
from cotkit.report.html.prices import frontiers
from cotkit.report.html.samples import samples_json
from cotkit.report.html.sizes import arms_of
from cotkit.report.html.steps import step_grids
from cotkit.report.html.values import Part
from cotkit.report.scale import scale_documents
from cotkit.report.words import printable, say_ends, say_number
from cotkit.types import OUTCOMES

if TYPE_CHECKING:
    import jinja2

_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Tables that belong together."""

    key: str
    """Begins the ids of their elements."""
    heading: str
    """Above them, where there are several sections."""
    part: Part | None
    """The run that they are of; None: of several."""
    document: Document
    """The tables, and notes on them."""


def page(
    parts: Sequence[Part],
    *,
    scales: Sequence[Scale] = (),
    reach: float | None = None,
    timing: bool = False,
) -> str:
    """Write a page over runs, or over scale analyses and the runs they are of; ends in a newline.

    Args:
        parts: Runs; several: of several models or benchmarks.
        scales: Then theirs are the answers, and the curves come first.
        reach: A solve rate (0..1): the cheapest of the scales that reach it are named.
        timing: Adds measured seconds; without them, equal rows give equal bytes.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    documents = scale_documents(scales, reach=reach, timing=timing) if scales else ()
    sections = [
        Section(
            key=f"scale-{i}",
            heading=document.headline[0] if i else "Over model size",
            part=None,
            document=document,
        )
        for i, document in enumerate(documents)
    ] + [
        Section(
            key=f"run-{i}",
            heading=part.comparison.model,
            part=part,
            document=content(part.comparison, timing=timing),
        )
        for i, part in enumerate(parts, start=1)
    ]
    script = (_HERE / "report.js").read_text(encoding="utf-8")
    return (
        _environment()
        .get_template("page.html.jinja")
        .render(
            say=_say,
            look=_look,
            looks=_looks,
            printable=printable,
            title=_title(parts, scales),
            answers=_answers(sections, scales),
            said=_said(scales),
            caption=documents[0].caption if documents else _shared_caption(sections),
            sections=sections,
            figures=_figures(parts, scales, timing=timing),
            grids=step_grids(part.comparison for part in parts) if len(parts) > 1 else (),
            outcomes=OUTCOMES,
            has_samples=any(part.samples for part in parts),
            samples=samples_json(parts),
            style=(_HERE / "report.css").read_text(encoding="utf-8"),
            script=script,
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        )
    )


def _title(parts: Sequence[Part], scales: Sequence[Scale]) -> str:
    models = dict.fromkeys(part.comparison.model for part in parts)
    benches = dict.fromkeys(part.comparison.bench for part in parts)
    what = ", ".join(dict.fromkeys(scale.bench for scale in scales)) or ", ".join(benches)
    return f"{', '.join(models)} on {what}" if models else what


def _answers(sections: Sequence[Section], scales: Sequence[Scale]) -> list[tuple[str, str]]:
    """The sentences that answer the question: of the scales, else of every run."""
    if scales:
        named = len(scales) > 1
        return [
            _answer(answer.sentence, scale.bench if named else None)
            for scale in scales
            for answer in scale.answers
        ]
    return [
        _answer(sentence, section.heading if len(sections) > 1 else None)
        for section in sections
        for sentence in section.document.headline
    ]


def _said(scales: Sequence[Scale]) -> set[str]:
    """What documents of these scales say that is an answer or a heading already."""
    answers = [(scale.bench, answer.sentence) for scale in scales for answer in scale.answers]
    return {text for bench, said in answers for text in (bench, said, f"{bench}: {said}")}


def _figures(parts: Sequence[Part], scales: Sequence[Scale], *, timing: bool) -> list[Drawn]:
    figures: list[Drawn] = []
    for i, scale in enumerate(scales, start=1):
        figures += _over_size(i, scale, timing=timing)
    named = len(parts) > 1
    rows = [
        gain_row(verdict.gain, part.comparison.model if named else None)
        for part in parts
        for verdict in part.comparison.verdicts
    ]
    if rows and not scales:  # a scale analysis has intervals of its own for the same gains
        figures.append(forest("forest", rows, parts[0].comparison.margin))
    if not scales:
        figures += _costs(parts, timing=timing)
    if not named:
        figures += [
            by_steps("steps", c.difficulty, c.margin)
            for c in (part.comparison for part in parts)
            if c.difficulty
        ]
    return figures


def _costs(parts: Sequence[Part], *, timing: bool) -> Iterator[Drawn]:
    """What the arms cost, benchmark by benchmark."""
    benches: dict[str, list[Comparison]] = {}
    for one in (part.comparison for part in parts):
        benches.setdefault(f"{one.bench}@{one.bench_version}", []).append(one)
    for i, (bench, of) in enumerate(benches.items(), start=1):
        yield from frontiers(f"frontier-{i}", comparison_prices(of), bench, timing=timing)


def _over_size(i: int, scale: Scale, *, timing: bool) -> Iterator[Drawn]:
    """The figures of one scale analysis."""
    for j, answer in enumerate(scale.answers, start=1):
        if any(point.x is not None for point in answer.points):
            yield curve(f"curve-{i}-{j}", scale, answer)
    rows = [size_row(answer, point) for answer in scale.answers for point in answer.points]
    yield forest(f"forest-{i}", rows, scale.margin)
    if len({mean.metric for mean in scale.metrics}) > 1:
        yield panel(f"metrics-{i}", scale)
    yield from frontiers(
        f"frontier-{i}", scale.prices, scale.bench, timing=timing, arms=arms_of(scale)
    )


def _answer(sentence: str, model: str | None) -> tuple[str, str]:
    """The claim, and the numbers it rests on."""
    claim, _, numbers = sentence.partition(": ")
    return (claim if model is None else f"{model}: {claim}"), numbers


def _shared_caption(sections: Sequence[Section]) -> tuple[str, ...]:
    """The phrases that are true of every run."""
    captions = [section.document.caption for section in sections]
    return tuple(phrase for phrase in captions[0] if all(phrase in other for other in captions))


def _say(value: Value) -> str:
    match value:
        case Words():
            return printable(value.text)
        case Number():
            return say_number(value.value, value.form)
        case Span():
            return say_ends(value.interval.low, value.interval.high, value.form)


def _look(value: Value) -> str:
    """CSS class of a cell."""
    return value.tone if isinstance(value, Words) else "number"


def _looks(table: Table) -> list[str]:
    """CSS class of each column's header."""
    return ["words" if isinstance(value, Words) else "number" for value in table.rows[0]]


def _environment() -> jinja2.Environment:
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
