"""The completions of a recorded run, and nothing else: for scoring again without any model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from cotkit.errors import BackendError
from cotkit.identity import request_key
from cotkit.types import BackendInfo, Completion, Decoding, Request

FindCompletion = Callable[[str, int], Completion | None]
"""(request key, sample index) -> the completion that the run recorded; None: it holds none."""


@dataclass(kw_only=True)
class Replay:
    """``replay/RUN_ID``: answers as the model of that run did, under its identity."""

    model: str
    """Id of the recorded run."""
    recorded: FindCompletion
    """Looks a completion up."""
    info: BackendInfo
    """Of the backend that was recorded, so that its keys are the same."""

    async def generate(self, request: Request) -> tuple[Completion, ...]:
        """Return the recorded completion of each sample.

        Raises:
            BackendError: something was never recorded.
        """
        key = request_key(request)
        looked_up = [self.recorded(key, sample) for sample in request.samples]
        completions = tuple(completion for completion in looked_up if completion is not None)
        if len(completions) < len(request.samples):
            raise BackendError(
                f"run {self.model} holds no completion for a prompt of this one",
                hint="replay the same benchmark, limit, seed, exemplars and strategies",
            )
        return completions

    def thinking_room(self, decoding: Decoding) -> int:  # noqa: ARG002 - the protocol's
        """Return 0: what was recorded has been thought."""
        return 0

    async def loglikelihood(self, request: Request) -> tuple[Completion, ...]:
        """Return the recorded completion of each option.

        Raises:
            BackendError: something was never recorded.
        """
        return await self.generate(replace(request, samples=tuple(range(len(request.options)))))

    async def count_tokens(self, request: Request) -> int | None:
        """Return the recorded count; None if this request was not recorded."""
        completion = self.recorded(request_key(request), request.samples[0])
        return completion.n_prompt_tokens if completion else None

    async def close(self) -> None:
        """Do nothing: there is nothing to give back."""
