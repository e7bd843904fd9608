"""The answer filters of a task file: which of them the readers' panel already holds."""

from __future__ import annotations

from typing import cast

from cotkit.bench._lm_eval_config import Config
from cotkit.types import AnswerKind

_DEFAULT = r"#### (\-?[0-9\.\,]+)"
_PANEL = {
    (_DEFAULT, 0): "lm-eval-strict",
    (r"The answer is (\-?[0-9\.\,]+).", 0): "lm-eval-strict",
    (r"(-?[$0-9.,]{2,})|(-?[0-9]+)", -1): "lm-eval-flexible",
}
"""(pattern, which match) -> the reader that does the same to answers that are numbers."""
_HARMLESS = ({"function": "take_first"}, {"function": "remove_whitespace"})
"""One text is asked for, and every reader takes leading spaces off."""


def filter_notes(config: Config, answer_kind: AnswerKind) -> tuple[str, ...]:
    """Where each filter of the task is to be found in the report.

    Raises:
        BadInputError: a filter that no reader of the panel matches, or is not written as one.
    """
    found = config.fields.get("filter_list")
    if found is None:
        return ()
    notes: list[str] = []
    for one in cast("list[object]", found) if isinstance(found, list) else [found]:
        fields = cast("dict[str, object]", one) if isinstance(one, dict) else {}
        steps = fields.get("filter")
        if not isinstance(steps, list):
            raise config.bad("filter_list", "must be a list of {name: ..., filter: [...]}")
        wanted = [step for step in cast("list[object]", steps) if step not in _HARMLESS]
        name = fields.get("name")
        if wanted:
            reader = _reader(wanted, answer_kind)
            if reader is None:
                raise config.bad(
                    "filter_list",
                    f"no reader of this toolkit reads as filter {name!r} does",
                    "filters=ignore has the readers of the panel read every answer",
                )
            notes.append(f"filter {name} is reader {reader}")
    return tuple(notes)


def _reader(steps: list[object], answer_kind: AnswerKind) -> str | None:
    if len(steps) != 1 or answer_kind != "number" or not isinstance(steps[0], dict):
        return None
    step = dict(cast("dict[str, object]", steps[0]))
    pattern, at = step.pop("regex_pattern", _DEFAULT), step.pop("group_select", 0)
    if step != {"function": "regex"} or not isinstance(pattern, str) or not isinstance(at, int):
        return None
    return _PANEL.get((pattern, at))
