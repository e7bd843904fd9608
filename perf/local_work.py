"""What ``perf/local.py`` measures, each in a process of its own; prints one JSON object.

python -m perf.local_work cotkit|plain|paged|served|prefix|exemplars|samples JSON_OF_SETTINGS

Seconds are the processor's on a CPU, wall time on any other device.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cotkit.backends.hf import Hf
from cotkit.backends.hf.prefix_tree import common_prefix_length
from cotkit.backends.serve import Serve
from cotkit.benchmarks import draw, load_benchmark
from cotkit.models.cache import cache_place
from cotkit.prompting import read_exemplars
from cotkit.registry import parse_spec
from cotkit.strategies.cot import Cot
from cotkit.types import Completion, Decoding, Message, Request


def requests(n: int, max_tokens: int, n_exemplars: int = 8) -> list[Request]:
    """Chain-of-thought over exemplars of ours, on GSM8K where it is here, else on gsm-mini."""
    name = "gsm8k" if os.environ.get("COTKIT_DATA_DIR") else "gsm-mini"
    problems = draw(load_benchmark(parse_spec(name)).problems(), n, seed=0)
    eight = read_exemplars(8)
    shown = (eight * (n_exemplars // 8 + 1))[:n_exemplars]
    strategy = Cot(exemplars=shown, max_tokens=max_tokens)
    steps = [next(strategy.solve(problem.question)) for problem in problems]
    return [step for step in steps if isinstance(step, Request)]


async def timed(backend: Hf, asked: Sequence[Request]) -> tuple[float, list[Completion]]:
    """Seconds of asking everything at once, and what came."""
    clock = time.process_time if backend.device == "cpu" else time.perf_counter
    began = clock()
    several = await asyncio.gather(*(backend.generate(one) for one in asked))
    return clock() - began, [one for answer in several for one in answer]


def raw(text: str, max_tokens: int) -> Request:
    """A request of plain text without stop rules."""
    messages = (Message(role="user", content=text),)
    return Request(messages=messages, decoding=Decoding(max_tokens=max_tokens))


async def loaded(model: str, dtype: str, device: str) -> Hf:
    """A backend that has answered once."""
    backend = Hf(model=model, dtype=dtype, device=device)
    await backend.generate(raw("Hello", 1))
    return backend


async def cotkit(model: str, dtype: str, device: str, n: int, max_tokens: int) -> dict[str, float]:
    """The engine as it runs."""
    backend = await loaded(model, dtype, device)
    asked = requests(n, max_tokens)
    took, done = await timed(backend, asked)
    texts = [backend._prompter.tokens(one) for one in asked]  # noqa: SLF001 - to count by
    await backend.close()
    shared = min(common_prefix_length(texts[0], text) for text in texts)
    needed = shared + sum(len(text) - shared for text in texts)
    prefill = sum((one.n_prompt_tokens or 0) - one.n_shared_tokens for one in done)
    decode = sum(one.n_generated_tokens or 0 for one in done)
    n_bytes = sum(file.stat().st_size for file in backend._source.folder.iterdir())  # noqa: SLF001
    file = cache_place(f"{model}.gguf")  # an embedded model's, which stays beside the folder
    n_bytes += file.stat().st_size if file.is_file() else 0
    counts = {"prefill": prefill, "decode": decode, "needed": needed}
    return {"seconds": took, "disk_mb": n_bytes / 1e6, **counts}


async def served(model: str, n: int, max_tokens: int) -> dict[str, float]:
    """A server that cotkit starts (``vllm:NAME``, ``llama.cpp:NAME``), asked for raw text."""
    backend = Serve(model=model, api="completions", timeout_s=600)
    await backend.generate(raw("Hello", 1))
    began = time.perf_counter()
    several = await asyncio.gather(*(backend.generate(one) for one in requests(n, max_tokens)))
    seconds = time.perf_counter() - began
    await backend.close()
    tokens = [one.n_generated_tokens or 0 for answer in several for one in answer]
    return {"seconds": seconds, "decode": sum(tokens)}


def transformers_own(model: str, dtype: str, device: str, attention: str) -> tuple[Any, Any]:
    """Tokenizer and network as transformers loads them; a folder is taken as it is."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from cotkit.models.fetch import ensure_model

    folder = Path(model) if Path(model).is_dir() else ensure_model(model, notify=lambda _: None)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder, padding_side="left")
    tokenizer.pad_token = tokenizer.eos_token
    network: Any = AutoModelForCausalLM.from_pretrained(
        folder, dtype=getattr(torch, dtype), attn_implementation=attention
    )
    return tokenizer, network.eval().to(device)


