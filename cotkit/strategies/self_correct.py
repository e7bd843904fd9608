"""Self-correction by instruction: asked to answer with care (Ganguli et al. 2023)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar, Literal

from cotkit.prompting import format_question, render
from cotkit.stops import answer_line_end
from cotkit.strategies._base import DecodingStrategy, after_cue, one_turn
from cotkit.strategies.standard import Standard
from cotkit.types import Attempt, Flow, Message, Question, Request

_INSTRUCTIONS = ("careful", "unbiased", "none")
_CONDITIONS = ("q", "q-if", "q-if-cot")
_CUE = "The answer is"


@dataclass(frozen=True, kw_only=True)
class SelfCorrect(DecodingStrategy):
    """``standard`` with an instruction to answer well; nothing else differs in ``q-if``.

    Source: the conditions Q, Q+IF and Q+IF+CoT of arXiv:2302.07459, section 3.
    """

    version: ClassVar[int] = 1
    group: ClassVar[str] = "prompt"
    control: ClassVar[str] = "standard"
    instruction: Literal["careful", "unbiased", "none"] = "careful"
    """What is asked for; ``none`` leaves the instruction out of every condition."""
    condition: Literal["q", "q-if", "q-if-cot"] = "q-if"
    """``q``: no instruction (asks what ``standard`` asks); ``q-if``: the instruction in the prompt;
    ``q-if-cot``: also a turn of reasoning about it, then a turn that asks for the answer."""
    max_tokens: int = 32
    """Of the answer."""
    reasoning_tokens: int = 256
    """Of the reasoning turn of ``q-if-cot``, at least 1."""

    def __post_init__(self) -> None:
        """Refuse unknown words and lengths out of range.

        Raises:
            ValueError: names the field and its range.
        """
        DecodingStrategy.__post_init__(self)
        if self.instruction not in _INSTRUCTIONS:
            raise ValueError(
                f"instruction is {self.instruction}, must be careful, unbiased or none"
            )
        if self.condition not in _CONDITIONS:
            raise ValueError(f"condition is {self.condition}, must be q, q-if or q-if-cot")
        if self.reasoning_tokens < 1:
            raise ValueError(f"reasoning_tokens is {self.reasoning_tokens}, must be at least 1")

    @property
    def reasons(self) -> bool:
        """Only ``q-if-cot`` asks for reasoning."""
        return self.condition == "q-if-cot"

    @property
    def prompts(self) -> tuple[str, ...]:
        """Return the released prompts that the condition renders."""
        if self.condition == "q":
            return Standard.prompts
        asking = ("self-correct.v1.jinja", "answer.v1.jinja")
        reasoning = ("self-correct.reasoning.v1.jinja", "self-correct.answer.v1.jinja")
        return (*asking, *reasoning) if self.reasons else asking

    def solve(self, question: Question) -> Flow:
        """Send one request, or two in ``q-if-cot``."""
        if self.condition == "q":
            decoding = {field.name: getattr(self, field.name) for field in fields(DecodingStrategy)}
            return Standard(**decoding).solve(question)
        prompt = render(
            "self-correct",
            1,
            question=format_question(question),
            kind=question.answer_kind,
            instruction=self.instruction,
            cued=not self.reasons,
        )
        if self.reasons:
            return self._reason_first(prompt, question)
        stop_after = answer_line_end(question.answer_kind, cue_spoken=True)
        return one_turn(prompt, self.decoding(stop=("\nQ:",), stop_after=stop_after), cue=_CUE)

    def _reason_first(self, prompt: str, question: Question) -> Flow:
        ask = Message(role="user", content=prompt)
        begun = render("self-correct.reasoning", 1, instruction=self.instruction)
        begin = Message(role="assistant", content=begun)
        thinking = self.decoding(stop=("\nQ:",), max_tokens=self.reasoning_tokens)
        (thoughts,) = yield Request(messages=(ask, begin), decoding=thinking)
        reply = Message(role="assistant", content=after_cue(begun, thoughts.text))
        extract = Message(role="user", content=render("self-correct.answer", 1))
        stop_after = answer_line_end(question.answer_kind, cue_spoken=True)
        decoding = self.decoding(stop=("\nQ:",), stop_after=stop_after)
        (answer,) = yield Request(messages=(ask, reply, extract), decoding=decoding)
        return Attempt(text=after_cue(_CUE, answer.text), stop_reason=answer.stop_reason)
