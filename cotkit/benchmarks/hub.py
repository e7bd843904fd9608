"""A data set of the hub by its columns; and the sets that have a name here, ``csqa`` and others.

``hub:OWNER/SET,config=...,split=...,question=...,answer=...,choices=...`` takes the parameters of a
file of problems, too. A named set is such a line as data: ``benchmarks/sets.v1.toml``.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from cotkit.benchmarks._files import Record, hash_files, iterate_records
from cotkit.benchmarks._hub import HubSplit, SplitFiles, find_split, is_here, name_file
from cotkit.benchmarks._problems import OPTIONS, PARAMETERS, RowFormat
from cotkit.errors import BadInputError, UnknownNameError, UsageError
from cotkit.paths import resource
from cotkit.registry import Spec, entries
from cotkit.types import AnswerKind, Problem


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Hub:
    """A data set of the hub; :func:`open_set` makes it of a spec.

    Raises (when it is read):
        MissingDataError: it is neither here nor to be had; says which folder to fill.
        BadInputError: a row cannot be used, or what came is not what the hub lists.
        UnknownNameError: the set has no such split.
    """

    name: str
    """``csqa``, or ``hub:OWNER/SET``."""
    test: HubSplit
    """The evaluated split."""
    pool: HubSplit | None
    """The split to draw exemplars from; None: the evaluated one has to keep some back."""
    format: RowFormat
    """How its rows are read."""
    licence: str | None = None
    """Under which it may be fetched only where the user accepts it; None: fetch it."""
    accept: str | None = None
    """The licence that the user accepts."""
    card: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What is known of a named set."""

    @property
    def version(self) -> str:
        """Configuration, split, hash of the files, commit, hash of how rows are read."""
        files = self._find(self.test)
        split = f"{self.test.config}-{self.test.split}" if self.test.config else self.test.split
        parts = ("1", split, hash_files(*files.paths), files.revision[:12], self.format.version())
        return "-".join(filter(None, parts))

    @property
    def answer_kind(self) -> AnswerKind:
        """As the format says, else as the first row suggests."""
        return self.format.kind_of(self._rows(self.test))

    @property
    def has_own_exemplars(self) -> bool:
        """Whether ``builtin:K`` draws from the other split: of another language than English."""
        return self.pool is not None and self.format.language is not None

    @property
    def exemplar_set(self) -> str | None:
        """The set of ours that ``builtin:K`` means for chains, which the data lack; None: none."""
        return self.card.get("exemplar_set") if self.format.language is None else None

    def notes(self) -> tuple[str, ...]:
        """Say which commit is read, where it is the hub's, and how many rows are left out."""
        files = self._find(self.test)
        notes = [f"{self.test.repo} at commit {files.revision}"]
        n_rows = sum(1 for _ in self.format.select(self._rows(self.test)))
        if n := n_rows - len(self.problems()):
            notes.append(
                f"{n} rows of {self.name} are left out: asked before, or two equal choices"
            )
        return tuple(notes[files.revision == "local" :])

    def problems(self) -> Sequence[Problem]:
        """Return every row of the split that the format takes, in its order."""
        return self._load(self.test, self.pool)

    def exemplar_pool(self) -> Sequence[Problem]:
        """Return the rows of the other split, if there is one."""
        return self._load(self.pool, self.test) if self.pool else ()

    def _load(self, split: HubSplit, other: HubSplit | None) -> tuple[Problem, ...]:
        """Return the problems of a split; files that have not changed are read once."""
        states = [path.stat() for path in self._find(split).paths]
        return _read_once(self, split, other, tuple((x.st_size, x.st_mtime_ns) for x in states))

    def _find(self, split: HubSplit) -> SplitFiles:
        return find_split(split, check_fetch=self._check_licence)

    def _check_licence(self) -> None:
        if self.licence is not None and self.accept != self.licence:
            raise UsageError(
                f"{self.name} is {self.card.get('licence', self.licence)}: fetched only for who "
                "keeps to that",
                hint=f"--bench {self.name}:accept={self.licence}, or put the file into "
                f"$COTKIT_DATA_DIR/{self.test.folder}/",
            )

    def _rows(self, split: HubSplit) -> tuple[Record, ...]:
        return tuple(chain.from_iterable(map(iterate_records, self._find(split).paths)))

    def read(self, split: HubSplit, other: HubSplit | None) -> tuple[Problem, ...]:
        """Read a split; ``other``: the split that has the same labels."""
        rows = self._rows(split)
        self._check_answers(rows[0], split)
        others: tuple[Record, ...] = ()
        is_open = self.format.kind_of(rows) != "choice" or "choices" in self.format.columns
        if other is not None and not is_open:
            others = self._rows(other)
        return self.format.make_problems(rows, others, name=f"{self.name}/{split.split}")

    def _check_answers(self, first: Record, split: HubSplit) -> None:
        """Refuse the test split of a competition: its answers are not public."""
        column = self.format.columns.get("answer", "answer")
        names = [column] if column in first.fields else ["label", "answer", "answerKey"]
        for name in names:
            if first.fields.get(name, 0) in (None, "", -1):
                raise BadInputError(
                    f"{split.repo} {split.split}",
                    "the split has no answers",
                    field=name,
                    hint="another one: split=validation or split=train",
                )


@functools.lru_cache(maxsize=16)
def _read_once(
    bench: Hub, split: HubSplit, other: HubSplit | None, _states: tuple[tuple[int, int], ...]
) -> tuple[Problem, ...]:
    return bench.read(split, other)


