"""The Python front door, for other eval code: ``compare``, ``scale`` and ``score``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast

from cotkit.analysis.scale.grid import Axis
from cotkit.analysis.scale.values import Scale
from cotkit.analysis.values import Cell, Comparison
from cotkit.backends._function import Function, PromptToText
from cotkit.benchmarks import load_benchmark
from cotkit.interop.models import Foreign, as_backend
from cotkit.protocols import Backend, Benchmark
from cotkit.registry import parse_spec
from cotkit.run import RunSpec
from cotkit.run.spec import DEFAULT_LOG_DIR, GIVEN_IN_PYTHON, strategy_specs
from cotkit.store import AttemptRow
from cotkit.workflows.compare import NO_LIMITS, Emit, Resources, run_spec
from cotkit.workflows.completions_file import DEFAULT_ARM, read_items
from cotkit.workflows.score import Missing, ScoreQuestion, score_completions


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreResult:
    """Completions that some other program made, read and compared with the gold answers."""

    cell: Cell
    """Solve rate, interval and outcomes; of several arms the first of ``comparison.cells``."""
    rows: tuple[AttemptRow, ...]
    """One for each completion of a mapping, in the order given; none of an iterable's is kept."""
    comparison: Comparison
    """All there is to say: arms, gains over a baseline, pass@k, notes; ``render`` prints it."""


def compare(
    model: str | PromptToText | Backend | Foreign,
    strategy: str | Sequence[str] = "cot",
    bench: str | Benchmark = "gsm-mini",
    *,
    baseline: str | None = None,
    limit: int | Literal["all"] | None = None,
    seed: int = 0,
    exemplars: str = "builtin:8",
    exemplar_seed: int = 0,
    reader: str = "flexible",
    margin: float = 0.02,
    model_id: str | None = None,
    run_unsafe_code: bool = False,
    model_args: Mapping[str, str] | None = None,
    generation: Mapping[str, str] | None = None,
    likelihood: bool = False,
    stop_when: Literal["decided"] | None = None,
    means: Resources = NO_LIMITS,
    log_dir: Path | str = DEFAULT_LOG_DIR,
    on_event: Emit | None = None,
) -> Comparison:
    """Does the strategy help this model? Paired with its control on the same problems.

    Args:
        model: a name as on the command line, a backend object, an ``inspect_ai`` ``Model``, an
            lm-eval ``LM``, or any function from prompt to text (also a coroutine function). An
            object is left open.
        strategy: one spec such as ``"cot"``, or several; ``"flipped-labels:fraction=0,0.5,1"``
            stands for three.
        bench: a name, the path of a JSONL file, or a benchmark object.
        baseline: measure every strategy against this one instead of its own control.
        limit: how many problems, the same in every arm; None: 200, or all where there are fewer.
        seed: which problems, and the base seed of sampled decoding.
        exemplars: ``builtin:K``, ``train:K`` or ``FILE.jsonl:K``.
        exemplar_seed: which exemplars are drawn from a train split or file.
        reader: the reader that decides what is correct.
        margin: smallest gain that counts as material, a fraction.
        model_id: vouches for the model and version behind a function or an object of another
            tool, so that later calls reuse its completions; None: they do not.
        run_unsafe_code: whether strategies may have code run that the model wrote.
        model_args: fields of the backend, as text.
        generation: strategy parameters for every arm that has them, as text.
        likelihood: whether to ask for the log-probability of gold answers, too.
        stop_when: ``decided``: stop once more problems cannot change any verdict.
        means: what this call may spend; the comparison's ``ended_by`` says if that ended it.
        log_dir: folder of the store, or ``postgresql://...``; what it holds is not made again.
        on_event: called with every event of the run; in another thread where an event loop is
            already running in this one.

    Returns:
        The comparison. Attempts the backend failed are left out and named in its notes.

    Raises:
        CotkitError: one sentence with a hint; everything that was generated is kept.
        InterruptedRunError: Ctrl-C; the same call goes on where it stopped (a function's only with
            a ``model_id``).
    """
    spec = RunSpec(
        model=model if isinstance(model, str) else GIVEN_IN_PYTHON,
        model_args=dict(model_args or {}),
        bench=bench if isinstance(bench, str) else bench.name,
        strategies=strategy_specs(strategy),
        baseline=baseline,
        limit=limit,
        seed=seed,
        exemplars=exemplars,
        exemplar_seed=exemplar_seed,
        generation=dict(generation or {}),
        reader=reader,
        margin=margin,
        run_unsafe_code=run_unsafe_code,
        likelihood=likelihood,
        stop_when=stop_when,
    )
    benchmark = _resolve_benchmark(bench)
    given = None if isinstance(model, str) else _resolve_backend(model, model_id)
    return run_spec(spec, benchmark, log_dir=log_dir, backend=given, emit=on_event, means=means)


