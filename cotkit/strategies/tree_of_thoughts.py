"""Tree of thoughts: several next steps, scored, and the best carried on (Yao et al. 2023)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cotkit.prompting import format_question, render
from cotkit.stops import answer_line_end
from cotkit.strategies._base import FIRST_LINE, Bounds, DecodingStrategy, make_request, one_turn
from cotkit.strategies._samples import MOST_SAMPLES, greedy, read_number
from cotkit.strategies.zero_shot_cot import ZeroShotCot
from cotkit.types import Flow, Question

_Steps = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class TreeOfThoughts(DecodingStrategy):
    """Breadth-first search over the next steps; the model proposes them and scores what they make.

    Source: arXiv:2305.10601, section 3 (sampled thoughts, values, breadth-first). The answer is
    asked for behind the best steps. Its same-cost control is a vote of as many tokens: steps and
    scores are far shorter than chains, so as many calls would cost much more.
    """

    version: ClassVar[int] = 1
    group: ClassVar[str] = "several turns"
    prompts: ClassVar[tuple[str, ...]] = (
        "tree-of-thoughts.propose.v1.jinja",
        "tree-of-thoughts.value.v1.jinja",
        "tree-of-thoughts.answer.v1.jinja",
        "answer.v1.jinja",
    )
    control: ClassVar[str] = "standard"
    reasons: ClassVar[bool] = True
    bounds: ClassVar[Bounds] = {
        "breadth": (1, 10),
        "proposals": (2, 20),
        "depth": (1, 10),
        "thought_tokens": (1, None),
        "value_tokens": (1, None),
    }
    draws_samples: ClassVar[bool] = True
    max_tokens: int = 256
    """Of the answer behind the steps."""
    temperature: float = 0.7
    """Above 0: greedy proposals would all be the same."""
    breadth: int = 2
    """Sequences of steps that are carried on, 1 to 10."""
    proposals: int = 3
    """Next steps drawn for each of them, 2 to 20."""
    depth: int = 2
    """Steps before the answer, 1 to 10."""
    thought_tokens: int = 80
    """Of each step."""
    value_tokens: int = 48
    """Of each score, which is greedy."""

    def same_cost(self) -> str:
        """Return the vote whose samples may write as many tokens as all turns of this."""
        n_steps = self.proposals * (1 + self.breadth * (self.depth - 1))
        n_tokens = n_steps * (self.thought_tokens + self.value_tokens) + self.max_tokens
        of_a_sample = ZeroShotCot.max_tokens + ZeroShotCot.answer_tokens
        return f"zero-shot-self-consistency:k={min(MOST_SAMPLES, -(-n_tokens // of_a_sample))}"

    def solve(self, question: Question) -> Flow:
        """Send a request for the next steps of each sequence, one for each score, one to answer."""
        words = format_question(question)
        proposing = self.decoding(
            stop=("\nQ:",), stop_after=FIRST_LINE, max_tokens=self.thought_tokens
        )
        scoring = greedy(self.decoding(stop=("\nQ:",), max_tokens=self.value_tokens))
        draws = tuple(range(self.proposals))
        frontier: list[_Steps] = [()]
        for _ in range(self.depth):
            candidates: dict[_Steps, int] = {}
            for steps in frontier:
                prompt = render("tree-of-thoughts.propose", 1, question=words, steps=steps)
                thoughts = yield make_request(prompt, proposing, draws)
                for thought in dict.fromkeys(" ".join(x.text.split()) for x in thoughts):
                    if thought:
                        candidates[(*steps, thought)] = 0
            for steps in candidates:
                prompt = render("tree-of-thoughts.value", 1, question=words, steps=steps)
                (reply,) = yield make_request(prompt, scoring)
                candidates[steps] = read_number("Score", reply, 10) or 0
            best = sorted(candidates, key=candidates.__getitem__, reverse=True)[: self.breadth]
            frontier = best or frontier
        kind = question.answer_kind
        prompt = render("tree-of-thoughts.answer", 1, question=words, kind=kind, steps=frontier[0])
        decoding = self.decoding(stop=("\nQ:",), stop_after=answer_line_end(kind))
        return (yield from one_turn(prompt, decoding))
