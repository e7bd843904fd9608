"""The verdict on one arm in plain English, numbers included."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

from cotkit.analysis.gains import Grading, Pair
from cotkit.analysis.values import Aside, Cell, Gain
from cotkit.store.rows import AttemptRow


def gain_sentence(gain: Gain, margin: float, depends_on: Sequence[Grading]) -> str:
    """Return the answer for one arm: ``"cot helps: +35.0 points over few-shot (95 % ...)."``."""
    if gain.n == 0:
        both = "" if gain.chance is not None else " by both"
        return (
            f"{gain.arm} against {gain.control} cannot be decided: no problem was completed{both}."
        )
    claim = (
        _say_claim(gain, margin)
        if gain.chance is None or gain.label == "upper_bound"
        else _say_chance(gain, gain.chance, margin)
    )
    return f"{claim}{say_dependence(depends_on)}."


def _say_claim(gain: Gain, margin: float) -> str:
    points, evidence = f"{say_points(gain)} points", say_evidence(gain)
    over, against = (f"{points} {word} {gain.control} ({evidence})" for word in ("over", "against"))
    if gain.label == "upper_bound":
        return f"upper bound (sees the gold answers): {gain.arm}: {over}"
    if gain.label == "helps":
        return f"{gain.arm} helps: {over}"
    if gain.label == "some_help":
        return f"{gain.arm} helps, perhaps by less than {100 * margin:.3g} points: {over}"
    if gain.label == "harms":
        return f"{gain.arm} harms: {against}"
    if gain.label == "no_material_help":
        return f"{gain.arm} gives no material help (under {100 * margin:.3g} points): {against}"
    return say_undecided(gain)


def say_undecided(gain: Gain) -> str:
    """Say that nothing is shown, and what could have been seen."""
    undecided = f"{gain.arm} against {gain.control} cannot be decided"
    evidence = f"{say_points(gain)} points ({say_evidence(gain)})"
    return f"{undecided}: {evidence}; {_say_detectable(gain)}"


def _say_chance(gain: Gain, chance: float, margin: float) -> str:
    """Say how an arm stands to what guessing solves."""
    claims = {
        "helps": f"{gain.arm} leaves chance",
        "some_help": f"{gain.arm} leaves chance, perhaps by less than {100 * margin:.3g} points",
        "harms": f"{gain.arm} lies below chance",
        "no_material_help": f"{gain.arm} is at chance (under {100 * margin:.3g} points above it)",
    }
    claim = claims.get(gain.label, f"{gain.arm} cannot be told from chance")
    solved = f"{100 * (chance + gain.gain):.1f} % against {100 * chance:.3g} % of guessing"
    sentence = f"{claim}: {solved}, {_format_points(gain.gain)} points ({say_evidence(gain)})"
    return f"{sentence}; {_say_detectable(gain)}" if gain.label not in claims else sentence


def say_points(gain: Gain) -> str:
    """Write the gain in points, signed."""
    return _format_points(gain.gain)


def say_evidence(gain: Gain) -> str:
    """Write interval, counts and p-value."""
    low, high = _format_points(gain.interval.low), _format_points(gain.interval.high)
    if gain.chance is not None:
        return f"{_format_level(gain)} interval {low} to {high}; n = {gain.n}; " + _format_p(
            gain.p_holm
        )
    return (
        f"{_format_level(gain)} interval {low} to {high}; {gain.n_better} better, "
        f"{gain.n_worse} worse of {gain.n}; {_format_p(gain.p_holm)}"
    )


def _say_detectable(gain: Gain) -> str:
    if gain.clusters_needed is not None:
        unit = "problems" if gain.n_clusters is None else "clusters"
        n_units = gain.n if gain.n_clusters is None else gain.n_clusters
        return (
            f"{n_units} {unit} cannot decide anything at {_format_level(gain)}; "
            f"at least {gain.clusters_needed} are needed"
        )
    if math.isnan(gain.mde):
        return "no gain, however large, would surely have been seen"
    points = 100 * gain.mde
    return (
        "this run could only have seen gains of "
        f"{points:.{0 if points >= 10 else 1}f} points or more"
    )


def say_dependence(depends_on: Sequence[Grading]) -> str:
    """Say on which ways of counting the answer depends; empty: on none."""
    readers = [counting.reader for counting in depends_on if counting.kind == "reader"]
    treatments = [c.name for c in depends_on if c.kind == "treatment" and not c.counts_failed]
    failed = [counting.name for counting in depends_on if counting.counts_failed]
    return "".join(
        f"; depends on {what} ({', '.join(names)})"
        for what, names in (
            ("the reader", readers),
            ("how unreadable answers count", treatments),
            ("what the failed attempts would have been", failed),
        )
        if names
    )


def _format_points(fraction: float) -> str:
    return f"{round(100 * fraction, 1) + 0.0:+.1f}"  # + 0.0 turns -0.0 into 0.0


def _format_level(gain: Gain) -> str:
    return f"{100 * gain.interval.level:.4g} %"


def _format_p(p: float) -> str:
    return "p < 0.0001" if p < 0.0001 else f"p = {p:.2g}"


# Warnings that a reader of a comparison must see, in plain English.


MANY_TRUNCATED = 0.2
"""From this share of answers cut at their limit on, the limit is part of what is measured."""
CEILING = 0.9
"""From this solve rate of the control on, a small gain says little against the arm."""


def comparison_notes(
    cells: Sequence[Cell],
    paired: Mapping[tuple[str, str], Sequence[Pair]],
    gains: Sequence[Gain],
    *,
    n_problems: int,
    level: float,
    not_help: Collection[str] = (),
) -> tuple[str, ...]:
    """List failures, cut answers, incomplete pairs, floors, ceilings, clusters, levels of gains.

    A first screen counts them in its warnings, or says them by its intervals.

    Args:
        cells: Every arm.
        paired: (arm, control) -> the problems that both completed.
        gains: By the chosen reader, in the order of ``paired``.
        n_problems: Problems drawn.
        level: Of the report.
        not_help: Arms whose gain is no help, so that a ceiling of their control says nothing.
    """
    notes = [note for cell in cells for note in _failure_notes(cell)]
    notes += [note for cell in cells for note in _truncation_notes(cell)]
    notes += [note for gain in gains for note in _incomplete_notes(gain, n_problems)]
    notes += [
        note
        for names, pairs in paired.items()
        if names[0] not in not_help
        for note in _floor_or_ceiling_notes(names, pairs)
    ]
    notes += _cluster_notes(max(paired.values(), key=len, default=()), gains)
    notes += _multiplicity_notes(gains, level)
    return tuple(map(Aside, dict.fromkeys(notes)))


def _count_attempts(cell: Cell) -> int:
    """Return the attempts that did not fail."""
    return cell.n if cell.n_samples is None else cell.n_samples


def _failure_notes(cell: Cell) -> list[str]:
    failed = cell.outcomes["failed"]
    if not failed:
        return []
    left_out = "left out of its solve rate and of its pairs"
    return [f"{cell.arm}: {failed} of {_count_attempts(cell) + failed} attempts failed; {left_out}"]


def _truncation_notes(cell: Cell) -> list[str]:
    cut, n_attempts = cell.outcomes["truncated"], _count_attempts(cell)
    if not n_attempts or cut < MANY_TRUNCATED * n_attempts:
        return []
    where = f"{cell.arm}: {cut} of {n_attempts} attempts were cut at their token limit"
    return [f"{where} before an answer; raise --max-tokens (reasoning kept apart counts, too)"]


def _incomplete_notes(gain: Gain, n_problems: int) -> list[str]:
    if gain.n >= n_problems:
        return []
    both = "" if gain.chance is not None else " by both"
    count = f"{gain.n} of {n_problems} problems were completed{both}"
    return [f"{gain.arm} against {gain.control}: {count}; the rest are left out of the gain"]


def _floor_or_ceiling_notes(names: tuple[str, str], pairs: Sequence[Pair]) -> list[str]:
    """Note a gain that can hardly be large: both never right, or the control nearly always."""
    if not pairs or not pairs[0][1]:  # over chance there is no other floor than chance
        return []
    arm, control = names
    n_arm, n_control = (sum(_share_correct(pair[i]) for pair in pairs) for i in (0, 1))
    if n_arm == n_control == 0:
        where = f"neither {arm} nor {control} solved any of {len(pairs)} problems"
        return [f"floor: {where}; a gain near 0 says nothing about the strategy here"]
    if n_control >= CEILING * len(pairs):
        where = f"{control} alone solves {100 * n_control / len(pairs):.1f} %"
        return [f"ceiling: {where}; a small gain of {arm} is no evidence against it"]
    return []


def _share_correct(attempts: Sequence[AttemptRow]) -> float:
    return sum(row.outcome == "correct" for row in attempts) / len(attempts)


def _cluster_notes(pairs: Sequence[Pair], gains: Sequence[Gain]) -> list[str]:
    """Say how many problems share clusters, and how that is allowed for."""
    names = [row.cluster for (row, *_), _ in pairs if row.cluster is not None]
    if len(set(names)) == len(names):
        return []
    counts = f"{len(names)} of {len(pairs)} problems come in {len(set(names))} clusters"
    words = {
        "bootstrap-t": "intervals and p-values resample whole clusters",
        "sign-flip": "with so few, intervals and p-values flip the signs of whole clusters",
        "sequence": "intervals and p-values count the first problem drawn of each cluster",
    }
    methods = dict.fromkeys(gain.method for gain in gains)
    return [f"{counts}; {words[method]}" for method in methods if method in words]


def _multiplicity_notes(gains: Sequence[Gain], level: float) -> list[str]:
    if len(gains) < 2:
        return []
    levels = f"each interval is at {100 * gains[0].interval.level:.4g} %"
    return [f"{len(gains)} gains: {levels}, all hold at {100 * level:.4g} %; p-values by Holm"]
