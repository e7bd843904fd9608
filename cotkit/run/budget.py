"""What a run may cost, and when it has to stop for it.

A run begins problem by problem, all arms of one together; a meter says before each whether one more
still fits. So a budget never cuts a problem in two, and every arm ends with the same problems. What
can be spent beyond the limit is what the problems under way turn out to cost above the mean.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cotkit.errors import UsageError
from cotkit.models.prices import Price
from cotkit.types import Completion

if TYPE_CHECKING:
    from cotkit.executors.ray import RayExecutor


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Limits of one call of cotkit; what earlier calls of a resumed run took is not counted."""

    usd: float | None = None
    """US dollars at list prices; None: no limit."""
    tokens: int | None = None
    """Prompt and generated tokens together, cached ones included; None: no limit."""
    seconds: float | None = None
    """Wall time from the making of the meter; None: no limit."""

    def check_batch(self) -> None:
        """Refuse a limit for a run that sends everything at once.

        Raises:
            UsageError: there is a limit.
        """
        if (self.usd, self.tokens, self.seconds) != (None, None, None):
            raise UsageError(
                "--batch sends everything at once: no budget could stop it", hint="use --limit"
            )

    def __post_init__(self) -> None:
        """Refuse a budget that nothing fits in.

        Raises:
            UsageError: a limit is not above 0.
        """
        for name, limit in (("usd", self.usd), ("tokens", self.tokens), ("time", self.seconds)):
            if limit is not None and not limit > 0:
                raise UsageError(f"--budget-{name} {limit} leaves nothing to spend")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What one call may spend, and whose machines ask; a resumed run begins to count anew."""

    budget: Budget = field(default_factory=Budget)
    """When to stop, between problems, with the arms balanced."""
    prices: Path | None = None
    """A file of the user's own prices (``cotkit/models/prices.toml`` says the format)."""
    executor: RayExecutor | None = None
    """Whose machines ask a model that a spec names; None: this process."""


NO_LIMITS = Resources()


class Meter:
    """Counts what a run takes and says when no new problem may begin.

    Only completions made now are counted, as the store hands out its own for nothing. Tries that
    gave nothing are not counted: providers do not say what they charge for them.
    """

    def __init__(
        self,
        budget: Budget,
        price: Price | None,
        *,
        model: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``model`` is for messages only.

        Raises:
            UsageError: dollars are limited and the price is unknown.
        """
        if budget.usd is not None and price is None:
            raise UsageError(
                f"the price of {model} is unknown, so --budget-usd cannot be kept",
                hint="--prices FILE.toml or $COTKIT_PRICES gives it, or use --budget-tokens",
            )
        self._budget, self._price, self._model = budget, price, model
        self._clock, self._began_s = clock, clock()
        self._usd, self._tokens = 0.0, 0
        self._n_done = self._n_made = self._most_open = 0

    def add(self, completion: Completion) -> None:
        """Count a completion that was made now.

        Raises:
            UsageError: tokens or dollars are limited and the backend does not count tokens.
        """
        self._n_made += 1
        prompt, generated = completion.n_prompt_tokens, completion.n_generated_tokens
        if prompt is None or generated is None:
            if self._budget.usd is None and self._budget.tokens is None:
                return
            raise UsageError(
                f"{self._model} does not say how many tokens it took: that budget cannot be kept",
                hint="use --budget-time",
            )
        self._tokens += prompt + generated
        if self._price is not None:
            shared, written = completion.n_shared_tokens, completion.n_cache_write_tokens
            self._usd += self._price.cost(prompt, shared, written, generated)

    def problem_done(self) -> None:
        """All arms of a problem are done.

        Problems done before anything was made came from the store: they say nothing of the price.
        """
        if self._n_made:
            self._n_done += 1

    @property
    def is_timed(self) -> bool:
        """Whether wall time is limited."""
        return self._budget.seconds is not None

    @property
    def usd(self) -> float | None:
        """Dollars taken so far; None: the price is unknown. Say the price's date with it."""
        return None if self._price is None else self._usd

    @property
    def tokens(self) -> int:
        """Tokens taken so far, of the completions whose tokens are known."""
        return self._tokens

    @property
    def seconds(self) -> float:
        """Wall time so far."""
        return self._clock() - self._began_s

    def exhausted(self, n_in_flight: int) -> str | None:
        """Why no new problem may begin now, in one sentence; None: it may.

        With problems under way this is no last word: they may turn out cheaper, so ask again when
        one is done. With none it is: the budget is used up.

        One more is expected to take the mean of the problems done; those under way are expected
        to take that in full, whatever they took already. While none is done that mean is unknown:
        the first problem runs alone (a limit of time alone does not ask for that).

        Args:
            n_in_flight: Problems begun and not done.
        """
        self._most_open = max(self._most_open, n_in_flight)
        budget = self._budget
        limits = (("usd", self._usd, budget.usd), ("tokens", self._tokens, budget.tokens))
        for name, spent, limit in limits:
            if limit is None:
                continue
            if not self._n_done and n_in_flight:
                return "what a problem takes is not known before the first is done"
            mean = spent / self._n_done if self._n_done else 0.0
            if spent >= limit or spent + mean * (n_in_flight + 1) > limit:
                return self._sentence(name, limit, spent, mean)
        if budget.seconds is not None:
            seconds = self.seconds
            # Little's law: a problem takes as long as as many as run at once take to be done.
            each = max(self._most_open, 1) * seconds / self._n_done if self._n_done else 0.0
            if seconds >= budget.seconds or seconds + each > budget.seconds:
                return self._sentence("time", budget.seconds, seconds, each)
        return None

    def _sentence(self, name: str, limit: float, spent: float, each: float) -> str:
        def said(amount: float) -> str:
            if name == "usd":
                return f"${amount:.4g}"
            return f"{amount:.3g} s" if name == "time" else f"{amount:,.0f}"

        at = f" (list prices of {self._price.as_of})" if name == "usd" and self._price else ""
        return (
            f"--budget-{name} is used up: {said(spent)} of {said(limit)} taken, and one more "
            f"problem takes about {said(each)}{at}"
        )
