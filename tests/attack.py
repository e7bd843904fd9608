"""Run the hostile programs through a sandbox: ``python -m tests.attack KIND FOLDER NAMES``.

The process is what the programs call their parent: it works in FOLDER, its environment holds the
secret, and a store is open in it. Prints JSON: program -> [what it printed, why it ended], and how
many connections its servers got.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sqlite3
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from cotkit.errors import UsageError
from cotkit.run.sandbox import find_wall, make_sandbox
from cotkit.types import Execute
from tests.conftest import REPOSITORY
from tests.hostile_programs import ENDLESS, PROGRAMS, SECRET, Program, Targets

TIMEOUT_S = {"kernel": 2.0, "bwrap": 2.0, "none": 30.0}
ENDLESS_S = 0.5  # of a program that does nothing but take time


def why_no(kind: str) -> str:
    """Return why a sandbox does not work here; empty: it works."""
    try:
        find_wall(kind)
    except UsageError as missing:
        return str(missing)
    return ""


NO_WALL = why_no("kernel")
needs_wall = pytest.mark.skipif(bool(NO_WALL), reason=f"THE KERNEL GIVES NO WALL: {NO_WALL}")


def fill(folder: Path) -> None:
    """Write what there is to steal."""
    (folder / "logs").mkdir()
    (folder / "canary").write_text(SECRET)
    (folder / ".env").write_text(f"OPENAI_API_KEY={SECRET}\n")
    (folder / "module.py").write_text(f"gold = {SECRET!r}\n")
    (folder / "a.zip").write_bytes(b"PK\5\6" + bytes(18))
    with sqlite3.connect(folder / "logs" / "cotkit.db") as store:
        store.execute("create table golds (gold)")
        store.execute("insert into golds values (?)", (SECRET,))


async def attack(kind: str, targets: Targets, names: set[str]) -> dict[str, list[str | None]]:
    """Return what each program printed, and why it ended."""
    run = make_sandbox(allowed=True, kind=kind)

    async def try_program(program: Program) -> list[str | None]:
        timeout_s = ENDLESS_S if program.name in ENDLESS else TIMEOUT_S[kind]
        completion = await run(Execute(code=program.source(targets), timeout_s=timeout_s))
        return [completion.text, completion.error]

    programs = [program for program in PROGRAMS if program.name in names]
    results = await asyncio.gather(*map(try_program, programs))
    return {program.name: result for program, result in zip(programs, results, strict=True)}


def main(kind: str, folder: str, names: str) -> None:
    os.chdir(folder)
    open_store = sqlite3.connect("logs/cotkit.db")
    open_store.execute("select * from golds").fetchall()
    victim = subprocess.Popen(["sleep", "600"], stdin=subprocess.DEVNULL, start_new_session=True)
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as local:
        local.bind("socket")
        local.listen()
        targets = Targets(
            PARENT=os.getpid(),
            VICTIM=victim.pid,
            CANARY=f"{folder}/canary",
            FOLDER=folder,
            PORT=tcp.getsockname()[1],
            SOCKET=f"{folder}/socket",
            STORE=f"{folder}/logs/cotkit.db",
            BENCHMARK=str(REPOSITORY / "benchmarks/gsm-mini/problems.v1.jsonl"),
            REPOSITORY=str(REPOSITORY),
            SITE=sysconfig.get_path("purelib"),
        )
        results = asyncio.run(attack(kind, targets, set(json.loads(names))))
        n_connections = 0
        for server in (tcp, local):
            server.setblocking(False)
            try:
                server.accept()
                n_connections += 1
            except BlockingIOError:
                pass
    is_victim_alive = victim.poll() is None
    victim.kill()
    victim.wait()
    json.dump(
        {"results": results, "connections": n_connections, "victim": is_victim_alive}, sys.stdout
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
