"""Rows that are being read: which nodes each stands on, and how many tokens of its own it has.

New tokens of all rows are packed end to end into one sequence for the model, so nothing is padded
and rows of any length go together. A model whose state is not plain keys and values cannot be
packed: it reads one row at a time, with the cache that it brings along.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from cotkit.backends.hf.attention import ForwardPass, TokenSpan
from cotkit.backends.hf.kv_cache import KVCache
from cotkit.backends.hf.prefix_tree import Layers, Node
from cotkit.errors import ModelLoadError

_TOKENS_AT_ONCE = 512  # bounds the activations of a prefill; enough to keep a CPU or GPU busy
_SCORED_AT_ONCE = 256  # tokens with logits over the whole vocabulary: 268 MB at 262,144 entries
_STATE_NAMES = ("cache", "past_key_values", "cache_params")  # as versions and models call it


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A loaded model."""

    model: PreTrainedModel
    """In evaluation mode, on its device; its attention is ours where it is packable."""
    device: torch.device
    """Where its input goes."""
    packable: bool
    """False: one row at a time, nothing shared."""


class Context:
    """Rows in slots 0, 1, ... in the order in which they were added."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._tails = KVCache()
        self._paths: list[tuple[Node, ...]] = []
        self._bases: list[int] = []
        self._lengths: list[int] = []
        self._state: Any = None  # of a model that cannot be packed
        self.windows: set[int | None] = set()  # of the attention that was asked for

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self._paths)

    def add(self, path: Sequence[Node] = ()) -> None:
        """A new last row; nothing is read yet."""
        self._paths.append(tuple(path))
        self._bases.append(path[-1].end if path else 0)
        self._lengths.append(0)
        self._tails.reserve(len(self), 1)

    def add_copy(self, row: int) -> None:
        """A new last row that has read what another has."""
        self.add(self._paths[row])
        self._tails.copy(row, len(self) - 1, self._lengths[row])
        self._lengths[-1] = self._lengths[row]

    def drop(self, row: int) -> None:
        """Forget a row; the last one takes its place."""
        last = len(self) - 1
        self._tails.wipe(row)
        if row < last:
            self._tails.copy(last, row, self._lengths[last])
            self._tails.wipe(last)
        self._paths[row] = self._paths[last]
        self._bases[row] = self._bases[last]
        self._lengths[row] = self._lengths[last]
        for held in (self._paths, self._bases, self._lengths):
            held.pop()

    def layers(self, row: int) -> Layers:
        """A copy of a row's own keys and values."""
        return self._tails.taken(row, self._lengths[row])

    def feed(self, texts: Sequence[Sequence[int]], first: int = 0) -> torch.Tensor:
        """Read on in the rows from ``first``, in consecutive slots; each text has a token.

        Returns:
            Logits after the last token of each, float32, shape [texts, vocabulary].
        """
        found: list[torch.Tensor] = []
        sizes = [len(text) for text in texts]
        at_once = _TOKENS_AT_ONCE if self._network.packable else sum(sizes)
        for pieces, ends in _split_into_portions(sizes, at_once):
            last = [i for i, (row, _, end) in enumerate(pieces) if end == len(texts[row])]
            logits = self._forward(
                [(first + row, texts[row][begin:end]) for row, begin, end in pieces],
                [ends[i] - 1 for i in last] or [ends[-1] - 1],
            )
            if last:
                found.append(logits)
        return torch.cat(found)

    def score(self, texts: Sequence[Sequence[int]], first: int = 0) -> list[list[float]]:
        """Read on in the rows from ``first``, but for the last token of each text.

        Returns:
            For each text, the log-probability of each token but its first, given all before it.
        """
        scores: list[list[float]] = [[] for _ in texts]
        at_once = _SCORED_AT_ONCE if self._network.packable else 1
        for pieces, ends in _split_into_portions([len(text) - 1 for text in texts], at_once):
            logits = self._forward(
                [(first + row, texts[row][begin:end]) for row, begin, end in pieces],
                list(range(ends[-1])),
            )
            wanted = [t for row, begin, end in pieces for t in texts[row][begin + 1 : end + 1]]
            index = torch.tensor(wanted, device=logits.device)[:, None]
            values = logits.log_softmax(dim=-1).gather(-1, index)[:, 0].tolist()
            for (row, begin, end), at in zip(pieces, ends, strict=True):
                scores[row] += values[at - (end - begin) : at]
        return scores

    def _forward(
        self, pieces: Sequence[tuple[int, Sequence[int]]], keep: Sequence[int]
    ) -> torch.Tensor:
        """Logits [keep, vocabulary] after some of the packed tokens."""
        model, device = self._network.model, self._network.device
        ids = torch.tensor([[token for _, text in pieces for token in text]], device=device)
        kept = torch.tensor(keep)  # on the CPU: the logits may be on another device than the input
        if not self._network.packable:
            return self._forward_alone(ids)[kept]
        spans = [
            TokenSpan(
                slot=row,
                path=self._paths[row],
                base=self._bases[row],
                start=self._bases[row] + self._lengths[row],
                n=len(text),
            )
            for row, text in pieces
        ]
        for row, text in pieces:
            self._lengths[row] += len(text)
        self._tails.reserve(len(self), max(self._lengths))
        step = ForwardPass(self._tails, spans)
        out: Any = model(
            input_ids=ids,
            position_ids=torch.tensor([step.positions], device=device),
            use_cache=False,
            logits_to_keep=kept,
            cotkit_step=step,
        )
        self.windows |= step.windows
        return out.logits[0].float()

    def _forward_alone(self, ids: torch.Tensor) -> torch.Tensor:
        model = self._network.model
        takes = inspect.signature(model.forward).parameters
        name = next((name for name in _STATE_NAMES if name in takes), "")
        out: Any = model(input_ids=ids, use_cache=True, **({name: self._state} if name else {}))
        self._state = out.get(name)
        if self._state is None:
            kind = model.config.model_type
            raise ModelLoadError(f"models of type {kind} keep their state in a way not supported")
        return out.logits[0].float()


