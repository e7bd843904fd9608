"""Comparisons on rows made by hand: every outcome, readers that disagree, failures, order."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Mapping, Sequence

import pytest

from cotkit.analysis.comparison import RunFacts, changes_answer, compare
from cotkit.analysis.gains import Grading
from cotkit.analysis.values import Comparison, Criteria, Gain, Label, Variant
from cotkit.errors import UsageError
from cotkit.report.comparison_tables import comparison_document
from cotkit.report.document import Number
from cotkit.stats.hypotheses import mcnemar_midp, minimum_detectable_effect, sidak_level
from cotkit.stats.intervals import tango, wilson
from cotkit.store.rows import AttemptRow
from cotkit.types import Outcome, Reading

CODES: Mapping[str, Outcome] = {
    "+": "correct",
    "-": "wrong",
    "u": "unparsed",
    "t": "truncated",
    "r": "refused",
    "x": "failed",
}
LEFT_OUT = "unparsed and truncated left out"
FOR_CONTROL = "unreadable counted for the control"
FOR_ARM = "unreadable counted for the arm"


def rows_of(arm: str, marks: str, strict: str | None = None) -> list[AttemptRow]:
    """One row for each mark; ``strict`` says by + and - what a second reader makes of each."""
    return [
        _row(arm, i, mark, None if strict is None else strict[i]) for i, mark in enumerate(marks)
    ]


def _row(arm: str, i: int, mark: str, strict: str | None) -> AttemptRow:
    if mark == "x":
        return AttemptRow(
            arm=arm, problem_id=f"toy/test/{i}", outcome="failed", error="no answer", seconds=9.0
        )
    right = {"flexible": mark == "+"}
    if strict is not None:
        right["strict"] = strict == "+"
    return AttemptRow(
        arm=arm,
        problem_id=f"toy/test/{i}",
        outcome=CODES[mark],
        text="...",
        gold="7",
        readings={
            name: Reading(value="7" if ok else None if mark in "utr" else "8", rule="last-number")
            for name, ok in right.items()
        },
        correct_by=right,
        truncated=mark == "t",
        n_calls=1,
        n_prompt_tokens=100 + i,
        n_shared_tokens=80,
        n_generated_tokens=10,
        seconds=0.1 * (i + 1),
    )


def facts(n_problems: int) -> RunFacts:
    return RunFacts(
        run_id="0123456789ab",
        model="toy-1b",
        n_params=10**9,
        bench="toy",
        bench_version="1",
        n_problems=n_problems,
        n_total=1000,
    )


def compared(
    rows: Sequence[AttemptRow],
    n_problems: int,
    *,
    pairs: Sequence[tuple[str, str]] = (("cot", "few-shot"),),
    margin: float = 0.02,
) -> Comparison:
    return compare(rows, pairs, facts(n_problems), (), Criteria(reader="flexible", margin=margin))


def variants(comparison: Comparison, i: int = 0) -> dict[str, Variant]:
    return {variant.name: variant for variant in comparison.verdicts[i].variants}


# ---- the main path ---------------------------------------------------------------------------


def test_a_gain_is_counted_and_said() -> None:
    cot = "+" * 12 + "-" * 12
    few = "+" * 3 + "-" * 9 + "+" + "-" * 11
    comparison = compared([*rows_of("cot", cot), *rows_of("few-shot", few)], 24)
    verdict = comparison.verdicts[0]
    gain = verdict.gain
    assert (gain.n, gain.n_better, gain.n_worse) == (24, 9, 1)
    assert gain.gain == pytest.approx(8 / 24)
    assert gain.interval == tango(9, 1, 24, 0.95)
    assert gain.p_value == gain.p_holm == mcnemar_midp(9, 1)
    assert gain.mde == minimum_detectable_effect(24, 4 / 24, 0.95)
    assert gain.label == "helps"
    assert gain.reader == comparison.reader == "flexible"
    assert verdict.depends_on == ()
    assert verdict.sentence == (
        "cot helps: +33.3 points over few-shot "
        "(95 % interval +8.9 to +54.7; 9 better, 1 worse of 24; p = 0.012)."
    )
    assert comparison.notes == ()
    uncopied = {"reasons", "thinking", "upper_bounds", "flips", "run_ons", "chance"}
    copied = {k: v for k, v in dataclasses.asdict(facts(24)).items() if k not in uncopied}
    assert copied.items() <= dataclasses.asdict(comparison).items()


def test_a_cell_counts_all_but_the_failed() -> None:
    few_shot, cot = compared([*rows_of("cot", "++-utrx"), *rows_of("few-shot", "-------")], 7).cells
    assert (few_shot.arm, cot.arm) == ("few-shot", "cot"), "controls come first"
    assert cot.n == 6
    assert dict(cot.outcomes) == {
        "correct": 2,
        "wrong": 1,
        "unparsed": 1,
        "truncated": 1,
        "refused": 1,
        "failed": 1,
    }
    assert cot.n_correct == 2
    assert cot.solve_rate == pytest.approx(1 / 3)
    assert cot.interval == wilson(2, 6, 0.95)
    assert cot.prompt_tokens == pytest.approx(102.5)
    assert cot.shared_tokens == 80
    assert cot.generated_tokens == 10
    assert cot.generated_per_correct == 30
    assert cot.seconds == pytest.approx(0.35), "the failed attempt's 9 seconds are not in"
    assert cot.seconds_per_correct == pytest.approx(1.05)
    assert few_shot.generated_per_correct is None
    assert few_shot.seconds_per_correct is None


def test_one_unknown_token_count_makes_the_mean_unknown() -> None:
    rows = rows_of("cot", "++")
    rows[1] = dataclasses.replace(rows[1], n_generated_tokens=None)
    (cell,) = compared(rows, 2, pairs=()).cells
    assert cell.prompt_tokens == 100.5
    assert cell.generated_tokens is None
    assert cell.generated_per_correct is None


def test_a_failed_attempt_takes_its_pair_along_and_a_note_says_so() -> None:
    comparison = compared([*rows_of("cot", "+++x-"), *rows_of("few-shot", "-x--+")], 5)
    gain = comparison.verdicts[0].gain
    assert (gain.n, gain.n_better, gain.n_worse) == (3, 2, 1)
    assert comparison.notes == (
        "few-shot: 1 of 5 attempts failed; left out of its solve rate and of its pairs",
        "cot: 1 of 5 attempts failed; left out of its solve rate and of its pairs",
        (
            "cot against few-shot: 3 of 5 problems were completed by both; "
            "the rest are left out of the gain"
        ),
    )


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([], "nothing was run"),
        (rows_of("cot", "++"), "the control was never run"),
        ([*rows_of("cot", "+x"), *rows_of("few-shot", "x+")], "no problem has both"),
        ([*rows_of("cot", "xx"), *rows_of("few-shot", "xx")], "all failed"),
    ],
)
def test_without_a_completed_pair_nothing_is_decided(rows: list[AttemptRow], why: str) -> None:
    verdict = compared(rows, 2).verdicts[0]
    assert verdict.gain.n == 0, why
    assert math.isnan(verdict.gain.gain)
    assert math.isnan(verdict.gain.mde)
    assert verdict.gain.label == "undetermined"
    assert verdict.depends_on == ()
    assert verdict.sentence == (
        "cot against few-shot cannot be decided: no problem was completed by both."
    )


def test_the_order_of_rows_changes_nothing() -> None:
    rows = [
        *rows_of("cot", "++-utrx+-+" * 3, "+--+--x+-+" * 3),
        *rows_of("few-shot", "-+-+u--rx+" * 3, "-+-+---+x+" * 3),
        *rows_of("zero-shot", "-----t---x" * 3, "--+------x" * 3),
    ]
    pairs = [("cot", "few-shot"), ("few-shot", "zero-shot")]
    expected = compared(rows, 30, pairs=pairs)
    rng = random.Random(7)
    for _ in range(5):
        rng.shuffle(rows)
        assert compared(rows, 30, pairs=pairs) == expected


# ---- sentences -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cot", "few", "margin", "label", "sentence"),
    [
        (
            "+" * 30 + "-" * 70,
            "-" * 100,
            0.25,
            "some_help",
            (
                "cot helps, perhaps by less than 25 points: +30.0 points over few-shot "
                "(95 % interval +21.9 to +39.6; 30 better, 0 worse of 100; p < 0.0001)."
            ),
        ),
        (
            "-" * 100,
            "+" * 12 + "-" * 88,
            0.02,
            "harms",
            (
                "cot harms: -12.0 points against few-shot "
                "(95 % interval -19.8 to -7.0; 0 better, 12 worse of 100; p = 0.00024)."
            ),
        ),
        (
            "+" * 300 + "-" * 300,
            "+" * 300 + "-" * 300,
            0.02,
            "no_material_help",
            (
                "cot gives no material help (under 2 points): +0.0 points against few-shot "
                "(95 % interval -0.6 to +0.6; 0 better, 0 worse of 600; p = 1)."
            ),
        ),
        (
            "++-" + "-" * 21,
            "--+" + "-" * 21,
            0.02,
            "undetermined",
            (
                "cot against few-shot cannot be decided: +4.2 points "
                "(95 % interval -13.8 to +22.8; 2 better, 1 worse of 24; p = 0.62); "
                "this run could only have seen gains of 32 points or more."
            ),
        ),
        (
            "+++",
            "+--",
            0.02,
            "undetermined",
            (
                "cot against few-shot cannot be decided: +66.7 points "
                "(95 % interval -26.9 to +93.9; 2 better, 0 worse of 3; p = 0.25); "
                "no gain, however large, would surely have been seen."
            ),
        ),
    ],
)
def test_sentences(cot: str, few: str, margin: float, label: Label, sentence: str) -> None:
    verdict = compared(
        [*rows_of("cot", cot), *rows_of("few-shot", few)], len(cot), margin=margin
    ).verdicts[0]
    assert verdict.gain.label == label
    assert verdict.sentence == sentence


# ---- several gains ---------------------------------------------------------------------------


def test_several_gains_share_the_level() -> None:
    rows = [
        *rows_of("few-shot", "-" * 40),
        *rows_of("cot", "+" * 9 + "-" * 31),
        *rows_of("zero-shot-cot", "+" * 5 + "-" * 35),
        *rows_of("plan", "-" * 40),
    ]
    pairs = [("cot", "few-shot"), ("zero-shot-cot", "few-shot"), ("plan", "few-shot")]
    comparison = compared(rows, 40, pairs=pairs)
    found = [verdict.gain for verdict in comparison.verdicts]
    assert [gain.arm for gain in found] == ["cot", "zero-shot-cot", "plan"]
    assert {gain.interval.level for gain in found} == {sidak_level(0.95, 3)}
    assert [gain.p_holm for gain in found] == pytest.approx(
        [3 * mcnemar_midp(9, 0), 2 * mcnemar_midp(5, 0), 1.0]
    )
    assert "98.3 % interval" in comparison.verdicts[0].sentence
    assert comparison.notes[-1] == (
        "3 gains: each interval is at 98.3 %, all hold at 95 %; p-values by Holm"
    )


def test_cells_are_controls_then_arms_then_the_rest() -> None:
    rows = [row for arm in ("z", "cot", "b", "few-shot", "a") for row in rows_of(arm, "+-")]
    pairs = [("cot", "few-shot"), ("few-shot", "a")]
    assert [cell.arm for cell in compared(rows, 2, pairs=pairs).cells] == [
        "few-shot",
        "a",
        "cot",
        "b",
        "z",
    ]


# ---- readers and unreadable answers ----------------------------------------------------------


def test_the_verdict_depends_on_the_reader_when_another_reads_it_away() -> None:
    cot, cot_strict = "+" * 15 + "-" * 25, "-" * 40
    few, few_strict = "-" * 40, "-" * 40
    verdict = compared(
        [*rows_of("cot", cot, cot_strict), *rows_of("few-shot", few, few_strict)], 40
    ).verdicts[0]
    assert verdict.gain.label == "helps"
    assert verdict.depends_on == ("reader strict",)
    assert verdict.sentence.endswith("p < 0.0001); depends on the reader (strict).")


def test_each_reader_counts_its_own_readings() -> None:
    comparison = compared(
        [*rows_of("cot", "++--", "+-+-"), *rows_of("few-shot", "--+-", "---+")], 4
    )
    strict = variants(comparison)["reader strict"].gain
    assert (strict.reader, strict.n, strict.n_better, strict.n_worse) == ("strict", 4, 2, 1)
    main = comparison.verdicts[0].gain
    assert (main.reader, main.n, main.n_better, main.n_worse) == ("flexible", 4, 2, 1)
    assert "reader flexible" not in variants(comparison), "that is the gain itself"


def test_treatments_of_unreadable_answers() -> None:
    #          better  even  drop: arm  drop: control  worse
    cot = "++" + "+-" + "utr" + "+-" + "-"
    few = "--" + "+-" + "+--" + "ut" + "+"
    found = variants(compared([*rows_of("cot", cot), *rows_of("few-shot", few)], 10))
    main = compared([*rows_of("cot", cot), *rows_of("few-shot", few)], 10).verdicts[0].gain
    assert (main.n, main.n_better, main.n_worse) == (10, 3, 2)
    counted = {name: (v.gain.n, v.gain.n_better, v.gain.n_worse) for name, v in found.items()}
    assert counted == {
        LEFT_OUT: (5, 2, 1),
        FOR_CONTROL: (10, 2, 3),  # its "u" meets a right answer, its "t" a wrong one
        FOR_ARM: (10, 5, 1),  # its "u" meets a right answer, its "t" and "r" wrong ones
    }


def test_a_control_that_cannot_be_read_makes_the_gain_hang_on_that() -> None:
    cot, few = "+" * 40 + "-" * 20, "u" * 55 + "-" * 5
    verdict = compared([*rows_of("cot", cot), *rows_of("few-shot", few)], 60).verdicts[0]
    assert verdict.gain.label == "helps"
    assert verdict.depends_on == (LEFT_OUT, FOR_CONTROL)
    assert verdict.sentence.endswith(
        f"; depends on how unreadable answers count ({LEFT_OUT}, {FOR_CONTROL})."
    )


def _gain(label: Label, gain: float) -> Gain:
    return Gain(
        arm="cot",
        control="few-shot",
        reader="flexible",
        n=10,
        n_better=0,
        n_worse=0,
        gain=gain,
        interval=tango(0, 0, 10, 0.95),
        p_value=1.0,
        p_holm=1.0,
        label=label,
        mde=math.nan,
    )


@pytest.mark.parametrize(
    ("main", "kind", "now", "expected", "why"),
    [
        ("helps", "reader", ("some_help", 0.1), False, "both better"),
        ("helps", "reader", ("undetermined", 0.1), True, "another reader does not show it"),
        ("helps", "treatment", ("undetermined", 0.1), False, "only certainty was lost"),
        ("helps", "treatment", ("undetermined", 0.0), True, "nothing of the gain is left"),
        ("helps", "treatment", ("undetermined", math.nan), True, "no pair is left"),
        ("helps", "treatment", ("no_material_help", 0.01), True, "help is excluded"),
        ("helps", "treatment", ("harms", -0.1), True, "the opposite"),
        ("harms", "treatment", ("undetermined", -0.1), False, "only certainty was lost"),
        ("harms", "treatment", ("undetermined", 0.1), True, "the sign turned"),
        ("undetermined", "reader", ("helps", 0.1), True, "another reader decides"),
        ("undetermined", "treatment", ("harms", -0.1), True, "the treatment decides"),
        ("undetermined", "reader", ("no_material_help", -0.1), False, "neither names a side"),
    ],
)
def test_when_a_variant_differs(
    main: Label, kind: str, now: tuple[Label, float], expected: bool, why: str
) -> None:
    counting = Grading(
        name="v",
        kind="reader" if kind == "reader" else "treatment",
        reader="flexible",
        is_right=lambda row, side: None,
    )
    point = {"helps": 0.1, "harms": -0.1}.get(main, 0.0)
    assert changes_answer(_gain(main, point), _gain(*now), counting) == expected, why


# ---- notes -----------------------------------------------------------------------------------


def test_floor_and_ceiling_are_noted() -> None:
    floor = compared([*rows_of("cot", "----"), *rows_of("few-shot", "--u-")], 4)
    assert floor.notes == (
        (
            "floor: neither cot nor few-shot solved any of 4 problems; "
            "a gain near 0 says nothing about the strategy here"
        ),
    )
    ceiling = compared([*rows_of("cot", "+" * 10), *rows_of("few-shot", "+" * 9 + "-")], 10)
    assert ceiling.notes == (
        "ceiling: few-shot alone solves 90.0 %; a small gain of cot is no evidence against it",
    )
    assert compared([*rows_of("cot", "+---"), *rows_of("few-shot", "-+--")], 4).notes == ()


def test_shared_clusters_are_noted() -> None:
    rows = [
        dataclasses.replace(row, cluster="template" if row.problem_id.endswith("0") else "own")
        for row in [*rows_of("cot", "+--"), *rows_of("few-shot", "-+-")]
    ]
    assert compared(rows, 3).notes == (
        (
            "3 of 3 problems come in 2 clusters; "
            "with so few, intervals and p-values flip the signs of whole clusters"
        ),
    )


def test_a_table_says_what_clusters_are_worth() -> None:
    texts = {"cot": "++++----" * 10, "few-shot": "--------" * 10}
    rows = [
        dataclasses.replace(row, cluster=f"template-{i // 4}")
        for arm, outcomes in texts.items()
        for i, row in enumerate(rows_of(arm, outcomes))
    ]
    comparison = compared(rows, 80)
    (table,) = (t for t in comparison_document(comparison).tables if t.key == "clusters")
    (row,) = table.rows
    numbers = [cell.value for cell in row if isinstance(cell, Number)]
    assert numbers == [80, 20, 19], "a template whose problems all end alike is worth one of them"
    apart = compared([dataclasses.replace(row, cluster=None) for row in rows], 80)
    assert "clusters" not in {t.key for t in comparison_document(apart).tables}


# ---- what is refused -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "pairs", "margin", "message"),
    [
        (
            rows_of("cot", "+") * 2,
            [("cot", "few-shot")],
            0.02,
            "sample 0 of toy/test/0 by cot is given twice",
        ),
        (
            [*rows_of("cot", "+", "+"), *rows_of("few-shot", "-")],
            [("cot", "few-shot")],
            0.02,
            "few-shot on toy/test/0 was not read by strict",
        ),
        (
            [dataclasses.replace(rows_of("cot", "+")[0], outcome="wrong")],
            [("cot", "few-shot")],
            0.02,
            "cot on toy/test/0 is wrong, but not by reader 'flexible'",
        ),
        ([], [("cot", "cot")], 0.02, "cot cannot be compared with itself"),
        ([], [("cot", "few-shot")] * 2, 0.02, "given twice"),
        ([], [], 0.0, "margin must lie between 0 and 1"),
    ],
)
def test_bad_input_is_refused(
    rows: list[AttemptRow], pairs: list[tuple[str, str]], margin: float, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        compared(rows, 1, pairs=pairs, margin=margin)


def test_a_gain_that_failures_may_have_made_says_so() -> None:
    """Truth: no gain. Two thirds of the wrong attempts of one arm fail, and only these."""
    rng = random.Random(4)
    right = {arm: [rng.random() < 0.5 for _ in range(200)] for arm in ("cot", "few-shot")}
    lost = [not hit and rng.random() < 0.65 for hit in right["cot"]]
    marks = {
        "cot": "".join(
            "x" if gone else "-+"[hit] for hit, gone in zip(right["cot"], lost, strict=True)
        ),
        "few-shot": "".join("-+"[hit] for hit in right["few-shot"]),
    }
    comparison = compared([row for arm in marks for row in rows_of(arm, marks[arm])], 200)
    verdict = comparison.verdicts[0]
    assert verdict.gain.label == "helps"
    assert verdict.depends_on == ("failed counted for the control",)
    assert "what the failed attempts would have been" in verdict.sentence
    [best] = [v.gain for v in verdict.variants if v.name == "failed counted for the arm"]
    assert best.n == 200
    assert best.gain > verdict.gain.gain
