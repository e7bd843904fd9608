"""Calls to one model over OpenAI's protocol, and the SDK's client that makes them."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import replace
from typing import TYPE_CHECKING

from cotkit.backends._hosted import keys
from cotkit.backends._hosted.base import PerLoop
from cotkit.backends._hosted.faults import read_object
from cotkit.backends._hosted.policy import Caller
from cotkit.backends._openai import likelihood
from cotkit.backends._openai.faults import make_status_error
from cotkit.backends._openai.protocol import INTERFACES
from cotkit.backends._openai.setup import Body, ServerSetup
from cotkit.errors import BackendError, MissingDependencyError
from cotkit.types import Completion, Notify, Request

if TYPE_CHECKING:
    from openai import AsyncOpenAI, Omit


class Wire:
    """Sends requests and reads answers, without any policy of its own."""

    def __init__(self, setup: ServerSetup, notify: Notify) -> None:
        self.setup = setup
        self._notify = notify
        self.client = OpenaiClient(setup)
        self._interface = INTERFACES[setup.api]
        self._echo_tokens = 0  # servers differ in whether max_tokens may be 0; 1 once one refused

    async def send(self, request: Request) -> tuple[Completion, ...]:
        """Make one call, for as many of the samples as it may ask for."""
        posted = self._interface.write_body(self.setup, request)
        answer = await self.client.post(self._interface.path, posted)
        completions = self._interface.read_completions(answer, posted)
        if len(completions) < posted.get("n", 1) and "n" not in self.setup.rule.refuses:
            rule = self.setup.rule
            self.setup = replace(self.setup, rule=replace(rule, refuses=rule.refuses | {"n"}))
            self._notify(
                f"{self.setup.name} answered n={posted['n']} with {len(completions)}:"
                " from now on its samples are asked one by one"
            )
        return completions

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
        if self.setup.api == "chat":
            posted = likelihood.first_token_body(self.setup, request)
            answer = await self.client.post(INTERFACES["chat"].path, posted)
            return likelihood.read_first_token(answer, posted, request)
        posted = likelihood.echo_body(self.setup, request, max_tokens=self._echo_tokens)
        answer = await self._echo(posted)
        return likelihood.read_echo(answer, posted, request)

    async def _echo(self, posted: Body) -> Body:
        from openai import BadRequestError, UnprocessableEntityError

        try:
            return await self.client.post(INTERFACES["completions"].path, posted)
        except (BadRequestError, UnprocessableEntityError):
            if posted["max_tokens"] == 1:
                raise
            self._echo_tokens = posted["max_tokens"] = 1
            return await self.client.post(INTERFACES["completions"].path, posted)


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
        sdk = await self.open()
        raw = await sdk.post(path, cast_to=bytes, body=body, options={"headers": self._headers})
        answer = read_object(raw)
        if answer.get("error") and not answer.get("choices") and "output" not in answer:
            raise make_status_error(answer["error"])
        return answer

    async def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        await self._sdks.close()

    def _open(self) -> AsyncOpenAI:
        key = keys.read_api_key(self._setup.key_variable, required=self._setup.needs_key)
        for package in ("openai", "aiohttp"):
            if importlib.util.find_spec(package) is None:
                raise MissingDependencyError(package, "openai")
        from openai import AsyncOpenAI, DefaultAioHttpClient

        self._headers = {} if self._setup.backend == "openai" else _foreign_headers(key)
        return AsyncOpenAI(
            api_key=key or "none",  # never sent
            base_url=self._setup.base_url,
            max_retries=0,
            timeout=None,
            http_client=DefaultAioHttpClient(),
        )


def _foreign_headers(key: str | None) -> dict[str, str | Omit]:
    """Return headers for another server, without those that the SDK adds for OpenAI."""
    from openai import Omit

    lines = os.environ.get("OPENAI_CUSTOM_HEADERS", "").split("\n")
    names = [line.partition(":")[0].strip().lower() for line in lines if ":" in line]
    headers: dict[str, str | Omit] = {
        name: Omit() for name in ("openai-organization", "openai-project", *names)
    }
    return headers | {"authorization": f"Bearer {key}" if key else Omit()}
