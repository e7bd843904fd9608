"""What a report says: a comparison arranged in sections; nothing is computed here.

A new column is one line: a :class:`~cotkit.report.document.Field` of its table's rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from cotkit.analysis.bias import CONDITION_NAMES, MIN_CLUSTERS
from cotkit.analysis.disagreements import CAUSES, Disagreement
from cotkit.analysis.sentences import CEILING
from cotkit.analysis.steps import MIN_PROBLEMS, format_steps
from cotkit.analysis.values import (
    Audit,
    Bias,
    BiasChange,
    BiasCondition,
    Cell,
    ChainStep,
    Comparison,
    CostUnit,
    Decision,
    Difficulty,
    Following,
    Gain,
    Interaction,
    LeftOut,
    MetricResult,
    Repeats,
    SymbolMean,
    Transition,
    Variant,
    Verdict,
    VoteCurve,
)
from cotkit.report.document import (
    UNWALLED,
    Document,
    Field,
    Form,
    Screen,
    Strip,
    Table,
    Value,
    Words,
    make_table,
    missing_interval,
    say_address,
    say_ends,
    say_level,
    say_number,
)
from cotkit.report.sweep_tables import as_good_cell, sweep_figures, sweeps_table
from cotkit.report.verdicts import verdict_cell
from cotkit.types import OUTCOMES, Outcome


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
    upper_bounds = {v.gain.arm for v in c.verdicts if v.gain.label == "upper_bound"}
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
            *say_address(c.address),
            *((UNWALLED,) if c.is_unwalled else ()),
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
            *((("base_url", c.address),) if c.address else ()),
            *((("sandbox", "none"),) if c.is_unwalled else ()),
        ),
        tables=tuple(
            _mark_upper_bounds(table, upper_bounds)
            for table in (
                _arms_table(c.cells, timing=timing),
                _gains_table(c.verdicts, c.margin, is_sequential=c.is_sequential),
                _outcomes_table(c.cells),
                _variants_table(c.verdicts),
                *_side_tables(c),
                *([_server_table(c.server)] if c.server else []),
                *([] if c.decision is None else [_decision_table(c.decision, c.margin)]),
                *([settings_table(c.settings)] if c.settings else []),
            )
        ),
        notes=c.notes,
        warnings=tuple(comparison_warnings(c)),
        closing=(
            *(sweep.sentence for sweep in c.sweeps),
            *(() if c.decision is None else (c.decision.sentence,)),
        ),
        screen=Screen(
            figures=sweep_figures(c.sweeps)[:1],
            tables=(
                _mark_upper_bounds(_answer_table(c), upper_bounds),
                _causes_table(c.disagreements),
            ),
            lines=tuple(_list_differences(c)),
        ),
    )


# What stands first: counts that change how the answer is read, and the numbers in short.


_COUNTED: tuple[Outcome, ...] = ("failed", "truncated", "refused")


def comparison_warnings(c: Comparison) -> Iterator[str]:
    """Yield phrases: attempts without an answer, an early end, contamination, ceilings, floors."""
    yield from left_out_warnings(c.notes)
    yield from outcome_warnings({cell.arm: cell.outcomes for cell in c.cells})
    if c.ended_by is not None:
        n_done = max((sum(cell.outcomes.values()) for cell in c.cells), default=0)
        why = "budget used up" if c.ended_by == "budget" else "ended early, all decided"
        yield f"{why}: {n_done:,} of {c.n_problems:,} problems"
    leaks = {audit.arm: audit.reasoned for audit in c.audits if audit.is_contaminated}
    if leaks:
        totals = {audit.arm: audit.n for audit in c.audits}
        yield f"contaminated, reasons unasked: {_say_counts(leaks, totals)}"
    rates = {cell.arm: cell.solve_rate for cell in c.cells}
    pairs = [(verdict.gain.arm, verdict.gain.control) for verdict in c.verdicts]
    for control in dict.fromkeys(control for _, control in pairs):
        if rates.get(control, 0) >= CEILING:
            yield f"ceiling: {control} alone solves {say_number(rates[control], 'share')} %"
    floors = [pair for pair in pairs if all(rates.get(arm) == 0 for arm in pair)]
    if floors:
        yield f"floor: nothing solved by {', '.join(dict.fromkeys(sum(floors, ())))}"


def left_out_warnings(notes: Sequence[str]) -> Iterator[str]:
    """Yield a phrase for each strategy that could not run; its reason is in the note."""
    left_out = [note for note in notes if isinstance(note, LeftOut)]
    yield from dict.fromkeys(": ".join(note.split(": ")[:2]) for note in left_out)


def outcome_warnings(outcomes: Mapping[str, Mapping[Outcome, int]]) -> Iterator[str]:
    """Yield how many attempts of each arm gave no answer; ``outcomes``: arm -> outcome -> count."""
    totals = {arm: sum(counts.values()) for arm, counts in outcomes.items()}
    for outcome in _COUNTED:
        counts = {arm: n for arm, of_arm in outcomes.items() if (n := of_arm.get(outcome, 0))}
        if counts:
            yield f"{outcome}: {_say_counts(counts, totals)}"


def _say_counts(counts: Mapping[str, int], totals: Mapping[str, int]) -> str:
    """Return each arm's count, and what it is out of: once where that is the same for all."""
    if len({totals[arm] for arm in counts}) == 1:
        total = totals[next(iter(counts))]
        return f"{', '.join(f'{arm} {n:,}' for arm, n in counts.items())} of {total:,}"
    return ", ".join(f"{arm} {n:,} of {totals[arm]:,}" for arm, n in counts.items())


