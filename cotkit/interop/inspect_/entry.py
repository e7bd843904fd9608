"""What Inspect loads of cotkit: ``inspect eval cotkit/arithmetic --solver cotkit/cot``.

Every strategy is a solver, every reader a scorer, every benchmark a task, each under its own name.
Inspect loads this module by the entry point ``inspect_ai``; nothing else imports it.
"""

# pyright: reportMissingImports=false, reportUnknownParameterType=false
# Type checks run without Inspect, so its values have no known types.

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ChatMessageAssistant, ModelOutput, get_model
from inspect_ai.scorer import CORRECT, INCORRECT, Score, accuracy, scorer, stderr
from inspect_ai.solver import Generate, Solver, TaskState, solver
from inspect_ai.util import collect, sandbox

from cotkit.backends.inspect import chat_messages, complete
from cotkit.benchmarks import draw, load_benchmark
from cotkit.interop.inspect_ import samples
from cotkit.interop.inspect_.logs import INSPECT_STOP_REASONS
from cotkit.interop.inspect_.samples import SampleView
from cotkit.registry import Spec, entries
from cotkit.run.driver import Run, Turn, drive, make_oracle, start_flow, trim
from cotkit.run.sandbox import make_borrowed_sandbox, make_sandbox
from cotkit.scoring import READERS, score_attempt
from cotkit.scoring.readers import resolve_reader
from cotkit.types import Problem, Request

_METADATA_KEY = "cotkit"
"""The key of the attempt in a sample's store, where the scorers read it."""
_DEFAULT_READER = "flexible"


def make_solver_factory(strategy: str) -> Callable[..., Solver]:
    """Return the function that makes a solver of a strategy.

    ``-S key=value`` are its parameters (``k=5``), ``exemplars`` and ``exemplar_seed`` as of
    ``cotkit compare``, ``answer_kind`` where a sample's target does not show it, and
    ``run_unsafe_code`` and ``sandbox``. Decoding is the strategy's: Inspect's ``--temperature``
    has no effect.
    """

    def make(**params: object) -> Solver:
        settings = samples.read_settings(strategy, params)

        async def solve(state: TaskState, generate: Generate) -> TaskState:  # noqa: ARG001 - Inspect's shape
            view = _read_state(state)
            problem = samples.make_problem(view, settings.answer_kind)
            model, turns = get_model(), list[tuple[Request, Turn]]()

            async def ask(request: Request) -> Turn:
                completions = await collect(*(complete(model, request, n) for n in request.samples))
                turn = Turn(
                    keys=(),
                    completions=tuple(trim(completion, request) for completion in completions),
                )
                turns.append((request, turn))
                return turn

            flow = start_flow(
                samples.build_strategy(settings, view, problem),
                problem.question,
                make_oracle(problem, _DEFAULT_READER),
            )
            attempt, _ = await drive(flow, ask, _make_sandbox(settings))
            state.messages = [
                message
                for request, turn in turns
                for message in (
                    *chat_messages(request.messages),
                    *(
                        ChatMessageAssistant(content=completion.text)
                        for completion in turn.completions
                    ),
                )
            ]
            state.output = ModelOutput.from_content(
                model=str(model),
                content=attempt.text,
                stop_reason=INSPECT_STOP_REASONS[attempt.stop_reason],
            )
            state.store.set(_METADATA_KEY, samples.dump_attempt(attempt))
            return state

        return solve

    return make


def _make_sandbox(settings: samples.SolverSettings) -> Run:
    """Return what runs code: the sandbox of the task, if it has one that keeps code apart."""
    own_walls = make_sandbox(allowed=settings.run_unsafe_code, kind=settings.sandbox)
    if not settings.run_unsafe_code or settings.sandbox != "auto":
        return own_walls
    try:
        environment = sandbox()
    except ProcessLookupError:  # the task has none
        return own_walls
    if type(environment).__name__ == "LocalSandboxEnvironment":  # which is only a folder
        return own_walls

    async def execute(command: list[str], stdin: str, timeout_s: int) -> tuple[int, str, str]:
        ended = await environment.exec(command, input=stdin, timeout=timeout_s, timeout_retry=False)
        return ended.returncode, ended.stdout, ended.stderr

    return make_borrowed_sandbox(execute)


