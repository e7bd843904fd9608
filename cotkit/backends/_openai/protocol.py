"""OpenAI's protocol: messages, parameters and answers, and the three interfaces that use them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from cotkit.backends._hosted.faults import server_sentence
from cotkit.backends._hosted.keys import scrub
from cotkit.backends._hosted.parameters import sampling_parameters, stop_strings
from cotkit.backends._hosted.policy import Malformed
from cotkit.backends._openai.setup import Api, Body, ServerSetup
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
    """Return the conversation as chat servers read it: stripped, empty messages left out.

    Raises:
        BackendError: the last message is to be continued, and this server cannot.
    """
    messages = [
        {"role": message.role, "content": content}
        for message in request.messages
        if (content := message.content.strip())
    ]
    if messages and messages[-1]["role"] == "assistant" and not setup.continues:
        way_out = "--model-args api=completions"
        if setup.backend == "openai-api":
            way_out += ", or continues=true where the server is vLLM or SGLang"
        raise BackendError(
            f"this strategy begins the reply of the model, which {setup.name} cannot continue",
            hint=way_out,
        )
    return messages


def request_parameters(setup: ServerSetup, request: Request) -> Body:
    """Return temperature and its like, stops, n and seed, as far as the model takes them.

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
    """Return ``prompt_cache_key``, by which OpenAI sends equal beginnings to one place."""
    start = request.messages[0].content[:_PREFIX]
    if setup.backend != "openai" or len(start) < _PREFIX:
        return {}
    return {"prompt_cache_key": hashlib.sha256(start.encode()).hexdigest()[:16]}


def sent_parameters(body: Body) -> dict[str, str | int | float | bool | list[str]]:
    """Return the parameters of a body as :class:`Completion` keeps them."""
    flat: dict[str, str | int | float | bool | list[str]] = {}
    for name, value in body.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{key}": inner for key, inner in value.items()}
        elif name not in _NOT_PARAMETERS:
            flat[name] = value
    return flat


def read_choices(answer: Body, n_asked: int) -> list[Body]:
    """Read the choices of an answer, at least one, in the order of their indices.

    Raises:
        Malformed: there are none, or more than were asked.
    """
    choices = answer.get("choices")
    if not isinstance(choices, list) or not choices:
        raise Malformed("the answer has no choices")
    if len(choices) > n_asked:
        raise Malformed(f"{len(choices)} choices came where {n_asked} were asked")
    if not all(isinstance(choice, dict) for choice in choices):
        raise Malformed("a choice is no object")
    return sorted(choices, key=lambda choice: choice.get("index") or 0)


def answering_model(answer: Body) -> str | None:
    """Return the model that answered, with the provider's word for its version."""
    names = [answer.get("model"), answer.get("system_fingerprint")]
    return " ".join(name for name in names if isinstance(name, str) and name) or None


