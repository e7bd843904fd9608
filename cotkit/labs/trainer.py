"""Train one network of a lab, from the beginning or from where a kill left it.

A step is a function of the state before it and of the step's number, so a resumed training gives
the weights of an unbroken one: on a CPU bit by bit.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from cotkit.errors import BackendError, InterruptedRunError, MissingDependencyError, UsageError
from cotkit.identity import content_hash
from cotkit.labs import checkpoint
from cotkit.paths import write_atomically

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator


FIT_VERSION = 1
"""Changes whenever optimizer or schedule do."""
_WARMUP, _FLOOR, _CLIP = 0.05, 0.02, 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingJob:
    """One network to train and where it goes."""

    name: str
    """Unique in its lab: ``lenet-4-seed1``; also the folder's name."""
    out: Path
    """Folder of the lab."""
    recipe: object
    """All that makes the weights besides steps, rate and name; canonical JSON can say it."""
    n_steps: int
    """Optimizer steps."""
    peak_rate: float
    """Highest learning rate: a linear rise over a twentieth of the steps, then a cosine."""

    @property
    def folder(self) -> Path:
        """Where the network lies, complete or begun."""
        return self.out / self.name

    @property
    def fingerprint(self) -> str:
        """Of everything that makes its weights: 64 hex digits."""
        return content_hash("lab", self._parts())

    def begin(self) -> None:
        """Say in the folder what is trained there; raises as :func:`checkpoint.check` does."""
        checkpoint.begin_training(self.folder, self.fingerprint, self._parts())

    def _parts(self) -> dict[str, object]:
        return {
            "version": FIT_VERSION,
            "name": self.name,
            "recipe": self.recipe,
            "n_steps": self.n_steps,
            "peak_rate": self.peak_rate,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Trainer:
    """What all trainings of one lab share."""

    accelerator: Accelerator
    """The device."""
    save_every: int
    """Steps between two checkpoints."""
    report: Callable[[TrainingProgress], None]
    """Told how far each training is."""

    def fit(
        self,
        job: TrainingJob,
        made: torch.nn.Module,
        loss: Callable[[torch.nn.Module, int], torch.Tensor],
    ) -> torch.nn.Module:
        """Train a network, or load what was trained; on the device, in evaluation mode.

        Args:
            job: Which.
            made: The network, untrained, on the CPU.
            loss: Of the network at a step, counted from 0: a function of these two alone.

        Raises:
            UsageError: the folder holds another recipe's network, or another process is at it.
            BackendError: memory does not suffice, or the loss is no number any more.
            InterruptedRunError: Ctrl-C; the checkpoint was saved.
        """
        with checkpoint.claim_folder(job.folder) as is_ours:
            if not is_ours:
                raise UsageError(f"another process trains {job.folder}", hint="another --out")
            job.begin()
            if not checkpoint.is_done(job.folder):
                # Weights, gradients and two moments; activations are caught when they overflow.
                n_bytes = 16 * sum(p.numel() for p in made.parameters())
                device = str(self.accelerator.device)
                with watch_memory(job.name, n_bytes, device), defer_interrupt() as stopped:
                    self._train(job, made, loss, stopped)
        return _load_weights(job, made, self.accelerator.device)

    def _train(
        self,
        job: TrainingJob,
        made: torch.nn.Module,
        loss: Callable[[torch.nn.Module, int], torch.Tensor],
        stopped: Callable[[], bool],
    ) -> None:
        import torch

        made, adam = self.accelerator.prepare(made, torch.optim.AdamW(made.parameters()))
        losses = _restore_losses(job, made, adam)
        first, since = len(losses), time.monotonic()
        made.train()
        for step in range(first, job.n_steps):
            for group in adam.param_groups:
                group["lr"] = learning_rate(job, step)
            found = loss(made, step)
            self.accelerator.backward(found)
            self.accelerator.clip_grad_norm_(made.parameters(), _CLIP)
            adam.step()
            adam.zero_grad()
            losses.append(_check_finite(job, step, found.item()))
            done = step + 1
            if done % LOSS_EVERY == 0 or done == job.n_steps:
                pace = (time.monotonic() - since) / (done - first)
                self.report(_make_progress(job, losses, pace))
            if stopped() and done < job.n_steps:
                _save(job, made, adam, losses)
                raise InterruptedRunError(
                    f"{job.name} stopped at step {done:,} of {job.n_steps:,}",
                    hint="the same command goes on from there",
                )
            if done % self.save_every == 0 and done < job.n_steps:
                _save(job, made, adam, losses)
        _finish(job, self.accelerator.unwrap_model(made), losses)
        self.accelerator.free_memory()  # or it would hold on to every network of the lab


def learning_rate(job: TrainingJob, step: int) -> float:
    """Learning rate of a step, counted from 0."""
    n_warm = max(1, round(_WARMUP * job.n_steps))
    if step < n_warm:
        return job.peak_rate * (step + 1) / n_warm
    done = (step - n_warm) / max(1, job.n_steps - n_warm)
    return job.peak_rate * (_FLOOR + (1 - _FLOOR) * (1 + math.cos(math.pi * done)) / 2)


def _check_finite(job: TrainingJob, step: int, loss: float) -> float:
    if not math.isfinite(loss):
        raise BackendError(
            f"{job.name}: the loss of step {step:,} is {loss}", hint="another --seed may not"
        )
    return loss


def _make_progress(job: TrainingJob, losses: list[float], pace: float) -> TrainingProgress:
    recent = losses[-LOSS_EVERY:]
    return TrainingProgress(
        name=job.name,
        step=len(losses),
        n_steps=job.n_steps,
        loss=sum(recent) / len(recent),
        left_s=(job.n_steps - len(losses)) * pace,
    )


def _restore_losses(
    job: TrainingJob, made: torch.nn.Module, adam: torch.optim.Optimizer
) -> list[float]:
    """The losses so far, with the checkpoint loaded into both; none, if there is none."""
    there = checkpoint.load_checkpoint(job.folder)
    if there is None:
        return []
    made.load_state_dict(there["network"])
    adam.load_state_dict(there["optimizer"])
    return list(there["losses"])


def _save(
    job: TrainingJob, made: torch.nn.Module, adam: torch.optim.Optimizer, losses: list[float]
) -> None:
    state = {"network": made.state_dict(), "optimizer": adam.state_dict(), "losses": losses}
    checkpoint.save_checkpoint(job.folder, state)


def _finish(job: TrainingJob, made: torch.nn.Module, losses: list[float]) -> None:
    """Weights come last: where they are, everything is."""
    from safetensors.torch import save

    rows = ["step,loss"] + [
        f"{end},{sum(losses[end - LOSS_EVERY : end]) / LOSS_EVERY:.6f}"
        for end in range(LOSS_EVERY, len(losses) + 1, LOSS_EVERY)
    ]
    write_atomically(job.folder / "loss.csv", ("\n".join(rows) + "\n").encode())
    weights = {name: value.cpu().contiguous() for name, value in made.state_dict().items()}
    write_atomically(checkpoint.weights_of(job.folder), save(weights))
    checkpoint.drop_checkpoint(job.folder)


def _load_weights(job: TrainingJob, made: torch.nn.Module, device: torch.device) -> torch.nn.Module:
    """The trained weights, from disk: the same whether they were trained now or before.

    Raises:
        UsageError: the file is not what was saved.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = checkpoint.weights_of(job.folder)
    try:
        made.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError) as broken:
        raise UsageError(f"{path} holds other weights", hint="remove the folder") from broken
    return made.to(device).eval()


# How far a training is, for whoever watches it.


LOSS_EVERY = 10
"""Steps of which a loss curve shows the mean."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingProgress:
    """How far a training is."""

    name: str
    """The model's."""
    step: int
    """Steps done."""
    n_steps: int
    """Of so many."""
    loss: float
    """Mean of the last ``LOSS_EVERY`` steps, in the loss's unit."""
    left_s: float
    """At the rate since this process began."""


# Ctrl-C between two steps instead of within one.


@contextlib.contextmanager
def defer_interrupt() -> Generator[Callable[[], bool]]:
    """Ask the function given whether Ctrl-C was pressed; pressed again, it interrupts at once.

    Works in the main thread only, where Python lets a program hear signals.
    """
    pressed = False

    def hear(_signal: int, _frame: FrameType | None) -> None:
        nonlocal pressed
        if pressed:
            raise KeyboardInterrupt
        pressed = True

    before = signal.signal(signal.SIGINT, hear)
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, before)


