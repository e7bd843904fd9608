"""The other process of the sandbox: raises its walls, says so, then runs the code from its stdin.

Run as a script, ``python -I -S -B _jail.py WALLS CPU_SECONDS MEMORY_BYTES``; imports nothing of
cotkit. The first line on stderr is ``READY``, or (exit status ``NO_WALL``) why a wall is missing.
The code is sent only after ``READY``. Exit status 0: stdout holds the result. ``REFUSED``: stderr
holds the reason, one sentence.

The walls are the kernel's: Landlock lets the process read the standard library and little else,
whoever its user is, and seccomp lets it make only the system calls listed here. What Python itself
refuses (``PROGRAM_MODULES``) only words an error; any code can get around it.
"""

from __future__ import annotations

import builtins
import ctypes
import errno
import os
import resource
import stat
import struct
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType
    from typing import NoReturn

READY = "ready"
REFUSED = 97
NO_WALL = 98

LANDLOCK_AND_SECCOMP = "landlock+seccomp"
SECCOMP = "seccomp"
CONTAINER = "container"
NONE = "none"
"""What ``WALLS`` may say: what must be raised. ``seccomp`` (files are kept apart already) and
``container`` (system calls, too) raise what else there is; ``none`` raises nothing."""

PROGRAM_MODULES = frozenset(
    """
    abc argparse array ast base64 binascii bisect builtins calendar cmath codecs collections
    colorsys contextlib contextvars copy copyreg csv dataclasses datetime decimal difflib enum
    errno faulthandler fractions functools gc graphlib hashlib heapq hmac html importlib inspect io
    itertools json keyword linecache locale logging marshal math numbers operator os pathlib pickle
    platform pprint queue random re reprlib sched secrets statistics string struct sys tempfile
    textwrap time timeit token tokenize traceback types typing unicodedata unittest uuid warnings
    weakref zlib zoneinfo
    """.split()  # noqa: SIM905 - a literal list would take a page
)
"""Modules of the standard library that code may import by a plain import statement."""
_WITH_SHARED_LIBRARIES = ("_decimal", "zlib", "_bz2", "_lzma", "_uuid", "pyexpat")
"""Imported before the walls are raised, behind which no shared library can be opened."""


class _MissingWallError(Exception):
    """The kernel does not give a wall that is needed."""


def _refuse(reason: str) -> NoReturn:
    """End the process at once, so that no ``except`` of the code can hide it."""
    os.write(2, reason[:300].encode(errors="replace"))
    os._exit(REFUSED)


# Limits, and the user.


def _set_limits(cpu_s: int, memory_bytes: int) -> None:
    """Limit processor time, memory and open files; forbid growth of files and processes."""
    for kind, most in (
        ("CPU", cpu_s),
        ("AS", memory_bytes),
        ("FSIZE", 0),
        ("CORE", 0),
        ("NOFILE", 64),
        ("MEMLOCK", 0),
        ("MSGQUEUE", 0),
        ("NPROC", 0),  # binds every user but root
    ):
        number = getattr(resource, f"RLIMIT_{kind}", None)
        if number is None:
            continue  # not on this system
        hard = resource.getrlimit(number)[1]
        least = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(number, (least, least))


def _become_nobody() -> None:
    """Become a user whom no other process has, if root and if that user can read the library."""
    if os.geteuid() != 0 or not all(map(_is_readable_by_all, sys.path)):
        return
    for user in (0x6C000000 + os.getpid(), 65534):
        try:
            os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
        except OSError:  # a name space with fewer users
            continue
        return


def _is_readable_by_all(path: str) -> bool:
    if not os.path.exists(path):
        return True  # the zip file of the library, which few systems have
    while path != "/":
        if not os.stat(path).st_mode & (stat.S_IXOTH if os.path.isdir(path) else stat.S_IROTH):
            return False
        path = os.path.dirname(path)
    return True


# Calls of the kernel.

