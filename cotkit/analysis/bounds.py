"""Arms that see the gold answers: upper bounds, called so wherever they stand, never a verdict."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from cotkit.analysis.results import Gain, Verdict
from cotkit.analysis.sentences import sentence


def bounded(verdict: Verdict, upper_bounds: Collection[str], margin: float) -> Verdict:
    """The verdict; without any claim of help or harm if its arm is an upper bound."""
    if verdict.gain.arm not in upper_bounds:
        return verdict
    gain = _bound(verdict.gain)
    return replace(
        verdict,
        gain=gain,
        variants=tuple(replace(v, gain=_bound(v.gain)) for v in verdict.variants),
        depends_on=(),
        sentence=sentence(gain, margin, ()),
    )


def bound_notes(arms: Sequence[str], upper_bounds: Collection[str]) -> tuple[str, ...]:
    """A note for each upper bound."""
    return tuple(
        f"{arm} sees the gold answers: an upper bound, not a strategy to use or to rank"
        for arm in arms
        if arm in upper_bounds
    )


def _bound(gain: Gain) -> Gain:
    return replace(gain, label="upper_bound")
