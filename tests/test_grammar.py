"""The grammar of answers: every rendering of a value is that value, and no decoy wins."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cotkit.types import Reading
from tests.test_scoring import judge

ONES = [
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen"),
    "nineteen",
]
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


def in_words(n: int) -> str:
    if n < 20:
        return ONES[n]
    if n < 100:
        return TENS[n // 10 - 2] + (f"-{ONES[n % 10]}" if n % 10 else "")
    for size, name in ((10**6, "million"), (1000, "thousand"), (100, "hundred")):
        if n >= size:
            following = f" {in_words(n % size)}" if n % size else ""
            return f"{in_words(n // size)} {name}{following}"
    raise AssertionError


RENDERINGS: dict[str, Callable[[int], str]] = {
    "plain": str,
    "grouped": lambda n: f"{n:,}",
    "spaces": lambda n: f"{n:,}".replace(",", "\u202f"),
    "apostrophes": lambda n: f"{n:,}".replace(",", "'"),
    "indic digits": lambda n: "".join(chr(0x966 + int(digit)) for digit in str(n)),
    "wide digits": lambda n: "".join(chr(0xFF10 + int(digit)) for digit in str(n)),
    "money": lambda n: f"${n:,}",
    "money behind": lambda n: f"{n} €",
    "unit": lambda n: f"{n} apples",
    "bold": lambda n: f"**{n}**",
    "box": lambda n: f"\\boxed{{{n}}}",
    "math": lambda n: f"$\\mathbf{{{n}}}$",
    "words": in_words,
    "decimals": lambda n: f"{n}.0",
    "reason": lambda n: f"{n}, because 2 of 3 were left",
    "aside": lambda n: f"{n} (not 17)",
    "sum": lambda n: f"{n - 3} + 3 = {n}",
}
LINES = [
    "The answer is {}.",
    "So the final answer is {}",
    "**Answer:** {}",
    "Final answer: {}",
    "<answer>{}</answer>",
    '{{"answer": "{}"}}',
    "La respuesta es {}.",
    "答案是{}。",
]
DECOYS = ["", "We have 17 boxes.\n", "17 + 4 = 21\n", "First try: 17.\n", "\\boxed{17}? No.\n"]


@settings(max_examples=400)
@given(
    n=st.integers(4, 9_999_999),
    form=st.sampled_from(sorted(RENDERINGS)),
    line=st.sampled_from(LINES),
    before=st.sampled_from(DECOYS),
)
def test_every_rendering_of_a_number_is_read_as_it(
    n: int, form: str, line: str, before: str
) -> None:
    rendering = RENDERINGS[form](n)
    assume(not ("," in rendering and line.startswith("La ")))  # a decimal comma there
    text = before + line.format(rendering)
    reading = judge(text).readings["flexible"]
    assert reading.value == str(n), text


@given(
    n=st.integers(0, 10**6),
    before=st.text(alphabet="ab 17.,:=+\n()", max_size=60),
    after=st.sampled_from(["", "\n", " 17", "\n\n17 + 4 = 21", "\nHuman: 17?", "\n#### 17"]),
)
def test_no_decoy_wins_over_a_completed_answer_line(n: int, before: str, after: str) -> None:
    reading = judge(f"{before}\nThe answer is {n}.{after}").readings["strict"]
    assert reading == Reading(value=str(n), rule="answer-line")


DRESSES = [
    *("{}", "({})", "**{}**", "`{}`", "[{}]", "\\boxed{{{}}}", "$\\mathbf{{{}}}$", "\\({}\\)"),
    *("{}.", "option {}", "({}) because it fits", "{}, since it fits", "{} and nothing else"),
    "choice ({})",
]
WORDS = st.text(alphabet="bcdfg", min_size=3, max_size=6)
VALUES = st.one_of(
    st.integers(-99, 99).map(str),
    st.integers(2, 99).map(lambda n: f"{n}.5"),
    st.integers(2, 99).map(lambda n: f"${n}"),
    WORDS,
    st.tuples(WORDS, WORDS).map(" ".join),
)


@given(
    choices=st.lists(VALUES, min_size=2, max_size=6, unique_by=lambda text: text.strip("$-")),
    data=st.data(),
)
def test_every_dress_of_a_letter_and_every_choice_verbatim_is_that_choice(
    choices: list[str], data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(choices) - 1))
    letter = "ABCDEF"[place]
    dress = data.draw(st.sampled_from(DRESSES))
    for piece in (dress.format(letter), choices[place]):
        text = f"The answer is {piece}"
        score = judge(text, kind="choice", choices=tuple(choices), gold=letter)
        assert score.readings["flexible"].value == letter, text
