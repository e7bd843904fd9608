"""Train the families and measure them on images that they were not trained on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from cotkit.errors import MissingDataError, MissingDependencyError, UnknownNameError, UsageError
from cotkit.labs.mirage_judge import CLOSE, FamilyResults
from cotkit.labs.trainer import Trainer, TrainingJob

Floats: TypeAlias = NDArray[np.float64]
Loss: TypeAlias = Callable[[torch.nn.Module, int], torch.Tensor]

_NAMES = {"lenet": "LeNet", "autoencoder": "Autoencoder", "transformer": "Transformer"}
_AT_ONCE = 500  # images, or sequences, measured at one time


def measure_families(
    recipe: MirageRecipe, seed: int, out: Path, trainer: Trainer
) -> list[FamilyResults]:
    """Every family of the recipe, trained (or found trained in ``out``) and measured.

    Args:
        recipe: What to train.
        seed: The first of the seeds; each size has ``recipe.n_seeds``.
        out: Folder of the networks.
        trainer: How and where.

    Raises:
        CotkitError: as :func:`images` and :meth:`Trainer.fit`.
    """
    sets = {family.data: load_images(family.data, out / "data") for family in recipe.families}
    found: list[FamilyResults] = []
    for family in recipe.families:
        of = sets[family.data]
        outputs: list[list[Floats]] = []
        sizes: list[int] = []
        for width in family.widths:
            made = [
                trainer.fit(*_make_training(recipe, family, width, of, seed=seed + i, out=out))
                for i in range(recipe.n_seeds)
            ]
            sizes.append(count_params(made[0]))
            outputs.append([_test_outputs(recipe, family, one, of) for one in made])
        found.append(_measure_family(recipe, family, sizes, np.asarray(outputs), of))
    return found


def _make_training(
    recipe: MirageRecipe, family: NetworkFamily, width: int, of: ImageSet, *, seed: int, out: Path
) -> tuple[TrainingJob, torch.nn.Module, Loss]:
    job = TrainingJob(
        name=f"{family.kind}-{width}-seed{seed}",
        out=out,
        recipe={
            "kind": family.kind,
            "data": family.data,
            "width": width,
            "batch": family.batch,
            "length": recipe.most if family.kind == "transformer" else 1,
            "seed": seed,
        },
        n_steps=family.n_steps,
        peak_rate=family.peak_rate,
    )
    torch.manual_seed(seed)
    made = make_network(family, width, of.train.shape[-1], of.n_classes)
    return job, made, _make_loss(recipe, family, of, seed)


def _make_loss(recipe: MirageRecipe, family: NetworkFamily, of: ImageSet, seed: int) -> Loss:
    pixels, labels = torch.from_numpy(of.train), torch.from_numpy(of.train_labels)
    shape = (family.batch, recipe.most) if family.kind == "transformer" else (family.batch,)

    def loss(made: torch.nn.Module, step: int) -> torch.Tensor:
        device = next(made.parameters()).device
        chosen = np.random.default_rng([seed, step]).integers(0, len(pixels), shape)
        shown, named = pixels[chosen].to(device), labels[chosen].to(device)
        if family.kind == "autoencoder":
            return functional.mse_loss(made(shown), shown)
        said = made(shown, named) if family.kind == "transformer" else made(shown)
        return functional.cross_entropy(said.flatten(0, -2), named.flatten())

    return loss


@torch.no_grad()
def _test_outputs(
    recipe: MirageRecipe, family: NetworkFamily, made: torch.nn.Module, of: ImageSet
) -> Floats:
    """[images] right or squared error; of a transformer [sequences x length] right."""
    device = next(made.parameters()).device
    pixels, labels = torch.from_numpy(of.test), torch.from_numpy(of.test_labels)
    if family.kind == "transformer":  # sequences that share no image
        n = len(pixels) // recipe.most
        pixels = pixels[: n * recipe.most].unflatten(0, (n, recipe.most))
        labels = labels[: n * recipe.most].unflatten(0, (n, recipe.most))
    parts: list[torch.Tensor] = []
    for shown, named in zip(pixels.split(_AT_ONCE), labels.split(_AT_ONCE), strict=True):
        given, right = shown.to(device), named.to(device)
        if family.kind == "autoencoder":
            parts.append((made(given) - given).square().flatten(1).sum(-1))
        else:
            said = made(given, right) if family.kind == "transformer" else made(given)
            parts.append((said.argmax(-1) == right).double())
    return torch.cat(parts).double().cpu().numpy()


def _measure_family(
    recipe: MirageRecipe, family: NetworkFamily, sizes: list[int], outputs: Floats, of: ImageSet
) -> FamilyResults:
    """``outputs``: [sizes x seeds x ...]."""
    metrics: dict[str, Floats] = {}
    if family.kind == "autoencoder":
        centre = of.test.mean(0)
        variance = float(np.square(of.test - centre).sum((1, 2)).mean())
        metrics["variance explained"] = 1 - outputs.mean(1) / variance
        metrics["reconstructed"] = (outputs < CLOSE * variance).mean(1)
    elif family.kind == "transformer":
        metrics["accuracy per image"] = outputs.mean((1, 3))
        for k in range(2, recipe.most + 1):
            metrics[f"sequence accuracy L={k}"] = outputs[..., :k].all(-1).mean(1)
    return FamilyResults(
        name=_NAMES[family.kind],
        data=family.data,
        sizes=tuple(sizes),
        metrics=metrics,
        right=outputs if family.kind == "lenet" else None,
        most=recipe.most,
    )


# The networks, untrained; torch is imported here and in ``measuring.py`` only.


def make_network(family: NetworkFamily, width: int, side: int, n_classes: int) -> nn.Module:
    """One network for square images; its weights depend on torch's seed alone."""
    match family.kind:
        case "lenet":
            return lenet(width, side, n_classes)
        case "autoencoder":
            return autoencoder(width, side)
        case "transformer":
            return Transformer(width, side, n_classes)


