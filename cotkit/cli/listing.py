"""``cotkit list``: the names there are, one line each."""

from enum import StrEnum
from pathlib import Path

import typer

from cotkit.cli.options import read_place, takes
from cotkit.registry import RegistryEntry


class ListKind(StrEnum):
    """What can be listed."""

    strategies = "strategies"
    benches = "benches"
    backends = "backends"
    trackers = "trackers"
    models = "models"
    readers = "readers"
    triggers = "triggers"
    published = "published"
    runs = "runs"


@takes(read_place)
def list_names(
    log_dir: Path | str,
    what: ListKind = typer.Argument(help="What to list."),
) -> None:
    """List strategies, benches, backends, trackers, models, readers, triggers, published or runs.

    Examples:

      cotkit list strategies

      cotkit list runs --log-dir ./logs
    """
    from cotkit.cli.output import aligned

    for line in aligned(_ROWS[what](log_dir)):
        typer.echo(line)


def _strategies(_: Path | str) -> list[tuple[str, ...]]:
    from cotkit.registry import entries

    return [
        (e.name, f"control: {e.control}" if e.control not in {"", e.name} else "", _summary(e))
        for e in entries("strategy")
    ]


def _benches(_: Path | str) -> list[tuple[str, ...]]:
    from cotkit.registry import entries

    return [(e.name, _summary(e)) for e in entries("benchmark")]


def _backends(_: Path | str) -> list[tuple[str, ...]]:
    from cotkit.registry import entries

    return [(e.name, _summary(e)) for e in entries("backend")]


def _trackers(_: Path | str) -> list[tuple[str, ...]]:
    from cotkit.registry import entries

    return [(e.name, _summary(e)) for e in entries("tracker")]


def _summary(entry: RegistryEntry) -> str:
    """What it is; of a third party's, which is not imported to be listed, whose it is."""
    return entry.summary if entry.origin == "cotkit" else f"(from {entry.origin})"


def _models(_: Path | str) -> list[tuple[str, ...]]:
    from cotkit.cli.models import rows

    return rows()


def _readers(_: Path | str) -> list[tuple[str, ...]]:
    from cotkit.scoring import READERS

    return [(name, reader.summary) for name, reader in READERS.items()]


def _triggers(_: Path | str) -> list[tuple[str, ...]]:
    import json

    from cotkit.prompting import read_locked

    rows = [json.loads(line) for line in read_locked("triggers.v1.jsonl").splitlines()]
    return [(row["name"], row["text"]) for row in rows]


def _published(_: Path | str) -> list[tuple[str, ...]]:
    from cotkit.interop.published import tables

    return [(one.name, one.title, one.paper) for one in tables().values()]


def _runs(log_dir: Path | str) -> list[tuple[str, ...]]:
    import json

    from cotkit.store import Store, existing

    place = existing(log_dir)
    with Store(place) as store:
        rows: list[tuple[str, ...]] = [("run", "updated (UTC)", "status", "attempts", "what")]
        for run in store.runs():
            spec = json.loads(run.spec)
            what = f"{spec['model']} · {spec['bench']} · {', '.join(spec['strategies'])}"
            rows.append((run.id, run.updated_utc[:19], run.status, str(run.n_attempts), what))
    return rows


_ROWS = {
    ListKind.strategies: _strategies,
    ListKind.benches: _benches,
    ListKind.backends: _backends,
    ListKind.trackers: _trackers,
    ListKind.models: _models,
    ListKind.readers: _readers,
    ListKind.triggers: _triggers,
    ListKind.published: _published,
    ListKind.runs: _runs,
}
