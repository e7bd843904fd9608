"""The one assembler: rows of arms on one model and one benchmark in, a `Comparison` out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol, TypeAlias

from cotkit.analysis.audit import audit_arms, audit_notes, thinking_notes, withhold
from cotkit.analysis.bias import measure_bias, measure_bias_changes
from cotkit.analysis.decision import choose_arm
from cotkit.analysis.following import (
    is_label_arm,
    mean_over_sets,
    measure_following,
    tell_labels,
)
from cotkit.analysis.gains import (
    Grading,
    Pair,
    changes_direction,
    compute_gains,
    list_gradings,
)
from cotkit.analysis.interactions import interaction_sentence, measure_interactions
from cotkit.analysis.metrics import add_normalised, measure_metrics
from cotkit.analysis.samples import (
    cluster_names,
    count_repeats,
    count_transitions,
    rate_interval,
    vote_curve,
)
from cotkit.analysis.sentences import comparison_notes, gain_sentence
from cotkit.analysis.steps import count_chain_steps, gains_by_steps
from cotkit.analysis.sweeps import measure_sweeps
from cotkit.analysis.trends import measure_trends, trend_sentence
from cotkit.analysis.values import (
    Aside,
    Cell,
    Comparison,
    Criteria,
    Decision,
    Gain,
    MetricResult,
    Variant,
    Verdict,
)
from cotkit.errors import UsageError
from cotkit.scoring.chance import CHANCE, Chance
from cotkit.scoring.measure import preferred_scale, show_options
from cotkit.scoring.metrics import METRICS, calibration_error, find_metric, normalise_score
from cotkit.scoring.scope import runs_on
from cotkit.store.rows import AttemptRow
from cotkit.types import OUTCOMES, Problem

_Attempts: TypeAlias = tuple[AttemptRow, ...]  # of one arm at one problem, by sample
_ByArm: TypeAlias = Mapping[str, Mapping[str, _Attempts]]  # arm -> problem id -> attempts


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What a comparison says of its run.

    All but ``reasons``, ``thinking``, ``upper_bounds``, ``flips``, ``run_ons`` and ``chance`` go
    into the `Comparison`.
    """

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
    thinking: Mapping[str, str | None] = field(default_factory=dict[str, "str | None"])
    """Arm -> how its model was told to think (None: as it does by itself); absent: unknown."""
    upper_bounds: frozenset[str] = frozenset()
    """Arms that see the gold answers."""
    flips: Mapping[str, float] = field(default_factory=dict[str, float])
    """Arm -> share of the labels of its exemplars that were flipped."""
    is_unwalled: bool = False
    """Whether code that the model wrote ran without a sandbox."""
    chance: Chance | None = None
    """What guessing solves; None: nothing is measured against it."""
    address: str | None = None
    """Where the model was asked, if that is no provider's own address."""
    run_ons: Mapping[str, int] = field(default_factory=dict[str, int])
    """Arm -> attempts whose rows have no text and which ran on into another turn or problem."""


