"""Gains over the control: the one estimator, with labels, and the rule by which a run may stop.

Every interval and p-value of a gain comes from here, both from one procedure:

- independent problems, answers right or wrong: Tango's score interval with McNemar's mid-p; over
  chance, which is exact, Wilson's score interval of the arm less it, with the score test;
- problems in clusters, or scores that are shares (repeated samples, graded metrics): sign flips of
  whole clusters below 30 of them, the symmetric bootstrap-t from 30 on, and flips where so few
  clusters differ from the others that the resamples have no quantile;
- a metric that is no rate, where at least 30 independent problems differ: the normal interval,
  which is what its resamples give by then;
- totals only: Newcombe's interval, and the p-value at which it touches 0;
- a run that is looked at after every problem: a confidence sequence.

``docs/statistics.md`` has formulas, assumptions and measured coverage.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from statistics import stdev
from typing import TYPE_CHECKING, Literal, TypeAlias

from cotkit.analysis.values import Gain, Label
from cotkit.errors import UsageError
from cotkit.scoring.chance import CHANCE
from cotkit.stats.hypotheses import (
    CORRELATION,
    holm,
    mcnemar_midp,
    minimum_detectable_effect,
    score_test,
    sidak_level,
)
from cotkit.stats.intervals import (
    Interval,
    critical_value,
    last_true,
    newcombe,
    newcombe_p_value,
    tango,
    wilson,
)
from cotkit.stats.sequential import ConfidenceSequence, is_decided, shared_level
from cotkit.store.rows import AttemptRow
from cotkit.types import Outcome

if TYPE_CHECKING:
    import numpy as np

    from cotkit.stats.bootstrap import Floats


N_RESAMPLES = 2000
"""Of each bootstrap, and sign flips, at least."""

MANY = 30
"""Problems with another value than most have, from which on a metric's mean counts as normal."""


def compute_gains(
    paired: Mapping[tuple[str, str], Sequence[Pair]],
    counting: Grading,
    *,
    margin: float,
    level: float,
    sequential: bool = False,
) -> tuple[Gain, ...]:
    """Return one gain for each (arm, control) of ``paired``, in its order, under one grading.

    Intervals are at the Sidak level over all of them, p-values also adjusted by Holm. Problems of
    one cluster (``AttemptRow.cluster``) are resampled together; of several attempts at a problem
    the mean counts. ``sequential``: intervals and p-values allow for a run that was looked at after
    every problem (Bonferroni level); the pairs must then come in the order drawn.
    """
    n_gains = max(1, len(paired))
    each = shared_level(level, n_gains) if sequential else sidak_level(level, n_gains)
    units = number_units(
        {pair[0][0].problem_id: _cluster_of(pair) for pairs in paired.values() for pair in pairs}
    )
    samples = [_measure_pairs(pairs, counting, units) for pairs in paired.values()]
    if sequential:
        estimates = [
            _watch_pairs(pairs, counting, sample.gain, each)
            for pairs, sample in zip(paired.values(), samples, strict=True)
        ]
    else:
        estimates = estimate_gains(samples, each)
    adjusted = holm([estimate.p_value for estimate in estimates])
    return tuple(
        Gain(
            arm=arm,
            control=control,
            reader=counting.reader,
            n=sample.n,
            n_better=sample.n_better,
            n_worse=sample.n_worse,
            gain=sample.gain,
            interval=estimate.interval,
            p_value=estimate.p_value,
            p_holm=p_holm,
            label=label_gain(estimate.interval, margin),
            mde=detectable_gain(sample, each),
            method="sequence" if sequential else sample.method,
            n_clusters=sample.n_clusters,
            n_effective=None if sample.n_clusters is None else sample.n_effective,
            clusters_needed=None if sequential else clusters_needed(sample, each),
            chance=sample.control_rate if control == CHANCE else None,
        )
        for (arm, control), sample, estimate, p_holm in zip(
            paired, samples, estimates, adjusted, strict=True
        )
    )


