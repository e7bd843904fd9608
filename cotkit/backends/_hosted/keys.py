"""API keys and addresses of servers: from the environment or ``.env``, and out of every text."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from cotkit.errors import AccessError, BadInputError, UsageError
from cotkit.inputs import is_below

_LINE = re.compile(
    r"""\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(?:"([^"]*)"|'([^']*)'|(.*?))(?:\s+\#.*)?\s*"""
)
_LOOKS_LIKE_KEY = re.compile(r"\bsk-[\w*.-]{6,}|(?<=\bBearer )\S+", re.IGNORECASE)
AZURE_HOSTS = (".azure.com", ".azure.us", ".azure.cn")
_MASK = "[key]"
_MIN_SECRET = 6  # shorter ones are dummies for servers without keys; masking them would hide words

# The only state here: a key that was read once is masked ever after, wherever it came from.
_known_secrets: set[str] = set()


def read_api_key(variable: str, *, required: bool = True) -> str | None:
    """Read the key that a variable names: from the environment, else from ``.env`` here.

    Raises:
        AccessError: it is set nowhere though ``required``, or is not one word of plain ASCII.
        BadInputError: ``.env`` cannot be read.
    """
    key = _read_variable(variable)
    if key is None:
        if not required:
            return None
        raise AccessError(
            f"no API key: {variable} is set neither in the environment nor in .env here",
            hint=f"export {variable}=..., or write the line {variable}=... into .env",
        )
    if not (key.isascii() and key.isprintable() and " " not in key):
        # In a header it would raise deep in the SDK, with the key in what is raised.
        raise AccessError(
            f"{variable} is no API key: it holds a space or a character that is not ASCII",
            hint="copy it again, without typographic quotes",
        )
    _known_secrets.add(key)
    return key


def first_set(variables: Sequence[str]) -> str:
    """Return the first of several variables that is set, else the first."""
    return next((name for name in variables if _read_variable(name)), variables[0])


def is_given(variable: str) -> bool:
    """Return whether the environment, or ``.env`` here, gives a variable a value."""
    return bool(_read_variable(variable))


def choose_address(
    base_url: str | None, variable: str, *, secrets: Iterable[str], trusted: Iterable[str] = ()
) -> str | None:
    """Return the address of a server: the argument, else what a variable names.

    Args:
        base_url: What the user wrote; None or empty: nothing.
        variable: Read from the environment, else from ``.env`` here.
        secrets: Every variable whose value would be sent there.
        trusted: Addresses that the user vouches for (``--trust-address``).

    Returns:
        The address; None: the provider's own.

    Raises:
        UsageError: it is no ``http`` address, holds a secret, or only ``.env`` here names it
            while one of ``secrets`` is in the environment: a stranger's folder could have that
            key sent anywhere.
        BadInputError: ``.env`` cannot be read.
    """
    if base_url:
        return check_url("base_url", base_url)
    text = _read_variable(variable)
    if text is None:
        return None
    url = check_url(variable, text)
    if not _is_set(variable) and not is_trusted(url, trusted):
        for name in filter(_is_set, secrets):
            raise UsageError(
                f".env in this folder names the address {url!r}, and your environment's {name} "
                "would be sent there",
                hint=f"if you mean it: --trust-address {url}, or {variable}={url} in the "
                "environment",
            )
    return url


def is_trusted(url: str, trusted: Iterable[str]) -> bool:
    """Return whether an address is one of those that the user vouches for, or below one.

    Raises:
        UsageError: one of those is no address.
    """
    return any(is_below(url, check_url("--trust-address", each)) for each in trusted)


def _is_set(variable: str) -> bool:
    return bool(os.environ.get(variable, "").strip())


def check_url(place: str, text: str) -> str:
    """Check an address that is stored; return it with its host in lower case, no slash at its end.

    Raises:
        UsageError: it is no ``http`` address, or holds a secret; ``place`` says where it is from.
    """
    try:
        parts = urlsplit(text)
        fits = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fits, parts = False, urlsplit("")
    host = parts.hostname or ""
    is_azure = host.endswith(AZURE_HOSTS)
    if is_azure and (parts.query or re.search(r"/deployments/|/models/?$", parts.path)):
        raise UsageError(
            f"{place} is an address of Azure's old interface",
            hint=f"write base_url=https://{host}/openai/v1 and --model azure/DEPLOYMENT",
        )
    if parts.username is not None or parts.query or parts.fragment:
        # Not shown: addresses are stored as part of a model's identity, and these parts hold keys.
        raise UsageError(
            f"{place} holds a user name, a query or a fragment", hint="write scheme://host/path"
        )
    if not fits:
        raise UsageError(f"{place}={text!r} is no address", hint="write http://127.0.0.1:8000/v1")
    return parts._replace(netloc=parts.netloc.lower()).geturl().rstrip("/")


def holds_key(text: str) -> bool:
    """Return whether a text holds a key that was read, or what looks like one."""
    return scrub(text) != text


def scrub(text: str) -> str:
    """Mask every key in a text: those that were read, and what looks like one.

    Both ends of a key are masked where a server cut it in the middle (``sk-abc***xyz``). Half a
    surrogate pair, which no file can hold, becomes ``?``.
    """
    text = text.encode(errors="replace").decode()
    for key in sorted(_known_secrets, key=len, reverse=True):
        if len(key) >= _MIN_SECRET:
            text = text.replace(key, _MASK)
    return _LOOKS_LIKE_KEY.sub(_MASK, text)


def _read_variable(variable: str) -> str | None:
    return os.environ.get(variable, "").strip() or _read_dotenv().get(variable) or None


def _read_dotenv() -> dict[str, str]:
    path = Path(".env")
    if not path.is_file():  # a folder of this name is a virtual environment
        return {}
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as closed:
        raise BadInputError(path, f"cannot be read: {closed.strerror}") from closed
    except UnicodeDecodeError as broken:
        raise BadInputError(path, f"is not UTF-8: {broken.reason} at {broken.start}") from broken
    values: dict[str, str] = {}
    for line in lines:
        if match := _LINE.fullmatch(line):
            name, double, single, bare = match.groups()
            values[name] = double or single or bare or ""
    return values
