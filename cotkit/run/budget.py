"""Budgets of a run: what it may cost, and when it must stop.

A run begins problem by problem, all arms of one together; before each problem a meter tells whether
one more still fits. So a budget never cuts a problem in two, and every arm ends with the same
problems. The run can exceed a limit only by what its last problems cost above the mean.
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
    """Limits of one call of cotkit; earlier calls of a resumed run are not counted."""

    usd: float | None = None
    """US dollars at list prices; None: no limit."""
    tokens: int | None = None
    """Prompt and generated tokens together, cached ones included; None: no limit."""
    seconds: float | None = None
    """Wall time since the meter was made; None: no limit."""

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
        """Refuse a budget of nothing.

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
    judge_budget: Budget = field(default_factory=Budget)
    """The same for what the judge takes, where the run names one."""
    prices: Path | None = None
    """A file of the user's own prices (``cotkit/models/prices.toml`` says the format)."""
    executor: RayExecutor | None = None
    """Whose machines ask a model that a spec names; None: this process."""
    retry_failed: bool = False
    """Whether attempts that a server refused for good are tried again, too."""
    trusted_addresses: tuple[str, ...] = ()
    """Addresses of servers that may have a key though only a file here names them."""


NO_LIMITS = Resources()


class Meter:
    """Counts what a run spends and tells when no new problem may begin.

    Only completions made now are counted: those of the store cost nothing. Failed tries are not
    counted: providers do not tell what they charge for them.
    """

    def __init__(
        self,
        budget: Budget,
        price: Price | None,
        *,
        model: str,
        option: str = "--budget",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start at nothing spent; ``model`` and ``option`` are for messages only.

        Raises:
            UsageError: dollars are limited and the price is unknown.
        """
        if budget.usd is not None and price is None:
            raise UsageError(
                f"the price of {model} is unknown, so {option}-usd cannot be kept",
                hint=f"--prices FILE.toml or $COTKIT_PRICES gives it, or use {option}-tokens",
            )
        self._budget, self._price, self._model, self._option = budget, price, model, option
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
            shared, cache_writes = completion.n_shared_tokens, completion.n_cache_write_tokens
            self._usd += self._price.cost(prompt, shared, cache_writes, generated)

    def count_problem(self) -> None:
        """Count a problem of which all arms are done.

        Problems done before anything was made came from the store: they tell nothing of the price.
        """
        if self._n_made:
            self._n_done += 1

    @property
    def is_timed(self) -> bool:
        """Return whether wall time is limited."""
        return self._budget.seconds is not None

    @property
    def usd(self) -> float | None:
        """Return the dollars spent so far; None: no price. Print the date of the price with it."""
        return None if self._price is None else self._usd

    @property
    def tokens(self) -> int:
        """Return the tokens taken so far, of the completions whose tokens are known."""
        return self._tokens

    @property
    def seconds(self) -> float:
        """Return the wall time so far."""
        return self._clock() - self._began_s

    def explain_stop(self, n_in_flight: int) -> str | None:
        """Return why no new problem may begin now, in one sentence; None: one may.

        While problems are running the answer may change, as they may turn out cheaper: ask again
        when one is done. With none running it is final: the budget is used up.

        A new problem is expected to take the mean of the problems done; so is each running one,
        whatever it took already. Before the first is done that mean is unknown: the first problem
        runs alone (not so if only time is limited).

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
                return self._explain(name, limit, spent, mean)
        if budget.seconds is not None:
            seconds = self.seconds
            # Little's law: a problem lasts as long as it takes to finish as many as run at once.
            each = max(self._most_open, 1) * seconds / self._n_done if self._n_done else 0.0
            if seconds >= budget.seconds or seconds + each > budget.seconds:
                return self._explain("time", budget.seconds, seconds, each)
        return None

    def _explain(self, name: str, limit: float, spent: float, each: float) -> str:
        def format_amount(amount: float) -> str:
            if name == "usd":
                return f"${amount:.4g}"
            return f"{amount:.3g} s" if name == "time" else f"{amount:,.0f}"

        dated = f" (list prices of {self._price.as_of})" if name == "usd" and self._price else ""
        return (
            f"{self._option}-{name} is used up: {format_amount(spent)} of {format_amount(limit)}"
            f" taken, and one more problem takes about {format_amount(each)}{dated}"
        )
