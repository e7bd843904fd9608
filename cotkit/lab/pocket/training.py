"""Train one model of the family, from the beginning or from where a kill left it.

A step is a function of the state before it, the recipe and the step's number, so a resumed training
gives the weights of an unbroken one: on a CPU bit by bit, with the same number of threads.
"""

from __future__ import annotations

import json
import math
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cotkit.errors import BackendError, InterruptedRunError
from cotkit.lab import checkpoint
from cotkit.lab.device import accelerator, memory_watched
from cotkit.lab.interrupt import deferred
from cotkit.lab.pocket import network as net
from cotkit.lab.pocket.recipe import Recipe, Size
from cotkit.lab.pocket.texts import batch
from cotkit.lab.pocket.vocabulary import tokenizer
from cotkit.lab.progress import LOSS_EVERY, Progress

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator
    from transformers import LlamaForCausalLM


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One model to train and where it goes."""

    recipe: Recipe
    """How."""
    size: Size
    """Which network."""
    seed: int
    """Of first weights and data."""
    out: Path
    """Folder of the family."""

    @property
    def name(self) -> str:
        """``pocket-7k-seed1``."""
        return f"pocket-{self.size.name}-seed{self.seed}"

    @property
    def folder(self) -> Path:
        """Where the model lies, complete or begun."""
        return self.out / self.name

    @property
    def fingerprint(self) -> str:
        """Of everything that makes its weights: 64 hex digits."""
        return self.recipe.fingerprint(self.size, self.seed)


@dataclass(kw_only=True)
class _State:
    """What a checkpoint holds, live."""

    step: int = 0
    """Steps done."""
    seconds: float = 0.0
    """Wall time of them, over all processes."""
    losses: list[float]
    """One for each step done."""


End = Literal["trained", "was there", "another process is at it"]


def train(
    job: Job, accelerator: Accelerator, *, save_every: int, report: Callable[[Progress], None]
) -> End:
    """Train until the weights lie in the job's folder, and say how that came about.

    Raises:
        UsageError: the folder holds a model of another recipe.
        BackendError: memory does not suffice, or the loss is no number any more.
        InterruptedRunError: Ctrl-C; the checkpoint was saved.
    """
    device = str(accelerator.device)
    with checkpoint.claimed(job.folder) as is_ours:
        if not is_ours:
            return "another process is at it"
        parts = {"recipe": job.recipe, "size": job.size, "seed": job.seed}
        checkpoint.begin(job.folder, job.fingerprint, parts)
        if checkpoint.is_done(job.folder):
            return "was there"
        with memory_watched(job.name, job.size.n_bytes(job.recipe), device), deferred() as stopped:
            _train(job, accelerator, save_every=save_every, report=report, stopped=stopped)
    accelerator.free_memory()  # or it would hold on to every network of the family
    return "trained"


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """A job for a process that has nothing of this one."""

    job: Job
    """What to train; its folder an absolute path."""
    device: str
    """As ``lab.device.accelerator`` takes it."""
    save_every: int
    """Steps between two checkpoints."""


def train_elsewhere(what: Elsewhere, report: Callable[[Progress], None]) -> End:
    """Train with an accelerator of its own; raises as that and :func:`train` do."""
    found = accelerator(what.device)
    return train(what.job, found, save_every=what.save_every, report=report)


def _train(
    job: Job,
    accelerator: Accelerator,
    *,
    save_every: int,
    report: Callable[[Progress], None],
    stopped: Callable[[], bool],
) -> None:
    recipe, size = job.recipe, job.size
    made: LlamaForCausalLM = net.network(recipe, size, job.seed)
    adam = net.optimizer(recipe, made)
    made, adam = accelerator.prepare(made, adam)
    state = _restored(job, made, adam)
    _log(job, "resumed" if state.step else "begun", step=state.step, **_where(accelerator))
    first, since, before = state.step, time.monotonic(), state.seconds
    while state.step < recipe.n_steps:
        for group in adam.param_groups:
            group["lr"] = net.rate(recipe, size, state.step)
        loss = net.loss(made, batch(recipe, job.seed, state.step), accelerator.device)
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(made.parameters(), recipe.clip)
        adam.step()
        adam.zero_grad()
        state.losses.append(_finite(job, state.step, loss.item()))
        state.step += 1
        state.seconds = before + time.monotonic() - since
        if state.step % LOSS_EVERY == 0 or state.step == recipe.n_steps:
            pace = (time.monotonic() - since) / (state.step - first)
            report(_progress(job, state, pace))
        if stopped() and state.step < recipe.n_steps:
            _save(job, made, adam, state)
            _log(job, "interrupted", step=state.step)
            raise InterruptedRunError(
                f"{job.name} stopped at step {state.step:,} of {recipe.n_steps:,}",
                hint="the same command goes on from there",
            )
        if state.step % save_every == 0:
            _save(job, made, adam, state)
    _finish(job, accelerator.unwrap_model(made), state)


def _finite(job: Job, step: int, loss: float) -> float:
    if not math.isfinite(loss):
        raise BackendError(
            f"{job.name}: the loss of step {step:,} is {loss}", hint="another seed may not diverge"
        )
    return loss


def _progress(job: Job, state: _State, pace: float) -> Progress:
    recent = state.losses[-LOSS_EVERY:]
    return Progress(
        name=job.name,
        step=state.step,
        n_steps=job.recipe.n_steps,
        loss=sum(recent) / len(recent),
        left_s=(job.recipe.n_steps - state.step) * pace,
    )


def _restored(job: Job, made: torch.nn.Module, adam: torch.optim.Optimizer) -> _State:
    """The state of the checkpoint, loaded into both; the beginning, if there is none."""
    there = checkpoint.load(job.folder)
    if there is None:
        return _State(losses=[])
    made.load_state_dict(there["network"])
    adam.load_state_dict(there["optimizer"])
    return _State(step=there["step"], seconds=there["seconds"], losses=there["losses"])


def _save(job: Job, made: torch.nn.Module, adam: torch.optim.Optimizer, state: _State) -> None:
    _write_curve(job, state)
    checkpoint.save(
        job.folder,
        {"network": made.state_dict(), "optimizer": adam.state_dict(), **asdict(state)},
    )


def _finish(job: Job, made: LlamaForCausalLM, state: _State) -> None:
    """Weights come last: where they are, everything is."""
    from transformers.utils.logging import disable_progress_bar

    _write_curve(job, state)
    last = state.losses[-max(1, len(state.losses) // 20) :]
    _log(
        job,
        "trained",
        n_params=job.size.n_params,
        tokens=job.recipe.n_tokens,
        flops=job.recipe.flops(job.size),
        seconds=round(state.seconds, 1),
        loss=round(sum(last) / len(last), 5),
    )
    disable_progress_bar()
    part = job.folder / ".part"
    made.save_pretrained(part)
    tokenizer().save_pretrained(part)
    for path in sorted(part.iterdir(), key=lambda path: path.suffix == ".safetensors"):
        path.replace(job.folder / path.name)
    part.rmdir()
    checkpoint.drop(job.folder)


def _write_curve(job: Job, state: _State) -> None:
    """``loss.csv``: the mean of every ``LOSS_EVERY`` steps."""
    tokens = job.recipe.batch_tokens
    rows = ["step,tokens,flops,loss"]
    for end in range(LOSS_EVERY, len(state.losses) + 1, LOSS_EVERY):
        mean = sum(state.losses[end - LOSS_EVERY : end]) / LOSS_EVERY
        flops = 6 * job.size.n_params * end * tokens
        rows.append(f"{end},{end * tokens},{flops},{mean:.6f}")
    checkpoint.write_whole(job.folder / "loss.csv", ("\n".join(rows) + "\n").encode())


def _log(job: Job, event: str, **facts: object) -> None:
    """One more line of ``log.jsonl``."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    line = json.dumps({"event": event, "utc": now, **facts})
    with (job.folder / "log.jsonl").open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")


def _where(accelerator: Accelerator) -> dict[str, Any]:
    import torch
    import transformers

    return {
        "device": str(accelerator.device),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
