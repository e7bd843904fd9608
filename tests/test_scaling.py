"""A ladder of models from end to end: planted onsets found, holes shown, bad ladders refused."""

from __future__ import annotations

import json
import math
import signal
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cotkit
from cotkit.analysis.audit import audit_arms, contamination_rate
from cotkit.analysis.scale.grid import ArmOutcomes, Axis, Rung
from cotkit.backends.simulated import Simulated
from cotkit.errors import CotkitError, InterruptedRunError, UsageError
from cotkit.events import AttemptDone, Event, RunStarted
from cotkit.models.prices import price_of
from cotkit.run import RunSpec
from cotkit.run.identity import difference
from cotkit.store import STORE_NAME, AttemptRow, Store
from cotkit.types import Completion, Reading, Request
from cotkit.workflows.compare import Emit
from cotkit.workflows.ladder import check_ladder, family_models
from cotkit.workflows.ladder_grid import LadderArms, LadderRun, read_grid
from cotkit.workflows.scale import (
    LadderForecast,
    ScaleOptions,
    ScaleResult,
    scale_models,
    scale_runs,
)
from tests.conftest import Sums

LADDER = ("simulated/100m", "simulated/1b", "simulated/30b", "simulated/300b")
SURE = {"slope": "50", "direct_mid": "20", "reasoning_mid": "10", "ceiling": "1", "floor": "0"}


ALONE: dict[str, Any] = {"strategy": "cot", "bench": "gsm-mini", "limit": 12, "model_args": SURE}
SPEC = RunSpec(model="", limit="all", model_args=SURE, margin=0.05)


def run(
    spec: RunSpec = SPEC,
    *,
    n: int = 20,
    benches: Sequence[Sums] = (),
    emit: Emit = lambda _: None,
    on_plan: Callable[[LadderForecast], None] | None = None,
) -> ScaleResult:
    return scale_models(
        spec,
        LADDER,
        [(bench.name, bench) for bench in benches or [Sums(n=n)]],
        ScaleOptions(),
        log_dir=Path("logs"),
        emit=emit,
        on_plan=on_plan,
    )


def test_a_planted_onset_lies_in_the_bracket_that_is_found() -> None:
    """Reasoning solves all from 10 B on and nothing below; n tells 5 points from none."""
    (scale,) = run(n=130).scales
    (answer,) = scale.answers
    assert answer.onset.status == "bracket"
    assert answer.onset.lower is not None
    assert answer.onset.upper is not None
    assert (answer.onset.lower.model, answer.onset.upper.model) == (
        "simulated-1b",
        "simulated-30b",
    )
    assert answer.onset.after == "sustained"
    assert [point.label for point in answer.points] == ["no_material_help"] * 2 + ["helps"] * 2
    assert scale.family == "simulated"
    assert scale.bench == "sums"
    exact, similar = (
        [m.value for m in scale.metrics if m.arm == "cot" and m.metric == name]
        for name in ("exact_match", "digit_accuracy")
    )
    assert exact == [0, 0, 1, 1]
    assert similar[2:] == [1, 1], "the companion is of the same outputs"
    assert max(similar[:2]) < 0.5


def test_what_the_store_holds_is_not_made_again_and_says_the_same() -> None:
    events: list[Event] = []
    first = run()
    again = run(emit=events.append)
    assert again == first
    assert events == [], "every run was complete"
    two = RunSpec(model="", strategies=("cot", "equation-only"), model_args=SURE)
    more = run(two, emit=events.append)
    made = [one for one in events if isinstance(one, RunStarted)]
    assert made[0].title == "1 of 4, simulated-100m on sums"
    assert len(more.scales[0].answers) == 2


def test_compare_and_scale_share_a_run() -> None:
    comparison = cotkit.compare("simulated/1b", "cot", Sums(n=20), model_args=SURE)
    (scale,) = cotkit.scale(["simulated/1b", "simulated/30b"], "cot", Sums(n=20), model_args=SURE)
    assert scale.origin is not None
    assert scale.origin.runs["simulated-1b"] == comparison.run_id
    gain = comparison.verdicts[0].gain
    (point,) = [p for p in scale.answers[0].points if p.rung.model == "simulated-1b"]
    assert (point.n, point.n_better, point.n_worse) == (gain.n, gain.n_better, gain.n_worse)
    assert scale.origin.n_shot == {"few-shot": 8, "cot": 8}


