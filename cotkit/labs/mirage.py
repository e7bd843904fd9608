"""Train families of image networks and measure them on images that they were not trained on.

Section 5 of Schaeffer et al. 2023 (arXiv:2304.15004) and its appendix B name the families and
their metrics; widths, steps and rates are chosen here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from cotkit.errors import MissingDataError, MissingDependencyError, UnknownNameError
from cotkit.labs.mirage_judge import CLOSE, FamilyResults
from cotkit.labs.networks import make_blocks, read_firsts, weave_pairs
from cotkit.labs.trainer import Schedule, Trainer, TrainingJob, count_params

Floats: TypeAlias = NDArray[np.float64]

Kind = Literal["lenet", "autoencoder", "transformer"]
KINDS: Mapping[Kind, str] = MappingProxyType(
    {"lenet": "LeNet", "autoencoder": "Autoencoder", "transformer": "Transformer"}
)
"""Kinds of networks, in the order of the report, with their names there."""


# What is trained: three families of networks, each smallest to largest, some seeds of each size.


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


def find_recipe(
    preset: str, *, only: str = "all", data: str | None = None, n_steps: int | None = None
) -> MirageRecipe:
    """Return a preset, or a part of it.

    Args:
        preset: One of ``PRESETS``.
        only: Kinds of families, with commas; ``all``.
        data: Images for all families, in place of the preset's.
        n_steps: Steps of every network, in place of the preset's.

    Raises:
        UnknownNameError: no such preset or family.
    """
    if preset not in PRESETS:
        raise UnknownNameError("preset", preset, PRESETS)
    kinds = set(KINDS) if only == "all" else {name.strip() for name in only.split(",")}
    for name in sorted(kinds - set(KINDS)):
        raise UnknownNameError("family of the lab", name, [*KINDS, "all"])
    recipe = PRESETS[preset]
    families = tuple(
        replace(family, data=data or family.data, n_steps=n_steps or family.n_steps)
        for family in recipe.families
        if family.kind in kinds
    )
    return replace(recipe, families=families)


# Labelled images: scikit-learn's bundled digits, or sets that torchvision fetches.


IMAGE_SETS = ("digits", "mnist", "omniglot", "cifar100")
"""What :func:`load_images` can load."""
_MOST = 20_000
"""Images used of a fetched set: of each half at most this many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSet:
    """Two halves that share no image."""

    name: str
    """One of ``IMAGE_SETS``."""
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
        """Number of different labels."""
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
    if name not in IMAGE_SETS:
        raise UnknownNameError("data set of the lab", name, IMAGE_SETS)
    pixels, labels = _load_digits() if name == "digits" else _fetch_images(name, cache)
    order = np.random.default_rng(0).permutation(len(pixels))[: 2 * _MOST]
    train, test = order[::2], order[1::2]
    return ImageSet(
        name=name,
        train=pixels[train],
        train_labels=labels[train],
        test=pixels[test],
        test_labels=labels[test],
    )


def _load_digits() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    try:
        from sklearn.datasets import load_digits
    except ImportError as missing:
        raise MissingDependencyError("scikit-learn", "lab") from missing
    digits: Any = load_digits()
    return (digits.images / 16).astype(np.float32), digits.target.astype(np.int64)


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
        fetched = makers[name](str(cache), download=True)
    except (OSError, RuntimeError) as error:
        raise MissingDataError(
            f"{name} cannot be fetched ({type(error).__name__})",
            hint=f"--data digits needs no network; or put torchvision's files into {cache}",
        ) from error
    side = 32 if name == "cifar100" else 28
    rng = np.random.default_rng(0)
    chosen = sorted(rng.permutation(len(fetched))[: 2 * _MOST].tolist())
    pairs = [fetched[i] for i in chosen]
    grey = [np.asarray(image.convert("L").resize((side, side))) for image, _ in pairs]
    labels = np.asarray([label for _, label in pairs], dtype=np.int64)
    return (np.stack(grey) / 255).astype(np.float32), labels


