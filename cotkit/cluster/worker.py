"""The actor: one backend on one machine, built once and kept for every shard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from cotkit.cluster.parcel import Failure, Recipe, Shard, Told
from cotkit.errors import CotkitError, ModelLoadError
from cotkit.identity import backend_key
from cotkit.protocols import Backend, LikelihoodBackend
from cotkit.run import build_backend
from cotkit.types import Completion, Request


class Worker:
    """What runs inside an actor; Ray calls its methods on one event loop."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe, self._said = recipe, list[str]()
        self._backend: Backend | None = None
        self._slots: asyncio.Semaphore | None = None

    async def begin(self) -> Failure | None:
        """Build the backend; why it could not be, or would answer as another than the driver's."""
        recipe = self._recipe
        try:
            backend = build_backend(
                recipe.model,
                recipe.args,
                problems=recipe.problems,
                store=None,
                notify=self._said.append,
            )
            info = await asyncio.to_thread(lambda: backend.info)  # may fetch a model
            if backend_key(info) != recipe.key:
                raise ModelLoadError(
                    f"{recipe.model} on a worker is not what it is here: {info.settings}",
                    hint="same cotkit, packages and weights everywhere; name --device and --dtype",
                )
        except CotkitError as error:
            return Failure.of(error)
        self._backend = backend
        if info.max_concurrency is not None:
            self._slots = asyncio.Semaphore(info.max_concurrency)
        return None

    async def answer(self, shard: Shard) -> AsyncGenerator[Told]:
        """What comes of a shard, each part as soon as it is there."""
        tasks = {asyncio.create_task(self._one(one)): i for i, one in enumerate(shard)}
        left = set(tasks)
        try:
            while left:
                done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
                found = tuple((tasks[task], task.result()) for task in done)
                said, self._said[:] = tuple(self._said), []
                yield Told(found=found, said=said)
        finally:
            for task in left:
                task.cancel()

    async def _one(self, request: Request) -> tuple[Completion, ...] | Failure:
        try:
            if self._slots is None:
                return await self._ask(request)
            async with self._slots:
                return await self._ask(request)
        except CotkitError as error:
            return Failure.of(error)

    async def _ask(self, request: Request) -> tuple[Completion, ...]:
        backend = self._backend
        assert backend is not None, "begin comes first"
        if not request.options:
            return await backend.generate(request)
        assert isinstance(backend, LikelihoodBackend), "its info says what it can"
        return await backend.loglikelihood(request)
