"""One price: what models of one backend cost, and what tokens come to at it."""

from __future__ import annotations

from dataclasses import dataclass, replace

_MILLION = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """One row: what models of one backend cost, in US dollars for a million tokens."""

    backend: str
    """The backend's registry name."""
    models: tuple[str, ...]
    """Patterns of model names: ``*`` is anything, ``?`` one character."""
    input: float
    """Prompt tokens."""
    cached_input: float
    """Prompt tokens that the provider read from its cache."""
    cache_write: float
    """Prompt tokens that the provider wrote to its cache."""
    output: float
    """Generated tokens, reasoning included."""
    batch_discount: float
    """Share that the batch interface takes off everything, in 0..1."""
    as_of: str
    """ISO date on which the price was looked up; say it with every figure made from it."""
    status: str
    """How sure it is: ``checked`` (two sources agree), ``single`` (one source), or the user's."""
    source: str
    """Where to check it."""

    def batched(self) -> Price:
        """The price through the batch interface."""
        left = 1 - self.batch_discount
        return replace(
            self,
            input=self.input * left,
            cached_input=self.cached_input * left,
            cache_write=self.cache_write * left,
            output=self.output * left,
            batch_discount=0.0,
        )

    def cost(
        self, n_prompt: float, n_shared: float, n_cache_write: float, n_generated: float
    ) -> float:
        """US dollars for so many tokens; counts may be means.

        Args:
            n_prompt: All prompt tokens, the next two included.
            n_shared: Of these, read from the provider's cache.
            n_cache_write: Of these, written to it.
            n_generated: Generated tokens, reasoning included.
        """
        fresh = n_prompt - n_shared - n_cache_write
        return (
            fresh * self.input
            + n_shared * self.cached_input
            + n_cache_write * self.cache_write
            + n_generated * self.output
        ) / _MILLION
