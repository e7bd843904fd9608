"""Numbers that describe a curve over model size, and fits of it: arrays in, numbers out.

Curves lie along the last axis, sizes rising; leading axes (resamples) are kept.
"""

from __future__ import annotations

import numpy as np

from cotkit.stats.bootstrap import Floats

_FLAT = 1e-12  # a range below this is rounding


def breakthroughness(y: Floats) -> Floats:
    """Return ``sgn I / sqrt(median of squared gaps)`` of each curve.

    I is the range of the curve; sgn is + if its best size lies after its worst, else -.

    The emergence score of Schaeffer et al. 2023 (arXiv:2304.15004), which is BIG-bench's
    breakthroughness. N - 1 for a straight line over N sizes; infinite if most gaps are 0 and
    the range is not; 0 for a constant curve, by convention.

    Args:
        y: [... x sizes], two sizes or more.

    Returns:
        [...]
    """
    return _signed_range(y, np.median(np.diff(y, axis=-1) ** 2, axis=-1))


def linearity(y: Floats) -> Floats:
    """Return `breakthroughness` with the mean of the squared gaps in place of their median.

    Source: BIG-bench, arXiv:2206.04615.
    """
    return _signed_range(y, np.mean(np.diff(y, axis=-1) ** 2, axis=-1))


def curve_direction(y: Floats) -> Floats:
    """Return +1 where the best size lies after the worst, -1 if before, 0 if constant."""
    return np.sign(y.argmax(-1) - y.argmin(-1)).astype(np.float64)


def excess_share(x: Floats, y: Floats, sign: float) -> Floats:
    """Return every gap's share of the curve's range less its share of the axis: [... x gaps].

    The largest of them is the curve's sharpness: 0 for a straight line, to 1 for a step. NaN where
    the curve is constant.

    Args:
        x: [sizes], rising.
        y: [... x sizes].
        sign: -1 counts falls in place of rises.
    """
    span = y.max(-1, keepdims=True) - y.min(-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(span > _FLAT, sign * np.diff(y, axis=-1) / span, np.nan)
    return share - np.diff(x) / (x[-1] - x[0])


def isotonic(y: Floats, weights: Floats) -> Floats:
    """Fit the closest curve that never falls, by weighted squares.

    The method is to pool adjacent violators (Ayer 1955).

    For display: it hides every fall, and a jump found in it may be the pooling's.
    """
    blocks: list[tuple[float, float, int]] = []  # mean, weight, sizes
    for value, weight in zip(y.tolist(), weights.tolist(), strict=True):
        mean, total, n = value, weight, 1
        while blocks and blocks[-1][0] > mean:
            other, other_weight, other_n = blocks.pop()
            both = total + other_weight
            mean = (mean * total + other * other_weight) / both if both else (mean + other) / 2
            total, n = both, n + other_n
        blocks.append((mean, total, n))
    return np.repeat([b[0] for b in blocks], [b[2] for b in blocks]).astype(np.float64)


def fit_logistic(x: Floats, rates: Floats, n: Floats) -> tuple[Floats, Floats]:
    """Fit ``rate = 1 / (1 + exp(-(a + b x)))`` by maximum likelihood (Newton's method).

    Half a solved and half an unsolved problem are added at each size (Haldane 1955, Anscombe
    1956), so that a curve of zeros and ones has a finite slope.

    Args:
        x: [sizes], log10 of the size.
        rates: [... x sizes], 0..1.
        n: [sizes], problems.

    Returns:
        a and b, each of the leading shape.
    """
    target, weight = (rates * n + 0.5) / (n + 1), n + 1
    centre, unit = x.mean(), x.std()
    z = (x - centre) / unit
    a = np.log(target.mean(-1) / (1 - target.mean(-1)))
    b = np.zeros_like(a)
    for _ in range(50):
        fitted = logistic(a[..., None] + b[..., None] * z)
        curvature = weight * np.maximum(fitted * (1 - fitted), 1e-9)
        pull = weight * (target - fitted)
        h0, h1, h2 = curvature.sum(-1), (curvature * z).sum(-1), (curvature * z * z).sum(-1)
        g0, g1 = pull.sum(-1), (pull * z).sum(-1)
        determinant = h0 * h2 - h1 * h1
        step_a = (h2 * g0 - h1 * g1) / determinant
        step_b = (h0 * g1 - h1 * g0) / determinant
        # A step of more than 2 in the logit would leave where the curvature was taken.
        short = np.minimum(1.0, 2 / np.maximum(np.maximum(abs(step_a), abs(step_b)), 1e-12))
        a, b = a + short * step_a, b + short * step_b
    return a - b * centre / unit, b / unit


def logistic(logit: Floats) -> Floats:
    """Return ``1 / (1 + exp(-logit))``, without overflow."""
    return 0.5 * (1 + np.tanh(logit / 2))


def _signed_range(y: Floats, typical_square: Floats) -> Floats:
    span = y.max(-1) - y.min(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        score = span / np.sqrt(typical_square)
    return curve_direction(y) * np.where(span > 0, score, 0.0)
