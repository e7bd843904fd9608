"""MMLU test split: four-way questions from 57 subjects (Hendrycks et al. 2021)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, cast

from cotkit.benchmarks._files import FileBenchmark, Record, hash_files
from cotkit.benchmarks._hub import HubSplit, find_split, name_file
from cotkit.types import AnswerKind, Problem, Question


@dataclass(frozen=True, slots=True, kw_only=True)
class Mmlu(FileBenchmark):
    """``mmlu`` is all subjects, ``mmlu:abstract_algebra`` one; the card is ``benchmarks/mmlu``.

    The exemplars are the dev split: five of each subject, without rationales.
    """

    subject: str = "all"
    """A configuration of the data set ``cais/mmlu``."""
    name: str = field(default="mmlu", init=False)
    answer_kind: AnswerKind = field(default="choice", init=False)
    exemplar_split: ClassVar[str | None] = "dev"

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
        return f"1-{self.subject}-{hash_files(self.find_file('test'))}"

    def find_file(self, split: str, /) -> Path:
        """Return the user's file, else the hub's."""
        config = self.subject
        hub = HubSplit(
            folder="mmlu",
            repo="cais/mmlu",
            config=config,
            split=split,
            file=name_file(config, split),
        )
        return find_split(hub).paths[0]

    def make_problems(self, records: Sequence[Record], split: str, /) -> Iterator[Problem]:
        """Make the problems, numbered from 0 within their subject."""
        counts = Counter[str]()
        for record in records:
            subject = record.require_text("subject")
            yield _make_problem(record, f"mmlu/{split}/{subject}/{counts[subject]}", subject)
            counts[subject] += 1


def _make_problem(record: Record, problem_id: str, subject: str) -> Problem:
    value = record.fields.get("choices")
    items = cast("list[object]", value) if isinstance(value, list) else []
    choices = tuple(item for item in items if isinstance(item, str) and item.strip())
    if len(choices) != 4 or len(items) != 4:
        raise record.make_error(
            "must be four texts", field="choices", hint='["first", "second", ...]'
        )
    if len(set(choices)) != len(choices):
        raise record.make_error("two choices are the same", field="choices", hint="correct the row")
    answer = record.find_integer("answer")
    if answer is None or not 0 <= answer <= 3:
        raise record.make_error(
            "must be 0, 1, 2 or 3", field="answer", hint="the place of the right choice"
        )
    return Problem(
        question=Question(
            id=problem_id,
            text=record.require_text("question"),
            choices=choices,
            answer_kind="choice",
        ),
        gold=choices[answer],
        tags={"subject": subject},
    )
