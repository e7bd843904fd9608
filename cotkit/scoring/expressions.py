r"""Answers that are mathematical expressions: LaTeX, roots, intervals, tuples, sets, equations.

Where the answer stands is cotkit's to say; what it says, and whether it equals the gold answer, is
math-verify's (`<https://github.com/huggingface/Math-Verify>`_, extra ``math``), in processes that
are killed at a time limit: its own limit works in a main thread only and cannot end C code. Answers
are kept by text, gold answer and version, for as long as this process lives.

A job that takes longer than :data:`LIMIT_S` is no verdict: the reading is empty, rule ``timeout``.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import threading
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from cotkit.errors import MissingDependencyError
from cotkit.scoring.candidates import find_candidates, last_line
from cotkit.types import Question, Reading

LIMIT_S = 5.0
"""Seconds of one job; math-verify's own limit."""
MEMORY_BYTES = 2 << 30
"""Address space of a worker."""
_START_S = 120.0  # to load sympy and the grammar on a machine that is busy
_WORKER = Path(__file__).with_name("_math_worker.py")
_CACHE_SIZE = 1 << 16


class UndecidedError(Exception):
    """math-verify came to no verdict; the message is the rule: ``timeout`` or ``crashed``."""


@functools.cache
def math_verify_name() -> str:
    """Return the name of the reader with its version, ``math-verify-0.9.0``; loads nothing.

    Raises:
        MissingDependencyError: math-verify is not installed.
    """
    try:
        return f"math-verify-{importlib.metadata.version('math-verify')}"
    except importlib.metadata.PackageNotFoundError:
        raise MissingDependencyError("math-verify", "math") from None


def read_expression(text: str, _question: Question, *, guess: bool) -> Reading:
    """Read the first place that states one expression; ``value`` is its LaTeX.

    ``guess`` also takes the last line: its last formula, its right side, or all of it.

    Raises:
        MissingDependencyError: math-verify is not installed.
    """
    places = [(c.rule, c.piece) for c in find_candidates(text)]
    if guess:
        places += [(c.rule, guess_piece(c.piece)) for c in last_line(text)]
    rule = "none"
    for name, piece in places:
        if name == "last-line" and rule == "ambiguous":
            break  # a guess does not overrule what was rejected
        candidate = find_expression(piece)
        if candidate == "":
            rule = "ambiguous"
        if not candidate:
            continue
        try:
            if isinstance(spelling := _ask("parse", candidate), str):
                return Reading(value=spelling, rule=name)
        except UndecidedError as undecided:
            rule = str(undecided)
    return Reading(value=None, rule=rule)


def equals_expression(value: str, gold: str, _question: Question) -> bool:
    """Return whether math-verify calls two answers equal, floats to six places.

    Raises:
        UndecidedError: it came to no verdict.
    """
    return _ask("equal", value, find_expression(gold) or gold) is True


def read_math_verify(text: str, _question: Question) -> Reading:
    """Read as math-verify's ``parse`` with its defaults does: it finds the answer itself."""
    try:
        value = _ask("extract", text)
    except UndecidedError as undecided:
        return Reading(value=None, rule=str(undecided))
    if not isinstance(value, str):
        return Reading(value=None, rule="none")
    return Reading(value=value, rule="extracted")


def equals_math_verify(value: str, gold: str, _question: Question) -> bool:
    """Compare by math-verify's ``verify``, the gold answer as LaTeX.

    Raises:
        UndecidedError: it came to no verdict.
    """
    return _ask("equal", value, gold) is True


# Where a text may state an expression, and which part of that is the expression, as LaTeX.


def guess_piece(line: str) -> str:
    """Return what a last line may state without a cue; empty: nothing."""
    if spans := list(_MATH.finditer(line)):
        return spans[-1][0]
    _, equals, right = line.rpartition("=")
    return right if equals else "" if _WORD.search(line) else line


