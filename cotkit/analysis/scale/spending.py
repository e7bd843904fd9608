"""Solve rate against what a model spends while it answers: longer thoughts, or more samples.

Every arm of every model is a point: what it solves, and the tokens that it was measured to take,
not those that were asked for. Arms that differ in one ordered setting are a curve
(:mod:`cotkit.analysis.sweeps`). Where a model has curves of both kinds, more samples (parallel)
are compared with longer thoughts (serial) at equal generated tokens: problem by problem with the
two arms on either side, mixed in the proportion that takes as many.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

from cotkit.analysis.gains import PairedSample, estimate_gains, measure_sample, number_units
from cotkit.analysis.scale.contrasts import ContrastLabel, label_difference
from cotkit.analysis.scale.frontier import mark_frontier, price_comparisons
from cotkit.analysis.scale.values import CostPoint
from cotkit.analysis.sweeps import find_sweeps, measure_sweeps, say_sweep
from cotkit.analysis.values import LEVEL, Cell, PageRun, Sweep, SweepPoint
from cotkit.errors import UsageError
from cotkit.stats.hypotheses import sidak_level
from cotkit.stats.intervals import Interval

SpendingUnit = Literal["thinking-tokens", "tokens"]
"""What is spent: tokens of thinking, or all that were generated, those of thinking and of every
sample included; a provider's summary of a thought is neither."""

