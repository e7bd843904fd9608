"""What a plan says will be made is what is made."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import cast

import pytest

import cotkit
from cotkit.backends.simulated import Simulated
from cotkit.errors import UsageError
from cotkit.events import Event, RunEnded
from cotkit.protocols import Backend
from cotkit.run import RunSpec, make_plan
from cotkit.run.forecast import MAX_TURNS, survey_arms
from cotkit.types import Completion
from cotkit.workflows.plan import Forecast
from tests.conftest import Sums

TWICE = """
from cotkit.strategies.{base} import {Base}


class {name}({Base}):
    pass
"""

ENDLESS = """
from dataclasses import dataclass
from typing import ClassVar

from cotkit.types import Decoding, Message, Request


@dataclass(frozen=True, kw_only=True)
class Endless:
    control: ClassVar[str] = "standard"
    reasons: ClassVar[bool] = False

    def solve(self, question):
        said = ""
        while True:
            said += "?"
            asked = (Message(role="user", content=said),)
            yield Request(messages=asked, decoding=Decoding(max_tokens=4))
"""


def simulated(sums: Sums) -> Backend:
    return cast("Backend", Simulated(problems=sums.problems(), model="70b"))


def counts(found: Forecast) -> dict[str, tuple[int, int, int, int, int]]:
    return {a.arm: (a.n_asked, a.n_shared, a.n_stored, a.n_to_make, a.n_later) for a in found.arms}


def made(sums: Sums, strategy: list[str], limit: int | None = None) -> int:
    ended: list[RunEnded] = []

    def keep(event: Event) -> None:
        if isinstance(event, RunEnded):
            ended.append(event)

    cotkit.compare(simulated(sums), strategy, sums, on_event=keep, limit=limit)
    return ended[0].n_generated


def twin(base: str, name: str) -> str:
    """A strategy file that asks exactly what a built-in one asks."""
    text = TWICE.format(base=base, Base=base.title().replace("_", ""), name=name.title())
    Path(f"{name}.py").write_text(text)
    return f"./{name}.py"


@pytest.mark.parametrize(
    "strategy",
    [["cot"], ["standard"], ["cot", "few-shot"], ["cot:max_tokens=64", "cot"]],
    ids=" ".join,
)
def test_one_turn_strategies_make_what_was_planned(sums: Sums, strategy: list[str]) -> None:
    planned = cotkit.plan(simulated(sums), strategy, sums)
    assert sum(arm.n_later for arm in planned.arms) == 0
    to_make = sum(arm.n_to_make for arm in planned.arms)
    assert to_make == sums.n * len(planned.arms)
    assert made(sums, strategy) == to_make
    again = cotkit.plan(simulated(sums), strategy, sums)
    assert [arm.n_to_make for arm in again.arms] == [0] * len(again.arms)
    assert [arm.n_stored for arm in again.arms] == [sums.n] * len(again.arms)
    assert made(sums, strategy) == 0


def test_equal_requests_of_two_arms_are_made_once(sums: Sums) -> None:
    strategy = ["cot", twin("cot", "twin")]
    planned = counts(cotkit.plan(simulated(sums), strategy, sums))
    assert planned["few-shot"] == planned["cot"] == (40, 0, 0, 40, 0)
    assert planned["./twin.py"] == (40, 40, 0, 0, 0)
    assert made(sums, strategy) == 80


def test_a_vote_shares_the_samples_that_another_arm_asks(sums: Sums) -> None:
    strategy = ["cot:temperature=0.7", "self-consistency:k=3,temperature=0.7"]
    planned = cotkit.plan(simulated(sums), strategy, sums, limit=10)
    vote = counts(planned)["self-consistency:k=3,temperature=0.7"]
    assert vote == (30, 10, 0, 20, 0), "sample 0 of the vote is the sampled chain of thought"
    to_make = sum(arm.n_to_make for arm in planned.arms)
    assert made(sums, strategy, limit=10) == to_make


def test_later_turns_become_certain_as_answers_arrive(sums: Sums) -> None:
    before = counts(cotkit.plan(simulated(sums), "zero-shot-cot", sums))
    assert before["zero-shot-cot"] == (40, 0, 0, 40, 40), "turn 2 depends on what turn 1 says"
    assert made(sums, ["zero-shot-cot"]) == 40 + 80
    after = counts(cotkit.plan(simulated(sums), "zero-shot-cot", sums))
    assert after["zero-shot-cot"] == (80, 0, 80, 0, 0)


def test_only_what_the_store_lacks_is_to_be_made(sums: Sums) -> None:
    made(sums, ["cot"], limit=15)
    planned = counts(cotkit.plan(simulated(sums), "cot", sums))
    held = planned["cot"][2]
    assert planned["cot"] == (40, 0, held, 40 - held, 0)
    assert held == 15, "the first 15 of a draw are in every larger one"
    assert made(sums, ["cot"]) == 2 * (40 - held)


def test_planning_makes_nothing(sums: Sums, tmp_path: Path) -> None:
    class Unwilling(Simulated):
        async def generate(self, request: object) -> tuple[Completion, ...]:
            raise AssertionError("a plan must not generate")

    backend = cast("Backend", Unwilling(problems=sums.problems()))
    cotkit.plan(backend, ["cot", "zero-shot-cot"], sums)
    assert list(tmp_path.iterdir()) == [], "not even an empty store"


def test_prompts_are_measured_and_scaled_to_what_is_to_be_made(sums: Sums) -> None:
    backend = simulated(sums)
    found = cotkit.plan(backend, "cot", sums)
    ran = cotkit.compare(backend, "cot", sums)
    for arm, tokens, cell in zip(found.arms, found.prompt_tokens, ran.cells, strict=True):
        assert arm.arm == cell.arm
        assert cell.prompt_tokens is not None
        assert tokens == pytest.approx(cell.prompt_tokens * sums.n, rel=0.05)
    assert cotkit.plan(backend, "cot", sums).prompt_tokens == (0, 0)


def test_a_gain_is_detectable_only_against_a_control(sums: Sums) -> None:
    assert [rate for rate, _ in cotkit.plan(simulated(sums), "cot", sums).detectable]
    assert cotkit.plan(simulated(sums), "standard", sums).detectable == ()


def test_a_flow_without_an_end_is_counted_up_to_a_limit(sums: Sums) -> None:
    Path("endless.py").write_text(ENDLESS)
    plan = make_plan(RunSpec(model="none", strategies=("./endless.py",), limit=2), sums)
    arm = survey_arms(plan, "some-backend", lambda _: None)[1]
    assert arm.n_to_make + arm.n_later == MAX_TURNS, "two problems that ask the same, shared"


def test_an_oracle_says_of_stored_answers_what_it_said_in_the_run(sums: Sums) -> None:
    before = counts(cotkit.plan(simulated(sums), "oracle-review", sums))["oracle-review"]
    assert before[3] == 0, "the first answers are cot's"
    assert before[4] == 2 * 39, "each may be reviewed and improved, but where the placeholder is so"
    n_made = made(sums, ["oracle-review"])
    after = counts(cotkit.plan(simulated(sums), "oracle-review", sums))
    assert sum(row[3] for row in after.values()) == 0, "nothing is left to make"
    assert sum(row[4] for row in after.values()) == 0, "and nothing is guessed"
    assert sum(row[2] for row in after.values()) == n_made
    assert 40 < after["oracle-review"][0] < 120, "right first answers were not reviewed"


@pytest.mark.parametrize(
    ("name", "old", "new", "says"),
    [
        ("Talks", "yield Request", "yield said or Request", "yielded str"),
        ("Fails", '+= "?"', '+= {"b": "?"}["a"]', "failed at .*fails.py:16: KeyError: 'a'"),
        ("Gives", "yield Request", "return Request", "gave Request instead of a generator"),
        ("Nobody", "decoding=", "samples=(), decoding=", r"Request.samples is \(\)"),
    ],
)
def test_a_broken_strategy_is_named_before_anything_is_asked(
    sums: Sums, name: str, old: str, new: str, says: str
) -> None:
    Path(f"{name.lower()}.py").write_text(ENDLESS.replace("Endless", name).replace(old, new))
    with pytest.raises(UsageError, match=rf"^strategy {name}:? {says}"):
        cotkit.plan(simulated(sums), f"./{name.lower()}.py", sums)


def test_a_strategy_says_whether_it_reasons(sums: Sums) -> None:
    text = ENDLESS.replace("    reasons: ClassVar[bool] = False\n", "")
    Path("silent.py").write_text(text.replace("Endless", "Silent"))
    with pytest.raises(UsageError, match=r"reasons: ClassVar\[bool\]"):
        cotkit.plan(simulated(sums), "./silent.py", sums)


def cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cotkit", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_the_command_line_says_before_and_after() -> None:
    common = ["--model", "simulated/70b", "--limit", "5", "--strategy", "cot"]
    before = cli("plan", *common)
    assert before.returncode == 0, before.stderr
    assert "asked 10 completions, 0 shared, 0 in the store, 10 to make\n" in before.stdout
    assert "smallest gain that 5 problems can show" in before.stdout
    ran = cli("compare", *common)
    assert "asked 10 completions, 0 shared, 0 in the store, 10 to make\n" in ran.stderr
    after = cli("plan", *common)
    assert "10 in the store, 0 to make" in after.stdout
    assert after.stdout.splitlines()[0] == before.stdout.splitlines()[0], "the same run"


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (["--trigger", "plan"], "unknown generation parameter 'trigger'"),
        (["--strategy", "standard", "--calculator"], "unknown generation parameter 'calculator'"),
        (["--limit", "none"], "--limit 'none' is not a number"),
    ],
)
def test_options_that_change_nothing_are_refused(option: list[str], said: str) -> None:
    done = cli("plan", "--model", "simulated/7b", *option)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_upper_bound_is_called_one_before_anything_is_spent() -> None:
    found = cotkit.plan("simulated/70b", "oracle-review", limit=5)
    assert found.upper_bounds == {"oracle-review"}


def test_plan_reads_a_sweep_as_compare_does() -> None:
    asked = {"strategy": "cot:max_tokens=64,128", "limit": 3}
    found = cotkit.plan("simulated/70b", **asked)  # pyright: ignore[reportArgumentType] - a table
    assert [arm.arm for arm in found.arms] == [
        "few-shot",
        "cot:max_tokens=64",
        "cot:max_tokens=128",
    ]
