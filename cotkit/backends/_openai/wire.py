"""Calls to one model over OpenAI's protocol, and the SDK's client that makes them."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cotkit.backends._hosted import keys
from cotkit.backends._hosted.base import PerLoop
from cotkit.backends._hosted.faults import find_error
from cotkit.backends._hosted.policy import Caller, Malformed
from cotkit.backends._hosted.stream import asks_for_stream
from cotkit.backends._openai import likelihood
from cotkit.backends._openai.faults import make_status_error
from cotkit.backends._openai.protocol import INTERFACES, UnknownFinishError
from cotkit.backends._openai.setup import Body, ServerSetup
from cotkit.backends._openai.stream import read_answer
from cotkit.errors import BackendError, CotkitError, MissingDependencyError
from cotkit.types import Completion, Notify, Request

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI, Omit


class Wire:
    """Sends requests and reads answers, without any policy of its own."""

    def __init__(self, setup: ServerSetup, notify: Notify) -> None:
        self.setup = setup
        self._notify = notify
        self.client = OpenaiClient(setup)
        self._interface = INTERFACES[setup.api]
        self._echo_tokens = 0  # servers differ in whether max_tokens may be 0; 1 once one refused
        self._finish_words: frozenset[str] = frozenset()  # the server's own, met twice
        self._doubted_word: str | None = None
        self._server: dict[str, str | int] = {}  # what it says of itself
        self._looks: asyncio.Task[None] | None = None  # begun with the first answer

    async def send(self, request: Request) -> tuple[Completion, ...]:
        """Make one call, for as many of the samples as it may ask for."""
        posted, answer = await self._post(
            self._interface.path, lambda setup: self._interface.write_body(setup, request)
        )
        completions = self._read(answer, posted)
        if self._looks is None and self.setup.backend != "openai":
            self._looks = asyncio.create_task(self._look())
        if self._server:
            completions = tuple(
                replace(completion, server=self._server) for completion in completions
            )
        if len(completions) < posted.get("n", 1) and "n" not in self.setup.rule.refuses:
            rule = self.setup.rule
            self.setup = replace(self.setup, rule=replace(rule, refuses=rule.refuses | {"n"}))
            self._notify(
                f"{self.setup.name} answered n={posted['n']} with {len(completions)}:"
                " from now on its samples are asked one by one"
            )
        return completions

    async def _look(self) -> None:
        """Ask the server once what it says of itself; none need answer."""
        with contextlib.suppress(Exception):
            async with asyncio.timeout(_LOOK_S):
                models = await self.client.get("/models")
                self._server = describe_server(models, self.setup.model)
                if self._server.get("engine") == "llamacpp":
                    root = self.setup.base_url.removesuffix("/v1")
                    self._server |= describe_llama_cpp(await self.client.get(f"{root}/props"))

    async def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        if self._looks is not None:
            self._looks.cancel()
            await asyncio.gather(self._looks, return_exceptions=True)
        await self.client.close()

    def _read(self, answer: Body, posted: Body) -> tuple[Completion, ...]:
        """Read an answer; whatever is wrong with it, that is no error of ours."""
        try:
            return self._interface.read_completions(answer, posted, self._finish_words)
        except UnknownFinishError as unknown:
            if unknown.word == self._doubted_word:
                self._finish_words |= {unknown.word}
                self._notify(f"{self.setup.name}: {unknown}, which is taken for an end")
                return self._interface.read_completions(answer, posted, self._finish_words)
            self._doubted_word = unknown.word
            raise
        except Malformed:
            raise
        except Exception as broken:
            raise Malformed(f"it cannot be read ({type(broken).__name__}: {broken})") from broken

    async def _post(
        self, path: str, write_body: Callable[[ServerSetup], Body]
    ) -> tuple[Body, Body]:
        """Make a call; what a server wants otherwise, and leaves the meaning alone, is changed.

        Returns:
            The body that was answered, and the answer.
        """
        from openai import APIStatusError

        for _ in range(_MOST_CHANGES):
            setup = self.setup
            posted = {**write_body(setup), **setup.extra_body}
            if setup.streams:
                posted |= {"stream": True}
                if setup.streams_usage:
                    posted["stream_options"] = {"include_usage": True}
            try:
                return posted, await self.client.post(path, posted)
            except APIStatusError as refused:
                changed = adapt(setup, refused, posted)
                if changed is None:
                    raise
                if setup is self.setup:  # else another call was told the same, and changed it
                    self.setup, sentence = changed
                    self._notify(f"{self.setup.name} {sentence}")
        raise Malformed("it refuses one parameter after the other")

    async def loglikelihood(self, request: Request, caller: Caller) -> tuple[Completion, ...]:
        """Score the options of a request.

        Raises:
            BackendError: this server, model or interface does not tell log-probabilities.
        """
        if not self.setup.scores or self.setup.api == "responses":
            raise BackendError(
                f"{self.setup.name} gives no log-probabilities with api={self.setup.api}",
                hint="choices can be scored with a model that does: --model-args api=completions",
            )
        await self.client.open()
        has_dropped = False

        async def score() -> tuple[Completion, ...]:
            nonlocal has_dropped
            try:
                return await self._score(request)
            except likelihood.NoLogprobsError as dropped:
                if not has_dropped:
                    has_dropped = True  # once may be chance
                    raise
                raise BackendError(
                    f"{self.setup.name}: this server drops logprobs ({dropped})",
                    hint="score choices with another server, or --model-args logprobs=false",
                ) from dropped

        n_tokens = sum(len(message.content) for message in request.messages) // 4
        scored, tries = await caller.call(score, n_tokens * len(request.options))
        share = tries[-1].seconds / len(scored)
        return tuple(replace(completion, tries=tries, seconds=share) for completion in scored)

    async def _score(self, request: Request) -> tuple[Completion, ...]:
        is_chat = self.setup.api == "chat"
        read_scores = likelihood.read_first_token if is_chat else likelihood.read_echo
        if is_chat:
            posted, answer = await self._post(
                INTERFACES["chat"].path, lambda setup: likelihood.first_token_body(setup, request)
            )
        else:
            posted, answer = await self._echo(request)
        try:
            return read_scores(answer, posted, request)
        except (Malformed, BackendError):
            raise
        except Exception as broken:
            raise Malformed(f"it cannot be read ({type(broken).__name__}: {broken})") from broken

    async def _echo(self, request: Request) -> tuple[Body, Body]:
        def write_body(setup: ServerSetup) -> Body:
            return likelihood.echo_body(setup, request, max_tokens=self._echo_tokens)

        from openai import BadRequestError, UnprocessableEntityError

        path = INTERFACES["completions"].path
        try:
            return await self._post(path, write_body)
        except (BadRequestError, UnprocessableEntityError):
            if self._echo_tokens == 1:
                raise
            self._echo_tokens = 1
            return await self._post(path, write_body)


# What a server wants otherwise: only what leaves the meaning of a request alone.


_MOST_CHANGES = 6
_UNWANTED = re.compile(
    r"(not|un|isn't|don't|doesn't|no longer) ?(supported|support|permitted|allowed|recogni[sz]ed"
    r"|known|expected|accepted|valid)|unsupported|unrecogni[sz]ed|unknown|unexpected|extra"
    r"|additional|invalid|instead|deprecated|cannot be|不支持|无效"
    r"|must be|should be|out of range|greater|at least",
    re.IGNORECASE,
)
_REFUSED = re.compile(
    r"unsupported|(not|n't|no longer) support|不支持|无效"
    r"|(not|n't) (be )?(allowed|permitted|accepted|used|recogni[sz]ed)",
    re.IGNORECASE,
)
_EXTRA = re.compile(
    r"extra (fields|inputs|parameters)|additional propert|unexpected keys?|unrecogni[sz]ed "
    r"(request )?(argument|key|field|param)|unknown (field|param|argument|name)",
    re.IGNORECASE,
)


def adapt(
    setup: ServerSetup, refused: APIStatusError, posted: Body
) -> tuple[ServerSetup, str] | None:
    """Return the setup that a server asks for, and what changes, in words; None: it asks nothing.

    Changed are names of limits, streaming, and parameters that only say what is so by default.
    """
    if not 400 <= refused.status_code < 500 or refused.status_code in {401, 402, 403, 404, 429}:
        return None
    words = json.dumps(refused.body, ensure_ascii=False) if refused.body else refused.message
    if "stream_options" in posted and "stream_options" in words:
        return replace(setup, streams_usage=False), "streams without usage"
    if not setup.streams and asks_for_stream(refused.status_code, words):
        return replace(setup, streams=True), "answers in streams only: they are joined"
    mentioned = set(re.findall(r"\w+", words, re.ASCII))
    if not _UNWANTED.search(words):
        return _rename_limit(setup, posted, mentioned, words)
    return (
        _without_neutral(setup, posted, mentioned, words)
        or _rename_limit(setup, posted, mentioned, words)
        or _without_seed_or_stop(setup, posted, mentioned)
    )


def _without_neutral(
    setup: ServerSetup, posted: Body, mentioned: set[str], words: str
) -> tuple[ServerSetup, str] | None:
    neutral = {name for name in setup.neutral if name in posted}
    refused = neutral & mentioned
    if not refused and _EXTRA.search(words) and not mentioned & (posted.keys() - neutral):
        refused = neutral
    if not refused:
        return None
    names = " and ".join(sorted(refused))
    smaller = {name: value for name, value in setup.neutral.items() if name not in refused}
    sentence = f"takes no {names}: what it does there is the server's own choice"
    return replace(setup, neutral=smaller), sentence


def _without_seed_or_stop(
    setup: ServerSetup, posted: Body, mentioned: set[str]
) -> tuple[ServerSetup, str] | None:
    """Leave out a seed, or stops, which are cut on our side, too; OpenAI's are in the table."""
    names = {"seed", "stop"} & mentioned & posted.keys()
    if not names or setup.backend == "openai":
        return None
    rule = replace(setup.rule, refuses=setup.rule.refuses | names)
    return replace(setup, rule=rule), f"takes no {' and '.join(sorted(names))}: it is left out"


