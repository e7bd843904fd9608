"""The other process of the kind ``expression``: math-verify answers here, one line of JSON a job.

Run as a script, ``python -P _math_worker.py SECONDS MEMORY_BYTES``; imports nothing of cotkit. It
says ``ready`` once math-verify is loaded, then answers ``[op, text, gold]`` by a JSON value:

- ``parse``: the expression of a text, the LaTeX of one answer, as sympy writes it (as the text
  does, where that would not be read back as the same); null: it is none;
- ``equal``: whether it equals the gold answer, LaTeX too;
- ``extract``: what math-verify itself finds in a whole text, as LaTeX; null: nothing.

A job that takes longer than its time ends the process by the kernel's alarm, also where nobody is
left to kill it.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import logging
import os
import signal
import sys
from typing import Any


def _limit_memory(n_bytes: int) -> None:
    with contextlib.suppress(ImportError, OSError, ValueError):  # not on every system
        import resource

        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        least = n_bytes if hard == resource.RLIM_INFINITY else min(n_bytes, hard)
        resource.setrlimit(resource.RLIMIT_AS, (least, hard))


def _set_alarm(seconds: float) -> None:
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


class Jobs:
    """What can be asked; imports math-verify."""

    def __init__(self) -> None:
        import math_verify
        import sympy

        self._verify, self._latex = math_verify.verify, sympy.latex
        self._types = (sympy.Basic, sympy.MatrixBase)

        @functools.lru_cache(maxsize=512)
        def parse(text: str) -> tuple[Any, ...]:
            return tuple(math_verify.parse(text, parsing_timeout=0))

        self._parse = parse

    def run(self, op: str, text: str, gold: str) -> object:
        """Do one job."""
        match op:
            case "parse":
                parsed = self._parse(f"${text}$")
                return self._spell(parsed, text) if self._is_expression(parsed) else None
            case "extract":
                parsed = self._parse(text)
                words = [part for part in parsed if isinstance(part, str)]
                return (
                    self._spell(parsed, words[-1] if words else str(parsed[0])) if parsed else None
                )
            case _:
                golds, parsed = self._parse(f"${gold}$"), self._parse(f"${text}$")
                return self._verify(list(golds), list(parsed), timeout_seconds=0)

    def _is_expression(self, parsed: tuple[Any, ...]) -> bool:
        return bool(parsed) and isinstance(parsed[0], self._types)

    def _spell(self, parsed: tuple[Any, ...], text: str) -> str:
        with contextlib.suppress(Exception):  # a printer or parser of theirs that fails
            spelling: str = self._latex(parsed[0])
            if self._is_expression(parsed) and self._parse(f"${spelling}$")[0] == parsed[0]:
                return spelling
        return text


def main(seconds: float, memory_bytes: int) -> None:
    """Answer until the other side closes the pipe."""
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)  # a library that prints must not speak in our place
    _limit_memory(memory_bytes)
    logging.disable(logging.CRITICAL)
    jobs = Jobs()
    jobs.run("parse", r"\frac{1}{2}+x", "")  # the first one loads the grammar
    answers.write('"ready"\n')
    answers.flush()
    for line in io.TextIOWrapper(os.fdopen(0, "rb"), encoding="ascii"):
        _set_alarm(seconds + 1)
        try:
            reply = jobs.run(*json.loads(line))
        except Exception as fault:  # noqa: BLE001 - any of theirs
            reply = {"fault": type(fault).__name__}
        _set_alarm(0)
        answers.write(json.dumps(reply) + "\n")
        answers.flush()


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]))
