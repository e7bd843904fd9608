"""``cotkit resume``: complete a run that was cut off or has failed attempts."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cotkit.cli.options import (
    View,
    read_consent,
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
    trusts_code: bool,
    run: str = typer.Argument(
        "",
        help="Id of the run, how it begins, or last (default: the latest unfinished one that has"
        " answers).",
    ),
    timing: bool = typer.Option(
        False, "--timing", help="Add measured columns: seconds, shared tokens."
    ),
    confirm_run_unsafe_code: bool = typer.Option(
        False, "--confirm-run-unsafe-code", help="Let the run go on to run code of the model."
    ),
    sandbox: str | None = typer.Option(
        None,
        "--sandbox",
        help="What the run keeps such code in, where that is no wall of cotkit's.",
    ),
    accept_terms: bool = typer.Option(
        False, "--accept-terms", help="Agree to the licence terms of a model that asks for it."
    ),
) -> None:
    """Complete a run: what the store holds is not generated again; failed attempts are tried anew.

    A store may be a stranger's: an address, code of a model or a Python file that only the stored
    run names is refused until an option names it again.

    Examples:

      cotkit resume

      cotkit resume 3fa9 --log-dir ./logs
    """
    from cotkit.cli.compare import run_and_print
    from cotkit.run import RunSpec
    from cotkit.run.spec import GIVEN_IN_PYTHON
    from cotkit.store import Store, existing_place, mask_password
    from cotkit.workflows.consent import TRUST_CODE, check_consent

    place = existing_place(log_dir)
    with Store(place) as store:
        rows = store.runs()
        unfinished = [row for row in rows if row.status not in {"complete", "refused", "failed"}]
        if not run and not unfinished:
            hint = "name one of: cotkit list runs"
            if silent := [row for row in rows if row.status != "complete"]:
                hint = f"{silent[0].id} was {silent[0].status}: cotkit resume {silent[0].id}"
            raise UsageError(f"{mask_password(place)} holds no unfinished run", hint=hint)
        chosen = store.run(run) if run else unfinished[0]
    spec = RunSpec.from_json(chosen.spec)
    if spec.model == GIVEN_IN_PYTHON:
        raise UsageError(
            f"run {chosen.id} was made from Python with a model of its own",
            hint="call cotkit.compare again: what is done is not made again",
        )
    options = {TRUST_CODE} if trusts_code else set[str]()
    options |= {"--confirm-run-unsafe-code"} if confirm_run_unsafe_code else set()
    options |= {f"--sandbox {sandbox}"} if sandbox else set()
    run_name = f"run {chosen.id} of the store"
    check_consent(run_name, [spec], options, resources.trusted_addresses)
    if not accept_terms:
        args = {name: value for name, value in spec.model_args.items() if name != "accept_terms"}
        spec = replace(spec, model_args=args)
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
    read_pace, read_resources, read_place, read_executor, read_display, read_view, read_consent
)(resume)