def compare(
    rows: Sequence[AttemptRow],
    pairs: Sequence[tuple[str, str]],
    facts: RunFacts,
    problems: Sequence[Problem],
    criteria: Criteria,
    *,
    sequential: bool = False,
    price: PriceLike | None = None,
) -> Comparison:
    """Make every table that the rows allow: of a run, of a file of texts, of other tools' logs.

    Args:
        rows: Of each arm and problem one or several samples; the order changes nothing unless
            ``sequential``.
        pairs: (arm, control), in the order of the report. All intervals hold at once at ``level``.
        facts: What to say of the run.
        problems: All that the benchmark has, so far as they are known: their tags and scores
            decide which tables there are beside those that the rows alone allow.
        criteria: The reader must be the one by which the rows' outcomes were decided; a cell's own
            solve rate has the report's level, too. ``pairs`` say what is measured against what.
        sequential: Whether the run was looked at after every problem, so that its gains need a
            confidence sequence; each arm's rows must then come in the order drawn.
        price: What the model's tokens cost; None: unknown.

    Returns:
        Cells (controls first, then the arms, then arms of ``rows`` in no pair, by name) and one
        verdict for each pair.

    Raises:
        UsageError: a sample of a problem twice, a pair given twice or of one arm with itself, rows
            scored by another reader, or ``margin`` or ``level`` out of range.
    """
    check_criteria(pairs, criteria)
    reader, margin, level = criteria.reader, criteria.margin, criteria.level
    table = _rows_by_arm(rows)
    paired = {names: _pair_rows(table, *names) for names in pairs}
    gradings = list_gradings(rows, reader, facts.chance.rates if facts.chance else None)
    with_failed = {names: _pair_rows(table, *names, keeps_failed=True) for names in pairs}
    counted = [
        compute_gains(
            with_failed if grading.counts_failed else paired,
            grading,
            margin=margin,
            level=level,
            sequential=sequential,
        )
        for grading in gradings
    ]
    arms = _order_arms(table, pairs)
    by_problem = {arm: list(table.get(arm, {}).values()) for arm in arms}
    by_arm = {arm: [row for attempts in by_problem[arm] for row in attempts] for arm in arms}
    repeated = {arm for arm in arms if any(len(attempts) > 1 for attempts in by_problem[arm])}
    cells = tuple(
        replace(cell, n_run_on=cell.n_run_on + facts.run_ons.get(cell.arm, 0))
        for cell in (summarise_arm(arm, by_problem[arm], level, price) for arm in arms)
    )
    audits = audit_arms(
        rows,
        {arm: facts.reasons[arm] for arm in arms if arm in facts.reasons},
        reader,
        facts.thinking,
    )
    following = measure_following(rows, facts.flips, level, counted[0])
    interactions = () if sequential else measure_interactions(table, pairs, level)
    counted_verdicts = [
        mark_upper_bound(
            _make_verdict(gradings, [gains[i] for gains in counted], margin),
            facts.upper_bounds,
            margin,
        )
        for i in range(len(paired))
    ]
    verdicts = tuple(
        withhold(
            tell_labels(verdict, facts.flips, following, cells, gradings=gradings, margin=margin),
            audits,
        )
        for verdict in counted_verdicts
    )
    candidates = [
        arm
        for arm in (() if sequential else arms)
        if arm not in facts.upper_bounds and not is_label_arm(arm, facts.flips)
    ]
    trends = measure_trends(
        {arm: score_problems(by_problem[arm]) for arm in (() if sequential else arms)},
        {row.problem_id: row.cluster for arm in arms for row in by_arm[arm]},
        level=level,
    )
    ordered = [row for arm in arms for row in by_arm[arm]]
    single = [row for row in ordered if row.arm not in repeated]
    tags = {problem.question.id: problem.tags for problem in problems}
    ranked = [pair for pair in pairs if pair[0] not in facts.upper_bounds]
    curves = [vote_curve(by_arm[arm], reader) for arm in arms]
    scores = {arm: score_problems(by_problem[arm]) for arm in candidates}
    clusters = {row.problem_id: row.cluster for arm in candidates for row in by_arm[arm]}
    of_arm = {cell.arm: cell for cell in cells}
    labels = {(v.gain.arm, v.gain.control): v.gain.label for v in verdicts}
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
            *upper_bound_notes(arms, facts.upper_bounds),
            *audit_notes(audits),
            *thinking_notes(rows, arms, facts.thinking),
            *((f"chance: {facts.chance.how}",) if facts.chance else ()),
            *note_mute_readers(gradings),
            *(
                interaction_sentence(each, labels.get((each.arm, each.control)))
                for each in interactions
            ),
            *map(trend_sentence, trends),
            *comparison_notes(
                cells,
                paired,
                counted[0],
                n_problems=facts.n_problems,
                level=level,
                not_help={arm for arm in arms if is_label_arm(arm, facts.flips)},
            ),
            *_repeats_notes({arm: by_problem[arm] for arm in arms if arm in repeated}, tags),
        ),
        audits=audits,
        interactions=interactions,
        trends=trends,
        transitions=tuple(step for arm in arms for step in count_transitions(by_arm[arm])),
        votes=tuple(curve for curve in curves if curve is not None),
        repeats=tuple(
            repeats
            for arm in arms
            if arm in repeated
            for repeats in count_repeats(arm, _completed(by_problem[arm]), reader, level)
        ),
        difficulty=gains_by_steps(
            paired,
            gradings[0],
            [verdict.gain.label for verdict in verdicts],
            margin=margin,
            level=level,
            sequential=sequential,
        ),
        is_sequential=sequential,
        is_unwalled=facts.is_unwalled,
        following=following,
        symbol_means=mean_over_sets(single, pairs, level),
        address=facts.address,
        bias=measure_bias(single, tags, reader=reader, level=level),
        bias_changes=measure_bias_changes(single, tags, ranked, reader=reader, level=level),
        chains=count_chain_steps(ordered),
        metrics=_measure_all(arms, rows, pairs, problems, level),
        sweeps=measure_sweeps(scores, clusters, of_arm, margin=margin, level=level),
        decision=_decide(scores, clusters, of_arm, margin=margin, level=level),
    )


