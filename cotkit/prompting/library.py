"""Render a released prompt file: TOML header in a Jinja comment, one strict sandboxed environment.

Question text is full of ``$ % {``, so nothing but Jinja variables is ever substituted, nothing is
escaped, and an undefined variable is an error that names file and line.
"""

from __future__ import annotations

import functools
import string

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from cotkit.errors import BadInputError, UsageError
from cotkit.prompting.lock import read_locked
from cotkit.types import Exemplar, Question


def render(prompt_id: str, version: int, **variables: object) -> str:
    """The bytes of prompt ``<prompt_id>.v<version>`` for these variables.

    Raises:
        BadInputError: the file was edited after release, does not parse, or uses a variable that
            is not given; names file and line.
    """
    name = f"{prompt_id}.v{version}.jinja"
    try:
        return _environment().get_template(name).render(**variables)
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


class _Environment(ImmutableSandboxedEnvironment):
    """The sandbox, without its questions about our own frozen exemplars: half of all its time."""

    def is_safe_attribute(self, obj: object, attr: str, value: object) -> bool:
        return (type(obj) is Exemplar and attr[0] != "_") or super().is_safe_attribute(
            obj, attr, value
        )


@functools.cache
def _environment() -> _Environment:
    return _Environment(
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
