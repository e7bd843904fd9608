"""Problems from JSON lines, checked: an error names the file, the line and the field."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import cast

from cotkit.bench._gold import canonical_number
from cotkit.bench._jsonl import Line, each_line, named
from cotkit.types import AnswerKind, Problem, Question

FIELDS = ("question", "answer", "label", "choices", "rationale", "n_steps", "id", "cluster")
"""What a line may hold; others are the user's business, unless they look like one of these."""

_MAX_CHOICES = 26
_NEAR = 0.85  # "choice" and "n_step" are this near to a field, "steps" and "idx" are not


def read_problems(
    path: Path, *, answer_kind: AnswerKind, labels: Sequence[str] = ()
) -> tuple[Problem, ...]:
    """Every problem of a file; a line without ``id`` is named after the file and its line number.

    ``labels``: the choices of a line that has a ``label`` and no ``choices``.

    Raises:
        BadInputError: anything in the file that is not as it must be.
    """
    ids: dict[str, int] = {}
    asked: dict[tuple[str, tuple[str, ...]], tuple[int, Problem]] = {}
    problems: list[Problem] = []
    for line in each_line(path):
        problem = _problem(line, answer_kind, labels)
        problem_id = problem.question.id
        if problem_id in ids:
            raise line.bad(
                f"{problem_id!r} is already the id of line {ids[problem_id]}",
                field="id",
                hint="ids must differ; leave them out to have them numbered",
            )
        ids[problem_id] = line.number
        content = (problem.question.text, problem.question.choices)
        number, first = asked.setdefault(content, (line.number, problem))
        if number != line.number:
            _check_repeat(line, problem, number, first)
        problems.append(problem)
    return tuple(problems)


def labels_in(lines: Iterable[Line]) -> tuple[str, ...]:
    """The different labels of lines without choices of their own, sorted.

    Raises:
        BadInputError: a label is neither a text nor a number, or there are fewer than 2 or more
            than 26 of them.
    """
    found: set[str] = set()
    last: Line | None = None
    for line in lines:
        if "label" in line.fields and line.fields.get("choices") is None:
            last = line
            found.add(_answer(line))
            if len(found) > _MAX_CHOICES:
                raise line.bad(
                    f"more than {_MAX_CHOICES} different labels in the file",
                    field="label",
                    hint="where they are no labels: FILE.jsonl:answer_kind=number or text",
                )
    if last and len(found) == 1:
        raise last.bad(
            f"{_short(found.pop())} is the only label", field="label", hint="or give choices"
        )
    return tuple(sorted(found))


def _check_repeat(line: Line, problem: Problem, number: int, first: Problem) -> None:
    """One question twice is one problem counted twice, unless the file says that it knows."""
    if problem.gold != first.gold:
        raise line.bad(
            f"line {number} asks the same and has the answer {_short(first.gold)}",
            field=_answer_field(line),
            hint="correct one of them",
        )
    if problem.cluster is None or problem.cluster != first.cluster:
        raise line.bad(
            f"line {number} asks the same",
            field="question",
            hint='delete one of them, or give both the same "cluster"',
        )


def _problem(line: Line, answer_kind: AnswerKind, labels: Sequence[str]) -> Problem:
    _check_names(line)
    choices = _choices(line)
    if answer_kind == "choice" and not choices and "label" in line.fields:
        choices = tuple(labels)
    if (answer_kind == "choice") != bool(choices):
        needs = "needs" if answer_kind == "choice" else "cannot have"
        raise line.bad(
            f"a benchmark of kind {answer_kind} {needs} choices",
            field="choices",
            hint="all lines of a file have choices, or none has",
        )
    return Problem(
        question=Question(
            id=line.optional_text("id") or f"{line.path.stem}/{line.number}",
            text=line.text("question"),
            choices=choices,
            answer_kind=answer_kind,
        ),
        gold=_gold(line, answer_kind, choices),
        rationale=line.optional_text("rationale"),
        n_steps=_n_steps(line),
        cluster=line.optional_text("cluster"),
    )


def _check_names(line: Line) -> None:
    """Refuse a field that looks like one the line does not have: it would be left out silently."""
    missing = [name for name in FIELDS if name not in line.fields]
    for name in line.fields:
        if name not in FIELDS:
            near = difflib.get_close_matches(name.lower(), missing, n=1, cutoff=_NEAR)
            if near:
                raise line.bad("unknown field", field=name, hint=f"did you mean {near[0]}?")


def _gold(line: Line, answer_kind: AnswerKind, choices: tuple[str, ...]) -> str:
    text = _answer(line)
    if answer_kind == "number":
        gold = canonical_number(text)
        if gold is None:
            raise line.bad(
                f"cannot read {_short(text)} as a number",
                field=_answer_field(line),
                hint='write "1234", "-2.5" or "1/3"; for words use FILE.jsonl:answer_kind=text',
            )
        return gold
    if answer_kind == "choice" and text not in choices:
        letters = [chr(ord("A") + at) for at in range(len(choices))]
        letter = text.strip().upper()
        if letter not in letters:
            hint = "its text, or its letter"
            raise line.bad(
                f"{_short(text)} is none of the choices", field=_answer_field(line), hint=hint
            )
        if letter.casefold() in {choice.strip().casefold() for choice in choices}:
            raise line.bad(
                f"{_short(text)} may be a letter or a choice",
                field=_answer_field(line),
                hint="write it as the choice is written",
            )
    return text


def _answer_field(line: Line) -> str:
    return "label" if "label" in line.fields else "answer"


def _answer(line: Line) -> str:
    """The text of ``answer`` or, under its other name, ``label``; a number as it was written."""
    field = _answer_field(line)
    if field == "label" and "answer" in line.fields:
        raise line.bad("beside answer", field=field, hint="they mean the same: leave one out")
    value = line.fields.get(field)
    if isinstance(value, float):  # only what has no digits is read as one
        raise line.bad(f"{value} is no number", field=field, hint="fill it in or delete the line")
    is_number = isinstance(value, (int, Decimal)) and not isinstance(value, bool)
    return str(value) if is_number else line.text(field)


def _choices(line: Line) -> tuple[str, ...]:
    value = line.fields.get("choices")
    if value is None:
        return ()
    hint = f'write ["first", "second", ...], 2 to {_MAX_CHOICES} different texts'
    if not isinstance(value, list):
        raise line.bad(f"must be a list, not {named(value)}", field="choices", hint=hint)
    texts: list[str] = []
    for item in cast("list[object]", value):
        if not isinstance(item, str) or not item.strip():
            raise line.bad(
                f"not a list of choices: {named(item)} in it", field="choices", hint=hint
            )
        if item in texts:
            problem = f"not a list of choices: {_short(item)} twice"
            raise line.bad(problem, field="choices", hint=hint)
        texts.append(item)
    if not 2 <= len(texts) <= _MAX_CHOICES:
        raise line.bad(f"not a list of choices: {len(texts)} of them", field="choices", hint=hint)
    return tuple(texts)


def _n_steps(line: Line) -> int | None:
    value = line.fields.get("n_steps")
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise line.bad("must be a whole number from 1", field="n_steps", hint="or leave it out")
    return value


def _short(text: str) -> str:
    """A quotation that fits in a line."""
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
