"""One database that holds every completion, run and attempt; commits as they arrive."""

from cotkit.store.batches import BatchLedger
from cotkit.store.place import (
    STORE_NAME,
    Place,
    existing_place,
    mask_password,
    place_of,
    store_option,
)
from cotkit.store.rows import (
    CUT,
    PERMANENT,
    AttemptRow,
    Columns,
    DraftRow,
    RunRow,
    StoredCall,
    StoredReply,
)
from cotkit.store.store import Store, StoredTurn

__all__ = [
    "CUT",
    "PERMANENT",
    "STORE_NAME",
    "AttemptRow",
    "BatchLedger",
    "Columns",
    "DraftRow",
    "Place",
    "RunRow",
    "Store",
    "StoredCall",
    "StoredReply",
    "StoredTurn",
    "existing_place",
    "mask_password",
    "place_of",
    "store_option",
]
