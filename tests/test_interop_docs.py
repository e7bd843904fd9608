"""docs/interop.md and docs/foreign.md, word by word, with both tools (``make interop``).

The hosted model is a server on loopback, the local one a tiny model in a folder of that name.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.fake_api import FakeApi
from tests.interop_tools import LM_EVAL, python_of
from tests.test_foreign import inspect_log, lm_eval
from tests.tiny_model import build_tiny_model

pytestmark = [pytest.mark.interop, pytest.mark.full]

BLOCK = re.compile(
    r"<!-- not run in tests: [^>]*`make interop`[^>]*-->\n\n```(sh|python)\n(.*?)```", re.DOTALL
)
TASK = """
from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.scorer import match

@task
def mine():
    samples = [Sample(id=str(i), input=f"What is {i} plus 1?", target=str(i + 1)) for i in range(3)]
    return Task(dataset=samples, scorer=match())
"""
GSM8K = REPOSITORY.parent / "shared" / "data" / "gsm8k"


def blocks(page: str) -> list[tuple[str, str]]:
    return BLOCK.findall((REPOSITORY / "docs" / page).read_text(encoding="utf-8"))


def run(language: str, code: str, folder: Path, env: dict[str, str]) -> str:
    python = python_of(LM_EVAL)
    command = [str(python), "-c", code]
    if language == "sh":
        command = ["bash", "-euo", "pipefail", "-c", code]
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ
        | {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "INSPECT_DISPLAY": "none"}
        | {"PATH": f"{python.parent}:{os.environ['PATH']}", "PYTHONPATH": str(REPOSITORY), **env},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, (code, (done.stdout + done.stderr)[-4000:])
    return done.stdout


@pytest.mark.skipif(not GSM8K.is_dir(), reason="GSM8K is not beside the repository")
def test_interop_word_by_word(tmp_path: Path) -> None:
    (tmp_path / "your_task.py").write_text(TASK)
    exemplars = [
        {"question": f"{i} + 1?", "answer": i + 1, "rationale": f"{i} + 1 = {i + 1}."}
        for i in range(6)
    ]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(line) + "\n" for line in exemplars))
    build_tiny_model(tmp_path / "Qwen" / "Qwen2.5-0.5B", context_tokens=4096, has_pad=True)
    exports = re.findall(
        r"(?<!-->\n\n)```sh\n(cotkit export.*?)```",
        (REPOSITORY / "docs" / "interop.md").read_text(),
        re.DOTALL,
    )
    assert exports
    with FakeApi() as api:
        env = {"OPENAI_API_KEY": "x", "OPENAI_BASE_URL": f"{api.url}/v1"}
        env["COTKIT_DATA_DIR"] = str(GSM8K.parent)
        for code in exports:
            run("sh", 'cotkit() { python -m cotkit "$@"; }\n' + code, tmp_path, env)
        written = [
            run(language, SHELL[language] + code, tmp_path, env)
            for language, code in blocks("interop.md")
        ]
        convert = "inspect log convert logs/plain/*.eval --to json --output-dir json"
        run("sh", SHELL["sh"] + convert, tmp_path, env)
    assert len(written) == 3
    assert list((tmp_path / "json").glob("*.json"))
    assert re.search(r"(over|against) few-shot\b", " ".join(written[0].split()))
    assert re.search(r"(over|against) few-shot\b", " ".join(written[2].split()))


SHELL = {
    "sh": 'cotkit() { python -m cotkit "$@"; }\nlm_eval() { python -m lm_eval "$@"; }\n'
    'inspect() { python -m inspect_ai "$@"; }\n',
    "python": "",
}


def test_foreign_word_by_word(tmp_path: Path) -> None:
    rights = {"out-cot": [1.0, 1.0, 0.0, 1.0], "out-plain": [0.0, 1.0, 0.0, 0.0]}
    for number, model in enumerate(("Qwen/Qwen2.5-0.5B", "Qwen/Qwen2.5-7B")):
        for folder, right in rights.items():
            lm_eval(tmp_path / folder, {"flexible-extract": right}, model=model)
        for day, (task, right) in enumerate(
            zip(("gsm8k_cot", "gsm8k"), rights.values(), strict=True)
        ):
            lm_eval(
                tmp_path / "out",
                {"flexible-extract": right},
                task=task,
                model=model,
                date=f"2025-06-{10 * number + day + 11}T10-00-00.000001",
            )
    for folder, right in (("logs-cot", "C"), ("logs-plain", "I")):
        (tmp_path / folder).mkdir()
        for model in ("small", "model"):
            about = {"task": "sums", "task_version": 0, "model": f"my/{model}", "dataset": {}}
            path = tmp_path / folder / f"{model}.eval"
            inspect_log(path, {"s0": [right], "s1": ["C"]}, eval=about)
    [(language, code)] = blocks("foreign.md")
    for line in code.splitlines():
        run(language, SHELL[language] + line, tmp_path, {})
