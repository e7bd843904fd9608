"""Gains over the control: the one estimator, with labels, and the rule by which a run may stop.

Every interval and p-value of a gain comes from here, both from one procedure:

- independent problems, answers right or wrong: Tango's score interval with McNemar's mid-p;
- problems in clusters, or scores that are shares (repeated samples, graded metrics): sign flips of
  whole clusters below 30 of them, the symmetric bootstrap-t from 30 on;
- a metric that is no rate, where at least 30 independent problems differ: the normal interval,
  which is what its resamples give by then;
- totals only: Newcombe's interval, and the p-value at which it touches 0;
- a run that is looked at after every problem: a confidence sequence.

``docs/statistics.md`` has formulas, assumptions and measured coverage.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import stdev
from typing import TYPE_CHECKING, Literal, TypeAlias

from cotkit.analysis.values import Gain, Label
from cotkit.errors import UsageError
from cotkit.stats.hypotheses import (
    holm,
    mcnemar_midp,
    minimum_detectable_effect,
    score_test,
    sidak_level,
)
from cotkit.stats.intervals import (
    Interval,
    critical_value,
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
    return pair[0][0].cluster or pair[1][0].cluster


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
        interval = dataclasses.replace(
            interval, low=min(interval.low, gain), high=max(interval.high, gain)
        )
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
    method: Literal["tango", "sign-flip", "bootstrap-t", "normal"]
    """How its interval is made."""
    n_effective: int
    """Independent problems that it is worth: fewer than ``n`` where clusters agree."""
    n_clusters: int | None = None
    """Clusters; None: every problem stands alone."""
    error: float | None = None
    """Standard error of the gain; None: the interval is not the normal one."""
    totals: Floats | None = None
    """[units] summed differences, zero where a unit has no problem; None: nothing is resampled."""
    sizes: Floats | None = None
    """[units] problems."""


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
) -> PairedSample:
    """Return what paired scores say, summed by what is independent.

    Args:
        arm: Score of the arm on each problem, 0..1; the mean where it has several attempts.
        control: The same of the control.
        units: Cluster of each problem; where it stands alone, a number of its own.
        n_units: Units in the whole report, so that all its gains can be resampled together.
        is_clustered: Whether problems share units.
        is_resampled: Whether they are values of a metric: even zeros and ones are resampled, or
            have the normal interval.
    """
    n = len(arm)
    n_better = sum(a > c for a, c in zip(arm, control, strict=True))
    n_worse = sum(a < c for a, c in zip(arm, control, strict=True))
    rates = (math.fsum(arm) / n, math.fsum(control) / n) if n else (math.nan, math.nan)
    is_binary = all(score in {0.0, 1.0} for scores in (arm, control) for score in scores)
    if n == 0 or (is_binary and not is_clustered and not is_resampled):
        return PairedSample(
            n=n,
            arm_rate=rates[0],
            control_rate=rates[1],
            gain=(n_better - n_worse) / n if n else math.nan,
            n_better=n_better,
            n_worse=n_worse,
            method="tango",
            n_effective=n,
        )
    values = [a - c for a, c in zip(arm, control, strict=True)]
    [(_, n_equal)] = Counter(values).most_common(1)
    if is_resampled and not is_clustered and (n == n_equal or n - n_equal >= MANY):
        return PairedSample(
            n=n,
            arm_rate=rates[0],
            control_rate=rates[1],
            gain=math.fsum(values) / n,
            n_better=n_better,
            n_worse=n_worse,
            method="normal",
            n_effective=n,
            error=0.0 if n == n_equal else stdev(values) / math.sqrt(n),
        )
    import numpy as np

    from cotkit.stats.bootstrap import MIN_CLUSTERS

    differences = np.asarray(values, dtype=np.float64)
    totals = np.bincount(units, weights=differences, minlength=n_units).astype(np.float64)
    sizes = np.bincount(units, minlength=n_units).astype(np.float64)
    n_clusters = int((sizes > 0).sum())
    return PairedSample(
        n=n,
        arm_rate=rates[0],
        control_rate=rates[1],
        gain=math.fsum(values) / n,
        n_better=n_better,
        n_worse=n_worse,
        method="bootstrap-t" if n_clusters >= MIN_CLUSTERS else "sign-flip",
        n_effective=_effective_size(differences, totals, sizes),
        n_clusters=n_clusters if is_clustered else None,
        totals=totals,
        sizes=sizes,
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
        if sample.error is not None:
            estimate = _estimate_normal(sample, sample.error, level)
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
        estimates.append(estimate)
    return estimates


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

    Wilson's score interval less ``chance``, with the score test that it inverts, where problems are
    independent and right or wrong; else the clustered procedures, on scores less ``chance``.

    Args:
        scores: One for each problem, 0..1.
        chance: Solve rate of guessing, strictly between 0 and 1.
        level: Coverage, between 0 and 1.
        clusters: Of each problem; None, or None for a problem: it stands alone.
    """
    if not 0 < chance < 1:
        raise UsageError(f"chance must lie between 0 and 1, not {chance}")
    units = number_units(dict(zip(map(str, range(len(scores))), clusters or (), strict=False)))
    is_clustered = len(set(units.values())) < len(units)
    if not is_clustered and all(score in {0.0, 1.0} for score in scores):
        n_right, n = round(math.fsum(scores)), len(scores)
        rate = wilson(n_right, n, level)
        interval = Interval(low=rate.low - chance, high=rate.high - chance, level=level)
        return GainEstimate(interval=interval, p_value=score_test(n_right, n, chance))
    codes = list(units.values()) if is_clustered else list(range(len(scores)))
    sample = measure_sample(
        scores,
        [chance] * len(scores),
        codes,
        n_units=len(set(codes)),
        is_clustered=is_clustered,
        is_resampled=True,
    )
    [estimate] = estimate_gains([sample], level)
    interval = Interval(
        low=max(-chance, estimate.interval.low),
        high=min(1 - chance, estimate.interval.high),
        level=level,
    )
    return dataclasses.replace(estimate, interval=interval)


