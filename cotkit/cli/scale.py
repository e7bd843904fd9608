"""``cotkit scale``: a strategy against its control over a ladder of models, smallest to largest."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, cast

import typer

from cotkit.cli.ladder_forecast import forecast_rows, ladder_forecast_lines
from cotkit.cli.options import (
    View,
    fix_options,
    read_consent,
    read_executor,
    read_pace,
    read_place,
    read_resources,
    read_specs,
    read_user_options,
    read_view,
    with_options,
)
from cotkit.cli.output import (
    RunDisplay,
    check_contrasts,
    check_left_out,
    hint_lines,
    print_contrasts,
    print_report,
    print_spending,
    print_status,
    read_display,
    read_page,
    write_scales,
)
from cotkit.errors import IncompleteRunError, UsageError
from cotkit.inputs import parse_number
from cotkit.registry import parse_spec
from cotkit.run.spec import DEFAULT_BENCH

if TYPE_CHECKING:
    from cotkit.analysis.scale.grid import Axis
    from cotkit.analysis.scale.spending import SpendingUnit
    from cotkit.analysis.scale.values import Scale
    from cotkit.cli.output import PageRequest
    from cotkit.executors.ray import RayExecutor
    from cotkit.interop.ladders import ResultsQuestion
    from cotkit.run import RunSpec
    from cotkit.run.budget import Resources
    from cotkit.workflows.contrasts import LadderSide
    from cotkit.workflows.scale import LadderForecast, ScaleOptions


# Run a ladder with progress on standard error and print what it says on standard output.


@dataclass(frozen=True, slots=True, kw_only=True)
class LadderChoice:
    """What a ladder is made of: models to run, or runs of the store."""

    sides: tuple[LadderSide, ...]
    """Ladders of models to run, each a curve of its own; empty with ``runs``."""
    runs: tuple[str, ...]
    """Ids of runs of the store, instead."""
    benches: tuple[str, ...]
    """Benchmark specs, at least one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Printing:
    """Where runs are stored, how they are watched, and how the answer is printed."""

    log_dir: Path | str
    """Folder of the store, or URL of a database."""
    display: RunDisplay
    """How runs are watched."""
    view: View
    """How the answer is printed."""
    page: PageRequest | None
    """To be written, too, if there is one."""
    reach: float | None = None
    """A solve rate, 0..1: the cheapest that reach it are named."""
    timing: bool = False
    """Whether measured seconds are part of the frontier."""
    trusts_code: bool = False
    """Whether Python files that stored runs name are run."""


def scale_and_print(
    spec: RunSpec,
    ladder: LadderChoice,
    options: ScaleOptions,
    resources: Resources,
    printing: Printing,
    *,
    beside: str | None,
) -> None:
    """Run or read the ladder, print, and exit 75 if attempts are missing.

    ``beside``: a published table to show beside it.

    Raises:
        CotkitError: as ``scale_ladders`` and ``scale_runs``.
        IncompleteRunError: attempts failed; what there is was printed.
    """
    from cotkit.benchmarks import load_benchmark
    from cotkit.workflows.contrasts import scale_ladders
    from cotkit.workflows.scale import scale_runs

    def on_plan(forecast: LadderForecast) -> None:
        if printing.display.mode != "none":
            print_status(*ladder_forecast_lines(forecast, spec.margin))

    with printing.display.event_sink() as emit:
        if ladder.runs:
            result = scale_runs(
                ladder.runs,
                options,
                margin=spec.margin,
                prices=resources.prices,
                seed=spec.seed,
                log_dir=printing.log_dir,
                trusts_code=printing.trusts_code,
            )
        else:
            result = scale_ladders(
                spec,
                ladder.sides,
                [(text, load_benchmark(parse_spec(text), print_status)) for text in ladder.benches],
                options,
                log_dir=printing.log_dir,
                emit=emit,
                on_plan=on_plan,
                resources=resources,
            )
    scales = [scale if beside is None else _put_beside(scale, beside) for scale in result.scales]
    _print_scales(scales, printing)
    check_left_out(note for scale in result.scales for note in scale.notes)
    if result.n_failed:
        raise IncompleteRunError(
            f"{result.n_failed} attempts failed or were not made and are holes"
            + (f", most for this: {result.why_failed}" if result.why_failed else ""),
            hint="the same command tries them again",
        )


