"""How often the intervals of clustered gains hold, cell by cell, in worlds whose truth is planted.

    python perf/coverage.py OUT.jsonl [--runs 10000] [--quick]
    python perf/coverage.py OUT.jsonl --table
    python perf/coverage.py --rates [--runs 2000]
    python perf/coverage.py --means [--runs 10000]

A finished cell is one line of OUT.jsonl and is not simulated again; ``--quick`` takes the cells of
the test suite only; ``--table`` prints the table of docs/statistics.md of what is there. A cell of
10,000 runs takes seconds: runs are columns, and 250 of them share their resamples. ``--rates``
prints the table of rare solve rates over chance; ``--means`` that of mean gains of benchmarks.

The world: in each cluster the solve rate of either arm is drawn from a beta distribution of its own
(so that answers of one cluster correlate by the ICC, and arms do not share what makes a cluster
easy: the worst case for a paired difference), then each problem is answered independently.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

from cotkit.analysis.samples import rate_interval
from cotkit.analysis.suite import mean_interval
from cotkit.stats.bootstrap import Floats, bootstrap_t, clustered_means
from cotkit.stats.hypotheses import sidak_level
from cotkit.stats.intervals import Interval, tango

LEVELS = (0.95, sidak_level(0.95, 6))
"""Of one interval; of one of six sizes."""
N_RESAMPLES = 2000
BATCH = 250
"""Runs that share their resamples."""
FEW_DISCORDANT = 5
"""Clusters with a difference, on average, below which a cell is listed apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One planted world."""

    clusters: int
    """How many."""
    size: str
    """Problems of each; ``unequal``: the largest ten times the median, which is 6."""
    icc: float
    """Correlation of two answers of one arm within a cluster."""
    control: float
    """Solve rate of the control."""
    gain: float
    """What the arm adds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """What a cell came to."""

    held: tuple[float, ...]
    """Share of the runs whose interval holds the gain, at each level."""
    too_high: tuple[float, ...]
    """Share whose lower end lies above it."""
    width: tuple[float, ...]
    """Mean width, fraction."""
    discordant: float
    """Clusters with a difference, mean over runs."""
    runs: int
    """How many."""


def list_cells() -> Iterator[Cell]:
    """Yield every cell."""
    axes = product((10, 30, 100), ("2", "6", "20", "unequal"), (0, 0.2, 0.5), (0.03, 0.2, 0.5))
    for clusters, size, icc, control in axes:
        for gain in (0, 0.2):
            yield Cell(clusters=clusters, size=size, icc=icc, control=control, gain=gain)


QUICK = (
    Cell(clusters=10, size="6", icc=0.5, control=0.5, gain=0),
    Cell(clusters=10, size="unequal", icc=0.2, control=0.2, gain=0.2),
    Cell(clusters=30, size="unequal", icc=0.5, control=0.2, gain=0),
    Cell(clusters=30, size="2", icc=0, control=0.5, gain=0.2),
    Cell(clusters=100, size="6", icc=0.5, control=0.2, gain=0.2),
    Cell(clusters=100, size="unequal", icc=0.5, control=0.03, gain=0.2),
)
"""Hard ones of every kind, for the test suite."""


def sizes_of(cell: Cell) -> Floats:
    """Return the problems of each cluster."""
    if cell.size != "unequal":
        return np.full(cell.clusters, float(cell.size))
    return np.maximum(1, np.round(6 * 10 ** np.linspace(-1, 1, cell.clusters)))


def draw_correct(rate: float, icc: float, sizes: Floats, rng: np.random.Generator) -> Floats:
    """Return how many problems of each cluster an arm solves; ``sizes``: [clusters x runs]."""
    shape = sizes.shape
    rates = np.full(shape, rate)
    if icc > 0:
        weight = (1 - icc) / icc
        rates = rng.beta(rate * weight, (1 - rate) * weight, shape)
    return rng.binomial(sizes.astype(int), rates).astype(np.float64)


def simulate(cell: Cell, runs: int, levels: Sequence[float] = LEVELS) -> Coverage:
    """Return how often the intervals of a cell hold; seeded by the cell's name."""
    rng = np.random.default_rng(list(json.dumps(asdict(cell)).encode()))
    sizes = sizes_of(cell)
    sums = np.zeros((3, len(levels)))
    n_discordant = 0.0
    for start in range(0, runs, BATCH):
        columns = np.repeat(sizes[:, None], min(BATCH, runs - start), axis=1)
        arm, control = (
            draw_correct(rate, cell.icc, columns, rng)
            for rate in (cell.control + cell.gain, cell.control)
        )
        totals = arm - control
        n_discordant += float((totals != 0).sum())
        for i, level in enumerate(levels):
            ends = clustered_means(totals, columns, level, N_RESAMPLES, rng)
            is_high, is_low = ends.low > cell.gain + 1e-9, ends.high < cell.gain - 1e-9
            sums[:, i] += (~(is_high | is_low)).sum(), is_high.sum(), (ends.high - ends.low).sum()
    held, too_high, width = (tuple((row / runs).tolist()) for row in sums)
    return Coverage(
        held=held, too_high=too_high, width=width, discordant=n_discordant / runs, runs=runs
    )