def _answer_table(c: Comparison) -> Table:
    """Return a row for each arm and gain: what it solves, gains and costs."""
    gains: dict[str, list[Gain | None]] = {}
    for verdict in c.verdicts:
        gains.setdefault(verdict.gain.arm, []).append(verdict.gain)
    is_priced = any(cell.usd is not None for cell in c.cells)
    controls = {verdict.gain.control for verdict in c.verdicts}
    costs = "tokens: prompt and generated, mean per problem"
    return make_table(
        "answer",
        "",
        (
            (
                Field("arm", "arm", cell.arm),
                Field("solve_rate", "solve rate %", cell.solve_rate, "share"),
                Field("interval", "interval", cell.interval, "share", drawn=True),
                *_gain_fields(gain, when=bool(c.verdicts), with_control=len(controls) > 1),
                Field("tokens", "tokens", _sum_tokens(cell), "tokens"),
                Field("usd", "$ per 1,000", cell.usd, "usd_per_1000", when=is_priced),
            )
            for cell in c.cells
            for gain in gains.get(cell.arm, [None])
        ),
        note=f"{costs}; $ per 1,000 problems, list prices" if is_priced else costs,
        strip=Strip(estimate="solve_rate", interval="interval", axis=(0.0, 1.0), margin=None),
    )


def _gain_fields(gain: Gain | None, *, when: bool, with_control: bool) -> Iterator[Field]:
    """Yield gain, interval and verdict; blanks for an arm that is only a control."""
    blank = Words(text="", raw="")
    yield Field("control", "over", gain.control if gain else blank, when=when and with_control)
    yield Field("gain", "gain points", gain.gain if gain else blank, "points", when=when)
    ends = gain.interval if gain else blank
    yield Field("gain_interval", "{level} interval", ends, "points", when=when)
    yield Field("label", "verdict", _gain_verdict(gain) if gain else blank, when=when)


def _sum_tokens(cell: Cell) -> float | None:
    if cell.prompt_tokens is None or cell.generated_tokens is None:
        return None
    return cell.prompt_tokens + cell.generated_tokens


def _list_differences(c: Comparison) -> Iterator[str]:
    """Yield the ways of counting under which the answer is another one."""
    for verdict in c.verdicts:
        for variant in verdict.variants:
            if variant.name in verdict.depends_on:
                gain = variant.gain
                yield (
                    f"DIFFERS by {variant.name}: {gain.arm} {say_number(gain.gain, 'points')} "
                    f"({say_ends(gain.interval.low, gain.interval.high, 'points')}), "
                    f"{_gain_verdict(gain).text}"
                )
    for metric in c.metrics:
        for gain in metric.gains:
            if gain.beside_exact == "opposite":
                yield (
                    f"DIFFERS by metric {metric.metric}: {gain.arm} is {gain.direction} than "
                    f"{gain.control}, {say_number(gain.gain, 'change')} "
                    f"({say_ends(gain.interval.low, gain.interval.high, 'change')})"
                )


