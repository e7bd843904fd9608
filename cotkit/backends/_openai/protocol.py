"""OpenAI's protocol: messages, parameters and answers, and the three interfaces that use them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from cotkit.backends._hosted.faults import server_sentence
from cotkit.backends._hosted.keys import scrub
from cotkit.backends._hosted.parameters import sampling_parameters, stop_strings
from cotkit.backends._hosted.policy import Malformed
from cotkit.backends._hosted.thinking import thinking_parameters
from cotkit.backends._openai.setup import Api, Body, ServerSetup
from cotkit.errors import BackendError
from cotkit.identity import request_key, sample_seed
from cotkit.types import Completion, Request, StopReason

_PREFIX = 1000  # characters; providers cache no prompt of less than about as many tokens
_FILTERS = (  # of providers; Gemini's and Zhipu's words among them
    r"filter|sensitiv|safety|prohibit|block|recitation|spii|refus|moderat|guardrail"
    r"|policy|flagged|inspection|violation|^risk|^language$"
)
_FINISH_WORDS: Sequence[tuple[str, StopReason | None]] = (
    # half a text: an answer that is asked for again
    (r"abort|error|cancel|interrupt|fail|timeout|insufficient|overload|unavailable", None),
    (_FILTERS, "refusal"),
    (r"length|max|limit|context|window|truncat|incomplete", "length"),
    (r"^$|(^|_)(stop|eos|end|done|none|null|finish|complete|normal|success)", "stop"),
    (r"tool|function", "stop"),
)
"""Words of servers for the end of a text, in lower case with ``_`` between words; first match."""

_ALWAYS_NEUTRAL = frozenset({"repetition_penalty", "repeat_penalty"})
"""These move greedy answers, too."""

_FULL_WINDOW = re.compile(r"context|window|model_?length", re.IGNORECASE)
"""Words for the end of a text that the server's window, and no limit of ours, made."""

_MAX_SHOWN = 80  # characters of a value that an error repeats
_MOST_TOKENS = 10**9  # of one answer: a larger count is no count
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
    for name, value in setup.neutral.items():
        if decoding.temperature > 0 or name in _ALWAYS_NEUTRAL:
            body.setdefault(name, value)
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
    indices = [choice.get("index") for choice in choices]
    if not all(type(index) is int for index in indices) or len(set(indices)) < len(indices):
        return choices  # in the order in which they came
    return sorted(choices, key=lambda choice: choice["index"])


def answering_model(answer: Body) -> str | None:
    """Return the model that answered, with the provider's word for its version."""
    names = [answer.get("model"), answer.get("system_fingerprint")]
    return " ".join(name for name in names if isinstance(name, str) and name) or None


class UnknownFinishError(Malformed):
    """A word for the end of a text that is in no table: an end, if the server repeats it."""

    def __init__(self, word: str) -> None:
        super().__init__(f"finish_reason is {scrub(repr(word))[:_MAX_SHOWN]}")
        self.word = word


def read_stop_reason(finish: object, end_words: frozenset[str] = frozenset()) -> StopReason:
    """Translate a ``finish_reason`` into our words; ``end_words``: further ones that mean an end.

    Raises:
        Malformed: it is none that means an end (``abort``, ``error``): the text is half of one.
    """
    if isinstance(finish, dict):  # {"type": "stop"}
        finish = next((finish[name] for name in ("type", "reason") if name in finish), "")
    original = "" if finish is None else str(finish)
    word = re.sub(r"[^a-z0-9]+", "_", original.lower()).strip("_")
    for pattern, reason in _FINISH_WORDS:
        if re.search(pattern, word):
            if reason is None:
                raise Malformed(f"finish_reason is {scrub(repr(finish))[:_MAX_SHOWN]}")
            return reason
    if original in end_words:
        return "stop"
    raise UnknownFinishError(original)


