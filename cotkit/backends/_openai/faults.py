"""What an exception of the SDK means: whether to try again, and the one line a user reads."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from cotkit.backends._hosted.faults import (
    find_error,
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
from cotkit.backends._openai.services import suggest_weights
from cotkit.backends._openai.setup import Body, ServerSetup
from cotkit.errors import (
    AccessError,
    BackendError,
    ContentRefusalError,
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
        body = _error_body(fault)
        wait_s = retry_after_s(_headers(fault, body))
        sentence = _server_message(fault) or fault.response.reason_phrase
        code = error_code(body)
        if is_filtered(fault.status_code, sentence, code):
            return Fault(status=str(fault.status_code), error=ContentRefusalError(sentence))
        error = _make_error(
            fault.status_code, sentence, code, body, setup, waits=wait_s is not None
        )
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
    if status is None:
        status = int((find_error({"error": body}) or {"status": 500})["status"])
    response = httpx2.Response(status, request=httpx2.Request("POST", "https://error"))
    return APIStatusError(f"status {status}", response=response, body=body)


def error_code(body: Body) -> str:
    """Return the words of an error object that are meant for programs."""
    inner: Any = body.get("innererror")
    codes = [
        body.get("code"),
        body.get("type"),
        inner.get("code") if isinstance(inner, dict) else None,
    ]
    return " ".join(
        str(code) for code in (*codes, *_google_quotas(body)) if isinstance(code, str | int)
    )


def _google_quotas(body: Body) -> list[str]:
    """Return the names of the quotas that are used up, as Google has them: ``...PerDay...``."""
    details: Any = body.get("details")
    return re.findall(r'"quotaId": "([^"]*)"', json.dumps(details)) if details else []


def _error_body(fault: openai.APIStatusError) -> Body:
    body = _first(fault.body)
    inner: Any = body.get("error") if isinstance(body, dict) else None
    inner = body if inner is None else inner
    return inner if isinstance(inner, dict) else {}


def _first(body: Any) -> Any:  # noqa: ANN401 - whatever JSON came
    """Return the body of an error; Google's is a list with one in it."""
    return body[0] if isinstance(body, list) and body else body


def _headers(fault: openai.APIStatusError, body: Body) -> Mapping[str, str]:
    """Return the headers of an error; a router puts those of the provider into its body."""
    delay = re.search(r'"retryDelay": "([\d.]+)s"', json.dumps(body.get("details")))
    if delay is not None and not is_day_quota(429, "", error_code(body), waits=False):
        return {"retry-after": delay[1], **fault.response.headers}
    metadata: Any = body.get("metadata")
    inner: Any = metadata.get("headers") if isinstance(metadata, dict) else None
    if not isinstance(inner, dict):
        return fault.response.headers
    return {str(name).lower(): str(value) for name, value in inner.items()}


def _make_error(
    status: int, sentence: str, code: str, body: Body, setup: ServerSetup, *, waits: bool
) -> BackendError:
    words = f"{setup.name} answered {status}: {sentence}"
    if status in {401, 403} or is_unpaid(status, sentence, code, waits=waits):
        return AccessError(words, hint=f"see {setup.key_variable} and the account it belongs to")
    if is_day_quota(status, sentence, code, waits=waits):
        hint = "the quota of a day or more is used up: resume the run when it is new"
        return AccessError(words, hint=hint)
    if status == 404:
        hint = f"see --model and {_ADDRESS}"
        if "/v1" not in urlsplit(setup.base_url).path:
            hint = f"base_url is without /v1, which most servers want: {_ADDRESS}"
        service = setup.backend if setup.backend == "openai" else setup.label.partition("/")[0]
        hint = "; ".join(filter(None, (hint, suggest_weights(service, setup.model))))
        return ModelLoadError(f"{setup.base_url} has no {setup.model!r}: {sentence}", hint=hint)
    if may_pass(status):
        return TransientError(words)
    error = BackendError(words, hint=without_hint(sentence, body.get("param")))
    if status in {400, 413, 422} and _TOO_LONG.search(f"{code} {sentence}"):
        error = PromptTooLongError(words, hint="fewer exemplars, or a smaller --max-tokens")
    error.is_permanent = True
    return error


def _server_message(fault: openai.APIStatusError) -> str:
    """Return the server's own sentence."""
    body = _first(fault.body)
    if isinstance(body, str) and body:
        return server_sentence(
            body, is_page="html" in fault.response.headers.get("content-type", "")
        )
    words: Any = find_error(body) if isinstance(body, dict) else None
    return server_sentence(words["message"] if words else fault.message)
