"""Task files of lm-evaluation-harness as benchmarks: what is read, said, and refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from typer.testing import CliRunner

from cotkit.benchmarks import load_benchmark
from cotkit.benchmarks.lm_eval import LmEval
from cotkit.cli import app
from cotkit.errors import (
    BadInputError,
    CotkitError,
    MissingDataError,
    MissingDependencyError,
    UsageError,
)
from cotkit.registry import parse_spec
from cotkit.scoring import score_attempt
from cotkit.scoring.readers import read_lm_eval_flexible, read_lm_eval_strict
from cotkit.types import AnswerKind, Attempt, Problem

pytest.importorskip("yaml", reason="pip install 'cotkit[lm-eval-tasks]'")

HEAD = """\
task: mine
dataset_path: json
dataset_kwargs: {data_files: {test: rows.jsonl, train: train.jsonl}}
test_split: test
"""
SUMS = HEAD + 'doc_to_text: "Question: {{q}}\\nAnswer:"\ndoc_to_target: "{{a}}"\n'
PICK = HEAD + "output_type: multiple_choice\ndoc_to_text: q\n"
CASES = [
    json.loads(line)
    for line in (Path(__file__).parent / "cases/extract.jsonl").read_text("utf-8").splitlines()
]
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
metric_list:
  - metric: exact_match
    ignore_case: true
    ignore_punctuation: false
    regexes_to_ignore: [',', '\$', '(?s).*#### ', '\.$']
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
        "readers of the task's own: task:strict-match, task:flexible-extract; ",
        "num_fewshot: ",
        "metric_list: ",
        "generation_kwargs (until, max_gen_toks): ",
        "fewshot_config.sampler: ",
        "doc_to_text of task.yaml adds",
    ):
        assert said in notes
    assert "metadata" not in notes


# --- the task's own readers

FIRST = "{function: take_first}"
WORDS = r"{function: regex, regex_pattern: '(\w+) is (\w*)'}"


def filtered(steps: str, *texts: str, more: str = "") -> str | None:
    """What the one filter of a task reads of the samples of an attempt."""
    path = task(f"{SUMS}filter_list: [{{name: x, filter: [{steps}]}}]\n{more}", ROW)
    (problem,) = LmEval(path=path).problems()
    return problem.readers["task:x"].read(texts)


@pytest.mark.parametrize(
    ("step", "text", "expected", "why"),
    [
        (r"{function: regex}", "x #### 7 #### 9", "7", "the default pattern, the first match"),
        (r"{function: regex, regex_pattern: '\d+'}", "3 and 4", "3", "no group: the whole match"),
        (r"{function: regex, regex_pattern: '\d+', group_select: -1}", "3 and 4", "4", "the last"),
        (r"{function: regex, regex_pattern: '\d+', group_select: 1}", "3, 4, 5", "4", "the second"),
        (r"{function: regex, regex_pattern: '\d+', group_select: 5}", "3 and 4", None, "it ends"),
        (WORDS, "so it is four", "it", "group_select 0 is the first match, not the first group"),
        (r"{function: regex, regex_pattern: '(a)|(b)'}", "b", "b", "the first group not empty"),
        (r"{function: regex, regex_pattern: '(a?)(b?)c'}", "c", None, "all groups empty"),
        (r"{function: regex, regex_pattern: 'is (.*)'}", "it is  4 ", "4", "a match is stripped"),
        (r"{function: regex, regex_pattern: 'is (.+)'}", "<think>is 3</think>", "3</think>", "all"),
        (r"{function: regex}", "4", None, "[invalid]"),
        (r"{function: regex, fallback: '0'}", "none", "0", "a fallback can be right"),
        ("{function: remove_whitespace}", "  4 ", " 4 ", "one leading space only"),
        ("{function: lowercase}", "Four", "four", ""),
        ("{function: uppercase}", "Four", "FOUR", ""),
        ("", "Four\n", "Four\n", "all of the text, as it is"),
    ],
)  # fmt: skip
def test_a_filter_reads_as_lm_eval_does(step: str, text: str, expected: str, why: str) -> None:
    assert filtered(f"{step}, {FIRST}" if step else FIRST, text) == expected, why


IS = r"{function: regex, regex_pattern: 'is (\d+)'}"
VOTE = f"{IS}, {{function: majority_vote}}"


@pytest.mark.parametrize(
    ("steps", "texts", "expected", "why"),
    [
        (VOTE, ("is 1", "is 2", "is 2"), "2", "the commonest"),
        (VOTE, ("is 1", "is 2"), "1", "of equals the first"),
        (VOTE, ("is 1", "?", "hm"), None, "[invalid] votes, and wins"),
        (VOTE, ("is 2", "is 2.0", "is 02"), "2", "strings are counted: 02 is another"),
        (IS, ("is 1", "is 2", "is 2"), "2", "without a vote of its own, as the panel's readers"),
        (IS, ("is 1", "?", "hm"), "1", "where what is not read has no vote"),
        (IS, ("?", "hm"), None, "nothing read"),
        ("{function: take_first_k, k: 2}, " + VOTE, ("is 1", "is 2", "is 2"), "1", "two of three"),
        ("{function: take_first_k, k: 9}, " + VOTE, ("is 1", "is 2", "is 2"), "2", "all there are"),
    ],
)
def test_a_filter_votes_as_lm_eval_does(
    steps: str, texts: tuple[str, ...], expected: str, why: str
) -> None:
    assert filtered(f"{steps}, {FIRST}", *texts) == expected, why
    attempt = Attempt(
        text=texts[0],
        stop_reason="stop",
        drafts=tuple(Attempt(text=text, stop_reason="stop") for text in texts),
        is_vote=True,
    )
    (problem,) = LmEval(path=Path("task.yaml")).problems()
    score = score_attempt(attempt, problem)
    assert score.readings["task:x"].value == expected, "the panel gives it all samples"
    assert score.correct_by["task:x"] == (expected == "2")


@pytest.mark.parametrize(
    ("metric", "text", "target", "right", "why"),
    [
        ("", "18.00", "18", False, "strings are compared"),
        ("", "1200", "1,200", False, "the target as it is written"),
        ("regexes_to_ignore: [',']", "1,200", "1200", True, "taken out of both"),
        ("ignore_punctuation: true", "-7.5", "75", True, "signs and points are punctuation"),
        ("ignore_numbers: true", "7", "8", True, "nothing is left"),
        ("ignore_case: true", "A", "a", True, ""),
        ("ignore_case: false", "A", "a", False, ""),
        ("", "b", ["a", "b"], True, "any of several targets"),
    ],
)
def test_a_filter_compares_as_exact_match_does(
    metric: str, text: str, target: object, right: object, why: str
) -> None:
    metrics = f"metric_list: [{{metric: bleu}}, {{metric: exact_match, {metric}}}]\n"
    filters = f"filter_list: [{{name: x, filter: [{FIRST}]}}]\n"
    path = task(SUMS.replace('"{{a}}"', "a") + filters + metrics, ROW | {"a": target})
    (problem,) = LmEval(path=path, answer_kind="text").problems()
    score = score_attempt(Attempt(text=text, stop_reason="stop"), problem)
    assert score.correct_by["task:x"] is right, why


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["text"])[:30])
def test_the_filters_of_gsm8k_read_as_the_panel_does(case: dict[str, str]) -> None:
    """Two ways to the same reader: lm-eval's own task file, and our copy of what it does."""
    (problem,) = problems(SUMS + STRICT)
    question = problem.question
    ours = read_lm_eval_flexible(case["text"], question).value
    assert problem.readers["task:flexible-extract"].read((case["text"],)) == ours
    if "#### " not in case["text"]:  # gsm8k's own pattern, which the panel tries first
        ours = read_lm_eval_strict(case["text"], question).value
        assert problem.readers["task:strict-match"].read((case["text"],)) == ours


