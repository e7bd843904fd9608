"""The backend that a spec names: here, or on a cluster."""

from __future__ import annotations

from collections.abc import Sequence

from cotkit.cluster.sharded import Cluster
from cotkit.errors import UsageError
from cotkit.protocols import Backend
from cotkit.run import RunSpec, build_backend
from cotkit.store import Store
from cotkit.types import Notify, Problem


def backend_of(
    spec: RunSpec,
    problems: Sequence[Problem],
    *,
    store: Store,
    notify: Notify,
    cluster: Cluster | None,
) -> Backend:
    """The backend that a spec names, here or on a cluster.

    Raises:
        CotkitError: as ``build_backend`` and ``Cluster.sharded``; or a batch on a cluster.
    """
    model, args = spec.model, spec.model_args
    if cluster is not None and spec.batch:
        raise UsageError("a batch waits at the provider: no cluster makes it faster")
    built = build_backend(
        model, args, problems=problems, store=store, notify=notify, batch=spec.batch
    )
    return built if cluster is None else cluster.sharded(built, model, args, problems, notify)
