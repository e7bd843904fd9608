"""What leaves the store: Parquet that DuckDB reads, and logs that come back as they were."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from typer.testing import CliRunner

from cotkit import compare
from cotkit.analysis.scale.grid import ArmOutcomes
from cotkit.cli import app
from cotkit.errors import CotkitError, TransientError, UsageError
from cotkit.interop.inspect_.export import write_inspect
from cotkit.interop.ladders import read_sources
from cotkit.interop.lm_eval.export import write_lm_eval
from cotkit.interop.parquet import COLUMNS, write_parquet
from cotkit.interop.stored import StoredRun
from cotkit.store import AttemptRow, Store
from tests.conftest import REPOSITORY, Sums

DB = Path("logs/cotkit.db")


def query(text: str) -> list[tuple[Any, ...]]:
    with duckdb.connect() as db:
        return db.execute(text).fetchall()


def a_run(n: int = 12, strategy: str = "cot") -> str:
    compare("simulated/7b", strategy, bench="gsm-mini", limit=n)
    with Store(DB) as store:
        return store.runs()[0].id


def expected(rows: list[AttemptRow], arm: str) -> list[float]:
    return [float(row.outcome == "correct") for row in rows if row.arm == arm]


def test_parquet_has_a_row_for_each_attempt_and_the_schema_that_is_documented() -> None:
    run = a_run()
    with Store(DB) as store:
        rows = store.attempts(run)
        assert write_parquet([StoredRun.load(store, run)], Path("a.parquet")) == len(rows) == 24
    columns = "SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM 'a.parquet')"
    words = {"VARCHAR": "string", "INTEGER": "int32", "BIGINT": "int64", "BOOLEAN": "bool"}
    found = {
        name: re.sub("|".join(words), lambda hit: words[hit[0]], kind.replace("DOUBLE", "double"))
        for name, kind in query(columns)
    }
    assert {name: re.sub(r"MAP\((.*)\)", r"map<\1>", kind) for name, kind in found.items()} == (
        COLUMNS
    )
    page = (REPOSITORY / "docs" / "foreign.md").read_text(encoding="utf-8")
    row_of_schema = r"^\| `(\w+)` \| ((?:string|int\d+|double|bool|map|list)[\w<>, ]*) \|"
    assert re.findall(row_of_schema, page, re.MULTILINE) == list(COLUMNS.items())
    rates: dict[str, float] = dict(
        query("SELECT arm, avg(correct::INT) FROM 'a.parquet' GROUP BY arm")
    )
    assert rates == {arm: np.mean(expected(rows, arm)) for arm in ("cot", "few-shot")}
    (first,) = query(
        "SELECT problem_id, outcome, readings['flexible'], metrics['edit_similarity'], n_params, "
        "n_generated_tokens, gold FROM 'a.parquet' LIMIT 1"
    )
    row = rows[0]
    assert first == (
        row.problem_id,
        row.outcome,
        row.readings["flexible"].value,
        row.metrics["edit_similarity"],
        7_000_000_000,
        row.n_generated_tokens,
        row.gold,
    )


@pytest.mark.parametrize("strategy", ["cot", "self-consistency:k=3", "self-review"])
def test_what_goes_to_lm_eval_comes_back_the_same(strategy: str, tmp_path: Path) -> None:
    run = a_run(strategy=strategy)
    with Store(DB) as store:
        rows = store.attempts(run)
        write_lm_eval(StoredRun.load(store, run), tmp_path / "out")
    (ladder,) = read_sources([f"lm-eval:{tmp_path / 'out'}"])
    assert ladder.grid.bench == "gsm-mini"
    (rung,) = ladder.grid.rungs
    assert (rung.n_params, rung.family) == (7_000_000_000, "simulated")
    for arm in {row.arm for row in rows}:
        cell = ladder.grid.cells["simulated-7b", arm]
        assert isinstance(cell, ArmOutcomes)
        assert cell.correct.tolist() == expected(rows, arm)
        assert cell.metrics["edit_similarity"].tolist() == [
            row.metrics["edit_similarity"] for row in rows if row.arm == arm
        ]
    by_strict = read_sources([f"lm-eval:{tmp_path / 'out'},filter=strict"])[0].grid.cells
    cell = by_strict["simulated-7b", strategy]
    assert isinstance(cell, ArmOutcomes)
    assert cell.correct.tolist() == [
        float(row.correct_by["strict"]) for row in rows if row.arm == strategy
    ]


def test_what_goes_to_inspect_comes_back_the_same(tmp_path: Path) -> None:
    run = a_run()
    with Store(DB) as store:
        rows = store.attempts(run)
        files = write_inspect(StoredRun.load(store, run), tmp_path / "out")
    assert len(files) == 2
    (ladder,) = read_sources([f"inspect:{tmp_path / 'out'}"])
    assert ladder.grid.problem_ids == tuple(
        dict.fromkeys(row.problem_id for row in rows if row.arm == rows[0].arm)
    )
    for arm in ("cot", "few-shot"):
        cell = ladder.grid.cells["simulated-7b", arm]
        assert isinstance(cell, ArmOutcomes)
        assert cell.correct.tolist() == expected(rows, arm)
        assert cell.tokens is not None
        assert cell.tokens.tolist() == [
            (row.n_prompt_tokens or 0) + (row.n_generated_tokens or 0)
            for row in rows
            if row.arm == arm
        ]


def test_a_log_of_inspect_holds_the_talk_and_every_readers_score(tmp_path: Path) -> None:
    run = a_run(n=2)
    with Store(DB) as store:
        (cot,) = [
            path
            for path in write_inspect(StoredRun.load(store, run), tmp_path)
            if "-cot_" in path.name
        ]
    log = json.loads(cot.read_text(encoding="utf-8"))
    assert (log["version"], log["status"]) == (2, "success")
    order = ["version", "status", "eval", "plan", "results", "stats", "samples"]
    assert list(log) == order, "Inspect reads headers as a stream"
    sample = log["samples"][0]
    assert sample["messages"][-1]["role"] == "assistant"
    assert sample["output"]["choices"][0]["stop_reason"] == "stop"
    assert next(iter(sample["scores"])) == "flexible"
    assert set(sample["scores"]) > {"strict", "lm-eval-strict"}
    assert log["results"]["scores"][0]["metrics"]["accuracy"]["value"] == pytest.approx(
        np.mean([one["scores"]["flexible"]["value"] == "C" for one in log["samples"]])
    )


def fails_on_one(prompt: str) -> str:
    if "What is 3 plus 9?" in prompt and "step" not in prompt:
        raise TransientError("no answer to three")
    return " The answer is 2."


def test_a_failed_attempt_is_a_hole_and_never_wrong(tmp_path: Path) -> None:
    compare(fails_on_one, "zero-shot-cot", bench=Sums(n=4))
    with Store(DB) as store:
        taken = StoredRun.load(store, store.runs()[0].id)
        failed = [row.problem_id for row in store.attempts(taken.run_id) if row.outcome == "failed"]
        assert len(failed) >= 1
        write_inspect(taken, tmp_path / "inspect")
        write_lm_eval(taken, tmp_path / "lm")
        write_parquet([taken], tmp_path / "a.parquet")
        n_failed = len(failed)
    for source in (f"inspect:{tmp_path / 'inspect'}", f"lm-eval:{tmp_path / 'lm'}"):
        (ladder,) = read_sources([source])
        holes = sum(
            int(np.isnan(cell.correct).sum())
            for cell in ladder.grid.cells.values()
            if isinstance(cell, ArmOutcomes)
        )
        assert holes == n_failed, source
    n_null = f"SELECT count(*) FROM '{tmp_path / 'a.parquet'}' WHERE correct IS NULL"
    assert query(n_null) == [(n_failed,)]


def test_equal_runs_leave_equal_bytes(tmp_path: Path) -> None:
    run = a_run(n=3)
    with Store(DB) as store:
        for folder in ("a", "b"):
            for write in (write_inspect, write_lm_eval):
                write(StoredRun.load(store, run), tmp_path / folder)
    first, second = (
        {
            path.relative_to(tmp_path / of): path.read_bytes()
            for path in (tmp_path / of).rglob("*.json*")
        }
        for of in ("a", "b")
    )
    assert first == second
    assert len(first) == 5


def test_the_command_writes_and_says_what(tmp_path: Path) -> None:
    run = a_run(n=2)
    done = CliRunner().invoke(
        app,
        ["export", run[:6], "--parquet", "a.parquet", "--to", "lm-eval:lm", "--to", "inspect:in"],
    )
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[0] == "a.parquet: 4 attempts"
    assert all(Path(line).is_file() for line in lines[1:])
    assert len(lines) == 6


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["RUN"], "export to what?"),
        (["RUN", "--to", "wandb:x"], "--to wandb:x?"),
        (["RUN", "--to", "lm-eval"], "--to lm-eval:?"),
        (["ffff", "--to", "lm-eval:x"], "no run 'ffff'"),
        (["RUN", "--parquet", "no/such/a.parquet"], "cannot write no/such/a.parquet"),
        (["RUN", "--to", "inspect:file"], "cannot write file"),
        (["RUN", "--to", "inspect:x", "--log-dir", "nowhere"], "no store at nowhere/cotkit.db"),
    ],
)
def test_a_wrong_word_is_one_line(arguments: list[str], said: str) -> None:
    run = a_run(n=1)
    Path("file").write_text("in the way", encoding="utf-8")
    done = CliRunner().invoke(app, ["export", *(run if a == "RUN" else a for a in arguments)])
    assert isinstance(done.exception, UsageError)
    assert said in str(done.exception)


def test_without_pyarrow_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    run = a_run(n=1)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with Store(DB) as store, pytest.raises(CotkitError, match=r"pip install 'cotkit\[data\]'"):
        write_parquet([StoredRun.load(store, run)], Path("a.parquet"))
