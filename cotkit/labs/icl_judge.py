"""Which function classes a network selects in context, and where that ends: a rule on errors.

After Yadlowsky et al. 2023 (arXiv:2311.00871), who judge by eye. Squared errors are of outputs of
variance 1: an error of 1 is that of always answering 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from cotkit.labs.findings import Finding, LabReport, Plot, PlotLine
from cotkit.stats.bootstrap import Floats, percentiles, resampled_sums
from cotkit.stats.intervals import Interval

N_RESAMPLES = 2000
"""Of the bootstrap over prompts."""
LEVEL = 0.95
"""Of each interval."""
MARGIN = 0.1
"""Smallest difference of squared errors that counts."""
LEARNED_BELOW = 0.5
"""A network whose error is not surely below this with the most exemplars has not learned."""

_HIGHEST = 2.0  # error that figures show: least squares of few exemplars errs by thousands

Kind = Literal["seen", "convex", "sparsity", "frequency"]
_CLASSES = ("dense", "sparse", "sine")
_NETWORK: Mapping[Kind, str] = {
    "convex": "dense+sine",
    "sparsity": "dense+sparse",
    "frequency": "dense+sine",
}
_SINGLE: Mapping[Kind, tuple[str, str]] = {
    "convex": ("dense", "sine"),
    "sparsity": ("dense", "sparse"),
    "frequency": ("dense", "sine"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class IclCondition:
    """One test."""

    kind: Kind
    """What is varied."""
    name: str
    """As tables name it; of ``seen`` the class."""
    x: float
    """Its place: share of the sinusoid, weights that are not 0, radians; of ``seen`` no meaning."""
    is_seen: bool
    """Whether the mixture's training had it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionErrors:
    """What everybody's predictions were worth on one test."""

    condition: IclCondition
    """Which."""
    squares: Mapping[str, Floats]
    """Network or baseline -> [prompts x points] squared error; point n had n exemplars. The same
    prompts for all, and x the same in all tests."""


def judge_icl(
    found: Sequence[PredictionErrors], *, n_steps: int, dims: int, seed: int
) -> LabReport:
    """Judge every network on every test."""
    rng = np.random.default_rng(seed)
    seen = {one.condition.name: one for one in found if one.condition.kind == "seen"}
    selection = [
        finding
        for name in _CLASSES
        for mixture in _other_mixtures(seen[name], name)
        for finding in [_judge_selection(seen[name], name, mixture, rng)]
    ]
    beyond = [finding for kind in _NETWORK for finding in _judge_beyond(found, kind, rng)]
    n_prompts = len(next(iter(found[0].squares.values())))
    return LabReport(
        name="icl",
        answers=(
            _answer_sentence(selection, "On classes it was trained on"),
            _answer_sentence(beyond, "Beyond them"),
        ),
        caption=(
            "arXiv:2311.00871",
            f"{dims} dimensions",
            f"{n_steps:,} steps",
            f"{n_prompts:,} prompts a test",
            f"margin {MARGIN} of the variance",
        ),
        facts=(
            ("lab", "icl"),
            ("dims", dims),
            ("n_steps", n_steps),
            ("n_prompts", n_prompts),
            ("seed", seed),
            ("level", LEVEL),
            ("margin", MARGIN),
        ),
        findings=(*selection, *beyond),
        finding_name="excess squared error",
        plots=(
            *(_plot_learning(seen[name], name, rng) for name in _CLASSES),
            *(_plot_unseen(found, kind, rng) for kind in _NETWORK),
        ),
        notes=(f"bootstrap over prompts ({N_RESAMPLES:,} resamples): one network of each mixture",),
    )


def _other_mixtures(of: PredictionErrors, name: str) -> list[str]:
    """Networks of several classes, this one among them."""
    return [one for one in of.squares if "+" in one and name in one.split("+")]


def _judge_selection(
    of: PredictionErrors, name: str, mixture: str, rng: np.random.Generator
) -> Finding:
    """Is the mixture as good as the network that knows nothing but this class?"""
    ours, theirs = of.squares[mixture][:, 1:].mean(1), of.squares[name][:, 1:].mean(1)
    alone, bounds = _mean_interval(_late_errors(of.squares[name]), rng)
    value, interval = _mean_interval(ours - theirs, rng)
    word, verdict = _verdict_words(interval, ("selects", "selects"), ("fails", "does not select"))
    why = f"excess over the {name} network {_format_estimate(value, interval)}"
    if bounds.high >= LEARNED_BELOW:
        word, verdict = "not_learned", "not learned"
        why = f"the {name} network itself errs by {alone:.2f} with the most exemplars"
    return Finding(
        what=f"{mixture} on {name}",
        value=value,
        interval=interval,
        form="change",
        word=word,
        verdict=verdict,
        why=why,
    )


