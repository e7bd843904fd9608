"""``cotkit doctor``: what batching and number format do to a local model's answers and speed."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import TYPE_CHECKING, Any

import typer

from cotkit.errors import BackendError, UsageError
from cotkit.models.rounding import LAYOUTS
from cotkit.run.spec import DEFAULT_BENCH

if TYPE_CHECKING:
    from cotkit.backends.hf import Hf
    from cotkit.types import Completion, Problem, Request


EXAMPLES = """
Examples:

  cotkit doctor --model smollm2-135m

  cotkit doctor --model qwen2.5-coder-1.5b --dtype bfloat16 --problems 32

  cotkit doctor --model ./my-model --dtype int8 --bench gsm8k
"""


@dataclass(frozen=True, slots=True)
class DoctorPass:
    """The completions and answers of the same problems, asked once."""

    completions: "list[Completion]"
    answers: "list[str | None]"
    n_correct: int
    seconds: float

    @property
    def tokens_per_s(self) -> float:
        """Return tokens generated per second; the time includes prompts."""
        n_tokens = sum(completion.n_generated_tokens or 0 for completion in self.completions)
        return n_tokens / self.seconds


def doctor(
    model: str = typer.Option("smollm2-135m", "--model", "-m", help="A local model."),
    problems: int = typer.Option(16, "--problems", "--limit", help="How many to ask."),
    bench: str = typer.Option(DEFAULT_BENCH, "--bench", "--tasks", help="Where they come from."),
    dtype: str = typer.Option("auto", "--dtype", help="float32, bfloat16, float16, int8, q4."),
    device: str = typer.Option("auto", "--device", help="cpu, cuda, cuda:1, mps ..."),
    max_tokens: int = typer.Option(128, "--max-tokens", help="Token limit of an answer."),
    model_args: str = typer.Option("", "--model-args", "-M", help="key=value,key=value."),
    settings: bool = typer.Option(
        False, "--settings", help="Print defaults, variables, files, exit statuses; ask nothing."
    ),
) -> None:
    """Ask problems one by one and all at once, twice each, and say what that changes.

    Begins with the defaults of options and where they are from. Prints how many answers differ
    (reports of this setting quote it from then on), tokens per second, the most memory taken, and
    what other number formats of this device do: answers that differ from float32's, and the
    log-probability that they lose on float32's own texts.
    """
    import asyncio

    from cotkit.cli.config import describe_settings, describe_surroundings
    from cotkit.cli.output import align_columns, print_lines
    from cotkit.run.flips import Flips, save_flips

    print_lines(*align_columns(describe_settings()))
    if settings:
        for table in describe_surroundings():
            print_lines("", *align_columns(table))
        return

    requests = _make_requests(bench, problems, max_tokens)
    options = {"dtype": dtype, "device": device}
    params = {name: value for name, value in options.items() if value != "auto"}
    backend = _load_local(model, model_args, params)
    info = backend.info
    own = info.settings["dtype"]
    where = "" if info.settings["quantisation"] == "none" else ", quantised weights"
    print_lines(f"{info.model}, {own}, {info.settings['device']}{where}: {problems} of {bench}")
    passes = asyncio.run(_run_four_passes(backend, requests))
    flips = Flips(n_flipped=_count_changed(passes[0], passes[2]), n_problems=problems)
    save_flips(info, flips)
    names = ("one by one", "one by one again", "at once", "at once again")
    rows: list[tuple[str, ...]] = [
        ("asked", "right", "answers changed", "texts changed", "tokens/s")
    ]
    for name, run in zip(names, passes, strict=True):
        changed = f"{_count_changed(passes[0], run)} of {problems}"
        texts = f"{_count_changed_texts(passes[0], run)} of {problems}"
        rows.append((name, str(run.n_correct), changed, texts, f"{run.tokens_per_s:,.1f}"))
    print_lines(*align_columns(rows))
    print_lines(f"most memory: {_peak_bytes() / 1e9:.2f} GB, weights and Python included")
    print_lines(*align_columns(_compare_formats(model, model_args, params, own, requests)))


doctor.__doc__ = f"{doctor.__doc__}\n\n\b{EXAMPLES}"
command = doctor


def _make_requests(bench: str, n: int, max_tokens: int) -> "list[tuple[Problem, Request]]":
    """Return problems with the request that ``cot`` over eight exemplars makes of each."""
    from cotkit.benchmarks import draw, load_benchmark
    from cotkit.cli.output import print_status
    from cotkit.prompting import read_exemplars
    from cotkit.registry import parse_spec
    from cotkit.strategies.cot import Cot
    from cotkit.types import Request

    benchmark = load_benchmark(parse_spec(bench), print_status)
    cot = Cot(exemplars=read_exemplars(8), max_tokens=max_tokens)
    drawn = draw(benchmark.problems(), n, seed=0)
    pairs = [(problem, next(cot.solve(problem.question))) for problem in drawn]
    return [(problem, request) for problem, request in pairs if isinstance(request, Request)]


def _load_local(model: str, model_args: str, params: dict[str, str]) -> "Hf":
    from cotkit.backends.hf import Hf
    from cotkit.cli.output import print_status
    from cotkit.registry import parse_params
    from cotkit.run import build_backend

    args = {**parse_params(model_args), **params}
    backend = build_backend(model, args, problems=(), store=None, notify=print_status)
    if not isinstance(backend, Hf):
        raise UsageError(f"{model} is not a local model", hint="cotkit models lists some")
    return backend


async def _run_four_passes(
    backend: "Hf", requests: "Sequence[tuple[Problem, Request]]"
) -> list[DoctorPass]:
    try:
        await backend.generate(
            replace(requests[0][1], decoding=replace(requests[0][1].decoding, max_tokens=1))
        )
        return [
            await _run_pass(backend, requests, at_once=at_once)
            for at_once in (False, False, True, True)
        ]
    finally:
        await backend.close()


async def _run_pass(
    backend: "Hf", requests: "Sequence[tuple[Problem, Request]]", *, at_once: bool
) -> DoctorPass:
    import asyncio

    from cotkit.scoring import score_attempt
    from cotkit.types import Attempt

    began = time.perf_counter()
    if at_once:
        several = await asyncio.gather(*(backend.generate(request) for _, request in requests))
    else:
        several = [await backend.generate(request) for _, request in requests]
    seconds = time.perf_counter() - began
    completions = [completion for (completion,) in several]
    scores = [
        score_attempt(Attempt(text=completion.text, stop_reason=completion.stop_reason), problem)
        for (problem, _), completion in zip(requests, completions, strict=True)
    ]
    answers = [score.readings["flexible"].value for score in scores]
    n_correct = sum(score.outcome == "correct" for score in scores)
    return DoctorPass(completions, answers, n_correct, seconds)


def _compare_formats(
    model: str,
    model_args: str,
    params: dict[str, str],
    own: str,
    requests: "Sequence[tuple[Problem, Request]]",
) -> list[tuple[str, ...]]:
    """Return rows of float32 and, compared with it, of the formats that suit this device."""
    import asyncio

    from cotkit.cli.output import print_status

    on_cpu = _load_local(model, model_args, params).info.settings["device"] == "cpu"
    others = dict.fromkeys((own, "bfloat16", *(LAYOUTS if on_cpu else ())))
    rows: list[tuple[str, ...]] = [
        ("format", "right", "answers unlike float32's", "lost, nats a token", "tokens/s")
    ]
    reference: DoctorPass | None = None
    reference_logprobs: list[float] = []
    for dtype in ("float32", *(name for name in others if name != "float32")):
        backend = _load_local(model, model_args, {**params, "dtype": dtype})
        try:
            run, logprobs = asyncio.run(_run_against(backend, requests, reference))
        except BackendError as refused:
            if dtype not in LAYOUTS or dtype == own:
                raise
            print_status(f"{dtype}: {refused}")
            rows.append((dtype, "not this model", "", "", ""))
            continue
        if reference is None:
            reference, reference_logprobs = run, logprobs
        losses = [a - b for a, b in zip(reference_logprobs, logprobs, strict=True)]
        lost = fmean(losses) if losses else 0.0
        changed = f"{_count_changed(reference, run)} of {len(requests)}"
        speed = f"{run.tokens_per_s:,.1f}"
        rows.append((dtype, str(run.n_correct), changed, f"{lost:+.4f}", speed))
    return rows


async def _run_against(
    backend: "Hf", requests: "Sequence[tuple[Problem, Request]]", reference: DoctorPass | None
) -> tuple[DoctorPass, list[float]]:
    """Run a pass; return it with the log-probability a token of each text of the reference.

    ``reference``: an earlier pass; None: this one.
    """
    import asyncio

    try:
        run = await _run_pass(backend, requests, at_once=True)
        texts = [completion.text for completion in (reference or run).completions]
        scored = await asyncio.gather(
            *(
                backend.loglikelihood(replace(request, options=(text,)))
                for (_, request), text in zip(requests, texts, strict=True)
                if text.strip()
            )
        )
    finally:
        await backend.close()
    return run, [(text.logprob or 0.0) / (text.n_generated_tokens or 1) for (text,) in scored]


def _count_changed(first: DoctorPass, second: DoctorPass) -> int:
    return sum(a != b for a, b in zip(first.answers, second.answers, strict=True))


def _count_changed_texts(first: DoctorPass, second: DoctorPass) -> int:
    return sum(a.text != b.text for a, b in zip(first.completions, second.completions, strict=True))


def _peak_bytes() -> int:
    import resource
    import sys

    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    peak: Any = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak) if sys.platform == "darwin" else int(peak) * 1024
