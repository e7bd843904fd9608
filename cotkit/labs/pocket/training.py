"""Train one model of the family, from the beginning or from where a kill left it.

A step is a function of the state before it, the recipe and the step's number, so a resumed training
gives the weights of an unbroken one: on a CPU bit by bit, with the same number of threads.
"""

from __future__ import annotations

import json
import math
import platform
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cotkit.errors import BackendError, InterruptedRunError, MissingDataError
from cotkit.labs import checkpoint
from cotkit.labs.checkpoint import is_done
from cotkit.labs.pocket.recipe import END, ID, PIECES, NetworkSize, PocketRecipe, make_tokenizer
from cotkit.labs.pocket.texts import make_batch
from cotkit.labs.trainer import (
    LOSS_EVERY,
    TrainingProgress,
    defer_interrupt,
    make_accelerator,
    watch_memory,
)
from cotkit.paths import write_atomically

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator
    from transformers import LlamaForCausalLM

    from cotkit.labs.pocket.texts import TrainingBatch


@dataclass(frozen=True, slots=True, kw_only=True)
class PocketJob:
    """One model to train and where it goes."""

    recipe: PocketRecipe
    """How."""
    size: NetworkSize
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


TrainingEnd = Literal["trained", "was there", "another process is at it"]


def train(
    job: PocketJob,
    accelerator: Accelerator,
    *,
    save_every: int,
    report: Callable[[TrainingProgress], None],
) -> TrainingEnd:
    """Train until the weights lie in the job's folder, and say how that came about.

    Raises:
        UsageError: the folder holds a model of another recipe.
        BackendError: memory does not suffice, or the loss is no number any more.
        InterruptedRunError: Ctrl-C; the checkpoint was saved.
    """
    device = str(accelerator.device)
    with checkpoint.claim_folder(job.folder) as is_ours:
        if not is_ours:
            return "another process is at it"
        parts = {"recipe": job.recipe, "size": job.size, "seed": job.seed}
        checkpoint.begin_training(job.folder, job.fingerprint, parts)
        if checkpoint.is_done(job.folder):
            return "was there"
        with (
            watch_memory(job.name, job.size.n_bytes(job.recipe), device),
            defer_interrupt() as stopped,
        ):
            _train(job, accelerator, save_every=save_every, report=report, stopped=stopped)
    accelerator.free_memory()  # or it would hold on to every network of the family
    return "trained"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteJob:
    """A job for a process that has nothing of this one."""

    job: PocketJob
    """What to train; its folder an absolute path."""
    device: str
    """As ``lab.device.accelerator`` takes it."""
    save_every: int
    """Steps between two checkpoints."""


def train_elsewhere(what: RemoteJob, report: Callable[[TrainingProgress], None]) -> TrainingEnd:
    """Train with an accelerator of its own; raises as that and :func:`train` do."""
    found = make_accelerator(what.device)
    return train(what.job, found, save_every=what.save_every, report=report)


def _train(
    job: PocketJob,
    accelerator: Accelerator,
    *,
    save_every: int,
    report: Callable[[TrainingProgress], None],
    stopped: Callable[[], bool],
) -> None:
    recipe, size = job.recipe, job.size
    made: LlamaForCausalLM = make_network(recipe, size, job.seed)
    adam = make_optimizer(recipe, made)
    made, adam = accelerator.prepare(made, adam)
    state = _restore_state(job, made, adam)
    _append_log(
        job, "resumed" if state.step else "begun", step=state.step, **_environment_info(accelerator)
    )
    first, since, before = state.step, time.monotonic(), state.seconds
    while state.step < recipe.n_steps:
        for group in adam.param_groups:
            group["lr"] = learning_rate(recipe, size, state.step)
        loss = token_loss(made, make_batch(recipe, job.seed, state.step), accelerator.device)
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(made.parameters(), recipe.clip)
        adam.step()
        adam.zero_grad()
        state.losses.append(_check_finite(job, state.step, loss.item()))
        state.step += 1
        state.seconds = before + time.monotonic() - since
        if state.step % LOSS_EVERY == 0 or state.step == recipe.n_steps:
            pace = (time.monotonic() - since) / (state.step - first)
            report(_make_progress(job, state, pace))
        if stopped() and state.step < recipe.n_steps:
            _save(job, made, adam, state)
            _append_log(job, "interrupted", step=state.step)
            raise InterruptedRunError(
                f"{job.name} stopped at step {state.step:,} of {recipe.n_steps:,}",
                hint="the same command goes on from there",
            )
        if state.step % save_every == 0:
            _save(job, made, adam, state)
    _finish(job, accelerator.unwrap_model(made), state)