def surely_below(share: float, runs: int, bound: float) -> bool:
    """Whether the 99 % Monte Carlo interval of a share lies wholly below a bound (Wilson 1927)."""
    z = 2.5758
    centre = (share * runs + z * z / 2) / (runs + z * z)
    half = z * math.sqrt(share * (1 - share) * runs + z * z / 4) / (runs + z * z)
    return centre + half < bound


def fails(cell: Cell, coverage: Coverage) -> bool:
    """Whether a cell fails: surely below 94 %, of 10 clusters below 93 %, at either level."""
    bound = 0.93 if cell.clusters <= 10 else 0.94
    return any(surely_below(share, coverage.runs, bound) for share in coverage.held)


def load(path: Path) -> dict[Cell, Coverage]:
    """Return the finished cells of a file."""
    if not path.exists():
        return {}
    cells: dict[Cell, Coverage] = {}
    for line in path.read_text("utf-8").splitlines():
        record = json.loads(line)
        coverage: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in record["coverage"].items()
        }
        cells[Cell(**record["cell"])] = Coverage(**coverage)
    return cells


def print_tables(cells: dict[Cell, Coverage]) -> None:
    """Print coverage at both levels by cell: a table of what decides, then the cells set apart."""
    apart = {cell for cell, coverage in cells.items() if coverage.discordant < FEW_DISCORDANT}
    failed = [cell for cell in cells if cell not in apart and fails(cell, cells[cell])]
    print(f"{len(cells)} cells, {len(cells) - len(apart)} counted, {len(failed)} failed\n")
    print("| clusters | each | ICC | 3 % | 3 % + 20 | 20 % | 20 % + 20 | 50 % | 50 % + 20 |")
    print("|---|---|---|---|---|---|---|---|---|")
    for clusters, size, icc in product((10, 30, 100), ("2", "6", "20", "unequal"), (0, 0.2, 0.5)):
        shown: list[str] = []
        for control, gain in product((0.03, 0.2, 0.5), (0, 0.2)):
            cell = Cell(clusters=clusters, size=size, icc=icc, control=control, gain=gain)
            if (coverage := cells.get(cell)) is None:
                shown.append("-")
                continue
            text = " / ".join(f"{100 * share:.1f}" for share in coverage.held)
            shown.append(
                f"({text})" if cell in apart else f"**{text}**" if cell in failed else text
            )
        if set(shown) != {"-"}:
            print(f"| {clusters} | {size} | {icc:g} | {' | '.join(shown)} |")


def print_rates(runs: int) -> None:
    """Print how often the interval of one rare rate in clusters holds it at 95 %, by procedure."""
    print("| clusters | each | ICC | rate | no end | bootstrap-t alone | with flips | Wilson |")
    print("|---|---|---|---|---|---|---|---|")
    axes = product((30, 53, 100), ("1", "6", "unequal"), (0, 0.5, 0.95), (0.01, 0.03, 0.1))
    for clusters, size, icc, rate in axes:
        if size == "1" and icc:
            continue
        cell = Cell(clusters=clusters, size=size, icc=icc, control=0, gain=rate)
        rng = np.random.default_rng(list(json.dumps(asdict(cell)).encode()))
        columns = np.repeat(sizes_of(cell)[:, None], runs, axis=1)
        hits = draw_correct(rate, icc, columns, rng)
        ends: list[Floats] = []
        for procedure in (bootstrap_t, clustered_means):
            parts = [
                procedure(hits[:, i : i + BATCH], columns[:, i : i + BATCH], 0.95, N_RESAMPLES, rng)
                for i in range(0, runs, BATCH)
            ]
            ends.append(np.concatenate([[part.low, part.high] for part in parts], axis=1))
        n_no_end = int((ends[0][1] - ends[0][0] == 2).sum())
        names = np.repeat(np.arange(clusters), columns[:, 0].astype(int)).tolist()
        wilson: list[Interval] = []
        for solved in hits.T.astype(int).tolist():
            pairs = zip(solved, columns[:, 0].astype(int).tolist(), strict=True)
            scores = [float(i < right) for right, n in pairs for i in range(n)]
            wilson.append(rate_interval(scores, len(scores), 0.95, names))
        ends.append(np.array([[i.low for i in wilson], [i.high for i in wilson]]))
        texts = [
            f"{100 * np.mean((low <= rate) & (rate <= high)):.1f} (±{50 * np.mean(high - low):.0f})"
            for low, high in np.clip(ends, 0, 1)
        ]
        row = (clusters, size, f"{icc:g}", f"{100 * rate:g} %", f"{100 * n_no_end / runs:.0f} %")
        print(f"| {' | '.join(map(str, (*row, *texts)))} |", flush=True)


