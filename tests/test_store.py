"""The store: what goes in comes out, a broken file is named, two writers do not lose anything."""

from __future__ import annotations

import math
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from cotkit.errors import StoreError, UsageError
from cotkit.identity import backend_key, completion_key, request_key
from cotkit.store import AttemptRow, Place, Store, sqlite
from cotkit.types import BackendInfo, Completion, Decoding, Message, Reading, Request

INFO = BackendInfo(backend="b", model="m", fingerprint="f", settings={"dtype": "x"}, n_params=7)
REQUEST = Request(
    messages=(Message(role="user", content="Q é 'quoted' \x00"),),
    decoding=Decoding(max_tokens=3, stop=("\n", "Q:"), stop_after="x", temperature=0.1, seed=4),
)
COMPLETION = Completion(
    text="a\u2028b", stop_reason="length", n_prompt_tokens=3, n_generated_tokens=None, seconds=0.1
)
ROW = AttemptRow(
    arm="cot",
    problem_id="p/1",
    outcome="wrong",
    text="t",
    gold="1/3",
    readings={"strict": Reading(value=None, rule="none"), "flexible": Reading(value="2", rule="x")},
    correct_by={"strict": False, "flexible": True},
    truncated=True,
    n_calls=2,
    n_prompt_tokens=None,
    n_generated_tokens=5,
    seconds=0.25,
    n_steps=None,
    cluster="c",
)


@pytest.fixture
def store(place: Place) -> Store:
    opened = Store(place)
    opened.put_backend(backend_key(INFO), INFO)
    opened.start_run("run1", '{"x":1}', backend_key(INFO))
    return opened


def put(store: Store, sample: int = 0, completion: Completion = COMPLETION) -> str:
    content = request_key(REQUEST)
    store.put_completion(backend_key(INFO), content, REQUEST, sample, completion)
    return completion_key(backend_key(INFO), content, sample)


def test_what_goes_in_comes_out(store: Store) -> None:
    keys = [put(store, sample) for sample in (0, 3)]
    store.put_attempt("run1", 0, ROW, [keys, keys[1:]])
    assert store.completion(keys[0]) == COMPLETION
    assert store.completion("nothing") is None
    assert store.attempts("run1") == [ROW]
    assert store.run_backend("run1") == (backend_key(INFO), INFO)
    first, second = store.turns("run1", "cot", "p/1")
    assert first.request == replace(REQUEST, samples=(0, 3))
    assert first.completions == (COMPLETION, COMPLETION)
    assert second.request.samples == (3,)


def test_the_first_completion_under_a_key_stays_and_is_what_its_writer_gets(store: Store) -> None:
    key = put(store)
    other = replace(COMPLETION, text="other")
    content = request_key(REQUEST)
    assert store.put_completion(backend_key(INFO), content, REQUEST, 0, other) == COMPLETION
    assert store.completion(key) == COMPLETION


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE theirs (x)")
    with pytest.raises(StoreError, match="another program's"):
        Store(path)
    with sqlite3.connect(path) as db:
        assert [row[0] for row in db.execute("SELECT name FROM sqlite_master")] == ["theirs"]


OPENER = """
import sys
from pathlib import Path
from cotkit.store import Store
Store(sys.argv[1] if "://" in sys.argv[1] else Path(sys.argv[1]))
"""


def test_many_first_openers_at_once_all_get_in(place: Place) -> None:
    openers = [subprocess.Popen([sys.executable, "-c", OPENER, str(place)]) for _ in range(6)]
    assert [opener.wait(60) for opener in openers] == [0] * 6


def test_a_failed_attempt_is_replaced(store: Store) -> None:
    store.put_attempt("run1", 0, replace(ROW, outcome="failed", readings={}, correct_by={}), [])
    store.put_attempt("run1", 0, ROW, [])
    assert store.attempts("run1") == [ROW]


def test_attempts_come_back_in_plan_order(store: Store) -> None:
    for position in (2, 0, 1):
        store.put_attempt("run1", position, replace(ROW, problem_id=f"p/{position}"), [])
    assert [row.problem_id for row in store.attempts("run1")] == ["p/0", "p/1", "p/2"]


