"""A page that lists the runs of a store, each with its answer and a link to its report."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cotkit.printable import printable
from cotkit.report.document import Words
from cotkit.report.html.page import environment, split_answer

_FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEntry:
    """One run in the list."""

    id: str
    """As the store has it."""
    model: str
    """As the user named it."""
    bench: str
    """As the user named it."""
    strategies: tuple[str, ...]
    """As the user named them."""
    tag: str
    """The user's word for the run; empty: none."""
    status: str
    """As ``RunRow.status``."""
    updated_utc: str
    """ISO 8601."""
    headline: tuple[str, ...] | None
    """The answer, one sentence for each verdict; None: not read yet."""
    gate: Words
    """What ``--gate`` says of it."""
    trouble: str = ""
    """Why it has no report; empty: it has one."""

    @property
    def file_name(self) -> str:
        """Name of its report: of letters and digits, whatever the id holds."""
        is_plain = self.id.isascii() and self.id.isalnum()
        name = self.id if is_plain else hashlib.sha256(self.id.encode(errors="replace")).hexdigest()
        return f"run-{name[:64]}.html"


def runs_page(entries: Sequence[RunEntry], place: str) -> str:
    """Write the page; ends in a newline.

    Args:
        entries: Runs, in the order of the page; while some are not read yet, it loads itself anew.
        place: Of the store, without a password.
    """
    script = (_FOLDER / "runs.js").read_text(encoding="utf-8")
    style = [(_FOLDER / name).read_text(encoding="utf-8") for name in ("report.css", "runs.css")]
    return (
        environment()
        .get_template("runs.html.jinja")
        .render(
            entries=entries,
            place=place,
            printable=printable,
            split_answer=split_answer,
            models=sorted({entry.model for entry in entries}),
            benches=sorted({entry.bench for entry in entries}),
            gates=sorted({entry.gate.text for entry in entries if entry.gate.text}),
            n_unread=sum(entry.headline is None and not entry.trouble for entry in entries),
            style="".join(style),
            script=script,
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        )
    )