# The one device that a training runs on, and what it says when it is too small.


def make_accelerator(device: str) -> Accelerator:
    """Accelerate, in float32, on ``cpu``, ``cuda:1``, ``mps`` or, with ``auto``, the best of them.

    On a CPU torch works with one thread from now on: small networks gain little from more, two
    trainings side by side gain all of it, and weights then do not depend on the number of cores.

    Raises:
        UsageError: there is no such device here.
        MissingDependencyError: torch or accelerate is not installed.
    """
    try:
        import torch
        from accelerate import Accelerator
    except ImportError as missing:
        raise MissingDependencyError(missing.name or "accelerate", "hf") from missing

    there = _list_devices()
    chosen = {"auto": there[0], "cuda": "cuda:0"}.get(device, device)
    if chosen not in there:
        raise UsageError(f"device {device} is not there", hint=f"here: {', '.join(there)}")
    if chosen == "cpu":
        torch.set_num_threads(1)
    os.environ["ACCELERATE_TORCH_DEVICE"] = chosen
    return Accelerator(cpu=chosen == "cpu", mixed_precision="no")


@contextlib.contextmanager
def watch_memory(what: str, n_bytes: int, device: str) -> Generator[None]:
    """Refuse what needs more memory than is free, and say it in one line if it runs out later.

    Raises:
        BackendError: the memory does not suffice.
    """
    import torch

    hint = "fewer other programs, a smaller size, or another --device"
    if (free := _free_bytes(device)) < n_bytes:
        raise BackendError(
            f"{what} needs about {n_bytes / 1e9:.1f} GB of memory, {free / 1e9:.1f} GB are free",
            hint=hint,
        )
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as full:
        raise BackendError(f"{what}: memory ran out", hint=hint) from full
    except RuntimeError as failed:
        if "can't allocate memory" not in str(failed):  # torch has no class for it on a CPU
            raise
        raise BackendError(f"{what}: memory ran out", hint=hint) from failed


def _list_devices() -> list[str]:
    """The best first."""
    import torch

    found = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    return [*found, *(["mps"] if torch.backends.mps.is_available() else []), "cpu"]


def _free_bytes(device: str) -> int:
    import psutil
    import torch

    if device.startswith("cuda"):
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available
