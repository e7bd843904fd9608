"""Labels in context: how far a model follows wrong ones, and learns symbols in their place.

No gain of such an arm is help, so its verdict is told in words of its own.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from cotkit.analysis.gains import Grading, estimate_gains, measure_sample
from cotkit.analysis.sentences import (
    say_dependence,
    say_evidence,
    say_points,
    say_undecided,
)
from cotkit.analysis.values import (
    Cell,
    Following,
    FollowingLabel,
    Gain,
    Label,
    SymbolMean,
    Verdict,
)
from cotkit.errors import CotkitError
from cotkit.inputs import parse_number
from cotkit.registry import load_class, parse_spec
from cotkit.stats.intervals import Interval, wilson
from cotkit.store.rows import AttemptRow

CHANCE = 0.5
"""Solve rate of guessing one of two labels; labels are flipped only where there are two."""

FLIPPED, UNRELATED = "flipped-labels", "unrelated-labels"
"""Names of the strategies that show wrong labels, and symbols in place of labels."""


def measure_following(
    rows: Sequence[AttemptRow],
    fractions: Mapping[str, float],
    level: float,
    gains: Sequence[Gain] = (),
) -> tuple[Following, ...]:
    """Measure how far each arm of ``fractions`` follows its flipped labels, by rising fraction.

    The rule is that of arXiv:2303.03846, section 3: the evaluated labels are never flipped, so a
    model that does as the exemplars do is right less often than a coin.

    Args:
        rows: Of any arms, in any order; failed ones are left out.
        fractions: Arm -> share of its exemplars' labels that were flipped, 0..1.
        level: Of each interval on its own.
        gains: Those of the report; of the arms measured against no flips they give the fall.

    Returns:
        One point for each arm that has rows; nothing if no arm has a flipped label.
    """
    if not any(fractions.values()):
        return ()
    by_arm = {arm: [row for row in rows if row.arm == arm] for arm in fractions}
    falls = {gain.arm: gain for gain in gains if gain.n and fractions.get(gain.control) == 0}
    return tuple(
        _following_point(arm, by_arm[arm], fractions[arm], level, falls.get(arm))
        for arm in sorted(by_arm, key=lambda arm: (count_shots(arm) or 0, fractions[arm], arm))
        if by_arm[arm]
    )


@functools.lru_cache
def count_shots(arm: str) -> int | None:
    """Return how many exemplars of each label an arm shows, by its name; None: it does not say."""
    spec = parse_spec(arm)
    try:
        default: object = getattr(load_class("strategy", spec.name), "k", None)
    except CotkitError:
        return None
    text = str(spec.params.get("k", default))
    return int(text) if text.isdecimal() else None


def _following_point(
    arm: str, rows: Sequence[AttemptRow], fraction: float, level: float, gain: Gain | None
) -> Following:
    n = sum(row.outcome != "failed" for row in rows)
    n_correct = sum(row.outcome == "correct" for row in rows)
    n_wrong = sum(row.outcome == "wrong" for row in rows)
    solved, follows = wilson(n_correct, n, level), wilson(n_wrong, n, level)
    return Following(
        arm=arm,
        fraction=fraction,
        n=n,
        solve_rate=n_correct / n if n else math.nan,
        interval=solved,
        chance=CHANCE,
        follows=n_wrong / n if n else math.nan,
        label=_label_following(solved, follows) if fraction == 1 else None,
        k=count_shots(arm),
        fall=None if gain is None else 0.0 - gain.gain,
        fall_interval=None if gain is None else _turn(gain.interval),
    )


def _label_following(solved: Interval, follows: Interval) -> FollowingLabel:
    # Answers that cannot be read pull the solve rate down and follow nothing, so the wrong
    # ones, too, must be more than chance gives.
    if solved.high < CHANCE < follows.low:
        return "follows"
    return "keeps_prior" if solved.low > CHANCE else "undetermined"


def _turn(interval: Interval) -> Interval:
    return replace(interval, low=0.0 - interval.high, high=0.0 - interval.low)


# The verdict on an arm with wrong labels, or with symbols.


def is_label_arm(arm: str, fractions: Mapping[str, float]) -> bool:
    """Return whether an arm shows wrong labels, or symbols in place of labels."""
    return fractions.get(arm, 0.0) > 0 or parse_spec(arm).name == UNRELATED


def flipped_share(arm: str) -> float:
    """Return the share of flipped labels that the name of an arm says; 0: none are flipped."""
    spec = parse_spec(arm)
    share = parse_number(spec.params.get("fraction", "1")) if spec.name == FLIPPED else None
    return share or 0.0


def is_named_label_arm(arm: str) -> bool:
    """Return whether the name of an arm says that it shows wrong labels, or symbols."""
    return is_label_arm(arm, {arm: flipped_share(arm)})


def label_fall(interval: Interval, margin: float) -> Label:
    """Return what the interval of a gain with wrong labels shows; it is never help."""
    if interval.high < 0:
        return "falls"
    return "keeps_prior" if interval.low > -margin else "undetermined"


_OF_SYMBOLS: Mapping[Label, Label] = {
    "helps": "better",
    "some_help": "better",
    "harms": "worse",
    "no_material_help": "no_better",
}


def label_symbols(label: Label) -> Label:
    """Return what the label of a gain means of symbols in place of labels."""
    return _OF_SYMBOLS.get(label, label)


def tell_labels(
    verdict: Verdict,
    fractions: Mapping[str, float],
    following: Sequence[Following],
    cells: Sequence[Cell],
    *,
    gradings: Sequence[Grading],
    margin: float,
) -> Verdict:
    """Return a verdict on labels in context in its own words; any other as it is.

    Args:
        verdict: With the labels of gains.
        fractions: Arm -> share of flipped labels, of arms that have such exemplars.
        following: The points of these arms.
        cells: Of all arms.
        gradings: Ways of counting that its variants have.
        margin: Smallest fall that counts.
    """
    arm = verdict.gain.arm
    is_flipped = fractions.get(arm, 0.0) > 0
    if not is_label_arm(arm, fractions) or verdict.gain.label == "upper_bound":
        return verdict

    def relabel(gain: Gain) -> Gain:
        if is_flipped:
            return replace(gain, label=label_fall(gain.interval, margin))
        return replace(gain, label=label_symbols(gain.label))

    gain = relabel(verdict.gain)
    variants = tuple(replace(v, gain=relabel(v.gain)) for v in verdict.variants)
    depends_on = tuple(
        v.name for v in variants if v.name in verdict.depends_on and v.gain.label != gain.label
    )
    sentence = verdict.sentence
    if gain.n:
        claim = (
            _say_fall(gain, next((p for p in following if p.arm == arm), None), margin)
            if is_flipped
            else _say_symbols(gain, next((cell for cell in cells if cell.arm == arm), None), margin)
        )
        changing = [grading for grading in gradings if grading.name in depends_on]
        sentence = f"{claim}{say_dependence(changing)}."
    return replace(verdict, gain=gain, variants=variants, depends_on=depends_on, sentence=sentence)


def _say_fall(gain: Gain, point: Following | None, margin: float) -> str:
    against = f"{say_points(gain)} points against {gain.control} ({say_evidence(gain)})"
    if gain.label == "undetermined":
        return say_undecided(gain)
    if gain.label == "keeps_prior":
        return (
            f"{gain.arm} keeps its prior (falls by less than {100 * margin:.3g} points): {against}"
        )
    claim = f"{gain.arm} follows its wrong labels: {against}"
    if point is None or point.label is None:
        return claim
    where = {
        "follows": f"below chance ({100 * point.chance:.3g} %)",
        "keeps_prior": f"still above chance ({100 * point.chance:.3g} %)",
        "undetermined": "not shown to be below chance",
    }[point.label]
    return f"{claim}; {100 * point.solve_rate:.1f} % solved, {where}"


def _say_symbols(gain: Gain, cell: Cell | None, margin: float) -> str:
    against = f"{say_points(gain)} points against {gain.control} ({say_evidence(gain)})"
    solved = "" if cell is None else f"; {100 * cell.solve_rate:.1f} % solved"
    if gain.label == "better":
        return f"{gain.arm} is solved better than the labels themselves: {against}{solved}"
    if gain.label == "worse":
        return f"{gain.arm} is solved worse than the labels themselves: {against}{solved}"
    if gain.label == "no_better":
        less = f"under {100 * margin:.3g} points"
        return (
            f"{gain.arm} is solved no better than the labels themselves ({less}): {against}{solved}"
        )
    return f"{say_undecided(gain)}{solved}"


# Several sets of symbols, taken together.


def mean_over_sets(
    rows: Sequence[AttemptRow], pairs: Sequence[tuple[str, str]], level: float
) -> tuple[SymbolMean, ...]:
    """Return the mean over sets of symbols, for arms that differ in nothing else.

    Of each problem the share of sets counts by which it is solved, so the interval is that of
    problems (bootstrap-t), whatever the number of sets: these sets are meant, not all that there
    could be.

    Args:
        rows: Of all arms, one attempt at a problem; others and failed ones are left out.
        pairs: (arm, control).
        level: Of each interval.
    """
    groups: dict[tuple[str, str], list[str]] = {}
    for arm, control in pairs:
        spec = parse_spec(arm)
        if spec.name == UNRELATED and spec.params.get("set") != "reversed":
            alike = {key: value for key, value in spec.params.items() if key != "set"}
            groups.setdefault((str(replace(spec, params=alike)), control), []).append(arm)
    means = (
        _mean_of_arms(rows, tuple(arms), control, level)
        for (_, control), arms in groups.items()
        if len(arms) > 1
    )
    return tuple(mean for mean in means if mean is not None)


def _mean_of_arms(
    rows: Sequence[AttemptRow], arms: tuple[str, ...], control: str, level: float
) -> SymbolMean | None:
    tables = {
        arm: {
            row.problem_id: float(row.outcome == "correct")
            for row in rows
            if row.arm == arm and row.outcome != "failed"
        }
        for arm in (*arms, control)
    }
    shared = sorted(set.intersection(*map(set, tables.values())))
    if len(shared) < 2:
        return None
    shares = [sum(tables[arm][name] for arm in arms) / len(arms) for name in shared]
    sample = measure_sample(
        shares,
        [tables[control][name] for name in shared],
        range(len(shared)),
        n_units=len(shared),
        is_clustered=False,
        is_resampled=True,
    )
    [estimate] = estimate_gains([sample], level)
    return SymbolMean(
        arms=arms,
        control=control,
        k=count_shots(arms[0]),
        n=len(shared),
        solve_rate=sample.arm_rate,
        gain=sample.gain,
        interval=estimate.interval,
    )
