"""A loopback server with the batch APIs of OpenAI and Anthropic, and their plain calls.

with FakeBatches() as api:
    ...  # api.url, api.made, api.plain
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, Self

from aiohttp import web

from tests.fake_wire import MESSAGES, PATHS, Answer, Body, default_answer, write

Fate = Answer | Literal["expired", "cancelled", "missing"]
Script = Callable[[Body, int], Fate]
"""(body of a call, in how many batches the same one was before) -> what becomes of it."""

_UNMADE = {"expired": "expired", "cancelled": "canceled"}  # in Anthropic's words


def answered(body: Body, n_before: int) -> Fate:
    """Every call is answered as a plain one is."""
    return default_answer(body, 5)


@dataclass(kw_only=True)
class Made:
    """One batch that was created."""

    id: str
    path: str
    """Of its calls."""
    calls: dict[str, Body]
    """Custom id -> body."""
    metadata: dict[str, str] = field(default_factory=dict[str, str])
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    n_polls: int = 0
    results: list[Body] | None = None
    """The lines of its results; None: it is not done."""


@dataclass(kw_only=True)
class FakeBatches:
    """The server, in a thread with its own event loop, for as long as the ``with`` lasts."""

    script: Script = answered
    """What becomes of each call."""
    n_polls: int = 1
    """Polls that find a batch still running."""
    held_from: int | None = None
    """Batches from this one on run until this is None."""
    refuses: str | None = None
    """Why every batch fails as a whole (OpenAI); None: none does."""
    breaks: list[str] = field(default_factory=list[str])
    """Of the next batches to be created, what happens: ``before`` and ``after`` the batch exists
    the connection is cut; ``500``; empty: nothing."""
    url: str = field(default="", init=False)
    made: list[Made] = field(default_factory=list[Made], init=False)
    plain: list[Body] = field(default_factory=list[Body], init=False)
    """Bodies of plain calls."""

    def __enter__(self) -> Self:
        self._files: dict[str, bytes] = {}
        self._before: Counter[str] = Counter()
        self._loop, ready = asyncio.new_event_loop(), threading.Event()
        self._stop = asyncio.Event()
        work = self._serve(ready)
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(work,))
        self._thread.start()
        assert ready.wait(timeout=10), "the server does not start"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()

    @property
    def calls(self) -> Counter[str]:
        """Content of each call in a batch -> how many times it was submitted."""
        contents = [json.dumps(b, sort_keys=True) for m in self.made for b in m.calls.values()]
        return Counter(contents)

    def wait_for(self, n_batches: int) -> None:
        """Until so many batches were created, and the last was polled twice."""
        deadline = time.monotonic() + 60
        while len(self.made) < n_batches or self.made[-1].n_polls < 2:
            assert time.monotonic() < deadline, f"{len(self.made)} batches"
            time.sleep(0.01)

    async def _serve(self, ready: threading.Event) -> None:
        app = web.Application(client_max_size=2**28)
        app.add_routes(
            [
                web.post("/v1/files", self._upload),
                web.get("/v1/files/{id}/content", self._download),
                web.post("/v1/batches", self._create_openai),
                web.get("/v1/batches", self._list_openai),
                web.get("/v1/batches/{id}", self._show_openai),
                web.post("/v1/messages/batches", self._create_anthropic),
                web.get("/v1/messages/batches", self._list_anthropic),
                web.get("/v1/messages/batches/{id}", self._show_anthropic),
                web.get("/v1/messages/batches/{id}/results", self._results_anthropic),
                *(web.post(path, self._call) for path in PATHS),
            ]
        )
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        ready.set()
        await self._stop.wait()
        await runner.cleanup()

    async def _call(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.plain.append(body)
        data = write(request.path, body, default_answer(body, 5))
        return web.Response(body=data, content_type="application/json")

    async def _upload(self, request: web.Request) -> web.Response:
        form = await request.post()
        file = form["file"]
        assert isinstance(file, web.FileField)
        assert form["purpose"] == "batch"
        id_ = self._put(file.file.read())
        return web.json_response({"id": id_, "object": "file", "purpose": "batch"})

    def _put(self, data: bytes) -> str:
        id_ = f"file-{len(self._files)}"
        self._files[id_] = data
        return id_

    async def _download(self, request: web.Request) -> web.Response:
        return web.Response(body=self._files[request.match_info["id"]])

    async def _create_openai(self, request: web.Request) -> web.Response:
        asked = await request.json()
        assert asked["completion_window"] == "24h"
        lines = [json.loads(line) for line in self._files[asked["input_file_id"]].splitlines()]
        assert all((one["method"], one["url"]) == ("POST", asked["endpoint"]) for one in lines)
        calls = {one["custom_id"]: one["body"] for one in lines}
        assert len(calls) == len(lines), "custom ids are not unique"
        made = self._make(request, asked["endpoint"], calls, asked["metadata"])
        return web.json_response(self._openai(made)) if made else web.Response(status=500)

    async def _create_anthropic(self, request: web.Request) -> web.Response:
        asked = await request.json()
        calls = {one["custom_id"]: one["params"] for one in asked["requests"]}
        assert len(calls) == len(asked["requests"]), "custom ids are not unique"
        assert all(len(name) <= 64 for name in calls)
        made = self._make(request, MESSAGES, calls, {})
        return web.json_response(self._anthropic(made)) if made else web.Response(status=500)

    def _make(
        self, request: web.Request, path: str, calls: dict[str, Body], metadata: dict[str, str]
    ) -> Made | None:
        how = self.breaks.pop(0) if self.breaks else ""
        if how == "500":
            return None
        if how != "before":
            self.made.append(
                Made(id=f"batch_{len(self.made)}", path=path, calls=calls, metadata=metadata)
            )
        if how and request.transport:
            request.transport.abort()
        return self.made[-1] if self.made else None

    def _find(self, request: web.Request) -> Made:
        found = [made for made in self.made if made.id == request.match_info["id"]]
        if not found:
            raise web.HTTPNotFound(text=json.dumps({"error": {"message": "no such batch"}}))
        made = found[0]
        made.n_polls += 1
        is_held = self.held_from is not None and self.made.index(made) >= self.held_from
        if made.n_polls > self.n_polls and not is_held:
            self.finish(made)
        return made

    def finish(self, made: Made) -> None:
        """Do a batch now."""
        if made.results is None:
            made.results = [line for name in made.calls for line in self._line(made, name)]

    def _line(self, made: Made, name: str) -> list[Body]:
        content = json.dumps(made.calls[name], sort_keys=True)
        fate = self.script(made.calls[name], self._before[content])
        self._before[content] += 1
        if fate == "missing":
            return []
        if isinstance(fate, str):
            error = {"code": f"batch_{fate}", "message": "not made"}
            if made.path == MESSAGES:
                return [{"custom_id": name, "result": {"type": _UNMADE[fate]}}]
            return [{"id": "r", "custom_id": name, "response": None, "error": error}]
        body = json.loads(write(made.path, made.calls[name], fate))
        if made.path != MESSAGES:
            response = {"status_code": fate.status, "request_id": "r", "body": body}
            return [{"id": "r", "custom_id": name, "response": response, "error": None}]
        kind: Body = {"type": "succeeded", "message": body}
        if fate.status >= 400:
            kind = {"type": "errored", "error": body}
        return [{"custom_id": name, "result": kind}]

    async def _list_openai(self, request: web.Request) -> web.Response:
        data = [self._openai(made) for made in reversed(self.made)]
        return web.json_response({"object": "list", "data": data, "has_more": False})

    async def _show_openai(self, request: web.Request) -> web.Response:
        return web.json_response(self._openai(self._find(request)))

    def _openai(self, made: Made) -> Body:
        status, done = "in_progress", made.results or []
        files: dict[str, Any] = {"output_file_id": None, "error_file_id": None}
        if made.results is not None:
            codes = {one["error"]["code"] for one in done if one["error"]}
            status = "expired" if "batch_expired" in codes else "completed"
            status = "cancelled" if "batch_cancelled" in codes else status
            good = [one for one in done if (one["response"] or {}).get("status_code") == 200]
            bad = [one for one in done if one not in good]
            for name, lines in (("output_file_id", good), ("error_file_id", bad)):
                if lines:  # in no order, as results may be
                    text = "\n".join(json.dumps(one, ensure_ascii=False) for one in lines[::-1])
                    files[name] = self._put(text.encode())
        errors = {"data": [{"code": "x", "message": self.refuses}]} if self.refuses else None
        at = int(made.created.timestamp())
        return {
            "id": made.id,
            "object": "batch",
            "status": "failed" if self.refuses else status,
            "errors": errors,
            "created_at": at,
            "completed_at": at + 60 if status == "completed" else None,
            "expired_at": at + 60 if status == "expired" else None,
            "cancelled_at": at + 60 if status == "cancelled" else None,
            "metadata": made.metadata,
            "request_counts": {"total": len(made.calls), "completed": len(done), "failed": 0},
            **files,
        }

    async def _list_anthropic(self, request: web.Request) -> web.Response:
        data = [self._anthropic(made) for made in reversed(self.made)]
        return web.json_response({"data": data, "has_more": False, "first_id": "", "last_id": ""})

    async def _show_anthropic(self, request: web.Request) -> web.Response:
        return web.json_response(self._anthropic(self._find(request)))

    async def _results_anthropic(self, request: web.Request) -> web.Response:
        lines = reversed(self._find(request).results or [])
        return web.Response(text="".join(json.dumps(one) + "\n" for one in lines))

    def _anthropic(self, made: Made) -> Body:
        is_done, n = made.results is not None, len(made.calls)
        counts = {"processing": 0 if is_done else n, "succeeded": n if is_done else 0}
        counts |= {"errored": 0, "canceled": 0, "expired": 0}
        at = made.created.isoformat()
        return {
            "id": made.id,
            "type": "message_batch",
            "processing_status": "ended" if is_done else "in_progress",
            "request_counts": counts,
            "created_at": at,
            "ended_at": at if is_done else None,
            "expires_at": at,
            "results_url": f"{self.url}/v1/messages/batches/{made.id}/results" if is_done else None,
        }
