"""Study files: the options of ``cotkit compare`` or ``cotkit scale`` as TOML.

A key is the name of an option, a value what the option takes: no option is declared here. So what
the command line can do a file can, but for what a stranger's file must not choose.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, TypeAlias, cast

from cotkit.cli.config import ConfiguredCommand
from cotkit.cli.options import STUDY_HEAD
from cotkit.errors import (
    BadInputError,
    CotkitError,
    IncompleteRunError,
    InterruptedRunError,
    Location,
    UnknownNameError,
    UsageError,
)
from cotkit.inputs import decode, find_toml_line, parse_toml
from cotkit.printable import printable
from cotkit.registry import Spec

Value: TypeAlias = "str | int | float | bool | list[Value] | dict[str, Value]"
"""What TOML may hold for an option."""

COMMANDS = ("compare", "scale")
"""What a study may be of."""
FOR_THE_COMMAND_LINE = frozenset(
    {
        *("store", "log-dir", "trust-address", "trust-code", "confirm-run-unsafe-code", "sandbox"),
        *("accept-terms", "executor", "ray-address", "ray-workers", "ray-gpus", "track", "save"),
    }
)
"""Options that no file chooses: it may have come with a stranger's folder."""
_LADDERS = ("model", "models", "family", "runs", "published", "from")
"""Options that name what is measured: one of them takes the place of another."""
_SAVED_ALWAYS = ("model", "strategy", "bench")
"""Options that are saved though they have their defaults, where models are run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """A command and its options."""

    command: str
    """One of :data:`COMMANDS`."""
    options: Mapping[str, Value]
    """Name of an option, as in ``--help`` and without its dashes -> value."""


# From a file to a study.


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyFile:
    """A study with the text that it was read from, so that errors can name a line."""

    study: Study
    """What it says."""
    place: Location
    """Where it is."""
    text: str
    """As it was read."""
    keys: Mapping[str, str]
    """Option -> its key as it stands in the text."""

    def make_error(self, error: UsageError, key: str) -> BadInputError:
        """Return an error as one about a key of the text."""
        line = find_toml_line(self.text, key)
        return BadInputError(self.place.file, error.message, line=line, field=key, hint=error.hint)

    def locate(self, error: UsageError, keys: Sequence[str]) -> UsageError:
        """Return an error with the line of the key that it is about, if one of ``keys`` can be.

        It is about an option that it names, else about the one whose words it repeats most of.
        """

        def score(key: str) -> int:
            words = set(_WORD.findall(say_value(self.study.options[key])))
            words &= set(_WORD.findall(error.message))
            if f"--{key}" in error.message:
                return 1000
            name = rf"\b{key.replace('-', '[- ]')}\b"
            return sum(map(len, words)) + (3 if re.search(name, error.message) else 0)

        scores = {key: score(key) for key in keys}
        best = max(scores.values(), default=0)
        suspects = [key for key in keys if scores[key] == best]
        if isinstance(error, BadInputError) or not best or len(suspects) > 1:
            return error
        return self.make_error(error, self.keys[suspects[0]])


_WORD = re.compile(r"[\w./-]*\w")


def read_study(content: bytes, place: Location, commands: Mapping[str, Any]) -> StudyFile:
    """Read a study file; ``commands``: those of the command line, by name.

    Raises:
        BadInputError: no TOML, an unknown key, a value of another kind, or what only the command
            line may say; names file, line and key.
    """
    text = decode(content, place)
    table: dict[str, Any] = parse_toml(content, place)
    file = StudyFile(study=Study(command="", options={}), place=place, text=text, keys={})
    command = table.pop("command", None) or _guess_command(table, commands)
    if command not in COMMANDS:
        error = UsageError(f"{str(command)[:40]!r} is no command of a study", hint="compare, scale")
        raise file.make_error(error, "command")
    options = options_by_key(commands[command])
    keys: dict[str, str] = {}
    for written_key, value in table.items():
        key = written_key.replace("_", "-")
        try:
            _check_key(key, value, options, command)
        except UsageError as error:
            raise file.make_error(error, written_key) from error
        name = _first_name(options[key])
        if name in keys:
            twice = UsageError(f"the same as {keys[name]}", hint="leave one out")
            raise file.make_error(twice, written_key)
        keys[name] = written_key
    values = {name: table[written_key] for name, written_key in keys.items()}
    study = Study(command=command, options=values)
    return StudyFile(study=study, place=place, text=text, keys=keys)


def _guess_command(table: Mapping[str, Any], commands: Mapping[str, Any]) -> str:
    """Return ``scale`` for a study of several models, or with an option that only it has."""
    only = options_by_key(commands["scale"]).keys() - options_by_key(commands["compare"]).keys()
    keys = {key.replace("_", "-") for key in table}
    return "scale" if "models" in keys or not only.isdisjoint(keys) else "compare"


def options_by_key(command: Any) -> dict[str, Any]:  # noqa: ANN401 - click's, or typer's copy
    """Return name without dashes -> option, for every name of every option of a command."""
    return {
        name.removeprefix("--"): option
        for option in command.params
        for name in option.opts
        if name.startswith("--")
    }


def _first_name(option: Any) -> str:  # noqa: ANN401 - as above
    return next(name for name in option.opts if name.startswith("--")).removeprefix("--")


def _check_key(key: str, value: Value, options: Mapping[str, Any], command: str) -> None:
    """Refuse a key or a value.

    Raises:
        UsageError: says why.
    """
    if key in FOR_THE_COMMAND_LINE:
        hint = f"a file may be a stranger's: write --{key} behind cotkit run FILE"
        raise UsageError("a study file does not choose this", hint=hint)
    if key not in options:
        unknown = UnknownNameError(f"option of cotkit {command}", key, options)
        raise UsageError(unknown.message, hint=unknown.hint)
    option = options[key]
    items: list[Value] = [value]
    if isinstance(value, list | dict):
        items = list(value.values() if isinstance(value, dict) else value)
    if not items:
        raise UsageError("nothing is named", hint="leave the line out for the default")
    if option.is_flag != isinstance(value, bool):
        kind = "true or false" if option.is_flag else "a text or a number"
        raise UsageError(f"{say_value(value)[:40]!r}? It is {kind}")
    if isinstance(value, dict) and not _takes_pairs(option):
        raise UsageError("a table? It takes no NAME=VALUE")
    has_numbers = option.type.name == "str" and all(isinstance(item, int | float) for item in items)
    if isinstance(value, list) and not (option.multiple or has_numbers or key == "runs"):
        raise UsageError("a list? It takes one value")
    for item in items:
        _check_item(item, option)


def _check_item(item: Value, option: Any) -> None:  # noqa: ANN401 - as above
    """Refuse one value of an option; raises UsageError."""
    if not isinstance(item, str | int | float):
        raise UsageError(f"{say_value(item)[:40]!r} is no text and no number")
    text = say_value(item)
    if option.type.name == "path" and (Path(text).is_absolute() or ".." in Path(text).parts):
        raise UsageError(
            f"{text[:100]!r} is not below the folder where the study is run",
            hint=f"a path without .., or {option.opts[0]} behind cotkit run FILE",
        )
    try:
        option.type.convert(text, option, None)
    except Exception as wrong:  # click's BadParameter, or typer's copy of it
        problem = getattr(wrong, "message", None)
        if problem is None:
            raise
        raise UsageError(problem.rstrip(".")) from wrong


def _takes_pairs(option: Any) -> bool:  # noqa: ANN401 - as above
    """Return whether an option takes ``NAME=VALUE``, one or several: a table of the file."""
    return re.search("key=value,key=value|^MODEL=", option.help or "") is not None


def say_value(value: Value) -> str:
    """Return a value as the command line has it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        params = {key: say_value(item) for key, item in value.items()}
        return str(Spec(name="", params=params)).removeprefix(":")
    return ",".join(map(say_value, value)) if isinstance(value, list) else str(value)