def _side_tables(c: Comparison) -> Iterator[Table]:
    """Yield the tables that only some comparisons have."""
    if clustered := [v.gain for v in c.verdicts if v.gain.n_clusters is not None]:
        yield _clusters_table(clustered)
    if c.transitions:
        yield _transitions_table(c.transitions)
    if c.interactions:
        yield _interactions_table(c.interactions)
    if c.sweeps:
        yield sweeps_table(c.sweeps)
    if c.votes:
        yield _votes_table(c.votes)
    yield from metric_tables(c.metrics, is_sequential=c.is_sequential)
    yield from bias_tables(c.bias, c.bias_changes)
    yield from _label_tables(c)
    if c.repeats:
        yield _repeats_table(c.repeats)
    if c.difficulty:
        yield _difficulty_table(c.difficulty, c.margin)
    if c.chains:
        yield chains_table(c.chains)
    yield from _check_tables(c)


def _check_tables(c: Comparison) -> Iterator[Table]:
    """Yield what to look at before trusting the others."""
    if any(audit.is_contaminated or audit.truncated for audit in c.audits):
        yield _audit_table(c.audits)
    if c.disagreements:
        yield _causes_table(c.disagreements)
        yield _disagreements_table(c.disagreements)


def _mark_upper_bounds(table: Table, upper_bounds: Collection[str]) -> Table:
    """Return the table with ``(upper bound)`` behind the names of these arms."""
    keys = [column.key for column in table.columns]
    if not upper_bounds or "arm" not in keys:
        return table
    i = keys.index("arm")

    def mark(value: Value) -> Value:
        if not isinstance(value, Words) or value.raw not in upper_bounds:
            return value
        name = f"{value.raw} (upper bound)"
        return Words(text=name, raw=name)

    rows = tuple((*row[:i], mark(row[i]), *row[i + 1 :]) for row in table.rows)
    return replace(table, rows=rows)


# What every comparison has: arms, gains, outcomes, and the gains counted in other ways.


def _arms_table(cells: Sequence[Cell], *, timing: bool) -> Table:
    is_repeated = any(cell.n_samples is not None for cell in cells)
    is_priced = any(cell.usd is not None for cell in cells)
    thinks = any(cell.thinking_tokens is not None for cell in cells)
    costs = ["tokens", *(["seconds"] if timing else [])]
    dollars = "; dollars at list prices, for 1,000 problems" if is_priced else ""
    rates = (
        "Solve rate: mean over the n problems of the share of their samples that are correct,"
        " interval over problems; solved: samples"
        if is_repeated
        else "Solve rate = solved / n, Wilson interval"
    )
    return make_table(
        "arms",
        "Arms",
        (
            (
                Field("arm", "arm", cell.arm),
                Field("solve_rate", "solve rate %", cell.solve_rate, "share"),
                Field("interval", "{level} interval", cell.interval, "share"),
                Field("n", "n", cell.n),
                Field("n_samples", "samples", cell.n_samples or cell.n, when=is_repeated),
                Field("n_correct", "solved", cell.n_correct),
                Field("prompt_tokens", "prompt tokens", cell.prompt_tokens, opens=True),
                Field("generated_tokens", "generated tokens", cell.generated_tokens),
                Field("generated_per_correct", "generated per correct", cell.generated_per_correct),
                Field("thinking_tokens", "thinking tokens", cell.thinking_tokens, when=thinks),
                Field(
                    "thinking_per_correct",
                    "thinking per correct",
                    cell.thinking_per_correct,
                    when=thinks,
                ),
                Field("usd", "$ per 1,000", cell.usd, "usd_per_1000", when=is_priced),
                Field(
                    "usd_per_correct",
                    "$ per 1,000 correct",
                    cell.usd_per_correct,
                    "usd_per_1000",
                    when=is_priced,
                ),
                Field("shared_tokens", "shared tokens", cell.shared_tokens, when=timing),
                Field("seconds", "seconds", cell.seconds, "seconds", when=timing),
                Field(
                    "seconds_per_correct",
                    "seconds per correct",
                    cell.seconds_per_correct,
                    "seconds",
                    when=timing,
                ),
            )
            for cell in cells
        ),
        note=f"{rates}; {' and '.join(costs)} are means per problem, over all turns{dollars}",
        strip=Strip(estimate="solve_rate", interval="interval", axis=(0.0, 1.0), margin=None),
    )


