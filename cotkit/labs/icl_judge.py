"""Judge which function classes a network selects in context, and where that ends.

After Yadlowsky et al. 2023 (arXiv:2311.00871), who judge by eye. Squared errors are of outputs of
variance 1: an error of 1 is that of always answering 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from cotkit.labs.report import Finding, LabReport, Plot, PlotLine
from cotkit.report.document import Words
from cotkit.report.verdicts import verdict_cell
from cotkit.stats.bootstrap import Floats, percentiles, resampled_sums
from cotkit.stats.hypotheses import sidak_level
from cotkit.stats.intervals import Interval

N_RESAMPLES = 2000
"""Of the bootstrap over prompts."""
LEVEL = 0.95
"""Of each interval."""
MARGIN = 0.1
"""Smallest difference of squared errors that counts."""
LEARNED_BELOW = 0.5
"""A network whose error is not surely below this with the most exemplars has not learned."""

_SELECTION = (
    Words(text="selects", raw="selects", tone="good"),
    Words(text="does not select", raw="fails", tone="bad"),
)
_TRANSFER = (
    Words(text="holds", raw="holds", tone="good"),
    Words(text="fails", raw="fails", tone="bad"),
)
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
    """Squared errors of all networks and baselines on one test."""

    condition: IclCondition
    """Which."""
    squares: Mapping[str, Floats]
    """Network or baseline -> [prompts x points] squared error; point n had n exemplars. The same
    prompts for all, and x the same in all tests."""


def judge_icl(
    errors: Sequence[PredictionErrors], *, n_steps: int, dims: int, seed: int
) -> LabReport:
    """Judge every network on every test."""
    rng = np.random.default_rng(seed)
    of_class = {test.condition.name: test for test in errors if test.condition.kind == "seen"}
    selection = [
        _judge_selection(of_class[name], name, mixture, rng)
        for name in _CLASSES
        for mixture in _other_mixtures(of_class[name], name)
    ]
    beyond = [finding for kind in _NETWORK for finding in _judge_beyond(errors, kind, rng)]
    n_prompts = len(next(iter(errors[0].squares.values())))
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
            *(_plot_learning(of_class[name], name, rng) for name in _CLASSES),
            *(_plot_unseen(errors, kind, rng) for kind in _NETWORK),
        ),
        notes=(f"bootstrap over prompts ({N_RESAMPLES:,} resamples): one network of each mixture",),
    )


def _other_mixtures(test: PredictionErrors, name: str) -> list[str]:
    """Return the networks of several classes, this one among them."""
    return [network for network in test.squares if "+" in network and name in network.split("+")]


def _judge_selection(
    test: PredictionErrors, name: str, mixture: str, rng: np.random.Generator
) -> Finding:
    """Judge whether the mixture is as good as the network that knows nothing but this class."""
    single, mixed = test.squares[name], test.squares[mixture]
    error, bounds = _mean_interval(_late_errors(single), rng)
    not_learned = None
    if bounds.high >= LEARNED_BELOW:
        not_learned = f"the {name} network itself errs by {error:.2f} with the most exemplars"
    return _judge_excess(
        f"{mixture} on {name}",
        mixed[:, 1:].mean(1) - single[:, 1:].mean(1),
        rng,
        verdicts=_SELECTION,
        compared_with=f"the {name} network",
        not_learned=not_learned,
    )


def _judge_beyond(
    errors: Sequence[PredictionErrors], kind: Kind, rng: np.random.Generator
) -> list[Finding]:
    """Judge whether the mixture errs more anywhere off what it has seen, with many exemplars."""
    network = _NETWORK[kind]
    tests = [test for test in errors if test.condition.kind == kind]
    familiar = _mean_late_errors([test for test in tests if test.condition.is_seen], network)
    error, bounds = _mean_interval(familiar, rng)
    not_learned = None
    if bounds.high >= LEARNED_BELOW:
        not_learned = f"it errs by {error:.2f} on the classes seen already"
    return [
        _judge_worst(
            f"{network} on {what}", unseen, familiar, network, rng, not_learned=not_learned
        )
        for what, unseen in _unseen_parts(tests, kind)
        if unseen
    ]


def _judge_worst(
    what: str,
    unseen: Sequence[PredictionErrors],
    familiar: Floats,
    network: str,
    rng: np.random.Generator,
    *,
    not_learned: str | None,
) -> Finding:
    """Judge the test on which the network errs most: a mean over tests would hide it.

    The intervals of all tests hold at once (Sidak), so the worst may be picked after the data.
    """
    level = sidak_level(LEVEL, len(unseen))
    findings = {
        test.condition.name: _judge_excess(
            what,
            _late_errors(test.squares[network]) - familiar,
            rng,
            verdicts=_TRANSFER,
            compared_with="the classes seen",
            not_learned=not_learned,
            level=level,
        )
        for test in unseen
    }
    name, worst = max(findings.items(), key=lambda item: item[1].value)
    if not_learned is not None or len(findings) == 1:
        return worst
    why = f"worst of {len(findings)}, at {name}: {worst.why}"
    verdicts = {finding.verdict.raw: finding.verdict for finding in findings.values()}
    if (fails := verdicts.get("fails")) is not None:
        return replace(worst, verdict=fails, why=why)
    if set(verdicts) == {"holds"}:
        return replace(worst, why=why)
    return replace(worst, verdict=verdict_cell("undetermined"), why=why)


def _unseen_parts(
    tests: Sequence[PredictionErrors], kind: Kind
) -> list[tuple[str, list[PredictionErrors]]]:
    """Return what was not seen in training: name and tests."""
    unseen = [test for test in tests if not test.condition.is_seen]
    if kind != "frequency":
        what = "convex combinations" if kind == "convex" else "intermediate sparsity"
        return [(what, unseen)]
    trained = [test.condition.x for test in tests if test.condition.is_seen]
    return [
        ("lower frequencies", [test for test in unseen if test.condition.x < min(trained)]),
        ("higher frequencies", [test for test in unseen if test.condition.x > max(trained)]),
    ]


def _judge_excess(
    what: str,
    excess: Floats,
    rng: np.random.Generator,
    *,
    verdicts: tuple[Words, Words],
    compared_with: str,
    not_learned: str | None,
    level: float = LEVEL,
) -> Finding:
    """Judge an excess of squared errors by its interval and the margin.

    Args:
        what: The question.
        excess: [prompts] error of the network, less what it is compared with.
        rng: Of the bootstrap.
        verdicts: Surely below the margin, and surely above it.
        compared_with: In words.
        not_learned: Why nothing can be said; None: something can.
        level: Of the interval.
    """
    value, interval = _mean_interval(excess, rng, level)
    verdict = verdict_cell("undetermined")
    if interval.high < MARGIN:
        verdict = verdicts[0]
    elif interval.low > MARGIN:
        verdict = verdicts[1]
    why = f"excess over {compared_with} {value:+.3f} ({interval.low:+.3f} to {interval.high:+.3f})"
    if not_learned is not None:
        verdict, why = Words(text="not learned", raw="not_learned"), not_learned
    return Finding(
        what=what,
        value=value,
        interval=interval,
        form="change",
        verdict=verdict,
        why=why,
    )


def _late_errors(squares: Floats) -> Floats:
    """Return means over the last quarter of the points, with the most exemplars: [prompts]."""
    return squares[:, -max(1, squares.shape[1] // 4) :].mean(1)


def _mean_late_errors(tests: Sequence[PredictionErrors], network: str) -> Floats:
    """Return a network's late errors, averaged over tests: [prompts]."""
    return np.mean([_late_errors(test.squares[network]) for test in tests], axis=0)


