"""Gains over the control, all of a report at once: their levels depend on how many there are."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

from cotkit.analysis.counting import Counting, Pair
from cotkit.analysis.hypotheses import holm, mcnemar_midp, sidak_level
from cotkit.analysis.intervals import tango
from cotkit.analysis.labels import label
from cotkit.analysis.power import minimum_detectable_effect
from cotkit.analysis.results import Gain
from cotkit.analysis.sequential import ConfidenceSequence, shared_level


def gains(
    paired: Mapping[tuple[str, str], Sequence[Pair]],
    counting: Counting,
    *,
    margin: float,
    level: float,
    sequential: bool = False,
) -> tuple[Gain, ...]:
    """One gain for each (arm, control) of ``paired``, in its order, under one way of counting.

    Intervals are at the Sidak level over all of them, p-values also adjusted by Holm.
    ``sequential``: both allow for a run that was looked at after every problem (Bonferroni level);
    the pairs must then come in the order drawn.
    """
    n_gains = max(1, len(paired))
    each = shared_level(level, n_gains) if sequential else sidak_level(level, n_gains)
    raw = [
        _gain(names, pairs, counting, margin=margin, level=each, sequential=sequential)
        for names, pairs in paired.items()
    ]
    adjusted = holm([gain.p_value for gain in raw])
    return tuple(dataclasses.replace(gain, p_holm=p) for gain, p in zip(raw, adjusted, strict=True))


def _gain(
    names: tuple[str, str],
    pairs: Sequence[Pair],
    counting: Counting,
    *,
    margin: float,
    level: float,
    sequential: bool,
) -> Gain:
    judged = [verdict for pair in pairs if (verdict := counting.judge(pair)) is not None]
    n = len(judged)
    n_better = sum(arm and not control for arm, control in judged)
    n_worse = sum(control and not arm for arm, control in judged)
    if sequential:
        found = ConfidenceSequence(level)
        for arm, control in judged:
            found.update(arm - control)
        interval, p_value = found.interval, found.p_value
    else:
        interval = tango(n_better, n_worse, n, level)
        p_value = mcnemar_midp(n_better, n_worse)
    rate = sum(control for _, control in judged) / n if n else math.nan
    return Gain(
        arm=names[0],
        control=names[1],
        reader=counting.reader,
        n=n,
        n_better=n_better,
        n_worse=n_worse,
        gain=(n_better - n_worse) / n if n else math.nan,
        interval=interval,
        p_value=p_value,
        p_holm=p_value,
        label=label(interval, margin),
        mde=minimum_detectable_effect(n, rate, level) if n else math.nan,
    )
