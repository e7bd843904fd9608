"""GSM8K test split: 1,319 grade-school word problems (Cobbe et al. 2021); downloaded once."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from cotkit.benchmarks._files import DataFile, SourceLine, find_local, obtain, read_lines
from cotkit.scoring.canonical import canonical_number
from cotkit.types import AnswerKind, Problem, Question

MIRRORS = (
    "https://raw.githubusercontent.com/openai/grade-school-math/master/grade_school_math/data/{split}.jsonl",
    "https://huggingface.co/datasets/openai/gsm8k/resolve/main/main/{split}-00000-of-00001.parquet",
)
"""Where the files are downloaded from, in this order; the hash decides whether to believe them."""

_SHA256 = {
    "test": "3730d312f6e3440559ace48831e51066acaca737f6eabec99bccb9e4b3c39d14",
    "train": "17f347dc51477c50d4efb83959dbb7c56297aba886e5544ee2aaed3024813465",
}
_CALCULATOR = re.compile(r"<<[^<>]*>>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gsm8k:
    """The official files as a benchmark; the card is ``benchmarks/gsm8k/card.md``."""

    name: str = field(default="gsm8k", init=False)
    """Registry name."""
    version: str = field(default=f"1-{_SHA256['test'][:12]}", init=False)
    """``1-`` and the first 12 hex characters of the test file's SHA-256."""
    answer_kind: AnswerKind = field(default="number", init=False)
    """Every gold answer is an integer."""

    def problems(self) -> Sequence[Problem]:
        """The test split, in the official order.

        Raises:
            BadInputError: a file on this machine is not the official one.
            MissingDataError: no file here, and no mirror reachable.
        """
        return _load_problems("test")

    def exemplar_pool(self) -> Sequence[Problem]:
        """The train split, in the official order; raises as :meth:`problems` does."""
        return _load_problems("train")

    def is_local(self) -> bool:
        """Whether the test split is on this machine, so that no network is needed."""
        return find_local(_data_file("test")) is not None


def _data_file(split: Literal["test", "train"]) -> DataFile:
    return DataFile(folder="gsm8k", name=f"{split}.jsonl", sha256=_SHA256[split])


def _load_problems(split: Literal["test", "train"]) -> tuple[Problem, ...]:
    urls = tuple(mirror.format(split=split) for mirror in MIRRORS)
    return _read_problems(obtain(_data_file(split), urls), split)


@functools.cache
def _read_problems(path: Path, split: str) -> tuple[Problem, ...]:
    return tuple(
        _make_problem(line, f"gsm8k/{split}/{at}") for at, line in enumerate(read_lines(path))
    )


def _make_problem(line: SourceLine, problem_id: str) -> Problem:
    solution, mark, answer = line.text("answer").rpartition("####")
    gold = canonical_number(answer)
    if not mark or gold is None:
        raise line.bad("no number after ####", field="answer")
    return Problem(
        question=Question(id=problem_id, text=line.text("question")),
        gold=gold,
        rationale=_CALCULATOR.sub("", solution).strip(),
        n_steps=solution.count("<<") or None,
    )
