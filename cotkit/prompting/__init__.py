"""Released prompts and exemplars: data files, rendered in one strict environment."""

from cotkit.prompting.exemplars import read_exemplars
from cotkit.prompting.library import render, shown
from cotkit.prompting.lock import released

__all__ = ["read_exemplars", "released", "render", "shown"]
