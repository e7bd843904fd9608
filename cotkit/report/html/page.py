"""One self-contained page: nothing is fetched, equal values give equal bytes.

All that came from a model, a benchmark or a user is escaped by the template, or lies in the JSON of
``samples.py`` and is set as text by ``report.js``. A content security policy names the hash of that
script and allows nothing else to run or to be fetched, should any of this fail.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cotkit.analysis.scale.contrasts import ModelContrasts
from cotkit.analysis.scale.spending import Spending
from cotkit.analysis.scale.values import Scale
from cotkit.analysis.values import Cell, PageRun, PromptsByArm
from cotkit.printable import name_some, printable, printable_text
from cotkit.report.comparison_tables import comparison_document
from cotkit.report.contrast_tables import contrast_documents
from cotkit.report.document import Document, Table, Value, Words, say_address, say_cell
from cotkit.report.glossary import find_entry, find_words, word_pattern
from cotkit.report.html.charts import list_charts
from cotkit.report.html.figure import Chart
from cotkit.report.html.gain_charts import make_step_grids
from cotkit.report.html.samples import name_runs, samples_json
from cotkit.report.scale_tables import scale_documents
from cotkit.report.spending_tables import UNITS, spending_document
from cotkit.report.suite_tables import is_suite, suite_overview
from cotkit.types import OUTCOMES, Outcome

if TYPE_CHECKING:
    import jinja2
    from markupsafe import Markup

_FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class PageSection:
    """Tables that belong together."""

    heading: str
    """Above them, where there are several sections."""
    part: PageRun | None
    """The run that they are of; None: of several."""
    document: Document
    """The tables, and notes on them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LadderSection:
    """One scale analysis on the page."""

    title: str
    """What tells it from the others; empty: there is only one."""
    scale: Scale
    """Its values."""
    more: tuple[str, ...]
    """What is to be said beside the answers, e.g. who reaches a rate for the least."""


def page(
    parts: Sequence[PageRun],
    *,
    scales: Sequence[Scale] = (),
    reach: float | None = None,
    timing: bool = False,
    home: str = "",
) -> str:
    """Write a page over runs, or over scale analyses and the runs they are of; ends in a newline.

    Args:
        parts: Runs; several: of several models or benchmarks.
        scales: If there are any, the page answers for them, and their curves come first.
        reach: A solve rate (0..1): the cheapest of the scales that reach it are named.
        timing: Adds measured seconds; without them, equal rows give equal bytes.
        home: Address of a list of all runs; empty: there is none.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    documents = scale_documents(scales, reach=reach, timing=timing) if scales else ()
    ladders = _scale_ladders(scales, documents)
    sections = _make_sections(parts, ladders, documents, timing=timing)
    comparisons = [part.comparison for part in parts]
    if not ladders and is_suite(comparisons):
        overview = replace(suite_overview(comparisons), warnings=())  # each run says its own
        heading = f"{len(parts)} benchmarks together"
        sections.insert(0, PageSection(heading=heading, part=None, document=overview))
    return lay_out(
        title=_page_title(parts, scales),
        answers=_collect_answers(sections, ladders),
        warnings=_collect_phrases(sections, documents, lambda document: document.warnings),
        closing=_collect_phrases(sections, documents, lambda document: document.closing),
        caption=documents[0].caption if documents else _shared_caption(sections),
        sections=sections,
        figures=list_charts([part.comparison for part in parts], scales, timing=timing),
        grids=make_step_grids(part.comparison for part in parts) if len(parts) > 1 else (),
        parts=parts,
        home=home,
    )


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
        figures=list_charts(contrasts=answers),
    )


def spending_page(spending: Spending, parts: Sequence[PageRun]) -> str:
    """Write a page over the analysis and its runs, if there are any given; ends in a newline.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    document = spending_document(spending)
    sections = [PageSection(heading="By what was spent", part=None, document=document)]
    sections += [
        PageSection(heading=model, part=part, document=comparison_document(part.comparison))
        for model, part in zip(spending.runs, parts, strict=False)
    ]
    return lay_out(
        title=f"{', '.join(spending.runs)} on {spending.bench} by {UNITS[spending.unit]}",
        answers=[(sentence, "") for sentence in document.headline],
        warnings=document.warnings,
        caption=document.caption,
        sections=sections,
        figures=list_charts(spending=spending),
        parts=parts,
    )


def lay_out(
    *,
    title: str,
    answers: Sequence[tuple[str, str]],
    warnings: Sequence[str] = (),
    closing: Sequence[str] = (),
    caption: Sequence[str],
    sections: Sequence[PageSection],
    figures: Sequence[Chart],
    grids: Sequence[Table] = (),
    parts: Sequence[PageRun] = (),
    home: str = "",
) -> str:
    """Set a page from what is on it.

    Args:
        title: Of the window.
        answers: Claims, and the numbers that each rests on.
        warnings: Counts that change how they are read, in phrases.
        closing: What follows for whoever has to choose; sentences.
        caption: What was done, in phrases.
        sections: Tables and notes.
        figures: In reading order; the first is drawn in full width.
        grids: Tables that stand among the figures.
        parts: Runs whose samples can be browsed.
        home: Address of a list of all runs; empty: there is none.
    """
    script = (_FOLDER / "report.js").read_text(encoding="utf-8")
    tables = [*grids, *(table for section in sections for table in section.document.tables)]
    return (
        environment()
        .get_template("page.html.jinja")
        .render(
            say=_format_cell,
            look=_cell_class,
            looks=_header_classes,
            fits=_number_fits,
            printable=printable,
            printable_text=printable_text,
            link_words=link_words,
            words=find_words([table.note for table in tables if table.rows]),
            title=title,
            home=home,
            answers=answers,
            warnings=warnings,
            closing=closing,
            caption=caption,
            sections=sections,
            prompts=_group_prompts(sections),
            figures=figures,
            grids=grids,
            outcomes=OUTCOMES,
            has_samples=any(part.samples for part in parts),
            samples=samples_json(parts),
            style=(_FOLDER / "report.css").read_text(encoding="utf-8"),
            script=script,
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        )
    )


