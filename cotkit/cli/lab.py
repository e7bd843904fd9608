"""``cotkit lab``: networks that cotkit trains itself.

No ``from __future__ import annotations`` here, for the reason that ``_options`` gives.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cotkit.cli.options import read_executor, with_options
from cotkit.errors import IncompleteRunError, UnknownNameError, UsageError

if TYPE_CHECKING:
    from cotkit.analysis.values import Comparison
    from cotkit.executors.ray import RayExecutor
    from cotkit.labs.findings import LabReport
    from cotkit.labs.pocket.training import PocketJob, TrainingEstimate
    from cotkit.labs.trainer import TrainingProgress


# What the commands of the labs share: progress, and the report in three forms.


_QUIET_S = 10.0  # between two lines of progress


class ProgressPrinter:
    """Says how far a training is, every ten seconds and at its end."""

    def __init__(self) -> None:
        self._said = 0.0

    def __call__(self, at: TrainingProgress) -> None:
        """Print one line, or nothing yet."""
        if at.step < at.n_steps and time.monotonic() - self._said < _QUIET_S:
            return
        self._said = time.monotonic()
        print_status(
            f"{at.name}: step {at.step:,} of {at.n_steps:,}, loss {at.loss:.3f}, "
            f"{format_duration(at.left_s)} left"
        )


def format_duration(seconds: float) -> str:
    """``45 s``, ``12 min``, ``3.2 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"


def print_status(text: str) -> None:
    """On standard error: answers alone go to standard output."""
    typer.echo(text, err=True)


def check_out(out: Path, save_every: int = 1) -> None:
    """Refuse what the report could not be written to, before anything is trained.

    Raises:
        UsageError: ``out`` is not a folder or cannot be made; ``save_every`` is less than 1.
        MissingDependencyError: matplotlib is not installed.
    """
    from cotkit.cli.output import check_page

    if save_every < 1:
        raise UsageError(f"--save-every {save_every} saves nothing", hint="1 or more")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as refused:
        raise UsageError(f"cannot make {out}: {refused.strerror}", hint="--out FOLDER") from refused
    check_page(out / "report.html")


def print_report(lab: LabReport, out: Path) -> None:
    """Print the report, and write ``report.json`` and ``report.html`` beside the networks.

    Raises:
        UsageError: they cannot be written.
    """
    from cotkit.cli.output import write_page
    from cotkit.labs.report import lab_page, render_lab

    color = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    width = shutil.get_terminal_size((100, 24)).columns
    text = render_lab(lab, "table", width=width, color=color, encoding=sys.stdout.encoding)
    typer.echo(text, nl=False, color=color)
    for name, page in (("report.json", render_lab(lab, "json")), ("report.html", lab_page(lab))):
        write_page(out / name, page)
        print_status(f"written: {out / name}")


# ``cotkit lab icl``: which function classes a transformer selects in context.


def icl_command(
    preset: str = typer.Option("cpu", "--preset", help="cpu (minutes) or paper (for a GPU)."),
    seed: int = typer.Option(0, "--seed", help="Of first weights, data and tests."),
    steps: int | None = typer.Option(
        None, "--steps", help="Optimizer steps in place of the preset's: another recipe, then."
    ),
    device: str = typer.Option("auto", "--device", help="cpu, cuda, cuda:1, mps or auto."),
    out: Path = typer.Option(Path("lab-icl"), "--out", help="Folder of networks and reports."),
    save_every: int = typer.Option(500, "--save-every", help="Steps between two checkpoints."),
) -> None:
    """Does in-context learning reach beyond the training mixture? Transformers on functions.

    GPT-2-style networks are trained on prompts of dense linear, sparse linear and sinusoidal
    functions, alone and mixed (arXiv:2311.00871); their errors by number of exemplars stand
    against least squares and the Lasso, on classes seen and on functions between and beyond them.
    The same command goes on after Ctrl-C or a kill, and trains nothing twice.

    Examples:

      cotkit lab icl --preset cpu

      cotkit lab icl --preset paper --device cuda
    """
    from cotkit.labs.icl import recipe_of

    recipe = recipe_of(preset, steps)
    from cotkit.labs.trainer import make_accelerator

    found = make_accelerator(device)
    check_out(out, save_every)
    from cotkit.labs.icl import measure_networks
    from cotkit.labs.icl_judge import judge_icl
    from cotkit.labs.trainer import Trainer

    print_status(f"{len(recipe.mixtures)} networks, {recipe.n_steps:,} steps each")
    trainer = Trainer(accelerator=found, save_every=save_every, report=ProgressPrinter())
    errors = measure_networks(recipe, seed, out, trainer)
    print_report(judge_icl(errors, n_steps=recipe.n_steps, dims=recipe.dims, seed=seed), out)


