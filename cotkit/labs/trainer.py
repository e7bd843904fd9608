"""Train the networks of the labs, each from its beginning or from where it was stopped.

A step depends on nothing but the state before it and the step's number, so a resumed training gives
the weights of an unbroken one: on a CPU bit by bit, with the same number of threads.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import math
import os
import platform
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, ClassVar, Literal

from cotkit.errors import BackendError, InterruptedRunError, MissingDependencyError, UsageError
from cotkit.identity import content_hash
from cotkit.labs import checkpoint
from cotkit.paths import write_atomically

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator


FIT_VERSION = 1
"""Raise it when the optimizer or the schedule of the labs changes."""
LOSS_EVERY = 10
"""Steps of which a loss curve shows the mean."""

TrainingEnd = Literal["trained", "was there", "another process is at it"]
"""Why weights lie in a folder or, if another process is training them, do not."""


# What is trained.


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How many steps are taken and how large they are."""

    n_steps: int
    """Optimizer steps."""
    peak_rate: float
    """Highest learning rate."""
    warmup: float = 0.05
    """Share of the steps over which the rate rises to its peak; then it falls as a cosine."""
    floor: float = 0.02
    """Where the cosine ends, as a share of the peak."""
    clip: float = 1.0
    """Longest gradient; a longer one is scaled down."""

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        n_warm = max(1, round(self.warmup * self.n_steps))
        if step < n_warm:
            return self.peak_rate * (step + 1) / n_warm
        progress = (step - n_warm) / max(1, self.n_steps - n_warm)
        return self.peak_rate * (
            self.floor + (1 - self.floor) * (1 + math.cos(math.pi * progress)) / 2
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingJob(ABC):
    """One network to train, and where it goes; every lab has a subclass."""

    out: Path
    """Folder of the lab."""
    seed: int
    """Of first weights and data."""

    lab: ClassVar[str] = "lab"
    """Keeps the fingerprints of different labs apart."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Unique in its lab: ``lenet-4-seed1``; also the name of its folder."""

    @property
    @abstractmethod
    def schedule(self) -> Schedule:
        """How long and how fast it learns."""

    @property
    @abstractmethod
    def settings(self) -> Mapping[str, object]:
        """All that makes its weights besides name and schedule, for canonical JSON."""

    @abstractmethod
    def make_network(self) -> torch.nn.Module:
        """Return the network, untrained, on the CPU: a function of the settings alone."""

    @abstractmethod
    def compute_loss(self, network: torch.nn.Module, step: int) -> torch.Tensor:
        """Return the loss of the network at a step: a function of these two and the settings."""

    @property
    def identity(self) -> Mapping[str, object]:
        """All that makes its weights."""
        return {
            "version": FIT_VERSION,
            "name": self.name,
            "recipe": self.settings,
            "n_steps": self.schedule.n_steps,
            "peak_rate": self.schedule.peak_rate,
        }

    @property
    def fingerprint(self) -> str:
        """Hash of all that makes its weights: 64 hex digits."""
        return content_hash(self.lab, self.identity)

    @property
    def folder(self) -> Path:
        """Where the network lies, complete or begun."""
        return self.out / self.name

    def make_optimizer(self, network: torch.nn.Module) -> torch.optim.Optimizer:
        """Return AdamW over all weights; the trainer sets the rate of each step."""
        import torch

        return torch.optim.AdamW(network.parameters())

    def estimate_bytes(self, network: torch.nn.Module) -> int:
        """Return the memory that training takes: weights, gradients and two moments."""
        return 16 * count_params(network)

    def count_work(self, n_steps: int) -> dict[str, int]:  # noqa: ARG002 - a subclass counts
        """Return what so many steps take, for the loss curve and the log: name -> number."""
        return {}

    def keep_network(self, network: torch.nn.Module, n_steps: int) -> None:  # noqa: B027 - or not
        """Keep the network as it is after so many steps, where the job asks for that."""

    def write_network(self, network: torch.nn.Module) -> None:
        """Write the trained network to its folder; the weights last, because they end the job."""
        from safetensors.torch import save

        weights = {name: value.cpu().contiguous() for name, value in network.state_dict().items()}
        write_atomically(checkpoint.weights_of(self.folder), save(weights))


def count_params(network: torch.nn.Module) -> int:
    """Return how many numbers of a network are trained."""
    return sum(parameter.numel() for parameter in network.parameters())


# How it is trained.


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingProgress:
    """How far a training is."""

    name: str
    """The model's."""
    step: int
    """Steps done."""
    n_steps: int
    """Steps to do in all."""
    loss: float
    """Mean of the last ``LOSS_EVERY`` steps, in the loss's unit."""
    left_s: float
    """Seconds that the rest takes at the rate since this process began."""


@dataclass(slots=True, kw_only=True)
class _TrainingState:
    """All that a checkpoint holds."""

    network: torch.nn.Module
    optimizer: torch.optim.Optimizer
    losses: list[float]
    """One for each step done."""
    seconds: float
    """Wall time of these steps, over all processes."""

    def restore(self, folder: Path) -> None:
        """Continue from the checkpoint of a folder, if there is one."""
        saved = checkpoint.load_checkpoint(folder)
        if saved is not None:
            self.network.load_state_dict(saved["network"])
            self.optimizer.load_state_dict(saved["optimizer"])
            self.losses = list(saved["losses"])
            self.seconds = saved.get("seconds", 0.0)  # which 0.1 wrote for pocket models only

    def save(self, job: TrainingJob) -> None:
        """Write the checkpoint and the loss curve so far."""
        _write_curve(job, self.losses)
        checkpoint.save_checkpoint(
            job.folder,
            {
                "network": self.network.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "losses": self.losses,
                "seconds": self.seconds,
            },
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Trainer:
    """What all trainings of one lab share."""

    accelerator: Accelerator
    """The device."""
    save_every: int
    """Steps between two checkpoints."""
    report: Callable[[TrainingProgress], None]
    """Called with the progress of each training every ``LOSS_EVERY`` steps."""

    def fit(self, job: TrainingJob) -> torch.nn.Module:
        """Return the trained network, on the device and in evaluation mode.

        It always comes from disk: the same whether it was trained now or before.

        Raises:
            UsageError: another process trains it, or the weights are not what was saved.
            CotkitError: as :meth:`train`.
        """
        if self.train(job) == "another process is at it":
            raise UsageError(f"another process trains {job.folder}", hint="another --out")
        return _load_network(job).to(self.accelerator.device).eval()

    def train(self, job: TrainingJob) -> TrainingEnd:
        """Train until the weights lie in the job's folder, and return how that came about.

        Raises:
            UsageError: the folder holds a model of another recipe.
            BackendError: memory does not suffice, or the loss is no number any more.
            InterruptedRunError: Ctrl-C; the checkpoint was saved.
        """
        with checkpoint.claim_folder(job.folder) as is_claimed:
            if not is_claimed:
                return "another process is at it"
            checkpoint.begin_training(job.folder, job.fingerprint, job.identity)
            if checkpoint.is_done(job.folder):
                return "was there"
            with explain_full_memory(job.name), defer_interrupt() as is_interrupted:
                state = self._begin(job)
                self._take_steps(job, state, is_interrupted)
                _finish(job, self.accelerator.unwrap_model(state.network), state)
        self.accelerator.free_memory()  # or it would hold on to every network of the lab
        return "trained"

    def _begin(self, job: TrainingJob) -> _TrainingState:
        network = job.make_network()
        check_free_memory(job.name, job.estimate_bytes(network), self.accelerator.device)
        network, optimizer = self.accelerator.prepare(network, job.make_optimizer(network))
        state = _TrainingState(network=network, optimizer=optimizer, losses=[], seconds=0.0)
        state.restore(job.folder)
        n_done = len(state.losses)
        event = "resumed" if n_done else "begun"
        _append_log(job, event, step=n_done, **_describe_environment(self.accelerator))
        return state

    def _take_steps(
        self, job: TrainingJob, state: _TrainingState, is_interrupted: Callable[[], bool]
    ) -> None:
        n_steps, n_before, seconds_before = job.schedule.n_steps, len(state.losses), state.seconds
        start = time.monotonic()
        state.network.train()
        for step in range(n_before, n_steps):
            loss = self._take_step(job, state, step)
            if not math.isfinite(loss):
                raise BackendError(
                    f"{job.name}: the loss of step {step:,} is {loss}",
                    hint="another seed may not diverge",
                )
            state.losses.append(loss)
            n_done, elapsed = step + 1, time.monotonic() - start
            state.seconds = seconds_before + elapsed
            if n_done % LOSS_EVERY == 0 or n_done == n_steps:
                recent = state.losses[-LOSS_EVERY:]
                progress = TrainingProgress(
                    name=job.name,
                    step=n_done,
                    n_steps=n_steps,
                    loss=sum(recent) / len(recent),
                    left_s=(n_steps - n_done) * elapsed / (n_done - n_before),
                )
                self.report(progress)
            if n_done == n_steps:
                return
            job.keep_network(self.accelerator.unwrap_model(state.network), n_done)
            if is_interrupted():
                state.save(job)
                _append_log(job, "interrupted", step=n_done)
                raise InterruptedRunError(
                    f"{job.name} stopped at step {n_done:,} of {n_steps:,}",
                    hint="the same command goes on from there",
                )
            if n_done % self.save_every == 0:
                state.save(job)

    def _take_step(self, job: TrainingJob, state: _TrainingState, step: int) -> float:
        """Take one step of the optimizer, and return the loss before it."""
        for group in state.optimizer.param_groups:
            group["lr"] = job.schedule.learning_rate(step)
        loss = job.compute_loss(state.network, step)
        self.accelerator.backward(loss)
        self.accelerator.clip_grad_norm_(state.network.parameters(), job.schedule.clip)
        state.optimizer.step()
        state.optimizer.zero_grad()
        return loss.item()


def _finish(job: TrainingJob, network: torch.nn.Module, state: _TrainingState) -> None:
    """Write curve, log and network, in this order, and remove the checkpoint."""
    _write_curve(job, state.losses)
    last = state.losses[-max(1, len(state.losses) // 20) :]
    _append_log(
        job,
        "trained",
        n_params=count_params(network),
        **job.count_work(job.schedule.n_steps),
        seconds=round(state.seconds, 1),
        loss=round(sum(last) / len(last), 5),
    )
    job.write_network(network)
    checkpoint.drop_checkpoint(job.folder)


def _load_network(job: TrainingJob) -> torch.nn.Module:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = checkpoint.weights_of(job.folder)
    network = job.make_network()
    try:
        network.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError) as error:
        raise UsageError(f"{path} holds other weights", hint="remove the folder") from error
    return network


# The records beside the weights: ``loss.csv`` and ``log.jsonl``.


def _write_curve(job: TrainingJob, losses: Sequence[float]) -> None:
    """Write ``loss.csv``: the mean of every ``LOSS_EVERY`` steps."""
    lines = [",".join(("step", *job.count_work(0), "loss"))]
    for end in range(LOSS_EVERY, len(losses) + 1, LOSS_EVERY):
        mean = sum(losses[end - LOSS_EVERY : end]) / LOSS_EVERY
        lines.append(",".join(map(str, (end, *job.count_work(end).values(), f"{mean:.6f}"))))
    write_atomically(job.folder / "loss.csv", ("\n".join(lines) + "\n").encode())


def _append_log(job: TrainingJob, event: str, **facts: object) -> None:
    """Append a line to ``log.jsonl``."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    line = json.dumps({"event": event, "utc": now, **facts})
    with (job.folder / "log.jsonl").open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")


def _describe_environment(accelerator: Accelerator) -> dict[str, object]:
    import torch

    return {
        "device": str(accelerator.device),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": importlib.metadata.version("transformers"),
    }


@contextlib.contextmanager
def defer_interrupt() -> Generator[Callable[[], bool]]:
    """Yield a function that says whether Ctrl-C was pressed; pressed again, it interrupts at once.

    Works in the main thread only, where Python lets a program hear signals.
    """
    is_pressed = False

    def note_signal(_signal: int, _frame: FrameType | None) -> None:
        nonlocal is_pressed
        if is_pressed:
            raise KeyboardInterrupt
        is_pressed = True

    previous = signal.signal(signal.SIGINT, note_signal)
    try:
        yield lambda: is_pressed
    finally:
        signal.signal(signal.SIGINT, previous)


# The one device that a training runs on, and the error when it is too small.


def make_accelerator(device: str) -> Accelerator:
    """Return Accelerate, in float32, for ``cpu``, ``cuda:1``, ``mps`` or the best: ``auto``.

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

    available = [f"cuda:{i}" for i in range(torch.cuda.device_count())]  # the best first
    available += ["mps"] if torch.backends.mps.is_available() else []
    available.append("cpu")
    chosen = {"auto": available[0], "cuda": "cuda:0"}.get(device, device)
    if chosen not in available:
        raise UsageError(f"device {device} is not there", hint=f"here: {', '.join(available)}")
    if chosen == "cpu":
        torch.set_num_threads(1)
    os.environ["ACCELERATE_TORCH_DEVICE"] = chosen
    return Accelerator(cpu=chosen == "cpu", mixed_precision="no")


_MEMORY_HINT = "fewer other programs, a smaller size, or another --device"


def check_free_memory(name: str, n_bytes: int, device: torch.device) -> None:
    """Refuse a training that needs more memory than is free.

    Raises:
        BackendError: the memory does not suffice.
    """
    if (n_free := _free_bytes(device)) < n_bytes:
        raise BackendError(
            f"{name} needs about {n_bytes / 1e9:.1f} GB of memory, {n_free / 1e9:.1f} GB are free",
            hint=_MEMORY_HINT,
        )


@contextlib.contextmanager
def explain_full_memory(name: str) -> Generator[None]:
    """Turn every error that says that memory ran out into one line.

    Raises:
        BackendError: memory ran out.
    """
    import torch

    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise BackendError(f"{name}: memory ran out", hint=_MEMORY_HINT) from error
    except RuntimeError as error:
        if "can't allocate memory" not in str(error):  # torch has no class for it on a CPU
            raise
        raise BackendError(f"{name}: memory ran out", hint=_MEMORY_HINT) from error


def _free_bytes(device: torch.device) -> int:
    import psutil
    import torch

    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available
