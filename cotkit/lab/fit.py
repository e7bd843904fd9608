"""Train one network of a lab, from the beginning or from where a kill left it.

A step is a function of the state before it and of the step's number, so a resumed training gives
the weights of an unbroken one: on a CPU bit by bit.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cotkit.errors import BackendError, InterruptedRunError, UsageError
from cotkit.identity import content_hash
from cotkit.lab import checkpoint
from cotkit.lab.device import memory_watched
from cotkit.lab.interrupt import deferred
from cotkit.lab.progress import LOSS_EVERY, Progress

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator

FIT_VERSION = 1
"""Changes whenever optimizer or schedule do."""
_WARMUP, _FLOOR, _CLIP = 0.05, 0.02, 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
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
        checkpoint.begin(self.folder, self.fingerprint, self._parts())

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
    report: Callable[[Progress], None]
    """Told how far each training is."""

    def fit(
        self,
        job: Fit,
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
        with checkpoint.claimed(job.folder) as is_ours:
            if not is_ours:
                raise UsageError(f"another process trains {job.folder}", hint="another --out")
            job.begin()
            if not checkpoint.is_done(job.folder):
                # Weights, gradients and two moments; activations are caught when they overflow.
                n_bytes = 16 * sum(p.numel() for p in made.parameters())
                device = str(self.accelerator.device)
                with memory_watched(job.name, n_bytes, device), deferred() as stopped:
                    self._train(job, made, loss, stopped)
        return _loaded(job, made, self.accelerator.device)

    def _train(
        self,
        job: Fit,
        made: torch.nn.Module,
        loss: Callable[[torch.nn.Module, int], torch.Tensor],
        stopped: Callable[[], bool],
    ) -> None:
        import torch

        made, adam = self.accelerator.prepare(made, torch.optim.AdamW(made.parameters()))
        losses = _restored(job, made, adam)
        first, since = len(losses), time.monotonic()
        made.train()
        for step in range(first, job.n_steps):
            for group in adam.param_groups:
                group["lr"] = rate(job, step)
            found = loss(made, step)
            self.accelerator.backward(found)
            self.accelerator.clip_grad_norm_(made.parameters(), _CLIP)
            adam.step()
            adam.zero_grad()
            losses.append(_finite(job, step, found.item()))
            done = step + 1
            if done % LOSS_EVERY == 0 or done == job.n_steps:
                pace = (time.monotonic() - since) / (done - first)
                self.report(_progress(job, losses, pace))
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


def rate(job: Fit, step: int) -> float:
    """Learning rate of a step, counted from 0."""
    n_warm = max(1, round(_WARMUP * job.n_steps))
    if step < n_warm:
        return job.peak_rate * (step + 1) / n_warm
    done = (step - n_warm) / max(1, job.n_steps - n_warm)
    return job.peak_rate * (_FLOOR + (1 - _FLOOR) * (1 + math.cos(math.pi * done)) / 2)


def _finite(job: Fit, step: int, loss: float) -> float:
    if not math.isfinite(loss):
        raise BackendError(
            f"{job.name}: the loss of step {step:,} is {loss}", hint="another --seed may not"
        )
    return loss


def _progress(job: Fit, losses: list[float], pace: float) -> Progress:
    recent = losses[-LOSS_EVERY:]
    return Progress(
        name=job.name,
        step=len(losses),
        n_steps=job.n_steps,
        loss=sum(recent) / len(recent),
        left_s=(job.n_steps - len(losses)) * pace,
    )


def _restored(job: Fit, made: torch.nn.Module, adam: torch.optim.Optimizer) -> list[float]:
    """The losses so far, with the checkpoint loaded into both; none, if there is none."""
    there = checkpoint.load(job.folder)
    if there is None:
        return []
    made.load_state_dict(there["network"])
    adam.load_state_dict(there["optimizer"])
    return list(there["losses"])


def _save(
    job: Fit, made: torch.nn.Module, adam: torch.optim.Optimizer, losses: list[float]
) -> None:
    state = {"network": made.state_dict(), "optimizer": adam.state_dict(), "losses": losses}
    checkpoint.save(job.folder, state)


def _finish(job: Fit, made: torch.nn.Module, losses: list[float]) -> None:
    """Weights come last: where they are, everything is."""
    from safetensors.torch import save

    rows = ["step,loss"] + [
        f"{end},{sum(losses[end - LOSS_EVERY : end]) / LOSS_EVERY:.6f}"
        for end in range(LOSS_EVERY, len(losses) + 1, LOSS_EVERY)
    ]
    checkpoint.write_whole(job.folder / "loss.csv", ("\n".join(rows) + "\n").encode())
    weights = {name: value.cpu().contiguous() for name, value in made.state_dict().items()}
    checkpoint.write_whole(checkpoint.weights_of(job.folder), save(weights))
    checkpoint.drop(job.folder)


def _loaded(job: Fit, made: torch.nn.Module, device: torch.device) -> torch.nn.Module:
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
