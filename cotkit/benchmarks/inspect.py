"""The data set of a task of Inspect: ``--bench inspect:MODULE/TASK``."""

from __future__ import annotations

import contextlib
import copy
import functools
import importlib
import importlib.metadata
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from cotkit.errors import (
    CotkitError,
    Location,
    MissingDataError,
    MissingDependencyError,
    UnknownNameError,
    UsageError,
)
from cotkit.identity import content_hash
from cotkit.inputs import first_line, is_encodable
from cotkit.registry import Spec, load_file
from cotkit.scoring.canonical import read_gold_number
from cotkit.types import AnswerKind, Problem, Question

_GROUP = "inspect_ai"
"""Entry points by which packages tell Inspect of their tasks."""
_MAX_CHOICES = 26


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectTask:
    """The samples of a task: input, choices, target; :func:`open_task` makes it of a spec.

    Its solver and scorers have no effect. To get the samples the task's Python code is run, so
    :meth:`allow_code` has to be called first. Needs the extra ``inspect``. Samples of more than one
    message are refused.
    """

    task: str
    """``MODULE/TASK``: a package that Inspect knows (``inspect_evals/gsm8k``), any other module,
    or a file (``./my_tasks.py/gsm8k``)."""
    _is_allowed: bool = field(init=False, default=False, repr=False)

    @property
    def name(self) -> str:
        """``inspect:`` and the task."""
        return f"inspect:{self.task}"

    @property
    def version(self) -> str:
        """First 12 hex characters of the hash of all problems."""
        return content_hash("inspect-problems", self.problems())[:12]

    @property
    def answer_kind(self) -> AnswerKind:
        """``choice`` where samples have choices, ``number`` where targets are, else ``text``."""
        return self.problems()[0].question.answer_kind

    @property
    def runs_code(self) -> bool:
        """Whether it runs Python code: always."""
        return True

    def allow_code(self) -> InspectTask:
        """Return the same benchmark, free to run the task's Python code."""
        allowed = copy.copy(self)
        object.__setattr__(allowed, "_is_allowed", True)
        return allowed

    def notes(self) -> tuple[str, ...]:
        """Say what of the task has no effect."""
        return (f"solver and scorers of {self.name} have no effect: its data set is asked",)

    def problems(self) -> Sequence[Problem]:
        """Return a problem for each sample, in the order of the data set.

        Raises:
            UsageError: nobody allowed to run the task's code.
            MissingDependencyError: ``inspect-ai`` is not installed.
            UnknownNameError: no such module or task.
            MissingDataError: the data cannot be had.
            BadInputError: the code fails, or a sample cannot be asked.
        """
        if not self._is_allowed:
            raise UsageError(
                f"{self.name} runs the Python code of a task",
                hint="compare --confirm-run-unsafe-code runs it, with all that you may do",
            )
        return _make_problems(self.task)

    def exemplar_pool(self) -> Sequence[Problem]:
        """Return nothing: a task has one data set."""
        return ()


Inspect = InspectTask
"""By the name of this file, for the registry; a backend has the same name."""


def open_task(spec: Spec) -> InspectTask:
    """Return the task that a spec names; nothing is run yet.

    Raises:
        UsageError: it is not written MODULE/TASK.
        UnknownNameError: another parameter.
    """
    if unknown := spec.params.keys() - {"task"}:
        raise UnknownNameError("parameter of inspect", min(unknown), ["task"])
    module, _, function = (name := spec.params.get("task", "")).rpartition("/")
    if not module or not function.isidentifier():
        raise UsageError(f"inspect:{name} is no MODULE/TASK", hint="inspect:inspect_evals/gsm8k")
    return InspectTask(task=name)


