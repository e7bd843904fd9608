"""BIG-Bench Hard (Suzgun et al. 2022): one task, ``bbh:object_counting``, or all 27."""

from __future__ import annotations

import contextlib
import re
import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from cotkit.benchmarks._files import FileBenchmark, Record, find_user_file, hash_files
from cotkit.benchmarks._hub import HubSplit, find_split
from cotkit.errors import MissingDataError, UnknownNameError
from cotkit.scoring.canonical import canonical_number
from cotkit.types import AnswerKind, Problem, Question

_TASKS = """
boolean_expressions causal_judgement date_understanding disambiguation_qa dyck_languages
formal_fallacies geometric_shapes hyperbaton logical_deduction_five_objects
logical_deduction_seven_objects logical_deduction_three_objects movie_recommendation
multistep_arithmetic_two navigate object_counting penguins_in_a_table
reasoning_about_colored_objects ruin_names salient_translation_error_detection snarks
sports_understanding temporal_sequences tracking_shuffled_objects_five_objects
tracking_shuffled_objects_seven_objects tracking_shuffled_objects_three_objects web_of_lies
word_sorting
"""
TASKS = tuple(_TASKS.split())
"""The tasks of the paper."""

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_LETTER = re.compile(r"\(([A-Z])\)")
_OPTIONS = re.compile(r"\n?Options:\n")
_OPTION = re.compile(r"\(([A-Z])\) ?(.*)")
_EXEMPLAR_SETS = {
    "date_understanding": "dates",
    "sports_understanding": "sports",
    **{task: "tracking" for task in TASKS if task.startswith("tracking_")},
}
_CLOSED = (("Yes", "No"), ("True", "False"), ("yes", "no"), ("valid", "invalid"))
_EDGES = string.whitespace + string.punctuation


@dataclass(frozen=True, slots=True, kw_only=True)
class Bbh(FileBenchmark):
    """``$COTKIT_DATA_DIR/bbh/<task>.json``, else the hub's; the card is ``benchmarks/bbh/card.md``.

    What the answers are follows from the targets of the whole file: numbers; letters such as
    ``(B)`` (choice: the options are taken out of the question's text, prompts show them); one of a
    closed pair such as Yes and No (choice); else text. There are no exemplars: the published ones
    are part of no data file. A few tasks have a set of ours.
    """

    task: str = "all"
    """One of the 27 tasks, or the name of a file of the user's; ``all``: one after the other."""
    name: str = field(default="bbh", init=False)

    def __post_init__(self) -> None:
        """Refuse what cannot be a file's name.

        Raises:
            ValueError: it has characters that no task's name has.
        """
        if not _NAME.fullmatch(self.task):
            raise ValueError(f"task is {self.task!r}, must be a file's name without .json")

    @property
    def version(self) -> str:
        """Reader version, task, and 12 hex characters of the files' SHA-256."""
        files = (task.find_file("test") for task in self._tasks())
        return f"1-{self.task}-{hash_files(*files)}"

    @property
    def answer_kind(self) -> AnswerKind:
        """``number``, ``choice`` or ``text``; of all tasks together ``text``."""
        return "text" if self.task == "all" else self.problems()[0].question.answer_kind

    @property
    def exemplar_set(self) -> str | None:
        """The set of ours that ``builtin:K`` means for chains; None: none fits the task."""
        return _EXEMPLAR_SETS.get(self.task)

    def problems(self) -> Sequence[Problem]:
        """Return all problems, of all tasks in the order of their names, each with its task."""
        if self.task != "all":
            return self.load_split("test")
        return [
            replace(problem, tags={"task": task.task})
            for task in self._tasks()
            for problem in task.problems()
        ]

    def _tasks(self) -> Sequence[Bbh]:
        return [Bbh(task=task) for task in TASKS] if self.task == "all" else [self]

    def find_file(self, _split: str, /) -> Path:
        """Return the user's file of the task, else the hub's."""
        with contextlib.suppress(MissingDataError):
            return find_user_file("bbh", f"{self.task}.json")
        if self.task not in TASKS:
            raise UnknownNameError("task of bbh", self.task, TASKS)
        hub = HubSplit(
            repo="SaylorTwift/bbh", config=self.task, split="test", folder="bbh", file=self.task
        )
        return find_split(hub).paths[0]

    def make_problems(self, records: Sequence[Record], _split: str, /) -> Iterable[Problem]:
        """Make the problems of the kind that the targets of all of them are of."""
        targets = [record.require_text("target").strip() for record in records]
        ids = [f"bbh/{self.task}/{index}" for index in range(len(records))]
        rows = list(zip(ids, records, targets, strict=True))
        if any(_LETTER.fullmatch(target) for target in targets):
            return [_make_lettered_problem(*row) for row in rows]
        choices = next((pair for pair in _CLOSED if set(targets) <= set(pair)), ())
        if choices:
            return [_make_problem(*row, kind="choice", choices=choices) for row in rows]
        numbers = [number for target in targets if (number := canonical_number(target))]
        if len(numbers) == len(targets):
            rows = zip(ids, records, numbers, strict=True)
            return [_make_problem(*row, kind="number") for row in rows]
        for _, record, target in rows:
            if not target.strip(_EDGES):
                raise record.make_error("only punctuation: no reader finds it", field="target")
        return [_make_problem(*row, kind="text") for row in rows]


def _make_problem(
    key: str, record: Record, gold: str, *, kind: AnswerKind, choices: tuple[str, ...] = ()
) -> Problem:
    text = record.require_text("input").strip()
    return Problem(
        question=Question(
            id=key,
            text=_OPTIONS.split(text)[0].strip() if choices else text,
            choices=choices,
            answer_kind=kind,
        ),
        gold=gold,
    )


def _make_lettered_problem(key: str, record: Record, target: str) -> Problem:
    """Make a problem whose options stand in its text, lettered from ``(A)`` on."""
    hint = 'the question, then "Options:" and a line "(A) ..." for each'
    words, *lists = _OPTIONS.split(record.require_text("input"))
    lines = lists[0].strip().split("\n") if len(lists) == 1 else []
    options = [option for line in lines if (option := _OPTION.fullmatch(line.strip()))]
    choices = tuple(option[2].strip() for option in options)
    letters = "".join(option[1] for option in options)
    if len(choices) != len(lines) or len(choices) < 2:
        raise record.make_error("cannot read its options", field="input", hint=hint)
    if letters != string.ascii_uppercase[: len(letters)]:
        raise record.make_error(f"options are lettered {letters}", field="input", hint=hint)
    if len(set(choices)) != len(choices):
        raise record.make_error("two options are the same", field="input", hint=hint)
    letter = _LETTER.fullmatch(target)
    gold = dict(zip(letters, choices, strict=True)).get(letter[1], "") if letter else target
    if gold not in choices:
        raise record.make_error(f"{target!r} is none of the options", field="target")
    return Problem(
        question=Question(id=key, text=words.strip(), choices=choices, answer_kind="choice"),
        gold=gold,
    )
