"""What to ask after an attempt: how likely given options are where the answer began. Pure.

A probe is the attempt's own conversation up to its answer cue, with the options as continuations.
It is stored as every request is, but is no turn of the attempt: ``Store.turns`` and the costs of an
``AttemptRow`` leave it out, so that arms are compared by what they spend (a budget counts it). It
is found again by :func:`probe` on the last turn that the store holds.
"""

from __future__ import annotations

import re

from cotkit.run.plan import Plan
from cotkit.scoring.measure import options_of
from cotkit.types import Attempt, BackendInfo, Completion, Decoding, Message, Problem, Request

CUE = "The answer is"
_CUE = re.compile(re.escape(CUE), re.IGNORECASE)
_WORD = re.compile(r"\w")
_ONE_TOKEN = Decoding(max_tokens=1)


def options_to_weigh(problem: Problem, *, likelihood: bool) -> tuple[str, ...]:
    """The answers whose log-probability is asked: the options, or the gold answer; or none.

    ``likelihood``: also of answers that are numbers, and of gold answers without options.
    """
    if not likelihood and problem.question.answer_kind == "number":
        return ()
    return options_of(problem) or ((problem.gold,) if likelihood else ())


def unweighed_notes(plan: Plan, info: BackendInfo) -> tuple[str, ...]:
    """What to tell a reader where there are options that the model cannot weigh."""
    if "loglikelihood" in info.capabilities:
        return ()
    if not any(options_to_weigh(problem, likelihood=False) for problem in plan.problems):
        return ()
    said = f"{info.model} does not tell the log-probability of given answers"
    return (f"the options were not weighed: {said}",)


def count_weighed_options(plan: Plan, info: BackendInfo) -> int:
    """Options that the probes of a plan come to, at most: for each attempt all of its problem's."""
    if "loglikelihood" not in info.capabilities:
        return 0
    likelihood = plan.spec.likelihood
    return len(plan.arms) * sum(
        len(options_to_weigh(p, likelihood=likelihood)) for p in plan.problems
    )


def make_likelihood_request(
    attempt: Attempt,
    asked: Request,
    said: Completion,
    options: tuple[str, ...],
    *,
    reasons: bool,
) -> Request | None:
    """The probe of an attempt; None where there is no place at which its answer began.

    That is so for votes, refusals, reasoning kept apart (it cannot be said again), and answers that
    are not the words of the last completion (a program's, a calculator's, an earlier round's).

    Args:
        attempt: What came of it.
        asked: The last request of its flow.
        said: What that brought.
        options: What to weigh; empty gives None.
        reasons: Whether the strategy reasons before the answer. Where not, words that stand before
            the cue all the same are left out: the options follow the bare cue, as in its exemplars.
    """
    is_plain = not (attempt.is_vote or said.stop_reason == "refusal" or said.reasoning)
    if not options or asked.options or not is_plain or not attempt.text.endswith(said.text):
        return None
    messages = asked.messages
    if attempt.text == said.text:
        messages = _continue_messages(messages, _text_up_to_cue(said.text, reasons=reasons))
    elif not attempt.text.startswith(CUE):  # else the prompt itself ends in a cue
        return None
    return Request(
        messages=messages,
        decoding=_ONE_TOKEN,
        samples=tuple(range(len(options))),
        options=tuple(f" {option.strip()}" for option in options),
    )


def chain_text(attempt: Attempt, asked: Request) -> str:
    """The text that holds an attempt's reasoning: its own, after a turn before that it rests on."""
    before = [message.content for message in asked.messages if message.role == "assistant"]
    cue_was_asked = asked.messages[-1].role == "user" and attempt.text.startswith(CUE)
    return f"{before[-1]}\n{attempt.text}" if before and cue_was_asked else attempt.text


def _text_up_to_cue(text: str, *, reasons: bool) -> str:
    """The model's words to the end of its last cue; a cue is added where it spoke none."""
    cues = list(_CUE.finditer(text))
    before = text[: cues[-1].start()] if cues else text
    if not reasons and _WORD.search(before):
        return f" {CUE}"
    return text[: cues[-1].end()] if cues else f"{before.rstrip()} {CUE}"


def _continue_messages(messages: tuple[Message, ...], words: str) -> tuple[Message, ...]:
    """The conversation with these words of the assistant, who may have begun already."""
    last = messages[-1]
    if last.role == "assistant":
        return (*messages[:-1], Message(role="assistant", content=last.content + words))
    return (*messages, Message(role="assistant", content=words))
