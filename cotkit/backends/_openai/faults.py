"""What an exception of the SDK means: whether to try again, and the one line a user reads."""

from __future__ import annotations

import re
from typing import Any

from cotkit.backends._hosted.keys import scrub
from cotkit.backends._hosted.policy import Fault
from cotkit.backends._hosted.retry_after import retry_after_s
from cotkit.backends._hosted.rules import REFUSABLE
from cotkit.backends._openai.setup import Body, Setup
from cotkit.errors import (
    AccessError,
    BackendError,
    ModelLoadError,
    PromptTooLongError,
    TransientError,
)

_BUSY = {429, 503, 529}
_PASSING = {408, 409, 425, *_BUSY}
_NO_MONEY = re.compile(
    r"insufficient_quota|billing|insufficient balance|credit balance", re.IGNORECASE
)
_TOO_LONG = re.compile(
    r"context_length_exceeded|context (length|window|size)|prompt is too long"
    r"|too many (input )?tokens|longer than the (model|maximum)",
    re.IGNORECASE,
)
_MAX_SAID = 300  # characters of a server's words that an error repeats


def read_fault(fault: Exception, setup: Setup) -> Fault | None:
    """The meaning of a fault; None: not one of the SDK's, so a bug or an error of our own."""
    import openai

    if isinstance(fault, openai.APIStatusError):
        body: Body = fault.body if isinstance(fault.body, dict) else {}
        said = _said(body, fault.message) or fault.response.reason_phrase
        error = _error(fault.status_code, said, body, setup)
        return Fault(
            status=str(fault.status_code),
            error=error,
            is_busy=fault.status_code in _BUSY and error.retryable,
            retry_after_s=retry_after_s(fault.response.headers),
        )
    if isinstance(fault, (openai.APIConnectionError, OSError)):
        # The transport calls a lost connection a timeout; timeouts are the policy's, so it is none.
        why = scrub(_first_line(_cause(fault))) or "it was lost"
        error = TransientError(
            f"no connection to {setup.base_url}: {why}", hint=f"is base_url right? {_ADDRESS}"
        )
        return Fault(status="reset", error=error)
    return None


_ADDRESS = "--model-args base_url=http://HOST:PORT/v1"


def _error(status: int, said: str, body: Body, setup: Setup) -> BackendError:
    words = f"{setup.name} answered {status}: {said}"
    named = " ".join(str(body.get(name) or "") for name in ("code", "type"))
    if status in {401, 402, 403} or (status in {400, 429} and _NO_MONEY.search(f"{named} {said}")):
        return AccessError(words, hint=f"see {setup.key_variable} and the account it belongs to")
    if status == 404:
        return ModelLoadError(
            f"{setup.base_url} has no {setup.model!r}: {said}", hint=f"see --model and {_ADDRESS}"
        )
    if status in {400, 413, 422} and _TOO_LONG.search(f"{named} {said}"):
        return PromptTooLongError(words, hint="fewer exemplars, or a smaller --max-tokens")
    if status in _PASSING or status >= 500:
        return TransientError(words)
    refused = [
        name
        for name in sorted(REFUSABLE)
        if name == body.get("param") or re.search(rf"['\"`]{name}['\"`]", said)
    ]
    hint = f"--model-args without={'+'.join(refused)}" if refused else None
    return BackendError(words, hint=hint)


def _said(body: Body, message: str) -> str:
    """The server's own sentence, first line, without any key."""
    inner: Any = body.get("message") or body.get("detail")
    return scrub(_first_line(inner if isinstance(inner, str) else message))[:_MAX_SAID]


def _cause(fault: BaseException) -> str:
    """The words of the first exception, which the SDK has wrapped in its own."""
    while fault.__cause__ is not None:
        fault = fault.__cause__
    return str(fault)


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")
