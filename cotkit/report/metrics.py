"""The tables of metrics: the same outputs measured in several ways, and whether the ways agree."""

from __future__ import annotations

from collections.abc import Sequence

from cotkit.analysis.results import BesideExact, Direction, Measured, MetricGain, MetricMean
from cotkit.report.document import Column, Number, Span, Table, Tone, Value, Words
from cotkit.report.words import MISSING, say_level

BESIDE: dict[BesideExact, tuple[str, Tone]] = {
    "agrees": ("agrees", "plain"),
    "opposite": ("OPPOSITE", "warn"),
    "opposite_undecided": ("opposite, undecided", "quiet"),
    "only_this": ("only this decided", "warn"),
    "only_exact": ("only exact match", "quiet"),
    "neither": ("neither decided", "quiet"),
}
"""How a metric's gain stands to that of exact match -> its words and tone."""

_TONES: dict[Direction, Tone] = {"better": "good", "worse": "bad", "undecided": "quiet"}


def metric_tables(found: Sequence[Measured], *, is_sequential: bool) -> tuple[Table, ...]:
    """Means by arm, then gains by pair; none if there is only exact match."""
    intervals = [mean.interval for one in found for mean in one.means]
    if not intervals:
        return ()
    level = say_level(intervals[0].level)
    looked = "; they do not allow for stopping early" if is_sequential else ""
    how = (
        f"each {level} interval on its own (zeros and ones: Wilson, of gains Tango; else bootstrap"
        f" over problems){looked}"
    )
    return _means(found, level, how), _gains(found, level)


def _means(found: Sequence[Measured], level: str, how: str) -> Table:
    return Table(
        key="metrics",
        title="Metrics: the same outputs, measured differently",
        note="Means per problem; tokens: digits of a number, words of a text (an answer that could"
        " not be read has none); choice, Brier, confidence, log-probabilities: of given answers,"
        f" not of the text; {how}",
        columns=(
            Column(key="metric", header="metric"),
            Column(key="arm", header="arm"),
            Column(key="mean", header="mean"),
            Column(key="interval", header=f"{level} interval"),
            Column(key="better", header="better"),
            Column(key="range", header="range"),
            Column(key="unit", header="unit"),
            Column(key="n", header="n"),
        ),
        rows=tuple(_mean_row(one, mean) for one in found for mean in one.means),
    )


def _gains(found: Sequence[Measured], level: str) -> Table:
    return Table(
        key="metric_gains",
        title="Gain by metric: does it depend on the measure?",
        note="Arm minus control on the same problems, in the metric's unit; beside exact match:"
        " OPPOSITE: one is better, the other worse, both decided; decided: the interval excludes 0",
        columns=(
            Column(key="metric", header="metric"),
            Column(key="arm", header="arm"),
            Column(key="control", header="control"),
            Column(key="gain", header="gain"),
            Column(key="interval", header=f"{level} interval"),
            Column(key="direction", header="which is"),
            Column(key="beside_exact", header="beside exact match"),
            Column(key="better", header="better"),
            Column(key="n", header="n"),
        ),
        rows=tuple(_gain_row(one, gain) for one in found for gain in one.gains),
    )


def _mean_row(one: Measured, mean: MetricMean) -> tuple[Value, ...]:
    return (
        _plain(one.metric),
        _plain(mean.arm),
        Number(value=mean.mean, form="value"),
        Span(interval=mean.interval, form="value"),
        _plain(_better(one)),
        _plain(f"{one.low:g}..{one.high:g}"),
        _plain(one.unit),
        Number(value=mean.n, form="count"),
    )


def _gain_row(one: Measured, gain: MetricGain) -> tuple[Value, ...]:
    return (
        _plain(one.metric),
        _plain(gain.arm),
        _plain(gain.control),
        Number(value=gain.gain, form="change"),
        Span(interval=gain.interval, form="change"),
        Words(text=gain.direction, raw=gain.direction, tone=_TONES[gain.direction]),
        _beside(gain.beside_exact),
        _plain(_better(one)),
        Number(value=gain.n, form="count"),
    )


def _beside(beside: BesideExact | None) -> Words:
    if beside is None:
        return Words(text=MISSING, raw="", tone="quiet")
    text, tone = BESIDE[beside]
    return Words(text=text, raw=beside, tone=tone)


def _better(one: Measured) -> str:
    if one.higher_is_better is None:
        return "neither"
    return "higher" if one.higher_is_better else "lower"


def _plain(text: str) -> Words:
    return Words(text=text, raw=text)