def _rename_limit(
    setup: ServerSetup, posted: Body, mentioned: set[str], words: str
) -> tuple[ServerSetup, str] | None:
    old, new = "max_tokens", "max_completion_tokens"
    for limit, other in ((old, new), (new, old)):
        is_wrong_name = other in mentioned or _EXTRA.search(words) or _REFUSED.search(words)
        if limit in posted and mentioned & {limit, other} and is_wrong_name:
            rule = replace(setup.rule, max_tokens=other)
            return replace(setup, rule=rule), f"calls the limit {other}"
    return None


# What a server says of itself: at /models, and llama.cpp at /props.


_LOOK_S = 5.0
_WINDOWS = ("max_model_len", "loaded_context_length", "context_length", "max_context_length")
_MOST_TEXT = 80


def describe_server(models: Body, model: str) -> dict[str, str | int]:
    """Return engine and window of a model in a server's list of models, as far as it says them."""
    listed: Any = models.get("data")
    entries: list[Any] = listed if isinstance(listed, list) else []
    same = [item for item in entries if isinstance(item, dict) and item.get("id") == model]
    entry: Body = same[0] if same else entries[0] if len(entries) == 1 else {}
    facts: dict[str, str | int] = {}
    owner = entry.get("owned_by")
    if isinstance(owner, str) and owner:
        facts["engine"] = keys.scrub(owner)[:_MOST_TEXT]
    window = next((entry[name] for name in _WINDOWS if type(entry.get(name)) is int), None)
    if window is not None:
        facts["window"] = window
    return facts


