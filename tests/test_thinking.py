"""Thinking as a setting: what each wire is sent, which arms are compared, what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import cotkit
from cotkit.analysis.values import Comparison
from cotkit.backends._hosted.parameters import rule_for
from cotkit.backends._hosted.thinking import ROOM, thinking_room
from cotkit.backends.hf import Hf
from cotkit.errors import BackendError, UsageError
from cotkit.identity import canonical_json
from cotkit.reasoning import MARKS, split_reasoning
from cotkit.report.html import page
from cotkit.run import RunSpec, make_plan
from cotkit.run.backend import build_backend
from cotkit.store import STORE_NAME, Store
from cotkit.types import Decoding, Message, Request, say_nothing
from cotkit.workflows.stored_run import load_part
from tests.conftest import Sums
from tests.fake_api import Answer, FakeApi
from tests.tiny_model import build_tiny_model

N_BY_DEFAULT = 300
N_BY_SETTING = {"none": 0, "minimal": 20, "low": 50, "medium": 200, "high": 2000}


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction] - pytest calls it
    for name in ("OPENAI", "ANTHROPIC", "VLLM", "LOCAL", "OPENROUTER"):
        monkeypatch.setenv(f"{name}_API_KEY", "sk-test-0123456789")


def answer_thinking(body: Mapping[str, Any], _n_before: int) -> Answer:
    """Think as many words as the body says, and no more than its limit; then answer 7."""
    limits = ("max_tokens", "max_completion_tokens", "max_output_tokens")
    limit = next(body[name] for name in limits if name in body)
    effort = body.get("reasoning_effort") or body.get("reasoning", {}).get("effort")
    n = N_BY_SETTING.get(effort, N_BY_DEFAULT)
    if body.get("thinking", {}).get("type") == "disabled":
        n = 0
    if body.get("chat_template_kwargs", {}).get("enable_thinking") is False:
        n = 0
    thought = " ".join(["hm"] * min(n, limit)) or None
    if n >= limit:
        return Answer(text="", reasoning=thought, finish="length")
    return Answer(text="The answer is 7.", reasoning=thought)


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with FakeApi(script=answer_thinking) as server:
        yield server


def compare(api: FakeApi, strategy: str, *, model: str, **options: Any) -> Comparison:  # noqa: ANN401 - of compare
    args = {"base_url": api.url if model.startswith("anthropic/") else f"{api.url}/v1"}
    bench = options.pop("bench", None) or Sums(n=12)
    return cotkit.compare(model, strategy, bench, limit="all", model_args=args, **options)


WIRES: list[tuple[str, str, dict[str, Any]]] = [
    ("openai/gpt-5.6-luna", "off", {"reasoning_effort": "none", "max_completion_tokens": 32}),
    (
        "openai/gpt-5.6-luna",
        "low",
        {"reasoning_effort": "low", "max_completion_tokens": 32 + ROOM["low"]},
    ),
    ("openai/gpt-4o", "off", {"max_completion_tokens": 32}),
    (
        "openai/o3-pro",
        "high",
        {"reasoning": {"effort": "high"}, "max_output_tokens": 32 + ROOM["high"]},
    ),
    ("anthropic/claude-opus-5", "off", {"thinking": {"type": "disabled"}, "max_tokens": 32}),
    (
        "anthropic/claude-haiku-4-5",
        "2048",
        {"thinking": {"type": "enabled", "budget_tokens": 2048}, "max_tokens": 32 + 2048},
    ),
    (
        "anthropic/claude-opus-4-7",
        "medium",
        {
            "thinking": {"type": "adaptive", "display": "summarized"},
            "output_config": {"effort": "medium"},
            "max_tokens": 32 + ROOM["medium"],
        },
    ),
    (
        "openai-api/vllm/m",
        "off",
        {"chat_template_kwargs": {"enable_thinking": False, "thinking": False}, "max_tokens": 32},
    ),
    (
        "openai-api/vllm/m",
        "on",
        {
            "chat_template_kwargs": {"enable_thinking": True, "thinking": True},
            "max_tokens": 32 + ROOM["medium"],
        },
    ),
    (
        "openai-api/openrouter/a/m",
        "4096",
        {"reasoning": {"max_tokens": 4096}, "max_tokens": 32 + 4096},
    ),
]


@pytest.mark.parametrize(("model", "setting", "sent"), WIRES, ids=lambda value: str(value)[:40])
def test_a_setting_as_each_wire_wants_it(
    api: FakeApi, model: str, setting: str, sent: dict[str, Any]
) -> None:
    args = {"base_url": api.url if model.startswith("anthropic/") else f"{api.url}/v1"}
    backend = build_backend(model, args, problems=(), store=None, notify=lambda _: None)
    decoding = Decoding(max_tokens=32, thinking=setting)
    request = Request(messages=(Message(role="user", content="1+1?"),), decoding=decoding)

    async def ask() -> None:
        await backend.generate(request)
        await backend.close()

    asyncio.run(ask())
    (seen,) = api.seen
    names = {"thinking", "reasoning", "reasoning_effort", "output_config", "chat_template_kwargs"}
    names |= {"max_tokens", "max_completion_tokens", "max_output_tokens"}
    assert {name: value for name, value in seen.body.items() if name in names} == sent


CANNOT: list[tuple[str, str, str]] = [
    ("openai/gpt-4o", "high", "it can: off"),
    ("openai/o3", "off", "it can: low, medium, high"),
    ("openai/gpt-5.6-luna", "1024", "it can: off, low, medium, high, xhigh"),
    ("anthropic/claude-haiku-4-5", "512", "a budget from 1024 tokens"),
    ("anthropic/claude-opus-5-5", "off", "it can: on, low"),
    ("openai-api/vllm/m", "1000", "it can: off, on"),
    ("openai-api/vllm/m", "maybe", "--thinking=maybe is not off, on, minimal"),
]


@pytest.mark.parametrize(("model", "setting", "words"), CANNOT)
def test_what_a_model_cannot_do_is_refused_before_anything_is_asked(
    api: FakeApi, model: str, setting: str, words: str
) -> None:
    with pytest.raises(UsageError) as refused:
        compare(api, "standard", model=model, thinking=setting)
    assert words in str(refused.value)
    assert not api.seen


@pytest.mark.parametrize(
    ("strategy", "words"),
    [
        ("cot:thinking=maybe", "strategy cot:thinking=maybe: thinking=maybe is not off"),
        ("think-budget:tokens=-1", "strategy think-budget:tokens=-1: tokens is -1"),
        ("self-consistency:k=0", "strategy self-consistency:k=0: k is 0"),
    ],
)
def test_what_is_wrong_with_a_strategy_is_said_of_what_was_written(
    strategy: str, words: str
) -> None:
    with pytest.raises(UsageError) as refused:
        make_plan(RunSpec(model="m", strategies=(strategy,)), Sums(n=3))
    assert str(refused.value).startswith(words)


def test_a_model_that_thinks_by_itself_has_room_and_a_verdict(api: FakeApi) -> None:
    found = compare(api, "cot", model="openai/gpt-5.6-luna")
    assert [cell.outcomes["truncated"] for cell in found.cells] == [0, 0]
    assert found.verdicts[0].gain.label != "withheld"
    assert any("the model thinks by itself" in note for note in found.notes)


def test_a_plan_counts_the_thinking_that_may_be_asked() -> None:
    def most_generated(model: str, strategy: str) -> list[float]:
        found = cotkit.plan(model, strategy, Sums(n=12), limit="all")
        return [estimate.generated_tokens[1] for estimate in found.estimates]

    off, high = most_generated("openai/gpt-5.6-luna", "standard:thinking=off+high")
    assert high - off == 12 * ROOM["high"]
    (budget,) = most_generated("anthropic/claude-haiku-4-5", "standard:thinking=2048")[:1]
    assert budget == off + 12 * 2048
    with pytest.raises(UsageError, match="standard:thinking=high"):
        most_generated("openai/gpt-4o", "standard:thinking=high")


def test_settings_of_one_strategy_are_compared_with_the_least(api: FakeApi) -> None:
    found = compare(api, "cot:thinking=high+off,standard:thinking=low", model="openai/gpt-5.6-luna")
    pairs = {(v.gain.arm, v.gain.control) for v in found.verdicts}
    assert pairs == {
        ("cot:thinking=high", "few-shot:thinking=high"),
        ("cot:thinking=off", "few-shot:thinking=off"),
        ("cot:thinking=high", "cot:thinking=off"),
        ("few-shot:thinking=high", "few-shot:thinking=off"),
        ("standard:thinking=low", "standard:thinking=off"),
    }
    efforts = [seen.body["reasoning_effort"] for seen in api.seen]
    assert {effort: efforts.count(effort) for effort in set(efforts)} == {
        "high": 24,
        "none": 36,
        "low": 12,
    }


def test_thoughts_that_come_although_off_withhold_the_verdict() -> None:
    with FakeApi(script=lambda body, n: answer_thinking({"max_tokens": 9999}, n)) as api:
        found = compare(api, "cot", model="openai-api/vllm/m", thinking="off")
    assert "withheld" in found.verdicts[0].sentence
    assert "although told not to" in found.verdicts[0].sentence


def test_a_run_stops_when_thinking_takes_every_limit(api: FakeApi) -> None:
    # ten problems: with more, those under way at the tenth answer are stored or not, by chance
    options: dict[str, Any] = {"model": "openai/gpt-5.6-luna", "bench": Sums(n=10)}
    with pytest.raises(BackendError, match=r"the first 10 answers of .* are empty") as ended:
        compare(api, "standard", max_thinking_tokens=100, **options)
    assert "--max-thinking-tokens 4096, or --thinking off" in str(ended.value)
    n_asked = len(api.seen)
    found = compare(api, "standard", max_thinking_tokens=100, **options)
    assert found.cells[0].outcomes["truncated"] == len(api.seen) == n_asked, "all were stored"


def test_what_says_nothing_of_thinking_is_what_it_was() -> None:
    plain = canonical_json(Decoding(max_tokens=8))
    assert "thinking" not in plain
    plan = make_plan(RunSpec(model="m", strategies=("cot",)), Sums(n=3))
    assert "thinking" not in canonical_json(plan.arms)


TEMPLATE = (
    "{% for m in messages %}[{{ m.role }}]{{ m.content }}[/]{% endfor %}[assistant]"
    "{% if enable_thinking is defined and enable_thinking is false %}<think></think>{% endif %}"
)


def test_a_local_template_is_told_by_its_own_switch(tmp_path: Path) -> None:
    folder = build_tiny_model(tmp_path, chat_template=TEMPLATE, has_pad=True)
    backend = Hf(model=str(folder), chat=True, dtype="float32")
    assert backend.thinking_room(Decoding(max_tokens=8)) > 0, "it thinks unless told not to"
    assert backend.thinking_room(Decoding(max_tokens=8, thinking="off")) == 0
    with pytest.raises(UsageError, match=r"no such switch \(it can: off, on, a budget"):
        backend.thinking_room(Decoding(max_tokens=8, thinking="high"))
    with pytest.raises(UsageError, match="raw text"):
        Hf(model=str(folder)).thinking_room(Decoding(max_tokens=8, thinking="on"))

    def prompt(setting: str | None) -> int:
        decoding = Decoding(max_tokens=8, thinking=setting)
        message = Message(role="user", content="Hi")
        return asyncio.run(backend.count_tokens(Request(messages=(message,), decoding=decoding)))

    assert prompt(None) == prompt("on") == prompt("off") - len("<think></think>")


def test_a_simulated_model_thinks_as_it_is_told() -> None:
    found = cotkit.compare("simulated/10b", "standard:thinking=16+1024", Sums(n=300), limit="all")
    by_arm = {cell.arm: cell.solve_rate for cell in found.cells}
    assert by_arm["standard:thinking=1024"] > by_arm["standard:thinking=16"]


def test_what_thinking_takes_away_from_a_prompt() -> None:
    """By hand: the prompt adds a - b without thinking and c - d with it; each problem counts."""
    found = cotkit.compare("simulated/30b", "cot:thinking=off+high", Sums(n=120), limit="all")
    (interaction,) = found.interactions
    rates = {cell.arm: cell.solve_rate for cell in found.cells}
    gain = rates["cot:thinking=high"] - rates["few-shot:thinking=high"]
    least = rates["cot:thinking=off"] - rates["few-shot:thinking=off"]
    assert interaction.arm == "cot:thinking=high"
    assert (interaction.gain, interaction.least_gain) == pytest.approx((gain, least))
    assert interaction.difference == pytest.approx(gain - least)
    assert interaction.interval.low <= gain - least <= interaction.interval.high < 0
    assert any(note.startswith("thinking takes away") for note in found.notes)


OPENED = "{% for m in messages %}[{{ m.role }}]{{ m.content }}[/]{% endfor %}[assistant]<think>"


def complete(folder: Path, **decoding: Any) -> Any:  # noqa: ANN401 - a completion
    """Ask a model whose template opens a thought; every byte is a token."""

    async def ask() -> Any:  # noqa: ANN401
        backend = Hf(model=str(folder), chat=True, dtype="float32")
        message = Message(role="user", content="Hi")
        try:
            request = Request(messages=(message,), decoding=Decoding(**decoding))
            return (await backend.generate(request))[0]
        finally:
            await backend.close()

    return asyncio.run(ask())


def test_a_local_thought_ends_at_its_budget(tmp_path: Path) -> None:
    folder = build_tiny_model(tmp_path, chat_template=OPENED, has_pad=True)
    free = complete(folder, max_tokens=40, max_thinking_tokens=1)
    assert free.n_generated_tokens == free.n_reasoning_tokens == 41, "its thought never ends"
    forced = complete(folder, max_tokens=12, thinking="10")
    closing = len("\n</think>\n\n")
    assert forced.n_generated_tokens == 10 + closing + 12
    assert forced.n_reasoning_tokens == 10 + len("\n</think>")
    assert free.reasoning.startswith(forced.reasoning.rstrip("\ufffd")), "the same thought, cut"
    at_once = complete(folder, max_tokens=12, thinking="0")
    assert not at_once.reasoning
    assert at_once.n_generated_tokens == closing + 12


def test_a_budget_buys_the_model_that_comes_with_cotkit_its_steps(tmp_path: Path) -> None:
    bench = "arithmetic:steps=3,digits=1,operators=+-"
    found = cotkit.compare(
        "pocket-thinker", "think-budget:tokens=64", bench, limit=12, log_dir=tmp_path
    )
    at_once, thought = found.cells
    assert at_once.thinking_tokens is None
    assert thought.thinking_tokens is not None
    assert 15 < thought.thinking_tokens < 40, "its thought ends by itself"
    assert thought.n_correct >= at_once.n_correct + 6
    with Store(tmp_path / STORE_NAME) as store:
        part = load_part(store, store.run(found.run_id), say_nothing)
    takes = [take for sample in part.samples for take in sample.takes]
    assert [bool(take.thoughts) for take in takes] == [
        take.arm == "think-budget:tokens=64" for take in takes
    ]
    assert " = " in takes[-1].thoughts[0] or " = " in takes[0].thoughts[0]
    assert '"thought"' in page([part])


def test_a_window_bounds_a_budget() -> None:
    with pytest.raises(UsageError, match="no room for a prompt in the window of 2,048 tokens"):
        cotkit.compare("pocket-thinker", "think-budget:tokens=2048", Sums(n=2), limit="all")
    rule = rule_for("anthropic/claude-haiku-4-5")
    with pytest.raises(UsageError, match="below the window of 1,000,000"):
        thinking_room(rule, Decoding(max_tokens=8, thinking="2000000"), model="m")


def test_budgets_are_strategies_with_controls() -> None:
    plan = make_plan(RunSpec(model="m", strategies=("think-budget:tokens=64",)), Sums(n=3))
    assert plan.pairs == (("think-budget:tokens=64", "think-budget:tokens=0"),)
    assert plan.thinking == {"think-budget:tokens=64": "64", "think-budget:tokens=0": "0"}
    plan = make_plan(RunSpec(model="m", strategies=("think-more:times=2",)), Sums(n=3))
    assert plan.pairs == (("think-more:times=2", "think-more:times=0"),)


def test_every_mark_of_a_thought_is_read() -> None:
    for opening, closing in MARKS:
        assert split_reasoning(f"{opening}hm{closing}7") == ("hm", "7")
