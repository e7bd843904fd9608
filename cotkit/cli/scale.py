"""``cotkit scale``: a strategy against its control over a ladder of models, smallest to largest."""

from __future__ import annotations

import math
import os
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cotkit.cli.options import (
    Format,
    fix_options,
    read_cluster,
    read_pace,
    read_place,
    read_spec,
    with_options,
)
from cotkit.cli.output import (
    RunDisplay,
    align_columns,
    estimate_cells,
    read_page,
    read_watch,
    write_scales,
)
from cotkit.errors import IncompleteRunError, UsageError
from cotkit.registry import parse_spec

if TYPE_CHECKING:
    from cotkit.analysis.scale.values import Scale
    from cotkit.cli.output import PageRequest
    from cotkit.executors.ray import RayExecutor
    from cotkit.interop.ladders import ResultsQuestion
    from cotkit.run import RunSpec
    from cotkit.workflows.plan import Forecast
    from cotkit.workflows.scale import LadderForecast, ScaleOptions


# Run a ladder with progress on standard error and print what it says on standard output.


@dataclass(frozen=True, slots=True, kw_only=True)
class LadderChoice:
    """Which results a command is of."""

    models: tuple[str, ...]
    """To be run; empty with ``runs``."""
    runs: tuple[str, ...]
    """Of the store, instead."""
    benches: tuple[str, ...]
    """Benchmark specs, at least one."""


def scale_and_print(
    spec: RunSpec,
    ladder: LadderChoice,
    ask: ScaleOptions,
    *,
    reach: float | None,
    log_dir: Path | str,
    format_: Format,
    timing: bool,
    watch: RunDisplay,
    page: PageRequest | None = None,
) -> None:
    """Run or read the ladder, print, and exit 75 if attempts are missing.

    ``page``: to be written, too.

    Raises:
        CotkitError: as ``scaling.scale_models`` and ``scale_runs``.
        IncompleteRunError: attempts failed; what there is was printed.
    """
    from cotkit.benchmarks import load_benchmark
    from cotkit.workflows.scale import scale_models, scale_runs

    def on_plan(prospect: LadderForecast) -> None:
        if watch.mode != "none":
            typer.echo("\n".join(prospect_lines(prospect, spec.margin)), err=True)

    with watch.told() as emit:
        if ladder.runs:
            found = scale_runs(
                ladder.runs, ask, margin=spec.margin, seed=spec.seed, log_dir=log_dir
            )
        else:
            benches = [
                (written, load_benchmark(parse_spec(written), _print_status))
                for written in ladder.benches
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
    page: PageRequest | None,
    log_dir: Path | str | None = None,
) -> None:
    """Write analyses to standard output, in colour where it is a terminal.

    ``page``: to be written, too; ``log_dir``: folder of the store, if they are of its runs.
    """
    from cotkit.report import render

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


def prospect_lines(prospect: LadderForecast, margin: float) -> list[str]:
    """What a ladder takes, model by model, and the smallest gain that it can find at a size."""
    from cotkit.stats.hypotheses import minimum_detectable_effect
    from cotkit.workflows.plan import SHOWN_RATES

    rows: list[tuple[str, ...]] = [
        ("model", "benchmark", "attempts", "to make", "generated tokens", "dollars", "seconds")
    ]
    rows += [_prospect_row(one.model, bench, [one]) for bench, one in prospect.forecasts]
    rows.append(_prospect_row("all", "", [one for _, one in prospect.forecasts]))
    header = ("problems", *(f"control at {100 * rate:g} %" for rate in SHOWN_RATES))
    gains = {
        n: [minimum_detectable_effect(n, rate, level=prospect.each) for rate in SHOWN_RATES]
        for n in sorted(set(prospect.n_problems))
    }
    said = [
        *align_columns(rows),
        _say_power(prospect),
        *align_columns(
            [header, *((f"{n:,}", *map(_format_points, of_n)) for n, of_n in gains.items())]
        ),
    ]
    if not any(gain <= margin for of_n in gains.values() for gain in of_n):
        said.append(
            f"all above the margin of {100 * margin:g} points: where there is no help, that may "
            "not be shown"
        )
    return said


def _prospect_row(model: str, bench: str, of: Sequence[Forecast]) -> tuple[str, ...]:
    from cotkit.run.forecast import sum_estimates

    n_attempts = sum(one.n_problems * len(one.arms) for one in of)
    n_to_make = sum(arm.n_to_make + arm.n_later for one in of for arm in one.arms)
    whole = sum_estimates([each for one in of for each in one.estimates])
    return model, bench, f"{n_attempts:,}", f"{n_to_make:,}", *estimate_cells(whole)


def _print_status(text: str) -> None:
    typer.echo(text, err=True)


def _say_power(prospect: LadderForecast) -> str:
    return (
        f"smallest gain found at one size, in points (power 0.8; {prospect.n_sizes} sizes, "
        f"{prospect.n_pairs} gains, {len(prospect.n_problems)} curves: each interval at "
        f"{100 * prospect.each:.4g} %)"
    )


