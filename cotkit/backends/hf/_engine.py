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
        for row in rows:
            if not row.prompt:
                self._render(row, runner)
        ready = [row for row in rows if not row.done]
        if not ready:
            return []
        batch = choose_batch(ready, self._limit or runner.affordable(ready))
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

    def _render(self, row: Row, runner: _Runner) -> None:
        try:
            prompt = self._prompter.tokens(row.request.messages)
            _check_length(len(prompt), row.request.decoding.max_tokens, self._setup.context_tokens)
        except BackendError as refused:
            row.fail(refused)
            return
        row.prompt = prompt
        row.transcript = Transcript(self._prompter.text, row.request.decoding)
        runner.seed(row)


class _Runner:
    """The loaded model at work; the only part of the engine that touches torch."""

    def __init__(self, setup: Setup, prompter: Prompter, notify: Notify) -> None:
        from cotkit.backends.hf import _load
        from cotkit.backends.hf._prefix import Prefixes

        self._network = _load.load_network(setup.folder, setup.placement, notify)
        self._end_ids = _load.end_ids(self._network, prompter.tokenizer)
        self._prefixes = Prefixes(self._network)

    def run(self, batch: Sequence[Row]) -> Exception | None:
        """Run a batch to its end; returns the fault if memory ran out, raises any other."""
        import torch

        from cotkit.backends.hf._decode import run_batch

        try:
            with torch.inference_mode():
                run_batch(self._network, batch, self._prefixes, self._end_ids)
        except (MemoryError, RuntimeError) as fault:
            told = str(fault)
            if not isinstance(fault, MemoryError) and not any(s in told for s in _NO_MEMORY):
                raise
            return fault.with_traceback(None)  # the frames hold the tensors
        return None

    def affordable(self, rows: Sequence[Row]) -> int:
        """How many rows fit, by the longest of them."""
        from cotkit.backends.hf._memory import affordable_rows

        n_tokens = max(len(row.prompt) + row.request.decoding.max_tokens for row in rows)
        return affordable_rows(self._network, n_tokens)

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
    share a long prefix, rows that would break it are left for a later batch.
    """
    from cotkit.backends.hf._prefix import overlap

    first = rows[0]
    shared = {id(row): overlap(row.prompt, first.prompt) for row in rows}
    others = [shared[id(row)] for row in rows if row.prompt != first.prompt]
    best = max(others, default=0)
    least = best // 2 if best >= 64 else 0  # tokens; a shorter prefix is cheaper than a batch
    limit = first.request.decoding.max_tokens
    fitting = [row for row in rows if shared[id(row)] >= least]
    fitting.sort(key=lambda r: (r.request.decoding.max_tokens != limit, -shared[id(r)]))
    return fitting[: max(1, size)]


def _check_length(n_prompt: int, max_tokens: int, window: int | None) -> None:
    if n_prompt == 0:
        raise BackendError("the prompt has no tokens", hint="a raw-text model needs some text")
    if window is not None and n_prompt + max_tokens > window:
        raise PromptTooLongError(
            f"the prompt has {n_prompt} tokens; with {max_tokens} to generate it exceeds the "
            f"context window of {window}",
            hint="use fewer exemplars (--num-fewshot) or a smaller --max-tokens",
        )


def _readable(fault: Exception) -> Exception:
    return fault if ours(fault) else BackendError(f"the model failed: {first_line(fault)}")