def _gains_table(verdicts: Sequence[Verdict], margin: float, *, is_sequential: bool) -> Table:
    """Return the gains; where an arm has two controls, the control stands beside the arm."""
    pairs = _has_two_controls(verdicts)
    is_over_chance = any(verdict.gain.chance is not None for verdict in verdicts)
    method = (
        "intervals and p hold at every moment of the run (confidence sequences), over all gains"
        if is_sequential
        else "Wilson interval less chance, simultaneous over these gains; p: score test"
        if is_over_chance
        else "Tango interval, simultaneous over these gains; p: McNemar mid-p"
    )
    words = (
        ("Gain and MDE in points",)
        if is_over_chance
        else (
            "Gain and MDE in points",
            "better, worse: problems that only the arm, only the control solved",
        )
    )
    return make_table(
        "gains",
        "Gain over chance" if is_over_chance else "Gain over the control",
        (
            (
                Field("arm", "arm", gain.arm),
                Field("control", "control", gain.control, when=pairs),
                Field("gain", "gain points", gain.gain, "points"),
                Field("interval", "{level} interval", gain.interval, "points"),
                Field("label", "verdict", _gain_verdict(gain)),
                Field("chance", "chance %", gain.chance, "share", when=is_over_chance),
                Field("control", "control", gain.control, opens=True, when=not pairs),
                Field("n", "n", gain.n, opens=pairs),
                Field("n_better", "better", gain.n_better, when=not is_over_chance),
                Field("n_worse", "worse", gain.n_worse, when=not is_over_chance),
                Field("p_value", "p", gain.p_value, "p"),
                Field("p_holm", "p Holm", gain.p_holm, "p"),
                Field("mde", "MDE", gain.mde, "share"),
            )
            for gain in (verdict.gain for verdict in verdicts)
        ),
        note="; ".join((*words, method, "MDE: smallest gain found with power 0.8")),
        strip=Strip(estimate="gain", interval="interval", axis=None, margin=margin),
    )


def _gain_verdict(gain: Gain) -> Words:
    return verdict_cell(gain.label, over_chance=gain.chance is not None)


def _has_two_controls(verdicts: Sequence[Verdict]) -> bool:
    """Return whether some arm has several gains, so that its name does not say which is meant."""
    return len({verdict.gain.arm for verdict in verdicts}) < len(verdicts)


def _clusters_table(gains: Sequence[Gain]) -> Table:
    return make_table(
        "clusters",
        "Clusters of problems",
        (
            (
                Field("arm", "arm", gain.arm),
                Field("control", "control", gain.control),
                Field("n", "problems", gain.n),
                Field("n_clusters", "clusters", gain.n_clusters),
                Field("n_effective", "worth", gain.n_effective),
            )
            for gain in gains
        ),
        note="Problems of one cluster are not independent; worth: so many independent problems"
        " would say as much of the gain",
    )


def _outcomes_table(cells: Sequence[Cell]) -> Table:
    ran_on = any(cell.n_run_on for cell in cells)
    note = "Failed: the backend gave nothing; not part of n"
    if ran_on:
        note += "; ran on: into another turn or problem, and cut there before reading"
    return make_table(
        "outcomes",
        "Outcomes",
        (
            (
                Field("arm", "arm", cell.arm),
                *(Field(outcome, outcome, cell.outcomes[outcome]) for outcome in OUTCOMES),
                Field("ran_on", "ran on", cell.n_run_on, when=ran_on),
            )
            for cell in cells
        ),
        note=note,
    )


def _variants_table(verdicts: Sequence[Verdict]) -> Table:
    pairs = _has_two_controls(verdicts)
    return make_table(
        "variants",
        "Does the verdict hold?",
        (
            (
                Field("arm", "arm", variant.gain.arm),
                Field("control", "control", variant.gain.control, when=pairs),
                Field("variant", "counted by", variant.name),
                Field("holds", "holds?", _agreement_cell(verdict, variant)),
                Field("gain", "gain points", variant.gain.gain, "points"),
                Field("interval", "{level} interval", variant.gain.interval, "points"),
                Field("label", "verdict", _gain_verdict(variant.gain)),
            )
            for verdict in verdicts
            for variant in verdict.variants
        ),
        note="The same gain, counted in other ways; DIFFERS: in sign or direction",
    )


