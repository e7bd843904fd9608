"""The released problems and exemplars: every equation is worked again, exactly."""

from __future__ import annotations

import ast
import hashlib
import json
import operator
import re
from collections import Counter
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from cotkit.benchmarks import check_disjoint, draw
from cotkit.benchmarks.gsm_mini import GsmMini
from cotkit.paths import resource
from cotkit.scoring.canonical import canonical_number
from cotkit.types import Exemplar

PROBLEMS = resource("benchmarks/gsm-mini/problems.v1.jsonl")
EXEMPLARS = resource("prompts/exemplars.math.v1.jsonl")
EQUATION = re.compile(r"(?P<left>[-(\d$][-+*/().,\d\s$%]*)=\s*(?P<right>-?\$?[\d.,/]*\d%?)")
OPERATORS: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def exact(text: str) -> Fraction:
    """The value of ``2 * (3 + $1.50)``."""
    return work(ast.parse(re.sub(r"[$,%]", "", text).strip(), mode="eval").body)


def work(node: ast.expr) -> Fraction:
    match node:
        case ast.BinOp(left, how, right):
            return OPERATORS[type(how)](work(left), work(right))
        case ast.UnaryOp(ast.USub(), operand):
            return -work(operand)
        case ast.Constant(int() | float() as value):
            return Fraction(str(value))
        case _:
            raise ValueError(ast.dump(node))


def sentences(rationale: str) -> list[str]:
    return re.split(r"(?<=\.)\s+", rationale)


def check_equation(sentence: str) -> Fraction:
    """Work the one equation of a sentence; the value of its right side."""
    (found,) = EQUATION.finditer(sentence)
    assert sentence.count("=") == 1, sentence
    assert re.search(r"\d\s*[-+*/]", found["left"]), f"nothing is computed: {sentence}"
    assert exact(found["left"]) == exact(found["right"]), sentence
    return exact(found["right"])


@pytest.mark.parametrize(
    ("sentence", "value"),
    [
        ("He has 3 * 4 = 12 left.", Fraction(12)),
        ("In 2 days it is -2 - (-4) = 2 degrees.", Fraction(2)),
        ("It costs 4 * $2.50 = $10.00.", Fraction(10)),
        ("Together 1/2 + 1/3 = 5/6 is gone.", Fraction(5, 6)),
        ("That is 0.1 + 0.2 = 0.3 exactly.", Fraction(3, 10)),
    ],
)
def test_the_checker_reads_equations(sentence: str, value: Fraction) -> None:
    assert check_equation(sentence) == value


@pytest.mark.parametrize(
    "sentence", ["He has 3 * 4 = 13 left.", "It is 12 = 12.", "It is 12.", "2 * 2 = 4 = 8 / 2."]
)
def test_the_checker_refuses(sentence: str) -> None:
    with pytest.raises((AssertionError, ValueError)):
        check_equation(sentence)


@pytest.mark.parametrize("row", rows(PROBLEMS), ids=lambda row: row["id"])
def test_problem(row: dict[str, Any]) -> None:
    assert list(row) == ["id", "question", "rationale", "answer", "n_steps"]
    steps = [check_equation(sentence) for sentence in sentences(row["rationale"])]
    assert len(steps) == row["n_steps"], "one equation and one sentence per step"
    assert steps[-1] == Fraction(row["answer"]), "the last equation gives the answer"
    assert canonical_number(row["answer"]) == row["answer"]
    assert row["question"].endswith("?")
    for text in (row["question"], row["rationale"]):
        assert text == " ".join(text.split())
        assert "the answer is" not in text.casefold()


def test_the_set() -> None:
    found = rows(PROBLEMS)
    assert [row["id"] for row in found] == [f"gsm-mini/{n:03}" for n in range(1, 151)]
    assert len({row["question"] for row in found}) == 150
    steps = Counter(row["n_steps"] for row in found)
    assert sorted(steps) == [*range(1, 9)]
    assert set(steps.values()) == {18, 19}
    assert sum(row["answer"].startswith("-") for row in found) == 3
    assert {row["answer"] for row in found if "/" in row["answer"]} == {"5/6"}


def test_questions_are_not_one_template() -> None:
    """No two questions are the same once the numbers and names are taken out."""
    shapes = Counter(
        re.sub(r"\d[\d,.]*|\b[A-Z]\w+", "_", row["question"]) for row in rows(PROBLEMS)
    )
    assert max(shapes.values()) == 1


def test_as_a_benchmark() -> None:
    bench = GsmMini()
    problems = bench.problems()
    assert len(problems) == 150
    assert problems is bench.problems(), "read once"
    assert re.fullmatch(r"1-[0-9a-f]{12}", bench.version)
    assert (bench.name, bench.answer_kind, bench.exemplar_pool()) == ("gsm-mini", "number", ())
    assert all(p.rationale and p.n_steps for p in problems)
    assert len(draw(problems, 50, seed=0)) == 50


def test_the_card_states_the_hash() -> None:
    card = resource("benchmarks/gsm-mini/card.md").read_text(encoding="utf-8")
    content = PROBLEMS.read_bytes()
    assert hashlib.sha256(content).hexdigest() in card
    assert f"{len(content):,} bytes" in card


@pytest.mark.parametrize("row", rows(EXEMPLARS), ids=lambda row: row["answer"])
def test_exemplar(row: dict[str, Any]) -> None:
    assert list(row) == ["question", "rationale", "answer"]
    worked = [s for s in sentences(row["rationale"]) if "=" in s]
    assert 1 <= len(worked) <= 4
    assert [check_equation(s) for s in worked][-1] == Fraction(row["answer"])
    assert canonical_number(row["answer"]) == row["answer"]
    assert "the answer is" not in row["rationale"].casefold()


def words(text: str, n: int) -> set[tuple[str, ...]]:
    found = re.findall(r"[a-z0-9]+", text.casefold())
    return {tuple(found[at : at + n]) for at in range(len(found) - n + 1)}


def test_exemplars_are_eight_and_not_evaluated() -> None:
    exemplars = [Exemplar(**row) for row in rows(EXEMPLARS)]
    assert len(exemplars) == 8
    check_disjoint(exemplars, GsmMini().problems())
    evaluated = {gram for p in GsmMini().problems() for gram in words(p.question.text, 8)}
    for exemplar in exemplars:
        assert not words(exemplar.question, 8) & evaluated, "no run of 8 words in common"
