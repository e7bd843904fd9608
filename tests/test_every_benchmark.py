"""An oracle and a guesser on every benchmark; generated sets; exemplars kept back of one split."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import cotkit
from cotkit.benchmarks import gsm8k, load_benchmark
from cotkit.benchmarks.coin_flips import CoinFlips
from cotkit.benchmarks.last_letters import LastLetters
from cotkit.cli import app
from cotkit.errors import UsageError
from cotkit.interop.inspect_ import samples
from cotkit.protocols import Benchmark
from cotkit.registry import entries, parse_spec
from cotkit.strategies.cot import Cot
from cotkit.types import Exemplar, Problem

N = 24


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with a small file in the form of each set that is not made or shipped here."""
    monkeypatch.setenv("COTKIT_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("COTKIT_CACHE_DIR", str(tmp_path / "cache"))
    sums = [(f"What is {i} and {i + 3}?", 2 * i + 3) for i in range(4, 4 + N + 8)]
    gsm = [
        {"question": text, "answer": f"They are <<{gold}={gold}>>{gold}.\n#### {gold}"}
        for text, gold in sums
    ]
    dates = [
        {"input": f"{text}\nOptions:\n(A) {gold - 1}\n(B) {gold}\n(C) {gold + 9}", "target": "(B)"}
        for text, gold in sums
    ]
    films = [
        {
            "input": f"Is {i} even?",
            "target": f"{answer}. Half of it is {i / 2}.",
            "target_scores": {"Yes": int(answer == "Yes"), "No": int(answer == "No")},
        }
        for i, answer in ((i, ("Yes", "No")[i % 2]) for i in range(N + 8))
    ]
    quiz = [
        {"question": text, "subject": "sums", "choices": [f"{gold + d}" for d in (0, 1, 5, 7)]}
        for text, gold in sums
    ]
    word = [
        {"word": f"w{i}", "sentence1": f"A w{i}.", "sentence2": f"The w{i} of it.", "label": i % 2}
        for i in range(N + 8)
    ]
    stories = [
        {
            "ID": f"s-{i}",
            "Body": f"Story {i}",
            "Question": text,
            "Answer": gold,
            "Equation": "a + b",
        }
        for i, (text, gold) in enumerate(sums)
    ]
    task = (
        "task: sums\ndataset_path: json\ndataset_kwargs: {data_files: {test: rows.jsonl}}\n"
        "output_type: generate_until\ntest_split: test\ndoc_to_text: question\n"
        "doc_to_target: answer\n"
    )
    files: dict[str, object] = {
        "gsm8k/test.jsonl": gsm[:N],
        "gsm8k/train.jsonl": gsm[N:],
        "gsm8k-platinum/test.jsonl": gsm[:N],
        "bbh/dates.json": {"examples": dates},
        "bigbench/even/task.json": {"name": "even", "examples": films},
        "mmlu/test.jsonl": [row | {"answer": 0} for row in quiz[:N]],
        "mmlu/dev.jsonl": [row | {"answer": 0} for row in quiz[N:]],
        "wic/validation.jsonl": word[:N],
        "wic/train.jsonl": word[N:],
        "svamp/SVAMP.json": stories,
        "rows.jsonl": gsm,
        "sums.yaml": task,
        "own.csv": "question,answer\n" + "".join(f"{text},{gold}\n" for text, gold in sums),
    }
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        match content:
            case list():
                text = "".join(f"{json.dumps(row)}\n" for row in content)
            case dict():
                text = json.dumps(content)
            case _:
                text = str(content)
        path.write_text(text, encoding="utf-8")
    sha256 = {
        split: hashlib.sha256((tmp_path / f"gsm8k/{split}.jsonl").read_bytes()).hexdigest()
        for split in ("test", "train")
    }
    monkeypatch.setattr(gsm8k, "_SHA256", sha256)
    return tmp_path


BENCHES: dict[str, tuple[str, ...]] = {
    "arithmetic": ("arithmetic", "arithmetic:shape=nested,operators=+-x,steps=2"),
    "bbh": ("bbh:dates",),
    "bigbench": ("bigbench:even", "bigbench:even,mode=choice"),
    "coin-flips": ("coin-flips", "coin-flips:people=2-6"),
    "gsm-mini": ("gsm-mini",),
    "gsm8k": ("gsm8k",),
    "gsm8k-platinum": ("gsm8k-platinum",),
    "last-letters": ("last-letters", "last-letters:words=2-6"),
    "linear-classification": ("linear-classification:dims=4",),
    "lm-eval": ("lm-eval:{home}/sums.yaml",),
    "mmlu": ("mmlu",),
    "sentiment-mini": ("sentiment-mini",),
    "svamp": ("svamp",),
    "wic": ("wic",),
    "a file": ("{home}/own.csv",),
}
"""Name of the list -> how it is asked here."""
NOT_OFFLINE = {
    "bbq": "its files are pinned by their hash, and none is ours to copy",
    "gsm-symbolic": "made by another package",
    "gym": "made by another package",
    "auto-cot": "made of another: tests/test_exemplars.py makes one",
    "p-true": "made of a run: tests/test_hub.py makes one",
    "hub": "tests/test_hub.py has a hub",
    "inspect": "made by the code of a task: tests/test_inspect_tasks.py has some",
}


def make_model(
    problems: Sequence[Problem], answer: Callable[[Problem], str]
) -> Callable[[str], str]:
    """Return a function that answers the last question of a prompt."""

    def model(prompt: str) -> str:
        asked = max(problems, key=lambda problem: prompt.rfind(problem.question.text))
        assert asked.question.text in prompt
        return f" The answer is {answer(asked)}."

    return model


def tell_gold(problem: Problem) -> str:
    """Answer as an oracle does."""
    return problem.gold


def guess(problem: Problem) -> str:
    """Answer without a look at the gold: a choice by the hash of the question, else a constant."""
    digest = hashlib.sha256(problem.question.id.encode()).digest()
    options = problem.question.choices or problem.options or ("77777",)
    return options[digest[0] % len(options)]


def test_every_name_of_the_list_is_tested() -> None:
    assert {entry.name for entry in entries("benchmark")} == (
        BENCHES.keys() - {"a file"} | NOT_OFFLINE.keys()
    )


@pytest.mark.parametrize("name", BENCHES)
def test_an_oracle_solves_all_and_a_guesser_is_at_chance(home: Path, name: str) -> None:
    if name == "lm-eval":
        pytest.importorskip("yaml", reason="needs the extra lm-eval-tasks")
    for text in BENCHES[name]:
        spec = text.format(home=home)
        bench: Benchmark = load_benchmark(parse_spec(spec))
        problems = bench.problems()
        limit = min(N, len(problems))
        for answer in (tell_gold, guess):
            comparison = cotkit.compare(
                make_model(problems, answer),
                ["standard", "zero-shot-cot"],
                bench=spec,
                limit=limit,
                baseline="chance",
                log_dir=home / "logs",
            )
            for cell, verdict in zip(comparison.cells, comparison.verdicts, strict=True):
                n_correct = cell.outcomes.get("correct", 0)
                assert sum(cell.outcomes.values()) == limit
                assert verdict.gain.control == "chance"
                if answer is not guess:
                    assert n_correct == limit, (spec, cell.arm)
                    assert verdict.gain.label == "helps", (spec, verdict.sentence)
                    assert verdict.sentence.startswith(f"{cell.arm} leaves chance: 100.0 %")
                    continue
                options = problems[0].question.choices or problems[0].options
                assert options or n_correct == 0, (spec, cell.arm)
                interval = verdict.gain.interval
                assert interval.low <= 0 < interval.high, (spec, verdict.sentence)
                assert "told from chance" in verdict.sentence


# --- generated sets


@pytest.mark.parametrize("make", [LastLetters, CoinFlips])
def test_generated_sets_are_nested_and_disjoint(make: Callable[..., Benchmark]) -> None:
    small, large, other = make(n=40), make(n=90), make(n=40, seed=1)
    assert list(large.problems()[:40]) == list(small.problems())
    assert large.exemplar_pool() == small.exemplar_pool()
    questions = [p.question.text for p in (*large.problems(), *large.exemplar_pool())]
    assert len(set(questions)) == len(questions) == 90 + 32
    assert len({p.question.id for p in (*large.problems(), *large.exemplar_pool())}) == 122
    assert small.version != other.version
    assert not {p.question.text for p in other.problems()} <= set(questions)


@pytest.mark.parametrize(
    ("spec", "digest"),
    [
        ("last-letters:words=2-6", "60238595fb5a1f8e"),
        ("last-letters:words=4,exemplar_words=2,seed=3", "13cad3b03ce072da"),
        ("coin-flips:people=2-6", "f341b5779e509006"),
        ("coin-flips:people=4,exemplar_people=2,seed=3", "bef481cceeed4cca"),
    ],
)
def test_a_generated_set_is_the_same_on_every_machine(spec: str, digest: str) -> None:
    bench = load_benchmark(parse_spec(spec))
    rows = [
        [p.question.id, p.question.text, p.gold, p.rationale, p.n_steps]
        for p in (*bench.problems(), *bench.exemplar_pool())
    ]
    assert hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16] == digest