# From a spec to a set.

_SPLITS = ("config", "split", "exemplars", "revision", "accept")


def open_set(spec: Spec) -> Hub:
    """Return the set of ``hub:set=OWNER/SET,...`` or of a name of ``named_sets``.

    Raises:
        UnknownNameError: no such parameter, or a value that the set does not have.
        UsageError: a parameter is missing.
    """
    data = dict(named_sets().get(spec.name, {}))
    values: dict[str, str] = {k: str(v) for k, v in data.get("rows", {}).items()} | dict(
        data.get("source", {})
    )
    own: Mapping[str, Any] = data.get("parameter", {})
    params, chosen = dict(spec.params), None
    if own:
        chosen = str(params.pop(own["name"], own["default"]))
        if chosen not in own["values"]:
            raise UnknownNameError(f"{own['name']} of {spec.name}", chosen, own["values"])
        values = {k: text.replace(f"<{own['name']}>", chosen) for k, text in values.items()}
    names = {*_SPLITS, *OPTIONS, *PARAMETERS} | ({own["name"]} if own else set())
    names |= {"set"} if spec.name == "hub" else set()
    if unknown := params.keys() - names:
        raise UnknownNameError(f"parameter of {spec.name}", min(unknown), names)
    values |= params
    repo = values.get("set", "")
    if repo.count("/") != 1 or not all(repo.split("/")):
        raise UsageError(f"hub needs OWNER/SET, not {repo!r}", hint="hub:openai/gsm8k,config=main")

    def name_split(split: str) -> HubSplit:
        config = values.get("config")
        return HubSplit(
            repo=repo,
            split=split,
            config=config,
            folder=spec.name if data else repo.partition("/")[2],
            file=name_file(chosen if data else config, split),
            revision=values.get("revision", "main"),
        )

    test, exemplars = name_split(values.get("split", "test")), values.get("exemplars", "none")
    return Hub(
        name=spec.name if data else f"hub:{repo}",
        test=test,
        pool=None if exemplars in {"none", test.split} else name_split(exemplars),
        format=RowFormat.parse(values),
        licence=data.get("accept"),
        accept=values.get("accept"),
        card=data,
    )


@functools.cache
def _read_sets() -> dict[str, dict[str, Any]]:
    return tomllib.loads(resource("benchmarks/sets.v1.toml").read_text(encoding="utf-8"))


def named_sets() -> Mapping[str, Mapping[str, Any]]:
    """Return the sets that have a name, each as its file describes it."""
    return {name: data for name, data in _read_sets().items() if name != "own"}


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkRow:
    """A benchmark as a list shows it."""

    group: str
    """What it is about; a third party's: ``others``."""
    name: str
    """As users write it."""
    items: str
    """How many problems, where that is known."""
    licence: str
    """Under which it is to be had."""
    where: str
    """Where it comes from: ``here``, ``made``, ``hub``, ...; ``on this machine`` once it is."""
    summary: str
    """What it is, in a line."""


def list_benchmarks() -> list[BenchmarkRow]:
    """Return all benchmarks by their groups; nothing is imported, read or asked."""
    rows: list[BenchmarkRow] = []
    for entry in entries("benchmark"):
        data = _read_sets()["own"].get(entry.name, {})
        rows.append(
            BenchmarkRow(
                group=data.get("group", "others"),
                name=entry.name,
                items=str(data.get("items", "")),
                licence=data.get("licence", ""),
                where=data.get("where", f"from {entry.origin}"),
                summary=entry.summary,
            )
        )
    for name, data in named_sets().items():
        source = open_set(Spec(name=name, params={})).test
        rows.append(
            BenchmarkRow(
                group=data["group"],
                name=name,
                items=str(data["items"]),
                licence=data["licence"].partition(" (")[0].partition(";")[0],
                where="on this machine" if is_here(source) else data.get("where", "hub"),
                summary=data["title"],
            )
        )
    return sorted(rows, key=lambda row: (row.group == "others", row.group, row.name))


def write_card(name: str) -> str:
    """Return the card of a named set, in Markdown."""
    data = named_sets()[name]
    source = data["source"]
    revision = source.get("revision")
    own = data.get("parameter")
    lines = [
        f"# {name}",
        "",
        data["title"],
        "",
        "| | |",
        "|---|---|",
        f"| source | {data['paper']}; hub data set `{source['set']}` |",
        f"| licence | {data['licence']} |",
        f"| size | {data['items']} problems in split {source.get('split', 'test')} |",
        f"| revision | {revision or 'not known: the commit of the first fetch stays pinned'} |",
        "| sha256 | as the hub lists it, checked after the fetch; of no file here |",
        f"| how sure | {data['sure']} |",
    ]
    if exemplars := data.get("exemplar_set"):
        lines.append(f"| `builtin:8` | for chains our exemplars `{exemplars}:8` |")
    if own:
        lines.append(f"| parameter | `{own['name']}`: {', '.join(own['values'])} |")
    file = name_file(own["default"] if own else None, source.get("split", "test"))
    folder = f"$COTKIT_DATA_DIR/{name}/{file}.jsonl"
    lines += ["", f"**Where cotkit gets it.** `{folder}` (or `.parquet`, `.csv`), else the hub."]
    rows = ", ".join(f"`{key}={value}`" for key, value in data["rows"].items())
    lines += ["", f"**How it is read.** {rows}."]
    lines += ["", f"**What to know.** {data['note']}"] if "note" in data else []
    return "\n".join(lines)
