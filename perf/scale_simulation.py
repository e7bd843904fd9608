"""How often the scale analysis is right, in worlds whose truth is planted.

    python perf/scale_simulation.py [RUNS]

Answers are drawn directly, problem by problem: a problem's difficulty is shared by all sizes and
arms, so that arms agree by about 0.17 (phi). Prints tables of docs/statistics.md, "Scale";
about 10 minutes on one core for 400 runs of each cell. Seeded: equal calls print equal tables.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cotkit.analysis.scale.analysis import analyse
from cotkit.analysis.scale.gains import measure_curves
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
from cotkit.analysis.scale.values import JumpWord
from cotkit.stats.curves import curve_direction, excess_share

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


def jump_table(runs: int) -> None:
    """The verdict on the arm's curve and on its gain over a flat control."""
    print_row("world", "L", "curve", *(f"{sizes} sizes, n = {n}" for sizes, n in DESIGNS))
    print_row(*["---"] * (3 + len(DESIGNS)))
    for world in JUMPS:
        cells = [jump_cells(world, n_sizes, n, runs) for n_sizes, n in DESIGNS]
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


if __name__ == "__main__":
    n_runs = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    for sustained in (False, True):
        print(f"assume_sustained = {sustained}\n")
        onset_table(n_runs, assume_sustained=sustained)
        print()
    paper_table(n_runs)
    print()
    jump_table(max(1, n_runs // 4))
    print()
    agreement_table(max(1, n_runs // 10))
