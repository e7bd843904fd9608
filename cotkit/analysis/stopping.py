"""When a run has shown what it can: every gain is decided, whatever the problems left may say."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from cotkit.analysis.sequential import ConfidenceSequence, decided, shared_level
from cotkit.errors import UsageError
from cotkit.store.rows import AttemptRow


def all_decided(
    pairs: Sequence[tuple[str, str]],
    *,
    margin: float,
    level: float,
    not_asked: Collection[str] = (),
) -> Callable[[Mapping[str, AttemptRow]], bool]:
    """A judge to be told each problem's attempts (arm -> row), in the order drawn.

    ``not_asked``: arms whose gains need not be decided, though they share the level of the report.
    It says True from the problem on at which no gain of ``pairs`` can change its side of the
    margin. A problem that one of a pair failed at says nothing of that pair.

    Raises:
        UsageError: there is no pair.
    """
    judged = [pair for pair in pairs if pair[0] not in not_asked]
    if not judged:
        raise UsageError(
            "--stop-when decided: no strategy here is measured against another",
            hint="name one that has a control, or a --baseline",
        )
    each = shared_level(level, len(pairs))
    sequences = {pair: ConfidenceSequence(each) for pair in judged}

    def tell(attempts: Mapping[str, AttemptRow]) -> bool:
        for (arm, control), sequence in sequences.items():
            ours, theirs = attempts[arm].outcome, attempts[control].outcome
            if "failed" not in {ours, theirs}:
                sequence.update((ours == "correct") - (theirs == "correct"))
        return all(decided(one.interval, margin) for one in sequences.values())

    return tell
