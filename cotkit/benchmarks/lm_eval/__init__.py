"""A task file of lm-evaluation-harness: ``--bench lm-eval:./my-task.yaml``."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from cotkit.benchmarks._files import Record
from cotkit.benchmarks.lm_eval.config import Config, Template, find_task, read_config, read_rows
from cotkit.benchmarks.lm_eval.filters import (
    FilterStep,
    MatchOptions,
    TaskFilter,
    read_filters,
    read_match_options,
)
from cotkit.benchmarks.lm_eval.task_code import (
    TaskRows,
    as_columns,
    lm_eval_version,
    run_task,
)
from cotkit.errors import UsageError
from cotkit.identity import content_hash
from cotkit.inputs import is_encodable
from cotkit.scoring.canonical import read_gold_number
from cotkit.types import AnswerKind, Problem, Question, TaskReader

_WORKED = re.compile(r"(?s)(?P<rationale>.*)(?:####|\b[Tt]he answer is)\s*(?P<answer>[^\n]+?)\.?")
"""A gold answer with the reasoning before it, as GSM8K and as chain-of-thought samples write it."""
_BARE = re.compile(r"\s*\{\{-?\s*\w+\s*-?\}\}\s*|\w+")


@dataclass(frozen=True, slots=True, kw_only=True)
class LmEval:
    """Its rows, templates and few-shot samples; ``docs/add-a-benchmark.md`` says what is read.

    The task's rows and golds are taken over, its prompt is not: strategies write the prompt, around
    what ``doc_to_text`` makes of a row. So the numbers are not those of lm-eval's own run. A task
    that names Python code is run by lm-eval itself, once :meth:`allow_code` was called.

    Raises:
        BadInputError: the task cannot be read as data; names file, line, field.
        MissingDependencyError: ``pyyaml`` is not installed.
    """

    path: Path
    """The task file, or the name of a task of an installed lm-eval: ``lm-eval:arc_easy``."""
    answer_kind: AnswerKind = "number"
    """``number`` or ``text`` for a task that generates; one of multiple choice is ``choice``."""
    doc_to_text: str | None = None
    """A field of the rows, or a template, in place of the task's; None: the task's."""
    filters: str = "read"
    """``read``: each filter of the task is a reader; ``ignore``: leave them out."""
    _config: Config = field(init=False, repr=False, compare=False)
    _is_allowed: bool = field(init=False, default=False, repr=False)

    def __post_init__(self) -> None:
        """Read the task, not yet its rows.

        Raises:
            ValueError: a parameter out of range.
        """
        object.__setattr__(self, "path", find_task(self.path))
        config = read_config(self.path)
        object.__setattr__(self, "_config", as_columns(config) if config.code() else config)
        output = config.get_text("output_type") or "generate_until"
        if output not in {"generate_until", "multiple_choice"}:
            raise config.make_error("output_type", f"cannot ask for {output}", "generate_until")
        if output == "multiple_choice":
            object.__setattr__(self, "answer_kind", "choice")
        elif self.answer_kind not in {"number", "text", "expression"}:
            kinds = "number, text or expression"
            raise ValueError(f"answer_kind is {self.answer_kind!r}, must be {kinds}")
        if self.filters not in {"read", "ignore"}:
            raise ValueError(f"filters is {self.filters!r}, must be read or ignore")
        self._samples()
        self._filters()
        self.notes()

    @property
    def name(self) -> str:
        """The task file's name, without its folder."""
        return self.path.name

    @property
    def version(self) -> str:
        """First 12 hex characters of the hash of all problems."""
        return content_hash("lm-eval-problems", self.problems())[:12]

    @property
    def has_own_exemplars(self) -> bool:
        """Whether the task has few-shot samples: they take the place of the built-in ones."""
        return bool(self._fewshot().get("samples") if self.runs_code else self._samples())

    @property
    def runs_code(self) -> bool:
        """Whether the task names Python code of its own."""
        return self._config.code() is not None

    def allow_code(self) -> LmEval:
        """Return the same benchmark, free to have lm-eval run the task's Python code."""
        allowed = copy.copy(self)
        object.__setattr__(allowed, "_is_allowed", True)
        return allowed

    def notes(self) -> tuple[str, ...]:
        """Name the fields of the task that have no effect here, each with the reason."""
        config = self._config
        names = ", ".join(f"task:{name}" for name in self._filters())
        own = f"readers of the task's own: {names}; one that reads nothing is left out"
        notes = (own,) if names else ()
        ignored = list(config.notes())
        ignored += [f"fewshot_config.{k}: drawn by seed" for k in self._fewshot() if k != "samples"]
        if self.filters == "ignore" and "filter_list" in config.fields:
            ignored.append("filter_list: as asked")
        if ignored:
            notes = (*notes, f"without effect in {self.name}: {'; '.join(ignored)}")
        if self.runs_code:
            maker = f"lm-eval {lm_eval_version() or '(not installed)'}"
            notes = (*notes, f"rows, texts and answers of {self.name} are made by {maker}")
        elif _BARE.fullmatch(self._template("doc_to_text").source) is None:
            adds = f"what doc_to_text of {self.name} adds to a question is part of it in every arm"
            notes = (*notes, f"{adds}; doc_to_text=FIELD takes a field of the rows alone")
        return notes

    def problems(self) -> Sequence[Problem]:
        """Return every row of the test split (else of the validation split), in the file's order.

        Raises:
            BadInputError: a row or a template cannot be used; names file and line.
            MissingDataError: the rows are neither here nor to be had.
            UsageError: the task names Python code, and nobody allowed it.
            MissingDependencyError: it does, and lm-eval is not installed.
        """
        split = self._evaluated_split()
        if self.runs_code:
            return self._make_problems(self._run_code().evaluated, split)
        return self._make_problems(read_rows(self._config, split), split)

    def exemplar_pool(self) -> Sequence[Problem]:
        """Return the few-shot samples, else the few-shot or training split; raises as problems."""
        if self.runs_code:
            return self._make_problems(self._run_code().pool, "fewshot")
        if samples := self._samples():
            return self._make_problems(samples, "fewshot")
        config = self._config
        split = config.get_text("fewshot_split") or config.get_text("training_split")
        if split is None or split == self._evaluated_split():
            return ()
        return self._make_problems(read_rows(config, split), split)

    def _run_code(self) -> TaskRows:
        place = self._config.code()
        if not self._is_allowed and place is not None:
            raise UsageError(
                f"{place.file}:{place.line}:{place.field}: the task runs Python code",
                hint="compare --confirm-run-unsafe-code has lm-eval run it, with all you may do",
            )
        return run_task(self.path)

    def _evaluated_split(self) -> str:
        split = self._config.get_text("test_split") or self._config.get_text("validation_split")
        if split is None:
            raise self._config.make_error("test_split", "missing", "test_split: test")
        return split

    def _samples(self) -> tuple[Record, ...]:
        config = self._config
        value = self._fewshot().get("samples")
        if value is None or self.runs_code:
            return ()
        samples = cast("list[object]", value) if isinstance(value, list) else [value]
        if not all(isinstance(sample, dict) for sample in samples):
            raise config.make_error("fewshot_config", "samples must be a list of rows")
        line = config.locations["fewshot_config"].line
        return tuple(
            Record(file=config.path, line=line, number=line or 0, fields=fields)
            for fields in cast("list[dict[str, object]]", samples)
        )

    def _fewshot(self) -> dict[str, object]:
        value = self._config.fields.get("fewshot_config")
        if value is not None and not isinstance(value, dict):
            raise self._config.make_error("fewshot_config", "must be fields", "samples: [...]")
        return cast("dict[str, object]", value or {})

    def _template(self, name: str) -> Template:
        value = self._config.fields.get(name)
        if name == "doc_to_text" and self.doc_to_text is not None:
            value = self.doc_to_text
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            raise self._config.make_error(name, "must be a template or the name of a field")
        return Template(config=self._config, name=name, source=str(value))

    def _make_problems(self, rows: Sequence[Record], split: str) -> tuple[Problem, ...]:
        text, target = self._template("doc_to_text"), self._template("doc_to_target")
        return tuple(
            self._make_problem(row, f"{self.path.stem}/{split}/{index}", text, target)
            for index, row in enumerate(rows)
        )

    def _make_problem(
        self, row: Record, problem_id: str, text: Template, target: Template
    ) -> Problem:
        is_choice = self.answer_kind == "choice"
        has_choices = is_choice or self._config.fields.get("doc_to_choice") is not None
        choices = self._choices(row) if has_choices else ()
        question = text.render(row)
        if not isinstance(question, str) or not question.strip() or not is_encodable(question):
            raise row.make_error("doc_to_text makes no text of it", hint="it must be one text")
        targets = target.render_items(row)
        if choices:
            is_index = not target.is_field(row)
            targets = [_resolve_choice(row, item, choices, is_index=is_index) for item in targets]
        if not targets:
            raise row.make_error("doc_to_target makes no answer of it", hint="it is an empty list")
        solutions = [(None, str(x)) if is_choice else self._read_solution(row, x) for x in targets]
        golds = [gold for _, gold in solutions]
        return Problem(
            question=Question(
                id=problem_id,
                text=question.strip(),
                choices=choices if is_choice else (),
                answer_kind=self.answer_kind,
            ),
            gold=golds[0],
            also=tuple(golds[1:]),
            rationale=solutions[-1][0],
            readers=self._readers(tuple(map(str, targets))),
        )

    def _filters(self) -> Mapping[str, tuple[FilterStep, ...]]:
        return {} if self.filters == "ignore" else read_filters(self._config)

    def _readers(self, targets: tuple[str, ...]) -> dict[str, TaskReader]:
        filters = self._filters()
        matching = read_match_options(self._config) if filters else MatchOptions()
        return {
            f"task:{name}": TaskFilter(steps=steps, matching=matching, targets=targets)
            for name, steps in filters.items()
        }

    def _read_solution(self, row: Record, target: object) -> tuple[str | None, str]:
        """Return (rationale, gold answer) of a target that is no choice."""
        text = "" if target is None or isinstance(target, bool) else str(target).strip()
        match = _WORKED.fullmatch(text)
        rationale, answer = (match["rationale"].strip(), match["answer"]) if match else ("", text)
        if self.answer_kind == "number":
            gold = read_gold_number(answer)
            if gold is None:
                raise row.make_error(
                    f"doc_to_target makes {answer[:60]!r} of it, which is no number",
                    hint=f"for words use lm-eval:{self.path},answer_kind=text",
                )
            return rationale or None, gold
        if not answer or not is_encodable(answer):
            raise row.make_error("doc_to_target makes no answer of it", hint="it must be text")
        return rationale or None, answer

    def _choices(self, row: Record) -> tuple[str, ...]:
        value = self._config.fields.get("doc_to_choice")
        if isinstance(value, dict):
            value = list(cast("dict[str, object]", value).values())
        if not isinstance(value, list):
            value = self._template("doc_to_choice").render_items(row)
        items = cast("list[object]", value)
        texts = tuple(
            str(item).strip()
            for item in items
            if isinstance(item, (str, int)) and not isinstance(item, bool)  # YAML's bare yes and no
        )
        if len(texts) != len(items) or "" in texts or not 2 <= len(set(texts)) == len(texts) <= 26:
            raise row.make_error(
                "doc_to_choice makes no choices of it",
                hint='2 to 26 different texts, as a list; "yes" and "no" in quotes',
            )
        return texts


def _resolve_choice(row: Record, item: object, choices: tuple[str, ...], *, is_index: bool) -> str:
    """Return the choice that a target means: its index from 0, or its text.

    A field of the rows that holds digits as text is a choice's text; digits that a template wrote
    are an index: as lm-eval reads them.
    """
    if isinstance(item, str) and is_index and re.fullmatch("[0-9]{1,3}", item.strip()):
        item = int(item)
    if isinstance(item, int) and not isinstance(item, bool) and 0 <= item < len(choices):
        return choices[item]
    if isinstance(item, str) and item.strip() in choices:
        return item.strip()
    raise row.make_error(
        f"doc_to_target makes {str(item)[:60]!r} of it, which is none of the choices",
        hint="the index of a choice from 0, or its text",
    )
