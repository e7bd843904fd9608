"""The other process of the sandbox: it limits itself, then runs the code from its stdin.

Run as a script, ``python -I -S -B _jail.py CPU_SECONDS MEMORY_BYTES``; imports nothing of cotkit.
Exit status 0: stdout holds the result. ``REFUSED``: stderr holds the reason, one sentence.

The functions that watch the code run in a namespace of their own, builtins included: the code can
reach the frames of this module, and could otherwise rebind a name that they use. They also call no
method of an object that the code may have made. This is no security boundary, see ``sandbox``.
"""

from __future__ import annotations

import _thread
import builtins
import contextlib
import os
import resource
import signal
import sys
from types import FrameType, FunctionType, ModuleType
from typing import Any, NoReturn, cast

REFUSED = 97
_HERE = __file__
_LIBRARY = tuple(f"{folder}/" for folder in sys.path if folder)
_write, _leave = os.write, os._exit  # the code may bind other things to these names
_ENDED_WITH_PARENT, _OWN_USERS, _OWN_NETWORK = 1, 0x10000000, 0x40000000  # prctl and unshare flags
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_HARMLESS = ("os.putenv", "os.unsetenv")
_FORBIDDEN_EVENTS = (
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
    ("sys._current_", "watch the interpreter"),
    ("gc.", "watch the interpreter"),
    ("os.", "use the file system"),
    ("shutil.", "use the file system"),
    ("tempfile.", "use the file system"),
    ("glob.", "use the file system"),
    ("pathlib.", "use the file system"),
)
"""Prefix of an audit event -> what the code tried; the first that fits."""
_FORBIDDEN_MODULES = (
    (("socket", "_socket", "ssl", "_ssl"), "open a socket"),
    (("subprocess", "_posixsubprocess", "multiprocessing"), "start a process"),
    (("_multiprocessing", "pty", "concurrent"), "start a process"),
    (("ctypes", "_ctypes", "cffi", "_cffi_backend"), "call C code"),
)


def _refuse(reason: str) -> NoReturn:
    """End the process at once, so that no ``except`` of the code can hide it."""
    _write(2, reason[:300].encode(errors="replace"))
    _leave(REFUSED)
    raise AssertionError  # unreachable: _leave ends the process


def _set_limits(cpu_s: int, memory_bytes: int) -> None:
    """Limit processor time and address space; forbid file growth, core files and processes."""
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
    """Enter a network name space without interfaces, if the kernel allows; die with the parent."""
    with contextlib.suppress(ImportError, AttributeError, OSError):  # no ctypes, or not Linux
        import ctypes

        libc = ctypes.CDLL(None)
        libc.prctl(_ENDED_WITH_PARENT, signal.SIGKILL)
        if libc.unshare(_OWN_NETWORK) != 0:
            libc.unshare(_OWN_USERS | _OWN_NETWORK)
    for name in [name for name in sys.modules if name.lstrip("_").startswith("ctypes")]:
        del sys.modules[name]  # so that the hook sees an import by the code


def _copy_functions(*functions: object) -> dict[str, Any]:
    """Copy functions into a namespace of their own, builtins included; return them by name.

    Nothing else in that namespace may be mutable: this module shares it.
    """
    own: dict[str, Any] = {**globals(), "__builtins__": dict(vars(builtins))}
    for function in cast("tuple[FunctionType, ...]", functions):
        own[function.__name__] = FunctionType(function.__code__, own)
    return own


def _no_thread(*_: object) -> NoReturn:
    _refuse("tried to start a thread")


def _guard() -> None:
    """Install the hook that ends the process at its first forbidden act; it cannot be removed."""
    no_thread = _copy_functions(_no_thread, _refuse)["_no_thread"]
    for name in ("start_new_thread", "start_new", "start_joinable_thread"):
        if hasattr(_thread, name):  # Python 3.11 has no audit event for it
            setattr(_thread, name, no_thread)
    sys.addaudithook(
        _copy_functions(
            _watch, _forbidden_act, _forbidden_import, _forbidden_open, _may_be_read, _refuse
        )["_watch"]
    )


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if (deed := _forbidden_act(event, arguments)) is not None:
        _refuse(f"tried to {deed}")