def _agreement_cell(verdict: Verdict, variant: Variant) -> Words:
    """Return whether a variant agrees with the verdict; with a withheld one nothing can."""
    if variant.gain.label == "withheld":
        return Words(text="-", raw="withheld")
    if variant.name in verdict.depends_on:
        return Words(text="DIFFERS", raw=False, tone="warn")
    return Words(text="yes", raw=True)


# Drafts: corrections round by round, and votes of fewer samples.


def _transitions_table(transitions: Sequence[Transition]) -> Table:
    return make_table(
        "transitions",
        "What correction did",
        (
            (
                Field("arm", "arm", transition.arm),
                Field("step", "step", transition.step),
                Field("n", "n", transition.n),
                Field("fixed", "fixed", transition.fixed),
                Field("broken", "broken", transition.broken),
                Field("kept_right", "kept right", transition.kept_right),
                Field("kept_wrong", "kept wrong", transition.kept_wrong),
            )
            for transition in transitions
        ),
        note="Fixed: not correct before, correct after; broken: the reverse; n: problems that went"
        " through the round",
    )


def _votes_table(votes: Sequence[VoteCurve]) -> Table:
    return make_table(
        "votes",
        "What more samples bring",
        (
            (
                Field("arm", "arm", curve.arm),
                Field("n_samples", "samples", n_samples),
                Field("solve_rate", "solve rate %", rate, "share"),
                Field("n", "n", curve.n),
            )
            for curve in votes
            for n_samples, rate in enumerate(curve.rates, start=1)
        ),
        note="Solve rate of a vote of so many samples, all from one set; of equal answers the one"
        " read first wins",
    )


# Metrics: the same outputs measured in several ways, and whether the ways agree.


def metric_tables(metrics: Sequence[MetricResult], *, is_sequential: bool) -> tuple[Table, ...]:
    """Return means by arm, then gains by pair; none if there is only exact match."""
    intervals = [mean.interval for metric in metrics for mean in metric.means]
    if not intervals:
        return ()
    early = "; they do not allow for stopping early" if is_sequential else ""
    means = make_table(
        "metrics",
        "Metrics: the same outputs, measured differently",
        (
            (
                Field("metric", "metric", metric.metric),
                Field("arm", "arm", mean.arm),
                Field("mean", "mean", mean.mean, "value"),
                Field("interval", "{level} interval", mean.interval, "value"),
                Field("better", "better", _better_direction(metric)),
                Field("range", "range", f"{metric.low:g}..{metric.high:g}"),
                Field("unit", "unit", metric.unit),
                Field("n", "n", mean.n),
            )
            for metric in metrics
            for mean in metric.means
        ),
        note="Means per problem; tokens: digits of a number, words of a text (an answer that could"
        " not be read has none); choice, Brier, confidence, log-probabilities: of given answers,"
        f" not of the text; each {say_level(intervals[0].level)} interval on its own (zeros and"
        f" ones: Wilson, of gains Tango; else bootstrap over problems){early}",
    )
    gains = make_table(
        "metric_gains",
        "Gain by metric: does it depend on the measure?",
        (
            (
                Field("metric", "metric", metric.metric),
                Field("arm", "arm", gain.arm),
                Field("control", "control", gain.control),
                Field("gain", "gain", gain.gain, "change"),
                Field("interval", "{level} interval", gain.interval, "change"),
                Field("direction", "which is", verdict_cell(gain.direction)),
                Field("beside_exact", "beside exact match", verdict_cell(gain.beside_exact)),
                Field("better", "better", _better_direction(metric)),
                Field("n", "n", gain.n),
            )
            for metric in metrics
            for gain in metric.gains
        ),
        note="Arm minus control on the same problems, in the metric's unit; beside exact match:"
        " OPPOSITE: one is better, the other worse, both decided; decided: the interval excludes 0",
    )
    return means, gains


def _better_direction(metric: MetricResult) -> str:
    if metric.higher_is_better is None:
        return "neither"
    return "higher" if metric.higher_is_better else "lower"


# Bias: each arm's scores, how it moved its control's, and scores by category.


