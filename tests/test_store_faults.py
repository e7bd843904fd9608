"""What may happen to a store while it is open: nothing is lost, and a sentence says so."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from cotkit.errors import StoreError, UsageError
from cotkit.identity import backend_key, completion_key, request_key
from cotkit.store import BatchLedger, Place, Store, claims
from cotkit.store.database import migration_scripts
from cotkit.store.recovery import check_store, recover_store
from cotkit.store.store import open_database
from tests.fake_api import FakeApi
from tests.test_kill import SIMULATED, finish, n_stored, start, wait_for
from tests.test_store import COMPLETION, INFO, REQUEST, put


def cotkit(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cotkit", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


# Deleted, moved, replaced or cut short while it is open.


def delete(path: Path) -> None:
    path.unlink()


def delete_folder(path: Path) -> None:
    shutil.rmtree(path.parent)


def move_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("moved"))


def replace_file(path: Path) -> None:
    other = path.with_name("other.db")
    Store(other).__exit__()
    other.replace(path)


def delete_log(path: Path) -> None:
    Path(f"{path}-wal").unlink()


def delete_index(path: Path) -> None:
    Path(f"{path}-shm").unlink()


DELETIONS = [delete, delete_folder, move_folder, replace_file, delete_log, delete_index]


@pytest.mark.parametrize("fault", DELETIONS)
def test_what_was_written_to_a_lost_file_is_saved(
    tmp_path: Path, fault: Callable[[Path], None]
) -> None:
    path = tmp_path / "logs" / "s.db"
    key = completion_key(backend_key(INFO), request_key(REQUEST), 5)
    with Store(path) as store:
        store.put_backend(backend_key(INFO), INFO)
        keys = [*(put(store, sample) for sample in range(5)), key]
        fault(path)
        with pytest.raises(StoreError, match="while it was open") as lost:
            put(store, 5)
    saved = re.search(r"saved as (\S+) \(move it to", str(lost.value))
    assert saved is not None
    with Store(Path(saved[1])) as kept:
        assert [kept.completion(key) for key in keys] == [COMPLETION] * 6
    assert check_store(Path(saved[1])).problems == ()


def test_a_file_that_is_lost_after_the_last_write_is_saved_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    store = Store(path)
    put(store)
    path.unlink()
    with pytest.raises(StoreError, match="saved as"):
        store.__exit__()


def test_who_only_reads_is_not_disturbed(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    Store(path).__exit__()
    with Store(path) as store:
        path.unlink()
        assert store.runs() == []
        assert store.runs() == []
    assert not list(tmp_path.glob("*saved*"))


def test_a_file_that_is_cut_short_ends_the_run(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with Store(path) as store:
        for sample in range(50):
            put(store, sample)
        store._db.rows("PRAGMA wal_checkpoint(TRUNCATE)")
        put(store, 50)
        os.truncate(path, 0)
        with pytest.raises(StoreError, match=r"cut short|damaged"):
            put(store, 51)


def test_a_file_that_another_program_compacts_is_not_lost(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with Store(path) as store:
        for sample in range(200):
            put(store, sample)
        with sqlite3.connect(path) as other:
            other.execute("DELETE FROM completion WHERE sample > 0")
        other.execute("VACUUM")
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        other.close()
        put(store, 7)
    assert check_store(path).problems == ()


def test_a_run_whose_store_is_deleted_stops_and_pays_for_nothing_twice(tmp_path: Path) -> None:
    whole, _ = finish(SIMULATED, tmp_path / "whole")
    folder = tmp_path / "logs"
    process = start(SIMULATED, folder)
    wait_for(folder, 20, process)
    shutil.rmtree(folder)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 74, err
    assert "Traceback" not in err
    saved = re.search(r"saved as (\S+) \(move it to", err)
    assert saved is not None, err
    (tmp_path / saved[1]).rename(folder / "cotkit.db")
    n_saved = n_stored(folder)
    assert n_saved >= 20
    out, err = finish(SIMULATED, folder)
    assert out == whole
    assert f"{125 - n_saved} completions made" in err


def test_a_batch_whose_store_is_gone_is_named(tmp_path: Path) -> None:
    ledger = BatchLedger(place=tmp_path / "s.db")
    ledger.intend("k1", provider="p", backend="b", calls=[{0: "c0"}])
    (tmp_path / "s.db").unlink()
    with pytest.raises(StoreError, match="batch_77"):
        ledger.submitted("k1", "batch_77")


# Damaged.


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a run of 60 attempts, and what the command printed."""
    folder = tmp_path_factory.mktemp("run") / "logs"
    command = ["compare", "--model", "simulated/70b", "--limit", "30", "--log-dir", str(folder)]
    done = cotkit(*command)
    assert done.returncode == 0, done.stderr
    (folder / "answer").write_text(done.stdout)
    return folder


