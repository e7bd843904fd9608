"""One attempt as a file holds it: written by ``cotkit export``, read by ``score`` and ``--from``.

Completions, logs of Inspect and samples of lm-eval hold a text; beside it our own exports write the
object that :func:`record_fields` makes, so that every table of the run can be made again.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypedDict, cast, get_args

from cotkit.analysis.values import Aside
from cotkit.errors import BadInputError, CotkitError
from cotkit.registry import load_class, parse_spec
from cotkit.run.runner import score_draft
from cotkit.scoring import score, score_attempt
from cotkit.scoring.measure import measure_attempt, read_steps
from cotkit.scoring.metrics import METRICS
from cotkit.store import AttemptRow, StoredTurn
from cotkit.types import Attempt, Completion, Outcome, Problem, StopReason

_USAGE: Mapping[str, type] = {
    "truncated": bool,
    "n_calls": int,
    "n_prompt_tokens": int,
    "n_shared_tokens": int,
    "n_cache_write_tokens": int,
    "n_generated_tokens": int,
    "n_reasoning_tokens": int,
    "reasoned_apart": bool,
    "served_by": str,
    "seconds": float,
}
"""Fields of a row that its texts do not tell."""
_DEFAULTS = {one.name: one.default for one in fields(AttemptRow)}
_OWN_THINKING = "default"
_ENDS: Mapping[Outcome, StopReason] = {"refused": "refusal", "truncated": "length"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmFacts:
    """What is known of an arm beside its attempts."""

    reasons: bool
    """Whether its strategy asks for reasoning before the answer."""
    is_upper_bound: bool = False
    """Whether it sees the gold answers."""
    flipped: float | None = None
    """Share of the labels of its exemplars that were flipped; None: it has no such exemplars."""
    thinking: str | None = None
    """How its model was told to think, or ``default``: as it does by itself; None: unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRecord:
    """What the readers are to read of one attempt, and what else a file says of it."""

    attempt: Attempt
    """With an empty text if it failed."""
    failure: str | None = None
    """Why it failed; None: it did not."""
    usage: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Fields of its row that the texts do not tell: tokens, seconds, calls."""
    metrics: Mapping[str, float] | None = None
    """As the run measured them; None: the file does not say."""
    facts: ArmFacts | None = None
    """Of its arm; None: the file does not say."""


def score_record(
    record: AttemptRecord, problem: Problem, *, arm: str, sample: int, reader: str
) -> AttemptRow:
    """Score a recorded attempt as a run scores its own.

    Metrics that the texts do not tell, as the weights of options, are those of the record.

    Raises:
        UnknownNameError: no such reader.
    """
    about: dict[str, Any] = {
        "arm": arm,
        "problem_id": problem.question.id,
        "sample": sample,
        "gold": problem.gold,
        "n_steps": problem.n_steps,
        "cluster": problem.cluster,
    }
    if record.failure is not None:
        return AttemptRow(**about, outcome="failed", error=record.failure)
    attempt = record.attempt
    scores = score_attempt(attempt, problem, reader)
    drafts = tuple(score_draft(draft, problem, reader) for draft in attempt.drafts)
    metrics = measure_attempt(
        attempt,
        problem,
        scores.readings[reader],
        chain=_find_chain(attempt.text) if record.metrics is None else None,
        samples_right=[draft.correct_by[reader] for draft in drafts] if attempt.is_vote else (),
    )
    usage: Mapping[str, Any] = {
        "truncated": "length" in {text.stop_reason for text in (attempt, *attempt.drafts)},
        "n_calls": max(1, len(drafts)),
        **record.usage,
    }
    return AttemptRow(
        **about,
        **usage,
        outcome=scores.outcome,
        text=attempt.text,
        readings=scores.readings,
        correct_by=scores.correct_by,
        scorer_version=score.scorer_version(problem.question.answer_kind),
        metrics={**(record.metrics or {}), **metrics},
        error=attempt.note,
        drafts=drafts,
        is_vote=attempt.is_vote,
    )


def _find_chain(text: str) -> str | None:
    """Return the text where it states an equation: the file does not say if it was to reason."""
    return text if next(read_steps(text), None) else None


def make_vote(samples: Sequence[Attempt]) -> Attempt:
    """Return the attempt whose answer is the plurality of these samples."""
    return replace(samples[0], drafts=tuple(samples), is_vote=True)


# Written: an object beside the text, without the fields that have their default.


@functools.lru_cache
def find_arm_facts(arm: str) -> ArmFacts | None:
    """Return what the strategy of an arm says of it; None: there is no such strategy here.

    An arm's name comes from a file that anybody wrote: one that is the path of code runs nothing.
    """
    spec = parse_spec(arm)
    if spec.name.endswith(".py"):
        return None
    try:
        strategy: Any = load_class("strategy", spec.name)
    except CotkitError:
        return None
    flipped = spec.params.get("fraction", getattr(strategy, "fraction", None))
    return ArmFacts(
        reasons=bool(getattr(strategy, "reasons", False)),
        is_upper_bound=hasattr(strategy, "solve_with_oracle"),
        flipped=float(cast("Any", flipped)) if spec.name == "flipped-labels" else None,
        thinking=spec.params.get("thinking", _OWN_THINKING),
    )


def record_fields(
    row: AttemptRow, turns: Sequence[StoredTurn], facts: ArmFacts | None
) -> dict[str, object]:
    """Return a stored attempt as a JSON object, from which :func:`read_record` makes it again."""
    about = {} if facts is None else _facts_fields(facts)
    if row.outcome == "failed":
        return {**about, "failure": row.error or "the backend gave nothing"}
    completions = [completion for turn in turns for completion in turn.completions]
    drafts = [
        {"text": draft.text, "stop_reason": _find_end(draft.text, draft.outcome, completions)}
        for draft in row.drafts
    ]
    if row.is_vote:
        end = drafts[0]["stop_reason"]
    else:
        end = _find_end(row.text, row.outcome, completions[::-1])
    return {
        **about,
        "text": row.text,
        "stop_reason": end,
        **({"drafts": drafts, "is_vote": row.is_vote} if drafts else {}),
        **({"note": row.error} if row.error else {}),
        **{
            name: value
            for name in _USAGE
            if (value := getattr(row, name)) != _DEFAULTS[name] or name == "n_calls"
        },
        "metrics": dict(row.metrics),
    }


def _facts_fields(facts: ArmFacts) -> dict[str, object]:
    return {
        "reasons": facts.reasons,
        **({"is_upper_bound": True} if facts.is_upper_bound else {}),
        **({} if facts.flipped is None else {"flipped": facts.flipped}),
        **({} if facts.thinking is None else {"thinking": facts.thinking}),
    }


def _find_end(text: str, outcome: Outcome, completions: list[Completion]) -> StopReason:
    """Return why the completion ended that a text ends with; it is taken off the list.

    A text may begin with what its prompt spoke, so a completion is the end of a text.
    """
    for i, completion in enumerate(completions):
        if text.endswith(completion.text) and bool(text) == bool(completion.text):
            return completions.pop(i).stop_reason
    return _ENDS.get(outcome, "stop")


# Read: every field checked, as the file may be anybody's.


def read_record(
    entry: Mapping[str, object], text: str, bad: Callable[[str, str], BadInputError]
) -> AttemptRecord:
    """Read what :func:`record_fields` made; ``text``: if the object itself has none.

    Args:
        entry: The object.
        text: The completion.
        bad: Makes the error of a field from what is wrong with it and its name.

    Raises:
        BadInputError: a field is not as it must be.
    """

    def need(name: str, kind: type, default: object) -> Any:  # noqa: ANN401 - of the kind given
        value = entry.get(name)
        if value is None:
            return default
        is_kind = isinstance(value, (int, float) if kind is float else kind)
        if not is_kind or (isinstance(value, bool) and kind is not bool):
            raise bad(f"must be of type {kind.__name__}", name)
        return value

    reasons = need("reasons", bool, None)
    facts = None
    if reasons is not None:
        facts = ArmFacts(
            reasons=reasons,
            is_upper_bound=need("is_upper_bound", bool, default=False),
            flipped=need("flipped", float, None),
            thinking=need("thinking", str, None),
        )
    failure = need("failure", str, None)
    if failure is not None:
        nothing = Attempt(text="", stop_reason="stop")
        return AttemptRecord(attempt=nothing, failure=failure, facts=facts)
    metrics = need("metrics", dict, None)
    for name, value in (metrics or {}).items():
        if name not in METRICS and _PASS_AT.fullmatch(name) is None:
            raise bad("no such metric", f"metrics.{name}")
        if not isinstance(value, (int, float)) or not math.isfinite(_as_float(value)):
            raise bad("must be a number", f"metrics.{name}")
    drafts = tuple(_read_draft(draft, bad) for draft in need("drafts", list, []))
    is_vote = need("is_vote", bool, default=False)
    if is_vote and not drafts:
        raise bad("a vote without samples", "drafts")
    attempt = Attempt(
        text=need("text", str, text),
        stop_reason=_read_end(entry.get("stop_reason"), bad),
        drafts=drafts,
        is_vote=is_vote,
        note=need("note", str, None),
    )
    usage = {name: need(name, kind, None) for name, kind in _USAGE.items() if name in entry}
    return AttemptRecord(
        attempt=attempt,
        usage={name: value for name, value in usage.items() if value is not None},
        metrics=metrics,
        facts=facts,
    )


_PASS_AT = re.compile(r"pass_at_[1-9][0-9]{0,5}")


def _as_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # a whole number of hundreds of digits
        return math.inf


def _read_draft(draft: object, bad: Callable[[str, str], BadInputError]) -> Attempt:
    text = cast("dict[str, object]", draft).get("text") if isinstance(draft, dict) else None
    if not isinstance(text, str):
        raise bad("must hold objects with a text", "drafts")
    end = cast("dict[str, object]", draft).get("stop_reason")
    return Attempt(text=text, stop_reason=_read_end(end, bad))


def _read_end(value: object, bad: Callable[[str, str], BadInputError]) -> StopReason:
    for reason in get_args(StopReason):
        if value == reason:
            return reason
    if value is None:
        return "stop"
    raise bad(f"must be one of {', '.join(get_args(StopReason))}", "stop_reason")


# What files say of arms as a comparison takes it, and what they do not say.


class ArmFields(TypedDict):
    """Fields of `RunFacts` that arms decide."""

    reasons: Mapping[str, bool]
    upper_bounds: frozenset[str]
    flips: Mapping[str, float]
    thinking: Mapping[str, str | None]


def describe_arms(arms: Mapping[str, ArmFacts | None]) -> ArmFields:
    """Return what is known of arms, as fields of `RunFacts`."""
    facts = {arm: facts for arm, facts in arms.items() if facts is not None}
    return {
        "reasons": {arm: facts[arm].reasons for arm in facts},
        "upper_bounds": frozenset(arm for arm in facts if facts[arm].is_upper_bound),
        "flips": {arm: flip for arm in facts if (flip := facts[arm].flipped) is not None},
        "thinking": {
            arm: None if setting == _OWN_THINKING else setting
            for arm in facts
            if (setting := facts[arm].thinking) is not None
        },
    }


def note_what_is_unknown(
    arms: Mapping[str, ArmFacts | None], counted: Collection[str] = ()
) -> list[str]:
    """Return notes on what files do not say of how the texts of their arms were made.

    ``counted``: arms whose files say how many tokens the texts took.
    """
    unknown = [arm for arm, facts in arms.items() if facts is None]
    if not unknown:
        return [Aside("exports hold no prices: what the arms cost in dollars is not shown")]
    says = "the file does not say whether reasoning was asked for: no audit, and chains are judged"
    notes = [f"{', '.join(unknown)}: {says} where an equation is written"]
    if silent := [arm for arm in unknown if arm not in counted]:
        notes.append(f"{', '.join(silent)}: the file does not say how many tokens the texts took")
    return notes
