"""A loopback server that speaks both wire formats, with seeded latency and faults.

with FakeApi(faults={"429": 0.05}) as api:
    ...  # api.url, api.seen

python -m tests.fake_api --latency 0.2 --log FILE.jsonl     # prints its address first
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import random
import socket
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, Self

from aiohttp import web

from tests.fake_asked import Body
from tests.fake_wire import MODELS, PATHS, Answer, default_answer, write

__all__ = ["Answer", "FakeApi", "Script", "Seen"]

Script = Callable[[Body, int], Answer]
"""(body, how many with the same body came before) -> what the server does."""

_HANG_S = 600.0  # longer than any client waits
_FAULTS: Mapping[str, Callable[[Answer], Answer]] = {
    "429": lambda answer: Answer(status=429, text="slow down", headers={"retry-after": "0.05"}),
    "500": lambda answer: Answer(status=500, text="it broke"),
    "529": lambda answer: Answer(status=529, text="overloaded"),
    "reset": lambda answer: replace(answer, reset=True),
    "hang": lambda answer: replace(answer, hang_s=_HANG_S),
    "malformed": lambda answer: Answer(body=b'{"id": "cut o'),
    "empty": lambda answer: replace(answer, texts=(), text=""),
    "length": lambda answer: replace(answer, finish="length"),
    "refusal": lambda answer: Answer(finish="refusal", text="", refusal="I will not say."),
}
_MODELS = json.dumps(
    {"object": "list", "data": [{"id": "m", "object": "model", "created": 1, "owned_by": "fake"}]}
).encode()
_NO_ANSWER = {"429", "500", "529", "reset", "hang", "malformed"}


@dataclass(slots=True, kw_only=True)
class Seen:
    """One request that the server got."""

    path: str
    """E.g. ``/v1/messages``."""
    body: Body
    """What was posted."""
    headers: Mapping[str, str]
    """By lower-case name."""
    at_s: float
    """When it came, in seconds from the start of the server."""
    done_s: float = 0.0
    """When it was over, on the same clock; 0: it is not."""
    status: int = 0
    """What was sent; 0: nothing whole (a hang, a reset, a client that left)."""
    fault: str | None = None
    """The injected fault that it met."""

    @property
    def is_answered(self) -> bool:
        """Whether a whole usable answer went out: such a request must never come again."""
        return self.status == 200 and self.fault not in _NO_ANSWER

    @property
    def content(self) -> str:
        """What makes two requests the same."""
        return self.path + json.dumps(self.body, sort_keys=True)


@dataclass(kw_only=True)
class FakeApi:
    """The server, in a thread with its own event loop, for as long as the ``with`` lasts."""

    latency_s: float = 0.0
    """Seconds before each answer."""
    spread: float = 0.0
    """Latency varies by this share up and down, 0..1, seeded by content."""
    seed: int = 0
    """Of faults and latencies."""
    faults: Mapping[str, float] | None = None
    """Fault -> share of the requests, drawn by content and try: the same ones in every run."""
    script: Script | None = None
    """Decides everything where given."""
    n_words: int = 12
    """Words of reasoning in each answer."""
    port: int = 0
    """0: any free one."""
    keep: Callable[[Seen], None] | None = None
    """Gets each request when it is over, in place of ``seen``."""
    url: str = field(default="", init=False)
    """``http://127.0.0.1:PORT``; OpenAI clients add ``/v1``."""
    seen: list[Seen] = field(default_factory=list[Seen], init=False)
    """Every request to complete something, in the order they came."""
    looks: list[Seen] = field(default_factory=list[Seen], init=False)
    """Every other one."""

    def __post_init__(self) -> None:
        unknown = set(self.faults or {}) - set(_FAULTS)
        if unknown:
            raise ValueError(f"no such faults: {sorted(unknown)}")
        self._counts: Counter[bytes] = Counter()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._started = time.monotonic()

    def __enter__(self) -> Self:
        ready = threading.Event()
        work = self.serve(ready.set)
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(work,))
        self._thread.start()
        if not ready.wait(timeout=10):
            raise RuntimeError("the server does not start")
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()

    async def serve(self, on_ready: Callable[[], None]) -> None:
        """Serve until told to stop."""
        server = web.Server(self._handle, handler_cancellation=True, access_log=None)
        runner = web.ServerRunner(server, shutdown_timeout=0.01)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self.port, backlog=1024)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        on_ready()
        try:
            await self._stop.wait()
        finally:
            await runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        raw = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        at_s = time.monotonic() - self._started
        is_ours = request.method == "POST" and request.path in PATHS
        body: Body = json.loads(raw) if is_ours else {}
        seen = Seen(path=request.path, body=body, headers=headers, at_s=at_s)
        if self.keep is None:
            (self.seen if request.method == "POST" else self.looks).append(seen)
        digest = hashlib.blake2b(raw, digest_size=16).digest()
        n_before = self._counts[digest]
        self._counts[digest] += 1
        if request.path == MODELS:
            answer = Answer(body=_MODELS)
        elif not is_ours:
            answer = Answer(status=404, text=f"no such path: {request.path}")
        else:
            answer = self._answer(seen, digest, n_before)
        try:
            return await self._send(request, seen, answer)
        finally:
            seen.done_s = time.monotonic() - self._started
            if self.keep is not None and request.method == "POST":
                self.keep(seen)

    def _answer(self, seen: Seen, digest: bytes, n_before: int) -> Answer:
        if self.script is not None:
            return self.script(seen.body, n_before)
        answer = default_answer(seen.body, self.n_words)
        if self.faults:
            left = random.Random(f"fault {self.seed} {digest.hex()} {n_before}").random()
            for name, share in self.faults.items():
                left -= share
                if left < 0:
                    seen.fault = name
                    return _FAULTS[name](answer)
        return answer

    async def _send(
        self, request: web.BaseRequest, seen: Seen, answer: Answer
    ) -> web.StreamResponse:
        wait_s = answer.hang_s or self.latency_s
        if self.spread:
            drawn = random.Random(f"latency {self.seed} {seen.content}").uniform(-1, 1)
            wait_s *= 1 + self.spread * drawn
        if wait_s:
            await asyncio.sleep(wait_s)
        body = write(seen.path, seen.body, answer)
        headers = {"content-type": "application/json", "x-request-id": "req_fake", **answer.headers}
        if answer.reset:
            return await _reset(request, body, headers)
        response = web.Response(status=answer.status, body=body, headers=headers)
        await response.prepare(request)
        await response.write_eof()
        seen.status = answer.status
        return response