def make_scorer_factory(reader: str) -> Callable[..., Any]:
    """Return the function that makes a scorer of a reader.

    The answer is what the reader read; the outcome is metadata. Of an attempt by a cotkit solver
    it reads the text that the strategy returned, votes included; of any other, the last completion.
    """

    def make(answer_kind: str | None = None) -> Callable[[TaskState, Any], Awaitable[Score]]:
        async def score(state: TaskState, target: object) -> Score:  # noqa: ARG001 - Inspect's shape
            attempt = samples.load_attempt(
                state.store.get(_METADATA_KEY), *_read_output(state.output)
            )
            scores = score_attempt(
                attempt, samples.make_problem(_read_state(state), answer_kind), reader
            )
            name = resolve_reader(reader)
            reading = scores.readings[name]
            return Score(
                value=CORRECT if scores.correct_by[name] else INCORRECT,
                answer=reading.value,
                explanation=attempt.text,
                metadata={"outcome": scores.outcome, "rule": reading.rule},
            )

        return score

    return make


def make_task_factory(bench: str) -> Callable[..., Task]:
    """Return the function that makes a task of a benchmark; ``-T`` are its parameters.

    ``-T limit=50`` draws problems as ``cotkit compare --limit 50`` does; Inspect's ``--limit 50``
    takes the first ones.
    """

    def make(**params: object) -> Task:
        arguments = {key: samples.to_text(value) for key, value in params.items()}
        limit = arguments.pop("limit", None)
        spec = Spec(name=bench, params=arguments)
        benchmark = load_benchmark(spec)
        problems = draw(
            benchmark.problems(), None if limit is None else samples.read_count(limit), 0
        )
        return Task(
            dataset=MemoryDataset(
                [_make_sample(problem, str(spec)) for problem in problems], name=benchmark.name
            ),
            solver=_SOLVERS["cot"](),
            scorer=[
                _SCORERS[name]()
                for name in (_DEFAULT_READER, *(n for n in READERS if n != _DEFAULT_READER))
                if benchmark.answer_kind in READERS[name].kinds - READERS[name].only_asked
            ],
            version=benchmark.version,
            metadata={"cotkit": {"bench": str(spec)}},
        )

    return make


def _make_sample(problem: Problem, bench: str) -> Sample:
    return Sample(
        id=problem.question.id,
        input=problem.question.text,
        choices=list(problem.question.choices) or None,
        target=samples.format_target(problem),
        metadata={"cotkit": {"bench": bench}, "n_steps": problem.n_steps},
    )


def _read_state(state: TaskState) -> SampleView:
    about = state.metadata.get("cotkit")
    return SampleView(
        id=str(state.sample_id),
        text=state.input_text,
        choices=tuple(choice.value for choice in state.choices),
        targets=tuple(state.target),
        bench=about.get("bench") if isinstance(about, dict) else None,
    )


def _read_output(output: ModelOutput) -> tuple[str, str]:
    return output.completion, "stop" if output.empty else output.stop_reason


def _register() -> tuple[dict[str, Callable[..., Solver]], dict[str, Callable[..., Any]]]:
    """Register all under cotkit's names and, for ``cotkit/self_review``, with underscores."""
    solvers: dict[str, Callable[..., Solver]] = {}
    scorers: dict[str, Callable[..., Any]] = {}
    kinds = (
        (solver, make_solver_factory, (entry.name for entry in entries("strategy")), solvers),
        (partial(scorer, [accuracy(), stderr()]), make_scorer_factory, READERS, scorers),
    )
    for decorate, make_factory, names, registered in kinds:
        for name in names:
            for spelled in dict.fromkeys((name.replace("-", "_"), name)):
                registered[name] = decorate(spelled)(make_factory(name))
    for bench in (entry.name for entry in entries("benchmark")):
        for spelled in dict.fromkeys((bench.replace("-", "_"), bench)):
            task(name=spelled)(make_task_factory(bench))
    return solvers, scorers


_SOLVERS, _SCORERS = _register()
