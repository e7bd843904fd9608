"""Any JSON task of BIG-bench (Srivastava et al. 2022): ``bigbench:emoji_movie``."""

from __future__ import annotations

import functools
import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Literal, TypeAlias, cast

from cotkit.benchmarks._files import DuplicateKeys, Record, TaskFile, hash_files, read_task
from cotkit.benchmarks.bigbench.task_file import task_files
from cotkit.identity import content_hash
from cotkit.scoring.canonical import canonical_number
from cotkit.types import AnswerKind, Notify, Problem, Question, say_nothing

Mode: TypeAlias = Literal["generate", "choice"]

_NAME = re.compile(r"[A-Za-z0-9_-]+(?:/[A-Za-z0-9_-]+)?")
_EDGES = string.whitespace + string.punctuation  # what the text reader strips off an answer
_PREFIX, _SUFFIX, _CHOICE = "\nQ: ", "\nA: ", "\n  choice: "  # what BIG-bench itself defaults to


@dataclass(frozen=True, slots=True, kw_only=True)
class Bigbench:
    """One task, or all its subtasks one after the other; the card is ``benchmarks/bigbench``.

    The two modes are the same items with the same ids. ``generate``: a number where every target
    of the task is one, else a text; the options stand in the question as ``choice: ...`` lines if
    the task says ``append_choices_to_input``. ``choice``: the options in a shuffled order that is
    fixed by the item's id (files often put the right one first); gold is the best-scored one.
    ``generate`` holds the same options in the same order for models that can weigh them, so one run
    of it measures its items both ways.
    """

    task: str
    """Folder of the task in BIG-bench, or ``task/subtask``."""
    mode: str | None = None
    """``generate`` or ``choice``; None: ``generate`` where every item has a target and options,
    else what the task's preferred score is about."""
    options: str | None = None
    """``hide`` asks openly, ``show`` shows the options in the question, both in ``generate``; None:
    as the task says."""
    notify: Notify = field(default=say_nothing, repr=False, compare=False)
    """Called with a message about a download."""
    name: str = field(default="bigbench", init=False)

    def __post_init__(self) -> None:
        """Refuse what cannot be a task or a mode.

        Raises:
            ValueError: names the field.
        """
        if not _NAME.fullmatch(self.task):
            raise ValueError(f"task is {self.task!r}, must be a folder's name, or task/subtask")
        if self.mode not in {None, "generate", "choice"}:
            raise ValueError(f"mode is {self.mode!r}, must be generate or choice")
        if self.options not in {None, "hide", "show"}:
            raise ValueError(f"options is {self.options!r}, must be hide or show")
        if self.options and self.mode == "choice":
            raise ValueError(
                f"options is {self.options!r}, but mode=choice shows them: leave it out"
            )

    @property
    def version(self) -> str:
        """Reader version, task, mode, and 12 hex characters of the SHA-256 of its files.

        Version 2 reads the explanations that stand in targets; other tasks are read as ever.
        """
        files = self._files()
        digest = hash_files(*(path for _, path in files))
        mode, problems = self._read(files)
        form = f"-{self.options}" if self.options else ""
        reader = 2 if any(problem.rationale for problem in problems) else 1
        return f"{reader}-{self.task}-{mode}{form}-{digest}"

    @property
    def answer_kind(self) -> AnswerKind:
        """``choice``, ``number`` or ``text``."""
        return self.problems()[0].question.answer_kind

    def problems(self) -> Sequence[Problem]:
        """Return every example, in the files' order; one that stands there twice only once.

        Raises:
            BadInputError: an example cannot be used; names file, example and field.
            UnknownNameError: no such task.
            MissingDataError: the task is neither here nor to be had.
        """
        return self._read(self._files())[1]

    def notes(self) -> tuple[str, ...]:
        """Say why the report has no normalised score, where the task prefers one all the same."""
        scores = {problem.tags.get("preferred_score", "none") for problem in self.problems()}
        if len(scores) > 1:
            names = ", ".join(sorted(scores))
            return (f"parts of {self.task} prefer different scores ({names}): none is normalised",)
        (score,) = scores
        if score in {"none", "exact_str_match", "multiple_choice_grade"}:
            return ()
        return (f"{self.task} prefers {score}, which is not measured here: nothing is normalised",)

    def exemplar_pool(self) -> Sequence[Problem]:
        """Return nothing: a task is one split."""
        return ()

    @property
    def _mode(self) -> str | None:
        return "generate" if self.options else self.mode  # options to hide or show: asked to write

    def _files(self) -> tuple[tuple[str, Path], ...]:
        return task_files(self.task, self.notify)

    def _read(self, files: tuple[tuple[str, Path], ...]) -> tuple[Mode, tuple[Problem, ...]]:
        """Read a task; files that have not changed are read once."""
        statuses = [path.stat() for _, path in files]
        state = tuple((status.st_size, status.st_mtime_ns) for status in statuses)
        return _read_problems(files, self._mode, self.options, state)


