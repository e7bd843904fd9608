"""What an exception of the SDK means: whether to try again, and the one line a user reads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import cast

from cotkit.backends._hosted.keys import scrub
from cotkit.backends._hosted.policy import Fault
from cotkit.backends._hosted.retry_after import retry_after_s
from cotkit.backends._hosted.rules import REFUSABLE
from cotkit.errors import (
    AccessError,
    BackendError,
    ModelLoadError,
    PromptTooLongError,
    TransientError,
)

_BUSY = {429, 503, 529}
_PASSING = {408, 409, *_BUSY}
_NO_MONEY = re.compile(r"credit balance|billing|spend(ing)? limit|usage limits", re.IGNORECASE)
_TOO_LONG = re.compile(r"prompt is too long|exceeds? (the )?context|too many tokens", re.IGNORECASE)
_MAX_SAID = 300  # characters of a server's words that an error repeats


def read_fault(fault: Exception, *, model: str, base_url: str) -> Fault | None:
    """The meaning of a fault; None: not one of the SDK's, so a bug or an error of our own."""
    import anthropic

    if isinstance(fault, anthropic.APIStatusError):
        said = _said(fault.body) or fault.response.reason_phrase or "nothing"
        headers = cast("Mapping[str, str]", fault.response.headers)
        return _of_status(fault.status_code, said, headers, model=model)
    if isinstance(fault, (anthropic.APIConnectionError, OSError)):
        # The transport calls some lost connections timeouts; timeouts are the policy's.
        why = scrub(_first_line(str(fault.__cause__ or fault))) or "it was lost"
        error = TransientError(
            f"no connection to {base_url}: {why}", hint="see ANTHROPIC_BASE_URL and the network"
        )
        return Fault(status="reset", error=error)
    return None


def _of_status(status: int, said: str, headers: Mapping[str, str], *, model: str) -> Fault:
    error = _error(status, said, model)
    return Fault(
        status=str(status),
        error=error,
        is_busy=status in _BUSY and error.retryable,
        retry_after_s=retry_after_s(headers),
    )


def _error(status: int, said: str, model: str) -> BackendError:
    words = f"anthropic answered {status}: {said}"
    if status in {401, 402, 403} or (status in {400, 429} and _NO_MONEY.search(said)):
        return AccessError(words, hint="see ANTHROPIC_API_KEY and the account it belongs to")
    if status == 404:
        return ModelLoadError(
            f"anthropic has no {model!r}: {said}", hint="see --model and ANTHROPIC_BASE_URL"
        )
    if status == 413 or _TOO_LONG.search(said):
        return PromptTooLongError(words, hint="fewer exemplars, or a smaller --max-tokens")
    if status in _PASSING or status >= 500:
        return TransientError(words)
    return BackendError(words, hint=_way_out(said))


def _way_out(said: str) -> str | None:
    """The argument that changes what a server has named as wrong; None: it named nothing of it."""
    if "thinking" in said:
        return "--model-args thinking=off, thinking=auto or thinking=TOKENS"
    if "effort" in said:
        return "--model-args effort=low, medium or high"
    words = said.replace("stop_sequences", "stop")
    named = [name for name in sorted(REFUSABLE) if re.search(rf"['\"`]{name}['\"`]", words)]
    return f"--model-args without={'+'.join(named)}" if named else None


def _said(body: object) -> str:
    """The server's own sentence in an error body, first line, without any key."""
    text = body if isinstance(body, str) else ""
    if isinstance(body, dict):
        error = cast("Mapping[str, object]", body).get("error")
        inner = cast("Mapping[str, object]", error if isinstance(error, dict) else body)
        message = inner.get("message")
        text = message if isinstance(message, str) else ""
    return scrub(_first_line(text))[:_MAX_SAID]


def _first_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0] if lines else ""