# The networks, untrained.


def make_network(kind: Kind, width: int, side: int, n_classes: int) -> nn.Module:
    """Return a network for square images; its weights depend on torch's seed alone."""
    match kind:
        case "lenet":
            return make_lenet(width, side, n_classes)
        case "autoencoder":
            return make_autoencoder(width, side)
        case "transformer":
            return ImageTransformer(width, side, n_classes)


def make_lenet(width: int, side: int, n_classes: int) -> nn.Module:
    """Return two convolutions of 3x3 with pooling and two full layers (after LeCun 1998: tanh).

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


def make_autoencoder(width: int, side: int) -> nn.Module:
    """Return one hidden layer of ``width`` units, nonlinear: [images x side x side] -> the same."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(side * side, width),
        nn.LeakyReLU(0.2),  # a dead unit of a narrow network would spoil the whole size
        nn.Linear(width, side * side),
        nn.Unflatten(1, (side, side)),
    )


class ImageTransformer(nn.Module):
    """Reads image, label, image, label, ...; at each image it predicts its label.

    GPT-2's blocks, two of them; images come through a convolution, as in the paper.
    """

    def __init__(self, width: int, side: int, n_classes: int) -> None:
        super().__init__()
        self.image = nn.Sequential(
            nn.Conv2d(1, 8, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(8 * ((side + 1) // 2) ** 2, width),
        )
        self.label = nn.Embedding(n_classes, width)
        self.blocks = make_blocks(
            width=width, n_positions=64, n_layers=2, n_heads=max(1, width // 16)
        )
        self.head = nn.Linear(width, n_classes)

    def forward(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the logits of each label: [sequences x length x labels].

        ``images``: [sequences x length x side x side]; ``labels``: [sequences x length].
        """
        n, length, side, _ = images.shape
        embedded = self.image(images.reshape(n * length, 1, side, side)).reshape(n, length, -1)
        woven = weave_pairs(embedded, self.label(labels))
        return self.head(read_firsts(self.blocks, woven))


# Training and measuring.


@dataclass(frozen=True, slots=True, kw_only=True)
class MirageJob(TrainingJob):
    """One network of a family to train."""

    family: NetworkFamily
    """Its family."""
    width: int
    """One of the family's widths."""
    length: int
    """Images of a sequence; 1: the network reads single images."""
    images: ImageSet
    """What it is trained on."""

    @property
    def name(self) -> str:
        """``lenet-4-seed1``."""
        return f"{self.family.kind}-{self.width}-seed{self.seed}"

    @property
    def schedule(self) -> Schedule:
        """The family's."""
        return Schedule(n_steps=self.family.n_steps, peak_rate=self.family.peak_rate)

    @property
    def settings(self) -> Mapping[str, object]:
        """Network, data and seed."""
        return {
            "kind": self.family.kind,
            "data": self.family.data,
            "width": self.width,
            "batch": self.family.batch,
            "length": self.length,
            "seed": self.seed,
        }

    def make_network(self) -> nn.Module:
        """Return the untrained network."""
        torch.manual_seed(self.seed)
        side = self.images.train.shape[-1]
        return make_network(self.family.kind, self.width, side, self.images.n_classes)

    def compute_loss(self, network: nn.Module, step: int) -> torch.Tensor:
        """Return the cross-entropy of labels, or the squared error of an autoencoder's pixels."""
        kind, batch = self.family.kind, self.family.batch
        device = next(network.parameters()).device
        shape = (batch, self.length) if kind == "transformer" else (batch,)
        rng = np.random.default_rng([self.seed, step])
        chosen = rng.integers(0, len(self.images.train), shape)
        pixels = torch.from_numpy(self.images.train[chosen]).to(device)
        labels = torch.from_numpy(self.images.train_labels[chosen]).to(device)
        if kind == "autoencoder":
            return functional.mse_loss(network(pixels), pixels)
        logits = network(pixels, labels) if kind == "transformer" else network(pixels)
        return functional.cross_entropy(logits.flatten(0, -2), labels.flatten())


def measure_families(
    recipe: MirageRecipe, seed: int, out: Path, trainer: Trainer
) -> list[FamilyResults]:
    """Train every family of the recipe, or load what ``out`` holds of it, and measure it.

    Args:
        recipe: What to train.
        seed: The first of the seeds; each size has ``recipe.n_seeds``.
        out: Folder of the networks.
        trainer: How and where.

    Raises:
        CotkitError: as :func:`load_images` and :meth:`Trainer.fit`.
    """
    image_sets = {family.data: load_images(family.data, out / "data") for family in recipe.families}
    results: list[FamilyResults] = []
    for family in recipe.families:
        images = image_sets[family.data]
        outputs: list[list[Floats]] = []
        sizes: list[int] = []
        for width in family.widths:
            networks = [
                trainer.fit(
                    MirageJob(
                        family=family,
                        width=width,
                        length=recipe.most if family.kind == "transformer" else 1,
                        images=images,
                        seed=seed + i,
                        out=out,
                    )
                )
                for i in range(recipe.n_seeds)
            ]
            sizes.append(count_params(networks[0]))
            outputs.append(
                [_test_outputs(family.kind, network, images, recipe.most) for network in networks]
            )
        results.append(_measure_family(recipe, family, sizes, np.asarray(outputs), images))
    return results


_AT_ONCE = 500  # images, or sequences, measured at one time


@torch.no_grad()
def _test_outputs(kind: Kind, network: nn.Module, images: ImageSet, length: int) -> Floats:
    """Return whether each label is right, or the squared error of each image.

    [images]; of a transformer [sequences x length].
    """
    device = next(network.parameters()).device
    pixels, labels = torch.from_numpy(images.test), torch.from_numpy(images.test_labels)
    if kind == "transformer":  # sequences that share no image
        n = len(pixels) // length
        pixels = pixels[: n * length].unflatten(0, (n, length))
        labels = labels[: n * length].unflatten(0, (n, length))
    parts: list[torch.Tensor] = []
    for some_pixels, some_labels in zip(
        pixels.to(device).split(_AT_ONCE), labels.to(device).split(_AT_ONCE), strict=True
    ):
        if kind == "autoencoder":
            errors = network(some_pixels) - some_pixels
            parts.append(errors.square().flatten(1).sum(-1))
        else:
            inputs = (some_pixels, some_labels) if kind == "transformer" else (some_pixels,)
            parts.append((network(*inputs).argmax(-1) == some_labels).double())
    return torch.cat(parts).double().cpu().numpy()


def _measure_family(
    recipe: MirageRecipe, family: NetworkFamily, sizes: list[int], outputs: Floats, images: ImageSet
) -> FamilyResults:
    """Compute the family's metrics from ``outputs``: [sizes x seeds x ...]."""
    metrics: dict[str, Floats] = {}
    if family.kind == "autoencoder":
        centre = images.test.mean(0)
        variance = float(np.square(images.test - centre).sum((1, 2)).mean())
        metrics["variance explained"] = 1 - outputs.mean(1) / variance
        metrics["reconstructed"] = (outputs < CLOSE * variance).mean(1)
    elif family.kind == "transformer":
        metrics["accuracy per image"] = outputs.mean((1, 3))
        for k in range(2, recipe.most + 1):
            metrics[f"sequence accuracy L={k}"] = outputs[..., :k].all(-1).mean(1)
    return FamilyResults(
        name=KINDS[family.kind],
        data=family.data,
        sizes=tuple(sizes),
        metrics=metrics,
        right=outputs if family.kind == "lenet" else None,
        most=recipe.most,
    )
