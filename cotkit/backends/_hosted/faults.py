"""What lost connections, refusals and unusable answers of any provider mean."""

from __future__ import annotations

import email.utils
import html
import json
import re
import socket
import ssl
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from cotkit.backends._hosted.keys import scrub
from cotkit.backends._hosted.parameters import REFUSABLE
from cotkit.backends._hosted.policy import Fault, Malformed
from cotkit.errors import BackendError, TransientError

_BUSY = {429, 503, 529}
_PASSING = {408, 409, 425, *_BUSY}
_BROKEN = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)  # as without TLS


def read_connection_fault(fault: BaseException, base_url: str, where: str) -> Fault:
    """Return what a lost connection means; ``where`` names the argument with the address."""
    while fault.__cause__ is not None:  # the SDK and its transport wrap what the system said
        fault = fault.__cause__
    host, hint, is_hopeless = urlsplit(base_url).netloc, f"see {where}", True
    match fault:
        case socket.gaierror():
            why = f"no address is known of {host} ({fault.strerror})"
        case ssl.SSLCertVerificationError():
            why = f"the certificate of {host} is refused ({fault.verify_message})"
            hint += "; SSL_CERT_FILE names the certificates that are trusted"
        case ssl.SSLError() if not isinstance(fault, _BROKEN):
            why = f"{host} does not speak TLS ({fault.reason})"
            hint += ": http:// where there is no TLS"
        case _:
            is_refused = isinstance(fault, ConnectionRefusedError)
            why = (
                "connection refused" if is_refused else server_sentence(str(fault)) or "it was lost"
            )
            is_hopeless = False
    error = TransientError(f"no connection to {base_url}: {why}", hint=hint)
    return Fault(status="reset", error=error, is_hopeless=is_hopeless)


# Refusals by status.


def may_pass(status: int) -> bool:
    """Return whether a call that was answered with this status may succeed later."""
    return status in _PASSING or status >= 500


def status_fault(status: int, error: BackendError, retry_after_s: float | None) -> Fault:
    """Return the fault of a call that was answered with a status other than 200."""
    is_busy = status in _BUSY and error.retryable
    return Fault(status=str(status), error=error, is_busy=is_busy, retry_after_s=retry_after_s)


def without_hint(sentence: str, parameter: object = None) -> str | None:
    """Return the argument that leaves out what a server names as wrong; None: it names nothing."""
    refused = [
        name
        for name in sorted(REFUSABLE)
        if name == parameter or re.search(rf"['\"`]{name}['\"`]", sentence)
    ]
    return f"--model-args without={'+'.join(refused)}" if refused else None


# Refusals because of payment: trying again does not help.


_PAYMENT = re.compile(
    r"insufficient[_ ](quota|balance)|billing|credit[_ ]balance|spend(ing)? limit|usage limits",
    re.IGNORECASE,
)
_LINK = re.compile(r"https?://\S+")  # a sentence on rate limits may link to the billing page


def is_unpaid(status: int, sentence: str, code: str, *, waits: bool) -> bool:
    """Return whether a refusal is about money.

    ``code``: the error's code and type; ``waits``: the server said how long to wait. A 429 is
    usually temporary, so its sentence counts only if there is neither a code nor a wait.
    """
    words = _LINK.sub("", sentence)
    if status == 402:
        return True
    if status == 429:
        return bool(_PAYMENT.search(code or ("" if waits else words)))
    return status == 400 and bool(_PAYMENT.search(f"{code} {words}"))


# What a server wrote: a JSON object, or something else, of which errors show one line.


_MAX_SAID = 300  # characters of a server's words that an error repeats
_MAX_SEEN = 80  # characters of a web page
_MAX_PAGE = 20_000  # characters in which they are looked for
_HALF_SURROGATE = re.compile(
    rb"\\u[dD][89a-fA-F]|\xed[\xa0-\xbf]"
)  # one or both halves of a surrogate pair
_PAGE = re.compile(r"\s*<(!doctype html|html|head|body)\b", re.IGNORECASE)
_MARKUP = re.compile(r"<(script|style)\b.*?</\1\s*>|<!--.*?-->|<[^>]*>", re.IGNORECASE | re.DOTALL)


def read_object(raw: bytes) -> dict[str, Any]:
    """Read the JSON object of an answer; half a surrogate pair becomes ``?``.

    Raises:
        Malformed: it is none; says what it is.
    """
    try:
        answer: Any = json.loads(raw)
        if _HALF_SURROGATE.search(raw):
            answer = json.loads(json.dumps(answer, ensure_ascii=False).encode(errors="replace"))
    except RecursionError:
        raise Malformed("JSON that is nested too deeply") from None
    except ValueError as broken:
        text = raw.decode(errors="replace")
        raise Malformed(_describe_foreign(text) or f"not JSON: {broken}") from broken
    if not isinstance(answer, dict):
        raise Malformed(f"not an object but {type(answer).__name__}")
    return answer


def server_sentence(text: str, *, is_page: bool = False) -> str:
    """Return the first line of a server's text, or what the text is if no words; without keys.

    ``is_page``: the server called it a web page.
    """
    lines = (line.strip() for line in scrub(text).splitlines())
    return _describe_foreign(text, is_page=is_page) or next(filter(None, lines), "")[:_MAX_SAID]


def _describe_foreign(text: str, *, is_page: bool = False) -> str | None:
    """Return what a text is that does not speak the protocol; None: unknown."""
    if is_page or _PAGE.match(text):
        words = " ".join(html.unescape(_MARKUP.sub(" ", text[:_MAX_PAGE])).split())
        return (
            f"a web page, not an API: a proxy, or a wrong base_url ({scrub(words)[:_MAX_SEEN]!r})"
        )
    if text.lstrip().startswith(("data:", "event:")):
        return "a streamed answer, which was not asked for"
    return None


# Waits that servers ask for.


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a server asks to wait, by its headers; None: it does not say."""
    try:
        if (millis := headers.get("retry-after-ms")) is not None:
            return max(0.0, float(millis) / 1000)
        text = headers.get("retry-after", "")
        if (date := email.utils.parsedate_tz(text)) is not None:
            return max(0.0, email.utils.mktime_tz(date) - time.time())
        return max(0.0, float(text))
    except ValueError:
        return None  # a header that says nothing readable asks for nothing
