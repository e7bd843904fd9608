"""Data sets of the hub: which files hold a split, at which revision; fetched once, checked, kept.

The client of the hub does the talking. What a name meant when it was first resolved is kept: a
revision stays pinned on this machine, and later runs need no network.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

from cotkit.benchmarks._files import PATIENCE_S, call_within, write_cached
from cotkit.errors import BadInputError, MissingDataError, UnknownNameError, UsageError
from cotkit.paths import cache_dir, data_dir
from cotkit.registry import DATA_ENDINGS, is_data_file

_WHOLE = (None, "", "main", "default", "all")
"""Configurations that are the set itself: their files may be named after the split alone."""
_CONVERTED = "refs/convert/parquet"
"""Where the hub keeps Parquet files of sets that are a script or another format."""
_SPLITS = ("train", "test", "validation", "dev", "val", "eval")


@dataclass(frozen=True, slots=True, kw_only=True)
class HubSplit:
    """One split of a data set of the hub."""

    repo: str
    """``OWNER/SET``."""
    split: str
    """E.g. ``test``."""
    config: str | None = None
    """Its configuration, where it has several; None: the only one."""
    folder: str
    """Its folder under ``$COTKIT_DATA_DIR``, e.g. ``mmlu``: a user's file there goes first."""
    file: str
    """That file's name without its end, e.g. ``anatomy_test``."""
    revision: str = "main"
    """Branch, tag or commit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitFiles:
    """The files of a split on this machine."""

    paths: tuple[Path, ...]
    """In their order, at least one."""
    revision: str
    """The commit that they are of; ``local``: files of the user's."""


def find_split(split: HubSplit, *, check_fetch: Callable[[], None] = lambda: None) -> SplitFiles:
    """Return the user's file, else the hub's files, which are kept under the cache folder.

    ``check_fetch`` is called before anything is asked of the hub: it may refuse.

    Raises:
        MissingDataError: not here, and the hub did not give it; says what was tried.
        UnknownNameError: the set has no such split or configuration.
        BadInputError: what came is not what the hub says it is.
    """
    if path := _find_user_file(split):
        return SplitFiles(paths=(path,), revision="local")
    listing = _read_listing(split, split.revision)
    if listing is None:
        check_fetch()
        listing = _ask_listing(split, split.revision)
    names = choose_files(listing.files, split)
    if not names:  # a script, or files of another kind: the hub's own conversion has tables
        converted = _read_listing(split, _CONVERTED)
        with contextlib.suppress(MissingDataError):
            converted = converted or _ask_listing(split, _CONVERTED)
        names = choose_files(converted.files, split) if converted else ()
        if converted is None or not names:
            raise _unknown_split(split, listing.files)
        listing = converted
    paths = tuple(_fetch(split, listing, name) for name in names)
    return SplitFiles(paths=paths, revision=listing.commit)


def is_here(split: HubSplit) -> bool:
    """Return whether the files of a split are on this machine."""
    if _find_user_file(split):
        return True
    for revision in (split.revision, _CONVERTED):
        if listing := _read_listing(split, revision):
            names = choose_files(listing.files, split)
            if names and all((_folder(split) / listing.commit / name).is_file() for name in names):
                return True
    return False


def _find_user_file(split: HubSplit) -> Path | None:
    root = data_dir()
    names = (f"{split.file}{ending}{end}" for ending in DATA_ENDINGS for end in ("", ".gz"))
    paths = (root / split.folder / name for name in names) if root else ()
    return next((path for path in paths if path.is_file()), None)


def name_file(config: str | None, split: str) -> str:
    """Return what a user's file of a split is called: ``anatomy_test``; of a whole set ``test``."""
    return split if config in _WHOLE else f"{config}_{split}"


# Which files hold a split.


