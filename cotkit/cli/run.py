"""``cotkit run``: a study file, or a paper's study that ships with cotkit."""

from __future__ import annotations

import inspect
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from cotkit.errors import BadInputError, CotkitError, Location, UnknownNameError, UsageError

if TYPE_CHECKING:
    from cotkit.cli.study import Study, StudyFile, Value
    from cotkit.run import RunSpec

_MOST_BYTES = 1 << 20
PREFIX = "study:"
"""Before the name of a study that ships with cotkit."""
EXAMPLES = """
Examples:

  cotkit compare --model simulated/70b --strategy cot,zero-shot-cot --save study.toml

  cotkit run study.toml

  cotkit run study.toml --plan

  cotkit run study.toml --limit 50 --html report.html

  cotkit run study:wei2022 --family simulated --limit 50
"""


def run(
    ctx: typer.Context,
    study: str = typer.Argument(
        ..., help="FILE.toml, or study:NAME, a paper's (cotkit list studies)."
    ),
    plan: bool = typer.Option(
        False, "--plan", help="Print what it would ask, make and be able to see; make nothing."
    ),
    trust_code: bool = typer.Option(
        False, "--trust-code", help="Run the Python files that the study names (./mine.py)."
    ),
) -> None:
    """Run a study: the options of compare or scale in a file, whose keys are their names.

    Every option of compare or scale may follow; it goes before the file's. Run again, nothing is
    generated and what is written has the same bytes. Ctrl-C loses nothing: the same command goes
    on.
    """
    from cotkit.cli.output import print_status
    from cotkit.cli.study import list_arguments, options_by_key, override, read_study

    if study.startswith("-"):
        raise UsageError(f"the study comes first, not {study}", hint="cotkit run FILE --limit 50")
    root: Any = ctx.find_root()
    commands = root.command.commands
    place, content = _open(study)
    file = read_study(content, place, commands)
    given_names = {text.partition("=")[0] for text in ctx.args}
    for name, command_name in (("--model", "compare"), ("--family", "scale")):
        if name in given_names:
            file = replace(file, study=replace(file.study, command=command_name))
    command = commands[file.study.command]
    context = typer.Context(command, info_name=file.study.command, parent=root)
    chosen = override(file.study, ctx.args, context)
    own = {
        key: value for key, value in file.study.options.items() if chosen.options.get(key) is value
    }

    def open_context(study: Study, command: Any) -> Any:  # noqa: ANN401 - click's
        return command.make_context(command.name, list_arguments(study, command), parent=root)

    try:
        specs = _list_specs(open_context(replace(file.study, options=own), command))
        _check_consent(file, specs, chosen, trust_code=trust_code)
        if study.startswith(PREFIX):
            chosen = _leave_out_missing(chosen, _list_specs(open_context(chosen, command)))
        if unused := chosen.options.keys() - options_by_key(command):
            print_status(f"without effect in cotkit {command.name}: {', '.join(sorted(unused))}")
        command = commands["plan" if plan else chosen.command]
        if trust_code and "trust-code" in options_by_key(command):
            chosen = replace(chosen, options={**chosen.options, "trust-code": True})
        arguments = shlex.join(["cotkit", command.name, *list_arguments(chosen, command)])
        print_status(f"study {study}: {arguments}")
        with open_context(chosen, command) as context:
            command.invoke(context)
    except UsageError as error:
        raise file.locate(error, list(own)) from error


def _open(study: str) -> tuple[Location, bytes]:
    """Return where a study is, and its text.

    Raises:
        UnknownNameError: none that ships has this name.
        BadInputError: the file cannot be read.
    """
    from cotkit.inputs import read_bytes
    from cotkit.paths import resource

    if not study.startswith(PREFIX):
        hint = "cotkit compare ... --save FILE writes one" if not Path(study).exists() else None
        return Location(file=study), read_bytes(Path(study), limit=_MOST_BYTES, hint=hint)
    folder, name = resource("studies"), study.removeprefix(PREFIX)
    names = {path.stem: path for path in folder.glob("*.toml")}
    if name not in names:
        raise UnknownNameError("study", name, names)
    return Location(file=study), names[name].read_bytes()


def _check_consent(
    file: StudyFile, specs: list[RunSpec], chosen: Study, *, trust_code: bool
) -> None:
    """Refuse addresses and Python files that only the study names; ``specs``: its own.

    Raises:
        UsageError: names them, and the options that allow them.
    """
    from cotkit.workflows.consent import TRUST_CODE, check_consent

    addresses = chosen.options.get("trust-address", [])
    check_consent(
        f"study {file.place.file}",
        specs,
        {TRUST_CODE} if trust_code else set(),
        [str(url) for url in addresses] if isinstance(addresses, list) else [],
        source="study file",
    )


def _list_specs(context: Any) -> list[RunSpec]:  # noqa: ANN401 - click's
    """Return what a command would run with its options: a spec of each benchmark and model."""
    from cotkit.cli.options import read_specs
    from cotkit.run.backend import with_model
    from cotkit.run.spec import list_specs
    from cotkit.workflows.ladder import family_models, is_family

    params = context.params
    options = {name: params.get(name) for name in inspect.signature(read_specs).parameters}
    specs = read_specs(**options | {"model": params.get("model", "simulated/1b")})
    families = list_specs(params.get("family", []))
    over = [params["over"]] if params.get("over") and not params["runs"] else []
    models = [
        model
        for name in list_specs([*families, *params.get("models", []), *over])
        for model in (
            family_models(name) if is_family(name) or name in params["family"] else [name]
        )
    ]
    return [with_model(spec, model) for spec in specs for model in models] or specs


def _leave_out_missing(study: Study, specs: list[RunSpec]) -> Study:
    """Return a paper's study without the benchmarks that cannot be had here, each said in a line.

    Raises:
        CotkitError: none of them can.
    """
    from cotkit.benchmarks import load_benchmark
    from cotkit.cli.output import print_status
    from cotkit.registry import parse_spec
    from cotkit.run import plan_runnable

    usable: list[Value] = []
    errors: list[CotkitError] = []
    for spec in {spec.bench: spec for spec in specs}.values():
        first = next(iter(spec.draws().values()))
        try:
            plan_runnable(first, load_benchmark(parse_spec(spec.bench), print_status))
        except CotkitError as error:
            is_of_parameter = isinstance(error, UnknownNameError) and "benchmark" not in str(error)
            if is_of_parameter or isinstance(error, BadInputError):
                raise
            why = error.message if isinstance(error, UnknownNameError) else error
            print_status(f"left out: {spec.bench}: {why}")
            errors.append(error)
        else:
            usable.append(spec.bench)
    if not usable:
        raise errors[0]
    return replace(study, options={**study.options, "bench": usable})


run.__doc__ = f"{run.__doc__}\n\n\b{EXAMPLES}"
