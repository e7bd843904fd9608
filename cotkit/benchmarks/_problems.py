"""Make problems of records in our own form, and check them: the benchmark of a user's file."""

from __future__ import annotations

import ast
import difflib
import functools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import chain
from pathlib import Path
from string import ascii_uppercase
from typing import cast, get_args

from cotkit.benchmarks._files import Record, hash_files, iterate_records, read_records
from cotkit.benchmarks._sampling import check_disjoint
from cotkit.errors import UnknownNameError, UsageError
from cotkit.identity import content_hash
from cotkit.inputs import describe_json_value
from cotkit.protocols import Benchmark
from cotkit.scoring.canonical import read_gold_number, split_solution
from cotkit.types import AnswerKind, Exemplar, Problem, Question

FIELDS = ("question", "label", "answer", "choices", "rationale", "n_steps", "id", "cluster")
"""What a line may hold; others are the user's business, unless they look like one of these."""

OTHER_NAMES: Mapping[str, tuple[str, ...]] = {
    "question": ("problem", "prompt", "query", "input", "text"),
    "answer": (
        "target",
        "gold",
        "answerkey",
        "correct",
        "correct_answer",
        "expected_answer",
        "final_answer",
    ),
    "choices": ("options", "endings"),
}
"""Field -> other names of its column, for a file in which none has the field's own name."""

_MAX_CHOICES = 26
_NEAR = 0.85  # "choice" and "n_step" are this near to a field, "steps" and "idx" are not
_CHOICE_COLUMN = re.compile(r"(?:(?:choice|option|opt|ending)s?[ _-]?)?([a-z]|[0-9]{1,2})")
_CHOICE_MARKS = (
    list(ascii_uppercase.lower()),
    list(map(str, range(_MAX_CHOICES))),
    list(map(str, range(1, _MAX_CHOICES + 1))),
)
_MAX_LIST = 100_000  # characters of a cell that may write a list
_PLACE = re.compile("[0-9]{1,3}")
_LETTERED = re.compile(r"\(?([A-Za-z])(?:[).:]+(?:\s*(\S.*))?)?", re.DOTALL)

_LATEX = re.compile(r"[\\^√π]|[0-9a-z)]\s?[_^]\s?[{0-9a-z]")  # no number that a reader has

# Which column holds what.


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldColumns:
    """What the fields are called in a file."""

    names: Mapping[str, str] = field(default_factory=dict[str, str])
    """Field -> its column, for those that are there."""
    choices: tuple[str, ...] = ()
    """The column of the choices, or one for each of them; empty: there are none."""

    def __getitem__(self, name: str) -> str:
        """Return the column of a field other than ``choices``; missing: the field's own name."""
        return self.names.get(name, name)

    @property
    def answer(self) -> str:
        """The column of the answer; ``label`` is its other name."""
        return self["label" if self.has_labels else "answer"]

    @property
    def has_labels(self) -> bool:
        """Whether the answer is a label: without choices, the labels of the file are."""
        return "label" in self.names


class _ColumnError(Exception):
    """No such column, or several that may be meant: (problem, column, hint)."""


def find_columns(record: Record, column_names: Mapping[str, str]) -> FieldColumns:
    """Find which column of a record holds what: as ``column_names`` says, else by their names.

    Raises:
        BadInputError: there is no such column, or several may be meant.
    """
    try:
        return _find_columns(tuple(record.fields), tuple(sorted(column_names.items())))
    except _ColumnError as unclear:
        problem, column, hint = unclear.args
        raise record.make_error(problem, field=column, hint=hint) from None


