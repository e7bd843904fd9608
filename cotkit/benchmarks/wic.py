"""WiC validation split: does a word mean the same in two sentences? (Pilehvar et al. 2019)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cotkit.benchmarks._files import DataSplit, SourceLine, find_split, read_split
from cotkit.types import AnswerKind, Problem, Question

_CHOICES = ("yes", "no")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wic:
    """The SuperGLUE release; its test labels are not public. The card is ``benchmarks/wic``."""

    name: str = field(default="wic", init=False)
    """Registry name."""
    answer_kind: AnswerKind = field(default="choice", init=False)
    """``yes`` or ``no``."""

    @property
    def version(self) -> str:
        """``1-`` and the first 12 hex characters of the validation file's SHA-256."""
        return f"1-{hashlib.sha256(_data_path('validation').read_bytes()).hexdigest()[:12]}"

    def problems(self) -> Sequence[Problem]:
        """The validation split, in the file's order.

        Raises:
            BadInputError: a row cannot be used; names file, row and field.
            MissingDataError: the file is neither here nor to be had.
        """
        return _read_problems(_data_path("validation"), "validation")

    def exemplar_pool(self) -> Sequence[Problem]:
        """The train split, without rationales; raises as :meth:`problems` does."""
        return _read_problems(_data_path("train"), "train")


def _data_path(split: str) -> Path:
    file = f"wic/{split}-00000-of-00001.parquet"
    return find_split(DataSplit(folder="wic", name=split, repo="aps/super_glue", file=file))


def _read_problems(path: Path, split: str) -> tuple[Problem, ...]:
    return tuple(
        _make_problem(line, f"wic/{split}/{at}") for at, line in enumerate(read_split(path))
    )


def _make_problem(line: SourceLine, problem_id: str) -> Problem:
    label = line.fields.get("label")
    if not isinstance(label, int) or label not in {0, 1}:  # JSON's true and false are among these
        raise line.bad(
            "must be 1 or true (same meaning), 0 or false",
            field="label",
            hint="the test split has no labels; use validation",
        )
    return Problem(
        question=Question(
            id=problem_id,
            text=(
                f'Does the word "{line.text("word")}" have the same meaning in both sentences?\n'
                f"1. {line.text('sentence1').strip()}\n2. {line.text('sentence2').strip()}"
            ),
            choices=_CHOICES,
            answer_kind="choice",
        ),
        gold="yes" if label else "no",
        cluster=f"wic/{line.text('word').casefold()}",
    )
