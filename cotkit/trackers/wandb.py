"""Runs in Weights & Biases: settings as config, rates and gains as summary: ``--track wandb``."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import Any

from cotkit.errors import MissingDependencyError
from cotkit.events import Event, GainFound, RunStarted
from cotkit.trackers._totals import RunTotals


@dataclass(kw_only=True, slots=True)
class Wandb:
    """A run of W&B for each run; one that is cut off ends as failed."""

    project: str = "cotkit"
    """Where the runs are shown."""
    mode: str | None = None
    """``online``, ``offline`` or ``disabled``; None: as W&B is set up (``WANDB_MODE``)."""
    folder: str | None = None
    """Where its files are written; None: ``wandb`` here (``WANDB_DIR``)."""
    _wandb: Any = field(init=False, repr=False)
    _run: Any = field(default=None, init=False, repr=False)
    _totals: RunTotals = field(default_factory=RunTotals, init=False, repr=False)
    _is_ended: bool = field(default=False, init=False, repr=False)

    def __post_init__(self) -> None:
        """Find the package.

        Raises:
            MissingDependencyError: wandb is not installed.
        """
        try:
            self._wandb = importlib.import_module("wandb")
        except ModuleNotFoundError:
            raise MissingDependencyError("wandb", "wandb") from None

    def record(self, event: Event) -> None:
        """Begin a run of W&B at the start of each, and keep what an event completes."""
        if isinstance(event, RunStarted):
            self.close()
            self._totals, self._is_ended = RunTotals(), False
            self._run = self._wandb.init(
                project=self.project,
                name=event.run_id,
                dir=self.folder,
                mode=self.mode,
                config={"model": event.model, "bench": event.bench, "arms": list(event.arms)},
                reinit="create_new",
                settings=self._wandb.Settings(silent=True, console="off"),
            )
        if values := self._totals.add(event):
            self._run.summary.update(values)
            self._is_ended = True
        if isinstance(event, GainFound):
            self._run.summary.update({f"verdict/{event.arm}": event.verdict})

    def close(self) -> None:
        """End the run of W&B."""
        if self._run is not None:
            self._run.finish(exit_code=0 if self._is_ended else 1)
            self._run = None