def test_a_run_can_be_decided_by_a_filter_of_the_task() -> None:
    task(SUMS + STRICT)
    run = ["compare", "--bench", "lm-eval:task.yaml", "--model", "simulated/7b", "--format", "json"]
    done = CliRunner().invoke(app, [*run, "--reader", "task:strict-match"])
    assert json.loads(done.stdout)["reader"] == "task:strict-match"
    for other in ("task:flexible-extract", "flexible", "strict"):
        assert f'"reader {other}"' in done.stdout
    wrong = CliRunner().invoke(app, [*run, "--reader", "task:strict"])
    assert "did you mean task:strict-match" in str(wrong.exception)


def test_a_filter_that_reads_nothing_of_our_prompts_is_left_out_of_the_verdict() -> None:
    steps = f"{{function: regex, regex_pattern: 'Result: (.*)'}}, {FIRST}"
    task(f"{SUMS}filter_list: [{{name: theirs, filter: [{steps}]}}]\n")
    run = ["compare", "--bench", "lm-eval:task.yaml", "--model", "simulated/7b", "--format", "json"]
    said = CliRunner().invoke(app, run).stdout
    assert '"reader strict"' in said
    assert '"reader task:theirs"' not in said
    assert "task:theirs; one that reads nothing is left out" in said


