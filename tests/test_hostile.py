"""Programs of a hostile model, through the real sandbox on this kernel, with and without root.

Where the kernel gives no wall these tests are skipped, and say so; that cotkit then refuses is
tested everywhere.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import cotkit
from cotkit.errors import UsageError
from cotkit.report.document import UNWALLED
from cotkit.run import sandbox
from cotkit.run.sandbox import Wall, make_sandbox
from cotkit.types import Completion, Execute
from tests.attack import fill, needs_wall, why_no
from tests.conftest import REPOSITORY
from tests.hostile_programs import PROGRAMS, SECRET

ALL = {program.kind for program in PROGRAMS}
NO_ROOT = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
"""Runs a command as a user without any privilege, who still owns the files of this one."""


def run_code(code: str, kind: str) -> Completion:
    async def run() -> Completion:
        return await make_sandbox(allowed=True, kind=kind)(Execute(code=code, timeout_s=0.5))

    return asyncio.run(run())


def attack(kind: str, folder: Path, names: list[str], *prefix: str) -> dict[str, Any]:
    fill(folder)
    command = [*prefix, sys.executable, "-m", "tests.attack", kind, str(folder), json.dumps(names)]
    ended = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "COTKIT_SECRET": SECRET},
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@needs_wall
@pytest.mark.parametrize(
    ("kind", "user", "kinds"),
    [
        ("kernel", "this user", ALL),
        ("kernel", "a user without root", {"golds", "keys"}),
        pytest.param("kernel", "a user without root", ALL, marks=pytest.mark.full),
        pytest.param("bwrap", "this user", ALL, marks=pytest.mark.full),
        pytest.param("bwrap", "a user without root", ALL, marks=pytest.mark.full),
    ],
)
def test_no_hostile_program_gets_what_it_wants(
    kind: str, user: str, kinds: set[str], tmp_path: Path
) -> None:
    if reason := why_no(kind):
        pytest.skip(reason)
    prefix = [] if user == "this user" or os.geteuid() else NO_ROOT
    if prefix and (
        not shutil.which("unshare") or subprocess.run([*prefix, "true"], check=False).returncode
    ):
        pytest.skip("ONLY TRIED AS ROOT: this kernel lets nobody be another user")
    outside = [Path("/dev/shm"), Path("/tmp"), Path("/etc/cron.d")]
    before = json.dumps([[p.name for p in f.glob("cotkit-x*")] for f in outside])
    names = [program.name for program in PROGRAMS if program.kind in kinds]
    assert len(names) == len(set(names)) >= (60 if kinds == ALL else 20)
    ours = attack(kind, tmp_path, names, *prefix)
    assert len(ours["results"]) == len(names)
    escaped = {
        name: result
        for name, result in ours["results"].items()
        if any(word in str(result) for word in ("ESCAPED", SECRET, "lighthouse lamp"))
    }
    assert escaped == {}
    assert (ours["connections"], ours["victim"]) == (0, True)
    assert (tmp_path / "canary").read_text() == SECRET
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == [".env", "a.zip", "canary", "logs", "module.py", "socket"]
    assert before == json.dumps([[p.name for p in f.glob("cotkit-x*")] for f in outside])


@needs_wall
@pytest.mark.parametrize("share", [3, pytest.param(1, marks=pytest.mark.full)])
def test_without_a_wall_most_of_them_do(tmp_path: Path, share: int) -> None:
    """What shows that the test above can fail: the same programs, by the same way."""
    names = [program.name for program in PROGRAMS if program.escapes]
    assert len(names) > 60
    names = names[::share]
    results = attack("none", tmp_path, names)["results"]
    assert [name for name in names if "ESCAPED" not in results[name][0]] == []


def thief(prompt: str) -> str:
    """Answer with a program that looks its question up among cotkit's own gold answers."""
    question = prompt.rpartition("Q: ")[2].partition("\n")[0].strip()
    return f"""```python
def solution():
    json = print.__self__.__import__('json')
    for line in open({str(REPOSITORY / "benchmarks/gsm-mini/problems.v1.jsonl")!r}):
        row = json.loads(line)
        if row['question'] == {question!r}:
            return row['answer']
```"""


def solve_with(log_dir: Path, kind: str) -> cotkit.Comparison:
    return cotkit.compare(
        thief,
        "program-aided",
        bench="gsm-mini",
        limit=5,
        log_dir=log_dir,
        run_unsafe_code=True,
        sandbox=kind,
    )