def _mean_interval(
    values: Floats, rng: np.random.Generator, level: float = LEVEL
) -> tuple[float, Interval]:
    drawn = resampled_sums(values[:, None], N_RESAMPLES, rng)[:, 0] / len(values)
    return float(values.mean()), percentiles(drawn, level)


def _answer_sentence(findings: Sequence[Finding], where: str) -> str:
    """Return one sentence: each finding with its verdict, then the numbers."""
    verdicts = ", ".join(f"{finding.what} {finding.verdict.text}" for finding in findings)
    reasons = "; ".join(f"{finding.what}: {finding.why}" for finding in findings)
    return f"{where}: {verdicts}; {reasons}."


_BASELINES = ("least squares", "Lasso")


def _plot_learning(test: PredictionErrors, name: str, rng: np.random.Generator) -> Plot:
    """Plot errors over exemplars, of the networks that know the class and of the baselines."""
    lines = [network for network in test.squares if name in network.split("+")]
    lines += ["least squares"] if name == "sine" else _BASELINES
    exemplars = [float(n) for n in range(test.squares[name].shape[1])]
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
        lines=tuple(_make_line(line, exemplars, test.squares[line].T, rng) for line in lines),
    )


def _plot_unseen(errors: Sequence[PredictionErrors], kind: Kind, rng: np.random.Generator) -> Plot:
    """Plot errors with the most exemplars over what is varied."""
    tests = [test for test in errors if test.condition.kind == kind]
    tests.sort(key=lambda test: test.condition.x)
    places = [test.condition.x for test in tests]
    lines = [_NETWORK[kind], *_SINGLE[kind], "least squares"]
    lines += ["Lasso"] if kind == "sparsity" else []
    title, x_name = {
        "convex": ("Convex combinations of linear and sine", "share of the sinusoid, %"),
        "sparsity": ("Linear functions between sparse and dense", "weights that are not 0"),
        "frequency": ("Sinusoids of other frequencies", "radians a unit of x"),
    }[kind]
    trained = ", ".join(test.condition.name for test in tests if test.condition.is_seen)
    return Plot(
        key=kind,
        title=title,
        caption=f"With the most exemplars (last quarter of the prompt); in training: {trained}",
        x_name=x_name,
        x_form="share" if kind == "convex" else "count" if kind == "sparsity" else "value",
        x_is_log=kind == "frequency",
        y_name="squared error",
        y_form="value",
        y_most=_HIGHEST,
        lines=tuple(
            _make_line(line, places, [_late_errors(test.squares[line]) for test in tests], rng)
            for line in lines
        ),
    )


def _make_line(
    name: str, x: Sequence[float], values: Iterable[Floats], rng: np.random.Generator
) -> PlotLine:
    """Return the means of ``values``, one array of prompts for each place, with intervals."""
    columns = list(values)
    drawn = resampled_sums(np.stack(columns, axis=1), N_RESAMPLES, rng) / len(columns[0])
    return PlotLine(
        key=name,
        name=name,
        x=tuple(x),
        y=tuple(float(column.mean()) for column in columns),
        intervals=tuple(percentiles(column, LEVEL) for column in drawn.T),
        is_reference=name in _BASELINES,
    )
