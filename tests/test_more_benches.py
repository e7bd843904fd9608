"""BBH, SVAMP, GSM-Symbolic, GSM8K-Platinum, MMLU and WiC: small files of the same schema."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import sys
import types
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from cotkit.benchmarks import gsm8k, load_benchmark
from cotkit.benchmarks.bbh import Bbh
from cotkit.benchmarks.svamp import Svamp
from cotkit.errors import (
    BadInputError,
    CotkitError,
    MissingDataError,
    MissingDependencyError,
    UsageError,
)
from cotkit.protocols import Benchmark
from cotkit.registry import parse_spec
from cotkit.run import RunSpec, make_plan
from cotkit.run.forecast import start_without_gold


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data folder, and a hub that is switched off."""
    monkeypatch.setenv("COTKIT_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("COTKIT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    return tmp_path


def put(home: Path, name: str, content: object) -> Path:
    path = home / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if name.endswith(".jsonl") and isinstance(content, list):
        path.write_text("".join(f"{json.dumps(row)}\n" for row in content), encoding="utf-8")
    else:
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


def bench(spec: str) -> Benchmark:
    return load_benchmark(parse_spec(spec))


# --- BBH

DATES = "When is the day after 1 May?\nOptions:\n(A) 2 May\n(B) 30 April"


@pytest.mark.parametrize(
    ("rows", "kind", "golds", "choices"),
    [
        ([("1 + 1 =", "2"), ("1 - 3 =", "-2")], "number", ["2", "-2"], ()),
        ([("not True is", "False"), ("True is", "True")], "choice", ["False", "True"], None),
        ([("Is it?", "Yes")], "choice", ["Yes"], ("Yes", "No")),
        ([("Is it?\nOptions:\n- Yes\n- No", "No")], "choice", ["No"], ("Yes", "No")),
        ([(DATES, "(A)"), (DATES, "(B)")], "choice", ["2 May", "30 April"], None),
        ([(DATES, "(A)"), (DATES, "30 April")], "choice", ["2 May", "30 April"], None),
        ([("Sort: b a", "a b"), ("Sort: 2 1", "1 2")], "text", ["a b", "1 2"], ()),
        ([("Sort: b a", "a b"), ("How many?", "2")], "text", ["a b", "2"], ()),
    ],
)
def test_bbh_kinds_follow_the_targets(
    home: Path,
    rows: list[tuple[str, str]],
    kind: str,
    golds: list[str],
    choices: tuple[str, ...] | None,
) -> None:
    put(home, "bbh/t.json", {"examples": [{"input": i, "target": t} for i, t in rows]})
    found = bench("bbh:t").problems()
    assert bench("bbh:t").answer_kind == kind
    assert [p.gold for p in found] == golds
    assert [p.question.id for p in found] == [f"bbh/t/{n}" for n in range(len(rows))]
    assert all("Options" not in p.question.text for p in found), "prompts show the choices"
    if choices is not None:
        assert {p.question.choices for p in found} == {choices}


@pytest.mark.parametrize(
    ("task", "exemplars"),
    [
        ("date_understanding", "dates"),
        ("sports_understanding", "sports"),
        ("tracking_shuffled_objects_three_objects", "tracking"),
    ],
)
def test_where_chains_are_shown_some_tasks_of_bbh_have_exemplars_of_ours(
    home: Path, task: str, exemplars: str
) -> None:
    rows = [{"input": f"Is {i} odd?\nOptions:\n(A) x\n(B) y", "target": "(A)"} for i in range(9)]
    put(home, f"bbh/{task}.json", {"examples": rows})
    ours = ask_first(f"bbh:{task}", "cot", "builtin:8")
    assert ours == ask_first(f"bbh:{task}", "cot", f"{exemplars}:8")
    bare = ask_first(f"bbh:{task}", "few-shot", "builtin:4")
    assert bare == ask_first(f"bbh:{task}", "few-shot", "rest:4"), "as they are without chains"


def test_other_tasks_of_bbh_have_no_chains_to_show(home: Path) -> None:
    rows = [{"input": f"Is {i} odd?\nOptions:\n(A) x\n(B) y", "target": "(A)"} for i in range(9)]
    put(home, "bbh/snarks.json", {"examples": rows})
    with pytest.raises(UsageError, match="0 can be drawn"):
        ask_first("bbh:snarks", "cot", "builtin:4")


def ask_first(name: str, strategy: str, exemplars: str) -> list[object]:
    spec = RunSpec(model="none", strategies=(strategy,), bench=name, exemplars=exemplars, limit=2)
    plan = make_plan(spec, bench(name))
    return [next(start_without_gold(arm, plan.problems[0].question)) for arm in plan.arms]


@pytest.mark.parametrize(
    ("example", "says"),
    [
        ({"input": DATES, "target": "(C)"}, "examples[0].target: '(C)' is none"),
        ({"input": "When?", "target": "(A)"}, "examples[0].input: cannot read its options"),
        (
            {"input": "?\nOptions:\n(A) x\n(C) y", "target": "(A)"},
            "examples[0].input: options are lettered AC",
        ),
        (
            {"input": "?\nOptions:\n(A) x\n(B) x", "target": "(A)"},
            "examples[0].input: two options are the same",
        ),
        ({"input": "Close: ( [", "target": "] )"}, "examples[0].target: only punctuation"),
        ({"input": "?"}, "examples[0].target: missing"),
        ({"input": "?", "target": 5}, "examples[0].target: must be text"),
    ],
)
def test_bad_bbh(home: Path, example: object, says: str) -> None:
    put(home, "bbh/t.json", {"examples": [example]})
    with pytest.raises(BadInputError) as caught:
        bench("bbh:t").problems()
    assert says in str(caught.value)


# --- SVAMP

STORY: dict[str, Any] = {
    "ID": "chal-1",
    "Body": "Ann has 5 red pens and 4 blue pens",
    "Question": "How many pens has she?",
    "Equation": "( 5.0 + ( 2.0 * 2.0 ) )",
    "Answer": 9.0,
    "Type": "Addition",
}


def test_svamp(home: Path) -> None:
    later = {
        **STORY,
        "ID": "chal-2",
        "Body": "Ann has 0.5 cakes.",
        "Answer": 0.5,
        "Equation": "0.5",
    }
    put(home, "svamp/SVAMP.json", [STORY, later])
    first, second = bench("svamp").problems()
    assert first.question.id == "svamp/chal-1"
    assert first.question.text == "Ann has 5 red pens and 4 blue pens. How many pens has she?"
    assert (first.gold, first.n_steps, first.tags) == ("9", 2, {"type": "Addition"})
    assert second.question.text == "Ann has 0.5 cakes. How many pens has she?"
    assert (second.gold, second.n_steps) == ("0.5", None)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ([{**STORY, "Answer": "many"}], "examples[0].Answer: cannot read 'many'"),
        ([{**STORY, "Answer": None}], "examples[0].Answer: cannot read None"),
        ([{**STORY, "Answer": True}], "examples[0].Answer: cannot read True"),
        ([STORY, {**STORY, "Body": ""}], "examples[1].Body: empty"),
        ([STORY, STORY], ":ID: two items have one ID"),
        ([], "no examples"),
        ("text", "no examples"),
    ],
)
def test_bad_svamp(home: Path, content: object, says: str) -> None:
    put(home, "svamp/SVAMP.json", content)
    with pytest.raises(BadInputError) as caught:
        bench("svamp").problems()
    assert says in str(caught.value)


