"""The forward pass: which nodes a sequence stands on, and how many tokens of its own it has read.

New tokens of all sequences are packed end to end into one input of the model, so nothing is padded
and sequences of any length go together. A model whose state is not plain keys and values cannot be
packed; ``dense.py`` has the context of those.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import PreTrainedModel

from cotkit.backends.hf.attention import ForwardPass, TokenSpan
from cotkit.backends.hf.dense import DenseContext
from cotkit.backends.hf.finished_texts import FinishedText
from cotkit.backends.hf.kv_cache import KVCache
from cotkit.backends.hf.prefix_tree import Layers, Node

_SCORED_AT_ONCE = 256  # tokens with logits over the whole vocabulary: 268 MB at 262,144 entries


Mode = Literal["packed", "dense", "alone"]
"""``packed``: end to end, over a tree of what they share; ``dense``: beside each other, with caches
of their own; ``alone``: one at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A loaded model."""

    model: PreTrainedModel
    """In evaluation mode, on its device; its attention is replaced where it is packable."""
    device: torch.device
    """Where its input goes."""
    mode: Mode = "packed"
    """How sequences go together."""
    shares: bool = True
    """Whether a prompt may be read from where a shared beginning of it was read to."""
    keeps_state: bool = True
    """False: every token is computed from the whole text before it, for want of a usable state."""
    most_positions: int | None = None
    """Longest text, in tokens, whose positions do not depend on how long it is; longer ones run
    alone and in one piece. None: no such limit."""
    bytes_per_token: int = 0
    """Of keys and values over all layers."""
    bytes_per_row: int = 0
    """Of recurrent states over all layers."""
    tokens_at_once: int = 512
    """Tokens of a prefill that are packed together, which bounds its activations; 512 keep a CPU or
    GPU busy."""

    def is_beyond(self, n_tokens: int) -> bool:
        """Return whether a text of so many tokens must run alone."""
        return self.most_positions is not None and n_tokens > self.most_positions


class Context:
    """What has been read so far, of sequences in slots 0, 1, ... of a KV cache."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._kv_cache = KVCache()
        self._paths: list[tuple[Node, ...]] = []
        self._bases: list[int] = []
        self._lengths: list[int] = []
        self._unwritten: list[tuple[int, FinishedText, int]] = []  # slot, source, columns
        self.windows: set[int | None] = set()  # of the attention that was asked for

    def __len__(self) -> int:
        """Return how many slots are in use."""
        return len(self._paths)

    def add(self, path: Sequence[Node] = ()) -> None:
        """Add a slot at the end, over the nodes of a path; nothing of its own is read yet."""
        self._paths.append(tuple(path))
        self._bases.append(path[-1].end if path else 0)
        self._lengths.append(0)

    def add_continuing(self, text: FinishedText, n_tokens: int) -> None:
        """Add a slot at the end that has read the first tokens of a finished text, path and all."""
        self.add(text.path)
        self._lengths[-1] = n_tokens - self._bases[-1]
        self._unwritten.append((len(self) - 1, text, self._lengths[-1]))

    def n_own(self, slot: int) -> int:
        """Return how many tokens a slot has read beyond its path."""
        return self._lengths[slot]

    def copy_text(self, slot: int, tokens: Sequence[int], n_prompt: int) -> FinishedText:
        """Return a copy of what a slot has read of a text, which is these tokens."""
        base = self._bases[slot]
        return FinishedText(
            path=self._paths[slot],
            tokens=tuple(tokens[: base + self._lengths[slot]]),
            n_prompt=max(n_prompt, base),
            layers=self.layers(slot),
        )

    def add_copy(self, slot: int) -> None:
        """Add a slot at the end that has read what another has."""
        self.add(self._paths[slot])
        self._kv_cache.reserve(len(self), self._lengths[slot])
        self._kv_cache.copy(slot, len(self) - 1, self._lengths[slot])
        self._lengths[-1] = self._lengths[slot]

    def drop(self, slot: int) -> None:
        """Forget a slot; the last one moves into its place."""
        last = len(self) - 1
        self._kv_cache.wipe(slot)
        if slot < last:
            self._kv_cache.copy(last, slot, self._lengths[last])
            self._kv_cache.wipe(last)
        self._paths[slot] = self._paths[last]
        self._bases[slot] = self._bases[last]
        self._lengths[slot] = self._lengths[last]
        for slots in (self._paths, self._bases, self._lengths):
            slots.pop()

    def layers(self, slot: int) -> Layers:
        """Return a copy of the keys and values that a slot holds of its own."""
        return self._kv_cache.read(slot, self._lengths[slot])

    def forward(self, texts: Sequence[Sequence[int]], first: int = 0) -> torch.Tensor:
        """Read a text each, of at least one token, in consecutive slots from ``first``.

        Returns:
            Logits after the last token of each, float32, shape [texts, vocabulary].
        """
        logits_of_texts: list[torch.Tensor] = []
        sizes = [len(text) for text in texts]
        longest = max(
            length + base + size
            for length, base, size in zip(
                self._lengths[first:], self._bases[first:], sizes, strict=False
            )
        )
        at_once = sum(sizes) if self._network.is_beyond(longest) else self._network.tokens_at_once
        for pieces, ends in _split_into_portions(sizes, at_once):
            last = [i for i, (k, _, end) in enumerate(pieces) if end == len(texts[k])]
            logits = self._run(
                [(first + k, texts[k][begin:end]) for k, begin, end in pieces],
                [ends[i] - 1 for i in last] or [ends[-1] - 1],
            )
            if last:
                logits_of_texts.append(logits)
        return torch.cat(logits_of_texts)

    def score(self, texts: Sequence[Sequence[int]], first: int = 0) -> list[list[float]]:
        """Read texts as :meth:`forward` does, but for the last token of each.

        Returns:
            For each text, the log-probability of each token but its first, given all before it.
        """
        scores: list[list[float]] = [[] for _ in texts]
        sizes = [len(text) - 1 for text in texts]
        for pieces, ends in _split_into_portions(sizes, _SCORED_AT_ONCE):
            logits = self._run(
                [(first + k, texts[k][begin:end]) for k, begin, end in pieces],
                list(range(ends[-1])),
            )
            next_tokens = [
                token for k, begin, end in pieces for token in texts[k][begin + 1 : end + 1]
            ]
            index = torch.tensor(next_tokens, device=logits.device)[:, None]
            values = logits.log_softmax(dim=-1).gather(-1, index)[:, 0].tolist()
            for (k, begin, end), piece_end in zip(pieces, ends, strict=True):
                scores[k] += values[piece_end - (end - begin) : piece_end]
        return scores

    def _run(
        self, pieces: Sequence[tuple[int, Sequence[int]]], keep: Sequence[int]
    ) -> torch.Tensor:
        """Run the model over pieces of texts; return logits [keep, vocabulary]."""
        model, device = self._network.model, self._network.device
        ids = torch.tensor([[token for _, text in pieces for token in text]], device=device)
        kept_tokens = torch.tensor(
            keep
        )  # on the CPU: the logits may be on another device than the input
        spans = [
            TokenSpan(
                slot=slot,
                path=self._paths[slot],
                base=self._bases[slot],
                start=self._bases[slot] + self._lengths[slot],
                n=len(text),
            )
            for slot, text in pieces
        ]
        for slot, text in pieces:
            self._lengths[slot] += len(text)
        self._kv_cache.reserve(len(self), max(self._lengths))
        for slot, finished, n_columns in self._unwritten:
            self._kv_cache.write(slot, finished.layers, n_columns)
        self._unwritten = []
        step = ForwardPass(self._kv_cache, spans)
        out: Any = model(
            input_ids=ids,
            position_ids=torch.tensor([step.positions], device=device),
            use_cache=False,
            logits_to_keep=kept_tokens,
            cotkit_step=step,
        )
        self.windows |= step.windows
        return out.logits[0].float()


