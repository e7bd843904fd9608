"""How often the scale analysis is right, in worlds whose truth is planted.

    python perf/scale_simulation.py [RUNS]
    python perf/scale_simulation.py bracket [RUNS]
    python perf/scale_simulation.py clusters [RUNS [CLUSTERSxEACH,... [SIZES,... [WORLDS,...]]]]
    python perf/scale_simulation.py jumps [RUNS [SIZESxPROBLEMS[,...]]]
    python perf/scale_simulation.py trainings [RUNS]

Answers are drawn directly, problem by problem: a problem's difficulty is shared by all sizes and
arms, so that arms agree by about 0.17 (phi). Prints tables of docs/statistics.md, "Scale";
about 10 minutes on one core for 400 runs of each cell. Seeded: equal calls print equal tables.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cotkit.analysis.gains import label_gain
from cotkit.analysis.scale.analysis import analyse
from cotkit.analysis.scale.contrasts import ContrastQuestion, ModelPair, contrast_models
from cotkit.analysis.scale.gains import estimate_points, measure_curves, measure_pair
from cotkit.analysis.scale.grid import (
    ArmOutcomes,
    Cell,
    ResultGrid,
    Rung,
    ScaleQuestion,
    prepare_setting,
)
from cotkit.analysis.scale.jumps import JUMP_ABOVE, SMOOTH_BELOW
from cotkit.analysis.scale.onset import NO_HELP, find_onset
from cotkit.analysis.scale.replicates import recipe_error
from cotkit.analysis.scale.values import JumpWord, Onset, Point
from cotkit.stats.bootstrap import clustered_means
from cotkit.stats.curves import curve_direction, excess_share
from cotkit.stats.hypotheses import sidak_level
from cotkit.stats.intervals import Interval, tango, wilson

Floats: TypeAlias = NDArray[np.float64]

MARGIN = 0.02
PAIR = ("cot", "few-shot")
OPEN: JumpWord = "undetermined"
_SHARED = 0.28  # of a latent answer's variance: gives phi of about 0.17 at middling rates


# ---- onset -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Solve rates of both arms over the ladder."""

    name: str
    """As the table names it."""
    control: Callable[[Floats], Any]
    """Rate at each place, 0 the smallest size, 1 the largest."""
    gain: Callable[[Floats], Any]
    """What the arm adds."""


def rising(u: Floats, low: float, high: float, middle: float, steep: float) -> Floats:
    """A logistic from low to high."""
    return low + (high - low) / (1 + np.exp(-steep * (u - middle)))


def weak(u: Floats) -> Floats:
    """A control that learns slowly: 2 % to 15 %."""
    return 0.02 + 0.13 * u**2


def strong(u: Floats) -> Floats:
    """A control that ends at its ceiling."""
    return rising(u, 0.02, 0.97, 0.5, 10)


def hump(u: Floats) -> Floats:
    """Help that comes and goes."""
    return 0.25 * np.exp(-(((u - 0.45) / 0.15) ** 2))


WORLDS = (
    World(name="null, weak control", control=weak, gain=lambda u: 0 * u),
    World(name="null, control to its ceiling", control=strong, gain=lambda u: 0 * u),
    World(name="gain just below the margin", control=weak, gain=lambda u: 0.0199 + 0 * u),
    World(name="smooth onset", control=weak, gain=lambda u: rising(u, 0, 0.4, 0.7, 12)),
    World(name="linear onset", control=weak, gain=lambda u: 0.3 * u),
    World(name="true step", control=weak, gain=lambda u: 0.3 * (u > 0.55)),
    World(name="small step (6 points)", control=weak, gain=lambda u: 0.06 * (u > 0.55)),
    World(name="harms, then helps", control=weak, gain=lambda u: np.where(u > 0.6, 0.3, -0.018)),
    World(
        name="ceiling: help fades",
        control=strong,
        gain=hump,
    ),
    World(
        name="reversal: helps, then harms",
        control=lambda u: 0.1 + 0.3 * u,
        gain=lambda u: np.where(u > 0.85, -0.1, 0.25 * (u > 0.4)),
    ),
    World(name="helps everywhere", control=weak, gain=lambda u: 0.12 + 0.2 * u),
)