# From a study to the arguments of its command.


def list_arguments(study: Study, command: Any) -> list[str]:  # noqa: ANN401 - as above
    """Return the arguments that give a command the options of a study; those it has not drop."""
    options = options_by_key(command)
    return [
        argument
        for key, value in study.options.items()
        if key in options
        for argument in _write_arguments(key, value, options[key])
    ]


def _write_arguments(key: str, value: Value, option: Any) -> Iterator[str]:  # noqa: ANN401
    if isinstance(value, bool):
        yield from (option.opts if value else option.secondary_opts)[:1]
        return
    items: list[Value] = [value]
    if option.multiple and isinstance(value, dict):
        items = [f"{name}={say_value(item)}" for name, item in value.items()]
    elif option.multiple and isinstance(value, list):
        items = value
    for item in items:
        yield f"--{key}={say_value(item)}"


def override(study: Study, arguments: Sequence[str], context: Any) -> Study:  # noqa: ANN401
    """Return a study with what follows it on the command line in place of its own.

    ``context``: of its command.

    Raises:
        UsageError: an argument that is no option.
    """
    command = context.command
    parser = command.make_parser(context)
    values, others, _ = parser.parse_args(list(arguments))
    if others:
        raise UsageError(f"unexpected argument {others[0]!r}", hint="cotkit run FILE --option ...")
    keys = {option.name: _first_name(option) for option in options_by_key(command).values()}
    own = {keys[name]: cast("Value", value) for name, value in values.items()}
    replaced = set(own) | (set(_LADDERS) if not own.keys().isdisjoint(_LADDERS) else set())
    options = {key: value for key, value in study.options.items() if key not in replaced}
    return Study(command=study.command, options={**options, **own})


