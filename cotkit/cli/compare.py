"""``cotkit compare``: a strategy against its control, on the same problems."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cotkit.cli.options import (
    Format,
    read_cluster,
    read_means,
    read_pace,
    read_place,
    read_spec,
    read_user_options,
    with_options,
)
from cotkit.cli.output import (
    EXIT_CODES,
    RunDisplay,
    forecast_lines,
    read_page,
    read_watch,
    worst_gate,
    write_run,
    write_summary,
)
from cotkit.errors import IncompleteRunError, UsageError
from cotkit.registry import parse_spec

if TYPE_CHECKING:
    from cotkit.analysis.values import Comparison
    from cotkit.cli.output import PageRequest
    from cotkit.executors.ray import RayExecutor
    from cotkit.run import Plan, RunSpec
    from cotkit.store import Store
    from cotkit.types import BackendInfo
    from cotkit.workflows.compare import Resources
    from cotkit.workflows.exemplar_draws import ExemplarDraws


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
    spec: RunSpec,
    pace: dict[str, str],
    means: Resources,
    log_dir: Path | str,
    cluster: RayExecutor | None,
    watch: RunDisplay,
    page: PageRequest | None,
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
command = with_options(
    read_user_options,
    read_spec,
    read_pace,
    read_means,
    read_place,
    read_cluster,
    read_watch,
    read_page,
)(compare)


# Run a spec with progress on standard error and print its answer on standard output.


def run_and_print(
    spec: RunSpec,
    means: Resources,
    *,
    log_dir: Path | str,
    format_: Format,
    timing: bool,
    watch: RunDisplay,
    expected: str | None = None,
    gated: bool = False,
    page: PageRequest | None = None,
) -> None:
    """Run, print, and exit 75 if attempts are missing.

    Args:
        spec: What to run.
        means: What it may spend.
        log_dir: Folder of the store, or URL of a database.
        format_: Of the report.
        timing: Whether to print what was measured.
        watch: How the run is watched.
        expected: What run it must turn out to be.
        gated: Exit by the verdict, if no attempt is missing.
        page: To be written, too.

    Raises:
        CotkitError: as ``api.run_spec``, and ``compare_draws`` where the spec has several draws.
        IncompleteRunError: attempts failed, or a budget was used up; what there is was printed.
        typer.Exit: by the verdict, where ``gated``.
    """
    from cotkit.benchmarks import load_benchmark
    from cotkit.report import render
    from cotkit.store import store_option
    from cotkit.workflows.compare import run_spec
    from cotkit.workflows.exemplar_draws import RESUME_HINT, compare_draws
    from cotkit.workflows.plan import forecast_plan

    def on_plan(plan: Plan, info: BackendInfo, store: Store) -> None:
        if expected is not None and plan.run_id(info) != expected:
            raise UsageError(
                f"run {expected} cannot be resumed: it would now be run {plan.run_id(info)}",
                hint="model, benchmark, prompts or cotkit changed; give the compare command again",
            )
        if watch.mode == "none":
            return
        if store.n_done(plan.run_id(info)) == len(plan.arms) * len(plan.problems):
            typer.echo(f"run {plan.run_id(info)}: every attempt is in the store", err=True)
        else:
            found = forecast_plan(plan, info, store, means.prices)
            typer.echo("\n".join(forecast_lines(found)), err=True)

    _check_draws(spec, format_, page, gated=gated)
    bench = load_benchmark(parse_spec(spec.bench), lambda text: typer.echo(text, err=True))
    with watch.told() as emit:
        if spec.exemplar_seeds:
            draws = compare_draws(
                spec, bench, log_dir=log_dir, emit=emit, on_plan=on_plan, means=means
            )
            _print_draws(draws, format_)
            _check_complete(draws.comparisons, RESUME_HINT)
            return
        comparison = run_spec(
            spec, bench, log_dir=log_dir, emit=emit, on_plan=on_plan, means=means, resumed=expected
        )
    color = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    text = render(
        comparison,
        format_.value,
        width=shutil.get_terminal_size((100, 24)).columns,
        color=color,
        timing=timing,
        encoding=sys.stdout.encoding,
    )
    typer.echo(text, nl=False, color=color)
    if page is not None:
        write_run(page, comparison, log_dir, timing=timing)
        typer.echo(f"written: {page.path}", err=True)
    again = f"go on with: cotkit resume {comparison.run_id} {store_option(log_dir)}"
    if gated:
        write_summary(comparison)
    _check_complete([comparison], again)
    if gated:
        raise typer.Exit(EXIT_CODES[worst_gate(comparison)])


def _check_draws(spec: RunSpec, format_: Format, page: PageRequest | None, *, gated: bool) -> None:
    """Refuse what several exemplar draws cannot be printed as."""
    if not spec.exemplar_seeds:
        return
    if gated:
        raise UsageError("a gate is of one comparison, and exemplar seeds make several")
    if page is not None:
        hint = "leave out --html; later: cotkit report RUN"
        raise UsageError("exemplar draws have no page", hint=hint)
    if format_.value not in {"table", "json"}:
        raise UsageError(f"exemplar draws have no format {format_.value}", hint="table or json")


def _print_draws(draws: ExemplarDraws, format_: Format) -> None:
    from cotkit.report.exemplar_draws import draws_json, draws_text

    say = draws_json if format_.value == "json" else draws_text
    typer.echo(say(draws.variances, draws.seeds, draws.comparisons), nl=False)


def _check_complete(comparisons: Sequence[Comparison], hint: str) -> None:
    n_failed = sum(cell.outcomes["failed"] for one in comparisons for cell in one.cells)
    if n_failed:
        why = next((one.why_failed for one in comparisons if one.why_failed), "no reason given")
        raise IncompleteRunError(
            f"{n_failed} attempts failed and are left out, most for this: {why}", hint=hint
        )
    if any(one.ended_by == "budget" for one in comparisons):
        raise IncompleteRunError("the budget was used up before every problem was done", hint=hint)


# ``cotkit compare --from``: files of other tools in place of a run.


_OPTIONS_WITH_FILES = frozenset({"sources", "baseline", "reader", "margin", "format_"})
"""Options that mean something for what was recorded."""


def compare_files(
    sources: Sequence[str], spec: RunSpec, format_: Format, given: frozenset[str]
) -> None:
    """Compare and print; ``given``: names of the options that the user wrote.

    Raises:
        UsageError: one of them says nothing here.
        CotkitError: as ``compare_recorded``.
    """
    from cotkit.interop.recorded import compare_recorded
    from cotkit.report import render

    if wrong := min(given - _OPTIONS_WITH_FILES, default=None):
        name = wrong.strip("_").replace("_", "-")
        hint = "--baseline, --reader, --margin and --format do"
        raise UsageError(f"--{name} says nothing of results that are there", hint=hint)
    found = compare_recorded(
        sources, baseline=spec.baseline, reader=spec.reader, margin=spec.margin
    )
    color = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    text = render(
        found,
        format_.value,
        width=shutil.get_terminal_size((100, 24)).columns,
        color=color,
        encoding=sys.stdout.encoding,
    )
    typer.echo(text, nl=False, color=color)
