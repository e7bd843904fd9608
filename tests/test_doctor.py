"""What ``cotkit doctor`` prints of a tiny model, and that reports quote it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the hf extra is not installed")
pytest.importorskip("transformers", reason="the hf extra is not installed")

from typer.testing import CliRunner

import cotkit
from cotkit.backends.hf import Hf
from cotkit.backends.hf import scheduler as schedule
from cotkit.cli import app
from cotkit.run.flips import Flips, load_flips, save_flips
from tests.tiny_model import build_tiny_model


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COTKIT_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return build_tiny_model(tmp_path / "model", context_tokens=16_384)


def test_doctor_reports_and_a_report_quotes_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[int] = []
    add = schedule.Scheduler.add

    def counted(self: schedule.Scheduler, rows: list[object]) -> None:
        passes.extend([len(rows)] if rows else [])
        add(self, rows)  # pyright: ignore[reportArgumentType] - handed on

    monkeypatch.setattr(schedule.Scheduler, "add", counted)
    asked = ["doctor", "--model", str(folder), "--dtype", "float32", "--device", "cpu"]
    done = CliRunner().invoke(app, [*asked, "--problems", "3", "--max-tokens", "6"])
    assert done.exit_code == 0, done.output
    assert passes[:9] == [1, *[1] * 6, 3, 3], "one to load, twice one by one, twice at once"
    lines = done.stdout.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("asked"))
    table = [re.split(r" {2,}", line) for line in lines[start : start + 5]]
    assert [row[0] for row in table[1:]] == [
        "one by one",
        "one by one again",
        "at once",
        "at once again",
    ]
    assert [row[2] for row in table[1:]] == ["0 of 3"] * 4
    assert "GB" in lines[start + 5]
    formats = {row[0]: row for row in (re.split(r" {2,}", line) for line in lines[start + 6 :])}
    assert set(formats) == {"format", "float32", "bfloat16", "int8", "q4"}
    assert float(formats["float32"][3]) == 0
    assert float(formats["int8"][3]) != 0, "rounding loses or gains something"
    assert formats["q4"][1:] == ["not this model"]
    assert "q4 needs linear layers" in done.stderr

    compared = cotkit.compare(
        model=str(folder),
        model_args={"dtype": "float32", "device": "cpu"},
        limit=2,
        generation={"max_tokens": "4"},
        log_dir=tmp_path / "logs",
    )
    assert any("0 of 3 answers changed" in note for note in compared.notes)


def test_a_measurement_is_of_one_setting(folder: Path, cache: Path) -> None:
    info = Hf(model=str(folder), dtype="float32").info
    assert load_flips(info) is None
    save_flips(info, Flips(n_flipped=1, n_problems=16))
    save_flips(replace(info, model="other"), Flips(n_flipped=2, n_problems=16))
    assert load_flips(info) == Flips(n_flipped=1, n_problems=16)
    assert load_flips(Hf(model=str(folder), dtype="bfloat16").info) is None
    (cache / "flips.json").write_text("spoilt")
    assert load_flips(info) is None


def test_doctor_is_for_local_models() -> None:
    done = CliRunner().invoke(app, ["doctor", "--model", "simulated/70b"])
    assert "not a local model" in str(done.exception)
