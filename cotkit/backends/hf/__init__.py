"""Local models through transformers and torch, batched over shared prefixes by our own loop."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cotkit.backends.hf import generation_config as generation_settings
from cotkit.backends.hf import template
from cotkit.backends.hf.source import (
    EngineConfig,
    LoadOptions,
    LocalModel,
    Placement,
    StoredIdentity,
    chat_template_hash,
    choose_placement,
    choose_replicas,
    find_in_catalogue,
    hash_code,
    match_stored,
    package_versions,
    quantisation,
    resolve,
    resolve_adapter,
)
from cotkit.backends.hf.thinking import thinking_room
from cotkit.errors import UsageError
from cotkit.identity import canonical_json
from cotkit.models import folder as model_folder
from cotkit.models.rounding import LAYOUTS
from cotkit.types import (
    BackendInfo,
    Capability,
    Completion,
    Decoding,
    Notify,
    Request,
    say_nothing,
)

if TYPE_CHECKING:
    from cotkit.backends.hf.engine import Engine
    from cotkit.backends.hf.prompt import Prompter
    from cotkit.backends.hf.workers import Replicas

ENGINE_VERSION = "3"
"""Raise when the same request may give another text; stored completions are then asked again."""

_RAW_CAPABILITIES: tuple[Capability, ...] = ("generate", "sampling", "loglikelihood")


@dataclass(kw_only=True)
class Hf:
    """A model on this machine.

    Text of a greedy request may differ in near-ties between batch layouts, as with every batching
    engine: ``info.deterministic`` is False. Sampled draws depend on their own seed only.

    Raises:
        UsageError: batch_size or replicas is below 1, or dtype is unknown.
    """

    model: str
    """Catalogue name, transformers folder, ``.gguf`` file, or hub name ``org/name``."""
    dtype: str = "auto"
    """``float32``, ``bfloat16``, ``float16``; on CPUs ``int8``, ``q4``; auto: bfloat16 (float16 on
    GPUs before Ampere), and float32 for networks below 10 million parameters."""
    device: str = "auto"
    """A torch device such as ``cpu`` or ``cuda:1``; auto: all accelerators there are."""
    batch_size: int | None = None
    """Most sequences at once, at least 1; None: as many as memory allows (at most 32; GPU: 128)."""
    replicas: int | str = 1
    """Processes with a copy of the model each, one for each GPU or share of the CPU's cores; auto:
    as many as there are GPUs that hold it whole."""
    chat: bool | None = None
    """Render messages with the model's chat template; False: contents joined, nothing between;
    None: False, but for a model of ours that has a template (pocket-thinker)."""
    revision: str | None = None
    """Branch, tag or commit of a hub model; None: what is here, or its main branch."""
    accept_terms: bool = False
    """Whether the user accepts the licence terms of a catalogue model that has some."""
    generation_config: str = "model"
    """``model``: penalties and bans of tokens in the model's ``generation_config.json`` apply as in
    ``transformers``; ``off``: they do not. How tokens are drawn is always what the run says."""
    chat_template_kwargs: str = ""
    """A JSON object of variables for the chat template, e.g. ``{"enable_thinking": false}``."""
    adapter: str | None = None
    """Folder or hub name of a LoRA adapter, which peft merges into the weights."""
    attn_implementation: str = ""
    """Attention of transformers, such as ``eager`` or ``flash_attention_2``, with padded rows;
    empty: our own, packed, where that is exact."""
    trust_remote_code: bool = False
    """Whether Python code that lies with a model may run; read it first."""
    notify: Notify = field(default=say_nothing, repr=False, compare=False)
    """Called with what a user should read; the runner sets it."""
    stored_as: StoredIdentity | None = field(default=None, repr=False, compare=False)
    """What the store calls these weights; the runner sets it. None: by their own name."""

    def __post_init__(self) -> None:
        """Check the fields before anything is loaded."""
        if self.batch_size is not None and self.batch_size < 1:
            raise UsageError(f"batch_size={self.batch_size} is below 1")
        if self.replicas != "auto" and (isinstance(self.replicas, str) or self.replicas < 1):
            raise UsageError(f"replicas={self.replicas} is below 1", hint="a number, or auto")
        if self.generation_config not in ("model", "off"):
            raise UsageError(
                f"unknown generation_config {self.generation_config!r}", hint="model or off"
            )
        if self._template_kwargs and not self._is_chat:
            raise UsageError("chat_template_kwargs without the chat template", hint="add chat=true")

    @functools.cached_property
    def info(self) -> BackendInfo:
        """Identity and capabilities; fetches the model if it is not here yet, loads no weights."""
        packages = ", ".join(f"{name} {version}" for name, version in package_versions().items())
        folder, placement = self._source.folder, self._placement
        model, fingerprint, alias = self.model, self._source.fingerprint, self.stored_as
        if alias is not None and alias.content == self._source.content:
            model, fingerprint = alias.model, alias.fingerprint
        entry = find_in_catalogue(model)
        return BackendInfo(
            backend="hf",
            model=model,
            fingerprint=fingerprint,
            settings={
                "engine": f"cotkit {ENGINE_VERSION}, {packages}",
                "dtype": placement.dtype,
                "device": placement.device.partition(":")[0],
                "chat_template": chat_template_hash(folder) if self._is_chat else "off",
                "quantisation": quantisation(folder),
                **self._own_settings,
            },
            family=None if entry is None else entry.family,
            n_params=model_folder.n_params(folder) if entry is None else entry.n_params,
            n_active_params=None if entry is None else entry.n_active_params,
            capabilities=frozenset(
                (*_RAW_CAPABILITIES, "chat") if self._is_chat else _RAW_CAPABILITIES
            ),
            context_tokens=model_folder.context_window(folder),
        )

    def find_stored(self, stored: Iterable[BackendInfo]) -> None:
        """Take the name of the same weights in a store, so that their stored answers count.

        Nothing happens where the store has this name, or does not have these weights.
        """
        alias = match_stored(self.info, self._source, stored)
        if alias is None:
            return
        self.stored_as = alias
        del self.info
        self.notify(
            f"{self.model} holds the same weights as {alias.model}, and is the same model in this "
            "store, under that name"
        )

    async def generate(self, request: Request) -> tuple[Completion, ...]:
        """Complete a request on the engine's thread, or in a replica.

        Raises:
            PromptTooLongError: prompt and ``max_tokens`` exceed the context window.
            ModelLoadError: the model, its tokenizer or its chat template cannot be used.
            UsageError: the model cannot be told to think as the request says.
            BackendError: memory ran out on a single sequence, the model's output is not a number,
                or no replica is left.
        """
        if request.decoding.thinking is not None:
            self.thinking_room(request.decoding)
        return await self._engine.ask(request)

    async def loglikelihood(self, request: Request) -> tuple[Completion, ...]:
        """Score the options of a request; ``likelihood.py`` has the rule.

        ``n_prompt_tokens`` and ``n_generated_tokens`` add up to the tokens of the whole text.

        Raises:
            UsageError: there are no options, or one of them is empty.
            PromptTooLongError: prompt and an option exceed the context window.
            ModelLoadError, BackendError: as :meth:`generate`.
        """
        if not request.options or not all(request.options):
            raise UsageError("an option to be scored is empty, or there is none")
        return await self._engine.ask(request)

    async def count_tokens(self, request: Request) -> int:
        """Count the tokens of the rendered prompt; loads the tokenizer only."""
        return len(await asyncio.to_thread(lambda: self._prompter.tokens(request)))

    def thinking_room(self, decoding: Decoding) -> int:
        """Say how much it may think; see :class:`cotkit.protocols.ThinkingBackend`."""
        return thinking_room(
            self._source.folder,
            decoding,
            chat=self._is_chat,
            kwargs=self._template_kwargs,
            model=self.model,
        )

    def status(self) -> str | None:
        """Describe the progress in words; None: something began or ended in the last 10 s."""
        return self._engine.status() if "_engine" in self.__dict__ else None

    async def close(self) -> None:
        """Stop at the next token and give the model's memory back."""
        if "_engine" in self.__dict__:
            await asyncio.to_thread(self._engine.close)
            del self._engine

    @functools.cached_property
    def _is_chat(self) -> bool:
        if self.chat is not None:
            return self.chat
        entry = find_in_catalogue(self.model)
        return entry is not None and entry.shipped and entry.tuning == "instruct"

    @property
    def _own_settings(self) -> dict[str, str]:
        """Return what else changes texts, and only where it does: other keys stay as they were."""
        folder = self._source.folder
        settings = {
            "generation_config": generation_settings.describe(self._logits_settings),
            "chat_template_kwargs": canonical_json(self._template_kwargs),
            "end_of_turn": " ".join(template.end_of_turn_tokens(folder)),
            "reasoning": template.reasoning_form(
                folder, chat=self._is_chat, kwargs=self._template_kwargs
            ),
            "adapter": self._describe_adapter(folder),
            "attn_implementation": self.attn_implementation,
            "trust_remote_code": hash_code(folder) if self.trust_remote_code else "",
            "raw_prompt": "nothing appended"
            if not self._is_chat and template.drops_appended_tokens(folder)
            else "",
        }
        return {name: value for name, value in settings.items() if value not in ("", "{}")}

    def _describe_adapter(self, folder: Path) -> str:
        own = model_folder.describe_adapter(self._adapter or folder)
        if self._adapter is None:
            return own
        return f"{own}, {model_folder.identify_folder(self._adapter, self.notify).content[:16]}"

    @functools.cached_property
    def _adapter(self) -> Path | None:
        return None if self.adapter is None else resolve_adapter(self.adapter, self.notify)

    @functools.cached_property
    def _logits_settings(self) -> dict[str, Any]:
        if self.generation_config == "off":
            return {}
        return generation_settings.read_settings(self._source.folder)

    @functools.cached_property
    def _template_kwargs(self) -> dict[str, Any]:
        try:
            kwargs = json.loads(self.chat_template_kwargs or "{}")
        except ValueError:
            kwargs = None
        if not isinstance(kwargs, dict):
            raise UsageError(
                f"chat_template_kwargs={self.chat_template_kwargs!r} is not a JSON object",
                hint="""write chat_template_kwargs='{"enable_thinking": false}'""",
            )
        return kwargs

    @functools.cached_property
    def _source(self) -> LocalModel:
        return resolve(
            self.model,
            revision=self.revision,
            accept_terms=self.accept_terms,
            notify=self.notify,
            choose_dtype=self._storage_dtype,
            with_code=self.trust_remote_code,
        )

    def _storage_dtype(self, n_params: int) -> str:
        dtype = self._place(n_params).dtype
        return "float32" if dtype in LAYOUTS and self.adapter is not None else dtype

    def _place(self, n_params: int | None) -> Placement:
        return choose_placement(self.device, self.dtype, n_params)

    @functools.cached_property
    def _placement(self) -> Placement:
        return self._place(model_folder.n_params(self._source.folder))

    @functools.cached_property
    def _prompter(self) -> Prompter:
        from cotkit.backends.hf.prompt import Prompter

        folder, kwargs = self._source.folder, self._template_kwargs
        return Prompter(folder, chat=self._is_chat, template_kwargs=kwargs)

    @functools.cached_property
    def _engine(self) -> Engine | Replicas:
        config = EngineConfig(
            folder=self._source.folder,
            placement=self._placement,
            context_tokens=self.info.context_tokens,
            batch_size=self.batch_size,
            chat=self._is_chat,
            template_kwargs=self._template_kwargs,
            end_texts=template.end_of_turn_tokens(self._source.folder),
            logits_settings=self._logits_settings,
            options=LoadOptions(
                adapter=self._adapter,
                attn_implementation=self.attn_implementation,
                trust_remote_code=self.trust_remote_code,
            ),
            content=self._source.content,
        )
        n_replicas = self.replicas
        if isinstance(n_replicas, str):
            n_params = model_folder.n_params(self._source.folder)
            n_replicas = choose_replicas(self._placement, n_params)
        if n_replicas > 1:
            from cotkit.backends.hf.workers import Replicas

            return Replicas(n_replicas, config, lambda: self.notify)
        from cotkit.backends.hf.engine import Engine

        return Engine(config, self._prompter, lambda: self.notify)