_libc = ctypes.CDLL(None, use_errno=True)
_DIE_WITH_PARENT, _NO_NEW_PRIVILEGES, _SET_SECCOMP, _SECCOMP_FILTER = 1, 38, 22, 2  # of prctl
_SIGKILL = 9


def _call(name: str, *arguments: object) -> int:
    """Call a function of the C library.

    Raises:
        _MissingWallError: it fails.
    """
    result: int = getattr(_libc, name)(*arguments)
    if result < 0:
        why = os.strerror(ctypes.get_errno())
        raise _MissingWallError(f"{name} {arguments[0]}: {why}")
    return result


def _system_call(number: int, *arguments: object) -> int:
    plain = [ctypes.c_long(x) if isinstance(x, int) else x for x in arguments]
    return _call("syscall", ctypes.c_long(number), *plain)


def _drop_privileges() -> None:
    """Give up every capability, and the way to any: no file that is run gives more."""
    _call("prctl", _NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    header = ctypes.create_string_buffer(struct.pack("=Ii", 0x20080522, 0))
    _call("capset", header, ctypes.create_string_buffer(24))


# Landlock: which files.

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # system calls, on all architectures
_ASK_VERSION = 1
_WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 1, 1 << 2, 1 << 3
_N_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}  # of files, by version; all later ones: 16
_ANY_TCP, _ANY_SCOPE = 0b11, 0b11  # bind and connect; abstract sockets and signals
_ZONES = ("/usr/share/zoneinfo", "/usr/lib/zoneinfo", "/etc/localtime")


def _raise_landlock() -> None:
    """Let this process read the standard library, time zones and random bytes: nothing else.

    Raises:
        _MissingWallError: the kernel has no Landlock, or it is turned off.
    """
    version = _system_call(_CREATE_RULESET, None, 0, _ASK_VERSION)
    every_right = (1 << _N_RIGHTS.get(version, 16)) - 1
    handled = struct.pack("=Q", every_right)
    if version >= 4:
        handled += struct.pack("=Q", _ANY_TCP)
    if version >= 6:
        handled += struct.pack("=Q", _ANY_SCOPE)
    rules = _system_call(
        _CREATE_RULESET, ctypes.create_string_buffer(handled, len(handled)), len(handled), 0
    )
    for path, rights in _readable_paths():
        try:
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        is_folder = stat.S_ISDIR(os.fstat(place).st_mode)
        fitting = rights if is_folder else rights & ~_READ_DIR
        rule = ctypes.create_string_buffer(struct.pack("=Qi", fitting, place), 12)
        _system_call(_ADD_RULE, rules, 1, rule, 0)
        os.close(place)
    _system_call(_RESTRICT_SELF, rules, 0)
    os.close(rules)


def _readable_paths() -> Iterator[tuple[str, int]]:
    """Yield paths with the rights below them; installed packages are not of the library."""
    for folder in sys.path:
        if not os.path.isdir(folder):
            yield folder, _READ_FILE
            continue
        yield folder, _READ_DIR  # an import lists it
        for entry in os.listdir(folder):
            if not entry.endswith("-packages"):
                yield f"{folder}/{entry}", _READ_FILE | _READ_DIR
    for path in _ZONES:
        yield path, _READ_FILE | _READ_DIR
    yield "/dev/null", _READ_FILE | _WRITE_FILE
    yield "/dev/urandom", _READ_FILE


# seccomp: which system calls.

