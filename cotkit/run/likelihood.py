"""Likelihood requests: how likely given options are at the place where an answer began. Pure.

The likelihood request of an attempt is its own conversation up to its answer cue, with the options
as continuations. It is stored like every request, but is no turn of the attempt: ``Store.turns``
and the costs of an ``AttemptRow`` leave it out, so that arms are compared by what they spend (a
budget counts it). :func:`make_likelihood_request` makes it again from the last stored turn.
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


def select_options(problem: Problem, *, likelihood: bool) -> tuple[str, ...]:
    """Return the answers to score by log-probability: the options, the gold answer, or none.

    ``likelihood``: score numbers too, and the gold answer where there are no options.
    """
    if not likelihood and problem.question.answer_kind == "number":
        return ()
    return options_of(problem) or ((problem.gold,) if likelihood else ())


def note_unscored_options(plan: Plan, info: BackendInfo) -> tuple[str, ...]:
    """Return a note for the report where there are options that the model cannot score."""
    if "loglikelihood" in info.capabilities:
        return ()
    if not any(select_options(problem, likelihood=False) for problem in plan.problems):
        return ()
    reason = f"{info.model} does not give the log-probability of given answers"
    return (f"the options were not scored: {reason}",)


def count_scored_options(plan: Plan, info: BackendInfo) -> int:
    """Count the options that a plan scores at most: for each attempt all of its problem's."""
    if "loglikelihood" not in info.capabilities:
        return 0
    likelihood = plan.spec.likelihood
    return len(plan.arms) * sum(
        len(select_options(p, likelihood=likelihood)) for p in plan.problems
    )


def make_likelihood_request(
    attempt: Attempt,
    request: Request,
    completion: Completion,
    options: tuple[str, ...],
    *,
    reasons: bool,
) -> Request | None:
    """Make the likelihood request of an attempt; None where its answer began at no known place.

    That is so for votes, refusals, reasoning kept apart (it cannot be sent again), and answers that
    are not the words of the last completion (a program's, a calculator's, an earlier round's).

    Args:
        attempt: The attempt.
        request: The last request of its flow.
        completion: The answer to that request.
        options: Answers to score; empty gives None.
        reasons: Whether the strategy reasons before the answer. If not, words before the cue are
            left out: the options follow the bare cue, as in its exemplars.
    """
    is_plain = not (attempt.is_vote or completion.stop_reason == "refusal" or completion.reasoning)
    if not options or request.options or not is_plain or not attempt.text.endswith(completion.text):
        return None
    messages = request.messages
    if attempt.text == completion.text:
        messages = _continue_messages(messages, _text_up_to_cue(completion.text, reasons=reasons))
    elif not attempt.text.startswith(CUE):  # else the prompt itself ends in a cue
        return None
    return Request(
        messages=messages,
        decoding=_ONE_TOKEN,
        samples=tuple(range(len(options))),
        options=tuple(f" {option.strip()}" for option in options),
    )


def chain_text(attempt: Attempt, request: Request) -> str:
    """Return the text with an attempt's reasoning: its own, after that of the turn before it."""
    before = [message.content for message in request.messages if message.role == "assistant"]
    cue_was_asked = request.messages[-1].role == "user" and attempt.text.startswith(CUE)
    return f"{before[-1]}\n{attempt.text}" if before and cue_was_asked else attempt.text


def _text_up_to_cue(text: str, *, reasons: bool) -> str:
    """Return the model's words up to the end of its last cue; one is added where there is none."""
    cues = list(_CUE.finditer(text))
    before = text[: cues[-1].start()] if cues else text
    if not reasons and _WORD.search(before):
        return f" {CUE}"
    return text[: cues[-1].end()] if cues else f"{before.rstrip()} {CUE}"


def _continue_messages(messages: tuple[Message, ...], words: str) -> tuple[Message, ...]:
    """Return the conversation with these words added to the assistant's last message, or as one."""
    last = messages[-1]
    if last.role == "assistant":
        return (*messages[:-1], Message(role="assistant", content=last.content + words))
    return (*messages, Message(role="assistant", content=words))
