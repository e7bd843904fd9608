"""What a shell offers after Tab: strategies, benchmarks, models, readers, words and runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import typer

from cotkit.run.spec import DEFAULT_LOG_DIR


def _continue_list(names: Iterable[str], incomplete: str) -> list[str]:
    """Return the names for the last place of a list with commas."""
    begun, comma, _ = incomplete.rpartition(",")
    return [f"{begun}{comma}{name}" for name in names]


def _strategies(incomplete: str) -> list[str]:
    """Return strategies, behind those of a list that stand already."""
    from cotkit.registry import names

    return _continue_list(names("strategy"), incomplete)


def _benches(incomplete: str) -> list[str]:
    """Return benchmarks."""
    from cotkit.registry import names

    return _continue_list(names("benchmark"), incomplete)


def _models(incomplete: str) -> list[str]:
    """Return models of the catalogue and simulated ones, behind those of a list."""
    from cotkit.backends.simulated import FAMILY
    from cotkit.models.catalogue import entries

    return _continue_list([*(entry.name for entry in entries()), *FAMILY], incomplete)


def _families() -> list[str]:
    """Return families of models."""
    from cotkit.models.catalogue import entries

    return sorted({"simulated", *(entry.family for entry in entries() if entry.family)})


def _published() -> list[str]:
    """Return published tables."""
    from cotkit.interop.published import load_tables

    return list(load_tables())


def _readers() -> list[str]:
    """Return readers."""
    from cotkit.scoring import READERS

    return list(READERS)


def _words() -> list[str]:
    """Return words of the glossary."""
    from cotkit.report.glossary import load_glossary

    return list(load_glossary())


def _runs(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Return the runs of the store that the line names, with what each is of."""
    import json

    from cotkit.errors import CotkitError
    from cotkit.store import Store, existing_place

    place = ctx.params.get("store") or ctx.params.get("log_dir") or DEFAULT_LOG_DIR
    begun, comma, _ = incomplete.rpartition(",")
    try:
        place = existing_place(place if isinstance(place, str) else Path(place))
        with Store(place, reads_only=True) as store:
            specs = [(run.id, json.loads(run.spec)) for run in store.runs()]
        return [
            (f"{begun}{comma}{name}", f"{spec['model']} {spec['bench']}") for name, spec in specs
        ] + [("last", "the run that changed last")]
    except (CotkitError, ValueError, TypeError, LookupError):  # Tab is no place for an error
        return []


COMPLETIONS: Mapping[str, Callable[..., Any]] = {
    "strategy": _strategies,
    "bench": _benches,
    "spec": _benches,
    "model": _models,
    "models": _models,
    "family": _families,
    "over": _families,
    "published": _published,
    "reader": _readers,
    "word": _words,
    "run": _runs,
    "runs": _runs,
}
"""Parameter of a command -> what completes it."""