def _put_beside(scale: Scale, table: str) -> Scale:
    """Return a scale with what a paper found of its arms on its benchmark; a note if nothing."""
    from cotkit.analysis.values import Aside
    from cotkit.interop.published import find_curves

    arms = dict.fromkeys(arm for answer in scale.answers for arm in (answer.arm, answer.control))
    curves = find_curves(table, scale.bench, arms)
    if curves:
        return replace(scale, published=curves)
    note = Aside(f"{table} has no checked result of these strategies on {scale.bench}")
    return replace(scale, notes=(*scale.notes, note))


def _print_scales(scales: Sequence[Scale], printing: Printing) -> None:
    """Print analyses; write their page, too, if there is one to be written."""
    reach, timing = printing.reach, printing.timing
    runs = [run for scale in scales if scale.origin for run in scale.origin.runs.values()]
    hints = hint_lines(printing.view, runs[-1] if runs else None, printing.log_dir)
    print_report(scales, printing.view, hints, reach=reach, timing=timing)
    if printing.page is not None:
        log_dir = printing.log_dir if runs else None
        write_scales(printing.page, scales, log_dir, reach=reach, timing=timing)


# ``cotkit scale`` of existing results: tables of papers, files of other tools.


_OPTIONS_WITH_SOURCES = frozenset(
    {
        *("published", "sources", "params", "include_unverified", "bench", "family", "strategy"),
        *("baseline", "margin", "seed", "x", "loss", "assume", "thresholds", "over", "replicates"),
        *("reach", "format_", "raw", "full", "show", "timing", "display", "html", "figures"),
        *("samples", "output"),
    }
)
"""Options that have an effect on existing results."""

