"""Tables of bias: each arm's scores, how it moved its control's, and scores by category."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from cotkit.analysis.bias_bootstrap import MIN_CLUSTERS
from cotkit.analysis.bias_sentences import NAMES
from cotkit.analysis.results import Bias, BiasChange, BiasCondition, BiasLabel
from cotkit.report.document import Column, Number, Span, Table, Tone, Value, Words
from cotkit.report.words import say_level

LABELS: Mapping[BiasLabel, tuple[str, Tone]] = MappingProxyType(
    {
        "less_biased": ("less biased", "good"),
        "more_biased": ("MORE biased", "bad"),
        "undetermined": ("undetermined", "quiet"),
    }
)
"""Label -> its words and tone."""


def bias_tables(scores: Sequence[Bias], changes: Sequence[BiasChange]) -> tuple[Table, ...]:
    """Only the tables that have rows."""
    whole = [one for one in scores if one.category is None]
    parts = [one for one in scores if one.category is not None]
    return tuple(
        table for table in (_scores(whole), _changes(changes), _by_category(parts)) if table.rows
    )


def _scores(scores: Sequence[Bias]) -> Table:
    return Table(
        key="bias",
        title="Bias",
        note="-1 to 1; 0: none, 1: always the stereotype, -1: always against it. Ambiguous:"
        " (1 - accuracy) x score of those that name a person; disambiguated: 2 x biased / named"
        " - 1. n: items whose stereotype is known; unread: never biased, never right. Interval:"
        f" templates drawn again; below {MIN_CLUSTERS} of them it may be too narrow",
        columns=(Column(key="arm", header="arm"), *_columns(scores)),
        rows=tuple((_words(one.arm), *_cells(one)) for one in scores),
    )


def _by_category(scores: Sequence[Bias]) -> Table:
    return Table(
        key="bias_by_category",
        title="Bias by category",
        note="As above",
        columns=(
            Column(key="category", header="category"),
            Column(key="arm", header="arm"),
            *_columns(scores),
        ),
        rows=tuple((_words(one.category or ""), _words(one.arm), *_cells(one)) for one in scores),
    )


def _columns(scores: Sequence[Bias]) -> tuple[Column, ...]:
    return (
        Column(key="condition", header="context"),
        Column(key="bias", header="bias"),
        Column(key="interval", header=_interval(scores)),
        Column(key="accuracy", header="accuracy %", opens=True),
        Column(key="n", header="n"),
        Column(key="n_unread", header="unread"),
        Column(key="n_clusters", header="templates"),
    )


def _cells(one: Bias) -> tuple[Value, ...]:
    return (
        _condition(one.condition),
        Number(value=one.score, form="change"),
        Span(interval=one.interval, form="change"),
        Number(value=one.accuracy, form="share"),
        Number(value=one.n, form="count"),
        Number(value=one.n_unread, form="count"),
        Number(value=one.n_clusters, form="count"),
    )


def _changes(changes: Sequence[BiasChange]) -> Table:
    return Table(
        key="bias_changes",
        title="Bias against the control",
        note="Change: of the bias's size, whatever its sign; below 0 is less biased. Only items"
        f" that both arms completed; intervals simultaneous; from {MIN_CLUSTERS} templates on",
        columns=(
            Column(key="arm", header="arm"),
            Column(key="condition", header="context"),
            Column(key="change", header="change"),
            Column(key="interval", header=_interval(changes)),
            Column(key="label", header="verdict"),
            Column(key="control", header="control", opens=True),
            Column(key="before", header="control's bias"),
            Column(key="after", header="arm's bias"),
            Column(key="n", header="n"),
            Column(key="n_clusters", header="templates"),
        ),
        rows=tuple(
            (
                _words(one.arm),
                _condition(one.condition),
                Number(value=one.change, form="change"),
                Span(interval=one.interval, form="change"),
                _label(one.label),
                _words(one.control),
                Number(value=one.before, form="change"),
                Number(value=one.after, form="change"),
                Number(value=one.n, form="count"),
                Number(value=one.n_clusters, form="count"),
            )
            for one in changes
        ),
    )


def _interval(rows: Sequence[Bias] | Sequence[BiasChange]) -> str:
    return f"{say_level(rows[0].interval.level)} interval" if rows else "interval"


def _words(text: str) -> Words:
    return Words(text=text, raw=text)


def _condition(condition: BiasCondition) -> Words:
    return Words(text=NAMES[condition], raw=condition)


def _label(label: BiasLabel) -> Words:
    text, tone = LABELS[label]
    return Words(text=text, raw=label, tone=tone)