@given(words=st.integers(2, 20), seed=st.integers(0, 99))
def test_last_letters_are_right(words: int, seed: int) -> None:
    bench = LastLetters(words=words, seed=seed, n=3)
    for problem in (*bench.problems(), *bench.exemplar_pool()):
        match = re.search(r'"(.*)"', problem.question.text)
        assert match is not None
        assert problem.gold == "".join(name[-1] for name in match[1].split())
        assert problem.n_steps == words == len(match[1].split())
        assert str(problem.rationale).endswith(f'"{problem.gold}".')


@given(people=st.integers(2, 20), seed=st.integers(0, 99))
def test_coins_are_followed(people: int, seed: int) -> None:
    bench = CoinFlips(people=people, seed=seed, n=4)
    for problem in (*bench.problems(), *bench.exemplar_pool()):
        n_flips = problem.question.text.count(" flips the coin.")
        assert problem.gold == ("no" if n_flips % 2 else "yes")
        assert n_flips + problem.question.text.count("does not flip") == people == problem.n_steps
        side = "heads" if problem.gold == "yes" else "tails"
        assert str(problem.rationale).endswith(f"{side} up.")
    assert sorted(p.gold for p in bench.problems()) == ["no", "no", "yes", "yes"]


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("last-letters:words=1", "words is 1, must be 2 to 20, or a range such as 2-4"),
        ("last-letters:words=4-2", "words is 4-2"),
        ("last-letters:n=0", "n is 0, must be 1 to 2000"),
        ("coin-flips:people=21", "people is 21, must be 2 to 20"),
        ("coin-flips:exemplar_people=one", "exemplar_people is one"),
        ("coin-flips:words=2", "unknown parameter of coin-flips"),
    ],
)
def test_generated_sets_refuse(spec: str, says: str) -> None:
    with pytest.raises(UsageError, match=re.escape(says)):
        load_benchmark(parse_spec(spec))


