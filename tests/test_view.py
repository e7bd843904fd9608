"""``cotkit view``: every run listed and opened, the store untouched, nothing else served."""

from __future__ import annotations

import http.client
import shutil
import sqlite3
import threading
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import pytest

from cotkit.cli.run_pages import RunPages, make_server
from cotkit.errors import StoreError
from cotkit.store import STORE_NAME, Place, Store
from tests.conftest import Cotkit

CASES = Path(__file__).parent / "cases"
RUN = ("compare", "--bench", "gsm-mini", "--limit", "20", "--display", "none")
EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture
def store(command: Cotkit) -> Path:
    """Two runs: one that helps, one that is undecided."""
    for size in ("70b", "1b"):
        assert command(*RUN, "--model", f"simulated/{size}").code == 0
    return Path("logs", STORE_NAME)


def plant(store: Path, run_id: str, spec: str) -> None:
    with closing(sqlite3.connect(store)) as db, db:
        db.execute(
            "INSERT INTO run SELECT ?, ?, backend, status, created_utc, ?, content "
            "FROM run LIMIT 1",
            (run_id, spec, f"2020-01-01T00:00 {EVIL}"),
        )


def test_every_run_is_listed_with_its_answer_and_opens_its_report(
    command: Cotkit, store: Path
) -> None:
    before = store.read_bytes()
    done = command("view", "--out", "pages")
    assert (done.code, done.out) == (0, "pages/index.html\n")
    assert store.read_bytes() == before
    index = Path("pages/index.html").read_text()
    assert "cot helps</a>: +" in index
    assert "simulated/70b" in index
    assert '<p class="verdict quiet">undetermined</p>' in index
    reports = sorted(Path("pages").glob("run-*.html"))
    assert len(reports) == 2
    assert all(f'href="{report.name}"' in index for report in reports)
    assert all('href="index.html"' in report.read_text() for report in reports)
    assert 'http-equiv="refresh"' not in index


def test_a_file_of_another_kind_is_not_written_over(command: Cotkit, store: Path) -> None:
    Path("pages").mkdir()
    Path("pages/index.html").write_text("my notes")
    done = command("view", "--out", "pages")
    assert done.code == 2
    assert "is there and is no HTML page" in done.err
    assert Path("pages/index.html").read_text() == "my notes"


def test_what_a_stranger_wrote_into_a_store_is_text_and_stops_no_other_run(
    command: Cotkit, store: Path
) -> None:
    plant(
        store, "../../x'\"" + EVIL, f'{{"model": "{EVIL}", "bench": "b", "strategies": ["{EVIL}"]}}'
    )
    plant(store, "garbage", EVIL)
    plant(store, "empty", "[]")
    assert command("view", "--out", "pages").code == 0
    index = Path("pages/index.html").read_text()
    assert "<img" not in index
    assert "5 runs" in index
    assert "cot helps" in index
    assert sorted(path.name[:4] for path in Path().rglob("*.html")) == ["inde", "run-", "run-"]


def test_answers_are_read_beside_the_list_and_remembered(store: Path) -> None:
    pages = RunPages(place=store)
    with pages._lock:  # nothing can be read meanwhile
        unread = pages.index()
    assert unread.count("is being read") == 2
    assert 'http-equiv="refresh"' in unread
    complete = whole_index(pages)
    assert "is being read" not in complete
    assert 'http-equiv="refresh"' not in complete
    assert pages.index() == complete


def whole_index(pages: RunPages) -> str:
    """The list once all is read."""
    pages.index()
    if pages._reader is not None:
        pages._reader.join()
    return pages.index()


@pytest.fixture
def served(store: Path) -> Generator[int]:
    pages = RunPages(place=store)
    with make_server(pages, 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        assert server.server_address[0] == "127.0.0.1"
        yield server.server_address[1]
        server.shutdown()
        thread.join()
        whole_index(pages)  # leaves no thread behind


def ask(port: int, path: str, host: str | None = None, method: str = "GET") -> tuple[int, str]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.putrequest(method, path, skip_host=True)
        connection.putheader("Host", host or f"127.0.0.1:{port}")
        connection.endheaders()
        response = connection.getresponse()
        return response.status, response.read().decode()


def test_only_its_pages_are_served_and_only_to_this_machine(served: int, store: Path) -> None:
    with Store(store, reads_only=True) as opened:
        run = opened.run("last").id
    status, index = ask(served, "/", f"localhost:{served}")
    assert (status, "cot" in index) == (200, True)
    status, report = ask(served, f"/run-{run}.html")
    assert (status, "Content-Security-Policy" in report) == (200, True)
    assert ask(served, "/index.html?x=1", method="HEAD") == (200, "")
    for host in ("evil.example", f"evil.example:{served}", "127.0.0.1", f"127.0.0.1:{served + 1}"):
        assert ask(served, "/", host)[0] == 421
    for path in (
        "/../logs/cotkit.db",
        "/logs/cotkit.db",
        "//etc/passwd",
        "/%2e%2e/x",
        "/run-.html",
    ):
        assert ask(served, path)[0] == 404
    assert ask(served, "/", method="POST")[0] == 501


def test_a_store_of_an_older_version_is_read_from_a_copy(tmp_path: Path) -> None:
    old = tmp_path / "old" / STORE_NAME
    old.parent.mkdir()
    shutil.copyfile(CASES / "store-0.1.db", old)
    assert "run" in whole_index(RunPages(place=old))
    assert old.read_bytes() == (CASES / "store-0.1.db").read_bytes()


def test_a_store_opened_to_be_read_takes_nothing(place: Place) -> None:
    with Store(place) as writer:
        writer.start_run("abc", "{}", "backend")
        with Store(place, reads_only=True) as store:
            writer.start_run("abd", "{}", "backend")
            assert {run.id for run in store.runs()} == {"abc", "abd"}
            with pytest.raises(StoreError):
                store.end_run("abc", "complete")
        assert {run.status for run in writer.runs()} == {"running"}
