"""What an exception of the SDK means: whether to try again, and the one line a user reads."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from cotkit.backends._hosted.faults import (
    is_unpaid,
    may_pass,
    read_connection_fault,
    retry_after_s,
    server_sentence,
    status_fault,
    without_hint,
)
from cotkit.backends._hosted.policy import Fault
from cotkit.backends._openai.setup import Body, ServerSetup
from cotkit.errors import (
    AccessError,
    BackendError,
    ModelLoadError,
    PromptTooLongError,
    TransientError,
)

if TYPE_CHECKING:
    import openai

_ADDRESS = "--model-args base_url=http://HOST:PORT/v1"
_TOO_LONG = re.compile(
    r"context_length_exceeded|context (length|window|size)|prompt is too long"
    r"|too many (input )?tokens|longer than the (model|maximum)",
    re.IGNORECASE,
)


def read_fault(fault: Exception, setup: ServerSetup) -> Fault | None:
    """Return what an exception means; None: not of the SDK, so a bug or an error of our own."""
    import openai

    if isinstance(fault, openai.APIStatusError):
        body: Body = fault.body if isinstance(fault.body, dict) else {}
        wait_s = retry_after_s(fault.response.headers)
        sentence = _server_message(fault) or fault.response.reason_phrase
        error = _make_error(fault.status_code, sentence, body, setup, waits=wait_s is not None)
        return status_fault(fault.status_code, error, wait_s)
    if isinstance(fault, (openai.APIConnectionError, OSError)):
        # The transport calls a lost connection a timeout; timeouts are the policy's, so it is none.
        return read_connection_fault(fault, setup.base_url, f"{_ADDRESS}, or {setup.url_variable}")
    return None


def make_status_error(error: object, status: int | None = None) -> openai.APIStatusError:
    """Make the SDK's exception for an error object that came in a batch, or as a 200."""
    import httpx2
    from openai import APIStatusError

    body: Any = error if isinstance(error, dict) else {"message": str(error)}
    code = str(body.get("code"))
    if status is None:
        status = int(code) if re.fullmatch(r"[45]\d\d", code) else 500
    response = httpx2.Response(status, request=httpx2.Request("POST", "https://error"))
    return APIStatusError(f"status {status}", response=response, body=body)


def _make_error(
    status: int, sentence: str, body: Body, setup: ServerSetup, *, waits: bool
) -> BackendError:
    words = f"{setup.name} answered {status}: {sentence}"
    code = " ".join(str(body.get(name) or "") for name in ("code", "type")).strip()
    if status in {401, 403} or is_unpaid(status, sentence, code, waits=waits):
        return AccessError(words, hint=f"see {setup.key_variable} and the account it belongs to")
    if status == 404:
        hint = f"see --model and {_ADDRESS}"
        if "/v1" not in urlsplit(setup.base_url).path:
            hint = f"base_url is without /v1, which most servers want: {_ADDRESS}"
        return ModelLoadError(f"{setup.base_url} has no {setup.model!r}: {sentence}", hint=hint)
    if status in {400, 413, 422} and _TOO_LONG.search(f"{code} {sentence}"):
        return PromptTooLongError(words, hint="fewer exemplars, or a smaller --max-tokens")
    if may_pass(status):
        return TransientError(words)
    return BackendError(words, hint=without_hint(sentence, body.get("param")))


def _server_message(fault: openai.APIStatusError) -> str:
    """Return the server's own sentence."""
    body: Any = fault.body
    if isinstance(body, str) and body:
        return server_sentence(
            body, is_page="html" in fault.response.headers.get("content-type", "")
        )
    inner: Any = body.get("message") or body.get("detail") if isinstance(body, dict) else None
    return server_sentence(inner if isinstance(inner, str) else fault.message)
