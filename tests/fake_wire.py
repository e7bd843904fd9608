"""Bodies as OpenAI (chat, completions, responses) and Anthropic (messages) servers write them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from tests.fake_asked import Body, last_user, limit, n_choices, n_words, tokens

CHAT, COMPLETIONS, RESPONSES = "/v1/chat/completions", "/v1/completions", "/v1/responses"
MESSAGES, COUNT, MODELS = "/v1/messages", "/v1/messages/count_tokens", "/v1/models"

_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    500: "api_error",
    529: "overloaded_error",
}
_FILLER = ("so", "we", "take", "what", "was", "given", "and", "add", "the", "next", "number")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the server does with one request."""

    text: str = "The answer is 0."
    """The model's words; of an error, the server's message."""
    texts: tuple[str, ...] = ()
    """The words of each choice where they differ; empty: ``text`` in every one."""
    finish: str = "stop"
    """``stop``, ``length`` or ``refusal``, said in the words of the API; others go as they are."""
    reasoning: str | None = None
    """Reasoning kept apart."""
    refusal: str | None = None
    """Why the model will not answer; takes the place of the text in the OpenAI formats."""
    n_prompt: int | None = None
    """Prompt tokens, cached ones included; None: the words of the request."""
    n_cached: int = 0
    """Of these, read from a cache."""
    n_cache_write: int = 0
    """Of these, written to a cache (Anthropic)."""
    n_generated: int | None = None
    """Tokens of the answer, reasoning included; None: words."""
    n_choices: int | None = None
    """How many choices come back; None: as many as were asked."""
    logprobs: Mapping[str, Any] | Literal["as asked"] | None = "as asked"
    """The ``logprobs`` of each choice; None: dropped without a word."""
    served_by: str | None = None
    """The model that is said to have answered; None: the one asked."""
    status: int = 200
    """HTTP status; from 400 an error body in the API's words goes out."""
    code: str | None = None
    """``error.code`` of an error (OpenAI), e.g. ``insufficient_quota``."""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    """Further response headers."""
    body: bytes | None = None
    """Goes out as it is instead of everything above; None: made from it."""
    hang_s: float = 0.0
    """Waits so long before the first byte."""
    reset: bool = False
    """The connection is reset half way through the body."""


def default_answer(body: Body, n_reasoning: int) -> Answer:
    """An answer that is a function of the last user message, ``seed`` and choice: repeatable."""
    asked, seed = last_user(body), body.get("seed")
    texts: list[str] = []
    for choice in range(n_choices(body)):
        digest = hashlib.sha256(repr((asked, seed, choice)).encode()).digest()
        middle = [_FILLER[(digest[1] + i) % len(_FILLER)] for i in range(n_reasoning)]
        texts.append(" ".join(["Let me think:", *middle]) + f". The answer is {digest[0] % 10}.")
    answer = Answer(texts=tuple(texts))
    stops = body.get("stop") or body.get("stop_sequences") or []
    for stop in [stops] if isinstance(stops, str) else stops:
        answer = replace(answer, texts=tuple(text.split(stop)[0] for text in answer.texts))
    most = limit(body)
    if any(len(tokens(text)) > most for text in answer.texts):
        cut = tuple("".join(tokens(text)[:most]) for text in answer.texts)
        answer = replace(answer, texts=cut, finish="length")
    return answer


def write(path: str, body: Body, answer: Answer) -> bytes:
    """The response body of an answer, errors included."""
    if answer.body is not None:
        return answer.body
    if answer.status >= 400:
        return json.dumps(_error(path, answer)).encode()
    return json.dumps(_FORMATS[path](body, answer)).encode()


def _error(path: str, answer: Answer) -> Body:
    kind = _ERROR_TYPES.get(answer.status, "api_error")
    if path in {MESSAGES, COUNT}:
        error: Body = {"type": kind, "message": answer.text}
        return {"type": "error", "error": error, "request_id": "req_fake"}
    error = {"message": answer.text, "type": kind, "param": None, "code": answer.code}
    return {"error": error}


def _chat(body: Body, answer: Answer) -> Body:
    choices: list[Body] = []
    for i, text in enumerate(_texts(body, answer)):
        message: Body = {"role": "assistant", "content": text, "refusal": answer.refusal}
        if answer.refusal is not None:
            message["content"] = None
        if answer.reasoning is not None:
            message["reasoning_content"] = answer.reasoning
        logprobs = _logprobs(answer, lambda text=text: _chat_logprobs(body, text))
        choice: Body = {"index": i, "message": message, "logprobs": logprobs}
        choices.append(choice | {"finish_reason": _openai_finish(answer)})
    kind: Body = {"id": "chatcmpl-fake", "object": "chat.completion", "system_fingerprint": "fp_1"}
    return kind | _openai_common(body, answer, choices)


