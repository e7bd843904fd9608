"""GSM8K-Platinum: the GSM8K test split with labels checked again (Vendrow et al. 2025)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cotkit.benchmarks._files import FileBenchmark, Record
from cotkit.benchmarks._hub import HubSplit, find_split
from cotkit.benchmarks.gsm8k import Gsm8k
from cotkit.scoring.canonical import canonical_number
from cotkit.types import AnswerKind, Problem, Question


@dataclass(frozen=True, slots=True, kw_only=True)
class Gsm8kPlatinum(FileBenchmark):
    """Each problem has the id of its GSM8K twin, so results of the two can be laid side by side.

    The twin is the GSM8K problem with the same question; needs GSM8K's test split, too.
    """

    name: str = field(default="gsm8k-platinum", init=False)
    answer_kind: AnswerKind = field(default="number", init=False)

    def find_file(self, split: str, /) -> Path:
        """Return the user's file, else the hub's."""
        hub = HubSplit(folder=self.name, repo="madrylab/gsm8k-platinum", split=split, file=split)
        return find_split(hub).paths[0]

    def exemplar_pool(self) -> Sequence[Problem]:
        """Return GSM8K's train split."""
        return Gsm8k().exemplar_pool()

    def make_problems(self, records: Sequence[Record], _split: str, /) -> Iterator[Problem]:
        """Make the problems; tag ``cleaning_status`` as the file has it."""
        twins = {problem.question.text.strip(): problem for problem in Gsm8k().problems()}
        for record in records:
            twin = twins.get(record.require_text("question").strip())
            if twin is None:
                raise record.make_error(
                    "is no question of GSM8K", field="question", hint="use the official files"
                )
            gold = canonical_number(record.require_text("answer").rpartition("####")[2])
            if gold is None:
                raise record.make_error(
                    "no number after ####", field="answer", hint="use the official file"
                )
            status = record.find_text("cleaning_status")
            yield Problem(
                question=Question(id=twin.question.id, text=twin.question.text),
                gold=gold,
                # a worked solution that leads to another answer is no rationale for this one
                rationale=twin.rationale if twin.gold == gold else None,
                n_steps=twin.n_steps if twin.gold == gold else None,
                tags={"cleaning_status": status} if status else {},
            )
