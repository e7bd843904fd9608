"""A PostgreSQL server of our own, on loopback, in a temporary folder; Debian's package is enough.

The server refuses to run as root, so there it runs as the user that the package made.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Generator
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from urllib.parse import quote

USER = "writer"
PASSWORD = "s3cret:p@ss/%w"
_DEBIAN = Path("/usr/lib/postgresql")
_SPEED = "-c fsync=off -c full_page_writes=off -c max_connections=40"


def why_not() -> str | None:
    """Why there can be no server here; None: there can."""
    if _binary("initdb") is None or _binary("pg_ctl") is None:
        return "no initdb and pg_ctl: apt-get install postgresql"
    if find_spec("psycopg") is None:
        return "psycopg is not installed: pip install 'cotkit[postgres]'"
    if os.geteuid() == 0 and _other_user() is None:
        return "PostgreSQL does not run as root and there is no user postgres or nobody"
    return None


@dataclass(kw_only=True)
class Postgres:
    """A server that can be stopped and started again."""

    folder: Path
    port: int
    _numbers: count[int] = field(default_factory=lambda: count(1))

    def new_database(self, encoding: str = "UTF8") -> str:
        """URL of an empty database."""
        import psycopg

        name = f"db{next(self._numbers)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as admin:
            admin.execute(
                f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' "
                "LC_COLLATE 'C' LC_CTYPE 'C'".encode()
            )
        return self.url(name)

    def url(self, database: str, password: str = PASSWORD) -> str:
        """URL of a database, there or not."""
        return f"postgresql://{USER}:{quote(password, safe='')}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -k {self.folder} {_SPEED}"
        log = str(self.folder / "log")
        self._pg_ctl("start", "-w", "-l", log, "-o", options)

    def stop(self) -> None:
        """As a power cut does: every connection is cut off."""
        self._pg_ctl("stop", "-m", "immediate")

    def _pg_ctl(self, *command: str) -> None:
        _run("pg_ctl", "-D", str(self.folder / "data"), *command)


@contextlib.contextmanager
def server() -> Generator[Postgres]:
    """A running server, gone with its folder in the end."""
    with tempfile.TemporaryDirectory(prefix="cotkit-pg-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        if (user := _other_user()) is not None:
            shutil.chown(folder, user)
        password = folder / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        made = ("--auth=scram-sha-256", f"--username={USER}", f"--pwfile={password}")
        _run("initdb", "-D", str(folder / "data"), "--no-sync", "--encoding=UTF8", *made)
        postgres = Postgres(folder=folder, port=_free_port())
        postgres.start()
        try:
            yield postgres
        finally:
            with contextlib.suppress(subprocess.CalledProcessError):  # a test may have stopped it
                postgres.stop()


def _run(name: str, *arguments: str) -> None:
    binary = _binary(name)
    assert binary is not None
    with tempfile.TemporaryFile() as said:  # not a pipe: the server would hold it open
        done = subprocess.run(
            [binary, *arguments], user=_other_user(), cwd="/", stdout=said, stderr=said, check=False
        )
        said.seek(0)
        if done.returncode:
            raise subprocess.CalledProcessError(done.returncode, name, said.read())


def _binary(name: str) -> str | None:
    """Debian keeps them off the PATH, one folder for each version."""
    found = sorted(_DEBIAN.glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]))
    return str(found[-1]) if found else shutil.which(name)


def _other_user() -> str | None:
    if os.geteuid() != 0:
        return None
    known = {user.pw_name for user in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in known), None)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]
