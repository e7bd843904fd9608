"""Render templates and match regular expressions of task files in a process with limits.

A template or a pattern of somebody's file may take for ever or fill the memory. So a child process
does it, under the kernel's limits of time and memory: what exceeds them ends the child alone. This
file is also the child's program, and imports nothing of cotkit.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import json
import os
import pickle
import re
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any, cast

SECONDS = 0.5
"""Processor time of one operation."""
SECONDS_EACH = 0.01
"""Of all operations together, beside ``SECONDS``: so much for each."""
MAX_MEMORY = 256 * 1024 * 1024
"""Address space of the child, in bytes."""
MAX_TEXT = 4 * 1024 * 1024
"""Characters of a text that is sent back."""

_LENGTH = struct.Struct("<Q")


class WorkerError(Exception):
    """An operation that failed; the message is for the user, ``kind`` for the caller."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        """``undefined``, ``template`` or ``pattern`` (it is none), ``error`` or ``limit``."""


# The parent's side.


def render(source: str, fields: Mapping[str, object]) -> str:
    """Render a Jinja template as lm-eval does, its filter included, strict and sandboxed.

    Raises:
        WorkerError: it is no template, fails on these fields, or exceeds a limit.
    """
    return cast("str", _worker().call("render", source, dict(fields)))


def check_pattern(pattern: str) -> None:
    """Refuse a text that is no regular expression.

    Raises:
        WorkerError: it is none, or exceeds a limit.
    """
    _worker().call("check_pattern", pattern)


def find_match(pattern: str, text: str, index: int) -> str | list[str] | None:
    """Return match ``index`` of ``re.findall`` (its groups, if several); None: no match at all.

    Raises:
        IndexError: there are matches, but not so many.
        WorkerError: a limit was exceeded.
    """
    is_match, value = cast("tuple[bool, Any]", _worker().call("find_match", pattern, text, index))
    if value is None and is_match:
        raise IndexError(index)
    return value


def remove_matches(patterns: Sequence[str], text: str) -> str:
    """Return a text without the matches of patterns, one pattern after the other.

    Raises:
        WorkerError: a limit was exceeded.
    """
    return cast("str", _worker().call("remove_matches", list(patterns), text))


class LimitedProcess:
    """The child process; started when it is first needed, and again after it was ended."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def call(self, operation: str, *arguments: object) -> object:
        """Return what an operation returns.

        Raises:
            WorkerError: it failed, or exceeded a limit.
        """
        with self._lock:
            process = self._process or self._start()
            try:
                _send(cast("IO[bytes]", process.stdin), pickle.dumps((operation, arguments)))
                reply = json.loads(_receive(cast("IO[bytes]", process.stdout)))
            except (EOFError, OSError):
                self.close()
                problem = f"takes more than {SECONDS:g} s or {MAX_MEMORY >> 20} MiB"
                raise WorkerError("limit", problem) from None
        if "error" in reply:
            raise WorkerError(*reply["error"])
        return reply["value"]

    def close(self) -> None:
        """End the child."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _start(self) -> subprocess.Popen[bytes]:
        self._process = subprocess.Popen(  # noqa: S603  our own interpreter, this file
            [sys.executable, "-I", "-S", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        _send(cast("IO[bytes]", self._process.stdin), pickle.dumps(sys.path))
        return self._process


@functools.lru_cache(maxsize=1)
def _worker_of(_pid: int) -> LimitedProcess:
    return LimitedProcess()


def _worker() -> LimitedProcess:
    """Return this process's own worker: one that was forked must not share its parent's pipes."""
    return _worker_of(os.getpid())


def _send(stream: IO[bytes], message: bytes) -> None:
    stream.write(_LENGTH.pack(len(message)) + message)
    stream.flush()


def _receive(stream: IO[bytes]) -> bytes:
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        raise EOFError
    (length,) = _LENGTH.unpack(head)
    message = stream.read(length)
    if len(message) < length:
        raise EOFError
    return message


# The child's side.


def _render(source: str, fields: dict[str, object]) -> str:
    import jinja2

    try:
        template = _compile_template(source)
    except jinja2.TemplateSyntaxError as broken:
        raise WorkerError("template", broken.message or "") from broken
    except (RecursionError, SyntaxError, ValueError) as broken:
        raise WorkerError("template", "too deeply nested") from broken
    try:
        text = template.render(fields)
    except jinja2.UndefinedError as missing:
        raise WorkerError("undefined", str(missing.message)) from missing
    except MemoryError:
        raise
    except Exception as broken:  # whatever an expression of the template can raise
        reason = (str(broken).splitlines() or [""])[0][:200]
        raise WorkerError("error", f"{type(broken).__name__}: {reason}") from broken
    return _check_length(text)


@functools.lru_cache(maxsize=64)
def _compile_template(source: str) -> Any:  # noqa: ANN401 - of a package imported late
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined,
        autoescape=False,  # plain text for a model, never HTML
        keep_trailing_newline=True,
    )
    filters = cast("dict[str, object]", environment.filters)
    filters["regex_replace"] = _regex_replace
    return environment.from_string(source)


def _regex_replace(text: str, pattern: str, repl: str, count: int = 0) -> str:
    return re.sub(pattern, repl, text, count=count)


def _check_pattern(pattern: str) -> None:
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as broken:
        raise WorkerError("pattern", str(broken)) from broken


def _find_match(pattern: str, text: str, index: int) -> tuple[bool, object]:
    matches = re.findall(pattern, text)
    with contextlib.suppress(IndexError):
        return bool(matches), matches[index]
    return bool(matches), None


def _remove_matches(patterns: list[str], text: str) -> str:
    for pattern in patterns:
        text = re.sub(pattern, "", text)
    return _check_length(text)


def _check_length(text: str) -> str:
    if len(text) > MAX_TEXT:
        raise WorkerError("error", f"makes a text of more than {MAX_TEXT >> 20} MiB")
    return text


_OPERATIONS: Mapping[str, Callable[..., object]] = {
    "render": _render,
    "check_pattern": _check_pattern,
    "find_match": _find_match,
    "remove_matches": _remove_matches,
}


def _serve() -> None:
    """Answer the parent until it ends; the kernel ends this process at a limit."""
    requests, replies = sys.stdin.buffer, sys.stdout.buffer
    sys.path[:] = pickle.loads(_receive(requests))  # noqa: S301  from our own parent
    for number in range(1, sys.maxsize):
        try:
            operation, arguments = pickle.loads(_receive(requests))  # noqa: S301  as above
        except EOFError:
            return
        try:
            with _limits(number):
                reply = {"value": _OPERATIONS[operation](*arguments)}
        except WorkerError as failure:
            reply = {"error": (failure.kind, str(failure))}
        except MemoryError:
            reply = {"error": ("limit", f"takes more than {MAX_MEMORY >> 20} MiB")}
        _send(replies, json.dumps(reply).encode())


@contextlib.contextmanager
def _limits(number: int) -> Any:  # noqa: ANN401 - a generator
    """Limit time and memory of what is within; ``number``: it is operation so and so."""
    try:
        import resource
        import signal
    except ImportError:  # Windows has neither
        yield
        return
    if number == 1:
        importlib.import_module("jinja2.sandbox")  # before the limit of time: a disk may be slow
        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        _STARTED.append(time.process_time())
    budget = SECONDS + number * SECONDS_EACH - (time.process_time() - _STARTED[0])
    signal.setitimer(signal.ITIMER_PROF, max(min(SECONDS, budget), 0.001))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


_STARTED: list[float] = []


if __name__ == "__main__":
    _serve()
