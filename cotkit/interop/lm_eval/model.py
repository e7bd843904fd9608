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
from cotkit.types import BackendInfo, Completion, Decoding, Request

_Call = tuple[Any, "asyncio.Future[Any]"]
_QUIET_S = 0.005  # no new request for so long: those that wait go in one call


@dataclass(kw_only=True)
class LmEvalModel:
    """An ``lm_eval.api.model.LM``, such as ``HFLM(pretrained=...)``.

    lm-eval asks in batches and waits, so requests that come together go in one call, one call at
    a time. Prompts are raw text; draws at a temperature are not seeded, as lm-eval seeds none.
    Nothing about the object tells for certain which weights answer, so completions are reused by a
    later run only under an ``identity`` that its owner vouches for.
    """

    model: Any
    """The object; nothing of it is changed."""
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
        """Describe the model, named after its weights if their name is known, else its class."""
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
        """Make one text for each sample.

        Raises:
            BackendError: an answer is no text; what the model raises is raised.
        """
        settings = generation_kwargs(request.decoding)
        prompt = _raw_prompt(request)
        answers = await asyncio.gather(
            *(self._ask("generate_until", (prompt, dict(settings))) for _ in request.samples)
        )
        n_prompt = await self.count_tokens(request)
        return tuple(
            Completion(text=text, stop_reason="stop", n_prompt_tokens=n_prompt, seconds=seconds)
            for text, seconds in answers
        )

    async def loglikelihood(self, request: Request) -> tuple[Completion, ...]:
        """Score the options of a request.

        Raises:
            BackendError: an answer is no number; what the model raises is raised.
        """
        prompt = _raw_prompt(request)
        answers = await asyncio.gather(
            *(self._ask("loglikelihood", (prompt, option)) for option in request.options)
        )
        encode = self._encoder()
        return tuple(
            Completion(
                text=option,
                stop_reason="stop",
                logprob=float(answer[0]),
                n_prompt_tokens=len(encode(prompt)) if encode else None,
                n_generated_tokens=len(encode(option)) if encode else None,
                seconds=seconds,
            )
            for option, (answer, seconds) in zip(request.options, answers, strict=True)
        )

    async def count_tokens(self, request: Request) -> int | None:
        """Count the tokens of a prompt by the model's tokenizer; None where it has none."""
        encode = self._encoder()
        return len(encode(_raw_prompt(request))) if encode else None

    async def close(self) -> None:
        """Do nothing: the model belongs to the caller."""

    def _encoder(self) -> Callable[[str], Sequence[object]] | None:
        return getattr(self.model, "tok_encode", None)

    def _window(self) -> int | None:
        window = getattr(self.model, "max_length", None)
        return window if isinstance(window, int) and window > 0 else None

    async def _ask(self, kind: str, arguments: tuple[object, ...]) -> tuple[Any, float]:
        """Return the answer and this request's share of the seconds of its call."""
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
            answers = await asyncio.to_thread(
                self._work, kind, [arguments for arguments, _ in calls]
            )
        except BaseException as failure:
            for _, future in calls:
                future.set_exception(failure)
                future.exception()  # marks it as read, since no flow may be waiting for it
            raise
        seconds = (time.perf_counter() - started) / len(calls)
        for (_, future), answer in zip(calls, answers, strict=True):
            future.set_result((answer, seconds))

    def _work(self, kind: str, arguments: Sequence[tuple[object, ...]]) -> Sequence[Any]:
        from lm_eval.api.instance import Instance  # pyright: ignore[reportMissingImports] - optional

        requests = [
            Instance(request_type=kind, doc={}, arguments=prompt, idx=i)
            for i, prompt in enumerate(arguments)
        ]
        method = getattr(self.model, kind)
        quiet = "disable_tqdm" in inspect.signature(method).parameters
        answers = method(requests, disable_tqdm=True) if quiet else method(requests)
        answer_type = str if kind == "generate_until" else tuple
        if len(answers) != len(requests) or not all(
            isinstance(answer, answer_type) for answer in answers
        ):
            raise BackendError(f"{self.info.model} gave {len(answers)} answers to {len(requests)}")
        return answers


def generation_kwargs(decoding: Decoding) -> dict[str, object]:
    """Return a decoding as the ``generation_kwargs`` of lm-eval."""
    return {
        "until": list(decoding.stop),
        "max_gen_toks": decoding.max_tokens,
        "do_sample": decoding.temperature > 0,
        "temperature": decoding.temperature,
        **({"top_p": decoding.top_p} if decoding.top_p < 1 else {}),
        **({"top_k": decoding.top_k} if decoding.top_k else {}),
    }


def _raw_prompt(request: Request) -> str:
    return "".join(message.content for message in request.messages)