def choose_files(files: Iterable[str], split: HubSplit) -> tuple[str, ...]:
    """Return the files of a split, in order; of several formats Parquet, else the first.

    Raises:
        UsageError: several configurations have it, and none is named.
    """
    by_config: dict[str, list[str]] = {}
    for name in sorted(files):
        if is_data_file(name) and (config := _config_of(name, split)) is not None:
            by_config.setdefault(config, []).append(name)
    if split.config is not None and split.config in by_config:
        chosen = by_config[split.config]
    elif split.config in _WHOLE and (own := by_config.keys() & {"", "main"}):
        chosen = by_config[min(own)]
    elif split.config is None and len(by_config) > 1:
        raise UsageError(
            f"{split.repo} has several configurations: {', '.join(sorted(by_config))[:200]}",
            hint=f"hub:{split.repo},config={min(by_config)}",
        )
    else:
        chosen = next(iter(by_config.values()), []) if split.config is None else []
    tables = [name for name in chosen if name.endswith(".parquet")]
    return tuple(tables or chosen[:1])


def _config_of(name: str, split: HubSplit) -> str | None:
    """Return the configuration that a file is of, "" for the set itself; None: not of the split.

    ``CONFIG/SPLIT-00000-of-00001.parquet``, ``CONFIG/SPLIT/0000.parquet``, ``CONFIG_SPLIT.jsonl``,
    ``data/SPLIT.csv`` and ``SPLIT.jsonl`` are files of a split.
    """
    *folders, base = PurePosixPath(name).parts
    stem = base.partition(".")[0]
    if re.fullmatch(rf"{re.escape(split.split)}([-_.]\d.*)?", stem):
        pass
    elif re.fullmatch(r"(part-|partial-)?\d+(-.*)?", stem) and folders[-1:] == [split.split]:
        folders.pop()
    elif match := re.fullmatch(rf"(.+?)[-_]{re.escape(split.split)}([-_]\d.*)?", stem):
        folders.append(match[1])
    elif stem == split.config and split.split in {*folders, "test", "train"}:
        return split.config  # data/CONFIG.jsonl: a set of one split a configuration
    else:
        return None
    config = "/".join(folder for folder in folders if folder not in {"data", "default"})
    if split.config and split.config in folders:
        return split.config
    return config


def _unknown_split(split: HubSplit, files: Iterable[str]) -> Exception:
    names = [name for name in files if is_data_file(name)]
    stems = {re.split(r"[-.]", PurePosixPath(name).name)[0] for name in names}
    stems |= {part for name in names for part in PurePosixPath(name).parts if part in _SPLITS}
    configs = {c for n in names if (c := _config_of(n, replace(split, config=None)))}
    if split.config not in _WHOLE and configs:
        return UnknownNameError(f"configuration of {split.repo}", str(split.config), configs)
    if not stems:
        return MissingDataError(
            f"{split.repo} has no file of rows: {', '.join(DATA_ENDINGS)}",
            hint=f"save its rows: $COTKIT_DATA_DIR/{split.folder}/{split.file}.jsonl",
        )
    return UnknownNameError(f"split of {split.repo}", split.split, stems)


# What the hub says: a commit and its files.


@dataclass(frozen=True, slots=True, kw_only=True)
class _Listing:
    """The files of a data set at a commit."""

    commit: str
    files: Mapping[str, tuple[int | None, str]]
    """Name -> (size in bytes, hash): ``sha256:...``, or ``git:...``, that of a blob of Git."""


def _folder(split: HubSplit) -> Path:
    return cache_dir() / "data" / "hub" / split.repo.replace("/", "--")


def _listing_path(split: HubSplit, revision: str) -> Path:
    return _folder(split) / f"{revision.replace('/', '-')}.json"


def _read_listing(split: HubSplit, revision: str) -> _Listing | None:
    """Return what was resolved before; None: nothing, or it cannot be read."""
    try:
        fields = json.loads(_listing_path(split, revision).read_text(encoding="utf-8"))
        files = {name: (size, digest) for name, (size, digest) in fields["files"].items()}
        return _Listing(commit=str(fields["commit"]), files=files)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _ask_listing(split: HubSplit, revision: str) -> _Listing:
    hub = _import_hub(split)
    try:
        api = hub.HfApi(endpoint=_endpoint())
        info = call_within(
            PATIENCE_S,
            lambda: api.dataset_info(
                split.repo, revision=revision, timeout=PATIENCE_S, files_metadata=True
            ),
        )
    except Exception as fault:  # noqa: BLE001  the client raises what its HTTP library does
        _refuse(split, fault)
    files = {
        file.rfilename: (
            file.size,
            f"sha256:{file.lfs.sha256}" if file.lfs else f"git:{file.blob_id}",
        )
        for file in info.siblings or ()
    }
    listing = _Listing(commit=str(info.sha), files=files)
    content = json.dumps({"commit": listing.commit, "files": files}).encode()
    write_cached(content, _listing_path(split, revision))
    return listing