def test_an_attempt_that_was_refused_is_not_read() -> None:
    (problem,) = problems(SUMS + STRICT)
    score = score_attempt(Attempt(text="The answer is 2.", stop_reason="refusal"), problem)
    assert score.readings["task:strict-match"].rule == "refused"
    assert not any(score.correct_by.values())


def test_a_written_choice_is_compared_by_its_text() -> None:
    text = f"{HEAD}doc_to_text: q\ndoc_to_target: a\ndoc_to_choice: ['no', 'yes']\n"
    (problem,) = problems(text, {"q": "Q?", "a": 1}, answer_kind="text")
    assert (problem.gold, problem.question.choices) == ("yes", ()), "a written answer, no index"


@pytest.mark.parametrize(
    ("filters", "says"),
    [
        ("[{name: x, filter: [{function: regex}]}]", "'x' must end in take_first"),
        (f"[{{name: x, filter: [{FIRST}, {{function: regex}}]}}]", "must end in take_first"),
        (f"[{{name: x, filter: [{{function: multi_choice_regex}}, {FIRST}]}}]", "each row"),
        (f"[{{name: x, filter: [{{function: mine}}, {FIRST}]}}]", "mine of 'x' is not known here"),
        (f"[{{name: x, filter: [{{function: regex, regex_pattern: '('}}, {FIRST}]}}]", "regular"),
        (f"[{{name: x, filter: [{{function: regex, regex_pattern: [1]}}, {FIRST}]}}]", "[1]"),
        (f"[{{name: x, filter: [{{function: regex, group_select: a}}, {FIRST}]}}]", "is 'a'"),
        (f"[{{name: x, filter: [{{function: regex, group: 1}}, {FIRST}]}}]", "group of regex"),
        (f"[{{name: x, filter: [{{function: take_first_k, k: 0}}, {FIRST}]}}]", "needs k"),
        (f"[{{name: x, filter: [{{function: take_first_k}}, {FIRST}]}}]", "needs k"),
        ("[{name: x, filter: [lowercase]}]", "a step of 'x' must be {function: ...}"),
        ("[{name: x, filter: take_first}]", "must be a list of {name: ..., filter: [...]}"),
        (f"[{{filter: [{FIRST}]}}]", "must be a list of {name: ..., filter: [...]}"),
        (f"[{{name: x, filter: [{FIRST}]}}, {{name: x, filter: [{FIRST}]}}]", "stands there twice"),
    ],
)  # fmt: skip
def test_a_filter_that_cannot_be_read_is_refused_unless_given_up(filters: str, says: str) -> None:
    path = task(f"{SUMS}filter_list: {filters}\n")
    with pytest.raises(BadInputError) as caught:
        LmEval(path=path)
    assert str(caught.value).startswith("task.yaml:7:filter_list: ")
    assert says in str(caught.value)
    bench = LmEval(path=path, filters="ignore")
    assert "filter_list: as asked" in bench.notes()[0]
    assert not bench.problems()[0].readers


