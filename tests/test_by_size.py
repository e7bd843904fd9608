"""What a ladder says beside its onset: groups, tasks, halves, what each size hangs on, bias."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cotkit.analysis.gains import list_gradings
from cotkit.analysis.scale.analysis import analyse
from cotkit.analysis.scale.breakthrough import is_jump, rank_breakthroughs, say_breakthroughs
from cotkit.analysis.scale.grid import ArmOutcomes, Cell, ResultGrid, Rung, ScaleQuestion
from cotkit.analysis.scale.values import Scale
from cotkit.cli import app
from cotkit.errors import UsageError
from cotkit.registry import parse_spec
from cotkit.run.spec import RunSpec
from cotkit.stats.hypotheses import LadderDesign, sidak_level
from cotkit.store import AttemptRow, Store
from cotkit.types import Reading
from cotkit.workflows.ladder import cost_nothing, group_problems
from cotkit.workflows.scale import ScaleOptions, plan_ladder

SIZES = (1, 3, 10, 30, 100, 300)


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, [*arguments, "--display", "none"])
    return f"{' '.join(result.output.split())} {result.exception or ''}"


def ladder(log_dir: Path, *options: str, models: str = "simulated/1b,simulated/100b") -> str:
    command = ["scale", "--models", models, "--log-dir", str(log_dir), "--full"]
    return run(*command, *options)


def make_grid(
    rates: dict[str, tuple[float, ...]], bench: str = "made", n: int = 200, seed: int = 0
) -> ResultGrid:
    rng = np.random.default_rng(seed)
    cells: dict[tuple[str, str], Cell] = {
        (f"m{size}", arm): ArmOutcomes(correct=(rng.random(n) < rate).astype(float))
        for arm, of_arm in rates.items()
        for size, rate in zip(SIZES, of_arm, strict=True)
    }
    return ResultGrid(
        bench=bench,
        rungs=tuple(Rung(model=f"m{s}", family="made", n_params=s * 10**9) for s in SIZES),
        cells=cells,
        problem_ids=tuple(f"p{i}" for i in range(n)),
    )


def ask(grid: ResultGrid) -> Scale:
    question = ScaleQuestion(pairs=(("cot", "plain"),), margin=0.02, n_resamples=400)
    return analyse(grid, question, np.random.default_rng(0))


# --- groups of problems


def test_problems_are_grouped_by_the_length_of_their_answers(tmp_path: Path) -> None:
    options = ["--bench", "arithmetic:steps=2,digits=1-3", "--limit", "75"]
    output = ladder(tmp_path, *options, "--by-length")
    assert "digits=1-3, answer lengths 1 to 2: " in output
    assert "digits=1-3, answer length 3: " in output
    assert "by steps or by length?" in ladder(tmp_path, *options, "--by-length", "--by-steps")
    alike = ["--bench", "coin-flips", "--limit", "30", "--by-length"]
    assert "do not fall into two groups by their answer length" in ladder(tmp_path, *alike)


def test_groups_name_their_lengths_and_leave_out_what_is_unknown() -> None:
    lengths = [1] * 20 + [2] * 5 + [3] * 15 + [None] * 4
    groups = group_problems("made", "length", lengths)
    assert list(groups) == ["answer length 1", "answer lengths 2 to 3"]
    assert groups["answer lengths 2 to 3"] == list(range(20, 40))
    with pytest.raises(UsageError, match="by their steps"):
        group_problems("made", "steps", [3] * 50)


# --- half of the sizes


def test_half_of_the_sizes_are_analysed_alone() -> None:
    grid = make_grid({"plain": (0.05,) * 6, "cot": (0.05,) * 3 + (0.6,) * 3}, n=300)
    scale = ask(grid)
    names = [tuple(rung.model for rung in thinned.rungs) for thinned in scale.thinned]
    assert names == [("m1", "m10", "m100"), ("m3", "m30", "m300")]
    for thinned in scale.thinned:
        alone = ask(replace(grid, rungs=tuple(r for r in grid.rungs if r in thinned.rungs)))
        assert thinned.onset.bracket == alone.answers[0].onset.bracket
        assert thinned.onset.bracket is not None
    assert ask(replace(grid, rungs=grid.rungs[:3])).thinned == ()


# --- several tasks


def test_tasks_are_ranked_by_how_much_they_break_through() -> None:
    plain = (0.05,) * 6
    step = make_grid({"plain": plain, "cot": (0.04, 0.05, 0.05, 0.9, 0.91, 0.9)}, "step")
    line = make_grid({"plain": plain, "cot": (0.1, 0.25, 0.4, 0.55, 0.7, 0.85)}, "line")
    flat = make_grid({"plain": plain, "cot": (0.05, 0.05, 0.06, 0.05, 0.05, 0.06)}, "flat")
    curves = rank_breakthroughs([ask(flat), ask(line), ask(step)])
    assert [curve.bench for curve in curves] == ["step", "line", "flat"]
    assert [is_jump(curve) for curve in curves] == [True, False, False]
    assert not curves[-1].is_shown
    assert curves[0].breakthroughness > 5 > curves[0].linearity
    said = say_breakthroughs(curves)
    assert said.startswith("1 of 3 curves jump (33.3 %: step)")
    assert say_breakthroughs(curves[1:]).startswith("None of the 2 curves jumps")


def test_several_tasks_are_ranked_on_the_command_line(tmp_path: Path) -> None:
    benches = ["--bench", "arithmetic:steps=1+2,digits=2", "--limit", "12"]
    output = ladder(tmp_path, *benches, "--strategy", "few-shot", "--baseline", "chance")
    assert "Which curves break through" in output
    assert "of the 2 curves jump" in output or "of 2 curves jump" in output


# --- what a size hangs on


def attempt(arm: str, number: int, outcome: str, *, strict: bool | None) -> AttemptRow:
    right = outcome == "correct"
    return AttemptRow(
        arm=arm,
        problem_id=f"p{number}",
        outcome=outcome,  # pyright: ignore[reportArgumentType] - one of them
        readings={
            "flexible": Reading(value="1" if right else "2", rule="made"),
            "strict": Reading(value=None if strict is None else "1", rule="made"),
        },
        correct_by={"flexible": right, "strict": bool(strict)},
    )


@pytest.mark.parametrize(("n_read", "is_mute"), [(0, True), (2, True), (3, False)])
def test_a_reader_that_reads_nearly_nothing_moves_no_verdict(n_read: int, is_mute: bool) -> None:
    rows = [
        attempt(arm, i, "correct", strict=True if arm == "cot" and i < n_read else None)
        for arm in ("cot", "few-shot")
        for i in range(50)
    ]
    gradings = {grading.name: grading for grading in list_gradings(rows, "flexible")}
    assert gradings["reader strict"].is_mute == is_mute
    assert not gradings["flexible"].is_mute


def test_scale_says_what_each_size_hangs_on(tmp_path: Path) -> None:
    options = ["--bench", "arithmetic", "--strategy", "cot", "--limit", "40"]
    output = ladder(tmp_path, *options, "--model-args", "unparsed=0.4")
    assert "Does it hold at every size?" in output
    assert "unreadable counted for the control" in output
    command = ["scale", "--models", "simulated/1b,simulated/100b", "--log-dir", str(tmp_path)]
    sure = CliRunner().invoke(app, [*command, *options, "--format", "json", "--display", "none"])
    rows = json.loads(sure.stdout)["dependence"]
    assert [row["depends_on"] for row in rows] == ["", ""]
    assert {row["unreadable"] for row in rows} == {0.0}


# --- before the run


def test_the_plan_says_which_steps_are_resolved(tmp_path: Path) -> None:
    command = ["plan", "--family", "simulated", "--limit", "9", "--log-dir", str(tmp_path)]
    result = CliRunner().invoke(app, command)
    assert "smallest step, in points, that is named by both ends" in result.output
    assert "problems that name both ends of a step" in result.output
    assert not list(tmp_path.iterdir())


def test_a_design_resolves_what_simulations_say() -> None:
    design = LadderDesign(
        n_sizes=6, level=sidak_level(0.95, 6), thresholds=(0.02, 0.05, 0.1, 0.2, 0.3)
    )
    # of 5,000 runs each (docs/statistics.md): named with both ends, one size apart
    for n, step, share in ((200, 0.3, 0.99), (200, 0.2, 0.61), (500, 0.1, 0.41), (100, 0.3, 0.56)):
        control = 0.03 if step == 0.3 else 0.05
        assert design.step_power(n, control, step) == pytest.approx(share, abs=0.11)
    smallest = design.smallest_step(300, 0.05)
    needed = design.problems_for_step(smallest, 0.05)
    assert needed == pytest.approx(300, rel=0.08)
    assert design.problems_for_step(0.3, 0.8) is None
    assert np.isnan(design.smallest_step(5, 0.5))


def test_models_that_cost_nothing_are_asked_more(tmp_path: Path) -> None:
    from cotkit.benchmarks import load_benchmark

    bench = ("arithmetic", load_benchmark(parse_spec("arithmetic")))
    for models, limit, n in (
        (("simulated/1b", "pocket-3k"), None, 500),
        (("simulated/1b", "simulated/3b"), 3, 3),
    ):
        spec = RunSpec(model="x", strategies=("few-shot",), baseline="chance", limit=limit)
        forecast = plan_ladder(spec, models, [bench], ScaleOptions(), log_dir=tmp_path)
        assert forecast.n_problems == (n,)
    assert not cost_nothing(["simulated/1b", "openai/gpt-5.4-mini"])


# --- an assumption chosen before there are results


def test_an_assumption_is_refused_once_there_are_results(tmp_path: Path) -> None:
    sustained = ("--assume", "sustained")
    common = ("--bench", "arithmetic", "--limit", "8")
    first = ladder(tmp_path, *common)
    assert "assuming that help" not in first
    for limit in ("8", "9"):
        refused = ladder(tmp_path, *common[:2], "--limit", limit, *sustained)
        assert "is chosen before there are results, and those of run" in refused
    with Store(tmp_path / "cotkit.db") as store:
        ids = ",".join(stored.id for stored in store.runs())
    stored = run("scale", "--runs", ids, *sustained, "--log-dir", str(tmp_path))
    assert "is chosen before there are results" in stored
    for _ in range(2):  # what was made under it may be looked at again
        other = ladder(tmp_path, "--bench", "arithmetic:steps=2", "--limit", "8", *sustained)
        assert "assuming that help, once begun, does not stop with size" in other
        assert "chosen after" not in other


def test_an_assumption_about_files_is_said_to_be_chosen_afterwards() -> None:
    output = run("scale", "--published", "wei2022", "--bench", "GSM8K", "--assume", "sustained")
    assert "which was chosen after the results were there" in output


# --- bias by size


BENCH = """
from dataclasses import dataclass
from cotkit.types import Problem, Question