_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")
_MATH = re.compile(
    r"\$\$(?P<display>.+?)\$\$|(?<!\\)\$(?P<inline>(?:\\.|[^$\\])+?)\$"
    r"|\\\((?P<round>.+?)\\\)|\\\[(?P<square>.+?)\\\]"
)
_MARKUP = re.compile(r"\*\*|__|`|(?<!\w)\*(?=\S)|(?<=\S)\*(?!\w)")
_JOIN = re.compile(r"\s*(?:[,;]\s*(?:and|or)?|and|or)\s*")
_NEGATION = re.compile(r"\b(?:not|never|neither|wrong|incorrect)\b|n['\u2019]t\b", re.IGNORECASE)
_ASIDE = re.compile(
    r"\s(?:because|since|as|where|which|so|if|when|while|after|for|from|given|but|with|by|that)\s"
    r"|[.!?;](?=\s+[A-Z])|[.!?;]?\s*$"
)
_TAIL = re.compile(r"(?<=[^\s])(?:\\(?:text|mathrm)\s?\{[^{}]*\}|[\s.,;:])+$")
_SETTING = re.compile(
    r"(?<!\\)\\(?:[,!;: \[\]()]"
    r"|(?:quad|qquad|displaystyle|left|right|bigl?|bigr|Bigl?|Bigr)(?![a-zA-Z]))|\\?\$"
)
_VARIABLE = re.compile(r"(?<!\\)\b[a-zA-Z]\b")
_DOLLAR = re.compile(r"\\?\$")
_UNIT = re.compile(r"(?<=[\d}\])πa-zA-Z])\s+(?!(?:and|or)\b)[A-Za-z]{2,}[^\\$]*$")
_NAMES = ("sqrt", "pi", "infty", "infinity", "sin", "cos", "tan", "log", "ln", "exp", "frac", "oo")
_WORD = re.compile(r"[A-Za-z]{2,}")
_PROSE = re.compile(r"[A-Za-z][A-Za-z' -]*")
_CALL = re.compile(r"(?<!\\)\bsqrt\s*\(([^()]*)\)")
_FUNCTION = re.compile(rf"(?<![\\A-Za-z])({'|'.join(_NAMES[1:-2])})(?![A-Za-z])")
_ROOT = re.compile(r"√\s*(?:\(([^()]*)\)|(\d+(?:\.\d+)?|[A-Za-zπ]))")
_RAISED = re.compile(r"[⁻⁺]?[⁰¹²³⁴-⁹ⁿ]+")
_PLAIN = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺ⁿ", "0123456789-+n")
_VULGAR = {mark: unicodedata.normalize("NFKC", mark) for mark in "½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞"}
_SIGNS = {
    "−": "-",
    "–": "-",
    "×": r"\times ",
    "·": r"\cdot ",
    "÷": r"\div ",
    "±": r"\pm ",
    "≤": r"\le ",
    "≥": r"\ge ",
    "≠": r"\ne ",
    "≈": r"\approx ",
    "∈": r"\in ",
    "∞": r"\infty ",
    "∪": r"\cup ",
    "∩": r"\cap ",
    "∅": r"\emptyset ",
    "ℝ": r"\mathbb{R}",
    "°": r"^\circ ",
    "π": r"\pi ",
    "θ": r"\theta ",
}
_SIGN = re.compile("[" + "".join(_SIGNS) + "]")


def find_expression(piece: str) -> str | None:
    r"""Return the expression that a piece states, as LaTeX; None: none; empty: it is rejected.

    ``the value is $\frac12$ because $a = 2$.`` states ``\frac12``; ``$1$ or $2$`` states the set
    ``1, 2``; ``3√2 cm.`` states ``3\sqrt{2}``; a lone word, ``Evelyn``, states ``\text{Evelyn}``.
    """
    if (inner := _last_box(piece)) is not None:
        return _tidy(inner) or None
    spans = list(_MATH.finditer(piece))
    if spans and _WORD.search(_MATH.sub(" ", piece)):
        if _NEGATION.search(piece[: spans[0].start()]):
            return ""
        return _tidy(", ".join(_joined(piece, spans))) or None
    bare = _MARKUP.sub("", _MATH.sub(_inside, piece))
    bare = _DOLLAR.sub("", bare)
    if end := _ASIDE.search(bare):
        bare = bare[: end.start()]
    bare = bare.strip(" \t\n:=")
    if not bare or _NEGATION.match(bare):
        return "" if bare else None
    if _PROSE.fullmatch(bare) and _WORD.search(bare) and bare.lower() not in _NAMES:
        return rf"\text{{{bare}}}"
    latex = _to_latex(_UNIT.sub("", bare))
    return _tidy(re.sub(r"\s+(?:and|or)\s+", ", ", latex)) or None


def _inside(match: re.Match[str]) -> str:
    return next(group for group in match.groups() if group is not None)


def _joined(piece: str, spans: list[re.Match[str]]) -> Iterator[str]:
    """Yield the first span, and those that only commas, ``and`` or ``or`` divide from it."""
    for i, span in enumerate(spans):
        if i and not _JOIN.fullmatch(piece, spans[i - 1].end(), span.start()):
            return
        yield _tidy(_inside(span))