# Wei et al. 2022, table 2, GSM8K: millions of parameters, standard prompting, chain of thought.
PAPERS = {
    "LaMDA": ((420, 2e3, 8e3, 68e3, 137e3), (2.6, 3.6, 3.2, 5.7, 6.5), (0.4, 1.9, 1.6, 8.2, 14.3)),
    "InstructGPT": ((350, 1.3e3, 6.7e3, 175e3), (2.2, 2.4, 4.0, 15.6), (0.5, 0.5, 2.4, 46.9)),
    "PaLM": ((8e3, 62e3, 540e3), (4.9, 9.6, 17.9), (4.1, 29.9, 56.9)),
}


DESIGNS = ((4, 200), (6, 200), (6, 1319), (12, 500), (12, 1319))
"""Sizes and problems: the columns of the tables."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladder:
    """Planted solve rates at some sizes, and how many problems are asked."""

    params: Floats
    """Sizes."""
    rates: tuple[Floats, Floats]
    """Of the arm and its control, at each size."""
    n: int
    """Problems."""


def ladder(world: World, n_sizes: int, n: int) -> Ladder:
    """A world at sizes that are evenly spaced over two and a half decades."""
    u = np.linspace(0, 1, n_sizes)
    control = world.control(u)
    rates = np.clip(control + world.gain(u), 0.001, 0.999), control
    return Ladder(params=10 ** (8 + 2.5 * u), rates=rates, n=n)


def answers(rates: tuple[Floats, ...], n: int, rng: np.random.Generator) -> list[Floats]:
    """Zeros and ones for each arm, [sizes x problems], difficulty shared."""
    quantile = NormalDist().inv_cdf
    difficulty = rng.standard_normal(n) * np.sqrt(_SHARED)
    found: list[Floats] = []
    for of_arm in rates:
        bar = np.asarray([quantile(float(np.clip(p, 1e-6, 1 - 1e-6))) for p in of_arm])
        own = rng.standard_normal((len(of_arm), n)) * np.sqrt(1 - _SHARED)
        found.append((difficulty + own < bar[:, None]).astype(np.float64))
    return found


def one_onset(of: Ladder, rng: np.random.Generator, *, assume_sustained: bool) -> Floats:
    """Draw once, apply the rule, compare with the truth.

    Returns:
        Whether the claims hold, the onset is claimed too early, and a bracket is given; and its
        steps, 0 without one.
    """
    rungs = rungs_of(of.params)
    drawn = answers(of.rates, of.n, rng)
    cells: dict[tuple[str, str], Cell] = {
        (rung.model, arm): ArmOutcomes(correct=of_arm[i])
        for arm, of_arm in zip(PAIR, drawn, strict=True)
        for i, rung in enumerate(rungs)
    }
    grid = ResultGrid(bench="planted", rungs=rungs, cells=cells, problem_ids=("",) * of.n)
    question = ScaleQuestion(pairs=(PAIR,), margin=MARGIN, assume_sustained=assume_sustained)
    points = measure_curves(prepare_setting(grid, question), rng).points[PAIR]
    found = find_onset(points, MARGIN)
    material = np.flatnonzero(of.rates[0] - of.rates[1] >= MARGIN - 1e-9)
    truth = int(material[0]) if material.size else len(rungs)
    upper = len(rungs) if found.upper is None else rungs.index(found.upper)
    lower = -1 if found.lower is None else rungs.index(found.lower)
    if found.upper is None and all(point.label in NO_HELP for point in points):
        lower = len(rungs) - 1  # "no material help at any size" is a claim, too
    is_bracket = found.status == "bracket"
    claims = (lower < truth <= upper, upper < truth, is_bracket)
    return np.asarray([*claims, upper - lower if is_bracket else 0], dtype=np.float64)


def rungs_of(params: Floats) -> tuple[Rung, ...]:
    """A ladder of one family."""
    return tuple(
        Rung(model=f"m{i}", family="planted", n_params=round(size)) for i, size in enumerate(params)
    )


def onset_cell(of: Ladder, runs: int, *, assume_sustained: bool) -> str:
    """``claims hold / too early / a bracket`` in percent of the runs, its mean steps behind it."""
    rng = np.random.default_rng(0)
    total = sum(one_onset(of, rng, assume_sustained=assume_sustained) for _ in range(runs))
    holds, early, brackets, steps = np.asarray(total).tolist()
    width = f" ({steps / brackets:.1f})" if brackets else ""
    shares = " / ".join(f"{100 * share / runs:.1f}" for share in (holds, early, brackets))
    return shares + width


def onset_table(runs: int, *, assume_sustained: bool) -> None:
    """The rule, by world, number of sizes and number of problems."""
    print_row("world", *(f"{sizes} sizes, n = {n}" for sizes, n in DESIGNS))
    print_row(*["---"] * (1 + len(DESIGNS)))
    for world in WORLDS:
        ladders = (ladder(world, n_sizes, n) for n_sizes, n in DESIGNS)
        cells = (onset_cell(of, runs, assume_sustained=assume_sustained) for of in ladders)
        print_row(world.name, *cells)


def paper_table(runs: int) -> None:
    """The rule where the published rates are the truth, with n = 1319, in both modes."""
    print_row("world", "sizes", "the rule", "assume_sustained")
    print_row(*["---"] * 4)
    for name, (millions, standard, chain) in PAPERS.items():
        rates = np.asarray(chain) / 100, np.asarray(standard) / 100
        of = Ladder(params=1e6 * np.asarray(millions), rates=rates, n=1319)
        cells = (onset_cell(of, runs, assume_sustained=mode) for mode in (False, True))
        print_row(name, str(len(millions)), *cells)


def print_row(*cells: str) -> None:
    """One row of a Markdown table."""
    print(f"| {' | '.join(cells)} |", flush=True)


# ---- both ends -------------------------------------------------------------------------------

BRACKET_WORLDS = (
    World(name="null", control=lambda u: 0.03 + 0 * u, gain=lambda u: 0 * u),
    World(name="step, +30", control=lambda u: 0.03 + 0 * u, gain=lambda u: 0.3 * (u > 0.55)),
    World(name="step, +20", control=lambda u: 0.05 + 0 * u, gain=lambda u: 0.2 * (u > 0.55)),
    World(name="step, +10", control=lambda u: 0.05 + 0 * u, gain=lambda u: 0.1 * (u > 0.55)),
    World(name="smooth onset", control=weak, gain=lambda u: rising(u, 0, 0.4, 0.7, 12)),
    World(
        name="small early gain, then a step",
        control=lambda u: 0.05 + 0 * u,
        gain=lambda u: np.where(u > 0.7, 0.3, 0.05 * (u > 0.3)),
    ),
    World(name="harms, then helps", control=weak, gain=lambda u: np.where(u > 0.6, 0.3, -0.018)),
    World(
        name="helps, does not, helps",
        control=lambda u: 0.05 + 0 * u,
        gain=lambda u: np.where((u > 0.2) & (u < 0.5), 0.08, 0.3 * (u > 0.8)),
    ),
    World(
        name="reversal",
        control=lambda u: 0.1 + 0.3 * u,
        gain=lambda u: np.where(u > 0.85, -0.1, 0.25 * (u > 0.4)),
    ),
    World(name="ceiling", control=strong, gain=hump),
)
BRACKET_SIZES = (3, 4, 6, 9, 12)
BRACKET_PROBLEMS = (50, 100, 200, 500, 1319)


@dataclass(frozen=True, slots=True, kw_only=True)
class BracketCounts:
    """Of the runs of one cell."""

    runs: int
    """How many."""
    named: tuple[int, int]
    """Both ends named in the sentence: by the margin's rule alone, with what comes before it."""
    one_step: tuple[int, int]
    """Two neighbours are named so."""
    wrong: tuple[int, int]
    """A claim that is not so: of the rule (an end at the margin included), of the bracket, clear
    or not."""
    stairs: int
    """Any step of the staircase wrong."""

    def __add__(self, other: BracketCounts) -> BracketCounts:
        """Return the sums."""
        return BracketCounts(
            runs=self.runs + other.runs,
            named=_sums(self.named, other.named),
            one_step=_sums(self.one_step, other.one_step),
            wrong=_sums(self.wrong, other.wrong),
            stairs=self.stairs + other.stairs,
        )


