"""A file of the user's as a benchmark: labels, a pool, and what is refused beyond test_bench.py."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cotkit.benchmarks import UserFile, load_benchmark
from cotkit.benchmarks._files import MAX_LINE_BYTES, iterate_lines
from cotkit.cli import app
from cotkit.errors import BadInputError, UsageError
from cotkit.registry import parse_spec
from cotkit.scoring import score_attempt
from cotkit.types import Attempt


def write(path: Path, *lines: object) -> Path:
    text = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(text) + "\n", encoding="utf-8")
    return path


def film(word: str, label: object) -> dict[str, object]:
    return {"question": f"A {word} film.", "label": label}


GOOD = {"question": "How many?", "answer": "3"}
PICK = {"question": "Which?", "answer": "red", "choices": ["red", "blue"]}


# --- labels


def test_the_labels_of_a_file_are_its_choices(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", film("good", "plus"), film("dull", "minus"))
    bench = UserFile(path=path)
    assert bench.answer_kind == "choice"
    assert [p.question.choices for p in bench.problems()] == [("minus", "plus")] * 2
    assert [p.gold for p in bench.problems()] == ["plus", "minus"]


def test_labels_may_be_numbers_and_are_judged_as_choices(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", film("good", 1), film("dull", 0))
    (good, _) = UserFile(path=path).problems()
    assert (good.gold, good.question.choices) == ("1", ("0", "1"))
    said = Attempt(text="The answer is (B).", stop_reason="stop")
    assert score_attempt(said, good).outcome == "correct"


def test_label_is_another_word_for_answer(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", {"question": "2 + 2?", "label": "4"})
    (problem,) = UserFile(path=path, kind="number").problems()
    assert (problem.gold, problem.question.choices) == ("4", ())
    path = write(tmp_path / "b.jsonl", {"question": "Q?", "label": "b", "choices": ["x", "y"]})
    (problem,) = UserFile(path=path).problems()
    assert (problem.gold, problem.question.choices) == ("b", ("x", "y"))


def test_a_second_file_is_the_pool_and_its_labels_count(tmp_path: Path) -> None:
    test = write(tmp_path / "test.jsonl", film("good", "plus"), film("dull", "minus"))
    train = write(tmp_path / "train.jsonl", film("odd", "neither"))
    bench = load_benchmark(parse_spec(f"{test}:exemplars={train}"))
    labels = ("minus", "neither", "plus")
    assert {p.question.choices for p in (*bench.problems(), *bench.exemplar_pool())} == {labels}
    before = bench.version
    write(train, film("odd", "plus"))
    assert bench.version != before, "the pool's labels are the test's choices"
    assert UserFile(path=test).exemplar_pool() == ()


def test_a_label_strategy_runs_on_two_files(tmp_path: Path) -> None:
    for part in ("test", "train"):
        rows = [film(f"{part} {i}", ("minus", "plus")[i % 2]) for i in range(8)]
        write(tmp_path / f"{part}.jsonl", *rows)
    bench = f"{tmp_path}/test.jsonl:exemplars={tmp_path}/train.jsonl"
    strategy = "flipped-labels:fraction=1,k=2"
    shown = CliRunner().invoke(app, ["show", "prompt", "--strategy", strategy, "--bench", bench])
    assert shown.exit_code == 0, shown.output
    assert shown.stdout.count("A train ") == 4


# --- refused


@pytest.mark.parametrize(
    ("lines", "place", "says", "hint"),
    [
        ([GOOD | {"label": "3"}], ":1:label", "beside answer", "leave one out"),
        ([film("good", None)], ":1:label", "must be text, not null", "quote it"),
        ([film("good", True), film("dull", False)], ":1:label", "true or false", "quote it"),
        (
            [film(str(i), f"label {i}") for i in range(27)],
            ":27:label",
            "more than 26 different labels",
            "answer_kind=number",
        ),
        ([film("good", "plus"), film("dull", "plus")], ":2:label", "the only label", "choices"),
        ([PICK, PICK | {"choices": None, "answer": "x"}], ":2:choices", "needs choices", "none"),
        ([GOOD | {"choises": ["a"]}], ":1:choises", "unknown field", "did you mean choices?"),
        ([GOOD | {"n_step": 2}], ":1:n_step", "unknown field", "did you mean n_steps?"),
        ([GOOD | {"ID": "a"}], ":1:ID", "unknown field", "did you mean id?"),
        ([{"Question": "a", "answer": "1"}], ":1:Question", "unknown", "did you mean question?"),
        ([GOOD, GOOD], ":2:question", "line 1 asks the same", "cluster"),
        ([GOOD, GOOD | {"answer": "4"}], ":2:answer", "has the answer '3'", "correct one"),
        (
            [GOOD | {"cluster": "a"}, GOOD | {"cluster": "a", "answer": "4"}],
            ":2:answer",
            "has the answer '3'",
            "correct one",
        ),
        ([PICK, PICK | {"choices": ["blue", "red"]}], "", "", ""),
        ([GOOD | {"cluster": "a"}, GOOD | {"cluster": "a"}], "", "", ""),
        ([GOOD | {"idx": 1, "steps": 2, "source": "me"}], "", "", ""),
        ([PICK | {"choices": ["red", "red"]}], ":1:choices", "'red' twice", "2 to 26"),
        ([PICK | {"choices": ["red", 1]}], ":1:choices", "a number in it", "2 to 26"),
        (
            [PICK | {"answer": "B", "choices": ["b", "c"]}],
            ":1:answer",
            "'B' may be a letter or a choice",
            "as the choice is written",
        ),
        ([PICK | {"answer": "A", "choices": ["B", "A"]}], "", "", ""),
        (['{"question": "a", "answer": 1, "answer": 2}'], ":1:", "'answer' stands twice", "one"),
        (['{"question": "a", "answer": -Infinity}'], ":1:answer", "-inf is no number", "fill"),
        (['{"question": "a", "answer": 1, "n_steps": NaN}'], ":1:n_steps", "whole number", "or"),
        ([GOOD | {"answer": "x" * 10_000}], ":1:answer", "cannot read 'xxx", "for words"),
    ],
)
def test_a_file_is_taken_or_refused_in_one_line(
    tmp_path: Path, lines: list[object], place: str, says: str, hint: str
) -> None:
    bench = UserFile(path=write(tmp_path / "mine.jsonl", *lines))
    if not says:
        assert len(bench.problems()) == len(lines)
        return
    with pytest.raises(BadInputError) as caught:
        bench.problems()
    assert str(caught.value).startswith(f"{bench.path}{place}")
    assert says in caught.value.message
    assert hint in str(caught.value.hint)
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)


def test_a_line_too_long_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "long.jsonl", GOOD)
    with path.open("ab") as file:
        file.write(b'{"question": "')
        file.truncate(100 * 1024 * 1024)  # a hole: nothing of it is on the disk
    tracemalloc.start()
    with pytest.raises(BadInputError, match=r"long\.jsonl:2: longer than 4 MiB"):
        UserFile(path=path).problems()
    assert tracemalloc.get_traced_memory()[1] < 3 * MAX_LINE_BYTES
    tracemalloc.stop()


def test_a_long_file_is_read_line_by_line(tmp_path: Path) -> None:
    path = write(tmp_path / "many.jsonl", *[{"question": f"{i}?"} for i in range(20_000)], "{oops")
    lines = iterate_lines(path)
    assert next(lines).fields == {"question": "0?"}, "the bad last line is not reached yet"


def test_a_folder_or_a_task_file_is_no_file_of_problems(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").mkdir()
    with pytest.raises(BadInputError, match="no such file"):
        load_benchmark(parse_spec(f"{tmp_path}/a.jsonl")).problems()
    with pytest.raises(UsageError, match=r"lm-eval:PATH\.yaml"):
        load_benchmark(parse_spec("./task.yaml"))
