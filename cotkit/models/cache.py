"""The cache folder of models: a name there is either a whole model or nothing.

A model is built in a hidden folder beside its place and renamed when it is whole, under a lock, so
that a second process waits and then finds it. What an interrupted build left is swept by the next.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from cotkit import paths
from cotkit.errors import MissingDataError, ModelLoadError
from cotkit.models import folder as model_folder
from cotkit.models.content import remember_hash
from cotkit.types import Notify


def cache_place(name: str) -> Path:
    """Return where a model of this name lies or will lie."""
    return paths.cache_dir() / "models" / name


def is_complete(folder: Path) -> bool:
    """Return whether a model lies there whole, each file as long as when it was made.

    Raises:
        ModelLoadError: something lies there that is damaged or that cotkit did not make.
    """
    if not folder.exists():
        return False
    if model_folder.read_manifest(folder) is None:
        raise ModelLoadError(
            f"{folder / model_folder.MANIFEST_NAME} is missing",
            hint=f"delete {folder} and fetch the model again",
        )
    return True


def build_once(folder: Path, build: Callable[[Path], None], notify: Notify) -> Path:
    """Build a model into its place unless it is there; ``build`` fills the folder it is given."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _lock_file(folder.with_name(f".{folder.name}.lock"), notify):
        if is_complete(folder):
            return folder
        part = folder.with_name(f".{folder.name}.part")
        shutil.rmtree(part, ignore_errors=True)  # an interrupted build's
        part.mkdir()
        try:
            build(part)
            part.rename(folder)
            manifest = model_folder.read_manifest(folder)
            for name, digest in manifest.files.items() if manifest else ():
                remember_hash(folder / name, digest)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return folder


def require_space(folder: Path, n_bytes: int, what: str) -> None:
    """Demand free disk space where a folder will lie.

    Raises:
        MissingDataError: there is too little; names both numbers.
    """
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < n_bytes:
        raise MissingDataError(
            f"{what} needs {format_bytes(n_bytes)} of disk while it is made and {folder} has "
            f"{format_bytes(free)} free",
            hint="free some space or set COTKIT_CACHE_DIR to a larger disk",
        )


def format_bytes(n_bytes: int) -> str:
    """Write a size for a reader, in decimal units."""
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.0f} MB"


@contextmanager
def _lock_file(path: Path, notify: Notify) -> Generator[None]:
    with path.open("w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            notify("another process is fetching this model: waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