# --- GSM-Symbolic


def fake_gym(monkeypatch: pytest.MonkeyPatch, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A generator that gives these items; what it was asked for."""
    asked: list[dict[str, Any]] = []

    class Drawn(list[dict[str, Any]]):
        task_indices = (7, 7, 3)

    def create_dataset(name: str, **given: object) -> Drawn:
        asked.append({"name": name, **given})
        return Drawn(items)

    fake: Any = types.ModuleType("reasoning_gym")
    fake.create_dataset = create_dataset
    monkeypatch.setitem(sys.modules, "reasoning_gym", fake)
    return asked


MADE = {
    "question": "2 hens lay 3 eggs each. How many? Give the result as your final answer. "
    "Do not include units.",
    "answer": "6",
    "metadata": {"answer_cot": "2 x 3 = 6 eggs.\n#### 6"},
}


def test_gsm_symbolic(monkeypatch: pytest.MonkeyPatch) -> None:
    other = {**MADE, "question": "Owed?", "answer": "1,200", "metadata": {}}
    asked = fake_gym(monkeypatch, [MADE, MADE, other])
    first, second = bench("gsm-symbolic:seed=41,n=3").problems()
    assert asked == [{"name": "gsm_symbolic", "seed": 41, "size": 3}]
    assert first.question.text == "2 hens lay 3 eggs each. How many?", "prompts say the rest"
    assert (first.gold, first.rationale) == ("6", "2 x 3 = 6 eggs.")
    assert first.question.id == "gsm-symbolic/seed41-n3/00000", "the repeat is left out"
    assert [p.cluster for p in (first, second)] == ["gsm-symbolic/7", "gsm-symbolic/3"]
    assert (second.gold, second.rationale) == ("1200", None)


def test_gsm_symbolic_of_another_release(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_gym(monkeypatch, [{"text": "?"}] * 3)
    with pytest.raises(MissingDataError, match="cannot read"):
        bench("gsm-symbolic:seed=42,n=3").problems()


def test_gsm_symbolic_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "reasoning_gym", None)
    with pytest.raises(MissingDependencyError, match=r"cotkit\[reasoning-gym\]"):
        bench("gsm-symbolic:seed=43").problems()

    def missing(_: str) -> str:
        raise importlib.metadata.PackageNotFoundError

    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(MissingDependencyError):
        _ = bench("gsm-symbolic").version


def test_gsm_symbolic_for_real() -> None:
    pytest.importorskip("reasoning_gym", reason="needs the extra reasoning-gym")
    found = bench("gsm-symbolic:n=60").problems()
    assert 50 <= len(found) <= 60
    assert len({p.cluster for p in found}) > 20
    assert found == bench("gsm-symbolic:n=60").problems()


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        ("gym:chain_sum,n=20,max_terms=4", "number"),
        ("gym:chain-sum,n=20,difficulty=2", "number"),
        ("gym:countdown,n=5", "text"),
    ],
)
def test_a_generator_of_gym_for_real(spec: str, kind: str) -> None:
    pytest.importorskip("reasoning_gym", reason="needs the extra gym")
    problems = bench(spec).problems()
    assert (bench(spec).answer_kind, len(problems)) == (kind, 5 if "n=5" in spec else 20)
    assert problems == bench(spec).problems()
    pool = {p.question.text for p in bench(spec).exemplar_pool()}
    assert pool
    assert pool.isdisjoint(p.question.text for p in problems)
    for problem in problems:
        reader = problem.readers["gym"]
        assert reader.read((f"So. The answer is {problem.gold}.",)) == problem.gold
        assert reader.is_correct(problem.gold)
        assert not reader.is_correct("-123454321"), "the generator's own scorer"


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("gym:chain_sm", "did you mean chain_sum"),
        ("gym:chain_sum,max_term=3", "did you mean max_terms"),
        ("gym:chain_sum,max_terms=0", "max_terms must be >= min_terms"),
        ("gym:chain_sum,difficulty=99", "must be 0 to "),
        ("gym:chain_sum,n=0", "must be 1 to 10000"),
    ],
)
def test_a_generator_that_cannot_be_had_is_one_line(spec: str, says: str) -> None:
    pytest.importorskip("reasoning_gym", reason="needs the extra gym")
    with pytest.raises(UsageError, match=says):
        bench(spec)


# --- splits of the hub

QUIZ = {"question": "2 + 2?", "subject": "sums", "choices": ["1", "4", "5", "6"], "answer": 1}
WORD = {"word": "bank", "sentence1": "A river bank. ", "sentence2": "A bank loan.", "label": 0}


@pytest.mark.parametrize(
    ("spec", "file", "row", "gold"),
    [
        ("mmlu", "mmlu/test.jsonl", QUIZ, "4"),
        ("mmlu:sums", "mmlu/sums_test.jsonl", {**QUIZ, "answer": 2.0}, "5"),
        ("wic", "wic/validation.jsonl", WORD, "no"),
        ("wic", "wic/validation.jsonl", {**WORD, "label": True}, "yes"),
    ],
)
def test_hub_sets_from_a_file(
    home: Path, spec: str, file: str, row: dict[str, Any], gold: str
) -> None:
    put(home, file, [row])
    found = bench(spec)
    (problem,) = found.problems()
    wanted = "wic/validation/0" if spec == "wic" else "mmlu/test/sums/0"
    assert (problem.gold, problem.question.id) == (gold, wanted)
    assert problem.question.answer_kind == found.answer_kind == "choice"
    assert hashlib.sha256((home / file).read_bytes()).hexdigest()[:12] in found.version


def test_mmlu_counts_by_subject_and_wic_shows_both_sentences(home: Path) -> None:
    put(home, "mmlu/test.jsonl", [QUIZ, {**QUIZ, "subject": "law"}, QUIZ])
    ids = [p.question.id for p in bench("mmlu").problems()]
    assert ids == ["mmlu/test/sums/0", "mmlu/test/law/0", "mmlu/test/sums/1"]
    put(home, "wic/train.jsonl", [WORD])
    (problem,) = bench("wic").exemplar_pool()
    assert problem.question.text.endswith("\n1. A river bank.\n2. A bank loan.")
    assert problem.cluster == "wic/bank"


@pytest.mark.parametrize(
    ("spec", "file", "row", "says"),
    [
        ("mmlu", "mmlu/test.jsonl", {**QUIZ, "answer": 4}, ":1:answer: must be 0"),
        ("mmlu", "mmlu/test.jsonl", {**QUIZ, "answer": True}, ":1:answer: must be 0"),
        ("mmlu", "mmlu/test.jsonl", {**QUIZ, "choices": ["1"]}, ":1:choices: must be four"),
        ("mmlu", "mmlu/test.jsonl", {**QUIZ, "choices": ["1"] * 4}, ":1:choices: two"),
        ("mmlu", "mmlu/test.jsonl", {**QUIZ, "question": ""}, ":1:question: empty"),
        ("wic", "wic/validation.jsonl", {**WORD, "label": -1}, ":1:label: must be 1"),
        ("wic", "wic/validation.jsonl", {"word": "x"}, ":1:label: must be 1"),
    ],
)
def test_bad_rows(home: Path, spec: str, file: str, row: object, says: str) -> None:
    put(home, file, [row])
    with pytest.raises(BadInputError) as caught:
        bench(spec).problems()
    assert says in str(caught.value)


def test_a_parquet_file_needs_pyarrow(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(home, "mmlu/test.parquet", b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingDependencyError, match=r"cotkit\[data\]"):
        bench("mmlu").problems()


def test_a_parquet_file(home: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="needs pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow")
    path = put(home, "mmlu/test.parquet", b"no")
    with pytest.raises(BadInputError, match="not parquet"):
        bench("mmlu").problems()
    parquet.write_table(pyarrow.Table.from_pylist([QUIZ]), path)
    assert bench("mmlu").problems()[0].gold == "4"


@pytest.mark.parametrize(
    ("spec", "tried"),
    [
        ("mmlu", ["pip install 'cotkit[data]'", "$COTKIT_DATA_DIR/mmlu/ as test.jsonl"]),
        ("wic", ["$COTKIT_DATA_DIR/wic/ as validation.jsonl", "cotkit list benches"]),
        ("gsm8k-platinum", ["test.jsonl"]),
        ("bbh:snarks", ["$COTKIT_DATA_DIR/bbh/ as snarks.jsonl"]),
        ("svamp", ["svamp/SVAMP.json"]),
    ],
)
def test_missing_data_says_what_was_tried(home: Path, spec: str, tried: list[str]) -> None:
    with pytest.raises(MissingDataError) as caught:
        bench(spec).problems()
    for words in tried:
        assert words in str(caught.value)
    assert "\n" not in str(caught.value)


# --- GSM8K-Platinum


def test_platinum_has_the_ids_of_gsm8k(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        {"question": "Hens?", "answer": "1+1=<<1+1=2>>2\n#### 2"},
        {"question": "Eggs?", "answer": "Three.\n#### 3"},
        {"question": "Cows?", "answer": "#### 9"},
    ]
    path = put(home, "gsm8k/test.jsonl", rows)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(gsm8k, "_SHA256", {"test": digest, "train": digest})
    put(
        home,
        "gsm8k-platinum/test.jsonl",
        [
            {"question": "Eggs?", "answer": "#### 4", "cleaning_status": "revised"},
            {"question": "Hens?", "answer": "#### 2", "cleaning_status": "consensus"},
        ],
    )
    eggs, hens = bench("gsm8k-platinum").problems()
    assert [p.question.id for p in (eggs, hens)] == ["gsm8k/test/1", "gsm8k/test/0"]
    assert (eggs.gold, eggs.rationale, eggs.tags) == ("4", None, {"cleaning_status": "revised"})
    assert (hens.gold, hens.rationale, hens.n_steps) == ("2", "1+1=2", 1)
    put(home, "gsm8k-platinum/test.jsonl", [{"question": "Pigs?", "answer": "#### 1"}])
    with pytest.raises(BadInputError, match="1:question: is no question of GSM8K"):
        bench("gsm8k-platinum").problems()


@pytest.mark.parametrize("spec", ["bbh:../x", "mmlu:A.b", "gsm-symbolic:n=0", "bbh:t,mode=choice"])
def test_bad_specs_are_one_line(spec: str) -> None:
    with pytest.raises(CotkitError) as caught:
        bench(spec)
    assert "\n" not in str(caught.value)


# --- the real files

DATA = Path(os.environ.get("COTKIT_DATA_DIR", "-"))


@pytest.mark.skipif(not (DATA / "bbh").is_dir(), reason="needs BBH: set COTKIT_DATA_DIR")
@pytest.mark.parametrize(
    ("task", "kind"),
    [
        ("multistep_arithmetic_two", "number"),
        ("object_counting", "number"),
        ("boolean_expressions", "choice"),
        ("date_understanding", "choice"),
    ],
)
def test_bbh_facts(task: str, kind: str) -> None:
    found = Bbh(task=task).problems()
    assert (Bbh(task=task).answer_kind, len(found)) == (kind, 250)


@pytest.mark.skipif(not (DATA / "svamp").is_dir(), reason="needs SVAMP: set COTKIT_DATA_DIR")
def test_svamp_facts() -> None:
    found = Svamp().problems()
    assert len(found) == 1000
    assert Counter(p.n_steps for p in found) == {1: 762, 2: 237, None: 1}
    assert all(int(p.gold) >= 0 for p in found), "whole numbers, none negative"