def test_a_failed_attempt_is_a_hole_and_not_a_wrong_answer() -> None:
    spec = RunSpec(model="", limit="all", model_args=SURE | {"failing": "0.2", "floor": "1"})
    found = run(spec, n=60)
    (scale,) = found.scales
    assert found.n_failed > 20
    assert found.why_failed is not None
    assert "as planted" in found.why_failed
    for point in scale.answers[0].points:
        assert 0 < point.n < 60
        assert point.arm_rate == point.control_rate == 1, "the failed ones count as nothing"
    assert any("left out, not wrong" in note for note in scale.notes)


def test_several_benchmarks_hold_at_once_and_each_has_its_curve() -> None:
    one, other = Sums(n=30), replace(Sums(n=30), name="more")
    found = run(benches=[one, other])
    assert [scale.bench for scale in found.scales] == ["sums", "more"]
    assert found.scales[0].level == pytest.approx(0.95**0.5)
    assert all("hold at once at 95 %" in " ".join(scale.notes) for scale in found.scales)
    with pytest.raises(UsageError, match="sums is given twice"):
        run(benches=[one, one])


def test_by_steps_there_is_a_curve_for_each_group_of_problems() -> None:
    options: dict[str, Any] = {"bench": "arithmetic:steps=1-2,digits=2", "limit": 60}
    scales = cotkit.scale(LADDER, model_args=SURE, by_steps=True, **options)
    assert [scale.bench.rpartition(", ")[2] for scale in scales] == ["1 step", "2 steps"]
    assert sum(scale.n_problems for scale in scales) == 60
    assert scales[0].level == pytest.approx(0.95**0.5)
    whole = cotkit.scale(LADDER, model_args=SURE, **options)[0].answers[0].points[-1]
    parts = [scale.answers[0].points[-1].n_better for scale in scales]
    assert whole.n_better == sum(n or 0 for n in parts), "every problem is in one group"
    with pytest.raises(UsageError, match="two groups by their steps"):
        cotkit.scale(LADDER, bench=Sums(n=30), by_steps=True)


def test_the_prospect_says_what_it_takes_and_finds_before_anything_is_made() -> None:
    seen: list[LadderForecast] = []

    def stop(prospect: LadderForecast) -> None:
        seen.append(prospect)
        raise KeyboardInterrupt

    with pytest.raises(InterruptedRunError, match="same command goes on"):
        run(on_plan=stop)
    (prospect,) = seen
    assert (prospect.n_sizes, prospect.n_pairs, prospect.n_problems) == (4, 1, (20,))
    assert prospect.each == pytest.approx(0.95**0.25)
    assert [sum(arm.n_to_make for arm in one.arms) for _, one in prospect.forecasts] == [40] * 4
    with Store(Path("logs") / STORE_NAME) as store:
        assert store.runs() == []


def test_an_interrupt_keeps_what_was_made_and_the_same_call_goes_on() -> None:
    n_done = 0

    def stop(event: Event) -> None:
        nonlocal n_done
        n_done += isinstance(event, AttemptDone)
        if n_done == 50:
            signal.raise_signal(signal.SIGINT)

    slow = replace(SPEC, model_args=SURE | {"latency_s": "0.002", "max_concurrency": "2"})
    with pytest.raises(InterruptedRunError):
        run(slow, emit=stop)
    events: list[Event] = []
    found = run(emit=events.append)
    assert found.n_failed == 0
    starts = [event for event in events if isinstance(event, RunStarted)]
    assert [event.title[0] for event in starts] == ["2", "3", "4"], "the first run was complete"
    assert starts[0].n_cached > 0
    assert found == run()


def test_an_arm_that_reasons_though_not_asked_is_left_out_and_named() -> None:
    spec = replace(SPEC, thinking="off")
    run(spec, n=40)
    with sqlite3.connect(Path("logs") / STORE_NAME) as db:  # as a model that thinks all the same
        db.execute(
            "UPDATE attempt SET reasoned_apart = 1 WHERE arm LIKE 'few-shot:%' AND run = "
            "(SELECT run.id FROM run JOIN backend ON backend.key = backend "
            "WHERE info LIKE '%simulated-30b%')"
        )
    (scale,) = run(spec, n=40).scales
    assert [point.label == "missing" for point in scale.answers[0].points] == [
        *(False, False, True, False)
    ]
    assert any("contaminated: few-shot" in note and "simulated-30b" in note for note in scale.notes)