@functools.lru_cache(maxsize=8)
def _read_problems(
    files: tuple[tuple[str, Path], ...],
    mode: str | None,
    options: str | None,
    _state: tuple[tuple[int, int], ...],
) -> tuple[Mode, tuple[Problem, ...]]:
    tasks = [(name, read_task(path, marks=True)) for name, path in files]
    chosen = _choose_mode([task for _, task in tasks], mode)
    examples = {
        f"bigbench/{name}/{example.number}": (task, example)
        for name, task in tasks
        for example in _distinct_examples(task)
    }
    if chosen == "choice":
        return "choice", tuple(
            _make_choice_problem(key, task, example) for key, (task, example) in examples.items()
        )
    answers = {key: _read_answers(example) for key, (_, example) in examples.items()}
    golds = {key: targets for key, (targets, _) in answers.items()}
    numbers = {key: [canonical_number(gold) for gold in golds[key]] for key in golds}
    kind: AnswerKind = "text" if any(None in some for some in numbers.values()) else "number"
    return "generate", tuple(
        _make_generate_problem(
            Question(id=key, text=_question_text(task, example, options), answer_kind=kind),
            [number or gold for number, gold in zip(numbers[key], golds[key], strict=True)],
            answers[key][1],
            task,
            example,
        )
        for key, (task, example) in examples.items()
    )


def _choose_mode(tasks: Sequence[TaskFile], mode: str | None) -> Mode:
    if mode is not None:
        return "choice" if mode == "choice" else "generate"
    if all({"target", "target_scores"} <= set(x.fields) for task in tasks for x in task.examples):
        return "generate"
    preferred = {task.fields.get("preferred_score") for task in tasks}
    return "choice" if preferred == {"multiple_choice_grade"} else "generate"


def _distinct_examples(task: TaskFile) -> list[Record]:
    examples: dict[str, Record] = {}
    for example in task.examples:
        examples.setdefault(repr(example.fields), example)
    return list(examples.values())


def _question_text(task: TaskFile, example: Record, options: str | None) -> str:
    """Return the question in the task's own frame, but without ``Q:`` and ``A:``.

    ``options``: ``hide`` or ``show``; None: as the task says.
    """
    before, after = (
        "" if text.strip() == mark else text
        for text, mark in (
            (task.get_text("example_input_prefix", _PREFIX), "Q:"),
            (task.get_text("example_output_prefix", _SUFFIX), "A:"),
        )
    )
    words = example.fields.get("input")
    if not isinstance(words, str):
        raise example.make_error("must be text", field="input")
    shows = task.fields.get("append_choices_to_input", True) is not False
    if options == "show" or (options is None and shows and "target_scores" in example.fields):
        mark = task.get_text("choice_prefix", _CHOICE)
        words += "".join(mark + name for name in _shuffle_options(example))
    text = f"{task.get_text('task_prefix', '').rstrip()}\n{before}{words}{after}".strip()
    if not text:
        raise example.make_error("empty", field="input")
    return text


def _shuffle_options(example: Record) -> list[str]:
    return sorted(
        _read_options(example),
        key=lambda name: content_hash("bigbench-order", [example.number, name]),
    )