def score_problems(attempts: Iterable[_Attempts]) -> dict[str, float]:
    """Return problem -> share of its attempts that are correct, of those that did not fail."""
    return {
        rows[0].problem_id: sum(row.outcome == "correct" for row in rows) / len(rows)
        for rows in _completed(attempts)
    }


def _decide(
    scores: Mapping[str, Mapping[str, float]],
    clusters: Mapping[str, str | None],
    cells: Mapping[str, Cell],
    *,
    margin: float,
    level: float,
) -> Decision | None:
    """Return which arm to use, by dollars if they are known of every arm, else by tokens."""
    usd = {arm: usd for arm in scores if (usd := cells[arm].usd) is not None}
    tokens = {
        arm: (cells[arm].prompt_tokens or 0) + (cells[arm].generated_tokens or 0)
        for arm in scores
        if None not in {cells[arm].prompt_tokens, cells[arm].generated_tokens}
    }
    costs, unit = (usd, "usd") if len(usd) == len(scores) else (tokens, "tokens")
    if len(costs) < len(scores):
        return None
    return choose_arm(
        scores,
        clusters,
        costs,
        "usd" if unit == "usd" else "tokens",
        margin=margin,
        level=level,
    )


def check_criteria(pairs: Sequence[tuple[str, str]], criteria: Criteria) -> None:
    """Refuse what :func:`compare` refuses, before there are rows.

    Raises:
        UsageError: as there.
    """
    for name, share, hint in (
        ("margin", criteria.margin, "2 points: 0.02"),
        ("level", criteria.level, "95 %: 0.95"),
    ):
        if not 0 < share < 1:
            raise UsageError(f"{name} must lie between 0 and 1, not {share}", hint=hint)
    if len(set(pairs)) < len(pairs):
        raise UsageError("a pair of arm and control is given twice")
    for arm, control in pairs:
        if arm == control:
            raise UsageError(f"{arm} cannot be compared with itself")


def _rows_by_arm(rows: Sequence[AttemptRow]) -> _ByArm:
    table: dict[str, dict[str, dict[int, AttemptRow]]] = {}
    for row in rows:
        samples = table.setdefault(row.arm, {}).setdefault(row.problem_id, {})
        if row.sample in samples:
            raise UsageError(
                f"sample {row.sample} of {row.problem_id} by {row.arm} is given twice",
                hint="samples of a problem are numbered 0, 1, 2, ...",
            )
        samples[row.sample] = row
    return {
        arm: {
            problem: tuple(samples[number] for number in sorted(samples))
            for problem, samples in problems.items()
        }
        for arm, problems in table.items()
    }


