"""Completions that some other program made: read one line at a time, every field checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast, get_args

from cotkit.errors import BadInputError, Location
from cotkit.inputs import describe_json_value, is_encodable, iterate_lines, parse_object
from cotkit.types import Attempt, StopReason
from cotkit.workflows.records import AttemptRecord, make_vote, read_record

DEFAULT_ARM = "completions"
"""Arm of the lines that name none."""

_SHAPE = 'one object per line, at least {"id": "...", "text": "..."}'


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionLine:
    """One completion, checked in itself; whether its problem exists is not known here."""

    place: Location
    """Where it stands, for errors."""
    id_field: str
    """Name there of the field that names the problem."""
    problem: str | int
    """Id of its problem; a whole number is the problem's place in the benchmark, from 0."""
    record: AttemptRecord
    """What the readers are to read, and what else the line says of it."""
    sample: int
    """Which independent draw it is, from 0."""
    arm: str
    """What was done to make it; arms are compared."""
    says_end: bool
    """Whether the program says why the text ended; if not, it is read as complete."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldNames:
    """What other programs call the two fields that a line must have."""

    id: str = "id"
    """Holds the problem's id, or its place in the benchmark."""
    text: str = "text"
    """Holds the completion, or a list of samples (one list within a list is taken as that)."""


def read_file(
    path: Path,
    names: FieldNames,
    *,
    arm: str = DEFAULT_ARM,
    on_read: Callable[[int], None] = lambda _: None,
) -> Iterator[CompletionLine]:
    """Yield the completions of a JSON-lines file; only one line is held at a time.

    Args:
        path: The file; blank lines are skipped.
        names: What it calls its fields.
        arm: Of lines that name none.
        on_read: Called after each line with the number of bytes read so far.

    Raises:
        BadInputError: no such file, a line that is too long, not UTF-8, not JSON or no object, or
            a field that is not as it must be.
    """
    for place, line, end in iterate_lines(path, hint=_SHAPE):
        on_read(end)
        yield from _make_completions(place, parse_object(line, place), names, arm)


def read_items(
    items: Iterable[Mapping[str, object]], *, arm: str = DEFAULT_ARM, source: str = "completions"
) -> Iterator[CompletionLine]:
    """Yield the completions of Python objects, each as a line of a file would hold it."""
    for number, item in enumerate(items, start=1):
        place = Location(file=source, line=number, hint=_SHAPE)
        if not isinstance(item, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] - callers may be untyped
            raise place.make_error(f"{describe_json_value(item)}, not an object")
        yield from _make_completions(place, item, FieldNames(), arm)


def _make_completions(
    place: Location, fields: Mapping[str, object], names: FieldNames, arm: str
) -> Iterator[CompletionLine]:
    problem = _read_problem(place, fields, names.id)
    texts = _read_texts(place, fields, names.text)
    first = _read_sample(place, fields)
    if first is not None and len(texts) > 1 and fields.get("vote") is not True:
        raise place.make_error(
            f"beside {len(texts)} texts", field="sample", hint="a list is samples 0, 1, 2, ..."
        )
    arm, end = _read_arm(place, fields, arm), _read_stop_reason(place, fields)
    for i, record in enumerate(_make_records(place, fields, texts, end)):
        yield CompletionLine(
            place=place,
            id_field=names.id,
            problem=problem,
            record=record,
            sample=i + (first or 0),
            arm=arm,
            says_end=end is not None or "cotkit" in fields,
        )


def _make_records(
    place: Location, fields: Mapping[str, object], texts: list[str], end: StopReason | None
) -> list[AttemptRecord]:
    """Return the attempts of a line: one for each text, or one where the texts are a vote."""

    def bad(problem: str, name: str) -> BadInputError:
        return place.make_error(problem, field=f"cotkit.{name}", hint="as cotkit export writes it")

    if (entry := fields.get("cotkit")) is not None:
        if not isinstance(entry, dict) or len(texts) > 1:
            raise place.make_error("must be an object beside one text", field="cotkit")
        end_entry: Mapping[str, object] = {} if end is None else {"stop_reason": end}
        return [read_record({**end_entry, **cast("dict[str, object]", entry)}, texts[0], bad)]
    samples = [Attempt(text=text, stop_reason=end or "stop") for text in texts]
    is_vote = fields.get("vote", False)
    if not isinstance(is_vote, bool):
        raise place.make_error("must be true or false", field="vote", hint="or leave it out")
    attempts = [make_vote(samples)] if is_vote else samples
    return [AttemptRecord(attempt=attempt) for attempt in attempts]


def _read_problem(place: Location, fields: Mapping[str, object], name: str) -> str | int:
    value = _require_field(place, fields, name, option="--id-field")
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        hint = "the problem's id, or its place in the benchmark from 0"
        raise place.make_error(
            f"must be a text or a whole number, not {describe_json_value(value)}",
            field=name,
            hint=hint,
        )
    return value


def _read_texts(place: Location, fields: Mapping[str, object], name: str) -> list[str]:
    value = _require_field(place, fields, name, option="--text-field")
    if isinstance(value, str):
        return [value]
    hint = "the completion, or a list of samples"
    items = cast("list[object]", value) if isinstance(value, list) else []
    if len(items) == 1 and isinstance(items[0], list):  # one request, its repeats within
        items = cast("list[object]", items[0])
    if not items:
        what = (
            "an empty list"
            if isinstance(value, list)
            else f"{describe_json_value(value)}, not a text"
        )
        raise place.make_error(what, field=name, hint=hint)
    for i, item in enumerate(items):
        if not isinstance(item, str):
            raise place.make_error(
                f"{describe_json_value(item)} at {i}, not a text", field=name, hint=hint
            )
    return cast("list[str]", items)


def _require_field(
    place: Location, fields: Mapping[str, object], name: str, *, option: str
) -> object:
    if name not in fields:
        names = ", ".join(map(repr, sorted(fields)[:8])) or "nothing"
        hint = f"the line has {names}; another name: {option} NAME"
        raise place.make_error("missing", field=name, hint=hint)
    return fields[name]


def _read_sample(place: Location, fields: Mapping[str, object]) -> int | None:
    value = fields.get("sample")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise place.make_error(
            "must be a whole number from 0", field="sample", hint="or leave it out"
        )
    return value


def _read_arm(place: Location, fields: Mapping[str, object], default: str) -> str:
    value = fields.get("arm")
    if value is None:
        return default
    if not isinstance(value, str) or not value.strip():
        raise place.make_error("must be a name", field="arm", hint="or leave it out")
    if not is_encodable(value):
        raise place.make_error(
            "half a surrogate pair", field="arm", hint="write the character itself"
        )
    return value


def _read_stop_reason(place: Location, fields: Mapping[str, object]) -> StopReason | None:
    value = fields.get("stop_reason")
    if value is None:
        return None
    for reason in get_args(StopReason):
        if value == reason:
            return reason
    hint = f"{', '.join(get_args(StopReason))}, or leave it out"
    words = repr(value) if isinstance(value, str) else describe_json_value(value)
    raise place.make_error(f"{words[:40]} is not known", field="stop_reason", hint=hint)
