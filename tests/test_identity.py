"""Identity: every field that can change a completion changes its key, and nothing else does."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotkit import identity
from cotkit.types import BackendInfo, Decoding, Message, Request

INFO = BackendInfo(
    backend="hf", model="m", fingerprint="f", settings={"dtype": "float32", "device": "cpu"}
)
DECODING = Decoding(max_tokens=8)
REQUEST = Request(messages=(Message(role="user", content="Q"),), decoding=DECODING)


def key(info: BackendInfo = INFO, request: Request = REQUEST, sample: int = 0) -> str:
    return identity.completion_key(
        identity.backend_key(info), identity.request_key(request), sample
    )


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"backend": "openai"}, "another backend renders and samples in its own way"),
        ({"model": "n"}, "lm-eval's cache serves the first model's answers to the second"),
        ({"fingerprint": "g"}, "same name, other weights or revision"),
        ({"settings": {"dtype": "bfloat16", "device": "cpu"}}, "other arithmetic"),
        ({"settings": {"dtype": "float32", "device": "cuda"}}, "other kernels"),
        ({"settings": {"dtype": "float32", "device": "cpu", "base_url": "x"}}, "other server"),
        ({"settings": {"dtype": "float32", "device": "cpu", "chat": "abc"}}, "other template"),
    ],
)
def test_a_backend_field_changes_the_key(change: dict[str, object], why: str) -> None:
    assert key(info=dataclasses.replace(INFO, **change)) != key(), why


@pytest.mark.parametrize(
    "change",
    [{"family": "x"}, {"n_params": 7}, {"n_active_params": 7}, {"max_concurrency": 3}],
)
def test_what_is_only_for_reports_does_not_change_the_key(change: dict[str, object]) -> None:
    assert key(info=dataclasses.replace(INFO, **change)) == key()


OTHER_DECODING = {
    "max_tokens": 9,
    "temperature": 0.5,
    "top_p": 0.9,
    "top_k": 5,
    "stop": ("\n",),
    "stop_after": "x",
    "seed": 3,
    "thinking": "off",
    "max_thinking_tokens": 7,
    "n_waits": 1,
}


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(Decoding)])
def test_every_decoding_field_changes_the_key(field: str) -> None:
    other = dataclasses.replace(DECODING, **{field: OTHER_DECODING[field]})
    assert key(request=dataclasses.replace(REQUEST, decoding=other)) != key()


@pytest.mark.parametrize(
    "messages",
    [
        (Message(role="user", content="Q "),),
        (Message(role="system", content="Q"),),
        (Message(role="user", content="Q"), Message(role="assistant", content="")),
    ],
)
def test_every_message_byte_and_role_changes_the_key(messages: tuple[Message, ...]) -> None:
    assert key(request=dataclasses.replace(REQUEST, messages=messages)) != key()


def test_the_sample_changes_the_key_and_the_samples_asked_together_do_not() -> None:
    assert key(sample=1) != key()
    assert key(request=dataclasses.replace(REQUEST, samples=(0, 1, 2))) == key()


def test_keys_are_stable_over_releases() -> None:
    """A change here makes every stored completion unfindable."""
    assert key() == "0b415e70b0f58f953134df498aa9ab248b384e7261c8b2294e86fd5922c1c128"


def test_nan_has_no_identity() -> None:
    with pytest.raises(ValueError, match="JSON"):
        identity.canonical_json(float("nan"))


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.booleans()))
def test_the_order_of_keys_does_not_matter(values: dict[str, object]) -> None:
    backwards = dict(reversed(values.items()))
    assert identity.content_hash("t", values) == identity.content_hash("t", backwards)
    assert json.loads(identity.canonical_json(values)) == values


def test_seeds_differ_by_sample_and_request_and_base() -> None:
    sampled = dataclasses.replace(DECODING, seed=1, temperature=1.0)
    seeds = {
        identity.sample_seed(dataclasses.replace(sampled, seed=seed), request, sample)
        for seed in (1, 2)
        for request in ("a", "b")
        for sample in range(50)
    }
    assert len(seeds) == 200
    assert all(0 <= seed < 2**63 for seed in seeds)