@functools.lru_cache(maxsize=64)  # the lines of a file are alike
def _find_columns(
    columns: tuple[str, ...], column_names: tuple[tuple[str, str], ...]
) -> FieldColumns:
    names = {name: column for name, column in column_names if name != "choices"}
    choices = tuple(
        c.strip()
        for name, value in column_names
        if name == "choices"
        for c in ((value,) if value in columns else value.split(","))
    )
    for column in (*names.values(), *choices):
        if column not in columns:
            near = difflib.get_close_matches(column, columns, n=1)
            meant = f"did you mean {near[0]}? " if near else ""
            raise _ColumnError(
                "missing", column, f"{meant}the columns are {', '.join(columns)[:200]}"
            )
    by_name = _fold_names(columns)
    names_answer = "answer" in names
    for name in FIELDS:
        if name in names or (name == "label" and names_answer) or (name == "choices" and choices):
            continue
        candidates = [name] if name in columns else by_name.get(name, [])
        if not candidates and not (name == "answer" and "label" in names):
            candidates = [c for other in OTHER_NAMES.get(name, ()) for c in by_name.get(other, ())]
        if len(candidates) > 1:
            problem = f"{' and '.join(candidates[:2])} may both be the {name}"
            raise _ColumnError(problem, candidates[1], f"say which: {name}={candidates[0]}")
        if candidates:
            names[name] = candidates[0]
    if {"answer", "label"} <= names.keys():
        hint = "they mean the same: leave one out, or say which: answer=COLUMN"
        raise _ColumnError(f"beside {names['answer']}", names["label"], hint)
    if "choices" in names:
        choices = (names.pop("choices"),)
    return FieldColumns(names=names, choices=choices or _find_choice_columns(columns))


def _fold_names(columns: tuple[str, ...]) -> dict[str, list[str]]:
    """Return the columns by their names in lower case, with underscores."""
    by_name: dict[str, list[str]] = {}
    for column in columns:
        by_name.setdefault(re.sub("[ -]", "_", column.strip().casefold()), []).append(column)
    return by_name


def _find_choice_columns(columns: tuple[str, ...]) -> tuple[str, ...]:
    """Return the columns ``A, B, C``, ``option_1, option_2`` or their like, at least two."""
    by_prefix: dict[str, dict[str, str]] = {}
    for column in columns:
        if match := _CHOICE_COLUMN.fullmatch(column.strip().casefold()):
            by_prefix.setdefault(column[: match.start(1)], {})[match[1]] = column
    for by_mark in by_prefix.values():
        for marks in _CHOICE_MARKS:
            expected = marks[: len(by_mark)]
            if len(by_mark) > 1 and set(expected) == set(by_mark):
                return tuple(by_mark[mark] for mark in expected)
    return ()


# From records to problems.


def check_problems(
    records: Iterable[Record],
    *,
    answer_kind: AnswerKind,
    labels: Sequence[str] = (),
    column_names: Mapping[str, str] | None = None,
    bases: Bases | None = None,
    name: str | None = None,
) -> tuple[Problem, ...]:
    """Make the problems of a file; one without ``id`` is named after the file and its line number.

    Args:
        records: Those of the file, in its order.
        answer_kind: What the gold answers are.
        labels: The choices of a line that has a ``label`` and no ``choices``.
        column_names: Field -> column, where the user said so.
        bases: What a whole number says of a choice: :func:`decide_bases`.
        name: What the ids begin with, for rows counted from 0; None: the file's name.

    Raises:
        BadInputError: anything in the file that is not as it must be.
    """
    ids: dict[str, int] = {}
    questions: dict[tuple[str, tuple[str, ...]], tuple[int, Problem]] = {}
    problems: list[Problem] = []
    for index, record in enumerate(records):
        columns = find_columns(record, column_names or {})
        row_name = f"{name}/{index}" if name else f"{_stem(record.file)}/{record.number}"
        problem = _make_problem(record, columns, answer_kind, labels, bases or {}, row_name)
        problem_id = problem.question.id
        if problem_id in ids:
            raise record.make_error(
                f"{problem_id!r} is already the id of line {ids[problem_id]}",
                field=columns["id"],
                hint="ids must differ; leave them out to have them numbered",
            )
        ids[problem_id] = record.number
        content = (problem.question.text, problem.question.choices)
        number, first = questions.setdefault(content, (record.number, problem))
        if number != record.number:
            _check_repeat(record, columns, problem, number, first)
        problems.append(problem)
    return tuple(problems)


