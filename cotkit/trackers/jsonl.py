"""Every event of a run as a line of JSON, appended to a file: ``--track jsonl:events.jsonl``."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from cotkit.errors import UsageError
from cotkit.events import Event
from cotkit.paths import check_overwrites


@dataclass(kw_only=True, slots=True)
class Jsonl:
    """Writes events to a file, each as soon as it happens."""

    path: Path
    """Appended to, so that a resumed run goes on in the same file."""
    _file: TextIO = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Open the file, and end the line that a killed run may have begun.

        Raises:
            UsageError: it cannot be written, or exists and holds something else.
        """
        try:
            if self.path.is_file():
                check_overwrites(self.path, b'{"event":', "file of events")
            is_torn = self.path.is_file() and not _ends_line(self.path)
            self._file = self.path.open("a", encoding="utf-8")
        except OSError as failure:
            raise UsageError(
                f"cannot write {self.path}: {failure.strerror}", hint="--track jsonl:FILE"
            ) from None
        if is_torn:
            self._file.write("\n")

    def record(self, event: Event) -> None:
        """Write one line: ``event``, ``time`` (UTC, ISO 8601), then the fields of the event."""
        name = re.sub(r"(?<!^)(?=[A-Z])", "_", type(event).__name__).lower()
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"event": name, "time": now, **asdict(event)}, allow_nan=False)
        self._file.write(line + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _ends_line(path: Path) -> bool:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        if not size:
            return True
        file.seek(size - 1)
        return file.read(1) == b"\n"
