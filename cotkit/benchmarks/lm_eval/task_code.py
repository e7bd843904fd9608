"""A task whose file names Python code, run by lm-eval itself: its rows, texts and answers."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cotkit.benchmarks._files import Record
from cotkit.benchmarks.lm_eval.config import Config
from cotkit.errors import BadInputError, CotkitError, MissingDataError, MissingDependencyError
from cotkit.inputs import first_line

_COLUMNS = ("doc_to_text", "doc_to_target", "doc_to_choice")


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRows:
    """What lm-eval makes of a task; each row also has what it makes of it, by ``doc_to_...``."""

    evaluated: tuple[Record, ...]
    """The test split, else the validation split, in its order."""
    pool: tuple[Record, ...]
    """The few-shot samples, else the few-shot or training split; empty: none but the evaluated."""


def as_columns(config: Config) -> Config:
    """Return the task as one whose rows hold what its code makes of them."""
    columns = {name: name for name in _COLUMNS if config.fields.get(name) is not None}
    return replace(config, fields={**config.fields, **columns})


def lm_eval_version() -> str | None:
    """Return the installed version of lm-eval; None: it is not installed."""
    try:
        return importlib.metadata.version("lm_eval")
    except importlib.metadata.PackageNotFoundError:
        return None


def run_task(path: Path) -> TaskRows:
    """Have lm-eval make the rows of a task, with the task's own code; once, unless it changes.

    Raises:
        MissingDependencyError: lm-eval is not installed.
        MissingDataError: its data cannot be had.
        BadInputError: lm-eval or the code fails.
    """
    return _run_task(path.resolve(), path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=8)
def _run_task(path: Path, _changed_ns: int) -> TaskRows:
    try:
        from lm_eval.tasks import TaskManager  # pyright: ignore[reportMissingImports]  # optional
    except ImportError:
        raise MissingDependencyError("lm-eval", "lm-eval") from None
    try:
        with contextlib.redirect_stdout(sys.stderr):  # a report may stand on standard output
            (task,) = TaskManager(include_defaults=False).load(str(path))["tasks"].values()
            return _read_task(path, task)
    except CotkitError:
        raise
    except OSError as fault:
        hint = "lm-eval fetches it itself, by the package datasets"
        problem = f"{path.name}: its data cannot be had: {first_line(fault)}"
        raise MissingDataError(problem, hint=hint) from fault
    except Exception as fault:
        problem = f"lm-eval {lm_eval_version()} cannot make its problems"
        problem = f"{problem}: {type(fault).__name__}: {first_line(fault)}"
        raise BadInputError(path, problem) from fault


def _read_task(path: Path, task: Any) -> TaskRows:  # noqa: ANN401 - of a package imported late
    own = {name: getattr(task.config, name) for name in _COLUMNS}
    in_pool = {name: getattr(task.fewshot_cfg, name, None) or own[name] for name in _COLUMNS}
    config = task.config
    evaluated = config.test_split or config.validation_split
    split = task.fewshot_cfg.split or config.training_split
    has_pool = task.fewshot_cfg.samples is not None or split not in {None, evaluated}
    pool: Iterable[Mapping[str, Any]] = task.fewshot_docs() if has_pool else ()
    return TaskRows(
        evaluated=_make_rows(path, task, task.eval_docs, own),
        pool=_make_rows(path, task, pool, in_pool),
    )


def _make_rows(
    path: Path,
    task: Any,  # noqa: ANN401 - of a package imported late
    documents: Iterable[Mapping[str, Any]],
    templates: Mapping[str, Any],
) -> tuple[Record, ...]:
    """Return a row for each document, with a column for each template that the task has."""
    return tuple(
        Record(
            file=path,
            line=None,
            number=number,
            fields={
                **document,
                **{
                    name: getattr(task, name)(document, template)
                    for name, template in templates.items()
                    if template is not None
                },
            },
        )
        for number, document in enumerate(documents, 1)
    )