def collect_labels(records: Iterable[Record], column_names: Mapping[str, str]) -> tuple[str, ...]:
    """Return the different labels of the records without choices of their own, sorted.

    Raises:
        BadInputError: a label is neither a text nor a number, or there are fewer than 2 or more
            than 26 of them.
    """
    labels: set[str] = set()
    last: tuple[Record, str] | None = None
    for record in records:
        columns = find_columns(record, column_names)
        if columns.has_labels and not _has_choices(record, columns):
            last = record, columns.answer
            labels.add(_read_answer(record, columns))
            if len(labels) > _MAX_CHOICES:
                raise record.make_error(
                    f"more than {_MAX_CHOICES} different labels in the file",
                    field=columns.answer,
                    hint="where they are no labels: FILE.jsonl:answer_kind=number or text",
                )
    if last and len(labels) == 1:
        raise last[0].make_error(
            f"{_shorten(labels.pop())} is the only label", field=last[1], hint="or give choices"
        )
    return tuple(sorted(labels))


def _check_repeat(
    record: Record, columns: FieldColumns, problem: Problem, number: int, first: Problem
) -> None:
    """Refuse a question that stands in the file twice, unless both lines share a cluster."""
    if problem.gold != first.gold:
        raise record.make_error(
            f"line {number} asks the same and has the answer {_shorten(first.gold)}",
            field=columns.answer,
            hint="correct one of them",
        )
    if problem.cluster is None or problem.cluster != first.cluster:
        raise record.make_error(
            f"line {number} asks the same",
            field=columns["question"],
            hint='delete one of them, or give both the same "cluster"',
        )


def _make_problem(  # noqa: PLR0917  a row and all that is known of its file
    record: Record,
    columns: FieldColumns,
    answer_kind: AnswerKind,
    labels: Sequence[str],
    bases: Bases,
    row_name: str,
) -> Problem:
    _check_names(record, columns)
    if answer_kind != "choice" and len(columns.choices) > 1:  # as told, they are something else
        columns = replace(columns, choices=())
    choices = _read_choices(record, columns)
    if answer_kind == "choice" and not choices and columns.has_labels:
        choices = tuple(labels)
    if (answer_kind == "choice") != bool(choices):
        needs = "needs" if answer_kind == "choice" else "cannot have"
        raise record.make_error(
            f"a benchmark of kind {answer_kind} {needs} choices",
            field=columns.choices[0] if columns.choices else "choices",
            hint="all lines of a file have choices, or none has",
        )
    solution, n_marks, gold = _read_solution(record, columns, answer_kind, choices, bases)
    return Problem(
        question=Question(
            id=_find_name(record, columns["id"]) or row_name,
            text=record.require_text(columns["question"]),
            choices=choices,
            answer_kind=answer_kind,
        ),
        gold=gold,
        rationale=record.find_text(columns["rationale"]) or solution,
        n_steps=_read_n_steps(record, columns) or n_marks,
        cluster=_find_name(record, columns["cluster"]),
    )


@functools.lru_cache(maxsize=8)
def _stem(file: Path | str) -> str:
    """Return the file's name without its end: ``mine`` of ``mine.csv.gz``."""
    return Path(Path(file).name.removesuffix(".gz")).stem


def _check_names(record: Record, columns: FieldColumns) -> None:
    """Refuse a field that looks like a misspelt one: it would silently have no effect."""
    columns_read = {*columns.names.values(), *columns.choices}
    present = {*columns.names, *(["choices"] if columns.choices else [])}
    missing = [name for name in FIELDS if name not in present]
    for name in record.fields:
        if name not in FIELDS and name not in columns_read:
            near = difflib.get_close_matches(name.lower(), missing, n=1, cutoff=_NEAR)
            if near:
                raise record.make_error(
                    "unknown field", field=name, hint=f"did you mean {near[0]}?"
                )


# Gold answers: read as answers are.


