"""How often the answers of a model change with the batch, as ``cotkit doctor`` measured it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from cotkit.identity import backend_key
from cotkit.paths import cache_dir, write_atomically
from cotkit.types import BackendInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Flips:
    """One measurement."""

    n_flipped: int
    """Answers that differed between problems asked one by one and all at once."""
    n_problems: int
    """How many were asked, at least 1."""

    def __str__(self) -> str:
        return (
            f"{self.n_flipped} of {self.n_problems} answers changed between one by one and "
            "batched, as cotkit doctor measured this model and setting here"
        )


def save_flips(info: BackendInfo, flips: Flips) -> None:
    """Store a measurement for later reports; the last one of a model and setting counts."""
    path = _flips_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    flips_by_backend = _read_flips(path) | {backend_key(info): asdict(flips)}
    write_atomically(path, json.dumps(flips_by_backend).encode())


def load_flips(info: BackendInfo) -> Flips | None:
    """Return the measurement of exactly this backend; None: there is none."""
    stored = _read_flips(_flips_path()).get(backend_key(info))
    return None if stored is None else Flips(**stored)


def _flips_path() -> Path:
    return cache_dir() / "flips.json"


def _read_flips(path: Path) -> dict[str, dict[str, int]]:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):  # none yet, or damaged: the next call of doctor measures again
        return {}
