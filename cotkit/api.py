"""The functions for other evaluation code: ``compare``, ``scale``, ``score`` and their like."""

from __future__ import annotations

import ast
import inspect
import itertools
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, cast

from cotkit.analysis.scale.grid import Axis
from cotkit.analysis.scale.values import Scales
from cotkit.analysis.values import Cell, Comparison
from cotkit.backends._function import Function, PromptToText
from cotkit.benchmarks import load_benchmark
from cotkit.errors import UnknownNameError, UsageError
from cotkit.interop.models import Foreign, as_backend
from cotkit.protocols import Backend, Benchmark
from cotkit.registry import parse_spec
from cotkit.run.budget import NO_LIMITS, Resources
from cotkit.run.spec import (
    DEFAULT_BENCH,
    DEFAULT_LOG_DIR,
    DEFAULT_STRATEGY,
    DEFAULTS,
    GIVEN_IN_PYTHON,
    RunKeywords,
    RunOptions,
    RunSpec,
    list_specs,
)
from cotkit.store import AttemptRow
from cotkit.workflows.compare import Emit, run_spec
from cotkit.workflows.completions_file import DEFAULT_ARM, read_items
from cotkit.workflows.plan import Forecast, plan_spec
from cotkit.workflows.score import Missing, ScoreQuestion, score_completions

if TYPE_CHECKING:
    from cotkit.analysis.scale.contrasts import ModelContrasts  # whose analysis imports numpy
    from cotkit.analysis.scale.spending import Spending, SpendingUnit

_FunctionT = TypeVar("_FunctionT", bound=Callable[..., object])


def _list_options(*, without: frozenset[str] = frozenset()) -> Callable[[_FunctionT], _FunctionT]:
    """Show every field of :class:`RunOptions` in the signature and docstring of a function.

    Without it, help, notebooks and completion would show ``**options``.
    """

    def add_options(function: _FunctionT) -> _FunctionT:
        signature = inspect.signature(function)
        own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        options = [
            inspect.Parameter(
                option.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=getattr(DEFAULTS, option.name),
                annotation=option.type,
            )
            for option in fields(RunOptions)
            if option.name not in without
        ]
        signature = signature.replace(parameters=[*own, *options])
        setattr(function, "__signature__", signature)  # noqa: B010 - no stub has it
        texts = _option_texts()
        lines = [
            textwrap.fill(
                f"{option.name}: {texts.get(option.name, '')}",
                width=100,
                initial_indent=" " * 8,
                subsequent_indent=" " * 12,
            )
            + "\n"
            for option in options
        ]
        before, returns, after = (function.__doc__ or "").partition("\n    Returns:")
        function.__doc__ = f"{before.rstrip()}\n{''.join(lines)}{returns}{after}"
        return function

    return add_options