def lenet(width: int, side: int, n_classes: int) -> nn.Module:
    """Two convolutions of 3x3 with pooling and two full layers (after LeCun 1998: tanh).

    [images x side x side] -> [images x classes], logits.
    """
    last = side // 4
    return nn.Sequential(
        nn.Unflatten(1, (1, side)),
        nn.Conv2d(1, width, 3, padding=1),
        nn.Tanh(),
        nn.MaxPool2d(2),
        nn.Conv2d(width, 2 * width, 3, padding=1),
        nn.Tanh(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(2 * width * last * last, 4 * width),
        nn.Tanh(),
        nn.Linear(4 * width, n_classes),
    )


def autoencoder(width: int, side: int) -> nn.Module:
    """One hidden layer of ``width`` units, nonlinear: [images x side x side], the same back."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(side * side, width),
        nn.LeakyReLU(0.2),  # a unit of a narrow one that died would take its whole size along
        nn.Linear(width, side * side),
        nn.Unflatten(1, (side, side)),
    )


class Transformer(nn.Module):
    """Reads image, label, image, label, ...; at each image it names its label.

    GPT-2's blocks, two of them; images come through a convolution, as in the paper.
    """

    def __init__(self, width: int, side: int, n_classes: int) -> None:
        from transformers import GPT2Config, GPT2Model

        super().__init__()
        self.image = nn.Sequential(
            nn.Conv2d(1, 8, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(8 * ((side + 1) // 2) ** 2, width),
        )
        self.label = nn.Embedding(n_classes, width)
        config = GPT2Config(
            vocab_size=1,
            n_positions=64,
            n_embd=width,
            n_layer=2,
            n_head=max(1, width // 16),
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            use_cache=False,
            bos_token_id=None,
            eos_token_id=None,
        )
        self.blocks = GPT2Model(config)
        del self.blocks.wte  # nothing here is a word
        self.head = nn.Linear(width, n_classes)

    def forward(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """[sequences x length x side x side], [sequences x length] -> logits of each label."""
        n, length, side, _ = images.shape
        seen = self.image(images.reshape(n * length, 1, side, side)).reshape(n, length, -1)
        woven = torch.stack([seen, self.label(labels)], dim=2).reshape(n, 2 * length, -1)
        read: Any = self.blocks(inputs_embeds=woven[:, :-1])
        return self.head(read.last_hidden_state[:, ::2])


def count_params(made: nn.Module) -> int:
    """Numbers trained."""
    return sum(p.numel() for p in made.parameters())


# What is trained: three families of networks, each smallest to largest, some seeds of each size.
#
# Section 5 of Schaeffer et al. 2023 (arXiv:2304.15004) and its appendix B name the families and
# their metrics; widths, steps and rates are ours.


Kind = Literal["lenet", "autoencoder", "transformer"]
KINDS: tuple[Kind, ...] = ("lenet", "autoencoder", "transformer")
"""In the order of the report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkFamily:
    """Networks that differ in width only."""

    kind: Kind
    """Which network."""
    data: str
    """Which images."""
    widths: tuple[int, ...]
    """Channels of the first layer, units of the bottleneck, or width of the residual stream."""
    n_steps: int
    """Optimizer steps of every size."""
    batch: int = 64
    """Images, or sequences, of one step."""
    peak_rate: float
    """Highest learning rate of AdamW."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MirageRecipe:
    """The whole experiment."""

    families: tuple[NetworkFamily, ...]
    """What is trained."""
    n_seeds: int
    """Networks of each size: first weights and order of the data differ."""
    most: int = 5
    """Largest K of the subsets, and images of a sequence."""


PRESETS: Mapping[str, MirageRecipe] = MappingProxyType(
    {
        "cpu": MirageRecipe(
            n_seeds=3,
            families=(
                NetworkFamily(
                    kind="lenet",
                    data="digits",
                    widths=(1, 2, 3, 4, 6, 8, 12, 16, 24),
                    n_steps=100,
                    peak_rate=0.001,
                ),
                NetworkFamily(
                    kind="autoencoder",
                    data="digits",
                    widths=(1, 2, 4, 8, 16, 32, 64),
                    n_steps=1000,
                    peak_rate=0.005,
                ),
                NetworkFamily(
                    kind="transformer",
                    data="digits",
                    widths=(4, 6, 8, 12, 16, 24, 32, 48),
                    n_steps=40,
                    peak_rate=0.001,
                ),
            ),
        ),
        "paper": MirageRecipe(
            n_seeds=5,
            families=(
                NetworkFamily(
                    kind="lenet",
                    data="mnist",
                    widths=(1, 2, 3, 4, 6, 8, 12, 16, 24, 32),
                    n_steps=5_000,
                    peak_rate=0.002,
                ),
                NetworkFamily(
                    kind="autoencoder",
                    data="cifar100",
                    widths=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024),
                    n_steps=20_000,
                    peak_rate=0.001,
                ),
                NetworkFamily(
                    kind="transformer",
                    data="omniglot",
                    widths=(8, 16, 32, 64, 128, 256),
                    n_steps=20_000,
                    peak_rate=0.001,
                ),
            ),
        ),
    }
)
"""``cpu``: bundled digits, minutes. ``paper``: the paper's images, hours, better on a GPU."""


def recipe_of(
    preset: str, *, only: str = "all", data: str | None = None, n_steps: int | None = None
) -> MirageRecipe:
    """A preset, or a part of it.

    Args:
        preset: One of ``PRESETS``.
        only: Kinds of families, with commas; ``all``.
        data: Images for all families, in place of the preset's.
        n_steps: Steps of every network, in place of the preset's.

    Raises:
        UnknownNameError: no such preset or family.
        UsageError: fewer than one step.
    """
    if preset not in PRESETS:
        raise UnknownNameError("preset", preset, PRESETS)
    if n_steps is not None and n_steps < 1:
        raise UsageError(f"--steps {n_steps} trains nothing", hint="1 or more")
    wanted = set(KINDS) if only == "all" else {name.strip() for name in only.split(",")}
    for name in sorted(wanted - set(KINDS)):
        raise UnknownNameError("family of the lab", name, [*KINDS, "all"])
    recipe = PRESETS[preset]
    families = tuple(
        replace(one, data=data or one.data, n_steps=n_steps or one.n_steps)
        for one in recipe.families
        if one.kind in wanted
    )
    return replace(recipe, families=families)


# Labelled images: scikit-learn's bundled digits, or sets that torchvision fetches.


NAMES = ("digits", "mnist", "omniglot", "cifar100")
"""What :func:`images` knows."""
_MOST = 20_000
"""Images used of a fetched set: of each half at most this many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSet:
    """Two halves that share no image."""

    name: str
    """One of ``NAMES``."""
    train: NDArray[np.float32]
    """[images x height x width], 0..1."""
    train_labels: NDArray[np.int64]
    """[images], 0 to ``n_classes - 1``."""
    test: NDArray[np.float32]
    """Never trained on."""
    test_labels: NDArray[np.int64]
    """Of ``test``."""

    @property
    def n_classes(self) -> int:
        """Labels there are."""
        return int(self.train_labels.max()) + 1


def load_images(name: str, cache: Path) -> ImageSet:
    """Load a set; every even image is trained on, every odd one tested, in a fixed random order.

    Args:
        name: ``digits`` (1,797 of 8x8, bundled with scikit-learn), ``mnist`` (28x28),
            ``omniglot`` (28x28, its characters as classes), ``cifar100`` (32x32, grey).
        cache: Where torchvision keeps what it fetched.

    Raises:
        UnknownNameError: no such set.
        MissingDependencyError: scikit-learn or torchvision is not installed.
        MissingDataError: the set is neither here nor reachable.
    """
    if name not in NAMES:
        raise UnknownNameError("data set of the lab", name, NAMES)
    pixels, labels = _load_digits() if name == "digits" else _fetch_images(name, cache)
    order = np.random.default_rng(0).permutation(len(pixels))[: 2 * _MOST]
    ours, theirs = order[::2], order[1::2]
    return ImageSet(
        name=name,
        train=pixels[ours],
        train_labels=labels[ours],
        test=pixels[theirs],
        test_labels=labels[theirs],
    )


def _load_digits() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    try:
        from sklearn.datasets import load_digits
    except ImportError as missing:
        raise MissingDependencyError("scikit-learn", "lab") from missing
    found: Any = load_digits()
    return (found.images / 16).astype(np.float32), found.target.astype(np.int64)


def _fetch_images(name: str, cache: Path) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    try:
        import torchvision.datasets as sets  # pyright: ignore[reportMissingImports] - optional
    except ImportError as missing:
        raise MissingDependencyError("torchvision", "lab-images") from missing
    makers: dict[str, Any] = {
        "mnist": sets.MNIST,
        "omniglot": sets.Omniglot,
        "cifar100": sets.CIFAR100,
    }
    try:
        found = makers[name](str(cache), download=True)
    except (OSError, RuntimeError) as refused:
        raise MissingDataError(
            f"{name} cannot be fetched ({type(refused).__name__})",
            hint=f"--data digits needs no network; or put torchvision's files into {cache}",
        ) from refused
    side = 32 if name == "cifar100" else 28
    rng = np.random.default_rng(0)
    chosen = sorted(rng.permutation(len(found))[: 2 * _MOST].tolist())
    pairs = [found[i] for i in chosen]
    grey = [np.asarray(image.convert("L").resize((side, side))) for image, _ in pairs]
    labels = np.asarray([label for _, label in pairs], dtype=np.int64)
    return (np.stack(grey) / 255).astype(np.float32), labels