def _completed(by_problem: Iterable[_Attempts]) -> list[_Attempts]:
    """Return the attempts that did not fail, without the problems that have none."""
    completed = (tuple(row for row in rows if row.outcome != "failed") for rows in by_problem)
    return [attempts for attempts in completed if attempts]


def _pair_rows(table: _ByArm, arm: str, control: str, *, keeps_failed: bool = False) -> list[Pair]:
    attempts, others = table.get(arm, {}), table.get(control, {})
    if control == CHANCE and not others:
        by_problem = attempts.values() if keeps_failed else _completed(attempts.values())
        return [(rows, ()) for rows in by_problem]
    if keeps_failed:
        return [(attempts[name], others[name]) for name in attempts if name in others]
    both = (_completed([attempts[name], others[name]]) for name in attempts if name in others)
    return [(pair[0], pair[1]) for pair in both if len(pair) > 1]


def _order_arms(table: _ByArm, pairs: Sequence[tuple[str, str]]) -> list[str]:
    controls = [control for _, control in pairs]
    arms = [arm for arm, _ in pairs]
    names = dict.fromkeys([*controls, *arms, *sorted(table)])
    return [name for name in names if name != CHANCE or name in table]


def _make_verdict(gradings: Sequence[Grading], gains: Sequence[Gain], margin: float) -> Verdict:
    """Return the verdict of the first grading's gain; the others show what it depends on."""
    main = gains[0]
    variants = list(zip(gradings[1:], gains[1:], strict=True))
    depends_on = [grading for grading, gain in variants if changes_answer(main, gain, grading)]
    return Verdict(
        gain=main,
        variants=tuple(Variant(name=grading.name, gain=gain) for grading, gain in variants),
        depends_on=tuple(grading.name for grading in depends_on),
        sentence=gain_sentence(main, margin, depends_on),
    )


def changes_answer(main: Gain, other: Gain, grading: Grading) -> bool:
    """Return whether another way of counting changes the answer (`changes_direction`)."""
    return not grading.is_mute and changes_direction(
        main.label, other.label, other.gain, is_lenient=grading.is_lenient
    )


def note_mute_readers(gradings: Sequence[Grading]) -> list[str]:
    """Name the readers that read nearly nothing, so that no verdict hangs on them."""
    notes: list[str] = [
        Aside(f"reader {grading.reader} reads nearly nothing in any arm and moves no verdict")
        for grading in gradings[1:]
        if grading.is_mute
    ]
    if gradings[0].is_mute:
        notes.append(
            f"reader {gradings[0].reader}, which decides, reads nearly nothing in any arm: what it "
            "says of a gain is of answers that it could not read"
        )
    return notes


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
    kind = METRICS["normalised"]
    if metric == "exact_match" and show_options(problems):
        kind = replace(kind, unit="0 none right, 100 best")
    return add_normalised(metrics, metric, partial(normalise_score, low=low, high=high), kind)


def _repeats_notes(
    repeated: Mapping[str, Sequence[_Attempts]], tags: Mapping[str, Mapping[str, str]]
) -> list[str]:
    """Say of arms with several samples what that means for the tables."""
    notes: list[str] = []
    for arm, by_problem in repeated.items():
        sizes = [len(attempts) for attempts in by_problem]
        if min(sizes) < max(sizes):
            notes.append(
                f"{arm}: problems have {min(sizes)} to {max(sizes)} samples; each problem weighs "
                f"the same, and k goes no further than {min(sizes)}"
            )
    if repeated and any("condition" in of_problem for of_problem in tags.values()):
        arms = ", ".join(repeated)
        notes.append(f"bias is counted of one reply to each item, so it is not shown of {arms}")
    return notes


# One arm on its own: outcomes, solve rate, and what it cost.