def _read_solution(
    record: Record,
    columns: FieldColumns,
    answer_kind: AnswerKind,
    choices: tuple[str, ...],
    bases: Bases,
) -> tuple[str | None, int | None, str]:
    """Return (rationale, steps, gold) of an answer, which may stand after a worked solution."""
    text = _read_answer(record, columns)
    worked = split_solution(text) if answer_kind == "number" or "####" in text else None
    rationale, answer = worked or ("", text)
    if answer_kind == "number":
        gold = read_gold_number(answer)
        if gold is None:
            raise record.make_error(
                f"cannot read {_shorten(text)} as a number",
                field=columns.answer,
                hint="for golds in LaTeX use FILE.jsonl:answer_kind=expression"
                if _LATEX.search(answer)
                else 'write "1234", "-2.5" or "1/3"; for words use FILE.jsonl:answer_kind=text',
            )
    elif answer_kind == "choice":
        gold = _read_choice(record, columns, answer, choices, bases)
    else:
        gold = answer
    return rationale or None, (text.count("<<") or None) if worked else None, gold


def _read_choice(
    record: Record, columns: FieldColumns, text: str, choices: tuple[str, ...], bases: Bases
) -> str:
    """Return the choice that an answer means by its mark, text or place, or its letter."""
    marks = _read_marks(record, columns)
    if text in marks:
        return choices[marks.index(text)]
    place = _find_place(record, columns, choices)
    if place is not None and (choice := place.choose(bases.get(place.is_quoted, "text"))):
        return choice
    if text in choices:
        return text
    folded = [choice.strip().casefold() for choice in choices]
    match = _LETTERED.fullmatch(text.strip())
    letter = match[1].upper() if match else ""
    is_letter = letter != "" and ascii_uppercase.index(letter) < len(choices)
    if match and match[2]:  # "B) blue"
        is_letter = is_letter and folded[ascii_uppercase.index(letter)] == match[2].casefold()
    if folded.count(text.strip().casefold()) == 1 and not is_letter:
        return choices[folded.index(text.strip().casefold())]
    if not is_letter:
        raise record.make_error(
            f"{_shorten(text)} is none of the choices",
            field=columns.answer,
            hint="its text, its letter, or its place: FILE:answer_base=0 or 1",
        )
    if letter.casefold() in folded:
        raise record.make_error(
            f"{_shorten(text)} may be a letter or a choice",
            field=columns.answer,
            hint="write it as the choice is written",
        )
    return text.strip() if len(text.strip()) == 1 else letter


BASES = ("text", "0", "1")
"""What a whole number says of a choice: it is its text, or its place counted from 0 or from 1."""