def number_units(clusters: Mapping[str, str | None]) -> Mapping[str, int]:
    """Number what is independent: problem -> its cluster, or itself where it has none.

    Numbers follow the names, so that the order of the problems changes nothing.

    Args:
        clusters: Problem -> its cluster; None: it stands alone.
    """
    names = {
        problem: (True, cluster) if cluster else (False, problem)
        for problem, cluster in clusters.items()
    }
    number = {name: i for i, name in enumerate(sorted(set(names.values())))}
    return {problem: number[name] for problem, name in names.items()}


def _cluster_of(pair: Pair) -> str | None:
    return next(
        (attempts[0].cluster for attempts in pair if attempts and attempts[0].cluster), None
    )


def _measure_pairs(
    pairs: Sequence[Pair], counting: Grading, units: Mapping[str, int]
) -> PairedSample:
    codes = [units[pair[0][0].problem_id] for pair in pairs]
    judged = [
        (verdict, code)
        for pair, code in zip(pairs, codes, strict=True)
        if (verdict := counting.judge(pair)) is not None
    ]
    return measure_sample(
        [float(arm) for (arm, _), _ in judged],
        [float(control) for (_, control), _ in judged],
        [code for _, code in judged],
        n_units=len(set(units.values())),
        is_clustered=len(set(codes)) < len(codes),
        is_over_chance=any(not control for _, control in pairs),
    )


def _watch_pairs(
    pairs: Sequence[Pair], counting: Grading, gain: float, level: float
) -> GainEstimate:
    watched = _WatchedGain(level)
    for pair in pairs:
        if (verdict := counting.judge(pair)) is not None:
            arm, control = verdict
            watched.update((arm > control) - (arm < control), _cluster_of(pair))
    interval = watched.sequence.interval
    if not math.isnan(gain):  # the sequence used one problem a cluster, the gain all
        interval = replace(interval, low=min(interval.low, gain), high=max(interval.high, gain))
    return GainEstimate(interval=interval, p_value=watched.sequence.p_value)