# ``cotkit lab mirage``: metrics that make smooth curves look sudden.


def mirage_command(
    preset: str = typer.Option("cpu", "--preset", help="cpu (minutes) or paper (hours)."),
    only: str = typer.Option(
        "all", "--only", help="Families: lenet, autoencoder, transformer, with commas; or all."
    ),
    data: str | None = typer.Option(
        None, "--data", help="Images in place of the preset's: digits, mnist, omniglot, cifar100."
    ),
    seed: int = typer.Option(0, "--seed", help="The first seed of each size."),
    steps: int | None = typer.Option(
        None, "--steps", help="Optimizer steps in place of the preset's: another recipe, then."
    ),
    device: str = typer.Option("auto", "--device", help="cpu, cuda, cuda:1, mps or auto."),
    out: Path = typer.Option(Path("lab-mirage"), "--out", help="Folder of networks and reports."),
    save_every: int = typer.Option(500, "--save-every", help="Steps between two checkpoints."),
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
    from cotkit.labs.mirage import recipe_of

    recipe = recipe_of(preset, only=only, data=data, n_steps=steps)
    from cotkit.labs.trainer import make_accelerator

    found = make_accelerator(device)
    check_out(out, save_every)
    from cotkit.labs.mirage import measure_families
    from cotkit.labs.mirage_judge import judge_mirage
    from cotkit.labs.trainer import Trainer

    n = sum(len(family.widths) for family in recipe.families)
    print_status(f"{n} sizes, {recipe.n_seeds} seeds of each")
    trainer = Trainer(accelerator=found, save_every=save_every, report=ProgressPrinter())
    measures = measure_families(recipe, seed, out, trainer)
    print_report(judge_mirage(measures, n_seeds=recipe.n_seeds, seed=seed), out)


# ``cotkit lab flipped``: from which size on do models follow exemplars against what they know?
#
# No ``from __future__ import annotations`` here, for the reason that ``_options`` gives.


PRESETS = {"cpu": (50, 8), "paper": (100, 16)}
"""Problems, and exemplars of each label."""
FRACTIONS = "0,0.25,0.5,0.75,1"


def flipped(
    cluster: RayExecutor | None,
    models: str = typer.Option(
        "smollm2-135m,gemma3-270m",
        "--models",
        "-m",
        help="The ladder: names as --model of compare takes, with commas.",
    ),
    preset: str = typer.Option(
        "cpu", "--preset", help="cpu (50 problems, k = 8) or paper (100 problems, k = 16)."
    ),
    bench: str = typer.Option("sentiment-mini", "--bench", help="A benchmark with two labels."),
    fractions: str = typer.Option(
        FRACTIONS, "--fractions", help="Shares of flipped labels, with commas; 1 is among them."
    ),
    limit: int | None = typer.Option(None, "--limit", help="Problems, in place of the preset's."),
    seed: int = typer.Option(0, "--seed", help="Which problems, exemplars and flips."),
    device: str = typer.Option("auto", "--device", help="cpu, cuda, cuda:1, mps or auto."),
    out: Path = typer.Option(Path("lab-flipped"), "--out", help="Folder of results and reports."),
) -> None:
    """Do larger models follow flipped labels? A curve over share flipped and model size.

    Exemplars show the other label for a share of them, or symbols that say nothing of the task
    (arXiv:2303.03846); who follows them falls below chance by the true labels. The same command
    goes on after Ctrl-C: what a model answered is kept in OUT.

    Examples:

      cotkit lab flipped --models smollm2-135m,gemma3-270m --limit 20

      cotkit lab flipped --models smollm2-135m,gemma3-270m,qwen2.5-coder-1.5b --preset paper
    """
    if preset not in PRESETS:
        raise UnknownNameError("preset", preset, PRESETS)
    n, k = PRESETS[preset]
    names = [name.strip() for name in models.split(",") if name.strip()]
    if not names:
        raise UsageError(f"--models {models!r} names no model", hint="--models A,B,C")
    if len(set(names)) < len(names):
        raise UsageError(f"--models {models!r} names a model twice", hint="each of them once")
    if not {"1", "1.0"} & {one.strip() for one in fractions.split(",")}:
        raise UsageError(f"--fractions {fractions} lacks 1", hint=f"e.g. {FRACTIONS}")
    check_out(out)
    strategies = (
        f"flipped-labels:fraction={fractions},k={k},seed={seed}",
        f"unrelated-labels:set=foo-bar,k={k},seed={seed}",
    )
    found = [
        _compare_model(
            name,
            strategies,
            bench,
            limit=limit or n,
            seed=seed,
            device=device,
            out=out,
            cluster=cluster,
        )
        for name in names
    ]
    from cotkit.labs import flipped as analysis

    print_report(analysis.judge_flipped(found), out)


flipped_command = with_options(read_executor)(flipped)


def _compare_model(
    model: str,
    strategies: tuple[str, ...],
    bench: str,
    *,
    limit: int,
    seed: int,
    device: str,
    out: Path,
    cluster: RayExecutor | None,
) -> Comparison:
    """One model's results.

    Raises:
        CotkitError: as :func:`cotkit.compare`.
        IncompleteRunError: attempts failed.
    """
    from cotkit.api import compare
    from cotkit.report.progress import progress_display
    from cotkit.run.budget import Resources

    print_status(f"{model}:")
    with progress_display("full" if sys.stderr.isatty() else "plain", sys.stderr) as emit:
        found = compare(
            model,
            strategies,
            bench,
            limit=limit,
            seed=seed,
            model_args={} if device == "auto" else {"device": device},
            log_dir=out,
            resources=Resources(executor=cluster),
            on_event=emit,
        )
    if n_failed := sum(cell.outcomes["failed"] for cell in found.cells):
        raise IncompleteRunError(
            f"{model}: {n_failed} attempts failed", hint="the same command tries them again"
        )
    return found


FAMILIES = ("pocket",)

app = typer.Typer(
    help="Networks that cotkit trains itself, on a laptop.",
    no_args_is_help=True,
)


app.command("icl")(icl_command)
app.command("mirage")(mirage_command)
app.command("flipped")(flipped_command)


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
    device: str = typer.Option("auto", "--device", help="cpu, cuda, cuda:1, mps or auto."),
    out: Path = typer.Option(Path("pocket"), "--out", help="Folder of the family."),
    save_every: int = typer.Option(100, "--save-every", help="Steps between two checkpoints."),
) -> None:
    """Train models of a family, or go on where a training was stopped or killed.

    Every model becomes a transformers folder, OUT/pocket-SIZE-seedN, with its loss curve and log.
    The same command given twice at once shares the models out between both.

    Examples:

      cotkit lab train pocket --sizes smallest,next --seeds 1 --steps 200

      cotkit lab train pocket --sizes 3k,12k,57k,239k --seeds 1,2,3 --device cuda

      cotkit lab train pocket --seeds 1,2,3 --executor ray --out /shared/pocket

      cotkit compare --model ./pocket/pocket-57k-seed1 --bench arithmetic:digits=1,operators=+-
    """
    if family not in FAMILIES:
        raise UnknownNameError("family to train", family, FAMILIES)
    if save_every < 1:
        raise UsageError(f"--save-every {save_every} saves nothing", hint="1 or more")
    from cotkit.labs.checkpoint import check_folder, is_done
    from cotkit.labs.pocket import recipe as pocket
    from cotkit.labs.trainer import make_accelerator

    wanted, numbers, recipe = pocket.parse_sizes(sizes), _read_seeds(seeds), pocket.recipe_of(steps)
    from cotkit.labs.pocket.training import PocketJob

    jobs = [
        PocketJob(recipe=recipe, size=size, seed=seed, out=out)
        for size in wanted
        for seed in numbers
    ]
    for job in jobs:
        check_folder(job.folder, job.fingerprint)
    if cluster is not None:
        _train_on(cluster, jobs, device=device, out=out, save_every=save_every)
        return
    from cotkit.labs.pocket.training import estimate_costs
    from cotkit.labs.pocket.training import train as train_one

    found = make_accelerator(device)
    if to_do := [job for job in jobs if not is_done(job.folder)]:
        print_status("\n".join(_budget_lines(estimate_costs(to_do, found))))
    for job in jobs:
        end = train_one(job, found, save_every=save_every, report=ProgressPrinter())
        print_status(f"{job.name}: {end}")
        typer.echo(job.folder)


