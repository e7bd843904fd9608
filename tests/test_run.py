"""Runs: nothing asked twice, errors are data, order does not matter, Ctrl-C loses nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar, cast

import pytest

import cotkit
from cotkit.backends._function import Function
from cotkit.backends.simulated import Simulated
from cotkit.errors import BackendError, CotkitError, ModelLoadError, TransientError, UsageError
from cotkit.events import AttemptDone, Event, RunEnded, RunStarted
from cotkit.protocols import Strategy
from cotkit.run import Plan, RunSpec, make_plan
from cotkit.run.driver import Turn, drive, start_flow, trim
from cotkit.run.sandbox import make_sandbox
from cotkit.store import Store
from cotkit.types import (
    Attempt,
    BackendInfo,
    Completion,
    Decoding,
    Flow,
    Message,
    Question,
    Request,
)
from cotkit.workflows.compare import gain_events, run_spec
from tests.conftest import Sums

_T = TypeVar("_T")

COUNTING = BackendInfo(backend="counting", model="m", fingerprint="f")


@dataclass
class Counting:
    """A backend that knows sums, counts what it is asked, and fails as told."""

    fails: Callable[[int], Exception | None] = lambda _: None
    asked: list[Request] = field(default_factory=list[Request])
    closed: bool = False
    delay_s: float = 0.0
    info: BackendInfo = COUNTING

    async def generate(self, request: Request) -> tuple[Completion, ...]:
        self.asked.append(request)
        failure = self.fails(len(self.asked))
        await asyncio.sleep(self.delay_s)
        if failure is not None:
            raise failure
        done = Completion(text=" The answer is 2.\nQ: and on", stop_reason="length")
        return (done,) * len(request.samples)

    async def count_tokens(self, request: Request) -> int | None:
        return None

    async def close(self) -> None:
        self.closed = True


def last(kind: type[_T], events: list[Event]) -> _T:
    return [event for event in events if isinstance(event, kind)][-1]


def compare(backend: Counting, **changed: object) -> cotkit.Comparison:
    given: dict[str, object] = {"strategy": "cot", "bench": Sums(n=10), "limit": "all"}
    return cotkit.compare(backend, **given | changed)  # pyright: ignore[reportArgumentType] - a table of options


def test_a_finished_run_repeated_asks_nothing_and_says_the_same() -> None:
    first, second = Counting(), Counting()
    one = compare(first)
    assert len(first.asked) == 20
    assert compare(second) == one
    assert second.asked == []
    assert not first.closed  # a caller's own backend stays open


def test_another_margin_or_reader_reuses_every_completion() -> None:
    compare(Counting())
    again = Counting()
    compare(again, margin=0.1, reader="strict")
    assert again.asked == []


def test_a_larger_limit_asks_only_for_what_is_new() -> None:
    compare(Counting(), limit=4)
    again = Counting()
    compare(again, limit=10)
    assert len(again.asked) == 12


@pytest.mark.parametrize(
    "info",
    [
        BackendInfo(backend="counting", model="m", fingerprint="other weights"),
        BackendInfo(backend="counting", model="other name", fingerprint="f"),
        BackendInfo(backend="counting", model="m", fingerprint="f", settings={"dtype": "int8"}),
    ],
)
def test_another_model_is_never_served_the_first_ones_answers(info: BackendInfo) -> None:
    compare(Counting())
    other = Counting(info=info)
    compare(other)
    assert len(other.asked) == 20


def test_two_arms_that_ask_the_same_share_one_completion() -> None:
    backend = Counting(delay_s=0.01)
    compare(backend, strategy=["few-shot", "few-shot:max_tokens=32"], baseline="few-shot")
    assert len(backend.asked) == 10


def test_completions_are_cut_where_the_request_says() -> None:
    backend = Counting()
    compare(backend)
    with Store(Path("logs/cotkit.db")) as store:
        run = store.runs()[0]
        (turn,) = store.turns(run.id, "cot", "sums/1")
    assert turn.completions[0].text == " The answer is 2."
    assert turn.completions[0].stop_reason == "stop"


def test_a_transient_failure_is_data_and_is_tried_again() -> None:
    def first_three(count: int) -> Exception | None:
        return TransientError("overloaded") if count <= 3 else None

    events: list[Event] = []
    comparison = compare(Counting(first_three), on_event=events.append)
    assert sum(cell.outcomes["failed"] for cell in comparison.cells) == 3
    assert sum(cell.n for cell in comparison.cells) == 17
    assert any("failed" in note for note in comparison.notes)
    ended = last(RunEnded, events)
    assert (ended.n_done, ended.n_failed, ended.n_generated) == (17, 3, 17)
    again = Counting()
    mended = compare(again)
    assert len(again.asked) == 3
    assert sum(cell.outcomes["failed"] for cell in mended.cells) == 0


@pytest.mark.parametrize("error", [ModelLoadError("no weights"), BackendError("broken")])
def test_an_error_that_cannot_pass_ends_the_run_and_keeps_what_is_done(error: CotkitError) -> None:
    with pytest.raises(type(error), match=str(error)):
        compare(Counting(lambda count: error if count == 15 else None))
    again = Counting()
    compare(again)
    assert 1 <= len(again.asked) <= 6  # what had come back before the error is kept


def test_a_bug_is_not_swallowed() -> None:
    with pytest.raises(ZeroDivisionError):
        compare(Counting(lambda _: ZeroDivisionError()))


def test_events_tell_the_whole_story() -> None:
    first: list[Event] = []
    compare(Counting(), limit=4, on_event=first.append)
    events: list[Event] = []
    found = compare(Counting(), limit=4, on_event=events.append)
    assert events[0] == RunStarted(
        run_id=found.run_id,
        model=found.model,
        bench=found.bench,
        n_attempts=8,
        n_cached=8,
        arms=("few-shot", "cot"),
    )
    assert sum(isinstance(event, AttemptDone) and event.cached for event in events) == 8
    ended = last(RunEnded, events)
    assert ended.seconds > 0
    assert ended == RunEnded(
        run_id=found.run_id,
        n_done=8,
        n_failed=0,
        n_generated=0,
        n_tokens=0,
        usd=None,
        seconds=ended.seconds,
    )
    spent = [event for event in first if isinstance(event, AttemptDone)]
    tokens = [(event.n_prompt_tokens, event.n_generated_tokens) for event in spent]
    assert last(RunEnded, first).n_tokens == sum(a + b for a, b in tokens if a and b)
    assert events[-1] == gain_events(found)[0]


def test_the_order_of_arrival_does_not_matter() -> None:
    @dataclass
    class Shuffled(Counting):
        async def generate(self, request: Request) -> tuple[Completion, ...]:
            await asyncio.sleep(hash(request.messages[0].content) % 7 / 500)
            return await Counting.generate(self, request)

    assert compare(Shuffled(), log_dir="a") == compare(Counting(), log_dir="b")


def test_inside_a_running_event_loop() -> None:
    """As in a notebook."""

    async def notebook() -> cotkit.Comparison:
        return compare(Counting(delay_s=0.001))

    assert asyncio.run(notebook()).cells[0].n == 10


def test_a_bug_inside_a_running_event_loop_comes_out() -> None:
    async def notebook() -> cotkit.Comparison:
        return compare(Counting(lambda _: ZeroDivisionError()))

    with pytest.raises(ZeroDivisionError):
        asyncio.run(notebook())


def test_any_function_is_a_model() -> None:
    def oracle(prompt: str) -> str:
        a, b = prompt.rsplit("What is ", 1)[1].partition("?")[0].split(" plus ")
        return f" The answer is {int(a) + int(b) if 'gives' in prompt else 0}."

    async def patient(prompt: str) -> str:
        await asyncio.sleep(0)
        return oracle(prompt)

    for function in (oracle, patient):
        comparison = cotkit.compare(function, "cot", Sums(n=3))
        assert [cell.n for cell in comparison.cells] == [3, 3]
        assert comparison.model.endswith(function.__name__)


def test_a_function_is_called_again_unless_its_owner_vouches_for_it() -> None:
    calls: list[str] = []

    def model(prompt: str) -> str:
        calls.append(prompt)
        return " 5."

    for _ in range(2):
        cotkit.compare(model, "cot", Sums(n=3))
    assert len(calls) == 12
    for _ in range(2):
        cotkit.compare(Function(function=model, identity="m@1"), "cot", Sums(n=3))
    assert len(calls) == 18


def test_a_function_that_returns_no_text_is_named() -> None:
    with pytest.raises(TypeError, match="returned NoneType"):
        cotkit.compare(lambda _: None, "cot", Sums(n=3))  # pyright: ignore[reportArgumentType] - that is the test


def plan_id(**changed: object) -> str:
    spec = replace(RunSpec(model="m", limit=5), **changed)
    return make_plan(spec, Sums()).run_id(BackendInfo(backend="b", model="m", fingerprint="f"))


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        ({}, True),
        ({"model": "alias of m"}, True),
        ({"limit": 6}, False),
        ({"seed": 1}, False),
        ({"strategies": ("zero-shot-cot",)}, False),
        ({"baseline": "standard"}, False),
        ({"reader": "strict"}, False),
        ({"margin": 0.05}, False),
        ({"exemplars": "builtin:4"}, False),
        ({"generation": {"max_tokens": "9"}}, False),
    ],
)
def test_a_run_is_identified_by_what_it_does(changed: dict[str, object], same: bool) -> None:
    assert (plan_id(**changed) == plan_id()) is same


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"strategies": ()}, "no strategy given"),
        ({"margin": 0.0}, "not between 0 and 1"),
        ({"margin": 2.0}, "0.02 is two points"),
        ({"limit": 0}, "below 1"),
        ({"limit": -3}, "below 1"),
        ({"limit": 41}, "40 problems"),
        ({"reader": "flexibel"}, "did you mean flexible"),
        ({"strategies": ("cott",)}, "did you mean cot"),
        ({"baseline": "fewshot"}, "did you mean few-shot"),
        ({"exemplars": "builtin"}, "builtin:8, train:8, rest:8 or FILE.jsonl:8"),
        ({"exemplars": "builtin:0"}, "builtin:8"),
        ({"exemplars": "builtin:9"}, "1 to 8"),
        ({"exemplars": "train:4"}, "4 exemplars asked"),
        ({"exemplars": "nowhere:4"}, "known: FILE.jsonl, auto, builtin"),
    ],
)
def test_a_bad_spec_gets_one_helpful_line(changed: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError) as caught:
        make_plan(replace(RunSpec(model="m"), **changed), Sums())
    assert says in str(caught.value)


def test_a_spec_survives_its_json() -> None:
    spec = RunSpec(model="m", strategies=("a", "b"), limit="all", generation={"k": "v"})
    assert RunSpec.from_json(spec.to_json()) == spec


def test_controls_come_first_and_are_run_once() -> None:
    spec = RunSpec(model="m", strategies=("cot", "few-shot", "zero-shot-cot"))
    plan = make_plan(spec, Sums())
    assert [arm.name for arm in plan.arms] == ["few-shot", "standard", "cot", "zero-shot-cot"]
    assert plan.pairs == (
        ("cot", "few-shot"),
        ("few-shot", "standard"),
        ("zero-shot-cot", "standard"),
    )


def test_replay_answers_as_recorded_and_invents_nothing() -> None:
    one = cotkit.compare("simulated/70b", "cot", "gsm-mini", limit=10)
    replayed = cotkit.compare(f"replay/{one.run_id}", "cot", "gsm-mini", limit=10, reader="strict")
    assert replayed.model == one.model
    assert [cell.n_correct for cell in replayed.cells] == [cell.n_correct for cell in one.cells]
    with pytest.raises(BackendError, match="holds no completion"):
        cotkit.compare(f"replay/{one.run_id}", "cot", "gsm-mini", limit=11)


REQUEST = Request(messages=(Message(role="user", content="Q"),), decoding=Decoding(max_tokens=1))
DONE = Attempt(text="", stop_reason="stop")


def raises() -> Iterator[object]:
    yield REQUEST
    yield {"b": 1}["a"]


def raises_before_it_asks() -> object:
    raise KeyError("a")


def ends() -> Iterator[object]:
    yield from ()
    return DONE


BROKEN: list[tuple[Callable[[], object], str]] = [
    (lambda: DONE, "Broken gave Attempt instead of a generator"),
    (lambda: None, "Broken gave NoneType instead of a generator"),
    (lambda: [REQUEST], "Broken gave list instead of a generator"),
    (ends, "Broken ended before it asked anything"),
    (lambda: (step for step in (REQUEST,)), "Broken returned NoneType"),
    (lambda: (step for step in (None,)), "Broken yielded NoneType"),
    (lambda: (step for step in ("Q?",)), "Broken yielded str"),
    (
        lambda: (replace(REQUEST, samples=()) for _ in "1"),
        r"Broken: Request.samples is \(\), must be a full tuple",
    ),
    (
        lambda: (replace(REQUEST, samples=("0",)) for _ in "1"),  # type: ignore[reportArgumentType] - the test
        "Broken: Request.samples holds str",
    ),
    (
        lambda: (replace(REQUEST, messages="Q") for _ in "1"),  # type: ignore[reportArgumentType] - the test
        "Broken: Request.messages is 'Q', must be a full tuple",
    ),
    (
        lambda: (replace(REQUEST, decoding=None) for _ in "1"),  # type: ignore[reportArgumentType] - the test
        "Broken: Request.decoding is NoneType",
    ),
    (raises, r"Broken failed at .*test_run.py:[0-9]+: KeyError: 'a'"),
    (raises_before_it_asks, r"Broken failed at .*test_run.py:[0-9]+: KeyError: 'a'"),
]


class Broken:
    """A strategy of a user, whose flow is whatever it is given."""

    control, reasons = "standard", False

    def __init__(self, flow: Callable[[], object]) -> None:
        self.flow = flow

    def solve(self, question: Question) -> Flow:
        return cast("Flow", self.flow())


async def ask(request: Request) -> Turn:
    done = Completion(text="", stop_reason="stop")
    return Turn(keys=("k",) * len(request.samples), completions=(done,) * len(request.samples))


def begin(strategy: Strategy) -> Flow:
    return start_flow(strategy, Question(id="q", text="?"), lambda _: False)


@pytest.mark.parametrize(("flow", "says"), BROKEN)
def test_a_strategy_that_breaks_the_contract_is_named(
    flow: Callable[[], object], says: str
) -> None:
    with pytest.raises(UsageError, match=f"^strategy {says}") as caught:
        asyncio.run(drive(begin(Broken(flow)), ask, make_sandbox(allowed=False)))
    assert isinstance(caught.value.__cause__, KeyError) == ("KeyError" in says)
    assert "\n" not in str(caught.value)


def test_a_bug_in_a_strategy_of_ours_is_not_the_users_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Broken, "__module__", "cotkit.strategies.broken")
    with pytest.raises(KeyError):
        asyncio.run(drive(begin(Broken(raises)), ask, make_sandbox(allowed=False)))


def test_an_error_of_the_backend_is_not_the_strategys() -> None:
    closed: list[bool] = []

    def flow() -> Iterator[object]:
        try:
            yield REQUEST
        finally:
            closed.append(True)

    async def fails(request: Request) -> Turn:
        raise TransientError("busy")

    with pytest.raises(TransientError, match="busy"):
        asyncio.run(drive(begin(Broken(flow)), fails, make_sandbox(allowed=False)))
    assert closed == [True]


def test_reasoning_is_kept_apart() -> None:
    request = Request(messages=(), decoding=Decoding(max_tokens=9))
    raw = Completion(text="<think>2 + 2</think> 4", stop_reason="stop")
    assert trim(raw, request) == Completion(text=" 4", reasoning="2 + 2", stop_reason="stop")


@pytest.mark.full
def test_the_simulated_family_recovers_what_was_planted() -> None:
    """Over 12 models the 95 % intervals cover the planted rates as often as they claim."""
    bench, covered = Sums(n=200), 0
    for size in range(1, 13):
        spec = RunSpec(
            model=f"simulated/{size}b",
            model_args={"direct": "0.2", "reasoning": "0.6", "unparsed": "0.1"},
            limit="all",
        )
        comparison = run_spec(spec, bench, log_dir=Path("logs"))
        rates = {"few-shot": 0.2 * 0.9, "cot": 0.6 * 0.9}
        for cell in comparison.cells:
            covered += cell.interval.low < rates[cell.arm] < cell.interval.high
        assert comparison.verdicts[0].gain.label == "helps"
    assert covered >= 20  # 22.8 of 24 expected; fewer than 20 has probability 0.006


@pytest.mark.parametrize(("size", "helps"), [("350m", False), ("540b", True)])
def test_the_simulated_curve_rises_with_size(size: str, helps: bool) -> None:
    model = Simulated(problems=Sums().problems(), model=size)
    gain = model.solve_rate(reasons=True) - model.solve_rate(reasons=False)
    assert (gain > 0.02) is helps


def test_an_edited_strategy_file_is_another_run(tmp_path: Path) -> None:
    path = tmp_path / "my_idea.py"
    source = (Path(__file__).parent.parent / "examples" / "custom_strategy.py").read_text()
    ids: set[str] = set()
    for extra in ("", "# edited", "\nEDITED = True\n"):
        from cotkit import registry

        registry.load_file.cache_clear()
        path.write_text(source.replace("CustomStrategy", "MyIdea") + extra)
        ids.add(plan_id(strategies=(str(path),)))
    assert len(ids) == 2, "a comment is no edit"


def test_every_parameter_of_a_strategy_is_part_of_the_run() -> None:
    base = plan_id(strategies=("zero-shot-cot",))
    assert plan_id(strategies=("zero-shot-cot",), generation={"answer_tokens": "1"}) != base


def test_other_golds_are_another_simulated_model() -> None:
    one, two = Sums().problems(), [replace(p, gold="1") for p in Sums().problems()]
    assert Simulated(problems=one).info.fingerprint != Simulated(problems=two).info.fingerprint


def test_half_a_surrogate_pair_does_not_end_the_run() -> None:
    comparison = cotkit.compare(lambda _: "\ud800 The answer is 2.", "cot", Sums(n=3))
    assert comparison.cells[0].n == 3


def test_an_arm_that_samples_where_its_control_does_not_is_noted() -> None:
    comparison = compare(Counting(), strategy="cot:temperature=0.7")
    assert any("temperature 0.7, its control few-shot 0.0" in note for note in comparison.notes)


def test_a_benchmark_that_changes_during_the_run_is_reported_as_it_was_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text('{"question": "What is 1 plus 1?", "answer": "2"}\n')

    def meddle(event: Event) -> None:
        if isinstance(event, AttemptDone):
            path.unlink(missing_ok=True)

    comparison = cotkit.compare("simulated/70b", "cot", str(path), on_event=meddle)
    with Store(Path("logs/cotkit.db")) as store:
        assert store.runs()[0].id == comparison.run_id


def test_ctrl_c_is_heard_in_a_script_with_an_event_loop(tmp_path: Path) -> None:
    import signal
    import subprocess
    import sys
    import time

    code = (
        "import asyncio, cotkit\n"
        "async def main():\n"
        "    return cotkit.compare('simulated/7b', limit='all', model_args={'latency_s': '30'})\n"
        "asyncio.run(main())"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stderr=subprocess.PIPE,
        cwd=tmp_path,
    )
    deadline = time.monotonic() + 20
    while not (tmp_path / "logs" / "cotkit.db").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(1)  # the run has begun to wait for its first completions
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=15)  # 30 s of latency are not waited for
    assert process.returncode != 0


def planned(*strategies: str, **changed: object) -> Plan:
    return make_plan(replace(RunSpec(model="m", strategies=strategies), **changed), Sums())


def test_two_spellings_of_one_strategy_are_one_arm() -> None:
    plan = planned("cot", "cot:max_tokens=256", "cot")
    assert [arm.name for arm in plan.arms] == ["few-shot", "cot"]
    assert plan.pairs == (("cot", "few-shot"),)
    voting = planned("self-consistency", "self-review:rounds=2")
    assert [arm.name for arm in voting.arms] == ["cot", "self-consistency", "self-review:rounds=2"]
    assert ("self-review:rounds=2", "self-consistency") in voting.pairs


def test_a_calculator_on_one_side_only_is_noted() -> None:
    plan = planned("self-review", generation={"calculator": "true"})
    assert any("calculator False, its control cot True" in note for note in plan.notes())


def test_the_same_cost_control_samples_without_a_note_and_has_the_same_limit() -> None:
    plan = planned("self-review:max_tokens=64")
    assert ("self-review:max_tokens=64", "self-consistency:k=3,max_tokens=64") in plan.pairs
    assert plan.notes() == ()


def test_code_is_refused_before_anything_is_asked() -> None:
    backend = Counting()
    with pytest.raises(UsageError, match="--confirm-run-unsafe-code"):
        compare(backend, strategy="program-aided")
    assert backend.asked == []


def test_exemplars_of_a_choice_benchmark_show_their_choices(tmp_path: Path) -> None:
    def line(question: str, **more: object) -> str:
        row = {"question": question, "answer": "B", "choices": ["wood", "iron"], **more}
        return json.dumps(row) + "\n"

    (tmp_path / "shown.jsonl").write_text(line("Which is a metal?", rationale="Iron is."))
    (tmp_path / "asked.jsonl").write_text(line("Which rusts?"))
    seen: list[str] = []

    def model(prompt: str) -> str:
        seen.append(prompt)
        return " Iron does. The answer is B."

    done = cotkit.compare(model, "cot", "asked.jsonl", exemplars="shown.jsonl:1")
    assert "Q: Which is a metal?\n(A) wood\n(B) iron\nA: Iron is. The answer is B." in seen[-1]
    assert [cell.n_correct for cell in done.cells] == [1, 1]
    with pytest.raises(UsageError, match="also an evaluated problem"):
        cotkit.compare(model, "cot", "shown.jsonl", exemplars="shown.jsonl:1")
