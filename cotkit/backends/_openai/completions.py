"""Completions, the raw-text interface: ``/completions``."""

from __future__ import annotations

from cotkit.backends._hosted.policy import Malformed
from cotkit.backends._openai.protocol import choices, completions, ended, parameters
from cotkit.backends._openai.setup import Body, ServerSetup
from cotkit.types import Completion, Request, StopReason

PATH = "/completions"


def prompt(request: Request) -> str:
    """The raw text: contents joined with nothing between."""
    return "".join(message.content for message in request.messages)


def body(setup: ServerSetup, request: Request) -> Body:
    """What is posted.

    Raises:
        BackendError: the model cannot be asked this.
    """
    return {
        "model": setup.model,
        "prompt": prompt(request),
        "max_tokens": request.decoding.max_tokens,
        **parameters(setup, request),
    }


def read(answer: Body, posted: Body) -> tuple[Completion, ...]:
    """A completion for each choice.

    Raises:
        Malformed: no choices, too many, or one without a text.
    """
    found = choices(answer, posted.get("n", 1))
    return completions(answer, posted, [_choice(choice) for choice in found])


def _choice(choice: Body) -> tuple[str, StopReason, str | None]:
    text = choice.get("text")
    if not isinstance(text, str):
        raise Malformed("a choice has no text")
    return text, ended(choice.get("finish_reason")), None