async def _reset(
    request: web.BaseRequest, body: bytes, headers: Mapping[str, str]
) -> web.StreamResponse:
    """Half of the body, then a reset that the client's kernel sees."""
    response = web.StreamResponse(headers={**headers, "content-length": str(len(body))})
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    transport = request.transport
    if transport is not None:
        connection: socket.socket = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return response


def main() -> None:
    """Serve from the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.fake_api")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--spread", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--words", type=int, default=12)
    parser.add_argument("--faults", default="", help="e.g. 429=0.05,hang=0.005")
    parser.add_argument("--log", type=Path)
    parser.add_argument("--with-parent", action="store_true", help="end when stdin closes")
    given = parser.parse_args()
    shares = [pair.split("=") for pair in given.faults.split(",") if pair]
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(given.log.open("a")) if given.log else None
        api = FakeApi(
            latency_s=given.latency,
            spread=given.spread,
            seed=given.seed,
            faults={name: float(share) for name, share in shares},
            n_words=given.words,
            port=given.port,
            keep=_writer(file),
        )
        stack.enter_context(api)
        sys.stdout.write(api.url + "\n")
        sys.stdout.flush()
        with contextlib.suppress(KeyboardInterrupt):
            if given.with_parent:
                sys.stdin.read()
            else:
                threading.Event().wait()


def _writer(file: IO[str] | None) -> Callable[[Seen], None]:
    def keep(seen: Seen) -> None:
        if file is not None:
            file.write(json.dumps(asdict(seen)) + "\n")
            file.flush()

    return keep


if __name__ == "__main__":
    main()