def read_stop_reason(finish: object) -> StopReason:
    """Translate a ``finish_reason`` into our words.

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
    """Make completions from (text, why it ended, reasoning) of each choice.

    A provider counts all choices of a call together and bills their prompt once: the prompt's
    tokens stand in the first completion, the generated ones are split evenly, so sums are exact.
    """
    usage = Usage(answer.get("usage"))
    completions: list[Completion] = []
    for i, (text, why, reasoning) in enumerate(texts):
        n_generated = _split_tokens(usage.n_generated, i, len(texts))
        n_reasoning = _split_tokens(usage.n_reasoning, i, len(texts))
        all_reasoning = bool(n_reasoning) and n_reasoning == n_generated
        completions.append(
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
    return tuple(completions)


class Usage:
    """Token counts of an answer, by the names of chat and completions or those of responses."""

    def __init__(self, usage: object) -> None:
        counts: Body = usage if isinstance(usage, dict) else {}
        prompt = _usage_details(counts, "prompt_tokens_details", "input_tokens_details")
        generated = _usage_details(counts, "completion_tokens_details", "output_tokens_details")
        self.n_prompt = _read_count(counts, "prompt_tokens", "input_tokens")
        self.n_generated = _read_count(counts, "completion_tokens", "output_tokens")
        self.n_reasoning = _read_count(generated, "reasoning_tokens")
        # Both are part of the prompt, which some servers forget: a price would be below 0.
        n_prompt = self.n_prompt or 0
        self.n_cached = min(_read_count(prompt, "cached_tokens") or 0, n_prompt)
        n_fresh = n_prompt - self.n_cached
        self.n_cache_write = min(_read_count(prompt, "cache_write_tokens") or 0, n_fresh)


def _usage_details(usage: Body, *names: str) -> Body:
    details: Any = next((usage[name] for name in names if name in usage), None)
    return details if isinstance(details, dict) else {}


def _read_count(counts: Body, *names: str) -> int | None:
    count: Any = next((counts[name] for name in names if name in counts), None)
    return count if type(count) is int and count >= 0 else None


def _split_tokens(total: int | None, i: int, n: int) -> int | None:
    return None if total is None else total // n + (i < total % n)


# The interfaces: how a request is posted, and how its answer is read.


class Interface(Protocol):
    """One of the three interfaces of the protocol."""

    path: str
    """Where requests are posted, after the base address."""

    def write_body(self, setup: ServerSetup, request: Request) -> Body:
        """Return the body of a call.

        Raises:
            BackendError: the model cannot be asked this.
        """
        ...

    def read_completions(self, answer: Body, posted: Body) -> tuple[Completion, ...]:
        """Return a completion for each choice of an answer to the body ``posted``.

        Raises:
            Malformed: the answer has no choices, too many, or one without a text.
        """
        ...


class ChatInterface:
    """Chat Completions."""

    path = "/chat/completions"

    def write_body(self, setup: ServerSetup, request: Request) -> Body:
        """Return the body of a call."""
        messages = chat_messages(setup, request)
        posted: Body = {
            "model": setup.model,
            "messages": messages,
            setup.rule.max_tokens: request.decoding.max_tokens,
            **request_parameters(setup, request),
            **cache_parameters(setup, request),
        }
        if setup.reasoning_effort is not None:
            posted["reasoning_effort"] = setup.reasoning_effort
        if messages and messages[-1]["role"] == "assistant":
            posted |= {"continue_final_message": True, "add_generation_prompt": False}
        return posted

    def read_completions(self, answer: Body, posted: Body) -> tuple[Completion, ...]:
        """Return a completion for each choice."""
        choices = read_choices(answer, posted.get("n", 1))
        return make_completions(answer, posted, [_read_chat_choice(choice) for choice in choices])


def _read_chat_choice(choice: Body) -> tuple[str, StopReason, str | None]:
    message: Any = choice.get("message")
    if not isinstance(message, dict):
        raise Malformed("a choice has no message")
    # vLLM and SGLang write reasoning_content, newer vLLM, Ollama and OpenRouter reasoning
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    text, refusal = message.get("content"), message.get("refusal")
    why = "refusal" if refusal else read_stop_reason(choice.get("finish_reason"))
    if text is None and why == "stop" and not reasoning:
        raise Malformed("a message has no content")
    if not isinstance(text, str | None):
        raise Malformed("the content of a message is no text")
    return text or refusal or "", why, reasoning if isinstance(reasoning, str) else None


class CompletionsInterface:
    """Completions, the raw-text interface."""

    path = "/completions"

    def write_body(self, setup: ServerSetup, request: Request) -> Body:
        """Return the body of a call."""
        return {
            "model": setup.model,
            "prompt": raw_prompt(request),
            "max_tokens": request.decoding.max_tokens,
            **request_parameters(setup, request),
        }

    def read_completions(self, answer: Body, posted: Body) -> tuple[Completion, ...]:
        """Return a completion for each choice."""
        choices = read_choices(answer, posted.get("n", 1))
        return make_completions(answer, posted, [_read_text_choice(choice) for choice in choices])


def raw_prompt(request: Request) -> str:
    """Return the raw text: contents joined with nothing between."""
    return "".join(message.content for message in request.messages)


def _read_text_choice(choice: Body) -> tuple[str, StopReason, str | None]:
    text = choice.get("text")
    if not isinstance(text, str):
        raise Malformed("a choice has no text")
    return text, read_stop_reason(choice.get("finish_reason")), None


class ResponsesInterface:
    """Responses, the interface that some reasoning models need."""

    path = "/responses"

    def write_body(self, setup: ServerSetup, request: Request) -> Body:
        """Return the body of a call; the interface has no stops, seeds and several choices."""
        posted: Body = {
            "model": setup.model,
            "input": chat_messages(setup, request),
            "max_output_tokens": request.decoding.max_tokens,
            "store": False,  # nothing of a benchmark stays with the provider
            **request_parameters(setup, request),
            **cache_parameters(setup, request),
        }
        if setup.reasoning_effort is not None:
            posted["reasoning"] = {"effort": setup.reasoning_effort}
        return posted

    def read_completions(self, answer: Body, posted: Body) -> tuple[Completion, ...]:
        """Return the one completion."""
        status, output = answer.get("status"), answer.get("output")
        if status not in {"completed", "incomplete", None}:
            why = server_sentence(str(_nested_field(answer, "error", "message") or status))
            raise Malformed(f"the server gave up: {why}")
        if not isinstance(output, list) or not all(isinstance(item, dict) for item in output):
            raise Malformed("the answer has no output")
        parts = [
            part
            for item in _items_of_kind(output, "message")
            for part in _object_list(item, "content")
        ]
        refusal = "".join(_collect_texts(_items_of_kind(parts, "refusal"), "refusal"))
        text = "".join(_collect_texts(_items_of_kind(parts, "output_text"), "text"))
        thoughts = [
            thought
            for item in _items_of_kind(output, "reasoning")
            for thought in _collect_texts(
                [*_object_list(item, "summary"), *_object_list(item, "content")], "text"
            )
        ]
        ended: StopReason = "refusal" if refusal else "stop"
        if status == "incomplete":
            cause = _nested_field(answer, "incomplete_details", "reason")
            ended = "refusal" if cause == "content_filter" else "length"
        elif not parts and not thoughts:
            raise Malformed("the answer has no message")
        choice = (text or refusal, ended, "\n".join(thoughts) or None)
        return make_completions(answer, posted, [choice])


def _items_of_kind(items: Iterable[Body], kind: str) -> list[Body]:
    return [item for item in items if item.get("type") == kind]


def _object_list(item: Body, name: str) -> list[Body]:
    parts: Any = item.get(name)
    return [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []


def _collect_texts(parts: Iterable[Body], name: str) -> list[str]:
    return [part[name] for part in parts if isinstance(part.get(name), str)]


def _nested_field(answer: Body, outer: str, name: str) -> object:
    inner: Any = answer.get(outer)
    return inner.get(name) if isinstance(inner, dict) else None


INTERFACES: Mapping[Api, Interface] = {
    "chat": ChatInterface(),
    "completions": CompletionsInterface(),
    "responses": ResponsesInterface(),
}
"""By the values of ``ServerSetup.api``."""