def _check_finite(job: PocketJob, step: int, loss: float) -> float:
    if not math.isfinite(loss):
        raise BackendError(
            f"{job.name}: the loss of step {step:,} is {loss}", hint="another seed may not diverge"
        )
    return loss


def _make_progress(job: PocketJob, state: _State, pace: float) -> TrainingProgress:
    recent = state.losses[-LOSS_EVERY:]
    return TrainingProgress(
        name=job.name,
        step=state.step,
        n_steps=job.recipe.n_steps,
        loss=sum(recent) / len(recent),
        left_s=(job.recipe.n_steps - state.step) * pace,
    )


def _restore_state(job: PocketJob, made: torch.nn.Module, adam: torch.optim.Optimizer) -> _State:
    """The state of the checkpoint, loaded into both; the beginning, if there is none."""
    there = checkpoint.load_checkpoint(job.folder)
    if there is None:
        return _State(losses=[])
    made.load_state_dict(there["network"])
    adam.load_state_dict(there["optimizer"])
    return _State(step=there["step"], seconds=there["seconds"], losses=there["losses"])


def _save(
    job: PocketJob, made: torch.nn.Module, adam: torch.optim.Optimizer, state: _State
) -> None:
    _write_curve(job, state)
    checkpoint.save_checkpoint(
        job.folder,
        {"network": made.state_dict(), "optimizer": adam.state_dict(), **asdict(state)},
    )


