"""How often the intervals of clustered and fractional scores, and of crossings, hold.

    python perf/scale_intervals.py [RUNS]

Prints two tables of docs/statistics.md, "Scale"; some minutes on one core for 1,000 runs. Seeded.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scale_simulation import PAIR, rising, rungs_of

from cotkit.analysis.scale.analysis import analyse
from cotkit.analysis.scale.gains import estimate_points, measure_pair
from cotkit.analysis.scale.grid import ArmOutcomes, Cell, ResultGrid, ScaleQuestion
from cotkit.stats.bootstrap import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Clustered:
    """Problems in clusters whose members go together."""

    clusters: int
    """How many."""
    members: int
    """Problems of each."""
    samples: int
    """Of each problem; its score is the share that is right."""
    control: float
    """Mean rate of the control."""
    arm: float
    """Mean rate of the arm."""


CLUSTERED = (
    Clustered(clusters=10, members=10, samples=1, control=0.3, arm=0.5),
    Clustered(clusters=20, members=10, samples=1, control=0.3, arm=0.5),
    Clustered(clusters=20, members=10, samples=1, control=0.02, arm=0.05),
    Clustered(clusters=40, members=10, samples=1, control=0.3, arm=0.5),
    Clustered(clusters=40, members=10, samples=1, control=0.02, arm=0.05),
    Clustered(clusters=165, members=6, samples=1, control=0.3, arm=0.3),
    Clustered(clusters=200, members=1, samples=4, control=0.3, arm=0.5),
    Clustered(clusters=200, members=1, samples=4, control=0.01, arm=0.03),
    Clustered(clusters=1319, members=1, samples=8, control=0.05, arm=0.05),
)


def beta(mean: float, size: tuple[int, ...], rng: np.random.Generator) -> Floats:
    """Rates of mean ``mean`` that correlate by 0.25 within what shares them."""
    return rng.beta(3 * mean, 3 * (1 - mean), size)


def scores(of: Clustered, rate: float, rng: np.random.Generator) -> Floats:
    """One for each problem."""
    rates = np.repeat(beta(rate, (of.clusters,), rng), of.members)
    return rng.binomial(of.samples, rates) / of.samples


def print_clustered(of: Clustered, runs: int, level: float) -> None:
    """One row."""
    rng = np.random.default_rng(0)
    codes = np.repeat(np.arange(of.clusters), of.members) if of.members > 1 else None
    below = above = 0
    widths: list[float] = []
    method = ""
    for _ in range(runs):
        arm, control = (ArmOutcomes(correct=scores(of, p, rng)) for p in (of.arm, of.control))
        found = measure_pair(arm, control, codes, level)
        assert found is not None
        key = (PAIR, "m")
        interval = estimate_points({key: found}, level, 2000, rng)[key].interval
        assert found.sample is not None
        method = found.sample.method
        below += interval.high < of.arm - of.control
        above += interval.low > of.arm - of.control
        widths.append(interval.high - interval.low)
    shown = f"{100 * (1 - (below + above) / runs):.1f} % | {100 * above / runs:.1f} %"
    print(
        f"| {of.clusters} | {of.members} | {of.samples} | {of.control:g} | {of.arm:g} | {method} "
        f"| {level:g} | {shown} | {100 * float(np.mean(widths)):.1f} |",
        flush=True,
    )


def slow(u: Floats) -> Floats:
    """The control of a crossing: a logistic that has hardly begun."""
    return rising(u, 0, 1, 1.2, 4)


CROSSINGS: dict[str, Callable[[Floats], Floats]] = {
    "logistic": lambda u: rising(u, 0, 1, 0.9, 8),
    "steep logistic": lambda u: rising(u, 0, 1, 0.9, 14),
    "step": lambda u: slow(u) + 0.3 * (u > 0.55),
}


def print_crossing(name: str, n_sizes: int, n: int, runs: int) -> None:
    """How often a point is given inside the bracket, and how often its interval holds."""
    rng = np.random.default_rng(0)
    u, fine, arm = np.linspace(0, 1, n_sizes), np.linspace(0, 1, 100_001), CROSSINGS[name]
    reached = arm(fine) - slow(fine) >= 0.02
    truth = 10 ** (8 + 2.5 * float(fine[reached.argmax()]))
    rungs = rungs_of(10 ** (8 + 2.5 * u))
    given = held = brackets = 0
    for _ in range(runs):
        cells: dict[tuple[str, str], Cell] = {
            (rung.model, of): ArmOutcomes(correct=(rng.random(n) < p).astype(float))
            for of, curve in zip(PAIR, (arm, slow), strict=True)
            for rung, p in zip(rungs, curve(u).tolist(), strict=True)
        }
        grid = ResultGrid(bench="planted", rungs=rungs, cells=cells, problem_ids=("",) * n)
        onset = (
            analyse(grid, ScaleQuestion(pairs=(PAIR,), margin=0.02, n_resamples=400), rng)
            .answers[0]
            .onset
        )
        brackets += onset.status == "bracket"
        if onset.model_based is not None:
            given += 1
            interval = onset.model_based.interval
            held += interval.low <= truth <= interval.high
    share = f"{100 * held / given:.0f} %" if given else "-"
    print(
        f"| {name} | {n_sizes} | {n} | {100 * brackets / runs:.0f} % | {100 * given / runs:.0f} % "
        f"| {share} |",
        flush=True,
    )


def main(runs: int) -> None:
    """Print all tables."""
    print(
        "| clusters | each | samples | control | arm | method | level | held | too high | width |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for of in CLUSTERED:
        for level in (0.95, 0.9915):  # the latter: one of six
            print_clustered(of, runs, level)
    print("\n| world | sizes | n | bracket | a point is given | its interval holds |")
    print("|---|---|---|---|---|---|")
    for name in CROSSINGS:
        for n_sizes, n in ((6, 1319), (12, 1319), (12, 5000)):
            print_crossing(name, n_sizes, n, runs // 5)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
