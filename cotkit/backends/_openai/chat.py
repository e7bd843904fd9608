"""Chat Completions: ``/chat/completions``."""

from __future__ import annotations

from typing import Any

from cotkit.backends._hosted.policy import Malformed
from cotkit.backends._openai.protocol import (
    cache_parameters,
    chat_messages,
    make_completions,
    read_choices,
    read_stop_reason,
    request_parameters,
)
from cotkit.backends._openai.setup import Body, ServerSetup
from cotkit.types import Completion, Request, StopReason

PATH = "/chat/completions"


def body(setup: ServerSetup, request: Request) -> Body:
    """What is posted.

    Raises:
        BackendError: the model cannot be asked this.
    """
    said = chat_messages(setup, request)
    posted: Body = {
        "model": setup.model,
        "messages": said,
        setup.rule.max_tokens: request.decoding.max_tokens,
        **request_parameters(setup, request),
        **cache_parameters(setup, request),
    }
    if setup.reasoning_effort is not None:
        posted["reasoning_effort"] = setup.reasoning_effort
    if said and said[-1]["role"] == "assistant":
        posted |= {"continue_final_message": True, "add_generation_prompt": False}
    return posted


def read(answer: Body, posted: Body) -> tuple[Completion, ...]:
    """A completion for each choice.

    Raises:
        Malformed: no choices, too many, or one without a text.
    """
    found = read_choices(answer, posted.get("n", 1))
    return make_completions(answer, posted, [_read_choice(choice) for choice in found])


def _read_choice(choice: Body) -> tuple[str, StopReason, str | None]:
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