def link_words(note: str) -> Markup:
    """Return a note as HTML; a word of the glossary links to its entry where it first stands."""
    from markupsafe import Markup, escape

    linked: set[str] = set()

    def link(match: re.Match[str]) -> str:
        entry = find_entry(match[0])
        if entry.key in linked:
            return match[0]
        linked.add(entry.key)
        return f'<a href="#word-{entry.key}">{match[0]}</a>'

    return Markup(word_pattern().sub(link, str(escape(printable(note)))))  # noqa: S704 - escaped


def _page_title(parts: Sequence[PageRun], scales: Sequence[Scale]) -> str:
    models = dict.fromkeys(part.comparison.model for part in parts)
    benches = dict.fromkeys(part.comparison.bench for part in parts)
    what = ", ".join(dict.fromkeys(scale.bench for scale in scales)) or ", ".join(benches)
    return f"{', '.join(models)} on {what}" if models else what


def _scale_ladders(scales: Sequence[Scale], documents: Sequence[Document]) -> list[LadderSection]:
    """Pair scales with their documents; of several scales the first document sums up."""
    if len(scales) == 1:
        (scale,), (document,) = scales, documents
        return [LadderSection(title="", scale=scale, more=document.headline[len(scale.answers) :])]
    return [
        LadderSection(title=document.headline[0], scale=scale, more=document.headline[1:])
        for scale, document in zip(scales, documents[1:], strict=True)
    ]


def _make_sections(
    parts: Sequence[PageRun],
    ladders: Sequence[LadderSection],
    documents: Sequence[Document],
    *,
    timing: bool,
) -> list[PageSection]:
    headings = ["Over model size", *(ladder.title for ladder in ladders)]
    of_scales = [
        PageSection(heading=heading, part=None, document=document)
        for heading, document in zip(headings, documents, strict=False)
    ]
    return of_scales + [
        PageSection(
            heading=name, part=part, document=comparison_document(part.comparison, timing=timing)
        )
        for name, part in zip(name_runs([part.comparison for part in parts]), parts, strict=True)
    ]


def _collect_answers(
    sections: Sequence[PageSection], ladders: Sequence[LadderSection]
) -> list[tuple[str, str]]:
    """Return the sentences that answer the question: of the scales, else of every run."""
    if ladders:
        return [
            split_answer(sentence, ladder.title)
            for ladder in ladders
            for sentence in (*(answer.sentence for answer in ladder.scale.answers), *ladder.more)
        ]
    return [
        split_answer(sentence, section.heading if len(sections) > 1 else "")
        for section in sections
        for sentence in section.document.headline
    ]


def _collect_phrases(
    sections: Sequence[PageSection],
    documents: Sequence[Document],
    select: Callable[[Document], Sequence[str]],
) -> list[str]:
    """Return what stands beside the answers: of the scales, else of every run."""
    if documents:
        return list(select(documents[0]))
    names = [f"{section.heading}: " if len(sections) > 1 else "" for section in sections]
    return [
        name + phrase
        for name, section in zip(names, sections, strict=True)
        for phrase in select(section.document)
    ]


def split_answer(sentence: str, title: str) -> tuple[str, str]:
    """Return the claim, and the numbers it rests on."""
    claim, _, numbers = sentence.partition(": ")
    return (f"{title}: {claim}" if title else claim), numbers


def _shared_caption(sections: Sequence[PageSection]) -> tuple[str, ...]:
    """Return the phrases that are true of every run, and what must be known of one."""
    captions = [s.document.caption for s in sections if s.part is not None]
    shared = [phrase for phrase in captions[0] if all(phrase in other for other in captions)]
    marks = [
        f"{section.part.comparison.model} {phrase}"
        for section in sections
        if section.part is not None
        for phrase in say_address(section.part.comparison.address)
        if phrase not in shared
    ]
    return (*shared, *dict.fromkeys(marks))


def _group_prompts(sections: Sequence[PageSection]) -> list[tuple[str, PromptsByArm]]:
    """Return the prompts of runs that ask the same once, under the names of those runs."""
    names: dict[PromptsByArm, list[str]] = {}
    for section in sections:
        if section.part is not None and section.part.prompts:
            names.setdefault(section.part.prompts, []).append(section.heading)
    return [(name_some(those, _NAMED), arms) for arms, those in names.items()]


_NAMED = 3  # runs above prompts that they share


def _format_cell(value: Value) -> str:
    return printable(say_cell(value))


def _number_fits(cell: Cell, outcome: Outcome) -> bool:
    """Return whether a number fits into its part of a bar on a phone, of 350 pixels."""
    n = cell.outcomes[outcome]
    return 350 * n / sum(cell.outcomes.values()) >= 7 * len(str(n)) + 6


def _cell_class(value: Value) -> str:
    """Return the CSS class of a cell."""
    return value.tone if isinstance(value, Words) else "number"


def _header_classes(table: Table) -> list[str]:
    """Return the CSS class of each column's header."""
    return ["words" if isinstance(value, Words) else "number" for value in table.rows[0]]


def environment() -> jinja2.Environment:
    """Return what renders the templates of this folder: everything is escaped."""
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