# --- exemplars of a benchmark of one split


def plan(bench: str, limit: str, *options: str) -> str:
    command = ["plan", "--model", "simulated/8b", "--strategy", "cot", "--bench", bench]
    result = CliRunner().invoke(app, [*command, "--limit", limit, *options])
    return f"{result.output} {result.exception or ''}"


@pytest.mark.parametrize(("limit", "n"), [("5", 5), ("24", 24), ("30", 24), ("all", 24)])
def test_one_split_keeps_exemplars_back(home: Path, limit: str, n: int) -> None:
    shown = plan("bigbench:even", limit, "--log-dir", str(home / "logs"))
    assert re.search(rf"few-shot +{n} ", shown), shown
    comparison = cotkit.compare(
        "simulated/8b",
        "cot",
        bench="bigbench:even",
        limit="all" if limit == "all" else int(limit),
        log_dir=home / "logs",
    )
    assert comparison.n_problems == n
    kept = "8 problems of bigbench are kept for exemplars: it has one split"
    assert (kept in comparison.notes) == (limit in {"30", "all"})


def test_a_prompt_of_one_split_is_shown_but_for_what_is_kept_back(home: Path) -> None:
    command = ["show", "prompt", "--strategy", "cot", "--bench", "bigbench:even", "--problem"]
    outcomes = [
        CliRunner().invoke(app, [*command, f"bigbench/even/{number}"]) for number in range(N + 8)
    ]
    assert [result.exit_code for result in outcomes].count(0) == N
    errors = [str(result.exception) for result in outcomes if result.exception]
    assert sum("is kept for exemplars" in error for error in errors) == 8, errors


@pytest.mark.usefixtures("home")
def test_a_solver_in_inspect_never_shows_a_problem_to_itself() -> None:
    settings = samples.read_settings("cot", {})
    refused: list[str] = []
    for problem in load_benchmark(parse_spec("bigbench:even")).problems():
        view = samples.SampleView(
            id=problem.question.id,
            text=problem.question.text,
            choices=(),
            targets=(problem.gold,),
            bench="bigbench:even",
        )
        try:
            strategy = samples.build_strategy(settings, view, problem)
        except UsageError as error:
            refused.append(str(error))
        else:
            shown = [exemplar.question for exemplar in exemplars_of(strategy)]
            assert problem.question.text not in shown
    assert len(refused) == 8
    assert all("is kept for exemplars" in error for error in refused)


def exemplars_of(strategy: object) -> Sequence[Exemplar]:
    """Return the exemplars of a strategy."""
    assert isinstance(strategy, Cot)
    return strategy.exemplars


def test_too_few_problems_for_exemplars_say_what_can_be_done(tmp_path: Path) -> None:
    path = tmp_path / "two.jsonl"
    row = {"question": "Which?", "choices": ["a", "b"], "answer": "a"}
    path.write_text(json.dumps(row) + "\n" + json.dumps(row | {"question": "What?"}) + "\n")
    with pytest.raises(UsageError, match="2 problems: 8 cannot be kept") as caught:
        cotkit.compare("simulated/8b", "cot", bench=str(path), limit="all", log_dir=tmp_path)
    assert "zero-shot-cot" in str(caught.value.hint)
    shown = ["show", "prompt", "--strategy", "zero-shot-cot", "--bench", str(path)]
    assert CliRunner().invoke(app, shown).exit_code == 0
