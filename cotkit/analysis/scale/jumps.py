"""Is a jump real, or made by the metric? The sharpness of exact match against linear companions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from cotkit.analysis.clustered import MIN_CLUSTERS
from cotkit.analysis.curves import direction
from cotkit.analysis.scale.checks import Checked, checks, lengths_of
from cotkit.analysis.scale.columns import EXACT, Column, ColumnKey, Source
from cotkit.analysis.scale.setting import Setting
from cotkit.analysis.scale.sharpness import Sharp, contrast, sharp
from cotkit.analysis.scale.values import Curve, Jump, JumpWord, Sharpness
from cotkit.analysis.values import Interval

MIN_SIZES = 4
"""Sizes below which no jump can be told from a line."""
REAL_ABOVE = 0.5
"""A companion surely sharper than this has a real jump."""
SMOOTH_BELOW = 0.4
"""A companion surely less sharp than this has none."""


def jumps(
    pair: tuple[str, str],
    columns: Mapping[ColumnKey, Column],
    setting: Setting,
    rng: np.random.Generator,
) -> tuple[Jump, ...]:
    """For the arm, its control and the gain; a curve of fewer than two known sizes has none."""
    sources: tuple[tuple[Curve, Source], ...] = (
        ("arm", pair[0]),
        ("control", pair[1]),
        ("gain", pair),
    )
    found = [_jump(curve, source, columns, setting, rng) for curve, source in sources]
    return tuple(jump for jump in found if jump is not None)


def verdict(exact: Sharpness, companion: Sharpness, apart: Interval) -> tuple[JumpWord, str]:
    """The rule, for curves that are long, high and certain enough to be judged."""
    low, high = companion.interval.low, companion.interval.high
    seen = f"sharpness of {companion.metric} {companion.value:.2f} ({low:.2f} to {high:.2f})"
    if low > REAL_ABOVE:
        return "real_jump", f"{seen} lies above {REAL_ABOVE}: it jumps too"
    strict = exact.metric.replace("_", " ")
    said = (
        f"that of {strict} {exact.value:.2f}, the difference {apart.low:+.2f} to {apart.high:+.2f}"
    )
    if apart.low > 0 and high < SMOOTH_BELOW:
        return (
            "metric_artefact",
            f"{seen} lies below {SMOOTH_BELOW}, {said}: only {strict} jumps",
        )
    return "undetermined", f"{seen} and {said}, decide neither"


def _jump(
    curve: Curve,
    source: Source,
    columns: Mapping[ColumnKey, Column],
    setting: Setting,
    rng: np.random.Generator,
) -> Jump | None:
    ladder, level = setting.ladder, setting.question.level
    models = [rung.model for rung in ladder.rungs[: ladder.n_known]]
    used = [i for i, model in enumerate(models) if (model, source, EXACT) in columns]
    if len(used) < 2:
        return None
    models, rungs = [models[i] for i in used], [ladder.rungs[i] for i in used]
    x = np.asarray(ladder.scaled(used))
    lengths, length_name = lengths_of(setting.grid)
    metrics = {
        name: sharp(name, x, rungs, [columns[model, source, name] for model in models], level)
        for name in _shared(models, source, columns)
    }
    exact = metrics.pop(EXACT)
    first = next(iter(metrics.values()), None)
    apart = None if first is None else contrast(exact, first, level)
    n = np.asarray([columns[model, source, EXACT].n for model in models])
    n_units = int(n.min()) if setting.codes is None else int(setting.codes.max()) + 1
    word, why = judge(exact, first, apart, _floors(models, source, columns), n_units)
    if direction(exact.means) < 0:
        why = f"of a curve that falls with size: {why}"
    return Jump(
        curve=curve,
        arm=source if isinstance(source, str) else source[0],
        exact=exact.sharpness,
        companion=None if first is None else first.sharpness,
        companions=tuple(metric.sharpness for metric in metrics.values()),
        contrast=apart,
        verdict=word,
        why=why,
        checks=checks(
            Checked(
                is_gain=curve == "gain",
                axis=ladder.axis,
                x=x,
                exact=exact.means,
                n=n,
                companion=None if first is None else first.means,
                companion_name=None if first is None else first.sharpness.metric,
                noise=exact.draws.std(0),
                lengths=lengths,
                length_name=length_name,
                level=level,
            ),
            rng,
        ),
    )


def _shared(
    models: Sequence[str], source: Source, columns: Mapping[ColumnKey, Column]
) -> list[str]:
    """Metrics known at every one of these sizes, exact match first, others as first given."""
    of_first = [
        metric for model, other, metric in columns if model == models[0] and other == source
    ]
    return [m for m in of_first if all((model, source, m) in columns for model in models)]


def _floors(models: Sequence[str], source: Source, columns: Mapping[ColumnKey, Column]) -> int:
    """Sizes at which neither exact match nor the companion is above 0, in any arm concerned."""
    arms = (source,) if isinstance(source, str) else source
    metrics = _shared(models, source, columns)[:2]
    return sum(
        all(columns[model, arm, metric].mean == 0 for arm in arms for metric in metrics)
        for model in models
    )


def judge(
    exact: Sharp, companion: Sharp | None, apart: Interval | None, n_floors: int, n_units: int
) -> tuple[JumpWord, str]:
    """A verdict, where curves can be judged; otherwise why they cannot.

    Args:
        exact: The strict metric.
        companion: Its linear companion; None: there is none.
        apart: Of :func:`contrast`; None: there is no companion.
        n_floors: Sizes at which both are 0.
        n_units: Problems (or clusters) that were resampled.
    """
    n_sizes = len(exact.means)
    if n_sizes < MIN_SIZES:
        return "undetermined", f"{n_sizes} sizes cannot tell a jump from a line; {MIN_SIZES} might"
    if companion is None or apart is None:
        return "undetermined", "there is no linear companion of exact match to compare with"
    if n_units < MIN_CLUSTERS:
        return "undetermined", f"{n_units} independent problems are too few to resample"
    if n_floors:
        return "undetermined", (
            f"{n_floors} of {n_sizes} sizes solved nothing by either metric: what rises from there "
            "may have been rising unseen"
        )
    for metric in (exact, companion):
        if metric.is_noise:
            return "undetermined", f"the range of {metric.sharpness.metric} is inside noise"
    return verdict(exact.sharpness, companion.sharpness, apart)
