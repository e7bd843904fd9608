"""What an exception of the SDK means: whether to try again, and the one line a user reads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from cotkit.backends._hosted.faults import (
    is_day_quota,
    is_filtered,
    is_unpaid,
    may_pass,
    read_connection_fault,
    retry_after_s,
    server_sentence,
    status_fault,
    without_hint,
)
from cotkit.backends._hosted.policy import Fault
from cotkit.errors import (
    AccessError,
    BackendError,
    ContentRefusalError,
    ModelLoadError,
    PromptTooLongError,
    TransientError,
)

if TYPE_CHECKING:
    import anthropic

_STATUS = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "timeout_error": 504,
    "overloaded_error": 529,
}
_TOO_LONG = re.compile(r"prompt is too long|exceeds? (the )?context|too many tokens", re.IGNORECASE)


def read_fault(fault: Exception, *, model: str, base_url: str) -> Fault | None:
    """Return what an exception means; None: not of the SDK, so a bug or an error of our own."""
    import anthropic

    if isinstance(fault, anthropic.APIStatusError):
        status, headers = fault.status_code, cast("Mapping[str, str]", fault.response.headers)
        sentence = _server_message(fault.body, headers) or fault.response.reason_phrase or "nothing"
        wait_s, kind = retry_after_s(headers), str(_error_object(fault.body).get("type") or "")
        if is_filtered(status, sentence, kind):
            return Fault(status=str(status), error=ContentRefusalError(sentence))
        if is_day_quota(status, sentence, kind, waits=wait_s is not None):
            hint = "the quota of a day or more is used up: resume the run when it is new"
            error = AccessError(f"anthropic answered {status}: {sentence}", hint=hint)
        elif status in {401, 403} or is_unpaid(status, sentence, kind, waits=wait_s is not None):
            hint = "see ANTHROPIC_API_KEY and the account it belongs to"
            error = AccessError(f"anthropic answered {status}: {sentence}", hint=hint)
        else:
            error = _make_error(status, sentence, model, base_url)
        return status_fault(status, error, wait_s)
    if isinstance(fault, (anthropic.APIConnectionError, OSError)):
        # The transport calls some lost connections timeouts; timeouts are the policy's.
        return read_connection_fault(
            fault, base_url, "--model-args base_url, or ANTHROPIC_BASE_URL"
        )
    return None


def make_status_error(body: object) -> anthropic.APIStatusError:
    """Make the SDK's exception for an error that came without a status: in a batch, or as a 200."""
    import httpx2
    from anthropic import APIStatusError

    inner = _error_object(body)
    code, kind = str(inner.get("code")), str(inner.get("type"))
    status = int(code) if re.fullmatch(r"[45]\d\d", code) else _STATUS.get(kind, 500)
    response = httpx2.Response(status, request=httpx2.Request("POST", "https://error"))
    return APIStatusError(kind, response=response, body=body)


def _make_error(status: int, sentence: str, model: str, base_url: str) -> BackendError:
    words = f"anthropic answered {status}: {sentence}"
    if status == 404:
        hint = "see --model and ANTHROPIC_BASE_URL"
        if "/v1" in urlsplit(base_url).path:
            hint = "base_url goes without /v1 here"
        return ModelLoadError(f"anthropic has no {model!r}: {sentence}", hint=hint)
    if may_pass(status):
        return TransientError(words)
    error = BackendError(words, hint=_find_hint(sentence))
    if status == 413 or _TOO_LONG.search(sentence):
        error = PromptTooLongError(words, hint="fewer exemplars, or a smaller --max-tokens")
    error.is_permanent = True
    return error


def _find_hint(sentence: str) -> str | None:
    """Return the argument that changes what a server names as wrong; None: it names none."""
    if "thinking" in sentence:
        return "--model-args thinking=off, thinking=auto or thinking=TOKENS"
    if "effort" in sentence:
        return "--model-args effort=low, medium or high"
    return without_hint(sentence.replace("stop_sequences", "stop"))


def _server_message(body: object, headers: Mapping[str, str]) -> str:
    """Return the server's own sentence in an error body."""
    if isinstance(body, str):
        return server_sentence(body, is_page="html" in headers.get("content-type", ""))
    message = _error_object(body).get("message")
    return server_sentence(message) if isinstance(message, str) else ""


def _error_object(body: object) -> Mapping[str, object]:
    """Return the object that describes the error; empty: there is none."""
    fields = cast("Mapping[str, object]", body if isinstance(body, dict) else {})
    error = fields.get("error", fields)
    error_fields: object = error if isinstance(error, dict) else {"message": error}
    return cast("Mapping[str, object]", error_fields)