def _completions(body: Body, answer: Answer) -> Body:
    prompts = body["prompt"] if isinstance(body["prompt"], list) else [body["prompt"]]
    n_each = n_choices(body) // len(prompts)
    choices: list[Body] = []
    for i, text in enumerate(_texts(body, answer)):
        prompt = str(prompts[i // n_each]) if body.get("echo") else ""
        whole = prompt + ("" if limit(body) == 0 else text)
        logprobs = _logprobs(answer, lambda whole=whole: _completion_logprobs(body, whole))
        choice: Body = {"index": i, "text": whole, "logprobs": logprobs}
        choices.append(choice | {"finish_reason": _openai_finish(answer)})
    kind: Body = {"id": "cmpl-fake", "object": "text_completion"}
    return kind | _openai_common(body, answer, choices)


def _openai_common(body: Body, answer: Answer, choices: list[Body]) -> Body:
    n_prompt, n_out = _n_prompt(body, answer), _n_out(body, answer)
    usage: Body = {
        "prompt_tokens": n_prompt,
        "completion_tokens": n_out,
        "total_tokens": n_prompt + n_out,
        "prompt_tokens_details": {"cached_tokens": answer.n_cached},
        "completion_tokens_details": {"reasoning_tokens": _n_reasoning(answer)},
    }
    served = answer.served_by or body.get("model")
    return {"created": 1, "model": served, "choices": choices, "usage": usage}


def _responses(body: Body, answer: Answer) -> Body:
    output: list[Body] = []
    if answer.reasoning is not None:
        summary = [{"type": "summary_text", "text": answer.reasoning}]
        output.append({"type": "reasoning", "id": "rs_fake", "summary": summary})
    is_cut = answer.finish == "length"
    for text in _texts(body, answer):
        part: Body = {"type": "output_text", "text": text, "annotations": []}
        if answer.refusal is not None:
            part = {"type": "refusal", "refusal": answer.refusal}
        message: Body = {"type": "message", "id": "msg_fake", "role": "assistant"}
        status = "incomplete" if is_cut else "completed"
        output.append(message | {"status": status, "content": [part]})
    n_prompt, n_out = _n_prompt(body, answer), _n_out(body, answer)
    return {
        "id": "resp_fake",
        "object": "response",
        "created_at": 1,
        "model": answer.served_by or body.get("model"),
        "status": "incomplete" if is_cut else "completed",
        "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None,
        "error": None,
        "output": output,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": n_prompt,
            "input_tokens_details": {"cached_tokens": answer.n_cached},
            "output_tokens": n_out,
            "output_tokens_details": {"reasoning_tokens": _n_reasoning(answer)},
            "total_tokens": n_prompt + n_out,
        },
    }


def _messages(body: Body, answer: Answer) -> Body:
    content: list[Body] = []
    if answer.reasoning is not None:
        content.append({"type": "thinking", "thinking": answer.reasoning, "signature": "fake"})
    content += [{"type": "text", "text": text} for text in _texts(body, answer) if text]
    named = {"stop": "end_turn", "length": "max_tokens"}
    fresh = _n_prompt(body, answer) - answer.n_cached - answer.n_cache_write
    return {
        "id": "msg_fake",
        "type": "message",
        "role": "assistant",
        "model": answer.served_by or body.get("model"),
        "content": content,
        "stop_reason": named.get(answer.finish, answer.finish),
        "stop_sequence": None,
        "usage": {
            "input_tokens": fresh,
            "cache_creation_input_tokens": answer.n_cache_write,
            "cache_read_input_tokens": answer.n_cached,
            "output_tokens": _n_out(body, answer),
        },
    }


def _count(body: Body, answer: Answer) -> Body:
    return {"input_tokens": _n_prompt(body, answer)}


_FORMATS: Mapping[str, Callable[[Body, Answer], Body]] = {
    CHAT: _chat,
    COMPLETIONS: _completions,
    RESPONSES: _responses,
    MESSAGES: _messages,
    COUNT: _count,
}
PATHS = frozenset(_FORMATS)
"""What is answered when posted to."""


def _texts(body: Body, answer: Answer) -> list[str]:
    n = n_choices(body) if answer.n_choices is None else answer.n_choices
    return list(answer.texts or [answer.text] * n)[:n]


def _openai_finish(answer: Answer) -> str:
    return {"refusal": "content_filter"}.get(answer.finish, answer.finish)


def _n_prompt(body: Body, answer: Answer) -> int:
    return n_words(body) if answer.n_prompt is None else answer.n_prompt


def _n_reasoning(answer: Answer) -> int:
    return len((answer.reasoning or "").split())


def _n_out(body: Body, answer: Answer) -> int:
    if answer.n_generated is not None:
        return answer.n_generated
    return _n_reasoning(answer) + sum(len(tokens(text)) for text in _texts(body, answer))


def _logprobs(answer: Answer, made: Callable[[], Body | None]) -> Mapping[str, Any] | None:
    return made() if answer.logprobs == "as asked" else answer.logprobs


def _chat_logprobs(body: Body, text: str) -> Body | None:
    if not body.get("logprobs"):
        return None
    named = [{"token": t, "logprob": logprob(t), "bytes": None} for t in tokens(text)]
    top = min(body.get("top_logprobs") or 0, 1)
    return {"content": [token | {"top_logprobs": [token] * top} for token in named]}


def _completion_logprobs(body: Body, text: str) -> Body | None:
    if body.get("logprobs") is None:
        return None
    found = tokens(text)
    of_each = [None if i == 0 and body.get("echo") else logprob(t) for i, t in enumerate(found)]
    return {
        "tokens": found,
        "token_logprobs": of_each,
        "top_logprobs": [
            None if value is None else {t: value} for t, value in zip(found, of_each, strict=True)
        ],
        "text_offset": [len("".join(found[:i])) for i in range(len(found))],
    }


def logprob(token: str) -> float:
    """The log-probability that the server gives a token anywhere, in -8..0."""
    return -hashlib.sha256(token.encode()).digest()[0] / 32
