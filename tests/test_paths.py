"""Files that are written as a whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cotkit.paths import write_atomically


def test_a_file_is_replaced_through_its_link_and_nothing_else_lies_there(tmp_path: Path) -> None:
    target, link = tmp_path / "page.html", tmp_path / "latest.html"
    target.write_text("old")
    link.symlink_to(target.name)
    write_atomically(link, "né".encode())
    assert link.is_symlink()
    assert target.read_text(encoding="utf-8") == "né"
    assert set(tmp_path.iterdir()) == {target, link}


def test_a_new_file_is_as_readable_as_any_other(tmp_path: Path) -> None:
    write_atomically(tmp_path / "ours", b"")
    (tmp_path / "other").touch()
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_what_was_there_stays_where_the_new_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "flips.json").write_text("{}")

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(tmp_path / "flips.json", b"[]")
    assert (tmp_path / "flips.json").read_text() == "{}"
    assert len(list(tmp_path.iterdir())) == 1
