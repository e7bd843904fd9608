"""A prompt file of a user's as a strategy: ``--strategy ./prompt.jinja``, no Python needed.

The file is a Jinja template of one turn; a line ``{# second turn #}`` begins a second one. Its
first comment may be a header in TOML: ``control`` (what it is measured against; without one the
run needs ``--baseline``), ``reasons`` (whether it asks for reasoning; true), ``max_tokens``,
``answer_tokens`` (of the second turn).
"""

from __future__ import annotations

import dataclasses
import functools
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from cotkit.errors import BadInputError, UnknownNameError
from cotkit.prompting import format_question, render_user_text, user_text_variables
from cotkit.stops import answer_line_end
from cotkit.strategies._base import DecodingStrategy, after_cue
from cotkit.types import Attempt, Exemplar, Flow, Message, Question, Request

VARIABLES = ("question", "choices", "exemplars", "answer_instruction", "reply")
"""What a template may use; ``reply``, in the second turn only, is what the first one brought."""

_HEADER: Mapping[str, type] = {
    "control": str,
    "reasons": bool,
    "max_tokens": int,
    "answer_tokens": int,
}
_SECOND = re.compile(r"^\{#-?\s*second turn\s*-?#\}[ \t]*\n?", re.MULTILINE)
_CUE = "The answer is"


@dataclass(frozen=True, kw_only=True)
class PromptFile(DecodingStrategy):
    """What all prompt files share; each has a subclass of its own with its header and text."""

    version: ClassVar[int] = 1
    prompts: ClassVar[tuple[str, ...]] = ("answer.v1.jinja",)
    control: ClassVar[str] = ""
    reasons: ClassVar[bool] = True
    path: ClassVar[str] = ""
    """Of the file, for errors."""
    turns: tuple[str, ...] = field(init=False, default=())
    """Templates, one or two; they are part of the run's identity."""
    max_tokens: int = 256
    answer_tokens: int = 64
    """Of the second turn."""

    def solve(self, question: Question) -> Flow:
        """Send one request for each turn."""
        variables: dict[str, object] = {
            "question": format_question(question),
            "choices": question.choices,
            "exemplars": getattr(self, "exemplars", ()),
        }
        messages: tuple[Message, ...] = ()
        attempt = Attempt(text="", stop_reason="stop")
        limits = (self.max_tokens, self.answer_tokens)
        for i, (turn, limit) in enumerate(zip(self.turns, limits, strict=False)):
            prompt = render_user_text(self.path, turn, question.answer_kind, variables)
            is_cued = prompt.endswith(_CUE)
            messages = (*messages, Message(role="user", content=prompt))
            is_last = i == len(self.turns) - 1
            stop_after = answer_line_end(question.answer_kind, cue_spoken=is_cued)
            decoding = self.decoding(
                stop=("\nQ:",), stop_after=stop_after if is_last else None, max_tokens=limit
            )
            (answer,) = yield Request(messages=messages, decoding=decoding)
            messages = (*messages, Message(role="assistant", content=answer.text))
            variables["reply"] = answer.text
            text = after_cue(_CUE if is_cued else "", answer.text)
            attempt = Attempt(text=text, stop_reason=answer.stop_reason)
        return attempt


def load_prompt_file(path: Path) -> type[PromptFile]:
    """Return the strategy that a file describes.

    Raises:
        BadInputError: it cannot be read, does not parse, has a field in its header or a variable
            that there is not, or shows no question; names file and line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as unreadable:
        why = getattr(unreadable, "strerror", None) or "is no text in UTF-8"
        raise BadInputError(path, str(why)) from unreadable
    return _make_class(path, text)


@functools.cache
def _make_class(path: Path, text: str) -> type[PromptFile]:
    header = _read_header(path, text)
    first, *second = _SECOND.split(text, maxsplit=1)
    turns = tuple(turn.rstrip("\n") for turn in (first, *second))
    names = [_check_turn(path, text, turn, VARIABLES[: 4 + i]) for i, turn in enumerate(turns)]
    if "question" not in names[0]:
        raise BadInputError(path, "shows no question", hint="write {{ question }} where it belongs")
    fields: list[Any] = [("turns", tuple[str, ...], field(init=False, default=turns))]
    if any("exemplars" in of_turn for of_turn in names):
        fields.append(("exemplars", tuple[Exemplar, ...], field()))
    fields += [
        (name, int, field(default=header[name]))
        for name in ("max_tokens", "answer_tokens")
        if name in header
    ]
    return dataclasses.make_dataclass(
        "PromptFile",
        fields,
        bases=(PromptFile,),
        frozen=True,
        kw_only=True,
        namespace={
            "__module__": __name__,
            "__doc__": f"The prompt of {path.name}.",
            "control": header.get("control", ""),
            "reasons": header.get("reasons", True),
            "path": str(path),
        },
    )


def _read_header(path: Path, text: str) -> dict[str, Any]:
    body, closed, _ = text.removeprefix("{#").partition("#}")
    if not text.startswith("{#") or not closed or "=" not in body:
        return {}
    try:
        header = tomllib.loads(body)
    except tomllib.TOMLDecodeError as broken:
        raise BadInputError(path, f"header is not TOML: {broken}", line=1) from broken
    for name, value in header.items():
        if name not in _HEADER:
            unknown = UnknownNameError("field of the header", name, _HEADER)
            raise BadInputError(path, unknown.message, line=1, field=name, hint=unknown.hint)
        if type(value) is not _HEADER[name] or (isinstance(value, int) and value < 0):
            kind = {str: "a text", bool: "true or false", int: "a number of tokens"}[_HEADER[name]]
            raise BadInputError(path, f"{value!r} is not {kind}", line=1, field=name)
    return header


def _check_turn(path: Path, text: str, turn: str, names: tuple[str, ...]) -> frozenset[str]:
    """Return the variables of a template, all of them among ``names``."""
    offset = text[: text.index(turn)].count("\n") if turn in text else 0
    variables = user_text_variables(path, turn, first_line=offset)
    for name in sorted(variables - set(names)):
        unknown = UnknownNameError("variable", name, names)
        line = next(
            (i for i, row in enumerate(turn.splitlines(), 1 + offset) if name in row), 1 + offset
        )
        raise BadInputError(path, unknown.message, line=line, hint=unknown.hint)
    return variables
