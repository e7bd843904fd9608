"""What a shell offers after Tab: strategies, benchmarks, models, readers, words and runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import typer

from cotkit.run.spec import DEFAULT_LOG_DIR


def _list_names(kind: str) -> Iterable[str]:
    """Yield the names of a kind; what lists them is imported only here."""
    from cotkit.models import catalogue

    if kind == "model":
        from cotkit.backends.simulated import FAMILY

        return [*(entry.name for entry in catalogue.entries()), *FAMILY]
    if kind == "family":
        return {"simulated", *(entry.family for entry in catalogue.entries())}
    if kind == "published":
        from cotkit.interop.published import load_tables

        return load_tables()
    if kind == "reader":
        from cotkit.scoring import READERS

        return READERS
    if kind == "word":
        from cotkit.report.glossary import load_glossary

        return load_glossary()
    from cotkit.registry import entries

    return [entry.name for entry in entries(kind)]


def _complete(kind: str) -> Callable[[str], list[str]]:
    """Return what completes the last name of a list with commas."""

    def complete(incomplete: str) -> list[str]:
        begun, comma, _ = incomplete.rpartition(",")
        return [f"{begun}{comma}{name}" for name in _list_names(kind)]

    return complete


def _complete_runs(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Return the runs of the store that the line names, with what each is of."""
    import json

    from cotkit.errors import CotkitError
    from cotkit.store import Store, existing_place

    place = ctx.params.get("store") or Path(ctx.params.get("log_dir") or DEFAULT_LOG_DIR)
    begun, comma, _ = incomplete.rpartition(",")
    try:
        with Store(existing_place(place), reads_only=True) as store:
            specs = {run.id: json.loads(run.spec) for run in store.runs()}
        runs = {name: f"{spec['model']} {spec['bench']}" for name, spec in specs.items()}
    except (CotkitError, ValueError, TypeError, LookupError):  # Tab is no place for an error
        return []
    return [(f"{begun}{comma}{name}", what) for name, what in runs.items()] + [("last", "")]


COMPLETIONS: Mapping[str, Callable[..., Any]] = {
    **{kind: _complete(kind) for kind in ("strategy", "model", "family", "published", "reader")},
    "bench": _complete("benchmark"),
    "models": _complete("model"),
    "over": _complete("family"),
    "word": _complete("word"),
    "run": _complete_runs,
    "runs": _complete_runs,
}
"""Parameter of a command -> what completes it."""