def test_texts_read_alone_are_judged_as_whole_rows_are() -> None:
    run_id = cotkit.compare("simulated/30b", **ALONE).run_id
    with Store(Path("logs") / STORE_NAME) as store:
        rows = store.attempts(run_id)
        found: dict[str, float | None] = {}
        for arm in store.arms(run_id):
            (audit,) = audit_arms([row for row in rows if row.arm == arm], {arm: False}, "flexible")
            found[arm] = contamination_rate(store.replies(run_id, arm, "flexible"))
            assert found[arm] == (audit.reasoned / audit.n if audit.is_contaminated else None)
    assert list(found) == ["few-shot", "cot"], "in the order of the plan"
    assert found["few-shot"] is None
    assert found["cot"] == 1


def test_a_model_gives_its_memory_back_before_the_next_one_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log: list[str] = []
    plain = Simulated.generate

    async def generate(self: Simulated, request: Request) -> tuple[Completion, ...]:
        log.append(f"{self.model} works")
        return await plain(self, request)

    async def close(self: Simulated) -> None:
        log.append(f"{self.model} closes")

    monkeypatch.setattr(Simulated, "generate", generate)
    monkeypatch.setattr(Simulated, "close", close)
    run(n=3)
    names = [name.removeprefix("simulated/") for name in LADDER]
    assert list(dict.fromkeys(log)) == [
        f"{n} {what}" for n in names for what in ("works", "closes")
    ]


RUNG = Rung(model="a", family="f", n_params=7, n_active_params=3, train_flops=1e20, loss=2.0)
BAD_LADDERS: list[tuple[tuple[Rung, ...], Axis, str]] = [
    ((RUNG,), "params", "two models or more, not 1"),
    ((RUNG, RUNG), "params", "a is given twice"),
    ((RUNG, replace(RUNG, model="b")), "params", "all 2 models are of one size"),
    (
        (RUNG, replace(RUNG, model="b", family="g")),
        "params",
        "a and b have the same number of parameters",
    ),
    ((RUNG, Rung(model="b", family="f")), "params", "number of parameters of b is not known"),
    ((RUNG, replace(RUNG, model="b", train_flops=None)), "flops", "training compute of b"),
    ((RUNG, replace(RUNG, model="b", loss=None)), "loss", "pretraining loss of b"),
]


@pytest.mark.parametrize(("rungs", "axis", "said"), BAD_LADDERS, ids=lambda case: str(case)[:40])
def test_a_ladder_without_an_order_is_refused(
    rungs: tuple[Rung, ...], axis: Axis, said: str
) -> None:
    with pytest.raises(UsageError, match=said) as refused:
        check_ladder(rungs, axis)
    assert refused.value.hint


def test_any_models_have_an_order_if_it_is_given() -> None:
    check_ladder((RUNG, Rung(model="b", family=None)), "ordinal")
    check_ladder((RUNG, replace(RUNG, model="b", n_active_params=4)), "active-params")


def test_families_come_in_order_of_size() -> None:
    assert family_models("simulated")[0] == "simulated/100m"
    assert family_models("qwen2.5-base")[0] < family_models("qwen2.5-base")[-1]
    with pytest.raises(UsageError, match="unknown family 'simulatd'"):
        family_models("simulatd")


MARGIN = "margin .* is not between 0 and 1"


@pytest.mark.parametrize(
    ("models", "options", "said"),
    [
        (LADDER, {"margin": 0.0}, MARGIN),
        (LADDER, {"margin": 1.0}, MARGIN),
        (LADDER[:1], {}, "two models or more"),
        (("simulated/1b", "simulated/1000m"), {}, "all 2 models are of one size"),
        (LADDER, {"strategy": "standard"}, "none can start to help"),
        (LADDER, {"strategy": "oracle-review"}, "none can start to help"),
        (LADDER, {"x": "loss", "losses": {LADDER[0]: 2.0}}, "pretraining loss of simulated-1b"),
        (LADDER, {"losses": {"nobody": 2.0}}, "unknown model of the ladder 'nobody'"),
        ("nobody", {}, "unknown family"),
    ],
)
def test_bad_input_is_one_line_before_anything_is_made(
    models: str | tuple[str, ...], options: dict[str, Any], said: str
) -> None:
    with pytest.raises(CotkitError, match=said):
        cotkit.scale(models, bench=Sums(n=5), **options)
    assert not list(Path("logs").glob("*")) or not _n_runs()


