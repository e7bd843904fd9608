"""Run a spec with progress on standard error and print its answer on standard output."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cotkit.bench import load_benchmark
from cotkit.cli._forecast import lines
from cotkit.cli._gate import EXIT_CODES, gate, write_summary
from cotkit.cli._page import write_run
from cotkit.draws import AGAIN, compare_draws
from cotkit.errors import IncompleteRunError, UsageError
from cotkit.forecast import forecast
from cotkit.registry import parse_spec
from cotkit.report import render
from cotkit.report.draws import draws_json, draws_text
from cotkit.running import run_spec
from cotkit.store import option

if TYPE_CHECKING:
    from cotkit.analysis.results import Comparison
    from cotkit.cli._formats import Format
    from cotkit.cli._page import Page
    from cotkit.cli._watch import Watch
    from cotkit.draws import Draws
    from cotkit.run import Plan, RunSpec
    from cotkit.running import Means
    from cotkit.store import Store
    from cotkit.types import BackendInfo


def run_and_print(
    spec: RunSpec,
    means: Means,
    *,
    log_dir: Path | str,
    format_: Format,
    timing: bool,
    watch: Watch,
    expected: str | None = None,
    gated: bool = False,
    page: Page | None = None,
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
            found = forecast(plan, info, store, means.prices)
            typer.echo("\n".join(lines(found)), err=True)

    _check_draws(spec, format_, page, gated=gated)
    bench = load_benchmark(parse_spec(spec.bench), lambda text: typer.echo(text, err=True))
    with watch.told() as emit:
        if spec.exemplar_seeds:
            draws = compare_draws(
                spec, bench, log_dir=log_dir, emit=emit, on_plan=on_plan, means=means
            )
            _print_draws(draws, format_)
            _check_complete(draws.comparisons, AGAIN)
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
    again = f"go on with: cotkit resume {comparison.run_id} {option(log_dir)}"
    if gated:
        write_summary(comparison)
    _check_complete([comparison], again)
    if gated:
        raise typer.Exit(EXIT_CODES[gate(comparison)])


def _check_draws(spec: RunSpec, format_: Format, page: Page | None, *, gated: bool) -> None:
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


def _print_draws(draws: Draws, format_: Format) -> None:
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
