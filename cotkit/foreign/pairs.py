"""Which arm is measured against which, where results come from files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cotkit.errors import UnknownNameError, UsageError
from cotkit.registry import entries, parse_spec

_PLAIN = frozenset({"standard", "direct", "baseline", "zero-shot", "few-shot"})
"""What other people call prompting without reasoning."""


def pairs(
    arms: Sequence[str],
    *,
    strategies: Sequence[str] = (),
    baseline: str | None = None,
    controls: Mapping[str, str] | None = None,
) -> tuple[tuple[str, str], ...]:
    """(arm, control) for every arm that has one.

    The control is the baseline if one is named; else what ``controls`` says; else that of cotkit's
    strategy of that name; else the only arm with a name like ``standard``.

    Args:
        arms: Every arm there is.
        strategies: Only these are asked about; empty: every arm that has a control.
        baseline: What all are measured against.
        controls: Arm -> control, as a published table has it.

    Raises:
        UnknownNameError: a strategy or the baseline is no arm.
        UsageError: no pair, or a strategy that was asked about has no control here.
    """
    for name in (*strategies, *([baseline] if baseline else [])):
        if name not in arms:
            raise UnknownNameError("arm", name, arms)
    known = controls if controls is not None else _controls(arms)
    found: list[tuple[str, str]] = []
    for arm in strategies or arms:
        control = baseline or known.get(arm)
        if control is not None and control in arms and control != arm:
            found.append((arm, control))
        elif strategies:
            hint = f"--baseline one of: {', '.join(one for one in arms if one != arm) or 'none'}"
            raise UsageError(f"what is {arm} measured against?", hint=hint)
    if not found:
        hint = f"--baseline ARM; arms: {', '.join(arms)}"
        raise UsageError("no arm has its control among the results", hint=hint)
    return tuple(found)


def _controls(arms: Sequence[str]) -> Mapping[str, str]:
    ours = {entry.name: entry.control for entry in entries("strategy")}
    by_name = {parse_spec(arm).name: arm for arm in reversed(arms)}
    plain = [arm for arm in arms if parse_spec(arm).name in _PLAIN]
    known: dict[str, str] = {}
    for arm in arms:
        control = by_name.get(ours.get(parse_spec(arm).name, ""))
        if control is not None and control != arm:
            known[arm] = control
        elif len(plain) == 1 and arm not in plain:
            known[arm] = plain[0]
    return known
