"""``cotkit list``: the names there are, one line each."""

from enum import StrEnum
from functools import partial
from pathlib import Path

import typer

from cotkit.cli.options import read_place, with_options
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
    exemplars = "exemplars"
    published = "published"
    studies = "studies"
    thresholds = "thresholds"
    runs = "runs"


_GROUPS = (
    "prompt",
    "exemplars",
    "samples and votes",
    "several turns",
    "thinking",
    "controls",
    "tools",
)
"""Headings of strategies, in this order; third-party ones have none."""


@with_options(read_place)
def list_names(
    log_dir: Path | str,
    what: ListKind = typer.Argument(help="What to list."),
) -> None:
    """List strategies, benches, models, readers, published tables, studies, runs and more.

    Examples:

      cotkit list strategies

      cotkit list runs --log-dir ./logs
    """
    from cotkit.cli.output import align_columns, print_lines

    print_lines(*align_columns(_ROWS[what](log_dir)))


def _list_strategies(_: Path | str) -> list[tuple[str, ...]]:
    from cotkit.registry import entries

    rows: list[tuple[str, ...]] = []
    listed = entries("strategy")
    for group in (*_GROUPS, ""):
        members = [e for e in listed if (e.group if e.group in _GROUPS else "") == group]
        rows += [("", "", ""), (f"{group or 'others'}:", "", "")] if members else []
        for e in members:
            control = f"control: {e.control}" if e.control not in {"", e.name} else ""
            needs = f" Needs {e.needs}." if e.needs else ""
            rows.append((e.name, control, f"{_summary_of(e)}{needs}"))
    return rows[1:]


def _list_entries(kind: str, _: Path | str) -> list[tuple[str, ...]]:
    from cotkit.registry import entries

    return [(entry.name, _summary_of(entry)) for entry in entries(kind)]


def _list_benches(_: Path | str) -> list[tuple[str, ...]]:
    from cotkit.benchmarks.hub import list_benchmarks

    header = ("benchmark", "group", "problems", "licence", "where it comes from", "")
    return [
        header,
        *((r.name, r.group, r.items, r.licence, r.where, r.summary) for r in list_benchmarks()),
    ]


def _summary_of(entry: RegistryEntry) -> str:
    """Return an entry's summary, or its package: third-party ones are not imported to be listed."""
    return entry.summary if entry.origin == "cotkit" else f"(from {entry.origin})"


def _list_models(_: Path | str) -> list[tuple[str, ...]]:
    from cotkit.cli.models import catalogue_rows

    return catalogue_rows()


def _list_readers(_: Path | str) -> list[tuple[str, ...]]:
    from cotkit.scoring import READERS

    return [(name, reader.summary) for name, reader in READERS.items()]


def _list_triggers(_: Path | str) -> list[tuple[str, ...]]:
    import json

    from cotkit.prompting import read_locked

    rows = [json.loads(line) for line in read_locked("triggers.v1.jsonl").splitlines()]
    return [(row["name"], row["text"]) for row in rows]


def _list_studies(_: Path | str) -> list[tuple[str, ...]]:
    """Return name, title and paper of each: the first two lines of its file."""
    from cotkit.paths import resource

    heads = {path.stem: path.read_text("utf-8") for path in resource("studies").glob("*.toml")}
    return [
        (name, *(line.removeprefix("# ") for line in text.splitlines()[:2]))
        for name, text in sorted(heads.items())
    ]


def _list_exemplars(_: Path | str) -> list[tuple[str, ...]]:
    from cotkit.prompting import exemplar_sets, read_locked

    lines = {name: read_locked(f"exemplars.{name}.v1.jsonl") for name in exemplar_sets()}
    return [(f"{name}:{len(text.splitlines())}", "ours") for name, text in lines.items()]


def _list_published(_: Path | str) -> list[tuple[str, ...]]:
    from cotkit.interop.published import load_tables

    return [(table.name, table.title, table.paper) for table in load_tables().values()]


def _list_thresholds(_: Path | str) -> list[tuple[str, ...]]:
    from cotkit.interop.published import load_thresholds

    header = ("said to emerge", "kind", "smallest model that has it", "training FLOPs", "source")
    return [
        header,
        *(
            (
                claim.ability,
                "strategy" if claim.is_strategy else "task",
                claim.model,
                f"{claim.train_flops:.2g}",
                claim.source,
            )
            for claim in load_thresholds()
        ),
    ]


def _list_runs(log_dir: Path | str) -> list[tuple[str, ...]]:
    import json

    from cotkit.store import Store, existing_place

    place = existing_place(log_dir)
    with Store(place) as store:
        rows: list[tuple[str, ...]] = [("run", "updated (UTC)", "status", "attempts", "what")]
        for run in store.runs():
            spec = json.loads(run.spec)
            what = f"{spec['model']} · {spec['bench']} · {', '.join(spec['strategies'])}"
            what += f" · {spec['tag']}" if spec.get("tag") else ""
            rows.append((run.id, run.updated_utc[:19], run.status, str(run.n_attempts), what))
    return rows


_ROWS = {
    ListKind.strategies: _list_strategies,
    ListKind.benches: _list_benches,
    ListKind.backends: partial(_list_entries, "backend"),
    ListKind.trackers: partial(_list_entries, "tracker"),
    ListKind.models: _list_models,
    ListKind.readers: _list_readers,
    ListKind.triggers: _list_triggers,
    ListKind.exemplars: _list_exemplars,
    ListKind.published: _list_published,
    ListKind.studies: _list_studies,
    ListKind.thresholds: _list_thresholds,
    ListKind.runs: _list_runs,
}
