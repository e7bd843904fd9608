"""``cotkit lab``: experiments with networks that cotkit trains itself, and models of a family."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cotkit.cli.options import CommandGroup, read_executor, with_options
from cotkit.cli.output import (
    align_columns,
    check_page,
    print_lines,
    print_rendered,
    print_status,
    write_page,
)
from cotkit.errors import IncompleteRunError, UnknownNameError, UsageError
from cotkit.inputs import parse_number
from cotkit.run.spec import RunSpec, list_specs

if TYPE_CHECKING:
    from cotkit.analysis.draws import DrawVariance
    from cotkit.analysis.values import Comparison
    from cotkit.executors.ray import RayExecutor
    from cotkit.labs.pocket.training import PocketJob, TrainingEstimate
    from cotkit.labs.report import LabReport
    from cotkit.labs.trainer import Trainer, TrainingEnd, TrainingProgress

app = CommandGroup(help="Networks that cotkit trains itself, on a laptop.")

_DEVICE = typer.Option("auto", "--device", help="cpu, cuda, cuda:1, mps or auto.")
_STEPS = typer.Option(
    None, "--steps", help="Optimizer steps in place of the preset's: another recipe, then."
)
_SAVE_EVERY = typer.Option(500, "--save-every", help="Steps between two checkpoints.")


@app.command()
def mirage(
    preset: str = typer.Option("cpu", "--preset", help="cpu (minutes) or paper (hours)."),
    only: str = typer.Option(
        "all", "--only", help="Families: lenet, autoencoder, transformer, with commas; or all."
    ),
    data: str | None = typer.Option(
        None, "--data", help="Images in place of the preset's: digits, mnist, omniglot, cifar100."
    ),
    seed: int = typer.Option(0, "--seed", help="The first seed of each size."),
    steps: int | None = _STEPS,
    device: str = _DEVICE,
    out: Path = typer.Option(Path("lab-mirage"), "--out", help="Folder of networks and reports."),
    save_every: int = _SAVE_EVERY,
) -> None:
    """Is emergence made by the metric? Small image networks, measured by lax and strict metrics.

    LeNets by subset accuracy (all of K images right), autoencoders by a reconstruction threshold,
    causal transformers by whole sequences (arXiv:2304.15004, section 5). Each family ends in the
    verdict of cotkit scale: a real jump, or made by the metric. The same command goes on after
    Ctrl-C or a kill, and trains nothing twice.

    Examples:

      cotkit lab mirage --preset cpu

      cotkit lab mirage --only lenet --data mnist --device cuda
    """
    _check_steps(steps)
    trainer = _make_trainer(device, save_every)
    from cotkit.labs.mirage import find_recipe, measure_families
    from cotkit.labs.mirage_judge import judge_mirage

    recipe = find_recipe(preset, only=only, data=data, n_steps=steps)
    _check_out(out)
    n_sizes = sum(len(family.widths) for family in recipe.families)
    print_status(f"{n_sizes} sizes, {recipe.n_seeds} seeds of each")
    results = measure_families(recipe, seed, out, trainer)
    _print_report(judge_mirage(results, n_seeds=recipe.n_seeds, seed=seed), out)


@app.command()
def icl(
    preset: str = typer.Option("cpu", "--preset", help="cpu (minutes) or paper (for a GPU)."),
    dims: int | None = typer.Option(
        None, "--dims", min=1, help="Dimensions of x, in place of the preset's (cpu 3, paper 20)."
    ),
    nonzero: int | None = typer.Option(
        None, "--nonzero", min=1, help="Weights of sparse functions, in place of the preset's."
    ),
    seed: int = typer.Option(0, "--seed", help="Of first weights, data and tests."),
    steps: int | None = _STEPS,
    device: str = _DEVICE,
    out: Path = typer.Option(Path("lab-icl"), "--out", help="Folder of networks and reports."),
    save_every: int = _SAVE_EVERY,
) -> None:
    """Does in-context learning reach beyond the training mixture? Transformers on functions.

    GPT-2-style networks are trained on prompts of dense linear, sparse linear and sinusoidal
    functions, alone and mixed (arXiv:2311.00871); their errors by number of exemplars stand
    against least squares and the Lasso, on classes seen and on functions between and beyond them.
    The same command goes on after Ctrl-C or a kill, and trains nothing twice.

    Examples:

      cotkit lab icl --preset cpu

      cotkit lab icl --dims 5 --steps 20000

      cotkit lab icl --preset paper --device cuda
    """
    _check_steps(steps)
    trainer = _make_trainer(device, save_every)
    from cotkit.labs.icl import find_recipe, measure_networks
    from cotkit.labs.icl_judge import judge_icl

    recipe = find_recipe(preset, steps, dims, nonzero)
    _check_out(out)
    print_status(f"{len(recipe.mixtures)} networks, {recipe.n_steps:,} steps each")
    errors = measure_networks(recipe, seed, out, trainer)
    _print_report(judge_icl(errors, n_steps=recipe.n_steps, dims=recipe.dims, seed=seed), out)


FLIPPED_PRESETS = {"cpu": (50, 8), "paper": (100, 16)}
"""Problems, and exemplars of each label."""
FRACTIONS = "0,0.25,0.5,0.75,1"


@app.command("flipped")
@with_options(read_executor)
def flipped(
    cluster: RayExecutor | None,
    models: str = typer.Option(
        "smollm2-135m",
        "--models",
        "-m",
        help="The ladder: names as --model of compare takes, with commas.",
    ),
    preset: str = typer.Option(
        "cpu", "--preset", help="cpu (50 problems, k = 8) or paper (100 problems, k = 16)."
    ),
    bench: str = typer.Option("sentiment-mini", "--bench", help="A benchmark with two labels."),
    fractions: str = typer.Option(
        FRACTIONS, "--fractions", help="Shares of flipped labels, with commas; 0 and 1 are in it."
    ),
    k: str | None = typer.Option(
        None, "--k", help="Exemplars of each label, in place of the preset's; several are a curve."
    ),
    sets: str = typer.Option(
        "foo-bar", "--sets", help="Symbols in place of labels; of several the mean is shown, too."
    ),
    exemplar_seeds: str | None = typer.Option(
        None, "--exemplar-seeds", help="Several draws of exemplars, e.g. 0,1,2,3,4."
    ),
    limit: int | None = typer.Option(None, "--limit", help="Problems, in place of the preset's."),
    seed: int = typer.Option(0, "--seed", help="Which problems, exemplars and flips."),
    device: str = _DEVICE,
    accept_terms: bool = typer.Option(
        False, "--accept-terms", help="Agree to the licence terms of a model that asks for it."
    ),
    out: Path = typer.Option(Path("lab-flipped"), "--out", help="Folder of results and reports."),
) -> None:
    """Do larger models follow flipped labels? A curve over share flipped and model size.

    Exemplars show the other label for a share of them, or symbols that say nothing of the task
    (arXiv:2303.03846); who follows them falls below chance by the true labels. The same command
    goes on after Ctrl-C: what a model answered is kept in OUT.

    Examples:

      cotkit lab flipped --limit 20

      cotkit lab flipped --models simulated/100m,simulated/3b,simulated/300b --k 2,8

      cotkit lab flipped --models smollm2-135m,gemma3-270m --accept-terms --exemplar-seeds 0,1,2
    """
    if preset not in FLIPPED_PRESETS:
        raise UnknownNameError("preset", preset, FLIPPED_PRESETS)
    n, shots = FLIPPED_PRESETS[preset]
    names = _split_names(models)
    if not names:
        raise UsageError(f"--models {models!r} names no model", hint="--models A,B,C")
    if len(set(names)) < len(names):
        raise UsageError(f"--models {models!r} names a model twice", hint="each of them once")
    for share in (0, 1):
        if share not in map(parse_number, _split_names(fractions)):
            raise UsageError(f"--fractions {fractions} lacks {share}", hint=f"e.g. {FRACTIONS}")
    _check_out(out)
    shares, ks = ("+".join(_split_names(text)) for text in (fractions, k or str(shots)))
    arm_sets = "+".join(_split_names(sets))
    spec = RunSpec(
        model="",
        strategies=list_specs(
            [
                f"flipped-labels:fraction={shares},k={ks}",
                f"unrelated-labels:set={arm_sets},k={ks.rpartition('+')[2]}",
            ]
        ),
        bench=bench,
        limit=limit or n,
        seed=seed,
        model_args={
            **({} if device == "auto" else {"device": device}),
            **({"accept_terms": "true"} if accept_terms else {}),
        },
        exemplar_seeds=()
        if exemplar_seeds is None
        else tuple(_read_seeds(exemplar_seeds, "--exemplar-seeds")),
    )
    draws = {name: _compare_model(replace(spec, model=name), out, cluster) for name in names}
    from cotkit.labs.flipped import judge_flipped

    firsts = [comparisons[0] for comparisons, _ in draws.values()]
    variances = {
        first.model: of_model
        for first, (_, of_model) in zip(firsts, draws.values(), strict=True)
        if of_model
    }
    _print_report(judge_flipped(firsts, variances), out)


def _split_names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _compare_model(
    spec: RunSpec, out: Path, cluster: RayExecutor | None
) -> tuple[tuple[Comparison, ...], tuple[DrawVariance, ...]]:
    """Compare the strategies on one model, once for each exemplar draw.

    Raises:
        CotkitError: as :func:`cotkit.compare`.
        IncompleteRunError: attempts failed.
    """
    from cotkit.benchmarks import load_benchmark
    from cotkit.registry import parse_spec
    from cotkit.report.progress import progress_display
    from cotkit.run.budget import Resources
    from cotkit.workflows.compare import run_spec
    from cotkit.workflows.exemplar_draws import compare_draws

    print_status(f"{spec.model}:")
    bench, resources = load_benchmark(parse_spec(spec.bench)), Resources(executor=cluster)
    with progress_display("full" if sys.stderr.isatty() else "plain", sys.stderr) as emit:
        if spec.exemplar_seeds:
            draws = compare_draws(spec, bench, log_dir=out, emit=emit, resources=resources)
            comparisons, variances = draws.comparisons, draws.variances
        else:
            comparisons = (run_spec(spec, bench, log_dir=out, emit=emit, resources=resources),)
            variances = ()
    cells = [cell for comparison in comparisons for cell in comparison.cells]
    n_failed = sum(cell.outcomes["failed"] for cell in cells)
    if n_failed > sum(comparison.n_refused_for_good for comparison in comparisons):
        why = next((c.why_failed for c in comparisons if c.why_failed), None)
        raise IncompleteRunError(
            f"{spec.model}: {n_failed} attempts failed" + (f" ({why})" if why else ""),
            hint="the same command tries them again",
        )
    return comparisons, variances


FAMILIES = ("pocket",)


@app.command("train")
@with_options(read_executor)
def train(
    cluster: RayExecutor | None,
    family: str = typer.Argument(help="Which family: pocket."),
    sizes: str = typer.Option(
        "all", "--sizes", help="Sizes, e.g. 3k,12k; smallest, next; or all of them."
    ),
    seeds: str = typer.Option("1", "--seeds", help="Seeds, e.g. 1 or 1,2,3: each is a model."),
    steps: int | None = typer.Option(
        None, "--steps", help="Optimizer steps in place of the recipe's: another recipe, then."
    ),
    device: str = _DEVICE,
    out: Path = typer.Option(Path("pocket"), "--out", help="Folder of the family."),
    save_every: int = typer.Option(100, "--save-every", help="Steps between two checkpoints."),
    keep: str = typer.Option(
        "", "--keep", help="Steps after which a copy is kept: 250,500 (MODEL@step250, ...)."
    ),
) -> None:
    """Train models of a family, or go on where a training was stopped or killed.

    Every model becomes a transformers folder, OUT/pocket-SIZE-seedN, with its loss curve and log.
    The same command given twice at once shares the models out between both.

    Examples:

      cotkit lab train pocket --sizes smallest,next --seeds 1 --steps 200

      cotkit lab train pocket --sizes 3k,12k,57k,239k --seeds 1,2,3 --device cuda

      cotkit lab train pocket --sizes 12k --keep 50,100,200,400,800   # its training as a ladder

      cotkit lab train pocket --seeds 1,2,3 --executor ray --out /shared/pocket

      cotkit compare --model ./pocket/pocket-57k-seed1 --bench arithmetic:digits=1,operators=+-
    """
    if family not in FAMILIES:
        raise UnknownNameError("family to train", family, FAMILIES)
    _check_save_every(save_every)
    _check_steps(steps)
    from cotkit.labs.checkpoint import check_folder
    from cotkit.labs.pocket.recipe import THINKER, THINKER_RECIPE, PocketRecipe, parse_sizes
    from cotkit.labs.pocket.training import PocketJob

    recipe = THINKER_RECIPE if parse_sizes(sizes) == (THINKER,) else PocketRecipe()
    recipe = recipe if steps is None else replace(recipe, n_steps=steps)
    kept_steps = tuple(_read_numbers("--keep", keep, "steps")) if keep else ()
    jobs = [
        PocketJob(recipe=recipe, size=size, seed=seed, out=out, kept_steps=kept_steps)
        for size in parse_sizes(sizes)
        for seed in _read_seeds(seeds)
    ]
    for job in jobs:
        check_folder(job.folder, job.fingerprint)
        job.check_kept()
    if cluster is None:
        ends = _train_here(jobs, _make_trainer(device, save_every))
    else:
        ends = _train_on_cluster(cluster, jobs, device=device, out=out, save_every=save_every)
    for name, end in ends:
        print_status(f"{name}: {end}")
        print_lines(str(out / name))


def _read_seeds(text: str, option: str = "--seeds") -> list[int]:
    return _read_numbers(option, text, "seeds")


def _read_numbers(option: str, text: str, kind: str) -> list[int]:
    names = [name.strip() for name in text.split(",")]
    if not all(name.isdecimal() and name.isascii() for name in names):
        raise UsageError(f"{option} {text!r} are no {kind}", hint="whole numbers, e.g. 1,2,3")
    return list(dict.fromkeys(map(int, names)))


def _train_here(jobs: Sequence[PocketJob], trainer: Trainer) -> Iterator[tuple[str, TrainingEnd]]:
    """Train one model after the other; yield the name of each and how it ended."""
    from cotkit.labs.checkpoint import is_done
    from cotkit.labs.pocket.training import estimate_costs

    if unfinished := [job for job in jobs if not is_done(job.folder)]:
        print_status(*_estimate_lines(estimate_costs(unfinished, trainer.accelerator)))
    for job in jobs:
        yield job.name, trainer.train(job)


def _estimate_lines(estimates: Sequence[TrainingEstimate]) -> list[str]:
    """Return what all trainings take, as lines of a table."""
    rows = [("model", "parameters", "tokens", "FLOPs", "time")]
    rows += [
        (
            estimate.job.name,
            f"{estimate.job.size.n_params:,}",
            f"{estimate.tokens:,}",
            f"{estimate.flops:.1e}",
            format_duration(estimate.seconds),
        )
        for estimate in estimates
    ]
    flops = sum(estimate.flops for estimate in estimates)
    seconds = sum(estimate.seconds for estimate in estimates)
    rows.append(("all", "", "", f"{flops:.1e}", format_duration(seconds)))
    return [*align_columns(rows), "time: from the beginning, at the pace of a few steps just tried"]


def _train_on_cluster(
    cluster: RayExecutor, jobs: Sequence[PocketJob], *, device: str, out: Path, save_every: int
) -> Iterator[tuple[str, TrainingEnd]]:
    """Train on the nodes of a cluster, the longest first; yield as :func:`_train_here`.

    Raises:
        UsageError: ``--ray-workers``, or as ``run_jobs``.
    """
    from cotkit.executors.ray import run_jobs
    from cotkit.executors.ray_workers import WorkerNeeds
    from cotkit.labs.pocket.training import RemoteJob, train_remotely

    if cluster.workers is not None:
        raise UsageError("--ray-workers has no effect here: every model is a task of its own")
    out.mkdir(parents=True, exist_ok=True)
    shared_out = out.resolve()
    remote_jobs = [
        RemoteJob(job=replace(job, out=shared_out), device=device, save_every=save_every)
        for job in sorted(jobs, key=lambda job: -job.size.n_params)
    ]
    needs = WorkerNeeds(cpus=1, gpus=cluster.gpus if device.startswith("cuda") else 0)
    for remote_job, end in run_jobs(
        cluster.address,
        remote_jobs,
        train_remotely,
        needs=needs,
        out=shared_out,
        report=ProgressPrinter(),
        notify=print_status,
    ):
        yield remote_job.job.name, end


@app.command()
def pack(
    family: str = typer.Argument(help="Which family: pocket."),
    trained: Path = typer.Option(Path("pocket"), "--from", help="Folder of trained models."),
    out: Path = typer.Option(..., "--out", help="Folder to write, as cotkit ships it."),
    sizes: str = typer.Option("all", "--sizes", help="Sizes, e.g. 3k,12k; or all of them."),
    seed: int = typer.Option(1, "--seed", help="Which training of each size."),
) -> None:
    """Make of trained models what cotkit ships: float16 weights, tokenizer, loss curve.

    Examples:

      cotkit lab pack pocket --from ./pocket --out ./weights
    """
    if family not in FAMILIES:
        raise UnknownNameError("family", family, FAMILIES)
    from cotkit.labs.pocket.recipe import parse_sizes
    from cotkit.labs.pocket.training import pack_models

    for folder in pack_models(parse_sizes(sizes), seed, trained, out):
        print_lines(str(folder))


# What several commands share: checks, progress, and the report.


def _check_steps(steps: int | None) -> None:
    if steps is not None and steps < 1:
        raise UsageError(f"--steps {steps} trains nothing", hint="1 or more")


def _check_save_every(save_every: int) -> None:
    if save_every < 1:
        raise UsageError(f"--save-every {save_every} saves nothing", hint="1 or more")


def _check_out(out: Path) -> None:
    """Refuse what the report could not be written to, before anything is trained.

    Raises:
        UsageError: ``out`` is not a folder or cannot be made.
        MissingDependencyError: matplotlib is not installed.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make {out}: {error.strerror}", hint="--out FOLDER") from error
    check_page(out / "report.html")


