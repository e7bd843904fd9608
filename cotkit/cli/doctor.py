"""``cotkit doctor``: what batching and number format do to a local model's answers and speed."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import TYPE_CHECKING, Any

import typer

from cotkit.errors import UsageError

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
    """The same problems asked once."""

    done: "list[Completion]"
    answers: "list[str | None]"
    n_correct: int
    seconds: float

    @property
    def tokens_per_s(self) -> float:
        """Tokens generated per second, prompts included in the time."""
        return sum(one.n_generated_tokens or 0 for one in self.done) / self.seconds


def doctor(
    model: str = typer.Option("smollm2-135m", "--model", "-m", help="A local model."),
    problems: int = typer.Option(16, "--problems", "--limit", help="How many to ask."),
    bench: str = typer.Option("gsm-mini", "--bench", "--tasks", help="Where they come from."),
    dtype: str = typer.Option("auto", "--dtype", help="float32, bfloat16, float16, int8."),
    device: str = typer.Option("auto", "--device", help="cpu, cuda, cuda:1, mps ..."),
    max_tokens: int = typer.Option(128, "--max-tokens", help="Token limit of an answer."),
    model_args: str = typer.Option("", "--model-args", "-M", help="key=value,key=value."),
) -> None:
    """Ask problems one by one and all at once, twice each, and say what that changes.

    Prints how many answers differ (reports of this setting quote it from then on), tokens per
    second, the most memory taken, and what other number formats of this device do: answers that
    differ from float32's, and the log-probability that they lose on float32's own texts.
    """
    from cotkit.cli.output import align_columns
    from cotkit.run.flips import Flips, save_flips

    asked = _make_requests(bench, problems, max_tokens)
    given = {"dtype": dtype, "device": device}
    params = {name: value for name, value in given.items() if value != "auto"}
    backend = _load_local(model, model_args, params)
    info = backend.info
    own = info.settings["dtype"]
    where = "" if info.settings["quantisation"] == "none" else ", quantised weights"
    typer.echo(f"{info.model}, {own}, {info.settings['device']}{where}: {problems} of {bench}")
    passes = asyncio.run(_run_four_passes(backend, asked))
    flips = Flips(n_flipped=_count_changed(passes[0], passes[2]), n_problems=problems)
    save_flips(info, flips)
    names = ("one by one", "one by one again", "at once", "at once again")
    rows: list[tuple[str, ...]] = [
        ("asked", "right", "answers changed", "texts changed", "tokens/s")
    ]
    for name, one in zip(names, passes, strict=True):
        changed = f"{_count_changed(passes[0], one)} of {problems}"
        texts = f"{_count_changed_texts(passes[0], one)} of {problems}"
        rows.append((name, str(one.n_correct), changed, texts, f"{one.tokens_per_s:,.1f}"))
    typer.echo("\n".join(align_columns(rows)))
    typer.echo(f"most memory: {_peak_bytes() / 1e9:.2f} GB, weights and Python included")
    typer.echo("\n".join(align_columns(_compare_formats(model, model_args, params, own, asked))))


doctor.__doc__ = f"{doctor.__doc__}\n\n\b{EXAMPLES}"
command = doctor


def _make_requests(bench: str, n: int, max_tokens: int) -> "list[tuple[Problem, Request]]":
    """Problems with the request that chain-of-thought over eight exemplars makes of them."""
    from cotkit.benchmarks import draw, load_benchmark
    from cotkit.prompting import read_exemplars
    from cotkit.registry import parse_spec
    from cotkit.strategies.cot import Cot
    from cotkit.types import Request

    found = load_benchmark(parse_spec(bench), lambda text: typer.echo(text, err=True))
    cot = Cot(exemplars=read_exemplars(8), max_tokens=max_tokens)
    pairs = [(one, next(cot.solve(one.question))) for one in draw(found.problems(), n, seed=0)]
    return [(problem, request) for problem, request in pairs if isinstance(request, Request)]


def _load_local(model: str, model_args: str, params: dict[str, str]) -> "Hf":
    from cotkit.backends.hf import Hf
    from cotkit.registry import parse_params
    from cotkit.run import build_backend

    args = {**parse_params(model_args), **params}
    made = build_backend(
        model, args, problems=(), store=None, notify=lambda text: typer.echo(text, err=True)
    )
    if not isinstance(made, Hf):
        raise UsageError(f"{model} is not a local model", hint="cotkit models lists some")
    return made


async def _run_four_passes(
    backend: "Hf", asked: "Sequence[tuple[Problem, Request]]"
) -> list[DoctorPass]:
    try:
        await backend.generate(
            replace(asked[0][1], decoding=replace(asked[0][1].decoding, max_tokens=1))
        )
        return [await _run_pass(backend, asked, at_once=how) for how in (False, False, True, True)]
    finally:
        await backend.close()


async def _run_pass(
    backend: "Hf", asked: "Sequence[tuple[Problem, Request]]", *, at_once: bool
) -> DoctorPass:
    from cotkit.scoring import score_attempt
    from cotkit.types import Attempt

    began = time.perf_counter()
    if at_once:
        several = await asyncio.gather(*(backend.generate(request) for _, request in asked))
    else:
        several = [await backend.generate(request) for _, request in asked]
    seconds = time.perf_counter() - began
    done = [one for (one,) in several]
    scores = [
        score_attempt(Attempt(text=one.text, stop_reason=one.stop_reason), problem)
        for (problem, _), one in zip(asked, done, strict=True)
    ]
    answers = [score.readings["flexible"].value for score in scores]
    n_correct = sum(score.outcome == "correct" for score in scores)
    return DoctorPass(done, answers, n_correct, seconds)


def _compare_formats(
    model: str,
    model_args: str,
    params: dict[str, str],
    own: str,
    asked: "Sequence[tuple[Problem, Request]]",
) -> list[tuple[str, ...]]:
    """Float32 first, then what else this device can do in earnest, against it."""
    on_cpu = _load_local(model, model_args, params).info.settings["device"] == "cpu"
    others = dict.fromkeys((own, "bfloat16", *(("int8",) if on_cpu else ())))
    rows: list[tuple[str, ...]] = [
        ("format", "right", "answers unlike float32's", "lost, nats a token", "tokens/s")
    ]
    reference: DoctorPass | None = None
    theirs: list[float] = []
    for dtype in ("float32", *(one for one in others if one != "float32")):
        backend = _load_local(model, model_args, {**params, "dtype": dtype})
        found, mine = asyncio.run(_run_against(backend, asked, reference))
        if reference is None:
            reference, theirs = found, mine
        lost = fmean(a - b for a, b in zip(theirs, mine, strict=True)) if mine else 0.0
        changed = f"{_count_changed(reference, found)} of {len(asked)}"
        speed = f"{found.tokens_per_s:,.1f}"
        rows.append((dtype, str(found.n_correct), changed, f"{lost:+.4f}", speed))
    return rows


async def _run_against(
    backend: "Hf", asked: "Sequence[tuple[Problem, Request]]", reference: DoctorPass | None
) -> tuple[DoctorPass, list[float]]:
    """A pass, and the log-probability a token of the reference's texts; None: of its own."""
    try:
        found = await _run_pass(backend, asked, at_once=True)
        texts = [one.text for one in (reference or found).done]
        scored = await asyncio.gather(
            *(
                backend.loglikelihood(replace(request, options=(text,)))
                for (_, request), text in zip(asked, texts, strict=True)
                if text.strip()
            )
        )
    finally:
        await backend.close()
    return found, [(one.logprob or 0.0) / (one.n_generated_tokens or 1) for (one,) in scored]


def _count_changed(first: DoctorPass, second: DoctorPass) -> int:
    return sum(a != b for a, b in zip(first.answers, second.answers, strict=True))


def _count_changed_texts(first: DoctorPass, second: DoctorPass) -> int:
    return sum(a.text != b.text for a, b in zip(first.done, second.done, strict=True))


def _peak_bytes() -> int:
    import resource
    import sys

    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    peak: Any = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak) if sys.platform == "darwin" else int(peak) * 1024
