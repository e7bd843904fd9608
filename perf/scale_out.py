"""How a run grows with workers: `simulated` with 50 ms a request, on a Ray cluster of this machine.

    python perf/scale_out.py [PROBLEMS]

Every worker takes 4 requests at once. Prints requests a second and their ratio to one worker's, and
what an attempt costs beside waiting: microseconds of the driver's processor.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from cotkit.benchmarks.arithmetic import Arithmetic
from cotkit.executors.ray import RayExecutor
from cotkit.run import RunSpec, build_backend, execute_plan, make_plan
from cotkit.run.budget import Budget, Meter
from cotkit.store import Store

ARGS = {"latency_s": "0.05", "max_concurrency": "4"}
MODEL = "simulated/70b"


async def measure(workers: int | None, n_problems: int) -> tuple[float, float, int]:
    """Seconds, processor seconds of this process, attempts; workers start before the clock."""
    spec = RunSpec(model=MODEL, model_args=ARGS, bench="arithmetic", limit=n_problems)
    plan = make_plan(spec, Arithmetic(n=n_problems))
    problems = plan.everything
    backend = build_backend(MODEL, ARGS, problems=problems, store=None, notify=print)
    if workers is not None:
        cluster = RayExecutor(address="local", workers=workers)
        backend = cluster.sharded(backend, MODEL, ARGS, problems, print)
        backend.begin()
        while backend.status() is not None:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.1)
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "s.db") as store:
        began, cpu_began = time.perf_counter(), time.process_time()
        meter = Meter(Budget(), None, model=MODEL)
        done = await execute_plan(plan, backend, store, lambda _: None, meter=meter)
        took, cpu = time.perf_counter() - began, time.process_time() - cpu_began
    await backend.close()
    return took, cpu, len(done.rows)


def main() -> None:
    """Print a row for this process alone and for 1, 2 and 4 workers."""
    import ray

    n_problems = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    ray.init(num_cpus=4, log_to_driver=False, include_dashboard=False)  # they wait, not work
    first, cpu_here = 0.0, 0.0
    print("workers  attempts/s  ratio  driver processor us/attempt  of it for the cluster")
    for workers in (None, 1, 2, 4):
        took, cpu, n = asyncio.run(measure(workers, n_problems))
        each = 1e6 * cpu / n
        first, cpu_here = (n / took, cpu_here) if workers == 1 else (first, cpu_here or each)
        ratio = f"{n / took / first:5.2f}" if first else "    -"
        name = workers or "none"
        print(f"{name:>7}  {n / took:10.0f}  {ratio}  {each:27.0f}  {each - cpu_here:21.0f}")


if __name__ == "__main__":
    main()