def bias_tables(scores: Sequence[Bias], changes: Sequence[BiasChange]) -> tuple[Table, ...]:
    """Return only the tables that have rows."""
    over_all = make_table(
        "bias",
        "Bias",
        (
            (Field("arm", "arm", score.arm), *_bias_fields(score))
            for score in scores
            if score.category is None
        ),
        note="-1 to 1; 0: none, 1: always the stereotype, -1: always against it. Ambiguous:"
        " (1 - accuracy) x score of those that name a person; disambiguated: 2 x biased / named"
        " - 1. n: items whose stereotype is known; unread: never biased, never right. Interval:"
        f" templates drawn again; below {MIN_CLUSTERS} of them it may be too narrow",
    )
    by_category = make_table(
        "bias_by_category",
        "Bias by category",
        (
            (
                Field("category", "category", score.category),
                Field("arm", "arm", score.arm),
                *_bias_fields(score),
            )
            for score in scores
            if score.category is not None
        ),
        note="As above",
    )
    tables = over_all, _bias_changes_table(changes), by_category
    return tuple(table for table in tables if table.rows)


def _bias_fields(score: Bias) -> tuple[Field, ...]:
    return (
        Field("condition", "context", _condition_cell(score.condition)),
        Field("bias", "bias", score.score, "change"),
        Field("interval", "{level} interval", score.interval, "change"),
        Field("accuracy", "accuracy %", score.accuracy, "share", opens=True),
        Field("n", "n", score.n),
        Field("n_unread", "unread", score.n_unread),
        Field("n_clusters", "templates", score.n_clusters),
    )


def _bias_changes_table(changes: Sequence[BiasChange]) -> Table:
    return make_table(
        "bias_changes",
        "Bias against the control",
        (
            (
                Field("arm", "arm", change.arm),
                Field("condition", "context", _condition_cell(change.condition)),
                Field("change", "change", change.change, "change"),
                Field("interval", "{level} interval", change.interval, "change"),
                Field("label", "verdict", verdict_cell(change.label)),
                Field("control", "control", change.control, opens=True),
                Field("before", "control's bias", change.before, "change"),
                Field("after", "arm's bias", change.after, "change"),
                Field("n", "n", change.n),
                Field("n_clusters", "templates", change.n_clusters),
            )
            for change in changes
        ),
        note="Change: of the bias's size, whatever its sign; below 0 is less biased. Only items"
        f" that both arms completed; intervals simultaneous; from {MIN_CLUSTERS} templates on",
    )


def _condition_cell(condition: BiasCondition) -> Words:
    return Words(text=CONDITION_NAMES[condition], raw=condition)


# Label experiments, several samples of a problem, difficulty, and chains of equations.


def _label_tables(c: Comparison) -> Iterator[Table]:
    if c.following:
        yield _following_table(c.following)
    if c.symbol_means:
        yield _symbols_table(c.symbol_means)


def _following_table(points: Sequence[Following]) -> Table:
    has_sweep = len({point.k for point in points}) > 1
    levels = [point.fall_interval.level for point in points if point.fall_interval is not None]
    has_falls, level = bool(levels), next(iter(levels), points[0].interval.level)
    return make_table(
        "following",
        "Does it follow the exemplars?",
        (
            (
                Field("arm", "arm", point.arm),
                Field("fraction", "flipped %", point.fraction, "share"),
                Field("k", "k", point.k, when=has_sweep),
                Field("solve_rate", "solve rate %", point.solve_rate, "share"),
                Field("interval", "{level} interval", point.interval, "share"),
                Field("follows", "follows %", point.follows, "share"),
                Field("label", "verdict", verdict_cell(point.label)),
                Field("chance", "chance %", point.chance, "share", opens=True),
                Field("n", "n", point.n),
                Field("fall", "fall", point.fall, "points", when=has_falls, opens=True),
                Field(
                    "fall_interval",
                    "{level} interval",
                    point.fall_interval or missing_interval(level),
                    "points",
                    when=has_falls,
                ),
            )
            for point in points
        ),
        note="Flipped: share of the exemplars that show the other label; the labels asked are never"
        " flipped; follows: answers with the other label / n. With all flipped: follows the"
        " exemplars if the interval of the solve rate lies below chance"
        f" ({say_number(points[0].chance, 'share')} %) and that of"
        " follows above it, keeps its prior if the first lies above it; fall: from no label"
        " flipped, on the same problems; k: exemplars of each label",
        strip=Strip(estimate="solve_rate", interval="interval", axis=(0.0, 1.0), margin=None),
    )