# What two arms scored on the same problems, and what that says of the gain.


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedSample:
    """What two arms scored on the same problems, as the procedure of its interval needs it."""

    n: int
    """Problems."""
    arm_rate: float
    """Mean score of the arm; NaN without problems."""
    control_rate: float
    """Mean score of the control; NaN without problems."""
    gain: float
    """Mean difference; NaN without problems."""
    n_better: int
    """Problems on which the arm scored more."""
    n_worse: int
    """Problems on which the control scored more."""
    method: Literal["tango", "wilson", "sign-flip", "bootstrap-t", "normal"]
    """How its interval is made."""
    n_effective: int
    """Independent problems that it is worth: fewer than ``n`` where clusters agree."""
    is_over_chance: bool = False
    """Whether the control is what guessing solves: known, without variance."""
    n_clusters: int | None = None
    """Clusters; None: every problem stands alone."""
    error: float | None = None
    """Standard error of the gain; None: the interval is not the normal one."""
    totals: Floats | None = None
    """[units] summed differences, zero where a unit has no problem; None: nothing is resampled."""
    sizes: Floats | None = None
    """[units] problems."""
    layers: tuple[tuple[int, int], ...] = ()
    """Of a difference of gains that few problems vary in: how many have one of 1 or more and of -1
    or less, and the same of 2."""
    scale: float = 1.0
    """What its differences are to be multiplied by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GainEstimate:
    """What is inferred of a gain."""

    interval: Interval
    """At the level asked for."""
    p_value: float
    """Two-sided, of no gain."""


def measure_sample(
    arm: Sequence[float],
    control: Sequence[float],
    units: Sequence[int],
    *,
    n_units: int,
    is_clustered: bool,
    is_resampled: bool = False,
    is_over_chance: bool = False,
) -> PairedSample:
    """Return what paired scores say, summed by what is independent.

    Args:
        arm: Score of the arm on each problem, 0..1; the mean where it has several attempts.
        control: The same of the control, or what guessing solves of each problem.
        units: Cluster of each problem; where it stands alone, a number of its own.
        n_units: Units in the whole report, so that all its gains can be resampled together.
        is_clustered: Whether problems share units.
        is_resampled: Whether they are values of a metric: even zeros and ones are resampled, or
            have the normal interval.
        is_over_chance: Whether ``control`` is what guessing solves.
    """
    n = len(arm)
    rates = (math.fsum(arm) / n, math.fsum(control) / n) if n else (math.nan, math.nan)
    if is_over_chance and len(set(control)) == 1:
        rates = rates[0], control[0]  # a sum over n may differ in the last bit
    scores = (arm,) if is_over_chance else (arm, control)
    is_binary = all(score in {0.0, 1.0} for column in scores for score in column)
    make_sample = partial(
        PairedSample,
        n=n,
        arm_rate=rates[0],
        control_rate=rates[1],
        n_better=sum(a > c for a, c in zip(arm, control, strict=True)),
        n_worse=sum(a < c for a, c in zip(arm, control, strict=True)),
        is_over_chance=is_over_chance,
    )
    if n == 0 or (is_binary and not is_clustered and not is_resampled):
        sample = make_sample(
            gain=rates[0] - rates[1] if n else math.nan,
            method="wilson" if is_over_chance else "tango",
            n_effective=n,
        )
        if n and not is_over_chance:  # exact in counts
            sample = replace(sample, gain=(sample.n_better - sample.n_worse) / n)
        return sample
    values = [a - c for a, c in zip(arm, control, strict=True)]
    gain = math.fsum(values) / n
    [(_, n_equal)] = Counter(values).most_common(1)
    is_metric = is_resampled or is_over_chance
    if is_metric and not is_clustered and (n == n_equal or n - n_equal >= MANY):
        error = 0.0 if n == n_equal else stdev(values) / math.sqrt(n)
        return make_sample(gain=gain, method="normal", n_effective=n, error=error)
    import numpy as np

    from cotkit.stats.bootstrap import MIN_CLUSTERS

    differences = np.asarray(values, dtype=np.float64)
    totals = np.bincount(units, weights=differences, minlength=n_units).astype(np.float64)
    sizes = np.bincount(units, minlength=n_units).astype(np.float64)
    n_clusters = int((sizes > 0).sum())
    return make_sample(
        gain=gain,
        method="bootstrap-t" if n_clusters >= MIN_CLUSTERS else "sign-flip",
        n_effective=_effective_size(differences, totals, sizes),
        n_clusters=n_clusters if is_clustered else None,
        totals=totals,
        sizes=sizes,
    )


def measure_difference(
    gains: Sequence[float],
    others: Sequence[float],
    units: Sequence[int],
    *,
    n_units: int,
    is_clustered: bool,
) -> PairedSample:
    """Return what two gains on the same problems say of the first less the second, in -2..2.

    Args:
        gains: Arm less control on each problem, -1..1; at least one.
        others: The same of the other pair.
        units: As of :func:`measure_sample`; so are ``n_units`` and ``is_clustered``.
        n_units: See there.
        is_clustered: See there.
    """
    differences = [a - b for a, b in zip(gains, others, strict=True)]
    [(_, n_equal)] = Counter(differences).most_common(1)
    is_whole = all(gain in {-1.0, 0.0, 1.0} for gain in (*gains, *others))
    if is_whole and not is_clustered and len(differences) - n_equal < MANY:
        return PairedSample(
            n=len(differences),
            arm_rate=math.fsum(gains) / len(gains),
            control_rate=math.fsum(others) / len(others),
            gain=math.fsum(differences) / len(differences),
            n_better=sum(difference > 0 for difference in differences),
            n_worse=sum(difference < 0 for difference in differences),
            method="tango",
            n_effective=len(differences),
            layers=tuple(
                (sum(d >= step for d in differences), sum(d <= -step for d in differences))
                for step in (1, 2)
            ),
        )
    sample = measure_sample(
        [gain / 2 for gain in gains],  # halves: differences of scores lie in -1..1
        [gain / 2 for gain in others],
        units,
        n_units=n_units,
        is_clustered=is_clustered,
        is_resampled=True,
    )
    return replace(sample, scale=2.0)


def measure_totals(rate: float, n: int, chance: float) -> PairedSample:
    """Return what a rate says of its gain over chance, where problems are not known."""
    return PairedSample(
        n=n,
        arm_rate=rate,
        control_rate=chance,
        gain=rate - chance,
        n_better=round(rate * n),
        n_worse=n - round(rate * n),
        method="wilson",
        n_effective=n,
        is_over_chance=True,
    )


def _effective_size(differences: Floats, totals: Floats, sizes: Floats) -> int:
    """Return problems over the design effect (Kish 1965), between 1 and the problems.

    The design effect is the variance of the mean by clusters (Liang and Zeger 1986) over that of
    independent problems. Where nothing varies, a cluster is worth one problem.
    """
    from cotkit.stats.bootstrap import robust_error

    n = len(differences)
    plain = float(differences.var()) / n
    clustered = float(robust_error(totals[:, None], sizes[:, None])[0]) ** 2
    if plain == 0 or clustered == 0:
        return int((sizes > 0).sum())
    return max(1, min(n, round(n * plain / clustered)))


def estimate_gains(
    samples: Sequence[PairedSample],
    level: float,
    *,
    n_resamples: int = N_RESAMPLES,
    rng: np.random.Generator | None = None,
) -> list[GainEstimate]:
    """Return interval and p-value of each sample, every one at ``level``.

    Args:
        samples: Of one report, with the same units; all that are resampled share their draws.
        level: Coverage of each interval, between 0 and 1.
        n_resamples: Of the bootstrap, at least.
        rng: Where resamples and flips come from; None: a generator of fixed seed, so that equal
            scores have equal intervals.
    """
    resampled = [(s.totals, s.sizes) for s in samples if s.totals is not None]
    columns, means = iter(range(len(resampled))), None
    if resampled:
        import numpy as np

        from cotkit.stats.bootstrap import clustered_means

        totals, sizes = (
            np.stack([part for part in parts if part is not None], axis=1)
            for parts in zip(*resampled, strict=True)
        )
        means = clustered_means(totals, sizes, level, n_resamples, rng or np.random.default_rng(0))
    estimates: list[GainEstimate] = []
    for sample in samples:
        if sample.layers:
            estimate = _estimate_layers(sample.layers, sample.n, level)
        elif sample.error is not None:
            estimate = _estimate_normal(sample, sample.error, level)
        elif sample.method == "wilson":
            estimate = _estimate_over_chance(sample, level)
        elif sample.totals is None:
            estimate = GainEstimate(
                interval=tango(sample.n_better, sample.n_worse, sample.n, level),
                p_value=mcnemar_midp(sample.n_better, sample.n_worse),
            )
        else:
            assert means is not None  # it has this sample's column
            column = next(columns)
            estimate = GainEstimate(
                interval=means.interval(column), p_value=float(means.p_value[column])
            )
        if sample.is_over_chance and sample.n:
            estimate = replace(estimate, interval=_clip_over_chance(estimate.interval, sample))
        if sample.scale != 1:
            low, high = estimate.interval.low, estimate.interval.high
            scaled = Interval(low=sample.scale * low, high=sample.scale * high, level=level)
            estimate = replace(estimate, interval=scaled)
        estimates.append(estimate)
    return estimates


def _estimate_over_chance(sample: PairedSample, level: float) -> GainEstimate:
    """Return Wilson's interval of the arm less chance, and the score test that it inverts.

    Where chance differs between problems the interval of the arm is, if anything, too wide.
    """
    if not sample.n:
        return GainEstimate(interval=Interval(low=-1.0, high=1.0, level=level), p_value=1.0)
    hits, chance = sample.arm_rate * sample.n, sample.control_rate
    if abs(hits - round(hits)) < 1e-9:  # counts, but for the last bit of a quotient
        hits = round(hits)
    rate = wilson(hits, sample.n, level)
    interval = Interval(low=rate.low - chance, high=rate.high - chance, level=level)
    return GainEstimate(interval=interval, p_value=score_test(hits, sample.n, chance))


def _clip_over_chance(interval: Interval, sample: PairedSample) -> Interval:
    chance = sample.control_rate
    return replace(
        interval, low=max(-chance, interval.low) + 0.0, high=min(1 - chance, interval.high)
    )


def _estimate_normal(sample: PairedSample, error: float, level: float) -> GainEstimate:
    """Return the normal interval and p-value, never closer to the gain than the least width."""
    z = critical_value(level)
    half = max(z * error, z * z / (sample.n + z * z))
    size = abs(sample.gain)
    z_least = math.sqrt(sample.n * size / (1 - size)) if size < 1 else math.inf
    p_value = math.erfc(min(size / error if error else math.inf, z_least) / math.sqrt(2))
    interval = Interval(
        low=max(-1.0, sample.gain - half), high=min(1.0, sample.gain + half), level=level
    )
    return GainEstimate(interval=interval, p_value=p_value)


def _estimate_layers(layers: Sequence[tuple[int, int]], n: int, level: float) -> GainEstimate:
    """Return what few whole differences say: Tango's interval of each layer, by Bonferroni."""

    def interval_at(confidence: float) -> Interval:
        each = 1 - (1 - confidence) / len(layers)
        parts = [tango(n_better, n_worse, n, each) for n_better, n_worse in layers]
        return Interval(
            low=sum(part.low for part in parts),
            high=sum(part.high for part in parts),
            level=confidence,
        )

    def excludes_zero(confidence: float) -> bool:
        interval = interval_at(confidence)
        return interval.low > 0 or interval.high < 0

    p_value = 1 - last_true(excludes_zero, 1e-9, 1 - 1e-12)
    return GainEstimate(interval=interval_at(level), p_value=p_value)


