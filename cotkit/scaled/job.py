"""One model on one benchmark of a ladder, and what is asked of all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from cotkit.analysis.scale.inputs import Axis, Rung
from cotkit.api import GIVEN
from cotkit.cluster import Cluster, backend_of
from cotkit.errors import UnknownNameError, UsageError
from cotkit.events import Said
from cotkit.protocols import Backend, Benchmark
from cotkit.run import Plan, RunSpec, make_plan
from cotkit.running import Emit
from cotkit.scaled.ladder import rung_of
from cotkit.store import Store
from cotkit.types import BackendInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What is asked of a ladder, beside its spec; chosen before the run."""

    axis: Axis = "params"
    """What size means."""
    assume_sustained: bool = False
    """Whether help that began is assumed not to stop (``Question.assume_sustained``)."""
    losses: Mapping[str, float] = field(default_factory=dict[str, float])
    """Model, as given or as reports name it -> pretraining loss in nats per token."""
    prices: Path | None = None
    """A file of the user's own prices."""
    by_steps: bool = False
    """Whether to ask it of the problems of each number of steps, in place of all together."""
    cluster: Cluster | None = None
    """Whose machines ask the models; None: this process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One model on one benchmark."""

    bench: Benchmark
    plan: Plan
    info: BackendInfo
    rung: Rung
    backend: Backend | None
    """None: its run is only read."""
    closes: bool = False
    """Whether to close the backend once its run is done."""

    @property
    def run_id(self) -> str:
        """Identity of its run."""
        return self.plan.run_id(self.info)


def make_job(
    spec: RunSpec,
    model: str | Backend,
    bench: tuple[str, Benchmark],
    *,
    ask: Ask,
    store: Store,
    emit: Emit,
) -> Job:
    """Plan a model on a benchmark (as the user wrote it, and itself) and build its backend."""
    written, benchmark = bench
    name = model if isinstance(model, str) else GIVEN
    plan = make_plan(replace(spec, model=name, bench=written), benchmark)
    backend = (
        backend_of(
            plan.spec,
            plan.everything,
            store=store,
            notify=lambda text: emit(Said(text=text)),
            cluster=ask.cluster,
        )
        if isinstance(model, str)
        else model
    )
    info = backend.info
    return Job(
        bench=benchmark,
        plan=plan,
        info=info,
        rung=rung_of(info, loss_of(ask.losses, name, info)),
        backend=backend,
        closes=isinstance(model, str),
    )


def loss_of(losses: Mapping[str, float], given: str, info: BackendInfo) -> float | None:
    """The loss of a model, by the name that the user gave it or that reports give it."""
    return losses.get(given, losses.get(info.model))


def check_losses(losses: Mapping[str, float], jobs: Sequence[Job]) -> None:
    """Refuse losses of models that are not in the ladder.

    Raises:
        UnknownNameError: names one.
    """
    known = {name for job in jobs for name in (job.plan.spec.model, job.info.model)}
    for name in losses:
        if name not in known:
            raise UnknownNameError("model of the ladder", name, known)


def pairs_of(plan: Plan) -> tuple[tuple[str, str], ...]:
    """Those of which help can be said: an arm that sees the gold answers gives none.

    Raises:
        UsageError: there are none.
    """
    found = tuple(pair for pair in plan.pairs if pair[0] not in plan.upper_bounds)
    if not found:
        raise UsageError(
            "no strategy of this run is measured against a control, so none can start to help",
            hint="--strategy cot, or --baseline few-shot",
        )
    return found