def test_a_filter_of_choices_is_refused() -> None:
    text = f"{PICK}doc_to_choice: [x, y]\ndoc_to_target: a\nfilter_list: [{{name: x, filter: []}}]"
    with pytest.raises(BadInputError, match=r"task\.yaml:9:filter_list: .*filters=ignore"):
        LmEval(path=task(text))


@pytest.mark.parametrize(
    ("option", "says"),
    [("ignore_case: 3", "ignore_case"), ("regexes_to_ignore: ['(']", "no regular expression")],
)
def test_a_bad_option_of_exact_match_names_the_field(option: str, says: str) -> None:
    metrics = f"metric_list: [{{metric: exact_match, {option}}}]\n"
    path = task(f"{SUMS}{metrics}filter_list: [{{name: x, filter: [{FIRST}]}}]\n")
    with pytest.raises(BadInputError, match=rf"task\.yaml:7:metric_list: .*{says}"):
        LmEval(path=path).problems()
    assert LmEval(path=task(f"{SUMS}{metrics}")).problems(), "nobody asks for it"


# --- what is refused


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        (SUMS + "x: [1, {y: !function a.b}]\n", ":7:x", "unknown field"),
        (SUMS + "process_docs: !function {a: 1}\n", ":7", "!function"),
        (SUMS + "x: !!python/object/apply:os.system [ls]\n", ":7", "runs Python code"),
        (SUMS + "x: !mine {a: 1}\n", ":7", "!mine"),
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
        (SUMS.replace("{{a}}", "so many"), "rows.jsonl:1", "'so many' of it, which is no number"),
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


# --- Python code of a task


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ("process_docs: !function utils.f", "process_docs"),
        ("process_results: !function utils.f", "process_results"),
        ("metric_list: [{metric: !function utils.f}]", "metric_list"),
        ("fewshot_config: {samples: !function utils.f}", "fewshot_config"),
        ("process_docs: utils.f", "process_docs"),
    ],
)
def test_code_of_a_task_is_not_run_unless_it_is_allowed(line: str, field: str) -> None:
    Path("utils.py").write_text("raise SystemExit('it was run')\n")
    bench = LmEval(path=task(f"{SUMS}{line}\n"))
    assert bench.runs_code
    with pytest.raises(UsageError, match=rf"task\.yaml:7:{field}: .*--confirm-run-unsafe-code"):
        bench.problems()
    with pytest.raises(UsageError, match="--confirm-run-unsafe-code"):
        bench.exemplar_pool()
    allowed = [] if sys.modules.get("lm_eval") else ["--confirm-run-unsafe-code"]
    for command in (["compare", "--model", "simulated/7b"], ["show", "prompt", "-s", "standard"]):
        done = CliRunner().invoke(app, [*command, "--bench", "lm-eval:task.yaml"])
        assert isinstance(done.exception, UsageError), done.exception
        assert done.exception.exit_code == 2
        done = CliRunner().invoke(app, [*command, "--bench", "lm-eval:task.yaml", *allowed])
        assert isinstance(done.exception, MissingDependencyError), done.exception


def test_a_field_for_code_that_holds_none_is_no_code() -> None:
    bench = LmEval(path=task(f"{SUMS}process_docs: null\n"))
    assert not bench.runs_code
    assert bench.problems()[0].gold == "2"