def estimate_from_totals(
    rate: float, n: int, control_rate: float, n_control: int, level: float
) -> GainEstimate:
    """Return what two rates say where pairs are not known: as of independent samples."""
    hits = rate * n, n, control_rate * n_control, n_control
    return GainEstimate(interval=newcombe(*hits, level), p_value=newcombe_p_value(*hits))


def gain_over_chance(
    scores: Sequence[float],
    chance: float,
    level: float,
    clusters: Sequence[str | None] | None = None,
) -> GainEstimate:
    """Return what the scores of one arm say of its gain over guessing.

    Args:
        scores: One for each problem, 0..1.
        chance: Solve rate of guessing, 0..1.
        level: Coverage, between 0 and 1.
        clusters: Of each problem; None, or None for a problem: it stands alone.

    Raises:
        UsageError: ``chance`` is out of range.
    """
    if not 0 <= chance <= 1:
        raise UsageError(f"chance must lie between 0 and 1, not {chance}")
    n = len(scores)
    names = dict(zip(map(str, range(n)), clusters or [None] * n, strict=True))
    units = list(number_units(names).values())
    sample = measure_sample(
        scores,
        [chance] * n,
        units,
        n_units=len(set(units)),
        is_clustered=len(set(units)) < n,
        is_over_chance=True,
    )
    return estimate_gains([sample], level)[0]


