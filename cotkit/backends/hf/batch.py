"""The running batch: a step gives each sequence a token; sequences join and leave at any step.

Accounting: prompt tokens are counted for the sequence they are computed for; a shared node is
charged to the first sequence that needs it, and of equal prompts that join together the first is
charged; one that goes on from a finished text is charged what it adds. Wall time is split at every
step over the tokens computed in it, so that sequences that run longer are charged more.
"""

from __future__ import annotations

import time
from collections import abc
from dataclasses import dataclass

import torch

from cotkit.backends.hf.dense import DenseContext
from cotkit.backends.hf.finished_texts import FinishedTexts
from cotkit.backends.hf.forward import Context, Network, make_context
from cotkit.backends.hf.prefix_tree import SHORTEST_NODE, Node, PrefixTree
from cotkit.backends.hf.sequence import Sequence
from cotkit.errors import BackendError

_NO_MEMORY = ("can't allocate memory", "DefaultCPUAllocator", "not enough memory", "out of memory")


def is_out_of_memory(fault: Exception) -> bool:
    """Return whether a device, or this machine, had no memory for a tensor."""
    return isinstance(fault, MemoryError) or any(text in str(fault) for text in _NO_MEMORY)


class TimeSplitter:
    """A clock whose time is split over sequences."""

    def __init__(self) -> None:
        self._since = time.perf_counter()

    def split(self, sequences: abc.Sequence[Sequence], weights: abc.Sequence[int]) -> None:
        """Charge each sequence by its weight, the tokens computed for it."""
        now = time.perf_counter()
        total = sum(weights)
        for sequence, weight in zip(sequences, weights, strict=True):
            sequence.seconds += (now - self._since) * weight / total
        self._since = now


class Batch:
    """The running sequences. After a fault they keep their tokens and can join another batch."""

    def __init__(
        self,
        network: Network,
        tree: PrefixTree,
        finished: FinishedTexts,
        end_ids: frozenset[int],
    ) -> None:
        self._network = network
        self._tree = tree
        self._finished = finished
        self._end_ids = end_ids
        self._context = make_context(network)
        self.sequences: list[Sequence] = []

    def join(self, sequences: abc.Sequence[Sequence]) -> None:
        """Read the prompts of new sequences and choose their first tokens."""
        clock, first = TimeSplitter(), len(self.sequences)
        self.sequences.extend(sequences)  # a fault finds them here
        prefill = read_prompts(self._network, self._context, sequences, self._tree)
        self.sequences[first:] = prefill.sequences
        for prompt in prefill.prompt_of[len(prefill.logits) :]:
            self._context.add_copy(first + prompt)
        self._append_tokens(first, prefill.logits[prefill.prompt_of], clock, prefill.n_computed)

    def step(self) -> None:
        """Choose one more token for every sequence."""
        clock = TimeSplitter()
        logits = self._context.forward([sequence.output[-1:] for sequence in self.sequences])
        self._append_tokens(0, logits, clock, [1] * len(self.sequences))

    def _append_tokens(
        self, first: int, logits: torch.Tensor, clock: TimeSplitter, weights: list[int]
    ) -> None:
        """Append a token to each sequence from ``first`` on; those that are finished leave."""
        sequences = self.sequences[first:]
        chosen = choose_tokens(logits, sequences)
        broken = logits.isnan().any(dim=-1).tolist()
        clock.split(sequences, weights)
        ended: list[int] = []
        rows = zip(sequences, chosen, broken, strict=True)
        for slot, (sequence, token, is_broken) in enumerate(rows, first):
            if sequence.is_over:
                continue
            if is_broken:
                sequence.fail(nan_error(self._network))
                continue
            sequence.append_token(token, self._end_ids)
            if sequence.is_done:
                ended.append(slot)
        self._keep(ended)
        for i in reversed(range(len(self.sequences))):
            if self.sequences[i].is_over:
                self._context.drop(i)
                self.sequences[i] = self.sequences[-1]
                self.sequences.pop()
        if not self.sequences:
            self._context = make_context(self._network)  # as short as its next sequences

    def _keep(self, slots: abc.Sequence[int]) -> None:
        """Keep the texts of sequences that have just ended, for those that go on from them."""
        context = self._context
        if not isinstance(context, Context):
            return
        for slot in slots:
            tokens, n_prompt = self.sequences[slot].tokens, len(self.sequences[slot].prompt)
            is_beyond = self._network.is_beyond(len(tokens))
            if is_beyond or not self._finished.has_room(context.n_own(slot)):
                continue
            try:
                self._finished.add(context.copy_text(slot, tokens, n_prompt))
            except (MemoryError, RuntimeError) as fault:
                if not is_out_of_memory(fault):
                    raise
                self._finished.clear()  # the next turn is read whole
                return


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefillResult:
    """Prompts that were read, each distinct one into a slot of a context."""

    sequences: list[Sequence]
    """Those of distinct prompts first, in the order of the context's slots."""
    logits: torch.Tensor
    """After each distinct prompt, [prompts, vocabulary]."""
    prompt_of: list[int]
    """For each sequence, which of the prompts is its own."""
    n_computed: list[int]
    """For each sequence, how many tokens were computed for it now."""


