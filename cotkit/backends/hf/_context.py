"""What a batch has read so far: keys and values, which columns are real, and where they stand.

Rows of a batch are padded in the middle: ``[shared prefix | padding, rest of the prompt | new]``.
Every column carries its true position, and the attention mask is made from those positions, so a
padded row computes what it would compute alone. Layers with a sliding window keep all their keys
and get a mask of their own: exact for any padding, at the price of memory beyond the window.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.cache_utils import Cache

from cotkit.backends.hf._layer import RoomyLayer
from cotkit.errors import ModelLoadError

_TOKENS_AT_ONCE = (
    4096  # bounds the activations of a prefill; large enough to keep a CPU or GPU busy
)
_SCORED_AT_ONCE = 256  # tokens with logits over the whole vocabulary: 268 MB at 262,144 entries


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A loaded model and how its attention is to be masked."""

    model: PreTrainedModel
    """In evaluation mode, on its device."""
    device: torch.device
    """Where its input goes."""
    windows: Mapping[str, int | None]
    """Kind of attention layer -> sliding window in tokens; None: sees everything before it."""
    batchable: bool
    """False: its cache is not plain keys and values; one row at a time, nothing shared."""


class Context:
    """A growing batch. Shapes: B rows, K columns read so far."""

    def __init__(self, network: Network, n_rows: int = 1) -> None:
        self._network = network
        self._cache: Any = None
        if network.batchable:
            self._cache = Cache(layer_class_to_replicate=RoomyLayer)
        self._real = torch.ones((n_rows, 0), dtype=torch.bool, device=network.device)
        self._at = torch.zeros((n_rows, 0), dtype=torch.long, device=network.device)
        self._even = True  # no column of any row is padding

    def __len__(self) -> int:
        """Columns read so far, padding included."""
        return self._real.shape[1]

    def feed(self, texts: Sequence[Sequence[int]], starts: Sequence[int]) -> torch.Tensor:
        """Read one more piece of each row, the first token at its start position.

        Shorter pieces are padded on their left; each has at least one token.

        Returns:
            Logits after the last token of each row, float32, shape [B, vocabulary].
        """
        logits = None
        for piece in self._read(texts, starts, _TOKENS_AT_ONCE, keep=1):
            logits = piece[1]
        assert logits is not None
        return logits[:, -1].float()

    def score(self, texts: Sequence[Sequence[int]], starts: Sequence[int]) -> torch.Tensor:
        """Read one more piece of each row but for its last token, at least two tokens a piece.

        Returns:
            Log-probability of each token but the first, given all before it; float32, shape
            [B, longest piece - 1], shorter pieces on the right, 0 where there is no token.
        """
        width = max(len(text) for text in texts) - 1
        pads = [width + 1 - len(text) for text in texts]
        wanted = self._tensor([[0] * pad + list(t[1:]) for pad, t in zip(pads, texts, strict=True)])
        at_once = _SCORED_AT_ONCE if self._network.batchable else 1  # a state is read on by tokens
        found: list[torch.Tensor] = []
        for part, logits in self._read([text[:-1] for text in texts], starts, at_once, keep=0):
            tokens = wanted[:, part, None].to(logits.device)
            found.append(logits.float().log_softmax(dim=-1).gather(-1, tokens)[..., 0])
        scores = torch.cat(found, dim=1)
        return scores.masked_fill(~self._real[:, -width:].to(scores.device), 0)

    def _read(
        self, texts: Sequence[Sequence[int]], starts: Sequence[int], at_once: int, *, keep: int
    ) -> Iterator[tuple[slice, torch.Tensor]]:
        """Columns read, so many tokens at once, and logits after their last ``keep``; 0: all."""
        width = max(len(text) for text in texts)
        pads = [width - len(text) for text in texts]
        ids = self._tensor([[0] * pad + list(t) for pad, t in zip(pads, texts, strict=True)])
        at = self._tensor(
            [
                [0] * pad + list(range(start, start + width - pad))
                for pad, start in zip(pads, starts, strict=True)
            ]
        )
        self._even = self._even and not any(pads)
        real = torch.arange(width, device=ids.device) >= self._tensor(pads)[:, None]
        self._real = torch.cat([self._real, real], dim=1)
        self._at = torch.cat([self._at, at], dim=1)
        known = len(self) - width
        step = max(1, at_once // len(texts))
        for begin in range(0, width, step):
            part = slice(begin, begin + step)
            n_keys = known + min(begin + step, width)
            yield part, self._forward(ids[:, part], at[:, part], n_keys, keep)

    def select(self, rows: Sequence[int]) -> None:
        """Keep these rows in this order; a row may be named more than once."""
        if list(rows) == list(range(self._real.shape[0])):
            return
        index = self._tensor(rows)
        self._real, self._at = self._real[index], self._at[index]
        if self._cache is not None:
            for layer in self._cache.layers:
                layer.select(rows)

    def head(self, length: int) -> Context:
        """A new context of the first columns of the first row; shares memory, changes nothing."""
        new = Context(self._network)
        new._real, new._at = self._real[:1, :length], self._at[:1, :length]
        new._even = self._even
        new._cache.layers.extend(layer.head(length) for layer in self._cache.layers)
        return new

    def _forward(self, ids: torch.Tensor, at: torch.Tensor, n_keys: int, keep: int) -> torch.Tensor:
        network = self._network
        if not network.batchable:
            return self._forward_alone(ids)[:, -keep:]
        out = network.model(
            input_ids=ids,
            position_ids=at,
            attention_mask=self._mask(at, n_keys),
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=keep,
        )
        return out.logits

    def _forward_alone(self, ids: torch.Tensor) -> torch.Tensor:
        out = self._network.model(input_ids=ids, past_key_values=self._cache, use_cache=True)
        self._cache = out.get("past_key_values")
        if self._cache is None:
            kind = self._network.model.config.model_type
            raise ModelLoadError(f"models of type {kind} keep their state in a way not supported")
        return out.logits

    def _mask(self, at: torch.Tensor, n_keys: int) -> Any:  # noqa: ANN401 - tensor, dict or None
        """What each query may see: added to the scores, shape [B, 1, queries, keys]."""
        windows = self._network.windows
        if self._even and set(windows.values()) == {None}:
            return None  # plain causal attention: the model's fastest kernel
        ahead = at[:, :, None] - self._at[:, None, :n_keys]
        seen = self._real[:, None, :n_keys] & (ahead >= 0)
        dtype = self._network.model.dtype
        masks = {
            kind: torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill(
                ~(seen if window is None else seen & (ahead < window)), torch.finfo(dtype).min
            )[:, None]
            for kind, window in windows.items()
        }
        return masks if len(masks) > 1 else next(iter(masks.values()))

    def _tensor(self, values: object) -> torch.Tensor:
        return torch.tensor(values, device=self._network.device)
