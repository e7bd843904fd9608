"""``cotkit lab flipped``: from which size on do models follow exemplars against what they know?

No ``from __future__ import annotations`` here, for the reason that ``_options`` gives.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cotkit.cli._cluster import read_cluster
from cotkit.cli._lab import check_out, say, tell
from cotkit.cli._options import takes
from cotkit.errors import IncompleteRunError, UnknownNameError, UsageError

if TYPE_CHECKING:
    from cotkit.analysis.results import Comparison
    from cotkit.cluster import Cluster

PRESETS = {"cpu": (50, 8), "paper": (100, 16)}
"""Problems, and exemplars of each label."""
FRACTIONS = "0,0.25,0.5,0.75,1"


def flipped(
    cluster: "Cluster | None",
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
        _compared(
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
    from cotkit.analysis import flipped as analysis

    tell(analysis.flipped(found), out)


command = takes(read_cluster)(flipped)


def _compared(
    model: str,
    strategies: tuple[str, ...],
    bench: str,
    *,
    limit: int,
    seed: int,
    device: str,
    out: Path,
    cluster: "Cluster | None",
) -> "Comparison":
    """One model's results.

    Raises:
        CotkitError: as :func:`cotkit.compare`.
        IncompleteRunError: attempts failed.
    """
    from cotkit.api import compare
    from cotkit.report.progress import progress_display
    from cotkit.running import Means

    say(f"{model}:")
    with progress_display("full" if sys.stderr.isatty() else "plain", sys.stderr) as emit:
        found = compare(
            model,
            strategies,
            bench,
            limit=limit,
            seed=seed,
            model_args={} if device == "auto" else {"device": device},
            log_dir=out,
            means=Means(cluster=cluster),
            on_event=emit,
        )
    if n_failed := sum(cell.outcomes["failed"] for cell in found.cells):
        raise IncompleteRunError(
            f"{model}: {n_failed} attempts failed", hint="the same command tries them again"
        )
    return found
