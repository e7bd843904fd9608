"""Released prompts and exemplars: data files, rendered in one strict environment."""

from cotkit.prompting.exemplars import read_exemplars
from cotkit.prompting.library import render, shown
from cotkit.prompting.lock import released
from cotkit.prompting.triggers import read_triggers, trigger_text

__all__ = ["read_exemplars", "read_triggers", "released", "render", "shown", "trigger_text"]
