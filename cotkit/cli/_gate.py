"""``--gate``: a comparison's verdict as the exit code of a process, for continuous integration."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cotkit.errors import UsageError
from cotkit.report import render

if TYPE_CHECKING:
    from cotkit.analysis.results import Comparison, Gain, Label

Gate = Literal["helps", "undetermined", "no_material_help", "harms"]
"""What a gate says, from the best to the worst."""

EXIT_CODES: dict[Gate, int] = {"helps": 0, "undetermined": 4, "no_material_help": 3, "harms": 5}
"""Exit code of each, in the order of :data:`Gate`."""


_SAID: dict[Label, Gate] = {
    "helps": "helps",
    "no_material_help": "no_material_help",
    "harms": "harms",
    "undetermined": "undetermined",
    "withheld": "undetermined",
}


def gate(comparison: Comparison) -> Gate:
    """The worst verdict of a comparison; an upper bound is none.

    A gain that is surely above 0 is no pass by itself: it is ``no_material_help`` if it is surely
    below the margin, else ``undetermined``. So is a withheld verdict.

    Raises:
        UsageError: it has no verdict.
    """
    gains = [verdict.gain for verdict in comparison.verdicts]
    found = [_of(gain, comparison.margin) for gain in gains if gain.label != "upper_bound"]
    if not found:
        raise UsageError(
            "there is nothing to gate on: no strategy is measured against a control",
            hint="--strategy cot, or --baseline few-shot",
        )
    return next(one for one in reversed(EXIT_CODES) if one in found)


def write_summary(comparison: Comparison) -> None:
    """Append the report to GitHub's summary of the step, where ``GITHUB_STEP_SUMMARY`` names one.

    Raises:
        UsageError: it cannot be written.
    """
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if not path:
        return
    try:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(render(comparison, "markdown") + "\n")
    except OSError as refused:
        raise UsageError(
            f"cannot write {path}: {refused.strerror}", hint="check GITHUB_STEP_SUMMARY"
        ) from refused


def _of(gain: Gain, margin: float) -> Gate:
    if gain.label == "some_help":
        return "no_material_help" if gain.interval.high < margin else "undetermined"
    return _SAID[gain.label]
