"""A cluster of two nodes on loopback: the table of one machine, through the loss of a node."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Protocol

import pytest

from cotkit.backends._pool import Failure
from cotkit.errors import (
    AccessError,
    CotkitError,
    MissingDependencyError,
    TransientError,
    UsageError,
)
from cotkit.executors import ray
from cotkit.executors.ray_workers import WorkerNeeds, share_limits, workers_for
from cotkit.types import BackendInfo, Completion
from tests.tiny_model import build_tiny_model

COMPARE = ["compare", "--strategy", "cot,self-consistency:k=3", "--format", "json"]
SLOW = ["--model", "simulated/70b", "--model-args", "latency_s=0.2,max_concurrency=8"]


def cotkit(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cotkit", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


class TwoNodes(Protocol):
    """What we use of ``ray.cluster_utils.Cluster``, which has no types."""

    address: str
    worker_nodes: set[object]

    def remove_node(self, node: object, *, allow_graceful: bool) -> None: ...


@pytest.fixture(scope="module")
def two_nodes() -> Generator[TwoNodes]:
    utils = pytest.importorskip("ray.cluster_utils", reason="pip install 'cotkit[ray]'")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    cluster = utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "num_gpus": 0})
    cluster.add_node(num_cpus=1, num_gpus=0)
    yield cluster
    cluster.shutdown()


def on(cluster: TwoNodes) -> list[str]:
    return ["--executor", "ray", "--ray-address", cluster.address]


def completions(folder: str) -> int:
    path = Path(folder) / "cotkit.db"
    if not path.is_file():
        return 0
    with sqlite3.connect(path) as db:
        try:
            return db.execute("SELECT count(*) FROM completion").fetchone()[0]
        except sqlite3.OperationalError:  # its tables are not made yet
            return 0


@pytest.mark.ray
@pytest.mark.full
def test_a_real_model_says_the_same_on_a_cluster(two_nodes: TwoNodes, tmp_path: Path) -> None:
    folder = build_tiny_model(tmp_path / "tiny", "llama")
    asked = [*COMPARE, "--model", str(folder), "--limit", "6", "--max-tokens", "12"]
    asked += ["--exemplars", "builtin:1", "--device", "cpu", "--dtype", "float32"]
    here = cotkit(*asked, "--log-dir", "here")
    there = cotkit(*asked, "--log-dir", "there", *on(two_nodes))
    assert here.returncode == there.returncode == 0, here.stderr + there.stderr
    assert there.stdout == here.stdout


@pytest.mark.ray
@pytest.mark.full
def test_a_ladder_says_the_same_on_a_cluster(two_nodes: TwoNodes) -> None:
    asked = ["scale", "--models", "simulated/1b,simulated/70b", "--limit", "20", "--format", "json"]
    here = cotkit(*asked, "--log-dir", "here")
    there = cotkit(*asked, "--log-dir", "there", *on(two_nodes))
    assert here.returncode == there.returncode == 0, here.stderr + there.stderr
    assert there.stdout == here.stdout


def weights(folder: str) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in Path(folder).rglob("*.safetensors")}


@pytest.mark.ray
@pytest.mark.full
def test_trainings_are_spread_over_a_cluster_to_the_same_bytes_even_after_ctrl_c(
    two_nodes: TwoNodes,
) -> None:
    pytest.importorskip("accelerate")
    asked = ["lab", "train", "pocket", "--sizes", "smallest,next", "--steps", "30"]
    asked += ["--save-every", "5", "--device", "cpu", "--out"]
    here = cotkit(*asked, "here")
    assert here.returncode == 0, here.stderr
    running = subprocess.Popen(
        [sys.executable, "-m", "cotkit", *asked, "there", *on(two_nodes)],
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not list(Path("there").glob("*/checkpoint.pt")):
        assert running.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130, said
    assert said.splitlines()[-1].startswith("cotkit: interrupted; what was saved is kept"), said
    assert len(weights("there")) < 2
    assert not [one for one in Path("there").iterdir() if one.name.startswith(".")]
    assert '"interrupted"' in "".join(p.read_text() for p in Path("there").glob("*/log.jsonl"))
    done = cotkit(*asked, "there", *on(two_nodes))
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.split()) == ["there/pocket-3k-seed1", "there/pocket-6k-seed1"]
    assert ": step 30 of 30, loss" in done.stderr
    assert weights("there") == weights("here")
    assert len(weights("here")) == 2


@pytest.mark.ray
def test_a_node_dies_in_the_middle_and_only_what_was_in_flight_is_made_again(
    two_nodes: TwoNodes,
) -> None:
    """Last, since the cluster has one node less afterwards."""
    asked = [*COMPARE, *SLOW, "--limit", "100"]
    here = cotkit(*asked, "--log-dir", "here")
    command = [*asked, "--log-dir", "there", *on(two_nodes), "--log-level", "info"]
    with Path("notices").open("w+") as notices:
        running = subprocess.Popen(
            [sys.executable, "-m", "cotkit", *command],
            stdout=subprocess.PIPE,
            stderr=notices,
            text=True,
        )
        deadline = time.monotonic() + 60
        ready = "a worker of the cluster is ready"
        while Path("notices").read_text().count(ready) < 2 or completions("there") < 60:
            assert running.poll() is None, "only one worker has begun"
            assert time.monotonic() < deadline
            time.sleep(0.02)
        victim = next(iter(two_nodes.worker_nodes))
        two_nodes.remove_node(victim, allow_graceful=False)
        out, _ = running.communicate(timeout=120)
    said = Path("notices").read_text()
    assert running.returncode == 0, said
    assert out == here.stdout
    again = re.search(r"a worker of the cluster was lost: (\d+) requests are sent again", said)
    assert again is not None, said
    assert int(again[1]) <= 2 * 8  # two shards of what the model takes at once
    assert completions("there") == completions("here")
    resumed = cotkit(*asked, "--log-dir", "there")  # a lost driver resumes like this, anywhere
    assert "every attempt is in the store" in resumed.stderr
    assert resumed.stdout == out


def session_processes(folder: str) -> set[int]:
    """Return processes that have a file of a cluster open, other than its guard."""
    ids: set[int] = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(str(link.readlink()).startswith(folder) for link in (process / "fd").iterdir()):
                ids.add(int(process.name))
        except OSError:
            continue
    return ids


@pytest.mark.ray
@pytest.mark.full
@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="Linux only")
def test_a_killed_driver_leaves_no_process_of_the_cluster_that_it_began(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    asked = [*COMPARE, *SLOW, "--limit", "150", "--log-dir", str(tmp_path)]
    command = [
        sys.executable,
        "-m",
        "cotkit",
        *asked,
        "--executor",
        "ray",
        "--ray-address",
        "local",
    ]
    with (tmp_path / "notices").open("w+") as notices:
        driver = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=notices)
        deadline = time.monotonic() + 90
        while completions(str(tmp_path)) < 8:
            assert driver.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        driver.kill()
        driver.wait()
    folder = re.search(r"its logs are in (\S+)", (tmp_path / "notices").read_text())
    assert folder is not None
    assert Path(folder[1]).is_dir()
    while session_processes(folder[1]):
        assert time.monotonic() < deadline + 30
        time.sleep(0.2)


@pytest.mark.ray
@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("127.0.0.1:1", "no Ray cluster at 127.0.0.1:1"),
        ("nonsense", "no Ray cluster at nonsense"),
        ("ray://127.0.0.1:1", "not HOST:PORT, auto or local"),
    ],
)
def test_a_cluster_that_is_not_there_is_one_line(address: str, says: str) -> None:
    pytest.importorskip("ray")
    done = cotkit(*COMPARE, *SLOW, "--executor", "ray", "--ray-address", address)
    assert done.returncode in {2, 69}
    assert says in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_ray_options_without_ray_are_refused() -> None:
    done = cotkit(*COMPARE, *SLOW, "--ray-workers", "2")
    assert (done.returncode, "--executor ray" in done.stderr) == (2, True)


def test_without_ray_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from cotkit.executors.ray_workers import connect_ray

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingDependencyError, match=r"cotkit\[ray\]"):
        connect_ray("auto", print)


class Nodes:
    """Stands in for the module: only what it says of its nodes is asked."""

    def __init__(self, *resources: dict[str, float]) -> None:
        self.resources = resources

    def nodes(self) -> Iterator[Mapping[str, object]]:
        yield from ({"Alive": True, "Resources": one} for one in self.resources)


def model(backend: str, device: str) -> BackendInfo:
    return BackendInfo(backend=backend, model="m-7b", fingerprint="f", settings={"device": device})


@pytest.mark.parametrize(
    ("nodes", "info", "wanted", "gpus", "found"),
    [
        ([{"CPU": 8, "GPU": 4}, {"CPU": 8, "GPU": 4}], model("hf", "cuda"), None, 1, (8, 1, 1)),
        ([{"CPU": 8, "GPU": 3}, {"CPU": 8, "GPU": 4}], model("hf", "cuda"), None, 2, (3, 1, 2)),
        ([{"CPU": 8, "GPU": 1}], model("hf", "cuda"), None, 0.5, (2, 1, 0.5)),
        ([{"CPU": 8}, {"CPU": 4}], model("hf", "cpu"), None, 1, (3, 4, 0)),
        ([{"CPU": 8}, {"CPU": 4}], model("openai", ""), None, 1, (2, 1, 0)),
        ([{"CPU": 8}, {"CPU": 4}], model("openai", ""), 5, 1, (5, 1, 0)),
    ],
)
def test_how_many_workers_fit(
    nodes: list[dict[str, float]],
    info: BackendInfo,
    wanted: int | None,
    gpus: float,
    found: tuple[int, float, float],
) -> None:
    n, needs = workers_for(Nodes(*nodes), info, wanted, gpus)
    assert (n, needs.cpus, needs.gpus) == found


@pytest.mark.parametrize(
    ("nodes", "wanted", "says"),
    [
        ([{"CPU": 8}], None, "m-7b needs 2 GPU on one node for each copy, 1 in all"),
        ([{"CPU": 8, "GPU": 1}, {"CPU": 8, "GPU": 1}], None, "has 2 GPUs on 2 nodes"),
        ([{"CPU": 8, "GPU": 4}], 3, "3 in all, and the cluster has 4 GPUs on 1 nodes"),
    ],
)
def test_too_few_gpus_says_which_model_needs_what(
    nodes: list[dict[str, float]], wanted: int | None, says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        workers_for(Nodes(*nodes), model("hf", "cuda"), wanted, 2)


def test_a_job_that_fits_no_node_is_refused() -> None:
    with pytest.raises(UsageError, match="a job needs 1 CPU and 2 GPU of one node, and none of"):
        ray._check_room(Nodes({"CPU": 8, "GPU": 1}, {"CPU": 8}), WorkerNeeds(cpus=1, gpus=2))
    ray._check_room(Nodes({"CPU": 8, "GPU": 2}), WorkerNeeds(cpus=1, gpus=2))


def test_a_folder_that_a_node_does_not_see_is_named(tmp_path: Path) -> None:
    def do(job: object, report: object) -> object:
        raise AssertionError(job, report)

    class Told:
        def put(self, what: object) -> None: ...

    found = ray._run_job(do, "job", Told(), tmp_path / "mark")
    assert isinstance(found, Failure)
    assert f"{tmp_path} is not the same folder on every node" in str(found.error())


def test_workers_share_one_limit() -> None:
    class Hosted:
        max_connections = 10
        requests_per_minute = 90.0
        tokens_per_minute = None

    args = {"max-connections": "10", "requests_per_minute": "90", "timeout_s": "5"}
    assert share_limits(args, Hosted(), 3) == {
        "timeout_s": "5",
        "max_connections": "3",
        "requests_per_minute": "30.0",
    }


@pytest.mark.parametrize(
    "error",
    [
        AccessError("no key", hint="set it"),
        MissingDependencyError("torch", "hf"),
        TransientError("busy"),
    ],
)
def test_an_error_arrives_as_it_left(error: CotkitError) -> None:
    if isinstance(error, TransientError):
        error.answered = {2: Completion(text="a", stop_reason="stop")}
    arrived = Failure.of(error).error()
    assert type(arrived) is type(error)
    assert str(arrived) == str(error)
    assert getattr(arrived, "answered", {}) == getattr(error, "answered", {})
