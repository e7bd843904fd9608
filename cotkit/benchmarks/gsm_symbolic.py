"""GSM8K stories with new names and numbers (Mirzadeh et al. 2024), made by ``reasoning-gym``."""

from __future__ import annotations

import functools
import importlib.metadata
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from cotkit.errors import MissingDataError, MissingDependencyError
from cotkit.scoring.canonical import canonical_number
from cotkit.types import AnswerKind, Problem, Question

_MAX_N = 10_000
_HASHES = re.compile(r"\s*####.*", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class GsmSymbolic:
    """Problems drawn from templates; those of one template share a cluster.

    The generator is another package's: the same seed gives the same problems only with the same
    release of it, so its version is part of this one's. Needs the extra ``reasoning-gym``.
    """

    seed: int = 0
    """Which problems."""
    n: int = 500
    """How many, 1..10000. Another n draws other templates: sets of different n are not nested."""
    name: str = field(default="gsm-symbolic", init=False)
    answer_kind: AnswerKind = field(default="number", init=False)

    def __post_init__(self) -> None:
        """Refuse values out of range.

        Raises:
            ValueError: names the field and its range.
        """
        if not 1 <= self.n <= _MAX_N:
            raise ValueError(f"n is {self.n}, must be 1 to {_MAX_N}")

    @property
    def version(self) -> str:
        """Reader version, generator release and parameters: together they are the problems.

        Raises:
            MissingDependencyError: ``reasoning-gym`` is not installed.
        """
        try:
            release = importlib.metadata.version("reasoning-gym")
        except importlib.metadata.PackageNotFoundError:
            raise MissingDependencyError("reasoning-gym", "reasoning-gym") from None
        return f"1-gym{release}-seed{self.seed}-n{self.n}"

    def problems(self) -> Sequence[Problem]:
        """Return ``n`` problems, in the order drawn; one that was drawn before is left out.

        Raises:
            MissingDependencyError: ``reasoning-gym`` is not installed.
            MissingDataError: this release of it makes something else.
        """
        return _generate_problems(self.seed, self.n)

    def exemplar_pool(self) -> Sequence[Problem]:
        """Return nothing: an exemplar from an evaluated template would be a leak."""
        return ()


@functools.lru_cache(maxsize=4)
def _generate_problems(seed: int, n: int) -> tuple[Problem, ...]:
    try:
        import reasoning_gym  # pyright: ignore[reportMissingImports]  # an extra
    except ImportError:
        raise MissingDependencyError("reasoning-gym", "reasoning-gym") from None
    drawn: Any = reasoning_gym.create_dataset("gsm_symbolic", seed=seed, size=n)
    try:
        problems = [
            _make_problem(
                drawn[index], f"gsm-symbolic/seed{seed}-n{n}/{index:05}", drawn.task_indices[index]
            )
            for index in range(n)
        ]
    except (AttributeError, KeyError, TypeError, ValueError) as changed:
        raise MissingDataError(
            f"reasoning-gym makes something that cotkit cannot read: {changed!r}",
            hint="pip install 'reasoning-gym==0.1.25'",
        ) from changed
    first_of_each = {problem.question.text: problem for problem in reversed(problems)}
    return tuple(first_of_each.values())[::-1]


def _make_problem(item: Mapping[str, object], problem_id: str, template: int) -> Problem:
    metadata = cast("Mapping[str, object]", item["metadata"])
    gold = canonical_number(str(item["answer"]))
    if gold is None:
        raise ValueError(f"answer {item['answer']!r}")
    # The generator ends each question with an instruction; cotkit's prompts bring their own.
    text = str(item["question"]).removesuffix(
        " Give the result as your final answer. Do not include units."
    )
    return Problem(
        question=Question(id=problem_id, text=text),
        gold=gold,
        rationale=_HASHES.sub("", str(metadata.get("answer_cot", ""))) or None,
        cluster=f"gsm-symbolic/{int(template)}",
    )