_Piece = tuple[int, int, int]  # which text, from which token, to before which


def _split_into_portions(
    sizes: Sequence[int], at_once: int
) -> Iterator[tuple[list[_Piece], list[int]]]:
    """Cut texts into portions of so many tokens; yield pieces and where each ends in them."""
    pieces: list[_Piece] = []
    ends: list[int] = []
    room = at_once
    for text, size in enumerate(sizes):
        begin = 0
        while begin < size:
            n = min(room, size - begin)
            pieces.append((text, begin, begin + n))
            ends.append((ends[-1] if ends else 0) + n)
            begin, room = begin + n, room - n
            if room == 0:
                yield pieces, ends
                pieces, ends, room = [], [], at_once
    if pieces:
        yield pieces, ends


def make_context(network: Network) -> Context | DenseContext:
    """Return an empty context of the kind that the network needs."""
    return Context(network) if network.mode == "packed" else DenseContext(network)


# How much of keys, values and states fits into memory.


_MEMORY_FOR_SEQUENCES = 0.4  # of free memory, for keys and values; growing copies a layer
_MEMORY_FOR_SHARED = 0.2  # of free memory, for the prefix tree
_MEMORY_FOR_FINISHED = 0.05  # of free memory, for texts that a next turn may go on from
_GROUPS_FILE = Path("/proc/self/cgroup")
_GROUPS_FOLDER = Path("/sys/fs/cgroup")