PAGE = 4096


def zero_pages(data: bytearray) -> None:
    for page in range(9, len(data) // PAGE, 11):
        data[page * PAGE : (page + 1) * PAGE] = bytes(PAGE)


def scramble_pages(data: bytearray) -> None:
    for page in range(5, len(data) // PAGE, 13):
        data[page * PAGE : (page + 1) * PAGE] = bytes(i * 7 % 251 for i in range(PAGE))


def cut_in_half(data: bytearray) -> None:
    del data[len(data) // 2 :]


def scramble_header(data: bytearray) -> None:
    data[:PAGE] = b"x" * PAGE


def change_one_letter(data: bytearray) -> None:
    place = data.index(b'"temperature":0.0')
    data[place + 14 : place + 17] = b"0.9"


DAMAGES = [zero_pages, scramble_pages, cut_in_half, scramble_header]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_store_is_recovered_page_by_page(
    run_folder: Path, tmp_path: Path, damage: Callable[[bytearray], None]
) -> None:
    path = tmp_path / "logs" / "cotkit.db"
    shutil.copytree(run_folder, path.parent)
    data = bytearray(path.read_bytes())
    damage(data)
    path.write_bytes(data)
    assert check_store(path).problems
    result = recover_store(path)
    assert check_store(path).problems == ()
    assert result.damaged.read_bytes() == data
    assert result.counts["completion"] >= 20
    command = [
        "compare",
        "--model",
        "simulated/70b",
        "--limit",
        "30",
        "--log-dir",
        str(path.parent),
    ]
    done = cotkit(*command)
    assert done.stdout == (run_folder / "answer").read_text()
    n_made = 60 - result.counts["completion"]
    assert (f"{n_made} completions made" if n_made else "all from the store") in done.stderr


def test_the_command_line_names_the_damage_and_the_way_out(
    run_folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "logs" / "cotkit.db"
    shutil.copytree(run_folder, path.parent)
    whole = cotkit("store", "check")
    assert whole.stdout == "logs/cotkit.db: 60 completions, 1 runs, 60 attempts: whole\n"
    refused = cotkit("store", "recover")
    assert (refused.returncode, "is whole" in refused.stderr) == (2, True)
    data = bytearray(path.read_bytes())
    zero_pages(data)
    path.write_bytes(data)
    done = cotkit("store", "check")
    assert (done.returncode, "cotkit store recover --log-dir logs" in done.stderr) == (74, True)
    path.write_bytes(data[: 3 * PAGE] + b"x" * (len(data) - 3 * PAGE))
    done = cotkit("compare", "--model", "simulated/70b", "--limit", "30")
    assert (done.returncode, "cotkit store recover --log-dir logs" in done.stderr) == (74, True)
    path.write_bytes(data)
    done = cotkit("store", "recover", "--to", "elsewhere")
    assert done.returncode == 0, done.stderr
    assert path.read_bytes() == data
    assert cotkit("store", "check", "--log-dir", "elsewhere").returncode == 0


def test_rows_that_do_not_fit_their_keys_are_found(run_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    shutil.copy(run_folder / "cotkit.db", path)
    with sqlite3.connect(path) as db:
        db.execute("UPDATE completion SET sample = 5 WHERE key = (SELECT max(key) FROM completion)")
    assert any("not what its key names" in problem for problem in check_store(path).problems)
    assert recover_store(path).counts["completion"] == 59


def test_nothing_is_made_of_what_never_was_a_store(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    path.write_bytes(b"this is another program's file" * 1000)
    with pytest.raises(StoreError, match="nothing of a cotkit store"):
        recover_store(path)
    assert [each.name for each in tmp_path.iterdir()] == ["s.db"]
    Store(tmp_path / "whole.db").__exit__()
    with pytest.raises(UsageError, match="is whole"):
        recover_store(tmp_path / "whole.db")


# In a place that can only be read.


def read_only(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command where a folder is mounted so that nobody, root included, can write to it."""
    mount = f"mount --bind {folder} {folder} && mount -o remount,ro,bind {folder} && exec"
    quoted = " ".join(command)
    shell = ["unshare", "-m", "sh", "-c", f"{mount} {sys.executable} -m cotkit {quoted}"]
    return subprocess.run(shell, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize("state", ["closed", "killed", "older"])
def test_a_store_in_a_read_only_place_can_be_read(
    run_folder: Path, tmp_path: Path, state: str
) -> None:
    if subprocess.run(["unshare", "-m", "true"], check=False).returncode:
        pytest.skip("no mount namespace for us here")
    folder = tmp_path / "ro"
    shutil.copytree(run_folder, folder)
    run = cotkit("list", "runs", "--log-dir", str(folder)).stdout
    if state == "killed":  # what was committed last lies beside the file
        code = (
            "import os, sys; from pathlib import Path; from cotkit.store import Store\n"
            f"store = Store(Path({str(folder / 'cotkit.db')!r}))\n"
            "store._db.rows('PRAGMA wal_autocheckpoint = 0')\n"
            "store.end_run(store.runs()[0].id, 'incomplete'); os._exit(0)"
        )
        subprocess.run([sys.executable, "-c", code], check=True)
        (folder / "cotkit.db-shm").unlink()
        assert (folder / "cotkit.db-wal").stat().st_size
        run = run.replace("  complete  ", "  incomplete  ")
    if state == "older":
        with sqlite3.connect(folder / "cotkit.db") as db:
            db.executescript("DROP TABLE claim; DROP TABLE claimant;")
            db.execute(f"PRAGMA user_version = {len(migration_scripts()) - 1}")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    listed = read_only(folder, "list", "runs", "--log-dir", str(folder))
    assert listed.stdout.split() == run.split() or state == "killed", listed.stderr
    assert ("incomplete" in listed.stdout) == (state == "killed"), listed.stderr
    compare = ["compare", "--model", "simulated/7b", "--limit", "5", "--log-dir", str(folder)]
    written = read_only(folder, *compare)
    assert written.returncode == 74
    assert "can only be read" in written.stderr
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


# Shared by equal commands at once.


def test_equal_commands_at_once_ask_for_nothing_twice(tmp_path: Path) -> None:
    with FakeApi(latency_s=0.1) as api:
        settings = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": f"{api.url}/v1"}
        command = [sys.executable, "-m", "cotkit", "compare", "--model", "openai/gpt-4o-mini"]
        runs = [
            subprocess.Popen(
                [*command, "--limit", "40"],
                env=os.environ | settings,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(3)
        ]
        said = [run.communicate(timeout=120) for run in runs]
    assert [run.returncode for run in runs] == [0] * 3, said
    assert len({out for out, _ in said}) == 1
    assert set(Counter(seen.content for seen in api.seen).values()) == {1}
    assert len(api.seen) == 80
    with Store(tmp_path / "logs" / "cotkit.db") as store:
        assert store._db.rows("SELECT * FROM claim") == []
        assert store._db.rows("SELECT * FROM claimant") == []


def test_what_a_killed_command_was_making_is_made_at_once(tmp_path: Path) -> None:
    slow = ["--model", "simulated/70b", "--model-args", "latency_s=60", "--limit", "5"]
    folder = tmp_path / "logs"
    killed = start(slow, folder)
    deadline = time.monotonic() + 30
    while True:
        if (folder / "cotkit.db").exists():
            with sqlite3.connect(folder / "cotkit.db") as db:
                names = [row[0] for row in db.execute("SELECT name FROM sqlite_master")]
                if "claim" in names and db.execute("SELECT count(*) FROM claim").fetchone()[0]:
                    break
        assert time.monotonic() < deadline
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    with Store(folder / "cotkit.db") as store:
        rows = store._db.rows("SELECT completion FROM claim")
        keys = [row[0] for row in rows]
        assert store.claims.take(keys) == set()
        assert store.claims.ended(keys) == set(keys)
        assert store.claims.take(keys) == set(keys)


def test_a_claim_ends_with_its_completion_its_release_or_its_claimant(place: Place) -> None:
    now = 0.0
    first, second = (open_database(place) for _ in range(2))
    one, other = claims.Claims(first), claims.Claims(second, clock=lambda: now)
    assert one.take(["a", "b", "c"]) == {"a", "b", "c"}
    assert other.take(["b", "c", "d"]) == {"d"}
    assert other.ended(["a", "b"]) == set()
    one.release(["a"])
    assert other.ended(["a", "b"]) == {"a"}
    one._name = "elsewhere:1:2:x"
    one.beat()
    assert one.take(["e"]) == {"e"}
    assert other.ended(["e"]) == set()
    now = claims.LEASE_S
    one.beat()
    assert other.ended(["e"]) == set()
    now = 1.9 * claims.LEASE_S
    assert other.ended(["e"]) == set()
    now = 2.1 * claims.LEASE_S
    assert other.ended(["e"]) == {"e"}
    assert other.take(["e"]) == {"e"}
    with Store(place) as store:
        store.put_backend("b", INFO)
        store.put_completion("b", request_key(REQUEST), REQUEST, 0, COMPLETION)
    first.close()
    second.close()
