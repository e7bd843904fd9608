"""Log-likelihoods of given options: from an echoed prompt, or from a chat's first token."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, cast

from cotkit.backends._hosted.policy import Malformed
from cotkit.backends._openai.protocol import (
    Usage,
    answering_model,
    chat_messages,
    raw_prompt,
    read_choices,
    sent_parameters,
)
from cotkit.backends._openai.setup import Body, ServerSetup
from cotkit.errors import BackendError
from cotkit.types import Completion, Request

_MOST_NATS = 1e6
_ROUNDING = 1e-3
_N_TOP = 20  # likeliest tokens; no server gives more


class NoLogprobsError(Malformed):
    """An answer without the log-probabilities that were asked for."""


def echo_body(setup: ServerSetup, request: Request, *, max_tokens: int) -> Body:
    """Return a body that asks for all prompts with options back, with log-probabilities."""
    context = raw_prompt(request)
    return {
        "model": setup.model,
        "prompt": [context + option for option in request.options],
        "max_tokens": max_tokens,
        "temperature": 0.0,
        "echo": True,
        "logprobs": 1,
    }


def read_echo(answer: Body, posted: Body, request: Request) -> tuple[Completion, ...]:
    """Return a completion for each option: the tokens that hold a character of it, summed.

    Raises:
        Malformed: not one choice for each option; :class:`NoLogprobsError`: no log-probabilities.
    """
    choices = read_choices(answer, len(request.options))
    if len(choices) < len(request.options):
        raise Malformed(f"{len(choices)} choices came where {len(request.options)} were asked")
    start, n_prompt = len(raw_prompt(request)), Usage(answer.get("usage")).n_prompt
    logprobs_of_options = [
        _overlapping_logprobs(choice, text, start)
        for choice, text in zip(choices, posted["prompt"], strict=True)
    ]
    n_context = (
        n_prompt - sum(len(logprobs) for logprobs in logprobs_of_options)
        if n_prompt is not None
        else None
    )
    return tuple(
        Completion(
            text=option,
            stop_reason="stop",
            n_prompt_tokens=None if n_context is None else n_context // len(logprobs_of_options),
            n_generated_tokens=len(values),
            logprob=sum(values),
            served_by=answering_model(answer),
            sent=sent_parameters(posted),
        )
        for option, values in zip(request.options, logprobs_of_options, strict=True)
    )


def first_token_body(setup: ServerSetup, request: Request) -> Body:
    """Return a body that asks a chat for one token and the 20 likeliest in its place."""
    return {
        "model": setup.model,
        "messages": chat_messages(setup, request),
        setup.rule.max_tokens: 1,
        "temperature": 0.0,
        "logprobs": True,
        "top_logprobs": _N_TOP,
    }


def read_first_token(answer: Body, posted: Body, request: Request) -> tuple[Completion, ...]:
    """Return a completion for each option: its first token stands for it.

    Raises:
        NoLogprobsError: the answer has none.
        BackendError: an option is not among the likeliest, or shares its first token with another.
    """
    (choice,) = read_choices(answer, 1)
    top = _top_logprobs(choice)
    owners = {
        token: [option for option in request.options if _begins_with_token(option, token)]
        for token in top
    }
    completions: list[Completion] = []
    for i, option in enumerate(request.options):
        own_tokens = [token for token, options in owners.items() if option in options]
        if not own_tokens:
            raise BackendError(
                f"{option!r} begins with none of the {_N_TOP} likeliest tokens",
                hint="score options with --model-args api=completions, or logprobs=false",
            )
        if any(len(owners[token]) > 1 for token in own_tokens):
            raise BackendError(
                f"the first token of {option!r} begins another option, too",
                hint="score options with --model-args api=completions, or logprobs=false",
            )
        completions.append(
            Completion(
                text=option,
                stop_reason="stop",
                n_prompt_tokens=Usage(answer.get("usage")).n_prompt if i == 0 else 0,
                n_generated_tokens=1,
                logprob=max(top[token] for token in own_tokens),
                served_by=answering_model(answer),
                sent=sent_parameters(posted),
            )
        )
    return tuple(completions)


def _overlapping_logprobs(choice: Body, text: str, start: int) -> Sequence[float]:
    """Return the log-probabilities of the tokens that overlap ``text[start:]``."""
    logprobs: Any = choice.get("logprobs")
    tokens: Any = logprobs.get("tokens") if isinstance(logprobs, dict) else None
    values: Any = logprobs.get("token_logprobs") if isinstance(logprobs, dict) else None
    if not isinstance(tokens, list) or not isinstance(values, list) or len(tokens) != len(values):
        raise NoLogprobsError("the server dropped the log-probabilities")
    if not all(isinstance(token, str) for token in tokens):
        raise NoLogprobsError("a token is no text")
    offsets = _token_offsets(tokens, logprobs.get("text_offset"), text)
    ends = [*offsets[1:], len(text)]
    inside = [
        value
        for value, begin, end in zip(values, offsets, ends, strict=True)
        if begin < len(text) and end > start
    ]
    if not inside or not all(map(_is_logprob, inside)):
        raise NoLogprobsError("the server dropped the log-probabilities of the option")
    return [min(value, 0.0) for value in inside]


def _token_offsets(tokens: list[str], server_offsets: object, text: str) -> list[int]:
    """Return where each token begins in ``text``; a begin-of-text token is before it, below 0.

    The server's own offsets count that token's name as text, so they are the second choice: for
    tokens that are parts of a character, whose words do not join to the text.
    """
    first = "".join(tokens).find(text)
    if first >= 0:
        ends = itertools.accumulate(map(len, tokens), initial=-first)
        return list(itertools.islice(ends, len(tokens)))
    if isinstance(server_offsets, list) and len(server_offsets) == len(tokens):
        offsets: list[object] = server_offsets
        if all(type(offset) is int for offset in offsets):
            return cast("list[int]", offsets)
    raise NoLogprobsError("the tokens are not those of the prompt")


def _top_logprobs(choice: Body) -> dict[str, float]:
    """Return first token, stripped -> log-probability; the likelier of two spellings."""
    logprobs: Any = choice.get("logprobs")
    content: Any = logprobs.get("content") if isinstance(logprobs, dict) else None
    first: Any = content[0] if isinstance(content, list) and content else None
    candidates: Any = first.get("top_logprobs") if isinstance(first, dict) else None
    if not isinstance(candidates, list) or not candidates:
        raise NoLogprobsError("the server dropped the log-probabilities")
    top: dict[str, float] = {}
    for candidate in candidates:
        token: Any = candidate.get("token") if isinstance(candidate, dict) else None
        if not isinstance(token, str):
            raise NoLogprobsError("a token is no text")
        value: Any = candidate.get("logprob")
        name = token.strip()
        if name and _is_logprob(value):
            top[name] = max(min(float(value), 0.0), top.get(name, float("-inf")))
    return top


def _is_logprob(value: object) -> bool:
    """Return whether a value is a finite log-probability, but for the last digits of a float."""
    if isinstance(value, bool) or not isinstance(value, float | int):
        return False
    return -_MOST_NATS < value <= _ROUNDING


def _begins_with_token(option: str, token: str) -> bool:
    return option.strip().startswith(token)
