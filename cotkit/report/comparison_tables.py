"""What a report says: a comparison arranged in sections; nothing is computed here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from cotkit.analysis.bias import CONDITION_NAMES, MIN_CLUSTERS
from cotkit.analysis.disagreements import CAUSES, Disagreement
from cotkit.analysis.steps import MIN_PROBLEMS, format_steps
from cotkit.analysis.values import (
    Audit,
    BesideExact,
    Bias,
    BiasChange,
    BiasCondition,
    BiasLabel,
    Cell,
    ChainStep,
    Comparison,
    Difficulty,
    Direction,
    Following,
    FollowingLabel,
    Gain,
    Label,
    MetricGain,
    MetricMean,
    MetricResult,
    Repeats,
    StepGroup,
    Transition,
    Variant,
    Verdict,
    VoteCurve,
)
from cotkit.report.document import (
    MISSING,
    Column,
    Document,
    IntervalCell,
    Number,
    Strip,
    Table,
    Tone,
    Value,
    Words,
    say_level,
    say_number,
)
from cotkit.stats.intervals import Interval
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


def comparison_document(comparison: Comparison, *, timing: bool = False) -> Document:
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
            mark_upper_bounds(
                table, {v.gain.arm for v in c.verdicts if v.gain.label == "upper_bound"}
            )
            for table in (
                _arms_table(c.cells, timing=timing),
                _gains_table(c.verdicts, c.margin, is_sequential=c.is_sequential),
                _outcomes_table(c.cells),
                _variants_table(c.verdicts),
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


def _arms_table(cells: tuple[Cell, ...], *, timing: bool) -> Table:
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
        _name_cell(cell.arm),
        Number(value=cell.solve_rate, form="share"),
        IntervalCell(interval=cell.interval, form="share"),
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


def _gains_table(verdicts: tuple[Verdict, ...], margin: float, *, is_sequential: bool) -> Table:
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
    return _move_control(table) if _has_two_controls(verdicts) else table


def _has_two_controls(verdicts: tuple[Verdict, ...]) -> bool:
    """Whether some arm has several gains, so that its name alone does not say which is meant."""
    return len({verdict.gain.arm for verdict in verdicts}) < len(verdicts)


def _move_control(table: Table) -> Table:
    """Move the control beside the arm; the group that it opened begins after it."""
    at = [column.key for column in table.columns].index("control")
    order = [0, at, *(i for i in range(1, len(table.columns)) if i != at)]
    columns = [replace(table.columns[i], opens=i == at + 1) for i in order]
    rows = [tuple(row[i] for i in order) for row in table.rows]
    return replace(table, columns=tuple(columns), rows=tuple(rows))


def _gain_row(gain: Gain) -> tuple[Value, ...]:
    return (
        _name_cell(gain.arm),
        Number(value=gain.gain, form="points"),
        IntervalCell(interval=gain.interval, form="points"),
        _label_cell(gain.label),
        _name_cell(gain.control),
        Number(value=gain.n, form="count"),
        Number(value=gain.n_better, form="count"),
        Number(value=gain.n_worse, form="count"),
        Number(value=gain.p_value, form="p"),
        Number(value=gain.p_holm, form="p"),
        Number(value=gain.mde, form="share"),
    )


def _outcomes_table(cells: tuple[Cell, ...]) -> Table:
    return Table(
        key="outcomes",
        title="Outcomes",
        note="Failed: the backend gave nothing; not part of n",
        columns=(
            Column(key="arm", header="arm"),
            *(Column(key=outcome, header=outcome) for outcome in OUTCOMES),
        ),
        rows=tuple(
            (
                _name_cell(cell.arm),
                *(Number(value=cell.outcomes[o], form="count") for o in OUTCOMES),
            )
            for cell in cells
        ),
    )


def _variants_table(verdicts: tuple[Verdict, ...]) -> Table:
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
        _name_cell(variant.gain.arm),
        *((_name_cell(variant.gain.control),) if says_control else ()),
        _name_cell(variant.name),
        _agreement_cell(variant.gain.label, holds=holds),
        Number(value=variant.gain.gain, form="points"),
        IntervalCell(interval=variant.gain.interval, form="points"),
        _label_cell(variant.gain.label),
    )


def _name_cell(text: str) -> Words:
    return Words(text=text, raw=text)


def _label_cell(label: Label) -> Words:
    text, tone = LABELS[label]
    return Words(text=text, raw=label, tone=tone)


def _agreement_cell(label: Label, *, holds: bool) -> Words:
    """Whether a variant agrees with the verdict; there is none to agree with if it is withheld."""
    if label == "withheld":
        return Words(text="-", raw="withheld")
    return Words(text="yes", raw=True) if holds else Words(text="DIFFERS", raw=False, tone="warn")


def _interval_header(intervals: Iterable[Interval]) -> str:
    levels = {interval.level for interval in intervals}
    return f"{say_level(levels.pop())} interval" if len(levels) == 1 else "interval"


# The audit of a report: which arms leak, which were cut off, and what would have sufficed.


def audit_tables(audits: tuple[Audit, ...]) -> tuple[Table, ...]:
    """One table where there is something to see: a contaminated arm, or answers that were cut."""
    if not any(audit.is_contaminated or audit.truncated for audit in audits):
        return ()
    table = Table(
        key="audit",
        title="Audit",
        note="Reasoned: reasoning stands before the answer in the text that was read; LEAKS: in"
        " more answers than an arm without reasoning may; tokens enough: the --max-tokens that"
        " 95 % of the answers needed, at least twice a limit that was reached",
        columns=(
            Column(key="arm", header="arm"),
            Column(key="asks_reasoning", header="asks for reasoning?"),
            Column(key="n_audited", header="answers"),
            Column(key="n_reasoned", header="reasoned"),
            Column(key="is_contaminated", header="leaks?"),
            Column(key="median_words_before", header="median words before"),
            Column(key="reasoning_tokens", header="hidden reasoning tokens", opens=True),
            Column(key="n_truncated", header="truncated"),
            Column(key="enough_tokens", header="tokens enough"),
        ),
        rows=tuple(_audit_row(audit) for audit in audits),
    )
    return (table,)


def _audit_row(audit: Audit) -> tuple[Value, ...]:
    leaks = audit.is_contaminated
    return (
        Words(text=audit.arm, raw=audit.arm),
        Words(text="yes" if audit.reasons else "no", raw=audit.reasons),
        Number(value=audit.n, form="count"),
        Number(value=audit.reasoned, form="count"),
        Words(text="LEAKS" if leaks else "no", raw=leaks, tone="warn" if leaks else "plain"),
        Number(value=audit.median_words_before, form="count"),
        Number(value=audit.reasoning_tokens, form="tokens"),
        Number(value=audit.truncated, form="count"),
        Number(value=audit.enough_tokens, form="tokens"),
    )


# Upper bounds are called so by name in every table, for people and programs alike.


def mark_upper_bounds(table: Table, upper_bounds: Collection[str]) -> Table:
    """The table, ``(upper bound)`` behind the names of these arms."""
    where = [column.key for column in table.columns].index("arm")
    return replace(
        table,
        rows=tuple(
            (*row[:where], _mark_value(row[where], upper_bounds), *row[where + 1 :])
            for row in table.rows
        ),
    )


def _mark_value(value: Value, upper_bounds: Collection[str]) -> Value:
    if not isinstance(value, Words) or value.raw not in upper_bounds:
        return value
    return replace(value, text=f"{value.text} (upper bound)", raw=f"{value.raw} (upper bound)")


# The table of first wrong steps: where chains of equations leave the gold chain.


def chain_tables(found: Sequence[ChainStep]) -> tuple[Table, ...]:
    """One table; none if no chain was judged."""
    if not found:
        return ()
    table = Table(
        key="first_wrong_step",
        title="First wrong step: where do the written chains go wrong?",
        note="Reached: attempts with every step before it right; wrong there: it differs from the"
        " gold chain or is missing; none written: of all attempts, those without an equation",
        columns=(
            Column(key="arm", header="arm"),
            Column(key="step", header="step"),
            Column(key="n_reached", header="reached"),
            Column(key="n_wrong", header="wrong there"),
            Column(key="share_wrong", header="wrong %"),
        ),
        rows=tuple(
            (
                Words(text=one.arm, raw=one.arm),
                Words(
                    text="none written" if one.step is None else str(one.step),
                    raw="none" if one.step is None else str(one.step),
                ),
                Number(value=one.n_reached, form="count"),
                Number(value=one.n_wrong, form="count"),
                Number(value=one.n_wrong / one.n_reached if one.n_reached else None, form="share"),
            )
            for one in found
        ),
    )
    return (table,)


# The table of gains by difficulty: how much an arm gains where a problem takes more steps.


def difficulty_tables(
    found: Sequence[Difficulty],
    labels: Mapping[Label, tuple[str, Tone]],
    margin: float,
) -> tuple[Table, ...]:
    """One table; none if the problems fall into fewer than two groups.

    ``labels``: the words and tone of each.
    """
    if not found:
        return ()
    # A control is named only where an arm has two, as in the table of gains.
    says_control = len({one.arm for one in found}) < len(found)
    level = say_level(found[0].groups[0].gain.interval.level)
    table = Table(
        key="difficulty",
        title="Gain by number of steps",
        note=f"{'; '.join(one.sentence for one in found)}. Numbers of steps with fewer than"
        f" {MIN_PROBLEMS} problems are merged with the next; these intervals hold together, but"
        " not with those of the gains above; steps: what a problem takes by its worked solution",
        columns=(
            Column(key="arm", header="arm"),
            *((Column(key="control", header="control"),) if says_control else ()),
            Column(key="steps", header="steps"),
            Column(key="gain", header="gain points"),
            Column(key="interval", header=f"{level} interval"),
            Column(key="label", header="verdict"),
            Column(key="control_solve_rate", header="control solves %", opens=True),
            Column(key="solve_rate", header="arm solves %"),
            Column(key="n", header="n"),
            Column(key="n_better", header="better"),
            Column(key="n_worse", header="worse"),
        ),
        rows=tuple(
            _difficulty_row(one, group, labels, says_control=says_control)
            for one in found
            for group in one.groups
        ),
        strip=Strip(estimate="gain", interval="interval", axis=None, margin=margin),
    )
    return (table,)


def _difficulty_row(
    of: Difficulty,
    group: StepGroup,
    labels: Mapping[Label, tuple[str, Tone]],
    *,
    says_control: bool,
) -> tuple[Value, ...]:
    gain, steps = group.gain, format_steps(group)
    verdict, tone = labels[gain.label]
    return (
        Words(text=of.arm, raw=of.arm),
        *((Words(text=of.control, raw=of.control),) if says_control else ()),
        Words(text=steps, raw=steps),
        Number(value=gain.gain, form="points"),
        IntervalCell(interval=gain.interval, form="points"),
        Words(text=verdict, raw=gain.label, tone=tone),
        Number(value=group.n_control_correct / gain.n if gain.n else None, form="share"),
        Number(value=group.n_correct / gain.n if gain.n else None, form="share"),
        Number(value=gain.n, form="count"),
        Number(value=gain.n_better, form="count"),
        Number(value=gain.n_worse, form="count"),
    )


# Tables of why two tools that scored the same problems do not agree.


def disagreement_tables(found: Sequence[Disagreement]) -> tuple[Table, ...]:
    """How often for each reason, then every problem; none if the tools agree."""
    if not found:
        return ()
    counts = Counter((one.arm, one.control, one.cause) for one in found)
    summary = Table(
        key="disagreement_causes",
        title="Why the two tools disagree",
        note="problems that one of them called solved and the other not; each is counted under the"
        " first reason that applies, in this order",
        columns=(
            Column(key="arm", header="arm"),
            Column(key="control", header="against"),
            Column(key="cause", header="because"),
            Column(key="n", header="problems"),
        ),
        rows=tuple(
            (
                _plain_words(arm),
                _plain_words(control),
                Words(text=CAUSES[cause], raw=cause),
                Number(value=counts[arm, control, cause], form="count"),
            )
            for arm, control in dict.fromkeys((one.arm, one.control) for one in found)
            for cause in CAUSES
            if (arm, control, cause) in counts
        ),
    )
    items = Table(
        key="disagreements",
        title="Problem by problem",
        note="",
        columns=(
            Column(key="problem", header="problem"),
            Column(key="right", header="solved, says"),
            Column(key="why", header="because"),
        ),
        rows=tuple(_disagreement_row(one) for one in found),
    )
    return summary, items


def _disagreement_row(one: Disagreement) -> tuple[Value, ...]:
    return _plain_words(one.problem), _plain_words(one.right), _plain_words(one.why)


def _plain_words(text: str) -> Words:
    return Words(text=text, raw=text)


# Tables made from drafts: corrections round by round, and votes of fewer samples.


def draft_tables(
    transitions: Sequence[Transition], votes: Sequence[VoteCurve]
) -> tuple[Table, ...]:
    """Only the tables that have rows."""
    return tuple(
        table for table in (_transitions_table(transitions), _votes_table(votes)) if table.rows
    )


def _transitions_table(transitions: Sequence[Transition]) -> Table:
    return Table(
        key="transitions",
        title="What correction did",
        note="Fixed: not correct before, correct after; broken: the reverse; n: problems that went"
        " through the round",
        columns=(
            Column(key="arm", header="arm"),
            Column(key="step", header="step"),
            Column(key="n", header="n"),
            Column(key="fixed", header="fixed"),
            Column(key="broken", header="broken"),
            Column(key="kept_right", header="kept right"),
            Column(key="kept_wrong", header="kept wrong"),
        ),
        rows=tuple(
            (
                Words(text=t.arm, raw=t.arm),
                Words(text=t.step, raw=t.step),
                *(
                    Number(value=count, form="count")
                    for count in (t.n, t.fixed, t.broken, t.kept_right, t.kept_wrong)
                ),
            )
            for t in transitions
        ),
    )


def _votes_table(votes: Sequence[VoteCurve]) -> Table:
    return Table(
        key="votes",
        title="What more samples bring",
        note="Solve rate of a vote of so many samples, all from one set; of equal answers the one"
        " read first wins",
        columns=(
            Column(key="arm", header="arm"),
            Column(key="n_samples", header="samples"),
            Column(key="solve_rate", header="solve rate %"),
            Column(key="n", header="n"),
        ),
        rows=tuple(
            (
                Words(text=curve.arm, raw=curve.arm),
                Number(value=j, form="count"),
                Number(value=rate, form="share"),
                Number(value=curve.n, form="count"),
            )
            for curve in votes
            for j, rate in enumerate(curve.rates, start=1)
        ),
    )


# The table of label experiments: solve rate over the share of flipped exemplar labels.


FOLLOWING_LABELS: dict[FollowingLabel, tuple[str, Tone]] = {
    "follows": ("follows the exemplars", "plain"),
    "keeps_prior": ("keeps its prior", "plain"),
    "undetermined": ("undetermined", "quiet"),
}
"""Label -> its words and tone: neither is better than the other."""


def following_tables(points: Sequence[Following]) -> tuple[Table, ...]:
    """One table; none if no labels were flipped."""
    if not points:
        return ()
    level, chance = say_level(points[0].interval.level), say_number(points[0].chance, "share")
    table = Table(
        key="following",
        title="Does it follow the exemplars?",
        note="Flipped: share of the exemplars that show the other label; the labels asked are never"
        " flipped; follows: answers with the other label / n. With all flipped: follows the"
        f" exemplars if the interval of the solve rate lies below chance ({chance} %) and that of"
        " follows above it, keeps its prior if the first lies above it",
        columns=(
            Column(key="arm", header="arm"),
            Column(key="fraction", header="flipped %"),
            Column(key="solve_rate", header="solve rate %"),
            Column(key="interval", header=f"{level} interval"),
            Column(key="follows", header="follows %"),
            Column(key="label", header="verdict"),
            Column(key="chance", header="chance %", opens=True),
            Column(key="n", header="n"),
        ),
        rows=tuple(
            (
                Words(text=point.arm, raw=point.arm),
                Number(value=point.fraction, form="share"),
                Number(value=point.solve_rate, form="share"),
                IntervalCell(interval=point.interval, form="share"),
                Number(value=point.follows, form="share"),
                _following_label(point.label),
                Number(value=point.chance, form="share"),
                Number(value=point.n, form="count"),
            )
            for point in points
        ),
        strip=Strip(estimate="solve_rate", interval="interval", axis=(0.0, 1.0), margin=None),
    )
    return (table,)


def _following_label(label: FollowingLabel | None) -> Words:
    if label is None:
        return Words(text=MISSING, raw="", tone="quiet")
    text, tone = FOLLOWING_LABELS[label]
    return Words(text=text, raw=label, tone=tone)


# The tables of metrics: the same outputs measured in several ways, and whether the ways agree.


BESIDE_WORDS: dict[BesideExact, tuple[str, Tone]] = {
    "agrees": ("agrees", "plain"),
    "opposite": ("OPPOSITE", "warn"),
    "opposite_undecided": ("opposite, undecided", "quiet"),
    "only_this": ("only this decided", "warn"),
    "only_exact": ("only exact match", "quiet"),
    "neither": ("neither decided", "quiet"),
}
"""How a metric's gain stands to that of exact match -> its words and tone."""

