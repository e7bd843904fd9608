"""``cotkit lab``: networks that cotkit trains itself.

No ``from __future__ import annotations`` here, for the reason that ``_options`` gives.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cotkit.cli import lab_flipped, lab_icl, lab_mirage
from cotkit.cli._cluster import read_cluster
from cotkit.cli._lab import Teller, duration, say
from cotkit.cli._options import takes
from cotkit.errors import UnknownNameError, UsageError

if TYPE_CHECKING:
    from cotkit.cluster import Cluster
    from cotkit.lab.pocket.estimate import Estimate
    from cotkit.lab.pocket.training import Job
    from cotkit.lab.progress import Progress

FAMILIES = ("pocket",)

app = typer.Typer(
    help="Networks that cotkit trains itself, on a laptop.",
    no_args_is_help=True,
)


app.command("icl")(lab_icl.command)
app.command("mirage")(lab_mirage.command)
app.command("flipped")(lab_flipped.command)


def train(
    cluster: "Cluster | None",
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
    from cotkit.lab.checkpoint import check, is_done
    from cotkit.lab.device import accelerator
    from cotkit.lab.pocket import recipe as pocket

    wanted, numbers, recipe = pocket.sizes_named(sizes), _seeds(seeds), pocket.recipe_of(steps)
    from cotkit.lab.pocket.training import Job

    jobs = [
        Job(recipe=recipe, size=size, seed=seed, out=out) for size in wanted for seed in numbers
    ]
    for job in jobs:
        check(job.folder, job.fingerprint)
    if cluster is not None:
        _train_on(cluster, jobs, device=device, out=out, save_every=save_every)
        return
    from cotkit.lab.pocket.estimate import estimates
    from cotkit.lab.pocket.training import train as train_one

    found = accelerator(device)
    if to_do := [job for job in jobs if not is_done(job.folder)]:
        say("\n".join(_budget(estimates(to_do, found))))
    for job in jobs:
        end = train_one(job, found, save_every=save_every, report=Teller())
        say(f"{job.name}: {end}")
        typer.echo(job.folder)


app.command("train")(takes(read_cluster)(train))


def _train_on(
    cluster: "Cluster", jobs: "Sequence[Job]", *, device: str, out: Path, save_every: int
) -> None:
    """Train on the nodes of a cluster, the longest first.

    Raises:
        UsageError: ``--ray-workers``, or as ``spread``.
    """
    from cotkit.cluster.pool import Needs
    from cotkit.cluster.spread import spread
    from cotkit.lab.pocket.training import Elsewhere, train_elsewhere

    if cluster.workers is not None:
        raise UsageError("--ray-workers says nothing here: every model is a task of its own")
    out.mkdir(parents=True, exist_ok=True)
    there = out.resolve()
    ahead = sorted(jobs, key=lambda job: -job.size.n_params)
    work = [
        Elsewhere(job=replace(job, out=there), device=device, save_every=save_every)
        for job in ahead
    ]
    needs = Needs(cpus=1, gpus=cluster.gpus if device.startswith("cuda") else 0)
    tellers: dict[str, Teller] = {}

    def report(at: "Progress") -> None:
        tellers.setdefault(at.name, Teller())(at)

    for done, end in spread(
        cluster.address, work, train_elsewhere, needs=needs, out=there, report=report
    ):
        say(f"{done.job.name}: {end}")
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
    from cotkit.lab.pocket import shipping
    from cotkit.lab.pocket.recipe import sizes_named

    for folder in shipping.pack(sizes_named(sizes), seed, trained, out):
        typer.echo(folder)


def _seeds(wanted: str) -> list[int]:
    names = [name.strip() for name in wanted.split(",")]
    if not all(name.isdecimal() for name in names):
        raise UsageError(f"--seeds {wanted!r} are no seeds", hint="whole numbers, e.g. 1,2,3")
    return list(dict.fromkeys(map(int, names)))


def _budget(found: "Sequence[Estimate]") -> list[str]:
    """What all of it takes, before anything is trained."""
    from cotkit.cli._table import aligned

    rows = [("model", "parameters", "tokens", "FLOPs", "time")]
    rows += [
        (
            one.job.name,
            f"{one.job.size.n_params:,}",
            f"{one.job.recipe.n_tokens:,}",
            f"{one.flops:.1e}",
            duration(one.seconds),
        )
        for one in found
    ]
    flops, seconds = sum(one.flops for one in found), sum(one.seconds for one in found)
    rows.append(("all", "", "", f"{flops:.1e}", duration(seconds)))
    return [*aligned(rows), "time: from the beginning, at the pace of a few steps just tried"]
