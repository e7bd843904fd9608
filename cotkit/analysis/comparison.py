"""Arms against their controls on one model and one benchmark: rows in, a `Comparison` out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

from cotkit.analysis.audit import audit_arms, audit_notes, withhold
from cotkit.analysis.bias import measure_bias, measure_bias_changes
from cotkit.analysis.following import measure_following
from cotkit.analysis.gains import Grading, Pair, compute_gains, label_direction, list_gradings
from cotkit.analysis.metrics import add_normalised, measure_metrics
from cotkit.analysis.samples import count_transitions, vote_curve
from cotkit.analysis.sentences import comparison_notes, gain_sentence
from cotkit.analysis.steps import count_chain_steps, gains_by_steps
from cotkit.analysis.values import Cell, Comparison, Gain, MetricResult, Variant, Verdict
from cotkit.errors import UsageError
from cotkit.scoring.measure import preferred_scale
from cotkit.scoring.metrics import METRICS, calibration_error, find_metric, normalise_score
from cotkit.stats.intervals import wilson
from cotkit.store.rows import AttemptRow
from cotkit.types import OUTCOMES, Problem

_ByArm = Mapping[str, Mapping[str, AttemptRow]]  # arm -> problem id -> row


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What a comparison says of its run; all but the last three go into the `Comparison`."""

    run_id: str
    """Identity of the run (12 hex characters)."""
    model: str
    """The model as reports name it."""
    n_params: int | None
    """Its parameters; None if unknown."""
    bench: str
    """Benchmark name."""
    bench_version: str
    """Its version."""
    n_problems: int
    """Problems drawn; fewer completed pairs than this are noted."""
    n_total: int
    """Problems the benchmark has."""
    reasons: Mapping[str, bool] = field(default_factory=dict[str, bool])
    """Arm -> whether its strategy asks for reasoning before the answer; only these are audited."""
    upper_bounds: frozenset[str] = frozenset()
    """Arms that see the gold answers."""
    flips: Mapping[str, float] = field(default_factory=dict[str, float])
    """Arm -> share of the labels of its exemplars that were flipped."""


def compare(
    rows: Sequence[AttemptRow],
    pairs: Sequence[tuple[str, str]],
    facts: RunFacts,
    problems: Sequence[Problem],
    *,
    reader: str,
    margin: float,
    level: float = 0.95,
    sequential: bool = False,
    price: PriceLike | None = None,
) -> Comparison:
    """Compare each arm with its control on the problems that both completed.

    Args:
        rows: One for each arm and problem; the order changes nothing unless ``sequential``.
        pairs: (arm, control), in the order of the report. All intervals hold at once at ``level``.
        facts: What to say of the run.
        problems: All that the benchmark has, so far as they are known: their tags and scores
            decide which tables there are beside those that the rows alone allow.
        reader: The reader that the run chose, by which the rows' outcomes were decided.
        margin: Smallest gain that counts as material, more than 0, less than 1.
        level: Of the report, between 0 and 1; a cell's own solve rate has it too.
        sequential: Whether the run was looked at after every problem, so that its gains need a
            confidence sequence; each arm's rows must then come in the order drawn.
        price: What the model's tokens cost; None: unknown.

    Returns:
        Cells (controls first, then the arms, then arms of ``rows`` in no pair, by name) and one
        verdict for each pair.

    Raises:
        UsageError: more than one sample of a problem, a pair given twice or of one arm with
            itself, rows scored by another reader, or ``margin`` or ``level`` out of range.
    """
    check_question(pairs, margin, level)
    table = _rows_by_arm(rows)
    paired = {names: _pair_rows(table, *names) for names in pairs}
    counted = [
        (
            counting,
            compute_gains(paired, counting, margin=margin, level=level, sequential=sequential),
        )
        for counting in list_gradings(rows, reader)
    ]
    main = counted[0][1]
    cells = tuple(
        summarise_arm(arm, list(table.get(arm, {}).values()), level, price)
        for arm in _order_arms(table, pairs)
    )
    rows_of = [list(table.get(one.arm, {}).values()) for one in cells]
    curves = [vote_curve(of_arm, reader) for of_arm in rows_of]
    audited = {c.arm: facts.reasons[c.arm] for c in cells if c.arm in facts.reasons}
    found_out = audit_arms(rows, audited, reader)
    tags = {problem.question.id: problem.tags for problem in problems}
    ranked = [pair for pair in pairs if pair[0] not in facts.upper_bounds]
    verdicts = tuple(
        withhold(
            mark_upper_bound(
                _verdict([(how, found[i]) for how, found in counted], margin),
                facts.upper_bounds,
                margin,
            ),
            found_out,
        )
        for i in range(len(paired))
    )
    return Comparison(
        run_id=facts.run_id,
        model=facts.model,
        n_params=facts.n_params,
        bench=facts.bench,
        bench_version=facts.bench_version,
        n_problems=facts.n_problems,
        n_total=facts.n_total,
        reader=reader,
        margin=margin,
        cells=cells,
        verdicts=verdicts,
        notes=(
            *upper_bound_notes([one.arm for one in cells], facts.upper_bounds),
            *audit_notes(found_out),
            *comparison_notes(cells, paired, main, n_problems=facts.n_problems, level=level),
        ),
        audits=found_out,
        transitions=tuple(step for of_arm in rows_of for step in count_transitions(of_arm)),
        votes=tuple(curve for curve in curves if curve is not None),
        difficulty=gains_by_steps(
            paired,
            counted[0][0],
            [verdict.gain.label for verdict in verdicts],
            margin=margin,
            level=level,
            sequential=sequential,
        ),
        is_sequential=sequential,
        following=measure_following(rows, facts.flips, level),
        bias=measure_bias(rows, tags, reader=reader, level=level),
        bias_changes=measure_bias_changes(rows, tags, ranked, reader=reader, level=level),
        chains=count_chain_steps(rows),
        metrics=_measure_all([cell.arm for cell in cells], rows, pairs, problems, level),
    )


