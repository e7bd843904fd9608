"""The worker: one thread that takes the rows that wait, forms batches, and survives want of memory.

The thread lives while there is work. All torch work, tokenizing included, happens on it; an event
loop only hands rows in and is handed completions. A batch is formed from what waits when the last
one ends: rows that share the longest prefix and have the same token limit go together.
"""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cotkit.backends.hf._device import Placement
from cotkit.backends.hf._prompt import Prompter
from cotkit.backends.hf._rows import Row, Transcript, first_line, ours
from cotkit.errors import BackendError, PromptTooLongError
from cotkit.types import Notify

_LINGER_S = 0.01  # flows that were just answered ask on within this; small beside any batch

_NO_MEMORY = ("can't allocate memory", "DefaultCPUAllocator", "not enough memory", "out of memory")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What an engine runs."""

    folder: Path
    """A transformers folder."""
    placement: Placement
    """Device and dtype."""
    context_tokens: int | None
    """Context window; None: unknown, so not checked."""
    batch_size: int | None
    """Most rows at once; None: by the memory there is."""


class Engine:
    """Runs rows on a worker thread. Loads the model at the first row."""

    def __init__(self, setup: Setup, prompter: Prompter, notify: Callable[[], Notify]) -> None:
        self._setup = setup
        self._prompter = prompter
        self._notify = notify
        self._lock = threading.Lock()
        self._waiting: list[Row] = []
        self._taken: list[Row] = []
        self._thread: threading.Thread | None = None
        self._limit = setup.batch_size
        self._runner: _Runner | None = None

    def submit(self, rows: Sequence[Row]) -> None:
        """Hand rows in, from any thread."""
        with self._lock:
            self._waiting.extend(rows)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="cotkit-hf")
                self._thread.start()

    def close(self) -> None:
        """Forget the rows that wait, stop at the next token, give the memory back."""
        with self._lock:
            rows, self._waiting, thread = [*self._waiting, *self._taken], [], self._thread
        for row in rows:
            if not row.done:
                row.fail(BackendError("the backend was closed"))
        if thread is not None:
            thread.join()
        self._runner = None

    def _work(self) -> None:
        while rows := self._take_all():
            try:
                self._runner = self._runner or _Runner(self._setup, self._prompter, self._notify())
                left = self._run_some(self._runner, rows)
            except Exception as fault:  # noqa: BLE001 - every fault must reach those who wait
                for row in rows:
                    if not row.done:
                        row.fail(_readable(fault))
                left = []
            with self._lock:
                self._waiting[:0] = left

    def _take_all(self) -> list[Row]:
        """All rows that wait, once no more arrive; the thread ends where there are none."""
        seen = -1
        while True:
            with self._lock:
                self._waiting = [row for row in self._waiting if not row.abandoned]
                if len(self._waiting) == seen:
                    self._taken, self._waiting = self._waiting, []
                    if not self._taken:
                        self._thread = None
                    return self._taken
                seen = len(self._waiting)
            time.sleep(_LINGER_S)

    def _run_some(self, runner: _Runner, rows: list[Row]) -> list[Row]:
        """Run one batch of the rows; returns those that are still to run."""
        fresh: dict[tuple[int, bool], list[Row]] = {}
        for row in rows:
            if not row.prompt:
                fresh.setdefault((id(row.request), row.option is None), []).append(row)
        for group in fresh.values():
            self._render(group, runner)
        ready = [row for row in rows if not row.done]
        if not ready:
            return []
        batch = choose_batch(ready, runner.size(ready, self._limit))
        fault = runner.run(batch)
        if fault is not None:
            self._halve(fault, batch, runner)
        return [row for row in ready if not (row.done or row.abandoned)]

    def _halve(self, fault: Exception, batch: Sequence[Row], runner: _Runner) -> None:
        """After a batch ran out of memory: smaller ones from now on."""
        runner.free()
        unfinished = [row for row in batch if not row.done]
        if len(unfinished) <= 1:
            for row in unfinished:
                row.fail(
                    BackendError(
                        f"out of memory on one request: {first_line(fault)}",
                        hint="use a smaller model, dtype=bfloat16, or a shorter prompt",
                    )
                )
            return
        self._limit = max(1, len(unfinished) // 2)
        self._notify()(f"out of memory: going on with {self._limit} rows at a time")

    def _render(self, rows: Sequence[Row], runner: _Runner) -> None:
        """Tokenize a request for all its rows."""
        request = rows[0].request
        try:
            if rows[0].option is not None:
                runner.split(rows)
            else:
                prompt = self._prompter.tokens(request.messages)
                for row in rows:
                    row.prompt = prompt
                    row.transcript = Transcript(self._prompter.text, request.decoding)
                    runner.seed(row)
            for row in rows:
                _check_length(row, self._setup.context_tokens)
        except BackendError as refused:
            for row in rows:
                row.fail(refused)


class _Runner:
    """The loaded model at work; the only part of the engine that touches torch."""

    def __init__(self, setup: Setup, prompter: Prompter, notify: Notify) -> None:
        from cotkit.backends.hf import _load
        from cotkit.backends.hf._prefix import Prefixes

        self._network = _load.load_network(setup.folder, setup.placement, notify)
        self._prompter = prompter
        self._end_ids = _load.end_ids(self._network, prompter.tokenizer)
        self._prefixes = Prefixes(self._network)

    def run(self, batch: Sequence[Row]) -> Exception | None:
        """Run a batch to its end; returns the fault if memory ran out, raises any other."""
        import torch

        from cotkit.backends.hf._decode import run_batch
        from cotkit.backends.hf._likelihood import score_batch

        try:
            with torch.inference_mode():
                if batch[0].option_tokens:
                    score_batch(self._network, batch, self._prefixes)
                    return None
                run_batch(self._network, batch, self._prefixes, self._end_ids)
        except (MemoryError, RuntimeError) as fault:
            told = str(fault)
            if not isinstance(fault, MemoryError) and not any(s in told for s in _NO_MEMORY):
                raise
            return fault.with_traceback(None)  # the frames hold the tensors
        return None

    def size(self, rows: Sequence[Row], limit: int | None) -> int:
        """How many rows at once: the limit, or what fits by the longest; 1 if none may share."""
        from cotkit.backends.hf._memory import affordable_rows

        if limit is not None and self._network.batchable:
            return limit
        n_tokens = max(len(row.prompt) + row.n_ahead for row in rows)
        return affordable_rows(self._network, n_tokens)

    def split(self, rows: Sequence[Row]) -> None:
        """Give the rows of a request with options their tokens."""
        from cotkit.backends.hf._likelihood import split

        both = split(self._prompter, rows[0].request)
        for row in rows:
            assert row.option is not None
            row.prompt, row.option_tokens = both.prompt, both.options[row.option]

    def seed(self, row: Row) -> None:
        """Give a sampled row its own random numbers."""
        import torch

        if row.request.decoding.temperature > 0:
            row.generator = torch.Generator().manual_seed(row.seed)

    def free(self) -> None:
        """Give back what is not needed to go on."""
        import torch

        self._prefixes.clear()
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def choose_batch(rows: Sequence[Row], size: int) -> list[Row]:
    """Up to ``size`` rows that go well with the one that has waited longest.

    Rows with the same token limit first, then by the prefix shared with it. Where the best of them
    share a long prefix, rows that would break it are left for a later batch. Scoring does not go
    with generating, and the options of a prompt stay together unless they are more than ``size``.
    """
    from cotkit.backends.hf._prefix import overlap

    first = rows[0]
    rows = [row for row in rows if bool(row.option_tokens) == bool(first.option_tokens)]
    shared = {id(row): overlap(row.prompt, first.prompt) for row in rows}
    others = [shared[id(row)] for row in rows if row.prompt != first.prompt]
    best = max(others, default=0)
    least = best // 2 if best >= 64 else 0  # tokens; a shorter prefix is cheaper than a batch
    limit = first.request.decoding.max_tokens
    fitting = [row for row in rows if shared[id(row)] >= least]
    fitting.sort(key=lambda r: (r.request.decoding.max_tokens != limit, -shared[id(r)]))
    batch, left = fitting[: max(1, size)], fitting[max(1, size) :]
    if first.option_tokens and left:
        return [row for row in batch if row.prompt != left[0].prompt] or batch
    return batch


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


def _readable(fault: Exception) -> Exception:
    return fault if ours(fault) else BackendError(f"the model failed: {first_line(fault)}")
