"""Interpreters of virtual environments that hold another tool, and code run in them."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY

INSPECT, LM_EVAL = "COTKIT_INSPECT_PYTHON", "COTKIT_LM_EVAL_PYTHON"
TRACKERS = "COTKIT_TRACKERS_PYTHON"
"""Environment variables that name them; `make interop` sets all."""

_MARK = "RESULT "


def python_of(variable: str) -> Path:
    """The interpreter that a variable names; without it the test is skipped."""
    if not (name := os.environ.get(variable)):
        pytest.skip(f"{variable} names no interpreter (make interop)")
    return Path(name)


def run_in(
    python: Path,
    code: str,
    *arguments: object,
    env: Mapping[str, str] | None = None,
    timeout_s: float = 180,
) -> Any:  # noqa: ANN401 - whatever JSON says
    """What ``code`` gave to ``result(...)``, through JSON; ``arguments``: its ``sys.argv[1:]``."""
    given = (
        f"import json, sys\ndef result(value):\n    print({_MARK!r} + json.dumps(value))\n{code}"
    )
    done = call([python, "-c", given, *arguments], env=env, timeout_s=timeout_s)
    lines = [line for line in done.splitlines() if line.startswith(_MARK)]
    assert lines, done
    return json.loads(lines[-1].removeprefix(_MARK))


def call(
    command: list[object], *, env: Mapping[str, str] | None = None, timeout_s: float = 180
) -> str:
    """Standard output of a command that must succeed; cotkit is that of this checkout."""
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    done = subprocess.run(
        [str(part) for part in command],
        env={**os.environ, **offline, "PYTHONPATH": str(REPOSITORY), **(env or {})},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout
