"""Where the rows of a task file are: local files that it names, or a data set of the hub."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

from cotkit.bench._hub import Split, find_split, read_split
from cotkit.bench._jsonl import Line
from cotkit.bench._lm_eval_config import Config
from cotkit.bench._task import read_task
from cotkit.errors import MissingDataError

_LOCAL = {"json", "parquet"}
_FIRST_BYTES = 64


def rows_of(config: Config, split: str) -> tuple[Line, ...]:
    """The rows of a split, to be checked field by field.

    Raises:
        BadInputError: the task names its data in a way that is not read, or a file is not as it
            must be.
        MissingDataError: a data set of the hub that is neither here nor to be had.
    """
    source = config.text("dataset_path")
    if source is None:
        raise config.bad("dataset_path", "missing", "json, with dataset_kwargs: {data_files: ...}")
    options = _options(config)
    if source in _LOCAL:
        return tuple(row for path in _files(config, options, split) for row in _read(path))
    if options or source.startswith((".", "/")) or source.count("/") > 1 or Path(source).suffix:
        raise config.bad(
            "dataset_path",
            f"{source!r} is neither json, parquet nor a data set of the hub",
            "dataset_path: json, with dataset_kwargs: {data_files: ...}",
        )
    return read_split(_from_hub(config, source, split))


def _options(config: Config) -> Mapping[str, object]:
    found = config.fields.get("dataset_kwargs")
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise config.bad("dataset_kwargs", "must be fields", "data_files: problems.jsonl")
    options = dict(cast("dict[str, object]", found))
    if options.pop("trust_remote_code", False):
        raise config.bad(
            "dataset_kwargs",
            "trust_remote_code runs the data set's Python code",
            "save its rows as JSON lines and name them in data_files",
        )
    if unknown := options.keys() - {"data_files"}:
        raise config.bad("dataset_kwargs", f"cannot honour {min(unknown)}", "only data_files")
    return options


def _files(config: Config, options: Mapping[str, object], split: str) -> list[Path]:
    found = options.get("data_files")
    by_split: dict[str, object] = {"train": found}  # as the datasets package names a lone split
    if isinstance(found, dict):
        by_split = cast("dict[str, object]", found)
    if found is None or split not in by_split:
        held = ", ".join(by_split) if found is not None else "none"
        raise config.bad("dataset_kwargs", f"no data_files of split {split!r}", f"splits: {held}")
    names = by_split[split]
    files: list[Path] = []
    for name in cast("list[object]", names) if isinstance(names, list) else [names]:
        if not isinstance(name, str) or "://" in name or "*" in name:
            problem = f"{name!r} is not the path of one local file"
            raise config.bad("dataset_kwargs", problem, "fetch it, and name it by its path")
        places = [config.path.parent / name, Path(name)]
        path = next((place for place in places if place.is_file()), None)
        if path is None:
            places_tried = " or ".join(dict.fromkeys(map(str, places)))
            raise config.bad("dataset_kwargs", f"no such file: {places_tried}")
        files.append(path)
    return files


def _read(path: Path) -> tuple[Line, ...]:
    """Parquet, JSON lines, or one JSON list."""
    with path.open("rb") as file:
        start = file.read(_FIRST_BYTES).removeprefix(b"\xef\xbb\xbf").lstrip()
    return read_task(path).examples if start.startswith(b"[") else read_split(path)


def _from_hub(config: Config, source: str, split: str) -> Path:
    """By the paths that the hub's own converted files have; a subset ``main`` is the whole set."""
    subset = config.text("dataset_name")
    folder = source.rpartition("/")[2]
    is_whole = subset in {None, "main", "default"}
    wanted = Split(
        folder=folder,
        name=split if is_whole else f"{subset}_{split}",
        repo=source,
        file=f"{subset or 'data'}/{split}-00000-of-00001.parquet",
    )
    try:
        return find_split(wanted)
    except MissingDataError as missing:
        raise MissingDataError(
            missing.message,
            hint="put it there, or name files of your own: dataset_path: json, with "
            "dataset_kwargs: {data_files: ...}",
        ) from missing
