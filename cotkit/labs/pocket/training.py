"""Train the models of the pocket family, estimate what that takes, and pack what is shipped."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from cotkit.errors import MissingDataError, UsageError
from cotkit.labs.checkpoint import begin_training, count_steps, is_done
from cotkit.labs.pocket.recipe import END, ID, NetworkSize, PocketRecipe, make_tokenizer
from cotkit.labs.pocket.texts import make_batch
from cotkit.labs.trainer import (
    Schedule,
    Trainer,
    TrainingEnd,
    TrainingJob,
    TrainingProgress,
    check_free_memory,
    explain_full_memory,
    make_accelerator,
)

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator
    from transformers import LlamaForCausalLM


@dataclass(frozen=True, slots=True, kw_only=True)
class PocketJob(TrainingJob):
    """One model of the family to train, and where it goes."""

    recipe: PocketRecipe
    """How all sizes are trained."""
    size: NetworkSize
    """Which network."""
    kept_steps: tuple[int, ...] = ()
    """Steps after which a copy is kept, in a folder ``stepN`` of the model's own."""

    lab: ClassVar[str] = "pocket"

    @property
    def name(self) -> str:
        """``pocket-7k-seed1``."""
        return f"pocket-{self.size.name}-seed{self.seed}"

    @property
    def settings(self) -> Mapping[str, object]:
        """Recipe, size and seed; the schedule is part of the recipe."""
        return {"recipe": self.recipe, "size": self.size, "seed": self.seed}

    @property
    def identity(self) -> Mapping[str, object]:
        """The settings: they have all that makes the weights."""
        return self.settings

    @property
    def schedule(self) -> Schedule:
        """The recipe's, with a lower rate for wider networks."""
        return Schedule(
            n_steps=self.recipe.n_steps,
            peak_rate=self.recipe.peak_rate * math.sqrt(64 / self.size.width),
            warmup=self.recipe.warmup,
            floor=self.recipe.floor,
            clip=self.recipe.clip,
        )

    def make_network(self) -> LlamaForCausalLM:
        """Return the untrained network, float32, on the CPU; size and seed make its weights."""
        import torch
        from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

        size = self.size
        config = LlamaConfig(
            vocab_size=size.n_tokens,
            hidden_size=size.width,
            intermediate_size=2 * size.width,
            num_hidden_layers=size.n_layers,
            num_attention_heads=size.n_heads,
            num_key_value_heads=size.n_heads,
            head_dim=size.head_width,
            max_position_embeddings=self.recipe.context_tokens,
            initializer_range=self.recipe.spread / math.sqrt(size.width),
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=ID[END],
            pad_token_id=ID[END],
        )
        torch.manual_seed(self.seed)
        network = LlamaForCausalLM(config)
        network.generation_config = GenerationConfig(eos_token_id=ID[END], pad_token_id=ID[END])
        assert network.num_parameters() == size.n_params
        return network

    def make_optimizer(self, network: torch.nn.Module) -> torch.optim.Optimizer:
        """Return AdamW; norms do not decay."""
        import torch

        matrices = [weights for weights in network.parameters() if weights.ndim > 1]
        vectors = [weights for weights in network.parameters() if weights.ndim == 1]
        return torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": self.recipe.weight_decay},
                {"params": vectors, "weight_decay": 0.0},
            ],
            betas=self.recipe.betas,
        )

    def compute_loss(self, network: torch.nn.Module, step: int) -> torch.Tensor:
        """Return the mean cross-entropy, in nats, over the tokens that are learned."""
        import torch

        device = next(network.parameters()).device
        batch = make_batch(self.recipe, self.seed, step)
        ids = torch.from_numpy(batch.ids).to(device)
        labels = ids.masked_fill(~torch.from_numpy(batch.learned).to(device), -100)
        return network(input_ids=ids, labels=labels, use_cache=False).loss

    def estimate_bytes(self, network: torch.nn.Module) -> int:  # noqa: ARG002 - the size knows
        """Return the memory of the whole process, activations included."""
        return self.size.n_bytes(self.recipe)

    def count_work(self, n_steps: int) -> dict[str, int]:
        """Return the tokens that so many steps read and the FLOPs that they take."""
        tokens = n_steps * self.recipe.batch_tokens
        return {"tokens": tokens, "flops": 6 * self.size.n_params * tokens}

    def keep_network(self, network: torch.nn.Module, n_steps: int) -> None:
        """Write the network as it is after a step that is to be kept, with its recipe and step."""
        if n_steps not in self.kept_steps:
            return
        folder = self.folder / f"step{n_steps}"
        folder.mkdir(exist_ok=True)
        begin_training(folder, self.fingerprint, self.identity, step=n_steps)
        _write_folder(network, folder, self.recipe.pieces)

    def write_network(self, network: torch.nn.Module) -> None:
        """Write a transformers folder: config, tokenizer and, last, the weights."""
        _write_folder(network, self.folder, self.recipe.pieces)

    def check_kept(self) -> None:
        """Refuse steps to be kept that a training is already beyond.

        Raises:
            UsageError: names the first.
        """
        n_taken = self.recipe.n_steps if is_done(self.folder) else count_steps(self.folder)
        for step in self.kept_steps:
            if not 0 < step < self.recipe.n_steps:
                raise UsageError(
                    f"step {step} of {self.recipe.n_steps} cannot be kept",
                    hint="steps before the last, e.g. --keep 250,500,1000",
                )
            if step <= n_taken and not is_done(self.folder / f"step{step}"):
                raise UsageError(
                    f"{self.folder} is beyond step {step}, which was not kept", hint="another --out"
                )


