"""The released prompts, exemplars and trigger sentences: locked files, rendered in one environment.

A prompt file has a TOML header in a Jinja comment. Question text is full of ``$ % {``, so nothing
but Jinja variables is substituted, nothing is escaped, and an undefined variable is an error that
names file and line. ``python -m cotkit.prompting`` locks new files.
"""

from __future__ import annotations

import functools
import hashlib
import json
import string
import sys
import tomllib
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from cotkit.errors import BadInputError, CotkitError, UnknownNameError, UsageError
from cotkit.paths import resource
from cotkit.types import Exemplar, Question

LOCKED_SUFFIXES = (".jinja", ".jsonl")
"""Suffixes of the files in ``prompts/`` that are locked."""

_SLOT = "\ue000question\ue000"  # of the private use area: no prompt or exemplar holds it


def render(prompt_id: str, version: int, **variables: object) -> str:
    """Render prompt ``<prompt_id>.v<version>`` with these variables.

    Raises:
        BadInputError: the file was edited after release, does not parse, or uses a variable that
            is not given; names file and line.
    """
    name = f"{prompt_id}.v{version}.jinja"
    question, others = variables.get("question"), dict(variables)
    others.pop("question", None)
    if isinstance(question, str) and _is_hashable(others):
        return _render_around_question(name, tuple(others.items())).replace(_SLOT, question)
    return _render_template(name, variables)


@functools.lru_cache(maxsize=64)
def _render_around_question(name: str, others: tuple[tuple[str, object], ...]) -> str:
    """Render a prompt with a slot for the question, so that an arm's exemplars are rendered once.

    Right because released prompts print the question and do nothing else with it; a test holds
    every one of them to that.
    """
    return _render_template(name, {**dict(others), "question": _SLOT})


def _is_hashable(variables: Mapping[str, object]) -> bool:
    try:
        hash(tuple(variables.values()))
    except TypeError:
        return False
    return True


def _render_template(name: str, variables: Mapping[str, object]) -> str:
    try:
        return _jinja_environment().get_template(name).render(variables)
    except jinja2.TemplateSyntaxError as broken:
        raise BadInputError(name, str(broken.message), line=broken.lineno) from broken
    except jinja2.UndefinedError as missing:
        raise BadInputError(
            name, str(missing.message), line=_template_line(missing, name)
        ) from missing


def render_user_text(path: str, text: str, kind: str, variables: Mapping[str, object]) -> str:
    """Render a template of a user's, with the answer instruction of a kind in scope.

    Raises:
        BadInputError: it uses what is not there; names file and line.
    """
    environment = _jinja_environment()
    answer: Any = environment.get_template("answer.v1.jinja").module
    try:
        return environment.from_string(text).render(
            variables, answer_instruction=str(answer.instruction(kind))
        )
    except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError) as broken:
        raise BadInputError(path, f"cannot be rendered: {broken}") from broken


def user_text_variables(path: Path, text: str, *, first_line: int = 0) -> frozenset[str]:
    """Return the variables of a template of a user's.

    Raises:
        BadInputError: it does not parse; names file and line.
    """
    from jinja2 import meta

    try:
        return frozenset(meta.find_undeclared_variables(_jinja_environment().parse(text)))
    except jinja2.TemplateSyntaxError as broken:
        raise BadInputError(path, str(broken.message), line=first_line + broken.lineno) from broken


def format_question(question: Question) -> str:
    """Write a question as prompts show it: its words, then its choices as ``(A) ...`` lines."""
    letters = string.ascii_uppercase
    if len(question.choices) > len(letters):
        raise UsageError(
            f"{question.id} has {len(question.choices)} choices, at most 26 have letters"
        )
    lines = [f"({x}) {choice}" for x, choice in zip(letters, question.choices, strict=False)]
    return "\n".join([question.text, *lines])


