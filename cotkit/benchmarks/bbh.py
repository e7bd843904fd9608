"""A task of BIG-Bench Hard (Suzgun et al. 2022): ``bbh:object_counting``."""

from __future__ import annotations

import hashlib
import re
import string
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cotkit.benchmarks._files import TaskExample, find_user_file, read_task
from cotkit.scoring.canonical import canonical_number
from cotkit.types import AnswerKind, Problem, Question

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_LETTER = re.compile(r"\(([A-Z])\)")
_OPTIONS = re.compile(r"\n?Options:\n")
_OPTION = re.compile(r"\(([A-Z])\) ?(.*)")
_CLOSED = (("Yes", "No"), ("True", "False"), ("yes", "no"), ("valid", "invalid"))
_EDGES = string.whitespace + string.punctuation


@dataclass(frozen=True, slots=True, kw_only=True)
class Bbh:
    """``$COTKIT_DATA_DIR/bbh/<task>.json``; the card is ``benchmarks/bbh/card.md``.

    What the answers are follows from the targets of the whole file: numbers; letters such as
    ``(B)`` (choice: the options are taken out of the question's text, prompts show them); one of a
    closed pair such as Yes and No (choice); else text.
    """

    task: str
    """File name without ``.json``."""
    name: str = field(default="bbh", init=False)
    """Registry name."""

    def __post_init__(self) -> None:
        """Refuse what cannot be a file's name.

        Raises:
            ValueError: it has characters that no task's name has.
        """
        if not _NAME.fullmatch(self.task):
            raise ValueError(f"task is {self.task!r}, must be a file's name without .json")

    @property
    def version(self) -> str:
        """Reader version, task, and 12 hex characters of the file's SHA-256."""
        return f"1-{self.task}-{hashlib.sha256(self._path().read_bytes()).hexdigest()[:12]}"

    @property
    def answer_kind(self) -> AnswerKind:
        """``number``, ``choice`` or ``text``."""
        return self.problems()[0].question.answer_kind

    def problems(self) -> Sequence[Problem]:
        """Every example, in the file's order.

        Raises:
            BadInputError: an example cannot be used; names file, example and field.
            MissingDataError: the file is not there.
        """
        return _read_problems(self._path(), self.task)

    def exemplar_pool(self) -> Sequence[Problem]:
        """Empty: the published exemplars are part of no data file."""
        return ()

    def _path(self) -> Path:
        return find_user_file("bbh", f"{self.task}.json")


def _read_problems(path: Path, task: str) -> tuple[Problem, ...]:
    examples = read_task(path).examples
    targets = [example.text("target").strip() for example in examples]
    ids = [f"bbh/{task}/{example.number}" for example in examples]
    rows = list(zip(ids, examples, targets, strict=True))
    if any(_LETTER.fullmatch(target) for target in targets):
        return tuple(_make_lettered_problem(*row) for row in rows)
    closed = next((pair for pair in _CLOSED if set(targets) <= set(pair)), ())
    if closed:
        return tuple(_make_problem(*row, kind="choice", choices=closed) for row in rows)
    if all(canonical_number(target) for target in targets):
        return tuple(
            _make_problem(key, example, canonical_number(target) or "", kind="number")
            for key, example, target in rows
        )
    for _, example, target in rows:
        if not target.strip(_EDGES):
            raise example.bad("only punctuation: no reader finds it", field="target")
    return tuple(_make_problem(*row, kind="text") for row in rows)


def _make_problem(
    key: str, example: TaskExample, gold: str, *, kind: AnswerKind, choices: tuple[str, ...] = ()
) -> Problem:
    text = example.text("input").strip()
    return Problem(
        question=Question(
            id=key,
            text=_OPTIONS.split(text)[0].strip() if choices else text,
            choices=choices,
            answer_kind=kind,
        ),
        gold=gold,
    )


def _make_lettered_problem(key: str, example: TaskExample, target: str) -> Problem:
    """A problem whose options stand in its text, lettered from ``(A)`` on."""
    hint = 'the question, then "Options:" and a line "(A) ..." for each'
    words, *rest = _OPTIONS.split(example.text("input"))
    lines = rest[0].strip().split("\n") if len(rest) == 1 else []
    found = [_OPTION.fullmatch(line.strip()) for line in lines]
    choices = tuple(option[2].strip() for option in found if option)
    letters = "".join(option[1] for option in found if option)
    if len(choices) != len(lines) or len(choices) < 2:
        raise example.bad("cannot read its options", field="input", hint=hint)
    if letters != string.ascii_uppercase[: len(letters)]:
        raise example.bad(f"options are lettered {letters}", field="input", hint=hint)
    if len(set(choices)) != len(choices):
        raise example.bad("two options are the same", field="input", hint=hint)
    letter = _LETTER.fullmatch(target)
    gold = dict(zip(letters, choices, strict=True)).get(letter[1], "") if letter else target
    if gold not in choices:
        raise example.bad(f"{target!r} is none of the options", field="target")
    return Problem(
        question=Question(id=key, text=words.strip(), choices=choices, answer_kind="choice"),
        gold=gold,
    )