def detectable_gain(sample: PairedSample, level: float) -> float:
    """Return the smallest gain that such a sample finds with power 0.8 (docs/statistics.md).

    Of clusters: at the effective number of problems, and no less than the least half width that
    their interval can have. NaN: none, however large, would surely be found.
    """
    if not sample.n:
        return math.nan
    correlation = None if sample.is_over_chance else CORRELATION
    mde = minimum_detectable_effect(
        sample.n_effective, sample.control_rate, level, correlation=correlation
    )
    if sample.n_clusters is None:
        return mde
    z = critical_value(level)
    least = z * z / (sample.n_clusters + z * z)
    if clusters_needed(sample, level) is not None or least > 1 - sample.control_rate:
        return math.nan
    return max(mde, least)  # NaN stays NaN


def clusters_needed(sample: PairedSample, level: float) -> int | None:
    """Return how many clusters it takes to decide anything at ``level``; None: there are enough."""
    if sample.method != "sign-flip" or sample.sizes is None:
        return None
    from cotkit.stats.bootstrap import fewest_clusters

    needed = fewest_clusters(level)
    return needed if int((sample.sizes > 0).sum()) < needed else None


# Ways of counting a pair of attempts: by which reader, and what to do with unreadable answers.
#
# Only the run's own reader decides the outcome of a row, so the other readers count by
# ``correct_by``; the treatments of unreadable answers bend the outcome.


