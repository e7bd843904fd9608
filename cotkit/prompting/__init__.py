"""Released prompts and exemplars: data files, rendered in one strict environment."""

from cotkit.prompting.exemplars import read_exemplars
from cotkit.prompting.library import render

__all__ = ["read_exemplars", "render"]
