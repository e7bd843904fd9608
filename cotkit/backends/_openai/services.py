"""Services that speak OpenAI's protocol, by name: the table ``services.toml``."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_DATA = Path(__file__).with_name("services.toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One service, or a kind of server of one's own."""

    name: str
    """As ``--model NAME/MODEL`` has it."""
    base_url: str | None = None
    """Its address; None: everybody has another."""
    keys: tuple[str, ...] = ()
    """Environment variables that may hold its key, in the order in which they are looked at."""
    is_local: bool = False
    """Whether it runs on the user's machine and needs no key."""


def variable_prefix(service: str) -> str:
    """Return how the environment variables of a service begin."""
    return service.replace("-", "_").upper()


@functools.cache
def load_services() -> Mapping[str, Service]:
    """Return name -> service."""
    table = tomllib.loads(_DATA.read_text(encoding="utf-8"))
    return {
        name: Service(
            name=name,
            base_url=row.get("base_url"),
            keys=tuple(row.get("keys", [f"{variable_prefix(name)}_API_KEY"])),
            is_local=row.get("is_local", False),
        )
        for name, row in table.items()
    }
