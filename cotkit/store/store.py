"""The store: numbered migrations, one commit for each completion, in either kind of database.

A kill at any moment loses at most what was still being generated. Several processes may share one
store; each waits for the others' commits.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from cotkit.errors import StoreError, UsageError
from cotkit.identity import canonical_json, completion_key
from cotkit.store.claims import Claims
from cotkit.store.database import Database
from cotkit.store.place import Place, mask_password
from cotkit.store.rows import (
    COLUMNS_QUERY,
    CUT,
    PERMANENT,
    READINGS_QUERY,
    REPLIES_QUERY,
    AttemptRow,
    Columns,
    DraftRow,
    RunRow,
    StoredCall,
    StoredReply,
    as_columns,
    as_reply,
)
from cotkit.types import (
    BackendInfo,
    Completion,
    Decoding,
    Message,
    Outcome,
    Reading,
    Request,
    Try,
)

_CALLS_AT_A_TIME = 200  # read from the database: bounds memory


def open_database(place: Place, *, reads_only: bool = False) -> Database:
    """Open a store's database, creating or migrating it as needed.

    ``reads_only``: nothing is created, migrated or written.

    Raises:
        StoreError: it cannot be reached, created, opened or written, is no store, or was written
            by a newer cotkit.
        MissingDependencyError: PostgreSQL needs psycopg.
    """
    if isinstance(place, Path):
        from cotkit.store.sqlite import Sqlite

        return Sqlite(place, reads_only=reads_only)
    from cotkit.store.postgresql import Postgresql

    return Postgresql(place, reads_only=reads_only)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTurn:
    """One request of an attempt with the completions it used."""

    request: Request
    """What was asked."""
    completions: tuple[Completion, ...]
    """What came back, in the order of ``request.samples``."""


class Store:
    """An open store. Use as a context manager, in one thread at a time."""

    def __init__(self, place: Place, *, reads_only: bool = False) -> None:
        """Open a store, creating or migrating it as needed.

        ``reads_only``: nothing is created, migrated or written; what would be is refused.

        Raises:
            StoreError: it cannot be created, reached, opened, locked or written, is no store, or
                was written by a newer cotkit.
        """
        self.place = place
        self._db = open_database(place, reads_only=reads_only)
        self.claims = Claims(self._db)
        """Who is making what."""

    def __enter__(self) -> Self:
        """Return the store itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it.

        Raises:
            StoreError: its file was deleted or replaced since the last write.
        """
        try:
            self.claims.close()
        finally:
            self._db.close()

    def put_backend(self, key: str, info: BackendInfo) -> None:
        """Record a backend under its key, once."""
        body = canonical_json(info)
        self._write("INSERT INTO backend VALUES (?, ?) ON CONFLICT DO NOTHING", (key, body))

    def put_completion(
        self, backend: str, request_key: str, request: Request, sample: int, completion: Completion
    ) -> Completion:
        """Commit one completion; return what the store now holds under its key.

        That is another one if another process was first; then the first one counts.
        """
        content = (
            request_key,
            canonical_json(request.messages),
            canonical_json(request.decoding),
            canonical_json(request.options),
        )
        row = (
            completion_key(backend, request_key, sample),
            backend,
            request_key,
            sample,
            canonical_json(completion),
            _now(),
        )
        _, new, _ = self._db.commit(
            ("INSERT INTO request VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", [content]),
            ("INSERT INTO completion VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", [row]),
            ("DELETE FROM claim WHERE completion = ?", [row[:1]]),
        )
        return completion if new else self.completion(row[0]) or completion

    def completion(self, key: str) -> Completion | None:
        """Return the completion under a key; None if there is none."""
        row = self._one("SELECT body FROM completion WHERE key = ?", (key,))
        return _load_completion(row[0]) if row else None

    def amend_completion(self, key: str, completion: Completion) -> bool:
        """Replace a completion by another reading of its answer; return whether it was there."""
        (changed,) = self._db.commit(
            ("UPDATE completion SET body = ? WHERE key = ?", [(canonical_json(completion), key)])
        )
        return changed > 0

    def outdate_attempts(self, run_id: str, keys: AbstractSet[str]) -> None:
        """Mark the attempts of a run that used any of some completions as to be scored anew."""
        query = "SELECT arm, problem_id, sample, turns FROM attempt WHERE run = ?"
        outdated = [
            ("amended", run_id, arm, problem_id, sample)
            for arm, problem_id, sample, turns in self._db.rows(query, (run_id,))
            if any(not keys.isdisjoint(turn) for turn in json.loads(turns))
        ]
        statement = (
            "UPDATE attempt SET scorer_version = ? "
            "WHERE run = ? AND arm = ? AND problem_id = ? AND sample = ?"
        )
        self._db.commit((statement, outdated))

    def fail_attempts(self, run_id: str, reasons: Mapping[str, str]) -> int:
        """Make failed ones of the attempts that used some completions; return how many.

        Their turns stay: what was asked and came back can still be looked at.

        Args:
            run_id: The run.
            reasons: Completion key -> the error of the attempts that used it.
        """
        query = "SELECT arm, problem_id, sample, turns FROM attempt WHERE run = ?"
        failed: list[tuple[str, ...]] = []
        for arm, problem_id, sample, turns in self._db.stream(query, (run_id,)):
            keys = (key for turn in json.loads(turns) for key in turn)
            if (reason := next(filter(None, map(reasons.get, keys)), None)) is not None:
                failed.append((reason, run_id, arm, problem_id, sample))
        statement = (
            "UPDATE attempt SET outcome = 'failed', error = ?, text = '', readings = '{}', "
            "metrics = '{}', drafts = '[]', scorer_version = '' WHERE run = ? AND arm = ? "
            "AND problem_id = ? AND sample = ? AND outcome != 'failed'"
        )
        return self._db.commit((statement, failed))[0] if failed else 0

    def forget_completions(self, keys: Iterable[str]) -> None:
        """Delete completions, so that they are asked for again."""
        self._db.commit(("DELETE FROM completion WHERE key = ?", [(key,) for key in keys]))

    def n_left_out(self, run_id: str) -> int:
        """Count the failed attempts of a run that are not tried again unasked."""
        query = (
            "SELECT count(*) FROM attempt WHERE run = ? AND outcome = 'failed' "
            "AND (error LIKE ? OR error LIKE ?)"
        )
        row = self._one(query, (run_id, f"{PERMANENT}%", f"{CUT}%"))
        return int(row[0]) if row else 0

    def start_run(self, run_id: str, spec: str, backend: str, content: str = "{}") -> None:
        """Record that a run has begun, or begun again, maybe with another spelling of its spec.

        ``content``: what its id is a hash of, as JSON.
        """
        now = _now()
        self._write(
            "INSERT INTO run VALUES (?, ?, ?, 'running', ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
            "spec = excluded.spec, status = 'running', updated_utc = excluded.updated_utc, "
            "content = excluded.content",
            (run_id, spec, backend, now, now, content),
        )

    def end_run(self, run_id: str, status: str) -> None:
        """Record how a run ended: ``complete`` or ``incomplete``."""
        self._write(
            "UPDATE run SET status = ?, updated_utc = ? WHERE id = ?", (status, _now(), run_id)
        )

    def put_attempt(
        self, run_id: str, position: int, row: AttemptRow, turns: Sequence[Sequence[str]]
    ) -> None:
        """Commit the result of an attempt; it replaces an earlier (failed) one."""
        values = {f.name: getattr(row, f.name) for f in dataclasses.fields(row)} | {
            "run": run_id,
            "position": position,
            "readings": canonical_json(_pack_readings(row)),
            "metrics": canonical_json(row.metrics),
            "drafts": canonical_json([[d.text, d.outcome, _pack_readings(d)] for d in row.drafts]),
            "is_vote": int(row.is_vote),
            "reasoned_apart": int(row.reasoned_apart),
            "turns": canonical_json(turns),
            "truncated": int(row.truncated),
        }
        del values["correct_by"]
        names = ", ".join(values)
        marks = ", ".join("?" for _ in values)
        updates = ", ".join(f"{name} = excluded.{name}" for name in values)
        self._write(
            f"INSERT INTO attempt ({names}) VALUES ({marks}) "  # noqa: S608 - column names come from our own dataclass
            f"ON CONFLICT (run, arm, problem_id, sample) DO UPDATE SET {updates}",
            tuple(values.values()),
        )

    def attempts(self, run_id: str) -> list[AttemptRow]:
        """Return the attempts of a run, in the order of its plan."""
        columns = [f.name for f in dataclasses.fields(AttemptRow) if f.name != "correct_by"]
        query = f"SELECT {', '.join(columns)} FROM attempt WHERE run = ? ORDER BY position"  # noqa: S608 - as above
        return [
            _load_attempt(dict(zip(columns, row, strict=True)))
            for row in self._db.stream(query, (run_id,))
        ]

    def arms(self, run_id: str) -> list[str]:
        """Return the arms of a run that have attempts, in the order of its plan."""
        query = "SELECT arm FROM attempt WHERE run = ? GROUP BY arm ORDER BY min(position)"
        return [row[0] for row in self._db.rows(query, (run_id,))]

    def columns(self, run_id: str, arm: str) -> Columns:
        """Return the numbers of one arm, without its texts.

        Raises:
            UsageError: several attempts at one problem.
        """
        return as_columns(arm, self._db.rows(COLUMNS_QUERY, (run_id, arm)))

    def replies(self, run_id: str, arm: str, reader: str) -> Iterator[StoredReply]:
        """Yield the texts of an arm as a reader read them, without failed and refused attempts.

        One at a time: all of them may be larger than memory.
        """
        for row in self._db.stream(REPLIES_QUERY, (run_id, arm)):
            yield as_reply(row, reader)

    def readings(self, run_id: str, arm: str) -> Iterator[AttemptRow]:
        """Yield the attempts of an arm with their outcomes and readings alone, without texts."""
        for problem_id, sample, outcome, packed in self._db.stream(READINGS_QUERY, (run_id, arm)):
            fields = _load_readings(packed)
            yield AttemptRow(
                arm=arm, problem_id=problem_id, sample=sample, outcome=outcome, **fields
            )

    def n_done(self, run_id: str) -> int:
        """Count the attempts of a run that did not fail."""
        query = "SELECT count(*) FROM attempt WHERE run = ? AND outcome != 'failed'"
        row = self._one(query, (run_id,))
        return int(row[0]) if row else 0

    def count_outcomes(self, run_id: str) -> Mapping[str, Mapping[Outcome, int]]:
        """Return arm -> outcome -> how many attempts of a run ended so."""
        query = "SELECT arm, outcome, count(*) FROM attempt WHERE run = ? GROUP BY arm, outcome"
        counts: dict[str, dict[Outcome, int]] = {}
        for arm, outcome, n in self._db.rows(query, (run_id,)):
            counts.setdefault(arm, {})[outcome] = int(n)
        return counts

    def n_outdated(self, run_id: str, scorer_versions: Sequence[str]) -> int:
        """Return how many attempts of a run have scores of other versions of the scorer."""
        marks = ", ".join("?" for _ in scorer_versions)
        query = (
            "SELECT count(*) FROM attempt WHERE run = ? AND outcome != 'failed' "  # noqa: S608
            f"AND scorer_version NOT IN ('', {marks})"  # question marks
        )
        row = self._one(query, (run_id, *scorer_versions))
        return int(row[0]) if row else 0

    def turns(self, run_id: str, arm: str, problem_id: str, sample: int = 0) -> list[StoredTurn]:
        """Return every turn of one attempt, in order; empty if it is missing or failed."""
        row = self._one(
            "SELECT turns FROM attempt WHERE run = ? AND arm = ? AND problem_id = ? AND sample = ?",
            (run_id, arm, problem_id, sample),
        )
        return [self._load_turn(keys) for keys in json.loads(row[0])] if row else []

    def calls(self, run_id: str) -> Iterator[StoredCall]:
        """Yield every completion of its model that a run used, each once, in no order."""
        problem_of: dict[str, str] = {}
        query = "SELECT problem_id, turns FROM attempt WHERE run = ? ORDER BY position"
        for problem_id, turns in self._db.stream(query, (run_id,)):
            for keys in json.loads(turns):
                for key in keys:
                    problem_of.setdefault(key, problem_id)
        keys = list(problem_of)
        for start in range(0, len(keys), _CALLS_AT_A_TIME):
            part = keys[start : start + _CALLS_AT_A_TIME]
            marks = ", ".join("?" for _ in part)
            rows = self._db.rows(
                "SELECT completion.key, body, created_utc, messages, decoding FROM completion "  # noqa: S608 - only marks
                f"JOIN request ON request.key = request WHERE completion.key IN ({marks}) "
                "AND backend = (SELECT run.backend FROM run WHERE id = ?)",
                (*part, run_id),
            )
            for key, body, created_utc, messages, decoding in rows:
                yield StoredCall(
                    key=key,
                    problem_id=problem_of[key],
                    created_utc=created_utc,
                    prompt="".join(message["content"] for message in json.loads(messages)),
                    max_tokens=json.loads(decoding)["max_tokens"],
                    completion=_load_completion(body),
                )

    def runs(self) -> list[RunRow]:
        """Return all runs, latest first."""
        rows = self._db.rows(
            "SELECT id, spec, CASE WHEN status != 'incomplete' OR EXISTS ("
            "SELECT 1 FROM attempt WHERE attempt.run = run.id AND outcome != 'failed') THEN status "
            "WHEN EXISTS (SELECT 1 FROM attempt WHERE attempt.run = run.id) THEN 'failed' "
            "ELSE 'refused' END, created_utc, updated_utc, "
            "(SELECT count(*) FROM attempt WHERE attempt.run = run.id) FROM run "
            "ORDER BY updated_utc DESC, id",
            (),
        )
        names = [f.name for f in dataclasses.fields(RunRow)]
        return [RunRow(**dict(zip(names, row, strict=True))) for row in rows]

    def run(self, prefix: str) -> RunRow:
        """Return the run whose id begins with a prefix; ``last``: the one that changed last.

        Raises:
            UsageError: none does, or several do.
        """
        rows = self.runs()
        if prefix == "last" and rows:
            return rows[0]
        matches = [row for row in rows if row.id.startswith(prefix)]
        if len(matches) != 1:
            latest = ", ".join(row.id for row in rows[:5]) or "none yet"
            what = "no run" if not matches else f"{len(matches)} runs"
            raise UsageError(
                f"{what} {prefix!r} in {mask_password(self.place)}", hint=f"latest runs: {latest}"
            )
        return matches[0]

    def run_content(self, run_id: str) -> dict[str, Any]:
        """Return the content that the id of a run is a hash of; empty for a run of cotkit 0.1."""
        row = self._one("SELECT content FROM run WHERE id = ?", (run_id,))
        if row is None:
            raise UsageError(f"no run {run_id!r} in {mask_password(self.place)}")
        return json.loads(row[0])

    def run_backend(self, run_id: str) -> tuple[str, BackendInfo]:
        """Return key and info of the backend that a run used."""
        row = self._one(
            "SELECT key, info FROM backend WHERE key = (SELECT backend FROM run WHERE id = ?)",
            (run_id,),
        )
        if row is None:
            raise UsageError(f"no run {run_id!r} in {mask_password(self.place)}")
        return row[0], _load_info(row[1])

    def backend(self, key: str) -> BackendInfo | None:
        """Return the backend of a key; None: there is none."""
        row = self._one("SELECT info FROM backend WHERE key = ?", (key,))
        return _load_info(row[0]) if row else None

    def answers_of(self, run_id: str, backend: str) -> Iterator[tuple[str, Completion]]:
        """Yield (arm, completion) for all that the attempts of a run have from one backend."""
        query = "SELECT arm, turns FROM attempt WHERE run = ? ORDER BY position"
        lookup = "SELECT body FROM completion WHERE key = ? AND backend = ?"
        for arm, turns in self._db.stream(query, (run_id,)):
            for key in (key for turn in json.loads(turns) for key in turn):
                for (body,) in self._db.rows(lookup, (key, backend)):
                    yield arm, _load_completion(body)

    def backends(self) -> list[BackendInfo]:
        """Return the backends of all runs, that of the earliest run first."""
        rows = self._db.rows(
            "SELECT info, (SELECT min(created_utc) FROM run WHERE run.backend = backend.key) "
            "AS begun FROM backend ORDER BY begun, key"
        )
        return [_load_info(info) for info, begun in rows if begun is not None]

    def _load_turn(self, keys: Sequence[str]) -> StoredTurn:
        marks = ", ".join("?" for _ in keys)
        rows = self._db.rows(
            "SELECT completion.key, sample, body, messages, decoding, options FROM completion "  # noqa: S608 - only marks
            f"JOIN request ON request.key = request WHERE completion.key IN ({marks})",
            tuple(keys),
        )
        by_key = {row[0]: row for row in rows}
        if lost := next((key for key in keys if key not in by_key), None):
            raise StoreError(
                f"completion {lost} of this attempt is no longer in {mask_password(self.place)}",
                hint="the same command makes it again",
            )
        ordered = [by_key[key] for key in keys]
        decoding = json.loads(ordered[0][4])
        request = Request(
            messages=tuple(Message(**message) for message in json.loads(ordered[0][3])),
            decoding=Decoding(**decoding | {"stop": tuple(decoding["stop"])}),
            samples=tuple(row[1] for row in ordered),
            options=tuple(json.loads(ordered[0][5])),
        )
        completions = tuple(_load_completion(row[2]) for row in ordered)
        return StoredTurn(request=request, completions=completions)

    def _write(self, statement: str, values: Sequence[Any]) -> None:
        self._db.commit((statement, [values]))

    def _one(self, query: str, values: Sequence[Any]) -> tuple[Any, ...] | None:
        rows = self._db.rows(query, values)
        return rows[0] if rows else None


def _pack_readings(row: AttemptRow | DraftRow) -> dict[str, list[object]]:
    """Pack readings as they are stored: reader -> [value, rule, correct]."""
    return {
        name: [reading.value, reading.rule, row.correct_by[name]]
        for name, reading in row.readings.items()
    }


@functools.lru_cache(maxsize=4096)
def _load_readings(text: str) -> Mapping[str, Any]:
    """Return the fields of a row that :func:`_pack_readings` packed; equal rows share them."""
    return _unpack_readings(json.loads(text))


@functools.lru_cache(maxsize=4096)
def _load_metrics(text: str) -> Mapping[str, float]:
    """Return the metrics of a row; equal rows share them."""
    return {sys.intern(name): value for name, value in json.loads(text).items()}


def _unpack_readings(packed: dict[str, Any]) -> dict[str, Any]:
    return {
        "readings": {sys.intern(name): _reading(r[0], r[1]) for name, r in packed.items()},
        "correct_by": {sys.intern(name): bool(r[2]) for name, r in packed.items()},
    }


def _load_info(body: str) -> BackendInfo:
    fields = json.loads(body)
    fields["capabilities"] = frozenset(fields["capabilities"])
    return BackendInfo(**fields)


@functools.lru_cache(maxsize=4096)
def _reading(value: str | None, rule: str) -> Reading:
    return Reading(value=value, rule=rule)


def _load_completion(body: str) -> Completion:
    values = json.loads(body)
    values["tries"] = tuple(Try(**fields) for fields in values.get("tries", ()))
    return Completion(**values)


def _load_attempt(values: dict[str, Any]) -> AttemptRow:
    values |= {name: bool(values[name]) for name in ("truncated", "is_vote", "reasoned_apart")}
    values["metrics"] = _load_metrics(values["metrics"])
    values["arm"] = sys.intern(values["arm"])
    values["drafts"] = tuple(
        DraftRow(text=text, outcome=outcome, **_unpack_readings(packed))
        for text, outcome, packed in json.loads(values["drafts"])
    )
    values |= _load_readings(values["readings"])
    return AttemptRow(**values)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