@needs_wall
def test_gold_answers_are_out_of_reach_and_the_caption_says_where_they_are_not(
    tmp_path: Path,
) -> None:
    by_arm = {cell.arm: cell.outcomes for cell in solve_with(tmp_path / "walled", "kernel").cells}
    assert by_arm["program-aided"].get("correct", 0) == 0
    open_run = solve_with(tmp_path / "open", "none")
    assert {cell.arm: cell.outcomes for cell in open_run.cells}["program-aided"]["correct"] == 5
    assert UNWALLED in " ".join(cotkit.render(open_run, "table").split())
    assert json.loads(cotkit.render(open_run, "json"))["sandbox"] == "none"
    walled = solve_with(tmp_path / "open", "kernel")  # of the same store: another run
    assert walled.run_id != open_run.run_id
    assert UNWALLED not in " ".join(cotkit.render(walled, "table").split())


def test_where_nothing_gives_a_wall_code_is_refused_before_anything_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def model(prompt: str) -> str:
        calls.append(prompt)
        return "x"

    def no_wall(kind: str) -> tuple[Wall | None, str]:
        return None, f"{kind}: Function not implemented"

    monkeypatch.setattr(sandbox, "_try_wall", no_wall)
    with pytest.raises(UsageError, match=r"nothing here keeps code .* --sandbox none"):
        cotkit.compare(
            model,
            "program-aided",
            bench="gsm-mini",
            limit=3,
            log_dir=tmp_path,
            run_unsafe_code=True,
        )
    assert calls == []
    with pytest.raises(UsageError, match="kernel: Function not implemented"):
        run_code("print(1)", "kernel")
    cotkit.compare(model, "cot", bench="gsm-mini", limit=3, log_dir=tmp_path, run_unsafe_code=True)
    assert calls  # no code, no wall needed


@pytest.mark.parametrize("walls", ["landlock+seccomp", "seccomp"])
def test_a_helper_without_its_walls_never_reads_the_code(walls: str, tmp_path: Path) -> None:
    """The kernel is made to refuse what raises a wall, by a seccomp filter around the helper."""
    starter = tmp_path / "starter.py"
    starter.write_text(
        "import ctypes, os, struct, sys\n"
        "def step(*s): return struct.pack('=HBBI', *s)\n"
        "refused = [444, 317, 277, 157, 167]\n"  # Landlock, seccomp, prctl
        "code = step(0x20, 0, 0, 0)\n"
        "for n in refused: code += step(0x15, 0, 1, n) + step(6, 0, 0, 0x50000 | 38)\n"
        "code += step(6, 0, 0, 0x7fff0000)\n"
        "filters = ctypes.create_string_buffer(code)\n"
        "program = struct.pack('@HP', len(code) // 8, ctypes.addressof(filters))\n"
        "c = ctypes.CDLL(None); c.prctl(38, 1, 0, 0, 0)\n"
        "assert c.prctl(22, 2, ctypes.create_string_buffer(program)) == 0\n"
        "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])\n"
    )
    helper = Path(sandbox.__file__).with_name("_jail.py")
    command = (sys.executable, str(starter), "-I", "-S", str(helper))
    wall = Wall(kind="kernel", command=command, walls=walls)
    code = Execute(code=f"open({str(tmp_path / 'escaped')!r}, 'w')")
    with pytest.raises(UsageError, match="--sandbox kernel does not work here: prctl 38"):
        asyncio.run(sandbox._run_code(wall, code))
    assert not (tmp_path / "escaped").exists()


@pytest.mark.parametrize("kind", ["jail", "docker:", "kernel:image", ""])
def test_an_unknown_sandbox_is_one_line(kind: str) -> None:
    with pytest.raises(UsageError, match="auto, bwrap, kernel, docker, podman, none"):
        cotkit.compare(thief, "cot", bench="gsm-mini", sandbox=kind)


@needs_wall
def test_a_daemon_that_holds_the_pipes_does_not_hold_up_a_run_without_a_wall() -> None:
    code = "import os, time\nif os.fork() == 0:\n os.setsid(); time.sleep(9)\nelse: print(1)"
    started = time.monotonic()
    ended = run_code(code, "none")
    assert time.monotonic() - started < 8
    assert ended.error == "killed after 0.5 s"
