"""Problems from JSON lines, every line checked: an error names the file, the line and the field."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import cast

from cotkit.bench._gold import canonical_number
from cotkit.errors import BadInputError
from cotkit.types import AnswerKind, Problem, Question

_SHAPE = 'one object per line, at least {"question": "...", "answer": "..."}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a file, as an object that still has to be checked field by field."""

    path: Path
    """The file."""
    number: int
    """Line number from 1."""
    fields: Mapping[str, object]
    """What the line holds; numbers with a point are ``Decimal``, so no digit is lost."""

    def bad(self, problem: str, *, field: str | None = None, hint: str = _SHAPE) -> BadInputError:
        """An error at this line."""
        return BadInputError(self.path, problem, line=self.number, field=field, hint=hint)

    def text(self, field: str) -> str:
        """A text that must be there and not be blank."""
        if field not in self.fields:
            raise self.bad("missing", field=field)
        value = self.fields[field]
        if not isinstance(value, str):
            raise self.bad(f"must be text, not {_named(value)}", field=field, hint="quote it")
        if any("\ud800" <= letter <= "\udfff" for letter in value):
            raise self.bad("half a surrogate pair", field=field, hint="write the character itself")
        if not value.strip():
            raise self.bad("empty", field=field, hint="fill it in or delete the line")
        return value

    def optional_text(self, field: str) -> str | None:
        """A text, or None where the field is absent or null."""
        return None if self.fields.get(field) is None else self.text(field)


def read_lines(path: Path) -> tuple[Line, ...]:
    """The objects of a file, blank lines skipped.

    Raises:
        BadInputError: no such file, not UTF-8, not JSON, not an object, or nothing in it.
    """
    if not path.is_file():
        raise BadInputError(path, "no such file", hint="write a path that ends in .jsonl")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as broken:
        line = broken.object.count(b"\n", 0, broken.start) + 1
        raise BadInputError(path, "not UTF-8", line=line, hint="save it as UTF-8") from broken
    # Only \n ends a line of JSON: splitlines() would also cut at U+2028 inside a text.
    found = [
        Line(path=path, number=number, fields=_parse(path, number, line))
        for number, line in enumerate(text.split("\n"), start=1)
        if line.strip()
    ]
    if not found:
        raise BadInputError(path, "no problems in it", hint=_SHAPE)
    return tuple(found)


def read_problems(path: Path, *, answer_kind: AnswerKind) -> tuple[Problem, ...]:
    """Every problem of a file; a line without ``id`` is named after the file and its line number.

    Raises:
        BadInputError: anything in the file that is not as it must be.
    """
    first: dict[str, int] = {}
    problems: list[Problem] = []
    for line in read_lines(path):
        problem = _problem(line, answer_kind)
        problem_id = problem.question.id
        if problem_id in first:
            raise line.bad(
                f"{problem_id!r} is already the id of line {first[problem_id]}",
                field="id",
                hint="ids must differ; leave them out to have them numbered",
            )
        first[problem_id] = line.number
        problems.append(problem)
    return tuple(problems)


def _problem(line: Line, answer_kind: AnswerKind) -> Problem:
    choices = _choices(line)
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


def _gold(line: Line, answer_kind: AnswerKind, choices: tuple[str, ...]) -> str:
    value = line.fields.get("answer")
    is_number = isinstance(value, (int, Decimal)) and not isinstance(value, bool)
    text = str(value) if is_number else line.text("answer")
    if answer_kind == "number":
        gold = canonical_number(text)
        if gold is None:
            raise line.bad(
                f"cannot read {text!r} as a number",
                field="answer",
                hint='write "1234", "-2.5" or "1/3"; for words use FILE.jsonl:answer_kind=text',
            )
        return gold
    letters = [chr(ord("A") + at) for at in range(len(choices))]
    if answer_kind == "choice" and text not in choices and text.strip().upper() not in letters:
        raise line.bad(
            f"{text!r} is none of the choices", field="answer", hint="its text, or its letter"
        )
    return text


def _choices(line: Line) -> tuple[str, ...]:
    value = line.fields.get("choices")
    if value is None:
        return ()
    hint = 'write ["first", "second", ...], 2 to 26 different texts'
    if not isinstance(value, list):
        raise line.bad(f"must be a list, not {_named(value)}", field="choices", hint=hint)
    items = cast("list[object]", value)
    texts = tuple(item for item in items if isinstance(item, str) and item.strip())
    if len(texts) != len(items) or not 2 <= len(set(texts)) == len(texts) <= 26:
        raise line.bad("not a list of choices", field="choices", hint=hint)
    return texts


def _n_steps(line: Line) -> int | None:
    value = line.fields.get("n_steps")
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise line.bad("must be a whole number from 1", field="n_steps", hint="or leave it out")
    return value


def _parse(path: Path, number: int, line: str) -> Mapping[str, object]:
    try:
        value: object = json.loads(line, parse_float=Decimal)
    except (ValueError, RecursionError) as broken:  # also: an endless integer, endless nesting
        raise BadInputError(path, f"not JSON: {broken}", line=number, hint=_SHAPE) from broken
    if not isinstance(value, dict):
        raise BadInputError(path, f"{_named(value)}, not an object", line=number, hint=_SHAPE)
    return cast("dict[str, object]", value)


def _named(value: object) -> str:
    names: dict[type[object], str]
    names = {list: "a list", dict: "an object", str: "a text", bool: "true or false"}
    return "null" if value is None else names.get(type(value), "a number")
