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
    hub: tuple[str, ...] = ()
    """Organisations of the hub whose models it serves, too, in lower case."""
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
            hub=tuple(row.get("hub", ())),
            is_local=row.get("is_local", False),
        )
        for name, row in table.items()
    }


def suggest_service(model: str) -> str | None:
    """Return how a model that is named as on the hub would be asked of a service; None: none."""
    owner, _, name = model.partition("/")
    names = [row.name for row in load_services().values() if owner.lower() in row.hub and name]
    return f"hosted, it may be --model {names[0]}/{name}" if names else None


def suggest_weights(service: str, model: str) -> str | None:
    """Return how the hub's weights would be named, where a service is called as their owner is."""
    row = load_services().get(service)
    is_owner = service == "openai" or (row is not None and service in row.hub)
    return f"weights of the hub: --model hf/{service}/{model}" if is_owner else None
