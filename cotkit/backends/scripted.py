"""Replies read from a JSONL file or given as a list: for tests, docs and teaching."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cotkit.errors import BackendError, BadInputError, UsageError
from cotkit.identity import content_hash
from cotkit.inputs import iterate_objects
from cotkit.types import BackendInfo, Completion, Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A text, and the words in a prompt that it answers."""

    prompt: str
    """The reply fits a prompt that contains this text; the first that fits is used."""
    text: str
    """What the model says, before any stop rule."""


@dataclass(kw_only=True)
class Scripted:
    """``scripted/replies.jsonl``: one ``{"prompt": ..., "text": ...}`` a line, first match wins."""

    model: str = ""
    """Path of the JSONL file; empty when ``replies`` are given."""
    replies: Sequence[Reply] = field(default=())
    """In order of precedence."""

    def __post_init__(self) -> None:
        """Read the file.

        Raises:
            BadInputError: a line cannot be read, or there are no replies in it.
            UsageError: neither a file nor replies are given.
        """
        if not self.replies:
            if not self.model:
                raise UsageError("no replies given", hint="--model scripted/FILE.jsonl")
            self.replies = _read_replies(Path(self.model))

    @property
    def info(self) -> BackendInfo:
        """Fingerprint: the hash of all replies."""
        return BackendInfo(
            backend="scripted",
            model=Path(self.model).stem or "scripted",
            fingerprint=content_hash("scripted", list(self.replies)),
            deterministic=True,
        )

    async def generate(self, request: Request) -> tuple[Completion, ...]:
        """Return the first reply that fits, for every sample. Tokens are counted as words.

        Raises:
            BackendError: no reply fits.
        """
        prompt = "".join(message.content for message in request.messages)
        text = next((reply.text for reply in self.replies if reply.prompt in prompt), None)
        if text is None:
            raise BackendError(f"no scripted reply fits the prompt ending in {prompt[-60:]!r}")
        words = text.split(" ")
        limit = request.decoding.max_tokens
        return tuple(
            Completion(
                text=" ".join(words[:limit]),
                stop_reason="stop" if len(words) <= limit else "length",
                n_prompt_tokens=len(prompt.split()),
                n_generated_tokens=min(len(words), limit),
            )
            for _ in request.samples
        )

    async def count_tokens(self, request: Request) -> int | None:
        """Count the words of the prompt."""
        return sum(len(message.content.split()) for message in request.messages)

    async def close(self) -> None:
        """Do nothing: there is nothing to give back."""


def _read_replies(path: Path) -> tuple[Reply, ...]:
    hint = 'each line is {"prompt": "...", "text": "..."}'
    replies: list[Reply] = []
    for place, row in iterate_objects(path, hint=hint):
        prompt, text = row.get("prompt"), row.get("text")
        if not isinstance(prompt, str) or not isinstance(text, str):
            raise place.make_error("not a reply: prompt and text must be texts")
        replies.append(Reply(prompt=prompt, text=text))
    if not replies:
        raise BadInputError(path, "holds no replies")
    return tuple(replies)
