"""Turn messages into tokens and tokens into text, by the model's tokenizer and chat template."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import jinja2

from cotkit.backends.hf.sequence import first_line
from cotkit.errors import ModelLoadError
from cotkit.types import Message


class Prompter:
    """A model folder's tokenizer, loaded at first use. Safe to use from several threads."""

    def __init__(
        self, folder: Path, *, chat: bool, template_kwargs: Mapping[str, Any] | None = None
    ) -> None:
        self._folder = folder
        self._chat = chat
        self._template_kwargs = template_kwargs or {}
        self._lock = threading.RLock()

    @cached_property
    def tokenizer(self) -> Any:  # noqa: ANN401 - transformers has no one type for its tokenizers
        """The tokenizer, loaded at first use.

        Raises:
            ModelLoadError: the folder holds none that can be loaded.
        """
        from transformers import AutoTokenizer

        try:
            return AutoTokenizer.from_pretrained(self._folder)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError) as fault:
            raise ModelLoadError(
                f"{self._folder}: no usable tokenizer: {first_line(fault)}",
                hint="the folder needs tokenizer.json or tokenizer.model",
            ) from fault

    def tokens(self, messages: Sequence[Message]) -> tuple[int, ...]:
        """Return the tokens of the rendered prompt.

        Raises:
            ModelLoadError: no tokenizer, or the chat template is missing or refuses the messages.
        """
        return self.encode(self.render(messages))

    def encode(self, rendered: str) -> tuple[int, ...]:
        """Tokenize a rendered text. Raw: with the special tokens that begin a text, not an end."""
        with self._lock:
            tokens = tuple(self.tokenizer(rendered, add_special_tokens=not self._chat)["input_ids"])
            return tokens[: len(tokens) - self._n_appended]

    @cached_property
    def _n_appended(self) -> int:
        """How many tokens the tokenizer adds to the end of a raw text: a prompt goes on instead."""
        if self._chat:
            return 0
        alone = self.tokenizer("a", add_special_tokens=False)["input_ids"]
        full = self.tokenizer("a")["input_ids"]
        starts = [i for i in range(len(full)) if full[i : i + len(alone)] == alone]
        return len(full) - starts[-1] - len(alone) if alone and starts else 0

    def text(self, tokens: Sequence[int]) -> str:
        """Decode generated tokens, special ones left out."""
        with self._lock:
            return self.tokenizer.decode(
                list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False
            )

    def render(self, messages: Sequence[Message]) -> str:
        """Render the prompt as one text: by the chat template; raw: contents joined.

        Raises:
            ModelLoadError: no tokenizer, or the chat template is missing or refuses the messages.
        """
        if not self._chat:
            return "".join(message.content for message in messages)
        with self._lock:
            return self._apply_template(messages)

    def _apply_template(self, messages: Sequence[Message]) -> str:
        to_continue = messages[-1].role == "assistant"
        try:
            return self.tokenizer.apply_chat_template(
                [{"role": m.role, "content": m.content.strip()} for m in messages],
                tokenize=False,
                add_generation_prompt=not to_continue,
                continue_final_message=to_continue,
                **self._template_kwargs,
            )
        except (jinja2.TemplateError, ValueError, TypeError) as fault:
            raise ModelLoadError(
                f"{self._folder}: the chat template refused the prompt: {first_line(fault)}",
                hint="use chat=false for a model without a chat template",
            ) from fault