app.command("train")(with_options(read_executor)(train))


def _train_on(
    cluster: RayExecutor, jobs: Sequence[PocketJob], *, device: str, out: Path, save_every: int
) -> None:
    """Train on the nodes of a cluster, the longest first.

    Raises:
        UsageError: ``--ray-workers``, or as ``spread``.
    """
    from cotkit.executors.ray import run_jobs
    from cotkit.executors.ray_workers import WorkerNeeds
    from cotkit.labs.pocket.training import RemoteJob, train_elsewhere

    if cluster.workers is not None:
        raise UsageError("--ray-workers says nothing here: every model is a task of its own")
    out.mkdir(parents=True, exist_ok=True)
    there = out.resolve()
    ahead = sorted(jobs, key=lambda job: -job.size.n_params)
    work = [
        RemoteJob(job=replace(job, out=there), device=device, save_every=save_every)
        for job in ahead
    ]
    needs = WorkerNeeds(cpus=1, gpus=cluster.gpus if device.startswith("cuda") else 0)
    tellers: dict[str, ProgressPrinter] = {}

    def report(at: TrainingProgress) -> None:
        tellers.setdefault(at.name, ProgressPrinter())(at)

    for done, end in run_jobs(
        cluster.address, work, train_elsewhere, needs=needs, out=there, report=report
    ):
        print_status(f"{done.job.name}: {end}")
        typer.echo(out / done.job.name)


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
    from cotkit.labs.pocket import training
    from cotkit.labs.pocket.recipe import parse_sizes

    for folder in training.pack_models(parse_sizes(sizes), seed, trained, out):
        typer.echo(folder)


def _read_seeds(wanted: str) -> list[int]:
    names = [name.strip() for name in wanted.split(",")]
    if not all(name.isdecimal() for name in names):
        raise UsageError(f"--seeds {wanted!r} are no seeds", hint="whole numbers, e.g. 1,2,3")
    return list(dict.fromkeys(map(int, names)))


def _budget_lines(found: Sequence[TrainingEstimate]) -> list[str]:
    """What all of it takes, before anything is trained."""
    from cotkit.cli.output import align_columns

    rows = [("model", "parameters", "tokens", "FLOPs", "time")]
    rows += [
        (
            one.job.name,
            f"{one.job.size.n_params:,}",
            f"{one.job.recipe.n_tokens:,}",
            f"{one.flops:.1e}",
            format_duration(one.seconds),
        )
        for one in found
    ]
    flops, seconds = sum(one.flops for one in found), sum(one.seconds for one in found)
    rows.append(("all", "", "", f"{flops:.1e}", format_duration(seconds)))
    return [*align_columns(rows), "time: from the beginning, at the pace of a few steps just tried"]
