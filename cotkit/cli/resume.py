"""``cotkit resume``: complete a run that was cut off or has failed attempts."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cotkit.cli.options import (
    View,
    read_executor,
    read_pace,
    read_place,
    read_resources,
    read_view,
    with_options,
)
from cotkit.cli.output import RunDisplay, read_display
from cotkit.errors import UsageError

if TYPE_CHECKING:
    from cotkit.executors.ray import RayExecutor
    from cotkit.run.budget import Resources


def resume(
    pace: dict[str, str],
    resources: "Resources",
    log_dir: Path | str,
    executor: "RayExecutor | None",
    display: RunDisplay,
    view: View,
    run: str = typer.Argument(
        "", help="Id of the run, or how it begins (default: the latest unfinished)."
    ),
    timing: bool = typer.Option(
        False, "--timing", help="Add measured columns: seconds, shared tokens."
    ),
) -> None:
    """Complete a run: what the store holds is not generated again; failed attempts are tried anew.

    Examples:

      cotkit resume

      cotkit resume 3fa9 --log-dir ./logs
    """
    from cotkit.cli.compare import run_and_print
    from cotkit.run import RunSpec
    from cotkit.run.spec import GIVEN_IN_PYTHON
    from cotkit.store import Store, existing_place, mask_password

    place = existing_place(log_dir)
    with Store(place) as store:
        unfinished = [row for row in store.runs() if row.status != "complete"]
        if not run and not unfinished:
            raise UsageError(
                f"{mask_password(place)} holds no unfinished run",
                hint="name one of: cotkit list runs",
            )
        chosen = store.run(run) if run else unfinished[0]
    spec = RunSpec.from_json(chosen.spec)
    if spec.model == GIVEN_IN_PYTHON:
        raise UsageError(
            f"run {chosen.id} was made from Python with a model of its own",
            hint="call cotkit.compare again: what is done is not made again",
        )
    run_and_print(
        [spec.paced(pace)],
        replace(resources, executor=executor),
        log_dir=log_dir,
        view=view,
        timing=timing,
        display=display,
        expected=chosen.id,
    )


command = with_options(
    read_pace, read_resources, read_place, read_executor, read_display, read_view
)(resume)