Bases = Mapping[bool, str]
"""Whether a number is quoted as a text is -> one of ``BASES``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """An answer that is a whole number, beside the choices of its question."""

    record: Record
    field: str
    text: str
    choices: tuple[str, ...]
    is_quoted: bool

    def choose(self, base: str) -> str | None:
        """Return the choice that the number means, or None where it means none."""
        if base == "text":
            return self.text if self.text in self.choices else None
        index = int(self.text) - int(base)
        return self.choices[index] if 0 <= index < len(self.choices) else None


def decide_bases(
    records: Iterable[Record], column_names: Mapping[str, str], base: str | None = None
) -> Bases:
    """Decide what whole numbers as answers mean, over all records with choices of their own.

    A number that is no choice's text rules out ``text``, a 0 counting from 1, the number of choices
    counting from 0. Numbers that are quoted are texts where all of them may be.

    Raises:
        BadInputError: no reading fits all of them, or several do and say different things.
    """
    places: dict[bool, list[_Place]] = {}
    for record in records:
        columns = find_columns(record, column_names)
        place = _find_place(record, columns, _read_choices(record, columns))
        if place is not None:
            places.setdefault(place.is_quoted, []).append(place)
    return {quoted: _decide_base(group, base) for quoted, group in places.items()}


def _decide_base(places: Sequence[_Place], base: str | None) -> str:
    bases = BASES if base is None else (base,)
    unfit = {
        name: next((place for place in places if place.choose(name) is None), None)
        for name in bases
    }
    fitting = [name for name, place in unfit.items() if place is None]
    if not fitting:
        raise _misplaced({name: place for name, place in unfit.items() if place})
    if places[0].is_quoted and "text" in fitting:
        return "text"
    for place in places:
        if len({place.choose(name) for name in fitting}) > 1:
            raise _ambiguous(place, fitting)
    return fitting[0]


def _misplaced(unfit: Mapping[str, _Place]) -> Exception:
    """Return the error of numbers that fit no reading; ``unfit``: the first that rules out each."""
    place = max(unfit.values(), key=lambda place: place.record.number)
    ways = "a choice's text, or its place from 0 or from 1"
    if len(unfit) == 1:
        ways = {"text": "a choice's text", "0": "its place from 0", "1": "its place from 1"}[
            min(unfit)
        ]
    others = {x.record.number: x.text for x in unfit.values() if x.record is not place.record}
    beside = "".join(f", beside {text} in line {line}" for line, text in others.items())
    return place.record.make_error(
        f"{place.text} is none of the {len(place.choices)} choices{beside}",
        field=place.field,
        hint=f"all numbers of a file mean the same: {ways}",
    )


def _ambiguous(place: _Place, bases: Sequence[str]) -> Exception:
    readings = {base: str(place.choose(base)) for base in bases}
    *others, last = (
        f"choice {ascii_uppercase[place.choices.index(choice)]} "
        f"({'by its text' if base == 'text' else f'{_shorten(choice)}, counted from {base}'})"
        for base, choice in readings.items()
    )
    return place.record.make_error(
        f"{place.text} may be {', '.join(others)} or {last}",
        field=place.field,
        hint=f"say which: FILE:answer_base={' or '.join(bases)}",
    )


def _find_place(record: Record, columns: FieldColumns, choices: tuple[str, ...]) -> _Place | None:
    """Return the answer as a whole number that may be a place; None: it is none."""
    value = record.fields.get(columns.answer)
    if not choices or isinstance(value, bool):
        return None
    number = record.find_integer(columns.answer)
    text = value if isinstance(value, str) else str(number)
    if _PLACE.fullmatch(text) is None or text in _read_marks(record, columns):
        return None
    is_quoted = isinstance(value, str) and record.is_typed
    return _Place(
        record=record, field=columns.answer, text=text, choices=choices, is_quoted=is_quoted
    )


def _read_answer(record: Record, columns: FieldColumns) -> str:
    """Return the text of the answer; a number as it was written."""
    value = record.fields.get(columns.answer)
    if isinstance(value, float):  # only what has no digits is read as one
        raise record.make_error(
            f"{value} is no number", field=columns.answer, hint="fill it in or delete the line"
        )
    is_number = isinstance(value, (int, Decimal)) and not isinstance(value, bool)
    return str(value) if is_number else record.require_text(columns.answer)


def _has_choices(record: Record, columns: FieldColumns) -> bool:
    return any(record.fields.get(name) is not None for name in columns.choices)


def _read_marks(record: Record, columns: FieldColumns) -> list[str]:
    """Return what the choices are called, where the file says so: ``A``, ``B`` or ``1``, ``2``."""
    value = record.fields.get(columns.choices[0]) if len(columns.choices) == 1 else None
    if not isinstance(value, dict):
        return []
    items = cast("dict[str, object]", value)
    marks = items.get("label", list(items))
    return [str(mark) for mark in cast("list[object]", marks)] if isinstance(marks, list) else []


def _read_choices(record: Record, columns: FieldColumns) -> tuple[str, ...]:
    if not _has_choices(record, columns):
        return ()
    name, items = columns.choices[0], _list_choices(record, columns)
    hint = f'write ["first", "second", ...], 2 to {_MAX_CHOICES} different texts'
    texts: list[str] = []
    for item in items:
        if not isinstance(item, str) or not item.strip():
            raise record.make_error(
                f"not a list of choices: {describe_json_value(item)} in it", field=name, hint=hint
            )
        if item in texts:
            problem = f"not a list of choices: {_shorten(item)} twice"
            raise record.make_error(problem, field=name, hint=hint)
        texts.append(item)
    if not 2 <= len(texts) <= _MAX_CHOICES:
        problem = f"not a list of choices: {len(texts)} of them"
        raise record.make_error(problem, field=name, hint=hint)
    return tuple(texts)


def _list_choices(record: Record, columns: FieldColumns) -> list[object]:
    """Return the choices, not yet checked, of a list, an object, a cell, or a column for each."""
    values = [record.fields.get(name) for name in columns.choices]
    if len(values) > 1:
        while values[-1] is None:  # a question may have fewer than the others
            values.pop()
        return values
    value = values[0]
    if isinstance(value, str) and not record.is_typed:
        value = _parse_list(value)
    if isinstance(value, dict):
        items = cast("dict[str, object]", value)
        value = items.get("text", list(items.values()))
    if not isinstance(value, list):
        raise record.make_error(
            f"must be a list, not {describe_json_value(value)}",
            field=columns.choices[0],
            hint='write ["first", "second", ...], first | second, or a column for each',
        )
    return cast("list[object]", value)


def _parse_list(text: str) -> object:
    """Return the list that a cell writes as JSON, as Python, or with ``|`` between; or the text."""
    if text[:1] in "[{" and len(text) <= _MAX_LIST:
        for parse in (json.loads, ast.literal_eval):
            try:
                return parse(text)
            except (ValueError, SyntaxError, MemoryError, RecursionError):
                continue
    return [part.strip() for part in text.split("|")] if "|" in text else text


def _find_name(record: Record, column: str) -> str | None:
    """Return a text, or a whole number as text: data sets number their rows."""
    number = record.find_integer(column)
    return record.find_text(column) if number is None else str(number)


def _read_n_steps(record: Record, columns: FieldColumns) -> int | None:
    value = record.fields.get(columns["n_steps"])
    if value is None:
        return None
    n_steps = record.find_integer(columns["n_steps"])
    if isinstance(value, str) and not record.is_typed and re.fullmatch("[0-9]{1,9}", value):
        n_steps = int(value)
    if n_steps is None or n_steps < 1:
        raise record.make_error(
            "must be a whole number from 1", field=columns["n_steps"], hint="or leave it out"
        )
    return n_steps


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


PARAMETERS = ("question", "answer", "choices", "rationale", "id", "cluster", "n_steps")
"""Fields whose column the user may tell: ``./my.csv:question=problem``, or a template of columns:
``question='{Body} {Question}'``; of choices also the words themselves: ``choices=no|yes``."""

OPTIONS = ("answer_kind", "answer_base", "where", "shuffle", "tag", "language")
"""The other parameters of rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowFormat:
    """How rows become problems: what files of the user's and sets of the hub have in common.

    Raises:
        UnknownNameError: ``answer_kind`` is none, ``answer_base`` not one of ``BASES``.
    """

    columns: Mapping[str, str] = field(default_factory=dict[str, str])
    """One of ``PARAMETERS`` -> its column, template or words; others are found by name."""
    answer_kind: str | None = None
    """An answer kind; None: choice if the first row has choices or a label, else number."""
    answer_base: str | None = None
    """What whole numbers say of choices, one of ``BASES``; None: decided over all rows."""
    where: str | None = None
    """``COLUMN=VALUE``: only rows with this text there; the column may be a template."""
    shuffle: bool = False
    """Whether the choices get an order by their hash: in the file the right one comes first."""
    tag: str | None = None
    """A column whose text is a tag of the problem, for tables by group."""
    language: str | None = None
    """Code of the language that the questions are written in (``de``); None: English."""

    def __post_init__(self) -> None:
        """Refuse a kind or base that does not exist."""
        if self.answer_kind is not None and self.answer_kind not in get_args(AnswerKind):
            raise UnknownNameError("answer_kind", self.answer_kind, get_args(AnswerKind))
        if self.answer_base not in {None, *BASES}:
            raise UnknownNameError("answer_base", str(self.answer_base), BASES)
        if self.language is not None:
            from cotkit.prompting import read_language  # brings jinja2

            read_language(self.language)
        if self.where is not None and not self.where.partition("=")[1]:
            raise UsageError(f"cannot read where={self.where!r}", hint="where='COLUMN=VALUE'")

    @classmethod
    def parse(cls, params: Mapping[str, str]) -> RowFormat:
        """Return the format that the parameters of a spec describe."""
        options = {name: params[name] for name in OPTIONS if name in params and name != "shuffle"}
        if options.get("language") == "en":
            del options["language"]
        columns = {name: params[name] for name in PARAMETERS if name in params}
        shuffle = params.get("shuffle", "no").lower()
        if shuffle not in {"yes", "no", "true", "false"}:
            raise UsageError(f"shuffle={shuffle}?", hint="yes or no")
        return cls(columns=columns, shuffle=shuffle in {"yes", "true"}, **options)

    def version(self) -> str:
        """Return six characters of a hash of it; empty: it is the plain one."""
        options: list[object] = [sorted(self.columns.items()), self.answer_base]
        options += [x for x in (self.where, self.tag, self.shuffle or None) if x is not None]
        options += [{"language": self.language}] if self.language else []
        is_plain = options == [[], None]
        return "" if is_plain else content_hash("user-file", options)[:6]

    def kind_of(self, records: Iterable[Record]) -> AnswerKind:
        """Return the kind of the gold answers: as given, else as the first row suggests."""
        for kind in get_args(AnswerKind):
            if kind == self.answer_kind:
                return kind
        first = next(iter(self.select(records)))
        columns = find_columns(first, self.columns)
        return "choice" if columns.has_labels or _has_choices(first, columns) else "number"

    def select(self, records: Iterable[Record]) -> Iterator[Record]:
        """Yield the rows that it takes, each with what its templates make of it as one more column.

        Raises:
            BadInputError: a template names a column that is not there, or no row is taken.
        """
        templates = {column for column in self.columns.values() if "{" in column}
        words = self.columns.get("choices", "")
        column, _, value = (self.where or "").partition("=")
        record: Record | None = None
        is_empty = True
        for record in records:
            fields = dict(record.fields)
            for template in templates:
                fields[template] = _fill(template, record)
            if "|" in words and words not in fields:
                fields[words] = [word.strip() for word in words.split("|")]
                answer = self.columns.get("answer", "answer")
                if isinstance(flag := fields.get(answer), bool):
                    fields[answer] = int(flag)
            if self.where is not None and str(_fill(column, record)) != value:
                continue
            is_empty = False
            yield replace(record, fields=fields)
        if is_empty and record is not None:
            raise record.make_error(f"no row has {self.where}", field=column, hint="another value")

    def _leave_out(self, rows: Iterable[Record]) -> Iterator[Record]:
        """Yield the rows but for those that ask what one before asks, or have two equal choices."""
        questions: set[str] = set()
        for row in rows:
            columns = find_columns(row, self.columns)
            choices = _list_choices(row, columns) if _has_choices(row, columns) else []
            text = row.fields.get(columns["question"])
            key = repr((text, choices))
            if key not in questions and len(set(map(repr, choices))) == len(choices):
                stripped = text.strip() if isinstance(text, str) else text
                yield replace(row, fields={**row.fields, columns["question"]: stripped})
            questions.add(key)

    def make_problems(
        self, records: Sequence[Record], others: Sequence[Record] = (), *, name: str | None = None
    ) -> tuple[Problem, ...]:
        """Make the problems of a split.

        Args:
            records: Its rows.
            others: Those of other splits, which have the same labels and bases.
            name: Of a published set, what the ids begin with where no column holds them; rows that
                no benchmark can have are left out. None: of a user's file.
        """
        rows = list(self.select(records))
        if name is not None:
            rows = list(self._leave_out(rows))
        everything = rows + list(self.select(others))
        kind = self.kind_of(records)
        if kind != "choice":
            problems = check_problems(rows, answer_kind=kind, column_names=self.columns, name=name)
        else:
            problems = check_problems(
                rows,
                answer_kind=kind,
                labels=collect_labels(everything, self.columns),
                column_names=self.columns,
                bases=decide_bases(everything, self.columns, self.answer_base),
                name=name,
            )
        if self.shuffle:
            problems = tuple(map(_shuffle_choices, problems))
        if self.language is not None:
            problems = tuple(
                replace(problem, question=replace(problem.question, language=self.language))
                for problem in problems
            )
        if self.tag is None:
            return problems
        return tuple(
            replace(problem, tags={self.tag.strip("{}"): str(_fill(self.tag, row))})
            for problem, row in zip(problems, rows, strict=True)
        )


