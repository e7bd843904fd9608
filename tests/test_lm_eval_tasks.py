"""Task files of lm-evaluation-harness as benchmarks: what is read, said, and refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cotkit.bench import load_benchmark
from cotkit.bench.lm_eval import LmEval
from cotkit.cli import app
from cotkit.errors import BadInputError, CotkitError, MissingDataError, MissingDependencyError
from cotkit.registry import parse_spec
from cotkit.types import AnswerKind, Problem

pytest.importorskip("yaml", reason="pip install 'cotkit[lm-eval-tasks]'")

HEAD = """\
task: mine
dataset_path: json
dataset_kwargs: {data_files: {test: rows.jsonl, train: train.jsonl}}
test_split: test
"""
SUMS = HEAD + 'doc_to_text: "Question: {{q}}\\nAnswer:"\ndoc_to_target: "{{a}}"\n'
PICK = HEAD + "output_type: multiple_choice\ndoc_to_text: q\n"
ROW = {"q": "What is 1 plus 1?", "a": 2}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction]  # autouse
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COTKIT_DATA_DIR", raising=False)


def task(text: str, *rows: object, name: str = "task.yaml") -> Path:
    """The task file, beside the rows that it names."""
    Path("rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows or (ROW,)))
    Path(name).write_text(text, encoding="utf-8")
    return Path(name)


def problems(text: str, *rows: object, answer_kind: AnswerKind = "number") -> list[Problem]:
    return list(LmEval(path=task(text, *rows), answer_kind=answer_kind).problems())


# --- what is read


def test_a_generating_task() -> None:
    (problem,) = problems(SUMS)
    assert problem.question.text == "Question: What is 1 plus 1?\nAnswer:"
    assert problem.question.id == "task/test/0"
    assert (problem.gold, problem.rationale, problem.question.answer_kind) == ("2", None, "number")


@pytest.mark.parametrize(
    ("target", "row", "expected", "why"),
    [
        ("a", {"a": 2}, ("2", (), None), "a field, a number"),
        ("a", {"a": "1,200"}, ("1200", (), None), "a field, text"),
        ('"{{a}}"', {"a": 2.50}, ("2.5", (), None), "no float inside"),
        ("a", {"a": "Add them.\n#### 72"}, ("72", (), "Add them."), "as GSM8K writes it"),
        ("a", {"a": "So 3. The answer is 3."}, ("3", (), "So 3."), "as its exemplars write it"),
        (
            "a",
            {"a": "The answer is 4. No. The answer is 5."},
            ("5", (), "The answer is 4. No."),
            "the last",
        ),
        (
            "\"{{a.split('####')[-1].strip()}}\"",
            {"a": "x #### 9"},
            ("9", (), None),
            "by a template",
        ),
        ("\"{{a | regex_replace('[a-z]+', '')}}\"", {"a": "x7"}, ("7", (), None), "their filter"),
        (
            "a",
            {"a": ["1", "one dollar #### 1.0"]},
            ("1", ("1",), "one dollar"),
            "any of them counts",
        ),
        ('"{{a}}"', {"a": [3, 4]}, ("3", ("4",), None), "a list that a template wrote"),
    ],
)
def test_targets(
    target: str, row: dict[str, object], expected: tuple[str, tuple[str, ...], str], why: str
) -> None:
    (problem,) = problems(f"{HEAD}doc_to_text: q\ndoc_to_target: {target}\n", {"q": "Q?", **row})
    assert (problem.gold, problem.also, problem.rationale) == expected, why


@pytest.mark.parametrize(
    ("choices", "target", "row", "gold", "why"),
    [
        ("[no, yes]", "a", {"a": 1}, "", "YAML reads a bare yes as true"),
        ('["no", "yes"]', "a", {"a": 1}, "yes", "an index of a field"),
        ('["no", "yes"]', "a", {"a": "yes"}, "yes", "the text of a choice"),
        ("c", "a", {"a": 0, "c": ["x", "y"]}, "x", "a field that holds a list"),
        ("\"{{[c, 'other']}}\"", "0", {"c": "x"}, "x", "a template that writes a list"),
        ("c.text", "a", {"a": 0, "c": {"text": ["x", "y"]}}, "", "a path is no field"),
        (
            '"{{c.text}}"',
            '"{{c.labels.index(a)}}"',
            {"a": "B", "c": {"text": ["x", "y"], "labels": ["A", "B"]}},
            "y",
            "as ARC is written",
        ),
        ('["2", "1"]', '"{{a}}"', {"a": 1}, "1", "digits of a template are an index"),
        ('["2", "1"]', "a", {"a": "2"}, "2", "digits of a field are a text"),
        ('{first: "x", second: "y"}', "a", {"a": 1}, "y", "a mapping is its values"),
    ],
)
def test_choices(choices: str, target: str, row: dict[str, object], gold: str, why: str) -> None:
    text = f"{PICK}doc_to_choice: {choices}\ndoc_to_target: {target}\n"
    if not gold:
        with pytest.raises(BadInputError):
            problems(text, {"q": "Q?", **row})
        return
    (problem,) = problems(text, {"q": "Q?", **row})
    assert problem.gold == gold, why
    assert (problem.question.answer_kind, gold in problem.question.choices) == ("choice", True)


def test_words_as_answers() -> None:
    row = {"q": "Who?", "a": ["Ada", "Ada Lovelace"]}
    (problem,) = problems(SUMS.replace('"{{a}}"', "a"), row, answer_kind="text")
    assert (problem.gold, problem.also) == ("Ada", ("Ada Lovelace",))


def test_samples_are_the_exemplars_and_shown() -> None:
    samples = [{"q": f"What is {i} plus 0?", "a": f"It stays. The answer is {i}."} for i in (7, 8)]
    task(f"{SUMS}fewshot_config: {json.dumps({'samples': samples, 'sampler': 'first_n'})}\n")
    bench = "lm-eval:./task.yaml,doc_to_text=q"
    pool = load_benchmark(parse_spec(bench)).exemplar_pool()
    assert [(p.question.text, p.rationale, p.gold) for p in pool] == [
        (f"What is {i} plus 0?", "It stays.", str(i)) for i in (7, 8)
    ]
    arguments = ["show", "prompt", "--strategy", "cot", "--exemplars", "builtin:2"]
    shown = CliRunner().invoke(app, [*arguments, "--bench", bench])
    assert shown.exit_code == 0, shown.exception
    assert "Q: What is 8 plus 0?\nA: It stays. The answer is 8." in shown.stdout
    assert "Question:" not in shown.stdout


def test_a_split_is_the_pool_unless_it_is_evaluated() -> None:
    row = {"q": "Three?", "a": "So. #### 3"}
    Path("train.jsonl").write_text(json.dumps([row, row | {"q": "Four?"}]))  # one JSON list
    bench = LmEval(path=task(SUMS + "fewshot_split: train\n"))
    assert [p.rationale for p in bench.exemplar_pool()] == ["So.", "So."]
    assert not bench.has_own_exemplars
    assert LmEval(path=task(SUMS + "fewshot_split: test\n")).exemplar_pool() == ()


def test_an_included_file_gives_what_the_task_leaves_out() -> None:
    Path("base").mkdir()
    Path("base/all.yaml").write_text(SUMS + "description: theirs\n")
    Path("base/more.yaml").write_text("description: mine\n")
    task('include: [base/more.yaml, base/all.yaml]\ndoc_to_text: "{{q}}"\n')
    bench = LmEval(path=Path("task.yaml"))
    assert bench.problems()[0].question.text == "What is 1 plus 1?"
    assert bench.notes() == (
        "without effect in task.yaml: description: strategies write the prompt",
    )


def test_the_version_follows_whatever_makes_the_problems() -> None:
    first = LmEval(path=task(SUMS)).version
    assert LmEval(path=task(SUMS + "tag: anything\n")).version == first, "not the file's bytes"
    assert LmEval(path=task(SUMS, ROW | {"a": 3})).version != first
    assert LmEval(path=task(SUMS.replace("Question", "Q"))).version != first
    assert LmEval(path=task(SUMS), doc_to_text="q").version != first


def test_a_data_set_of_the_hub_is_looked_for_in_the_data_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "data/sums").mkdir(parents=True)
    (tmp_path / "data/sums/test.jsonl").write_text(json.dumps(ROW))
    (tmp_path / "data/sums/hard_test.jsonl").write_text(json.dumps(ROW | {"a": 5}))
    monkeypatch.setenv("COTKIT_DATA_DIR", str(tmp_path / "data"))
    text = "dataset_path: someone/sums\ntest_split: test\ndoc_to_text: q\ndoc_to_target: a\n"
    assert problems(text)[0].gold == "2"
    assert problems(text + "dataset_name: main\n")[0].gold == "2"
    assert problems(text + "dataset_name: hard\n")[0].gold == "5"
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingDataError, match=r"sums/easy_test cannot be had.*data_files"):
        problems(text + "dataset_name: easy\n")


# --- what is said

STRICT = r"""
filter_list:
  - name: strict-match
    filter:
      - {function: regex, regex_pattern: 'The answer is (\-?[0-9\.\,]+).'}
      - {function: take_first}
  - name: flexible-extract
    filter:
      - {function: regex, group_select: -1, regex_pattern: '(-?[$0-9.,]{2,})|(-?[0-9]+)'}
      - {function: take_first}
