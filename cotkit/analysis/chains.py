"""At which step chains of equations first go wrong: counts, by arm."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cotkit.analysis.results import ChainStep
from cotkit.store.rows import AttemptRow


def chain_steps(rows: Sequence[AttemptRow]) -> tuple[ChainStep, ...]:
    """One for each arm and step, the steps in order, then those that wrote no equation.

    Args:
        rows: One attempt each; counted where the chain was judged (``chain_written``).
    """
    judged: dict[str, list[AttemptRow]] = {}
    for row in rows:
        if "chain_written" in row.metrics and row.n_steps is not None:
            judged.setdefault(row.arm, []).append(row)
    return tuple(step for arm, of_arm in judged.items() for step in _of_arm(arm, of_arm))


def _of_arm(arm: str, rows: Sequence[AttemptRow]) -> Iterator[ChainStep]:
    # (steps of the problem, steps right before the first wrong one) of each chain
    written = [
        (n, round(row.metrics["steps_right"] * n))
        for row in rows
        if row.metrics["chain_written"] and (n := row.n_steps)
    ]
    for step in range(1, max((n for n, _ in written), default=0) + 1):
        reached = [right for n, right in written if n >= step and right >= step - 1]
        n_wrong = reached.count(step - 1)
        yield ChainStep(arm=arm, step=step, n_reached=len(reached), n_wrong=n_wrong)
    n_none = len(rows) - len(written)
    yield ChainStep(arm=arm, step=None, n_reached=len(rows), n_wrong=n_none)