_TONES: dict[Direction, Tone] = {"better": "good", "worse": "bad", "undecided": "quiet"}


def metric_tables(found: Sequence[MetricResult], *, is_sequential: bool) -> tuple[Table, ...]:
    """Means by arm, then gains by pair; none if there is only exact match."""
    intervals = [mean.interval for one in found for mean in one.means]
    if not intervals:
        return ()
    level = say_level(intervals[0].level)
    looked = "; they do not allow for stopping early" if is_sequential else ""
    how = (
        f"each {level} interval on its own (zeros and ones: Wilson, of gains Tango; else bootstrap"
        f" over problems){looked}"
    )
    return _means_table(found, level, how), _metric_gains_table(found, level)


def _means_table(found: Sequence[MetricResult], level: str, how: str) -> Table:
    return Table(
        key="metrics",
        title="Metrics: the same outputs, measured differently",
        note="Means per problem; tokens: digits of a number, words of a text (an answer that could"
        " not be read has none); choice, Brier, confidence, log-probabilities: of given answers,"
        f" not of the text; {how}",
        columns=(
            Column(key="metric", header="metric"),
            Column(key="arm", header="arm"),
            Column(key="mean", header="mean"),
            Column(key="interval", header=f"{level} interval"),
            Column(key="better", header="better"),
            Column(key="range", header="range"),
            Column(key="unit", header="unit"),
            Column(key="n", header="n"),
        ),
        rows=tuple(_mean_row(one, mean) for one in found for mean in one.means),
    )


