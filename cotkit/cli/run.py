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
    own = [key for key in file.study.options if chosen.options.get(key) is file.study.options[key]]
    try:
        _check_consent(file, own, chosen, trust_code=trust_code)
        if study.startswith(PREFIX):
            arguments = list_arguments(chosen, command)
            context = command.make_context(command.name, arguments, parent=root)
            chosen = _leave_out_missing(chosen, context)
        if unused := chosen.options.keys() - options_by_key(command):
            print_status(f"without effect in cotkit {command.name}: {', '.join(sorted(unused))}")
        command = commands["plan" if plan else chosen.command]
        arguments = list_arguments(chosen, command)
        if trust_code and "trust_code" in {option.name for option in command.params}:
            arguments.append("--trust-code")
        print_status(f"study {study}: {shlex.join(['cotkit', command.name, *arguments])}")
        with command.make_context(command.name, arguments, parent=root) as context:
            command.invoke(context)
    except UsageError as error:
        raise file.locate(error, own) from error


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


def _check_consent(file: StudyFile, own: list[str], chosen: Study, *, trust_code: bool) -> None:
    """Refuse addresses and Python files that only the study names.

    Raises:
        UsageError: names them, and the options that allow them.
    """
    from cotkit.workflows.consent import TRUST_CODE, check_consent

    addresses = chosen.options.get("trust-address", [])
    check_consent(
        f"study {file.place.file}",
        _list_specs({key: file.study.options[key] for key in own}),
        {TRUST_CODE} if trust_code else set(),
        [str(url) for url in addresses] if isinstance(addresses, list) else [],
        source="study file",
    )


def _list_specs(options: dict[str, Any]) -> list[RunSpec]:
    """Return a spec of each model and benchmark of a study with all that may need consent."""
    from cotkit.cli.study import say_value
    from cotkit.registry import parse_params
    from cotkit.run import RunSpec
    from cotkit.run.backend import with_model
    from cotkit.run.spec import list_specs
    from cotkit.workflows.ladder import family_models, is_family

    def list_texts(key: str) -> tuple[str, ...]:
        value = options.get(key, [])
        return list_specs([str(text) for text in value] if isinstance(value, list) else str(value))

    keys = ("model", "models", "family", *(() if "runs" in options else ("over",)))
    models = [
        model
        for key in keys
        for name in list_texts(key)
        for model in (family_models(name) if key == "family" or is_family(name) else [name])
    ]
    baseline = options.get("baseline")
    spec = RunSpec(
        model="simulated/1b",
        model_args=parse_params(say_value(options.get("model-args", ""))),
        strategies=list_texts("strategy") or ("cot",),
        baseline=None if baseline is None else str(baseline),
    )
    of_models = [with_model(spec, model) for model in models] or [spec]
    benches = list_texts("bench") or (spec.bench,)
    return [replace(of_model, bench=bench) for of_model in of_models for bench in benches]


def _leave_out_missing(study: Study, context: Any) -> Study:  # noqa: ANN401 - click's
    """Return a paper's study without the benchmarks that cannot be had here, each said in a line.

    ``context``: of its command, with its options.

    Raises:
        CotkitError: none of them can.
    """
    from cotkit.benchmarks import load_benchmark
    from cotkit.cli.options import read_specs
    from cotkit.cli.output import print_status
    from cotkit.registry import parse_spec
    from cotkit.run import plan_runnable

    names = inspect.signature(read_specs).parameters
    options: dict[str, Any] = {name: context.params.get(name) for name in names}
    options["model"] = "simulated/1b"
    usable: list[Value] = []
    errors: list[CotkitError] = []
    for spec in read_specs(**options):
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
