"""A PostgreSQL store: as the file in every word, and what happens when the server is not there."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Generator
from pathlib import Path

import pytest

from cotkit.errors import StoreError, UsageError
from cotkit.identity import backend_key
from cotkit.store import Store, existing_place, mask_password, place_of, postgresql, store_option
from cotkit.store.batches import BatchLedger
from tests.postgres import PASSWORD, Postgres, server, why_not
from tests.test_store import INFO, put

COMPARE = ["compare", "--model", "simulated/70b", "--strategy", "cot,self-consistency:k=3"]
FORMAT = ["--limit", "30", "--format", "json", "--display", "plain"]


def cotkit(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cotkit", *arguments]
    env = os.environ | (env or {})
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env)


@pytest.fixture
def own_server() -> Generator[Postgres]:
    """A server that a test may stop."""
    if (why := why_not()) is not None:
        pytest.skip(why)
    with server() as running:
        yield running


def test_every_command_reads_and_writes_it(postgres: Postgres) -> None:
    url = postgres.new_database()
    there = cotkit(*COMPARE, *FORMAT, "--store", url)
    here = cotkit(*COMPARE, *FORMAT)
    assert (there.returncode, there.stdout) == (0, here.stdout)
    env = {"COTKIT_STORE": url}
    again = cotkit(*COMPARE, *FORMAT, env=env)
    assert "every attempt is in the store" in again.stderr
    assert again.stdout == there.stdout
    listed = cotkit("list", "runs", env=env).stdout
    assert listed.splitlines()[1].split()[0] in here.stderr
    run = listed.splitlines()[1].split()[0]
    for command in (
        ["show", "attempt", run, "cot", "gsm-mini/100"],
        ["export", run, "--parquet", "x.parquet"],
        ["resume", run, "--format", "json"],
        ["report", run, "--html", "x.html"],
        ["plan", *COMPARE[1:], "--limit", "30"],
    ):
        read = cotkit(*command, env=env)
        assert read.returncode == 0, read.stderr
        assert PASSWORD not in read.stdout + read.stderr
    scale = ["scale", "--family", "simulated", "--limit", "20", "--format", "json"]
    assert cotkit(*scale, env=env).stdout == cotkit(*scale).stdout
    assert not any(PASSWORD in one.stdout + one.stderr for one in (there, again))


def test_one_server_holds_other_programs_tables_too(postgres: Postgres) -> None:
    import psycopg

    url = postgres.new_database()
    with psycopg.connect(url) as db:
        db.execute("CREATE TABLE run (theirs TEXT)")
    with Store(url) as store:
        store.put_backend(backend_key(INFO), INFO)
        assert store.runs() == []


def test_a_store_of_a_newer_cotkit_is_refused(postgres: Postgres) -> None:
    import psycopg

    url = postgres.new_database()
    Store(url).__exit__()
    with psycopg.connect(url) as db:
        db.execute("INSERT INTO cotkit.migration VALUES (99)")
    with pytest.raises(StoreError, match="newer cotkit"):
        Store(url)


def test_a_database_that_cannot_hold_every_text_is_refused(postgres: Postgres) -> None:
    with pytest.raises(StoreError, match="LATIN1, not UTF8"):
        Store(postgres.new_database("LATIN1"))


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("postgresql://writer:s3cret@127.0.0.1:1/x", "cannot reach the store postgresql://writer:"),
        ("postgresql://writer:s3%zzcret@127.0.0.1/x", "cannot read the address"),
        ("postgresql://writer:s3cret@127.0.0.1:nine/x", "cannot re"),
        ("postgresql://127.0.0.1:1/x?user=writer&password=s3cret", "cannot reach the store"),
        ("mysql://writer:s3cret@127.0.0.1/x", "no store can be at mysql://writer:***@"),
    ],
)
def test_what_is_not_there_is_one_line_without_the_password(url: str, says: str) -> None:
    done = cotkit(*COMPARE, "--store", url)
    assert done.returncode == (2 if url.startswith("mysql") else 74)
    lines = [line for line in done.stderr.splitlines() if line.startswith("cotkit: ")]
    assert len(lines) == 1
    assert says in lines[0]
    assert "Traceback" not in done.stderr
    assert "cret" not in done.stdout + done.stderr


def test_a_wrong_password_is_said_and_not_shown(postgres: Postgres) -> None:
    url = postgres.url("postgres", password="wr0ng:@/")
    with pytest.raises(StoreError, match="password authentication failed") as refused:
        Store(url)
    assert "wr0ng" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("postgresql://u:p@h:1/d", "postgresql://u:***@h:1/d"),
        ("postgresql://u:p@ss:/w@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u@h/d?password=p&sslmode=require", None),
        ("postgresql:///d?host=%2Ftmp", "postgresql:///d?host=%2Ftmp"),
    ],
)
def test_a_password_is_never_shown(url: str, seen: str | None) -> None:
    seen = seen or "postgresql://u@h/d?password=***&sslmode=require"
    assert mask_password(url) == seen
    assert store_option(url) == f"--store '{seen}'"


def test_a_folder_is_a_file_in_it_and_a_url_is_itself() -> None:
    assert place_of("logs") == place_of(Path("logs")) == Path("logs/cotkit.db")
    assert existing_place("postgresql://h/d") == "postgresql://h/d"
    with pytest.raises(UsageError, match="no store at"):
        existing_place(Path("nowhere"))


def test_a_server_that_comes_back_loses_nothing(own_server: Postgres) -> None:
    with Store(own_server.new_database()) as store:
        store.put_backend(backend_key(INFO), INFO)
        first = put(store, 0)
        own_server.stop()
        back = threading.Timer(1.0, own_server.start)
        back.start()
        second = put(store, 1)  # waits for it
        back.join()
        assert store.completion(first) == store.completion(second) is not None


RUN = ["compare", "--model", "simulated/70b", "--model-args", "latency_s=0.02,max_concurrency=4"]
IMPATIENT = """
import sys
from cotkit.store import postgresql
postgresql.RETRY_WAITS_S = (0.1, 0.2)
from cotkit.cli import main
main()
"""


def test_a_server_that_stays_away_ends_the_run_with_everything_kept(own_server: Postgres) -> None:
    url = own_server.new_database()
    command = [*RUN, "--limit", "100", "--format", "json"]
    running = subprocess.Popen(
        [sys.executable, "-c", IMPATIENT, *command, "--store", url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    n_before = 0
    while n_before < 40:
        assert running.poll() is None
        n_before = n_completions(url)
    own_server.stop()
    _, said = running.communicate(timeout=60)
    assert running.returncode == 74
    assert "lost the store postgresql://writer:***@" in said
    assert "everything written so far is kept" in said
    assert "Traceback" not in said
    assert PASSWORD not in said
    own_server.start()
    assert n_completions(url) >= n_before
    done = cotkit(*command, "--store", url)
    assert done.returncode == 0, done.stderr
    assert done.stdout == cotkit(*command).stdout


def n_completions(url: str) -> int:
    import psycopg

    with psycopg.connect(url) as db:
        if db.execute("SELECT to_regclass('cotkit.completion')").fetchone() == (None,):
            return 0
        found = db.execute("SELECT count(*) FROM cotkit.completion").fetchone()
        return found[0] if found else 0


def test_batches_are_held_there_too(postgres: Postgres) -> None:
    ledger = BatchLedger(place=postgres.new_database())
    ledger.intend("k1", provider="p", backend="b", calls=[{0: "c0", 3: "c3"}, {0: "c1"}])
    ledger.intend("k2", provider="p", backend="b", calls=[{0: "c2"}])
    assert ledger.submitted("k1", "id1").calls == {0: {0: "c0", 3: "c3"}, 1: {0: "c1"}}
    assert [row.key for row in ledger.holding(["c2", "c3"])] == ["k2", "k1"]
    ledger.drop("k1", ["c3"])
    ledger.forget("k2")
    assert ledger.promised("b") == {"c0", "c1"}
    assert ledger.ids("p") == {"id1"}


def test_a_connection_that_was_cut_off_is_made_again(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psycopg

    monkeypatch.setattr(postgresql, "RETRY_WAITS_S", (0.01, 0.01))
    url = postgres.new_database()
    with Store(url) as store:
        store.put_backend(backend_key(INFO), INFO)
        with psycopg.connect(url, autocommit=True) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid != pg_backend_pid()"
            )
        key = put(store)
        assert store.completion(key) is not None
