"""What a report says: a comparison arranged in sections; nothing is computed here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from cotkit.analysis.results import Cell, Comparison, Gain, Interval, Label, Variant, Verdict
from cotkit.report.audit import audit_tables
from cotkit.report.bias import bias_tables
from cotkit.report.bounds import marked
from cotkit.report.chains import chain_tables
from cotkit.report.difficulty import difficulty_tables
from cotkit.report.disagreements import disagreement_tables
from cotkit.report.document import Column, Document, Number, Span, Strip, Table, Tone, Value, Words
from cotkit.report.drafts import draft_tables
from cotkit.report.following import following_tables
from cotkit.report.metrics import metric_tables
from cotkit.report.repeats import repeats_tables
from cotkit.report.words import say_level, say_number
from cotkit.types import OUTCOMES

LABELS: dict[Label, tuple[str, Tone]] = {
    "helps": ("helps", "good"),
    "some_help": ("some help", "good"),
    "harms": ("harms", "bad"),
    "no_material_help": ("no material help", "plain"),
    "undetermined": ("undetermined", "quiet"),
    "upper_bound": ("upper bound", "quiet"),
    "withheld": ("withheld", "warn"),
}
"""Label -> its words and tone."""


def content(comparison: Comparison, *, timing: bool = False) -> Document:
    """Arrange a comparison for reading.

    Args:
        comparison: What the analysis found.
        timing: Adds the measured seconds; without them, equal rows give equal bytes.
    """
    c = comparison
    params = () if c.n_params is None else (f"{say_number(c.n_params, 'params')} parameters",)
    drawn = f"{say_number(c.n_problems, 'count')} of {say_number(c.n_total, 'count')} problems"
    if c.ended_by is not None:
        n_done = max((sum(cell.outcomes.values()) for cell in c.cells), default=0)
        drawn = f"{say_number(n_done, 'count')} done of {drawn}"
    return Document(
        headline=tuple(answer.sentence for answer in (*c.verdicts, *c.bias_changes))
        or ("Solve rates only: no arm has a control to be measured against.",),
        caption=(
            c.model,
            *params,
            f"{c.bench}@{c.bench_version}",
            drawn,
            f"reader {c.reader}",
            f"margin {say_number(c.margin, 'share')} points",
            f"run {c.run_id}",
        ),
        facts=(
            ("run_id", c.run_id),
            ("model", c.model),
            ("n_params", c.n_params),
            ("bench", c.bench),
            ("bench_version", c.bench_version),
            ("n_problems", c.n_problems),
            ("n_total", c.n_total),
            ("reader", c.reader),
            ("margin", c.margin),
        ),
        tables=tuple(
            marked(table, {v.gain.arm for v in c.verdicts if v.gain.label == "upper_bound"})
            for table in (
                _arms(c.cells, timing=timing),
                _gains(c.verdicts, c.margin, is_sequential=c.is_sequential),
                _outcomes(c.cells),
                _variants(c.verdicts),
                *draft_tables(c.transitions, c.votes),
                *metric_tables(c.metrics, is_sequential=c.is_sequential),
                *bias_tables(c.bias, c.bias_changes),
                *following_tables(c.following),
                *repeats_tables(c.repeats),
                *difficulty_tables(c.difficulty, LABELS, c.margin),
                *chain_tables(c.chains),
                *audit_tables(c.audits),
            )
        )
        + disagreement_tables(c.disagreements),
        notes=c.notes,
    )


def _arms(cells: tuple[Cell, ...], *, timing: bool) -> Table:
    columns = [
        Column(key="arm", header="arm"),
        Column(key="solve_rate", header="solve rate %"),
        Column(key="interval", header=_interval_header(cell.interval for cell in cells)),
        Column(key="n", header="n"),
        Column(key="n_correct", header="solved"),
        Column(key="prompt_tokens", header="prompt tokens", opens=True),
        Column(key="generated_tokens", header="generated tokens"),
        Column(key="generated_per_correct", header="generated per correct"),
    ]
    if repeated := any(cell.n_samples is not None for cell in cells):
        columns.insert(4, Column(key="n_samples", header="samples"))
    priced = any(cell.usd is not None for cell in cells)
    if priced:
        columns.append(Column(key="usd", header="dollars"))
        columns.append(Column(key="usd_per_correct", header="dollars per correct"))
    if timing:
        columns.append(Column(key="shared_tokens", header="shared tokens"))
        columns.append(Column(key="seconds", header="seconds"))
        columns.append(Column(key="seconds_per_correct", header="seconds per correct"))
    return Table(
        key="arms",
        title="Arms",
        note=(
            "Solve rate: mean over the n problems of the share of their samples that are correct,"
            " interval over problems; solved: samples; "
            if repeated
            else "Solve rate = solved / n, Wilson interval; "
        )
        + " and ".join(
            ["tokens", *(["dollars"] if priced else []), *(["seconds"] if timing else [])]
        )
        + " are means per problem, over all turns",
        columns=tuple(columns),
        rows=tuple(
            _arm_row(cell, repeated=repeated, priced=priced, timing=timing) for cell in cells
        ),
        strip=Strip(estimate="solve_rate", interval="interval", axis=(0.0, 1.0), margin=None),
    )


def _arm_row(cell: Cell, *, repeated: bool, priced: bool, timing: bool) -> tuple[Value, ...]:
    row: tuple[Value, ...] = (
        _name(cell.arm),
        Number(value=cell.solve_rate, form="share"),
        Span(interval=cell.interval, form="share"),
        Number(value=cell.n, form="count"),
        *((Number(value=cell.n_samples or cell.n, form="count"),) if repeated else ()),
        Number(value=cell.n_correct, form="count"),
        Number(value=cell.prompt_tokens, form="tokens"),
        Number(value=cell.generated_tokens, form="tokens"),
        Number(value=cell.generated_per_correct, form="tokens"),
    )
    if priced:
        usd = Number(value=cell.usd, form="usd")
        row = (*row, usd, Number(value=cell.usd_per_correct, form="usd"))
    if not timing:
        return row
    return (
        *row,
        Number(value=cell.shared_tokens, form="tokens"),
        Number(value=cell.seconds, form="seconds"),
        Number(value=cell.seconds_per_correct, form="seconds"),
    )


def _gains(verdicts: tuple[Verdict, ...], margin: float, *, is_sequential: bool) -> Table:
    how = "Tango interval, simultaneous over these gains; p: McNemar mid-p"
    if is_sequential:
        how = (
            "intervals and p hold at every moment of the run (confidence sequences), over all gains"
        )
    table = Table(
        key="gains",
        title="Gain over the control",
        note="Gain and MDE in points; better, worse: problems that only the arm, only the control"
        f" solved; {how}; MDE: smallest gain found with power 0.8",
        columns=(
            Column(key="arm", header="arm"),
            Column(key="gain", header="gain points"),
            Column(key="interval", header=_interval_header(v.gain.interval for v in verdicts)),
            Column(key="label", header="verdict"),
            Column(key="control", header="control", opens=True),
            Column(key="n", header="n"),
            Column(key="n_better", header="better"),
            Column(key="n_worse", header="worse"),
            Column(key="p_value", header="p"),
            Column(key="p_holm", header="p Holm"),
            Column(key="mde", header="MDE"),
        ),
        rows=tuple(_gain_row(v.gain) for v in verdicts),
        strip=Strip(estimate="gain", interval="interval", axis=None, margin=margin),
    )
    return _control_second(table) if _has_two_controls(verdicts) else table


def _has_two_controls(verdicts: tuple[Verdict, ...]) -> bool:
    """Whether some arm has several gains, so that its name alone does not say which is meant."""
    return len({verdict.gain.arm for verdict in verdicts}) < len(verdicts)


def _control_second(table: Table) -> Table:
    """Move the control beside the arm; the group that it opened begins after it."""
    at = [column.key for column in table.columns].index("control")
    order = [0, at, *(i for i in range(1, len(table.columns)) if i != at)]
    columns = [replace(table.columns[i], opens=i == at + 1) for i in order]
    rows = [tuple(row[i] for i in order) for row in table.rows]
    return replace(table, columns=tuple(columns), rows=tuple(rows))


def _gain_row(gain: Gain) -> tuple[Value, ...]:
    return (
        _name(gain.arm),
        Number(value=gain.gain, form="points"),
        Span(interval=gain.interval, form="points"),
        _label(gain.label),
        _name(gain.control),
        Number(value=gain.n, form="count"),
        Number(value=gain.n_better, form="count"),
        Number(value=gain.n_worse, form="count"),
        Number(value=gain.p_value, form="p"),
        Number(value=gain.p_holm, form="p"),
        Number(value=gain.mde, form="share"),
    )


def _outcomes(cells: tuple[Cell, ...]) -> Table:
    return Table(
        key="outcomes",
        title="Outcomes",
        note="Failed: the backend gave nothing; not part of n",
        columns=(
            Column(key="arm", header="arm"),
            *(Column(key=outcome, header=outcome) for outcome in OUTCOMES),
        ),
        rows=tuple(
            (_name(cell.arm), *(Number(value=cell.outcomes[o], form="count") for o in OUTCOMES))
            for cell in cells
        ),
    )


def _variants(verdicts: tuple[Verdict, ...]) -> Table:
    gains = (variant.gain.interval for verdict in verdicts for variant in verdict.variants)
    says_control = _has_two_controls(verdicts)
    return Table(
        key="variants",
        title="Does the verdict hold?",
        note="The same gain, counted in other ways; DIFFERS: in sign or direction",
        columns=(
            Column(key="arm", header="arm"),
            *((Column(key="control", header="control"),) if says_control else ()),
            Column(key="variant", header="counted by"),
            Column(key="holds", header="holds?"),
            Column(key="gain", header="gain points"),
            Column(key="interval", header=_interval_header(gains)),
            Column(key="label", header="verdict"),
        ),
        rows=tuple(
            _variant_row(
                variant,
                holds=variant.name not in verdict.depends_on,
                says_control=says_control,
            )
            for verdict in verdicts
            for variant in verdict.variants
        ),
    )


def _variant_row(variant: Variant, *, holds: bool, says_control: bool) -> tuple[Value, ...]:
    return (
        _name(variant.gain.arm),
        *((_name(variant.gain.control),) if says_control else ()),
        _name(variant.name),
        _holds(variant.gain.label, holds=holds),
        Number(value=variant.gain.gain, form="points"),
        Span(interval=variant.gain.interval, form="points"),
        _label(variant.gain.label),
    )


def _name(text: str) -> Words:
    return Words(text=text, raw=text)


def _label(label: Label) -> Words:
    text, tone = LABELS[label]
    return Words(text=text, raw=label, tone=tone)


def _holds(label: Label, *, holds: bool) -> Words:
    """Whether a variant agrees with the verdict; there is none to agree with if it is withheld."""
    if label == "withheld":
        return Words(text="-", raw="withheld")
    return Words(text="yes", raw=True) if holds else Words(text="DIFFERS", raw=False, tone="warn")


def _interval_header(intervals: Iterable[Interval]) -> str:
    levels = {interval.level for interval in intervals}
    return f"{say_level(levels.pop())} interval" if len(levels) == 1 else "interval"
