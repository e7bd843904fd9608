"""Stops: one cut for every engine; reasoning is not searched for stops."""

from __future__ import annotations

import pytest

from cotkit.reasoning import split_reasoning
from cotkit.stops import answer_line_end, cut
from cotkit.types import Decoding

LINE = answer_line_end("number")
REST = answer_line_end("number", cue_spoken=True)


@pytest.mark.parametrize(
    ("text", "stop_after", "kept", "why"),
    [
        ("The answer is 39", LINE, None, "more digits may come"),
        ("The answer is 39.", LINE, None, "39.5 may come"),
        ("The answer is 39.5", LINE, None, "39.55 may come"),
        ("The answer is 39. Next", LINE, "The answer is 39.", "a full stop before space"),
        ("The answer is 39\nQ", LINE, "The answer is 39", "a newline"),
        ("The answer is\n39\n", LINE, None, "the line ended before an answer began"),
        ("So the answer is $1,234.50 a week. It", LINE, "So the answer is $1,234.50 a week.", "$"),
        ("The answer is approx. 5.\n", LINE, "The answer is approx. 5.", "no digit before approx."),
        ("THE ANSWER IS 4.\n", LINE, "THE ANSWER IS 4.", "any case"),
        ("4 + 5 = 9. Then 3.\n", LINE, None, "no cue yet"),
        (" 18.\nQ:", REST, " 18.", "cue spoken by the prompt"),
        ("\n18\n", REST, "\n18", "leading newline"),
    ],
)
def test_answer_lines(text: str, stop_after: str, kept: str | None, why: str) -> None:
    assert cut(text, Decoding(max_tokens=9, stop_after=stop_after)) == kept, why


def test_the_earliest_stop_wins_and_stop_strings_are_dropped() -> None:
    decoding = Decoding(max_tokens=9, stop=("\nQ:", "END"), stop_after=LINE)
    assert cut("a END b\nQ: c", decoding) == "a "
    assert cut("a\nQ: The answer is 5.\n", decoding) == "a"
    assert cut("no stop here", decoding) is None


def test_reasoning_is_not_searched() -> None:
    decoding = Decoding(max_tokens=9, stop_after=LINE)
    thinking = "<think>The answer is 1.\n"
    assert cut(thinking, decoding) is None
    assert cut(f"{thinking}</think>The answer is 2.\n", decoding) == (
        f"{thinking}</think>The answer is 2."
    )


@pytest.mark.parametrize(
    ("text", "reasoning", "rest"),
    [
        ("plain", None, "plain"),
        ("<think>a</think>b", "a", "b"),
        ("<think>a", "a", ""),
        ("x<think>a", "a", "x"),
        ("a</think>b", "a", "b"),
        ("<think>a</think>b<think>c", "a\nc", "b"),
        ("<think></think>5", "", "5"),
        ("<thinking>a</thinking>b", "a", "b"),
    ],
)
def test_reasoning_is_split_off(text: str, reasoning: str | None, rest: str) -> None:
    assert split_reasoning(text) == (reasoning, rest)


@pytest.mark.parametrize(
    "text", ["<think>" * 20_000, "</think>" * 20_000, "The answer is " * 20_000]
)
def test_long_texts_are_cut_in_linear_time(text: str) -> None:
    """A quadratic search would hold this test for minutes."""
    assert len(split_reasoning(text)[1]) <= len(text)
    assert cut(text, Decoding(max_tokens=9, stop_after=LINE)) is None