def _forbidden_act(event: str, arguments: tuple[object, ...]) -> str | None:
    """Return what code tried that it must not do, by an audit event; None: it is allowed."""
    if event == "import":
        return _forbidden_import(arguments[0])
    if event == "open":
        return _forbidden_open(arguments[0], arguments[2])
    if event == "sys._getframe":  # the standard library may look at the code's frames
        frame = cast("FrameType", arguments[0])
        is_jail = type(frame) is not FrameType or frame.f_code.co_filename == _HERE
        return "watch the interpreter (sys._getframe)" if is_jail else None
    is_search = event in {"os.listdir", "os.scandir"}  # how an import finds its module
    if event in _HARMLESS or (is_search and _may_be_read(arguments[0])):
        return None
    return next(
        (f"{deed} ({event})" for prefix, deed in _FORBIDDEN_EVENTS if event.startswith(prefix)),
        None,
    )


def _forbidden_import(module: object) -> str | None:
    if type(module) is not str:
        return "import what has no plain name"
    top = module.partition(".")[0]
    deed = next((deed for closed, deed in _FORBIDDEN_MODULES if top in closed), None)
    return deed and f"{deed} (import {module})"


def _forbidden_open(path: object, flags: object) -> str | None:
    if type(flags) is int and not flags & _WRITES and _may_be_read(path):
        return None
    return f"open the file {path!r}" if type(path) is str else "open a file"


def _may_be_read(path: object) -> bool:
    """Return whether a path is in the standard library, or the ``<string>`` of a SyntaxError."""
    if type(path) is not str:  # a subclass could lie
        return False
    is_inside = f"{path}/".startswith(_LIBRARY) and ".." not in path
    return is_inside or (path[:1] == "<" and path[-1:] == ">")


def _run(source: str, memory_bytes: int, names: dict[str, object]) -> NoReturn:
    try:
        exec(compile(source, "<code>", "exec"), names)  # noqa: S102 - the purpose
        sys.stdout.flush()
    except MemoryError:
        _refuse(f"used more than {memory_bytes // 2**20} MB")
    except SystemExit as ended:
        if ended.code not in {None, 0}:
            _refuse(f"exited with {ended.code!r}")
        sys.stdout.flush()
    except SyntaxError as broken:
        place = f" in line {broken.lineno}" if broken.lineno else ""
        _refuse(f"syntax error{place}: {broken.msg}")
    except BaseException as raised:  # noqa: BLE001 - whatever the code raises is its result
        _refuse(_describe_error(raised))
    _leave(0)  # no exit handlers
    raise AssertionError  # unreachable


def _describe_error(raised: BaseException) -> str:
    line, frame = None, raised.__traceback__
    while frame is not None:
        if frame.tb_frame.f_code.co_filename == "<code>":
            line = frame.tb_lineno
        frame = frame.tb_next
    message = " ".join(str(raised).split())
    return f"{type(raised).__name__} in line {line}" + (f": {message}" if message else "")


def _main() -> None:
    cpu_s, memory_bytes = int(sys.argv[1]), int(sys.argv[2])
    source = sys.stdin.buffer.read().decode()
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    sys.stderr = os.fdopen(nothing, "w")  # descriptor 2 is kept for the reason of a refusal
    sys.argv = [""]
    _leave_the_network()
    _set_limits(cpu_s, memory_bytes)
    _guard()
    run = _copy_functions(_run, _describe_error, _refuse)["_run"]
    sys.modules["__main__"] = fresh = ModuleType("__main__")
    globals().clear()
    run(source, memory_bytes, vars(fresh))


if __name__ == "__main__":
    _main()
