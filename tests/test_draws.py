"""Exemplar draws: planted variance is found, the interval covers, and one draw is refused."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from typer.testing import CliRunner

from cotkit.analysis.draws import draw_variance, gain_matrix
from cotkit.backends._function import Function
from cotkit.benchmarks.sentiment_mini import SentimentMini
from cotkit.cli import app
from cotkit.errors import IncompleteRunError, InterruptedRunError, UsageError
from cotkit.events import RunEnded
from cotkit.protocols import Backend
from cotkit.report.exemplar_draws import draws_json, draws_text
from cotkit.run import RunSpec, make_plan
from cotkit.store import AttemptRow
from cotkit.types import Exemplar, Outcome
from cotkit.workflows.exemplar_draws import RESUME_HINT, ExemplarDraws, compare_draws, draw_plans
from cotkit.workflows.plan import plan_spec
from tests.conftest import Sums


def planted(
    rng: random.Random, *, n_draws: int, n: int, sd_draws: float, sd_items: float
) -> list[list[int]]:
    """Gains of mean 0: each draw and each problem shifts the chances of better and worse."""
    items = [rng.gauss(0, sd_items) for _ in range(n)]
    rows: list[list[int]] = []
    for _ in range(n_draws):
        shift = rng.gauss(0, sd_draws)
        means = [min(0.4, max(-0.4, shift + item)) for item in items]
        chances = [(rng.random(), 0.2 + m / 2, 0.2 - m / 2) for m in means]
        rows.append([1 if u < up else -1 if u < up + down else 0 for u, up, down in chances])
    return rows


def test_planted_deviation_of_the_draws_is_recovered() -> None:
    rng, found = random.Random(1), []
    for _ in range(40):
        gains = planted(rng, n_draws=6, n=150, sd_draws=0.1, sd_items=0.1)
        found.append(draw_variance("a", "b", gains, resamples=2))
    assert math.sqrt(sum(v.sd_draws**2 for v in found) / 40) == pytest.approx(0.1, rel=0.15)
    # Within a draw the square of a gain is 0.4 on average; less the square of the mean of the draw.
    expected = math.sqrt((0.4 - 0.1**2) / 150)
    assert sum(v.sd_items for v in found) / 40 == pytest.approx(expected, rel=0.05)


def test_without_planted_deviation_little_is_found_and_half_the_time_none() -> None:
    rng = random.Random(2)
    gains = [planted(rng, n_draws=5, n=150, sd_draws=0, sd_items=0.1) for _ in range(60)]
    found = [draw_variance("a", "b", g, resamples=2) for g in gains]
    assert 0.35 < sum(v.sd_draws == 0 for v in found) / 60 < 0.8
    assert all(v.sd_draws < v.sd_items * 1.5 for v in found)


@pytest.mark.parametrize(
    ("sd_draws", "lowest", "why"),
    [
        (0.0, 0.95, "the pigeonhole bootstrap counts the residuals three times"),
        (0.1, 0.90, "five draws are few, the residuals make up for it"),
    ],
)
def test_the_interval_covers_the_truth(sd_draws: float, lowest: float, why: str) -> None:
    rng, hits = random.Random(3), 0
    for _ in range(100):
        gains = planted(rng, n_draws=5, n=60, sd_draws=sd_draws, sd_items=0.1)
        interval = draw_variance("a", "b", gains, resamples=200).interval
        hits += interval.low <= 0 <= interval.high
    assert hits / 100 >= lowest, why


def test_the_interval_is_the_one_a_plain_resampling_gives() -> None:
    rng = random.Random(4)
    gains = planted(rng, n_draws=4, n=50, sd_draws=0.1, sd_items=0.1)
    found = draw_variance("a", "b", gains, resamples=4000)
    means: list[float] = []
    for _ in range(4000):
        draws, items = rng.choices(range(4), k=4), rng.choices(range(50), k=50)
        mean = sum(gains[d][i] for d in draws for i in items) / 200
        means.append(found.gain + math.sqrt(4 / 3) * (mean - found.gain))
    means.sort()
    assert found.interval.low == pytest.approx(means[100], abs=0.02)
    assert found.interval.high == pytest.approx(means[3899], abs=0.02)


def test_draws_that_are_all_equal_vary_by_their_problems_only() -> None:
    found = draw_variance("a", "b", [[1, 0, 0, -1, 1]] * 3)
    assert found.gains == (0.2, 0.2, 0.2)
    assert found.sd_draws == 0
    assert found.sd_items == pytest.approx(math.sqrt(0.7 / 5))
    nothing = draw_variance("a", "b", [[0, 0, 0]] * 3)
    assert (nothing.interval.low, nothing.interval.high, nothing.sd_items) == (0, 0, 0)


@pytest.mark.parametrize("gains", [[], [[1, 0]], [[1], [0]], [[], []]])
def test_one_draw_or_one_problem_is_refused(gains: list[list[int]]) -> None:
    with pytest.raises(UsageError, match="show no variance of cot over few-shot"):
        draw_variance("cot", "few-shot", gains)


def test_the_same_seed_gives_the_same_interval() -> None:
    gains = planted(random.Random(5), n_draws=3, n=40, sd_draws=0.1, sd_items=0.1)
    one, two = (draw_variance("a", "b", gains, seed=9) for _ in range(2))
    assert one == two


def row(arm: str, problem_id: str, outcome: Outcome) -> AttemptRow:
    return AttemptRow(arm=arm, problem_id=problem_id, outcome=outcome)


def test_a_problem_failed_in_any_draw_is_left_out_of_all() -> None:
    whole = [row("a", "1", "correct"), row("b", "1", "wrong")]
    whole += [row("a", "2", "unparsed"), row("b", "2", "correct")]
    failed = [row("a", "1", "failed"), *whole[1:]]
    assert gain_matrix([whole, whole[::-1]], "a", "b") == [(1, -1), (1, -1)]
    assert gain_matrix([whole, failed], "a", "b") == [(-1,), (-1,)]


def shown(spec: RunSpec, sums: Sums) -> tuple[Exemplar, ...]:
    arms = {arm.name: arm.strategy for arm in make_plan(spec, sums).arms}
    return arms["cot"].exemplars  # pyright: ignore - cot has exemplars


def test_a_seed_orders_the_builtin_exemplars_and_0_leaves_them(sums: Sums) -> None:
    spec = RunSpec(model="simulated", limit=5)
    orders = [shown(replace(spec, exemplar_seed=seed), sums) for seed in range(4)]
    assert orders[0][0].question.startswith("Marta")
    assert len(set(orders)) == 4
    assert len({frozenset(order) for order in orders}) == 1
    assert orders[1] == shown(replace(spec, exemplar_seed=1), sums)


@pytest.mark.parametrize("seeds", [(1,), (1, 1), (0, 1, 0)])
def test_seeds_are_two_or_more_and_different(seeds: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="not two or more different ones"):
        RunSpec(model="m", exemplar_seeds=seeds)


def test_seeds_come_back_from_json() -> None:
    spec = RunSpec(model="m", exemplar_seeds=(0, 3))
    assert RunSpec.from_json(spec.to_json()) == spec
    old = {key: value for key, value in json.loads(spec.to_json()).items() if "seeds" not in key}
    assert RunSpec.from_json(json.dumps(old)).exemplar_seeds == ()


MODEL = "simulated/7b"


def said(draws: ExemplarDraws) -> tuple[str, dict[str, Any]]:
    """The report as text and as JSON."""
    shown = draws.variances, draws.seeds, draws.comparisons
    return draws_text(*shown), json.loads(draws_json(*shown))


def test_draws_of_a_simulated_model_are_compared_and_reported(tmp_path: Path, sums: Sums) -> None:
    spec = RunSpec(model=MODEL, strategies=("cot", "zero-shot-cot"), exemplar_seeds=(0, 1, 2))
    draws = compare_draws(spec, sums, log_dir=tmp_path)
    assert len({comparison.run_id for comparison in draws.comparisons}) == 3
    (found,) = draws.variances
    assert (found.arm, found.control, found.n) == ("cot", "few-shot", 40)
    by_run = [
        next(v.gain.gain for v in c.verdicts if v.gain.arm == "cot") for c in draws.comparisons
    ]
    assert found.gains == pytest.approx(by_run)
    text, page = said(draws)
    assert text.startswith("cot over few-shot: ")
    assert "over 3 exemplar draws of 40 problems" in text
    assert page["draws"][0]["n"] == 40
    assert page["draws"][0]["withheld"] == []


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        (RunSpec(model=MODEL, strategies=("zero-shot-cot",), exemplar_seeds=(0, 1)), "shows exemp"),
        (
            RunSpec(model=MODEL, exemplars="builtin:1", exemplar_seeds=(0, 7)),
            "exemplar seeds 0 and 7 show the same",
        ),
        (RunSpec(model=MODEL, limit=1, exemplar_seeds=(0, 1)), "one problem shows no variance"),
    ],
)
@pytest.mark.parametrize("front_door", [compare_draws, plan_spec])
def test_draws_that_cannot_differ_are_refused(
    tmp_path: Path, sums: Sums, spec: RunSpec, says: str, front_door: Callable[..., object]
) -> None:
    with pytest.raises(UsageError, match=says):
        front_door(spec, sums, log_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_draws_without_seeds_are_refused(tmp_path: Path, sums: Sums) -> None:
    with pytest.raises(UsageError, match="no exemplar seeds given"):
        compare_draws(RunSpec(model=MODEL), sums, log_dir=tmp_path)


@pytest.mark.parametrize("name", ["flipped-labels", "unrelated-labels"])
def test_label_strategies_draw_by_the_exemplar_seed_unless_they_name_a_seed(
    tmp_path: Path, name: str
) -> None:
    spec = RunSpec(
        model=MODEL, bench="sentiment-mini", strategies=(name,), limit=5, exemplar_seeds=(0, 1)
    )
    draws = compare_draws(spec, SentimentMini(), log_dir=tmp_path)
    (variance,) = draws.variances
    assert (variance.arm, variance.control) == (name, "flipped-labels:fraction=0")
    assert len(variance.gains) == 2
    plans = draw_plans(spec, SentimentMini())
    shown = [
        [exemplar.question for exemplar in plan.arms[-1].strategy.exemplars]  # pyright: ignore[reportAttributeAccessIssue] - a label strategy
        for plan in plans
    ]
    assert set(shown[0]) != set(shown[1])
    own_seed = replace(spec, strategies=(f"{name}:seed=3",))
    with pytest.raises(UsageError, match=r"its seed says which are drawn .*leave seed out"):
        compare_draws(own_seed, SentimentMini(), log_dir=tmp_path)


def test_an_upper_bound_is_called_so_in_text_and_json(tmp_path: Path, sums: Sums) -> None:
    spec = RunSpec(model=MODEL, strategies=("oracle-review", "cot"), limit=8, exemplar_seeds=(0, 1))
    text, page = said(compare_draws(spec, sums, log_dir=tmp_path))
    assert text.startswith("oracle-review (upper bound) over cot: ")
    assert [draw["arm"] for draw in page["draws"]] == ["oracle-review (upper bound)", "cot"]
    note = "oracle-review sees the gold answers: an upper bound, not a strategy to use or to rank"
    assert note in page["notes"], "all draws say it: once, without seeds"
    assert f"note: {note}\n" in text


def leaks_under_the_second_order(prompt: str) -> str:
    """Reasons where the built-in exemplars do not begin with Marta, also when not asked to."""
    a, b = (int(x) for x in prompt.rpartition("Q: What is ")[2].partition("?")[0].split(" plus "))
    answer = f" The answer is {a + b}."
    first = prompt.partition("Q: ")[2]
    return answer if first.startswith("Marta") else f" We add them: {a} + {b} = {a + b}.{answer}"


def test_a_gain_withheld_in_one_draw_has_no_interval(tmp_path: Path, sums: Sums) -> None:
    spec = RunSpec(model="given", exemplar_seeds=(0, 1))
    backend = cast("Backend", Function(function=leaks_under_the_second_order))
    draws = compare_draws(spec, sums, log_dir=tmp_path, backend=backend)
    assert ["withheld" in c.verdicts[0].sentence for c in draws.comparisons] == [False, True]
    text, page = said(draws)
    why = f"exemplar seed 1: {draws.comparisons[1].verdicts[0].sentence}"
    assert text.startswith("cot over few-shot: withheld over 2 exemplar draws of 40 problems\n")
    assert f"  {why}\n" in text
    assert "bootstrap" not in text
    (found,) = page["draws"]
    assert (found["withheld"], found["interval"]) == ([why], None)
    contaminated = "exemplar seed 1: contaminated: few-shot asks for no reasoning"
    assert any(note.startswith(contaminated) for note in page["notes"])
    assert f"note: {contaminated}" in text


def test_an_interrupt_says_to_repeat_the_command(tmp_path: Path, sums: Sums) -> None:
    def stop(prompt: str) -> str:
        raise KeyboardInterrupt

    backend = cast("Backend", Function(function=stop))
    with pytest.raises(InterruptedRunError, match="give the same command again"):
        compare_draws(
            RunSpec(model="given", exemplar_seeds=(0, 1)), sums, log_dir=tmp_path, backend=backend
        )


COMPARE = ["compare", "--model", MODEL, "--limit", "6", "--exemplar-seeds"]


@pytest.mark.parametrize(
    ("failing", "shows_draw", "why"),
    [("0.1", True, "what there is is printed"), ("1", False, "no problem is left: no variance")],
)
def test_failed_attempts_end_in_75_and_the_same_command(
    failing: str, shows_draw: bool, why: str
) -> None:
    done = CliRunner().invoke(app, [*COMPARE, "0,1", "--model-args", f"failing={failing}"])
    assert isinstance(done.exception, IncompleteRunError)
    assert done.exception.exit_code == 75
    assert done.exception.hint == RESUME_HINT
    assert done.stdout.startswith("cot over few-shot: ") is shows_draw, why
    assert "attempts failed" in done.stdout


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["0,1", "--format", "csv"], "exemplar draws have no format csv"),
        (["0,1", "--limit", "1"], "one problem shows no variance"),
        (["0,1", "--exemplar-seed", "0"], "exclude each other"),
        ([","], "--exemplar-seeds ',' is not a list of numbers"),
        ([""], "--exemplar-seeds '' is not a list of numbers"),
        (["3"], "not two or more different ones"),
    ],
)
def test_what_no_draws_can_mean_is_refused_before_spending(options: list[str], says: str) -> None:
    done = CliRunner().invoke(app, [*COMPARE, *options])
    assert isinstance(done.exception, UsageError)
    assert says in str(done.exception)
    assert not Path("logs").exists()


def test_a_plan_of_draws_counts_what_they_make_together(tmp_path: Path, sums: Sums) -> None:
    spec = RunSpec(model=MODEL, strategies=("cot", "standard"), exemplar_seeds=(0, 1, 2))
    found = plan_spec(spec, sums, log_dir=tmp_path)
    to_make = {arm.arm: arm.n_to_make for arm in found.arms}
    assert len(to_make) == 9
    shared = {name for name, n in to_make.items() if n == 0}
    assert shared == {"standard (exemplar seed 1)", "standard (exemplar seed 2)"}
    assert sum(to_make.values()) == 7 * 40
    assert found.detectable == ()
    ended: list[RunEnded] = []
    draws = compare_draws(
        spec,
        sums,
        log_dir=tmp_path,
        emit=lambda e: ended.append(e) if isinstance(e, RunEnded) else None,
    )
    assert found.run_id == ", ".join(comparison.run_id for comparison in draws.comparisons)
    assert sum(event.n_generated for event in ended) == sum(to_make.values())
    done = CliRunner().invoke(app, ["plan", *COMPARE[1:], "0,1,2"])
    assert "6 of 150 problems in 6 arms: 36 attempts" in done.stdout