UNREADABLE: frozenset[Outcome] = frozenset({"unparsed", "truncated", "refused"})
"""Outcomes in which the model answered and no answer could be read."""

Pair: TypeAlias = tuple[tuple[AttemptRow, ...], tuple[AttemptRow, ...]]
"""(arm, control) on one problem: the attempts of each, one or several; of a grading that does not
count failed ones, none of them failed. No attempt of the control: it is chance."""
Side: TypeAlias = Literal["arm", "control"]
"""Of a pair."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grading:
    """One way of deciding who is right in a pair."""

    name: str
    """As ``Variant.name`` gives it; for the main one the reader's name."""
    kind: Literal["main", "reader", "treatment"]
    """What it varies: nothing, the reader, or the treatment of unreadable answers."""
    reader: str
    """Whose readings it counts."""
    is_right: Callable[[AttemptRow, Side], bool | None]
    """Whether an attempt of the arm or of the control counts as right; None leaves it out."""
    counts_failed: bool = False
    """Whether attempts that failed count, too."""
    chance: Mapping[str, float] = field(default_factory=dict[str, float])
    """Problem -> what guessing solves of it; empty: nothing is measured against chance."""
    is_mute: bool = False
    """Whether its reader reads nearly nothing in any arm, so that no verdict hangs on it."""

    @property
    def is_lenient(self) -> bool:
        """Whether it may cost certainty without changing the answer (`changes_answer`)."""
        return self.kind == "treatment" and not self.counts_failed

    def judge(self, pair: Pair) -> tuple[float, float] | None:
        """Return the share of right attempts of the arm and of the control.

        None: one of the two has no attempt that counts, so the pair is left out.
        """
        arm = self._share_right(pair[0], "arm")
        control = (
            self._share_right(pair[1], "control") if pair[1] else self.chance[pair[0][0].problem_id]
        )
        return None if arm is None or control is None else (arm, control)

    def _share_right(self, attempts: Sequence[AttemptRow], side: Side) -> float | None:
        counted = [right for row in attempts if (right := self.is_right(row, side)) is not None]
        if len(counted) < 2:
            return counted[0] if counted else None
        return sum(counted) / len(counted)


