"""The plurality answer of several samples, as one reader reads them (Wang et al. 2022)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from cotkit.types import Reading, StopReason


def plurality(readings: Sequence[Reading]) -> Reading:
    """The value read most often; of several, the one that was read first.

    Args:
        readings: Of the samples, in their order. Values are compared as they are, so a vote is
            taken on the reader's own canonical form. What could not be read has no vote.

    Returns:
        The value and a rule such as ``"vote 3/5"``: votes for it, of all samples. Where nothing
        was read, the rule is the one that all readings share, else ``"none"``.
    """
    votes = Counter(reading.value for reading in readings if reading.value is not None)
    if not votes:
        rules = {reading.rule for reading in readings}
        return Reading(value=None, rule=rules.pop() if len(rules) == 1 else "none")
    ((value, n_votes),) = votes.most_common(1)  # of equals, the first that was counted
    return Reading(value=value, rule=f"vote {n_votes}/{len(readings)}")


def common_end(ends: Sequence[StopReason]) -> StopReason:
    """How a vote ended: as all its samples did, else ``stop``.

    An unreadable vote is refused or truncated only if every sample was.
    """
    first, *others = ends
    return first if all(end == first for end in others) else "stop"
