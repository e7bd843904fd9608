"""Prices: what is listed, how a model finds its row, and what a user's own file may be."""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from cotkit.analysis.comparison import cost_of
from cotkit.errors import BadInputError
from cotkit.models import prices
from cotkit.models.prices import Price, load_prices, price_of
from cotkit.store.rows import AttemptRow

OWN = """\
as_of = "2026-01-31"

[provider.openai-api]
source = "our contract"
batch_discount = 0.25

[[price]]
backend = "openai-api"
models = ["groq/llama-*", "groq/llama-3.3-70b"]
input = 0.5
output = 1

[[price]]
backend = "openai-api"
models = ["groq/llama-3.3-*"]
input = 0.6
cached_input = 0.1
output = 0.8
as_of = "2026-02-01"
"""


@pytest.fixture(autouse=True)
def _no_own_prices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COTKIT_PRICES", raising=False)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "prices.toml"
    path.write_text(OWN, encoding="utf-8")
    return path


# ---- our own table ---------------------------------------------------------------------------


def test_every_row_is_dated_sourced_and_plausible() -> None:
    for price in load_prices():
        assert price.source.startswith("https://"), price
        assert price.status in {"checked", "single"}, price
        assert dt.date(2026, 1, 1) <= dt.date.fromisoformat(price.as_of), price
        assert 0 < price.cached_input <= price.input <= price.cache_write, price
        assert price.input <= price.output, price
        assert price.batch_discount == 0.5, price


@pytest.mark.parametrize(
    ("backend", "model", "price", "why"),
    [
        ("openai", "gpt-4o", (2.5, 10), "by its name"),
        ("openai", "gpt-4o-2024-08-06", (2.5, 10), "a dated version, by the pattern beside it"),
        ("openai", "gpt-4o-2024-05-13", (5, 15), "the name wins over that pattern"),
        ("openai", "gpt-4o-mini", (0.15, 0.6), "not gpt-4o"),
        ("openai", "gpt-4o-audio-preview", None, "not gpt-4o either"),
        ("openai", "GPT-4o", None, "names are as the provider writes them"),
        ("openai", "gpt-99", None, "unknown is not guessed"),
        ("anthropic", "claude-haiku-4-5-20251001", (1, 5), "a dated version"),
        ("anthropic", "claude-opus-5", (5, 25), "not claude-opus-5-5"),
        ("anthropic", "gpt-4o", None, "of another provider"),
        ("openai-api", "gpt-4o", None, "another server may ask another price"),
        ("hf", "Qwen/Qwen2.5-7B", None, "a local model is not free"),
    ],
)
def test_lookup(backend: str, model: str, price: tuple[float, float] | None, why: str) -> None:
    found = price_of(backend, model)
    assert (found and (found.input, found.output)) == price, why


# ---- the user's file -------------------------------------------------------------------------


def test_own_prices_come_first_and_the_rest_stays(own: Path) -> None:
    own.write_text(OWN.replace("openai-api", "openai").replace("groq/llama-*", "gpt-*"))
    found = price_of("openai", "gpt-4o", own)
    assert found is not None
    assert (found.input, found.status, found.source) == (0.5, "yours", "our contract")
    assert price_of("anthropic", "claude-opus-5", own) == price_of("anthropic", "claude-opus-5")


def test_own_prices_are_found_by_the_environment(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COTKIT_PRICES", str(own))
    assert price_of("openai-api", "groq/llama-x") is not None
    other = tmp_path / "other.toml"
    other.write_text(OWN.replace("groq", "fireworks"))
    assert price_of("openai-api", "groq/llama-x", other) is None, "--prices goes before it"


@pytest.mark.parametrize(
    ("model", "price", "why"),
    [
        ("groq/llama-4", 0.5, "the only pattern that fits"),
        ("groq/llama-3.3-8b", 0.6, "the pattern with more letters"),
        ("groq/llama-3.3-70b", 0.5, "the whole name"),
        ("groq/qwen", None, "no pattern fits"),
    ],
)
def test_the_pattern_with_the_most_letters_wins(
    own: Path, model: str, price: float | None, why: str
) -> None:
    found = price_of("openai-api", model, own)
    assert (found and found.input) == price, why


def test_what_a_row_leaves_out(own: Path) -> None:
    first = price_of("openai-api", "groq/llama-4", own)
    second = price_of("openai-api", "groq/llama-3.3-8b", own)
    assert first is not None
    assert second is not None
    assert (first.cached_input, first.cache_write, first.batch_discount) == (0.5, 0.5, 0.25)
    assert (first.as_of, second.as_of) == ("2026-01-31", "2026-02-01")


@pytest.mark.parametrize(
    ("old", "new", "said", "why"),
    [
        ("input = 0.5", "input = -0.5", ":10:input: -0.5 is not a number from 0", "negative"),
        ("input = 0.5", 'input = "0.5"', ":10:input: '0.5' is not a number", "text"),
        ("input = 0.5", "input = true", ":10:input: True is not a number", "a truth"),
        ("input = 0.5", "input = nan", ":10:input: nan is not a number", "nan"),
        ("input = 0.5", "input = 500_000", ":10:input: 500000 is not", "a price for 1e12 tokens?"),
        ("input = 0.5", "", ":7:input: missing", "no input price, at the row's first line"),
        ("input = 0.6", "", ":13:input: missing", "the second row"),
        ("output = 0.8", "ouput = 0.8", ":18:ouput: no such field (known: ", "misspelt"),
        ("batch_discount = 0.25", "batch_discount = 50", ":5:batch_discount: 50 is", "percent"),
        ('source = "our contract"', "scource = 1", ":4:scource: no such field", "misspelt above"),
        ('as_of = "2026-02-01"', 'as_of = "February"', ":19:as_of: 'February' is no", "no date"),
        ('as_of = "2026-01-31"', "", ":7:as_of: missing", "undated"),
        ('models = ["groq/llama-3.3-*"]', 'models = "x"', ":15:models: 'x' is no list", "no list"),
        ('"groq/llama-3.3-*"', '"groq/llama-*"', ":15:models: openai-api/groq/llama-* h", "twice"),
        ("output = 1\n", "output = \n", ":11: this is no TOML", "broken TOML"),
        ("[[price]]", "[[prices]]", ":prices: no such field", "no price at all"),
        (OWN, "price = 3", ":1:price: there is no price", "not a table"),
        (OWN, "provider = 3", ":1:provider: this is no table", "not a table either"),
        (OWN, "price = [3]", ":1:price: this is no table", "a row is a table"),
    ],
)
def test_mistakes_are_named_by_line_and_field(
    own: Path, old: str, new: str, said: str, why: str
) -> None:
    assert old in OWN
    own.write_text(OWN.replace(old, new))
    with pytest.raises(BadInputError) as caught:
        price_of("openai-api", "groq/llama-x", own)
    assert f"{own}{said}" in str(caught.value)
    assert "\n" not in str(caught.value), why


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="no such file"):
        price_of("openai", "gpt-4o", tmp_path / "none.toml")