_Piece = tuple[int, int, int]  # which text, from which token, to before which


def _split_into_portions(
    sizes: Sequence[int], at_once: int
) -> Iterator[tuple[list[_Piece], list[int]]]:
    """Texts of these sizes in portions of so many tokens: pieces, and where each ends in them."""
    pieces: list[_Piece] = []
    ends: list[int] = []
    room = at_once
    for text, size in enumerate(sizes):
        at = 0
        while at < size:
            n = min(room, size - at)
            pieces.append((text, at, at + n))
            ends.append((ends[-1] if ends else 0) + n)
            at, room = at + n, room - n
            if room == 0:
                yield pieces, ends
                pieces, ends, room = [], [], at_once
    if pieces:
        yield pieces, ends


# How many tokens' keys and values fit into the memory there is.


_MEMORY_FOR_ROWS = 0.4  # of free memory, for the rows' own keys and values; growing copies a layer
_MEMORY_FOR_SHARED = 0.2  # of free memory, for what prompts begin with
_LIMIT_FILE = Path("/sys/fs/cgroup/memory.max")
_USED_FILE = Path("/sys/fs/cgroup/memory.current")


def tokens_for_rows(network: Network) -> int:
    """How many tokens the running rows may have of their own, all together."""
    return int(_free_bytes(network.device) * _MEMORY_FOR_ROWS) // kv_bytes_per_token(network)


def tokens_to_share(network: Network) -> int:
    """How many tokens may be kept because prompts begin with them."""
    return int(_free_bytes(network.device) * _MEMORY_FOR_SHARED) // kv_bytes_per_token(network)


def kv_bytes_per_token(network: Network) -> int:
    """Bytes of keys and values that one token takes over all layers."""
    config = network.model.config.get_text_config(decoder=True)
    n_heads: int = config.num_attention_heads
    n_kv_heads: int = getattr(config, "num_key_value_heads", None) or n_heads
    head_dim: int = getattr(config, "head_dim", None) or config.hidden_size // n_heads
    return 2 * config.num_hidden_layers * n_kv_heads * head_dim * network.model.dtype.itemsize


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        n = torch.cuda.device_count()  # layers, and so keys and values, are spread evenly
        return min(torch.cuda.mem_get_info(i)[0] for i in range(n)) * n
    import psutil

    free: int = psutil.virtual_memory().available
    if _LIMIT_FILE.is_file() and (limit := _LIMIT_FILE.read_text().strip()) != "max":
        free = min(free, int(limit) - int(_USED_FILE.read_text()))
    return max(0, free)
