"""Arms that differ in one ordered parameter: a curve, and from where on more of it brings nothing.

A setting is enough if it and every later one are shown to be within the margin of the best, by
Hsu's limits (:mod:`cotkit.analysis.decision`), which hold together over the settings of a sweep.
More harms where, of two settings, the later is shown to solve less; those intervals hold together
over all pairs of settings (Šidák).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import takewhile
from operator import attrgetter

from cotkit.analysis.decision import bound_shortfalls, pair_arms
from cotkit.analysis.gains import PairedSample, estimate_gains
from cotkit.analysis.values import Cell, Sweep, SweepHarm, SweepPoint
from cotkit.registry import Spec, parse_spec
from cotkit.stats.hypotheses import sidak_level
from cotkit.stats.intervals import Interval
from cotkit.types import EFFORTS

MIN_SETTINGS = 3
"""Of a curve: two settings are a gain."""
_UNORDERED = frozenset({"seed"})


def group_settings(arms: Iterable[str]) -> dict[tuple[str, str], dict[str, str]]:
    """Return (spec without it, parameter) -> setting -> arm, of every parameter but seeds.

    Args:
        arms: Names of arms, which are specs.
    """
    groups: dict[tuple[str, str], dict[str, str]] = {}
    for arm in arms:
        spec = parse_spec(arm)
        for parameter, setting in spec.params.items():
            params = {key: value for key, value in spec.params.items() if key != parameter}
            key = (str(Spec(name=spec.name, params=params)), parameter)
            if parameter not in _UNORDERED:
                groups.setdefault(key, {})[setting] = arm
    return groups


def find_sweeps(
    arms: Sequence[str], n_least: int = MIN_SETTINGS
) -> dict[tuple[str, str], dict[str, str]]:
    """Return (spec without it, parameter) -> setting -> arm, the lowest setting first.

    Args:
        arms: Names of arms, which are specs.
        n_least: Settings that a sweep has at least.
    """
    return {
        key: {setting: by_setting[setting] for setting in ordered}
        for key, by_setting in group_settings(arms).items()
        if len(by_setting) >= n_least and (ordered := order_settings(list(by_setting))) is not None
    }


def order_settings(settings: Sequence[str]) -> list[str] | None:
    """Return settings from the lowest to the highest: numbers, or efforts; either after ``off``.

    None: they have no order.
    """
    levels = ("off", *EFFORTS)
    if all(setting in levels for setting in settings):
        return sorted(settings, key=levels.index)
    numbers = {
        setting: -math.inf if setting == "off" else read_setting(setting) for setting in settings
    }
    if any(math.isnan(number) for number in numbers.values()):
        return None
    return sorted(settings, key=numbers.__getitem__)


def read_setting(text: str) -> float:
    """Return the number that a setting is; NaN: it is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def measure_sweeps(
    scores: Mapping[str, Mapping[str, float]],
    clusters: Mapping[str, str | None],
    cells: Mapping[str, Cell],
    *,
    margin: float,
    level: float,
    n_least: int = MIN_SETTINGS,
) -> tuple[Sweep, ...]:
    """Return every curve of a report, each with limits of its own at ``level``.

    Args:
        scores: Arm -> problem -> what it scored there, 0..1.
        clusters: Problem -> its cluster; None: it stands alone.
        cells: Arm -> its summary.
        margin: How much less than the best still counts as good, a fraction.
        level: At which all limits of a sweep hold together.
        n_least: Settings that a sweep has at least.
    """
    sweeps: list[Sweep] = []
    for (strategy, parameter), arms in find_sweeps(
        [arm for arm, of_arm in scores.items() if of_arm], n_least
    ).items():
        samples = pair_arms(list(arms.values()), scores, clusters)
        limits, _ = bound_shortfalls(list(arms.values()), samples, margin=margin, level=level)
        points = tuple(
            SweepPoint(
                arm=arm,
                setting=setting,
                n=cells[arm].n,
                solve_rate=cells[arm].solve_rate,
                interval=cells[arm].interval,
                generated_tokens=cells[arm].generated_tokens,
                thinking_tokens=cells[arm].thinking_tokens,
                shortfall=limits[arm],
                is_shown=limits[arm] <= margin,
            )
            for setting, arm in arms.items()
        )
        good = list(takewhile(lambda point: point.is_shown, reversed(points)))
        sweep = Sweep(
            strategy=strategy,
            parameter=parameter,
            points=points,
            enough=good[-1].setting if good else None,
            harm=_find_harm(points, samples, level),
            sentence="",
        )
        sweeps.append(replace(sweep, sentence=say_sweep(sweep, margin)))
    return tuple(sweeps)


def _find_harm(
    points: Sequence[SweepPoint], samples: Mapping[tuple[str, str], PairedSample], level: float
) -> SweepHarm | None:
    """Return the two settings of which the later surely loses most; None: none does."""
    each = sidak_level(level, len(samples))
    settings = {point.arm: point.setting for point in points}
    harms = [
        SweepHarm(
            setting=settings[arm],
            later=settings[later],
            loss=sample.gain,
            interval=estimate.interval,
        )
        for ((arm, later), sample), estimate in zip(
            samples.items(), estimate_gains(list(samples.values()), each), strict=True
        )
        if estimate.interval.low > 0
    ]
    return max(harms, key=lambda harm: harm.interval.low, default=None)


def say_sweep(
    sweep: Sweep, margin: float, name: Callable[[SweepPoint], str] = attrgetter("setting")
) -> str:
    """Return what a curve says, with the rates at its ends and at its top.

    ``name``: what to call a point.
    """
    first, last = sweep.points[0], sweep.points[-1]
    names = {point.setting: name(point) for point in sweep.points}
    top = max(sweep.points, key=lambda point: point.solve_rate)
    ends = dict.fromkeys((first, top, last) if top.solve_rate > last.solve_rate else (first, last))
    rates = ", ".join(f"{100 * point.solve_rate:.1f} % at {name(point)}" for point in ends)
    within = f"shown to be within {100 * margin:.3g} points of the best"
    if sweep.enough is None:
        claim = "from which on more brings nothing is undetermined"
    elif sweep.enough == first.setting:
        claim = f"every setting is {within}"
    elif sweep.enough == last.setting:
        claim = f"only the highest is {within}, so more may help still"
    else:
        claim = f"from {names[sweep.enough]} on, every setting is {within}"
    harm = sweep.harm
    more = ""
    if harm is not None:
        less = f"{100 * harm.loss:.1f} points less than {names[harm.setting]}"
        more = f"; more harms: {names[harm.later]} solves {less} ({_say_interval(harm.interval)})"
    return f"{sweep.strategy} by {sweep.parameter}: {rates}; {claim}{more}."


def _say_interval(interval: Interval) -> str:
    return (
        f"{100 * interval.level:.4g} % interval {100 * interval.low:+.1f} to "
        f"{100 * interval.high:+.1f}"
    )
