"""``cotkit plan``: what a comparison would ask, make and be able to see; generates nothing."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cotkit.cli.options import read_means, read_pace, read_place, read_spec, with_options

if TYPE_CHECKING:
    from cotkit.run import RunSpec
    from cotkit.workflows.compare import Resources

EXAMPLES = """
Examples:

  cotkit plan --strategy cot,self-consistency:k=5 --bench gsm8k

  cotkit plan --model simulated/70b --limit all
"""


def plan(
    spec: "RunSpec",
    pace: dict[str, str],
    means: "Resources",
    log_dir: Path | str,
) -> None:
    """Print what a comparison would ask and make, and the smallest gain it could find.

    Nothing is generated. Later turns hang on the answers; those not there yet count as wrong ones.
    """
    from cotkit.benchmarks import load_benchmark
    from cotkit.cli.output import align_columns, budget_lines, forecast_lines, forecast_table
    from cotkit.events import Event, Said
    from cotkit.registry import parse_spec
    from cotkit.workflows.plan import plan_spec

    def emit(event: Event) -> None:
        if isinstance(event, Said):
            typer.echo(event.text, err=True)

    found = plan_spec(
        spec.paced(pace),
        load_benchmark(parse_spec(spec.bench), lambda text: typer.echo(text, err=True)),
        log_dir=log_dir,
        emit=emit,
        prices=means.prices,
    )
    first, *rest = forecast_lines(found)
    typer.echo(
        "\n".join(
            [
                first,
                *align_columns(forecast_table(found)),
                *rest,
                *budget_lines(found, means.budget),
            ]
        )
    )


plan.__doc__ = f"{plan.__doc__}\n\n\b{EXAMPLES}"
command = with_options(read_spec, read_pace, read_means, read_place)(plan)