def read_prompts(
    network: Network,
    context: Context | DenseContext,
    sequences: abc.Sequence[Sequence],
    tree: PrefixTree,
) -> PrefillResult:
    """Read each distinct prompt into a new slot of the context."""
    by_prompt: dict[tuple[int, ...], list[Sequence]] = {}
    for sequence in sequences:
        by_prompt.setdefault(sequence.tokens, []).append(sequence)
    first = len(context)
    n_computed: list[int] = []
    unread: list[tuple[int, ...]] = []
    for text, (charged, *twins) in by_prompt.items():
        finished, n_new = charged.goes_on_from, 0
        if finished is not None and isinstance(context, Context):
            n_read = finished.n_common(text)
            context.add_continuing(finished, n_read)
        else:
            path, n_new = _extend_path(network, text, charged.cuts, tree)
            context.add(path)
            n_read = path[-1].end if path else 0
        for sequence in (charged, *twins):
            sequence.goes_on_from = None
        unread.append(text[n_read:])
        n_computed.append(n_new + len(unread[-1]))
    logits = context.forward(unread, first)
    ordered = [group[0] for group in by_prompt.values()]
    prompt_of = list(range(len(by_prompt)))
    for i, (_, *twins) in enumerate(by_prompt.values()):
        ordered += twins
        prompt_of += [i] * len(twins)
    n_computed += [0] * (len(sequences) - len(by_prompt))
    for sequence, n in zip(ordered, n_computed, strict=True):
        if not sequence.prefilled:
            sequence.n_computed, sequence.prefilled = n, True
    return PrefillResult(
        sequences=ordered, logits=logits, prompt_of=prompt_of, n_computed=n_computed
    )


def _extend_path(
    network: Network, text: tuple[int, ...], cuts: abc.Sequence[int], tree: PrefixTree
) -> tuple[list[Node], int]:
    """Return the nodes that a text begins with, and how many tokens were computed for new ones."""
    path, n_new = tree.match(text, cuts), 0
    for cut in cuts:
        begin = path[-1].end if path else 0
        if cut - begin < SHORTEST_NODE:
            continue
        alone = make_context(network)
        alone.add(path)
        alone.forward([text[begin:cut]])
        path.append(tree.insert(path, text[begin:cut], alone.layers(0)))
        n_new += cut - begin
    return path, n_new


def nan_error(network: Network) -> BackendError:
    """Return the error of a sequence whose logits are NaN."""
    dtype = str(network.model.dtype).removeprefix("torch.")
    return BackendError(
        f"the model's output is not a number in {dtype}",
        hint="use dtype=float32" if dtype != "float32" else "the weights may be damaged",
    )


# Sampling: the likeliest token, or a seeded draw by the inverse distribution.
#
# A draw takes one uniform number from the sequence's own generator and looks it up in the
# cumulative distribution, so its outcome depends on the seed and logits of that sequence
# and on no other. Order of the filters as in transformers: temperature, top-k, top-p.