def _measure_all(
    arms: Sequence[str],
    rows: Sequence[AttemptRow],
    pairs: Sequence[tuple[str, str]],
    problems: Sequence[Problem],
    level: float,
) -> tuple[MetricResult, ...]:
    """Return every metric of the rows, and the benchmark's preferred one on its own scale."""
    metrics = measure_metrics(
        rows, arms, pairs, kind_of=find_metric, calibration=calibration_error, level=level
    )
    if (scale := preferred_scale(problems)) is None:
        return metrics
    metric, low, high = scale
    return add_normalised(
        metrics, metric, partial(normalise_score, low=low, high=high), METRICS["normalised"]
    )


def changes_answer(main: Gain, other: Gain, counting: Grading) -> bool:
    """Whether another way of counting changes the answer (docs/statistics.md, "Depends on").

    It does if the direction of the label changes: better, worse, neither. One exception: leaving
    answers out, or counting them by an extreme, may cost certainty; if all it did was to make the
    label undetermined while the gain kept its sign, the answer stands.
    """
    was, now = label_direction(main.label), label_direction(other.label)
    if was == now:
        return False
    if counting.kind == "treatment" and other.label == "undetermined":
        return math.isnan(other.gain) or other.gain * was <= 0
    return True


def _verdict(counted: Sequence[tuple[Grading, Gain]], margin: float) -> Verdict:
    (_, main), *others = counted
    depends_on = [how for how, gain in others if changes_answer(main, gain, how)]
    return Verdict(
        gain=main,
        variants=tuple(Variant(name=how.name, gain=gain) for how, gain in others),
        depends_on=tuple(how.name for how in depends_on),
        sentence=gain_sentence(main, margin, depends_on),
    )


def _rows_by_arm(rows: Sequence[AttemptRow]) -> _ByArm:
    table: dict[str, dict[str, AttemptRow]] = {}
    for row in rows:
        of_arm = table.setdefault(row.arm, {})
        if row.sample != 0 or row.problem_id in of_arm:
            raise UsageError(
                f"more than one sample of {row.problem_id} by {row.arm}",
                hint="comparisons take one sample of each problem",
            )
        of_arm[row.problem_id] = row
    return table


def _pair_rows(table: _ByArm, arm: str, control: str) -> list[Pair]:
    ours, theirs = table.get(arm, {}), table.get(control, {})
    both = [(ours[problem], theirs[problem]) for problem in ours if problem in theirs]
    return [pair for pair in both if all(row.outcome != "failed" for row in pair)]


def _order_arms(table: _ByArm, pairs: Sequence[tuple[str, str]]) -> list[str]:
    controls = [control for _, control in pairs]
    arms = [arm for arm, _ in pairs]
    return list(dict.fromkeys([*controls, *arms, *sorted(table)]))