def describe_llama_cpp(props: Body) -> dict[str, str | int]:
    """Return window, slots and version of a llama.cpp server."""
    defaults: Any = props.get("default_generation_settings")
    window = defaults.get("n_ctx") if isinstance(defaults, dict) else None
    numbers = {"window": window, "slots": props.get("total_slots")}
    facts: dict[str, str | int] = {k: n for k, n in numbers.items() if type(n) is int}
    if isinstance(build := props.get("build_info"), str):
        facts["version"] = keys.scrub(build)[:_MOST_TEXT]
    return facts


# The SDK's client.


class OpenaiClient:
    """The connections to one server. Neither retries nor times out: the policy does both."""

    def __init__(self, setup: ServerSetup) -> None:
        self._setup = setup
        self._sdks = PerLoop(self._open)
        self._headers: dict[str, str | Omit] = {}

    async def open(self) -> AsyncOpenAI:
        """Return the SDK's client for the running event loop; its import takes a second.

        Raises:
            AccessError: the server needs a key and there is none.
            MissingDependencyError: the SDK or its transport is not installed.
        """
        return await self._sdks.open()

    async def post(self, path: str, body: Body) -> Body:
        """Make one call and return its JSON; the SDK's models are slow, and servers bend them.

        Raises:
            Malformed: what came back with status 200 is not a JSON object.
            openai.APIError: every other fault; an error that came with status 200, too.
        """
        from openai import APIError

        sdk = await self.open()
        try:
            raw = await sdk.post(path, cast_to=bytes, body=body, options={"headers": self._headers})
        except (APIError, CotkitError, OSError):
            raise
        except Exception as broken:  # of the transport: what it cannot read is no error of ours
            raise Malformed(str(broken) or type(broken).__name__) from broken
        answer = read_answer(raw)
        if not _has_words(answer) and (error := find_error(answer)) is not None:
            raise make_status_error(error, error["status"])
        return answer

    async def get(self, path: str) -> Body:
        """Get what a server says at a path.

        Raises:
            Exception: whatever is wrong with it.
        """
        sdk = await self.open()
        return read_answer(await sdk.get(path, cast_to=bytes, options={"headers": self._headers}))

    async def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        await self._sdks.close()

    def _open(self) -> AsyncOpenAI:
        key = keys.read_api_key(self._setup.key_variable, required=self._setup.needs_key)
        for package in ("openai", "aiohttp", "tenacity"):
            if importlib.util.find_spec(package) is None:
                raise MissingDependencyError(package, "openai")
        from openai import AsyncOpenAI, DefaultAioHttpClient

        from cotkit.backends._hosted.transport import client_options

        self._headers = {} if self._setup.backend == "openai" else _foreign_headers(key)
        for name, value in self._setup.headers.items():
            self._headers[name.lower()] = _fill_in(value)
        return AsyncOpenAI(
            api_key=key or "none",  # never sent
            base_url=self._setup.base_url,
            max_retries=0,
            timeout=None,
            http_client=DefaultAioHttpClient(**client_options(self._setup.base_url)),
        )


def _fill_in(value: str) -> str:
    """Return the value of a header, its variable replaced by what it holds."""
    start, mark, variable = value.partition("$")
    return f"{start}{keys.read_api_key(variable)}" if mark else value


def _has_words(answer: Body) -> bool:
    """Return whether an answer holds anything of a model, so that an error beside it is none."""
    if "output" in answer:
        return True
    choices = answer.get("choices")
    first: Any = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(first, dict) or isinstance(first.get("error"), dict):
        return False
    message = first.get("message")
    words = first.get("text") or (message.get("content") if isinstance(message, dict) else None)
    return bool(words) or not answer.get("error")


def _foreign_headers(key: str | None) -> dict[str, str | Omit]:
    """Return headers for another server, without those that the SDK adds for OpenAI."""
    from openai import Omit

    lines = os.environ.get("OPENAI_CUSTOM_HEADERS", "").split("\n")
    names = [line.partition(":")[0].strip().lower() for line in lines if ":" in line]
    headers: dict[str, str | Omit] = {
        name: Omit() for name in ("openai-organization", "openai-project", *names)
    }
    return headers | {"authorization": f"Bearer {key}" if key else Omit()}