class FakeTask:
    """What cotkit uses of a task of lm-eval."""

    def __init__(self, **config: object) -> None:
        names = ("doc_to_text", "doc_to_target", "doc_to_choice", "validation_split")
        names += ("test_split", "training_split")
        self.config = SimpleNamespace(**(dict.fromkeys(names) | config))
        self.fewshot_cfg = SimpleNamespace(split=None, samples=None)
        self.eval_docs = [{"q": "Two?", "n": 2}, {"q": "Three?", "n": 3}]

    def doc_to_text(self, document: dict[str, object], template: object) -> object:
        print("noise of a task")  # noqa: T201  what tasks do
        return f"{template} {document['q']}"

    def doc_to_target(self, document: dict[str, int], template: object) -> object:
        return document["n"] if template else None

    def fewshot_docs(self) -> list[dict[str, object]]:
        return [{"q": "Four?", "n": "Count. #### 4"}]


def put_lm_eval(monkeypatch: pytest.MonkeyPatch, made: FakeTask | Exception) -> None:
    """Puts a stand-in of lm-eval where it would be installed."""

    class TaskManager:
        def __init__(self, *, include_defaults: bool) -> None:
            assert not include_defaults, "to read thousands of files takes seconds"

        def load(self, path: str) -> dict[str, dict[str, FakeTask]]:
            if isinstance(made, Exception):
                raise made
            return {"tasks": {path: made}}

    monkeypatch.setitem(sys.modules, "lm_eval", ModuleType("lm_eval"))
    tasks = ModuleType("lm_eval.tasks")
    tasks.TaskManager = TaskManager  # pyright: ignore[reportAttributeAccessIssue]  # a stand-in
    monkeypatch.setitem(sys.modules, "lm_eval.tasks", tasks)


CODE = SUMS + "process_docs: !function utils.f\ntraining_split: train\n"


def test_lm_eval_makes_the_rows_of_a_task_with_code(monkeypatch: pytest.MonkeyPatch) -> None:
    splits = {"test_split": "test", "training_split": "train"}
    put_lm_eval(monkeypatch, FakeTask(doc_to_text="Ask:", doc_to_target="n", **splits))
    bench = LmEval(path=task(CODE)).allow_code()
    assert [(p.question.text, p.gold) for p in bench.problems()] == [
        ("Ask: Two?", "2"),
        ("Ask: Three?", "3"),
    ]
    assert [(p.gold, p.rationale) for p in bench.exemplar_pool()] == [("4", "Count.")]
    assert any("made by lm-eval" in note for note in bench.notes())
    run = ["compare", "--bench", "lm-eval:task.yaml", "--model", "simulated/7b", "--format", "json"]
    done = CliRunner().invoke(app, [*run, "-s", "zero-shot-cot", "--confirm-run-unsafe-code"])
    assert done.exit_code == 0, done.exception
    run_id = json.loads(done.stdout)["run_id"]  # what a task prints is no part of the report
    again = CliRunner().invoke(app, ["report", run_id])
    assert "--trust-code" in str(again.exception), "a stored run may be a stranger's"
    again = CliRunner().invoke(app, ["report", run_id, "--trust-code"])
    assert again.exit_code == 0, again.exception


@pytest.mark.parametrize(
    ("fault", "kind", "says"),
    [
        (ConnectionError("no such\nset"), MissingDataError, "cannot be had: no such"),
        (ZeroDivisionError(), BadInputError, "task.yaml: .*ZeroDivisionError"),
        (AttributeError("load"), BadInputError, "AttributeError: load"),
    ],
)
def test_what_fails_in_lm_eval_is_one_line(
    monkeypatch: pytest.MonkeyPatch, fault: Exception, kind: type[CotkitError], says: str
) -> None:
    put_lm_eval(monkeypatch, fault)
    with pytest.raises(kind, match=says) as caught:
        LmEval(path=task(CODE)).allow_code().problems()
    assert "\n" not in str(caught.value)


def test_an_alias_bomb_is_read_in_no_time() -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 40)]
    with pytest.raises(BadInputError, match=r"task\.yaml:14: more than 20,000 values"):
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
        ("answer_kind=choice", "must be number, text or expression"),
        ("filters=no", "must be read or ignore"),
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
