"""Run a spec with progress on standard error and print its answer on standard output."""

from __future__ import annotations

import math
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cotkit.analysis.power import minimum_detectable_effect
from cotkit.api import run_spec
from cotkit.bench import load_benchmark
from cotkit.errors import IncompleteRunError, UsageError
from cotkit.registry import parse_spec
from cotkit.report import render
from cotkit.report.progress import progress_display

if TYPE_CHECKING:
    from cotkit.cli.compare import Display, Format
    from cotkit.run import Plan, RunSpec
    from cotkit.types import BackendInfo


def run_and_print(
    spec: RunSpec,
    *,
    log_dir: Path,
    format_: Format,
    timing: bool,
    display: Display | None,
    expected: str | None = None,
) -> None:
    """Run, print, and exit 75 if attempts failed. ``expected``: the run it must turn out to be.

    Raises:
        CotkitError: as ``api.run_spec``.
        IncompleteRunError: attempts failed; what there is was printed.
    """

    def on_plan(plan: Plan, info: BackendInfo) -> None:
        if expected is not None and plan.run_id(info) != expected:
            raise UsageError(
                f"run {expected} cannot be resumed: it would now be run {plan.run_id(info)}",
                hint="model, benchmark, prompts or cotkit changed; give the compare command again",
            )
        if mode != "none":
            announce(plan, info)

    bench = load_benchmark(parse_spec(spec.bench))
    mode = display.value if display else ("full" if sys.stderr.isatty() else "plain")
    with progress_display(mode, sys.stderr) as emit:
        comparison = run_spec(
            spec,
            bench,
            log_dir=log_dir,
            emit=emit,
            on_plan=on_plan,
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
    n_failed = sum(cell.outcomes["failed"] for cell in comparison.cells)
    if n_failed:
        raise IncompleteRunError(
            f"{n_failed} attempts failed and are left out",
            hint=f"try them again with: cotkit resume {comparison.run_id} --log-dir {log_dir}",
        )


def announce(plan: Plan, info: BackendInfo) -> None:
    """Say what will run, and the smallest gain it can find, before anything is generated."""
    n, n_arms, n_total = len(plan.problems), len(plan.arms), len(plan.everything)
    arms = " · ".join(arm.name for arm in plan.arms)
    lines = [
        f"run {plan.run_id(info)} · {info.model} · {plan.bench_name} · {arms}",
        f"{n} of {n_total} problems in {n_arms} arms: {n * n_arms} attempts",
    ]
    if plan.pairs:
        level = 0.95 ** (1 / len(plan.pairs))
        found = [
            f"{100 * effect:.0f} points over a control at {100 * baseline:.0f} %"
            for baseline in (0.05, 0.2, 0.5)
            if not math.isnan(effect := minimum_detectable_effect(n, baseline, level=level))
        ]
        lines.append(f"smallest gain that {n} problems can show (power 0.8): {', '.join(found)}")
    typer.echo("\n".join(lines), err=True)