_PLACEHOLDER = re.compile(r"\{([^{}]+)\}")


def _fill(template: str, record: Record) -> object:
    """Return the value of a column, or what a template makes: ``{Body} {Question}``, ``{a.0.b}``.

    A template of one placeholder gives the value as it is; of a list whose items are lettered (``A)
    ...``, ``B) ...``) the items alone.
    """
    match = _PLACEHOLDER.fullmatch(template)
    if match or "{" not in template:
        return _without_letters(_find_value(match[1] if match else template, record))

    def put(match: re.Match[str]) -> str:
        value = _find_value(match[1], record)
        return "" if value is None else str(value).strip()

    return _PLACEHOLDER.sub(put, template)


def _find_value(path: str, record: Record) -> object:
    if path in record.fields:
        return record.fields[path]
    name, *steps = path.split(".")
    if name not in record.fields:
        near = difflib.get_close_matches(name, list(map(str, record.fields)), n=1)
        columns = f"the columns are {', '.join(record.fields)[:200]}"
        hint = f"did you mean {near[0]}? {columns}" if near else columns
        raise record.make_error("missing", field=name, hint=hint)
    value = record.fields[name]
    for step in steps:
        if isinstance(value, dict):
            value = cast("dict[str, object]", value).get(step)
        elif isinstance(value, list) and step.isdecimal():
            items = cast("list[object]", value)
            value = items[int(step)] if int(step) < len(items) else None
        else:
            raise record.make_error(f"has no part {step!r}", field=name)
    return value


