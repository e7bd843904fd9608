"""MLflow and Weights & Biases, really: in an environment of their own (``make interop``)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import cotkit
from cotkit.errors import MissingDependencyError, UsageError
from cotkit.events import Event, RunStarted
from cotkit.trackers import track_events
from tests.conftest import Cotkit
from tests.interop_tools import TRACKERS, call, python_of, run_in

RUN = ["-m", "cotkit", "compare", "--model", "simulated/70b", "--strategy", "cot:temperature=0.5"]
READ_MLFLOW = """
import os
from mlflow import MlflowClient
client = MlflowClient(tracking_uri=sys.argv[1])
experiment = client.get_experiment_by_name("mine").experiment_id
result([[r.info.run_name, r.info.status, r.data.params, r.data.metrics, r.data.tags]
        for r in client.search_runs([experiment])])
"""
READ_WANDB = """
import glob, struct
from wandb.proto import wandb_internal_pb2
BLOCK, HEADER, WHOLE, LAST = 32768, 7, 1, 4

def records(data):  # LevelDB's log: blocks of chunks (checksum, length, kind) after 7 bytes of name
    at, parts = 7, []
    while at + HEADER <= len(data):
        left = BLOCK - at % BLOCK
        if left < HEADER:
            at += left
            continue
        length, kind = struct.unpack("<4xHB", data[at : at + HEADER])
        parts.append(data[at + HEADER : at + HEADER + length])
        at += HEADER + length
        if kind in (WHOLE, LAST):
            yield b"".join(parts)
            parts = []

[path] = glob.glob(sys.argv[1] + "/wandb/offline-run-*/*.wandb")
summary, config, name = {}, {}, None
for data in records(open(path, "rb").read()):
    record = wandb_internal_pb2.Record()
    record.ParseFromString(data)
    if record.HasField("run"):
        name = record.run.display_name
        config |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
    for item in record.summary.update:
        summary["/".join(item.nested_key) or item.key] = json.loads(item.value_json)
result([name, config, summary])
"""


@pytest.mark.interop
def test_mlflow_keeps_settings_rates_gains_and_how_it_ended(tmp_path: Path) -> None:
    python = python_of(TRACKERS)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    tracked = ["--limit", "30", "--track", f"mlflow:experiment=mine,uri={uri}"]
    call([python, *RUN, *tracked, "--log-dir", tmp_path])
    [[name, status, params, metrics, tags]] = run_in(python, READ_MLFLOW, uri)
    assert (len(name), status) == (12, "FINISHED")
    assert params["model"] == "simulated-70b"
    assert params["arms"] == "few-shot cot:temperature=0.5"
    assert metrics["done"] == 60
    arm = "cot:temperature_0.5"
    gain = metrics[f"solve_rate/{arm}"] - metrics["solve_rate/few-shot"]
    assert metrics[f"gain/{arm} over few-shot"] == pytest.approx(gain)
    assert tags[f"verdict/{arm}"] == "helps"


@pytest.mark.interop
def test_wandb_offline_keeps_the_same(tmp_path: Path) -> None:
    python = python_of(TRACKERS)
    tracked = ["--limit", "30", "--track", f"wandb:mode=offline,folder={tmp_path}"]
    call([python, *RUN, *tracked, "--log-dir", tmp_path])
    name, config, summary = run_in(python, READ_WANDB, tmp_path)
    assert len(name) == 12
    assert config["model"] == "simulated-70b"
    assert summary["done"] == 60
    assert summary["verdict/cot:temperature=0.5"] == "helps"


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_without_the_package_one_line_names_the_extra(
    name: str, command: Cotkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, name, None)
    ended = command("compare", "--model", "simulated/70b", "--limit", "2", "--track", name)
    assert ended.code == MissingDependencyError.exit_code
    assert ended.err == f"cotkit: {name} is not installed (run: pip install 'cotkit[{name}]')\n"


def test_a_tracker_that_cannot_begin_is_one_line(tmp_path: Path) -> None:
    plugin = tmp_path / "broken.py"
    plugin.write_text(
        "from dataclasses import dataclass\n"
        "@dataclass\nclass Broken:\n"
        "    def __post_init__(self):\n        raise RuntimeError('no server\\nmore')\n"
        "    def record(self, event):\n        pass\n    def close(self):\n        pass\n"
    )
    with (
        pytest.raises(UsageError, match=r"cannot begin: RuntimeError: no server$"),
        track_events(lambda _: None, [str(plugin)]),
    ):
        pass


def test_totals_of_a_run_and_of_the_next_one(tmp_path: Path) -> None:
    from cotkit.trackers._totals import RunTotals

    totals: list[RunTotals] = []
    values: list[dict[str, float]] = []

    def take(event: Event) -> None:
        if isinstance(event, RunStarted):
            totals.append(RunTotals())
        values.append(totals[-1].add(event) if totals else {})

    options: dict[str, Any] = {"log_dir": tmp_path, "on_event": take, "limit": 20}
    comparison = cotkit.compare("simulated/70b", "cot", "gsm-mini", **options)
    numbers = {name: value for part in values for name, value in part.items()}
    for cell in comparison.cells:
        assert numbers[f"solve_rate/{cell.arm}"] == cell.solve_rate
    assert numbers["gain_low/cot over few-shot"] == comparison.verdicts[0].gain.interval.low
    assert (numbers["done"], numbers["failed"]) == (40, 0)
