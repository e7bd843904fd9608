"""The gain by number of steps: groups by counts alone, levels shared, and a sentence that holds."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence

import pytest

from cotkit.analysis.comparison import RunFacts, compare
from cotkit.analysis.gains import list_gradings
from cotkit.analysis.steps import gains_by_steps, group_steps, onset_sentence
from cotkit.analysis.values import Comparison, Criteria, Gain, Label, StepGroup
from cotkit.report import FORMATS, RESULT_FORMATS, render
from cotkit.stats.intervals import Interval, tango
from cotkit.store import AttemptRow

PAIR = (("cot", "few-shot"),)


@pytest.mark.parametrize(
    ("counts", "expected", "why"),
    [
        ({}, (), "no problem with a known number of steps"),
        ({3: 40}, ((3, 3),), "one number of steps"),
        ({1: 20, 2: 20}, ((1, 1), (2, 2)), "just enough"),
        ({1: 19, 2: 20}, ((1, 2),), "the first is merged with the next"),
        ({1: 20, 2: 19}, ((1, 2),), "what is left over joins the group below"),
        ({1: 5, 2: 5, 4: 10, 5: 100}, ((1, 4), (5, 5)), "merged until there are enough, over gaps"),
        ({2: 326, 3: 370, 4: 298, 5: 174, 6: 88, 7: 40, 8: 20, 9: 2, 11: 1},
         ((2, 2), (3, 3), (4, 4), (5, 5), (6, 6), (7, 7), (8, 11)), "a long tail"),
        ({1: 5, 2: 5}, ((1, 2),), "too few for even one"),
    ],
)  # fmt: skip
def test_groups_follow_from_counts(
    counts: dict[int, int], expected: tuple[tuple[int, int], ...], why: str
) -> None:
    assert group_steps(counts) == expected, why
    assert group_steps({steps: counts[steps] for steps in reversed(counts)}) == expected, (
        "the order changes nothing"
    )


def group(steps: int, label: Label, *, highest: int | None = None) -> StepGroup:
    gain = Gain(
        arm="cot",
        control="few-shot",
        reader="flexible",
        n=20,
        n_better=0,
        n_worse=0,
        gain=0.0,
        interval=Interval(low=-1.0, high=1.0, level=0.95),
        p_value=1.0,
        p_holm=1.0,
        label=label,
        mde=0.1,
    )
    return StepGroup(
        lowest=steps, highest=highest or steps, n_correct=0, n_control_correct=0, gain=gain
    )


NO, HELPS, SOME, OPEN, HARMS = (
    "no_material_help", "helps", "some_help", "undetermined", "harms",
)  # fmt: skip
UNKNOWN = "from how many steps on cot helps is undetermined"


@pytest.mark.parametrize(
    ("labels", "expected", "why"),
    [
        ([NO, NO, NO, HELPS, HELPS], "cot helps from 4 steps up", "shown on both sides"),
        ([NO, HARMS, HELPS], "cot helps from 3 steps up", "harm below is no help, too"),
        ([NO, HELPS, SOME], "cot helps from 2 steps up", "less help above is help"),
        ([NO, OPEN, HELPS], f"{UNKNOWN}; shown to help at 3", "it may begin at 2"),
        ([OPEN, HELPS], f"{UNKNOWN}; shown to help at 2", "it may help at 1"),
        ([SOME, HELPS], f"{UNKNOWN}; shown to help at 2", "it helps at 1, perhaps by little"),
        ([NO, HELPS, OPEN], f"{UNKNOWN}; shown to help at 2", "not shown further up"),
        ([NO, HELPS, HARMS], f"{UNKNOWN}; shown to help at 2", "and harms further up"),
        ([NO, HELPS, NO, HELPS], f"{UNKNOWN}; shown to help at 2, 4", "comes and goes"),
        ([HELPS, OPEN], f"{UNKNOWN}; shown to help at 1", "not shown at 2"),
        ([HELPS, HELPS], "cot helps in every group of steps", "no beginning to be seen"),
        ([NO, HARMS, NO], "cot helps in no group of steps", "absence shown everywhere"),
        ([NO, OPEN], UNKNOWN, "absence not shown everywhere"),
        ([OPEN, OPEN], UNKNOWN, "nothing shown"),
        ([SOME, SOME], UNKNOWN, "some help is not yet help"),
    ],
)  # fmt: skip
def test_the_sentence_says_no_more_than_the_labels(
    labels: list[Label], expected: str, why: str
) -> None:
    groups = [group(steps, label) for steps, label in enumerate(labels, start=1)]
    assert onset_sentence("cot", groups) == f"{expected} (1 to {len(labels)} steps tested)", why


def test_a_merged_group_is_named_as_a_whole() -> None:
    groups = [group(1, "no_material_help"), group(2, "helps", highest=8)]
    assert onset_sentence("cot", groups) == "cot helps from 2-8 steps up (1 to 8 steps tested)"


@pytest.mark.parametrize("label", ["withheld", "upper_bound"])
def test_where_nothing_may_be_claimed_nothing_is(label: Label) -> None:
    assert onset_sentence("cot", [group(1, label), group(2, label)]) == (
        "cot: no claim by number of steps, as above"
    )


# --- from rows ------------------------------------------------------------------------------


def rows_of(
    arm: str, solved: Sequence[tuple[int | None, Sequence[bool]]], *, tag: str = ""
) -> list[AttemptRow]:
    """One row for each problem: (steps, who of them solved)."""
    return [
        AttemptRow(
            arm=arm,
            problem_id=f"{steps}/{tag}{at}",
            outcome="correct" if right else "wrong",
            text="The answer is 1.",
            correct_by={"flexible": right},
            n_steps=steps,
        )
        for steps, some in solved
        for at, right in enumerate(some)
    ]


def found(
    rows: Sequence[AttemptRow],
    pairs: Sequence[tuple[str, str]] = PAIR,
    *,
    sequential: bool = False,
    facts: Mapping[str, bool] | None = None,
    upper_bounds: frozenset[str] = frozenset(),
) -> Comparison:
    run = RunFacts(
        run_id="000000000000",
        model="m",
        n_params=None,
        bench="b",
        bench_version="1",
        n_problems=1,
        n_total=1,
        reasons=facts or {},
        upper_bounds=upper_bounds,
    )
    return compare(
        rows, pairs, run, (), Criteria(reader="flexible", margin=0.02), sequential=sequential
    )


def first(n_right: int, n: int) -> list[bool]:
    return [at < n_right for at in range(n)]


def planted() -> list[AttemptRow]:
    """No gain at 1 and 2 steps, +50 points at 3 and 4; 400 problems each, one of unknown steps."""
    return [
        *rows_of("few-shot", [*((s, first(200, 400)) for s in (1, 2, 3, 4)), (None, [True])]),
        *rows_of(
            "cot",
            [*((s, first(200, 400)) for s in (1, 2)), *((s, first(400, 400)) for s in (3, 4)),
             (None, [True])],
        ),
    ]  # fmt: skip


def test_a_planted_beginning_is_found() -> None:
    (of_cot,) = found(planted()).difficulty
    assert of_cot.sentence == "cot helps from 3 steps up (1 to 4 steps tested)"
    assert [(g.lowest, g.highest, g.gain.n) for g in of_cot.groups] == [
        (steps, steps, 400) for steps in (1, 2, 3, 4)
    ]
    assert [(g.n_control_correct, g.n_correct) for g in of_cot.groups] == [
        *[(200, 200)] * 2,
        *[(200, 400)] * 2,
    ]
    each = 0.95 ** (1 / 4)
    assert of_cot.groups[2].gain.interval.level == pytest.approx(each)
    expected = tango(200, 0, 400, of_cot.groups[2].gain.interval.level)
    assert of_cot.groups[2].gain.interval == expected
    assert of_cot.groups[3].gain.gain == 0.5


def test_the_order_of_rows_changes_nothing() -> None:
    rows = planted()
    assert found(rows[::-1]).difficulty == found(rows).difficulty


def test_several_gains_share_the_level_with_the_groups() -> None:
    both = [*planted(), *rows_of("cot2", [(s, first(300, 400)) for s in (1, 2, 3, 4)])]
    shown = found(both, [*PAIR, ("cot2", "few-shot")]).difficulty
    assert [one.arm for one in shown] == ["cot", "cot2"]
    for one in shown:
        assert len(one.groups) == 4
        for of_steps in one.groups:
            assert of_steps.gain.interval.level == pytest.approx(0.95 ** (1 / 8))


def test_a_run_that_was_watched_has_confidence_sequences_here_too() -> None:
    rng = random.Random(1)
    rows = [
        row
        for arm, rate in (("few-shot", 0.3), ("cot", 0.7))
        for row in rows_of(arm, [(s, [rng.random() < rate for _ in range(30)]) for s in (1, 2)])
    ]
    groups = [found(rows, sequential=watched).difficulty[0].groups for watched in (False, True)]
    for fixed, watched in zip(*groups, strict=True):
        assert watched.gain.gain == fixed.gain.gain
        assert watched.gain.interval.level == pytest.approx(1 - 0.05 / 2)
        assert watched.gain.interval.low < fixed.gain.interval.low


def test_an_upper_bound_makes_no_claim_in_any_group() -> None:
    (of_cot,) = found(planted(), upper_bounds=frozenset({"cot"})).difficulty
    assert {g.gain.label for g in of_cot.groups} == {"upper_bound"}
    assert "no claim" in of_cot.sentence


def test_a_withheld_verdict_is_withheld_in_every_group() -> None:
    leaky = [
        AttemptRow(
            arm=row.arm,
            problem_id=row.problem_id,
            outcome=row.outcome,
            text="1 + 2 = 3 and so on. The answer is 1.",
            correct_by=row.correct_by,
            n_steps=row.n_steps,
        )
        for row in planted()
    ]
    found_out = found(leaky, facts={"few-shot": False, "cot": True})
    assert found_out.verdicts[0].gain.label == "withheld"
    assert {g.gain.label for g in found_out.difficulty[0].groups} == {"withheld"}


@pytest.mark.parametrize(
    ("steps", "why"),
    [
        ((3, 3), "all alike"),
        ((None, None), "not known"),
        ((None, 3), "one group beside those not known"),
    ],
)
def test_one_group_is_no_table(steps: tuple[int | None, int | None], why: str) -> None:
    rows = [
        row
        for arm in ("few-shot", "cot")
        for tag, one in zip("ab", steps, strict=True)
        for row in rows_of(arm, [(one, first(10, 30))], tag=tag)
    ]
    comparison = found(rows)
    assert comparison.verdicts[0].gain.n == 60
    assert comparison.difficulty == (), why
    for form in {*FORMATS} - {"eval-results"}:
        assert "difficulty" not in render(comparison, form)
        assert "number of steps" not in render(comparison, form)


def test_the_table_is_in_every_report() -> None:
    comparison = found(planted())
    for form in set(FORMATS) - {"json", "csv", *RESULT_FORMATS}:
        assert "cot helps from 3 steps up (1 to 4 steps tested)." in " ".join(
            render(comparison, form).split()
        ), form
    shown = json.loads(render(comparison, "json"))["difficulty"]
    assert [row["steps"] for row in shown] == ["1", "2", "3", "4"]
    assert [row["gain"] for row in shown] == [0, 0, 0.5, 0.5]
    assert [row["label"] for row in shown] == [*[NO] * 2, *[HELPS] * 2]


def test_help_is_rarely_claimed_anywhere_where_there_is_none() -> None:
    """Three groups in which both arms solve 30 %, 100 runs: 2.5 % may claim help, so 2 or 3; by
    chance up to 8 (one test of a thousand sees more)."""
    rng = random.Random(6)
    n_claims = 0
    for _ in range(100):
        right = [[rng.random() < 0.3 for _ in range(40)] for _ in range(6)]
        control = rows_of("few-shot", list(zip((1, 2, 3), right[:3], strict=True)))
        arm = rows_of("cot", list(zip((1, 2, 3), right[3:], strict=True)))
        pairs = {PAIR[0]: [((row,), (other,)) for row, other in zip(arm, control, strict=True)]}
        (of_cot,) = gains_by_steps(
            pairs, list_gradings([], "flexible")[0], ["undetermined"], margin=0.02, level=0.95
        )
        n_claims += any(group.gain.label == "helps" for group in of_cot.groups)
    assert n_claims <= 8