def _symbols_table(means: Sequence[SymbolMean]) -> Table:
    return make_table(
        "symbol_means",
        "Symbols in place of labels: the mean over their sets",
        (
            (
                Field("arms", "arms", ", ".join(mean.arms)),
                Field("control", "against", mean.control),
                Field("solve_rate", "solve rate %", mean.solve_rate, "share"),
                Field("gain", "difference", mean.gain, "points"),
                Field("interval", "{level} interval", mean.interval, "points"),
                Field("k", "k", mean.k),
                Field("n", "n", mean.n),
            )
            for mean in means
        ),
        note="Of each problem the share of sets counts by which it is solved; the interval is over"
        " problems, for these sets; k: exemplars of each label",
    )


def _repeats_table(repeats: Sequence[Repeats]) -> Table:
    return make_table(
        "repeats",
        "What more samples bring",
        (
            (
                Field("arm", "arm", repeat.arm),
                Field("k", "k", repeat.k),
                Field("pass_at_k", "pass@k %", repeat.pass_at_k, "share"),
                Field("pass_interval", "{level} interval", repeat.pass_interval, "share"),
                Field("maj_at_k", "maj@k %", repeat.maj_at_k, "share"),
                Field("maj_interval", "{level} interval", repeat.maj_interval, "share"),
                Field("n", "n", repeat.n),
            )
            for repeat in repeats
        ),
        note="pass@k: one of k samples is correct, unbiased; maj@k: the vote of k neighbouring"
        " samples is correct, of equal answers the one read first; both are means over the n"
        " problems, and the intervals hold for problems, not samples",
    )


def _difficulty_table(difficulties: Sequence[Difficulty], margin: float) -> Table:
    pairs = len({difficulty.arm for difficulty in difficulties}) < len(difficulties)
    return make_table(
        "difficulty",
        "Gain by number of steps",
        (
            (
                Field("arm", "arm", difficulty.arm),
                Field("control", "control", difficulty.control, when=pairs),
                Field("steps", "steps", format_steps(group)),
                Field("gain", "gain points", gain.gain, "points"),
                Field("interval", "{level} interval", gain.interval, "points"),
                Field("label", "verdict", _gain_verdict(gain)),
                Field(
                    "control_solve_rate",
                    "control solves %",
                    _share(group.n_control_correct, gain.n),
                    "share",
                    opens=True,
                ),
                Field("solve_rate", "arm solves %", _share(group.n_correct, gain.n), "share"),
                Field("n", "n", gain.n),
                Field("n_better", "better", gain.n_better),
                Field("n_worse", "worse", gain.n_worse),
            )
            for difficulty in difficulties
            for group, gain in ((group, group.gain) for group in difficulty.groups)
        ),
        note=f"{'; '.join(difficulty.sentence for difficulty in difficulties)}. Numbers of steps"
        f" with fewer than {MIN_PROBLEMS} problems are merged with the next; these intervals hold"
        " together, but not with those of the gains above; steps: what a problem takes by its"
        " worked solution",
        strip=Strip(estimate="gain", interval="interval", axis=None, margin=margin),
    )


def chains_table(steps: Sequence[ChainStep]) -> Table:
    """Return where chains of equations first leave the gold chain."""
    return make_table(
        "first_wrong_step",
        "First wrong step: where do the written chains go wrong?",
        (
            (
                Field("arm", "arm", step.arm),
                Field(
                    "step",
                    "step",
                    Words(text="none written", raw="none") if step.step is None else str(step.step),
                ),
                Field("n_reached", "reached", step.n_reached),
                Field("n_wrong", "wrong there", step.n_wrong),
                Field("share_wrong", "wrong %", _share(step.n_wrong, step.n_reached), "share"),
            )
            for step in steps
        ),
        note="Reached: attempts with every step before it right; wrong there: it differs from the"
        " gold chain or is missing; none written: of all attempts, those without an equation",
    )


def _share(part: float, n: int) -> float | None:
    return part / n if n else None


# What to check before trusting it: leaks and cut answers; problems on which two tools disagree.


