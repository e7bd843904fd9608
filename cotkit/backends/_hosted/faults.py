"""What lost connections, refusals and unusable answers of any provider mean."""

from __future__ import annotations

import email.utils
import html
import json
import re
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from typing import Any, cast
from urllib.parse import urlsplit

from cotkit.backends._hosted.keys import scrub
from cotkit.backends._hosted.parameters import REFUSABLE
from cotkit.backends._hosted.policy import Fault, Malformed
from cotkit.backends._hosted.proxies import describe_proxy
from cotkit.errors import BackendError, TransientError

_BUSY = {429, 503, 529}
_PASSING = {408, 409, 425, *_BUSY}
_BROKEN = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)  # as without TLS


class RedirectedError(OSError):
    """An answer that sends a call on to another server, where its key is not meant to go."""

    def __init__(self, target: str) -> None:
        super().__init__(target)
        self.target = scrub(target)[:_MAX_SAID]
        """Scheme, host and port of that server."""


def read_connection_fault(fault: BaseException, base_url: str, where: str) -> Fault:
    """Return what a lost connection means; ``where`` names the argument with the address."""
    while fault.__cause__ is not None:  # the SDK and its transport wrap what the system said
        fault = fault.__cause__
    if isinstance(fault, RedirectedError):
        words = f"{base_url} sends calls on to {fault.target}, where neither key nor prompt follows"
        error = BackendError(words, hint=f"if that is the server: base_url={fault.target}/...")
        return Fault(status="redirect", error=error, is_hopeless=True)
    host, hint, is_hopeless = urlsplit(base_url).netloc, f"see {where}", True
    proxy = describe_proxy(base_url)
    if proxy is not None:
        hint = f"see the proxy's variable, and NO_PROXY for servers that need none; {hint}"
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
    address = base_url if proxy is None else f"{base_url} by way of {proxy}"
    error = TransientError(f"no connection to {address}: {why}", hint=hint)
    return Fault(status="reset", error=error, is_hopeless=is_hopeless)


# Refusals by status.


def may_pass(status: int) -> bool:
    """Return whether a call that was answered with this status may succeed later."""
    return status in _PASSING or status >= 500 or status < 400


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
_DAY = re.compile(
    r"(per|by|each|every)[-_ ]?(day|week|month|24)|daily|weekly|monthly|\b[RT]PD\b|today|day'?s "
    r"|\b24[- ]?h|\b(day|week|month)s? (limit|quota)|今日|当日|每日|每天",
    re.IGNORECASE,
)


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


def is_day_quota(status: int, sentence: str, code: str, *, waits: bool) -> bool:
    """Return whether a refusal is about a quota of a day or more, which no try of ours outlasts.

    ``waits``: the server's headers say how long to wait; then that decides.
    """
    return status == 429 and not waits and bool(_DAY.search(f"{code} {_LINK.sub('', sentence)}"))


# Refusals of one prompt because of what it says: an answer of its own kind.


_FILTER_CODE = re.compile(
    r"content[_ -]?(filter|policy|management|moderation|violation|safety|risk)|responsible_?ai"
    r"|invalid_prompt|data_?inspection|moderation|prohibited|policy_violation|sensitive|safety"
    r"|^1301\b",  # Zhipu
    re.IGNORECASE,
)
_FILTER_SENTENCE = re.compile(
    r"content (management|usage|safety|moderation)? ?polic|content[- ]filter|filtering policy"
    r"|\bflagged\b|usage polic|inappropriate content|data inspection|violat\w+ .{0,60}polic"
    r"|sensitive (content|words?|information)|敏感|不安全|违规",
    re.IGNORECASE,
)
_ACCOUNT = re.compile(r"\b(account|organi[sz]ation|api key|project|billing)\b", re.IGNORECASE)


def is_filtered(status: int, sentence: str, code: str) -> bool:
    """Return whether a refusal is of the words of one prompt; one of an account is not."""
    if status not in {400, 403, 422, 451} or _ACCOUNT.search(sentence):
        return False
    return bool(_FILTER_CODE.search(code) or _FILTER_SENTENCE.search(sentence))


# What a server wrote: a JSON object, or something else, of which errors show one line.


