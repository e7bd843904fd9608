"""Least-to-most: break the question down, then answer part after part (Zhou et al. 2022)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from cotkit.prompting import format_question, read_locked, render
from cotkit.stops import answer_line_end
from cotkit.strategies._base import Bounds, DecodingStrategy, make_request
from cotkit.strategies._lists import read_list
from cotkit.types import Attempt, Completion, Flow, Question

_STOP = ("\nQ:", "\nSmaller question:", "\nNow the question itself")


@dataclass(frozen=True, kw_only=True)
class LeastToMost(DecodingStrategy):
    """Lists smaller questions, answers each with the earlier answers shown, then the whole.

    Source: arXiv:2205.10625, section 2. Its three worked examples are built-in exemplars of ours
    with their decompositions; ``--exemplars`` changes the control alone. Every turn is a prompt of
    its own, so raw-text and chat models see the same words.
    """

    version: ClassVar[int] = 1
    group: ClassVar[str] = "several turns"
    prompts: ClassVar[tuple[str, ...]] = (
        "least-to-most.decompose.v1.jinja",
        "least-to-most.solve.v1.jinja",
        "exemplars.least-to-most.v1.jsonl",
        "answer.v1.jinja",
    )
    control: ClassVar[str] = "few-shot"
    reasons: ClassVar[bool] = True
    bounds: ClassVar[Bounds] = {
        "list_tokens": (1, None),
        "step_tokens": (1, None),
        "max_steps": (1, 20),
    }
    max_tokens: int = 256
    """Of the last turn."""
    list_tokens: int = 160
    """Of the turn that lists the smaller questions, at least 1."""
    step_tokens: int = 96
    """Of each smaller question's answer, at least 1."""
    max_steps: int = 8
    """The most questions asked, the question itself (always the last) included: 1 to 20."""

    def solve(self, question: Question) -> Flow:
        """Send one request that breaks down, one for each smaller question, one for the whole."""
        words, worked = format_question(question), decompositions()
        prompt = render("least-to-most.decompose", 1, question=words, worked=worked)
        listing = self.decoding(stop=("\nQ:",), max_tokens=self.list_tokens)
        (listed,) = yield make_request(prompt, listing)
        smaller = smaller_questions(listed, question)[: self.max_steps - 1]
        solved: list[dict[str, str]] = []
        for part in smaller:
            prompt = _solving(question, solved, smaller=part)
            stepping = self.decoding(stop=_STOP, max_tokens=self.step_tokens)
            (reply,) = yield make_request(prompt, stepping)
            solved.append({"question": part, "answer": " ".join(reply.text.split())})
        stop_after = answer_line_end(question.answer_kind)
        prompt = _solving(question, solved, smaller=None)
        (answer,) = yield make_request(prompt, self.decoding(stop=_STOP, stop_after=stop_after))
        return Attempt(text=answer.text, stop_reason=answer.stop_reason)


def smaller_questions(listed: Completion, question: Question) -> list[str]:
    """Read a list of questions, without one cut at the limit and without the question itself.

    A reply without a list breaks nothing down: the question is then asked at once.
    """
    return [line for line in read_list(listed) if not question.text.endswith(line)]


def decompositions() -> list[dict[str, Any]]:
    """Read the released worked examples: question, steps, rationale, answer."""
    lines = read_locked("exemplars.least-to-most.v1.jsonl").splitlines()
    return [json.loads(line) for line in lines]


def _solving(
    question: Question, solved: Sequence[Mapping[str, str]], *, smaller: str | None
) -> str:
    """Render the prompt for one smaller question, or (None) for the question itself."""
    return render(
        "least-to-most.solve",
        1,
        question=format_question(question),
        kind=question.answer_kind,
        worked=decompositions(),
        solved=solved,
        smaller=smaller,
    )
