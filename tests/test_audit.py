"""The direct-leak audit: where an answer begins, what reasons before it, and what follows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import cotkit
from cotkit.analysis.audit import audit_arms, is_reasoning, text_before_answer, withhold
from cotkit.analysis.comparison import RunFacts, compare, mark_upper_bound
from cotkit.analysis.values import Audit, Comparison, Criteria
from cotkit.scoring.readers import READERS
from cotkit.store import AttemptRow, DraftRow, Store
from cotkit.types import Outcome, Question, Reading
from tests.conftest import Sums

READER = "flexible"
EQUATION = "She has 3 + 4 = 7 eggs. The answer is 7."
LONG = "First we look at what she sells on each day here. The answer is 7."

TEXTS: list[tuple[str, str | None, bool, str]] = [
    (" The answer is 7.", "7", False, "an answer line alone"),
    (" 7", "7", False, "a number alone"),
    ("The answer is 7. 3 + 4 = 7, as she has both baskets of eggs to sell.", "7", False, "after"),
    (EQUATION, "7", True, "an equation"),
    (LONG, "7", True, "a sentence of more than eight words"),
    ("First we look at what she sells each day\nThe answer is 7.", "7", True, "a line of nine"),
    ("First we look at what she sells, daily\nThe answer is 7.", "7", False, "a line of eight"),
    ("She sells seven eggs in all. The answer is 7.", "7", False, "six words"),
    ("She sells eggs. He sells eggs. They sell eggs. The answer is 7.", "7", False, "short ones"),
    (
        "The final total that Janet makes every day at the farmers' market is $18.",
        "18",
        False,
        "the question again, in the very sentence that holds the answer",
    ),
    ("**The final total that she makes every day at the market is $18.**", "18", False, "in bold"),
    ("The answer is 3 + 4 = 7.", "7", True, "worked out inside the answer line"),
    ("18 - 9 = 9, 9 + 9 = 18", "18", True, "final-equals: the last 18 is the answer"),
    ("18 - 9 = 9. Then 9 more: 18", "18", True, "last-number: the last 18"),
    ("18 - 9 = 9, so twice that: **18**", "18", True, "bold-final: the last 18"),
    ("The answer is below:\n18 - 9 = 9\n9 + 9 = 18", "18", True, "a cue without an answer"),
    (r"\[ 9 \times 2 = 18 \] So: 18", "18", True, "a sign in LaTeX"),
    ("The answer is $1,234.", "1234", False, "as the reader reads it"),
    ("3/4 of it", "0.75", False, "a fraction"),
    ("-5 degrees", "-5", False, "a negative number"),
    ("I cannot say.", None, False, "no answer, no reasoning"),
    (
        "I am not able to say how many that would be without more facts.",
        None,
        False,
        "rambling without an answer, cut short or not, is no reasoning",
    ),
    ("She has 3 + 4 = 7. The answer is 7 or 8.", None, True, "unread, but an equation"),
    ("The answer is unclear to me as there is far too little to go on.", None, False, "a cue"),
    ("................................ The answer is 7.", "7", False, "dots are no words"),
    ("The answer is seven.", "7", False, "in words: ends with the cue"),
    ("The 3-day fair = fun. It is 7.", "7", False, "a hyphen is no minus"),
    ("2 x $9 = 18, then 18", "18", True, "a price"),
    ("7, because 3 + 4 = 7", "7", True, "a false alarm: nothing marks the first 7"),
    ("Answer: positive", "B", False, "a choice"),
    ("It is cheerful and warm and it praises all of it: positive", "B", False, "one sentence"),
    (
        "It is a warm text and it praises all of it.\nPositive.",
        "B",
        True,
        "read from the last line",
    ),
    ("A review so full of praise as this is rare. Negative", "A", True, "the article is no A"),
]


@pytest.mark.parametrize(("text", "read", "reasons", "why"), TEXTS, ids=[t[3] for t in TEXTS])
def test_reasoning_before_the_answer(text: str, read: str | None, reasons: bool, why: str) -> None:
    number = Question(id="q", text="How many?")
    choice = replace(number, answer_kind="choice", choices=("negative", "positive"))
    reading = READERS[READER].read(text, choice if read in {"A", "B"} else number)
    assert reading.value == read, reading
    before = text_before_answer(text, reading)
    assert is_reasoning(before, was_read=read is not None) is reasons, why


@pytest.mark.parametrize("text", ["9" * 50_000, "9 " * 20_000, "3 + " * 20_000, "the " * 20_000])
def test_a_long_text_is_searched_in_linear_time(text: str) -> None:
    for rule in ("answer-line", "last-number"):
        before = text_before_answer(text, Reading(value="7", rule=rule))
        is_reasoning(before, was_read=True)


def row(i: int, text: str, outcome: Outcome = "correct", arm: str = "few-shot") -> AttemptRow:
    return AttemptRow(
        arm=arm,
        problem_id=f"toy/{i}",
        outcome=outcome,
        text=text,
        readings={READER: Reading(value="7", rule="answer-line")},
        correct_by={READER: outcome == "correct"},
        truncated=outcome == "truncated",
        n_calls=1,
        n_generated_tokens=i + 1,
    )


def audit(rows: list[AttemptRow], *, reasons: bool = False) -> Audit:
    (found,) = audit_arms(rows, {rows[0].arm: reasons}, READER)
    return found


@pytest.mark.parametrize(
    ("n_leaks", "n", "contaminated", "why"),
    [
        (0, 100, False, "clean"),
        (10, 100, False, "10 % is what may be"),
        (15, 100, False, "15 % of 100 may still be 10 %"),
        (16, 100, True, "16 % of 100 is surely more than 10 %"),
        (2, 4, True, "half of four: the Wilson interval begins at 15 %"),
        (1, 4, False, "one of four may be chance"),
    ],
)
def test_contaminated_is_surely_more_than_a_tenth(
    n_leaks: int, n: int, contaminated: bool, why: str
) -> None:
    rows = [row(i, EQUATION if i < n_leaks else "The answer is 7.") for i in range(n)]
    found = audit(rows)
    assert (found.n, found.reasoned) == (n, n_leaks)
    assert found.is_contaminated is contaminated, why
    assert not audit(rows, reasons=True).is_contaminated, "it was asked to reason"


def test_failed_and_refused_attempts_are_not_looked_at() -> None:
    rows = [row(0, "The answer is 7."), row(1, "", "failed"), row(2, LONG, "refused")]
    found = audit(rows)
    assert (found.n, found.reasoned, found.median_words_before) == (1, 0, 0)


def test_reasoning_kept_apart_is_reasoning() -> None:
    plain = [row(i, "The answer is 7.") for i in range(4)]
    assert audit(plain).reasoning_tokens is None
    told = [replace(r, n_reasoning_tokens=50) for r in plain]
    assert (audit(told).reasoned, audit(told).reasoning_tokens) == (4, 200)
    assert audit([*told[:3], plain[3]]).reasoning_tokens is None, "a partial sum is no sum"
    apart = [replace(r, reasoned_apart=True) for r in plain]
    assert audit(apart).is_contaminated
    none = [replace(r, n_reasoning_tokens=0) for r in plain]
    assert (audit(none).reasoned, audit(none).reasoning_tokens) == (0, 0)


def test_the_tokens_that_would_have_sufficed() -> None:
    whole = [row(i, "The answer is 7.") for i in range(20)]
    assert audit(whole[:9]).enough_tokens is None, "fewer than 10 say nothing"
    assert audit(whole).enough_tokens == 19, "19 of 20 took at most 19 tokens"
    cut = row(31, "She", "truncated")
    found = audit([*whole, cut])
    assert (found.truncated, found.enough_tokens) == (1, 64), "twice the limit that was reached"
    assert audit([cut]).enough_tokens == 64
    unknown = [replace(r, n_generated_tokens=None) for r in whole]
    assert audit(unknown).enough_tokens is None
    draft = DraftRow(text="", outcome="wrong", readings={}, correct_by={})
    votes = [replace(r, drafts=(draft,)) for r in whole]
    assert audit(votes).enough_tokens is None, "a sum over samples says nothing of one"


def compared(control: list[str], reasons: dict[str, bool]) -> Comparison:
    n = len(control)
    rows = [row(i, text, "wrong") for i, text in enumerate(control)]
    rows += [row(i, EQUATION, arm="cot") for i in range(n)]
    facts = RunFacts(
        run_id="0" * 12,
        model="toy",
        n_params=None,
        bench="toy",
        bench_version="1",
        n_problems=n,
        n_total=n,
        reasons=reasons,
    )
    return compare(rows, [("cot", "few-shot")], facts, (), Criteria(reader=READER, margin=0.02))


def test_a_verdict_on_a_contaminated_control_is_withheld() -> None:
    found = compared([EQUATION] * 8 + [" 7"] * 12, {"few-shot": False, "cot": True})
    assert found.verdicts[0].sentence == (
        "cot against few-shot is withheld: the control few-shot reasons before answering "
        "in 40 % of its answers."
    )
    assert found.notes[0].startswith("contaminated: few-shot asks for no reasoning")
    assert "LEAKS" in cotkit.render(found, "markdown")


@pytest.mark.parametrize("form", ["table", "markdown", "latex", "csv", "json"])
def test_a_withheld_verdict_claims_nothing_in_any_format(form: str) -> None:
    clean = compared([" 7"] * 20, {"few-shot": False, "cot": True})
    assert "helps" in cotkit.render(clean, form), "this test can fail"
    found = compared([EQUATION] * 8 + [" 7"] * 12, {"few-shot": False, "cot": True})
    (verdict,) = found.verdicts
    assert {v.gain.label for v in (verdict, *verdict.variants)} == {"withheld"}
    assert verdict.depends_on == ()
    assert verdict.gain == replace(clean.verdicts[0].gain, label="withheld"), "the numbers stay"
    page = cotkit.render(found, form)
    assert "withheld" in page
    assert not any(word in page for word in ("helps", "some_help", "some help"))


def test_a_withheld_upper_bound_is_still_called_so() -> None:
    found = compared([EQUATION] * 20, {"few-shot": False, "cot": True})
    (verdict,) = compared([" 7"] * 20, {"few-shot": False, "cot": True}).verdicts
    bound = withhold(mark_upper_bound(verdict, {"cot"}, 0.02), found.audits)
    assert bound.gain.label == "upper_bound"
    assert "withheld" in bound.sentence


def test_a_contaminated_arm_is_withheld_too() -> None:
    found = compared([" 7"] * 20, {"few-shot": False, "cot": False})
    assert "withheld: the arm cot reasons before answering in 100 %" in found.verdicts[0].sentence


def test_a_clean_comparison_says_nothing_of_the_audit() -> None:
    found = compared([" 7"] * 20, {"few-shot": False, "cot": True})
    assert found.verdicts[0].sentence.startswith("cot helps")
    assert [a.arm for a in found.audits] == ["few-shot", "cot"]
    assert "Audit" not in cotkit.render(found, "markdown")
    assert compared([EQUATION] * 20, {}).audits == (), "arms of unknown intent are not audited"


def test_a_model_that_always_reasons_end_to_end(sums: Sums) -> None:
    def leaks(prompt: str) -> str:
        a, b = prompt.rpartition("Q: What is ")[2].partition("?")[0].split(" plus ")
        return f" We add them: {a} + {b} = {int(a) + int(b)}. The answer is {int(a) + int(b)}."

    found = cotkit.compare(leaks, "cot", sums)
    assert found.verdicts[0].sentence == (
        "cot against few-shot is withheld: the control few-shot reasons before answering "
        "in 100 % of its answers."
    )
    assert [a.is_contaminated for a in found.audits] == [True, False]


def test_a_model_that_thinks_aside_end_to_end(sums: Sums) -> None:
    def thinks(prompt: str) -> str:
        return "<think>Let me add them.</think> The answer is 7."

    found = cotkit.compare(thinks, "cot", sums, limit=10)
    assert "withheld" not in found.verdicts[0].sentence, "both arms think as the model does"
    assert any("the model thinks by itself" in note for note in found.notes)
    with Store(Path("logs") / "cotkit.db") as store:
        rows = store.attempts(store.runs()[0].id)
    assert all(r.reasoned_apart and r.n_reasoning_tokens is None for r in rows)
