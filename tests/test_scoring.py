import json
import random
import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cotkit.errors import UnknownNameError
from cotkit.paths import data_dir
from cotkit.scoring import READERS, score_attempt
from cotkit.scoring.numbers import canonical_form, find_numbers, parse_gold, read_number
from cotkit.scoring.readers import resolve_reader
from cotkit.types import AnswerKind, Attempt, Problem, Question, Score, StopReason

_TABLE = Path(__file__).parent / "cases" / "extract.jsonl"
ROWS: list[dict[str, Any]] = [
    json.loads(line) for line in _TABLE.read_text(encoding="utf-8").splitlines()
]
KNOWN = {
    *("text", "expected", "rule", "reader", "kind", "choices", "gold", "stop", "outcome"),
    *("why", "seen_in"),
}


def judge(
    text: str,
    *,
    gold: str = "0",
    reader: str = "flexible",
    stop: StopReason = "stop",
    kind: AnswerKind = "number",
    choices: tuple[str, ...] = (),
) -> Score:
    question = Question(id="t/1", text="?", choices=choices, answer_kind=kind)
    problem = Problem(question=question, gold=gold)
    return score_attempt(Attempt(text=text, stop_reason=stop), problem, reader)


@pytest.mark.parametrize("row", ROWS, ids=[f"{n}-{r['why'][:40]}" for n, r in enumerate(ROWS, 1)])
def test_table(row: dict[str, Any]) -> None:
    reader = resolve_reader(row.get("reader", "flexible"))
    score = judge(
        row["text"],
        gold=row.get("gold", "0"),
        reader=reader,
        stop=row.get("stop", "stop"),
        kind=row.get("kind", "number"),
        choices=tuple(row.get("choices", ())),
    )
    reading = score.readings[reader]
    assert reading.value == row["expected"], row["why"]
    assert reading.rule == row.get("rule", reading.rule), row["why"]
    assert score.outcome == row.get("outcome", score.outcome), row["why"]
    assert score.correct_by[reader] == (score.outcome == "correct")


def test_every_row_of_the_table_has_its_reason_and_no_column_is_misspelt() -> None:
    assert len(ROWS) >= 120
    assert all(row["why"] and row["seen_in"] and row.keys() <= KNOWN for row in ROWS)
    assert {row.get("reader", "flexible") for row in ROWS} == set(READERS)


def test_what_strict_reads_flexible_reads_the_same() -> None:
    for row in ROWS:
        strict = judge(row["text"]).readings["strict"]
        if strict.value is not None:
            assert judge(row["text"]).readings["flexible"] == strict


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5-year", "5"),
        ("~18", "18"),
        ("90^\\circ", "90"),
        ("12,000 m/s", "12000"),
        ("\\frac12", "0.5"),
        ("2\\frac{1}{2}", "2.5"),
        ("-2 1/2", "-2.5"),
        ("10⁻³", "0.001"),
        ("US$5", "5"),
        ("12 000", None),  # a plain space separates two numbers
        ("0,123", None),  # a decimal comma or a list, but no grouping
        ("1234,567", None),  # a first group has at most three digits
        ("1.2.3", None),  # a version
        ("18 and more", "18"),
        ("about 18", None),  # not one number expression
        ("18. Next", None),  # a list marker
        ("10^{400000}", None),
        ("5²", None),
    ],
)
def test_read_number(text: str, value: str | None) -> None:
    found = read_number(text)
    assert (None if found is None else canonical_form(found)) == value


def test_spans_cover_sign_currency_and_percent() -> None:
    text = "from -$1,200.50 to 30% (x2) or 1/2"
    assert [text[n.start : n.end] for n in find_numbers(text)] == ["-$1,200.50", "30%", "1/2"]


@pytest.mark.parametrize("text", ["", "n/a", "3 or 4", "1e999"])
def test_parse_gold_refuses_what_is_not_one_number(text: str) -> None:
    with pytest.raises(ValueError, match="not a number"):
        parse_gold(text)


INTEGERS = st.integers(-(10**15), 10**15)
SCALES = st.sampled_from([10**places for places in range(10)])
DECIMALS = st.builds(Fraction, INTEGERS, SCALES)
RENDERINGS: dict[str, Callable[[Fraction], str]] = {
    "canonical": canonical_form,
    "percent": lambda x: canonical_form(x) + "%",
    "dollars": lambda x: canonical_form(x).replace("-", "-$") if x < 0 else f"${canonical_form(x)}",
    "dollars, sign inside": lambda x: f"${canonical_form(x)}",
    "euros and a unit": lambda x: f"{canonical_form(x)} euros a week",
    "U+2212": lambda x: canonical_form(x).replace("-", "\u2212"),
    "bold": lambda x: f"**{canonical_form(x)}**",
    "maths": lambda x: f"\\({canonical_form(x)}\\)",
    "boxed": lambda x: f"\\boxed{{{canonical_form(x)}}}",
    "unit in LaTeX": lambda x: f"{canonical_form(x)} \\text{{ km}}",
    "millions": lambda x: f"{canonical_form(x / 10**6)} million",
    "scientific": lambda x: f"{canonical_form(x / 10**3)}e3",
    "LaTeX powers": lambda x: f"{canonical_form(x / 10**3)} \\times 10^{{3}}",
    **{
        f"grouped by {mark!r}": lambda x, mark=mark: _grouped(x, mark)
        for mark in (",", "_", "\u00a0", "\u2009", "\u202f", "{,}", "\\,")
    },
}