def _option_texts() -> dict[str, str]:
    """Return what stands under each field of :class:`RunOptions`; nothing without its source."""
    try:
        source = textwrap.dedent(inspect.getsource(RunOptions))
    except OSError:  # an installation of compiled files alone
        return {}
    (options,) = cast("list[ast.ClassDef]", ast.parse(source).body)
    return {
        field.target.id: " ".join(str(text.value.value).split())
        for field, text in itertools.pairwise(options.body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
    }


def _make_run_spec(
    function: Callable[..., object],
    model: object,
    strategy: str | Sequence[str],
    bench: str | Benchmark,
    options: RunKeywords,
) -> RunSpec:
    """Return the spec of one model on one benchmark, from the arguments of ``function``."""
    return _make_spec(
        function,
        [model],
        options,
        model=model if isinstance(model, str) else GIVEN_IN_PYTHON,
        bench=bench if isinstance(bench, str) else bench.name,
        strategies=list_specs(strategy),
    )


def _make_spec(
    function: Callable[..., object],
    models: Sequence[object],
    options: Mapping[str, object],
    **fields_of_spec: Any,  # noqa: ANN401 - the fields of a run that are no options
) -> RunSpec:
    """Return the spec of a call; an option that is None has its default.

    Raises:
        UnknownNameError: the function has no such option.
        UsageError: an option is out of range, or a batch is to be sent by an object.
    """
    known_options = inspect.signature(function).parameters
    for name in options:
        if name not in known_options:
            raise UnknownNameError(f"option of {function.__name__}", name, known_options)
    values: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    for name in {"model_args", "generation"} & values.keys():
        values[name] = dict(values[name])
    spec = RunSpec(**fields_of_spec, **values)
    if spec.batch and not all(isinstance(model, str) for model in models):
        raise UsageError(
            "a batch is sent by a model with a name, and this one is an object",
            hint='model="openai/NAME" or "anthropic/NAME"',
        )
    return spec


@_list_options()
def compare(
    model: str | PromptToText | Backend | Foreign,
    strategy: str | Sequence[str] = DEFAULT_STRATEGY,
    bench: str | Benchmark = DEFAULT_BENCH,
    *,
    model_id: str | None = None,
    resources: Resources = NO_LIMITS,
    log_dir: Path | str = DEFAULT_LOG_DIR,
    on_event: Emit | None = None,
    **options: Unpack[RunKeywords],
) -> Comparison:
    """Compare strategies with their controls on the same problems: do they help this model?

    Args:
        model: a name as on the command line, a backend object, an ``inspect_ai`` ``Model``, an
            lm-eval ``LM``, or any function from prompt to text (also a coroutine function). An
            object is left open.
        strategy: one spec such as ``"cot"``, or several; ``"flipped-labels:fraction=0+0.5+1"``
            stands for three.
        bench: a name, the path of a JSONL file, or a benchmark object.
        model_id: vouches for the model and version behind a function or an object of another
            tool, so that later calls reuse its completions; None: they do not.
        resources: what this call may spend; the comparison's ``ended_by`` says if that ended it.
        log_dir: folder of the store, or ``postgresql://...``; what it holds is not made again.
        on_event: called with every event of the run; in another thread where an event loop is
            already running in this one. None: a notebook shows bars.

    Returns:
        The comparison. Attempts the backend failed are left out and named in its notes.

    Raises:
        CotkitError: one sentence with a hint; everything that was generated is kept.
        InterruptedRunError: Ctrl-C; the same call goes on where it stopped (a function's only with
            a ``model_id``).
    """
    return run_spec(
        _make_run_spec(compare, model, strategy, bench, options),
        _resolve_benchmark(bench),
        log_dir=log_dir,
        backend=None if isinstance(model, str) else _resolve_backend(model, model_id),
        emit=on_event or _notebook_progress(),
        resources=resources,
    )


@_list_options()
def plan(
    model: str | PromptToText | Backend | Foreign,
    strategy: str | Sequence[str] = DEFAULT_STRATEGY,
    bench: str | Benchmark = DEFAULT_BENCH,
    *,
    resources: Resources = NO_LIMITS,
    log_dir: Path | str = DEFAULT_LOG_DIR,
    **options: Unpack[RunKeywords],
) -> Forecast:
    """Forecast what the same :func:`compare` would ask, make and be able to find.

    Nothing is generated. A model is not loaded, but fetched if it is not here yet: its weights are
    part of every completion's identity.

    Args:
        model: as of :func:`compare`, and so are all others.
        strategy: as there.
        bench: as there.
        resources: its prices are those of the forecast.
        log_dir: as there; a store that does not exist is not made.

    Returns:
        The forecast: requests, tokens, dollars and the smallest gain that can be found.

    Raises:
        CotkitError: as :func:`compare`, for what is wrong with the arguments.
    """
    return plan_spec(
        _make_run_spec(plan, model, strategy, bench, options),
        _resolve_benchmark(bench),
        log_dir=log_dir,
        backend=None if isinstance(model, str) else _resolve_backend(model),
        resources=resources,
    )


@_list_options(without=frozenset({"stop_when"}))
def scale(
    models: str | Sequence[str | Backend | Foreign],
    strategy: str | Sequence[str] = DEFAULT_STRATEGY,
    bench: str | Benchmark | Sequence[str | Benchmark] = DEFAULT_BENCH,
    *,
    x: Axis = "params",
    assume_sustained: bool = False,
    thresholds: Sequence[float] = (0.05, 0.1, 0.2, 0.3),
    by_steps: bool = False,
    by_length: bool = False,
    losses: Mapping[str, float] | None = None,
    params: Mapping[str, int] | None = None,
    replicates: bool = False,
    resources: Resources = NO_LIMITS,
    log_dir: Path | str = DEFAULT_LOG_DIR,
    on_event: Emit | None = None,
    **options: Unpack[RunKeywords],
) -> Scales:
    """Find from which model size on strategies help: every model on the same problems, in turn.

    Args:
        models: names or objects as of :func:`compare`, at least two; one text is the name of a
            family.
        strategy: as of :func:`compare`.
        bench: one benchmark, or several; each has a curve of its own.
        x: what size means; ``ordinal``: the order of ``models``.
        assume_sustained: whether help, once begun, is assumed not to stop with size; to be chosen
            before there are results.
        thresholds: gains whose beginnings the staircase names, fractions, rising.
        by_steps: whether to analyse the problems of each number of steps by themselves.
        by_length: the same by the length of the answer: digits of a number, words of a text.
        losses: model -> pretraining loss in nats per token, for ``x="loss"``.
        params: model -> parameters, where neither its backend nor the catalogue knows them.
        replicates: whether models of equal size and unknown family are trainings of one recipe.
        resources: as there, without a budget, which is of one run.
        log_dir: as there.
        on_event: as there.

    Returns:
        One analysis for each benchmark, or for each of its groups by steps. Attempts that failed
        are holes and named in its notes.

    Raises:
        CotkitError: one sentence with a hint; everything that was generated is kept.
    """
    from cotkit.workflows.ladder import family_models
    from cotkit.workflows.scale import ScaleOptions, scale_models

    ladder = family_models(models) if isinstance(models, str) else models
    result = scale_models(
        _make_spec(scale, ladder, options, model=GIVEN_IN_PYTHON, strategies=list_specs(strategy)),
        _resolve_models(ladder),
        _name_benchmarks(bench),
        ScaleOptions(
            axis=x,
            assume_sustained=assume_sustained,
            thresholds=tuple(thresholds),
            losses=dict(losses or {}),
            sizes=dict(params or {}),
            replicates=replicates,
            by_steps=by_steps,
            by_length=by_length,
        ),
        log_dir=log_dir,
        emit=on_event or _notebook_progress(),
        resources=resources,
    )
    return Scales(result.scales)


@_list_options(without=frozenset({"stop_when", "exemplar_seeds"}))
def compare_models(
    model: str | Backend | Foreign | Sequence[str | Backend | Foreign],
    reference: str | Backend | Foreign | Sequence[str | Backend | Foreign],
    strategy: str | Sequence[str] = DEFAULT_STRATEGY,
    bench: str | Benchmark | Sequence[str | Benchmark] = DEFAULT_BENCH,
    *,
    x: Axis = "params",
    resources: Resources = NO_LIMITS,
    log_dir: Path | str = DEFAULT_LOG_DIR,
    on_event: Emit | None = None,
    **options: Unpack[RunKeywords],
) -> tuple[ModelContrasts, ...]:
    """Compare two models, or two ladders, on the same problems: does a strategy help one more?

    Args:
        model: a name or an object as of :func:`compare`, or a sequence of them: a ladder.
        reference: what it is compared with; of ladders, those of equal size are.
        strategy: as of :func:`compare`.
        bench: one benchmark, or several.
        x: what size means, of ladders.
        resources: as of :func:`scale`.
        log_dir: as of :func:`compare`.
        on_event: as there.

    Returns:
        For each benchmark the differences of solve rates and of gains, with simultaneous
        intervals; :func:`cotkit.render` writes them. Attempts that failed are named in its notes.

    Raises:
        CotkitError: one sentence with a hint; everything that was generated is kept.
    """
    from cotkit.workflows.contrasts import LadderSide
    from cotkit.workflows.contrasts import compare_models as contrast_sides
    from cotkit.workflows.scale import ScaleOptions

    sides = [_as_ladder(model), _as_ladder(reference)]
    models = list(itertools.chain.from_iterable(sides))
    first, second = (LadderSide(name=None, models=(*_resolve_models(side),)) for side in sides)
    result = contrast_sides(
        _make_spec(
            compare_models,
            models,
            options,
            model=GIVEN_IN_PYTHON,
            strategies=list_specs(strategy),
        ),
        (first, second),
        _name_benchmarks(bench),
        ScaleOptions(axis=x) if len(models) > 2 else None,
        log_dir=log_dir,
        emit=on_event,
        resources=resources,
    )
    return result.contrasts


@_list_options(without=frozenset({"stop_when"}))
def measure_spending(
    models: str | Backend | Foreign | Sequence[str | Backend | Foreign],
    strategy: str | Sequence[str],
    bench: str | Benchmark = DEFAULT_BENCH,
    *,
    unit: SpendingUnit = "thinking-tokens",
    reach: float | None = None,
    resources: Resources = NO_LIMITS,
    log_dir: Path | str = DEFAULT_LOG_DIR,
    on_event: Emit | None = None,
    **options: Unpack[RunKeywords],
) -> Spending:
    """Find what thinking buys: solve rate by the tokens that models spend while they answer.

    Args:
        models: a name or an object as of :func:`compare`, or several.
        strategy: as there; one at least with several values of an ordered setting:
            ``"standard:thinking=off+low+high"``, ``"think-budget:tokens=8+64"``.
        bench: as there.
        unit: what is spent: ``thinking-tokens``, or ``tokens`` for all that are generated.
        reach: a solve rate, 0..1: the cheapest that reaches it is named.
        resources: as of :func:`scale`.
        log_dir: as of :func:`compare`.
        on_event: as there.

    Returns:
        Every arm by what it solves and spends, each curve with where more brings nothing, and
        samples against longer thoughts at equal tokens; :func:`cotkit.render` writes it. Attempts
        that failed are named in its notes.

    Raises:
        UsageError: no arms differ in an ordered setting, or nothing is known of what was spent.
        CotkitError: one sentence with a hint; everything that was generated is kept.
    """
    from cotkit.workflows.spending import SpendingQuestion
    from cotkit.workflows.spending import measure_spending as measure

    if reach is not None and not 0 < reach <= 1:
        raise UsageError(f"reach={reach:g} is not a solve rate", hint="a fraction: 0.5")
    ladder = _as_ladder(models)
    strategies = list_specs(strategy)
    spec = _make_spec(
        measure_spending, ladder, options, model=GIVEN_IN_PYTHON, strategies=strategies
    )
    benches = _name_benchmarks(bench)
    if len(benches) > 1:
        raise UsageError("one benchmark at a time on this axis", hint="one call for each")
    result = measure(
        spec,
        _resolve_models(ladder),
        benches[0],
        SpendingQuestion(unit=unit, margin=spec.margin, reach=reach),
        log_dir=log_dir,
        emit=on_event or _notebook_progress(),
        resources=resources,
    )
    return result.spending


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreResult:
    """Completions that some other program made, read and compared with the gold answers."""

    cell: Cell
    """Solve rate, interval and outcomes; of several arms the first of ``comparison.cells``."""
    rows: tuple[AttemptRow, ...]
    """One for each completion of a mapping, in the order given; none of an iterable's is kept."""
    comparison: Comparison
    """All there is to say: arms, gains over a baseline, pass@k, notes; ``render`` prints it."""


def score(
    completions: Mapping[str, str] | Iterable[Mapping[str, object]],
    bench: str | Benchmark,
    *,
    reader: str = DEFAULTS.reader,
    arm: str = DEFAULT_ARM,
    baseline: str | None = DEFAULTS.baseline,
    margin: float = DEFAULTS.margin,
    missing: Missing = "leave-out",
    on_row: Callable[[AttemptRow], None] | None = None,
) -> ScoreResult:
    """Read completions made elsewhere and compare them with a benchmark's gold answers.

    Args:
        completions: problem id -> the text of the completion; or any iterable of what a line of
            ``cotkit score`` holds (``{"id": ..., "text": ..., "sample": 0, "arm": "cot"}``), taken
            one at a time, so that it may be longer than memory.
        bench: a name, the path of a JSONL file, or a benchmark object.
        reader: the reader that decides what is correct.
        arm: what to call those that name no arm.
        baseline: the arm that the others are measured against, on the same problems; ``chance``:
            what guessing solves.
        margin: smallest gain that counts as material, a fraction.
        missing: ``leave-out`` or ``wrong``: what becomes of problems without a completion.
        on_row: called with every scored completion, in the order given.

    Raises:
        BadInputError: an id that the benchmark does not have, or a field that is not as it must be.
        UsageError: no such reader or arm, or a margin out of range.
    """
    rows: list[AttemptRow] = []
    keeps_rows = isinstance(completions, Mapping)
    if isinstance(completions, Mapping):
        texts = cast("Mapping[str, str]", completions)
        items = ({"id": problem, "text": text} for problem, text in texts.items())
    else:
        items = completions

    def take_row(row: AttemptRow) -> None:
        if keeps_rows:
            rows.append(row)
        if on_row is not None:
            on_row(row)

    comparison = score_completions(
        read_items(items, arm=arm),
        _resolve_benchmark(bench),
        ScoreQuestion(reader=reader, baseline=baseline, margin=margin, missing=missing),
        source="completions",
        on_row=take_row,
    )
    return ScoreResult(cell=comparison.cells[0], rows=tuple(rows), comparison=comparison)


def _notebook_progress() -> Emit | None:
    """Return what shows progress where this is a notebook; no other program is told unasked."""
    if "IPython" not in sys.modules:
        return None
    return import_module("cotkit.report.notebook").notebook_progress()


def _resolve_backend(model: object, model_id: str | None = None) -> Backend:
    if (backend := as_backend(model, model_id)) is not None:
        return backend
    if callable(model):
        function = Function(function=cast("PromptToText", model))
        return function if model_id is None else replace(function, identity=model_id)
    return cast("Backend", model)


def _resolve_benchmark(bench: str | Benchmark) -> Benchmark:
    return load_benchmark(parse_spec(bench)) if isinstance(bench, str) else bench


def _as_ladder(
    models: str | Backend | Foreign | Sequence[str | Backend | Foreign],
) -> Sequence[str | Backend | Foreign]:
    """Return several models as they are, and one as a ladder of one."""
    return models if isinstance(models, Sequence) and not isinstance(models, str) else [models]


def _resolve_models(models: Sequence[str | Backend | Foreign]) -> list[str | Backend]:
    return [model if isinstance(model, str) else _resolve_backend(model) for model in models]


def _name_benchmarks(
    benches: str | Benchmark | Sequence[str | Benchmark],
) -> list[tuple[str, Benchmark]]:
    """Return (spec, benchmark) for each spec of a text, or an object under its name."""
    if isinstance(benches, str):
        return [(spec, _resolve_benchmark(spec)) for spec in list_specs(benches)]
    if isinstance(benches, Sequence):
        return [pair for bench in benches for pair in _name_benchmarks(bench)]
    return [(benches.name, benches)]
