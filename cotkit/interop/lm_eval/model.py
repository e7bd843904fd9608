"""A model object of lm-evaluation-harness as a backend: ``cotkit.compare(lm, ...)``."""

from __future__ import annotations

import asyncio
import inspect
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from cotkit.errors import BackendError, UsageError
from cotkit.types import BackendInfo, Completion, Request

_Call = tuple[Any, "asyncio.Future[Any]"]
_QUIET_S = 0.005  # no new request for so long: those that wait go in one call


@dataclass(kw_only=True)
class LmEvalModel:
    """An ``lm_eval.api.model.LM``, such as ``HFLM(pretrained=...)``.

    lm-eval asks in batches and waits, so requests that come together go in one call, one call at
    a time. Prompts are raw text; draws at a temperature are not seeded, as lm-eval seeds none.
    Nothing about the object says for certain which weights answer, so completions are reused by a
    later run only under an ``identity`` that its owner vouches for.
    """

    model: Any
    """The object; it is left as it is."""
    identity: str = field(default_factory=lambda: f"once-{uuid.uuid4().hex}")
    """Names model and version; unique to this object unless given."""
    max_concurrency: int = 64
    """Requests that may wait at once: the most in one call."""

    def __post_init__(self) -> None:
        """Check the limit.

        Raises:
            UsageError: it is below 1.
        """
        if self.max_concurrency < 1:
            raise UsageError(f"max_concurrency is {self.max_concurrency}, must be at least 1")
        self._waiting: dict[str, list[_Call]] = {"generate_until": [], "loglikelihood": []}
        self._turn: asyncio.Lock | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def info(self) -> BackendInfo:
        """Named after the weights where the object says which, else after its class."""
        name = getattr(self.model, "pretrained", None) or getattr(self.model, "model", None)
        kind = type(self.model).__name__
        weights = getattr(self.model, "model", None)  # a torch module, of local models
        count = getattr(weights, "num_parameters", None)
        return BackendInfo(
            backend="lm-eval",
            model=name if isinstance(name, str) else kind,
            fingerprint=self.identity,
            settings={"class": kind, "dtype": str(getattr(weights, "dtype", "unknown"))},
            n_params=int(str(count())) if callable(count) else None,
            capabilities=frozenset({"generate", "sampling", "loglikelihood"}),
            context_tokens=self._window(),
            max_concurrency=self.max_concurrency,
        )

    async def generate(self, request: Request) -> tuple[Completion, ...]:
        """One text for each sample.

        Raises:
            BackendError: it gave back no text; what it raises is raised.
        """
        decoding = request.decoding
        settings: dict[str, object] = {
            "until": list(decoding.stop),
            "max_gen_toks": decoding.max_tokens,
            "do_sample": decoding.temperature > 0,
            "temperature": decoding.temperature,
        }
        settings |= {"top_p": decoding.top_p} if decoding.top_p < 1 else {}
        settings |= {"top_k": decoding.top_k} if decoding.top_k else {}
        prompt = _raw_prompt(request)
        made = await asyncio.gather(
            *(self._ask("generate_until", (prompt, dict(settings))) for _ in request.samples)
        )
        n_prompt = await self.count_tokens(request)
        return tuple(
            Completion(text=text, stop_reason="stop", n_prompt_tokens=n_prompt, seconds=seconds)
            for text, seconds in made
        )

    async def loglikelihood(self, request: Request) -> tuple[Completion, ...]:
        """Score the options of a request.

        Raises:
            BackendError: it gave back no number; what it raises is raised.
        """
        prompt = _raw_prompt(request)
        made = await asyncio.gather(
            *(self._ask("loglikelihood", (prompt, one)) for one in request.options)
        )
        encode = self._encoder()
        return tuple(
            Completion(
                text=option,
                stop_reason="stop",
                logprob=float(found[0]),
                n_prompt_tokens=len(encode(prompt)) if encode else None,
                n_generated_tokens=len(encode(option)) if encode else None,
                seconds=seconds,
            )
            for option, (found, seconds) in zip(request.options, made, strict=True)
        )

    async def count_tokens(self, request: Request) -> int | None:
        """By its own tokenizer; None where it has none."""
        encode = self._encoder()
        return len(encode(_raw_prompt(request))) if encode else None

    async def close(self) -> None:
        """Nothing to give back: the model is its owner's."""

    def _encoder(self) -> Callable[[str], Sequence[object]] | None:
        return getattr(self.model, "tok_encode", None)

    def _window(self) -> int | None:
        window = getattr(self.model, "max_length", None)
        return window if isinstance(window, int) and window > 0 else None

    async def _ask(self, kind: str, arguments: tuple[object, ...]) -> tuple[Any, float]:
        """(what came back, this request's share of the call's seconds)."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop or self._turn is None:  # what waited in another loop is gone
            self._loop, self._turn = loop, asyncio.Lock()
            self._waiting = {name: [] for name in self._waiting}
        future: asyncio.Future[Any] = loop.create_future()
        self._waiting[kind].append((arguments, future))
        n_waiting = -1
        while not future.done() and n_waiting != len(self._waiting[kind]):
            n_waiting = len(self._waiting[kind])
            await asyncio.sleep(_QUIET_S)
        async with self._turn:
            if not future.done():
                calls, self._waiting[kind] = self._waiting[kind], []
                await self._call(kind, calls)
        return await future

    async def _call(self, kind: str, calls: Sequence[_Call]) -> None:
        started = time.perf_counter()
        try:
            made = await asyncio.to_thread(self._work, kind, [one for one, _ in calls])
        except BaseException as failure:
            for _, future in calls:
                future.set_exception(failure)
                future.exception()  # whoever waits is told; nobody waiting is no fault
            raise
        seconds = (time.perf_counter() - started) / len(calls)
        for (_, future), one in zip(calls, made, strict=True):
            future.set_result((one, seconds))

    def _work(self, kind: str, arguments: Sequence[tuple[object, ...]]) -> Sequence[Any]:
        from lm_eval.api.instance import Instance  # pyright: ignore[reportMissingImports] - optional

        requests = [
            Instance(request_type=kind, doc={}, arguments=one, idx=i)
            for i, one in enumerate(arguments)
        ]
        method = getattr(self.model, kind)
        quiet = "disable_tqdm" in inspect.signature(method).parameters
        made = method(requests, disable_tqdm=True) if quiet else method(requests)
        wanted = str if kind == "generate_until" else tuple
        if len(made) != len(requests) or not all(isinstance(one, wanted) for one in made):
            raise BackendError(f"{self.info.model} gave {len(made)} answers to {len(requests)}")
        return made


def _raw_prompt(request: Request) -> str:
    return "".join(message.content for message in request.messages)
