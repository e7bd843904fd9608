"""``cotkit compare``: a strategy against its control, on the same problems."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cotkit.cli.options import (
    Format,
    View,
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
    check_left_out,
    exit_by_worst,
    forecast_lines,
    hint_lines,
    print_lines,
    print_report,
    print_status,
    print_text,
    read_display,
    read_page,
    write_parts,
    write_runs,
    write_summary,
)
from cotkit.cli.scale import Printing, compare_and_print
from cotkit.errors import IncompleteRunError, UsageError
from cotkit.registry import parse_spec

if TYPE_CHECKING:
    from cotkit.analysis.values import Comparison
    from cotkit.cli.output import PageRequest
    from cotkit.events import Event
    from cotkit.executors.ray import RayExecutor
    from cotkit.protocols import Backend, Benchmark
    from cotkit.run import Plan, RunSpec
    from cotkit.run.budget import Resources
    from cotkit.store import Store
    from cotkit.workflows.contrasts import LadderSide
    from cotkit.workflows.exemplar_draws import ExemplarDraws


EXAMPLES = """
Examples:

  cotkit compare --strategy cot --bench gsm8k

  cotkit compare --strategy cot,zero-shot-cot --bench gsm-mini --limit 50 --model smollm2-135m

  cotkit compare --model hf/Qwen/Qwen2.5-0.5B --strategy cot:max_tokens=400 --bench ./mine.jsonl

  cotkit compare --model simulated/70b --limit all --format markdown --html report.html

  cotkit compare --model openai/gpt-5.4-mini --strategy cot --bench gsm8k --budget-usd 2

  cotkit compare --model anthropic/claude-haiku-4-5 --strategy cot --stop-when decided

  cotkit compare --model simulated/70b --strategy cot --gate

  cotkit compare --model simulated/70b --strategy cot --bench gsm-mini --bench svamp

  cotkit compare --models smollm2-135m:dtype=int8,smollm2-135m --bench gsm8k --limit all

  cotkit compare --model simulated/70b --track jsonl:events.jsonl --log-level info

  cotkit compare --from plain=logs/one.eval --from cot=samples_gsm8k_cot_2026-01-01T00-00-00.jsonl

  VLLM_BASE_URL=http://localhost:8000/v1 cotkit compare --model openai-api/vllm/my-model
