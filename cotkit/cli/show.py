"""``cotkit show``: a rendered prompt, a run's settings, one attempt, or a benchmark's card."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cotkit.cli.config import ConfiguredCommand
from cotkit.cli.options import RUN_CODE, CommandGroup, read_place, read_system, with_options
from cotkit.run.spec import DEFAULT_BENCH, DEFAULT_STRATEGY, DEFAULTS
from cotkit.types import Completion, Execute, Problem, Request

if TYPE_CHECKING:
    from cotkit.store import AttemptRow

app = CommandGroup(help="A prompt, a run's settings, one attempt, a benchmark's card.")

RULE = "─" * 24
_RAW = typer.Option(
    False, "--raw", help="Print texts as they are: escapes, hidden and bidi characters, too."
)


@app.command()
def prompt(
    strategy: str = typer.Option(
        DEFAULT_STRATEGY, "--strategy", "-s", help="NAME or NAME:key=value."
    ),
    bench: str = typer.Option(
        DEFAULT_BENCH, "--bench", "--tasks", help="Benchmark name, or a file of yours."
    ),
    problem: str | None = typer.Option(
        None, "--problem", help="Id of the problem (default: the first drawn)."
    ),
    exemplars: str = typer.Option(
        DEFAULTS.exemplars, "--exemplars", help="builtin:K, train:K, dates:K, ... as of compare."
    ),
    exemplar_seed: int = typer.Option(
        DEFAULTS.exemplar_seed, "--exemplar-seed", help="Which exemplars are drawn."
    ),
    system: str | None = typer.Option(
        None, "--system", help="System message of every request: TEXT, or a file."
    ),
    model: str | None = typer.Option(
        None, "--model", "-m", help="Count tokens as this model does."
    ),
    confirm_run_unsafe_code: bool = RUN_CODE,
    raw: bool = _RAW,
) -> None:
    """Print what a strategy sends for one problem, turn by turn; to the byte with --raw.

    Later turns hold what the model said; here a placeholder stands for it. An oracle says no.

    Examples:

      cotkit show prompt --strategy zero-shot-cot

      cotkit show prompt --strategy cot --bench gsm8k --problem gsm8k/test/0 --model smollm2-135m
    """
    from cotkit.benchmarks import load_benchmark
    from cotkit.cli.output import print_status, print_text
    from cotkit.errors import UnknownNameError, UsageError
    from cotkit.protocols import CodeBenchmark
    from cotkit.registry import parse_spec, split_specs
    from cotkit.run import RunSpec, make_plan
    from cotkit.run.forecast import start_without_gold

    spec = RunSpec(
        model=model or "none",
        bench=bench,
        strategies=split_specs(strategy),
        exemplars=exemplars,
        exemplar_seed=exemplar_seed,
        system=None if system is None else read_system(system),
        baseline="standard" if strategy.endswith(".jinja") else None,  # it may name no control
        limit="all" if problem else None,
        run_unsafe_code=True,  # nothing is run: a placeholder stands for what the code prints
    )
    benchmark = load_benchmark(parse_spec(bench))
    if isinstance(benchmark, CodeBenchmark) and not confirm_run_unsafe_code:
        benchmark.problems()  # refuses what would run code
    plan = make_plan(spec, benchmark)
    by_id = {p.question.id: p for p in plan.problems}
    if problem is not None and problem not in by_id:
        if any(p.question.id == problem for p in plan.everything):
            reason = f"{problem} is kept for exemplars: {bench} has one split"
            raise UsageError(reason, hint="--exemplars FILE.jsonl:8, or another problem")
        raise UnknownNameError("problem", problem, by_id)
    chosen = by_id[problem] if problem else plan.problems[0]
    name = str(parse_spec(spec.strategies[0]))
    arm = next((arm for arm in plan.arms if arm.name == name), plan.arms[0])  # its control's twin
    flow = start_without_gold(arm, chosen.question)
    step, turn = next(flow, None), 0
    while step is not None:
        turn += 1
        size = _prompt_size(model, plan.problems, step)
        print_status(f"{RULE} {arm.name} · {chosen.question.id} · turn {turn} · {size}")
        if isinstance(step, Execute):
            print_text(step.code, raw=raw)
        else:
            _print_request(step, raw=raw)
        placeholder = Completion(text=f"<completion {turn}>", stop_reason="stop")
        n_samples = 1 if isinstance(step, Execute) else len(step.samples)
        try:
            step = flow.send((placeholder,) * n_samples)
        except StopIteration:
            step = None


@app.command("attempt", cls=ConfiguredCommand)
@with_options(read_place)
def attempt(
    log_dir: Path | str,
    run: str = typer.Argument(
        "last", help="Id of the run, how it begins, or last (cotkit list runs)."
    ),
    arm: str | None = typer.Argument(None, help="Arm, e.g. cot (default: the last one)."),
    problem: str | None = typer.Argument(
        None, help="Id of the problem (default: the first on which the arms disagree)."
    ),
    raw: bool = _RAW,
) -> None:
    """Print one attempt: what was asked, what came back, what the readers read.

    Examples:

      cotkit show attempt last

      cotkit show attempt 3fa9 cot gsm-mini/017
    """
    from cotkit.cli.output import align_columns, print_lines, print_status, print_text
    from cotkit.errors import UnknownNameError
    from cotkit.scoring import score
    from cotkit.store import Store, existing_place

    place = existing_place(log_dir)
    with Store(place) as store:
        stored = store.run(run)
        rows = {(row.arm, row.problem_id): row for row in store.attempts(stored.id)}
        arms, problems = ({key[i]: None for key in rows} for i in (0, 1))
        arm = list(arms)[-1] if arm is None and arms else arm
        if arm is not None and problem is None:
            problem = _first_disagreement(rows, arm)
            print_status(f"{stored.id}, {arm}, {problem}: one of {len(problems)} problems")
        if arm is None or problem is None or arm not in arms:
            raise UnknownNameError("arm", arm or "", arms)
        if (arm, problem) not in rows:
            raise UnknownNameError("problem", problem, problems)
        row, turns = rows[arm, problem], store.turns(stored.id, arm, problem)
    if row.scorer_version not in {"", *score.current_versions()}:
        print_status(
            f"the scores are of version {row.scorer_version} of the scorer, which is now of "
            f"version {score.SCORER_VERSION}: cotkit resume {stored.id} reads the answer again"
        )
    for number, turn in enumerate(turns, start=1):
        print_lines(f"{RULE} turn {number}: prompt")
        _print_request(turn.request, raw=raw)
        for sample, completion in zip(turn.request.samples, turn.completions, strict=True):
            size = f"{completion.n_prompt_tokens} + {completion.n_generated_tokens} tokens"
            print_lines(
                f"{RULE} turn {number}: sample {sample} · {size} · {completion.stop_reason}"
            )
            if completion.reasoning:
                print_text(f"(reasoning)\n{completion.reasoning}\n(answer)", raw=raw)
            print_text(completion.text, raw=raw)
    print_lines(f"{RULE} {row.outcome} · gold {row.gold}" + f" · {row.error}" * bool(row.error))
    readings = [
        (
            name,
            r.value if r.value is not None else "nothing",
            r.rule,
            _correct_mark(row.correct_by[name]),
        )
        for name, r in row.readings.items()
    ]
    print_lines(*align_columns(readings))


@app.command("run", cls=ConfiguredCommand)
@with_options(read_place)
def run_settings(
    log_dir: Path | str,
    run: str = typer.Argument(
        "last", help="Id of the run, how it begins, or last (cotkit list runs)."
    ),
) -> None:
    """Print how a run was made, setting by setting, and how each of its attempts ended.

    Examples:

      cotkit show run last
    """
    from cotkit.cli.output import align_columns, print_lines
    from cotkit.run.served import read_server
    from cotkit.store import Store, existing_place
    from cotkit.workflows.settings import run_settings

    with Store(existing_place(log_dir)) as store:
        stored = store.run(run)
        _, info = store.run_backend(stored.id)
        rows = store.attempts(stored.id)
        settings = run_settings(store, stored.id, info)
        server = read_server(store, stored.id, info)
    lines = {
        "run": stored.id,
        "status": stored.status,
        "created (UTC)": stored.created_utc[:19],
        "updated (UTC)": stored.updated_utc[:19],
        **settings,
    }
    print_lines(*align_columns([*lines.items()]), "")
    if server is not None and (facts := server.facts()):
        print_lines("What the server says of itself", *align_columns([*facts.items()]), "")
    header = ("arm", "problem", "outcome", "tokens", "why")
    attempts = [
        (row.arm, row.problem_id, row.outcome, _show_tokens(row), row.error or "") for row in rows
    ]
    print_lines(*align_columns([header, *attempts]))


def _show_tokens(row: "AttemptRow") -> str:
    counts = (row.n_prompt_tokens, row.n_generated_tokens)
    return " + ".join("?" if count is None else f"{count:,}" for count in counts)


def _first_disagreement(rows: "Mapping[tuple[str, str], AttemptRow]", arm: str) -> str | None:
    """Return the first problem that another arm ended otherwise than this one; else the first."""
    problems = list(dict.fromkeys(problem for name, problem in rows if name == arm))
    for problem in problems:
        if len({row.outcome for (_, other), row in rows.items() if other == problem}) > 1:
            return problem
    return problems[0] if problems else None


@app.command("bench")
def bench_card(
    spec: str = typer.Argument(metavar="NAME", help="Benchmark name (cotkit list benches)."),
) -> None:
    """Print a benchmark's card: source, licence, size, known errors, what it measures.

    Examples:

      cotkit show bench gsm-mini
    """
    from cotkit.benchmarks.hub import named_sets, write_card
    from cotkit.cli.output import print_text
    from cotkit.errors import UsageError
    from cotkit.paths import resource
    from cotkit.registry import is_data_file, load_class, parse_spec

    name = parse_spec(spec).name  # with a task or parameters, too: bigbench:emoji_movie
    if name in named_sets():
        print_text(write_card(name), raw=False)
        return
    if is_data_file(name) or load_class("benchmark", name).__module__.partition(".")[0] != "cotkit":
        raise UsageError(f"{name} is not one of cotkit's own: it has no card")
    card = resource(f"benchmarks/{name.replace('_', '-')}/card.md").read_text("utf-8")
    print_text(card.removesuffix("\n"), raw=False)


def _print_request(request: Request, *, raw: bool) -> None:
    """Print each message below its role, which is on standard error; ``raw``: texts to the byte."""
    from cotkit.cli.output import print_status, print_text

    if raw:
        print_text("".join(message.content for message in request.messages), raw=True)
        return
    for message in request.messages:
        print_status(f"[{message.role}]")
        print_text(message.content, raw=False)


def _prompt_size(model: str | None, problems: tuple[Problem, ...], step: Request | Execute) -> str:
    if isinstance(step, Execute):
        return "code to run"
    import asyncio

    n_tokens = asyncio.run(_count_tokens(model, problems, step)) if model else None
    size = f"{n_tokens} tokens" if n_tokens is not None else "tokens not counted"
    return size if len(step.samples) == 1 else f"{size} · {len(step.samples)} samples"


async def _count_tokens(model: str, problems: tuple[Problem, ...], request: Request) -> int | None:
    from cotkit.cli.output import print_status
    from cotkit.run import build_backend

    backend = build_backend(model, {}, problems=problems, store=None, notify=print_status)
    try:
        return await backend.count_tokens(request)
    finally:
        await backend.close()


def _correct_mark(correct: bool) -> str:
    return "correct" if correct else "-"