def find_cut(part: Body, finish: object) -> Literal["prompt", "answer"] | None:
    """Return what a server's window cut, if an answer, or a choice of one, says so."""
    if part.get("truncated") is True:  # llama.cpp's word for a prompt
        return "prompt"
    return "answer" if _FULL_WINDOW.search(str(finish or "")) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One text of an answer."""

    text: str
    """The model's words."""
    stop_reason: StopReason
    """Why it ended."""
    reasoning: str | None = None
    """Reasoning kept apart."""
    why_empty: str | None = None
    """As :attr:`Completion.why_empty`."""
    cut: Literal["prompt", "answer"] | None = None
    """As :attr:`Completion.cut`."""


def make_completions(answer: Body, body: Body, choices: Sequence[Choice]) -> tuple[Completion, ...]:
    """Make completions of the choices of an answer.

    A provider counts all choices of a call together and bills their prompt once: the prompt's
    tokens stand in the first completion, the generated ones are split evenly, so sums are exact.
    """
    usage = Usage(answer.get("usage"))
    completions: list[Completion] = []
    for i, choice in enumerate(choices):
        n_generated = _split_tokens(usage.n_generated, i, len(choices))
        n_reasoning = _split_tokens(usage.n_reasoning, i, len(choices))
        is_thought = bool(n_reasoning) and n_reasoning == n_generated and not choice.text
        is_cut = choice.stop_reason == "stop" and is_thought and choice.why_empty is None
        completions.append(
            Completion(
                text=choice.text,
                stop_reason="length" if is_cut else choice.stop_reason,
                n_prompt_tokens=usage.n_prompt if i == 0 or usage.n_prompt is None else 0,
                n_shared_tokens=usage.n_cached if i == 0 else 0,
                n_cache_write_tokens=usage.n_cache_write if i == 0 else 0,
                n_generated_tokens=n_generated,
                n_reasoning_tokens=n_reasoning,
                reasoning=choice.reasoning,
                served_by=answering_model(answer),
                sent=sent_parameters(body),
                why_empty=choice.why_empty,
                cut=choice.cut or find_cut(answer, None),
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
        n_cached = _read_count(prompt, "cached_tokens")
        if n_cached is None:  # DeepSeek's and Moonshot's places
            n_cached = _read_count(counts, "prompt_cache_hit_tokens", "cached_tokens")
        self.n_cached = min(n_cached or 0, n_prompt)
        n_fresh = n_prompt - self.n_cached
        self.n_cache_write = min(_read_count(prompt, "cache_write_tokens") or 0, n_fresh)


def _usage_details(usage: Body, *names: str) -> Body:
    details: Any = next((usage[name] for name in names if name in usage), None)
    return details if isinstance(details, dict) else {}


def _read_count(counts: Body, *names: str) -> int | None:
    count: Any = next((counts[name] for name in names if name in counts), None)
    if isinstance(count, float) and count.is_integer():
        count = int(count)
    return count if type(count) is int and 0 <= count <= _MOST_TOKENS else None


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

    def read_completions(
        self, answer: Body, posted: Body, end_words: frozenset[str] = frozenset()
    ) -> tuple[Completion, ...]:
        """Return a completion for each choice of an answer to the body ``posted``.

        ``end_words``: words for the end of a text that this server uses, beside those of the table.

        Raises:
            Malformed: the answer has no choices, too many, or one without a text.
        """
        ...


class ChatInterface:
    """Chat Completions."""

    path = "/chat/completions"

    def write_body(self, setup: ServerSetup, request: Request) -> Body:
        """Return the body of a call."""
        decoding = request.decoding
        room, setup = setup.thinking_room(decoding), setup.at(decoding)
        messages = chat_messages(setup, request)
        posted: Body = {
            "model": setup.model,
            "messages": messages,
            setup.rule.max_tokens: decoding.max_tokens + room,
            **request_parameters(setup, request),
            **cache_parameters(setup, request),
            **thinking_parameters(setup.rule, decoding),
        }
        if setup.reasoning_effort is not None:
            posted["reasoning_effort"] = setup.reasoning_effort
        if messages and messages[-1]["role"] == "assistant":
            posted |= {"continue_final_message": True, "add_generation_prompt": False}
        return posted

    def read_completions(
        self, answer: Body, posted: Body, end_words: frozenset[str] = frozenset()
    ) -> tuple[Completion, ...]:
        """Return a completion for each choice."""
        choices = read_choices(answer, posted.get("n", 1))
        return make_completions(
            answer, posted, [_read_chat_choice(choice, end_words) for choice in choices]
        )


_REASONING_FIELDS = ("reasoning_content", "reasoning", "reasoning_details", "thinking")
"""vLLM, SGLang and DeepSeek write the first, newer vLLM, Ollama and OpenRouter the second."""
_THOUGHT_PARTS = re.compile(r"think|reason|thought", re.IGNORECASE)
_TEXT_KEYS = ("text", "content", "value", "thinking", "reasoning", "summary", "output_text")


def _read_chat_choice(choice: Body, end_words: frozenset[str]) -> Choice:
    message: Any = choice.get("message", choice.get("delta"))
    if not isinstance(message, dict):
        if isinstance(choice.get("text"), str):  # a completion's choice in a chat's answer
            return _read_text_choice(choice, end_words)
        raise Malformed("a choice has no message")
    content, refusal = message.get("content"), message.get("refusal")
    if not isinstance(content, str | list | dict | None):
        raise Malformed("the content of a message is no text")
    text, thoughts, tools = _read_parts(content)
    reasoning = next(
        filter(None, (join_texts(message.get(name)) for name in _REASONING_FIELDS)), ""
    )
    reasoning = "\n".join(filter(None, (reasoning, thoughts)))
    if isinstance(refusal, str) and refusal:
        return Choice(text=text or refusal, stop_reason="refusal", reasoning=reasoning or None)
    why = read_stop_reason(choice.get("finish_reason"), end_words)
    tools += _called_tools(message)
    if content is None and why == "stop" and not (reasoning or tools):
        raise Malformed("a message has no content")
    why_empty = None
    if tools and not text.strip():
        why_empty = f"tool: {', '.join(dict.fromkeys(tools))}"
    return Choice(
        text=text,
        stop_reason=why,
        reasoning=reasoning or None,
        why_empty=why_empty,
        cut=find_cut(choice, choice.get("finish_reason")),
    )


def _read_parts(content: object) -> tuple[str, str, list[str]]:
    """Return text, reasoning and names of called tools in the parts of a message."""
    parts: Sequence[Any] = content if isinstance(content, list) else [content]
    texts: list[str] = []
    thoughts: list[str] = []
    tools: list[str] = []
    for part in parts:
        kind = str(part.get("type") or "") if isinstance(part, dict) else ""
        if re.search(r"tool|function", kind):
            tools.append(scrub(str(part.get("name") or kind))[:_MAX_SHOWN])
        elif _THOUGHT_PARTS.search(kind) or (
            isinstance(part, dict) and part.get("thought") is True
        ):
            thoughts.append(join_texts(part))
        else:
            texts.append(join_texts(part))
    return "".join(texts), "\n".join(filter(None, thoughts)), tools


def join_texts(value: object) -> str:
    """Return the words of a text, a list of parts, or a part that holds more of them."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(join_texts(part) for part in value)
    if isinstance(value, dict):
        return next(filter(None, (join_texts(value.get(key)) for key in _TEXT_KEYS)), "")
    return ""


def _called_tools(message: Body) -> list[str]:
    """Return the names of the tools that a message calls."""
    calls: Any = message.get("tool_calls")
    calls = [*calls] if isinstance(calls, list) else []
    if isinstance(message.get("function_call"), dict):
        calls.append(message["function_call"])
    names: list[str] = []
    for call in calls:
        function: Any = call.get("function", call) if isinstance(call, dict) else {}
        name = function.get("name") if isinstance(function, dict) else None
        names.append(scrub(str(name or "without a name"))[:_MAX_SHOWN])
    return names


class CompletionsInterface:
    """Completions, the raw-text interface."""

    path = "/completions"

    def write_body(self, setup: ServerSetup, request: Request) -> Body:
        """Return the body of a call."""
        return {
            "model": setup.model,
            "prompt": raw_prompt(request),
            "max_tokens": request.decoding.max_tokens + setup.thinking_room(request.decoding),
            **request_parameters(setup, request),
        }

    def read_completions(
        self, answer: Body, posted: Body, end_words: frozenset[str] = frozenset()
    ) -> tuple[Completion, ...]:
        """Return a completion for each choice."""
        choices = read_choices(answer, posted.get("n", 1))
        return make_completions(
            answer, posted, [_read_text_choice(choice, end_words) for choice in choices]
        )


def raw_prompt(request: Request) -> str:
    """Return the raw text: contents joined with nothing between."""
    return "".join(message.content for message in request.messages)


def _read_text_choice(choice: Body, end_words: frozenset[str]) -> Choice:
    if "text" not in choice and isinstance(choice.get("message"), dict):
        return _read_chat_choice(choice, end_words)
    text, thoughts, _ = _read_parts(choice.get("text"))
    reasoning = next(
        filter(None, (join_texts(choice.get(name)) for name in _REASONING_FIELDS)), thoughts
    )
    why = read_stop_reason(choice.get("finish_reason"), end_words)
    if not isinstance(choice.get("text"), str | list) and why == "stop" and not reasoning:
        raise Malformed("a choice has no text")
    cut = find_cut(choice, choice.get("finish_reason"))
    return Choice(text=text, stop_reason=why, reasoning=reasoning or None, cut=cut)


class ResponsesInterface:
    """Responses, the interface that some reasoning models need."""

    path = "/responses"

    def write_body(self, setup: ServerSetup, request: Request) -> Body:
        """Return the body of a call; the interface has no stops, seeds and several choices."""
        decoding = request.decoding
        room, setup = setup.thinking_room(decoding), setup.at(decoding)
        posted: Body = {
            "model": setup.model,
            "input": chat_messages(setup, request),
            "max_output_tokens": decoding.max_tokens + room,
            "store": False,  # nothing of a benchmark stays with the provider
            **request_parameters(setup, request),
            **cache_parameters(setup, request),
        }
        effort = thinking_parameters(setup.rule, decoding).get("reasoning_effort")
        if (effort := effort or setup.reasoning_effort) is not None:
            posted["reasoning"] = {"effort": effort}
        return posted

    def read_completions(
        self,
        answer: Body,
        posted: Body,
        end_words: frozenset[str] = frozenset(),  # noqa: ARG002 - the interface's
    ) -> tuple[Completion, ...]:
        """Return the one completion."""
        status, output = answer.get("status"), answer.get("output")
        if status not in ("completed", "incomplete", None):  # it may be a list, which has no hash
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
        text = "".join(
            _collect_texts([part for part in parts if part.get("type") != "refusal"], "text")
        )
        thoughts = [
            thought
            for item in _items_of_kind(output, "reasoning")
            for thought in _collect_texts(
                [*_object_list(item, "summary"), *_object_list(item, "content")], "text"
            )
        ]
        tools = [
            scrub(str(item.get("name") or item["type"]))[:_MAX_SHOWN]
            for item in output
            if re.search(r"_call$", str(item.get("type")))
        ]
        ended: StopReason = "refusal" if refusal else "stop"
        cause = ""
        if status == "incomplete":
            cause = str(_nested_field(answer, "incomplete_details", "reason") or "max_tokens")
            ended = "refusal" if re.search(_FILTERS, cause.lower()) else "length"
        elif not parts and not thoughts and not tools:
            raise Malformed("the answer has no message")
        choice = Choice(
            text=text or refusal,
            stop_reason=ended,
            reasoning="\n".join(thoughts) or None,
            why_empty=f"tool: {', '.join(tools)}" if tools and not (text or refusal) else None,
            cut=find_cut({}, cause),
        )
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
