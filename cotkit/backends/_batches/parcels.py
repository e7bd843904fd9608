"""Who waits for which completion, and how what is wanted is packed into batches."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cotkit.backends._batches.shapes import Provider
from cotkit.types import Completion, Request, Try

_ENVELOPE_BYTES = 200  # around each call in a batch: its name, method, address


@dataclass(slots=True, kw_only=True, eq=False)
class Wanted:
    """One sample of a request that somebody waits for."""

    request: Request
    """Its request, with whatever samples."""
    sample: int
    """Which of its samples."""
    completion: str
    """Its completion key."""
    content: str
    """Its request key."""
    future: asyncio.Future[Completion]
    """Where it is waited for."""
    batch: str | None = None
    """Key of the batch that it lies in; None: in none yet."""
    tries: tuple[Try, ...] = ()
    """What became of it in earlier batches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """Samples of one request that one call brings."""

    request: Request
    """With just these samples, ascending."""
    completions: Mapping[int, str]
    """Sample index -> completion key."""


@dataclass(slots=True, kw_only=True)
class Parcel:
    """Calls that go into one batch."""

    calls: list[Call] = field(default_factory=list[Call])
    """In the order asked for; the index of one is its position."""
    bodies: list[Mapping[str, Any]] = field(default_factory=list[Mapping[str, Any]])
    """What each sends."""
    n_bytes: int = 0
    """About how many bytes all of it takes."""


def pack(wanted: Iterable[Wanted], provider: Provider) -> Iterator[Parcel]:
    """Parcels within the provider's limits, in the order in which the calls were asked for."""
    by_content: dict[str, list[Wanted]] = {}
    for one in wanted:
        by_content.setdefault(one.content, []).append(one)
    parcel = Parcel()
    for samples in by_content.values():
        for call in _calls(samples, provider):
            body = provider.body(call.request)
            n_bytes = len(json.dumps(body)) + _ENVELOPE_BYTES
            is_full = len(parcel.calls) == provider.max_calls
            if parcel.calls and (is_full or parcel.n_bytes + n_bytes > provider.max_bytes):
                yield parcel
                parcel = Parcel()
            parcel.calls.append(call)
            parcel.bodies.append(body)
            parcel.n_bytes += n_bytes
    if parcel.calls:
        yield parcel


def _calls(wanted: list[Wanted], provider: Provider) -> Iterator[Call]:
    keys = {one.sample: one.completion for one in wanted}
    samples = sorted(keys)
    size = provider.n_at_once(replace(wanted[0].request, samples=tuple(samples)))
    for start in range(0, len(samples), size):
        part = samples[start : start + size]
        yield Call(
            request=replace(wanted[0].request, samples=tuple(part)),
            completions={sample: keys[sample] for sample in part},
        )