def test_runs_are_found_by_how_they_begin(store: Store) -> None:
    store.start_run("run2", "{}", backend_key(INFO))
    store.end_run("run2", "complete")
    assert {run.id: run.status for run in store.runs()} == {"run1": "running", "run2": "complete"}
    assert store.run("run2").status == "complete"
    with pytest.raises(UsageError, match="2 runs 'run'"):
        store.run("run")
    with pytest.raises(UsageError, match="no run 'x'"):
        store.run("x")


def test_what_is_no_store_is_named(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    path.write_text("this is not a database, but it is long enough to be looked at by SQLite")
    with pytest.raises(StoreError, match="is not a cotkit store"):
        Store(path)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="choose another --log-dir"):
        Store(tmp_path / "file" / "s.db")


def test_a_store_of_a_newer_cotkit_is_refused(tmp_path: Path) -> None:
    Store(tmp_path / "s.db").__exit__()
    with sqlite3.connect(tmp_path / "s.db") as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="newer cotkit"):
        Store(tmp_path / "s.db")


def test_a_locked_store_says_who_is_to_blame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_S", 0.05)
    Store(tmp_path / "s.db").__exit__()
    other = sqlite3.connect(tmp_path / "s.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with (
        pytest.raises(StoreError, match="another process is writing"),
        Store(tmp_path / "s.db") as second,
    ):
        second.put_backend("k", INFO)


WRITER = """
import sys
from pathlib import Path
from tests.test_store import COMPLETION, REQUEST
from cotkit.store import Store
with Store(sys.argv[1] if "://" in sys.argv[1] else Path(sys.argv[1])) as store:
    for i in range(int(sys.argv[3])):
        store.put_completion("b", sys.argv[2], REQUEST, i, COMPLETION)
"""


def write_at_once(place: Place, n_writers: int, n_each: int) -> None:
    """Processes that write different completions; all of them must be there afterwards."""
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(place), name, str(n_each)])
        for i in range(n_writers)
        for name in [f"request-{i}"]
    ]
    assert [writer.wait(600) for writer in writers] == [0] * n_writers
    with Store(place) as store:
        for i in range(n_writers):
            keys = [completion_key("b", f"request-{i}", sample) for sample in range(n_each)]
            assert [store.completion(key) for key in keys] == [COMPLETION] * n_each


def test_many_writers_at_once_lose_nothing(place: Place) -> None:
    write_at_once(place, 8, 60)


def test_writers_of_the_same_completions_make_one_of_each(place: Place) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(place), "same", "60"]) for _ in range(4)
    ]
    assert [writer.wait(60) for writer in writers] == [0] * 4
    with Store(place) as store:
        key = completion_key("b", "same", 59)
        assert store.completion(key) == COMPLETION


def test_numbers_and_replies_come_without_the_rest(store: Store) -> None:
    ids = ["p/b", "p/B", "p/é", "p/a", "p/10", "p/9"]
    for position, one in enumerate(ids):
        row = replace(ROW, problem_id=one, metrics={"steps_right": position / 2})
        store.put_attempt("run1", position, row, [])
    store.put_attempt("run1", 9, replace(ROW, problem_id="p/x", outcome="failed"), [])
    columns = store.columns("run1", "cot")
    assert columns.problem_ids == tuple(sorted([*ids, "p/x"]))  # by code point in every database
    at = columns.problem_ids.index("p/9")
    assert columns.correct[at] == 0
    assert columns.metrics["steps_right"][at] == 2.5
    failed = columns.problem_ids.index("p/x")
    assert math.isnan(columns.correct[failed])
    assert math.isnan(columns.seconds[failed])
    replies = list(store.replies("run1", "cot", "flexible"))
    assert [reply.reading for reply in replies] == [Reading(value="2", rule="x")] * len(ids)
    assert [reply.reading for reply in store.replies("run1", "cot", "other")] == [None] * len(ids)
    assert store.arms("run1") == ["cot"]
    assert store.n_done("run1") == len(ids)


@pytest.mark.parametrize("text", ["\x00", "a\x00b\ue000c", "\ue0000", "\ue0001\x00", "100 % ? %s"])
def test_any_text_comes_back_as_it_was(store: Store, text: str) -> None:
    row = replace(ROW, text=text, error=text, readings={}, correct_by={})
    store.put_attempt("run1", 0, row, [])
    assert store.attempts("run1") == [row]
