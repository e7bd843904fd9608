"""The gain by the number of steps a problem takes: from how many steps on does the arm help?

The groups are fixed by counts alone, never by who solved what: from the fewest steps upward, each
number of steps is a group of its own if at least `MIN_PROBLEMS` problems take it; else it is
merged with the next numbers until there are so many. What is left over at the top joins the group
below it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from cotkit.analysis.gains import Grading, Pair, compute_gains, label_direction
from cotkit.analysis.values import ChainStep, Difficulty, Gain, Label, StepGroup
from cotkit.stats.hypotheses import sidak_level
from cotkit.stats.sequential import shared_level
from cotkit.store.rows import AttemptRow

MIN_PROBLEMS = 20
"""Problems of a group; in smaller ones hardly any gain could be shown."""

_NO_HELP: frozenset[Label] = frozenset({"no_material_help", "harms"})
_NO_CLAIM: frozenset[Label] = frozenset({"withheld", "upper_bound"})


def gains_by_steps(
    paired: Mapping[tuple[str, str], Sequence[Pair]],
    counting: Grading,
    labels: Sequence[Label],
    *,
    margin: float,
    level: float,
    sequential: bool = False,
) -> tuple[Difficulty, ...]:
    """Measure the gains by number of steps of each pair; none if there are under two groups.

    The intervals of all groups and gains hold at once at ``level`` (Sidak; Bonferroni if
    ``sequential``). They are a family of their own, to which the main gains do not belong.

    Args:
        paired: Completed pairs of each (arm, control), in the order of the result; those whose
            number of steps is not known are left out.
        counting: Who is right in a pair.
        labels: Of the main gains: what is withheld or an upper bound there is so in every group.
        margin: As for the main gains.
        level: Between 0 and 1.
        sequential: As for the main gains; the pairs must then come in the order drawn.
    """
    steps = {row.problem_id: row.n_steps for pairs in paired.values() for (row, *_), _ in pairs}
    groups = group_steps(Counter(n for n in steps.values() if n is not None))
    if len(groups) < 2:
        return ()
    share = (shared_level if sequential else sidak_level)(level, len(groups))
    by_group: list[list[StepGroup]] = []
    for group in groups:
        inside = {names: _pairs_in_group(group, pairs) for names, pairs in paired.items()}
        of_group = compute_gains(
            inside, counting, margin=margin, level=share, sequential=sequential
        )
        by_group.append(
            [
                _make_step_group(group, gain, main, counting, pairs)
                for gain, main, pairs in zip(of_group, labels, inside.values(), strict=True)
            ]
        )
    return tuple(
        Difficulty(arm=arm, control=control, groups=of_arm, sentence=onset_sentence(arm, of_arm))
        for (arm, control), of_arm in zip(paired, zip(*by_group, strict=True), strict=True)
    )


def group_steps(counts: Mapping[int, int]) -> tuple[tuple[int, int], ...]:
    """Return the groups, as (fewest steps, most steps) of the problems in them.

    Args:
        counts: Steps -> problems that take so many.
    """
    groups: list[tuple[int, int]] = []
    waiting: list[int] = []
    for steps in sorted(counts):
        waiting.append(steps)
        if sum(counts[n_steps] for n_steps in waiting) >= MIN_PROBLEMS:
            groups.append((waiting[0], steps))
            waiting = []
    if waiting:
        lowest = groups.pop()[0] if groups else waiting[0]
        groups.append((lowest, waiting[-1]))
    return tuple(groups)


def onset_sentence(arm: str, groups: Sequence[StepGroup]) -> str:
    """Say from how many steps on the arm helps, as far as the labels of the groups support it.

    "From N steps up" needs all three: the group of N is the lowest labelled ``helps``; every group
    above shows help, too; there are groups below, each labelled ``no_material_help`` or ``harms``.
    """
    labels: list[Label] = [group.gain.label for group in groups]
    if any(label in _NO_CLAIM for label in labels):
        return f"{arm}: no claim by number of steps, as above"
    tested = f"{groups[0].lowest} to {groups[-1].highest} steps tested"
    helped = [group for group in groups if group.gain.label == "helps"]
    if len(helped) == len(groups):
        return f"{arm} helps in every group of steps ({tested})"
    if all(label in _NO_HELP for label in labels):
        return f"{arm} helps in no group of steps ({tested})"
    first = next((i for i, label in enumerate(labels) if label == "helps"), 0)
    holds_above = all(label_direction(label) > 0 for label in labels[first:])
    if first > 0 and holds_above and all(label in _NO_HELP for label in labels[:first]):
        return f"{arm} helps from {format_steps(helped[0])} steps up ({tested})"
    where = ", ".join(format_steps(group) for group in helped)
    elsewhere = f"; shown to help at {where}" if where else ""
    return f"from how many steps on {arm} helps is undetermined{elsewhere} ({tested})"


def format_steps(group: StepGroup) -> str:
    """Format a group: ``4``, or ``4-8`` where it holds several numbers of steps."""
    is_single = group.lowest == group.highest
    return str(group.lowest) if is_single else f"{group.lowest}-{group.highest}"


def _pairs_in_group(group: tuple[int, int], pairs: Sequence[Pair]) -> list[Pair]:
    lowest, highest = group
    return [
        pair
        for pair in pairs
        if (steps := pair[0][0].n_steps) is not None and lowest <= steps <= highest
    ]


def _make_step_group(
    group: tuple[int, int], gain: Gain, main: Label, counting: Grading, pairs: Sequence[Pair]
) -> StepGroup:
    judged = [verdict for pair in pairs if (verdict := counting.judge(pair)) is not None]
    return StepGroup(
        lowest=group[0],
        highest=group[1],
        n_correct=sum(arm for arm, _ in judged),
        n_control_correct=sum(control for _, control in judged),
        gain=replace(gain, label=main) if main in _NO_CLAIM else gain,
    )


# At which step chains of equations first go wrong: counts, by arm.


def count_chain_steps(rows: Sequence[AttemptRow]) -> tuple[ChainStep, ...]:
    """Count each arm's steps: one result a step, in order, then one for no equation written.

    Args:
        rows: One attempt each; counted where the chain was judged (``chain_written``).
    """
    judged: dict[str, list[AttemptRow]] = {}
    for row in rows:
        if "chain_written" in row.metrics and row.n_steps is not None:
            judged.setdefault(row.arm, []).append(row)
    return tuple(step for arm, of_arm in judged.items() for step in _steps_of_arm(arm, of_arm))


def _steps_of_arm(arm: str, rows: Sequence[AttemptRow]) -> Iterator[ChainStep]:
    # (steps of the problem, steps right before the first wrong one) of each chain
    chains = [
        (n, round(row.metrics["steps_right"] * n))
        for row in rows
        if row.metrics["chain_written"] and (n := row.n_steps)
    ]
    for step in range(1, max((n for n, _ in chains), default=0) + 1):
        reached = [right for n, right in chains if n >= step and right >= step - 1]
        n_wrong = reached.count(step - 1)
        yield ChainStep(arm=arm, step=step, n_reached=len(reached), n_wrong=n_wrong)
    n_none = len(rows) - len(chains)
    yield ChainStep(arm=arm, step=None, n_reached=len(rows), n_wrong=n_none)