_OPTIONS_WITH_RUNS = (
    _OPTIONS_WITH_SOURCES - {"published", "sources", "include_unverified", "family"}
) - {*("bench", "strategy", "baseline")} | {
    "runs",
    "beside",
    "by_steps",
    "by_length",
    "prices",
    "trust_code",
    "log_dir",
    "store",
    "track",
    "log_level",
}
"""Options that have an effect on runs of the store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignResults:
    """Results of papers and other tools to analyse, if any, and which options the user wrote."""

    published: str | None
    """Name of a table; None: none."""
    sources: tuple[str, ...]
    """Each ``--from``."""
    params: tuple[str, ...]
    """Each ``--params``."""
    include_unverified: bool
    """Whether unverified rows count."""

    @property
    def n_ladders(self) -> int:
        """How many ways of naming results were used: 0, 1 or 2."""
        return (self.published is not None) + bool(self.sources)

    def check(self, user_options: frozenset[str]) -> None:
        """Refuse options that have no effect here; ``user_options``: those that the user wrote.

        Raises:
            UsageError: names the option.
        """
        own = {"published", "sources"} & user_options
        for name in sorted(user_options - _OPTIONS_WITH_SOURCES if own else ()):
            raise UsageError(
                f"--{name.replace('_', '-')} has no effect on existing results",
                hint="cotkit scale --help",
            )
        if self.include_unverified and self.published is None:
            raise UsageError("--include-unverified has no effect without --published")
        for name in sorted(user_options - _OPTIONS_WITH_RUNS if "runs" in user_options else ()):
            raise UsageError(
                f"--{name.replace('_', '-')} has no effect on stored runs",
                hint="the runs say it themselves; cotkit scale --models runs others",
            )


def read_foreign(
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
        [], "--params", help="MODEL=7B: a size that neither file, server nor catalogue knows."
    ),
    include_unverified: bool = typer.Option(
        False, "--include-unverified", help="Count rows of --published that were not verified."
    ),
) -> ForeignResults:
    """Return which results of others the options name."""
    return ForeignResults(
        published=published,
        sources=tuple(sources),
        params=tuple(params),
        include_unverified=include_unverified,
    )


def scale_foreign(
    foreign: ForeignResults,
    question: ResultsQuestion,
    printing: Printing,
    *,
    over: str | None,
) -> None:
    """Analyse results of others and print.

    ``over``: a family that another is compared with; None: each family for itself.

    Raises:
        CotkitError: as ``analyse_published``, ``analyse_sources`` and ``contrast_families``.
    """
    from cotkit.interop.ladders import (
        analyse_published,
        analyse_sources,
        contrast_families,
        load_results,
    )

    if over is not None:
        unverified = foreign.include_unverified
        ladders = load_results(
            foreign.published, foreign.sources, question, include_unverified=unverified
        )
        contrasts = contrast_families(ladders, over, question)
        print_contrasts(contrasts, printing.view, printing.page)
        return
    if foreign.published is not None:
        unverified = foreign.include_unverified
        scales = analyse_published(foreign.published, question, include_unverified=unverified)
    else:
        scales = analyse_sources(foreign.sources, question)
    _print_scales(scales, printing)


# A ladder over another, at the sizes that both have.


_WITHOUT_OVER = ("beside", "by_steps", "by_length", "assume", "thresholds", "reach", "timing")
"""Options of one ladder alone."""


def _check_with_over(user_options: frozenset[str]) -> None:
    for name in _WITHOUT_OVER:
        if name in user_options:
            raise UsageError(
                f"--{name.replace('_', '-')} has no effect with --over",
                hint="leave out --over to analyse one ladder",
            )


def _ladder_sides(names: tuple[str, ...], families: tuple[str, ...]) -> tuple[LadderSide, ...]:
    """Return the ladder of the models, or that of each family."""
    from cotkit.workflows.contrasts import LadderSide
    from cotkit.workflows.ladder import family_models

    if names:
        return (LadderSide(name=None, models=names),)
    return tuple(LadderSide(name=name, models=family_models(name)) for name in families)


def _two_sides(
    sides: tuple[LadderSide, ...], runs: str | None, over: str
) -> tuple[LadderSide, LadderSide]:
    """Return the two ladders: ``over`` is of runs where the first is, else a family or models.

    Raises:
        UsageError: more than one ladder is compared with it.
    """
    from cotkit.run.spec import list_specs
    from cotkit.workflows.contrasts import LadderSide
    from cotkit.workflows.ladder import is_family

    if runs is not None:
        first, second = (
            LadderSide(name=None, models=tuple(run for run in text.split(",") if run))
            for text in (runs, over)
        )
        return first, second
    side, *others = sides
    if others:
        raise UsageError("one --family is compared with --over", hint="name it alone")
    names = list_specs(over)
    (second,) = _ladder_sides((), (over,)) if is_family(over) else _ladder_sides(names, ())
    return side, second


def compare_and_print(
    spec: RunSpec,
    sides: tuple[LadderSide, LadderSide],
    benches: tuple[str, ...],
    options: ScaleOptions | None,
    resources: Resources,
    printing: Printing,
) -> None:
    """Run two models or ladders and print how they differ; exit 75 if attempts are missing.

    Args:
        spec: Of every run.
        sides: The first, and what it is compared with.
        benches: Benchmark specs; empty: the sides are stored runs, which are only read.
        options: What is asked of two ladders; None: each side is one model, whatever its size.
        resources: What each run may use.
        printing: Where they are stored, and how the answer is printed.

    Raises:
        CotkitError: as ``compare_models`` and ``compare_runs``.
    """
    from cotkit.benchmarks import load_benchmark
    from cotkit.workflows.contrasts import compare_models, compare_runs
    from cotkit.workflows.scale import ScaleOptions

    if not benches:
        result = compare_runs(
            sides,
            options or ScaleOptions(),
            margin=spec.margin,
            log_dir=printing.log_dir,
            trusts_code=printing.trusts_code,
        )
    else:
        with printing.display.event_sink() as emit:
            result = compare_models(
                spec,
                sides,
                [(text, load_benchmark(parse_spec(text), print_status)) for text in benches],
                options,
                log_dir=printing.log_dir,
                emit=emit,
                resources=resources,
            )
    print_contrasts(result.contrasts, printing.view, printing.page)
    check_contrasts(result)


# What is spent while a model answers, in place of its size.


_WITHOUT_SPENDING = (
    *("published", "sources", "over", "beside", "by_steps", "by_length", "assume", "thresholds"),
    *("timing", "loss", "replicates"),
)
"""Options of a ladder of sizes alone."""


def _spending_unit(x: AxisOption, models: Sequence[str]) -> SpendingUnit | None:
    """Return what is spent; None: the axis is of sizes. Tokens of one model are what it writes."""
    if x is AxisOption.thinking_tokens:
        return "thinking-tokens"
    return "tokens" if x is AxisOption.tokens and len(models) == 1 else None


def _check_spending(user_options: frozenset[str], benches: Sequence[str]) -> None:
    for name in _WITHOUT_SPENDING:
        if name in user_options:
            option = {"sources": "from"}.get(name, name.replace("_", "-"))
            raise UsageError(
                f"--{option} has no effect with --x thinking-tokens or the tokens of one model",
                hint="leave it out",
            )
    if len(benches) > 1:
        raise UsageError("one --bench at a time on this axis")


def _spend_and_print(
    spec: RunSpec,
    models: Sequence[str],
    runs: Sequence[str],
    bench: str,
    unit: SpendingUnit,
    resources: Resources,
    printing: Printing,
) -> None:
    """Run the models, or read runs of the store, and print."""
    from cotkit.benchmarks import load_benchmark
    from cotkit.workflows.spending import (
        SpendingQuestion,
        measure_spending,
        measure_stored_spending,
    )

    question = SpendingQuestion(unit=unit, margin=spec.margin, reach=printing.reach)
    if runs:
        result = measure_stored_spending(
            runs,
            question,
            log_dir=printing.log_dir,
            prices=resources.prices,
            trusts_code=printing.trusts_code,
        )
    else:

        def on_plan(forecast: LadderForecast) -> None:
            if printing.display.mode != "none":
                print_status(*forecast_rows(forecast))

        with printing.display.event_sink() as emit:
            result = measure_spending(
                spec,
                models,
                (bench, load_benchmark(parse_spec(bench), print_status)),
                question,
                log_dir=printing.log_dir,
                emit=emit,
                on_plan=on_plan,
                resources=resources,
            )
    print_spending(result, printing.view, printing.page, printing.log_dir)


EXAMPLES = """
Examples:

  cotkit scale --family simulated --strategy cot --bench gsm-mini

  cotkit scale --models smollm2-135m,gemma3-270m,qwen2.5-coder-1.5b --bench gsm8k --accept-terms

  cotkit scale --family simulated --bench arithmetic:steps=1+2+4,digits=2

  cotkit scale --family simulated --bench gsm-mini --by-steps --limit all

  cotkit scale --family simulated --strategy cot,self-consistency:k=5 --reach 50

  cotkit scale --x thinking-tokens --models simulated/30b --strategy standard:thinking=16+64+256

  cotkit scale --runs 3fa9,77b1,c02e --margin 5 --html ladder.html

  cotkit scale --family simulated --over simulated/1b:ceiling=0.6,simulated/10b:ceiling=0.6

  cotkit scale --published wei2022 --bench gsm8k

  cotkit scale --from cot=lm-eval:out-cot --from few-shot=lm-eval:out-plain --bench gsm8k