def _make_trainer(device: str, save_every: int) -> Trainer:
    _check_save_every(save_every)
    from cotkit.labs.trainer import Trainer, make_accelerator

    return Trainer(
        accelerator=make_accelerator(device), save_every=save_every, report=ProgressPrinter()
    )


class ProgressPrinter:
    """Prints how far each training is, every ten seconds and at its end."""

    _QUIET_S = 10.0

    def __init__(self) -> None:
        self._printed_at: dict[str, float] = {}

    def __call__(self, progress: TrainingProgress) -> None:
        """Print one line, or nothing yet."""
        now = time.monotonic()
        quiet_s = now - self._printed_at.setdefault(progress.name, now)
        if quiet_s < self._QUIET_S and progress.step < progress.n_steps:
            return
        self._printed_at[progress.name] = now
        print_status(
            f"{progress.name}: step {progress.step:,} of {progress.n_steps:,}, "
            f"loss {progress.loss:.3f}, {format_duration(progress.left_s)} left"
        )


def format_duration(seconds: float) -> str:
    """Return ``45 s``, ``12 min`` or ``3.2 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"


def _print_report(lab: LabReport, out: Path) -> None:
    """Print the report, and write ``report.json`` and ``report.html`` beside the networks.

    Raises:
        UsageError: they cannot be written.
    """
    from cotkit.labs.report import lab_page, render_lab

    print_rendered(partial(render_lab, lab, "table"))
    for name, page in (("report.json", render_lab(lab, "json")), ("report.html", lab_page(lab))):
        write_page(out / name, page)
        print_status(f"written: {out / name}")
