"""Skeleton-of-thought: a list of points, then each written out by itself (Ning et al. 2023)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cotkit.prompting import format_question, render
from cotkit.strategies._base import FIRST_LINE, Bounds, DecodingStrategy, ask_answer, make_request
from cotkit.strategies._lists import read_list
from cotkit.types import Flow, Question


@dataclass(frozen=True, kw_only=True)
class SkeletonOfThought(DecodingStrategy):
    """What the points cost and gain in answers; that they can be written side by side is not used.

    Source: arXiv:2307.15337, section 2. No point sees another one written out, as there; the last
    turn, which asks for the answer, is that of ``zero-shot-cot``.
    """

    version: ClassVar[int] = 1
    group: ClassVar[str] = "several turns"
    prompts: ClassVar[tuple[str, ...]] = (
        "skeleton-of-thought.list.v1.jinja",
        "skeleton-of-thought.point.v1.jinja",
        "skeleton-of-thought.answer.v1.jinja",
        "zero-shot-cot.extract.v1.jinja",
        "answer.v1.jinja",
    )
    control: ClassVar[str] = "standard"
    reasons: ClassVar[bool] = True
    bounds: ClassVar[Bounds] = {
        "points": (1, 20),
        "skeleton_tokens": (1, None),
        "answer_tokens": (1, None),
    }
    max_tokens: int = 128
    """Of each point written out."""
    skeleton_tokens: int = 96
    """Of the list of points."""
    answer_tokens: int = 32
    """Of the turn that asks for the answer."""
    points: int = 4
    """Points asked for, 1 to 20 (the paper has 3 to 10)."""

    def same_cost(self) -> str:
        """Return the control with as many calls: samples of two calls each and a vote."""
        return f"zero-shot-self-consistency:k={(self.points + 3) // 2}"

    def solve(self, question: Question) -> Flow:
        """Ask for the points, for each in full, and for the answer to all of them."""
        words = format_question(question)
        prompt = render("skeleton-of-thought.list", 1, question=words, points=self.points)
        decoding = self.decoding(stop=("\nQ:",), max_tokens=self.skeleton_tokens)
        (listed,) = yield make_request(prompt, decoding)
        skeleton = tuple(read_list(listed)[: self.points])
        decoding = self.decoding(stop=("\nQ:",), stop_after=FIRST_LINE)
        reasoning: list[str] = []
        for number in range(1, len(skeleton) + 1):
            prompt = render(
                "skeleton-of-thought.point",
                1,
                question=words,
                skeleton=skeleton,
                number=number,
            )
            (point,) = yield make_request(prompt, decoding)
            reasoning.append(f"\n{number}. {' '.join(point.text.split())}")
        prompt = render("skeleton-of-thought.answer", 1, question=words, kind=question.answer_kind)
        text = "".join(reasoning) or listed.text
        return (yield from ask_answer(self, prompt, text, question, self.answer_tokens))