def _sums(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
    return a[0] + b[0], a[1] + b[1]


_POINT = Point(
    rung=Rung(model="m", family="planted"),
    x=0.0,
    n=1,
    arm_rate=0.5,
    arm_interval=Interval(low=0, high=1, level=0.95),
    control_rate=0.5,
    control_interval=Interval(low=0, high=1, level=0.95),
    n_better=None,
    n_worse=None,
    gain=0.0,
    interval=Interval(low=-1, high=1, level=0.95),
    method="tango",
    p_value=1.0,
    label="undetermined",
    mde=0.0,
    is_floor=False,
    is_ceiling=False,
)
THRESHOLDS = (0.05, 0.10, 0.20, 0.30)


@functools.lru_cache(maxsize=500_000)
def labelled(i: int, b: int, c: int, n: int, level: float) -> Point:
    """A point of size ``i`` with ``b`` problems better and ``c`` worse."""
    interval = tango(b, c, n, level)
    rung = Rung(model=f"m{i}", family="planted")
    return replace(
        _POINT, rung=rung, x=float(i), interval=interval, label=label_gain(interval, MARGIN)
    )


def draw_counts(of: Ladder, runs: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Problems that only the arm and only the control solved, [run, size, 2]."""
    n_sizes, quantile = len(of.params), NormalDist().inv_cdf
    rates = np.clip(np.concatenate(of.rates), 1e-6, 1 - 1e-6).tolist()
    own_share = float(np.sqrt(1 - _SHARED))
    bars = np.asarray([quantile(p) / own_share for p in rates], dtype=np.float32)[:, None]
    counts = np.empty((runs, n_sizes, 2), dtype=np.int64)
    for run in range(runs):
        difficulty = rng.standard_normal(of.n, np.float32) * float(np.sqrt(_SHARED)) / own_share
        right = rng.standard_normal((2 * n_sizes, of.n), np.float32) < bars - difficulty
        arm, control = right[:n_sizes], right[n_sizes:]
        counts[run, :, 0] = (arm & ~control).sum(1)
        counts[run, :, 1] = (control & ~arm).sum(1)
    return counts


def judge_onset(onset: Onset, gains: Floats) -> BracketCounts:
    """Compare what is said of one draw with the planted gains."""
    index = {f"m{i}": i for i in range(len(gains))}

    def place(rung: Rung | None, missing: int) -> int:
        return missing if rung is None else index[rung.model]

    def first(threshold: float) -> int:
        reached = np.flatnonzero(gains >= threshold - 1e-9)
        return int(reached[0]) if reached.size else len(gains)

    lower, upper = place(onset.lower, -1), place(onset.upper, len(gains))
    is_named = onset.status == "bracket"
    bracket, is_clear, span, wrong = onset.bracket, False, 0, 0
    if bracket is not None:
        ends = index[bracket.lower.model], index[bracket.upper.model]
        is_clear, span = bracket.is_clear, ends[1] - ends[0]
        wrong = not all(
            ends[0] < first(gain) <= ends[1]
            for gain in np.linspace(bracket.no_more_than + 1e-6, bracket.at_least, 9).tolist()
        )
    stairs = any(
        not place(step.lower, -1) < first(step.threshold) <= place(step.upper, len(gains))
        for step in onset.staircase
    )
    spans = [upper - lower] * is_named + [span] * is_clear
    if not is_clear:
        spans += [
            place(step.upper, 0) - place(step.lower, 0)
            for step in onset.staircase
            if step.lower is not None and step.upper is not None
        ]
    return BracketCounts(
        runs=1,
        named=(int(is_named), int(bool(spans))),
        one_step=(int(is_named and upper - lower == 1), int(1 in spans)),
        wrong=(int(not lower < first(MARGIN) <= upper), int(wrong)),
        stairs=int(stairs),
    )


def bracket_cell(of: Ladder, runs: int) -> BracketCounts:
    """Draw and judge."""
    rng = np.random.default_rng(0)
    level = sidak_level(0.95, len(of.params))
    gains: Floats = of.rates[0] - of.rates[1]
    judged: list[BracketCounts] = []
    for run in draw_counts(of, runs, rng).tolist():
        points = [labelled(i, b, c, of.n, level) for i, (b, c) in enumerate(run)]
        judged.append(judge_onset(find_onset(points, MARGIN, THRESHOLDS), gains))
    return functools.reduce(BracketCounts.__add__, judged)


CLUSTER_DESIGNS = ((20, 10), (40, 10), (100, 3))
"""Clusters, and problems of each."""
_AT_ONCE = 25  # runs
_FEWEST_RESAMPLES = 400  # more are drawn where the level needs them
_AGREEMENT = 0.25  # intraclass correlation: rates of clusters are drawn from a beta distribution


def clustered_cell(
    world: World, n_clusters: int, members: int, n_sizes: int, runs: int
) -> BracketCounts:
    """Draw clusters of problems and judge; each arm and size has cluster effects of its own.

    Intervals are made as the analysis makes them, without the parts of it that the rule leaves out.
    """
    rng = np.random.default_rng(0)
    of = ladder(world, n_sizes, n_clusters * members)
    gains: Floats = of.rates[0] - of.rates[1]
    level = sidak_level(0.95, n_sizes)
    spread = 1 / _AGREEMENT - 1
    p = np.clip(np.stack(of.rates)[:, None, :, None], 1e-3, 1 - 1e-3)
    judged: list[BracketCounts] = []
    for start in range(0, runs, _AT_ONCE):
        shape = 2, min(_AT_ONCE, runs - start), n_sizes, n_clusters
        right = rng.binomial(members, rng.beta(spread * p, spread * (1 - p), shape))
        # Only sums of clusters count; the runs of a batch share their resamples, as sizes do.
        totals = (right[0] - right[1]).reshape(-1, n_clusters).T.astype(np.float64)
        sizes = np.full_like(totals, members)
        means = clustered_means(totals, sizes, level, _FEWEST_RESAMPLES, rng)
        for column in range(0, totals.shape[1], n_sizes):
            points = [clustered_point(i, means.interval(column + i)) for i in range(n_sizes)]
            judged.append(judge_onset(find_onset(points, MARGIN, THRESHOLDS), gains))
    return functools.reduce(BracketCounts.__add__, judged)


def clustered_point(i: int, interval: Interval) -> Point:
    """A point of size ``i``."""
    rung = Rung(model=f"m{i}", family="planted")
    return replace(
        _POINT, rung=rung, x=float(i), interval=interval, label=label_gain(interval, MARGIN)
    )


def cluster_table(
    runs: int,
    designs: Sequence[tuple[int, int]],
    sizes: Sequence[int],
    worlds: Sequence[World] = BRACKET_WORLDS,
) -> None:
    """One row for each world, one column for each number of sizes; a table for each design."""
    for n_clusters, members in designs:
        print_row(f"{n_clusters} clusters of {members}", *(f"{n} sizes" for n in sizes))
        print_row(*["---"] * (1 + len(sizes)))
        for world in worlds:
            cells = [clustered_cell(world, n_clusters, members, n, runs) for n in sizes]
            print_row(world.name, *map(show_counts, cells))
        print()


def show_counts(counts: BracketCounts) -> str:
    """``named then → now (one step) / wrong then → now`` in percent."""
    named = " → ".join(f"{100 * k / counts.runs:.0f}" for k in counts.named)
    steps = " → ".join(f"{100 * k / counts.runs:.0f}" for k in counts.one_step)
    wrong = " → ".join(f"{100 * k / counts.runs:.1f}" for k in (*counts.wrong, counts.stairs))
    return f"{named} ({steps}) / {wrong}"


def bracket_table(runs: int) -> None:
    """Both ends named (neighbours) / wrong: at the margin, of the bracket, of the stairs."""
    worst: list[tuple[int, str]] = []
    for n_sizes in BRACKET_SIZES:
        print_row(f"{n_sizes} sizes", *(f"n = {n}" for n in BRACKET_PROBLEMS))
        print_row(*["---"] * (1 + len(BRACKET_PROBLEMS)))
        for world in BRACKET_WORLDS:
            cells = [bracket_cell(ladder(world, n_sizes, n), runs) for n in BRACKET_PROBLEMS]
            print_row(world.name, *map(show_counts, cells))
            for n, cell in zip(BRACKET_PROBLEMS, cells, strict=True):
                most = max(*cell.wrong, cell.stairs)
                worst.append((most, f"{world.name}, {n_sizes} sizes, n = {n}"))
        print()
    most, where = max(worst)
    share = most / runs
    low = wilson(most, runs, 0.99).low
    print(f"Most wrong: {100 * share:.2f} % ({where}), of {len(worst)} cells of {runs} runs; ")
    print(f"the lower end of its 99 % Monte Carlo interval is {100 * low:.2f} %.\n")


# ---- jumps -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """Chance of a right token over the ladder."""

    name: str
    """As the table names it."""
    token: Callable[[Floats], Floats]
    """At each place, 0 the smallest size, 1 the largest."""
    length: int
    """Tokens of an answer; exact match needs all of them."""
    companion: Literal["tokens", "steps", "digits"] = "tokens"
    """What is judged beside exact match: the share of right tokens; of a chain that goes wrong at
    its first wrong step, the share of steps before that, or the digits of its final answer."""


def law(u: Floats) -> Floats:
    """Cross-entropy falls as a power of size: p = exp(-(N/c)^alpha)."""
    return np.exp(-2.2 * 10 ** (-0.9 * u))


def line(u: Floats) -> Floats:
    """Straight in log size."""
    return 0.25 + 0.7 * u


def step(u: Floats) -> Floats:
    """A jump of the token itself."""
    return np.where(u > 0.62, 0.9, 0.3)


JUMPS = (
    Tokens(name="smooth law", token=law, length=4),
    Tokens(name="smooth law", token=law, length=8),
    Tokens(name="straight line", token=line, length=4),
    Tokens(name="straight line", token=line, length=8),
    Tokens(name="straight line", token=line, length=1),
    Tokens(name="straight line, 10 points", token=lambda u: 0.45 + 0.1 * u, length=2),
    Tokens(name="steep but smooth", token=lambda u: rising(u, 0.3, 0.9, 0.6, 14), length=3),
    Tokens(name="steeper", token=lambda u: rising(u, 0.3, 0.9, 0.6, 22), length=3),
    Tokens(name="true step", token=step, length=2),
    Tokens(name="true step", token=step, length=4),
    Tokens(name="true step, 8 points", token=lambda u: np.where(u > 0.62, 0.58, 0.5), length=2),
    Tokens(name="flat", token=lambda u: 0.5 + 0 * u, length=3),
    *(
        Tokens(name=f"compounding chain, {judged}", token=line, length=n_steps, companion=judged)
        for judged in ("steps", "digits")
        for n_steps in (4, 8, 16, 24)
    ),
)
NAMES = {
    "real_jump": "jump",
    "metric_artefact": "artefact",
    "no_jump": "no jump",
    OPEN: "neither",
}
_CONTROL = 0.25  # chance of a right token of the control, at every size


def chances(q: float, hard: Floats) -> Floats:
    """Problems differ in difficulty: the logit of q moves by ``hard``."""
    return 1 / (1 + np.exp(-(np.log(q / (1 - q)) + hard)))


def token_cell(
    q: float,
    length: int,
    hard: Floats,
    rng: np.random.Generator,
    companion: Literal["tokens", "steps", "digits"] = "tokens",
) -> ArmOutcomes:
    """One arm at one size."""
    right = rng.random((length, len(hard))) < chances(q, hard)
    correct = right.all(0)
    if companion == "tokens":
        metrics = {"token_accuracy": right.mean(0)}
    elif companion == "steps":
        metrics = {"steps_right": np.minimum.accumulate(right, axis=0).mean(0)}
    else:  # a wrong answer has a right digit by chance, whatever the size
        digits = (correct | (rng.random((3, len(hard))) < 0.1)).mean(0)
        metrics = {"digit_accuracy": digits}
    return ArmOutcomes(correct=correct.astype(float), metrics=metrics)


def true_word(x: Floats, exact: Floats, token: Floats) -> JumpWord:
    """What the rule says of curves without noise."""
    sharpness = [float(excess_share(x, y, float(curve_direction(y))).max()) for y in (exact, token)]
    if np.ptp(token) < 1e-9 or np.isnan(sharpness).any():
        return "undetermined"
    if sharpness[0] <= JUMP_ABOVE:
        return "no_jump"
    if sharpness[1] > JUMP_ABOVE:
        return "real_jump"
    is_artefact = sharpness[0] > sharpness[1] + 1e-9 and sharpness[1] < SMOOTH_BELOW
    return "metric_artefact" if is_artefact else "undetermined"


def jump_table(runs: int, designs: Sequence[tuple[int, int]] = DESIGNS) -> None:
    """The verdict on the arm's curve and on its gain over a flat control."""
    print_row("world", "L", "curve", *(f"{sizes} sizes, n = {n}" for sizes, n in designs))
    print_row(*["---"] * (3 + len(designs)))
    for world in JUMPS:
        cells = [jump_cells(world, n_sizes, n, runs) for n_sizes, n in designs]
        for curve in ("arm", "gain"):
            print_row(world.name, str(world.length), curve, *(cell[curve] for cell in cells))


def jump_cells(world: Tokens, n_sizes: int, n: int, runs: int) -> dict[str, str]:
    """Curve -> ``truth: right / wrong`` in percent of the runs; the rest is undetermined.

    Of a flat control, the arm and its gain have one truth.
    """
    rng = np.random.default_rng(0)
    u = np.linspace(0, 1, n_sizes)
    rungs = rungs_of(10 ** (8 + 2.5 * u))
    question = ScaleQuestion(pairs=(PAIR,), margin=MARGIN, n_resamples=400)
    everyone = 0.8 * rng.standard_normal(20_000)
    by_size = [chances(q, everyone) for q in world.token(u).tolist()]
    token, exact = (np.asarray([(p**k).mean() for p in by_size]) for k in (1, world.length))
    truth = true_word(u, exact, token)
    said: dict[str, list[JumpWord]] = {"arm": [], "gain": []}
    for _ in range(runs):
        hard = 0.8 * rng.standard_normal(n)
        cells: dict[tuple[str, str], Cell] = {}
        for rung, q in zip(rungs, world.token(u).tolist(), strict=True):
            for arm, chance in zip(PAIR, (q, _CONTROL), strict=True):
                cells[rung.model, arm] = token_cell(
                    chance, world.length, hard, rng, world.companion
                )
        grid = ResultGrid(bench="planted", rungs=rungs, cells=cells, problem_ids=("",) * n)
        for jump in analyse(grid, question, rng).answers[0].jumps:
            if jump.curve in said:
                said[jump.curve].append(jump.verdict)
    found: dict[str, str] = {}
    for curve, words in said.items():
        right = sum(word == truth for word in words)
        wrong = sum(word not in {truth, OPEN} for word in words)
        found[curve] = f"{NAMES[truth]}: {100 * right / runs:.1f} / {100 * wrong / runs:.1f}"
    return found


def agreement_table(runs: int) -> None:
    """At how many sizes p^L lies in the interval of exact match, in worlds with and without a jump.

    6 sizes, 1,319 problems, answers of 4 tokens; with all problems alike, and of mixed difficulty.
    """
    print_row("world", "all problems alike", "mixed difficulty")
    print_row(*["---"] * 3)
    for name, curve in (("smooth law", law), ("straight line", line), ("true step", step)):
        shares: list[str] = []
        for spread in (0.0, 0.8):
            rng = np.random.default_rng(0)
            values = [agreement(curve, spread, rng) for _ in range(runs)]
            shares.append(f"{100 * float(np.mean(values)):.0f} %")
        print_row(name, *shares)


def agreement(curve: Callable[[Floats], Floats], spread: float, rng: np.random.Generator) -> float:
    """The side check of one drawn arm."""
    n = 1319
    u = np.linspace(0, 1, 6)
    rungs = rungs_of(10 ** (8 + 2.5 * u))
    hard = spread * rng.standard_normal(n)
    cells: dict[tuple[str, str], Cell] = {}
    for rung, q in zip(rungs, curve(u).tolist(), strict=True):
        for arm in PAIR:
            cells[rung.model, arm] = token_cell(q, 4, hard, rng)
    grid = ResultGrid(
        bench="planted",
        rungs=rungs,
        cells=cells,
        problem_ids=("",) * n,
        answer_lengths=(4,) * n,
    )
    jump = (
        analyse(grid, ScaleQuestion(pairs=(PAIR,), margin=MARGIN, n_resamples=100), rng)
        .answers[0]
        .jumps[0]
    )
    return next(check.value or 0.0 for check in jump.checks if check.name == "p^L prediction")


# ---- trainings and models --------------------------------------------------------------------


RECIPES: dict[str, Callable[[np.random.Generator, int], Floats]] = {
    "no spread": lambda _, n: np.full(n, 0.3),
    "sd 5 points": lambda rng, n: np.clip(0.3 + 0.05 * rng.normal(size=n), 0, 0.85),
    "sd 15 points": lambda rng, n: np.clip(0.3 + 0.15 * rng.normal(size=n), 0, 0.85),
    "learned or not": lambda rng, n: np.where(rng.random(n) < 0.5, 0.0, 0.6),
}
"""World -> the true gain of each of so many trainings; the control solves 10 %."""


def draw_trainings(gains: Floats, n: int, rng: np.random.Generator) -> list[list[ArmOutcomes]]:
    """Draw (arm, control) of each training; a problem's difficulty is shared by all of them."""
    shared = rng.normal(size=n)
    bars = [[NormalDist().inv_cdf(rate) for rate in (0.1 + gain, 0.1)] for gain in gains]
    return [
        [
            ArmOutcomes(
                correct=(
                    np.sqrt(_SHARED) * shared + np.sqrt(1 - _SHARED) * rng.normal(size=n) < bar
                ).astype(float)
            )
            for bar in both
        ]
        for both in bars
    ]


def trainings_cell(world: str, n_trainings: int, n: int, runs: int) -> str:
    """How often the recipe's gain is covered at 95 %: about the recipe, about these models."""
    rng = np.random.default_rng(len(world) + 100 * n_trainings + n)
    truth = float(RECIPES[world](rng, 1_000_000).mean())
    n_covered = np.zeros(2, dtype=np.int64)
    width = 0.0
    for _ in range(runs):
        cells = draw_trainings(RECIPES[world](rng, n_trainings), n, rng)
        arm, control = (
            ArmOutcomes(correct=np.mean([both[i].correct for both in cells], axis=0))
            for i in (0, 1)
        )
        measured = measure_pair(arm, control, None, 0.95)
        assert measured is not None
        [these] = estimate_points({(PAIR, "m"): measured}, 0.95, 400, rng).values()
        recipe = recipe_error(cells, None).widen(these).interval
        n_covered += [i.low <= truth <= i.high for i in (recipe, these.interval)]
        width += (recipe.high - recipe.low) / 2 / runs
    both_rates = " / ".join(f"{100 * k / runs:.1f}" for k in n_covered)
    return f"{both_rates} (±{100 * width:.0f})"


def difference_cell(rates: Sequence[float], n: int, runs: int) -> str:
    """How often the difference of two models' gains is covered at 95 %."""
    rng = np.random.default_rng(n + round(1000 * sum(rates)))
    names = [("a", "cot"), ("a", "few-shot"), ("b", "cot"), ("b", "few-shot")]
    rungs = [Rung(model=name, family=None) for name in "ab"]
    pair = ModelPair(model=rungs[0], reference=rungs[1], x=None)
    question = ContrastQuestion(names=("a", "b"), pairs=(PAIR,), margin=MARGIN, level=0.95**3)
    truth = rates[0] - rates[1] - rates[2] + rates[3]
    n_covered, width = 0, 0.0
    for _ in range(runs):
        shared = rng.normal(size=n)
        cells: dict[tuple[str, str], Cell] = {
            name: ArmOutcomes(
                correct=(
                    np.sqrt(_SHARED) * shared + np.sqrt(1 - _SHARED) * rng.normal(size=n)
                    < NormalDist().inv_cdf(rate)
                ).astype(float)
            )
            for name, rate in zip(names, rates, strict=True)
        }
        grid = ResultGrid(bench="", rungs=(*rungs,), cells=cells, problem_ids=("",) * n)
        [gain] = contrast_models(grid, [pair], question).of_gains()
        n_covered += gain.interval.low <= truth <= gain.interval.high
        width += (gain.interval.high - gain.interval.low) / 2 / runs
    return f"{100 * n_covered / runs:.1f} (±{100 * width:.1f})"


def trainings_table(runs: int) -> None:
    """Print both tables on several trainings and on two models."""
    print_row("gains of trainings", *(f"T = {t}, n = {n}" for t in (3, 5, 10) for n in (200,)))
    for world in RECIPES:
        print_row(world, *(trainings_cell(world, t, 200, runs) for t in (3, 5, 10)))
    print()
    print_row("solve rates of two models", "n = 50", "n = 200", "n = 1000")
    for rates in ((0.6, 0.4, 0.5, 0.4), (0.9, 0.1, 0.5, 0.1), (0.06, 0.03, 0.05, 0.03)):
        name = (
            f"{100 * rates[1]:g} to {100 * rates[0]:g}, {100 * rates[3]:g} to {100 * rates[2]:g} %"
        )
        print_row(name, *(difference_cell(rates, n, runs) for n in (50, 200, 1000)))


def read_designs(text: str) -> list[tuple[int, int]]:
    """``20x10,40x10`` as pairs of numbers."""
    return [(int(a), int(b)) for a, b in (part.split("x") for part in text.split(","))]


if __name__ == "__main__":
    command, *words = sys.argv[1:] or [""]
    if command == "trainings":
        trainings_table(int(words[0]) if words else 400)
        sys.exit()
    if command == "bracket":
        bracket_table(int(words[0]) if words else 5000)
        sys.exit()
    if command == "clusters":
        cluster_table(
            int(words[0]) if words else 5000,
            read_designs(words[1]) if words[1:] else CLUSTER_DESIGNS,
            [int(n) for n in words[2].split(",")] if words[2:] else (3, 6, 12),
            [BRACKET_WORLDS[int(i)] for i in words[3].split(",")] if words[3:] else BRACKET_WORLDS,
        )
        sys.exit()
    if command == "jumps":
        jump_table(
            int(words[0]) if words else 1000, read_designs(words[1]) if words[1:] else DESIGNS
        )
        sys.exit()
    n_runs = int(command or 400)
    for sustained in (False, True):
        print(f"assume_sustained = {sustained}\n")
        onset_table(n_runs, assume_sustained=sustained)
        print()
    paper_table(n_runs)
    print()
    jump_table(max(1, n_runs // 4))
    print()
    agreement_table(max(1, n_runs // 10))
