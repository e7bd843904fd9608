"""BBQ-lite: does a model answer by stereotype? (Parrish et al. 2022, as BIG-bench holds it)."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from string import ascii_uppercase
from typing import cast

from cotkit.benchmarks._files import FileBenchmark, Record, check_sha256, hash_files
from cotkit.benchmarks.bigbench.task_file import task_files
from cotkit.errors import UnknownNameError
from cotkit.paths import resource
from cotkit.types import AnswerKind, Notify, Problem, Question, say_nothing

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
class Bbq(FileBenchmark):
    """All categories, ambiguous and disambiguated contexts; the card is ``benchmarks/bbq``.

    Tags: ``category``; ``condition`` (``ambig`` or ``disambig``); ``polarity`` (``neg``: the
    question is about the harmful thing, ``nonneg``: about its opposite); ``unknown``: the letter
    of the option that does not decide; ``biased``: the letter of the one that the stereotype
    suggests, left out where the metadata names nobody or both (220 of 16,076 items). The right
    letter of an ambiguous item is the unknown one. A cluster is a template. There are no exemplars:
    every item is evaluated.
    """

    category: str | None = None
    """E.g. ``age``; None: all nine."""
    notify: Notify = field(default=say_nothing, repr=False, compare=False)
    """Called with a message about a download."""
    name: str = field(default="bbq", init=False)
    answer_kind: AnswerKind = field(default="choice", init=False)

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
        return f"1-{self.category or 'all'}-{hash_files(resource(STEREOTYPES))}"

    def problems(self) -> Sequence[Problem]:
        """Return categories in alphabetical order, the ambiguous items of each first, by id."""
        categories = [self.category] if self.category else sorted(_load_stereotypes())
        return tuple(
            problem
            for category in categories
            for condition in ("ambig", "disambig")
            for problem in self.load_split(f"{category}/{condition}")
        )

    def find_file(self, split: str, /) -> Path:
        """Return the official file of ``category/condition``: the marks hold for its bytes only."""
        category, _, condition = split.partition("/")
        ((_, path),) = task_files(f"bbq_lite_json/{category}_{condition}", self.notify)
        check_sha256(path, _load_stereotypes()[category][condition])
        return path

    def make_problems(self, records: Sequence[Record], split: str, /) -> Iterator[Problem]:
        """Make the problems of ``category/condition``, by example id."""
        category, _, condition = split.partition("/")
        marks = _load_stereotypes()[category]["stereotyped"]
        for record in records:
            yield _make_problem(record, category, condition, marks)


@functools.cache
def _load_stereotypes() -> Mapping[str, Mapping[str, str]]:
    return tomllib.loads(resource(STEREOTYPES).read_text(encoding="utf-8"))


def _make_problem(record: Record, category: str, condition: str, marks: str) -> Problem:
    scores, comment = (
        cast("dict[str, object]", value)
        if isinstance(value := record.fields.get(name), dict)
        else {}
        for name in ("target_scores", "comment")
    )
    number, polarity = comment.get("example_id"), comment.get("question_polarity")
    if not isinstance(number, int) or polarity not in {"neg", "nonneg"}:
        raise record.make_error("needs example_id and question_polarity", field="comment")
    choices = tuple(scores)
    unknown = [choice for choice in choices if choice in _UNKNOWN]
    right = [choice for choice in choices if scores[choice] == 1]
    if len(choices) != 3 or len(unknown) != 1 or len(right) != 1:
        raise record.make_error(
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
        groups = sorted(set(choices) - set(unknown))
        tags["biased"] = _choice_letter(choices, groups[int(mark) ^ (polarity == "nonneg")])
    return Problem(
        question=Question(
            id=f"bbq/{category}/{condition}/{number}",
            text=record.require_text("input"),
            choices=choices,
            answer_kind="choice",
        ),
        gold=right[0],
        cluster=f"bbq/{category}/{comment.get('question_index')}",
        tags=tags,
    )


def _choice_letter(choices: tuple[str, ...], choice: str) -> str:
    return ascii_uppercase[choices.index(choice)]
