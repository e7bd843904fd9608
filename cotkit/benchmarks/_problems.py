"""Make problems of records in our own form, and check them: the benchmark of a user's file."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain
from pathlib import Path
from string import ascii_uppercase
from typing import cast, get_args

from cotkit.benchmarks._files import Record, hash_files, iterate_lines
from cotkit.benchmarks._sampling import check_disjoint
from cotkit.errors import UnknownNameError, UsageError
from cotkit.inputs import describe_json_value
from cotkit.protocols import Benchmark
from cotkit.scoring.canonical import canonical_number
from cotkit.types import AnswerKind, Exemplar, Problem, Question

FIELDS = ("question", "answer", "label", "choices", "rationale", "n_steps", "id", "cluster")
"""What a line may hold; others are the user's business, unless they look like one of these."""

_MAX_CHOICES = 26
_NEAR = 0.85  # "choice" and "n_step" are this near to a field, "steps" and "idx" are not


def check_problems(
    records: Iterable[Record], *, answer_kind: AnswerKind, labels: Sequence[str] = ()
) -> tuple[Problem, ...]:
    """Make the problems of a file; one without ``id`` is named after the file and its line number.

    ``labels``: the choices of a line that has a ``label`` and no ``choices``.

    Raises:
        BadInputError: anything in the file that is not as it must be.
    """
    ids: dict[str, int] = {}
    questions: dict[tuple[str, tuple[str, ...]], tuple[int, Problem]] = {}
    problems: list[Problem] = []
    for record in records:
        problem = _make_problem(record, answer_kind, labels)
        problem_id = problem.question.id
        if problem_id in ids:
            raise record.make_error(
                f"{problem_id!r} is already the id of line {ids[problem_id]}",
                field="id",
                hint="ids must differ; leave them out to have them numbered",
            )
        ids[problem_id] = record.number
        content = (problem.question.text, problem.question.choices)
        number, first = questions.setdefault(content, (record.number, problem))
        if number != record.number:
            _check_repeat(record, problem, number, first)
        problems.append(problem)
    return tuple(problems)


def collect_labels(records: Iterable[Record]) -> tuple[str, ...]:
    """Return the different labels of the records without choices of their own, sorted.

    Raises:
        BadInputError: a label is neither a text nor a number, or there are fewer than 2 or more
            than 26 of them.
    """
    labels: set[str] = set()
    last: Record | None = None
    for record in records:
        if "label" in record.fields and record.fields.get("choices") is None:
            last = record
            labels.add(_read_answer(record))
            if len(labels) > _MAX_CHOICES:
                raise record.make_error(
                    f"more than {_MAX_CHOICES} different labels in the file",
                    field="label",
                    hint="where they are no labels: FILE.jsonl:answer_kind=number or text",
                )
    if last and len(labels) == 1:
        raise last.make_error(
            f"{_shorten(labels.pop())} is the only label", field="label", hint="or give choices"
        )
    return tuple(sorted(labels))


def _check_repeat(record: Record, problem: Problem, number: int, first: Problem) -> None:
    """Refuse a question that stands in the file twice, unless both lines share a cluster."""
    if problem.gold != first.gold:
        raise record.make_error(
            f"line {number} asks the same and has the answer {_shorten(first.gold)}",
            field=_answer_field(record),
            hint="correct one of them",
        )
    if problem.cluster is None or problem.cluster != first.cluster:
        raise record.make_error(
            f"line {number} asks the same",
            field="question",
            hint='delete one of them, or give both the same "cluster"',
        )


def _make_problem(record: Record, answer_kind: AnswerKind, labels: Sequence[str]) -> Problem:
    _check_names(record)
    choices = _read_choices(record)
    if answer_kind == "choice" and not choices and "label" in record.fields:
        choices = tuple(labels)
    if (answer_kind == "choice") != bool(choices):
        needs = "needs" if answer_kind == "choice" else "cannot have"
        raise record.make_error(
            f"a benchmark of kind {answer_kind} {needs} choices",
            field="choices",
            hint="all lines of a file have choices, or none has",
        )
    return Problem(
        question=Question(
            id=record.find_text("id") or f"{Path(record.file).stem}/{record.number}",
            text=record.require_text("question"),
            choices=choices,
            answer_kind=answer_kind,
        ),
        gold=_read_gold(record, answer_kind, choices),
        rationale=record.find_text("rationale"),
        n_steps=_read_n_steps(record),
        cluster=record.find_text("cluster"),
    )


def _check_names(record: Record) -> None:
    """Refuse a field that looks like a misspelt one: it would silently have no effect."""
    missing = [name for name in FIELDS if name not in record.fields]
    for name in record.fields:
        if name not in FIELDS:
            near = difflib.get_close_matches(name.lower(), missing, n=1, cutoff=_NEAR)
            if near:
                raise record.make_error(
                    "unknown field", field=name, hint=f"did you mean {near[0]}?"
                )


def _read_gold(record: Record, answer_kind: AnswerKind, choices: tuple[str, ...]) -> str:
    text = _read_answer(record)
    if answer_kind == "number":
        gold = canonical_number(text)
        if gold is None:
            raise record.make_error(
                f"cannot read {_shorten(text)} as a number",
                field=_answer_field(record),
                hint='write "1234", "-2.5" or "1/3"; for words use FILE.jsonl:answer_kind=text',
            )
        return gold
    if answer_kind == "choice" and text not in choices:
        letters = set(ascii_uppercase[: len(choices)])
        letter = text.strip().upper()
        if letter not in letters:
            hint = "its text, or its letter"
            raise record.make_error(
                f"{_shorten(text)} is none of the choices", field=_answer_field(record), hint=hint
            )
        if letter.casefold() in {choice.strip().casefold() for choice in choices}:
            raise record.make_error(
                f"{_shorten(text)} may be a letter or a choice",
                field=_answer_field(record),
                hint="write it as the choice is written",
            )
    return text