def _interactions_table(interactions: Sequence[Interaction]) -> Table:
    return make_table(
        "interactions",
        "What thinking changes in what a prompt adds",
        (
            (
                Field("arm", "arm", each.arm),
                Field("control", "over", each.control),
                Field("gain", "gain points", each.gain, "points"),
                Field("least_arm", "and without", each.least_arm),
                Field("least_gain", "gain points there", each.least_gain, "points"),
                Field("difference", "difference", each.difference, "points"),
                Field("interval", "{level} interval", each.interval, "points"),
                Field("n", "n", each.n, opens=True),
                Field("p_value", "p", each.p_value, "p"),
            )
            for each in interactions
        ),
        note="Difference of two gains on the problems that all four arms completed; below 0: the"
        " prompt adds less where the model thinks",
    )


def _audit_table(audits: Sequence[Audit]) -> Table:
    return make_table(
        "audit",
        "Audit",
        (
            (
                Field("arm", "arm", audit.arm),
                Field(
                    "asks_reasoning",
                    "asks for reasoning?",
                    Words(text="yes" if audit.reasons else "no", raw=audit.reasons),
                ),
                Field("n_audited", "answers", audit.n),
                Field("n_reasoned", "reasoned", audit.reasoned),
                Field(
                    "is_contaminated",
                    "leaks?",
                    Words(text="LEAKS", raw=True, tone="warn")
                    if audit.is_contaminated
                    else Words(text="no", raw=False),
                ),
                Field("median_words_before", "median words before", audit.median_words_before),
                Field(
                    "reasoning_tokens",
                    "hidden reasoning tokens",
                    audit.reasoning_tokens,
                    opens=True,
                ),
                Field("n_truncated", "truncated", audit.truncated),
                Field("enough_tokens", "tokens enough", audit.enough_tokens),
            )
            for audit in audits
        ),
        note="Reasoned: reasoning stands before the answer in the text that was read; LEAKS: in"
        " more answers than an arm without reasoning may; tokens enough: the --max-tokens that"
        " 95 % of the answers needed, at least twice a limit that was reached",
    )


_COST: dict[CostUnit, tuple[str, Form]] = {
    "usd": ("$ per 1,000", "usd_per_1000"),
    "tokens": ("tokens", "tokens"),
}


def _decision_table(decision: Decision, margin: float) -> Table:
    header, form = _COST[decision.unit]
    return make_table(
        "decision",
        "Which to choose",
        (
            (
                Field("arm", "arm", contender.arm),
                Field("solve_rate", "solve rate %", contender.solve_rate, "share"),
                Field("cost", header, contender.cost, form),
                Field("shortfall", "at most below the best", contender.shortfall, "share"),
                Field("is_shown", "as good?", as_good_cell(is_shown=contender.is_shown)),
            )
            for contender in decision.contenders
        ),
        note="At most below the best: upper limit, in points, of what any other arm solves more,"
        " all limits together at the report's level (Hsu's comparison with the best); as good: at"
        f" most the margin, {say_number(margin, 'share')} points",
    )


def _server_table(server: Mapping[str, str]) -> Table:
    return make_table("server", "What the server says of itself", _fact_rows(server))


def settings_table(settings: Mapping[str, str]) -> Table:
    """Return how a run was made, a row for each setting."""
    return make_table("settings", "How it was made", _fact_rows(settings))


def _fact_rows(facts: Mapping[str, str]) -> Iterator[tuple[Field, ...]]:
    for name, value in facts.items():
        yield Field("fact", "fact", name), Field("value", "value", value)


def _causes_table(disagreements: Sequence[Disagreement]) -> Table:
    counts = Counter((problem.arm, problem.control, problem.cause) for problem in disagreements)
    pairs = dict.fromkeys((problem.arm, problem.control) for problem in disagreements)
    return make_table(
        "disagreement_causes",
        "Why the two tools disagree",
        (
            (
                Field("arm", "arm", arm),
                Field("control", "against", control),
                Field("cause", "because", Words(text=CAUSES[cause], raw=cause)),
                Field("n", "problems", counts[arm, control, cause]),
            )
            for arm, control in pairs
            for cause in CAUSES
            if (arm, control, cause) in counts
        ),
        note="problems that one of them called solved and the other not; each is counted under the"
        " first reason that applies, in this order",
    )


def _disagreements_table(disagreements: Sequence[Disagreement]) -> Table:
    return make_table(
        "disagreements",
        "Problem by problem",
        (
            (
                Field("problem", "problem", disagreement.problem),
                Field("right", "solved, says", disagreement.right),
                Field("why", "because", disagreement.why),
            )
            for disagreement in disagreements
        ),
    )
