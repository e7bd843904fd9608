"""Which sequences run when: the finished leave the batch, and waiting ones are admitted to it.

Those that go on from a text just finished go first, for it takes memory until then; then those that
are expected to run longest, so that none of them is left running alone at the end; among equals,
those that share their first node, then those that came first.
"""

from __future__ import annotations

import gc
import itertools
from collections import Counter, abc
from collections.abc import Callable
from dataclasses import replace

import torch

from cotkit.backends.hf import loading
from cotkit.backends.hf.batch import Batch, is_out_of_memory
from cotkit.backends.hf.finished_texts import FinishedTexts
from cotkit.backends.hf.forward import bytes_for_sequences, tokens_to_keep, tokens_to_share
from cotkit.backends.hf.generation_config import make_processors
from cotkit.backends.hf.likelihood import score_batch, split_options
from cotkit.backends.hf.prefix_tree import PrefixTree
from cotkit.backends.hf.prompt import Prompter
from cotkit.backends.hf.sequence import Sequence, Transcript, first_line
from cotkit.backends.hf.source import EngineConfig
from cotkit.errors import BackendError, PromptTooLongError
from cotkit.types import Notify

_MAX_SEQUENCES = {"cpu": 32, "cuda": 128}
_JOIN_SHARE = 8  # sequences join once an eighth of the places is free: each joining is a prefill


