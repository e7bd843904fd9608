"""How answers are printed and progress is shown: words that several commands understand."""

from enum import StrEnum


class Format(StrEnum):
    """How the answer is printed."""

    table = "table"
    markdown = "markdown"
    json = "json"
    csv = "csv"
    latex = "latex"
    lm_eval = "lm-eval"


class Display(StrEnum):
    """How progress is shown."""

    full = "full"
    plain = "plain"
    none = "none"
