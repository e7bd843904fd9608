"""What strategies share: the decoding of a request, and the flow of a single turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, TypeAlias

from cotkit.prompting import format_question, read_language, render
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

FIRST_LINE = r"\S[^\n]*(?=\n)"
"""``stop_after`` of a turn of one line; chat models may begin with an empty one."""

Bounds: TypeAlias = Mapping[str, tuple[int, int | None]]
"""Field -> the least and the most that it may be; None: no most."""


@dataclass(frozen=True, kw_only=True)
class DecodingStrategy:
    """Base of strategies that decode in one way throughout."""

    bounds: ClassVar[Bounds] = {}
    """What its whole numbers may be."""
    draws_samples: ClassVar[bool] = False
    """Whether it asks the same several times, so that it cannot be greedy."""
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
        if self.draws_samples and self.temperature == 0:
            raise ValueError("temperature is 0, must be above 0: greedy samples are all the same")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p is {self.top_p}, must be in (0, 1]")
        if self.top_k < 0:
            raise ValueError(f"top_k is {self.top_k}, must be 0 (off) or more")
        check_thinking(self.thinking, self.max_thinking_tokens)
        for name, (least, most) in self.bounds.items():
            value = getattr(self, name)
            if value < least or (most is not None and value > most):
                limits = f"at least {least}" if most is None else f"{least} to {most}"
                raise ValueError(f"{name} is {value}, must be {limits}")

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


def make_request(prompt: str, decoding: Decoding, samples: tuple[int, ...] = (0,)) -> Request:
    """Return the request of a prompt that stands alone."""
    ask = Message(role="user", content=prompt)
    return Request(messages=(ask,), decoding=decoding, samples=samples)


def one_turn(prompt: str, decoding: Decoding, *, cue: str = "") -> Flow:
    """Ask once. ``cue`` is the end of the prompt that the readers need to see again."""
    (answer,) = yield make_request(prompt, decoding)
    return Attempt(text=after_cue(cue, answer.text), stop_reason=answer.stop_reason)


def reason_then_answer(
    strategy: DecodingStrategy, prompt: str, question: Question, *, answer_tokens: int
) -> Flow:
    """Ask for reasoning, then in the same conversation for the answer to it."""
    (reasoning,) = yield make_request(prompt, strategy.decoding(stop=("\nQ:",)))
    return (yield from ask_answer(strategy, prompt, reasoning.text, question, answer_tokens))


def ask_answer(
    strategy: DecodingStrategy,
    prompt: str,
    reasoning: str,
    question: Question,
    answer_tokens: int,
    *,
    words: str | None = None,
    sample: int = 0,
) -> Flow:
    """Ask for the answer to some reasoning, in ``words`` or in those of ``zero-shot-cot``."""
    ask = Message(role="user", content=prompt)
    reply = Message(role="assistant", content=reasoning)
    extract = Message(role="user", content=words or render("zero-shot-cot.extract", 1))
    decoding = strategy.decoding(
        stop=("\nQ:",),
        stop_after=answer_line_end(question.answer_kind, cue_spoken=True),
        max_tokens=answer_tokens,
    )
    messages = (ask, reply, extract)
    (answer,) = yield Request(messages=messages, decoding=decoding, samples=(sample,))
    text = after_cue("The answer is", answer.text)
    return Attempt(text=text, stop_reason=answer.stop_reason)


def few_shot_turn(
    strategy: DecodingStrategy, prompt_id: str, question: Question, exemplars: Sequence[Exemplar]
) -> Flow:
    """Ask once behind exemplars; the answer ends at its answer line or the next question.

    One place for all, so that few-shot strategies differ in their exemplars' answers only. Of a
    question in another language the answer lines are in it, too, where the prompt has such a form;
    readers get the English one.
    """
    if question.language is not None and prompt_id in _NATIVE:
        return _native_turn(strategy, prompt_id, question, exemplars)
    prompt = render(
        prompt_id,
        1,
        question=format_question(question),
        kind=question.answer_kind,
        exemplars=exemplars,
    )
    stop_after = answer_line_end(question.answer_kind)
    return one_turn(prompt, strategy.decoding(stop=("\nQ:",), stop_after=stop_after))


_NATIVE = frozenset({"cot", "few-shot"})
"""Prompts that have a form with answer lines in the language of the question."""


def _native_turn(
    strategy: DecodingStrategy, prompt_id: str, question: Question, exemplars: Sequence[Exemplar]
) -> Flow:
    cue = read_language(question.language or "en")["cue"]
    prompt = render(
        f"{prompt_id}.native",
        1,
        question=format_question(question),
        kind=question.answer_kind,
        cue=cue,
        exemplars=exemplars,
        cues=[read_language(exemplar.language or "en")["cue"] for exemplar in exemplars],
    )
    stop_after = answer_line_end(question.answer_kind, cue=cue)
    attempt = yield from one_turn(prompt, strategy.decoding(stop=("\nQ:",), stop_after=stop_after))
    return replace(attempt, text=attempt.text.replace(cue, "The answer is"))


def after_cue(cue: str, text: str) -> str:
    """Join a cue and the text behind it, with the space that chat models leave out."""
    return f"{cue} {text}" if cue and not text[:1].isspace() else cue + text
