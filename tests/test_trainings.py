"""Several trainings of a size: one by one, as a mean, and what the claim is about."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cotkit.analysis.scale.analysis import analyse
from cotkit.analysis.scale.grid import (
    ArmOutcomes,
    ArmTotals,
    Axis,
    Cell,
    CountedScores,
    ResultGrid,
    Rung,
    ScaleQuestion,
)
from cotkit.analysis.scale.values import Scale
from cotkit.cli import app
from cotkit.errors import CotkitError, UsageError
from cotkit.stats.hypotheses import t_critical, t_p_value
from cotkit.workflows.ladder import check_ladder

QUESTION = ScaleQuestion(pairs=(("cot", "few-shot"),), margin=0.02, n_resamples=200)
SIZES = (10**6, 10**7, 10**8)
GAINS = (0.0, 0.3, 0.6)


def trained(
    n_trainings: Sequence[int], *, spread: float = 0.0, n: int = 300, family: str | None = "fam"
) -> ResultGrid:
    """Return a grid whose trainings gain ``GAINS``, give or take ``spread``."""
    rng = np.random.default_rng(1)
    rungs: list[Rung] = []
    cells: dict[tuple[str, str], Cell] = {}
    for size, gain, count in zip(SIZES, GAINS, n_trainings, strict=True):
        for seed in range(1, count + 1):
            name = f"m{size}-seed{seed}"
            rungs.append(Rung(model=name, family=family, n_params=size))
            own = min(0.8, max(0.0, gain + spread * float(rng.normal())))
            for arm, rate in (("few-shot", 0.1), ("cot", 0.1 + own)):
                cells[name, arm] = ArmOutcomes(correct=(rng.random(n) < rate).astype(float))
    ids = tuple(map(str, range(n)))
    return ResultGrid(bench="b", rungs=tuple(rungs), cells=cells, problem_ids=ids)


def analysed(grid: ResultGrid, question: ScaleQuestion = QUESTION) -> Scale:
    return analyse(grid, question, np.random.default_rng(0))


def test_trainings_of_a_size_are_shown_one_by_one_and_as_their_mean() -> None:
    (answer,) = analysed(trained((2, 1, 2))).answers
    assert [p.rung.model for p in answer.points] == [
        *("m1000000 (2 trainings)", "m10000000-seed1", "m100000000 (2 trainings)")
    ]
    assert [p.rung.n_trainings for p in answer.points] == [2, 1, 2]
    assert [p.rung.model for p in answer.trainings] == [
        *("m1000000-seed1", "m1000000-seed2", "m100000000-seed1", "m100000000-seed2")
    ]
    for mean, pair in ((answer.points[0], (0, 1)), (answer.points[2], (2, 3))):
        gains = [answer.trainings[i].gain for i in pair]
        assert mean.gain == pytest.approx(sum(gains) / 2)
    assert "about these models: the mean of 2 trainings at 2 of 3 sizes" in answer.sentence
    assert "help" in answer.sentence


def test_unreadable_and_failed_answers_of_trainings_are_kept_and_move_the_verdict() -> None:
    grid = trained((2, 1, 2))
    cells = dict(grid.cells)
    for (model, arm), cell in grid.cells.items():
        assert isinstance(cell, ArmOutcomes)
        unread = (np.arange(300) % 2 * (arm == "cot")).astype(float)
        worst = CountedScores(
            as_arm=cell.correct * 0, as_control=cell.correct + 0, is_lenient=False
        )
        has_failed = model.endswith("seed1") and arm == "cot"
        cells[model, arm] = replace(
            cell,
            unreadable=unread,
            truncated=unread / 2,
            variants={"reader r": replace(worst, as_arm=cell.correct)}
            | ({"failed": worst} if has_failed else {})
            | ({"failed": replace(worst, as_arm=cell.correct)} if arm == "few-shot" else {}),
        )
    (answer,) = analysed(replace(grid, cells=cells)).answers
    for point in answer.points:
        assert (point.unreadable, point.truncated, point.control_unreadable) == (0.5, 0.25, 0.0)
    assert answer.points[0].depends_on == ("failed",)  # half of a rate that was no gain
    assert answer.points[1].depends_on == ("failed",)  # one training, counted as nothing right
    assert answer.points[2].depends_on == ()  # half of the gain of the other one is left


def test_an_arm_of_wrong_labels_is_under_no_ceiling() -> None:
    rungs = (Rung(model="a", family="f", n_params=10), Rung(model="b", family="f", n_params=99))
    names = "flipped-labels:fraction=1", "few-shot"
    cells: dict[tuple[str, str], Cell] = {
        (rung.model, arm): ArmOutcomes(correct=np.array([1.0] * 95 + [0.0] * 5))
        for rung in rungs
        for arm in (*names, "cot")
    }
    grid = ResultGrid(bench="b", rungs=rungs, cells=cells, problem_ids=tuple(map(str, range(100))))
    pairs = (names, ("cot", "few-shot"))
    scale = analysed(grid, replace(QUESTION, pairs=pairs))
    assert [[p.is_ceiling for p in answer.points] for answer in scale.answers] == [
        [False, False],
        [True, True],
    ]
    assert [note for note in scale.notes if "ceiling" in note and "flipped" in note] == []


def test_with_three_of_every_size_the_claim_is_about_the_recipe_and_its_intervals_are_wider() -> (
    None
):
    grid = trained((3, 3, 4), spread=0.05)
    (answer,) = analysed(grid).answers
    assert (
        "about the recipe: the mean over 3 to 4 trainings of every size, rough" in answer.sentence
    )
    singles = replace(grid, rungs=grid.rungs[1:])  # two trainings of the smallest size
    (about_these,) = analysed(singles).answers
    for wide, narrow in zip(answer.points[1:], about_these.points[1:], strict=True):
        assert wide.gain == narrow.gain
        assert wide.interval.low < narrow.interval.low
        assert wide.interval.high > narrow.interval.high
    many = analysed(trained((5, 5, 5), spread=0.05)).answers[0]
    assert "rough" not in many.sentence
    assert "more trainings of every size" in answer.sentence or "bracket" in answer.onset.status


def test_the_interval_of_a_recipe_is_student_s_over_trainings_with_the_problems_drawn() -> None:
    grid = trained((3, 3, 3), spread=0.08)
    point = analysed(grid).answers[0].points[1]
    matrix = np.stack(
        [
            cell.correct - control.correct
            for seed in (1, 2, 3)
            if isinstance(cell := grid.cells[f"m10000000-seed{seed}", "cot"], ArmOutcomes)
            and isinstance(control := grid.cells[f"m10000000-seed{seed}", "few-shot"], ArmOutcomes)
        ]
    )
    of_trainings = matrix.mean(axis=1).var(ddof=1) / 3
    half = t_critical(point.interval.level, 2) * math.sqrt(of_trainings)
    least = point.gain - half
    assert point.interval.low <= least
    assert point.interval.low == pytest.approx(least, abs=0.1)


def test_equal_trainings_never_make_an_interval_of_no_width() -> None:
    grid = trained((3, 3, 3))
    same = {
        (rung.model, arm): grid.cells[f"m{rung.n_params}-seed1", arm]
        for rung in grid.rungs
        for arm in ("cot", "few-shot")
    }
    repeated = analysed(replace(grid, cells=same)).answers[0].points
    once = analysed(trained((1, 1, 1))).answers[0].points
    for point, single in zip(repeated, once, strict=True):
        width = single.interval.high - single.interval.low
        assert point.interval.high - point.interval.low > 0.8 * width


def test_totals_of_several_trainings_are_accepted() -> None:
    grid = trained((3, 3, 3), spread=0.05)
    totals: dict[tuple[str, str], Cell] = {
        key: ArmTotals(rate=float(cell.correct.mean()), n=len(cell.correct))
        for key, cell in grid.cells.items()
        if isinstance(cell, ArmOutcomes)
    }
    answer = analysed(replace(grid, cells=totals, problem_ids=())).answers[0]
    paired = analysed(grid).answers[0]
    assert [p.gain for p in answer.points] == pytest.approx([p.gain for p in paired.points])
    assert {p.method for p in answer.points} == {"newcombe"}
    assert "about the recipe" in answer.sentence


def test_a_training_that_lacks_an_arm_is_shown_and_left_out_of_the_mean() -> None:
    grid = trained((2, 1, 1))
    cells = {key: cell for key, cell in grid.cells.items() if key != ("m1000000-seed2", "cot")}
    answer = analysed(replace(grid, cells=cells)).answers[0]
    assert [p.label == "missing" for p in answer.trainings] == [False, True]
    assert answer.points[0].gain == answer.trainings[0].gain


@pytest.mark.parametrize(
    ("family", "tokens", "axis", "replicates", "says"),
    [
        (None, (None, None), "params", False, "--replicates"),
        (None, (None, None), "params", True, ""),
        ("fam", (None, None), "params", False, ""),
        ("fam", (1e9, 2e9), "params", False, "--x tokens"),
    ],
)
def test_equal_sizes_are_trainings_of_one_family_and_as_many_tokens(
    family: str | None,
    tokens: tuple[float | None, float | None],
    axis: Axis,
    replicates: bool,
    says: str,
) -> None:
    rungs = [
        Rung(model="a", family=family, n_params=10, train_tokens=tokens[0]),
        Rung(model="b", family=family, n_params=10, train_tokens=tokens[1]),
        Rung(model="c", family=family, n_params=20),
    ]
    if not says:
        check_ladder(rungs, axis, replicates=replicates)
        with pytest.raises(UsageError, match="all 2 models are of one size"):
            check_ladder(rungs[:2], axis, replicates=replicates)
        return
    with pytest.raises(UsageError, match="the same number of parameters") as refusal:
        check_ladder(rungs, axis, replicates=replicates)
    assert says in str(refusal.value)


def write_csv(path: Path, family: str) -> None:
    rows = ["model,family,params,bench,strategy,metric,value,n_items"]
    for size, few_shot, cot in ((10**6, 5, 6), (10**7, 10, 45), (10**8, 40, 95)):
        for seed in (1, 2, 3):
            name = f"m-{size}-seed{seed},{family},{size},arith"
            rows.append(f"{name},few-shot,accuracy_pct,{few_shot},400")
            rows.append(f"{name},cot,accuracy_pct,{cot + seed / 2},400")
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")


def test_a_csv_of_several_trainings_and_families_that_are_not_named(tmp_path: Path) -> None:
    file = tmp_path / "seeds.csv"
    write_csv(file, "fam")
    arguments = ["scale", "--from", f"csv:{file}", "--format", "json"]
    answer = json.loads(CliRunner().invoke(app, arguments, catch_exceptions=False).stdout)
    assert [row["n_trainings"] for row in answer["sizes"]] == [3, 3, 3]
    assert len(answer["trainings"]) == 9
    assert "about the recipe" in answer["answer"][0]
    write_csv(file, "")
    refused = CliRunner().invoke(app, arguments)
    assert isinstance(refused.exception, CotkitError)
    assert "--replicates" in str(refused.exception)
    accepted = CliRunner().invoke(app, [*arguments, "--replicates"], catch_exceptions=False)
    assert json.loads(accepted.stdout)["sizes"] == answer["sizes"]


@pytest.mark.parametrize(
    ("level", "df", "value"),
    [(0.95, 1, 12.7062), (0.95, 2, 4.302653), (0.99, 4, 4.604095), (0.95, 30, 2.042272)],
)
def test_the_quantiles_of_student_s_t(level: float, df: int, value: float) -> None:
    assert t_critical(level, df) == pytest.approx(value, rel=1e-6)
    assert t_p_value(value, 1.0, df) == pytest.approx(1 - level, rel=1e-4)