def _without_letters(value: object) -> object:
    if not isinstance(value, list):
        return value
    items = cast("list[object]", value)
    matches = [
        re.fullmatch(rf"\(?{letter}\s?[).:]\s*(.+)", item, re.DOTALL)
        if isinstance(item, str)
        else None
        for letter, item in zip(ascii_uppercase, items, strict=False)
    ]
    is_lettered = len(items) > 1 and len(matches) == len(items) and all(matches)
    return [match[1] for match in matches if match] if is_lettered else items


def _shuffle_choices(problem: Problem) -> Problem:
    question, gold = problem.question, problem.gold
    if gold not in question.choices:  # a letter
        gold = question.choices[ascii_uppercase.index(gold)]
    order = sorted(question.choices, key=lambda x: content_hash("choices", [question.id, x]))
    return replace(problem, question=replace(question, choices=tuple(order)), gold=gold)


@dataclass(frozen=True, slots=True, kw_only=True)
class UserFile:
    """Problems in a file; read when asked for, never cached: the user edits it."""

    path: Path
    """The file: JSON lines, JSON, CSV, TSV, Parquet or Arrow; its name's end says which."""
    exemplars: Path | None = None
    """A second file, of problems to draw exemplars from (``--exemplars train:8``, and the label
    strategies); None: none. On the command line: ``./my.jsonl:exemplars=./train.jsonl``."""
    format: RowFormat = RowFormat()
    """How its rows are read."""

    @property
    def name(self) -> str:
        """The file's name, without its folder."""
        return self.path.name

    @property
    def version(self) -> str:
        """First 12 hex characters of the SHA-256 of the file, or of both files together.

        Six of a hash of the format follow where it is not the plain one.
        """
        for path in self._files:
            next(iterate_records(path))  # so that the error says which file is missing or empty
        return "-".join(filter(None, (hash_files(*self._files), self.format.version())))

    @property
    def answer_kind(self) -> AnswerKind:
        """Kind of the gold answers: as given, else as the first record suggests."""
        return self.format.kind_of(iterate_records(self.path))

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
        others = [file for file in self._files if file != path and kind == "choice"]
        rows = chain.from_iterable(map(iterate_records, others))
        rows_format = replace(self.format, answer_kind=kind)
        return rows_format.make_problems(read_records(path), list(rows))