"""


def compare(
    user_options: frozenset[str],
    specs: list[RunSpec],
    pace: dict[str, str],
    resources: Resources,
    log_dir: Path | str,
    executor: RayExecutor | None,
    display: RunDisplay,
    page: PageRequest | None,
    view: View,
    timing: bool = typer.Option(
        False, "--timing", help="Add measured columns: seconds, shared tokens."
    ),
    gate: bool = typer.Option(
        False,
        "--gate",
        help="Exit 0 if it helps, 3 if surely not by the margin, 4 if undetermined, 5 if it harms.",
    ),
    models: list[str] = typer.Option(
        [],
        "--models",
        help="Two models A,B, or settings of one (A:dtype=int8,A): the difference of their gains.",
    ),
    sources: list[str] = typer.Option(
        [],
        "--from",
        help="Instead: [NAME=]FILE of Inspect (.eval, .json) or lm-eval (samples), twice or more.",
    ),
) -> None:
    """Compare prompting strategies with their controls on the same problems.

    Prints the gain with its interval, how sure it is, what it depends on, and what it costs.
    """
    if sources:
        compare_files(sources, specs[0], view, page, user_options)
        return
    if models:
        _check_without_models(user_options)
        compare_and_print(
            specs[0].paced(pace),
            _two_models(models),
            tuple(spec.bench for spec in specs),
            None,
            replace(resources, executor=executor),
            Printing(log_dir=log_dir, display=display, view=view, page=page),
        )
        return
    run_and_print(
        [spec.paced(pace) for spec in specs],
        replace(resources, executor=executor),
        log_dir=log_dir,
        view=view,
        timing=timing,
        display=display,
        gated=gate,
        page=page,
    )


compare.__doc__ = f"{compare.__doc__}\n\n\b{EXAMPLES}"
command = with_options(
    read_user_options,
    read_specs,
    read_pace,
    read_resources,
    read_place,
    read_executor,
    read_display,
    read_page,
    read_view,
)(compare)


# Two models on the same problems.


_WITHOUT_MODELS = ("model", "gate", "timing")
"""Options that a comparison of two models does not have."""


def _check_without_models(user_options: frozenset[str]) -> None:
    for name in _WITHOUT_MODELS:
        if name in user_options:
            raise UsageError(
                f"--{name.replace('_', '-')} has no effect with --models",
                hint="--model NAME compares strategies of one model",
            )


def _two_models(texts: Sequence[str]) -> tuple[LadderSide, LadderSide]:
    """Return the two models, each as a side; ``texts``: each ``--models``.

    Raises:
        UsageError: not two models.
    """
    from cotkit.run.spec import list_specs
    from cotkit.workflows.contrasts import LadderSide

    names = list_specs(texts)
    if len(names) != 2:
        raise UsageError(
            f"--models compares two, not {len(names)}",
            hint="--models A,B; cotkit scale takes a ladder, and --over another",
        )
    first, second = (LadderSide(name=None, models=(name,)) for name in names)
    return first, second


# Run specs with progress on standard error and print their answers on standard output.


def run_and_print(
    specs: Sequence[RunSpec],
    resources: Resources,
    *,
    log_dir: Path | str,
    view: View,
    timing: bool,
    display: RunDisplay,
    expected: str | None = None,
    gated: bool = False,
    page: PageRequest | None = None,
) -> None:
    """Run each spec, print the answers, and exit 75 if attempts are missing.

    Args:
        specs: What to run: the same options on each benchmark.
        resources: What each run may use.
        log_dir: Folder of the store, or URL of a database.
        view: How the answers are printed.
        timing: Whether to print what was measured.
        display: How the runs are watched.
        expected: The run that a single spec must turn out to be.
        gated: Exit by the worst verdict, if no attempt is missing.
        page: To be written, too.

    Raises:
        CotkitError: as ``run_spec``, and ``compare_draws`` where a spec has several draws.
        IncompleteRunError: attempts failed, or a budget was used up; what there is was printed.
        typer.Exit: by the verdict, where ``gated``.
    """
    from cotkit.analysis.values import Comparison
    from cotkit.benchmarks import load_benchmark
    from cotkit.store import store_option
    from cotkit.workflows.consent import required_options

    _check_draws(specs[0], view, page, gated=gated)
    _check_several(specs, resources)
    benches = [load_benchmark(parse_spec(spec.bench), print_status) for spec in specs]
    with display.event_sink() as emit:
        answers = [
            _run(spec, bench, resources, log_dir, emit, display, expected=expected)
            for spec, bench in zip(specs, benches, strict=True)
        ]
    runs = [answer for answer in answers if isinstance(answer, Comparison)]
    comparisons: list[tuple[Comparison, str]] = []
    for spec, run in zip(specs, runs, strict=False):
        options = " ".join((store_option(log_dir), *required_options(spec)))
        comparisons.append((run, f"go on with: cotkit resume {run.run_id} {options}"))
    if runs:
        hints = hint_lines(view, runs[0].run_id, log_dir)
        report = runs if len(runs) > 1 else runs[0]
        print_report(report, view, hints, timing=timing)
        if page is not None:
            write_runs(page, runs, log_dir, timing=timing)
    for number, draws in enumerate(
        answer for answer in answers if not isinstance(answer, Comparison)
    ):
        from cotkit.workflows.exemplar_draws import RESUME_HINT

        if number:
            print_lines("")
        _print_draws(draws, view.format)
        comparisons += [(comparison, RESUME_HINT) for comparison in draws.comparisons]
    if gated:
        for comparison, _ in comparisons:
            write_summary(comparison)
    _check_complete(comparisons)
    check_left_out(note for comparison, _ in comparisons for note in comparison.notes)
    if gated:
        exit_by_worst([comparison for comparison, _ in comparisons])


def _run(
    spec: RunSpec,
    bench: Benchmark,
    resources: Resources,
    log_dir: Path | str,
    emit: Callable[[Event], None],
    display: RunDisplay,
    *,
    expected: str | None,
) -> Comparison | ExemplarDraws:
    from cotkit.workflows.compare import run_spec

    def on_plan(plan: Plan, backend: Backend, store: Store) -> None:
        run_id = plan.run_id(backend.info)
        if expected is not None and run_id != expected:
            raise UsageError(
                f"run {expected} cannot be resumed: it would now be run {run_id}",
                hint="model, benchmark, prompts or cotkit changed; give the compare command again",
            )
        if display.mode == "none":
            return
        if store.n_done(run_id) == len(plan.arms) * len(plan.problems):
            print_status(f"run {run_id}: every attempt is in the store")
        else:
            from cotkit.workflows.plan import forecast_plan

            forecast = forecast_plan(plan, backend.info, store, resources.prices, backend)
            print_status(*forecast_lines(forecast))

    if spec.has_draws:
        from cotkit.workflows.exemplar_draws import compare_draws

        return compare_draws(
            spec, bench, log_dir=log_dir, emit=emit, on_plan=on_plan, resources=resources
        )
    return run_spec(
        spec,
        bench,
        log_dir=log_dir,
        emit=emit,
        on_plan=on_plan,
        resources=resources,
        resumed=expected,
    )


def _check_several(specs: Sequence[RunSpec], resources: Resources) -> None:
    """Refuse what several benchmarks cannot share."""
    from cotkit.run.budget import Budget

    if len(specs) > 1 and resources.budget != Budget():
        raise UsageError(
            "a budget is of one run, and several benchmarks make several",
            hint="--limit bounds what they take",
        )


def _check_draws(spec: RunSpec, view: View, page: PageRequest | None, *, gated: bool) -> None:
    """Refuse what several exemplar draws cannot be printed as."""
    if not spec.has_draws:
        return
    if gated:
        raise UsageError("a gate is of one comparison, and several seeds make several")
    if page is not None:
        hint = "leave out --html and --figures; later: cotkit report RUN"
        raise UsageError("exemplar draws have no page and no figures", hint=hint)
    if view.format.value not in {"table", "json"}:
        raise UsageError(f"exemplar draws have no format {view.format.value}", hint="table or json")
    if view.full or view.show or view.outputs:
        hint = "leave out --full, --show and --output"
        raise UsageError("exemplar draws have no sections and no files", hint=hint)


def _print_draws(draws: ExemplarDraws, format_: Format) -> None:
    from cotkit.report.exemplar_draws import draws_json, draws_text

    write = draws_json if format_.value == "json" else draws_text
    text = write(draws.variances, draws.seeds, draws.comparisons, draws.kind)
    print_text(text.removesuffix("\n"), raw=False)


def _check_complete(comparisons: Sequence[tuple[Comparison, str]]) -> None:
    """Refuse to end well where attempts are missing; each comparison comes with its hint."""
    failed = [
        (comparison, hint, n) for comparison, hint in comparisons if (n := _n_missing(comparison))
    ]
    if failed:
        reasons = [comparison.why_failed for comparison, _, _ in failed]
        why = next(filter(None, reasons), "no reason given")
        n_failed = sum(n for _, _, n in failed)
        raise IncompleteRunError(
            f"{n_failed} attempts failed and are left out, most for this: {why}", hint=failed[0][1]
        )
    for comparison, hint in comparisons:
        if comparison.ended_by == "budget":
            raise IncompleteRunError(
                "the budget was used up before every problem was done", hint=hint
            )


def _n_missing(comparison: Comparison) -> int:
    """Return how many attempts failed that may yet succeed."""
    n_failed = sum(cell.outcomes["failed"] for cell in comparison.cells)
    return n_failed - comparison.n_refused_for_good


# ``cotkit compare --from``: files of other tools in place of a run.


_OPTIONS_WITH_FILES = frozenset(
    {
        *("sources", "baseline", "reader", "margin", "format_", "raw", "full", "show"),
        *("output", "html", "figures", "samples"),
    }
)
"""Options that have an effect on recorded results."""


def compare_files(
    sources: Sequence[str],
    spec: RunSpec,
    view: View,
    page: PageRequest | None,
    user_options: frozenset[str],
) -> None:
    """Compare files and print; ``user_options``: names of the options that the user wrote.

    Raises:
        UsageError: one of them has no effect here.
        CotkitError: as ``compare_recorded``.
    """
    from cotkit.interop.recorded import load_recorded

    if wrong := min(user_options - _OPTIONS_WITH_FILES, default=None):
        name = wrong.strip("_").replace("_", "-")
        hint = "--baseline, --reader, --margin, --format, --html, --full and --show do"
        raise UsageError(f"--{name} has no effect on existing results", hint=hint)
    part = load_recorded(sources, baseline=spec.baseline, reader=spec.reader, margin=spec.margin)
    print_report(part.comparison, view, hint_lines(view))
    if page is not None:
        write_parts(page, [part])
