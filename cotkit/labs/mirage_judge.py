"""Judge whether the metric makes a jump: the rule of ``cotkit scale`` on trained networks.

Schaeffer et al. 2023 (arXiv:2304.15004, section 5). Every family has a linear companion and
metrics that ask for more at once; sharpness, contrast and verdict are those of ``cotkit scale``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cotkit.analysis.scale.grid import Rung
from cotkit.analysis.scale.jumps import (
    MeanEstimate,
    MetricSharpness,
    judge_jump,
    measure_sharpness,
    sharpness_contrast,
)
from cotkit.analysis.scale.values import JumpWord
from cotkit.labs.report import Finding, LabReport, Plot, PlotLine
from cotkit.report.verdicts import verdict_cell
from cotkit.stats.bootstrap import Floats, percentiles, resampled_sums

N_RESAMPLES = 2000
"""Of the bootstrap over test images, or over sequences of them."""
LEVEL = 0.95
"""Of all intervals."""
CLOSE = 0.05
"""An image is reconstructed if its squared error is below this share of the images' variance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyResults:
    """One family's networks on images that they were not trained on."""

    name: str
    """``LeNet``."""
    data: str
    """Which images."""
    sizes: tuple[int, ...]
    """Parameters, rising."""
    metrics: dict[str, Floats]
    """Name -> [sizes x units], a mean over seeds: the first is the linear companion, the last the
    strictest. A unit is what was drawn independently: an image or a sequence. Empty of a family
    that is ``right`` or not."""
    right: Floats | None = None
    """[sizes x seeds x images], 0 or 1: subset accuracies are made of it."""
    most: int = 5
    """Largest K of the subsets."""


def judge_mirage(families: Sequence[FamilyResults], *, n_seeds: int, seed: int) -> LabReport:
    """Judge every family."""
    rng = np.random.default_rng(seed)
    judged = [_judge_family(family, rng) for family in families]
    return LabReport(
        name="mirage",
        answers=tuple(answer for answer, _, _ in judged),
        caption=(
            "arXiv:2304.15004, section 5",
            f"{n_seeds} seeds of each size",
            *dict.fromkeys(f"images: {family.data}" for family in families),
        ),
        facts=(("lab", "mirage"), ("n_seeds", n_seeds), ("seed", seed), ("level", LEVEL)),
        findings=tuple(finding for _, finding, _ in judged),
        finding_name="sharpness, strict less linear",
        plots=tuple(plot for _, _, plot in judged),
        notes=(f"bootstrap over test images ({N_RESAMPLES:,} resamples): seeds may differ more",),
    )


def subset_accuracy(n_right: Floats, n: int, k: int) -> Floats:
    """Return the unbiased chance that k of n images drawn without replacement are all right."""
    probability = np.ones_like(n_right)
    for i in range(k):
        probability = probability * np.maximum(n_right - i, 0) / (n - i)
    return probability


def _judge_family(family: FamilyResults, rng: np.random.Generator) -> tuple[str, Finding, Plot]:
    columns, n_units = _metric_columns(family, rng)
    rungs = [Rung(model=f"{n}", family=family.name, n_params=n) for n in family.sizes]
    x = np.log10(np.asarray(family.sizes, dtype=np.float64))
    sharps = {
        name: measure_sharpness(name, x, rungs, column, LEVEL) for name, column in columns.items()
    }
    linear, strict = next(iter(sharps.values())), list(sharps.values())[-1]
    contrast = sharpness_contrast(strict, linear, LEVEL)
    n_floors = int(((strict.means == 0) & (linear.means == 0)).sum())
    word, why = judge_jump(strict, linear, contrast, n_floors, n_units)
    finding = Finding(
        what=f"{family.name}: {strict.sharpness.metric} against {linear.sharpness.metric}",
        value=strict.sharpness.value - linear.sharpness.value,
        interval=contrast,
        form="change",
        verdict=verdict_cell(word),
        why=why,
    )
    return (
        _answer_sentence(family, strict, linear, word, why),
        finding,
        _plot_family(family, sharps),
    )


def _answer_sentence(
    family: FamilyResults,
    strict: MetricSharpness,
    linear: MetricSharpness,
    word: JumpWord,
    why: str,
) -> str:
    a, b = strict.sharpness.metric, linear.sharpness.metric
    claim = {
        "metric_artefact": f"the jump of {a} is made by the metric",
        "real_jump": f"the jump is real: {b} jumps, too",
        "no_jump": f"{a} does not jump",
        "undetermined": f"whether {a} jumps or its metric makes it so is undetermined",
    }[word]
    sizes = f"{family.sizes[0]:,} to {family.sizes[-1]:,} parameters"
    return f"{family.name}, {sizes}: {claim}; {why}."


def _plot_family(family: FamilyResults, sharps: dict[str, MetricSharpness]) -> Plot:
    lines = [
        PlotLine(
            name=f"{name} (sharpness {sharp.sharpness.value:.2f})"
            if math.isfinite(sharp.sharpness.value)
            else name,
            key=name,
            x=tuple(map(float, family.sizes)),
            y=tuple(sharp.means.tolist()),
            intervals=tuple(percentiles(column, LEVEL) for column in sharp.draws.T),
        )
        for name, sharp in sharps.items()
    ]
    return Plot(
        key=family.name.lower(),
        title=f"{family.name} on {family.data}",
        caption="The same networks on the same images, by metrics that ask for more at once",
        x_name="parameters",
        x_form="params",
        x_is_log=True,
        y_name="value",
        y_form="share",
        lines=tuple(lines),
    )


def _metric_columns(
    family: FamilyResults, rng: np.random.Generator
) -> tuple[dict[str, list[MeanEstimate]], int]:
    """Return metric -> an estimate for each size, all over the same resamples; and the units."""
    if family.right is not None:
        return _subset_columns(family.right, family.most, rng), family.right.shape[-1]
    names, values = list(family.metrics), np.stack(list(family.metrics.values()))
    n_metrics, n_sizes, n = values.shape
    drawn = resampled_sums(values.reshape(-1, n).T, N_RESAMPLES, rng) / n
    drawn = drawn.reshape(N_RESAMPLES, n_metrics, n_sizes)
    means = values.mean(-1)
    return {
        name: [
            MeanEstimate(n=n, mean=float(means[m, i]), draws=drawn[:, m, i]) for i in range(n_sizes)
        ]
        for m, name in enumerate(names)
    }, n


def _subset_columns(
    right: Floats, most: int, rng: np.random.Generator
) -> dict[str, list[MeanEstimate]]:
    n_sizes, n_seeds, n = right.shape
    n_right = right.sum(-1)
    drawn = resampled_sums(right.reshape(-1, n).T, N_RESAMPLES, rng)
    drawn = drawn.reshape(N_RESAMPLES, n_sizes, n_seeds)
    columns: dict[str, list[MeanEstimate]] = {}
    for k in range(1, most + 1):
        mean = subset_accuracy(n_right, n, k).mean(-1)
        draws = subset_accuracy(drawn, n, k).mean(-1)
        columns["accuracy" if k == 1 else f"subset accuracy K={k}"] = [
            MeanEstimate(n=n, mean=float(mean[i]), draws=draws[:, i]) for i in range(n_sizes)
        ]
    return columns
