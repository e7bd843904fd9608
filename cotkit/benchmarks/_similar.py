"""Texts by their words: which are alike, and which stand for the others."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

_ROUNDS = 20


@dataclass(frozen=True, slots=True)
class TfIdf:
    """Texts as vectors of their words: count times the logarithm of rarity, length 1."""

    vectors: tuple[dict[str, float], ...]
    """One for each text."""
    rarity: dict[str, float]
    """Word -> log((1 + n) / (1 + number of texts with it)) + 1."""

    @classmethod
    def of(cls, texts: Sequence[str]) -> TfIdf:
        """Return the vectors of texts."""
        words = [_words(text) for text in texts]
        n_with = Counter(word for counts in words for word in counts)
        rarity = {word: math.log((1 + len(texts)) / (1 + n)) + 1 for word, n in n_with.items()}
        return cls(tuple(_normalise(counts, rarity) for counts in words), rarity)

    def rank(self, text: str) -> list[int]:
        """Return the places of the texts, the most similar first."""
        query = _normalise(_words(text), self.rarity)
        scores = [cosine(query, vector) for vector in self.vectors]
        return sorted(range(len(scores)), key=lambda i: (-scores[i], i))


def cosine(first: dict[str, float], second: dict[str, float]) -> float:
    """Return the product of two vectors of length 1, 0..1."""
    small, large = sorted((first, second), key=len)
    return sum(weight * large[word] for word, weight in small.items() if word in large)


def _words(text: str) -> Counter[str]:
    return Counter(re.findall(r"\w+", text.casefold()))


def _normalise(counts: Counter[str], rarity: dict[str, float]) -> dict[str, float]:
    weights = {word: n * rarity[word] for word, n in counts.items() if word in rarity}
    length = math.sqrt(sum(weight * weight for weight in weights.values())) or 1.0
    return {word: weight / length for word, weight in weights.items()}


def cluster(texts: Sequence[str], k: int) -> list[list[int]]:
    """Group texts into k clusters by k-means; each lists its texts' places, the central one first.

    Begins with texts that are far from each other, so that the same texts give the same clusters.
    """
    vectors = TfIdf.of(texts).vectors
    chosen = [0]
    while len(chosen) < min(k, len(texts)):
        nearness = [max(cosine(vector, vectors[i]) for i in chosen) for vector in vectors]
        chosen.append(
            min((i for i in range(len(texts)) if i not in chosen), key=nearness.__getitem__)
        )
    centres = [vectors[i] for i in chosen]
    groups: list[list[int]] = []
    for _ in range(_ROUNDS):
        nearest = [_nearest(vector, centres) for vector in vectors]
        updated = [
            [i for i, n in enumerate(nearest) if n == number] for number in range(len(centres))
        ]
        if updated == groups:
            break
        groups = updated
        centres = [
            _mean([vectors[i] for i in group]) if group else centre
            for group, centre in zip(groups, centres, strict=True)
        ]
    return [
        sorted(group, key=lambda i: (-cosine(vectors[i], centre), i))
        for group, centre in zip(groups, centres, strict=True)
        if group
    ]


def _nearest(vector: dict[str, float], centres: Sequence[dict[str, float]]) -> int:
    return max(range(len(centres)), key=lambda number: (cosine(vector, centres[number]), -number))


def _mean(vectors: Sequence[dict[str, float]]) -> dict[str, float]:
    total: Counter[str] = Counter()
    for vector in vectors:
        total.update(vector)
    length = math.sqrt(sum(weight * weight for weight in total.values())) or 1.0
    return {word: weight / length for word, weight in total.items()}
