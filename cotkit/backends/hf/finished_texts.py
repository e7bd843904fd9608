"""Texts that have just ended: a next turn goes on from one in place of reading it again.

Flows ask on within a step or two of their answer, so a text is kept for a few steps, and no more of
them than a number of tokens; a sequence that goes on from one holds it until it joins the batch.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from cotkit.backends.hf.prefix_tree import Layers, Node, common_prefix_length

_STEPS = 8  # that a text is kept


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FinishedText:
    """A prompt and what was generated after it, with their keys and values."""

    path: tuple[Node, ...]
    """What it shares with others, from position 0 on."""
    tokens: tuple[int, ...]
    """All that was read of it."""
    n_prompt: int
    """How many of them were its prompt, or its path where that is longer."""
    layers: Layers
    """Of what follows the path."""

    @property
    def n_kept(self) -> int:
        """Of how many tokens it holds keys and values of its own."""
        return len(self.tokens) - (self.path[-1].end if self.path else 0)

    def n_common(self, tokens: tuple[int, ...]) -> int:
        """Return how many of its tokens a prompt begins with; its last one stays to be read.

        0: it does not begin with all of this one's prompt.
        """
        n = self.n_prompt
        goes_on = len(tokens) > n and tokens[:n] == self.tokens[:n]
        return common_prefix_length(self.tokens, tokens[:-1]) if goes_on else 0


class FinishedTexts:
    """The texts that ended within the last few steps, up to a number of tokens."""

    def __init__(self, most_tokens: int) -> None:
        self._most_tokens = most_tokens
        self._by_step: deque[list[FinishedText]] = deque([[]], maxlen=_STEPS)

    def begin_step(self) -> None:
        """Forget those of the oldest step."""
        self._by_step.append([])

    def has_room(self, n_tokens: int) -> bool:
        """Return whether a text of so many tokens of its own may be kept."""
        n_kept = sum(text.n_kept for texts in self._by_step for text in texts)
        return n_kept + n_tokens <= self._most_tokens

    def add(self, text: FinishedText) -> None:
        """Keep a text that ended in this step."""
        self._by_step[-1].append(text)

    def find(self, tokens: tuple[int, ...]) -> FinishedText | None:
        """Return the text that a prompt goes on from, the one with most in common."""
        counts = [(text.n_common(tokens), text) for texts in self._by_step for text in texts]
        n, text = max(counts, key=lambda pair: pair[0], default=(0, None))
        return text if n else None

    def clear(self) -> None:
        """Forget all of them."""
        self._by_step = deque([[]], maxlen=_STEPS)
