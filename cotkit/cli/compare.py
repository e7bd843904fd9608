"""``cotkit compare``: a strategy against its control, on the same problems."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cotkit.cli._cluster import read_cluster
from cotkit.cli._formats import Format
from cotkit.cli._html import read_page
from cotkit.cli._means import read_means, read_pace
from cotkit.cli._options import read_given, read_spec, takes
from cotkit.cli._place import read_place
from cotkit.cli._watch import Watch, read_watch

if TYPE_CHECKING:
    from cotkit.cli._page import Page
    from cotkit.cluster import Cluster
    from cotkit.run import RunSpec
    from cotkit.running import Means


EXAMPLES = """
Examples:

  cotkit compare --strategy cot --bench gsm8k

  cotkit compare --strategy cot,zero-shot-cot --bench gsm-mini --limit 50 --model smollm2-135m

  cotkit compare --model hf/Qwen/Qwen2.5-0.5B --strategy cot:max_tokens=400 --bench ./mine.jsonl

  cotkit compare --model simulated/70b --limit all --format markdown --html report.html

  cotkit compare --model openai/gpt-5.4-mini --strategy cot --bench gsm8k --budget-usd 2

  cotkit compare --model anthropic/claude-haiku-4-5 --strategy cot --stop-when decided

  cotkit compare --model simulated/70b --strategy cot --gate

  cotkit compare --model simulated/70b --track jsonl:events.jsonl --log-level info

  cotkit compare --from plain=logs/one.eval --from cot=samples_gsm8k_cot_2026-01-01T00-00-00.jsonl

  VLLM_BASE_URL=http://localhost:8000/v1 cotkit compare --model openai-api/vllm/my-model
"""


def compare(
    given: frozenset[str],
    spec: "RunSpec",
    pace: dict[str, str],
    means: "Means",
    log_dir: Path | str,
    cluster: "Cluster | None",
    watch: Watch,
    page: "Page | None",
    format_: Format = typer.Option(Format.table, "--format", "-f", help="How to print the answer."),
    timing: bool = typer.Option(
        False, "--timing", help="Add measured columns: seconds, shared tokens."
    ),
    gate: bool = typer.Option(
        False,
        "--gate",
        help="Exit 0 if it helps, 3 if surely not by the margin, 4 if undetermined, 5 if it harms.",
    ),
    sources: list[str] = typer.Option(
        [],
        "--from",
        help="Instead: [NAME=]FILE of Inspect (.eval, .json) or lm-eval (samples), twice or more.",
    ),
) -> None:
    """Compare prompting strategies with their controls on the same problems.

    Prints the gain with its interval, how sure it is, what it hangs on, and what it costs.
    """
    from cotkit.cli._recorded import compare_files
    from cotkit.cli._run import run_and_print

    if sources:
        compare_files(sources, spec, format_, given)
        return
    run_and_print(
        spec.paced(pace),
        replace(means, cluster=cluster),
        log_dir=log_dir,
        format_=format_,
        timing=timing,
        watch=watch,
        gated=gate,
        page=page,
    )


compare.__doc__ = f"{compare.__doc__}\n\n\b{EXAMPLES}"
command = takes(
    read_given, read_spec, read_pace, read_means, read_place, read_cluster, read_watch, read_page
)(compare)