def scale(
    models: str | Sequence[str | Backend | Foreign],
    strategy: str | Sequence[str] = "cot",
    bench: str | Benchmark | Sequence[str | Benchmark] = "gsm-mini",
    *,
    baseline: str | None = None,
    limit: int | Literal["all"] | None = None,
    seed: int = 0,
    exemplars: str = "builtin:8",
    exemplar_seed: int = 0,
    reader: str = "flexible",
    margin: float = 0.02,
    x: Axis = "params",
    assume_sustained: bool = False,
    by_steps: bool = False,
    losses: Mapping[str, float] | None = None,
    run_unsafe_code: bool = False,
    model_args: Mapping[str, str] | None = None,
    generation: Mapping[str, str] | None = None,
    likelihood: bool = False,
    prices: Path | None = None,
    log_dir: Path | str = DEFAULT_LOG_DIR,
    on_event: Emit | None = None,
) -> tuple[Scale, ...]:
    """From which size on does the strategy help? Every model on the same problems, one by one.

    Args:
        models: Names or objects as of :func:`compare`, at least two; one text is the name of a
            family.
        strategy: As of :func:`compare`.
        bench: One benchmark, or several; each has a curve of its own.
        x: What size means; ``ordinal``: the order of ``models``.
        assume_sustained: Whether help, once begun, is assumed not to stop with size; to be chosen
            before there are results.
        by_steps: Whether to ask it of the problems of each number of steps.
        losses: Model -> pretraining loss in nats per token, for ``x="loss"``.
        prices: A file of your own prices.
        baseline: As of :func:`compare`, and so are all that follow.
        limit: As there.
        seed: As there; also of the bootstraps.
        exemplars: As there.
        exemplar_seed: As there.
        reader: As there.
        margin: As there.
        run_unsafe_code: As there.
        model_args: As there, for every model.
        generation: As there.
        likelihood: As there.
        log_dir: As there.
        on_event: As there.

    Returns:
        One analysis for each benchmark, or for each of its groups by steps. Attempts that failed
        are holes and named in its notes.

    Raises:
        CotkitError: one sentence with a hint; everything that was generated is kept.
    """
    from cotkit.workflows.ladder import family_models
    from cotkit.workflows.scale import ScaleOptions, scale_models

    written = [bench] if isinstance(bench, str) or not isinstance(bench, Sequence) else bench
    spec = RunSpec(
        model=GIVEN_IN_PYTHON,
        model_args=dict(model_args or {}),
        strategies=strategy_specs(strategy),
        baseline=baseline,
        limit=limit,
        seed=seed,
        exemplars=exemplars,
        exemplar_seed=exemplar_seed,
        generation=dict(generation or {}),
        reader=reader,
        margin=margin,
        run_unsafe_code=run_unsafe_code,
        likelihood=likelihood,
    )
    found = scale_models(
        spec,
        family_models(models)
        if isinstance(models, str)
        else [one if isinstance(one, str) else _resolve_backend(one) for one in models],
        [(one if isinstance(one, str) else one.name, _resolve_benchmark(one)) for one in written],
        ScaleOptions(
            axis=x,
            assume_sustained=assume_sustained,
            losses=dict(losses or {}),
            prices=prices,
            by_steps=by_steps,
        ),
        log_dir=log_dir,
        emit=on_event or (lambda _: None),
    )
    return found.scales


def score(
    completions: Mapping[str, str] | Iterable[Mapping[str, object]],
    bench: str | Benchmark,
    *,
    reader: str = "flexible",
    arm: str = DEFAULT_ARM,
    baseline: str | None = None,
    margin: float = 0.02,
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
        baseline: the arm that the others are measured against, on the same problems.
        margin: smallest gain that counts as material, a fraction.
        missing: ``leave-out`` or ``wrong``: what becomes of problems without a completion.
        on_row: called with every scored completion, in the order given.

    Raises:
        BadInputError: an id that the benchmark does not have, or a field that is not as it must be.
        UsageError: no such reader or arm, or a margin out of range.
    """
    rows: list[AttemptRow] = []
    ask = ScoreQuestion(reader=reader, baseline=baseline, margin=margin, missing=missing)
    if isinstance(completions, Mapping):
        given = cast("Mapping[str, str]", completions)
        items = ({"id": problem, "text": text} for problem, text in given.items())
        keep = rows.append
    else:
        items, keep = completions, _discard_row

    def seen(row: AttemptRow) -> None:
        keep(row)
        if on_row is not None:
            on_row(row)

    comparison = score_completions(
        read_items(items, arm=arm),
        _resolve_benchmark(bench),
        ask,
        source="completions",
        on_row=seen,
    )
    return ScoreResult(cell=comparison.cells[0], rows=tuple(rows), comparison=comparison)


def _discard_row(row: AttemptRow) -> None:
    """Keep nothing of a row."""


def _resolve_backend(model: object, model_id: str | None = None) -> Backend:
    if (found := as_backend(model, model_id)) is not None:
        return found
    if callable(model):
        function = Function(function=cast("PromptToText", model))
        return function if model_id is None else replace(function, identity=model_id)
    return cast("Backend", model)


def _resolve_benchmark(bench: str | Benchmark) -> Benchmark:
    return load_benchmark(parse_spec(bench)) if isinstance(bench, str) else bench