# ---- what tokens come to ---------------------------------------------------------------------

PRICE = Price(
    backend="anthropic",
    models=("m",),
    input=4.0,
    cached_input=0.4,
    cache_write=5.0,
    output=20.0,
    batch_discount=0.5,
    as_of="2026-11-22",
    status="yours",
    source="",
)


@pytest.mark.parametrize(
    ("counts", "usd", "why"),
    [
        ((1_000_000, 0, 0, 0), 4.0, "prompt"),
        ((1_000_000, 1_000_000, 0, 0), 0.4, "all from the cache"),
        ((1_000_000, 0, 1_000_000, 0), 5.0, "all to the cache"),
        ((1_000_000, 500_000, 250_000, 0), 2.45, "a quarter each way, half read"),
        ((0, 0, 0, 1_000_000), 20.0, "generated"),
        ((0, 0, 0, 0), 0.0, "nothing"),
    ],
)
def test_cost(counts: tuple[int, int, int, int], usd: float, why: str) -> None:
    assert PRICE.cost(*counts) == pytest.approx(usd), why
    assert PRICE.batched().cost(*counts) == pytest.approx(usd / 2), why


def row(**values: object) -> AttemptRow:
    known: dict[str, object] = {
        "arm": "cot",
        "problem_id": "p",
        "outcome": "wrong",
        "n_prompt_tokens": 1000,
        "n_shared_tokens": 500,
        "n_cache_write_tokens": 100,
        "n_generated_tokens": 100,
    }
    return AttemptRow(**{**known, **values})  # pyright: ignore[reportArgumentType]  # by name


def test_cost_of_an_arm() -> None:
    one = PRICE.cost(1000, 500, 100, 100)
    failed = row(outcome="failed", n_prompt_tokens=None)
    assert cost_of([row(), row(), failed], PRICE) == pytest.approx(2 * one)
    assert cost_of([row()], PRICE.batched()) == pytest.approx(one / 2)
    assert cost_of([row()], None) is None, "no price"
    assert cost_of([], PRICE) is None, "nothing done"
    assert cost_of([row(), row(n_generated_tokens=None)], PRICE) is None, "a partial sum is cheap"


def find_nothing(_name: str) -> None:
    """As if a package were not installed."""


def find_something(_name: str) -> str:
    return "9.9"


@pytest.mark.parametrize(
    ("model", "url", "is_known"),
    [
        ("groq/llama-3.3-70b-versatile", "https://api.groq.com/openai/v1", True),
        ("gemini/gemini-2.5-pro", "https://generativelanguage.googleapis.com/v1beta/openai", True),
        ("groq/llama-3.3-70b-versatile", "http://127.0.0.1:8000/v1", False),
        ("groq/nosuch", "https://api.groq.com/openai/v1", False),
    ],
)
def test_a_service_has_its_price_at_its_own_address_only(
    model: str, url: str, is_known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prices, "find_spec", find_nothing)
    price = price_of("openai-api", model, base_url=url)
    assert (price is not None) is is_known
    if price is not None:
        assert 0 < price.input < price.output
        assert price.status == "single"


def test_an_installed_collection_is_asked_last(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = SimpleNamespace(
        input_mtok=SimpleNamespace(base=2),
        cache_read_mtok=None,
        cache_write_mtok=None,
        output_mtok=8,
    )
    asked: list[tuple[object, ...]] = []

    def give(_now: dt.datetime) -> SimpleNamespace:
        return rates

    def find(*about: object) -> tuple[None, SimpleNamespace]:
        asked.append(about)
        return None, SimpleNamespace(get_prices=give)

    snapshot = SimpleNamespace(find_provider_model=find)
    module = SimpleNamespace(get_snapshot=lambda: snapshot)
    monkeypatch.setattr(prices, "find_spec", find_something)
    monkeypatch.setitem(sys.modules, "genai_prices.data_snapshot", module)
    monkeypatch.setattr(prices.importlib.metadata, "version", find_something)
    price = price_of("openai-api", "openrouter/a/b", base_url="https://openrouter.ai/api/v1")
    assert asked == [("a/b", None, None, "https://openrouter.ai/api/v1")]
    assert price is not None
    assert (price.input, price.cached_input, price.output) == (2, 2, 8)
    assert price.as_of == "genai-prices 9.9"
    assert price_of("hf", "gemma", base_url=None) is None
