"""GSM8K test split: 1,319 grade-school word problems (Cobbe et al. 2021); downloaded once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from cotkit.benchmarks._files import DataFile, FileBenchmark, Record, find_local, obtain
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
class Gsm8k(FileBenchmark):
    """The official files as a benchmark; the card is ``benchmarks/gsm8k/card.md``."""

    name: str = field(default="gsm8k", init=False)
    answer_kind: AnswerKind = field(default="number", init=False)
    exemplar_split: ClassVar[str | None] = "train"

    @property
    def version(self) -> str:
        """``1-`` and the first 12 hex characters of the test file's SHA-256; needs no file."""
        return f"1-{_SHA256['test'][:12]}"

    def find_file(self, split: str, /) -> Path:
        """Return the official file, downloaded from a mirror where it is not on this machine."""
        return obtain(_data_file(split), tuple(mirror.format(split=split) for mirror in MIRRORS))

    def is_local(self) -> bool:
        """Return whether the test split is on this machine, so that no network is needed."""
        return find_local(_data_file("test")) is not None

    def make_problems(self, records: Sequence[Record], split: str, /) -> Iterator[Problem]:
        """Make the problems, numbered from 0; the gold answer stands after ``####``."""
        for index, record in enumerate(records):
            solution, mark, answer = record.require_text("answer").rpartition("####")
            gold = canonical_number(answer)
            if not mark or gold is None:
                raise record.make_error("no number after ####", field="answer")
            yield Problem(
                question=Question(
                    id=f"gsm8k/{split}/{index}", text=record.require_text("question")
                ),
                gold=gold,
                rationale=_CALCULATOR.sub("", solution).strip(),
                n_steps=solution.count("<<") or None,
            )


def _data_file(split: str) -> DataFile:
    return DataFile(folder="gsm8k", name=f"{split}.jsonl", sha256=_SHA256[split])
