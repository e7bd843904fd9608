"""Warnings beside a scale analysis."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cotkit.analysis.clustered import MIN_CLUSTERS
from cotkit.analysis.scale.inputs import Question, Rung
from cotkit.analysis.scale.ladder import Ladder
from cotkit.analysis.scale.points import CEILING, Curves, Pair
from cotkit.analysis.scale.setting import Setting
from cotkit.analysis.scale.values import Point
from cotkit.analysis.scale.wording import listed


def family_of(rungs: Sequence[Rung]) -> str | None:
    """The one family of all; None: several, or not known of all."""
    families = {rung.family for rung in rungs}
    return families.pop() if len(families) == 1 else None


def notes(setting: Setting, curves: Curves) -> tuple[str, ...]:
    """All that a reader must see, the gravest first."""
    ladder = setting.ladder
    found = [*_families(ladder), *_sizes(ladder), *_simultaneous(setting.question, curves)]
    for pair, points in curves.points.items():
        found += _of_pair(pair, points)
    found += _clusters(setting, curves)
    if any(point.method == "newcombe" for point in _all(curves)):
        found.append(
            "only totals are known of some models: their arms are taken as independent samples, "
            "which makes intervals too wide if they agree more than by chance"
        )
    return tuple(found)


def _families(ladder: Ladder) -> list[str]:
    if family_of(ladder.rungs) is not None:
        return []
    names = sorted({rung.family or "unknown" for rung in ladder.rungs})
    if names == ["unknown"]:
        return [
            (
                "the models' families are not known: if they differ in more than size, an onset on "
                "this axis says less than it seems to"
            )
        ]
    said = f"the models are of several families ({', '.join(names)})"
    if ladder.axis in {"params", "active-params"}:
        return [
            (
                f"{said}: they differ in data and training, too, and at one size that alone moves "
                "solve rates by tens of points; the onset is one of these models, not of size"
            )
        ]
    return [f"{said}: what else differs between them than {ladder.axis} may make the onset"]


def _sizes(ladder: Ladder) -> list[str]:
    found: list[str] = []
    unknown = [rung.model for rung in ladder.rungs[ladder.n_known :]]
    if unknown:
        found.append(
            f"left out of the onset, for its place on the axis {ladder.axis} is not known: "
            f"{listed(unknown)}"
        )
    bounds = [rung.model for rung in ladder.rungs if rung.flops_is_bound]
    if ladder.axis == "flops" and bounds:
        found.append(f"the FLOPs of {listed(bounds)} are upper bounds")
    return found


def _simultaneous(question: Question, curves: Curves) -> list[str]:
    if question.assume_sustained:
        return [
            (
                "it is assumed that help, once begun, does not stop with size: lower ends step "
                "down from the largest model; under a ceiling this finds hardly anything"
            )
        ]
    if curves.n_intervals < 2:
        return []
    return [
        (
            f"each of the {curves.n_intervals} intervals of gains is at "
            f"{100 * curves.level:.4g} %, so that all hold together at {100 * question.level:.4g} %"
        )
    ]


def _of_pair(pair: Pair, points: Sequence[Point]) -> list[str]:
    arm, control = pair
    of_pair = f"{arm} over {control}"
    whole = max((point.n for point in points), default=0)
    kinds = (
        ([p for p in points if p.n == 0], f"{of_pair} has holes: nothing was measured at"),
        (
            [p for p in points if 0 < p.n < whole and p.method != "newcombe"],
            f"{of_pair}: fewer problems than elsewhere were completed by both at",
        ),
        (
            [p for p in points if p.is_floor],
            f"floor: {arm} and {control} solved nothing, so a gain near 0 says nothing, at",
        ),
        (
            [p for p in points if p.is_ceiling],
            (
                f"ceiling: {control} solves {100 * CEILING:.0f} % or more, so a small gain of "
                f"{arm} is no evidence against it, at"
            ),
        ),
    )
    return [f"{what} {listed(_models(found))}" for found, what in kinds if found]


def _clusters(setting: Setting, curves: Curves) -> list[str]:
    methods = {point.method for point in _all(curves)}
    found: list[str] = []
    if methods & {"bootstrap-t", "sign-flip"}:
        clusters = setting.grid.clusters
        names = None if setting.codes is None or clusters is None else len(set(clusters))
        found.append(
            "several samples of a problem count as one problem"
            if names is None
            else f"problems share {names} clusters: intervals are by clusters, not by problems"
        )
    if "sign-flip" in methods:
        found.append(
            f"fewer than {MIN_CLUSTERS} clusters: intervals are of the sign-flip permutation, "
            "which assumes that deviations are as likely up as down"
        )
    return found


def _models(points: Iterable[Point]) -> list[str]:
    return [point.rung.model for point in points]


def _all(curves: Curves) -> list[Point]:
    return [point for points in curves.points.values() for point in points]
