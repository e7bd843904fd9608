"""Labelled images: scikit-learn's bundled digits, or sets that torchvision fetches."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cotkit.errors import MissingDataError, MissingDependencyError, UnknownNameError

NAMES = ("digits", "mnist", "omniglot", "cifar100")
"""What :func:`images` knows."""
_MOST = 20_000
"""Images used of a fetched set: of each half at most this many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
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


def images(name: str, cache: Path) -> Images:
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
    pixels, labels = _digits() if name == "digits" else _fetched(name, cache)
    order = np.random.default_rng(0).permutation(len(pixels))[: 2 * _MOST]
    ours, theirs = order[::2], order[1::2]
    return Images(
        name=name,
        train=pixels[ours],
        train_labels=labels[ours],
        test=pixels[theirs],
        test_labels=labels[theirs],
    )


def _digits() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    try:
        from sklearn.datasets import load_digits
    except ImportError as missing:
        raise MissingDependencyError("scikit-learn", "lab") from missing
    found: Any = load_digits()
    return (found.images / 16).astype(np.float32), found.target.astype(np.int64)


def _fetched(name: str, cache: Path) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
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
