"""Work that needs no backend, such as a training, on a cluster: one task for each job.

A task that is lost with its node is started again elsewhere by Ray, and goes on from what it left
in a folder that every node sees.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from cotkit.cluster.parcel import Failure
from cotkit.cluster.pool import Needs, connect
from cotkit.errors import BackendError, CotkitError, InterruptedRunError, UsageError

T = TypeVar("T")
R = TypeVar("R")

_LOOK_S = 0.5
_STOP_S = 30.0  # for tasks to save what they have


def spread(
    address: str,
    jobs: Sequence[T],
    do: Callable[[T, Callable[[Any], None]], R],
    *,
    needs: Needs,
    out: Path,
    report: Callable[[Any], None],
) -> Generator[tuple[T, R]]:
    """Do jobs on the nodes of a cluster, as many at once as fit; each with what came of it.

    Args:
        address: Of the cluster, as of :class:`cotkit.cluster.Cluster`.
        jobs: Values that can travel.
        do: A function of a module that every node has: does a job, telling the second argument how
            far it is.
        needs: Of one job.
        out: Where the jobs write: an absolute path that is the same folder on every node.
        report: Told here what the jobs tell.

    Raises:
        UsageError: the cluster has no node for such a job, or ``out`` is not there on a node.
        InterruptedRunError: Ctrl-C; the jobs were interrupted, too, and had time to save.
        CotkitError: as :func:`cotkit.cluster.pool.connect`, or as a job does.
    """
    ray = connect(address)
    _check_room(ray, needs)
    from ray.util.queue import Queue

    mark = out / f".{secrets.token_hex(8)}"
    told: Any = Queue(actor_options={"num_cpus": 0})
    task: Any = ray.remote(num_cpus=needs.cpus, num_gpus=needs.gpus)(_done)
    left: dict[Any, T] = {}
    try:
        mark.touch()
        left |= {task.remote(do, job, told, mark): job for job in jobs}
        while left:
            done, _ = ray.wait(list(left), timeout=_LOOK_S)
            while not told.empty():
                report(told.get())
            for reference in done:
                job = left.pop(reference)
                yield job, _result(ray, reference)
    except KeyboardInterrupt:
        raise InterruptedRunError(
            "interrupted; what was saved is kept", hint="the same command goes on from there"
        ) from None
    finally:
        mark.unlink(missing_ok=True)
        _stop(ray, list(left))
        told.shutdown()


def _check_room(ray: Any, needs: Needs) -> None:  # noqa: ANN401 - the module ray, which has no types
    nodes = [one["Resources"] for one in ray.nodes() if one["Alive"]]
    fits = [
        one for one in nodes if one.get("CPU", 0) >= needs.cpus and one.get("GPU", 0) >= needs.gpus
    ]
    if not fits:
        wants = f"{needs.cpus:g} CPU and {needs.gpus:g} GPU"
        raise UsageError(
            f"a job needs {wants} of one node, and none of the {len(nodes)} nodes has them",
            hint="--ray-gpus, or --device cpu",
        )


def _done(do: Callable[..., R], job: object, told: Any, mark: Path) -> R | Failure:  # noqa: ANN401 - a queue of Ray's
    """What runs in a task."""
    try:
        if not mark.exists():
            raise UsageError(
                f"{mark.parent} is not the same folder on every node", hint="--out on a shared disk"
            )
        return do(job, told.put)
    except CotkitError as error:
        return Failure.of(error)


def _result(ray: Any, reference: object) -> Any:  # noqa: ANN401 - as above
    try:
        found = ray.get(reference)
    except ray.exceptions.RayError as lost:
        what = next(iter(str(lost).strip().splitlines()), type(lost).__name__)
        raise BackendError(
            f"a task of the cluster was lost for good: {what}",
            hint="the same command goes on with what is left",
        ) from lost
    if isinstance(found, Failure):
        raise found.error()
    return found


def _stop(ray: Any, references: Sequence[object]) -> None:  # noqa: ANN401 - as above
    """Interrupt tasks and wait until they have saved."""
    for reference in references:
        with contextlib.suppress(Exception):  # it has ended, or its node has
            ray.cancel(reference)
    if references:
        with contextlib.suppress(Exception):
            ray.wait(list(references), num_returns=len(references), timeout=_STOP_S)