_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""Machine -> its column of numbers below, and what the kernel calls it."""
_ALLOWED_CALLS = {
    "read": (0, 63),
    "write": (1, 64),
    "close": (3, 57),
    "stat": (4, None),
    "fstat": (5, 80),
    "lstat": (6, None),
    "lseek": (8, 62),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "brk": (12, 214),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "pread64": (17, 67),
    "readv": (19, 65),
    "writev": (20, 66),
    "access": (21, None),
    "sched_yield": (24, 124),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "dup": (32, 23),
    "dup2": (33, None),
    "nanosleep": (35, 101),
    "getpid": (39, 172),
    "exit": (60, 93),
    "uname": (63, 160),
    "getcwd": (79, 17),
    "gettimeofday": (96, 169),
    "getrlimit": (97, 163),
    "getrusage": (98, 165),
    "sysinfo": (99, 179),
    "times": (100, 153),
    "getuid": (102, 174),
    "getgid": (104, 176),
    "geteuid": (107, 175),
    "getegid": (108, 177),
    "getppid": (110, 173),
    "sigaltstack": (131, 132),
    "gettid": (186, 178),
    "time": (201, None),
    "futex": (202, 98),
    "sched_getaffinity": (204, 123),
    "getdents64": (217, 61),
    "restart_syscall": (219, 128),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "clock_nanosleep": (230, 115),
    "exit_group": (231, 94),
    "newfstatat": (262, 79),
    "faccessat": (269, 48),
    "dup3": (292, 24),
    "getrandom": (318, 278),
    "statx": (332, 291),
    "close_range": (436, 436),
    "faccessat2": (439, 439),
}
"""Name -> its number on x86_64 and on aarch64. None of them reaches another process."""
_WRITES = os.O_CREAT | os.O_TRUNC | 0o20000000 | 0o10000000  # and O_TMPFILE, and O_PATH
_HARMLESS_FCNTL = (0, 1, 2, 3, 1030)  # duplicate, get and set close-on-exec, get flags
_ALLOW, _FAIL, _KILL_PROCESS = 0x7FFF0000, 0x00050000, 0x80000000
_LOAD, _IF_EQUAL, _IF_AT_LEAST, _IF_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_X32 = 0x40000000  # numbers from here on are those of another way to call an x86_64 kernel

_Code = list[tuple[int, int, int, int]]


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> tuple[int, int, int, int]:
    return code, if_true, if_false, value


def _allow_if(argument: int, *values: int) -> _Code:
    """Allow a call if the low half of an argument has one of some values."""
    code = [_step(_LOAD, 16 + 8 * argument)]
    for value in values:
        code += [_step(_IF_EQUAL, value, 0, 1), _step(_RETURN, _ALLOW)]
    return [*code, _step(_RETURN, _FAIL | errno.EPERM)]


def _call_rules(column: int) -> dict[int, _Code]:
    """Return the code that decides on each number of a system call that is not plainly refused."""
    allow, refuse = _step(_RETURN, _ALLOW), _step(_RETURN, _FAIL | errno.EPERM)
    rules = {
        number: [allow]
        for numbers in _ALLOWED_CALLS.values()
        if (number := numbers[column]) is not None
    }
    for name, numbers in (("open", (2, None)), ("openat", (257, 56))):
        if (number := numbers[column]) is not None:
            rules[number] = [
                _step(_LOAD, 16 + 8 * (1 if name == "open" else 2)),  # its flags
                _step(_IF_ANY_BIT, _WRITES, 0, 1),
                _step(_RETURN, _FAIL | errno.EACCES),
                allow,
            ]
    rules[(16, 29)[column]] = [_step(_RETURN, _FAIL | errno.ENOTTY)]  # ioctl
    rules[(72, 25)[column]] = _allow_if(1, *_HARMLESS_FCNTL)
    rules[(62, 129)[column]] = _allow_if(0, os.getpid())  # kill
    rules[(234, 131)[column]] = _allow_if(0, os.getpid())  # tgkill
    rules[(302, 261)[column]] = [  # prlimit64: own limits are told, and not set
        part
        for half in (16, 32, 36)  # whose, and both halves of the address of new ones
        for part in (_step(_LOAD, half), _step(_IF_EQUAL, 0, 1, 0), refuse)
    ] + [allow]
    rules[435] = [_step(_RETURN, _FAIL | errno.ENOSYS)]  # clone3: the C library then tries clone
    return rules


def _raise_seccomp() -> None:
    """Let this process make the listed system calls only; any other fails.

    Raises:
        _MissingWallError: the kernel has no such filter, or the machine is of another kind.
    """
    machine = os.uname().machine
    if machine not in _MACHINES or sys.byteorder != "little" or sys.maxsize < 2**32:
        raise _MissingWallError(f"seccomp: no list of system calls for {machine}")
    column, architecture = _MACHINES[machine]
    code = [
        _step(_LOAD, 4),
        _step(_IF_EQUAL, architecture, 1, 0),
        _step(_RETURN, _KILL_PROCESS),
        _step(_LOAD, 0),
        _step(_IF_AT_LEAST, _X32, 0, 1),
        _step(_RETURN, _KILL_PROCESS),
    ]
    for number, rule in _call_rules(column).items():
        code += [_step(_IF_EQUAL, number, 0, len(rule)), *rule]
    code.append(_step(_RETURN, _FAIL | errno.EPERM))
    filters = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in code))
    program = struct.pack("@HP", len(code), ctypes.addressof(filters))
    _call("prctl", _SET_SECCOMP, _SECCOMP_FILTER, ctypes.create_string_buffer(program), 0, 0)


def _raise_walls(walls: str) -> None:
    """Give up all privileges and raise the walls.

    Raises:
        _MissingWallError: one that must stand cannot be had.
    """
    steps = (
        (_drop_privileges, walls != CONTAINER),
        (_raise_landlock, walls == LANDLOCK_AND_SECCOMP),
        (_raise_seccomp, walls != CONTAINER),
    )
    for step, is_needed in steps:
        try:
            step()
        except (_MissingWallError, OSError, AttributeError):
            if is_needed:
                raise


# The code.


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
    os._exit(0)  # no exit handlers


def _describe_error(raised: BaseException) -> str:
    line, frame = None, raised.__traceback__
    while frame is not None:
        if frame.tb_frame.f_code.co_filename == "<code>":
            line = frame.tb_lineno
        frame = frame.tb_next
    message = " ".join(str(raised).split())
    return f"{type(raised).__name__} in line {line}" + (f": {message}" if message else "")


def _import(name: str, *arguments: object, **keywords: object) -> ModuleType:
    """Import a module for code, or for what is built in and called by it (``_strptime``)."""
    top = str(name).partition(".")[0]
    is_public = top in sys.stdlib_module_names and not top.startswith("_")
    if is_public and top not in PROGRAM_MODULES:
        _refuse(f"tried to import {top}, which is not for programs that only compute")
    return builtins.__import__(name, *arguments, **keywords)  # type: ignore[arg-type]


def _main() -> None:
    walls, cpu_s, memory_bytes = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    for name in _WITH_SHARED_LIBRARIES:
        try:
            __import__(name)
        except ImportError:
            pass  # this Python was built without it
    nothing = os.open(os.devnull, os.O_RDWR)
    _become_nobody()
    try:
        _call("prctl", _DIE_WITH_PARENT, _SIGKILL, 0, 0, 0)
    except (AttributeError, _MissingWallError):
        pass  # not Linux
    _set_limits(cpu_s, memory_bytes)
    if walls != NONE:
        try:
            _raise_walls(walls)
        except (_MissingWallError, OSError, AttributeError) as missing:
            os.write(2, f"{missing}\n".encode())
            os._exit(NO_WALL)
    os.write(2, f"{READY}\n".encode())
    source = sys.stdin.buffer.read().decode()
    os.dup2(nothing, 0)
    sys.stderr = os.fdopen(nothing, "w")  # descriptor 2 is kept for the reason of a refusal
    sys.argv = [""]
    os.environ.clear()
    sys.modules["__main__"] = fresh = type(sys)("__main__")
    names = vars(fresh)
    names["__builtins__"] = {**vars(builtins), "__import__": _import}
    _run(source, memory_bytes, names)


if __name__ == "__main__":
    _main()