def _n_runs() -> int:
    with Store(Path("logs") / STORE_NAME) as store:
        return len(store.runs())


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"seed": 1}, "problems"),
        ({"limit": 11}, "problems"),
        ({"bench": "arithmetic:n=12"}, 'benchmark, "gsm-mini" and "arithmetic"'),
        ({"reader": "strict"}, 'reader, "flexible" and "strict"'),
        ({"exemplars": "builtin:3"}, "the exemplars of cot"),
        ({"exemplar_seed": 3}, "the exemplars of cot"),
        ({"generation": {"max_tokens": "77"}}, "the max_tokens of cot, 256 and 77"),
        ({"generation": {"temperature": "0.5"}}, "the temperature of cot, 0.0 and 0.5"),
        ({"stop_when": "decided"}, "stop_when"),
    ],
    ids=str,
)
def test_runs_that_differ_in_more_than_the_model_are_refused(
    change: dict[str, Any], field: str
) -> None:
    runs = [
        cotkit.compare("simulated/1b", **ALONE).run_id,
        cotkit.compare("simulated/30b", **(ALONE | change)).run_id,
    ]
    with pytest.raises(UsageError, match="cannot stand on one curve") as refused:
        _read(runs)
    assert f"they differ in {field}" in refused.value.message


def _read(runs: Sequence[str]) -> ScaleResult:
    return scale_runs(runs, ScaleOptions(), margin=0.02, seed=0, log_dir=Path("logs"))


def test_runs_of_the_store_stand_on_one_curve_whatever_their_margin_and_arms() -> None:
    two: dict[str, Any] = ALONE | {"strategy": ["cot", "equation-only"]}
    runs = [
        cotkit.compare("simulated/30b", **ALONE, margin=0.1).run_id,
        cotkit.compare("simulated/1b", **ALONE).run_id,
        cotkit.compare("simulated/10b", **two).run_id,
    ]
    (scale,) = _read([run_id[:8] for run_id in runs]).scales
    assert [point.rung.model for point in scale.answers[0].points] == [
        *("simulated-1b", "simulated-10b", "simulated-30b")
    ]
    equations = next(answer for answer in scale.answers if answer.arm == "equation-only")
    assert [point.label == "missing" for point in equations.points] == [True, False, True]


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        (
            "UPDATE run SET content = json_set(content, '$.arms.cot.version', 0)",
            "differs in the version of cot, 0 and 1",
        ),
        (
            "UPDATE run SET content = json_set(content, '$.bench[1]', 'old')",
            "differs in benchmark version",
        ),
        ("UPDATE run SET content = '{}'", "made by an earlier cotkit"),
    ],
)
def test_runs_of_another_version_are_refused_with_what_differs(statement: str, said: str) -> None:
    runs = [cotkit.compare(model, **ALONE).run_id for model in ("simulated/1b", "simulated/30b")]
    with sqlite3.connect(Path("logs") / STORE_NAME) as db:
        db.execute(statement)
    with pytest.raises(UsageError, match=said):
        _read(runs)


def test_a_difference_names_the_first_field_and_only_of_shared_arms() -> None:
    cot = {"strategy": "cot", "version": 1, "fields": {"k": 1}, "prompts": {"cot": "1"}}
    content: dict[str, Any] = {
        "bench": ["b", "1"],
        "problems": ["p"],
        "reader": "flexible",
        "arms": {"cot": cot, "mine": {"strategy": "mine", "fields": {}, "source": "code"}},
        "margin": 0.02,
    }
    other = json.loads(json.dumps(content))
    assert difference(content, other) is None
    other["margin"] = 0.5
    del other["arms"]["mine"]
    assert difference(content, other) is None, "neither changes a row"
    other["arms"]["cot"]["version"] = 2
    assert difference(content, other) == "the version of cot, 1 and 2"