def list_gradings(
    rows: Sequence[AttemptRow], reader: str, chance: Mapping[str, float] | None = None
) -> tuple[Grading, ...]:
    """List the main counting, then one for every other reader by name, then the treatments.

    These leave unreadable answers out, or count them by an extreme; where attempts failed, they are
    counted by an extreme, too: the answers that are missing may not be like the others.

    A reader that reads nearly nothing in every arm was written for other prompts, and nothing
    depends on it (``is_mute``); one that a benchmark brings (``task:...``) and that reads nothing
    at all is left out.

    Raises:
        UsageError: a row was not read by every reader, or was scored by another than ``reader``.
    """
    completed = [row for row in rows if row.outcome != "failed"]
    readers = {reader}.union(*(row.correct_by for row in completed))
    for row in completed:
        _check_read(row, readers)
        _check_scored_by(row, reader)
    shares = {name: _most_read(name, completed) for name in readers}
    others = sorted(
        name
        for name in readers - {reader}
        if shares[name] or not (name.startswith("task:") and completed)
    )
    gradings = (
        Grading(
            name=reader,
            kind="main",
            reader=reader,
            is_right=_by_outcome,
            is_mute=bool(completed) and shares[reader] < _NEARLY_NOTHING,
        ),
        *(
            Grading(
                name=f"reader {name}",
                kind="reader",
                reader=name,
                is_right=_by_reader(name),
                is_mute=bool(completed) and shares[name] < _NEARLY_NOTHING <= shares[reader],
            )
            for name in others
        ),
        Grading(
            name="unparsed and truncated left out",
            kind="treatment",
            reader=reader,
            is_right=_by_outcome_if_readable,
        ),
        Grading(
            name="unreadable counted for the control",
            kind="treatment",
            reader=reader,
            is_right=_unreadable_for_control,
        ),
        Grading(
            name="unreadable counted for the arm",
            kind="treatment",
            reader=reader,
            is_right=_unreadable_for_arm,
        ),
        *(
            Grading(
                name=f"failed counted for the {side}",
                kind="treatment",
                reader=reader,
                is_right=_failed_for(side),
                counts_failed=True,
            )
            for side in (("control", "arm") if len(completed) < len(rows) else ())
        ),
    )
    return tuple(replace(grading, chance=chance or {}) for grading in gradings)


_NEARLY_NOTHING = 0.05
"""Share of the answers of every arm below which a reader is made for other prompts."""


def _most_read(name: str, rows: Sequence[AttemptRow]) -> float:
    """Return the share of its answers that a reader reads in the arm where it reads most."""
    n_read, n_all = Counter[str](), Counter[str]()
    for row in rows:
        reading = row.readings.get(name)
        n_all[row.arm] += 1
        n_read[row.arm] += reading is None or reading.value is not None  # unknown: it may have
    return max((n_read[arm] / n for arm, n in n_all.items()), default=0.0)


def _by_outcome(row: AttemptRow, side: Side) -> bool:  # noqa: ARG001 - counts both sides alike
    return row.outcome == "correct"


def _by_reader(name: str) -> Callable[[AttemptRow, Side], bool]:
    return lambda row, side: row.correct_by[name]  # noqa: ARG005 - counts both sides alike


def _by_outcome_if_readable(row: AttemptRow, side: Side) -> bool | None:
    return None if row.outcome in UNREADABLE else _by_outcome(row, side)


def _unreadable_for_control(row: AttemptRow, side: Side) -> bool:
    """Grade for the worst case of the arm: unreadable answers are right for the control only."""
    return row.outcome == "correct" or (side == "control" and row.outcome in UNREADABLE)


def _unreadable_for_arm(row: AttemptRow, side: Side) -> bool:
    """Grade for the best case of the arm: unreadable answers are right for the arm only."""
    return row.outcome == "correct" or (side == "arm" and row.outcome in UNREADABLE)


def _failed_for(favoured: Side) -> Callable[[AttemptRow, Side], bool]:
    """Grade as if every failed attempt had been right on one side and wrong on the other."""
    return lambda row, side: (
        row.outcome == "correct" or (side == favoured and row.outcome == "failed")
    )


def _check_read(row: AttemptRow, readers: set[str]) -> None:
    missing = sorted(readers - set(row.correct_by))
    if missing:
        raise UsageError(
            f"{row.arm} on {row.problem_id} was not read by {', '.join(missing)}",
            hint="score the run again with one panel of readers",
        )


