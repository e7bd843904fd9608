"""The range that a run will fall in: each end by hand, and that a run does fall in."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from cotkit.models.prices import Price
from cotkit.run.forecast import (
    ArmSurvey,
    CostEstimate,
    Pace,
    StoredMeans,
    estimate_arm,
    sum_estimates,
)
from cotkit.types import Decoding, Message, Request

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
ASKS = Request(
    messages=(
        Message(role="user", content="x" * 300),
        Message(role="assistant", content="y" * 200),
    ),
    decoding=Decoding(max_tokens=400),
)
ARM = ArmSurvey(
    arm="cot",
    n_attempts=100,
    n_requests=100,
    n_asked=100,
    n_shared=0,
    n_stored=0,
    n_to_make=100,
    stored=None,
    n_later=0,
    first=(ASKS,) * 20,
)


def test_thinking_counts_at_the_upper_end_only() -> None:
    bare, thinks = estimate_arm(ARM, PRICE), estimate_arm(ARM, PRICE, thinking_tokens=4096)
    assert thinks.generated_tokens == (100 * 1, 100 * (400 + 4096))
    assert bare.usd is not None
    assert thinks.usd is not None
    assert thinks.usd[0] == bare.usd[0]
    assert thinks.usd[1] - bare.usd[1] == pytest.approx(100 * 4096 * 10 / 1e6)
    turns = replace(ARM, n_later=200)
    prompts = estimate_arm(turns, PRICE, thinking_tokens=4096).prompt_tokens
    assert prompts == estimate_arm(turns, PRICE).prompt_tokens, "thoughts are not sent back"


def test_one_turn_by_hand() -> None:
    found = estimate_arm(ARM, PRICE)
    assert found.prompt_tokens == (100 * 100, 100 * 200), "500 characters: 100 to 200 tokens"
    assert found.generated_tokens == (100 * 1, 100 * 400)
    assert found.usd is not None
    assert found.usd[0] == pytest.approx((10_000 * 0.1 + 100 * 10) / 1e6), "read from the cache"
    assert found.usd[1] == pytest.approx((20_000 * 2 + 40_000 * 10) / 1e6), "written to the cache"
    assert found.seconds is None


def test_counted_prompts_leave_no_range() -> None:
    assert estimate_arm(ARM, PRICE, prompt_tokens=150).prompt_tokens == (15_000, 15_000)


def test_stored_answers_raise_the_low_end() -> None:
    stored = StoredMeans(generated_tokens=120, seconds=2)
    assert estimate_arm(replace(ARM, stored=stored), PRICE).generated_tokens == (12_000, 40_000)
    longer = StoredMeans(generated_tokens=999, seconds=2)
    assert estimate_arm(replace(ARM, stored=longer), PRICE).generated_tokens == (40_000, 40_000)


def test_an_unknown_price_gives_no_dollars() -> None:
    found = estimate_arm(ARM, None)
    assert found.usd is None
    assert found.prompt_tokens == estimate_arm(ARM, PRICE).prompt_tokens


def test_a_batch_is_cheaper() -> None:
    usual, batch = estimate_arm(ARM, PRICE).usd, estimate_arm(ARM, PRICE.batched()).usd
    assert usual is not None
    assert batch == (pytest.approx(usual[0] / 2), pytest.approx(usual[1] / 2))


def test_samples_may_share_a_prompt() -> None:
    voting = replace(
        ARM, n_asked=500, n_to_make=500, first=(replace(ASKS, samples=(0, 1, 2, 3, 4)),)
    )
    assert estimate_arm(voting, PRICE).prompt_tokens == (100 * 100, 500 * 200)


def test_later_turns_are_in_the_high_end_only() -> None:
    low, high = estimate_arm(replace(ARM, n_later=200), PRICE).prompt_tokens
    assert low == 100 * 100
    turns = [200 + 200 + 400 * t for t in (1, 2)]  # the prompt, as many new words, t answers
    assert high == 100 * 200 + 100 * sum(turns)
    assert estimate_arm(replace(ARM, n_later=200), PRICE).generated_tokens == (100, 300 * 400)


def test_given_answers_are_scored_and_nothing_is_generated() -> None:
    scored = replace(
        ARM, n_to_make=400, first=(replace(ASKS, samples=(0, 1), options=(" A", " B")),)
    )
    assert estimate_arm(scored, PRICE).generated_tokens == (0, 0)


@pytest.mark.parametrize(
    ("pace", "stored", "seconds", "why"),
    [
        (Pace(), None, None, "nothing to tell by"),
        (Pace(connections=10), None, None, "how long a call takes is not known"),
        (Pace(requests_per_minute=60), None, (100, math.inf), "a call a second, at least"),
        (Pace(tokens_per_minute=6000), None, (101, math.inf), "10,100 tokens at 100 a second"),
        (Pace(connections=10), (100, 2), (20, 80), "10 rounds; answers up to 4 times as long"),
        (Pace(), (100, 2), (2, 8), "all at once"),
        (Pace(connections=10, requests_per_minute=60), (100, 2), (100, 100), "the tightest limit"),
        (Pace(connections=100, tokens_per_minute=6000), (100, 2), (200, 600), "tokens again"),
    ],
)
def test_seconds(
    pace: Pace,
    stored: tuple[float, float] | None,
    seconds: tuple[float, float] | None,
    why: str,
) -> None:
    held = StoredMeans(generated_tokens=stored[0], seconds=stored[1]) if stored else None
    assert estimate_arm(replace(ARM, stored=held), None, pace=pace).seconds == seconds, why


def test_nothing_to_make_takes_nothing() -> None:
    done = replace(ARM, n_stored=100, n_to_make=0)
    found = estimate_arm(done, PRICE, pace=Pace(connections=4, requests_per_minute=1))
    assert found == CostEstimate(
        prompt_tokens=(0, 0), generated_tokens=(0, 0), usd=(0, 0), seconds=(0, 0)
    )
    empty = replace(done, n_attempts=0, first=())
    assert estimate_arm(empty, PRICE).usd == (0, 0)


def test_total() -> None:
    one = CostEstimate(prompt_tokens=(1, 2), generated_tokens=(3, 4), usd=(5, 6), seconds=(7, 8))
    assert sum_estimates([one, one]) == CostEstimate(
        prompt_tokens=(2, 4), generated_tokens=(6, 8), usd=(10, 12), seconds=(14, 16)
    )
    assert sum_estimates([one, replace(one, usd=None)]).usd is None, (
        "a partial sum would pass for cheap"
    )
    assert sum_estimates([one, replace(one, seconds=None)]).seconds is None
