"""Run a ladder with progress on standard error and print what it says on standard output."""

from __future__ import annotations

import math
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cotkit.analysis.power import minimum_detectable_effect
from cotkit.bench import load_benchmark
from cotkit.cli._forecast import taken
from cotkit.cli._page import write_scales
from cotkit.cli._table import aligned
from cotkit.errors import IncompleteRunError
from cotkit.forecast import SHOWN_RATES
from cotkit.registry import parse_spec
from cotkit.report import render
from cotkit.run.estimate import total
from cotkit.scaling import scale_models, scale_runs

if TYPE_CHECKING:
    from cotkit.analysis.scale.values import Scale
    from cotkit.cli._formats import Format
    from cotkit.cli._page import Page
    from cotkit.cli._watch import Watch
    from cotkit.forecast import Forecast
    from cotkit.run import RunSpec
    from cotkit.scaled.job import Ask
    from cotkit.scaling import Prospect


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladder:
    """Which results a command is of."""

    models: tuple[str, ...]
    """To be run; empty with ``runs``."""
    runs: tuple[str, ...]
    """Of the store, instead."""
    benches: tuple[str, ...]
    """Benchmark specs, at least one."""


def scale_and_print(
    spec: RunSpec,
    ladder: Ladder,
    ask: Ask,
    *,
    reach: float | None,
    log_dir: Path | str,
    format_: Format,
    timing: bool,
    watch: Watch,
    page: Page | None = None,
) -> None:
    """Run or read the ladder, print, and exit 75 if attempts are missing.

    ``page``: to be written, too.

    Raises:
        CotkitError: as ``scaling.scale_models`` and ``scale_runs``.
        IncompleteRunError: attempts failed; what there is was printed.
    """

    def on_plan(prospect: Prospect) -> None:
        if watch.mode != "none":
            typer.echo("\n".join(prospect_lines(prospect, spec.margin)), err=True)

    with watch.told() as emit:
        if ladder.runs:
            found = scale_runs(
                ladder.runs, ask, margin=spec.margin, seed=spec.seed, log_dir=log_dir
            )
        else:
            benches = [
                (written, load_benchmark(parse_spec(written), _say)) for written in ladder.benches
            ]
            found = scale_models(
                spec, ladder.models, benches, ask, log_dir=log_dir, emit=emit, on_plan=on_plan
            )
    print_scales(
        found.scales, reach=reach, format_=format_, timing=timing, page=page, log_dir=log_dir
    )
    if found.n_failed:
        raise IncompleteRunError(
            f"{found.n_failed} attempts failed or were not made and are holes"
            + (f", most for this: {found.why_failed}" if found.why_failed else ""),
            hint="the same command tries them again",
        )


def print_scales(
    scales: Sequence[Scale],
    *,
    reach: float | None,
    format_: Format,
    timing: bool,
    page: Page | None,
    log_dir: Path | str | None = None,
) -> None:
    """Write analyses to standard output, in colour where it is a terminal.

    ``page``: to be written, too; ``log_dir``: folder of the store, if they are of its runs.
    """
    color = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    text = render(
        scales,
        format_.value,
        reach=reach,
        width=shutil.get_terminal_size((100, 24)).columns,
        color=color,
        timing=timing,
        encoding=sys.stdout.encoding,
    )
    typer.echo(text, nl=False, color=color)
    if page is not None:
        write_scales(page, scales, log_dir, reach=reach, timing=timing)
        typer.echo(f"written: {page.path}", err=True)


def prospect_lines(prospect: Prospect, margin: float) -> list[str]:
    """What a ladder takes, model by model, and the smallest gain that it can find at a size."""
    rows: list[tuple[str, ...]] = [
        ("model", "benchmark", "attempts", "to make", "generated tokens", "dollars", "seconds")
    ]
    rows += [_row(one.model, bench, [one]) for bench, one in prospect.forecasts]
    rows.append(_row("all", "", [one for _, one in prospect.forecasts]))
    header = ("problems", *(f"control at {100 * rate:g} %" for rate in SHOWN_RATES))
    gains = {
        n: [minimum_detectable_effect(n, rate, level=prospect.each) for rate in SHOWN_RATES]
        for n in sorted(set(prospect.n_problems))
    }
    said = [
        *aligned(rows),
        _power(prospect),
        *aligned([header, *((f"{n:,}", *map(_points, of_n)) for n, of_n in gains.items())]),
    ]
    if not any(gain <= margin for of_n in gains.values() for gain in of_n):
        said.append(
            f"all above the margin of {100 * margin:g} points: where there is no help, that may "
            "not be shown"
        )
    return said


def _row(model: str, bench: str, of: Sequence[Forecast]) -> tuple[str, ...]:
    n_attempts = sum(one.n_problems * len(one.arms) for one in of)
    n_to_make = sum(arm.n_to_make + arm.n_later for one in of for arm in one.arms)
    whole = total([each for one in of for each in one.estimates])
    return model, bench, f"{n_attempts:,}", f"{n_to_make:,}", *taken(whole)


def _say(text: str) -> None:
    typer.echo(text, err=True)


def _power(prospect: Prospect) -> str:
    return (
        f"smallest gain found at one size, in points (power 0.8; {prospect.n_sizes} sizes, "
        f"{prospect.n_pairs} gains, {len(prospect.n_problems)} curves: each interval at "
        f"{100 * prospect.each:.4g} %)"
    )


def _points(gain: float) -> str:
    return "none" if math.isnan(gain) else f"{100 * gain:.1f}"
