"""Where requests and keys go, in words: what is not a provider's own address is always said."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from cotkit.backends._hosted.keys import AZURE_HOSTS
from cotkit.backends._hosted.proxies import is_loopback
from cotkit.backends._openai.services import load_services
from cotkit.inputs import is_below
from cotkit.types import BackendInfo

_OWN = {"openai": "https://api.openai.com", "anthropic": "https://api.anthropic.com"}


def foreign_address(info: BackendInfo) -> str | None:
    """Return the address that a backend asks, if it is not its provider's own.

    None: it is, or there is no server, or nobody here knows it (``inspect``, ``litellm``).
    """
    url = info.settings.get("base_url", "")
    is_azure = info.model.startswith("azure/")
    if "://" not in url or (is_azure and (urlsplit(url).hostname or "").endswith(AZURE_HOSTS)):
        return None
    own = own_address(info.backend, info.model)
    return None if own is not None and is_below(url, own) else url


def own_address(backend: str, model: str) -> str | None:
    """Return the address of the provider that a model's name says; None: it says none."""
    service = model.partition("/")[0]
    own = _OWN.get(backend) or _OWN.get(service)
    if own is None and service in (services := load_services()):
        own = services[service].base_url
    return own


def address_warnings(info: BackendInfo) -> Iterator[str]:
    """Yield what a user must know of the address before the first call."""
    if (url := foreign_address(info)) is not None:
        yield f"prompts, and the key if there is one, go to {url}: no provider's own address"
    parts = urlsplit(info.settings.get("base_url", ""))
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        yield (
            f"http://{parts.netloc} is not encrypted: who is on the way there can read key and "
            "prompts, and change the answers"
        )
