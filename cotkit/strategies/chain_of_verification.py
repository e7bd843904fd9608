"""Chain-of-verification: checks answered apart from the draft (Dhuliawala et al. 2023)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from cotkit.prompting import format_question, render
from cotkit.stops import answer_line_end
from cotkit.strategies._base import FIRST_LINE, Bounds, DecodingStrategy, make_request
from cotkit.strategies._lists import read_list
from cotkit.strategies._talk import as_many_samples, draft
from cotkit.types import Attempt, Exemplar, Flow, Question


@dataclass(frozen=True, kw_only=True)
class ChainOfVerification(DecodingStrategy):
    """The answer of ``cot``, a list of checks, each answered by itself, and a revised answer.

    Source: arXiv:2309.11495, section 3 ("factored": who answers a check does not see the draft).
    """

    version: ClassVar[int] = 1
    group: ClassVar[str] = "several turns"
    prompts: ClassVar[tuple[str, ...]] = (
        "cot.v1.jinja",
        "chain-of-verification.plan.v1.jinja",
        "chain-of-verification.check.v1.jinja",
        "chain-of-verification.revise.v1.jinja",
        "answer.v1.jinja",
    )
    control: ClassVar[str] = "cot"
    reasons: ClassVar[bool] = True
    bounds: ClassVar[Bounds] = {"checks": (1, 10), "check_tokens": (1, None)}
    exemplars: tuple[Exemplar, ...]
    """Shown before the draft, as in ``cot``; at least one."""
    max_tokens: int = 256
    """Of the draft, and of the revised answer."""
    check_tokens: int = 96
    """Of the list of checks, and of each finding."""
    checks: int = 3
    """The most checks, 1 to 10."""

    def same_cost(self) -> str:
        """Return the control with as many calls for fresh samples, if all checks are asked for."""
        return as_many_samples(3 + self.checks, self.max_tokens)

    def solve(self, question: Question) -> Flow:
        """Ask for the draft, its checks, each finding, and the answer after them."""
        kind, words = question.answer_kind, format_question(question)
        answer = (yield from draft(self, self.exemplars, question)).attempt
        text = answer.text.strip()
        variables = {"question": words, "draft": text}
        decoding = self.decoding(stop=("\nQ:",), max_tokens=self.check_tokens)
        prompt = render("chain-of-verification.plan", 1, checks=self.checks, **variables)
        (plan,) = yield make_request(prompt, decoding)
        decoding = replace(decoding, stop_after=FIRST_LINE)
        findings: list[dict[str, str]] = []
        for check in read_list(plan)[: self.checks]:
            prompt = render("chain-of-verification.check", 1, question=words, check=check)
            (reply,) = yield make_request(prompt, decoding)
            findings.append({"check": check, "finding": " ".join(reply.text.split())})
        prompt = render(
            "chain-of-verification.revise", 1, kind=kind, findings=findings, **variables
        )
        decoding = self.decoding(stop=("\nQ:",), stop_after=answer_line_end(kind))
        (revised,) = yield make_request(prompt, decoding)
        return Attempt(text=revised.text, stop_reason=revised.stop_reason, drafts=(answer,))