def summarise_arm(
    arm: str, by_problem: Sequence[_Attempts], level: float, price: PriceLike | None = None
) -> Cell:
    """Summarise one arm. Failed attempts are counted as failed and enter nothing else.

    Of several samples of a problem the solve rate is the mean over problems of the share that is
    correct. Means over no attempts are NaN. The order of problems does not matter: sums are exact
    (``fsum``).
    """
    rows = [row for attempts in by_problem for row in attempts]
    outcomes = Counter(row.outcome for row in rows)
    per_problem = _completed(by_problem)
    completed = [row for attempts in per_problem for row in attempts]
    n, n_attempts, n_correct = len(per_problem), len(completed), outcomes["correct"]
    is_repeated = any(len(attempts) > 1 for attempts in by_problem)
    shares = [
        sum(row.outcome == "correct" for row in attempts) / len(attempts)
        for attempts in per_problem
    ]
    prompt = _sum_or_none([row.n_prompt_tokens for row in completed])
    generated = _sum_or_none([row.n_generated_tokens for row in completed])
    thinking = _sum_or_none([row.n_reasoning_tokens for row in completed]) or None
    usd = cost_of(rows, price)
    seconds = math.fsum(row.seconds for row in completed)
    shared = sum(row.n_shared_tokens for row in completed)
    return Cell(
        arm=arm,
        n=n,
        n_samples=n_attempts if is_repeated else None,
        outcomes={outcome: outcomes[outcome] for outcome in OUTCOMES},
        n_run_on=sum(
            any(map(runs_on, (row.text, *(draft.text for draft in row.drafts))))
            for row in completed
        ),
        n_correct=n_correct,
        solve_rate=math.fsum(shares) / n if n else math.nan,
        interval=rate_interval(
            shares, n_attempts, level, cluster_names([attempts[0] for attempts in per_problem])
        ),
        prompt_tokens=prompt / n_attempts if prompt is not None else None,
        shared_tokens=shared / n_attempts if completed else math.nan,
        generated_tokens=generated / n_attempts if generated is not None else None,
        generated_per_correct=generated / n_correct
        if generated is not None and n_correct
        else None,
        thinking_tokens=thinking / n_attempts if thinking is not None else None,
        thinking_per_correct=thinking / n_correct if thinking is not None and n_correct else None,
        usd=usd / n_attempts if usd is not None else None,
        usd_per_correct=usd / n_correct if usd is not None and n_correct else None,
        seconds=seconds / n_attempts if completed else math.nan,
        seconds_per_correct=seconds / n_correct if n_correct else None,
    )


def _sum_or_none(counts: Sequence[int | None]) -> int | None:
    """Return the sum; None if one is unknown or there is none: a part would pass for cheap."""
    numbers = [count for count in counts if count is not None]
    return sum(numbers) if numbers and len(numbers) == len(counts) else None


# Arms that see the gold answers: upper bounds, called so wherever they stand, never a verdict.


def mark_upper_bound(verdict: Verdict, upper_bounds: Collection[str], margin: float) -> Verdict:
    """Return the verdict; of an upper bound without any claim of help or harm."""
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
    """Return a note for each upper bound."""
    return tuple(
        Aside(f"{arm} sees the gold answers: an upper bound, not a strategy to use or to rank")
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
        """Return the dollars for so many tokens, as ``Price.cost`` does."""
        ...


def cost_of(rows: Sequence[AttemptRow], price: PriceLike | None) -> float | None:
    """Return the US dollars for all attempts that did not fail; None: unknown.

    That is what the arm costs on its own: a completion that it shares with another arm is paid in
    both, and one that the store held already is paid too. Unknown without a price, without an
    attempt, or if the tokens of one are: a partial sum would pass for a cheap arm.
    """
    completed = [row for row in rows if row.outcome != "failed"]
    costs = [_row_cost(row, price) for row in completed] if price is not None else []
    sums = [cost for cost in costs if cost is not None]
    return math.fsum(sums) if sums and len(sums) == len(completed) else None


def _row_cost(row: AttemptRow, price: PriceLike) -> float | None:
    if row.n_prompt_tokens is None or row.n_generated_tokens is None:
        return None
    return price.cost(
        row.n_prompt_tokens,
        row.n_shared_tokens,
        row.n_cache_write_tokens,
        row.n_generated_tokens,
    )
