"""One SQLite file that holds every completion, run and attempt; commits as they arrive."""

from cotkit.store.rows import AttemptRow, RunRow
from cotkit.store.sqlite import Store, Turn

__all__ = ["AttemptRow", "RunRow", "Store", "Turn"]
