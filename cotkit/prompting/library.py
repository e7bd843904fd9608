"""Render a released prompt file: TOML header in a Jinja comment, one strict sandboxed environment.

Question text is full of ``$ % {``, so nothing but Jinja variables is ever substituted, nothing is
escaped, and an undefined variable is an error that names file and line.
"""

from __future__ import annotations

import functools
import string
from collections.abc import Mapping

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from cotkit.errors import BadInputError, UsageError
from cotkit.prompting.lock import read_locked
from cotkit.types import Question


def render(prompt_id: str, version: int, **variables: object) -> str:
    """The bytes of prompt ``<prompt_id>.v<version>`` for these variables.

    Raises:
        BadInputError: the file was edited after release, does not parse, or uses a variable that
            is not given; names file and line.
    """
    name = f"{prompt_id}.v{version}.jinja"
    question, others = variables.get("question"), dict(variables)
    others.pop("question", None)
    if isinstance(question, str) and _is_hashable(others):
        return _around_question(name, tuple(others.items())).replace(_SLOT, question)
    return _rendered(name, variables)


@functools.lru_cache(maxsize=64)
def _around_question(name: str, others: tuple[tuple[str, object], ...]) -> str:
    """A prompt with a slot for the question: the exemplars of an arm are rendered once.

    Right because released prompts print the question and do nothing else with it; a test holds
    every one of them to that.
    """
    return _rendered(name, {**dict(others), "question": _SLOT})


def _is_hashable(variables: Mapping[str, object]) -> bool:
    try:
        hash(tuple(variables.values()))
    except TypeError:
        return False
    return True


def _rendered(name: str, variables: Mapping[str, object]) -> str:
    try:
        return _environment().get_template(name).render(variables)
    except jinja2.TemplateSyntaxError as broken:
        raise BadInputError(name, str(broken.message), line=broken.lineno) from broken
    except jinja2.UndefinedError as missing:
        raise BadInputError(name, str(missing.message), line=_line_of(missing, name)) from missing


def shown(question: Question) -> str:
    """The question as every prompt shows it: its words, then its choices as ``(A) ...`` lines."""
    letters = string.ascii_uppercase
    if len(question.choices) > len(letters):
        raise UsageError(
            f"{question.id} has {len(question.choices)} choices, at most 26 have letters"
        )
    lines = [f"({x}) {choice}" for x, choice in zip(letters, question.choices, strict=False)]
    return "\n".join([question.text, *lines])


_SLOT = "\ue000question\ue000"  # of the private use area: no prompt or exemplar holds it


@functools.cache
def _environment() -> ImmutableSandboxedEnvironment:
    return ImmutableSandboxedEnvironment(
        loader=jinja2.FunctionLoader(read_locked),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # prompts are plain text for a model, never HTML
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _line_of(error: jinja2.UndefinedError, name: str) -> int | None:
    """Line of the template in the traceback; Jinja rewrites frames to name the template."""
    frame, line = error.__traceback__, None
    while frame is not None:
        if frame.tb_frame.f_code.co_filename in {name, "<template>"}:
            line = frame.tb_lineno
        frame = frame.tb_next
    return line
