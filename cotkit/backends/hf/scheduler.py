"""Which rows run when: rows leave when they are done, and those that wait take their places.

The rows expected to run longest go first, so that none of them is left running alone at the end;
among equals, those that share what they begin with, then those that came first.
"""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable, Sequence

import torch

from cotkit.backends.hf import loading
from cotkit.backends.hf.batch import Batch
from cotkit.backends.hf.forward import tokens_for_rows, tokens_to_share
from cotkit.backends.hf.likelihood import score_batch, split_options
from cotkit.backends.hf.prefix_tree import PrefixTree
from cotkit.backends.hf.prompt import Prompter
from cotkit.backends.hf.sequence import Row, Transcript, first_line
from cotkit.backends.hf.source import EngineConfig
from cotkit.errors import BackendError, PromptTooLongError
from cotkit.types import Notify

_MOST_ROWS = {"cpu": 32, "cuda": 128}
_JOIN_SHARE = 8  # places join once an eighth is free: each joining is a pass of its own
_NO_MEMORY = ("can't allocate memory", "DefaultCPUAllocator", "not enough memory", "out of memory")


class Scheduler:
    """The loaded model and all rows that it has yet to finish. For one thread."""

    def __init__(
        self, setup: EngineConfig, prompter: Prompter, notify: Callable[[], Notify]
    ) -> None:
        self._setup = setup
        self._prompter = prompter
        self._notify = notify
        self._network = loading.load_network(setup.folder, setup.placement, notify())
        self._end_ids = loading.end_ids(self._network, prompter.tokenizer)
        self._tree = PrefixTree(tokens_to_share(self._network))
        self._batch = Batch(self._network, self._tree, self._end_ids)
        self._limit = setup.batch_size or _MOST_ROWS.get(self._network.device.type, 32)
        self._budget = 0
        self._waiting: list[Row] = []
        self._groups: dict[int, int] = {}  # hash of what they begin with -> first to come
        self._arrivals = itertools.count()

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not (self._waiting or self._batch.rows)

    def status(self) -> str:
        """How far it is, in words; may be asked from any thread."""
        rows = list(self._batch.rows)
        n_tokens = sum(len(row.out) for row in rows)
        return f"{len(rows)} at work ({n_tokens:,} tokens so far), {len(self._waiting)} waiting"

    def add(self, rows: Sequence[Row]) -> None:
        """Tokenize new rows and put them where they belong among those that wait."""
        by_request: dict[tuple[int, bool], list[Row]] = {}
        for row in rows:
            by_request.setdefault((id(row.request), row.option is None), []).append(row)
        for group in by_request.values():
            self._render(group)
        ready = [row for row in rows if not row.done]
        if self._network.packable:
            self._tree.plan(ready)
        for row in ready:
            number = next(self._arrivals)
            begin = hash(row.prompt[: row.cuts[0]] if row.cuts else row.prompt)
            row.order = (
                -row.request.decoding.max_tokens,
                self._groups.setdefault(begin, number),
                number,
            )
        self._waiting = sorted((*self._waiting, *ready), key=lambda row: row.order)

    def advance(self) -> None:
        """Score some options if any wait, let rows join if there are places, and do a step."""
        self._waiting = [row for row in self._waiting if not row.over]
        options = [row for row in self._waiting if row.option_tokens]
        texts = [row for row in self._waiting if not row.option_tokens]
        with torch.inference_mode():
            if options:
                scored = self._places(options, [], tokens_for_rows(self._network))
                self._try(scored, lambda: score_batch(self._network, scored, self._tree))
            if texts:
                if not self._batch.rows:
                    self._budget = tokens_for_rows(self._network)
                joining = self._places(texts, self._batch.rows, self._budget)
                if joining:
                    self._try(joining, lambda: self._batch.join(joining))
            if self._batch.rows:
                self._try([], self._batch.step)

    def clear(self) -> None:
        """Forget all rows, and what they shared."""
        self._waiting = []
        self._free()

    def _places(self, rows: Sequence[Row], running: Sequence[Row], budget: int) -> list[Row]:
        """Those of the rows that may run now, beside the running ones: one at least if none do."""
        limit = self._limit if self._network.packable else 1
        if len(running) > limit - max(1, limit // _JOIN_SHARE):
            return []
        longest = max((row.n_own for row in running), default=0)
        n = len(running)
        for row in rows:
            longest = max(longest, row.n_own)
            if n == limit or (n and (n + 1) * longest > budget):
                break
            n += 1
        return list(rows[: n - len(running)])

    def _try(self, taken: list[Row], work: Callable[[], None]) -> None:
        """Do it with rows taken from those that wait; if memory runs out, with fewer later."""
        gone = set(map(id, taken))
        self._waiting = [row for row in self._waiting if id(row) not in gone]
        try:
            work()
        except (MemoryError, RuntimeError) as fault:
            told = str(fault)
            if not isinstance(fault, MemoryError) and not any(s in told for s in _NO_MEMORY):
                raise
            message = first_line(fault)
        else:
            return
        rows = dict.fromkeys((*self._batch.rows, *taken))
        left = [row for row in rows if not row.done]
        self._free()  # here, where the frames that held tensors are gone
        if len(left) == 1:
            hint = "use a smaller model, dtype=bfloat16, or a shorter prompt"
            left.pop().fail(BackendError(f"out of memory on one request: {message}", hint=hint))
        elif left:
            self._limit = len(left) // 2
            self._waiting = sorted((*self._waiting, *left), key=lambda row: row.order)
            self._notify()(f"out of memory: going on with {self._limit} rows at a time")

    def _free(self) -> None:
        self._tree.clear()
        self._batch = Batch(self._network, self._tree, self._end_ids)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _render(self, rows: Sequence[Row]) -> None:
        """Tokenize a request for all its rows."""
        request = rows[0].request
        try:
            if rows[0].option is not None:
                both = split_options(self._prompter, request)
                for row in rows:
                    assert row.option is not None
                    row.prompt, row.option_tokens = both.prompt, both.options[row.option]
            else:
                prompt = self._prompter.tokens(request.messages)
                for row in rows:
                    row.prompt = prompt
                    row.transcript = Transcript(self._prompter.text, request.decoding)
                    if request.decoding.temperature > 0:
                        row.generator = torch.Generator().manual_seed(row.seed)
            for row in rows:
                _check_length(row, self._setup.context_tokens)
        except BackendError as refused:
            for row in rows:
                row.fail(refused)


def _check_length(row: Row, window: int | None) -> None:
    n_prompt, n_ahead = len(row.prompt), row.n_ahead
    if n_prompt == 0:
        raise BackendError("the prompt has no tokens", hint="a raw-text model needs some text")
    if window is not None and n_prompt + n_ahead > window:
        doing = "score" if row.option_tokens else "generate"
        raise PromptTooLongError(
            f"the prompt has {n_prompt} tokens; with {n_ahead} to {doing} it exceeds the "
            f"context window of {window}",
            hint="use fewer exemplars (--num-fewshot) or a smaller --max-tokens",
        )
