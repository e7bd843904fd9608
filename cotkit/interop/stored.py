"""A run of the store, with what every exporter needs of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cotkit.store import AttemptRow, Store, StoredTurn
from cotkit.types import BackendInfo
from cotkit.workflows.records import find_arm_facts, record_fields


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRun:
    """One run, its attempts still in the store."""

    store: Store
    """Open."""
    run_id: str
    """12 hex characters."""
    updated_utc: str
    """When it last changed, ISO 8601."""
    is_complete: bool
    """Whether no attempt is missing or failed."""
    info: BackendInfo
    """Of its model."""
    bench: str
    """As the run names it."""
    reader: str
    """The reader that decided the outcomes."""

    @classmethod
    def load(cls, store: Store, prefix: str) -> StoredRun:
        """Load the run whose id begins with a prefix.

        Raises:
            UsageError: no id begins so, or several do.
        """
        run = store.run(prefix)
        spec: Mapping[str, Any] = json.loads(run.spec)
        return cls(
            store=store,
            run_id=run.id,
            updated_utc=run.updated_utc,
            is_complete=run.status == "complete",
            info=store.run_backend(run.id)[1],
            bench=spec["bench"],
            reader=spec["reader"],
        )

    @property
    def date(self) -> str:
        """Return when it last changed, in a form for file names: equal runs give equal files."""
        return self.updated_utc.partition("+")[0].replace(":", "-")

    def rows(self) -> dict[str, list[AttemptRow]]:
        """Return the attempts of each arm, in the order of the plan."""
        by_arm: dict[str, list[AttemptRow]] = {}
        for row in self.store.attempts(self.run_id):
            by_arm.setdefault(row.arm, []).append(row)
        return by_arm

    def turns(self, row: AttemptRow) -> list[StoredTurn]:
        """Return what was asked and answered for one attempt; empty if it failed."""
        return self.store.turns(self.run_id, row.arm, row.problem_id, row.sample)

    def record(self, row: AttemptRow, turns: Sequence[StoredTurn]) -> dict[str, object]:
        """Return an attempt as an object from which ``compare --from`` makes its row again."""
        return record_fields(row, turns, find_arm_facts(row.arm))

    def readers(self, row: AttemptRow) -> Iterator[tuple[str, float]]:
        """Yield each reader with 1 or 0 (correct or not), the one that decided first."""
        yield self.reader, float(row.outcome == "correct")
        for name, is_correct in row.correct_by.items():
            if name != self.reader:
                yield name, float(is_correct)