_STATUS_OF_WORDS: tuple[tuple[str, int], ...] = (
    (r"rate.?limit|too.?many.?requests|quota|throttl|频率|速率", 429),
    (r"auth|api.?key|credential", 401),
    (r"billing|payment|balance|credit", 402),
    (r"permission|forbidden|access.?denied", 403),
    (r"not.?found|no such model|does not exist", 404),
    (r"overload|unavailable|capacity|loading|busy|timeout|internal|server|upstream", 503),
    (r"invalid|bad.?request|unsupported|context.?length|content.?filter|validation", 400),
)
_STATUS_KEYS = ("code", "status", "status_code", "statusCode", "error_code", "err_code")
_MESSAGE_KEYS = ("message", "msg", "error_msg", "status_msg", "errmsg", "detail", "error")


def find_error(answer: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the error that came with status 200 in whatever place; None: there is none.

    Its ``status`` is the one that it should have come with, its ``message`` a text.
    """
    for inner in _error_objects(answer):
        message = next(
            (text for key in _MESSAGE_KEYS if isinstance(text := inner.get(key), str) and text), ""
        )
        codes = [str(inner[key]) for key in _STATUS_KEYS if isinstance(inner.get(key), int | str)]
        status = next((int(code) for code in codes if re.fullmatch(r"[45]\d\d", code)), None)
        if status is None:
            words = " ".join([*codes, str(inner.get("type") or "")])
            by_words = (
                number
                for text in (words, message)
                for pattern, number in _STATUS_OF_WORDS
                if re.search(pattern, text, re.IGNORECASE)
            )
            status = next(by_words, 500)
        return {**inner, "message": message or "an error without words", "status": status}
    return None


def _error_objects(answer: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what looks like an error in an answer without words of a model."""
    for key in ("error", "errors", "detail", "base_resp"):
        value: Any = answer.get(key)
        value = value[0] if isinstance(value, list) and value else value
        if isinstance(value, dict):
            is_fine = key == "base_resp" and not value.get("status_code")
            if value and not is_fine:
                yield cast("dict[str, Any]", value)
        elif value:
            yield {"message": str(value), **{k: answer[k] for k in _STATUS_KEYS if k in answer}}
    choices: Any = answer.get("choices")
    if isinstance(choices, list) and choices:
        first: Any = choices[0]
        if isinstance(first, dict) and isinstance(first.get("error"), dict):
            yield first["error"]
    elif any(isinstance(answer.get(key), str) for key in _MESSAGE_KEYS[:5]):
        yield dict(answer)


_MAX_SAID = 300  # characters of a server's words that an error repeats
_MAX_SEEN = 80  # characters of a web page
_MAX_PAGE = 20_000  # characters in which they are looked for
_HALF_SURROGATE = re.compile(
    rb"\\u[dD][89a-fA-F]|\xed[\xa0-\xbf]"
)  # one or both halves of a surrogate pair
_PAGE = re.compile(r"\s*<(!doctype html|html|head|body)\b", re.IGNORECASE)
_MARKUP = re.compile(  # what is never closed goes to the end, so that each character is read once
    r"<(script|style)\b.*?(?:</\1\s*>|\Z)|<!--.*?(?:-->|\Z)|<[^>]*(?:>|\Z)",
    re.IGNORECASE | re.DOTALL,
)


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
    lines = (line.strip() for line in scrub(text[:_MAX_PAGE]).splitlines())
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
            seconds = float(millis) / 1000
        elif (date := email.utils.parsedate_tz(text := headers.get("retry-after", ""))) is not None:
            seconds = email.utils.mktime_tz(date) - time.time()
        elif text or headers.get("x-ratelimit-remaining") != "0":
            seconds = float(text)
        else:
            seconds = float(headers.get("x-ratelimit-reset", ""))
            if seconds > _EPOCH_S:  # a moment, maybe in milliseconds, and no duration
                seconds = seconds / (1000 if seconds > _EPOCH_MS else 1) - time.time()
                if seconds <= 0:
                    return None
    except (ValueError, OverflowError, TypeError):
        return None  # a header that says nothing readable asks for nothing
    return max(0.0, seconds) if seconds < _LONGEST_S else None  # nor does one that is no number


_EPOCH_S, _EPOCH_MS, _LONGEST_S = 1e9, 1e11, 4e9