"""


class AxisOption(StrEnum):
    """What size means."""

    params = "params"
    active_params = "active-params"
    flops = "flops"
    tokens = "tokens"
    thinking_tokens = "thinking-tokens"
    loss = "loss"
    ordinal = "ordinal"


class Assumption(StrEnum):
    """What is assumed of help with size."""

    sustained = "sustained"


def scale(
    user_options: frozenset[str],
    specs: list[RunSpec],
    pace: dict[str, str],
    resources: Resources,
    foreign: ForeignResults,
    log_dir: Path | str,
    trusts_code: bool,
    executor: RayExecutor | None,
    display: RunDisplay,
    page: PageRequest | None,
    view: View,
    models: list[str] = typer.Option(
        [], "--models", "-m", help="The ladder: names as --model of compare takes, with commas."
    ),
    family: list[str] = typer.Option(
        [],
        "--family",
        help="All models of a family (cotkit models names them), or simulated; NAME:key=value: with"
        " a setting; several are a curve each.",
    ),
    over: str | None = typer.Option(
        None,
        "--over",
        help="Another family, models, or runs: how it differs from the ladder at each common size.",
    ),
    runs: str | None = typer.Option(
        None,
        "--runs",
        help="Instead: runs of the store, by id, one for each model; nothing is generated.",
    ),
    bench: list[str] = typer.Option(
        [DEFAULT_BENCH],
        "--bench",
        "--tasks",
        help="Benchmarks, each a curve of its own: NAME, NAME:key=value+value; may be repeated.",
    ),
    by_steps: bool = typer.Option(
        False, "--by-steps", help="A curve for the problems of each number of steps."
    ),
    by_length: bool = typer.Option(
        False, "--by-length", help="A curve for each length of the answer: digits or words."
    ),
    x: AxisOption = typer.Option(
        AxisOption.params,
        "--x",
        help="What size means; ordinal: the order given; thinking-tokens: what is spent on "
        "thinking, over settings of one model or more; tokens of one model: all it generates.",
    ),
    loss: list[str] = typer.Option(
        [], "--loss", help="MODEL=NATS: pretraining loss of a model, for --x loss."
    ),
    assume: Assumption | None = typer.Option(
        None,
        "--assume",
        help="sustained: help, once begun, does not stop with size; say so before the run.",
    ),
    replicates: bool = typer.Option(
        False,
        "--replicates",
        help="Models of equal size and unknown family are trainings of one recipe.",
    ),
    thresholds: str = typer.Option(
        "5,10,20,30",
        "--thresholds",
        help="Gains in points, rising; the report says between which sizes each begins.",
    ),
    reach: float | None = typer.Option(
        None, "--reach", help="Name the cheapest that solves so many percent."
    ),
    beside: str | None = typer.Option(
        None, "--beside", help="Show what a paper found beside it (cotkit list published)."
    ),
    timing: bool = typer.Option(False, "--timing", help="Add measured seconds to the frontier."),
) -> None:
    """Find from which model size on a strategy helps, and whether a jump is real.

    Runs every model on the same problems and prints where material help starts, as a bracket.
    """
    from cotkit.interop.ladders import ResultsQuestion
    from cotkit.run.spec import list_specs
    from cotkit.workflows.ladder import read_sizes
    from cotkit.workflows.scale import ScaleOptions

    names, families = list_specs(models), list_specs(family)
    of_family = bool(families) and not foreign.n_ladders
    if sum((bool(names), of_family, runs is not None, foreign.n_ladders)) != 1:
        hint = "--models A,B,C, --family NAME, --runs ID,ID, --published NAME or --from FILE"
        raise UsageError("name the ladder once", hint=hint)
    foreign.check(user_options)
    (spec,) = specs
    if reach is not None and not 0 < reach <= 100:
        raise UsageError(f"--reach {reach:g} is not a share of problems", hint="in percent: 50")
    if over is not None:
        _check_with_over(user_options)
    if beside is not None:
        from cotkit.interop.published import find_table

        find_table(beside)  # before anything is made
    sides = () if foreign.n_ladders else _ladder_sides(names, families)
    runs_named = tuple(run for run in (runs or "").split(",") if run)
    members = tuple(str(model) for side in sides for model in side.models)
    unit = _spending_unit(x, members or runs_named)
    resources = replace(resources, executor=executor)
    printing = Printing(
        log_dir=log_dir,
        display=display,
        view=view,
        page=page,
        reach=None if reach is None else reach / 100,
        timing=timing,
        trusts_code=trusts_code,
    )
    if unit is not None:
        _check_spending(user_options, bench)
        spec = spec.paced(pace)
        _spend_and_print(spec, members, runs_named, bench[0], unit, resources, printing)
        return
    axis = cast("Axis", x.value)  # what is spent has been answered
    if foreign.n_ladders:
        if len(bench) > 1:
            raise UsageError(
                "one --bench at a time for existing results",
                hint="leave it out for every benchmark",
            )
        if len(families) > 1:
            raise UsageError(
                "one --family at a time for existing results", hint="leave it out for all"
            )
        scale_foreign(
            foreign,
            ResultsQuestion(
                bench=bench[0] if "bench" in user_options else None,
                family=families[0] if families else None,
                strategies=spec.strategies if "strategy" in user_options else (),
                baseline=spec.baseline,
                params=read_sizes(foreign.params),
                losses=dict(map(_read_loss, loss)),
                axis=axis if "x" in user_options else None,
                margin=spec.margin,
                assume_sustained=assume is not None,
                thresholds=_read_thresholds(thresholds),
                replicates=replicates,
                seed=spec.seed,
            ),
            printing,
            over=over,
        )
        return
    options = ScaleOptions(
        axis=axis,
        assume_sustained=assume is not None,
        thresholds=_read_thresholds(thresholds),
        losses=dict(map(_read_loss, loss)),
        sizes=read_sizes(foreign.params),
        replicates=replicates,
        by_steps=by_steps,
        by_length=by_length,
    )
    if over is not None:
        compare_and_print(
            spec.paced(pace),
            _two_sides(sides, runs, over),
            list_specs(bench) if runs is None else (),
            options,
            resources,
            printing,
        )
        return
    scale_and_print(
        spec.paced(pace),
        LadderChoice(sides=sides, runs=runs_named, benches=list_specs(bench)),
        options,
        resources,
        printing,
        beside=beside,
    )


def _read_thresholds(text: str) -> tuple[float, ...]:
    from cotkit.analysis.scale.grid import check_thresholds

    points = [parse_number(part) for part in text.split(",")]
    thresholds = tuple(number / 100 for number in points if number is not None)
    if len(thresholds) < len(points):
        raise UsageError(f"cannot read --thresholds {text!r}", hint="--thresholds 5,10,20,30")
    check_thresholds(thresholds)
    return thresholds


def _read_loss(text: str) -> tuple[str, float]:
    loss = re.fullmatch(r"(.+)=(\d+(?:\.\d+)?)", text)
    if loss is None:
        raise UsageError(f"cannot read --loss {text!r}", hint="--loss MODEL=2.31")
    return loss[1], float(loss[2])


scale.__doc__ = f"{scale.__doc__}\n\n\b{EXAMPLES}"
command = with_options(
    read_user_options,
    fix_options(read_specs, model="", bench=[DEFAULT_BENCH], stop_when=None),
    read_pace,
    fix_options(read_resources, budget_usd=None, budget_tokens=None, budget_time=None),
    read_foreign,
    read_place,
    read_consent,
    read_executor,
    read_display,
    read_page,
    read_view,
)(scale)
