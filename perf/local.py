"""The local engine against a plain left-padded ``generate``: same model, prompts and limit.

    python perf/local.py [MODEL] [N_PROBLEMS] [MAX_TOKENS]

Both sides run to their token limit or end token; the plain loop cannot stop at an answer line, so
cotkit is measured twice: with stop rules (as it runs) and without (equal work). Seconds are
processor seconds of this process, loading left out.
"""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import replace
from typing import Any

from cotkit.backends.hf import Hf
from cotkit.bench import draw, load_benchmark
from cotkit.prompting import read_exemplars
from cotkit.registry import parse_spec
from cotkit.strategies.cot import Cot
from cotkit.types import Completion, Decoding, Request


def main(model: str, n_problems: int, max_tokens: int) -> None:
    """Measure and print."""
    problems = draw(load_benchmark(parse_spec("gsm-mini")).problems(), n_problems, seed=0)
    strategy = Cot(exemplars=read_exemplars(8), max_tokens=max_tokens)
    steps = [next(strategy.solve(problem.question)) for problem in problems]
    asked = [step for step in steps if isinstance(step, Request)]
    print(f"{model}, {n_problems} problems of gsm-mini, cot with 8 exemplars, {max_tokens} tokens")

    plain_s, n_plain = plain_loop(model, asked, max_tokens)
    print(f"{'left-padded generate':28} {plain_s:7.1f} s   {n_plain:7,} tokens computed")
    bare = [replace(request, decoding=Decoding(max_tokens=max_tokens)) for request in asked]
    for name, requests in (("cotkit, no stop rules", bare), ("cotkit, as it runs", asked)):
        seconds, done = engine(model, requests)
        n = sum((c.n_prompt_tokens or 0) - c.n_shared_tokens for c in done)
        n += sum(c.n_generated_tokens or 0 for c in done)
        ratio = f"{plain_s / seconds:.1f} times less"
        print(f"{name:28} {seconds:7.1f} s   {n:7,} tokens computed   {ratio}")


def engine(model: str, requests: list[Request]) -> tuple[float, list[Completion]]:
    """Processor seconds and completions of a fresh backend, after one short warm-up request."""

    async def work() -> tuple[float, list[Completion]]:
        backend = Hf(model=model, batch_size=len(requests))
        short = replace(requests[0], messages=requests[0].messages, decoding=Decoding(max_tokens=1))
        warm = replace(short, messages=(replace(short.messages[0], content="Hello"),))
        await backend.generate(warm)
        started = time.process_time()
        done = await asyncio.gather(*(backend.generate(request) for request in requests))
        seconds = time.process_time() - started
        await backend.close()
        return seconds, [completion for (completion,) in done]

    return asyncio.run(work())


def plain_loop(model: str, requests: list[Request], max_tokens: int) -> tuple[float, int]:
    """Processor seconds and tokens computed, padding included, of transformers' own loop."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from cotkit.models.fetch import ensure

    folder = ensure(model, notify=print)
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    tokenizer.pad_token = tokenizer.eos_token
    network: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    prompts = [request.messages[0].content for request in requests]
    with torch.inference_mode():
        batch = tokenizer(prompts, return_tensors="pt", padding=True)
        started = time.process_time()
        out = network.generate(**batch, do_sample=False, max_new_tokens=max_tokens)
        seconds = time.process_time() - started
    return seconds, out.numel()


if __name__ == "__main__":
    arguments = sys.argv[1:]
    main(
        arguments[0] if arguments else "smollm2-135m",
        int(arguments[1]) if arguments[1:] else 16,
        int(arguments[2]) if arguments[2:] else 64,
    )