def _metric_gains_table(found: Sequence[MetricResult], level: str) -> Table:
    return Table(
        key="metric_gains",
        title="Gain by metric: does it depend on the measure?",
        note="Arm minus control on the same problems, in the metric's unit; beside exact match:"
        " OPPOSITE: one is better, the other worse, both decided; decided: the interval excludes 0",
        columns=(
            Column(key="metric", header="metric"),
            Column(key="arm", header="arm"),
            Column(key="control", header="control"),
            Column(key="gain", header="gain"),
            Column(key="interval", header=f"{level} interval"),
            Column(key="direction", header="which is"),
            Column(key="beside_exact", header="beside exact match"),
            Column(key="better", header="better"),
            Column(key="n", header="n"),
        ),
        rows=tuple(_metric_gain_row(one, gain) for one in found for gain in one.gains),
    )


def _mean_row(one: MetricResult, mean: MetricMean) -> tuple[Value, ...]:
    return (
        _plain(one.metric),
        _plain(mean.arm),
        Number(value=mean.mean, form="value"),
        IntervalCell(interval=mean.interval, form="value"),
        _plain(_better_direction(one)),
        _plain(f"{one.low:g}..{one.high:g}"),
        _plain(one.unit),
        Number(value=mean.n, form="count"),
    )


