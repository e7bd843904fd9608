"""What strategies share: the decoding of a request, and the flow of a single turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from cotkit.prompting import format_question, render
from cotkit.stops import answer_line_end
from cotkit.types import (
    EFFORTS,
    LATER,
    Attempt,
    Decoding,
    Exemplar,
    Flow,
    Message,
    Question,
    Request,
)


@dataclass(frozen=True, kw_only=True)
class DecodingStrategy:
    """Base of strategies that decode in one way throughout."""

    max_tokens: int
    """The most tokens of the main completion, at least 1."""
    temperature: float = 0.0
    """0 is greedy; above 0 samples."""
    top_p: float = 1.0
    """Nucleus mass in (0, 1]."""
    top_k: int = 0
    """Sample among the k likeliest tokens; 0 is off."""
    seed: int = 0
    """Base seed of sampled decoding; without effect when greedy."""
    thinking: str | None = field(default=None, metadata=LATER)
    """``off``, ``on``, an effort (``minimal`` to ``max``) or a budget in tokens; None: as the model
    does by itself."""
    max_thinking_tokens: int | None = field(default=None, metadata=LATER)
    """The most tokens of thinking of one completion; None: generous, by effort."""

    def __post_init__(self) -> None:
        """Refuse values no decoder can take.

        Raises:
            ValueError: names the field and its range.
        """
        if self.max_tokens < 1:
            raise ValueError(f"max_tokens is {self.max_tokens}, must be at least 1")
        if self.temperature < 0:
            raise ValueError(f"temperature is {self.temperature}, must be 0 or more")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p is {self.top_p}, must be in (0, 1]")
        if self.top_k < 0:
            raise ValueError(f"top_k is {self.top_k}, must be 0 (off) or more")
        check_thinking(self.thinking, self.max_thinking_tokens)

    def decoding(
        self, *, stop: tuple[str, ...], stop_after: str | None = None, max_tokens: int | None = None
    ) -> Decoding:
        """Return a decoding with these stop rules; ``max_tokens``: another limit for a turn."""
        return Decoding(
            max_tokens=self.max_tokens if max_tokens is None else max_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            stop=stop,
            stop_after=stop_after,
            seed=self.seed if self.temperature > 0 else None,
            thinking=self.thinking,
            max_thinking_tokens=self.max_thinking_tokens,
        )


def check_thinking(setting: str | None, most: int | None) -> None:
    """Refuse a setting of thinking that no model has.

    Raises:
        ValueError: names the field and what it may be.
    """
    is_budget = setting is not None and setting.isascii() and setting.isdecimal()
    if setting is not None and not is_budget and setting not in {"off", "on", *EFFORTS}:
        raise ValueError(
            f"thinking={setting} is not off, on, {', '.join(EFFORTS)} or a budget in tokens"
        )
    if most is not None and most < 1:
        raise ValueError(f"max_thinking_tokens is {most}, must be at least 1")
    if most is not None and setting == "off":
        raise ValueError("max_thinking_tokens with thinking=off: leave one out")
    if most is not None and is_budget:
        raise ValueError(f"thinking={setting} is a limit already: leave max_thinking_tokens out")


def one_turn(prompt: str, decoding: Decoding, *, cue: str = "") -> Flow:
    """Ask once. ``cue`` is the end of the prompt that the readers need to see again."""
    ask = Message(role="user", content=prompt)
    (answer,) = yield Request(messages=(ask,), decoding=decoding)
    return Attempt(text=after_cue(cue, answer.text), stop_reason=answer.stop_reason)


def reason_then_answer(
    strategy: DecodingStrategy, prompt: str, question: Question, *, answer_tokens: int
) -> Flow:
    """Ask for reasoning, then in the same conversation for the answer to it."""
    ask = Message(role="user", content=prompt)
    (reasoning,) = yield Request(messages=(ask,), decoding=strategy.decoding(stop=("\nQ:",)))
    reply = Message(role="assistant", content=reasoning.text)
    extract = Message(role="user", content=render("zero-shot-cot.extract", 1))
    decoding = strategy.decoding(
        stop=("\nQ:",),
        stop_after=answer_line_end(question.answer_kind, cue_spoken=True),
        max_tokens=answer_tokens,
    )
    (answer,) = yield Request(messages=(ask, reply, extract), decoding=decoding)
    text = after_cue("The answer is", answer.text)
    return Attempt(text=text, stop_reason=answer.stop_reason)


def few_shot_turn(
    strategy: DecodingStrategy, prompt_id: str, question: Question, exemplars: Sequence[Exemplar]
) -> Flow:
    """Ask once behind exemplars; the answer ends at its answer line or the next question.

    One place for all, so that few-shot strategies differ in their exemplars' answers only.
    """
    prompt = render(
        prompt_id,
        1,
        question=format_question(question),
        kind=question.answer_kind,
        exemplars=exemplars,
    )
    stop_after = answer_line_end(question.answer_kind)
    return one_turn(prompt, strategy.decoding(stop=("\nQ:",), stop_after=stop_after))


def after_cue(cue: str, text: str) -> str:
    """Join a cue and the text behind it, with the space that chat models leave out."""
    return f"{cue} {text}" if cue and not text[:1].isspace() else cue + text
