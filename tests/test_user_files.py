"""A file of the user's as a benchmark: labels, a pool, and what is refused beyond test_bench.py."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import sys
import tracemalloc
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import feather, ipc, parquet
from typer.testing import CliRunner

from cotkit.benchmarks import RowFormat, UserFile, load_benchmark
from cotkit.benchmarks._files import MAX_LINE_BYTES, iterate_lines
from cotkit.cli import app
from cotkit.errors import BadInputError, MissingDependencyError, UsageError
from cotkit.registry import Spec, parse_spec
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
    (problem,) = UserFile(path=path, format=RowFormat(answer_kind="number")).problems()
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


# --- every shape of file

ROWS: list[dict[str, object]] = [
    {"question": "Two and two, doubled?", "answer": "8", "id": "r1"},
    {"question": 'She said "3, or 4"; which is odd?', "answer": "1,003", "id": "r2"},
]


def save(folder: Path, ending: str, rows: Sequence[Mapping[str, object]]) -> Path:
    """Write rows as a file of that ending, as other programs would."""
    path = folder / f"mine{ending}"
    content = b""
    match ending.removesuffix(".gz"):
        case ".jsonl" | ".ndjson":
            content = "".join(json.dumps(row) + "\n" for row in rows).encode()
        case ".json":
            content = json.dumps(rows, indent=1).encode()
        case ".csv" | ".tsv":
            text = io.StringIO()
            delimiter = "\t" if ending.startswith(".tsv") else ","
            writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter)
            writer.writeheader()
            writer.writerows(rows)
            content = text.getvalue().encode()
        case table_ending:
            table = pa.Table.from_pylist(list(rows))
            buffer = io.BytesIO()
            if table_ending == ".parquet":
                parquet.write_table(table, buffer)
            elif table_ending == ".feather":
                feather.write_feather(table, buffer)
            else:
                with ipc.new_stream(buffer, table.schema) as writer:
                    writer.write_table(table)
            content = buffer.getvalue()
    path.write_bytes(gzip.compress(content) if ending.endswith(".gz") else content)
    return path


ENDINGS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".feather", ".arrow")


@pytest.mark.parametrize("ending", [*ENDINGS, *(f"{ending}.gz" for ending in ENDINGS), ".CSV"])
def test_every_shape_of_file_holds_the_same_problems(tmp_path: Path, ending: str) -> None:
    path = save(tmp_path, ending.lower(), ROWS)
    path = path.rename(tmp_path / f"mine{ending}")
    bench = load_benchmark(parse_spec(str(path)))
    problems = bench.problems()
    assert [p.question.text for p in problems] == [row["question"] for row in ROWS]
    assert [(p.question.id, p.gold) for p in problems] == [("r1", "8"), ("r2", "1003")]
    assert bench.version == hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def test_a_problem_is_named_after_the_file_without_its_endings(tmp_path: Path) -> None:
    path = save(tmp_path, ".csv.gz", [{"question": "Two?", "answer": 2}])
    assert UserFile(path=path).problems()[0].question.id == "mine/2"


def test_a_run_takes_a_csv_and_shows_exemplars_of_another(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"problem": f"What is {i} and {i}?", "answer": f"{i}+{i}=<<{i}+{i}={2 * i}>>\n#### {2 * i}"}
        for i in range(2, 8)
    ]
    test = save(tmp_path, ".csv", rows[:3])
    train = save(tmp_path, ".jsonl", rows[3:])
    strategy = ["--strategy", "cot", "--exemplars", f"{train}:2"]
    shown = CliRunner().invoke(app, ["show", "prompt", "--bench", str(test), *strategy])
    assert shown.exit_code == 0, shown.output
    assert "<<" not in shown.stdout
    assert shown.stdout.count("The answer is") >= 2


@pytest.mark.parametrize(
    ("content", "golds"),
    [
        (b'{"question": "A?", "answer": 1}\n{"question": "B?", "answer": 2}\n', ["1", "2"]),
        (b'{"data": [{"question": "A?", "answer": 1}], "source": "me"}', ["1"]),
        (b'\xef\xbb\xbf[{"question": "A?",\n "answer": 1.50}]', ["1.5"]),
    ],
)
def test_json_is_a_document_or_lines(tmp_path: Path, content: bytes, golds: list[str]) -> None:
    path = tmp_path / "mine.json"
    path.write_bytes(content)
    assert [p.gold for p in UserFile(path=path).problems()] == golds


def test_a_spreadsheet_that_writes_semicolons(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_bytes(b'Question;Answer\r\n"2, then 3?";5\r\n\r\nHalf of 3?;1.5\r\n')
    assert [p.gold for p in UserFile(path=path).problems()] == ["5", "1.5"]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.csv", b"question,answer\n2+2?\n", r"a\.csv:2: 1 fields, the header has 2"),
        ("a.csv", b"question,answer\n2+2?,\n", r"a\.csv:2:answer: empty"),
        ("a.csv", b"question,answer\n2+2?,4 or 5\n", r"a\.csv:2:answer: cannot read"),
        ("a.csv", b"question,answer\n", r"a\.csv: no problems in it"),
        ("a.csv", b"", r"a\.csv: no problems in it"),
        ("a.csv", b"q;a\n2+2?;4\n", r"a\.csv:2:answer: missing .*the columns are q, a"),
        ("a.csv", b"question,question\n1,2\n", r"a\.csv:1:question: stands twice"),
        ("a.tsv", b"question\tanswer\n\xff\t4\n", r"a\.tsv:2: not UTF-8"),
        ("a.json", b'[{"question": "A?"}]', r"a\.json:examples\[0\]\.answer: missing"),
        ("a.json", b'{"a": [{}], "b": [{}]}', r"a\.json:examples: no examples"),
        ("a.parquet", b"PAR1", r"a\.parquet: not parquet"),
        ("a.arrow", b"ARROW1", r"a\.arrow: not an Arrow table"),
        ("a.jsonl.gz", b"{}", r"a\.jsonl\.gz:1: cannot be read: Not a gzipped"),
        ("a.csv.gz", gzip.compress(b"question,answer\n2?,2\n", mtime=0)[:-9], r"a\.csv\.gz"),
        ("a.jsonl.gz", gzip.compress((b" " * 999_999 + b"\n") * 70), r"unpacks to more than"),
        ("a.csv", b"Prompt,Input,answer\na,b,1\n", r"Prompt and Input may both be the question"),
        ("a.csv", b"question,answer,label\na,1,2\n", r"a\.csv:2:label: beside answer"),
    ],
)
def test_a_bad_file_is_one_line(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(BadInputError, match=says) as caught:
        UserFile(path=path).problems()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["./mine.xlsx", "/tmp/a.txt", "../b.csv.zip", "~/mine"])
def test_another_kind_of_file_says_which_are_read(name: str) -> None:
    with pytest.raises(UsageError, match=r"ends in \.jsonl, \.ndjson, \.json, \.csv") as caught:
        load_benchmark(parse_spec(name))
    assert name in str(caught.value)


def test_a_table_without_pyarrow_names_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path, ".parquet", ROWS)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'cotkit\[data\]'"):
        UserFile(path=path).problems()


# --- columns


@pytest.mark.parametrize(
    ("row", "params", "expected"),
    [
        ({"Question": "2?", "ANSWER": "2"}, "", ("2?", "2", None)),
        ({"problem": "2?", "solution": "One, two.", "answer": "2"}, "", ("2?", "2", None)),
        (
            {"problem": "2?", "solution": "One, two.", "answer": "2"},
            ":rationale=solution",
            ("2?", "2", "One, two."),
        ),
        ({"input": "2?", "target": "2"}, "", ("2?", "2", None)),
        ({"input": "x", "prompt": "2?", "target": "2"}, ":question=prompt", ("2?", "2", None)),
        ({"question": "2?", "answer": "x", "value": "2"}, ":answer=value", ("2?", "2", None)),
        ({"question": "2?", "answer": "x", "label": "2"}, ":answer=answer", ("2?", "x", None)),
        ({"Correct Answer": "2", "question": "2?"}, "", ("2?", "2", None)),
    ],
)
def test_columns_are_found_by_name_or_as_told(
    tmp_path: Path, row: dict[str, object], params: str, expected: tuple[str | None, ...]
) -> None:
    kind = "answer_kind=text" if expected[1] == "x" else ""
    params = f"{params},{kind}" if params and kind else params
    for ending in (".jsonl", ".csv", ".parquet"):
        path = save(tmp_path, ending, [row])
        (problem,) = load_benchmark(parse_spec(f"{path}{params}")).problems()
        assert (problem.question.text, problem.gold, problem.rationale) == expected


def test_a_column_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    path = save(tmp_path, ".csv", [{"question": "2?", "answer": "2"}])
    with pytest.raises(BadInputError, match=r"mine\.csv:2:wert: missing \(.*the columns are quest"):
        load_benchmark(parse_spec(f"{path}:answer=wert")).problems()


def test_what_is_told_of_columns_is_part_of_the_version(tmp_path: Path) -> None:
    path = save(tmp_path, ".csv", [{"question": "2?", "answer": "2", "other": "3"}])
    versions = {
        load_benchmark(parse_spec(f"{path}{params}")).version
        for params in ("", ":answer=other", ":answer=answer", ":answer_base=0")
    }
    assert len(versions) == 4


@pytest.mark.parametrize(
    ("row", "gold"),
    [
        ({"choices": '["red", "blue"]', "answer": "blue"}, "blue"),
        ({"choices": "['red', 'blue']", "answer": "(b)"}, "B"),
        ({"choices": "red | blue", "answer": "Blue"}, "blue"),
        ({"A": "red", "B": "blue", "C": "", "answer": "B"}, "B"),
        ({"option_a": "red", "option_b": "blue", "answer": "blue"}, "blue"),
        ({"Option 1": "red", "Option 2": "blue", "answer": "2"}, "blue"),
        ({"choice0": "red", "choice1": "blue", "answer": "0"}, "red"),
    ],
)
def test_choices_of_a_csv(tmp_path: Path, row: dict[str, object], gold: str) -> None:
    path = save(tmp_path, ".csv", [{"question": "Which?", **row}])
    (problem,) = UserFile(path=path).problems()
    assert (problem.question.choices, problem.gold) == (("red", "blue"), gold)


@pytest.mark.parametrize(
    ("choices", "answer", "gold"),
    [
        ({"text": ["red", "blue"], "label": ["A", "B"]}, "B", "blue"),
        ({"text": ["red", "blue"], "label": ["1", "2"]}, "1", "red"),
        ({"A": "red", "B": "blue"}, "A", "red"),
    ],
)
def test_choices_with_marks_of_their_own(
    tmp_path: Path, choices: object, answer: str, gold: str
) -> None:
    path = write(
        tmp_path / "a.jsonl", {"question": "Which?", "choices": choices, "answerKey": answer}
    )
    (problem,) = UserFile(path=path).problems()
    assert (problem.question.choices, problem.gold) == (("red", "blue"), gold)


# --- golds are read as answers are


@pytest.mark.parametrize(
    ("answer", "gold"),
    [
        ("3 1/2", "3.5"),
        ("1e3", "1000"),
        ("\u22127", "-7"),
        ("\\frac{2}{5}", "0.4"),
        ("$\\boxed{11}$", "11"),
        ("\u00bd", "0.5"),
        ("twelve", "12"),
        ("6 kilos", "6"),
        ("n = 9", "9"),
        ("2 million", "2000000"),
        ("\u0663\u0667", "37"),
        ("#### 1,200", "1200"),
        (1500.0, "1500"),
    ],
)
def test_a_gold_is_read_as_an_answer_is(tmp_path: Path, answer: object, gold: str) -> None:
    path = write(tmp_path / "a.jsonl", {"question": "How much?", "answer": answer})
    (problem,) = UserFile(path=path).problems()
    assert problem.gold == gold
    text = Attempt(text=f"The answer is {gold}.", stop_reason="stop")
    assert score_attempt(text, problem).outcome == "correct"


@pytest.mark.parametrize("answer", ["3 or 4", "2 m 5 cm", "none", "05/06/2021", "not 7"])
def test_what_is_no_single_number_is_no_gold(tmp_path: Path, answer: str) -> None:
    path = write(tmp_path / "a.jsonl", {"question": "How much?", "answer": answer})
    with pytest.raises(BadInputError, match=r"a\.jsonl:1:answer: cannot read"):
        UserFile(path=path).problems()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Six and one.\n6+1=<<6+1=7>>7\n#### 7", ("7", "Six and one.\n6+1=7", 1)),
        ("Two by two is <<2*2=4>>4.\nMinus <<4-9=-5>>9.\n####-5", ("-5", None, 2)),
        ("Add them: $3+4=\\boxed{7}$.", ("7", "Add them: $3+4={7}$.", None)),
        ("So it is 7. The answer is 7.", ("7", "So it is 7.", None)),
    ],
)
def test_a_worked_solution_is_a_rationale_and_a_gold(
    tmp_path: Path, answer: str, expected: tuple[str, str | None, int | None]
) -> None:
    path = write(tmp_path / "a.jsonl", {"question": "How many?", "answer": answer})
    (problem,) = UserFile(path=path).problems()
    gold, rationale, n_steps = expected
    assert (problem.gold, problem.n_steps) == (gold, n_steps)
    assert rationale is None or problem.rationale == rationale


def test_ids_and_clusters_may_be_numbers(tmp_path: Path) -> None:
    rows = [GOOD | {"id": 17, "cluster": 3}, GOOD | {"id": 18.0, "cluster": 3, "n_steps": 2.0}]
    problems = UserFile(path=write(tmp_path / "a.jsonl", *rows)).problems()
    assert [(p.question.id, p.cluster) for p in problems] == [("17", "3"), ("18", "3")]


@pytest.mark.parametrize("n_steps", ["\u0662", "1,2", "2.5", "1_0", "two", "-1"])
def test_counts_are_written_in_plain_digits(tmp_path: Path, n_steps: str) -> None:
    path = save(tmp_path, ".csv", [{"question": "2?", "answer": "2", "n_steps": n_steps}])
    with pytest.raises(BadInputError, match=r"mine\.csv:2:n_steps: must be a whole number"):
        UserFile(path=path).problems()


@pytest.mark.parametrize("n", ["\u0661\u0660", "1_0", "1,0", "1e1"])
def test_parameters_are_written_in_plain_digits(n: str) -> None:
    with pytest.raises(UsageError, match=r"linear-classification:n=.* is not of type int"):
        load_benchmark(Spec(name="linear-classification", params={"n": n}))


@pytest.mark.parametrize(
    "option",
    [
        ["--limit", "\u0668"],
        ["--limit", "1_0"],
        ["--exemplar-seeds", "0,\u0661"],
        ["--exemplars", "builtin:\u0664"],
    ],
)
def test_settings_are_written_in_plain_digits(option: list[str], tmp_path: Path) -> None:
    command = ["plan", "--model", "simulated/8b", "--bench", "gsm-mini", "--log-dir", str(tmp_path)]
    result = CliRunner().invoke(app, [*command, *option])
    assert isinstance(result.exception, UsageError), result.output


# --- a whole number as the answer of a choice

COLOURS = ["red", "blue", "green", "pink"]
FIGURES = ["4", "9", "2", "6"]


def pick(answer: object, choices: list[str], name: str = "Which") -> dict[str, object]:
    return {"question": f"{name} {answer}?", "choices": choices, "answer": answer}


@pytest.mark.parametrize(
    ("rows", "golds"),
    [
        ([pick(0, COLOURS), pick(2, COLOURS)], ["red", "green"]),
        ([pick(1, COLOURS), pick(4, COLOURS)], ["red", "pink"]),
        ([pick("0", COLOURS), pick("3", COLOURS)], ["red", "pink"]),
        ([pick(9, FIGURES), pick(2, FIGURES)], ["9", "2"]),
        ([pick("2", FIGURES), pick("4", FIGURES)], ["2", "4"]),
        ([pick(0, FIGURES), pick(2, FIGURES)], ["4", "2"]),
        ([pick("b", COLOURS), pick(0, COLOURS)], ["b", "red"]),
        ([pick(1, ["0", "1"]), pick(0, ["0", "1"])], ["1", "0"]),
        ([pick(2.0, ["odd", "even"])], ["even"]),
        ([pick("2", FIGURES), pick("0", COLOURS), pick(9, FIGURES)], ["2", "red", "9"]),
        ([pick("2", ["2", "4", "9"]), pick("0", COLOURS)], ["9", "red"]),
        ([pick("B) blue", COLOURS), pick("(c)", COLOURS), pick("Pink", COLOURS)], [*"BC", "pink"]),
    ],
)
def test_a_whole_number_is_decided_over_the_whole_file(
    tmp_path: Path, rows: list[dict[str, object]], golds: list[str]
) -> None:
    assert [p.gold for p in UserFile(path=write(tmp_path / "a.jsonl", *rows)).problems()] == golds


@pytest.mark.parametrize(
    ("rows", "place", "says"),
    [
        ([pick("B) red", COLOURS)], ":1:answer", "'B) red' is none of the choices"),
        ([pick(1, COLOURS)], ":1:answer", "1 may be choice B ('blue', counted from 0) or choice A"),
        (
            [pick(0, COLOURS), pick(2, ["2", "4", "3", "9"])],
            "",
            "",
        ),
        ([pick(2, FIGURES)], ":1:answer", "2 may be choice C (by its text), choice C ("),
        ([pick(5, COLOURS)], ":1:answer", "5 is none of the 4 choices"),
        (
            [pick(0, COLOURS), pick(1, COLOURS), pick(4, COLOURS)],
            ":3:answer",
            "4 is none of the 4 choices, beside 0 in line 1",
        ),
    ],
)
def test_a_number_with_two_meanings_is_refused(
    tmp_path: Path, rows: list[dict[str, object]], place: str, says: str
) -> None:
    bench = UserFile(path=write(tmp_path / "a.jsonl", *rows))
    if not says:
        assert len(bench.problems()) == len(rows)
        return
    with pytest.raises(BadInputError) as caught:
        bench.problems()
    assert str(caught.value).startswith(f"{bench.path}{place}: ")
    assert says in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(("base", "gold"), [("0", "9"), ("1", "4"), ("text", None)])
def test_the_user_may_say_what_numbers_mean(tmp_path: Path, base: str, gold: str | None) -> None:
    path = write(tmp_path / "a.jsonl", pick(1, FIGURES))
    bench = load_benchmark(parse_spec(f"{path}:answer_base={base}"))
    if gold is None:
        with pytest.raises(BadInputError, match="all numbers of a file mean the same"):
            bench.problems()
    else:
        assert bench.problems()[0].gold == gold


def test_a_csv_does_not_tell_texts_from_numbers(tmp_path: Path) -> None:
    rows = [{"question": "Which?", "choices": json.dumps(FIGURES), "answer": "2"}]
    path = save(tmp_path, ".csv", rows)
    with pytest.raises(BadInputError, match=r"may be choice C \(by its text\), choice C"):
        UserFile(path=path).problems()
    bench = load_benchmark(parse_spec(f"{path}:answer_base=text"))
    assert bench.problems()[0].gold == "2"


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
        ([{"qestion": "a", "answer": "1"}], ":1:qestion", "unknown", "did you mean question?"),
        ([GOOD | {"n_step": 2}], ":1:n_step", "unknown field", "did you mean n_steps?"),
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
    try:
        with pytest.raises(BadInputError, match=r"long\.jsonl:2: longer than 4 MiB"):
            UserFile(path=path).problems()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * MAX_LINE_BYTES


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


@pytest.mark.parametrize("gold", [r"3\sqrt{2}", "2π", "x^2 + 1", r"\frac{\pi}{4}"])
def test_a_gold_in_latex_that_is_no_number_names_the_kind_for_it(gold: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", GOOD, {"question": "How long?", "answer": gold})
    with pytest.raises(BadInputError, match="as a number") as caught:
        UserFile(path=path).problems()
    assert "answer_kind=expression" in str(caught.value.hint)