def _format_points(gain: float) -> str:
    return "none" if math.isnan(gain) else f"{100 * gain:.1f}"


# ``cotkit scale`` of results that are there: tables of papers, files of other tools.


_OPTIONS_WITH_SOURCES = frozenset(
    {
        *("published", "sources", "params", "include_unverified", "bench", "family", "strategy"),
        *("baseline", "margin", "seed", "x", "loss", "assume"),
        *("reach", "format_", "timing", "display", "html", "samples"),
    }
)
"""Options that mean something for results that are there."""

_OPTIONS_WITH_RUNS = (
    _OPTIONS_WITH_SOURCES - {"published", "sources", "params", "include_unverified", "family"}
) - {*("bench", "strategy", "baseline")} | {
    "runs",
    "by_steps",
    "prices",
    "log_dir",
    "store",
    "track",
    "log_level",
}
"""Options that mean something for runs of the store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignResults:
    """Which results are meant, if any, and what else was written."""

    published: str | None
    """Name of a table; None: none."""
    sources: tuple[str, ...]
    """Each ``--from``."""
    params: tuple[str, ...]
    """Each ``--params``."""
    include_unverified: bool
    """Whether unverified rows count."""
    given: frozenset[str]
    """Names of the options that the user wrote."""

    @property
    def n_ladders(self) -> int:
        """How many ways of naming results were used: 0, 1 or 2."""
        return (self.published is not None) + bool(self.sources)

    def check(self) -> None:
        """Refuse options that say nothing here.

        Raises:
            UsageError: names the option.
        """
        own = {"published", "sources"} & self.given
        for name in sorted(self.given - _OPTIONS_WITH_SOURCES if own else self.given & {"params"}):
            raise UsageError(
                f"--{name.replace('_', '-')} says nothing "
                + ("of results that are there" if own else "without --from or --published"),
                hint="cotkit scale --help",
            )
        if self.include_unverified and self.published is None:
            raise UsageError("--include-unverified says nothing without --published")
        for name in sorted(self.given - _OPTIONS_WITH_RUNS if "runs" in self.given else ()):
            raise UsageError(
                f"--{name.replace('_', '-')} says nothing of runs that are there",
                hint="the runs say it themselves; cotkit scale --models runs others",
            )


def read_foreign(
    ctx: typer.Context,
    published: str | None = typer.Option(
        None,
        "--published",
        help="Instead: a table typed from a paper (cotkit list published); family by family.",
    ),
    sources: list[str] = typer.Option(
        [],
        "--from",
        help="Instead: [ARM=]lm-eval:DIR, [ARM=]inspect:FILE or csv:FILE; may be repeated.",
    ),
    params: list[str] = typer.Option(
        [], "--params", help="MODEL=7B: a size that neither the file nor the catalogue knows."
    ),
    include_unverified: bool = typer.Option(
        False, "--include-unverified", help="Count rows of --published that were not verified."
    ),
) -> ForeignResults:
    """What the options mean."""
    sourced = {name: ctx.get_parameter_source(name) for name in ctx.params}
    return ForeignResults(
        published=published,
        sources=tuple(sources),
        params=tuple(params),
        include_unverified=include_unverified,
        given=frozenset(
            name for name, of in sourced.items() if of is not None and of.name == "COMMANDLINE"
        ),
    )


def scale_foreign(
    foreign: ForeignResults,
    asked: ResultsQuestion,
    *,
    reach: float | None,
    format_: Format,
    timing: bool,
    page: PageRequest | None,
) -> None:
    """Analyse and print; ``page``: to be written, too.

    Raises:
        CotkitError: as ``foreign.answers``.
    """
    from cotkit.interop.ladders import analyse_published, analyse_sources

    if foreign.published is not None:
        unverified = foreign.include_unverified
        found = analyse_published(foreign.published, asked, include_unverified=unverified)
    else:
        found = analyse_sources(foreign.sources, asked)
    print_scales(found, reach=reach, format_=format_, timing=timing, page=page)


EXAMPLES = """
Examples:

  cotkit scale --family simulated --strategy cot --bench gsm-mini

  cotkit scale --models smollm2-135m,gemma3-270m,qwen2.5-coder-1.5b --bench gsm8k --accept-terms

  cotkit scale --family simulated --bench arithmetic:steps=1,2,4,digits=2

  cotkit scale --family simulated --bench gsm-mini --by-steps --limit all

  cotkit scale --family simulated --strategy cot,self-consistency:k=5 --reach 50

  cotkit scale --runs 3fa9,77b1,c02e --margin 5 --html ladder.html

  cotkit scale --published wei2022 --bench gsm8k

  cotkit scale --from cot=lm-eval:out-cot --from few-shot=lm-eval:out-plain --bench gsm8k
