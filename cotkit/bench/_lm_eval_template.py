"""The templates of a task file, rendered for one row: strict and sandboxed."""

from __future__ import annotations

import ast
import contextlib
import functools
import re
from dataclasses import dataclass
from typing import cast

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from cotkit.bench._jsonl import Line
from cotkit.bench._lm_eval_config import Config

_LIST = re.compile(r"\[.*\]", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """One ``doc_to_...`` of a task: the name of a field of the rows, or a Jinja template."""

    config: Config
    """The task, for errors."""
    name: str
    """The task's field, e.g. ``doc_to_text``."""
    source: str
    """What it says."""

    def is_field(self, row: Line) -> bool:
        """Whether it names a field of this row; then it is no template."""
        return self.source in row.fields

    def value(self, row: Line) -> object:
        """The field of that name as it is, or the rendered text.

        Raises:
            BadInputError: the row has no such field, or the template fails on it; names both.
        """
        if self.is_field(row):
            return row.fields[self.source]
        template = self._compiled()
        try:
            return template.render(row.fields)
        except jinja2.UndefinedError as missing:
            held = f"it has: {', '.join(row.fields)}"
            raise self._bad(row, str(missing.message), held) from missing
        except Exception as broken:  # whatever an expression of the template can raise
            said = (str(broken).splitlines() or [""])[0]
            raise self._bad(row, f"{type(broken).__name__}: {said}", None) from broken

    def items(self, row: Line) -> list[object]:
        """The value or, where it is a list or a rendered text that writes one, its items.

        Raises:
            BadInputError: as :meth:`value`.
        """
        value = self.value(row)
        if isinstance(value, str) and not self.is_field(row) and _LIST.fullmatch(value):
            with contextlib.suppress(SyntaxError, ValueError):  # it may only look like a list
                value = ast.literal_eval(value)
        return list(cast("list[object]", value)) if isinstance(value, list) else [value]

    def _compiled(self) -> jinja2.Template:
        try:
            return _compile(self.source)
        except jinja2.TemplateSyntaxError as broken:
            raise self.config.bad(self.name, f"not a template: {broken.message}") from broken

    def _bad(self, row: Line, problem: str, hint: str | None) -> Exception:
        return self.config.bad(self.name, f"{row.path.name}:{row.number}: {problem}", hint)


@functools.lru_cache(maxsize=64)
def _compile(source: str) -> jinja2.Template:
    """In an environment as lm-eval's own, its filter included, and sandboxed."""
    environment = ImmutableSandboxedEnvironment(
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # plain text for a model, never HTML
        keep_trailing_newline=True,
    )
    filters = cast("dict[str, object]", environment.filters)
    filters["regex_replace"] = _regex_replace
    return environment.from_string(source)


def _regex_replace(text: str, pattern: str, repl: str, count: int = 0) -> str:
    return re.sub(pattern, repl, text, count=count)