OLD: dict[str, Any] = {
    "bench": ["b", "1"],
    "problems": ["p"],
    "scorer": ["2", "flexible"],
    "arms": {"cot": [{"k": 1}, "source of every strategy"]},
    "prompts": {"cot": "1", "another": "2"},
    "margin": 0.02,
}


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        ((), None, None),
        (("arms", "cot", "fields", "k"), 2, "the k of cot, 1 and 2"),
        (("arms", "cot", "version"), 2, "the version of cot, 1 and 2"),
        (
            ("arms", "cot", "prompts", "cot"),
            "3",
            'the prompts of cot, {"cot": "1"} and {"cot": "3"}',
        ),
        (("problems",), ["p", "q"], 'problems, ["p"] and ["p", "q"]'),
        (("reader",), "strict", 'reader, "flexible" and "strict"'),
        (("stop_when",), ["decided", 0], 'stop_when, null and ["decided", 0]'),
    ],
    ids=str,
)
def test_runs_of_0_1_are_compared_in_what_both_record(
    path: tuple[str, ...], value: object, field: str | None
) -> None:
    new: dict[str, Any] = {
        "bench": ["b", "1"],
        "problems": ["p"],
        "reader": "flexible",
        "arms": {
            "cot": {"strategy": "cot", "version": 1, "fields": {"k": 1}, "prompts": {"cot": "1"}}
        },
        "margin": 0.5,
    }
    inner = new
    for key in path[:-1]:
        inner = inner[key]
    if path:
        inner[path[-1]] = value
    assert difference(OLD, new) == field


def test_two_runs_of_0_1_are_compared_in_all_that_it_recorded() -> None:
    other = json.loads(json.dumps(OLD))
    assert difference(OLD, other) is None
    other["arms"]["cot"][1] = "other code"
    field = 'the code of cot, "source of every strategy" and "other code"'
    assert difference(OLD, other) == field


def test_a_grid_has_what_the_rows_say() -> None:
    """Costs, companions and clusters of each problem; NaN where nothing was made."""
    rows = [
        AttemptRow(
            arm="cot",
            problem_id=f"p{i}",
            outcome="failed" if i == 2 else "correct" if i == 0 else "wrong",
            n_prompt_tokens=None if i == 2 else 100,
            n_generated_tokens=None if i == 2 else 10 * (i + 1),
            seconds=float(i),
            n_steps=i,
            cluster="left" if i < 2 else None,
            metrics={} if i == 2 else {"digit_accuracy": i / 4, "brier_per_option": 0.25},
            readings={} if i == 2 else {"r": Reading(value="7", rule="answer-line")},
            correct_by={} if i == 2 else {"r": i == 0},
        )
        for i in range(3)
    ]
    price = price_of("openai", "gpt-5.4-mini")
    assert price is not None
    with Store(Path("rows.db")) as store:
        store.put_backend("key", Simulated(problems=()).info)
        store.start_run("run", "{}", "key")
        for i, row in enumerate(rows):
            store.put_attempt("run", i, row, [])
        arms = LadderArms(
            bench="b", problem_ids=("p0", "p1", "p2", "p3"), reasons={"cot": True}, reader="r"
        )
        read = read_grid(store, [LadderRun(rung=RUNG, run_id="run", price=price)], arms)
    cell = read.grid.cells["a", "cot"]
    assert isinstance(cell, ArmOutcomes)
    nan = math.nan
    np.testing.assert_array_equal(cell.correct, [1, 0, nan, nan])
    np.testing.assert_array_equal(cell.metrics["digit_accuracy"], [0, 0.25, nan, nan])
    np.testing.assert_array_equal(cell.metrics["1 - brier_per_option"], [0.75, 0.75, nan, nan])
    assert cell.tokens is not None
    np.testing.assert_array_equal(cell.tokens, [110, 120, nan, nan])
    assert cell.usd is not None
    np.testing.assert_allclose(
        cell.usd, [price.cost(100, 0, 0, 10), price.cost(100, 0, 0, 20), nan, nan]
    )
    assert cell.seconds is not None
    np.testing.assert_array_equal(cell.seconds, [0, 1, nan, nan])
    assert read.n_failed == 2
    assert read.grid.clusters == ("left", "left", "p2", "p3")
    assert read.grid.n_steps == (0, 1, 2, None)