_FEW = 1024  # candidates looked at first: hardly ever does a nucleus hold more


def choose_tokens(logits: torch.Tensor, sequences: abc.Sequence[Sequence]) -> list[int]:
    """Return the next token of each sequence from logits of shape [sequences, vocabulary]."""
    if any(sequence.processors for sequence in sequences):
        logits = torch.cat([_process(*pair) for pair in zip(logits, sequences, strict=True)])
    chosen = logits.argmax(dim=-1)
    filtered = [_filters(sequence) for sequence in sequences]
    for is_filtered in (False, True):
        rows = [
            i
            for i, sequence in enumerate(sequences)
            if sequence.generator is not None and filtered[i] is is_filtered
        ]
        if rows:
            drawn = _sample_tokens(
                logits[rows], [sequences[i] for i in rows], is_filtered=is_filtered
            )
            chosen[rows] = drawn
    return chosen.tolist()


def _process(logits: torch.Tensor, sequence: Sequence) -> torch.Tensor:
    """Apply the generation config to the logits of one sequence, [vocabulary]; return [1, same]."""
    ids, scores = torch.tensor([sequence.tokens], device=logits.device), logits[None].clone()
    for processor in sequence.processors:
        scores = processor(ids, scores)
    return scores


def _filters(sequence: Sequence) -> bool:
    decoding = sequence.request.decoding
    return bool(decoding.top_k) or decoding.top_p < 1


def _sample_tokens(
    logits: torch.Tensor, sequences: abc.Sequence[Sequence], *, is_filtered: bool
) -> torch.Tensor:
    """Draw a token for each row of logits [sequences, vocabulary]."""
    device, decodings = logits.device, [sequence.request.decoding for sequence in sequences]
    temperatures = torch.tensor([each.temperature for each in decodings], device=device)
    probabilities = torch.softmax(logits.float() / temperatures[:, None], dim=-1)
    order = None
    if is_filtered:
        n_words = logits.shape[-1]
        top_k = torch.tensor([each.top_k or n_words for each in decodings], device=device)
        top_p = torch.tensor([each.top_p for each in decodings], device=device)
        probabilities, order = _likeliest(probabilities, top_k, top_p)
    mass = probabilities.cumsum(-1)
    uniform = [torch.rand(1, generator=sequence.generator) for sequence in sequences]
    drawn = torch.stack(uniform).to(device) * mass[:, -1:]
    # right=True never lands on a token of probability 0; the clamp is for rounding at the end
    index = torch.searchsorted(mass, drawn, right=True).clamp(max=mass.shape[-1] - 1)
    return (index if order is None else order.gather(-1, index))[:, 0]


def _likeliest(
    probabilities: torch.Tensor, top_k: torch.Tensor, top_p: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the tokens that the filters leave, likeliest first, and which they are: [rows, n].

    Sorting all words costs most of a step, so few are looked at first. They suffice where the
    filters end among those that are likelier than the last of them: equals of that one may be
    missing.
    """
    n_words, n = probabilities.shape[-1], _FEW
    while True:
        if n < n_words:
            values, order = probabilities.topk(n, dim=-1)
            order, by_word = order.sort(dim=-1)
            values, by_value = values.gather(-1, by_word).sort(dim=-1, descending=True, stable=True)
            order = order.gather(-1, by_value)
        else:
            values, order = probabilities.sort(dim=-1, descending=True, stable=True)
        ranks = torch.arange(values.shape[-1], device=values.device)
        in_top_k = values.masked_fill(ranks >= top_k[:, None], 0)
        # without top-k the mass is that of all words, whether looked at or not
        mass = torch.where(top_k < n_words, in_top_k.sum(-1), probabilities.sum(-1))[:, None]
        share = in_top_k / mass
        # the nucleus: every token before which less than top_p of the mass has passed
        in_nucleus = share.cumsum(-1) - share < top_p[:, None]
        if n >= n_words:
            return in_top_k * in_nucleus, order
        is_last = (values == values[:, -1:]) & in_nucleus & (in_top_k > 0)
        if not bool(is_last.any()):
            return in_top_k * in_nucleus, order
        n *= 8