def bytes_for_sequences(network: Network) -> int:
    """Return how many bytes the running sequences may have of their own, all together."""
    return int(_free_bytes(network) * _MEMORY_FOR_SEQUENCES)


def tokens_to_share(network: Network) -> int:
    """Return how many tokens the prefix tree may hold."""
    return int(_free_bytes(network) * _MEMORY_FOR_SHARED) // max(1, network.bytes_per_token)


def tokens_to_keep(network: Network) -> int:
    """Return how many tokens of finished texts may be kept."""
    return int(_free_bytes(network) * _MEMORY_FOR_FINISHED) // max(1, network.bytes_per_token)


def _free_bytes(network: Network) -> int:
    """Return the free memory where keys and values lie: on the cards that hold the model."""
    devices = {parameter.device for parameter in network.model.parameters()}
    cards = [device for device in devices if device.type == "cuda"]
    if cards:  # layers, and so keys and values, are spread evenly
        return min(torch.cuda.mem_get_info(card)[0] for card in cards) * len(cards)
    import psutil

    free: int = psutil.virtual_memory().available
    return max(0, min([free, *_free_bytes_of_groups()]))


def _free_bytes_of_groups() -> Iterator[int]:
    """Yield the free memory of this process's control group and of those around it.

    Pages of files that are neither mapped nor in use count as free: the kernel gives them back.
    """
    try:
        lines = _GROUPS_FILE.read_text().splitlines()
    except OSError:  # not Linux
        return
    for _, controllers, path in (line.split(":", 2) for line in lines):
        if controllers == "":  # version 2
            root, cached = _GROUPS_FOLDER, ("inactive_file", "file_mapped")
            names = "memory.max", "memory.current", cached
        elif "memory" in controllers.split(","):
            root = _GROUPS_FOLDER / "memory"
            cached = "total_inactive_file", "total_mapped_file"
            names = "memory.limit_in_bytes", "memory.usage_in_bytes", cached
        else:
            continue
        group = root / path.removeprefix("/")
        for folder in (group, *group.parents):
            if folder.is_relative_to(root) and (free := _free_bytes_of(folder, *names)) is not None:
                yield free


def _free_bytes_of(group: Path, limit: str, usage: str, cached: tuple[str, str]) -> int | None:
    """Return the free memory of a control group; None: it has no limit, or is not seen here."""
    try:
        most = (group / limit).read_text().strip()
        if most == "max":
            return None
        lines = (group / "memory.stat").read_text().splitlines()
        counts = {name: int(count) for name, count in (line.split() for line in lines)}
        inactive, mapped = (counts.get(name, 0) for name in cached)
        return int(most) - int((group / usage).read_text()) + max(0, inactive - mapped)
    except OSError:
        return None
