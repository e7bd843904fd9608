"""What the three interfaces share: messages, parameters, and the fields of an answer."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from cotkit.backends._hosted.keys import scrub
from cotkit.backends._hosted.parameters import sampling_parameters, stop_strings
from cotkit.backends._hosted.policy import Malformed
from cotkit.backends._openai.setup import Body, ServerSetup
from cotkit.errors import BackendError
from cotkit.identity import request_key, sample_seed
from cotkit.types import Completion, Request, StopReason

_PREFIX = 1000  # characters; providers cache no prompt of less than about as many tokens
_STOP_REASONS: Mapping[str, StopReason] = {
    "": "stop",  # some servers never say why
    "stop": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "stop_sequence": "stop",
    "end_turn": "stop",
    "tool_calls": "stop",
    "function_call": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "content_filter": "refusal",
}
_MAX_SHOWN = 80  # characters of a value that an error repeats
_NOT_PARAMETERS = frozenset({"model", "messages", "prompt", "input"})


def chat_messages(setup: ServerSetup, request: Request) -> list[Body]:
    """The conversation as a chat server reads it: stripped, empty messages left out.

    Raises:
        BackendError: the last message is to be continued, and this server cannot.
    """
    said = [
        {"role": message.role, "content": content}
        for message in request.messages
        if (content := message.content.strip())
    ]
    if said and said[-1]["role"] == "assistant" and not setup.continues:
        way_out = "--model-args api=completions"
        if setup.backend == "openai-api":
            way_out += ", or continues=true where the server is vLLM or SGLang"
        raise BackendError(
            f"this strategy begins the reply of the model, which {setup.name} cannot continue",
            hint=way_out,
        )
    return said


def request_parameters(setup: ServerSetup, request: Request) -> Body:
    """Temperature and its like, stops, n and seed, as far as the model takes them.

    Raises:
        BackendError: it does not take what the request means.
    """
    decoding, rule = request.decoding, setup.rule
    body: Body = dict(sampling_parameters(rule, decoding, model=setup.name))
    if stop := stop_strings(rule, decoding):
        body["stop"] = stop
    n = setup.n(len(request.samples))
    if n > 1:
        body["n"] = n
    elif decoding.temperature > 0 and "seed" not in rule.refuses:
        seed = sample_seed(decoding, request_key(request), request.samples[0])
        body["seed"] = seed & 0x7FFFFFFF
    return body


def cache_parameters(setup: ServerSetup, request: Request) -> Body:
    """``prompt_cache_key``, so that OpenAI sends prompts of the same exemplars to one place."""
    start = request.messages[0].content[:_PREFIX]
    if setup.backend != "openai" or len(start) < _PREFIX:
        return {}
    return {"prompt_cache_key": hashlib.sha256(start.encode()).hexdigest()[:16]}


def sent_parameters(body: Body) -> dict[str, str | int | float | bool | list[str]]:
    """The parameters of a body, as :class:`Completion` keeps them."""
    kept: dict[str, str | int | float | bool | list[str]] = {}
    for name, value in body.items():
        if isinstance(value, dict):
            kept |= {f"{name}.{key}": inner for key, inner in value.items()}
        elif name not in _NOT_PARAMETERS:
            kept[name] = value
    return kept


def read_choices(answer: Body, n_asked: int) -> list[Body]:
    """The choices of an answer, at least one, in the order of their indices.

    Raises:
        Malformed: there are none, or more than were asked.
    """
    found = answer.get("choices")
    if not isinstance(found, list) or not found:
        raise Malformed("the answer has no choices")
    if len(found) > n_asked:
        raise Malformed(f"{len(found)} choices came where {n_asked} were asked")
    if not all(isinstance(choice, dict) for choice in found):
        raise Malformed("a choice is no object")
    return sorted(found, key=lambda choice: choice.get("index") or 0)


def answering_model(answer: Body) -> str | None:
    """The model that answered, with the provider's word for its version."""
    named = [answer.get("model"), answer.get("system_fingerprint")]
    return " ".join(name for name in named if isinstance(name, str) and name) or None


def read_stop_reason(finish: object) -> StopReason:
    """A ``finish_reason`` in our words.

    Raises:
        Malformed: it is none that means an end (``abort``, ``error``): the text is half of one.
    """
    word = str(finish or "").lower()
    if word not in _STOP_REASONS:
        raise Malformed(f"finish_reason is {scrub(repr(finish))[:_MAX_SHOWN]}")
    return _STOP_REASONS[word]


def make_completions(
    answer: Body,
    body: Body,
    texts: list[tuple[str, StopReason, str | None]],
) -> tuple[Completion, ...]:
    """Completions from (text, why it ended, reasoning) of each choice.

    A provider counts all choices of a call together and bills their prompt once: the prompt's
    tokens stand in the first completion, the generated ones are split evenly, so sums are exact.
    """
    usage = Usage(answer.get("usage"))
    made: list[Completion] = []
    for i, (text, why, reasoning) in enumerate(texts):
        n_generated = _split_tokens(usage.n_generated, i, len(texts))
        n_reasoning = _split_tokens(usage.n_reasoning, i, len(texts))
        all_reasoning = bool(n_reasoning) and n_reasoning == n_generated
        made.append(
            Completion(
                text=text,
                stop_reason="length" if why == "stop" and not text and all_reasoning else why,
                n_prompt_tokens=usage.n_prompt if i == 0 or usage.n_prompt is None else 0,
                n_shared_tokens=usage.n_cached if i == 0 else 0,
                n_cache_write_tokens=usage.n_cache_write if i == 0 else 0,
                n_generated_tokens=n_generated,
                n_reasoning_tokens=n_reasoning,
                reasoning=reasoning,
                served_by=answering_model(answer),
                sent=sent_parameters(body),
            )
        )
    return tuple(made)


class Usage:
    """Token counts of an answer, in the words of chat and completions or those of responses."""

    def __init__(self, usage: object) -> None:
        found: Body = usage if isinstance(usage, dict) else {}
        read = _usage_details(found, "prompt_tokens_details", "input_tokens_details")
        made = _usage_details(found, "completion_tokens_details", "output_tokens_details")
        self.n_prompt = _read_count(found, "prompt_tokens", "input_tokens")
        self.n_generated = _read_count(found, "completion_tokens", "output_tokens")
        self.n_reasoning = _read_count(made, "reasoning_tokens")
        # Both are part of the prompt, which some servers forget: a price would be below 0.
        n_prompt = self.n_prompt or 0
        self.n_cached = min(_read_count(read, "cached_tokens") or 0, n_prompt)
        n_fresh = n_prompt - self.n_cached
        self.n_cache_write = min(_read_count(read, "cache_write_tokens") or 0, n_fresh)


def _usage_details(usage: Body, *names: str) -> Body:
    found: Any = next((usage[name] for name in names if name in usage), None)
    return found if isinstance(found, dict) else {}


def _read_count(counts: Body, *names: str) -> int | None:
    found: Any = next((counts[name] for name in names if name in counts), None)
    return found if type(found) is int and found >= 0 else None


def _split_tokens(total: int | None, i: int, n: int) -> int | None:
    return None if total is None else total // n + (i < total % n)
