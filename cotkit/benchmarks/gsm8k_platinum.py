"""GSM8K-Platinum: the GSM8K test split with labels checked again (Vendrow et al. 2025)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cotkit.benchmarks._files import DataSplit, SourceLine, find_split, read_split
from cotkit.benchmarks.gsm8k import Gsm8k
from cotkit.scoring.canonical import canonical_number
from cotkit.types import AnswerKind, Problem, Question

_SPLIT = DataSplit(
    folder="gsm8k-platinum",
    name="test",
    repo="madrylab/gsm8k-platinum",
    file="main/test-00000-of-00001.parquet",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gsm8kPlatinum:
    """Each problem has the id of its GSM8K twin, so results of the two can be laid side by side.

    The twin is the GSM8K problem with the same question; needs GSM8K's test split, too.
    """

    name: str = field(default="gsm8k-platinum", init=False)
    """Registry name."""
    answer_kind: AnswerKind = field(default="number", init=False)
    """Every gold answer is an exact number."""

    @property
    def version(self) -> str:
        """``1-`` and the first 12 hex characters of the file's SHA-256."""
        return f"1-{hashlib.sha256(find_split(_SPLIT).read_bytes()).hexdigest()[:12]}"

    def problems(self) -> Sequence[Problem]:
        """Every row, in the file's order; tag ``cleaning_status`` as the file has it.

        Raises:
            BadInputError: a row cannot be used, or has no twin; names file, row and field.
            MissingDataError: this file or GSM8K is neither here nor to be had.
        """
        return _read_problems(find_split(_SPLIT))

    def exemplar_pool(self) -> Sequence[Problem]:
        """GSM8K's train split."""
        return Gsm8k().exemplar_pool()


def _read_problems(path: Path) -> tuple[Problem, ...]:
    twins = {problem.question.text.strip(): problem for problem in Gsm8k().problems()}
    return tuple(
        _make_problem(line, twins.get(line.text("question").strip())) for line in read_split(path)
    )


def _make_problem(line: SourceLine, twin: Problem | None) -> Problem:
    if twin is None:
        raise line.bad("is no question of GSM8K", field="question", hint="use the official files")
    gold = canonical_number(line.text("answer").rpartition("####")[2])
    if gold is None:
        raise line.bad("no number after ####", field="answer", hint="use the official file")
    status = line.optional_text("cleaning_status")
    return Problem(
        question=Question(id=twin.question.id, text=twin.question.text),
        gold=gold,
        # a worked solution that leads to another answer is no rationale for this one
        rationale=twin.rationale if twin.gold == gold else None,
        n_steps=twin.n_steps if twin.gold == gold else None,
        tags={"cleaning_status": status} if status else {},
    )