@dataclass(frozen=True)
class People:
    name: str = "people"
    version: str = "1"
    answer_kind: str = "choice"

    def problems(self):
        return [
            Problem(
                question=Question(
                    id=f"people/{i}",
                    text=f"Ann and Bob met at {i}. Who is it?",
                    choices=("Ann", "Bob", "Unknown"),
                    answer_kind="choice",
                ),
                gold="Unknown" if i % 2 else "Ann",
                cluster=f"t{i // 2}",
                tags={
                    "condition": "ambig" if i % 2 else "disambig",
                    "category": "made",
                    "unknown": "C",
                    "biased": "B",
                },
            )
            for i in range(80)
        ]

    def exemplar_pool(self):
        return []
"""


def test_bias_is_shown_by_size(tmp_path: Path) -> None:
    path = tmp_path / "people.py"
    path.write_text(BENCH)
    options = ["--bench", str(path), "--strategy", "q-if", "--limit", "40"]
    output = ladder(tmp_path, *options, "--model-args", "biased=0.9")
    assert "Ambiguous bias, q-if against standard: no size of 2 shows a change." in output
    assert "Bias by size" in output
    assert "What it does to bias, by size" in output


# --- the multiple-choice grade beside the Brier score


def test_a_grade_is_judged_beside_brier() -> None:
    n, rng = 300, np.random.default_rng(1)
    cells: dict[tuple[str, str], Cell] = {}
    for size, right in zip(SIZES, (0.2, 0.3, 0.4, 0.55, 0.7, 0.8), strict=True):
        margin = rng.normal(right - 0.5, 0.03, n)
        metrics = {
            "multiple_choice_grade": (margin > 0).astype(float),
            "1 - brier_per_option": 0.5 + margin / 2,
        }
        cells[f"m{size}", "cot"] = ArmOutcomes(
            correct=rng.integers(0, 2, n).astype(np.float64), metrics=metrics
        )
        cells[f"m{size}", "plain"] = ArmOutcomes(correct=rng.integers(0, 2, n).astype(np.float64))
    scale = ask(replace(make_grid({"plain": (0.5,) * 6}, n=n), cells=cells))
    jumps = {(jump.curve, jump.exact.metric): jump for jump in scale.answers[0].jumps}
    grade = jumps["arm", "multiple_choice_grade"]
    assert grade.companion is not None
    assert grade.companion.metric == "1 - brier_per_option"
    assert grade.verdict == "metric_artefact", grade.why
    exact = jumps["arm", "exact_match"].companion
    assert exact is not None
    assert exact.metric == "1 - brier_per_option"
    assert ("control", "multiple_choice_grade") not in jumps
