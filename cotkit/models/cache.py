"""The cache folder of models: a name there is either a whole model or nothing.

A model is built in a hidden folder beside its place and renamed when it is whole, under a lock, so
that a second process waits and then finds it. What an interrupted build left is swept by the next.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cotkit import paths
from cotkit.errors import MissingDataError, ModelLoadError, UnknownNameError
from cotkit.models import folder as model_folder
from cotkit.models.content import remember_hash, remember_weights, weights_of
from cotkit.models.rounding import LAYOUTS
from cotkit.models.weights import BYTES_EACH
from cotkit.types import Notify


def models_folder() -> Path:
    """Return the folder of all models."""
    return paths.cache_dir() / "models"


def cache_place(name: str, dtype: str = "float32") -> Path:
    """Return where a model of this name lies, or will lie, in a number format."""
    return models_folder() / (name if dtype == "float32" else f"{name}-{dtype}")


def is_complete(folder: Path) -> bool:
    """Return whether a model lies there whole, each file as long as when it was made.

    One in another format than float32 is removed, to be made again, if nothing here remembers which
    weights it was made of (its manifest is no proof), and so is a rounded one of an earlier layout.

    Raises:
        ModelLoadError: something lies there that is damaged or that cotkit did not make.
    """
    if not folder.exists():
        return False
    manifest = model_folder.read_manifest(folder)
    if manifest is None:
        raise ModelLoadError(
            f"{folder / model_folder.MANIFEST_NAME} is missing",
            hint=f"delete {folder} and fetch the model again",
        )
    layout = LAYOUTS.get(folder.name.rpartition("-")[2], 0)
    is_old = manifest.converter_version < layout
    is_known = weights_of(model_folder.fingerprint_of(manifest.files)) == manifest.fingerprint
    if is_known and not is_old:
        return True
    shutil.rmtree(folder)
    return False


def build_once(folder: Path, build: Callable[[Path], None], notify: Notify) -> Path:
    """Build a model into its place unless it is there; ``build`` fills the folder it is given."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with lock_file(folder.with_name(f".{folder.name}.lock"), notify):
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
            if manifest is not None:
                own = model_folder.fingerprint_of(manifest.files)
                remember_weights(own, manifest.fingerprint)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskModel:
    """A model, or one number format of it, on this machine's disk."""

    name: str
    """As ``cotkit models rm`` takes it, without the format."""
    form: str
    """A number format; ``gguf``: the file as it came; ``hub``: as the hub's cache holds it."""
    n_bytes: int
    """On disk."""
    path: Path
    """The file or folder."""


def list_disk() -> list[DiskModel]:
    """Return what lies in cotkit's cache and in the hub's, which other tools share."""
    folder = models_folder()
    paths_here = sorted(folder.iterdir()) if folder.is_dir() else []
    own = [_describe(path) for path in paths_here if path.suffix != ".lock"]
    hub = [
        DiskModel(name=repo.repo_id, form="hub", n_bytes=repo.size_on_disk, path=repo.repo_path)
        for repo in _hub_models(_scan_hub())
    ]
    return [*own, *sorted(hub, key=lambda model: model.name)]


def _describe(path: Path) -> DiskModel:
    name, form = path.name.removeprefix("."), "float32"
    if name.endswith(".part"):
        name, form = name.removesuffix(".part").removesuffix(".gguf"), "unfinished"
    elif path.suffix == ".gguf":
        name, form = path.stem, "gguf"
    else:
        stem, _, dtype = name.rpartition("-")
        name, form = (stem, dtype) if dtype in BYTES_EACH else (name, form)
    files = [path] if path.is_file() or path.is_symlink() else path.rglob("*")
    n_bytes = sum(file.lstat().st_size for file in files if not file.is_dir())
    return DiskModel(name=name, form=form, n_bytes=n_bytes, path=path)


def remove_model(spec: str) -> list[DiskModel]:
    """Remove ``NAME`` (every format of it), ``NAME:FORM``, or a hub's ``ORG/NAME[@REVISION]``.

    Of the hub's cache, only what no other revision uses goes, as its own tools do it.

    Raises:
        UnknownNameError: nothing of this name is on this disk.
        ModelLoadError: it is being made now, or cotkit did not make it.
    """
    name, _, form = spec.partition(":")
    models = [
        model
        for model in list_disk()
        if model.form != "hub" and model.name == name and form in ("", model.form)
    ]
    if not models and "/" in spec:
        return _remove_from_hub(*spec.partition("@")[::2])
    if not models:
        choices = [f"{model.name}:{model.form}" for model in list_disk() if model.form != "hub"]
        raise UnknownNameError("model on this disk", spec, choices)
    for model in models:
        _remove(model)
    return models


def _remove(model: DiskModel) -> None:
    path = model.path
    is_folder = path.is_dir() and not path.is_symlink()
    is_own = model.form == "unfinished" or (path / model_folder.MANIFEST_NAME).exists()
    if is_folder and not is_own:
        raise ModelLoadError(f"{path} was not made by cotkit", hint="remove it yourself")
    stem = path.name.removeprefix(".").removesuffix(".part")
    with (path.parent / f".{stem}.lock").open("w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ModelLoadError(f"{path} is being made by another process") from None
        if is_folder:
            shutil.rmtree(path)
        else:
            path.unlink()


def _scan_hub() -> Any:  # noqa: ANN401 - HFCacheInfo of huggingface_hub, which is optional
    """Return what the hub's cache holds; None: there is none, or nothing that reads it."""
    try:
        from huggingface_hub import constants, scan_cache_dir
        from huggingface_hub.errors import CacheNotFound
    except ImportError:
        return None
    try:
        return scan_cache_dir(constants.HF_HUB_CACHE)
    except (CacheNotFound, OSError):
        return None


def _hub_models(hub: Any) -> list[Any]:  # noqa: ANN401 - HFCacheInfo or None
    return [repo for repo in hub.repos if repo.repo_type == "model"] if hub is not None else []


def _remove_from_hub(hub_id: str, revision: str) -> list[DiskModel]:
    hub = _scan_hub()
    repos = _hub_models(hub)
    repo = next((repo for repo in repos if repo.repo_id.lower() == hub_id.lower()), None)
    if repo is None:
        raise UnknownNameError("model on this disk", hub_id, [repo.repo_id for repo in repos])
    commits = [
        each.commit_hash
        for each in repo.revisions
        if not revision or each.commit_hash.startswith(revision) or revision in each.refs
    ]
    if not commits:
        choices = [each.commit_hash for each in repo.revisions]
        raise UnknownNameError(f"revision of {hub_id} on this disk", revision, choices)
    strategy = replace(hub, repos=frozenset({repo})).delete_revisions(*commits)
    strategy.execute()
    n_bytes = strategy.expected_freed_size
    return [DiskModel(name=repo.repo_id, form="hub", n_bytes=n_bytes, path=repo.repo_path)]


@contextmanager
def lock_file(path: Path, notify: Notify) -> Generator[None]:
    """Hold a lock that other processes wait for."""
    with path.open("w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            notify("another process is fetching this model: waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
