"""Contrastive chain-of-thought: each exemplar also shows a wrong chain (Chia et al. 2023)."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import ClassVar

from cotkit.prompting import format_question, render
from cotkit.stops import answer_line_end
from cotkit.strategies._base import DecodingStrategy, one_turn
from cotkit.types import Exemplar, Flow, Question

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


@dataclass(frozen=True, kw_only=True)
class ContrastedExemplar:
    """An exemplar, and the same with reasoning that does not hold."""

    sound: Exemplar
    """As it is."""
    wrong: Exemplar
    """With another rationale and answer."""


@dataclass(frozen=True, kw_only=True)
class ContrastiveCot(DecodingStrategy):
    """``cot`` with a wrong chain and answer below each right one; nothing else differs.

    Source: arXiv:2311.09277, section 3 (incoherent objects): the numbers of a rationale change
    places, and its answer with them. One whose answer is no number of it has the rationale and
    answer of the next exemplar with another answer in place of its own.
    """

    version: ClassVar[int] = 1
    group: ClassVar[str] = "exemplars"
    prompts: ClassVar[tuple[str, ...]] = ("contrastive-cot.v1.jinja", "answer.v1.jinja")
    control: ClassVar[str] = "cot"
    reasons: ClassVar[bool] = True
    exemplars: tuple[Exemplar, ...]
    """Shown in this order, at least one."""
    max_tokens: int = 256

    def __post_init__(self) -> None:
        """Refuse exemplars of which nothing wrong can be made.

        Raises:
            ValueError: names the exemplar, or the field and its range.
        """
        DecodingStrategy.__post_init__(self)
        self._contrasts()

    def solve(self, question: Question) -> Flow:
        """Send one request."""
        kind, words = question.answer_kind, format_question(question)
        contrasts = self._contrasts()
        prompt = render("contrastive-cot", 1, question=words, kind=kind, exemplars=contrasts)
        decoding = self.decoding(stop=("\nQ:", "\nWrong answer:"), stop_after=answer_line_end(kind))
        return one_turn(prompt, decoding)

    def _contrasts(self) -> tuple[ContrastedExemplar, ...]:
        n = len(self.exemplars)
        return tuple(
            ContrastedExemplar(sound=x, wrong=_make_wrong(x, (self.exemplars * 2)[i + 1 : i + n]))
            for i, x in enumerate(self.exemplars)
        )


def _make_wrong(exemplar: Exemplar, others: tuple[Exemplar, ...]) -> Exemplar:
    """Return an exemplar that cannot be right: each number is the next one of its rationale."""
    numbers = list(dict.fromkeys(_NUMBER.findall(exemplar.rationale)))
    if len(numbers) > 1 and exemplar.answer in numbers:
        following = dict(zip(numbers, [*numbers[1:], numbers[0]], strict=True))
        rationale = _NUMBER.sub(lambda match: following[match[0]], exemplar.rationale)
        return replace(exemplar, rationale=rationale, answer=following[exemplar.answer])
    for other in others:
        if other.answer != exemplar.answer:
            return replace(exemplar, rationale=other.rationale, answer=other.answer)
    raise ValueError(
        f"no wrong chain for the exemplar {exemplar.question[:60]!r}: its rationale does not reach "
        "its answer in numbers, and no exemplar has another answer"
    )
