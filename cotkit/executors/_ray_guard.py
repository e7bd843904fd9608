"""End what is left of a Ray cluster once the process that began it is gone.

Run as a script, ``python -I -S _ray_guard.py FOLDER``; imports nothing of cotkit. FOLDER is the
session of the cluster. Its stdin is a pipe that the process holds open for as long as it lives: the
pipe's end is its death, however it died. Ray's own processes notice that after a minute or not.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

_GIVE_UP_S = 30.0
_LOOK_S = 0.5


def _session_processes(folder: str) -> set[int]:
    """Return the ids of processes that have a file of the session open, and of all below them."""
    parents: dict[int, int] = {}
    ids: set[int] = set()
    for process in Path("/proc").glob("[0-9]*"):
        number = int(process.name)
        with contextlib.suppress(OSError):  # it has just ended, or is another user's
            stat = (process / "stat").read_text(errors="replace")
            parents[number] = int(stat.rpartition(")")[2].split()[1])
            files = [str(link.readlink()) for link in (process / "fd").iterdir()]
            if any(file.startswith(f"{folder}/") for file in files):
                ids.add(number)
    while children := {child for child, parent in parents.items() if parent in ids} - ids:
        ids |= children
    return ids - {os.getpid()}


def _main() -> None:
    folder = str(Path(sys.argv[1]).resolve())
    while os.read(0, 1):  # nothing is ever sent: it returns when the pipe ends
        pass
    deadline = time.monotonic() + _GIVE_UP_S
    while (ids := _session_processes(folder)) and time.monotonic() < deadline:
        for number in ids:
            with contextlib.suppress(OSError):
                os.kill(number, signal.SIGKILL)
        time.sleep(_LOOK_S)


if __name__ == "__main__":
    _main()
