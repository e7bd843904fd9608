"""MMLU test split: four-way questions from 57 subjects (Hendrycks et al. 2021)."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from cotkit.benchmarks._files import DataSplit, SourceLine, find_split, read_integer, read_split
from cotkit.types import AnswerKind, Problem, Question


@dataclass(frozen=True, slots=True, kw_only=True)
class Mmlu:
    """``mmlu`` is all subjects, ``mmlu:abstract_algebra`` one; the card is ``benchmarks/mmlu``."""

    subject: str = "all"
    """A configuration of the data set ``cais/mmlu``."""
    name: str = field(default="mmlu", init=False)
    """Registry name."""
    answer_kind: AnswerKind = field(default="choice", init=False)
    """Every gold answer is one of four choices."""

    def __post_init__(self) -> None:
        """Refuse what cannot be a subject.

        Raises:
            ValueError: it has characters that no subject has.
        """
        if not re.fullmatch(r"[a-z_]+", self.subject):
            raise ValueError(f"subject is {self.subject!r}, must be like abstract_algebra")

    @property
    def version(self) -> str:
        """Reader version, subject, and 12 hex characters of the test file's SHA-256."""
        digest = hashlib.sha256(self._path("test").read_bytes()).hexdigest()
        return f"1-{self.subject}-{digest[:12]}"

    def problems(self) -> Sequence[Problem]:
        """The test split, in the file's order.

        Raises:
            BadInputError: a row cannot be used; names file, row and field.
            MissingDataError: the file is neither here nor to be had.
        """
        return _read_problems(self._path("test"), "test")

    def exemplar_pool(self) -> Sequence[Problem]:
        """The dev split: five of each subject, without rationales; raises as :meth:`problems`."""
        return _read_problems(self._path("dev"), "dev")

    def _path(self, split: str) -> Path:
        return find_split(
            DataSplit(
                folder="mmlu",
                name=split if self.subject == "all" else f"{self.subject}_{split}",
                repo="cais/mmlu",
                file=f"{self.subject}/{split}-00000-of-00001.parquet",
            )
        )


def _read_problems(path: Path, split: str) -> tuple[Problem, ...]:
    seen = Counter[str]()
    problems: list[Problem] = []
    for line in read_split(path):
        subject = line.text("subject")
        problems.append(_make_problem(line, f"mmlu/{split}/{subject}/{seen[subject]}", subject))
        seen[subject] += 1
    return tuple(problems)


def _make_problem(line: SourceLine, problem_id: str, subject: str) -> Problem:
    value = line.fields.get("choices")
    items = cast("list[object]", value) if isinstance(value, list) else []
    choices = tuple(item for item in items if isinstance(item, str) and item.strip())
    if len(choices) != 4 or len(items) != 4:
        raise line.bad("must be four texts", field="choices", hint='["first", "second", ...]')
    if len(set(choices)) != len(choices):
        raise line.bad("two choices are the same", field="choices", hint="correct the row")
    answer = read_integer(line.fields, "answer")
    if answer is None or not 0 <= answer <= 3:
        raise line.bad("must be 0, 1, 2 or 3", field="answer", hint="the place of the right choice")
    return Problem(
        question=Question(
            id=problem_id, text=line.text("question"), choices=choices, answer_kind="choice"
        ),
        gold=choices[answer],
        tags={"subject": subject},
    )
