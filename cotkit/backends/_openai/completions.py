"""Completions, the raw-text interface: ``/completions``."""

from __future__ import annotations

from cotkit.backends._hosted.policy import Malformed
from cotkit.backends._openai.protocol import (
    make_completions,
    read_choices,
    read_stop_reason,
    request_parameters,
)
from cotkit.backends._openai.setup import Body, ServerSetup
from cotkit.types import Completion, Request, StopReason

PATH = "/completions"


def raw_prompt(request: Request) -> str:
    """The raw text: contents joined with nothing between."""
    return "".join(message.content for message in request.messages)


def body(setup: ServerSetup, request: Request) -> Body:
    """What is posted.

    Raises:
        BackendError: the model cannot be asked this.
    """
    return {
        "model": setup.model,
        "prompt": raw_prompt(request),
        "max_tokens": request.decoding.max_tokens,
        **request_parameters(setup, request),
    }


def read(answer: Body, posted: Body) -> tuple[Completion, ...]:
    """A completion for each choice.

    Raises:
        Malformed: no choices, too many, or one without a text.
    """
    found = read_choices(answer, posted.get("n", 1))
    return make_completions(answer, posted, [_read_choice(choice) for choice in found])


def _read_choice(choice: Body) -> tuple[str, StopReason, str | None]:
    text = choice.get("text")
    if not isinstance(text, str):
        raise Malformed("a choice has no text")
    return text, read_stop_reason(choice.get("finish_reason")), None
