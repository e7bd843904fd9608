"""Thinking as a declared part of a run: what is refused before it, and what its answers show."""

from __future__ import annotations

from collections.abc import Sequence

from cotkit.backends._thinking import thinking_room
from cotkit.errors import BackendError, UsageError
from cotkit.protocols import Backend
from cotkit.run.plan import Arm, Plan
from cotkit.store import AttemptRow
from cotkit.types import Decoding

N_FIRST = 10
"""Answers of an arm that are looked at while it runs."""
_NOTHING = ("", "The answer is")  # the second is what the prompt spoke


def check_thinking(plan: Plan, backend: Backend) -> None:
    """Refuse arms whose thinking the model cannot be told, before anything is asked.

    Raises:
        UsageError: names the arm, and what the model can.
    """
    window = backend.info.context_tokens
    for arm in plan.arms:
        decoding = decoding_of(arm)
        try:
            room = thinking_room(backend, decoding)
        except UsageError as refused:
            raise UsageError(f"{arm.name}: {refused.message}", hint=refused.hint) from None
        is_asked = decoding.max_thinking_tokens or (decoding.thinking or "").isdecimal()
        if window is not None and is_asked and room + decoding.max_tokens >= window:
            raise UsageError(
                f"{arm.name}: {room:,} tokens of thinking and {decoding.max_tokens:,} of the "
                f"answer leave no room for a prompt in the window of {window:,} tokens",
                hint=f"at most {max(window - decoding.max_tokens - 1, 0):,}, less the prompt",
            )


def decoding_of(arm: Arm) -> Decoding:
    """Return how an arm thinks; a strategy of a user's own may not say."""
    return Decoding(
        max_tokens=getattr(arm.strategy, "max_tokens", 1),
        thinking=getattr(arm.strategy, "thinking", None),
        max_thinking_tokens=getattr(arm.strategy, "max_thinking_tokens", None),
    )


class FirstAnswers:
    """Watches the first answers of each arm: whether thinking took all the room there was."""

    def __init__(self, arms: Sequence[Arm], stored: Sequence[AttemptRow]) -> None:
        """Watch the arms of a plan, of which these attempts are there already."""
        self._settings = {arm.name: decoding_of(arm).thinking for arm in arms}
        self._n_seen = dict.fromkeys(self._settings, 0)
        self._n_lost = dict.fromkeys(self._settings, 0)
        for row in stored:
            self.add(row)

    def add(self, row: AttemptRow) -> None:
        """Look at an attempt.

        Raises:
            BackendError: the first ten of its arm had no visible text, for thinking took the limit.
        """
        arm = row.arm
        if row.outcome == "failed" or self._n_seen[arm] >= N_FIRST:
            return
        self._n_seen[arm] += 1
        has_thought = row.reasoned_apart or bool(row.n_reasoning_tokens)
        is_empty = row.text.strip() in _NOTHING
        self._n_lost[arm] += has_thought and row.outcome == "truncated" and is_empty
        if self._n_lost[arm] < N_FIRST:
            return
        n_tokens = row.n_generated_tokens or 0
        hint = f"--max-thinking-tokens {max(4096, 4 * n_tokens)}, or --thinking off"
        if self._settings[arm] == "off":
            hint = "the server ignores the switch: turn thinking off there"
        raise BackendError(
            f"the first {N_FIRST} answers of {arm} are empty: thinking took the whole limit, "
            f"{n_tokens:,} tokens the last time",
            hint=hint,
        )