def paged(model: str, dtype: str, device: str, n: int, max_tokens: int) -> dict[str, float]:
    """Transformers' continuous batching over paged attention; it knows no stop strings."""
    import torch
    from transformers import GenerationConfig

    tokenizer, network = transformers_own(model, dtype, device, "sdpa")
    prompts = [tokenizer(one.messages[0].content).input_ids for one in requests(n, max_tokens)]
    rules = GenerationConfig(
        do_sample=False,
        max_new_tokens=max_tokens,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    clock = time.process_time if device == "cpu" else time.perf_counter
    began = clock()
    with torch.no_grad():  # in inference mode it answers nothing
        done = network.generate_batch(inputs=prompts, generation_config=rules)
    if len(done) < n:
        raise SystemExit(f"generate_batch answered {len(done)} of {n} prompts")
    decode = sum(len(one.generated_tokens) for one in done.values())
    return {"seconds": clock() - began, "decode": decode}


def plain(  # noqa: PLR0917 - settings, given by name
    model: str, dtype: str, device: str, n: int, max_tokens: int, batch: int
) -> dict[str, float]:
    """A left-padded loop over transformers' own ``generate``, sorted by nothing."""
    import torch

    tokenizer, network = transformers_own(model, dtype, device, "sdpa")
    prompts = [one.messages[0].content for one in requests(n, max_tokens)]
    prefill = decode = 0
    clock = time.process_time if device == "cpu" else time.perf_counter
    began = clock()
    with torch.inference_mode():
        for begin in range(0, n, batch):
            inputs = tokenizer(prompts[begin : begin + batch], return_tensors="pt", padding=True)
            inputs = inputs.to(device)
            out = network.generate(
                **inputs,
                do_sample=False,
                max_new_tokens=max_tokens,
                pad_token_id=tokenizer.pad_token_id,
                stop_strings=["\nQ:"],
                tokenizer=tokenizer,
            )
            prefill += inputs["input_ids"].numel()
            decode += out.numel() - inputs["input_ids"].numel()
    return {"seconds": clock() - began, "prefill": prefill, "decode": decode}


async def prefix(model: str, dtype: str, device: str) -> dict[str, float]:
    """Tokens a second of 32 rows over a prefix of 100 and of 1,000 tokens."""
    speeds: dict[str, float] = {}
    for n_words in (100, 1000):
        start = " and".join([" it is so"] * (n_words // 4))
        backend = await loaded(model, dtype, device)
        took = {}
        for n_tokens in (2, 2, 50):  # the first one computes the prefix
            asked = [raw(f"{start} {i} apples and", n_tokens) for i in range(32)]
            took[n_tokens] = await timed(backend, asked)
        tokens = [sum(one.n_generated_tokens or 0 for one in took[k][1]) for k in (2, 50)]
        speeds[str(n_words)] = (tokens[1] - tokens[0]) / (took[50][0] - took[2][0])
        await backend.close()
    return speeds


async def exemplars(model: str, dtype: str, device: str, max_tokens: int) -> dict[str, float]:
    """Seconds of 64 problems with 8 and with 16 exemplars."""
    found: dict[str, float] = {}
    for k in (8, 16):
        backend = await loaded(model, dtype, device)
        asked = [
            replace(one, decoding=Decoding(max_tokens=max_tokens))
            for one in requests(64, max_tokens, k)
        ]
        found[str(k)] = (await timed(backend, asked))[0]
        await backend.close()
    return found


async def samples(model: str, dtype: str, device: str, max_tokens: int) -> dict[str, float]:
    """Seconds of one sample's decoding, and of eight samples with their prefill."""
    rules = Decoding(max_tokens=max_tokens, temperature=0.7, seed=1)
    first, second = (replace(one, decoding=rules) for one in requests(2, max_tokens))
    backend = await loaded(model, dtype, device)
    one_token = replace(first, decoding=replace(rules, max_tokens=1))
    prefill = (await timed(backend, [one_token]))[0]
    await timed(backend, [one_token])  # come again, the prompt is kept
    one, again = [(await timed(backend, [which]))[0] for which in (first, one_token)]
    await backend.close()
    backend = await loaded(model, dtype, device)
    eight = (await timed(backend, [replace(second, samples=tuple(range(8)))]))[0]
    await backend.close()
    return {"prefill": prefill, "decode_one": one - again, "eight": eight}


if __name__ == "__main__":
    work: Any = globals()[sys.argv[1]]
    result: Any = work(**json.loads(sys.argv[2]))
    print(json.dumps(asyncio.run(result) if asyncio.iscoroutine(result) else result))
