"""The other process of the sandbox: limits itself, then runs the code that its stdin brings.

Run as a script, ``python -I -S -B _jail.py CPU_SECONDS MEMORY_BYTES``; imports nothing of cotkit.
Exit status 0: stdout holds the result. ``REFUSED``: stderr holds one sentence that says why not.
"""

from __future__ import annotations

import _thread
import contextlib
import os
import resource
import signal
import sys
from typing import NoReturn

REFUSED = 97
_write, _leave = os.write, os._exit  # the code may bind other things to these names
_ENDED_WITH_PARENT, _OWN_USERS, _OWN_NETWORK = 1, 0x10000000, 0x40000000  # prctl and unshare flags
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_HARMLESS = ("os.putenv", "os.unsetenv")
_DEEDS = (
    ("socket.", "open a socket"),
    ("subprocess.", "start a process"),
    ("os.fork", "start a process"),
    ("os.exec", "start a process"),
    ("os.posix_spawn", "start a process"),
    ("os.spawn", "start a process"),
    ("os.system", "start a process"),
    ("os.kill", "signal a process"),
    ("signal.", "signal a process"),
    ("ctypes.", "call C code"),
    ("resource.", "change its limits"),
    ("sys.addaudithook", "watch the interpreter"),
    ("os.", "use the file system"),
    ("shutil.", "use the file system"),
    ("tempfile.", "use the file system"),
    ("glob.", "use the file system"),
    ("pathlib.", "use the file system"),
)
"""Prefix of an audit event -> what the code tried; the first that fits."""
_CLOSED_MODULES = {
    **dict.fromkeys(("socket", "_socket", "ssl", "_ssl"), "open a socket"),
    **dict.fromkeys(("subprocess", "_posixsubprocess", "multiprocessing"), "start a process"),
    **dict.fromkeys(("_multiprocessing", "pty", "concurrent"), "start a process"),
    **dict.fromkeys(("ctypes", "_ctypes", "cffi", "_cffi_backend"), "call C code"),
}


def _refuse(reason: str) -> NoReturn:
    """End at once, so that no ``except`` of the code can hide it."""
    _write(2, reason[:300].encode(errors="replace"))
    _leave(REFUSED)
    raise AssertionError  # unreachable: _leave ends the process


def _limit(cpu_s: int, memory_bytes: int) -> None:
    """Processor time, address space, no file may grow, no core file, no further process."""
    for kind, most in (
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0),  # binds every user but root
    ):
        hard = resource.getrlimit(kind)[1]
        least = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (least, least))


def _leave_the_network() -> None:
    """A network name space without interfaces, where the kernel lets us; die with the parent."""
    with contextlib.suppress(ImportError, AttributeError, OSError):  # no ctypes, or not Linux
        import ctypes

        libc = ctypes.CDLL(None)
        libc.prctl(_ENDED_WITH_PARENT, signal.SIGKILL)
        if libc.unshare(_OWN_NETWORK) != 0:
            libc.unshare(_OWN_USERS | _OWN_NETWORK)
    for name in [name for name in sys.modules if name.lstrip("_").startswith("ctypes")]:
        del sys.modules[name]  # an import by the code is to be seen


def _guard() -> None:
    """Refuse what reaches beyond this process, at the first try. Cannot be taken off again."""
    library = tuple(f"{folder}/" for folder in sys.path if folder)

    def hook(event: str, given: tuple[object, ...]) -> None:
        if (deed := _deed(event, given, library)) is not None:
            _refuse(f"tried to {deed}")

    def no_thread(*_: object) -> NoReturn:
        _refuse("tried to start a thread")

    for name in ("start_new_thread", "start_new", "start_joinable_thread"):
        if hasattr(_thread, name):  # Python 3.11 has no audit event for it
            setattr(_thread, name, no_thread)
    sys.addaudithook(hook)


def _deed(event: str, given: tuple[object, ...], library: tuple[str, ...]) -> str | None:
    """What an audit event tells that code must not do; None: it may."""
    if event == "import":
        deed = _CLOSED_MODULES.get(str(given[0]).partition(".")[0])
        return deed and f"{deed} (import {given[0]})"
    if event == "open":
        path, _, flags = given
        writes = isinstance(flags, int) and bool(flags & _WRITES)
        return f"open the file {path!r}" if writes or not _may_be_read(path, library) else None
    if event in {"os.listdir", "os.scandir"} and _may_be_read(given[0], library):
        return None  # how an import finds its module
    if event in _HARMLESS:
        return None
    return next((f"{deed} ({event})" for prefix, deed in _DEEDS if event.startswith(prefix)), None)


def _may_be_read(path: object, library: tuple[str, ...]) -> bool:
    """In the standard library, or the ``<string>`` that a SyntaxError looks for."""
    if type(path) is not str:  # a subclass could lie
        return False
    is_inside = f"{path}/".startswith(library) and ".." not in path
    return is_inside or (path[:1] == "<" and path[-1:] == ">")


def _run(source: str, memory_bytes: int) -> None:
    try:
        exec(compile(source, "<code>", "exec"), {"__name__": "__main__"})  # noqa: S102 - the purpose
        sys.stdout.flush()
    except MemoryError:
        _refuse(f"used more than {memory_bytes // 2**20} MB")
    except SystemExit as left:
        if left.code not in {None, 0}:
            _refuse(f"exited with {left.code!r}")
        sys.stdout.flush()
    except SyntaxError as broken:
        place = f" in line {broken.lineno}" if broken.lineno else ""
        _refuse(f"syntax error{place}: {broken.msg}")
    except BaseException as raised:  # noqa: BLE001 - whatever the code raises is its result
        _refuse(_told(raised))


def _told(raised: BaseException) -> str:
    line, frame = None, raised.__traceback__
    while frame is not None:
        if frame.tb_frame.f_code.co_filename == "<code>":
            line = frame.tb_lineno
        frame = frame.tb_next
    said = " ".join(str(raised).split())
    return f"{type(raised).__name__} in line {line}" + (f": {said}" if said else "")


def _main() -> None:
    cpu_s, memory_bytes = int(sys.argv[1]), int(sys.argv[2])
    source = sys.stdin.buffer.read().decode()
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    sys.stderr = os.fdopen(nothing, "w")  # descriptor 2 is for our reason alone
    sys.argv = [""]
    _leave_the_network()
    _limit(cpu_s, memory_bytes)
    _guard()
    _run(source, memory_bytes)
    os._exit(0)  # no exit handlers


if __name__ == "__main__":
    _main()
