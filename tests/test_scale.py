"""Where a strategy starts to help: the rule on labels, the analysis on planted grids."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cotkit.analysis.scale.analysis import analyse
from cotkit.analysis.scale.checks import lengths_of
from cotkit.analysis.scale.frontier import find_cheapest, frontier_indices, match_cost
from cotkit.analysis.scale.gains import step_down
from cotkit.analysis.scale.grid import (
    ArmOutcomes,
    ArmTotals,
    Axis,
    Cell,
    ResultGrid,
    Rung,
    ScaleQuestion,
)
from cotkit.analysis.scale.jumps import judge_sharpness
from cotkit.analysis.scale.onset import find_bracket, find_onset
from cotkit.analysis.scale.values import CostPoint, Jump, Point, Scale, Sharpness, SizeLabel
from cotkit.errors import UsageError
from cotkit.stats.bootstrap import Floats
from cotkit.stats.intervals import Interval, newcombe, tango

PAIR = ("cot", "few-shot")
ASKED = ScaleQuestion(pairs=(PAIR,), margin=0.02, n_resamples=400)
ENDS: dict[SizeLabel, tuple[float, float]] = {
    "helps": (0.1, 0.3),
    "some_help": (0.01, 0.1),
    "harms": (-0.2, -0.1),
    "no_material_help": (-0.01, 0.01),
    "undetermined": (-0.1, 0.1),
    "missing": (-1.0, 1.0),
}
SHORT: dict[str, SizeLabel] = {
    "+": "helps",
    "s": "some_help",
    "-": "harms",
    "0": "no_material_help",
    "?": "undetermined",
    "m": "missing",
}


def rung(
    i: int,
    *,
    family: str | None = "f",
    n_params: int | None = -1,
    n_active_params: int | None = None,
    train_flops: float | None = None,
    loss: float | None = None,
) -> Rung:
    return Rung(
        model=f"m{i}",
        family=family,
        n_params=10 ** (8 + i) if n_params == -1 else n_params,
        n_active_params=n_active_params,
        train_flops=train_flops,
        flops_is_bound=i == 2,
        loss=loss,
    )


def point(i: int, label: SizeLabel, *, mde: float = 0.1, x: float | None = 0.0) -> Point:
    low, high = ENDS[label]
    rate = Interval(low=0.0, high=1.0, level=0.95)
    return Point(
        rung=rung(i),
        x=float(i) if x is not None else None,
        n=0 if label == "missing" else 100,
        arm_rate=0.5,
        arm_interval=rate,
        control_rate=0.5,
        control_interval=rate,
        n_better=1,
        n_worse=1,
        gain=(low + high) / 2,
        interval=Interval(low=low, high=high, level=0.99),
        method="tango",
        p_value=0.5,
        label=label,
        mde=mde,
        is_floor=False,
        is_ceiling=False,
    )


def labelled(short: str, mde: float = 0.1) -> list[Point]:
    return [point(i, SHORT[letter], mde=mde) for i, letter in enumerate(short)]


def named(of: Rung | None) -> int | None:
    return None if of is None else int(of.model[1:])


# ---- the rule on labels ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "expected", "why"),
    [
        ("0?+", ("bracket", 0, 2, 2, None), "an open size lies inside the bracket"),
        ("0-+", ("bracket", 1, 2, 2, None), "harm below is no help, too"),
        ("00s+", ("bracket", 1, 3, 2, None), "some help is detected, but not material"),
        ("?0+0?", ("bracket", 1, 2, 2, "not_shown_beyond"), "a ceiling, or noise"),
        ("0+++", ("bracket", 0, 1, 1, "sustained"), "all above help"),
        ("0++-", ("bracket", 0, 1, 1, "reversed"), "a later size harms"),
        ("0+s+", ("bracket", 0, 1, 1, "not_shown_beyond"), "material help is not shown at one"),
        ("0m+m+", ("bracket", 0, 2, 2, "sustained"), "holes say nothing"),
        ("+0+", ("at_or_below", None, 0, 0, "not_shown_beyond"), "nothing lies below the smallest"),
        ("??+", ("at_or_below", None, 2, 2, None), "open sizes name no lower end"),
        ("0-0", ("not_shown", None, None, None, None), "no size helps, and all are decided"),
        ("0?0", ("cannot_be_decided", None, None, None, None), "one size may hide help"),
        ("0s0", ("cannot_be_decided", None, None, 1, None), "some help may be material"),
        ("mm", ("cannot_be_decided", None, None, None, None), "nothing was measured"),
    ],
)
def test_the_bracket_follows_from_the_labels(
    labels: str, expected: tuple[object, ...], why: str
) -> None:
    found = find_onset(labelled(labels), 0.02)
    ends = (named(found.lower), named(found.upper), named(found.first_detected))
    assert (found.status, *ends, found.after) == expected, why
    assert [named(of) for of in found.harmed] == [i for i, x in enumerate(labels) if x == "-"]


def test_an_open_size_with_enough_problems_is_not_shown() -> None:
    assert find_onset(labelled("0??", mde=0.019), 0.02).status == "not_shown"
    assert find_onset(labelled("0??", mde=0.021), 0.02).status == "cannot_be_decided"
    assert find_onset(labelled("0??", mde=math.nan), 0.02).status == "cannot_be_decided"


def test_a_size_that_is_not_known_has_no_part_in_the_onset() -> None:
    unknown = replace(point(3, "helps"), x=None)
    assert find_onset([*labelled("00"), unknown], 0.02).status == "not_shown"


@given(labels=st.text(st.sampled_from("+s-0?m"), min_size=1, max_size=9))
def test_a_bracket_never_claims_more_than_its_labels(labels: str) -> None:
    found = find_onset(labelled(labels), 0.02)
    upper, lower = named(found.upper), named(found.lower)
    assert (upper is None) == ("+" not in labels)
    if upper is not None:
        assert labels.index("+") == upper
        assert lower is None or (lower < upper and labels[lower] in "0-")
        assert not set(labels[(-1 if lower is None else lower) + 1 : upper]) & set("0-+")


@pytest.mark.parametrize(
    ("together", "alone", "expected", "why"),
    [
        ("0?+", "0++", "0++", "the step down needs less"),
        ("+?+", "+?+", "??+", "not reached: help at the smallest is given up"),
        ("s?+", "s?+", "??+", "some help likewise"),
        ("-0?", "-0?", "-0?", "harm and absence stay"),
        ("?m+", "+m+", "+m+", "a hole is stepped over"),
        ("?+?", "++?", "???", "stopped at the largest"),
    ],
)
def test_stepping_down_from_the_largest(together: str, alone: str, expected: str, why: str) -> None:
    found = step_down(labelled(together), labelled(alone), 0.02)
    assert [p.label for p in found] == [SHORT[letter] for letter in expected], why


# ---- grids -----------------------------------------------------------------------------------


def outcomes(n: int, better: int, worse: int, both: int) -> tuple[ArmOutcomes, ArmOutcomes]:
    """An arm and its control with just these pairs."""
    arm, control = np.zeros(n), np.zeros(n)
    arm[: both + better] = 1
    control[:both] = 1
    control[both + better : both + better + worse] = 1
    return ArmOutcomes(correct=arm), ArmOutcomes(correct=control)


def grid(
    pairs: Sequence[tuple[Cell | None, Cell | None]],
    rungs: Sequence[Rung] | None = None,
    clusters: tuple[str, ...] | None = None,
) -> ResultGrid:
    rungs = tuple(rungs or [rung(i) for i in range(len(pairs))])
    cells = {
        (of.model, arm): cell
        for of, pair in zip(rungs, pairs, strict=True)
        for arm, cell in zip(PAIR, pair, strict=True)
        if cell is not None
    }
    n = next((len(c.correct) for c in cells.values() if isinstance(c, ArmOutcomes)), 0)
    ids = tuple(f"p{i}" for i in range(n))
    return ResultGrid(
        bench="planted v1", rungs=rungs, cells=cells, problem_ids=ids, clusters=clusters
    )


def asked(of: ResultGrid, question: ScaleQuestion = ASKED, seed: int = 0) -> Scale:
    return analyse(of, question, np.random.default_rng(seed))


NONE, HELP, OPEN, HARM = (
    outcomes(800, 2, 2, 20),
    outcomes(800, 300, 5, 50),
    outcomes(800, 60, 50, 50),
    outcomes(800, 5, 90, 50),
)


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        (
            [NONE, HELP],
            (
                "cot starts to help between 100 M and 1 B parameters",
                "no material help over few-shot at 100 M (+0.0 points, -0.8 to +0.8), +36.9 points",
                "+36.9 points (+33.0 to +40.8) at 1 B",
                "no larger size was tested",
            ),
        ),
        (
            [HARM, HELP, HELP],
            (
                "cot starts to help between 100 M and 1 B parameters",
                "harm against few-shot at 100 M (-10.6 points, -13.6 to -8.1)",
                "it helps at every larger size tested",
            ),
        ),
        (
            [HELP, OPEN],
            (
                "cot starts to help at or below 100 M parameters",
                "the smallest size tested",
                "only a smaller model, shown not to be helped, could name a lower end",
                "material help is not shown again at 1 B.",
            ),
        ),
        (
            [OPEN, HELP],
            (
                "A gain of more than 4.3 points (cot over few-shot) starts between 100 M and 1 B",
                "1 B parameters (1 B gains at least 33 points); ",
                "help (2 points) starts at or below 1 B parameters: +36.9 points (+33.0 to +40.8)",
                "no lower end can be named, for 100 M (+1.3 points, -1.7 to +4.2) is open",
                "about 4,597 problems would tell a gain of 2 points from none",
            ),
        ),
        ([OPEN, NONE, HELP], ("between 1 B and 10 B parameters", "still open at 100 M")),
        (
            [NONE, NONE],
            (
                "cot is not shown to help over few-shot up to 1 B parameters, the largest size",
                "no gain of 2 points or more at any size",
            ),
        ),
        (
            [HARM, OPEN],
            (
                "whether cot helps over few-shot up to 1 B parameters cannot be decided",
                "at 1 B (+1.3 points, -1.7 to +4.2) this run could only have seen gains of 5.0",
                "it harms at 100 M (-10.6 points, -13.4 to -8.2)",
            ),
        ),
        ([NONE, HELP, HARM], ("it does not last: harm at 10 B (-10.6 points, -13.6 to -8.1)",)),
    ],
)
def test_the_sentence(pairs: list[tuple[Cell, Cell]], words: tuple[str, ...]) -> None:
    sentence = asked(grid(pairs)).answers[0].sentence
    for word in words:
        assert word in sentence
    assert sentence.endswith(".")


def test_intervals_hold_together_over_sizes_and_pairs() -> None:
    cells = dict(grid([NONE, HELP]).cells)
    for model in ("m0", "m1"):
        cells[model, "other"] = cells[model, "cot"]
    two = replace(grid([NONE, HELP]), cells=cells)
    found = asked(two, replace(ASKED, pairs=(PAIR, ("other", "few-shot"))))
    level = 0.95 ** (1 / 4)
    for answer in found.answers:
        assert answer.points[1].interval == tango(300, 5, 800, level)
    assert any("4 intervals" in note and "98.73 %" in note for note in found.notes)


def test_assuming_that_help_lasts_is_less_wide_and_says_so() -> None:
    found = asked(grid([NONE, HELP]), replace(ASKED, assume_sustained=True))
    upper = found.answers[0].points[1].interval
    assert upper.low == tango(300, 5, 800, 0.95).low
    assert upper.high == tango(300, 5, 800, 0.95**0.5).high
    assert "assuming that help, once begun, does not stop" in found.answers[0].sentence
    assert any("assumed" in note for note in found.notes)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"margin": 0.0}, "margin is 0 points"),
        ({"margin": 1.0}, "margin is 100 points"),
        ({"level": 1.0}, "level is 100 %"),
        ({"n_resamples": 50}, "50 resamples"),
        ({"pairs": ()}, "no strategy"),
        ({"pairs": (("cot", "cot"),)}, "against itself"),
        ({"pairs": (("plan", "few-shot"),)}, "no results of plan"),
        ({"axis": "loss"}, "fewer than two models of known pretraining loss"),
    ],
)
def test_questions_without_an_answer_are_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        asked(grid([NONE, HELP]), replace(ASKED, **change))


@pytest.mark.parametrize(
    ("rungs", "words"),
    [
        ([rung(0)], "at least two models"),
        ([rung(0), rung(1, n_params=10**8)], "at least two models, not 1"),
        ([rung(0), rung(1, n_params=None)], r"fewer than two .*\(unknown: m1\)"),
        ([rung(0), rung(0, n_params=5)], "m0 is twice"),
    ],
)
def test_ladders_that_are_none_are_refused(rungs: list[Rung], words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        asked(grid([NONE, HELP][: len(rungs)], rungs))
    assert caught.value.hint or "twice" in words


def test_an_unknown_size_is_shown_last_and_left_out_with_a_note() -> None:
    rungs = [rung(0, n_params=None), rung(1), rung(2)]
    found = asked(grid([HARM, NONE, HELP], rungs))
    assert [p.rung.model for p in found.answers[0].points] == ["m1", "m2", "m0"]
    assert found.answers[0].onset.harmed == ()
    assert any("left out of the onset" in note and "m0" in note for note in found.notes)


@pytest.mark.parametrize(
    ("axis", "models"),
    [
        ("params", "m0 m1 m2"),
        ("active-params", "m2 m0 m1"),
        ("flops", "m1 m0 m2"),
        ("loss", "m2 m1 m0"),
        ("ordinal", "m0 m1 m2"),
    ],
)
def test_each_axis_orders_by_its_own_size(axis: Axis, models: str) -> None:
    rungs = [
        rung(0, train_flops=2e20, loss=1.0),
        rung(1, train_flops=1e20, loss=2.0),
        rung(2, n_active_params=5, train_flops=3e20, loss=3.0),
    ]
    found = asked(grid([NONE, NONE, HELP], rungs), replace(ASKED, axis=axis))
    points = found.answers[0].points
    assert " ".join(p.rung.model for p in points) == models
    xs = [p.x for p in points if p.x is not None]
    assert xs == sorted(xs)
    assert any("upper bounds" in note for note in found.notes) == (axis == "flops")


def test_a_hole_is_analysed_around_and_shown() -> None:
    found = asked(grid([NONE, (None, HELP[1]), HELP]))
    answer = found.answers[0]
    assert [p.label for p in answer.points] == ["no_material_help", "missing", "helps"]
    assert answer.points[1].n == 0
    assert math.isnan(answer.points[1].gain)
    assert answer.onset.status == "bracket"
    assert answer.points[2].interval == tango(300, 5, 800, 0.95**0.5)  # a hole tests nothing
    assert any("holes" in note and "m1" in note for note in found.notes)


def test_a_pair_that_never_met_is_said_to_have_no_answer() -> None:
    found = asked(grid([(HELP[0], None), (None, HELP[1])])).answers[0]
    assert found.onset.status == "cannot_be_decided"
    assert found.sentence.startswith("Nothing can be said of cot against few-shot")
    assert found.jumps == ()


def test_only_problems_that_both_completed_are_compared() -> None:
    arm, control = outcomes(100, 10, 0, 40)
    arm.correct[:5] = np.nan  # five that both had solved
    found = asked(grid([(arm, control), outcomes(100, 0, 0, 50)]))
    first = found.answers[0].points[0]
    assert (first.n, first.n_better, first.n_worse) == (95, 10, 0)
    assert first.control_rate == pytest.approx(35 / 95)
    assert any("fewer problems" in note for note in found.notes)


def test_several_families_are_analysed_and_weaken_the_claim() -> None:
    found = asked(grid([NONE, HELP], [rung(0, family="a"), rung(1, family="b")]))
    assert found.family is None
    assert "several families (a, b)" in found.notes[0]
    assert "several families" in found.answers[0].sentence
    assert asked(grid([NONE, HELP])).family == "f"


def test_floors_and_ceilings_are_flagged() -> None:
    floor, ceiling = outcomes(200, 0, 0, 0), outcomes(200, 5, 5, 185)
    found = asked(grid([floor, ceiling]))
    assert [(p.is_floor, p.is_ceiling) for p in found.answers[0].points] == [
        (True, False),
        (False, True),
    ]
    assert [note.split(":")[0] for note in found.notes[1:]] == ["floor", "ceiling"]


def test_published_totals_give_the_bracket_of_lamda() -> None:
    """Wei et al. 2022, table 2: harm up to 8 B, onset between 8 B and 137 B."""
    table = [(0.42, 2.6, 0.4), (2, 3.6, 1.9), (8, 3.2, 1.6), (68, 5.7, 8.2), (137, 6.5, 14.3)]
    rungs = [rung(i, n_params=int(size * 1e9)) for i, (size, _, _) in enumerate(table)]
    cells = [
        (ArmTotals(rate=chain / 100, n=1319), ArmTotals(rate=plain / 100, n=1319))
        for _, plain, chain in table
    ]
    found = asked(grid(cells, rungs))
    answer = found.answers[0]
    assert answer.points[0].interval == newcombe(
        0.4 / 100 * 1319, 1319, 2.6 / 100 * 1319, 1319, 0.95 ** (1 / 5)
    )
    assert [p.label for p in answer.points] == [
        "harms",
        "harms",
        "harms",
        "undetermined",
        "helps",
    ]
    assert (named(answer.onset.lower), named(answer.onset.upper)) == (2, 4)
    assert answer.jumps == ()
    assert found.n_problems == 1319
    assert any("only totals" in note for note in found.notes)


def test_clusters_and_fractions_choose_their_methods() -> None:
    rng = np.random.default_rng(0)
    shares = [
        (
            ArmOutcomes(correct=rng.binomial(4, p, 120) / 4),
            ArmOutcomes(correct=rng.binomial(4, 0.2, 120) / 4),
        )
        for p in (0.2, 0.7)
    ]
    binary = [outcomes(120, 2, 2, 10), outcomes(120, 70, 2, 10)]
    many, few = (tuple(f"c{i % k}" for i in range(120)) for k in (40, 12))
    alone = tuple(f"c{i}" for i in range(120))
    for pairs, clusters, method in (
        (binary, None, "tango"),
        (binary, alone, "tango"),
        (binary, many, "bootstrap-t"),
        (binary, few, "sign-flip"),
        (shares, None, "bootstrap-t"),
    ):
        found = asked(grid(pairs, clusters=clusters))
        points = found.answers[0].points
        assert {p.method for p in points} == {method}
        assert points[1].label == "helps"
        assert (points[1].n_better is None) == (method != "tango")
        assert any("fewer than 30 clusters" in n for n in found.notes) == (method == "sign-flip")


def test_copies_of_problems_in_clusters_add_no_certainty() -> None:
    once = grid([outcomes(60, 6, 2, 10), outcomes(60, 30, 2, 10)])
    fourfold = replace(
        once,
        cells={
            key: ArmOutcomes(correct=np.repeat(cell.correct, 4))
            for key, cell in once.cells.items()
            if isinstance(cell, ArmOutcomes)
        },
        problem_ids=tuple(f"p{i}" for i in range(240)),
        clusters=tuple(f"c{i // 4}" for i in range(240)),
    )
    for plain, copied in zip(
        asked(once).answers[0].points, asked(fourfold).answers[0].points, strict=True
    ):
        assert copied.gain == pytest.approx(plain.gain)
        width = plain.interval.high - plain.interval.low
        assert copied.interval.high - copied.interval.low == pytest.approx(width, rel=0.25)
        assert copied.mde == pytest.approx(plain.mde, rel=0.05)
        assert copied.arm_interval.low == pytest.approx(plain.arm_interval.low, abs=0.01)


def test_the_order_of_the_models_does_not_matter_and_the_seed_decides_all() -> None:
    rungs = [rung(i) for i in range(3)]
    there = grid([NONE, OPEN, HELP], rungs)
    back = replace(there, rungs=tuple(reversed(rungs)))
    assert asked(there) == asked(there)
    assert asked(there) == asked(back)


# ---- planted worlds --------------------------------------------------------------------------


def drawn(rates: Mapping[str, Floats], n: int, rng: np.random.Generator) -> ResultGrid:
    """Problems of shared difficulty, binary answers."""
    rungs = tuple(rung(i, n_params=int(1e8 * 3**i)) for i in range(len(rates["cot"])))
    difficulty = rng.normal(0, 0.8, n)
    cells: dict[tuple[str, str], Cell] = {}
    for arm, curve in rates.items():
        for of, p in zip(rungs, curve.tolist(), strict=True):
            chance = 1 / (1 + np.exp(-(math.log(p / (1 - p)) + difficulty)))
            cells[of.model, arm] = ArmOutcomes(correct=(rng.random(n) < chance).astype(float))
    return ResultGrid(bench="b", rungs=rungs, cells=cells, problem_ids=tuple(map(str, range(n))))


@pytest.mark.parametrize(
    ("control", "arm", "truth"),
    [
        ([0.02, 0.03, 0.05, 0.1, 0.2], [0.02, 0.03, 0.05, 0.1, 0.2], 5),
        ([0.02, 0.03, 0.05, 0.1, 0.2], [0.01, 0.02, 0.05, 0.35, 0.6], 3),
        ([0.1, 0.2, 0.5, 0.95, 0.98], [0.1, 0.35, 0.8, 0.95, 0.98], 1),
    ],
    ids=["null", "step", "ceiling"],
)
def test_the_bracket_covers_a_planted_onset(
    control: list[float], arm: list[float], truth: int
) -> None:
    rng = np.random.default_rng(0)
    quick = replace(ASKED, n_resamples=100)
    wrong = 0
    for _ in range(40):
        planted = drawn({"cot": np.asarray(arm), "few-shot": np.asarray(control)}, 400, rng)
        found = analyse(planted, quick, rng).answers[0].onset
        lower, upper = named(found.lower), named(found.upper)
        wrong += not (-1 if lower is None else lower) < truth <= (5 if upper is None else upper)
    assert wrong <= 3  # 5 % of 40, and chance; the whole table is in docs/statistics.md


def test_the_first_size_that_solved_more_is_no_onset() -> None:
    """The rule that most papers use by eye: nearly always wrong where nothing helps."""
    rng = np.random.default_rng(0)
    rates = np.asarray([0.02, 0.03, 0.04, 0.06, 0.1, 0.15])
    wrong = 0
    for _ in range(200):
        cells = drawn({"cot": rates, "few-shot": rates}, 1319, rng).cells
        solved = {
            key: cell.correct.sum() for key, cell in cells.items() if isinstance(cell, ArmOutcomes)
        }
        wrong += any(solved[f"m{i}", "cot"] > solved[f"m{i}", "few-shot"] for i in range(6))
    assert wrong >= 0.95 * 200


def tokens(curve: Sequence[float], n: int, length: int = 4, seed: int = 0) -> ResultGrid:
    """Answers of several tokens; the control has one rate at every size."""
    rng = np.random.default_rng(seed)
    rungs = tuple(rung(i, n_params=int(1e8 * 3**i)) for i in range(len(curve)))
    cells: dict[tuple[str, str], Cell] = {}
    for of, q in zip(rungs, curve, strict=True):
        for arm, chance in zip(PAIR, (q, 0.3), strict=True):
            right = rng.random((n, length)) < chance
            cells[of.model, arm] = ArmOutcomes(
                correct=right.all(1).astype(float), metrics={"token_accuracy": right.mean(1)}
            )
    ids = tuple(map(str, range(n)))
    lengths = (length,) * n
    return ResultGrid(bench="b", rungs=rungs, cells=cells, problem_ids=ids, answer_lengths=lengths)


def jumps_of(of: ResultGrid) -> dict[str, Jump]:
    return {jump.curve: jump for jump in asked(of).answers[0].jumps}


LINE, STEP = [0.3, 0.43, 0.56, 0.69, 0.82, 0.95], [0.3, 0.3, 0.3, 0.9, 0.9, 0.9]


@pytest.mark.parametrize(
    ("curve", "n", "length", "expected", "why"),
    [
        (LINE, 800, 16, "metric_artefact", "only exact match"),
        (LINE, 800, 4, "no_jump", "no jump to explain"),
        (STEP, 800, 4, "real_jump", "it jumps too"),
        (LINE, 800, 1, "no_jump", "lies below 0.5"),
        (LINE[::2], 800, 4, "undetermined", "3 sizes cannot tell"),
        ([0.5] * 6, 800, 3, "undetermined", "inside noise"),
        ([0.0, *LINE[1:]], 800, 4, "undetermined", "solved nothing by either metric"),
        (STEP, 29, 4, "undetermined", "29 independent problems"),
    ],
)
def test_a_jump_is_told_from_an_artefact(
    curve: list[float], n: int, length: int, expected: str, why: str
) -> None:
    found = jumps_of(tokens(curve, n, length))
    assert found["arm"].verdict == expected
    assert why in found["arm"].why
    if curve[0] > 0:  # the control is flat and above its floor, so that the gain says the same
        assert found["gain"].verdict == expected
    assert found["control"].verdict == "undetermined"


def test_a_jump_down_is_called_so() -> None:
    found = jumps_of(tokens(STEP[::-1], 800))["arm"]
    assert found.verdict == "real_jump"
    assert found.why.startswith("of a curve that falls with size")


def test_without_a_companion_nothing_is_said_of_a_jump() -> None:
    found = {jump.curve: jump for jump in asked(grid([NONE, NONE, HELP, HELP])).answers[0].jumps}
    assert found["gain"].verdict == "undetermined"
    assert "no linear companion" in found["gain"].why
    assert found["gain"].exact.steepest == (rung(1), rung(2))


@pytest.mark.parametrize(
    ("low", "high", "apart", "expected"),
    [
        (0.51, 0.7, (0.1, 0.3), "real_jump"),
        (0.49, 0.7, (0.1, 0.3), "undetermined"),
        (0.1, 0.39, (0.01, 0.3), "metric_artefact"),
        (0.1, 0.41, (0.01, 0.3), "undetermined"),
        (0.1, 0.39, (-0.01, 0.3), "undetermined"),
    ],
)
def test_the_rule_of_the_contrast(
    low: float, high: float, apart: tuple[float, float], expected: str
) -> None:
    def sharpness(metric: str, ends: tuple[float, float]) -> Sharpness:
        interval = Interval(low=ends[0], high=ends[1], level=0.95)
        return Sharpness(metric=metric, value=sum(ends) / 2, interval=interval, steepest=None)

    difference = Interval(low=apart[0], high=apart[1], level=0.95)
    exact = sharpness("exact_match", (0.51, 0.6))
    companion = sharpness("digits", (low, high))
    assert judge_sharpness(exact, companion, difference)[0] == expected
    flat, unclear = sharpness("exact_match", (0.1, 0.5)), sharpness("exact_match", (0.5, 0.6))
    assert judge_sharpness(flat, companion, difference)[0] == "no_jump"
    assert judge_sharpness(unclear, companion, difference)[0] == "undetermined"


def test_a_companion_that_only_repeats_exact_match_decides_nothing() -> None:
    rng = np.random.default_rng(3)
    of = tokens(STEP, 800, 4)
    cells: dict[tuple[str, str], Cell] = {}
    for key, cell in of.cells.items():
        assert isinstance(cell, ArmOutcomes)
        by_chance = rng.random((3, 800)) < 0.1
        digits = np.maximum(by_chance, cell.correct).mean(0)
        cells[key] = replace(cell, metrics={"digit_accuracy": digits, **cell.metrics})
    jump = jumps_of(replace(of, cells=cells))["arm"]
    assert jump.exact.interval.low > 0.5
    assert jump.verdict == "undetermined"
    assert "only repeats exact match" in jump.why


def test_the_length_of_an_answer_is_in_tokens_of_the_companion() -> None:
    of = replace(tokens(LINE, 40, 2), n_steps=(8,) * 40)
    digits, steps = lengths_of(of, "digit_accuracy"), lengths_of(of, "steps_right")
    assert digits is not None
    assert set(digits.tolist()) == {2.0}
    assert steps is not None
    assert set(steps.tolist()) == {8.0}
    assert lengths_of(of, "1 - brier_per_option") is None
    assert lengths_of(replace(of, answer_lengths=None), "digit_accuracy") is None


def test_side_checks_say_what_they_do_not_show() -> None:
    checks = {check.name: check for check in jumps_of(tokens(STEP, 800, 2))["arm"].checks}
    predicted = checks["p^L prediction"]
    assert predicted.value is not None
    assert predicted.value >= 0.8  # in a world that does jump
    assert "not that nothing jumps" in predicted.sentence
    assert checks["log(-log) line"].value is not None
    assert "a smooth curve may have any score" in checks["emergence score"].sentence


def test_the_emergence_score_is_printed_over_n_minus_1_and_may_be_infinite() -> None:
    flat = [outcomes(100, 0, 0, 0)] * 3 + [outcomes(100, 50, 0, 0)]
    jump = {j.curve: j for j in asked(grid(flat)).answers[0].jumps}["arm"]
    checks = {check.name: check.value for check in jump.checks}
    assert checks["emergence score"] == math.inf
    assert checks["linearity"] == pytest.approx(1 / math.sqrt(3))
    assert checks["resolution limit"] == pytest.approx(1 - 0.05 ** (1 / 100))


@pytest.mark.parametrize(("jump", "is_given"), [(False, True), (True, False)])
def test_a_point_inside_the_bracket_needs_a_smooth_curve(jump: bool, is_given: bool) -> None:
    x = np.arange(11) / 10
    control = 1 / (1 + np.exp(-4 * (x - 1.2)))
    smooth = 1 / (1 + np.exp(-9 * (x - 0.8)))
    arm = np.where(x > 0.55, control + 0.3, control) if jump else smooth
    rng = np.random.default_rng(1)
    rungs = [rung(i, n_params=int(10 ** (8 + 2 * u))) for i, u in enumerate(x.tolist())]
    pairs = [
        (
            ArmOutcomes(correct=(rng.random(5000) < p) * 1.0),
            ArmOutcomes(correct=(rng.random(5000) < q) * 1.0),
        )
        for p, q in zip(arm, control, strict=True)
    ]
    found = asked(grid(pairs, rungs)).answers[0]
    assert found.onset.status == "bracket"
    assert (found.onset.model_based is not None) == is_given
    if found.onset.model_based is not None:
        at = np.argmax(
            1 / (1 + np.exp(-9 * (np.linspace(0, 1, 9999) - 0.8)))
            - 1 / (1 + np.exp(-4 * (np.linspace(0, 1, 9999) - 1.2)))
            >= 0.02
        )
        interval = found.onset.model_based.interval
        assert interval.low <= 10 ** (8 + 2 * at / 9998) <= interval.high
        assert "logistic fit" in found.sentence


# ---- the frontier ----------------------------------------------------------------------------


def priced() -> Scale:
    table: dict[
        tuple[str, str], tuple[int, float | None]
    ] = {  # (model, arm): solved of 10, tokens of each problem
        ("m0", "few-shot"): (2, 10.0),
        ("m0", "cot"): (4, 40.0),
        ("m0", "vote:k=1"): (4, 30.0),
        ("m0", "vote:k=3"): (6, 90.0),
        ("m1", "few-shot"): (5, 40.0),
        ("m1", "cot"): (5, 60.0),
        ("m1", "vote:k=3"): (9, None),
    }
    cells: dict[tuple[str, str], Cell] = {
        key: ArmOutcomes(
            correct=(np.arange(10) < solved).astype(float),
            tokens=None if cost is None else np.full(10, cost),
        )
        for key, (solved, cost) in table.items()
    }
    of = ResultGrid(
        bench="b", rungs=(rung(0), rung(1)), cells=cells, problem_ids=tuple(map(str, range(10)))
    )
    pairs = (PAIR, ("vote:k=1", "few-shot"), ("vote:k=3", "few-shot"))
    return asked(of, replace(ASKED, pairs=pairs))


def test_the_frontier_and_the_cheapest_that_reaches_a_rate() -> None:
    prices = priced().prices
    on = {(p.rung.model, p.arm) for p in prices if "tokens" in p.on_frontier}
    assert on == {
        ("m0", "few-shot"),
        ("m0", "vote:k=1"),
        ("m1", "few-shot"),
        ("m0", "vote:k=3"),
    }
    assert not any("usd" in p.on_frontier for p in prices)
    best = find_cheapest(prices, 0.45, "tokens")
    assert best is not None
    assert (best.rung.model, best.arm) == ("m1", "few-shot")
    assert find_cheapest(prices, 0.7, "tokens") is None  # reached only at a cost that is not known
    assert find_cheapest(prices, 0.1, "usd") is None


def test_strategies_are_compared_at_equal_cost_only_where_measured() -> None:
    prices = priced().prices
    cot = next(p for p in prices if (p.rung.model, p.arm) == ("m0", "cot"))
    [matched] = match_cost(prices, cot)  # few-shot costs less than that: nothing is extrapolated
    assert (matched.strategy, matched.between) == ("vote", ("vote:k=1", "vote:k=3"))
    assert matched.rate == pytest.approx(0.4 + 0.2 * (40 - 30) / (90 - 30))
    unpriced = next(p for p in prices if p.tokens is None)
    assert match_cost(prices, unpriced) == []


@settings(max_examples=25, deadline=None)
@given(
    costs=st.lists(st.integers(1, 5), min_size=1, max_size=8),
    solved=st.lists(st.integers(0, 5), min_size=8, max_size=8),
)
def test_the_frontier_is_what_nothing_beats(costs: list[int], solved: list[int]) -> None:
    prices = [
        CostPoint(
            rung=rung(0),
            arm="cot",
            rate=k / 5,
            interval=Interval(low=0.0, high=1.0, level=0.95),
            tokens=float(cost),
            usd=None,
            seconds=None,
            on_frontier=(),
        )
        for cost, k in zip(costs, solved, strict=False)
    ]
    on = frontier_indices(prices, "tokens")
    for i, price in enumerate(prices):
        beaten = any(
            other.rate >= price.rate
            and (other.tokens or 0) <= (price.tokens or 0)
            and (other.rate, other.tokens) != (price.rate, price.tokens)
            for other in prices
        )
        assert (i in on) == (not beaten)


# The margin-free bracket.

GAINS = st.lists(st.floats(-0.5, 0.5), min_size=2, max_size=8)


@given(gains=GAINS, data=st.data())
def test_where_all_intervals_hold_every_claim_of_bracket_and_staircase_does(
    gains: list[float], data: st.DataObject
) -> None:
    widths = st.floats(0.001, 0.3)
    points = [
        replace(
            point(i, "undetermined"),
            interval=Interval(
                low=gain - data.draw(widths), high=gain + data.draw(widths), level=0.95
            ),
        )
        for i, gain in enumerate(gains)
    ]
    onset = find_onset(points, 0.02, (0.05, 0.1, 0.2, 0.3))
    places = {point.rung: i for i, point in enumerate(points)}

    def first(threshold: float) -> int:
        return next((i for i, gain in enumerate(gains) if gain >= threshold), len(gains))

    if (bracket := onset.bracket) is not None:
        assert 0.02 <= bracket.no_more_than < bracket.at_least
        for threshold in np.linspace(bracket.no_more_than + 1e-9, bracket.at_least, 7).tolist():
            assert places[bracket.lower] < first(threshold) <= places[bracket.upper]
    for step in onset.staircase:
        lower = -1 if step.lower is None else places[step.lower]
        upper = len(gains) if step.upper is None else places[step.upper]
        assert lower < first(step.threshold) <= upper


@pytest.mark.parametrize(
    ("lows", "highs", "expected"),
    [
        ([-0.05, 0.2], [0.05, 0.4], (0, 1, 0.05)),
        ([-0.05, 0.2], [0.01, 0.4], (0, 1, 0.02)),
        ([-0.05, -0.05, 0.2], [0.05, 0.08, 0.4], (1, 2, 0.08)),
        ([-0.05, -0.05, 0.2], [0.08, 0.05, 0.4], (1, 2, 0.08)),
        ([-0.05, -0.05, 0.2], [0.05, 0.3, 0.4], (0, 2, 0.05)),
        ([-0.05, -0.05, 0.2], [0.3, 0.05, 0.4], None),
        ([-0.05, 0.021, 0.2], [0.05, 0.2, 0.4], None),
        ([0.1, 0.2], [0.2, 0.4], None),
        ([-0.05, 0.02], [0.01, 0.4], None),
        ([], [], None),
    ],
)
def test_the_bracket_of_ends(
    lows: list[float], highs: list[float], expected: tuple[int, int, float] | None
) -> None:
    assert find_bracket(lows, highs, 0.02) == expected


def test_the_staircase_is_said_where_no_clear_bracket_is() -> None:
    rates = [(0.05, 0.05), (0.16, 0.05), (0.4, 0.05)]
    rng = np.random.default_rng(0)
    cells = [
        tuple(ArmOutcomes(correct=(rng.random(400) < rate).astype(float)) for rate in pair)
        for pair in rates
    ]
    answer = asked(grid([(arm, control) for arm, control in cells])).answers[0]
    assert answer.onset.bracket is None or not answer.onset.bracket.is_clear
    assert answer.sentence.startswith(
        "cot begins to gain over few-shot: 5 and 10 points between 100 M and 10 B, 20 "
    )
    assert "; help (2 points) starts at or below " in answer.sentence


def test_help_that_is_assumed_to_be_sustained_has_no_other_bracket() -> None:
    answer = asked(grid([OPEN, HELP]), replace(ASKED, assume_sustained=True)).answers[0]
    assert answer.onset.bracket is None
    assert answer.onset.staircase == ()


@pytest.mark.parametrize("thresholds", [(0.1, 0.05), (0.1, 0.1), (0.0, 0.1), (-0.1,), (0.5, 1.1)])
def test_thresholds_rise_within_100_points(thresholds: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match="thresholds "):
        asked(grid([OPEN, HELP]), replace(ASKED, thresholds=thresholds))
