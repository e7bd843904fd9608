"""WiC validation split: does a word mean the same in two sentences? (Pilehvar et al. 2019)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from cotkit.benchmarks._files import FileBenchmark, Record
from cotkit.benchmarks._hub import HubSplit, find_split
from cotkit.types import AnswerKind, Problem, Question


@dataclass(frozen=True, slots=True, kw_only=True)
class Wic(FileBenchmark):
    """The SuperGLUE release; its test labels are not public. The card is ``benchmarks/wic``."""

    name: str = field(default="wic", init=False)
    answer_kind: AnswerKind = field(default="choice", init=False)
    evaluated_split: ClassVar[str] = "validation"
    exemplar_split: ClassVar[str | None] = "train"

    def find_file(self, split: str, /) -> Path:
        """Return the user's file, else the hub's."""
        hub = HubSplit(folder="wic", repo="aps/super_glue", config="wic", split=split, file=split)
        return find_split(hub).paths[0]

    def make_problems(self, records: Sequence[Record], split: str, /) -> Iterator[Problem]:
        """Make the problems, numbered from 0, without rationales."""
        for index, record in enumerate(records):
            label = record.fields.get("label")
            if not isinstance(label, int) or label not in {0, 1}:  # JSON's true and false are, too
                raise record.make_error(
                    "must be 1 or true (same meaning), 0 or false",
                    field="label",
                    hint="the test split has no labels; use validation",
                )
            word = record.require_text("word")
            sentences = [record.require_text(f"sentence{number}").strip() for number in (1, 2)]
            yield Problem(
                question=Question(
                    id=f"wic/{split}/{index}",
                    text=(
                        f'Does the word "{word}" have the same meaning in both sentences?\n'
                        f"1. {sentences[0]}\n2. {sentences[1]}"
                    ),
                    choices=("yes", "no"),
                    answer_kind="choice",
                ),
                gold="yes" if label else "no",
                cluster=f"wic/{word.casefold()}",
            )