def _check_scored_by(row: AttemptRow, reader: str) -> None:
    # Truncated and refused rows may hold a readable answer: what that is worth is scoring's rule.
    is_right = {"correct": True, "wrong": False}.get(row.outcome)
    if is_right is not None and is_right != row.correct_by[reader]:
        raise UsageError(
            f"{row.arm} on {row.problem_id} is {row.outcome}, but not by reader {reader!r}",
            hint="name the reader that the run chose, or score the run again",
        )


# From an interval to a word: the labels of the onset rule.


def label_gain(interval: Interval, margin: float) -> Label:
    """Label what an interval of a gain shows against the smallest gain that counts as material.

    Args:
        interval: Of the gain, -1..1; ends that touch a bound do not cross it.
        margin: In 0..1, more than 0.
    """
    if interval.low > margin:
        return "helps"
    if interval.low > 0:
        return "some_help"
    if interval.high < 0:
        return "harms"
    if interval.high < margin:
        return "no_material_help"
    return "undetermined"


def changes_direction(main: Label, other: Label, gain: float, *, is_lenient: bool) -> bool:
    """Return whether another way of counting changes the answer.

    It does if the direction of the label changes: better, worse, neither. One exception: leaving
    unreadable answers out, or counting them by an extreme, may cost certainty; if all it did was to
    make the label undetermined while the gain kept its sign, the answer stands
    (docs/statistics.md, "Depends on").

    Args:
        main: Label of the gain.
        other: Its label, counted so.
        gain: The gain, counted so.
        is_lenient: Whether the exception holds of this way.
    """
    direction = label_direction(main)
    if direction == label_direction(other):
        return False
    if is_lenient and other == "undetermined":
        return math.isnan(gain) or gain * direction <= 0
    return True


def label_direction(label: Label) -> int:
    """Return +1 if the label says better, -1 if it says worse, 0 if it says neither."""
    return {"helps": 1, "some_help": 1, "harms": -1}.get(label, 0)


# When a run has shown what it can: every gain is decided, whatever the problems left may say.


def make_stop_rule(
    pairs: Sequence[tuple[str, str]],
    *,
    margin: float,
    level: float,
    not_asked: Collection[str] = (),
) -> Callable[[Mapping[str, AttemptRow]], bool]:
    """Return a judge that is given each problem's attempts (arm -> row), in the order drawn.

    ``not_asked``: arms whose gains need not be decided, though they share the level of the report.
    It says True from the problem on at which no gain of ``pairs`` can change its side of the
    margin. A problem that one of a pair failed at says nothing of that pair; of a cluster only its
    first problem counts.

    Raises:
        UsageError: there is no pair.
    """
    judged = [pair for pair in pairs if pair[0] not in not_asked]
    if not judged:
        raise UsageError(
            "--stop-when decided: no strategy here is measured against another",
            hint="name one that has a control, or a --baseline",
        )
    each = shared_level(level, len(pairs))
    watched = {pair: _WatchedGain(each) for pair in judged}

    def judge(attempts: Mapping[str, AttemptRow]) -> bool:
        for (arm, control), gain in watched.items():
            pair = (attempts[arm],), (attempts[control],)
            outcomes = attempts[arm].outcome, attempts[control].outcome
            if "failed" not in outcomes:
                right = [outcome == "correct" for outcome in outcomes]
                gain.update(right[0] - right[1], _cluster_of(pair))
        return all(is_decided(gain.sequence.interval, margin) for gain in watched.values())

    return judge


class _WatchedGain:
    """A gain that may be looked at after every problem.

    A confidence sequence takes differences one by one, each with the same mean whatever came
    before; of problems that share a cluster only the first one drawn has that.
    """

    def __init__(self, level: float) -> None:
        self.sequence = ConfidenceSequence(level)
        self._clusters: set[str] = set()

    def update(self, difference: int, cluster: str | None) -> None:
        """Take the difference on the next problem, unless its cluster has been met."""
        if cluster is None or cluster not in self._clusters:
            self.sequence.update(difference)
        if cluster is not None:
            self._clusters.add(cluster)
