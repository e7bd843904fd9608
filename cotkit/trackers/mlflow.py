"""Runs in MLflow: settings as parameters, rates and gains as metrics: ``--track mlflow``."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import Any

from cotkit.errors import MissingDependencyError
from cotkit.events import Event, GainFound, RunEnded, RunStarted
from cotkit.trackers._totals import RunTotals, plain_name


@dataclass(kw_only=True, slots=True)
class Mlflow:
    """A run of MLflow for each run; one that is cut off ends as killed."""

    experiment: str = "cotkit"
    """Made where there is none of this name."""
    uri: str | None = None
    """Of the tracking server or folder; None: as MLflow is set up (``MLFLOW_TRACKING_URI``)."""
    _client: Any = field(init=False, repr=False)
    _experiment_id: str = field(init=False, repr=False)
    _run: str | None = field(default=None, init=False, repr=False)
    _totals: RunTotals = field(default_factory=RunTotals, init=False, repr=False)
    _status: str = field(default="KILLED", init=False, repr=False)

    def __post_init__(self) -> None:
        """Reach the server, so that one that is not there is found before anything is spent.

        Raises:
            MissingDependencyError: mlflow is not installed.
        """
        try:
            mlflow: Any = importlib.import_module("mlflow")
        except ModuleNotFoundError:
            raise MissingDependencyError("mlflow", "mlflow") from None
        self._client = mlflow.MlflowClient(tracking_uri=self.uri)
        experiment = self._client.get_experiment_by_name(self.experiment)
        self._experiment_id = (
            self._client.create_experiment(self.experiment)
            if experiment is None
            else experiment.experiment_id
        )

    def record(self, event: Event) -> None:
        """Begin a run of MLflow at the start of each, and log what an event completes."""
        if isinstance(event, RunStarted):
            self.close()
            run = self._client.create_run(self._experiment_id, run_name=event.run_id)
            self._run, self._totals, self._status = run.info.run_id, RunTotals(), "KILLED"
            arms = " ".join(event.arms)
            for name, text in (("model", event.model), ("bench", event.bench), ("arms", arms)):
                self._client.log_param(self._run, name, text)
        for name, value in self._totals.add(event).items():
            self._client.log_metric(self._run, name, value)
        if isinstance(event, RunEnded):
            self._status = "FAILED" if event.n_failed else "FINISHED"
        elif isinstance(event, GainFound):
            self._client.set_tag(self._run, plain_name(f"verdict/{event.arm}"), event.verdict)

    def close(self) -> None:
        """End the run of MLflow."""
        if self._run is not None:
            self._client.set_terminated(self._run, status=self._status)
            self._run = None
