"""A server's script that solves arithmetic, in words on which readers disagree."""

from __future__ import annotations

from collections.abc import Sequence

from cotkit.types import Problem
from tests.fake_api import Script
from tests.fake_asked import Body, last_user
from tests.fake_wire import Answer, default_answer

FORMS = (
    "We work it out. The answer is {right}.",
    "We work it out. The answer is {right}",  # lm-eval's strict filter loses the last digit
    "We work it out. The answer is {wrong}.",
    "We work it out: {right}",  # no marker
    "#### {right}",
    "The answer is {wrong}. No: #### {right}",
    "I do not know.",
)
"""How the answers end, one after another in the order of the problems."""


def solves(problems: Sequence[Problem]) -> Script:
    """Answers the problem that a prompt ends in; what is no such prompt gets the usual answer."""
    found = {one.question.text: (at, one.gold) for at, one in enumerate(problems)}

    def answer(body: Body, _n_before: int) -> Answer:
        asked = last_user(body)
        text = next((text for text in found if text in asked), None)
        if text is None:
            return default_answer(body, 3)
        at, gold = found[text]
        said = FORMS[at % len(FORMS)].format(right=gold, wrong=int(gold) + 1)
        return Answer(text=said)

    return answer
