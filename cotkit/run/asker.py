"""Answer each request once: from the store, from a call already running, or from the backend."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager
from dataclasses import replace

from cotkit.errors import (
    AccessError,
    BackendError,
    CotkitError,
    ModelLoadError,
    StoreError,
    UsageError,
)
from cotkit.identity import completion_key, request_key
from cotkit.protocols import Backend, LikelihoodBackend, PiecewiseBackend
from cotkit.reasoning import closes_unopened, split_reasoning
from cotkit.run.budget import Meter
from cotkit.run.driver import Turn, trim
from cotkit.store import Store
from cotkit.store.claims import BEAT_S
from cotkit.types import Completion, Request

_LOOK_S = 0.2  # between two looks at what another process is making


class NotStoredError(CotkitError):
    """A completion is not in the store, so only a model could give it."""


class StoredAsker:
    """Answers requests from the store alone."""

    def __init__(self, key: str, store: Store, judge_key: str | None = None) -> None:
        """Answer from a store; keys of the backends that made the completions.

        ``judge_key``: None where the model is its own judge.
        """
        self._key, self._store, self._judge_key = key, store, judge_key

    async def ask(self, request: Request) -> Turn:
        """Return the stored completions of a request.

        Raises:
            NotStoredError: one of them is not stored.
        """
        content = request_key(request)
        is_judged = request.role == "judge" and self._judge_key is not None
        backend = self._judge_key if is_judged and self._judge_key else self._key
        keys = tuple(completion_key(backend, content, sample) for sample in request.samples)
        completions: list[Completion] = []
        for key in keys:
            if (completion := self._store.completion(key)) is None:
                raise NotStoredError("a completion is not in the store")
            completions.append(completion)
        return Turn(keys=keys, completions=tuple(completions), is_judged=is_judged)

    async def score_options(self, request: Request) -> tuple[Completion, ...]:
        """Return the stored scores of the options of a request; none where one is missing."""
        try:
            return (await self.ask(request)).completions
        except NotStoredError:
            return ()


class Asker:
    """Asks for all flows of a run, so that equal requests of two arms share one completion."""

    def __init__(
        self,
        backend: Backend,
        key: str,
        store: Store,
        meter: Meter,
        *,
        promised: frozenset[str],
        waiting: Callable[[], AbstractContextManager[None]],
    ) -> None:
        """Ask a backend.

        ``promised``: completion keys that a batch at the provider holds. ``waiting``: the context
        in which a flow waits for what another process makes.
        """
        self._backend, self._key, self._store, self._meter = backend, key, store, meter
        self._piecewise = backend if isinstance(backend, PiecewiseBackend) else None
        self._promised = promised
        self._pending: dict[str, asyncio.Future[Completion]] = {}
        self._elsewhere: dict[str, asyncio.Future[None]] = {}
        self._waiting = waiting
        self.judge: Asker | None = None
        """Asks the model that judges; None: this one does."""
        self.n_generated = 0
        """Completions that the backend made, over the life of this object."""
        self.why_unscored: str | None = None
        """Why options could not be scored, the first time; None: they could."""
        self._thoughts = UnopenedThoughts(is_server="base_url" in backend.info.settings)
        self.amended: set[str] = set()
        """Keys of completions that turned out to be reasoning cut short, and are stored so."""

    async def ask(self, request: Request) -> Turn:
        """Return a completion for every sample; each is stored as soon as it is made.

        What another process makes for the same store is waited for, and made here if that fails.
        """
        if request.role == "judge" and self.judge is not None:
            return replace(await self.judge.ask(request), is_judged=True)
        content = request_key(request)
        keys = [completion_key(self._key, content, sample) for sample in request.samples]
        missing = dict(zip(keys, request.samples, strict=True))
        completions: dict[str, Completion] = {}
        while missing:
            pending = {key: self._pending[key] for key in missing if key in self._pending}
            for key in missing.keys() - pending.keys():
                if (stored := self._store.completion(key)) is not None:
                    completions[key] = stored
            unclaimed = missing.keys() - pending.keys() - completions.keys()
            claimed = self._claim(unclaimed, completions) if unclaimed else set[str]()
            if claimed:
                ordered = {key: sample for key, sample in missing.items() if key in claimed}
                completions |= await self._generate(request, content, ordered)
            for key, future in pending.items():
                completions[key] = await asyncio.shield(future)
            missing = {key: sample for key, sample in missing.items() if key not in completions}
            if missing:
                await self._wait_elsewhere(missing.keys())
        return Turn(keys=tuple(keys), completions=tuple(completions[key] for key in keys))

    def _claim(self, keys: AbstractSet[str], completions: dict[str, Completion]) -> set[str]:
        """Claim completions; add those to ``completions`` that were stored in the meantime."""
        claimed = self._store.claims.take(keys)
        for key in claimed:
            if (stored := self._store.completion(key)) is not None:
                completions[key] = stored
        self._store.claims.release(claimed & completions.keys())
        return claimed - completions.keys()

    # Completions that another process is making: one task looks for all flows that wait for them.

    async def _wait_elsewhere(self, keys: AbstractSet[str]) -> None:
        """Wait until one of the completions is stored or no longer being made."""
        loop = asyncio.get_running_loop()
        futures = {self._elsewhere.setdefault(key, loop.create_future()) for key in keys}
        with self._waiting():
            await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
        for future in futures:
            if future.done():
                future.result()

    def status(self) -> str | None:
        """Say how many completions other processes are making for this run; None: none."""
        n = len(self._elsewhere)
        return f"{n} answers are being made by another process on this store" if n else None

    async def keep_claims(self) -> None:
        """Until cancelled, keep the claims of this run valid and look at those of others."""
        loop = asyncio.get_running_loop()
        last_beat_s = loop.time()
        while True:
            await asyncio.sleep(_LOOK_S)
            try:
                if self._elsewhere:
                    for key in self._store.claims.ended(self._elsewhere.keys()):
                        self._elsewhere.pop(key).set_result(None)
                if loop.time() - last_beat_s > BEAT_S:
                    last_beat_s = loop.time()
                    self._store.claims.beat()
            except StoreError as failure:
                for future in self._elsewhere.values():
                    future.set_exception(failure)
                self._elsewhere.clear()

    async def score_options(self, request: Request) -> tuple[Completion, ...]:
        """Score the options of a request; return nothing where this model or server cannot.

        The attempt itself was answered before, and counts without this measure.
        """
        try:
            return (await self.ask(request)).completions
        except (AccessError, ModelLoadError):
            raise
        except BackendError as failure:
            if failure.retryable:
                raise
            self.why_unscored = self.why_unscored or str(failure)
            return ()

    async def _make(
        self, request: Request, keep: Callable[[Mapping[int, Completion]], None]
    ) -> tuple[Completion, ...]:
        if not request.options:
            if self._piecewise is not None:
                return await self._piecewise.generate_each(request, keep)
            return await self._backend.generate(request)
        if not isinstance(self._backend, LikelihoodBackend):
            raise UsageError(
                f"{self._backend.info.model} cannot score given answers (log-likelihood)",
                hint="a local model, or a completions server that echoes log-probabilities",
            )
        scored = await self._backend.loglikelihood(request)
        for completion in scored:
            if completion.logprob is None or not -math.inf < completion.logprob <= 0:
                raise ModelLoadError(
                    f"{self._backend.info.model} gave {completion.text!r} the log-probability"
                    f" {completion.logprob}, no number up to 0"
                )
        return tuple(scored[sample] for sample in request.samples)  # some may be stored already

    async def _generate(
        self, request: Request, content: str, missing: dict[str, int]
    ) -> dict[str, Completion]:
        if not self._promised.isdisjoint(missing):
            self._store.claims.release(missing)
            raise UsageError(
                "a batch at the provider holds answers of this run: they are paid for",
                hint="add --batch to collect them",
            )
        loop = asyncio.get_running_loop()
        futures = {key: loop.create_future() for key in missing}
        self._pending |= futures
        partial_request = replace(request, samples=tuple(missing.values()))
        completions: dict[str, Completion] = {}

        def keep(arrived: Mapping[int, Completion]) -> None:
            for key, sample in missing.items():
                if key not in completions and (completion := arrived.get(sample)) is not None:
                    trimmed = completion
                    if not request.options:
                        trimmed = self._thoughts.trim(completion, request, key)
                        self._amend()
                    completions[key] = self._store.put_completion(
                        self._key, content, request, sample, trimmed
                    )
                    futures[key].set_result(completions[key])
                    self._count(completions[key])

        try:
            keep(
                dict(
                    zip(
                        partial_request.samples,
                        await self._make(partial_request, keep),
                        strict=True,
                    )
                )
            )
        except BackendError as failure:
            keep(failure.answered)
            self._fail(futures, failure)
            raise
        except BaseException as failure:
            self._fail(futures, failure)
            raise
        finally:
            for key in missing:
                del self._pending[key]
            with contextlib.suppress(StoreError):  # the error that ends this says why
                self._store.claims.release(missing.keys() - completions.keys())
        return completions

    def _amend(self) -> None:
        """Store anew what a later answer showed to be reasoning."""
        for key, completion in self._thoughts.take_amended():
            if self._store.amend_completion(key, completion):
                self.amended.add(key)

    def _count(self, completion: Completion) -> None:
        self.n_generated += 1
        self._meter.add(completion)

    @staticmethod
    def _fail(futures: Mapping[str, asyncio.Future[Completion]], failure: BaseException) -> None:
        for future in futures.values():
            if not future.done():
                future.set_exception(failure)
                future.exception()  # marks it as read, since no flow may be waiting for it


class UnopenedThoughts:
    """Finds models whose chat template opens the reasoning, behind a server that does not say so.

    Their answers hold the end of a block and no beginning. One that is cut before that end is all
    reasoning: a stop rule of ours that fired in it did not end an answer. What came before the
    first such end is kept here, to be amended when it comes.
    """

    def __init__(self, *, is_server: bool) -> None:
        """Watch the answers of a server; those of local models are known exactly."""
        self._is_server = is_server
        self._doubtful: dict[str, tuple[Completion, Request]] = {}
        self._amended: list[tuple[str, Completion]] = []
        self._is_known = False

    def trim(self, completion: Completion, request: Request, key: str) -> Completion:
        """Trim a completion as the answers so far say it must be."""
        if not self._is_server:
            return trim(completion, request)
        if not self._is_known and closes_unopened(completion.text):
            self._is_known = True
            self._amended = [
                (old_key, trim(old, old_request, opened=True))
                for old_key, (old, old_request) in self._doubtful.items()
            ]
            self._doubtful.clear()
        is_cut = completion.stop_reason == "length" and not completion.reasoning
        if not is_cut or split_reasoning(completion.text)[0] is not None:
            return trim(completion, request)
        if self._is_known:
            return trim(completion, request, opened=True)
        trimmed = trim(completion, request)
        if trimmed.stop_reason != "length":
            self._doubtful[key] = completion, request
        return trimmed

    def take_amended(self) -> list[tuple[str, Completion]]:
        """Return what must be stored anew, once."""
        amended, self._amended = self._amended, []
        return amended
