"""A model server that cotkit starts and stops: ``--model serve/vllm:ORG/NAME``.

Also ``serve/sglang:ORG/NAME``, ``serve/transformers:ORG/NAME`` and ``serve/llama.cpp:FILE.gguf``.
The server runs on a free port of loopback for as long as the run, and is asked as any other of
OpenAI's protocol. Weights are fetched, checked and identified as those of ``hf`` are.
"""

from __future__ import annotations

import asyncio
import functools
import importlib.metadata
import shlex
import shutil
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from cotkit.backends._hosted.base import OnParts
from cotkit.backends._hosted.keys import holds_key
from cotkit.backends._openai.base import OpenaiHosted
from cotkit.backends._openai.setup import ServerSetup, make_setup, read_extra_body
from cotkit.backends._server import LocalServer
from cotkit.backends.hf.source import find_in_catalogue, quantisation, read_template, resolve
from cotkit.errors import BackendError, UsageError
from cotkit.models import fetch, gguf
from cotkit.models import folder as model_folder
from cotkit.models.content import file_hash
from cotkit.types import BackendInfo, Completion, Request


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerProgram:
    """A kind of server."""

    program: str
    """Its executable, looked for beside this Python's and on the path."""
    package: str
    """The package that brings it, whose version is part of the identity."""
    service: str
    """Its name among the services, which says what it takes."""
    arguments: Callable[[str, str], Sequence[str]]
    """Path and name of the model -> arguments."""
    module: str = ""
    """Python code that serves in place of the executable, where only the package is here."""


_XLLAMACPP = """
import sys, threading, xllamacpp
_, path, name, host, port = sys.argv
params = xllamacpp.CommonParams()
params.model.path, params.model_alias = path, {name}
params.hostnames, params.port = [host], int(port)
params.n_parallel, params.kv_unified = 4, True
params.warmup = params.fit_params = False
server = xllamacpp.Server(params)
threading.Event().wait()
"""

ENGINES: Mapping[str, ServerProgram] = {
    "vllm": ServerProgram(
        program="vllm",
        package="vllm",
        service="vllm",
        arguments=lambda path, name: ["serve", path, "--served-model-name", name],
    ),
    "sglang": ServerProgram(
        program="sglang",
        package="sglang",
        service="sglang",
        arguments=lambda path, name: ["serve", "--model-path", path, "--served-model-name", name],
    ),
    "transformers": ServerProgram(
        program="transformers",
        package="transformers",
        service="transformers",
        arguments=lambda path, _: ["serve", path],
    ),
    "llama.cpp": ServerProgram(
        program="llama-server",
        package="xllamacpp",
        service="llama-cpp",
        arguments=lambda path, name: ["-m", path, "--alias", name],
        module=_XLLAMACPP,
    ),
}


