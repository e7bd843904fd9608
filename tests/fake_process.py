"""The fake server as a process of its own: it outlives a client that is killed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.fake_api import Seen


@dataclass(kw_only=True)
class FakeProcess:
    """``python -m tests.fake_api`` for as long as the ``with`` lasts."""

    log: Path
    """Gets a line for each request when it is over."""
    arguments: Sequence[str] = ()
    """Command-line arguments."""
    url: str = field(default="", init=False)
    """Its address."""

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tests.fake_api", "--with-parent", "--log", str(self.log)]
        self._process = subprocess.Popen(
            [*command, *self.arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parent.parent,
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        assert self.url, "the server does not start"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=10)  # closes its standard input, which ends it

    @property
    def seen(self) -> list[Seen]:
        """Every request that is over, in the order in which they ended."""
        return read_log(self.log)


def read_log(path: Path) -> list[Seen]:
    """The requests of a log; a last line that is still being written is left out."""
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return [Seen(**json.loads(line)) for line in lines]
