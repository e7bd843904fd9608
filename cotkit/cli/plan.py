"""``cotkit plan``: what a comparison would ask, make and be able to see; generates nothing."""

from pathlib import Path
from typing import TYPE_CHECKING

from cotkit.cli.options import read_pace, read_place, read_resources, read_specs, with_options

if TYPE_CHECKING:
    from cotkit.run import RunSpec
    from cotkit.run.budget import Resources

EXAMPLES = """
Examples:

  cotkit plan --strategy cot,self-consistency:k=5 --bench gsm8k

  cotkit plan --model simulated/70b --limit all
"""


def plan(
    specs: "list[RunSpec]",
    pace: dict[str, str],
    resources: "Resources",
    log_dir: Path | str,
) -> None:
    """Print what a comparison would ask and make, and the smallest gain it could find.

    Nothing is generated. Later turns hang on the answers; those not there yet count as wrong ones.
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

    for number, spec in enumerate(specs):
        forecast = plan_spec(
            spec.paced(pace),
            load_benchmark(parse_spec(spec.bench), print_status),
            log_dir=log_dir,
            emit=emit,
            resources=resources,
        )
        title, *lines = forecast_lines(forecast)
        table = align_columns(forecast_table(forecast))
        if number:
            print_lines("")
        print_lines(title, *table, *lines, *budget_lines(forecast, resources.budget))


plan.__doc__ = f"{plan.__doc__}\n\n\b{EXAMPLES}"
command = with_options(read_specs, read_pace, read_resources, read_place)(plan)