def _import_hub(split: HubSplit) -> Any:  # noqa: ANN401 - of a package imported late
    try:
        import huggingface_hub
    except ImportError:
        raise _missing(split, "pip install 'cotkit[data]'") from None
    return huggingface_hub


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT") or None


def _refuse(split: HubSplit, fault: Exception) -> NoReturn:
    """Raise what an error of the client means.

    Raises:
        MissingDataError: always.
    """
    from huggingface_hub import errors

    page = f"{_endpoint() or 'https://huggingface.co'}/datasets/{split.repo}"
    if isinstance(fault, errors.GatedRepoError):
        reason = f"it is gated: accept its terms on {page}, then hf auth login, or set HF_TOKEN"
    elif isinstance(fault, errors.RevisionNotFoundError):
        reason = f"it has no revision {split.revision}"
    elif isinstance(fault, errors.RepositoryNotFoundError):
        reason = f"the hub has no such set: it was moved or deleted, or is private ({page})"
    elif isinstance(fault, TimeoutError):
        reason = f"the hub did not answer in {PATIENCE_S:g} s"
    else:
        line = (str(fault).strip().splitlines() or [""])[0]
        reason = f"the hub did not give it: {line or type(fault).__name__}"
    raise _missing(split, reason) from fault


def _missing(split: HubSplit, reason: str) -> MissingDataError:
    place = "" if data_dir() else " ($COTKIT_DATA_DIR is not set)"
    return MissingDataError(
        f"{split.folder}/{split.file} cannot be had: {split.repo}: {reason}{place}",
        hint=f"put its rows into $COTKIT_DATA_DIR/{split.folder}/ as {split.file}.jsonl or "
        ".parquet, or use a set that is here: cotkit list benches",
    )


# Fetching a file: what broke off goes on where it stopped.


def _fetch(split: HubSplit, listing: _Listing, name: str) -> Path:
    path = _folder(split) / listing.commit / name
    if path.is_file():
        return path
    hub = _import_hub(split)
    cached = hub.try_to_load_from_cache(
        split.repo, name, revision=listing.commit, repo_type="dataset"
    )
    if isinstance(cached, str):  # fetched by another program
        return Path(cached)
    from huggingface_hub import file_download, utils

    url = hub.hf_hub_url(
        split.repo, name, repo_type="dataset", revision=listing.commit, endpoint=_endpoint()
    )
    size, digest = listing.files[name]
    partial = path.with_name(f"{path.name}.part")
    try:
        partial.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("ab") as file, _without_progress(utils):
            file_download.http_get(
                url,
                file,
                resume_size=file.tell(),
                headers=utils.build_hf_headers(library_name="cotkit"),
                expected_size=size,
            )
    except Exception as fault:  # noqa: BLE001  the client raises what its HTTP library does
        _refuse(split, fault)
    _check(partial, digest, f"{split.repo}/{name}")
    partial.replace(path)
    return path


@contextlib.contextmanager
def _without_progress(utils: Any) -> Any:  # noqa: ANN401 - of a package imported late
    """Keep the client from drawing a bar over what cotkit prints."""
    was_off = utils.are_progress_bars_disabled()
    utils.disable_progress_bars()
    try:
        yield
    finally:
        if not was_off:
            utils.enable_progress_bars()


def _check(path: Path, digest: str, name: str) -> None:
    """Delete a file that is not the one that the hub lists."""
    content = path.read_bytes()
    kind, _, expected = digest.partition(":")
    if kind == "sha256":
        actual = hashlib.sha256(content).hexdigest()
    else:  # what Git names a file by
        blob = b"blob %d\0%s" % (len(content), content)
        actual = hashlib.sha1(blob, usedforsecurity=False).hexdigest()
    if expected not in {actual, "None"}:
        path.unlink()
        raise BadInputError(
            name,
            f"expected {kind} {expected}, found {actual}: deleted",
            hint="try again; if it stays so, HF_ENDPOINT names a mirror that is not the hub's",
        )
