"""``--baseline chance``: what guessing solves, exactly, in runs, ladders, files and tables."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

import pytest
from typer.testing import CliRunner

import cotkit
from cotkit.analysis.gains import gain_over_chance
from cotkit.benchmarks import load_benchmark
from cotkit.cli import app
from cotkit.errors import CotkitError
from cotkit.registry import parse_spec
from cotkit.scoring.chance import find_chance
from cotkit.stats.hypotheses import minimum_detectable_effect, problems_needed
from cotkit.stats.intervals import wilson
from cotkit.types import AnswerKind, Problem, Question


def problem(number: int, gold: str, kind: AnswerKind = "number", **more: object) -> Problem:
    choices = more.pop("choices", ())
    assert isinstance(choices, tuple)
    text = str(more.pop("text", f"Question {number}?"))
    question = Question(id=f"p{number}", text=text, answer_kind=kind, choices=choices)
    return Problem(question=question, gold=gold, **more)  # pyright: ignore[reportArgumentType] - of a test


def mean_chance(problems: Sequence[Problem]) -> float:
    return fmean(find_chance(problems).rates.values())


def test_options_that_differ_are_guessed_and_labels_are_counted() -> None:
    quiz = [problem(i, f"a{i}", "choice", choices=(f"a{i}", "b", "c", f"d{i}")) for i in range(8)]
    assert mean_chance(quiz) == 0.25
    both = [problem(i, f"a{i}", "choice", choices=(f"a{i}", "b"), also=("b",)) for i in range(4)]
    assert mean_chance(both) == 1
    golds = ["Yes"] * 7 + ["No"] * 3
    labels = [
        problem(i, gold, "choice", choices=("Yes", "No")[:: 1 - 2 * (i % 2)])
        for i, gold in enumerate(golds)
    ]
    assert find_chance(labels).rates == {f"p{i}": 0.7 for i in range(10)}
    mixed = [*quiz[:4], problem(9, "b", "choice", choices=("a", "b"))]
    assert find_chance(mixed).rates == {"p0": 0.25, "p1": 0.25, "p2": 0.25, "p3": 0.25, "p9": 0.5}


def test_open_answers_are_guessed_by_the_commonest() -> None:
    assert mean_chance([problem(i, gold) for i, gold in enumerate("5527")]) == 0.5
    signed = [problem(i, gold) for i, gold in enumerate(["-5", "5", "5", "-5", "-5"])]
    assert mean_chance(signed) == 0.6
    assert mean_chance([problem(i, str(i)) for i in range(5)]) == 0
    texts = ["The cat.", "the  cat", "a dog", "cow"]
    assert mean_chance([problem(i, gold, "text") for i, gold in enumerate(texts)]) == 0.5
    with_other = [problem(0, "1", also=("2",)), problem(1, "2"), problem(2, "3")]
    assert mean_chance(with_other) == pytest.approx(2 / 3)


def test_options_count_where_the_question_shows_them() -> None:
    shown = [
        problem(i, f"x{i}", "text", options=(f"x{i}", "y"), text=f"Which?\n x{i}\n y")
        for i in range(6)
    ]
    hidden = [problem(i, f"x{i}", "text", options=(f"x{i}", "y")) for i in range(6)]
    assert (mean_chance(shown), mean_chance(hidden)) == (0.5, 0)


def test_a_known_rate_takes_fewer_problems_than_an_arm() -> None:
    n = problems_needed(0.1, 0.25, correlation=None)
    assert n < problems_needed(0.1, 0.25, correlation=0)
    assert minimum_detectable_effect(n, 0.25, correlation=None) <= 0.1
    assert minimum_detectable_effect(n - 2, 0.25, correlation=None) > 0.1
    few = minimum_detectable_effect(100, 0.0, correlation=None)  # one hit of 100 is enough
    assert 1 - (1 - few) ** 100 == pytest.approx(0.8)


@pytest.mark.parametrize("chance", [0.0, 1.0])
def test_a_chance_of_0_or_1_is_exact_too(chance: float) -> None:
    n_right = 1 if chance == 0 else 49
    estimate = gain_over_chance([1.0] * n_right + [0.0] * (50 - n_right), chance, 0.95)
    assert estimate.p_value == 0
    assert estimate.interval.low == pytest.approx(wilson(n_right, 50, 0.95).low - chance)
    same = gain_over_chance([chance] * 50, chance, 0.95)
    assert same.p_value == 1


@pytest.mark.parametrize("level", [0.95, 0.95 ** (1 / 6), 0.9995])
@pytest.mark.parametrize("n_clusters", [30, 53, 60])
@pytest.mark.parametrize("n_odd", [0, 1, 2, 3])
def test_rare_hits_and_misses_have_an_interval_in_clusters(
    n_odd: int, n_clusters: int, level: float
) -> None:
    scores = [1.0] * n_odd + [0.0] * (60 - n_odd)
    clusters = [f"c{i % n_clusters}" for i in range(60)]
    few = gain_over_chance(scores, 1 / 3, level, clusters)
    assert few.interval.high - few.interval.low < 0.5
    assert few.interval.low <= n_odd / 60 - 1 / 3 <= few.interval.high
    assert (few.interval.high < 0) == (few.p_value < 1 - level)
    many = gain_over_chance([1 - score for score in scores], 2 / 3, level, clusters)
    assert many.interval.low == pytest.approx(-few.interval.high)
    assert many.p_value == pytest.approx(few.p_value)
    shares = gain_over_chance([0.2 * score for score in scores], 1 / 3, level)
    assert shares.interval.high < 0


def test_compare_takes_chance_as_exact(tmp_path: Path) -> None:
    comparison = cotkit.compare(
        "simulated/30b",
        ["few-shot", "cot"],
        "arithmetic:steps=2",
        baseline="chance",
        limit=60,
        log_dir=tmp_path,
    )
    problems = load_benchmark(parse_spec("arithmetic:steps=2")).problems()
    chance = mean_chance(problems)
    assert [cell.arm for cell in comparison.cells] == ["few-shot", "cot"]
    for cell, verdict in zip(comparison.cells, comparison.verdicts, strict=True):
        gain = verdict.gain
        assert (gain.method, gain.chance) == ("wilson", pytest.approx(chance))
        expected = wilson(cell.n_correct, 60, gain.interval.level)
        assert gain.interval.low == pytest.approx(expected.low - chance)
        assert gain.interval.high == pytest.approx(expected.high - chance)
        assert verdict.depends_on == ()
    assert comparison.verdicts[1].sentence.startswith("cot leaves chance: ")
    assert any(note.startswith("chance: the commonest answer") for note in comparison.notes)
    text = cotkit.render(comparison, "table")
    assert "leaves chance" in text
    assert "Wilson interval less chance" in text
    row = json.loads(cotkit.render(comparison, "json"))["gains"][0]
    assert row["chance"] == pytest.approx(chance)


def test_scale_says_where_an_arm_leaves_chance(tmp_path: Path) -> None:
    command = ["scale", "--family", "simulated", "--strategy", "few-shot", "--baseline", "chance"]
    options = [
        "--bench",
        "arithmetic:steps=2",
        "--limit",
        "60",
        "--log-dir",
        str(tmp_path),
        "--full",
    ]
    result = CliRunner().invoke(app, [*command, *options, "--display", "none"])
    assert result.exit_code == 0, result.output
    words = " ".join(result.output.split())
    assert "few-shot leaves chance: 20 points between 100 B and 300 B parameters" in words
    assert "Gain of few-shot over chance by size" in result.output
    assert "note: chance: the commonest answer" in words
    assert "Is the jump real?" in result.output
    assert "gain of few-shot" not in result.output  # a constant moves no curve


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--stop-when", "decided"], "chance is no arm"),
        (["--exemplar-seeds", "0,1"], "a control that is run"),
    ],
)
def test_what_needs_a_control_that_is_run_is_refused(
    tmp_path: Path, options: list[str], says: str
) -> None:
    command = ["compare", "--model", "simulated/8b", "--baseline", "chance", "--limit", "5"]
    result = CliRunner().invoke(app, [*command, *options, "--log-dir", str(tmp_path)])
    assert isinstance(result.exception, CotkitError)
    assert says in str(result.exception)


def test_a_file_of_completions_is_measured_against_chance() -> None:
    problems = load_benchmark(parse_spec("coin-flips")).problems()[:40]
    texts = {p.question.id: f"The answer is {p.gold}." for p in problems}
    result = cotkit.score(texts, "coin-flips", baseline="chance")
    assert result.comparison.verdicts[0].gain.gain == 0.5
    assert "leaves chance: 100.0 % against 50 %" in result.comparison.verdicts[0].sentence


# --- results of others


def write_csv(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def scale_csv(path: Path, *options: str) -> str:
    command = ["scale", "--from", f"csv:{path}", "--baseline", "chance", "--full", *options]
    result = CliRunner().invoke(app, command)
    return f"{' '.join(result.output.split())} {result.exception or ''}"


RATES = ((1, 0.26), (3, 0.24), (10, 0.58), (30, 0.81))


def problem_rows(n: int = 200, /, **columns: object) -> list[dict[str, object]]:
    return [
        {
            "model": f"m{size}",
            "params": f"{size}B",
            "strategy": "plain",
            "problem_id": f"p{i}",
            "correct": int(i < rate * n),
            **columns,
        }
        for size, rate in RATES
        for i in range(n)
    ]


@pytest.mark.parametrize("columns", [{"chance": 0.25}, {"choices": 4}])
def test_a_csv_of_problems_says_what_guessing_solves(
    tmp_path: Path, columns: Mapping[str, object]
) -> None:
    output = scale_csv(write_csv(tmp_path / "a.csv", problem_rows(**columns)))
    assert "plain leaves chance between 3 B and 10 B parameters" in output


@pytest.mark.parametrize(
    "columns", [{"chance": 25, "metric": "accuracy_pct"}, {"choices": 4, "metric": "accuracy_pct"}]
)
def test_a_csv_of_rates_says_what_guessing_solves(
    tmp_path: Path, columns: Mapping[str, object]
) -> None:
    rows = [
        {
            "model": f"m{size}",
            "params": f"{size}B",
            "strategy": "plain",
            "n_items": 200,
            "value": 100 * rate,
            **columns,
        }
        for size, rate in RATES
    ]
    output = scale_csv(write_csv(tmp_path / "a.csv", rows))
    assert "plain leaves chance between 3 B and 10 B parameters" in output
    named = [
        {**row, "strategy": name, "value": 25 if name == "chance" else row["value"]}
        for row in rows
        for name in ("plain", "chance")
    ]
    for row in named:
        for column in ("chance", "choices"):
            row.pop(column, None)
    again = scale_csv(write_csv(tmp_path / "b.csv", named))
    assert again.split("parameters")[0] == output.split("parameters")[0]


@pytest.mark.parametrize(
    ("column", "values", "says"),
    [
        ("other", (1, 1), "what guessing solves on a is not known"),
        ("chance", (0.25, 0.5), "another chance"),
        ("chance", (25, 25), "25 is not in 0 to 1"),
        ("choices", ("four", "four"), "'four' is not a count"),
        ("chance", (0.25, ""), "what guessing solves on a is not known"),
    ],
)
def test_a_chance_that_cannot_be_is_refused(
    tmp_path: Path, column: str, values: tuple[object, object], says: str
) -> None:
    rows = problem_rows(40)
    for number, row in enumerate(rows):
        row[column] = values[number == 0]
    path = tmp_path / "a.csv"
    if values[1] == "":
        rows[0] |= {"problem_id": "alone"}
    output = scale_csv(write_csv(path, rows))
    assert says in output


def test_published_tables_know_the_chance_of_some_benchmarks() -> None:
    command = ["scale", "--published", "wei2022", "--baseline", "chance", "--family", "LaMDA"]
    result = CliRunner().invoke(app, [*command, "--bench", "CSQA"])
    words = " ".join(result.output.split())
    assert "cot leaves chance between 8 B and 68 B parameters" in words
    refused = CliRunner().invoke(app, [*command, "--bench", "ASDiv"])
    assert "wei2022: what guessing solves is not known of ASDiv" in str(refused.exception)


def test_clusters_of_a_csv_are_used(tmp_path: Path) -> None:
    rows = problem_rows(200, chance=0.25)
    for row in rows:
        row["cluster"] = f"c{int(str(row['problem_id'])[1:]) // 20}"
    output = scale_csv(write_csv(tmp_path / "a.csv", rows))
    assert "problems share 10 clusters" in output
    assert "no number of problems in 10 clusters can tell" in output
    assert "only more clusters:" in output
    rows[-1]["cluster"] = "other"
    assert "p199 is in another cluster" in scale_csv(write_csv(tmp_path / "b.csv", rows))
