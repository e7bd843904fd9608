"""Native chain-of-thought: reasoning in the language of the question (Shi et al. 2022)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cotkit.prompting import format_question, read_language, render
from cotkit.strategies._base import Bounds, DecodingStrategy, ask_answer, make_request
from cotkit.types import Flow, Question


@dataclass(frozen=True, kw_only=True)
class NativeCot(DecodingStrategy):
    """``zero-shot-cot`` whose trigger and answer cue are in the language of the question.

    Source: NATIVE-CoT of arXiv:2210.03057, section 3, without exemplars; its pair is
    ``english-cot``. No word of the prompt is English, but for questions in English.
    """

    version: ClassVar[int] = 1
    group: ClassVar[str] = "prompt"
    prompts: ClassVar[tuple[str, ...]] = (
        "native-cot.v1.jinja",
        "native-cot.extract.v1.jinja",
        "languages.v1.jsonl",
    )
    control: ClassVar[str] = "standard"
    reasons: ClassVar[bool] = True
    bounds: ClassVar[Bounds] = {"answer_tokens": (1, None)}
    max_tokens: int = 320
    """Of the reasoning turn."""
    answer_tokens: int = 32
    """Of the extraction turn."""
    language: str | None = None
    """Code of the language (``de``, ``zh``, ...), as ``prompts/languages.v1.jsonl`` has it; None:
    as each question says."""

    def __post_init__(self) -> None:
        """Refuse a language of which there are no words.

        Raises:
            UnknownNameError: names those that there are.
            ValueError: names the field and its range.
        """
        DecodingStrategy.__post_init__(self)
        if self.language is not None:
            read_language(self.language)

    def same_cost(self) -> str:
        """Return the control with as many calls, with English words around the question."""
        return "zero-shot-cot"

    def solve(self, question: Question) -> Flow:
        """Send two requests, the second with the first one's completion."""
        language = read_language(self.language or question.language or "en")
        words = format_question(question)
        prompt = render("native-cot", 1, question=words, trigger=language["trigger"])
        (reasoning,) = yield make_request(prompt, self.decoding(stop=("\nQ:",)))
        cue = render("native-cot.extract", 1, cue=language["cue"])
        text, tokens = reasoning.text, self.answer_tokens
        return (yield from ask_answer(self, prompt, text, question, tokens, words=cue))