# From options to a file.


def write_study(study: Study, *, head: Sequence[str] = ()) -> str:
    """Return a study as TOML, which :func:`read_study` reads back; ``head``: comments above it."""
    lines = [*head, f"command = {_write_value(study.command)}"]
    lines += [f"{key} = {_write_value(value)}" for key, value in study.options.items()]
    return "\n".join(lines) + "\n"


def _write_value(value: Value) -> str:
    if isinstance(value, bool):
        return say_value(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list):
        return f"[{', '.join(map(_write_value, value))}]"
    if isinstance(value, dict):
        pairs = (f"{_write_value(key)} = {_write_value(item)}" for key, item in value.items())
        return f"{{ {', '.join(pairs)} }}"
    return repr(value)


class StudyCommand(ConfiguredCommand):
    """A command whose options can be saved as a study file, once it has run."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - as above
        """Run it; write the file unless nothing was run."""
        has_run = True
        try:
            return super().invoke(ctx)
        except CotkitError as error:
            has_run = isinstance(error, IncompleteRunError | InterruptedRunError)
            raise
        finally:
            if has_run and (path := ctx.params.get("save")):
                self._save(ctx, Path(path))

    def _save(self, ctx: Any, path: Path) -> None:  # noqa: ANN401 - as above
        from cotkit import __version__
        from cotkit.cli.output import print_status
        from cotkit.paths import write_atomically

        options = dict(_list_chosen(ctx, self.params))
        own = {key: value for key, value in options.items() if not _is_refused(key, value, self)}
        others = Study(command="", options={k: v for k, v in options.items() if k not in own})
        arguments = ["cotkit", "run", path.name, *list_arguments(others, self)]
        head = [
            f"{STUDY_HEAD} {ctx.info_name}, version {__version__}",
            f"# {printable(shlex.join(arguments))}",
        ]
        text = write_study(Study(command=ctx.info_name, options=own), head=head)
        write_atomically(path, text.encode())
        print_status(f"written: {path}")


def _list_chosen(ctx: Any, params: Sequence[Any]) -> Iterator[tuple[str, Value]]:  # noqa: ANN401
    """Yield (key, value) of all that was not left at its default, and of what must be said."""
    is_run = not any(ctx.params.get(name) for name in ("sources", "runs", "published"))
    for option in params:
        key = _first_name(option)
        value = ctx.params.get(option.name)
        source = ctx.get_parameter_source(option.name)
        is_chosen = source is not None and source.name not in {"DEFAULT", "PROMPT"}
        is_needed = is_run and key in _SAVED_ALWAYS and not (key == "model" and _has_models(ctx))
        if value is not None and key != "save" and (is_chosen or is_needed):
            yield key, _plain_value(value)


def _has_models(ctx: Any) -> bool:  # noqa: ANN401 - as above
    return bool(ctx.params.get("models") or ctx.params.get("family"))


def _plain_value(value: object) -> Value:
    """Return a value of an option as TOML holds it; digits become a number."""
    if isinstance(value, list | tuple):
        return [str(item) for item in cast("Sequence[object]", value)]
    if isinstance(value, bool | int | float):
        return value
    text = str(value.value if isinstance(value, Enum) else value)
    return int(text) if re.fullmatch(r"[1-9][0-9]{0,8}", text) else text


def _is_refused(key: str, value: Value, command: Any) -> bool:  # noqa: ANN401 - as above
    try:
        _check_key(key, value, options_by_key(command), command.name)
    except UsageError:
        return True
    return False
