"""Budgets: what is counted, when a run has to stop, and that it stops with its arms balanced."""

from __future__ import annotations

import math
import random

import pytest

from cotkit.errors import UsageError
from cotkit.models.prices import Price
from cotkit.run.budget import Budget, Meter
from cotkit.types import Completion

PRICE = Price(
    backend="openai",
    models=("m",),
    input=1.0,
    cached_input=0.1,
    cache_write=2.0,
    output=10.0,
    batch_discount=0.5,
    as_of="2026-11-22",
    status="yours",
    source="",
)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def made(
    n_prompt: int | None, n_generated: int | None, n_shared: int = 0, n_written: int = 0
) -> Completion:
    return Completion(
        text="",
        stop_reason="stop",
        n_prompt_tokens=n_prompt,
        n_shared_tokens=n_shared,
        n_cache_write_tokens=n_written,
        n_generated_tokens=n_generated,
    )


def test_tokens_and_dollars_are_counted() -> None:
    meter = Meter(Budget(), PRICE, model="m")
    meter.add(made(1000, 100, n_shared=600, n_written=300))
    assert meter.tokens == 1100
    assert meter.usd == pytest.approx((100 * 1 + 600 * 0.1 + 300 * 2 + 100 * 10) / 1e6)
    assert Meter(Budget(), None, model="m").usd is None


def test_batches_are_cheaper() -> None:
    meter = Meter(Budget(), PRICE.batched(), model="m")
    meter.add(made(1000, 100))
    assert meter.usd == pytest.approx(0.001)


@pytest.mark.parametrize("limit", [0, -1, float("nan")])
def test_a_budget_of_nothing_is_refused(limit: float) -> None:
    with pytest.raises(UsageError, match=r"--budget-usd"):
        Budget(usd=limit)
    with pytest.raises(UsageError, match=r"--budget-time"):
        Budget(seconds=limit)


def test_dollars_need_a_price() -> None:
    with pytest.raises(UsageError, match=r"price of m is unknown.*--prices FILE"):
        Meter(Budget(usd=1), None, model="m")
    assert Meter(Budget(tokens=1, seconds=1), None, model="m").explain_stop(0) is None


def test_tokens_that_nobody_counts_cannot_be_limited() -> None:
    with pytest.raises(UsageError, match=r"m does not say how many tokens.*--budget-time"):
        Meter(Budget(tokens=100), None, model="m").add(made(None, 5))
    Meter(Budget(seconds=100), None, model="m").add(made(None, 5))


def test_the_first_problem_runs_alone() -> None:
    meter = Meter(Budget(tokens=1000), None, model="m")
    assert meter.explain_stop(0) is None
    assert "first" in str(meter.explain_stop(1))
    meter.add(made(50, 50))
    meter.count_problem()
    assert meter.explain_stop(8) is None, "100 taken, 9 more of 100 fit"
    assert meter.explain_stop(9) is not None


def test_without_a_limit_nothing_waits() -> None:
    assert Meter(Budget(), None, model="m").explain_stop(500) is None


def test_problems_from_the_store_say_nothing_of_the_price() -> None:
    meter = Meter(Budget(tokens=1000), None, model="m")
    for _ in range(99):
        meter.count_problem()
    meter.add(made(400, 100))
    meter.count_problem()
    assert meter.explain_stop(0) is None
    assert meter.explain_stop(1) is not None, "a mean over 100 problems would let 99 more begin"


def test_the_sentence_says_what_was_spent_and_when_the_price_was_looked_up() -> None:
    meter = Meter(Budget(usd=0.015), PRICE, model="m")
    meter.add(made(0, 1000))
    meter.count_problem()
    sentence = str(meter.explain_stop(0))
    assert sentence.startswith("--budget-usd is used up: $0.01 of $0.015 taken")
    assert "$0.01" in sentence
    assert "2026-11-22" in sentence
    assert "\n" not in sentence


def test_time_is_wall_time_and_a_problem_must_fit_in() -> None:
    clock = Clock()
    meter = Meter(Budget(seconds=60), None, model="m", clock=clock)
    assert meter.explain_stop(7) is None, "nothing is known, and all may begin at once"
    clock.now += 20
    for _ in range(8):
        meter.add(made(None, None))
        meter.count_problem()
    assert meter.explain_stop(7) is None, "8 at once, 20 s each: 17.5 more fit in 40"
    clock.now += 25
    assert meter.explain_stop(7) is not None, "45 + 39 > 60"
    assert meter.explain_stop(0) is not None, "fewer under way make no problem quicker"
    clock.now += 20
    assert "65 s of 60 s" in str(meter.explain_stop(0))


def run(limit: int, costs: list[int], n_workers: int, seed: int) -> tuple[int, int]:
    """Problems as a runner begins them: (problems done, tokens taken)."""
    meter, rng = Meter(Budget(tokens=limit), None, model="m"), random.Random(seed)
    todo, under_way, n_done = list(costs), list[int](), 0
    while True:
        while todo and len(under_way) < n_workers and meter.explain_stop(len(under_way)) is None:
            under_way.append(todo.pop())
        if not under_way:
            return n_done, meter.tokens
        cost = under_way.pop(rng.randrange(len(under_way)))
        meter.add(made(cost // 2, 0))
        meter.add(made(0, cost - cost // 2))
        meter.count_problem()
        n_done += 1


@pytest.mark.parametrize("n_workers", [1, 8, 64])
@pytest.mark.parametrize("spread", [0, 90, 900])
def test_a_budget_is_used_and_hardly_passed(n_workers: int, spread: int) -> None:
    rng = random.Random(4)
    costs = [100 + rng.randint(0, spread) for _ in range(2000)]
    mean = sum(costs) / len(costs)
    most = 40_000 + 100 + spread + 1.5 * spread * math.sqrt(n_workers)  # 5 standard deviations
    for seed in range(5):
        _, taken = run(40_000, costs, n_workers, seed)
        assert taken <= most, "beyond the limit by what those under way differ from the mean"
        assert taken >= 40_000 - 2 * mean, "no premature end, however many run at once"


def test_a_budget_that_all_fits_in_ends_nothing() -> None:
    assert run(100_000, [100] * 50, 16, 0) == (50, 5000)


def test_a_budget_smaller_than_a_problem_still_does_one() -> None:
    assert run(10, [100] * 50, 16, 0) == (1, 100)
