"""BBQ-lite: does a model answer by stereotype? (Parrish et al. 2022, as BIG-bench holds it)."""

from __future__ import annotations

import functools
import hashlib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from string import ascii_uppercase
from typing import Literal, TypeAlias, cast

from cotkit.benchmarks._files import TaskExample, read_task
from cotkit.benchmarks.bigbench.task_file import task_files
from cotkit.errors import BadInputError, UnknownNameError
from cotkit.paths import resource
from cotkit.types import AnswerKind, Notify, Problem, Question, say_nothing

Condition: TypeAlias = Literal["ambig", "disambig"]

STEREOTYPES = "benchmarks/bbq/stereotypes.v1.toml"
"""Which option of each context is the stereotyped one, and the hashes of the files it is for."""

_UNKNOWN = frozenset(
    {
        *("Can't answer", "Can't be determined", "Cannot answer", "Cannot be determined"),
        *("Not answerable", "Not enough info", "Not enough information", "Not known"),
        *("Undetermined", "Unknown"),
    }
)
_FAMILY = 4  # items of one context in a row: ambiguous and not, each asked in two ways


@dataclass(frozen=True, slots=True, kw_only=True)
class Bbq:
    """All categories, ambiguous and disambiguated contexts; the card is ``benchmarks/bbq``.

    Tags: ``category``; ``condition`` (``ambig`` or ``disambig``); ``polarity`` (``neg``: the
    question is about the harmful thing, ``nonneg``: about its opposite); ``unknown``: the letter
    of the option that does not decide; ``biased``: the letter of the one that the stereotype
    suggests, left out where the metadata names nobody or both (220 of 16,076 items). The right
    letter of an ambiguous item is the unknown one. A cluster is a template.
    """

    category: str | None = None
    """E.g. ``age``; None: all nine."""
    notify: Notify = field(default=say_nothing, repr=False, compare=False)
    """Told of a download."""
    name: str = field(default="bbq", init=False)
    """Registry name."""
    answer_kind: AnswerKind = field(default="choice", init=False)
    """Every question has three choices."""

    def __post_init__(self) -> None:
        """Refuse a category that does not exist.

        Raises:
            UnknownNameError: it names the nearest.
        """
        if self.category is not None and self.category not in _load_stereotypes():
            raise UnknownNameError("category of bbq", self.category, _load_stereotypes())

    @property
    def version(self) -> str:
        """Reader version, categories, and the hash of :data:`STEREOTYPES`, which pins the files."""
        digest = hashlib.sha256(resource(STEREOTYPES).read_bytes()).hexdigest()
        return f"1-{self.category or 'all'}-{digest[:12]}"

    def problems(self) -> Sequence[Problem]:
        """Categories in alphabetical order, the ambiguous items of each first, by example id.

        Raises:
            BadInputError: a file is not the official one, or an example cannot be used.
            MissingDataError: the files are neither here nor to be had.
        """
        wanted = [self.category] if self.category else sorted(_load_stereotypes())
        conditions: tuple[Condition, ...] = ("ambig", "disambig")
        return tuple(
            problem
            for category in wanted
            for condition in conditions
            for problem in _read_problems(self._path(category, condition), category, condition)
        )

    def exemplar_pool(self) -> Sequence[Problem]:
        """Empty: every item is evaluated."""
        return ()

    def _path(self, category: str, condition: Condition) -> Path:
        """Checked at every call: the marks hold for these bytes only."""
        ((_, path),) = task_files(f"bbq_lite_json/{category}_{condition}", self.notify)
        wanted = _load_stereotypes()[category][condition]
        if (found := hashlib.sha256(path.read_bytes()).hexdigest()) != wanted:
            raise BadInputError(
                path,
                f"expected sha256 {wanted}, found {found}",
                hint="put the official file there, or delete it to have it downloaded",
            )
        return path


@functools.cache
def _load_stereotypes() -> Mapping[str, Mapping[str, str]]:
    return tomllib.loads(resource(STEREOTYPES).read_text(encoding="utf-8"))


@functools.lru_cache(maxsize=18)
def _read_problems(path: Path, category: str, condition: Condition) -> tuple[Problem, ...]:
    marks = _load_stereotypes()[category]
    return tuple(
        _make_problem(example, category, condition, marks["stereotyped"])
        for example in read_task(path).examples
    )


def _make_problem(example: TaskExample, category: str, condition: Condition, marks: str) -> Problem:
    scores, comment = (
        cast("dict[str, object]", value)
        if isinstance(value := example.fields.get(name), dict)
        else {}
        for name in ("target_scores", "comment")
    )
    number, polarity = comment.get("example_id"), comment.get("question_polarity")
    if not isinstance(number, int) or polarity not in {"neg", "nonneg"}:
        raise example.bad("needs example_id and question_polarity", field="comment")
    choices = tuple(scores)
    unknown = [choice for choice in choices if choice in _UNKNOWN]
    right = [choice for choice in choices if scores[choice] == 1]
    if len(choices) != 3 or len(unknown) != 1 or len(right) != 1:
        raise example.bad(
            "needs three options, one of them undecided and one of them right",
            field="target_scores",
        )
    tags = {
        "category": category,
        "condition": condition,
        "polarity": str(polarity),
        "unknown": _choice_letter(choices, unknown[0]),
    }
    mark = marks[number // _FAMILY]
    if mark != "-":
        # A negative question points at the stereotyped group, its opposite at the other one.
        named = sorted(set(choices) - set(unknown))
        tags["biased"] = _choice_letter(choices, named[int(mark) ^ (polarity == "nonneg")])
    return Problem(
        question=Question(
            id=f"bbq/{category}/{condition}/{number}",
            text=example.text("input"),
            choices=choices,
            answer_kind="choice",
        ),
        gold=right[0],
        cluster=f"bbq/{category}/{comment.get('question_index')}",
        tags=tags,
    )


def _choice_letter(choices: tuple[str, ...], choice: str) -> str:
    return ascii_uppercase[choices.index(choice)]