def _answer_field(record: Record) -> str:
    return "label" if "label" in record.fields else "answer"


def _read_answer(record: Record) -> str:
    """Return the text of ``answer`` or, its other name, ``label``; a number as it was written."""
    field = _answer_field(record)
    if field == "label" and "answer" in record.fields:
        raise record.make_error(
            "beside answer", field=field, hint="they mean the same: leave one out"
        )
    value = record.fields.get(field)
    if isinstance(value, float):  # only what has no digits is read as one
        raise record.make_error(
            f"{value} is no number", field=field, hint="fill it in or delete the line"
        )
    is_number = isinstance(value, (int, Decimal)) and not isinstance(value, bool)
    return str(value) if is_number else record.require_text(field)


def _read_choices(record: Record) -> tuple[str, ...]:
    value = record.fields.get("choices")
    if value is None:
        return ()
    hint = f'write ["first", "second", ...], 2 to {_MAX_CHOICES} different texts'
    if not isinstance(value, list):
        raise record.make_error(
            f"must be a list, not {describe_json_value(value)}", field="choices", hint=hint
        )
    texts: list[str] = []
    for item in cast("list[object]", value):
        if not isinstance(item, str) or not item.strip():
            raise record.make_error(
                f"not a list of choices: {describe_json_value(item)} in it",
                field="choices",
                hint=hint,
            )
        if item in texts:
            problem = f"not a list of choices: {_shorten(item)} twice"
            raise record.make_error(problem, field="choices", hint=hint)
        texts.append(item)
    if not 2 <= len(texts) <= _MAX_CHOICES:
        raise record.make_error(
            f"not a list of choices: {len(texts)} of them", field="choices", hint=hint
        )
    return tuple(texts)


def _read_n_steps(record: Record) -> int | None:
    value = record.fields.get("n_steps")
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise record.make_error(
            "must be a whole number from 1", field="n_steps", hint="or leave it out"
        )
    return value


def _shorten(text: str) -> str:
    """Return a quotation that fits in a record."""
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


# A label benchmark: all its questions have the same choices, its labels.


def label_pool(bench: Benchmark, problems: Sequence[Problem]) -> tuple[Exemplar, ...]:
    """Return all exemplars that the benchmark offers: text, no rationale, the gold label.

    Raises:
        UsageError: the questions do not all have the same choices, a gold answer is not the text of
            one, there are no exemplars, or one of them is among ``problems``.
    """
    pool = bench.exemplar_pool()
    everything = (*problems, *pool)
    labels = {problem.question.choices for problem in everything}
    if len(labels) != 1 or any(p.gold not in p.question.choices for p in everything) or not pool:
        raise UsageError(
            f"{bench.name} is not a label benchmark: it needs one set of labels for all questions"
            " and exemplars that show them",
            hint="--bench sentiment-mini or linear-classification",
        )
    exemplars = tuple(
        Exemplar(question=problem.question.text, rationale="", answer=problem.gold)
        for problem in pool
    )
    check_disjoint(exemplars, problems)
    return exemplars


# A benchmark of the user's own: ``--bench ./my.jsonl``.


@dataclass(frozen=True, slots=True, kw_only=True)
class UserFile:
    """Problems in a JSON-lines file; read when asked for, never cached: the user edits it.

    Raises:
        UnknownNameError: ``kind`` is not an answer kind.
    """

    path: Path
    """The file."""
    kind: str | None = None
    """``number``, ``choice`` or ``text``; None: choice if its first line has choices or a label,
    else number. On the command line: ``./my.jsonl:answer_kind=text``."""
    exemplars: Path | None = None
    """A second file, of problems to draw exemplars from (``--exemplars train:8``, and the label
    strategies); None: none. On the command line: ``./my.jsonl:exemplars=./train.jsonl``."""

    def __post_init__(self) -> None:
        """Refuse a kind that does not exist."""
        if self.kind is not None and self.kind not in get_args(AnswerKind):
            raise UnknownNameError("answer_kind", self.kind, get_args(AnswerKind))

    @property
    def name(self) -> str:
        """The file's name, without its folder."""
        return self.path.name

    @property
    def version(self) -> str:
        """First 12 hex characters of the SHA-256 of the file, or of both files together."""
        for path in self._files:
            next(iterate_lines(path))  # so that the error says which file is missing or empty
        return hash_files(*self._files)

    @property
    def answer_kind(self) -> AnswerKind:
        """Kind of the gold answers: as given, else as the first line suggests."""
        for kind in get_args(AnswerKind):
            if kind == self.kind:
                return kind
        first = next(iterate_lines(self.path)).fields
        return "choice" if first.get("choices") or "label" in first else "number"

    def problems(self) -> Sequence[Problem]:
        """Return every problem, in the file's order."""
        return self._read(self.path)

    def exemplar_pool(self) -> Sequence[Problem]:
        """Return every problem of the second file; nothing without one: a file is one split."""
        return self._read(self.exemplars) if self.exemplars else ()

    @property
    def _files(self) -> tuple[Path, ...]:
        return (self.path, self.exemplars) if self.exemplars else (self.path,)

    def _read(self, path: Path) -> tuple[Problem, ...]:
        kind = self.answer_kind
        labels: tuple[str, ...] = ()
        if kind == "choice":
            labels = collect_labels(chain.from_iterable(map(iterate_lines, self._files)))
        return check_problems(iterate_lines(path), answer_kind=kind, labels=labels)