"""


def test_nothing_is_left_out_silently() -> None:
    task(
        SUMS
        + STRICT
        + 'generation_kwargs: {until: ["Q:"], max_gen_toks: 9}\nnum_fewshot: 5\n'
        + "fewshot_config: {sampler: first_n}\nmetadata: {version: 1}\n"
    )
    done = CliRunner().invoke(
        app,
        ["compare", "--bench", "lm-eval:task.yaml", "--model", "simulated/7b", "--format", "json"],
    )
    notes = " ".join(json.loads(done.stdout)["notes"])
    for said in (
        "filter strict-match is reader lm-eval-strict",
        "filter flexible-extract is reader lm-eval-flexible",
        "num_fewshot: ",
        "generation_kwargs (until, max_gen_toks): ",
        "fewshot_config.sampler: ",
        "doc_to_text of task.yaml adds",
    ):
        assert said in notes
    assert "metadata" not in notes


@pytest.mark.parametrize(
    ("step", "kind"),
    [
        (r"{function: regex, regex_pattern: 'Result: (\d+)'}", "number"),
        (r"{function: regex, regex_pattern: 'The answer is (\-?[0-9\.\,]+).'}", "text"),
        (r"{function: regex, regex_pattern: '(-?[$0-9.,]{2,})|(-?[0-9]+)'}", "number"),
        ("{function: majority_vote}", "number"),
        ("{function: regex, regex_pattern: [1]}", "number"),
        ("lowercase", "number"),
    ],
)
def test_a_filter_that_no_reader_matches_is_refused_unless_given_up(
    step: str, kind: AnswerKind
) -> None:
    path = task(f"{SUMS}filter_list: [{{name: mine, filter: [{step}]}}]\n", ROW | {"a": "2"})
    with pytest.raises(BadInputError, match=r"task\.yaml:7:filter_list: .*'mine'.*filters=ignore"):
        LmEval(path=path, answer_kind=kind)
    bench = LmEval(path=path, answer_kind=kind, filters="ignore")
    assert "filter_list: as asked" in bench.notes()[0]


def test_filters_that_change_nothing_pass() -> None:
    steps = "[{function: remove_whitespace}, {function: take_first}]"
    bench = LmEval(path=task(f"{SUMS}filter_list: [{{name: x, filter: {steps}}}]\n"))
    assert not any("filter" in note for note in bench.notes())


# --- what is refused


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        (SUMS + "process_docs: !function utils.f\n", ":7", "!function utils.f runs Python code"),
        (SUMS + "x: [1, {y: !function a.b}]\n", ":7", "!function a.b runs Python code"),
        (SUMS + "x: !!python/object/apply:os.system [ls]\n", ":7", "runs Python code"),
        (SUMS + "x: !mine {a: 1}\n", ":7", "!mine"),
        (SUMS + "process_docs: null\n", ":7:process_docs", "runs Python code on every row"),
        (SUMS + "unsafe_code: true\n", ":7:unsafe_code", "the model writes"),
        (SUMS + "group: [a, b]\n", ":7:group", "a group of tasks"),
        (SUMS + "output_type: loglikelihood\n", ":7:output_type", "cannot ask for loglikelihood"),
        (SUMS + "doc_to_txt: x\n", ":7:doc_to_txt", "did you mean doc_to_text?"),
        (SUMS + "task: again\n", ":7:task", "stands twice"),
        (SUMS + "include: none.yaml\n", ":7:include", "no such file"),
        (SUMS + "include: task.yaml\n", ":7:include", "includes itself"),
        (SUMS + "include: 3\n", ":7:include", "must be a path"),
        (SUMS + "fewshot_config: {samples: [1]}\n", ":7:fewshot_config", "a list of rows"),
        (SUMS + "fewshot_config: first_n\n", ":7:fewshot_config", "must be fields"),
        (SUMS + "a: [\n", ":8", "not YAML"),
        (SUMS + "a: {[]: 1}\n", ":7", "not YAML"),
        (SUMS + "? [1]\n: x\n", ":7", "not YAML"),
        ("- a\n", "", "not a task"),
        ("", "", "not a task"),
        ("[" * 400, "", "not YAML"),
        ("a: \x00\n", "", "not YAML"),
        (SUMS.replace("test_split: test\n", ""), ":test_split", "missing"),
        (SUMS.replace("test_split: test", "test_split: dev"), ":3", "no data_files of split 'dev'"),
        (SUMS.replace("rows.jsonl", "none.jsonl"), ":3", "no such file: none.jsonl"),
        (SUMS.replace("rows.jsonl", "http://x/rows.jsonl"), ":3", "not the path of one local file"),
        (SUMS.replace("{data_files:", "{trust_remote_code: true, a:"), ":3", "runs the data set's"),
        (SUMS.replace("{data_files:", "{field: x, data_files:"), ":3", "cannot honour field"),
        (SUMS.replace("path: json", "path: ./data"), ":2", "neither json, parquet"),
        (SUMS.replace("dataset_path: json\n", ""), ":dataset_path", "missing"),
        (SUMS.replace("{{q}}", "{{x}}"), ":5:doc_to_text", "rows.jsonl:1: 'x' is undefined"),
        (SUMS.replace("{{q}}", "{{q"), ":5:doc_to_text", "not a template"),
        (SUMS.replace("{{a}}", "{{a / 0}}"), ":6:doc_to_target", "ZeroDivisionError"),
        (SUMS.replace("{{q}}", "{{q.__class__.mro()}}"), ":5:doc_to_text", "unsafe"),
        (SUMS.replace("{{q}}", "{{range(10000000)}}"), ":5:doc_to_text", "Range too big"),
        (SUMS.replace('"{{a}}"', "[1]"), ":6:doc_to_target", "must be a template"),
        (SUMS.replace("{{a}}", "two"), "rows.jsonl:1", "'two' of it, which is no number"),
        (SUMS.replace('"Question: {{q}}\\nAnswer:"', "a"), "rows.jsonl:1", "no text of it"),
        (PICK + "doc_to_choice: c\ndoc_to_target: a\n", "rows.jsonl:1", "no choices of it"),
        (PICK + "doc_to_choice: [x]\ndoc_to_target: a\n", "rows.jsonl:1", "no choices of it"),
        (PICK + "doc_to_choice: [x, x]\ndoc_to_target: a\n", "rows.jsonl:1", "no choices of it"),
        (PICK + "doc_to_choice: [x, y]\ndoc_to_target: a\n", "rows.jsonl:1", "none of the choices"),
        (
            PICK + "doc_to_choice: [x, y]\ndoc_to_target: '{{ -1 }}'\n",
            "rows.jsonl:1",
            "none of the",
        ),
        (PICK + "doc_to_target: a\n", ":doc_to_choice", "must be a template"),
    ],
)
def test_a_bad_task_is_one_line_that_names_the_place(text: str, place: str, says: str) -> None:
    path = task(text)
    with pytest.raises(BadInputError) as caught:
        LmEval(path=path).problems()
    said = str(caught.value)
    assert said.startswith(place if place.startswith("rows") else f"task.yaml{place}"), said
    assert says in said
    assert "\n" not in said


def test_an_alias_bomb_is_read_in_no_time() -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 40)]
    with pytest.raises(BadInputError, match="a0: unknown field"):
        LmEval(path=task("\n".join(lines)))


def test_broken_bytes_and_no_file() -> None:
    Path("task.yaml").write_bytes(b"task: x\ntag: \xff\n")
    with pytest.raises(BadInputError, match=r"task\.yaml:2: not UTF-8"):
        LmEval(path=Path("task.yaml"))
    with pytest.raises(BadInputError, match=r"none\.yaml: no such file"):
        LmEval(path=Path("none.yaml"))


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ("answer_kind=choice", "must be number or text"),
        ("filters=no", "must be panel or ignore"),
        ("doc_to_txt=q", "did you mean doc_to_text"),
    ],
)
def test_a_bad_parameter_is_named(params: str, says: str) -> None:
    task(SUMS)
    with pytest.raises(CotkitError, match=says):
        load_benchmark(parse_spec(f"lm-eval:task.yaml,{params}"))


def test_without_a_yaml_parser_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(MissingDependencyError, match=r"cotkit\[lm-eval-tasks\]"):
        LmEval(path=task(SUMS))


def test_a_task_is_listed_and_named_without_a_path() -> None:
    done = CliRunner().invoke(app, ["compare", "--bench", "lm-eval", "--model", "simulated/7b"])
    assert "lm-eval needs path" in str(done.exception)