def _metric_gain_row(one: MetricResult, gain: MetricGain) -> tuple[Value, ...]:
    return (
        _plain(one.metric),
        _plain(gain.arm),
        _plain(gain.control),
        Number(value=gain.gain, form="change"),
        IntervalCell(interval=gain.interval, form="change"),
        Words(text=gain.direction, raw=gain.direction, tone=_TONES[gain.direction]),
        _beside_cell(gain.beside_exact),
        _plain(_better_direction(one)),
        Number(value=gain.n, form="count"),
    )


def _beside_cell(beside: BesideExact | None) -> Words:
    if beside is None:
        return Words(text=MISSING, raw="", tone="quiet")
    text, tone = BESIDE_WORDS[beside]
    return Words(text=text, raw=beside, tone=tone)


def _better_direction(one: MetricResult) -> str:
    if one.higher_is_better is None:
        return "neither"
    return "higher" if one.higher_is_better else "lower"


def _plain(text: str) -> Words:
    return Words(text=text, raw=text)


# The table of several samples of each problem: pass@k and maj@k, with intervals over problems.


def repeats_tables(repeats: Sequence[Repeats]) -> tuple[Table, ...]:
    """One table; none if no problem has several samples."""
    if not repeats:
        return ()
    level = say_level(repeats[0].pass_interval.level)
    table = Table(
        key="repeats",
        title="What more samples bring",
        note="pass@k: one of k samples is correct, unbiased; maj@k: the vote of k neighbouring"
        " samples is correct, of equal answers the one read first; both are means over the n"
        " problems, and the intervals hold for problems, not samples",
        columns=(
            Column(key="arm", header="arm"),
            Column(key="k", header="k"),
            Column(key="pass_at_k", header="pass@k %"),
            Column(key="pass_interval", header=f"{level} interval"),
            Column(key="maj_at_k", header="maj@k %"),
            Column(key="maj_interval", header=f"{level} interval"),
            Column(key="n", header="n"),
        ),
        rows=tuple(
            (
                Words(text=one.arm, raw=one.arm),
                Number(value=one.k, form="count"),
                Number(value=one.pass_at_k, form="share"),
                IntervalCell(interval=one.pass_interval, form="share"),
                Number(value=one.maj_at_k, form="share"),
                IntervalCell(interval=one.maj_interval, form="share"),
                Number(value=one.n, form="count"),
            )
            for one in repeats
        ),
    )
    return (table,)