@dataclass(kw_only=True)
class Serve(OpenaiHosted):
    """``serve/ENGINE:MODEL``: vllm, sglang, transformers or llama.cpp, started for this run.

    Raises:
        ValueError: an argument does not fit.
        UsageError: the engine is unknown.
    """

    model: str
    """``ENGINE:MODEL``: a hub name, a folder or a catalogue name; for llama.cpp a GGUF file."""
    server_args: str = ""
    """Further arguments of the server, as a shell would split them; part of the identity."""
    ready_s: float = 1800.0
    """Seconds that the server may take to load the model."""
    revision: str | None = None
    """Branch, tag or commit of a hub model; None: what is here, or its main branch."""
    accept_terms: bool = False
    """Whether the user accepts the licence terms of a catalogue model that has some."""
    api: str = "auto"
    """``chat`` or ``completions`` (raw text); auto: chat if the model has a chat template."""
    without: str = ""
    """Parameters never to be sent, as ``stop+seed``."""
    logprobs: bool = True
    """Whether options may be scored by log-probabilities."""
    extra_body: str | None = None
    """A JSON object of further parameters, which go with every request and into the identity."""

    def __post_init__(self) -> None:
        """Check what can be checked without a server."""
        super().__post_init__()
        engine, colon, name = self.model.partition(":")
        if engine not in ENGINES or not colon or not name:
            raise UsageError(
                f"serve/{self.model} names no engine and model",
                hint=f"write serve/ENGINE:MODEL, with one of {', '.join(ENGINES)}",
            )
        self._engine, self._name = ENGINES[engine], name
        self._server: LocalServer | None = None
        self._starting = threading.Lock()
        if holds_key(shlex.join(shlex.split(self.server_args))):
            raise UsageError("server_args hold a key, and are stored")
        read_extra_body(self.extra_body)
        if self.api not in ("auto", "chat", "completions"):
            raise ValueError(f"api={self.api} is not one of auto, chat, completions")

    @functools.cached_property
    def _path(self) -> Path:
        """Return the folder or file of the model; it is fetched if it is not here."""
        if self.model.startswith("llama.cpp:"):
            entry = find_in_catalogue(self._name)
            if entry is not None and entry.source is not None:
                return fetch.ensure_file(
                    entry.name, notify=self.notify, accept_terms=self.accept_terms
                )
            path = Path(self._name).expanduser()
            if path.suffix != ".gguf" or not path.is_file():
                raise UsageError(f"{path}: no such GGUF file", hint="serve/llama.cpp:FILE.gguf")
            return path
        return resolve(
            self._name,
            revision=self.revision,
            accept_terms=self.accept_terms,
            notify=self.notify,
            choose_dtype=lambda _: "bfloat16",
        ).folder

    @functools.cached_property
    def info(self) -> BackendInfo:
        """Identity and capabilities; fetches the model if it is not here, starts no server."""
        path, info = self._path, self._setup.info(self.max_connections)
        entry = find_in_catalogue(self._name)
        settings = {
            "engine": f"{self.model.partition(':')[0]} {_version(self._engine)}".strip(),
            "api": self._setup.api,
            "server_args": shlex.join(shlex.split(self.server_args)),
            **{name: info.settings[name] for name in ("extra_body",) if name in info.settings},
        }
        if path.is_dir():
            fingerprint = model_folder.identify_folder(path, self.notify).fingerprint
            n_params, window = model_folder.n_params(path), model_folder.context_window(path)
            settings["quantisation"] = quantisation(path)
        else:
            fingerprint = file_hash(path, self.notify)
            n_params, window = gguf.count_numbers(path), None
        return replace(
            info,
            backend="serve",
            model=self.model,
            fingerprint=fingerprint,
            settings={name: value for name, value in settings.items() if value},
            family=None if entry is None else entry.family,
            n_params=n_params if entry is None else entry.n_params,
            n_active_params=None if entry is None else entry.n_active_params,
            context_tokens=window,
        )

    @functools.cached_property
    def _setup(self) -> ServerSetup:  # type: ignore[override]  # made late: it wants the model
        path, api = self._path, self.api
        if api == "auto":
            is_raw = path.is_dir() and read_template(path) is None
            api = "completions" if is_raw else "chat"
        server = "" if self._server is None else self._server.url
        service = self._engine.service
        prefix = service.replace("-", "_").upper()
        return make_setup(
            backend="openai-api",
            label=f"{service}/{self._name}",
            model=str(path) if service == "transformers" else self._name,
            base_url=server or "http://127.0.0.1/v1",
            key_variable=f"{prefix}_API_KEY",
            needs_key=False,
            api=api,
            reasoning_effort=None,
            without=self.without,
            logprobs=self.logprobs,
            extra_body=read_extra_body(self.extra_body),
        )

    async def generate_each(self, request: Request, keep: OnParts) -> tuple[Completion, ...]:
        """Complete as the base does, once the server is up."""
        await self._ensure_server()
        return await super().generate_each(request, keep)

    async def loglikelihood(self, request: Request) -> tuple[Completion, ...]:
        """Score options as the base does, once the server is up."""
        await self._ensure_server()
        return await super().loglikelihood(request)

    async def send(self, request: Request) -> tuple[Completion, ...]:
        """Make one call of a server that still runs."""
        if self._server is not None:
            self._server.check()
        return await super().send(request)

    async def close(self) -> None:
        """Close the connections and stop the server."""
        server, self._server = self._server, None
        if "wire" in self.__dict__:
            await super().close()
        if server is not None:
            await asyncio.to_thread(server.stop)

    async def _ensure_server(self) -> None:
        if self._server is None or not self._server.is_ready:
            await asyncio.to_thread(self._start)

    def _start(self) -> None:
        """Start the server, or wait until another thread has."""
        with self._starting:
            if self._server is None:
                name = f"the server of {self.model}"
                self._server = LocalServer(self._command_line, name, self.notify)
            if not self._server.is_ready:
                self._server.wait_until_ready(self.ready_s)
                for late in {"_setup", "wire"} & vars(self).keys():  # know the address now
                    delattr(self, late)

    def _command_line(self, port: int) -> list[str]:
        engine, path = self._engine, str(self._path)
        extra = shlex.split(self.server_args)
        program = _find_program(engine.program)
        if program is not None:
            place = ["--host", "127.0.0.1", "--port", str(port)]
            return [program, *engine.arguments(path, self._name), *place, *extra]
        if engine.module and find_spec(engine.package) is not None:
            if extra:
                raise UsageError(f"server_args need {engine.program}, which is not here")
            code = [sys.executable, "-P", "-c", engine.module]
            return [*code, path, self._name, "127.0.0.1", str(port)]
        raise BackendError(
            f"{engine.program} is neither beside this Python nor on the path",
            hint=f"pip install {engine.package}",
        )


def _find_program(name: str) -> str | None:
    own = Path(sys.executable).parent / name
    return str(own) if own.is_file() else shutil.which(name)


def _version(engine: ServerProgram) -> str:
    with suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(engine.package)
    return ""