def _finish(job: PocketJob, made: LlamaForCausalLM, state: _State) -> None:
    """Weights come last: where they are, everything is."""
    from transformers.utils.logging import disable_progress_bar

    _write_curve(job, state)
    last = state.losses[-max(1, len(state.losses) // 20) :]
    _append_log(
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
    make_tokenizer().save_pretrained(part)
    for path in sorted(part.iterdir(), key=lambda path: path.suffix == ".safetensors"):
        path.replace(job.folder / path.name)
    part.rmdir()
    checkpoint.drop_checkpoint(job.folder)


def _write_curve(job: PocketJob, state: _State) -> None:
    """``loss.csv``: the mean of every ``LOSS_EVERY`` steps."""
    tokens = job.recipe.batch_tokens
    rows = ["step,tokens,flops,loss"]
    for end in range(LOSS_EVERY, len(state.losses) + 1, LOSS_EVERY):
        mean = sum(state.losses[end - LOSS_EVERY : end]) / LOSS_EVERY
        flops = 6 * job.size.n_params * end * tokens
        rows.append(f"{end},{end * tokens},{flops},{mean:.6f}")
    write_atomically(job.folder / "loss.csv", ("\n".join(rows) + "\n").encode())


def _append_log(job: PocketJob, event: str, **facts: object) -> None:
    """One more line of ``log.jsonl``."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    line = json.dumps({"event": event, "utc": now, **facts})
    with (job.folder / "log.jsonl").open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")


def _environment_info(accelerator: Accelerator) -> dict[str, Any]:
    import torch
    import transformers

    return {
        "device": str(accelerator.device),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


# One network of the family and its optimizer; torch and transformers are imported here only.


def make_network(recipe: PocketRecipe, size: NetworkSize, seed: int) -> LlamaForCausalLM:
    """Untrained, float32, on the CPU: the weights depend on size and seed alone."""
    import torch
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(PIECES),
        hidden_size=size.width,
        intermediate_size=2 * size.width,
        num_hidden_layers=size.n_layers,
        num_attention_heads=size.n_heads,
        num_key_value_heads=size.n_heads,
        head_dim=size.head_width,
        max_position_embeddings=recipe.context_tokens,
        initializer_range=recipe.spread / math.sqrt(size.width),
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=ID[END],
        pad_token_id=ID[END],
    )
    torch.manual_seed(seed)
    made = LlamaForCausalLM(config)
    made.generation_config = GenerationConfig(eos_token_id=ID[END], pad_token_id=ID[END])
    assert made.num_parameters() == size.n_params
    return made


def make_optimizer(recipe: PocketRecipe, made: torch.nn.Module) -> torch.optim.AdamW:
    """AdamW; norms do not decay. The rate is set at each step."""
    import torch

    matrices = [p for p in made.parameters() if p.ndim > 1]
    vectors = [p for p in made.parameters() if p.ndim == 1]
    return torch.optim.AdamW(
        [
            {"params": matrices, "weight_decay": recipe.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ],
        betas=recipe.betas,
    )


def learning_rate(recipe: PocketRecipe, size: NetworkSize, step: int) -> float:
    """Learning rate of a step, counted from 0: a linear rise, then a cosine."""
    peak = recipe.peak_rate * math.sqrt(64 / size.width)
    n_warm = max(1, round(recipe.warmup * recipe.n_steps))
    if step < n_warm:
        return peak * (step + 1) / n_warm
    done = (step - n_warm) / max(1, recipe.n_steps - n_warm)
    return peak * (recipe.floor + (1 - recipe.floor) * (1 + math.cos(math.pi * done)) / 2)


def token_loss(made: torch.nn.Module, batch: TrainingBatch, device: torch.device) -> torch.Tensor:
    """Mean cross-entropy, in nats, over the tokens that are learned."""
    import torch

    ids = torch.from_numpy(batch.ids).to(device)
    labels = ids.masked_fill(~torch.from_numpy(batch.learned).to(device), -100)
    return made(input_ids=ids, labels=labels, use_cache=False).loss


# What a training will take: FLOPs, and time from a few steps that are thrown away.


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingEstimate:
    """For one job, from its first step."""

    job: PocketJob
    """Which."""
    flops: int
    """``6 N`` for each token; attention comes on top."""
    seconds: float
    """Wall time."""


def estimate_costs(jobs: Sequence[PocketJob], accelerator: Accelerator) -> list[TrainingEstimate]:
    """One for each job, in order; every size is tried once, for a second or so.

    Raises:
        BackendError: memory does not suffice for one of them.
    """
    paces = {job.size: _step_seconds(job.recipe, job.size, accelerator) for job in jobs}
    return [
        TrainingEstimate(
            job=job,
            flops=job.recipe.flops(job.size),
            seconds=paces[job.size] * job.recipe.n_steps,
        )
        for job in jobs
    ]


def _step_seconds(recipe: PocketRecipe, size: NetworkSize, accelerator: Accelerator) -> float:
    """A mean step: one of every ``long_every`` is a long one."""
    long = recipe.long_every - 1
    with watch_memory(f"pocket-{size.name}", size.n_bytes(recipe), str(accelerator.device)):
        made = make_network(recipe, size, 0).to(accelerator.device)
        adam = make_optimizer(recipe, made)
        taken: dict[int, float] = {}
        for step in (0, 0, long):  # the first one warms up
            since = time.monotonic()
            loss = token_loss(made, make_batch(recipe, 0, step), accelerator.device)
            accelerator.backward(loss)
            adam.step()
            loss.item()
            taken[step] = time.monotonic() - since
    return (taken[0] * long + taken[long]) / recipe.long_every


# What of a trained model is shipped: half-precision weights, the tokenizer, how it was trained.


_PACKED_FILES = ("recipe.json", "loss.csv", "log.jsonl")


def pack_models(sizes: Iterable[NetworkSize], seed: int, trained: Path, out: Path) -> list[Path]:
    """Write ``out/pocket-SIZE`` for the model of each size in ``trained/pocket-SIZE-seedN``.

    Weights are float16, rounded from the float32 of training: two bytes for each parameter.

    Raises:
        MissingDataError: a model is not there or not trained to its end; nothing is written.
    """
    folders = {size.name: trained / f"pocket-{size.name}-seed{seed}" for size in sizes}
    for name, folder in folders.items():
        if not is_done(folder):
            hint = f"cotkit lab train pocket --sizes {name} --seeds {seed} --out {trained}"
            raise MissingDataError(f"{folder} holds no trained model", hint=hint)
    return [_pack_model(folder, out / f"pocket-{name}") for name, folder in folders.items()]


def _pack_model(folder: Path, target: Path) -> Path:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float16).save_pretrained(target)
    AutoTokenizer.from_pretrained(folder).save_pretrained(target)
    (target / "model.safetensors").chmod(0o644)  # as every other file of a package
    for name in _PACKED_FILES:
        shutil.copyfile(folder / name, target / name)
    return target