@functools.cache
def _jinja_environment() -> ImmutableSandboxedEnvironment:
    return ImmutableSandboxedEnvironment(
        loader=jinja2.FunctionLoader(read_locked),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # prompts are plain text for a model, never HTML
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _template_line(error: jinja2.UndefinedError, name: str) -> int | None:
    """Return the template's line in the traceback; Jinja rewrites frames to name the template."""
    frame, line = error.__traceback__, None
    while frame is not None:
        if frame.tb_frame.f_code.co_filename in {name, "<template>"}:
            line = frame.tb_lineno
        frame = frame.tb_next
    return line


# The lock: ``prompts/LOCK.toml``, file name -> SHA-256 of its bytes. New files are added; the entry
# of a released one is never changed.


def read_locked(name: str) -> str:
    """Read a released file in ``prompts/``.

    Raises:
        BadInputError: the file is not locked, or is not what was locked.
    """
    path = resource(f"prompts/{name}")
    data = path.read_bytes()
    locked = locked_files().get(name)
    if locked is None:
        raise BadInputError(path, "not in LOCK.toml", hint="python -m cotkit.prompting")
    if hashlib.sha256(data).hexdigest() != locked:
        raise BadInputError(
            path, "a released prompt was edited", hint="undo the edit and copy it to a new version"
        )
    return data.decode()


def locked_files() -> dict[str, str]:
    """Return the SHA-256 of every released file."""
    return _read_lock(resource("prompts/LOCK.toml"))


def read_header(name: str, text: str) -> dict[str, object]:
    """Read the TOML header (id, version, source, changes) of ``<id>.v<version>.jinja``.

    Raises:
        BadInputError: there is none, it is not TOML, or a field is missing or contradicts the name.
    """
    body, closed, _ = text.removeprefix("{#").partition("#}")
    if not text.startswith("{#") or not closed:
        raise BadInputError(name, "has no header", line=1, hint="begin the file with {# ... #}")
    try:
        fields = tomllib.loads(body)
    except tomllib.TOMLDecodeError as broken:
        raise BadInputError(name, f"header is not TOML: {broken}", line=1) from broken
    prompt_id, version, _ = name.rsplit(".", 2)
    expected = {"id": prompt_id, "version": int(version.removeprefix("v"))}
    for field in ("id", "version", "source", "changes"):
        if field not in fields or fields[field] != expected.get(field, fields[field]):
            raise BadInputError(name, f"should be {expected.get(field, 'there')!r}", field=field)
    return fields


def add_new_files(folder: Path) -> list[str]:
    """Lock the files of a prompts folder that are not locked yet; return their names, sorted.

    Raises:
        BadInputError: a locked file was edited or is gone.
    """
    path = folder / "LOCK.toml"
    locked = _read_lock(path) if path.exists() else {}
    files = {p.name: p for p in folder.iterdir() if p.suffix in LOCKED_SUFFIXES}
    sums = {name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in files.items()}
    for name, old in locked.items():
        if sums.get(name) != old:
            raise BadInputError(folder / name, "a released prompt was edited or removed")
    for name in set(sums) - set(locked):
        if name.endswith(".jinja"):
            read_header(name, files[name].read_text(encoding="utf-8"))
    lines = [f'"{name}" = "{sums[name]}"\n' for name in sorted(sums)]
    path.write_text("# Written by python -m cotkit.prompting\n" + "".join(lines))
    return sorted(set(sums) - set(locked))


@functools.cache
def _read_lock(path: Path) -> dict[str, str]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


# Our own exemplars: one released file for ``few-shot`` and ``cot``.


@functools.cache
def exemplar_sets() -> tuple[str, ...]:
    """Return the names of the released sets, which any benchmark may show: ``dates``, ..."""
    files = [name.split(".") for name in locked_files() if name.startswith("exemplars.")]
    return tuple(sorted({name for _, name, *_ in files} - {"least-to-most", "program"}))


def read_exemplars(k: int, *, domain: str = "math", version: int = 1) -> tuple[Exemplar, ...]:
    """Read the first k of the released exemplars, in their released order.

    Raises:
        UsageError: k is below 1 or above what the file holds.
    """
    lines = read_locked(f"exemplars.{domain}.v{version}.jsonl").splitlines()
    if not 1 <= k <= len(lines):
        raise UsageError(
            f"{k} {'built-in' if domain == 'math' else domain} exemplars asked, "
            f"there are 1 to {len(lines)}",
            hint="--exemplars train:K draws from the benchmark's train split",
        )
    return tuple(Exemplar(**json.loads(line)) for line in lines[:k])


def read_multilingual(k: int, language: str) -> tuple[Exemplar, ...]:
    """Read k exemplars of as many languages, that of the question first.

    Raises:
        UsageError: as :func:`read_exemplars`.
    """
    n = len(read_exemplars(k, domain="multilingual", version=2))
    lines = read_locked("exemplars.multilingual.v2.jsonl").splitlines()
    exemplars = [Exemplar(**json.loads(line)) for line in lines]
    return tuple(sorted(exemplars, key=lambda x: x.language != language)[:n])


# Trigger sentences of zero-shot chain-of-thought: paraphrases, and controls (``control-...``) that
# are off topic or ask for no reasoning.


def read_triggers(*, version: int = 1) -> dict[str, str]:
    """Read every released trigger, name -> sentence, in the released order."""
    rows = map(json.loads, read_locked(f"triggers.v{version}.jsonl").splitlines())
    return {row["name"]: row["text"] for row in rows}


def read_trigger(name: str, *, version: int = 1) -> str:
    """Read the sentence of one trigger; a text with a space in it is the sentence itself.

    Raises:
        UnknownNameError: there is none of this name; says which come close.
    """
    if " " in name.strip():
        return name.strip()
    triggers = read_triggers(version=version)
    if name not in triggers:
        raise UnknownNameError("trigger", name, triggers)
    return triggers[name]


# Words of other languages, for reasoning in the language of the question.


def read_language(code: str, *, version: int = 1) -> dict[str, str]:
    """Read the words of one language: its ``name``, a ``trigger`` of reasoning, an answer ``cue``.

    Raises:
        UnknownNameError: there are none for this code; says which come close.
    """
    rows = map(json.loads, read_locked(f"languages.v{version}.jsonl").splitlines())
    languages = {row["language"]: row for row in rows}
    if code not in languages:
        raise UnknownNameError("language", code, languages)
    return languages[code]


# Names of version 0.1, for one version.


_OLD_NAMES = {
    "released": "locked_files",
    "shown": "format_question",
    "trigger_text": "read_trigger",
}


def __getattr__(name: str) -> object:
    if name not in _OLD_NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    new = _OLD_NAMES[name]
    warnings.warn(
        f"cotkit.prompting.{name} is cotkit.prompting.{new} now",
        DeprecationWarning,
        stacklevel=2,
    )
    return globals()[new]


if __name__ == "__main__":
    try:
        added = add_new_files(resource("prompts"))
    except CotkitError as refused:
        sys.exit(str(refused))
    sys.stdout.write("".join(f"locked {name}\n" for name in added) or "nothing new\n")
