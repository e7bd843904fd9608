"""``cotkit list``: the names there are, one line each."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import typer

from cotkit.registry import Entry


class What(StrEnum):
    """What can be listed."""

    strategies = "strategies"
    benches = "benches"
    backends = "backends"
    models = "models"
    readers = "readers"
    triggers = "triggers"
    published = "published"
    runs = "runs"


def list_names(
    what: What = typer.Argument(help="What to list."),
    log_dir: Path = typer.Option(Path("logs"), "--log-dir", help="Folder of the store, for runs."),
) -> None:
    """List strategies, benches, backends, models, readers, triggers, published tables or runs.

    Examples:

      cotkit list strategies

      cotkit list runs --log-dir ./logs
    """
    from cotkit.cli._table import aligned

    for line in aligned(_ROWS[what](log_dir)):
        typer.echo(line)


def _strategies(_: Path) -> list[tuple[str, ...]]:
    from cotkit.registry import entries

    return [
        (e.name, f"control: {e.control}" if e.control not in {"", e.name} else "", _summary(e))
        for e in entries("strategy")
    ]


def _benches(_: Path) -> list[tuple[str, ...]]:
    from cotkit.registry import entries

    return [(e.name, _summary(e)) for e in entries("benchmark")]


def _backends(_: Path) -> list[tuple[str, ...]]:
    from cotkit.registry import entries

    return [(e.name, _summary(e)) for e in entries("backend")]


def _summary(entry: Entry) -> str:
    """What it is; of a third party's, which is not imported to be listed, whose it is."""
    return entry.summary if entry.origin == "cotkit" else f"(from {entry.origin})"


def _models(_: Path) -> list[tuple[str, ...]]:
    from cotkit.cli.models import rows

    return rows()


def _readers(_: Path) -> list[tuple[str, ...]]:
    from cotkit.scoring import READERS

    return [(name, reader.summary) for name, reader in READERS.items()]


def _triggers(_: Path) -> list[tuple[str, ...]]:
    import json

    from cotkit.prompting.lock import read_locked

    rows = [json.loads(line) for line in read_locked("triggers.v1.jsonl").splitlines()]
    return [(row["name"], row["text"]) for row in rows]


def _published(_: Path) -> list[tuple[str, ...]]:
    from cotkit.foreign.published import tables

    return [(one.name, one.title, one.paper) for one in tables().values()]


def _runs(log_dir: Path) -> list[tuple[str, ...]]:
    import json

    from cotkit.errors import UsageError
    from cotkit.running import STORE_NAME
    from cotkit.store import Store

    path = log_dir / STORE_NAME
    if not path.is_file():
        raise UsageError(f"no store at {path}", hint="name its folder with --log-dir")
    with Store(path) as store:
        rows: list[tuple[str, ...]] = [("run", "updated (UTC)", "status", "attempts", "what")]
        for run in store.runs():
            spec = json.loads(run.spec)
            what = f"{spec['model']} · {spec['bench']} · {', '.join(spec['strategies'])}"
            rows.append((run.id, run.updated_utc[:19], run.status, str(run.n_attempts), what))
    return rows


_ROWS = {
    What.strategies: _strategies,
    What.benches: _benches,
    What.backends: _backends,
    What.models: _models,
    What.readers: _readers,
    What.triggers: _triggers,
    What.published: _published,
    What.runs: _runs,
}
