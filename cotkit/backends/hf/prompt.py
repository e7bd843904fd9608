"""Turn messages into tokens and tokens into text, by the model's tokenizer and chat template."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import jinja2

from cotkit.backends.hf.sequence import Steering, first_line
from cotkit.backends.hf.thinking import closing_mark, template_variables, thinking_room
from cotkit.errors import ModelLoadError, UsageError
from cotkit.identity import canonical_json
from cotkit.reasoning import find_answer_start, is_marker, opens_reasoning
from cotkit.types import Request


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
            return AutoTokenizer.from_pretrained(
                self._folder, trust_remote_code=False, local_files_only=True
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError) as fault:
            raise ModelLoadError(
                f"{self._folder}: no usable tokenizer: {first_line(fault)}",
                hint="the folder needs tokenizer.json or tokenizer.model",
            ) from fault

    def tokens(self, request: Request) -> tuple[int, ...]:
        """Return the tokens of the rendered prompt.

        Raises:
            ModelLoadError: no tokenizer, or the chat template is missing or refuses the messages.
        """
        return self.encode(self.render(request))

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
        """Decode generated tokens, special ones left out but for those that mark reasoning."""
        with self._lock:
            markers = self._markers
            if markers:
                tokens = self._without_other_specials(tokens, markers)
            return self.tokenizer.decode(
                list(tokens), skip_special_tokens=not markers, clean_up_tokenization_spaces=False
            )

    def is_in_reasoning(self, request: Request) -> bool:
        """Return whether the rendered prompt ends inside reasoning: the text begins there."""
        messages = request.messages
        last = messages[-1].content.strip()
        if messages[-1].role == "assistant":
            return find_answer_start(last) is None
        rendered = self.render(request)
        spoken = rendered.rpartition(last)[2] if self._chat else rendered[-300:]
        return find_answer_start(spoken) is None if self._chat else opens_reasoning(spoken)

    @cached_property
    def message_end(self) -> int | None:
        """The token that ends each of several messages of a turn, of which the final one answers.

        None: a turn is one message.
        """
        ids = {token: i for i, token in self._special_tokens.items()}
        is_channelled = {"<|start|>", "<|channel|>", "<|message|>"} <= ids.keys()
        return ids.get("<|end|>") if is_channelled else None

    @cached_property
    def _markers(self) -> Mapping[int, str]:
        """Special tokens that mark reasoning, by id."""
        specials = self._special_tokens
        return {i: token for i, token in specials.items() if is_marker(token)}

    @cached_property
    def _special_tokens(self) -> Mapping[int, str]:
        added = getattr(self.tokenizer, "added_tokens_decoder", {})
        specials = {int(i): str(token) for i, token in added.items() if token.special}
        ids = zip(self.tokenizer.all_special_ids, self.tokenizer.all_special_tokens, strict=True)
        return specials | {int(i): str(token) for i, token in ids}

    def _without_other_specials(
        self, tokens: Sequence[int], markers: Mapping[int, str]
    ) -> list[int]:
        """Leave out special tokens that mark nothing, and who speaks between two of them."""
        texts = self._special_tokens
        kept_tokens: list[int] = []
        in_header = False
        for token in tokens:
            if token in texts:
                in_header = self.message_end is not None and texts[token] == "<|start|>"
            if not in_header and (token in markers or token not in texts):
                kept_tokens.append(token)
        return kept_tokens

    def render(self, request: Request) -> str:
        """Render the prompt as one text: by the chat template; raw: contents joined.

        Raises:
            ModelLoadError: no tokenizer, or the chat template is missing or refuses the messages.
        """
        if not self._chat:
            return "".join(message.content for message in request.messages)
        with self._lock:
            return self._apply_template(request)

    def steering(self, request: Request) -> Steering | None:
        """Return how a thought is ended or kept going; None: it is left alone.

        Raises:
            UsageError: no single token ends a thought, so its end cannot be replaced.
        """
        decoding = request.decoding
        setting = decoding.thinking or ""
        budget = int(setting) if setting.isdecimal() else None
        if not self._chat or (budget is None and not decoding.n_waits):
            return None
        mark = closing_mark(self._folder, canonical_json(self._template_kwargs))
        if mark is None:  # the template has a variable for the budget
            return None
        with self._lock:
            encoded: list[tuple[int, ...]] = [
                tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"])
                for text in (mark, f"\n{mark}\n\n", "\nWait")
            ]
        ends, closing, going_on = encoded
        if decoding.n_waits and len(ends) > 1:
            raise UsageError(f"{self._folder.name}: {mark} is no token of its own")
        return Steering(
            budget=budget,
            closing=closing,
            end=next(iter(ends), -1),
            wait=going_on,
            n_waits=decoding.n_waits,
        )

    def thinking_room(self, request: Request, n_fixed: int, window: int | None) -> int:
        """Return how many tokens of thinking to allow; of our own habit as many as are free.

        ``n_fixed``: tokens of the prompt, and those that are forced on the thought.

        Raises:
            UsageError: the model cannot be told to think so.
        """
        decoding = request.decoding
        room = thinking_room(
            self._folder,
            decoding,
            chat=self._chat,
            kwargs=self._template_kwargs,
            model=self._folder.name,
        )
        is_asked = decoding.max_thinking_tokens is not None or (decoding.thinking or "").isdecimal()
        if window is None or is_asked:
            return room
        return max(0, min(room, window - n_fixed - decoding.max_tokens))

    def _apply_template(self, request: Request) -> str:
        messages = request.messages
        to_continue = messages[-1].role == "assistant"
        try:
            return self.tokenizer.apply_chat_template(
                [{"role": m.role, "content": m.content.strip()} for m in messages],
                tokenize=False,
                add_generation_prompt=not to_continue,
                continue_final_message=to_continue,
                **self._template_kwargs,
                **template_variables(self._folder, request.decoding),
            )
        except (jinja2.TemplateError, ValueError, TypeError) as fault:
            raise ModelLoadError(
                f"{self._folder}: the chat template refused the prompt: {first_line(fault)}",
                hint="use chat=false for a model without a chat template",
            ) from fault
