"""Proxies on the way to a server, as the HTTP client reads them from the environment."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from cotkit.errors import UsageError


def describe_proxy(base_url: str) -> str | None:
    """Return the proxy on the way to an address, without its password; None: there is none."""
    address = urlsplit(base_url)
    host = address.hostname or ""
    if is_loopback(host) or proxy_bypass(host):
        return None
    proxies = getproxies()
    for scheme in (address.scheme, "all"):
        if proxy := proxies.get(scheme):
            parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
            place = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
            return f"the proxy {place} ({scheme.upper()}_PROXY)"
    return None


def check_proxies() -> None:
    """Refuse a proxy that the HTTP client cannot use.

    Raises:
        UsageError: names the variable.
    """
    for scheme, proxy in getproxies().items():
        kind = urlsplit(proxy).scheme if "://" in proxy else "http"
        if scheme in {"http", "https", "all"} and kind not in {"http", "https"}:
            raise UsageError(
                f"{scheme.upper()}_PROXY is a {kind} proxy, of which HTTP clients here know none",
                hint=f"set one that begins with http://, or unset {scheme.upper()}_PROXY",
            )


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