def check_question(pairs: Sequence[tuple[str, str]], margin: float, level: float) -> None:
    """Refuse what :func:`compare` refuses, before there are rows.

    Raises:
        UsageError: as there.
    """
    if not 0 < margin < 1:
        raise UsageError(f"margin must lie between 0 and 1, not {margin}", hint="2 points: 0.02")
    if not 0 < level < 1:
        raise UsageError(f"level must lie between 0 and 1, not {level}", hint="95 %: 0.95")
    if len(set(pairs)) < len(pairs):
        raise UsageError("a pair of arm and control is given twice")
    for arm, control in pairs:
        if arm == control:
            raise UsageError(f"{arm} cannot be compared with itself")


# One arm on its own: outcomes, solve rate, and what it cost.


def summarise_arm(
    arm: str, rows: Sequence[AttemptRow], level: float, price: PriceLike | None = None
) -> Cell:
    """Summary of one arm's rows. Failed rows are counted as failed and enter nothing else.

    Means over no rows are NaN. The order of ``rows`` does not matter: sums are exact (``fsum``).
    """
    found = Counter(row.outcome for row in rows)
    done = [row for row in rows if row.outcome != "failed"]
    n, n_correct = len(done), found["correct"]
    prompt = _sum_or_none([row.n_prompt_tokens for row in done])
    generated = _sum_or_none([row.n_generated_tokens for row in done])
    usd = cost_of(rows, price)
    seconds = math.fsum(row.seconds for row in done)
    return Cell(
        arm=arm,
        n=n,
        outcomes={outcome: found[outcome] for outcome in OUTCOMES},
        n_correct=n_correct,
        solve_rate=n_correct / n if n else math.nan,
        interval=wilson(n_correct, n, level),
        prompt_tokens=prompt / n if prompt is not None else None,
        shared_tokens=sum(row.n_shared_tokens for row in done) / n if n else math.nan,
        generated_tokens=generated / n if generated is not None else None,
        generated_per_correct=generated / n_correct
        if generated is not None and n_correct
        else None,
        usd=usd / n if usd is not None else None,
        usd_per_correct=usd / n_correct if usd is not None and n_correct else None,
        seconds=seconds / n if n else math.nan,
        seconds_per_correct=seconds / n_correct if n_correct else None,
    )


def _sum_or_none(counts: Sequence[int | None]) -> int | None:
    """Sum, or None if one is unknown or there is none: a partial sum would pass for a cheap arm."""
    known = [count for count in counts if count is not None]
    return sum(known) if known and len(known) == len(counts) else None


# Arms that see the gold answers: upper bounds, called so wherever they stand, never a verdict.


def mark_upper_bound(verdict: Verdict, upper_bounds: Collection[str], margin: float) -> Verdict:
    """The verdict; without any claim of help or harm if its arm is an upper bound."""
    if verdict.gain.arm not in upper_bounds:
        return verdict
    gain = _label_upper_bound(verdict.gain)
    return replace(
        verdict,
        gain=gain,
        variants=tuple(replace(v, gain=_label_upper_bound(v.gain)) for v in verdict.variants),
        depends_on=(),
        sentence=gain_sentence(gain, margin, ()),
    )


def upper_bound_notes(arms: Sequence[str], upper_bounds: Collection[str]) -> tuple[str, ...]:
    """A note for each upper bound."""
    return tuple(
        f"{arm} sees the gold answers: an upper bound, not a strategy to use or to rank"
        for arm in arms
        if arm in upper_bounds
    )


def _label_upper_bound(gain: Gain) -> Gain:
    return replace(gain, label="upper_bound")


# What the attempts of an arm cost at a list price.


class PriceLike(Protocol):
    """A price, such as ``models.prices.Price``: what so many tokens cost in US dollars."""

    def cost(
        self, n_prompt: float, n_shared: float, n_cache_write: float, n_generated: float
    ) -> float:
        """As ``Price.cost``."""
        ...


def cost_of(rows: Sequence[AttemptRow], price: PriceLike | None) -> float | None:
    """US dollars for all attempts that did not fail; None: unknown.

    That is what the arm costs on its own: a completion that it shares with another arm is paid in
    both, and one that the store held already is paid too. Unknown without a price, without an
    attempt, or if the tokens of one are: a partial sum would pass for a cheap arm.
    """
    done = [row for row in rows if row.outcome != "failed"]
    costs = [_row_cost(row, price) for row in done] if price is not None else []
    known = [cost for cost in costs if cost is not None]
    return math.fsum(known) if known and len(known) == len(done) else None


def _row_cost(row: AttemptRow, price: PriceLike) -> float | None:
    if row.n_prompt_tokens is None or row.n_generated_tokens is None:
        return None
    return price.cost(
        row.n_prompt_tokens,
        row.n_shared_tokens,
        row.n_cache_write_tokens,
        row.n_generated_tokens,
    )
