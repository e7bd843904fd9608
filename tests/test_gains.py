"""The one estimator: clusters and repeated samples as what they are, interval and p in step."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cotkit
from cotkit.analysis.comparison import RunFacts
from cotkit.analysis.comparison import compare as compare_rows
from cotkit.analysis.gains import (
    compute_gains,
    detectable_gain,
    estimate_gains,
    gain_over_chance,
    list_gradings,
    make_stop_rule,
    measure_sample,
)
from cotkit.analysis.samples import rate_interval
from cotkit.analysis.values import Comparison, Criteria, Gain
from cotkit.cli.output import EXIT_CODES, worst_gate
from cotkit.errors import UsageError
from cotkit.stats.hypotheses import score_test
from cotkit.stats.intervals import tango, wilson
from cotkit.store import AttemptRow
from cotkit.types import Reading

PAIRS = (("cot", "few-shot"),)
FACTS = RunFacts(
    run_id="0" * 12,
    model="m",
    n_params=None,
    bench="b",
    bench_version="1",
    n_problems=60,
    n_total=60,
)


def attempts(arm: str, right: Sequence[bool], size: int, sample: int = 0) -> list[AttemptRow]:
    """One attempt at each problem; ``size`` neighbouring problems share a cluster, 1: none."""
    return [
        AttemptRow(
            arm=arm,
            problem_id=f"p{i:04}",
            sample=sample,
            outcome="correct" if is_right else "wrong",
            readings={"flexible": Reading(value="1", rule="only")},
            correct_by={"flexible": is_right},
            cluster=f"c{i // size}" if size > 1 else None,
        )
        for i, is_right in enumerate(right)
    ]


def compared(rows: Sequence[AttemptRow]) -> Comparison:
    return compare_rows(rows, PAIRS, FACTS, (), Criteria(reader="flexible", margin=0.02))


def gain_of(arm: Sequence[bool], control: Sequence[bool], size: int, **more: float) -> Gain:
    return main_gain(attempts("cot", arm, size) + attempts("few-shot", control, size), **more)


def main_gain(rows: Sequence[AttemptRow], level: float = 0.95) -> Gain:
    """The gain by the chosen reader alone."""
    table: dict[str, dict[str, list[AttemptRow]]] = {"cot": {}, "few-shot": {}}
    for row in rows:
        table[row.arm].setdefault(row.problem_id, []).append(row)
    pairs = [
        (tuple(samples), tuple(table["few-shot"][problem]))
        for problem, samples in table["cot"].items()
    ]
    grading = list_gradings(rows, "flexible")[0]
    return compute_gains({PAIRS[0]: pairs}, grading, margin=0.02, level=level)[0]


def together(n_clusters: int, size: int, rate: float, seed: int) -> list[bool]:
    """Answers of which those of one cluster are all right or all wrong."""
    source = random.Random(seed)
    return [right for _ in range(n_clusters) for right in [source.random() < rate] * size]


# ---- clusters --------------------------------------------------------------------------------


def test_problems_that_stand_alone_have_tangos_interval() -> None:
    arm, control = together(40, 1, 0.6, 1), together(40, 1, 0.3, 2)
    gain = gain_of(arm, control, 1)
    assert gain.interval == tango(gain.n_better, gain.n_worse, 40, 0.95)
    assert (gain.method, gain.n_clusters, gain.clusters_needed) == ("tango", None, None)


def test_clusters_of_one_problem_each_are_independent_problems() -> None:
    arm, control = together(40, 1, 0.6, 1), together(40, 1, 0.3, 2)
    rows = attempts("cot", arm, 1) + attempts("few-shot", control, 1)
    named = [replace(row, cluster=f"own {row.problem_id}") for row in rows]
    assert compared(named).verdicts == compared(rows).verdicts


@pytest.mark.parametrize(("n_clusters", "method"), [(29, "sign-flip"), (30, "bootstrap-t")])
def test_copies_of_a_problem_are_no_evidence(n_clusters: int, method: str) -> None:
    arm, control = together(n_clusters, 6, 0.5, 3), together(n_clusters, 6, 0.3, 4)
    few, many = (gain_of(arm[::step], control[::step], 6 // step) for step in (3, 1))
    assert (few.method, many.method) == (method, method)
    assert many.n_clusters == n_clusters
    assert many.gain == pytest.approx(few.gain)
    assert many.interval.low == pytest.approx(few.interval.low)
    assert many.p_value == pytest.approx(few.p_value)
    assert many.mde == pytest.approx(few.mde)
    naive = tango(many.n_better, many.n_worse, many.n, 0.95)
    assert many.interval.high - many.interval.low > 2 * (naive.high - naive.low)


def test_independent_answers_in_clusters_lose_little() -> None:
    source = random.Random(5)
    arm, control = ([source.random() < p for _ in range(1200)] for p in (0.6, 0.4))
    alone, clustered = (gain_of(arm, control, size) for size in (1, 2))
    ratio = (clustered.interval.high - clustered.interval.low) / (
        alone.interval.high - alone.interval.low
    )
    assert 0.9 < ratio < 1.15
    assert clustered.label == alone.label == "helps"


def test_the_order_of_rows_changes_nothing() -> None:
    rows = attempts("cot", together(35, 4, 0.5, 6), 4)
    rows += attempts("few-shot", together(35, 4, 0.4, 7), 4)
    assert compared(rows).verdicts == compared(rows[::-1]).verdicts


def test_ten_clusters_of_one_of_many_gains_are_undetermined_and_say_what_is_needed() -> None:
    arms = [f"arm{i}" for i in range(30)]
    rows = [row for arm in arms for row in attempts(arm, [True] * 60, 6)]
    rows += attempts("few-shot", [False] * 60, 6)
    pairs = [(arm, "few-shot") for arm in arms]
    comparison = compare_rows(rows, pairs, FACTS, (), Criteria(reader="flexible", margin=0.02))
    gain, level = comparison.verdicts[0].gain, 0.95 ** (1 / 30)
    assert gain.interval.level == pytest.approx(level)
    assert (gain.interval.low, gain.interval.high, gain.label) == (-1, 1, "undetermined")
    assert (gain.n_clusters, gain.clusters_needed) == (10, 11)
    assert math.isnan(gain.mde)
    assert "10 clusters cannot decide anything at 99.83 %" in comparison.verdicts[0].sentence
    assert "at least 11 are needed" in comparison.verdicts[0].sentence
    assert EXIT_CODES[worst_gate(comparison)] == 4
    enough = [*rows, *(r for arm in [*arms, "few-shot"] for r in _one_more(arm))]
    decided = compare_rows(enough, pairs, FACTS, (), Criteria(reader="flexible", margin=0.02))
    assert decided.verdicts[0].gain.label == "helps"


def _one_more(arm: str) -> list[AttemptRow]:
    [row] = attempts(arm, [arm != "few-shot"], 1)
    return [replace(row, problem_id="more", cluster="more")]


def test_the_note_says_how_clusters_are_allowed_for() -> None:
    rows = attempts("cot", together(35, 2, 0.5, 6), 2)
    rows += attempts("few-shot", together(35, 2, 0.4, 7), 2)
    assert (
        "70 of 70 problems come in 35 clusters; intervals and p-values resample whole clusters"
        in compared(rows).notes
    )


def test_a_solve_rate_of_clusters_has_the_interval_of_what_they_are_worth() -> None:
    right = together(40, 5, 0.4, 8)
    rows = attempts("cot", right, 5) + attempts("few-shot", right, 5)
    cell = compared(rows).cells[0]
    n_right = sum(right[::5])
    by_cluster = wilson(n_right, 40, 0.95)
    assert cell.interval.low == pytest.approx(by_cluster.low, abs=0.01)
    assert cell.interval.high == pytest.approx(by_cluster.high, abs=0.01)
    assert rate_interval([1.0] * 40, 40, 0.95, [i // 5 for i in range(40)]) == wilson(8, 8, 0.95)


def test_a_gain_is_found_at_its_mde_about_as_often_as_promised() -> None:
    source = random.Random(9)
    n_clusters, size, base = 60, 5, 0.3
    mdes: list[float] = []
    for _ in range(20):
        control, arm = (
            [
                source.random() < rate
                for _ in range(n_clusters)
                for rate in [source.betavariate(base * 2, (1 - base) * 2)] * size
            ]
            for _ in range(2)
        )
        mdes.append(gain_of(arm, control, size).mde)
    effect = sum(mdes) / len(mdes)
    n_found = 0
    for _ in range(100):
        rates = (base + effect, base)
        arm, control = (
            [
                source.random() < rate
                for _ in range(n_clusters)
                for rate in [source.betavariate(mean * 2, (1 - mean) * 2)] * size
            ]
            for mean in rates
        )
        n_found += gain_of(arm, control, size).interval.low > 0
    assert 0.65 <= n_found / 100 <= 0.95


# ---- repeated samples ------------------------------------------------------------------------


def test_repeated_samples_enter_as_means_of_each_problem() -> None:
    source = random.Random(10)
    shares = [source.random() for _ in range(60)]
    rows = [
        row
        for arm, shift in (("cot", 0.2), ("few-shot", 0.0))
        for sample in range(8)
        for row in attempts(arm, [source.random() < p + shift for p in shares], 1, sample)
    ]
    gain = compared(rows).verdicts[0].gain
    assert (gain.n, gain.method, gain.n_clusters) == (60, "bootstrap-t", None)
    means = {
        arm: sum(row.outcome == "correct" for row in rows if row.arm == arm) / 480
        for arm in ("cot", "few-shot")
    }
    assert gain.gain == pytest.approx(means["cot"] - means["few-shot"])
    first = compared([row for row in rows if row.sample == 0]).verdicts[0].gain
    width, width_of_one = (g.interval.high - g.interval.low for g in (gain, first))
    assert width < 0.7 * width_of_one, "more samples of a problem tell more"


def test_samples_that_all_agree_are_one_sample() -> None:
    arm, control = together(60, 1, 0.6, 11), together(60, 1, 0.4, 12)
    one = attempts("cot", arm, 1) + attempts("few-shot", control, 1)
    copies = [replace(row, sample=sample) for row in one for sample in range(5)]
    assert compared(copies).verdicts[0].gain == compared(one).verdicts[0].gain


# ---- interval and p in step ------------------------------------------------------------------


@given(
    st.integers(0, 10_000),
    st.sampled_from([2, 6, 12, 40]),
    st.sampled_from([1, 3]),
    st.sampled_from([0.0, 0.2, 0.6]),
    st.sampled_from([0.8, 0.95, 0.999]),
)
@settings(deadline=None, max_examples=50)
def test_p_is_below_alpha_where_a_clustered_interval_excludes_0(
    seed: int, n_clusters: int, n_samples: int, shift: float, level: float
) -> None:
    source = random.Random(seed)
    rows = [
        row
        for arm, rate in (("cot", 0.3 + shift), ("few-shot", 0.3))
        for sample in range(n_samples)
        for row in attempts(arm, [source.random() < rate for _ in range(3 * n_clusters)], 3, sample)
    ]
    gain = main_gain(rows, level)
    if abs(gain.p_value - (1 - level)) > 1e-9:
        excludes = gain.interval.low > 1e-12 or gain.interval.high < -1e-12
        assert excludes == (gain.p_value < 1 - level)


@given(st.integers(1, 400), st.floats(0, 1), st.floats(0.01, 0.99), st.floats(0.5, 0.999))
@settings(deadline=None)
def test_wilson_excludes_chance_where_the_score_test_rejects_it(
    n: int, share: float, chance: float, level: float
) -> None:
    k = round(share * n)
    estimate = gain_over_chance([1.0] * k + [0.0] * (n - k), chance, level)
    assert estimate.p_value == score_test(k, n, chance)
    if abs(estimate.p_value - (1 - level)) > 1e-9:
        excludes = estimate.interval.low > 0 or estimate.interval.high < 0
        assert excludes == (estimate.p_value < 1 - level)


def test_a_gain_over_chance_of_clusters_is_inverted_by_clusters() -> None:
    right = [float(x) for x in together(40, 5, 0.5, 13)]
    clusters = [f"c{i // 5}" for i in range(200)]
    alone = gain_over_chance(right, 0.25, 0.95)
    clustered = gain_over_chance(right, 0.25, 0.95, clusters)
    by_cluster = gain_over_chance(right[::5], 0.25, 0.95)
    assert clustered.p_value > alone.p_value
    assert clustered.interval.low == pytest.approx(by_cluster.interval.low, abs=0.03)
    assert clustered.interval.high <= 0.75
    assert (clustered.interval.low > 0) == (clustered.p_value < 0.05)
    with pytest.raises(UsageError, match="chance must lie between"):
        gain_over_chance(right, 1.1, 0.95)


# ---- runs that may stop ----------------------------------------------------------------------


def test_a_watched_run_counts_the_first_problem_of_each_cluster() -> None:
    decide = make_stop_rule(PAIRS, margin=0.02, level=0.95)
    right = {"cot": attempts("cot", [True] * 400, 20), "few-shot": attempts("few-shot", [False], 1)}
    n = next(
        i
        for i, row in enumerate(right["cot"], start=1)
        if decide({"cot": row, "few-shot": replace(right["few-shot"][0])})
    )
    alone = make_stop_rule(PAIRS, margin=0.02, level=0.95)
    singles = attempts("cot", [True] * 400, 1)
    n_alone = next(
        i
        for i, row in enumerate(singles, start=1)
        if alone({"cot": row, "few-shot": right["few-shot"][0]})
    )
    assert n == 20 * (n_alone - 1) + 1


def test_the_interval_of_a_watched_run_holds_the_gain_of_all_its_problems() -> None:
    rows = attempts("cot", together(12, 6, 0.7, 14), 6)
    rows += attempts("few-shot", together(12, 6, 0.3, 15), 6)
    pairs = {
        PAIRS[0]: [((arm,), (control,)) for arm, control in zip(rows[:72], rows[72:], strict=True)]
    }
    grading = list_gradings(rows, "flexible")[0]
    [gain] = compute_gains(pairs, grading, margin=0.02, level=0.95, sequential=True)
    assert gain.method == "sequence"
    assert gain.interval.low <= gain.gain <= gain.interval.high
    [fixed] = compute_gains(pairs, grading, margin=0.02, level=0.95)
    assert gain.interval.high - gain.interval.low > fixed.interval.high - fixed.interval.low


def test_no_gain_is_detectable_without_problems() -> None:
    nothing = measure_sample([], [], [], n_units=0, is_clustered=False)
    assert math.isnan(detectable_gain(nothing, 0.95))


@pytest.mark.parametrize("scale", [1.0, 0.05])
def test_many_values_of_a_metric_have_the_interval_that_their_resamples_have(scale: float) -> None:
    rng = random.Random(5)
    arm, control = ([scale * rng.random() ** 3 for _ in range(400)] for _ in range(2))
    normal, resampled = (
        measure_sample(
            arm, control, range(400), n_units=400, is_clustered=False, is_resampled=is_metric
        )
        for is_metric in (True, False)
    )
    assert (normal.method, resampled.method) == ("normal", "bootstrap-t")
    [first], [second] = estimate_gains([normal], 0.95), estimate_gains([resampled], 0.95)
    width, resampled_width = (e.interval.high - e.interval.low for e in (first, second))
    assert width == pytest.approx(resampled_width, rel=0.05)
    assert first.p_value == pytest.approx(second.p_value, abs=0.02)
    low, high = first.interval.low, first.interval.high
    assert (first.p_value < 0.05) == (low > 0 or high < 0)


def test_a_metric_with_few_values_that_differ_is_resampled() -> None:
    arm = [0.9] * 29 + [1.0] * 400
    sample = measure_sample(
        arm, [0.0] * 429, range(429), n_units=429, is_clustered=False, is_resampled=True
    )
    assert sample.method == "bootstrap-t"


# ---- end to end ------------------------------------------------------------------------------


def test_a_clustered_file_is_compared_by_clusters(tmp_path: Path) -> None:
    lines = [
        {
            "question": f"Ann has {i + 2} boxes of {j + 3} pens. How many pens is that?",
            "answer": str((i + 2) * (j + 3)),
            "cluster": f"template {i}",
        }
        for i in range(40)
        for j in range(3)
    ]
    path = tmp_path / "pens.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    log_dir = tmp_path / "runs"
    comparison = cotkit.compare("simulated/70b", "cot", str(path), limit="all", log_dir=log_dir)
    gain = comparison.verdicts[0].gain
    assert (gain.n, gain.n_clusters, gain.method) == (120, 40, "bootstrap-t")
    assert gain.interval != tango(gain.n_better, gain.n_worse, 120, 0.95)
    assert all(variant.gain.method == "bootstrap-t" for variant in comparison.verdicts[0].variants)
    assert any("come in 40 clusters" in note for note in comparison.notes)
