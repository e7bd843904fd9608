"""``cotkit plan``: what a comparison would ask, make and be able to see; generates nothing."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cotkit.cli.options import read_pace, read_place, read_resources, read_specs, with_options
from cotkit.errors import UsageError

if TYPE_CHECKING:
    from cotkit.run import RunSpec
    from cotkit.run.budget import Resources
    from cotkit.workflows.compare import Emit

EXAMPLES = """
Examples:

  cotkit plan --strategy cot,self-consistency:k=5 --bench gsm8k

  cotkit plan --model simulated/70b --limit all

  cotkit plan --family pocket --bench arithmetic --strategy cot
"""


def plan(
    specs: "list[RunSpec]",
    pace: dict[str, str],
    resources: "Resources",
    log_dir: Path | str,
    models: list[str] = typer.Option(
        [], "--models", help="Instead of --model: a ladder, as cotkit scale would run it."
    ),
    family: list[str] = typer.Option(
        [], "--family", help="Instead of --model: the ladder of a family; may be repeated."
    ),
) -> None:
    """Print what a comparison would ask and make, and the smallest gain it could find.

    Of a ladder (--models, --family) also which steps it could name with both their ends. Nothing is
    generated. Later turns hang on the answers; those not there yet count as wrong ones.
    """
    from cotkit.benchmarks import load_benchmark
    from cotkit.cli.output import (
        align_columns,
        budget_lines,
        forecast_lines,
        forecast_table,
        print_lines,
        print_status,
    )
    from cotkit.events import Event, Said
    from cotkit.registry import parse_spec
    from cotkit.workflows.plan import plan_spec

    def emit(event: Event) -> None:
        if isinstance(event, Said):
            print_status(event.text)

    if models or family:
        for number, ladder in enumerate(_list_ladders(models, family)):
            if number:
                print_lines("")
            print_lines(*_plan_ladder(specs, pace, resources, log_dir, ladder, emit))
        return
    for number, spec in enumerate(specs):
        forecast = plan_spec(
            spec.paced(pace),
            load_benchmark(parse_spec(spec.bench), print_status),
            log_dir=log_dir,
            emit=emit,
            resources=resources,
        )
        title, *lines = forecast_lines(forecast)
        table = align_columns(forecast_table(forecast), folds=False)
        if number:
            print_lines("")
        lines += budget_lines(forecast, resources.budget)
        print_lines(*align_columns([(title,)]), *table, *align_columns([(x,) for x in lines]))


def _list_ladders(models: list[str], family: list[str]) -> "list[tuple[str, ...]]":
    from cotkit.run.spec import list_specs
    from cotkit.workflows.ladder import family_models

    if models and family:
        raise UsageError("name the ladder once", hint="--models A,B,C or --family NAME")
    return [list_specs(models)] if models else [family_models(f) for f in list_specs(family)]


def _plan_ladder(
    specs: "list[RunSpec]",
    pace: dict[str, str],
    resources: "Resources",
    log_dir: Path | str,
    ladder: "tuple[str, ...]",
    emit: "Emit",
) -> list[str]:
    from cotkit.benchmarks import load_benchmark
    from cotkit.cli.ladder_forecast import ladder_forecast_lines
    from cotkit.cli.output import print_status
    from cotkit.registry import parse_spec
    from cotkit.workflows.scale import ScaleOptions, plan_ladder

    forecast = plan_ladder(
        specs[0].paced(pace),
        ladder,
        [(spec.bench, load_benchmark(parse_spec(spec.bench), print_status)) for spec in specs],
        ScaleOptions(),
        log_dir=log_dir,
        emit=emit,
        resources=resources,
    )
    return ladder_forecast_lines(forecast, specs[0].margin)


plan.__doc__ = f"{plan.__doc__}\n\n\b{EXAMPLES}"
command = with_options(read_specs, read_pace, read_resources, read_place)(plan)