"""


class AxisOption(StrEnum):
    """What size means."""

    params = "params"
    active_params = "active-params"
    flops = "flops"
    loss = "loss"
    ordinal = "ordinal"


class Assumption(StrEnum):
    """What is taken for granted."""

    sustained = "sustained"


def scale(
    spec: RunSpec,
    pace: dict[str, str],
    foreign: ForeignResults,
    log_dir: Path | str,
    cluster: RayExecutor | None,
    watch: RunDisplay,
    page: PageRequest | None,
    models: list[str] = typer.Option(
        [], "--models", "-m", help="The ladder: names as --model of compare takes, with commas."
    ),
    family: str | None = typer.Option(
        None, "--family", help="All models of a family (cotkit models names them); or simulated."
    ),
    runs: str | None = typer.Option(
        None,
        "--runs",
        help="Instead: runs of the store, by id, one for each model; nothing is generated.",
    ),
    bench: list[str] = typer.Option(
        ["gsm-mini"],
        "--bench",
        "--tasks",
        help="Benchmarks, each a curve of its own: NAME, NAME:key=value,value.",
    ),
    by_steps: bool = typer.Option(
        False, "--by-steps", help="A curve for the problems of each number of steps."
    ),
    x: AxisOption = typer.Option(
        AxisOption.params, "--x", help="What size means; ordinal: the order given."
    ),
    loss: list[str] = typer.Option(
        [], "--loss", help="MODEL=NATS: pretraining loss of a model, for --x loss."
    ),
    assume: Assumption | None = typer.Option(
        None,
        "--assume",
        help="sustained: help, once begun, does not stop with size; say so before the run.",
    ),
    reach: float | None = typer.Option(
        None, "--reach", help="Name the cheapest that solves so many percent."
    ),
    prices: Path | None = typer.Option(
        None, "--prices", help="Your own prices (TOML file), asked first. (default: $COTKIT_PRICES)"
    ),
    format_: Format = typer.Option(Format.table, "--format", "-f", help="How to print the answer."),
    timing: bool = typer.Option(False, "--timing", help="Add measured seconds to the frontier."),
) -> None:
    """Find from which model size on a strategy helps, and whether a jump is real.

    Runs every model on the same problems and prints where material help starts, as a bracket.
    """
    from cotkit.interop.ladders import ResultsQuestion
    from cotkit.interop.results import read_sizes
    from cotkit.registry import split_specs
    from cotkit.workflows.ladder import family_models
    from cotkit.workflows.scale import ScaleOptions

    named = tuple(name for text in models for name in text.split(",") if name)
    of_family = family is not None and not foreign.n_ladders
    if sum((bool(named), of_family, runs is not None, foreign.n_ladders)) != 1:
        hint = "--models A,B,C, --family NAME, --runs ID,ID, --published NAME or --from FILE"
        raise UsageError("name the ladder once", hint=hint)
    foreign.check()
    if reach is not None and not 0 < reach <= 100:
        raise UsageError(f"--reach {reach:g} is not a share of problems", hint="in percent: 50")
    if foreign.n_ladders:
        if len(bench) > 1:
            raise UsageError(
                "one --bench at a time for results that are there",
                hint="leave it out for every benchmark",
            )
        scale_foreign(
            foreign,
            ResultsQuestion(
                bench=bench[0] if "bench" in foreign.given else None,
                family=family,
                strategies=spec.strategies if "strategy" in foreign.given else (),
                baseline=spec.baseline,
                params=read_sizes(foreign.params),
                losses=dict(map(_read_loss, loss)),
                axis=x.value,
                margin=spec.margin,
                assume_sustained=assume is not None,
                seed=spec.seed,
            ),
            reach=None if reach is None else reach / 100,
            format_=format_,
            timing=timing,
            page=page,
        )
        return
    scale_and_print(
        spec.paced(pace),
        LadderChoice(
            models=family_models(family) if family is not None else named,
            runs=tuple(one for one in (runs or "").split(",") if one),
            benches=split_specs(",".join(bench)),
        ),
        ScaleOptions(
            axis=x.value,
            assume_sustained=assume is not None,
            losses=dict(map(_read_loss, loss)),
            prices=prices,
            by_steps=by_steps,
            cluster=cluster,
        ),
        reach=None if reach is None else reach / 100,
        log_dir=log_dir,
        format_=format_,
        timing=timing,
        watch=watch,
        page=page,
    )


def _read_loss(text: str) -> tuple[str, float]:
    found = re.fullmatch(r"(.+)=(\d+(?:\.\d+)?)", text)
    if found is None:
        raise UsageError(f"cannot read --loss {text!r}", hint="--loss MODEL=2.31")
    return found[1], float(found[2])


scale.__doc__ = f"{scale.__doc__}\n\n\b{EXAMPLES}"
command = with_options(
    fix_options(read_spec, model="", bench="", stop_when=None, exemplar_seeds=None),
    read_pace,
    read_foreign,
    read_place,
    read_cluster,
    read_watch,
    read_page,
)(scale)
