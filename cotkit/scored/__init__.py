"""Completions made elsewhere: read line by line, scored as a run's are, compared as a run's are."""

from cotkit.scored.made import DEFAULT_ARM, Made, Names, read_file, read_items
from cotkit.scored.summary import score_completions
from cotkit.scored.tally import Ask, Missing

__all__ = [
    "DEFAULT_ARM",
    "Ask",
    "Made",
    "Missing",
    "Names",
    "read_file",
    "read_items",
    "score_completions",
]