MEANS: dict[str, list[tuple[float, float]]] = {
    "2, no gain": [(0.03, 0.03), (0.5, 0.5)],
    "2, +20 and 0": [(0.2, 0.4), (0.5, 0.5)],
    "5, no gain": [(0.03, 0.03), (0.1, 0.1), (0.2, 0.2), (0.5, 0.5), (0.9, 0.9)],
    "5, +20": [(0.03, 0.23), (0.1, 0.3), (0.2, 0.4), (0.5, 0.7), (0.75, 0.95)],
    "5, one of +60": [(0.03, 0.63), (0.03, 0.03), (0.03, 0.03), (0.03, 0.03), (0.03, 0.03)],
}
"""Benchmarks: solve rates of control and arm."""
PROBLEMS = {"30": 30, "100": 100, "300": 300, "20 and 500": 0}
"""Of each benchmark; 0: every other one has 20, the others 500."""
CORRELATION = 0.28
"""Of the latent answers of both arms to a problem: gives phi of about 0.17 at middling rates."""


def print_means(runs: int) -> None:
    """Print how often the interval of a mean gain holds it, by either weighting, in percent."""
    rng = np.random.default_rng(0)
    shared = rng.standard_normal(1_000_000) * math.sqrt(CORRELATION)
    own = rng.standard_normal((2, 1_000_000)) * math.sqrt(1 - CORRELATION)
    print(f"| benchmarks | {' | '.join(f'n = {name}' for name in PROBLEMS)} |")
    print(f"|---|{'---|' * len(PROBLEMS)}")
    for name, rates in MEANS.items():
        cells: list[str] = []
        for each in PROBLEMS.values():
            sizes = [each or (500 if i % 2 else 20) for i in range(len(rates))]
            drawn: list[list[tuple[float, Interval]]] = []
            truths: list[float] = []
            for of_arms, n in zip(rates, sizes, strict=True):
                control, arm = (
                    shared + noise < NormalDist().inv_cdf(rate)
                    for noise, rate in zip(own, of_arms, strict=True)
                )
                shares = [float((arm & ~control).mean()), float((control & ~arm).mean())]
                truths.append(shares[0] - shares[1])
                counts = rng.multinomial(n, [*shares, 1 - sum(shares)], size=runs)[:, :2].tolist()
                drawn.append([((b - c) / n, _tango(b, c, n)) for b, c in counts])
            texts: list[str] = []
            for weights in ([1 / len(sizes)] * len(sizes), [n / sum(sizes) for n in sizes]):
                truth = math.fsum(w * t for w, t in zip(weights, truths, strict=True))
                held = [
                    interval.low <= truth <= interval.high
                    for of_run in zip(*drawn, strict=True)
                    for interval in [mean_interval(weights, *zip(*of_run, strict=True))]
                ]
                texts.append(f"{100 * np.mean(held):.1f}")
            cells.append(" / ".join(texts))
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


@functools.cache
def _tango(n_better: int, n_worse: int, n: int) -> Interval:
    return tango(n_better, n_worse, n, 0.95)


def main() -> None:
    """Simulate what is missing, or print what is there."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path, nargs="?")
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--rates", action="store_true")
    parser.add_argument("--means", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    if options.rates:
        print_rates(options.runs)
        return
    if options.means:
        print_means(options.runs)
        return
    if options.out is None:
        parser.error("OUT.jsonl is missing")
    finished = load(options.out)
    if options.table:
        print_tables(finished)
        return
    for cell in QUICK if options.quick else list_cells():
        if cell in finished:
            continue
        coverage = simulate(cell, options.runs)
        with options.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"cell": asdict(cell), "coverage": asdict(coverage)}) + "\n")
        print(f"{'FAILS' if fails(cell, coverage) else 'ok'} {cell} {coverage}", flush=True)


if __name__ == "__main__":
    main()
