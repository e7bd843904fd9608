"""Exemplars: our own sets are right, nothing is written twice over, selectors choose alike."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

import cotkit
from cotkit.benchmarks import load_benchmark, make_exemplar
from cotkit.errors import UsageError
from cotkit.prompting import exemplar_sets, read_exemplars, read_locked, read_multilingual
from cotkit.protocols import Benchmark
from cotkit.registry import parse_spec
from cotkit.run import RunSpec, make_plan
from cotkit.run.forecast import start_without_gold
from cotkit.store import Store, place_of
from cotkit.types import AnswerKind, Problem, Question, Request


def sets() -> dict[str, int]:
    return {
        name: len(read_locked(f"exemplars.{name}.v1.jsonl").splitlines())
        for name in exemplar_sets()
    }


def test_there_are_eight_of_each_set_and_ten_languages() -> None:
    counts = sets()
    assert counts.pop("multilingual") == 10
    assert set(counts.values()) == {8}
    assert counts.keys() == {
        *("choices", "coins", "commonsense", "competition", "dates", "letters", "math"),
        *("sports", "symbolic", "tracking", "yes-no"),
    }


@pytest.mark.parametrize(
    ("question", "rationale", "answer", "expected"),
    [
        ("Frage: Wie viele?", "Antwort: Es sind 5 + 6 = 11. Die Antwort ist 11.", "11", "Es sind"),
        ("問題：いくつ？", "答え：5 + 6 = 11。答えは11です。", "11", "5"),
        ("โจทย์: กี่ผล", "คำตอบ: 5 + 6 = 11 คำตอบคือ 11", "11", "5"),
        ("¿Cuántos?", "Bajan 15, así que quedan 40 - 15 = 25.", "25", "Bajan"),
    ],
)
def test_words_around_an_answer_go_in_any_language(
    question: str, rationale: str, answer: str, expected: str
) -> None:
    asked = Question(id="x", text=question, language="de")
    exemplar = make_exemplar(Problem(question=asked, gold=answer, rationale=rationale))
    assert exemplar.language == "de"
    assert ":" not in exemplar.question
    assert "：" not in exemplar.question
    assert exemplar.rationale.startswith(expected)
    assert exemplar.rationale.rstrip(".。").endswith(f"= {answer}"), "no more, no less"


@pytest.mark.parametrize("k", [1, 2, 10])
def test_exemplars_of_several_languages_begin_with_that_of_the_question(k: int) -> None:
    exemplars = read_multilingual(k, "sw")
    assert (len(exemplars), exemplars[0].language) == (k, "sw")
    assert len({exemplar.language for exemplar in exemplars}) == k
    for exemplar in exemplars:
        asked = Question(id="x", text=exemplar.question, language=exemplar.language)
        problem = Problem(question=asked, gold=exemplar.answer, rationale=exemplar.rationale)
        assert make_exemplar(problem) == exemplar, "something in it would be written twice"
    plain = [replace(exemplar, language=None) for exemplar in read_multilingual(10, "de")]
    assert tuple(plain) == read_exemplars(10, domain="multilingual"), "version 1, and its languages"


@pytest.mark.parametrize("name", sets())
def test_our_exemplars_are_worked_and_end_before_the_answer(name: str) -> None:
    exemplars = read_exemplars(sets()[name], domain=name)
    assert len({exemplar.question for exemplar in exemplars}) == len(exemplars)
    for exemplar in exemplars:
        problem = Problem(
            question=Question(id="x", text=exemplar.question),
            gold=exemplar.answer,
            rationale=exemplar.rationale,
        )
        assert make_exemplar(problem) == exemplar, "something in it would be written twice"
        options = re.findall(r"^\([A-H]\) (.*)$", exemplar.question, re.MULTILINE)
        assert not options or exemplar.answer in options
        for left, right in re.findall(
            r"(?<![$\d.\\])(\d[\d +*/()-]*) = (\d+)(?![\d.^\\])", exemplar.rationale
        ):
            if re.fullmatch(r"[\d +*/()-]*[+*/-][\d +*/()-]*", left) and name != "competition":
                assert eval(left) == int(right), left
    if name == "letters":
        for exemplar in exemplars:
            words = re.findall(r'"(.*)"', exemplar.question)[0].split()
            assert exemplar.answer == "".join(word[-1] for word in words)
    if name == "coins":
        for exemplar in exemplars:
            n_flips = exemplar.question.count(" flips the coin.")
            assert exemplar.answer == ("no" if n_flips % 2 else "yes")


def test_our_exemplars_of_swaps_keep_track() -> None:
    for exemplar in read_exemplars(8, domain="tracking"):
        states = [state.split(": ")[1] for state in exemplar.rationale[:-1].split(". ")]
        held = [dict(pair.split() for pair in state.split(", ")) for state in states]
        swaps = re.findall(r"(\w+) and (\w+) swap", exemplar.rationale)
        assert len(held) == len(swaps) + 1
        for (one, other), before, after in zip(swaps, held, held[1:], strict=False):
            assert after == before | {one: before[other], other: before[one]}
        (asked,) = {name for name in held[0] if f" {name}" in exemplar.question.split(". ")[-1]}
        assert exemplar.answer == held[-1][asked]


@pytest.mark.parametrize(
    ("rationale", "answer", "clean"),
    [
        ("2 + 2 = 4. So the answer is (D).", "(D)", "2 + 2 = 4."),
        ("not False is True. So", "True", "not False is True."),
        ("It is 3.  Then 4.\nThe answer is 4.", "4", "It is 3. Then 4."),
        ("A: Let's think step by step. It is 3. The answer is (C).", "C", "It is 3."),
        ("Step-by-Step Answer: 1 + 1 = 2. The answer is 2.", "2", "1 + 1 = 2."),
        ("He has 3 left.\n#### 3", "3", "He has 3 left."),
        ("Ana is so tall. Answer: B", "B", "Ana is so tall."),
        ("The answer is often in the first line, as the teacher says. It is 5.", "5", None),
        ("Also, 3 is odd.", "yes", None),
    ],
)
def test_what_prompts_write_is_taken_off(rationale: str, answer: str, clean: str | None) -> None:
    problem = Problem(question=Question(id="x", text="Why?"), gold=answer, rationale=rationale)
    assert make_exemplar(problem).rationale == (clean or rationale)
    stop = Problem(question=Question(id="x", text="a  b"), gold="It rains.", rationale="x.")
    assert (make_exemplar(stop).answer, make_exemplar(stop).question) == ("It rains", "a b")


@dataclass(frozen=True, kw_only=True)
class Animals:
    """Problems about animals, and a pool about the same ones and others."""

    name: str = "animals"
    version: str = "1"
    answer_kind: AnswerKind = "number"

    def problems(self) -> Sequence[Problem]:
        return [_animal(f"How many legs have {n} {kind}?", n, 1) for n, kind in _KINDS]

    def exemplar_pool(self) -> Sequence[Problem]:
        pool = [_animal(f"How many eyes have {n} {kind}?", n, n) for n, kind in _KINDS]
        return [*pool, _animal("What is the sum of two primes?", 5, 9)]


_KINDS = [(2, "hens"), (3, "cows"), (4, "frogs"), (5, "bees")]


def _animal(text: str, n: int, n_sentences: int) -> Problem:
    rationale = " ".join(["It is so."] * n_sentences)
    return Problem(question=Question(id=text, text=text), gold=str(n), rationale=rationale)


def questions_shown(bench: Benchmark, exemplars: str, arm: str, place: int) -> list[str]:
    spec = RunSpec(model="none", strategies=("cot",), exemplars=exemplars)
    plan = make_plan(spec, bench)
    step = next(
        start_without_gold(
            next(each for each in plan.arms if each.name == arm), plan.problems[place].question
        )
    )
    assert isinstance(step, Request)
    return re.findall(r"^Q: (.*)$", step.messages[0].content, re.MULTILINE)[:-1]


def test_similar_exemplars_are_of_the_question_and_the_same_in_arm_and_control() -> None:
    bench = Animals()
    for place, (n, kind) in enumerate(_KINDS):
        questions = questions_shown(bench, "similar:2", "cot", place)
        assert questions[-1] == f"How many eyes have {n} {kind}?"
        assert len(questions) == 2
        assert questions == questions_shown(bench, "similar:2", "few-shot", place)
    plans = [
        make_plan(RunSpec(model="none", strategies=("cot",), exemplars=text), bench)
        for text in ("similar:2", "similar:3")
    ]
    selectors = [plan.arms[0].selector for plan in plans]
    assert selectors[0] != selectors[1]
    assert all(arm.selector == selectors[0] for arm in plans[0].arms)
    assert json.dumps([arm.selector is not None for arm in plans[0].arms]) == "[true, true]"


def test_complex_exemplars_have_the_most_steps() -> None:
    shown = questions_shown(Animals(), "complex:2", "cot", 0)
    assert shown == ["What is the sum of two primes?", "How many eyes have 5 bees?"]


@pytest.mark.parametrize(
    ("exemplars", "says"),
    [
        ("similar:6", "6 exemplars asked, 5 can be drawn"),
        ("complex:6", "6 exemplars asked, 5 can be drawn"),
        ("dates:9", "9 dates exemplars asked, there are 1 to 8"),
        ("datse:2", "unknown exemplars 'datse'"),
        ("similar", "cannot read exemplars 'similar'"),
        ("similar:0", "cannot read exemplars"),
    ],
)
def test_more_than_can_be_had_is_one_line(exemplars: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        questions_shown(Animals(), exemplars, "cot", 0)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_set_of_one_split_keeps_those_back_among_which_similar_ones_are() -> None:
    bench = load_benchmark(parse_spec("gsm-mini"))
    plan = make_plan(
        RunSpec(model="none", strategies=("cot",), exemplars="similar:2", limit="all"), bench
    )
    selector = plan.arms[0].selector
    assert selector is not None
    evaluated = {problem.question.text for problem in plan.problems}
    assert len(plan.problems) < len(bench.problems())
    assert not evaluated & {exemplar.question for exemplar in selector.pool}


@pytest.mark.parametrize("bench", ["gsm-mini", "arithmetic:steps=1-3"])
def test_auto_exemplars_are_chains_of_a_stored_run(
    bench: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COTKIT_CACHE_DIR", str(tmp_path / "cache"))
    comparison, again = (
        cotkit.compare(
            "simulated/70b", "cot", bench=bench, limit=5, exemplars="auto:3", log_dir=tmp_path
        )
        for _ in range(2)
    )
    (file,) = (tmp_path / "cache" / "exemplars").glob("auto-*.jsonl")
    with Store(place_of(tmp_path)) as store:
        runs = {run.id: json.loads(run.spec) for run in store.runs()}
        content = store.run_content(comparison.run_id)
    run_id = file.stem.removeprefix("auto-")
    assert runs.keys() == {comparison.run_id, run_id}, "the second time nothing new is run"
    assert runs[run_id]["strategies"] == ["zero-shot-cot"]
    assert content["exemplars_of_run"] == run_id
    assert any(run_id in note and "generated tokens" in note for note in comparison.notes)
    assert again.run_id == comparison.run_id
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    assert len(rows) == 3
    arms = content["arms"]
    shown = arms["cot"]["fields"]["exemplars"]
    assert {row["question"] for row in rows} == {exemplar["question"] for exemplar in shown}
    assert shown == arms["few-shot"]["fields"]["exemplars"]


def test_auto_exemplars_are_never_evaluated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COTKIT_CACHE_DIR", str(tmp_path / "cache"))
    comparison = cotkit.compare(
        "simulated/70b", "cot", bench="gsm-mini", limit="all", exemplars="auto:2", log_dir=tmp_path
    )
    assert comparison.n_problems == 150 - 4 * 2
    with pytest.raises(UsageError, match="cannot read exemplars 'auto:x'"):
        cotkit.compare("simulated/70b", "cot", exemplars="auto:x", log_dir=tmp_path)
    with pytest.raises(UsageError, match="a run has to make them first"):
        questions_shown(Animals(), "auto:2", "cot", 0)