# Tables of bias: each arm's scores, how it moved its control's, and scores by category.


BIAS_LABELS: Mapping[BiasLabel, tuple[str, Tone]] = MappingProxyType(
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
        table
        for table in (
            _bias_scores_table(whole),
            _bias_changes_table(changes),
            _bias_by_category_table(parts),
        )
        if table.rows
    )


def _bias_scores_table(scores: Sequence[Bias]) -> Table:
    return Table(
        key="bias",
        title="Bias",
        note="-1 to 1; 0: none, 1: always the stereotype, -1: always against it. Ambiguous:"
        " (1 - accuracy) x score of those that name a person; disambiguated: 2 x biased / named"
        " - 1. n: items whose stereotype is known; unread: never biased, never right. Interval:"
        f" templates drawn again; below {MIN_CLUSTERS} of them it may be too narrow",
        columns=(Column(key="arm", header="arm"), *_bias_columns(scores)),
        rows=tuple((_neutral(one.arm), *_bias_cells(one)) for one in scores),
    )


def _bias_by_category_table(scores: Sequence[Bias]) -> Table:
    return Table(
        key="bias_by_category",
        title="Bias by category",
        note="As above",
        columns=(
            Column(key="category", header="category"),
            Column(key="arm", header="arm"),
            *_bias_columns(scores),
        ),
        rows=tuple(
            (_neutral(one.category or ""), _neutral(one.arm), *_bias_cells(one)) for one in scores
        ),
    )


