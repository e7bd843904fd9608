"""Every family of models whose tiny random member transformers can build runs exactly here."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the hf extra is not installed")
pytest.importorskip("transformers", reason="the hf extra is not installed")

from perf.families import FAMILIES, examine

pytestmark = pytest.mark.full


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_texts_are_those_of_plain_generate(tmp_path: Path, family: str) -> None:
    result = examine(family, tmp_path)
    assert result.same_texts
    assert result.difference < 1e-4