def _judge_beyond(
    found: Sequence[PredictionErrors], kind: Kind, rng: np.random.Generator
) -> list[Finding]:
    """Does the mixture err more off what it has seen, with the most exemplars?"""
    network = _NETWORK[kind]
    of = [one for one in found if one.condition.kind == kind]
    ends = [one for one in of if one.condition.is_seen]
    seen = np.mean([_late_errors(one.squares[network]) for one in ends], axis=0)
    there, bounds = _mean_interval(seen, rng)
    findings: list[Finding] = []
    for what, unseen in _unseen_parts(of, kind):
        if not unseen:
            continue
        away = np.mean([_late_errors(one.squares[network]) for one in unseen], axis=0)
        value, interval = _mean_interval(away - seen, rng)
        word, verdict = _verdict_words(interval, ("holds", "holds"), ("fails", "fails"))
        why = f"excess over the classes seen {_format_estimate(value, interval)}"
        if bounds.high >= LEARNED_BELOW:
            word, verdict = "not_learned", "not learned"
            why = f"it errs by {there:.2f} on the classes seen already"
        findings.append(
            Finding(
                what=f"{network} on {what}",
                value=value,
                interval=interval,
                form="change",
                word=word,
                verdict=verdict,
                why=why,
            )
        )
    return findings


def _unseen_parts(
    of: Sequence[PredictionErrors], kind: Kind
) -> list[tuple[str, list[PredictionErrors]]]:
    unseen = [one for one in of if not one.condition.is_seen]
    if kind != "frequency":
        what = "convex combinations" if kind == "convex" else "intermediate sparsity"
        return [(what, unseen)]
    seen = [one.condition.x for one in of if one.condition.is_seen]
    return [
        ("lower frequencies", [one for one in unseen if one.condition.x < min(seen)]),
        ("higher frequencies", [one for one in unseen if one.condition.x > max(seen)]),
    ]


def _late_errors(squares: Floats) -> Floats:
    """[prompts] mean over the last quarter of the points: those with the most exemplars."""
    return squares[:, -max(1, squares.shape[1] // 4) :].mean(1)


def _mean_interval(values: Floats, rng: np.random.Generator) -> tuple[float, Interval]:
    drawn = resampled_sums(values[:, None], N_RESAMPLES, rng)[:, 0] / len(values)
    return float(values.mean()), percentiles(drawn, LEVEL)


def _verdict_words(
    interval: Interval, below: tuple[str, str], above: tuple[str, str]
) -> tuple[str, str]:
    if interval.high < MARGIN:
        return below
    return above if interval.low > MARGIN else ("undetermined", "undetermined")


def _format_estimate(value: float, interval: Interval) -> str:
    return f"{value:+.3f} ({interval.low:+.3f} to {interval.high:+.3f})"


def _answer_sentence(findings: Sequence[Finding], where: str) -> str:
    """One sentence: each finding with its verdict, then the numbers."""
    words = ", ".join(f"{one.what} {one.verdict}" for one in findings)
    return f"{where}: {words}; {'; '.join(f'{one.what}: {one.why}' for one in findings)}."


def _plot_learning(of: PredictionErrors, name: str, rng: np.random.Generator) -> Plot:
    """Errors by number of exemplars, of the networks that know the class and of the baselines."""
    names = [one for one in of.squares if name in one.split("+")]
    names += [one for one in of.squares if one[0].isupper() or " " in one]
    n_points = of.squares[name].shape[1]
    return Plot(
        key=f"seen-{name}",
        title=f"In-context error on {name} functions",
        caption="Mean squared error of the next output; always answering 0 errs by 1; errors above "
        f"{_HIGHEST:g} are in the table only",
        x_name="exemplars",
        x_form="count",
        x_is_log=False,
        y_name="squared error",
        y_form="value",
        y_most=_HIGHEST,
        lines=tuple(
            _make_line(one, [float(n) for n in range(n_points)], list(of.squares[one].T), rng)
            for one in names
            if name != "sine" or one != "Lasso"
        ),
    )


def _plot_unseen(found: Sequence[PredictionErrors], kind: Kind, rng: np.random.Generator) -> Plot:
    of = sorted((one for one in found if one.condition.kind == kind), key=lambda e: e.condition.x)
    names = [_NETWORK[kind], *_SINGLE[kind], "least squares"]
    names += ["Lasso"] if kind == "sparsity" else []
    title, x_name = {
        "convex": ("Convex combinations of linear and sine", "share of the sinusoid, %"),
        "sparsity": ("Linear functions between sparse and dense", "weights that are not 0"),
        "frequency": ("Sinusoids of other frequencies", "radians a unit of x"),
    }[kind]
    seen = ", ".join(one.condition.name for one in of if one.condition.is_seen)
    return Plot(
        key=kind,
        title=title,
        caption=f"With the most exemplars (last quarter of the prompt); in training: {seen}",
        x_name=x_name,
        x_form="share" if kind == "convex" else "count" if kind == "sparsity" else "value",
        x_is_log=kind == "frequency",
        y_name="squared error",
        y_form="value",
        y_most=_HIGHEST,
        lines=tuple(
            _make_line(
                name,
                [one.condition.x for one in of],
                [_late_errors(one.squares[name]) for one in of],
                rng,
            )
            for name in names
        ),
    )


def _make_line(
    name: str, x: Sequence[float], values: Sequence[Floats], rng: np.random.Generator
) -> PlotLine:
    drawn = resampled_sums(np.stack(list(values), axis=1), N_RESAMPLES, rng) / len(values[0])
    return PlotLine(
        key=name,
        name=name,
        x=tuple(x),
        y=tuple(float(one.mean()) for one in values),
        intervals=tuple(percentiles(column, LEVEL) for column in drawn.T),
        is_reference=name in {"least squares", "Lasso"},
    )