def detectable_gain(sample: PairedSample, level: float) -> float:
    """Return the smallest gain that such a sample finds with power 0.8 (docs/statistics.md).

    Of clusters: at the effective number of problems, and no less than the least half width that
    their interval can have. NaN: none, however large, would surely be found.
    """
    if not sample.n:
        return math.nan
    mde = minimum_detectable_effect(sample.n_effective, sample.control_rate, level)
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
count failed ones, none of them failed."""
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

    def judge(self, pair: Pair) -> tuple[float, float] | None:
        """Return the share of right attempts of the arm and of the control.

        None: one of the two has no attempt that counts, so the pair is left out.
        """
        arm, control = (self._share_right(pair[0], "arm"), self._share_right(pair[1], "control"))
        return None if arm is None or control is None else (arm, control)

    def _share_right(self, attempts: Sequence[AttemptRow], side: Side) -> float | None:
        counted = [right for row in attempts if (right := self.is_right(row, side)) is not None]
        if len(counted) < 2:
            return counted[0] if counted else None
        return sum(counted) / len(counted)


def list_gradings(rows: Sequence[AttemptRow], reader: str) -> tuple[Grading, ...]:
    """List the main counting, then one for every other reader by name, then the treatments.

    These leave unreadable answers out, or count them by an extreme; where attempts failed, they are
    counted by an extreme, too: the answers that are missing may not be like the others.

    A reader that a benchmark brings (``task:...``) and that reads nothing at all is left out: it
    was written for other prompts, and nothing depends on it.

    Raises:
        UsageError: a row was not read by every reader, or was scored by another than ``reader``.
    """
    completed = [row for row in rows if row.outcome != "failed"]
    readers = {reader}.union(*(row.correct_by for row in completed))
    for row in completed:
        _check_read(row, readers)
        _check_scored_by(row, reader)
    others = sorted(name for name in readers - {reader} if not _is_mute(name, completed))
    return (
        Grading(name=reader, kind="main", reader=reader, is_right=_by_outcome),
        *(
            Grading(name=f"reader {name}", kind="reader", reader=name, is_right=_by_reader(name))
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


def _is_mute(name: str, rows: Sequence[AttemptRow]) -> bool:
    readings = [row.readings.get(name) for row in rows]
    return name.startswith("task:") and all(
        reading and reading.value is None for reading in readings
    )


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
