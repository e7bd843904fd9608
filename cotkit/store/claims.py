"""Claims: who is making a completion now, so that equal commands at once never make it twice.

A claim ends when its completion is stored, when it is released, or when its claimant no longer
lives: a process of this machine is looked for, and any other must raise its beat every few seconds
by the clock of whoever waits for it, so clocks need not agree.
"""

from __future__ import annotations

import functools
import os
import secrets
import socket
import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from cotkit.store.database import Database

LEASE_S = 30.0
"""How long a claimant of another machine may be silent before its claims end."""
BEAT_S = 5.0
"""How often a claimant says that it lives."""

_AT_ONCE = 10_000  # values in a query: SQLite takes 32,766, PostgreSQL 65,535
_BEAT = "INSERT INTO claimant VALUES (?, 1) ON CONFLICT (id) DO UPDATE SET beat = claimant.beat + 1"


class Claims:
    """The claims of one open store; a claimant of its own."""

    def __init__(self, db: Database, clock: Callable[[], float] = time.monotonic) -> None:
        """Claim nothing yet. ``clock``: seconds from any origin."""
        self._db, self._clock = db, clock
        self._name = f"{_machine()}:{os.getpid()}:{_start_of(os.getpid())}:{secrets.token_hex(4)}"
        self._is_known = False
        self._beats: dict[str, tuple[int, float]] = {}

    def take(self, keys: Collection[str]) -> set[str]:
        """Claim completions; return those that are claimed for this claimant now, and by no other.

        What is claimed may have been stored since the caller looked: look again.
        """
        free = set(keys) - {key for key, _, _ in self._claims(keys)}
        if not free:
            return set()
        self.beat(is_first=True)
        rows = [(key, self._name) for key in free]
        (n_new,) = self._db.commit(("INSERT INTO claim VALUES (?, ?) ON CONFLICT DO NOTHING", rows))
        if n_new == len(free):
            return free
        return {key for key, claimant, _ in self._claims(free) if claimant == self._name}

    def release(self, keys: Iterable[str]) -> None:
        """Give up claims on completions that were not made."""
        rows = [(key, self._name) for key in keys]
        if rows:
            self._db.commit(("DELETE FROM claim WHERE completion = ? AND claimant = ?", rows))

    def ended(self, keys: Collection[str]) -> set[str]:
        """Return the completions that no living claimant is making any more."""
        rows = self._claims(keys)
        beats = {claimant: beat for _, claimant, beat in rows}
        dead = {claimant for claimant, beat in beats.items() if self._is_dead(claimant, beat)}
        self._forget(dead)
        return set(keys) - {key for key, claimant, _ in rows if claimant not in dead}

    def beat(self, *, is_first: bool = False) -> None:
        """Say that this claimant lives; ``is_first``: unless that was said before."""
        if is_first and self._is_known:
            return
        self._is_known = True
        self._db.commit((_BEAT, [(self._name,)]))

    def close(self) -> None:
        """Give up all claims, and forget those of processes that ended without doing so."""
        if self._is_known:
            names = [name for name, _ in self._db.rows("SELECT id, beat FROM claimant")]
            self._forget({self._name, *(name for name in names if _has_ended(name))})
            self._is_known = False

    def _claims(self, keys: Collection[str]) -> list[tuple[str, str, int]]:
        """Return (completion, claimant, its beat) of those of the completions that are claimed."""
        ordered, rows = list(keys), list[tuple[str, str, int]]()
        for i in range(0, len(ordered), _AT_ONCE):
            part = ordered[i : i + _AT_ONCE]
            query = (
                "SELECT completion, claimant, coalesce(beat, 0) FROM claim "  # noqa: S608 - only marks
                "LEFT JOIN claimant ON claimant.id = claim.claimant "
                f"WHERE completion IN ({', '.join('?' * len(part))})"
            )
            rows += [(row[0], row[1], row[2]) for row in self._db.rows(query, part)]
        return rows

    def _is_dead(self, claimant: str, beat: int) -> bool:
        if claimant == self._name:
            return False
        if _has_ended(claimant):
            return True
        last_beat, since = self._beats.get(claimant, (None, 0.0))
        if last_beat != beat:
            self._beats[claimant] = (beat, self._clock())
            return False
        return self._clock() - since > LEASE_S

    def _forget(self, claimants: Collection[str]) -> None:
        rows = [(claimant,) for claimant in claimants]
        if rows:
            self._db.commit(
                ("DELETE FROM claim WHERE claimant = ?", rows),
                ("DELETE FROM claimant WHERE id = ?", rows),
            )


@functools.cache
def _machine() -> str:
    """Return what tells process numbers of this machine, or container, from those of others."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{socket.gethostname()}/{boot}/{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return socket.gethostname()


def _start_of(pid: int) -> str:
    """Return when a process started, in ticks; empty: not known, or it has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()  # its name, in brackets, may hold anything
    return "" if fields[0] == "Z" else fields[19]


def _has_ended(claimant: str) -> bool:
    """Return whether a claimant is a process of this machine that runs no more."""
    machine, pid, start, _ = claimant.rsplit(":", 3)
    if machine != _machine():
        return False
    if start:
        return _start_of(int(pid)) != start
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    return False
