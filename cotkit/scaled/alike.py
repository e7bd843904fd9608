"""Whether runs may stand on one curve: they must differ in the model alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from cotkit.errors import UsageError

Content: TypeAlias = Mapping[str, Any]
"""``Plan.content``, as JSON keeps it."""

_MAY_DIFFER = frozenset({"backend", "margin", "pairs", "likelihood"})
_LONGEST = 40  # characters of a value that is quoted in a sentence


def check_alike(runs: Sequence[tuple[str, Content]]) -> None:
    """Refuse runs that differ in what they asked, or how it was read.

    Args:
        runs: Id and content of each; an arm that only some have is not compared.

    Raises:
        UsageError: names the first field that differs.
    """
    (first, content), *others = runs
    for run_id, other in others:
        if (found := difference(content, other)) is not None:
            raise UsageError(
                f"runs {first} and {run_id} cannot stand on one curve: they differ in {found}",
                hint="cotkit scale --models runs them alike; what is done is not made again",
            )


def difference(ours: Content, theirs: Content) -> str | None:
    """The first field in which two runs differ, with its values where short; None: in none."""
    shared = ours["arms"].keys() & theirs["arms"].keys()
    mine, other = (_fields(one, shared) for one in (ours, theirs))
    for name in dict.fromkeys((*mine, *other)):
        if mine.get(name) != other.get(name):
            values = [json.dumps(one.get(name)) for one in (mine, other)]
            is_short = all(len(value) <= _LONGEST for value in values)
            return f"{name}, {' and '.join(values)}" if is_short else name
    return None


def _fields(content: Content, arms: set[str]) -> dict[str, object]:
    """Everything that must be the same, in the words of a sentence."""
    found: dict[str, object] = {
        "benchmark": content["bench"][0],
        "benchmark version": content["bench"][1],
        "problems": content["problems"],
        "scorer version": content["scorer"][0],
        "reader": content["scorer"][1],
    }
    for arm in sorted(arms):
        strategy, source = content["arms"][arm]
        found |= {f"the {field} of {arm}": value for field, value in strategy.items()}
        found[f"the code of {arm}"] = source
    known = _MAY_DIFFER | {"bench", "problems", "scorer", "arms"}
    return found | {key: content[key] for key in content if key not in known}
