"""The panel: every reader by name, with the comparison that belongs to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from cotkit.scoring import answers, kinds, peers
from cotkit.scoring.numbers import parse_gold
from cotkit.types import AnswerKind, Question, Reading

ALL_KINDS: frozenset[AnswerKind] = frozenset({"number", "choice", "text"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """How an answer is found in a text and compared with the gold answer."""

    summary: str
    """What it reads, in one line."""
    read: Callable[[str, Question], Reading]
    """Text to reading; total: never raises, linear in the text."""
    equals: Callable[[str, str, Question], bool]
    """(value read, gold, question) -> whether this reader calls it correct."""
    kinds: frozenset[AnswerKind]
    """Answer kinds it can read; it has no reading for the others."""
    is_ours: bool
    """Ours read what is left after reasoning, and guess nothing from a text cut at its limit."""


def equals_exactly(value: str, gold: str, question: Question) -> bool:
    """Exact equality: of fractions, of choice letters, or of normalised text.

    Raises:
        ValueError: the gold answer of a number question is not a number.
    """
    match question.answer_kind:
        case "number":
            return parse_gold(value) == parse_gold(gold)
        case "choice":
            return kinds.equals_choice(value, gold, question)
        case "text":
            return kinds.equals_text(value, gold, question)


def _read(text: str, question: Question, *, guess: bool) -> Reading:
    match question.answer_kind:
        case "number":
            return answers.read_anything(text) if guess else answers.read_marked(text)
        case "choice":
            return kinds.read_choice(text, question, guess=guess)
        case "text":
            return kinds.read_text(text, question, guess=guess)


def _ours(summary: str, *, guess: bool) -> Reader:
    read = partial(_read, guess=guess)
    return Reader(summary=summary, read=read, equals=equals_exactly, kinds=ALL_KINDS, is_ours=True)


def _peer(
    summary: str,
    read: Callable[[str, Question], Reading],
    equals: Callable[[str, str, Question], bool],
) -> Reader:
    return Reader(
        summary=summary, read=read, equals=equals, kinds=frozenset({"number"}), is_ours=False
    )


READERS: Mapping[str, Reader] = MappingProxyType(
    {
        "strict": _ours("A completed answer line, \\boxed{} or ####; nothing else.", guess=False),
        "flexible": _ours("As strict, then ranked guesses down to the last number.", guess=True),
        "lm-eval-strict": _peer(
            "lm-eval's strict-match filters of gsm8k and gsm8k-cot, their traps included.",
            peers.read_lm_eval_strict,
            peers.equals_lm_eval,
        ),
        "lm-eval-flexible": _peer(
            "lm-eval's flexible-extract filter: the last number-like run.",
            peers.read_lm_eval_flexible,
            peers.equals_lm_eval,
        ),
        "inspect-match": _peer(
            "Inspect's match(numeric=True): compares five significant digits.",
            peers.read_inspect_match,
            peers.equals_inspect_match,
        ),
    }
)
"""Reader name -> reader, ours first."""