SERIAL, PARALLEL = frozenset({"thinking", "tokens", "times", "max_thinking_tokens"}), "k"
"""Parameters that make a thought longer, and the one that takes more samples."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendingCurve:
    """Arms of one model that differ in one setting."""

    model: str
    """As reports name it."""
    sweep: Sweep
    """The arms, and from which on more brings nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EqualSpending:
    """More samples against longer thoughts of one model, at equal generated tokens."""

    model: str
    """As reports name it."""
    arm: str
    """The arm of several samples."""
    between: tuple[str, str]
    """The arms of the other curve on either side; twice the same if one takes just as many."""
    tokens: float
    """Generated tokens per problem of both."""
    n: int
    """Problems that all of them completed."""
    rate: float
    """What the samples solve."""
    serial_rate: float
    """What the longer thoughts solve at these tokens, on the straight line between the two."""
    interval: Interval
    """Of the first less the second; holds together with the others of the report."""
    label: ContrastLabel
    """From the interval and the margin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """What models solve, by what they spend while they answer."""

    bench: str
    """Benchmark name and version."""
    unit: SpendingUnit
    """What is spent."""
    margin: float
    """Smallest difference that counts as material."""
    n_problems: int
    """Problems asked."""
    reader: str
    """Decides what is correct."""
    points: tuple[CostPoint, ...]
    """Every arm; ``tokens`` are those of ``unit``."""
    curves: tuple[SpendingCurve, ...]
    """Of each model, in the order given."""
    matches: tuple[EqualSpending, ...]
    """Of each model that has curves of both kinds."""
    sentences: tuple[str, ...]
    """The answers in plain words."""
    notes: tuple[str, ...]
    """Warnings that a reader must see."""
    runs: Mapping[str, str]
    """Model -> its run."""


def analyse_spending(
    runs: Mapping[str, PageRun], unit: SpendingUnit, *, margin: float, reach: float | None = None
) -> Spending:
    """Say where more thinking stops helping, what is cheapest, and whether samples do better.

    Args:
        runs: Model, as reports name it -> its run, on the same problems; at least one.
        unit: What is spent.
        margin: Smallest difference that counts as material, in (0, 1).
        reach: A solve rate, 0..1: the cheapest that reaches it is named.

    Raises:
        UsageError: no two arms that differ in an ordered setting, or nothing is known of what was
            spent.
    """
    points: list[CostPoint] = []
    curves: list[SpendingCurve] = []
    notes: list[str] = []
    matched: list[tuple[_Match, PairedSample]] = []
    for model, run in runs.items():
        left_out = {audit.arm for audit in run.comparison.audits if audit.is_contaminated}
        cells = {cell.arm: cell for cell in run.comparison.cells if cell.arm not in left_out}
        scores = {arm: scores for arm, scores in _scores(run).items() if arm in cells}
        clusters = {sample.problem.question.id: sample.problem.cluster for sample in run.samples}
        priced = [p for p in price_comparisons([run.comparison]) if p.arm in cells]
        points += [
            replace(
                point,
                rung=replace(point.rung, model=model),
                tokens=tokens_spent(cells[point.arm], unit),
            )
            for point in priced
        ]
        sweeps = measure_sweeps(scores, clusters, cells, margin=margin, level=LEVEL, n_least=2)
        curves += [
            SpendingCurve(model=model, sweep=sweep)
            for sweep in sweeps
            if any(tokens_spent(point, unit) for point in sweep.points)
        ]
        matched += [
            (match, _pair(match, scores, clusters)) for match in _match(model, sweeps, cells)
        ]
        prefix = f"{model}: " if len(runs) > 1 else ""
        notes += [type(note)(f"{prefix}{note}") for note in run.comparison.notes]
        notes += [f"{prefix}{arm} is left out: it reasons unasked" for arm in sorted(left_out)]
    check_curves([point.arm for point in points])
    _check_counted(points, unit)
    first = next(iter(runs.values())).comparison
    spending = Spending(
        bench=f"{first.bench}@{first.bench_version}",
        unit=unit,
        margin=margin,
        n_problems=first.n_problems,
        reader=first.reader,
        points=mark_frontier(points),
        curves=tuple(curves),
        matches=_estimate(matched, margin),
        sentences=(),
        notes=tuple(dict.fromkeys(notes)),
        runs={model: run.comparison.run_id for model, run in runs.items()},
    )
    return replace(spending, sentences=tuple(_say_spending(spending, reach)))


def tokens_spent(point: Cell | SweepPoint, unit: SpendingUnit) -> float | None:
    """Return the mean tokens of a problem; None: unknown. An arm of no thinking spends 0 of it."""
    return (point.thinking_tokens or 0.0) if unit == "thinking-tokens" else point.generated_tokens


def check_curves(arms: Sequence[str]) -> None:
    """Refuse arms of which no two are on a curve, before anything is asked.

    Raises:
        UsageError: says which would be.
    """
    if not find_sweeps(arms, 2):
        raise UsageError(
            "no two arms differ in an ordered setting alone, so there is no curve",
            hint="--strategy standard:thinking=off+low+high, think-budget:tokens=64+256 or "
            "self-consistency:k=1+5",
        )


def _check_counted(points: Sequence[CostPoint], unit: SpendingUnit) -> None:
    if not any(point.tokens for point in points):
        what, is_thinking = unit.replace("-", " "), unit == "thinking-tokens"
        raise UsageError(
            f"no {what} were counted in any arm",
            hint="--x tokens takes all that one model generates"
            if is_thinking
            else "the server does not say how many it generated",
        )


def _scores(run: PageRun) -> dict[str, dict[str, float]]:
    """Return arm -> problem -> 1 if it is solved, else 0; failed attempts are left out."""
    scores: dict[str, dict[str, float]] = {cell.arm: {} for cell in run.comparison.cells}
    for sample in run.samples:
        for take in sample.takes:
            if take.outcome != "failed":
                scores[take.arm][sample.problem.question.id] = float(take.outcome == "correct")
    return scores


# More samples against longer thoughts, at equal tokens.


@dataclass(frozen=True, slots=True, kw_only=True)
class _Match:
    """An arm of several samples, and two of longer thoughts with its tokens between theirs."""

    model: str
    arm: str
    low: str
    high: str
    share: float
    """Of the second of the two, in the mixture that takes as many tokens."""
    tokens: float


def _match(model: str, sweeps: Sequence[Sweep], cells: Mapping[str, Cell]) -> Iterator[_Match]:
    """Yield every arm of several samples with every serial curve that reaches its tokens."""
    arms = {p.arm for each in sweeps if each.parameter == PARALLEL for p in each.points}
    for sweep in sweeps:
        serial = [
            (tokens, point.arm)
            for point in sweep.points
            if sweep.parameter in SERIAL and (tokens := point.generated_tokens) is not None
        ]
        names = {arm for _, arm in serial}
        for arm in sorted(arms - names):
            tokens = cells[arm].generated_tokens
            for (low, low_arm), (high, high_arm) in pairwise(sorted(serial)):
                if tokens is not None and low <= tokens <= high:
                    share = (tokens - low) / (high - low) if high > low else 0.0
                    yield _Match(
                        model=model,
                        arm=arm,
                        low=low_arm if share < 1 else high_arm,
                        high=high_arm if share > 0 else low_arm,
                        share=share,
                        tokens=tokens,
                    )
                    break


def _pair(
    match: _Match, scores: Mapping[str, Mapping[str, float]], clusters: Mapping[str, str | None]
) -> PairedSample:
    """Return what the two score on the problems that all arms concerned completed."""
    low, high = scores[match.low], scores[match.high]
    problems = [name for name in scores[match.arm] if name in low and name in high]
    units = number_units({name: clusters.get(name) for name in problems})
    return measure_sample(
        [scores[match.arm][name] for name in problems],
        [(1 - match.share) * low[name] + match.share * high[name] for name in problems],
        [units[name] for name in problems],
        n_units=len(set(units.values())),
        is_clustered=len(set(units.values())) < len(problems),
        is_resampled=match.low != match.high,
    )


def _estimate(
    matched: Sequence[tuple[_Match, PairedSample]], margin: float
) -> tuple[EqualSpending, ...]:
    each = sidak_level(LEVEL, max(1, len(matched)))
    return tuple(
        EqualSpending(
            model=match.model,
            arm=match.arm,
            between=(match.low, match.high),
            tokens=match.tokens,
            n=sample.n,
            rate=sample.arm_rate,
            serial_rate=sample.control_rate,
            interval=estimate.interval,
            label=label_difference(estimate.interval, margin),
        )
        for match, sample in matched
        for estimate in estimate_gains([sample], each)
    )


# The answers in plain words.


def _say_spending(spending: Spending, reach: float | None) -> Iterator[str]:
    what = "tokens of thinking" if spending.unit == "thinking-tokens" else "tokens"
    several = len(spending.runs) > 1
    for curve in spending.curves:
        sentence = say_sweep(
            curve.sweep,
            spending.margin,
            lambda point: f"{point.setting} ({_count(tokens_spent(point, spending.unit))} {what})",
        )
        yield f"{curve.model}, {sentence}" if several else sentence
    for match in spending.matches:
        yield _say_match(match, several=several)
    if reach is not None:
        reaching = [p for p in spending.points if p.rate >= reach and p.tokens is not None]
        best = min(reaching, key=lambda p: (p.tokens or 0.0, -p.rate), default=None)
        yield (
            f"No arm solves {100 * reach:g} %."
            if best is None
            else f"Cheapest at {100 * reach:g} % or more: {best.rung.model}, {best.arm}, "
            f"{100 * best.rate:.1f} % for {_count(best.tokens)} {what}."
        )


def _say_match(match: EqualSpending, *, several: bool) -> str:
    words = {
        "higher": "More samples solve more",
        "lower": "Longer thoughts solve more",
        "alike": "Samples and longer thoughts solve the same to within the margin",
        "undetermined": "Whether samples or longer thoughts solve more is undetermined",
    }
    low, high = match.between
    serial = low if low == high else f"between {low} and {high}"
    points = 100 * (match.rate - match.serial_rate)
    ends = f"{100 * match.interval.low:+.1f} to {100 * match.interval.high:+.1f}"
    model = f"{match.model}: " if several else ""
    return (
        f"{model}{words[match.label]} at {_count(match.tokens)} generated tokens: {match.arm} "
        f"{100 * match.rate:.1f} %, {serial} {100 * match.serial_rate:.1f} % ({points:+.1f} "
        f"points, {100 * match.interval.level:.4g} % interval {ends})."
    )


def _count(tokens: float | None) -> str:
    return "unknown" if tokens is None else f"{tokens:,.0f}"
