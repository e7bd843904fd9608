"""``cotkit compare``: a strategy against its control, on the same problems."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Literal

import typer

from cotkit.errors import UsageError

DEFAULT_MODEL = "qwen2.5-coder-1.5b"


class Format(StrEnum):
    """How the answer is printed."""

    table = "table"
    markdown = "markdown"
    json = "json"
    csv = "csv"
    latex = "latex"


class Display(StrEnum):
    """How progress is shown."""

    full = "full"
    plain = "plain"
    none = "none"


EXAMPLES = """
Examples:

  cotkit compare --strategy cot --bench gsm8k

  cotkit compare --strategy cot,zero-shot-cot --bench gsm-mini --limit 50 --model smollm2-135m

  cotkit compare --model hf/Qwen/Qwen2.5-0.5B --strategy cot:max_tokens=400 --bench ./mine.jsonl

  cotkit compare --model simulated/70b --limit all --format markdown
"""


def compare(
    strategy: list[str] = typer.Option(
        ["cot"], "--strategy", "-s", help="Strategies, separated by commas: NAME or NAME:key=value."
    ),
    bench: str = typer.Option(
        "gsm-mini", "--bench", "--tasks", help="Benchmark name, or a JSONL file of your own."
    ),
    model: str = typer.Option(
        DEFAULT_MODEL, "--model", "-m", help="Catalogue name, BACKEND/NAME, hub id, folder or GGUF."
    ),
    model_args: str = typer.Option(
        "", "--model-args", help="Backend settings: key=value,key=value (dtype, device, chat, ...)."
    ),
    baseline: str | None = typer.Option(
        None, "--baseline", help="Measure against this strategy instead of each one's control."
    ),
    limit: str | None = typer.Option(
        None, "--limit", help="How many problems, drawn by --seed; or all. [default: 200]"
    ),
    seed: int = typer.Option(0, "--seed", help="Draws the problems; seeds sampled decoding."),
    exemplars: str = typer.Option(
        "builtin:8", "--exemplars", help="builtin:K, train:K or FILE.jsonl:K."
    ),
    num_fewshot: int | None = typer.Option(
        None, "--num-fewshot", help="How many exemplars (replaces K of --exemplars)."
    ),
    exemplar_seed: int = typer.Option(
        0, "--exemplar-seed", help="Which exemplars are drawn from a train split or file."
    ),
    max_tokens: int | None = typer.Option(
        None, "--max-tokens", help="Token limit of every arm [default: each strategy's own]."
    ),
    temperature: float | None = typer.Option(
        None, "--temperature", help="0 is greedy [default: 0]."
    ),
    gen_kwargs: str = typer.Option(
        "", "--gen-kwargs", help="Strategy parameters of every arm: key=value,key=value."
    ),
    reader: str = typer.Option(
        "flexible", "--reader", help="Who decides what is correct (cotkit list readers)."
    ),
    margin: float = typer.Option(
        2.0, "--margin", help="Smallest gain that counts as material, in points."
    ),
    batch_size: int | None = typer.Option(
        None, "--batch-size", help="Rows at once on a local model [default: what memory allows]."
    ),
    device: str | None = typer.Option(
        None, "--device", help="cpu, cuda, cuda:1, mps ... [default: auto]."
    ),
    dtype: str | None = typer.Option(
        None, "--dtype", help="float32, bfloat16, float16 [default: auto]."
    ),
    apply_chat_template: bool = typer.Option(
        False, "--apply-chat-template", help="Wrap prompts in the model's chat template."
    ),
    accept_terms: bool = typer.Option(
        False, "--accept-terms", help="Agree to the licence terms of a model that asks for it."
    ),
    log_dir: Path = typer.Option(
        Path("logs"), "--log-dir", help="Folder of the store; what it holds is not made again."
    ),
    format_: Format = typer.Option(Format.table, "--format", "-f", help="How to print the answer."),
    timing: bool = typer.Option(
        False, "--timing", help="Add measured columns: seconds, shared tokens."
    ),
    display: Display | None = typer.Option(
        None, "--display", help="Progress [default: full on a terminal, else plain]."
    ),
) -> None:
    """Compare prompting strategies with their controls on the same problems.

    Prints the gain with its interval, how sure it is, what it hangs on, and what it costs.
    """
    from cotkit.cli._run import run_and_print
    from cotkit.registry import parse_params, split_specs
    from cotkit.run import RunSpec

    generation = parse_params(gen_kwargs)
    if max_tokens is not None:
        generation["max_tokens"] = str(max_tokens)
    if temperature is not None:
        generation["temperature"] = str(temperature)
    settings = parse_params(model_args)
    given = {"batch_size": batch_size, "device": device, "dtype": dtype}
    settings |= {name: str(value) for name, value in given.items() if value is not None}
    settings |= {"chat": "true"} if apply_chat_template else {}
    settings |= {"accept_terms": "true"} if accept_terms else {}
    spec = RunSpec(
        model=model,
        model_args=settings,
        bench=bench,
        strategies=split_specs(",".join(strategy)),
        baseline=baseline,
        limit=_limit(limit),
        seed=seed,
        exemplars=exemplars if num_fewshot is None else _counted(exemplars, num_fewshot),
        exemplar_seed=exemplar_seed,
        generation=generation,
        reader=reader,
        margin=margin / 100,
    )
    run_and_print(spec, log_dir=log_dir, format_=format_, timing=timing, display=display)


compare.__doc__ = f"{compare.__doc__}\n\n\b{EXAMPLES}"


def _limit(text: str | None) -> int | Literal["all"] | None:
    if text is None:
        return None
    if text == "all":
        return "all"
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"--limit {text!r} is not a number", hint="a number, or all") from None


def _counted(exemplars: str, k: int) -> str:
    source, _, count = exemplars.rpartition(":")
    return f"{source if source and count.isdigit() else exemplars}:{k}"
