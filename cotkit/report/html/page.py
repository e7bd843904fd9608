"""One self-contained page: nothing is fetched, equal values give equal bytes.

All that came from a model, a benchmark or a user is escaped by the template, or lies in the JSON of
``samples.py`` and is set as text by ``report.js``. A content security policy names the hash of that
script and allows nothing else to run or to be fetched, should any of this fail.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cotkit.report.content import content
from cotkit.report.document import Document, Number, Span, Table, Value, Words
from cotkit.report.html.figure import Drawn
from cotkit.report.html.gains import by_steps, forest, gain_row
from cotkit.report.html.samples import samples_json
from cotkit.report.html.values import Part
from cotkit.report.words import printable, say_ends, say_number
from cotkit.types import OUTCOMES

if TYPE_CHECKING:
    import jinja2

_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One run on the page."""

    key: str
    """The element's id."""
    part: Part
    """Its values."""
    document: Document
    """The same as tables."""


def page(parts: Sequence[Part], *, timing: bool = False) -> str:
    """Write a page over one run or several; ends in a newline.

    Args:
        parts: At least one; several: the same question asked of several models.
        timing: Adds measured seconds; without them, equal rows give equal bytes.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    sections = [
        Section(key=f"run-{i}", part=part, document=content(part.comparison, timing=timing))
        for i, part in enumerate(parts, start=1)
    ]
    models = list(dict.fromkeys(part.comparison.model for part in parts))
    benches = dict.fromkeys(part.comparison.bench for part in parts)
    script = (_HERE / "report.js").read_text(encoding="utf-8")
    return (
        _environment()
        .get_template("page.html.jinja")
        .render(
            say=_say,
            look=_look,
            looks=_looks,
            printable=printable,
            title=f"{', '.join(models)} on {', '.join(benches)}",
            answers=[
                _answer(sentence, section.part.comparison.model if len(parts) > 1 else None)
                for section in sections
                for sentence in section.document.headline
            ],
            caption=_shared_caption(sections),
            sections=sections,
            figures=list(_figures(parts)),
            outcomes=OUTCOMES,
            has_samples=any(part.samples for part in parts),
            samples=samples_json(parts),
            style=(_HERE / "report.css").read_text(encoding="utf-8"),
            script=script,
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        )
    )


def _figures(parts: Sequence[Part]) -> list[Drawn]:
    named = len(parts) > 1
    rows = [
        gain_row(verdict.gain, part.comparison.model if named else None)
        for part in parts
        for verdict in part.comparison.verdicts
    ]
    figures: list[Drawn] = []
    if rows:
        figures.append(forest("forest", rows, parts[0].comparison.margin))
    figures += [
        by_steps(f"steps-{i}", c.model if named else None, c.difficulty, c.margin)
        for i, c in enumerate((part.comparison for part in parts), start=1)
        if c.difficulty
    ]
    return figures


def _answer(sentence: str, model: str | None) -> tuple[str, str]:
    """The claim, and the numbers it rests on."""
    claim, _, numbers = sentence.partition(": ")
    return (claim if model is None else f"{model}: {claim}"), numbers


def _shared_caption(sections: Sequence[Section]) -> tuple[str, ...]:
    """The phrases that are true of every run."""
    first, *others = (section.document.caption for section in sections)
    return tuple(phrase for phrase in first if all(phrase in other for other in others))


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