def _grouped(x: Fraction, mark: str) -> str:
    whole, dot, part = canonical_form(x).partition(".")
    return f"{int(whole):,}".replace(",", mark) + dot + part if whole != "-0" else canonical_form(x)


@pytest.mark.parametrize("name", RENDERINGS)
@settings(max_examples=40, deadline=None)  # one run for each rendering
@given(x=DECIMALS)
def test_every_rendering_reads_back_exactly(name: str, x: Fraction) -> None:
    text = RENDERINGS[name](x)
    assert read_number(text) == x
    score = judge(f"So it is.\nThe answer is {text}.", gold=canonical_form(x), reader="strict")
    assert score.outcome == "correct"


@given(n=INTEGERS, d=st.integers(1, 10**6))
def test_fractions_read_back_exactly(n: int, d: int) -> None:
    x = Fraction(n, d)
    assert read_number(canonical_form(x)) == x
    assert read_number(f"{n}/{d}") == x
    assert read_number(f"{'-' if n < 0 else ''}\\frac{{{abs(n)}}}{{{d}}}") == x
    assert judge(f"The answer is {n}/{d}.", gold=canonical_form(x)).outcome == "correct"


PIECES = st.sampled_from(
    [
        *(
            "the answer is ",
            "Answer:",
            "18",
            "1",
            "e9",
            "10^",
            "/",
            "½",
            "\u0661",
            "x",
            "\u00d7",
            "²",
        ),
        *(
            "-",
            "$",
            "%",
            ",",
            ".",
            "=",
            " ",
            "\n",
            "\u00a0",
            "\\,",
            "\\boxed{",
            "\\frac{",
            "}",
            "####",
        ),
        *("**", "<think>", "</think>", "Q:", "not ", "or ", "eighteen", "(B)"),
    ]
)


@settings(max_examples=60, deadline=None)  # nine scores in each example
@given(text=st.lists(PIECES, max_size=30).map("".join) | st.text(max_size=200))
def test_scoring_never_raises_and_agrees_with_itself(text: str) -> None:
    stops: tuple[StopReason, ...] = ("stop", "length", "refusal")
    kinds: tuple[AnswerKind, ...] = ("number", "choice", "text")
    for stop in stops:
        for kind in kinds:
            score = judge(text, gold="18", stop=stop, kind=kind, choices=("18", "Paris"))
            assert score.readings.keys() == score.correct_by.keys()
            assert score.correct_by["flexible"] == (score.outcome == "correct")
            assert score.outcome != "failed"


def _noise(alphabet: str) -> str:
    return "".join(random.Random(7).choices(alphabet, k=100_000))


@pytest.mark.parametrize(
    "text",
    [
        "1," * 50_000,
        "1," + "234," * 25_000 + "5",
        "$" * 100_000,
        "-" * 100_000,
        "9" * 100_000,
        "." * 100_000,
        " " * 100_000,
        "\n" * 100_000,
        "1 " * 50_000,
        "x1\n" * 33_000,
        "<think>" * 10_000,
        "<think></think>" * 7_000,
        "the answer is " * 20_000,
        "the answer is not 1 or 2. " * 4_000,
        "The answer is " + "1," * 50_000,
        "\\boxed{" * 14_000,
        "\\boxed{1}" * 11_000,
        "#### " * 20_000,
        "#### 1\n" * 14_000,
        "**1" * 33_000,
        "\nQ: 1" * 20_000,
        "\\frac{" * 16_000,
        "1/" * 50_000,
        _noise("0123456789,.$%-+/ \n=*#{}\\^eEanswris"),
        _noise("".join(map(chr, range(32, 0x2300)))),
    ],
    ids=lambda text: repr(text[:14]),
)
@pytest.mark.timeout(60)  # linear, half a second; squared, many minutes
def test_no_text_takes_for_ever(text: str) -> None:
    judge(text * 5)


def test_a_reader_that_does_not_read_this_kind_is_refused_by_name() -> None:
    with pytest.raises(UnknownNameError, match="flexible"):
        judge("(B)", gold="A", kind="choice", choices=("a", "b"), reader="flexibel")
    with pytest.raises(UnknownNameError, match="choice answers"):
        judge("(B)", gold="A", kind="choice", choices=("a", "b"), reader="inspect-match")


def test_every_gsm8k_gold_is_read_exactly() -> None:
    root = data_dir()
    path = root / "gsm8k" / "test.jsonl" if root else None
    if path is None or not path.is_file():
        pytest.skip("COTKIT_DATA_DIR has no gsm8k/test.jsonl")
    lines = path.read_text(encoding="utf-8").splitlines()
    golds = [json.loads(line)["answer"].rpartition("#### ")[2] for line in lines]
    assert len(golds) == 1319
    for gold in golds:
        exact = int(re.sub(r"[^0-9-]", "", gold))
        for text in (f"#### {gold}", f"The answer is {gold}."):
            score = judge(text, gold=gold)
            assert {score.readings[name].value for name in ("strict", "flexible")} == {str(exact)}
            assert score.outcome == "correct"
