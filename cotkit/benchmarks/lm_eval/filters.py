"""The answer filters of a task file, each a reader: what lm-evaluation-harness itself would read.

As ``lm_eval/filters`` and ``exact_match`` of ``lm_eval/api/metrics.py`` have it in 0.4.13, traps
included: ``group_select`` counts matches, not groups; of several groups the first that is not
empty is taken; where nothing matches the text is ``[invalid]``, which votes, and can win; strings
are compared, so "18.00" is not "18".
"""

from __future__ import annotations

import functools
import string
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from cotkit.benchmarks.lm_eval.config import Config
from cotkit.benchmarks.lm_eval.worker import (
    WorkerError,
    check_pattern,
    find_match,
    remove_matches,
)
from cotkit.errors import BadInputError

_WITHOUT = "filters=ignore leaves the task's filters out"
INVALID = "[invalid]"
"""What a regex filter of lm-eval gives where it finds nothing, unless the task says otherwise."""

_DEFAULT = r"#### (\-?[0-9\.\,]+)"
_KEYS: Mapping[str, Mapping[str, type]] = {
    "regex": {"regex_pattern": str, "group_select": int, "fallback": str},
    "remove_whitespace": {},
    "lowercase": {},
    "uppercase": {},
    "take_first_k": {"k": int},
    "majority_vote": {},
    "take_first": {},
}
"""Filter function -> its parameters."""
_REFUSED_FILTERS = {
    "multi_choice_regex": "reads by the choices of each row",
    "custom": "runs Python code on every answer",
    "map": "turns texts into values of any kind",
}
_OPTIONS: Mapping[str, type] = {
    "ignore_case": bool,
    "ignore_punctuation": bool,
    "ignore_numbers": bool,
    "regexes_to_ignore": list,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterStep:
    """One function of a filter."""

    function: str
    """Its name there."""
    pattern: str = ""
    """Of ``regex``."""
    at: int = 0
    """Of ``regex``: which of the matches, from 0, or from the end if negative."""
    fallback: str = INVALID
    """Of ``regex``: the text where nothing matches."""
    k: int = 1
    """Of ``take_first_k``; where there are fewer texts (lm-eval ends there) all of them."""

    def apply(self, texts: list[str]) -> list[str]:
        """Apply it to the texts of all samples; the result holds at least one text."""
        match self.function:
            case "regex":
                return [self._match(text) for text in texts]
            case "remove_whitespace":
                return [text.removeprefix(" ") for text in texts]
            case "lowercase":
                return [text.lower() for text in texts]
            case "uppercase":
                return [text.upper() for text in texts]
            case "majority_vote":
                return [Counter(texts).most_common(1)[0][0]]  # of equals the first
            case _:
                return texts[: self.k]

    def _match(self, text: str) -> str:
        try:
            match = find_match(self.pattern, text, self.at)
        except IndexError:
            return INVALID  # lm-eval ends with an error
        except WorkerError as failure:
            raise _answer_error(self.pattern, failure) from failure
        if match is None:
            return self.fallback
        if isinstance(match, list):
            match = next((group for group in match if group), self.fallback)
        return match.strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchOptions:
    """Options of ``exact_match`` in a task's ``metric_list``."""

    ignore_case: bool = False
    """Compare in lower case."""
    ignore_punctuation: bool = False
    """Without ASCII punctuation: signs and decimal points go too."""
    ignore_numbers: bool = False
    """Without digits."""
    regexes_to_ignore: tuple[str, ...] = ()
    """Taken out of both sides first, in this order."""

    def normalise(self, text: str) -> str:
        """Return the part of a text that is compared."""
        if self.regexes_to_ignore:
            try:
                text = remove_matches(self.regexes_to_ignore, text)
            except WorkerError as failure:
                raise _answer_error(" or ".join(self.regexes_to_ignore), failure) from failure
        if self.ignore_case:
            text = text.lower()
        removed = string.punctuation * self.ignore_punctuation + string.digits * self.ignore_numbers
        return text.translate(str.maketrans("", "", removed))


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFilter:
    """One filter with the target of one row (a ``TaskReader``)."""

    steps: tuple[FilterStep, ...]
    """In their order; the last is ``take_first``."""
    matching: MatchOptions
    """How its text is compared."""
    targets: tuple[str, ...]
    """What ``doc_to_target`` makes of the row, as it is there."""

    def read(self, texts: tuple[str, ...]) -> str | None:
        """Return the text that lm-eval would compare; None for its ``[invalid]``.

        Several samples are a vote here, whoever reads them: where the filter has no
        ``majority_vote`` (lm-eval would score the first alone), the plurality of what it reads.
        """
        if any(step.function == "majority_vote" for step in self.steps):
            return self._read(list(texts))
        votes = Counter(value for text in texts if (value := self._read([text])) is not None)
        return votes.most_common(1)[0][0] if votes else None

    def _read(self, texts: list[str]) -> str | None:
        for step in self.steps:
            texts = step.apply(texts)
        return None if texts[0] == INVALID else self.matching.normalise(texts[0])

    def is_correct(self, value: str) -> bool:
        """Return whether it is any of the targets, as strings."""
        return value in _normalise_targets(self.matching, self.targets)


@functools.lru_cache(maxsize=4096)
def _normalise_targets(matching: MatchOptions, targets: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(map(matching.normalise, targets))


def _answer_error(pattern: str, failure: WorkerError) -> BadInputError:
    problem = f"{pattern[:80]!r} {failure} on an answer"
    return BadInputError("filter_list of the task", problem, hint=_WITHOUT)


def read_filters(config: Config) -> dict[str, tuple[FilterStep, ...]]:
    """Return the steps of each filter by its name; nothing where the task has no ``filter_list``.

    Raises:
        BadInputError: a filter that is not written as one, or that lm-eval alone can apply.
    """
    value = config.fields.get("filter_list")
    if value is None:
        return {}
    if config.get_text("output_type") == "multiple_choice":
        raise _filter_error(
            config, "reads what is written; output_type: multiple_choice writes nothing"
        )
    filters: dict[str, tuple[FilterStep, ...]] = {}
    for item in cast("list[object]", value) if isinstance(value, list) else [value]:
        fields = cast("dict[str, object]", item) if isinstance(item, dict) else {}
        name, steps = fields.get("name"), fields.get("filter")
        if not isinstance(steps, list) or not isinstance(name, str) or not name.strip():
            raise config.make_error("filter_list", "must be a list of {name: ..., filter: [...]}")
        if name in filters:
            raise config.make_error("filter_list", f"filter {name!r} stands there twice")
        filters[name] = tuple(_read_step(config, name, x) for x in cast("list[object]", steps))
        functions = [step.function for step in filters[name]]
        if "take_first" not in functions or functions.index("take_first") < len(functions) - 1:
            raise _filter_error(
                config, f"{name!r} must end in take_first: else lm-eval has no one text to compare"
            )
    return filters


def read_match_options(config: Config) -> MatchOptions:
    """Return how the task's ``exact_match`` compares.

    Raises:
        BadInputError: an option of it that is not one.
    """
    value = config.fields.get("metric_list")
    items = cast("list[object]", value) if isinstance(value, list) else []
    metrics = [cast("dict[str, object]", item) for item in items if isinstance(item, dict)]
    exact_match = next((metric for metric in metrics if metric.get("metric") == "exact_match"), {})
    options = {name: exact_match[name] for name in _OPTIONS if name in exact_match}
    for name, value in options.items():
        if not isinstance(value, _OPTIONS[name]):
            raise config.make_error("metric_list", f"{name} of exact_match is {value!r}")
    patterns = cast("list[object]", options.pop("regexes_to_ignore", []))
    compiled = tuple(_check_pattern(config, "metric_list", pattern) for pattern in patterns)
    return MatchOptions(regexes_to_ignore=compiled, **cast("dict[str, bool]", options))


def _read_step(config: Config, name: str, step: object) -> FilterStep:
    fields = dict(cast("dict[str, object]", step)) if isinstance(step, dict) else {}
    function = fields.pop("function", None)
    if not isinstance(function, str):
        raise config.make_error("filter_list", f"a step of {name!r} must be {{function: ...}}")
    if function not in _KEYS:
        why = _REFUSED_FILTERS.get(function, "is not known here")
        raise _filter_error(config, f"{function} of {name!r} {why}")
    for key, value in fields.items():
        kind = _KEYS[function].get(key)
        if kind is None or not isinstance(value, kind) or isinstance(value, bool):
            raise config.make_error("filter_list", f"{key} of {function} of {name!r} is {value!r}")
    if function == "regex":
        return FilterStep(
            function=function,
            pattern=_check_pattern(config, "filter_list", fields.get("regex_pattern", _DEFAULT)),
            at=cast("int", fields.get("group_select", 0)),
            fallback=cast("str", fields.get("fallback", INVALID)),
        )
    k = cast("int", fields.get("k", 1))
    if function == "take_first_k" and ("k" not in fields or k < 1):
        raise config.make_error("filter_list", f"take_first_k of {name!r} needs k, from 1")
    return FilterStep(function=function, k=k)


def _check_pattern(config: Config, field: str, pattern: object) -> str:
    if not isinstance(pattern, str):
        raise config.make_error(field, f"{str(pattern)[:80]!r} is no regular expression")
    try:
        check_pattern(pattern)
    except WorkerError as failure:
        problem = f"is no regular expression: {failure}"
        if failure.kind == "limit":
            problem = f"cannot be used: it {failure}"
        raise config.make_error(field, f"{pattern[:80]!r} {problem}") from failure
    return pattern


def _filter_error(config: Config, problem: str) -> BadInputError:
    return config.make_error("filter_list", problem, _WITHOUT)