def _write_folder(network: torch.nn.Module, folder: Path, pieces: Sequence[str]) -> None:
    from transformers import PreTrainedModel
    from transformers.utils.logging import disable_progress_bar

    assert isinstance(network, PreTrainedModel)
    disable_progress_bar()
    partial = folder / ".part"
    network.save_pretrained(partial)
    make_tokenizer(pieces).save_pretrained(partial)
    for path in sorted(partial.iterdir(), key=lambda path: path.suffix == ".safetensors"):
        path.replace(folder / path.name)
    partial.rmdir()


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteJob:
    """A job for a process that shares nothing with this one."""

    job: PocketJob
    """What to train; its folder is an absolute path."""
    device: str
    """As ``make_accelerator`` takes it."""
    save_every: int
    """Steps between two checkpoints."""


def train_remotely(
    remote_job: RemoteJob, report: Callable[[TrainingProgress], None]
) -> TrainingEnd:
    """Train with an accelerator of this process; raises as that and :meth:`Trainer.train` do."""
    accelerator = make_accelerator(remote_job.device)
    trainer = Trainer(accelerator=accelerator, save_every=remote_job.save_every, report=report)
    return trainer.train(remote_job.job)


# What a training will take: FLOPs, and time from a few steps that are thrown away.


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingEstimate:
    """What one job takes, from its first step."""

    job: PocketJob
    """Which."""
    tokens: int
    """Read in all steps."""
    flops: int
    """``6 N`` for each token; attention comes on top."""
    seconds: float
    """Wall time."""


def estimate_costs(jobs: Sequence[PocketJob], accelerator: Accelerator) -> list[TrainingEstimate]:
    """Return an estimate for each job, in order; every size is tried once, for a second or so.

    Raises:
        BackendError: memory does not suffice for one of them.
    """
    job_of_size = {job.size: job for job in jobs}
    paces = {size: _measure_pace(job, accelerator) for size, job in job_of_size.items()}
    return [
        TrainingEstimate(
            job=job,
            **job.count_work(job.recipe.n_steps),
            seconds=paces[job.size] * job.recipe.n_steps,
        )
        for job in jobs
    ]


def _measure_pace(job: PocketJob, accelerator: Accelerator) -> float:
    """Return the seconds of a mean step: one of every ``long_every`` is a long one."""
    n_short = job.recipe.long_every - 1
    with explain_full_memory(job.name):
        network = job.make_network()
        check_free_memory(job.name, job.estimate_bytes(network), accelerator.device)
        network = network.to(accelerator.device)
        optimizer = job.make_optimizer(network)
        seconds: dict[int, float] = {}
        for step in (0, 0, n_short):  # the first one warms up; the last one is long
            start = time.monotonic()
            loss = job.compute_loss(network, step)
            accelerator.backward(loss)
            optimizer.step()
            loss.item()
            seconds[step] = time.monotonic() - start
    return (seconds[0] * n_short + seconds[n_short]) / job.recipe.long_every


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
    """Pack a model, and the copies of it that were kept on the way."""
    _pack_folder(folder, target, _PACKED_FILES)
    for copy in sorted(folder.glob("step*")):
        if is_done(copy):
            _pack_folder(copy, target / copy.name, ("recipe.json",))
    return target


def _pack_folder(folder: Path, target: Path, names: Iterable[str]) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float16).save_pretrained(target)
    AutoTokenizer.from_pretrained(folder).save_pretrained(target)
    (target / "model.safetensors").chmod(0o644)  # as every other file of a package
    for name in names:
        shutil.copyfile(folder / name, target / name)