@functools.lru_cache(maxsize=8)
def _make_problems(task: str) -> tuple[Problem, ...]:
    place = Location(file=f"inspect:{task}")
    try:
        importlib.import_module("inspect_ai")
    except ImportError:
        raise MissingDependencyError("inspect-ai", "inspect") from None
    try:
        with contextlib.redirect_stdout(sys.stderr):  # a report may stand on standard output
            samples = list(_find_task(task)().dataset)
    except CotkitError:
        raise
    except OSError as fault:
        raise MissingDataError(
            f"{place.file}: its data cannot be had: {first_line(fault)}"
        ) from fault
    except Exception as fault:
        raise place.make_error(f"fails: {type(fault).__name__}: {first_line(fault)}") from fault
    if not samples:
        raise place.make_error("its data set is empty")
    targets = [_read_targets(sample) for sample in samples]
    numbers = all(read_gold_number(text) is not None for texts in targets for text in texts)
    return tuple(
        _make_problem(task, number, sample, texts, "number" if numbers else "text")
        for number, (sample, texts) in enumerate(zip(samples, targets, strict=True), 1)
    )


def _find_task(task: str) -> Callable[[], Any]:
    """Return the function that makes a task; the code of its module is run."""
    name, _, function = task.rpartition("/")
    points = {point.name: point for point in importlib.metadata.entry_points(group=_GROUP)}
    if name.endswith(".py"):
        module = load_file(Path(name))
    elif name in points:
        module = points[name].load()
    else:
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as missing:
            if not name.startswith(str(missing.name)):
                raise
            raise UnknownNameError("module of Inspect tasks", name, points) from None
    maker = getattr(module, function, None)
    if not callable(maker):
        tasks = [key for key, value in vars(module).items() if hasattr(value, "__registry_info__")]
        raise UnknownNameError(f"task of {name}", function, tasks)
    return cast("Callable[[], Any]", maker)


def _read_targets(sample: Any) -> list[str]:  # noqa: ANN401 - of a package imported late
    targets = sample.target if isinstance(sample.target, list) else [sample.target]
    return [str(target).strip() for target in targets]


def _make_problem(
    task: str,
    number: int,
    sample: Any,  # noqa: ANN401 - of a package imported late
    targets: list[str],
    open_kind: AnswerKind,
) -> Problem:
    name = number if sample.id is None else sample.id  # as Inspect numbers them
    place = Location(file=f"inspect:{task}", field=f"sample {name}")
    text = sample.input
    if not isinstance(text, str):
        roles = [message.role for message in text]
        if roles != ["user"]:
            raise place.make_error(f"is a conversation of {len(roles)} messages, not one question")
        text = text[0].text
    choices = tuple(str(choice).strip() for choice in sample.choices or ())
    if choices:
        if not 2 <= len(set(choices)) == len(choices) <= _MAX_CHOICES:
            raise place.make_error(f"its choices must be 2 to {_MAX_CHOICES} different texts")
        if len(targets) != 1:
            raise place.make_error(f"{len(targets)} of its choices are right: cotkit asks for one")
        targets = [_resolve_choice(place, targets[0], choices)]
    if not text.strip() or not all(targets) or not targets:
        raise place.make_error("has no question" if targets and all(targets) else "has no target")
    if not all(map(is_encodable, (text, *targets, *choices))):
        raise place.make_error("half a surrogate pair")
    golds = [read_gold_number(x) or x for x in targets] if open_kind == "number" else targets
    golds = targets if choices else golds
    return Problem(
        question=Question(
            id=f"{task}/{name}",
            text=text.strip(),
            choices=choices,
            answer_kind="choice" if choices else open_kind,
        ),
        gold=golds[0],
        also=tuple(golds[1:]),
    )


def _resolve_choice(place: Location, target: str, choices: tuple[str, ...]) -> str:
    """Return the choice that a target means: its letter, as Inspect writes it, or its text."""
    index = ord(target) - ord("A") if len(target) == 1 else -1
    if 0 <= index < len(choices):
        return choices[index]
    if target in choices:
        return target
    raise place.make_error(f"target {target[:60]!r} is none of its choices", hint="a letter from A")