def _make_choice_problem(key: str, task: TaskFile, example: Record) -> Problem:
    n = len(_read_options(example))
    if not 2 <= n <= len(string.ascii_uppercase):
        raise example.make_error(
            f"{n} options, must be 2 to 26", field="target_scores", hint="mode=generate"
        )
    scores = _read_scores(example)
    choices = tuple(_shuffle_options(example))
    best = [choice for choice in choices if scores[choice] == max(scores.values())]
    return Problem(
        question=Question(
            id=key,
            text=_question_text(task, example, "hide"),
            choices=choices,
            answer_kind="choice",
        ),
        gold=best[0],
        also=tuple(best[1:]),
        rationale=_read_answers(example)[1] if "target" in example.fields else None,
        option_scores=tuple(scores[choice] for choice in choices),
        tags=_make_tags(task),
    )


def _make_generate_problem(
    question: Question,
    golds: Sequence[str],
    rationale: str | None,
    task: TaskFile,
    example: Record,
) -> Problem:
    scores = _read_scores(example) if "target_scores" in example.fields else {}
    options = tuple(_shuffle_options(example)) if scores else ()
    return Problem(
        question=question,
        gold=golds[0],
        also=tuple(dict.fromkeys(golds[1:])),
        rationale=rationale,
        options=options,
        option_scores=tuple(scores[option] for option in options),
        tags=_make_tags(task),
    )


def _make_tags(task: TaskFile) -> dict[str, str]:
    """Return which score the task prefers; where that is reported, so is its normalised form."""
    preferred = task.get_text("preferred_score", "")
    return {"preferred_score": preferred} if preferred else {}


def _read_options(example: Record) -> Mapping[str, object]:
    """Return ``target_scores``: its options are checked, their scores are not."""
    value = example.fields.get("target_scores")
    if not isinstance(value, dict) or not value:
        raise example.make_error(
            "missing" if value is None else "must be an object that is not empty",
            field="target_scores",
            hint='{"an option": 1, "another": 0}, or mode=generate',
        )
    if isinstance(value, DuplicateKeys):
        raise example.make_error(f"option {value.name!r} stands there twice", field="target_scores")
    options = cast("dict[str, object]", value)
    if not all(name.strip() for name in options):
        raise example.make_error("an option is empty", field="target_scores")
    return options


def _read_scores(example: Record) -> Mapping[str, float]:
    scores: dict[str, float] = {}
    for name, score in _read_options(example).items():
        if not isinstance(score, (int, Decimal)):
            raise example.make_error(f"the score of {name!r} is no number", field="target_scores")
        scores[name] = float(score)
    best, worst = max(scores.values()), min(scores.values())
    if best <= 0 or best == worst:
        raise example.make_error(
            f"no option is right: all score {best:g}"
            if best == worst
            else f"no option is right: the best scores {best:g}",
            field="target_scores",
        )
    if worst < 0:
        raise example.make_error(f"an option scores {worst:g}, below 0", field="target_scores")
    return scores


def _read_answers(example: Record) -> tuple[list[str], str | None]:
    """Return the answers that count, at least one, and the rationale that the file gives.

    The answers are ``target``, else the best-scored options. A target that begins with one of those
    options and goes on after a full stop or the like, as "Yes. Both are blue." does, is that option
    and its rationale.
    """
    value = example.fields.get("target")
    scores = _read_scores(example) if value is None or "target_scores" in example.fields else {}
    best = [name for name, score in scores.items() if score == max(scores.values())]
    if value is None:
        value = best
    texts = cast("list[object]", value) if isinstance(value, list) else [value]
    readable = [text for text in texts if isinstance(text, str) and text.strip(_EDGES)]
    if not readable:
        raise example.make_error(
            "no reader can find this answer: no text, or only punctuation",
            field="target",
            hint='"target": "an answer", or a list of them',
        )
    options = "|".join(re.escape(name.strip()) for name in sorted(best, key=len, reverse=True))
    explained = re.compile(
        rf"\s*({options})(?:[.:;,!]\s|\s[-\u2013\u2014]\s|\n)\s*(\S.*)", re.DOTALL | re.IGNORECASE
    )
    matches = [explained.fullmatch(text) if best else None for text in readable]
    by_name = {name.strip().casefold(): name for name in best}
    answers = [
        by_name[match[1].casefold()] if match else text
        for match, text in zip(matches, readable, strict=True)
    ]
    rationales = [match[2].strip() for match in matches if match]
    return answers, rationales[0] if rationales else None