def _bias_columns(scores: Sequence[Bias]) -> tuple[Column, ...]:
    return (
        Column(key="condition", header="context"),
        Column(key="bias", header="bias"),
        Column(key="interval", header=_bias_interval_header(scores)),
        Column(key="accuracy", header="accuracy %", opens=True),
        Column(key="n", header="n"),
        Column(key="n_unread", header="unread"),
        Column(key="n_clusters", header="templates"),
    )


def _bias_cells(one: Bias) -> tuple[Value, ...]:
    return (
        _condition_cell(one.condition),
        Number(value=one.score, form="change"),
        IntervalCell(interval=one.interval, form="change"),
        Number(value=one.accuracy, form="share"),
        Number(value=one.n, form="count"),
        Number(value=one.n_unread, form="count"),
        Number(value=one.n_clusters, form="count"),
    )


def _bias_changes_table(changes: Sequence[BiasChange]) -> Table:
    return Table(
        key="bias_changes",
        title="Bias against the control",
        note="Change: of the bias's size, whatever its sign; below 0 is less biased. Only items"
        f" that both arms completed; intervals simultaneous; from {MIN_CLUSTERS} templates on",
        columns=(
            Column(key="arm", header="arm"),
            Column(key="condition", header="context"),
            Column(key="change", header="change"),
            Column(key="interval", header=_bias_interval_header(changes)),
            Column(key="label", header="verdict"),
            Column(key="control", header="control", opens=True),
            Column(key="before", header="control's bias"),
            Column(key="after", header="arm's bias"),
            Column(key="n", header="n"),
            Column(key="n_clusters", header="templates"),
        ),
        rows=tuple(
            (
                _neutral(one.arm),
                _condition_cell(one.condition),
                Number(value=one.change, form="change"),
                IntervalCell(interval=one.interval, form="change"),
                _bias_label(one.label),
                _neutral(one.control),
                Number(value=one.before, form="change"),
                Number(value=one.after, form="change"),
                Number(value=one.n, form="count"),
                Number(value=one.n_clusters, form="count"),
            )
            for one in changes
        ),
    )


def _bias_interval_header(rows: Sequence[Bias] | Sequence[BiasChange]) -> str:
    return f"{say_level(rows[0].interval.level)} interval" if rows else "interval"


def _neutral(text: str) -> Words:
    return Words(text=text, raw=text)


def _condition_cell(condition: BiasCondition) -> Words:
    return Words(text=CONDITION_NAMES[condition], raw=condition)


def _bias_label(label: BiasLabel) -> Words:
    text, tone = BIAS_LABELS[label]
    return Words(text=text, raw=label, tone=tone)