class Scheduler:
    """The loaded model and all its unfinished sequences, waiting or running. For one thread."""

    def __init__(
        self, config: EngineConfig, prompter: Prompter, notify: Callable[[], Notify]
    ) -> None:
        self._config = config
        self._prompter = prompter
        self._notify = notify
        self._network = loading.load_network(
            config.folder, config.placement, notify(), config.options
        )
        self._end_ids = loading.end_ids(self._network, prompter.tokenizer, config.end_texts)
        is_packed = self._network.mode == "packed"
        self._tree = PrefixTree(tokens_to_share(self._network), splits=is_packed)
        self._finished = FinishedTexts(tokens_to_keep(self._network))
        self._batch = Batch(self._network, self._tree, self._finished, self._end_ids)
        self._limit = config.batch_size or _MAX_SEQUENCES.get(self._network.device.type, 32)
        self._budget = 0
        self._waiting: list[Sequence] = []
        self._groups: dict[int, int] = {}  # hash of a first node -> number of its first sequence
        self._arrivals = itertools.count()

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to do."""
        return not (self._waiting or self._batch.sequences)

    def status(self) -> str:
        """Describe the progress in words; safe from any thread."""
        running = list(self._batch.sequences)
        n_tokens = sum(len(sequence.output) for sequence in running)
        return f"{len(running)} at work ({n_tokens:,} tokens so far), {len(self._waiting)} waiting"

    def add(self, sequences: abc.Sequence[Sequence]) -> None:
        """Tokenize new sequences and sort them in among those that wait."""
        by_request: dict[tuple[int, bool], list[Sequence]] = {}
        for sequence in sequences:
            key = id(sequence.request), sequence.option is None
            by_request.setdefault(key, []).append(sequence)
        for group in by_request.values():
            self._tokenize(group)
        ready = [sequence for sequence in sequences if not sequence.is_done]
        within = [each for each in ready if not self._network.is_beyond(each.n_most)]
        n_equal = Counter(sequence.tokens for sequence in within)
        for sequence in within:
            if n_equal[sequence.tokens] == 1 and (text := self._finished.find(sequence.tokens)):
                sequence.goes_on_from = text
                sequence.cuts = tuple(node.end for node in text.path)
        if self._network.shares:
            self._tree.plan([sequence for sequence in within if sequence.goes_on_from is None])
        for sequence in ready:
            number, prompt = next(self._arrivals), sequence.prompt
            first_node = hash(prompt[: sequence.cuts[0]] if sequence.cuts else prompt)
            sequence.order = (
                sequence.goes_on_from is None,  # others hold a text until they join
                -sequence.request.decoding.max_tokens - sequence.thinking_room,
                self._groups.setdefault(first_node, number),
                number,
            )
        self._wait(ready)

    def advance(self) -> None:
        """Score some options if any wait, admit sequences if there are places, and do a step."""
        self._finished.begin_step()
        self._waiting = [sequence for sequence in self._waiting if not sequence.is_over]
        options = [sequence for sequence in self._waiting if sequence.option_tokens]
        texts = [sequence for sequence in self._waiting if not sequence.option_tokens]
        with torch.inference_mode():
            if options:
                scored = self._admit(options, [], bytes_for_sequences(self._network))
                self._run(scored, lambda: score_batch(self._network, scored, self._tree))
            if texts:
                if not self._batch.sequences:
                    self._budget = bytes_for_sequences(self._network)
                joining = self._admit(texts, self._batch.sequences, self._budget)
                if joining:
                    self._run(joining, lambda: self._batch.join(joining))
            if self._batch.sequences:
                self._run([], self._batch.step)

    def clear(self) -> None:
        """Forget all sequences, and the prefixes that they shared."""
        self._waiting = []
        self._free()

    def _wait(self, sequences: abc.Sequence[Sequence]) -> None:
        self._waiting = sorted((*self._waiting, *sequences), key=lambda sequence: sequence.order)

    def _admit(
        self, waiting: abc.Sequence[Sequence], running: abc.Sequence[Sequence], budget: int
    ) -> list[Sequence]:
        """Return the first of the waiting that fit beside the running: one at least if none run.

        ``budget``: how many bytes all of them together may have beyond what they share.
        """
        network = self._network
        limit = 1 if network.mode == "alone" else self._limit
        if len(running) > limit - max(1, limit // _JOIN_SHARE):
            return []
        longest, n = max(map(self._n_bytes, running), default=0), len(running)
        is_long = any(network.is_beyond(sequence.n_most) for sequence in running)
        for sequence in waiting:
            longest = max(longest, self._n_bytes(sequence))
            if n == limit or (n and (n + 1) * longest > budget):
                break
            is_long = is_long or network.is_beyond(sequence.n_most)
            if n and is_long:
                break
            n += 1
        return list(waiting[: n - len(running)])

    def _n_bytes(self, sequence: Sequence) -> int:
        """Return the most bytes that a sequence may need of its own."""
        network = self._network
        n_tokens = sequence.n_own if network.mode == "packed" else sequence.n_most
        return n_tokens * network.bytes_per_token + network.bytes_per_row

    def _run(self, admitted: list[Sequence], work: Callable[[], None]) -> None:
        """Do the work on admitted sequences; if memory runs out, put them back and admit fewer."""
        admitted_ids = set(map(id, admitted))
        self._waiting = [sequence for sequence in self._waiting if id(sequence) not in admitted_ids]
        try:
            work()
        except (MemoryError, RuntimeError) as fault:
            if not is_out_of_memory(fault):
                raise
            message = first_line(fault)
        else:
            return
        sequences = dict.fromkeys((*self._batch.sequences, *admitted))
        unfinished = [sequence for sequence in sequences if not sequence.is_done]
        for sequence in (*unfinished, *self._waiting):
            sequence.goes_on_from = None
        self._free()  # here, where the frames that held tensors are gone
        if len(unfinished) == 1:
            hint = "use a smaller model, dtype=bfloat16, or a shorter prompt"
            error = BackendError(f"out of memory on one request: {message}", hint=hint)
            unfinished[0].fail(error)
        elif unfinished:
            self._limit = len(unfinished) // 2
            self._wait(unfinished)
            self._notify()(f"out of memory: going on with {self._limit} rows at a time")

    def _free(self) -> None:
        self._tree.clear()
        self._finished.clear()
        self._batch = Batch(self._network, self._tree, self._finished, self._end_ids)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _tokenize(self, sequences: abc.Sequence[Sequence]) -> None:
        """Tokenize the prompt of a request for all its sequences."""
        request = sequences[0].request
        try:
            if sequences[0].option is not None:
                split = split_options(self._prompter, request)
                for sequence in sequences:
                    assert sequence.option is not None
                    sequence.prompt = split.prompt
                    sequence.option_tokens = split.options[sequence.option]
            else:
                prompt = self._prompter.tokens(request)
                settings = self._config.logits_settings
                stops = (*request.decoding.stop, *settings.get("stop_strings", ()))
                decoding = replace(request.decoding, stop=stops)
                processors = make_processors(settings, prompt, self._end_ids) if settings else []
                opened = self._prompter.is_in_reasoning(request)
                window = self._config.context_tokens
                steering = self._prompter.steering(request)
                n_fixed = len(prompt) + (steering.n_tokens if steering else 0)
                room = self._prompter.thinking_room(request, n_fixed, window)
                for sequence in sequences:
                    sequence.prompt, sequence.processors = prompt, processors
                    sequence.steering = replace(steering) if steering else None
                    sequence.thinking_room = room
                    sequence.transcript = Transcript(
                        self._prompter.text,
                        decoding,
                        opened=opened,
                        message_end=self._prompter.message_end,
                    )
                    if request.decoding.temperature > 0:
                        sequence.generator = torch.Generator().manual_seed(sequence.seed)
            for sequence in sequences:
                _check_length(sequence, self._config.context_tokens)
        except BackendError as refused:
            for sequence in sequences:
                sequence.fail(refused)


def _check_length(sequence: Sequence, window: int | None) -> None:
    n_prompt, n_ahead = len(sequence.prompt), sequence.n_ahead
    if n_prompt == 0:
        raise BackendError("the prompt has no tokens", hint="a raw-text model needs some text")
    if window is not None and n_prompt + n_ahead > window:
        task = "score" if sequence.option_tokens else "generate"
        refused = PromptTooLongError(
            f"the prompt has {n_prompt} tokens; with {n_ahead} to {task} it exceeds the "
            f"context window of {window}",
            hint="use fewer exemplars (--num-fewshot) or a smaller --max-tokens",
        )
        refused.is_permanent = True  # other prompts, of another arm or problem, may fit
        raise refused
