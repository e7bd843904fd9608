"""Labels in context by model size: who follows wrong ones, in words of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from cotkit.analysis.following import FLIPPED, label_fall, label_symbols
from cotkit.analysis.scale.grid import Axis
from cotkit.analysis.scale.values import Point, SizeLabel
from cotkit.analysis.scale.words import format_size_with_gain, join_words
from cotkit.registry import parse_spec


def relabel_points(points: Sequence[Point], arm: str, margin: float) -> tuple[Point, ...]:
    """Return points of an arm with wrong labels, or symbols, labelled as `following` labels it."""
    is_flipped = parse_spec(arm).name == FLIPPED

    def relabel(point: Point) -> SizeLabel:
        if point.label == "missing":
            return point.label
        label = label_fall(point.interval, margin) if is_flipped else label_symbols(point.label)
        return cast("SizeLabel", label)  # an interval alone gives no other

    return tuple(replace(point, label=relabel(point)) for point in points)


_WORDS: dict[SizeLabel, str] = {
    "falls": "follows its wrong labels at",
    "keeps_prior": "keeps its prior at",
    "better": "is solved better than the labels themselves at",
    "worse": "is solved worse than the labels themselves at",
    "no_better": "is solved no better than the labels themselves at",
    "undetermined": "cannot be decided at",
}


def label_sentence(arm: str, control: str, points: Sequence[Point], axis: Axis) -> str:
    """Say at which sizes which label stands; ``points``: relabelled, of known size."""
    parts: list[str] = []
    for label, words in _WORDS.items():
        if members := [point for point in points if point.label == label]:
            sizes = join_words([format_size_with_gain(point, axis) for point in members])
            parts.append(f"{words} {sizes}")
    answer = "; ".join(parts) or "was measured at no known size"
    return f"{arm} against {control} by size: {answer}."