def _last_box(piece: str) -> str | None:
    contents = None
    for box in _BOX.finditer(piece):
        depth, end = 1, box.end()
        while end < len(piece) and depth:
            depth += {"{": 1, "}": -1}.get(piece[end], 0)
            end += 1
        if not depth:
            contents = piece[box.end() : end - 1]
    return contents


def _to_latex(text: str) -> str:
    text = _CALL.sub(r"\\sqrt{\1}", text)
    text = _ROOT.sub(lambda match: rf"\sqrt{{{match[1] or match[2]}}}", text)
    text = _FUNCTION.sub(
        lambda match: {"infinity": r"\infty "}.get(match[1], rf"\{match[1]} "), text
    )
    text = _RAISED.sub(lambda match: f"^{{{match[0].translate(_PLAIN)}}}", text)
    for mark, fraction in _VULGAR.items():
        text = text.replace(mark, r"\frac{{{}}}{{{}}}".format(*fraction.split("\u2044")))
    return _SIGN.sub(lambda match: _SIGNS[match[0]], text).replace("**", "^")


def _tidy(latex: str) -> str:
    r"""Return LaTeX with what only sets it left out: spaces, ``\left``, ``\dfrac``, a full stop."""
    latex = " ".join(_SETTING.sub(" ", latex).split())
    latex = re.sub(r"\\[dtc]frac(?![a-z])", r"\\frac", latex)
    if tail := _TAIL.search(latex):
        latex = latex[: tail.start()] or latex.strip(" .,;:!")
    return _last_side(latex)


def _last_side(latex: str) -> str:
    """Return the right side of a worked sum, ``3 + 4 = 7``; an equation in letters is an answer."""
    head, equals, result = latex.rpartition("=")
    is_sum = equals and re.search(r"\d", head) and not _VARIABLE.search(head) and "," not in latex
    return result.strip() or latex if is_sum and head[-1] not in "<>!\\" else latex


# The processes.


@functools.lru_cache(maxsize=_CACHE_SIZE)
def _answer(_version: str, op: str, text: str, gold: str) -> object:
    return _run_job(op, text, gold)


def _ask(op: str, text: str, gold: str = "") -> object:
    reply = _answer(math_verify_name(), op, text, gold)
    if isinstance(reply, tuple):
        raise UndecidedError(str(reply[0]))
    return reply


def _run_job(op: str, text: str, gold: str) -> object:
    """Return the worker's answer; a tuple of one word says why there is none."""
    worker = _take_worker()
    try:
        reply = worker.ask(op, text, gold)
    except UndecidedError as undecided:
        return (str(undecided),)
    _give_back(worker)
    return None if isinstance(reply, dict) else reply  # a fault of theirs: nothing was read


class _Worker:
    """One process; it serves one job after the other."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own script
            [sys.executable, "-P", str(_WORKER), str(LIMIT_S), str(MEMORY_BYTES)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONHASHSEED": "0"},  # the same order of sets each time
            text=True,
            encoding="ascii",
        )
        if self._read_line(_START_S) != "ready":
            raise MissingDependencyError("a math-verify that can be loaded", "math")

    def ask(self, op: str, text: str, gold: str) -> object:
        """Return the answer to one job.

        Raises:
            UndecidedError: it took too long, or the process ended; it cannot be used again.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps([op, text, gold]) + "\n")
            self._process.stdin.flush()
        except OSError:
            self.close()
            raise UndecidedError("crashed") from None
        return self._read_line(LIMIT_S)

    def close(self) -> None:
        """Kill the process."""
        self._process.kill()
        with contextlib.suppress(OSError):
            self._process.communicate()

    def _read_line(self, limit_s: float) -> object:
        assert self._process.stdout is not None
        is_late = threading.Event()

        def kill() -> None:
            is_late.set()
            self._process.kill()

        timer = threading.Timer(limit_s, kill)
        timer.daemon = True
        timer.start()
        try:
            line = self._process.stdout.readline()
        finally:
            timer.cancel()
        if not line.endswith("\n"):
            self.close()
            raise UndecidedError("timeout" if is_late.is_set() else "crashed")
        return json.loads(line)


_idle: dict[int, list[_Worker]] = {}  # by process: a fork has none of its parent's
_lock = threading.Lock()


def _take_worker() -> _Worker:
    with _lock:
        idle = _idle.setdefault(os.getpid(), [])
        if idle:
            return idle.pop()
    return _Worker()


def _give_back(worker: _Worker) -> None:
    with _lock:
        _idle.setdefault(os.getpid(), []).append(worker)


def _close_idle() -> None:
    for worker in _idle.pop(os.getpid(), []):
        worker.close()


atexit.register(_close_idle)
