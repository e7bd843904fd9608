"""One SQLite file that holds every completion, run and attempt; commits as they arrive."""

from cotkit.store.batches import BatchLedger
from cotkit.store.columns import Columns
from cotkit.store.rows import AttemptRow, DraftRow, Reply, RunRow
from cotkit.store.sqlite import Store, Turn

__all__ = ["AttemptRow", "BatchLedger", "Columns", "DraftRow", "Reply", "RunRow", "Store", "Turn"]
