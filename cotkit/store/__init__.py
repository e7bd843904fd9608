"""One database that holds every completion, run and attempt; commits as they arrive."""

from cotkit.store.batches import BatchLedger
from cotkit.store.columns import Columns
from cotkit.store.place import STORE_NAME, Place, existing, option, place_of, shown
from cotkit.store.rows import AttemptRow, DraftRow, Reply, RunRow
from cotkit.store.store import Store, Turn

__all__ = [
    "STORE_NAME",
    "AttemptRow",
    "BatchLedger",
    "Columns",
    "DraftRow",
    "Place",
    "Reply",
    "RunRow",
    "Store",
    "Turn",
    "existing",
    "option",
    "place_of",
    "shown",
]
