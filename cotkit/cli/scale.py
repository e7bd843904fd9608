"""``cotkit scale``: a strategy against its control over a ladder of models, smallest to largest."""

import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cotkit.cli._cluster import read_cluster
from cotkit.cli._foreign import read_foreign, scale_foreign
from cotkit.cli._formats import Format
from cotkit.cli._html import read_page
from cotkit.cli._means import read_pace
from cotkit.cli._options import fixing, read_spec, takes
from cotkit.cli._place import read_place
from cotkit.cli._watch import Watch, read_watch
from cotkit.errors import UsageError

if TYPE_CHECKING:
    from cotkit.cli._foreign import Foreign
    from cotkit.cli._page import Page
    from cotkit.cluster import Cluster
    from cotkit.run import RunSpec

EXAMPLES = """
Examples:

  cotkit scale --family simulated --strategy cot --bench gsm-mini

  cotkit scale --models smollm2-135m,gemma3-270m,qwen2.5-coder-1.5b --bench gsm8k --accept-terms

  cotkit scale --family simulated --bench arithmetic:steps=1,2,4,digits=2

  cotkit scale --family simulated --bench gsm-mini --by-steps --limit all

  cotkit scale --family simulated --strategy cot,self-consistency:k=5 --reach 50

  cotkit scale --runs 3fa9,77b1,c02e --margin 5 --html ladder.html

  cotkit scale --published wei2022 --bench gsm8k

  cotkit scale --from cot=lm-eval:out-cot --from few-shot=lm-eval:out-plain --bench gsm8k
"""


class X(StrEnum):
    """What size means."""

    params = "params"
    active_params = "active-params"
    flops = "flops"
    loss = "loss"
    ordinal = "ordinal"


class Assume(StrEnum):
    """What is taken for granted."""

    sustained = "sustained"


def scale(
    spec: "RunSpec",
    pace: dict[str, str],
    foreign: "Foreign",
    log_dir: Path | str,
    cluster: "Cluster | None",
    watch: Watch,
    page: "Page | None",
    models: list[str] = typer.Option(
        [], "--models", "-m", help="The ladder: names as --model of compare takes, with commas."
    ),
    family: str | None = typer.Option(
        None, "--family", help="All models of a family (cotkit models names them); or simulated."
    ),
    runs: str | None = typer.Option(
        None,
        "--runs",
        help="Instead: runs of the store, by id, one for each model; nothing is generated.",
    ),
    bench: list[str] = typer.Option(
        ["gsm-mini"],
        "--bench",
        "--tasks",
        help="Benchmarks, each a curve of its own: NAME, NAME:key=value,value.",
    ),
    by_steps: bool = typer.Option(
        False, "--by-steps", help="A curve for the problems of each number of steps."
    ),
    x: X = typer.Option(X.params, "--x", help="What size means; ordinal: the order given."),
    loss: list[str] = typer.Option(
        [], "--loss", help="MODEL=NATS: pretraining loss of a model, for --x loss."
    ),
    assume: Assume | None = typer.Option(
        None,
        "--assume",
        help="sustained: help, once begun, does not stop with size; say so before the run.",
    ),
    reach: float | None = typer.Option(
        None, "--reach", help="Name the cheapest that solves so many percent."
    ),
    prices: Path | None = typer.Option(
        None, "--prices", help="Your own prices (TOML file), asked first. (default: $COTKIT_PRICES)"
    ),
    format_: Format = typer.Option(Format.table, "--format", "-f", help="How to print the answer."),
    timing: bool = typer.Option(False, "--timing", help="Add measured seconds to the frontier."),
) -> None:
    """Find from which model size on a strategy helps, and whether a jump is real.

    Runs every model on the same problems and prints where material help starts, as a bracket.
    """
    from cotkit.cli._scale import Ladder, scale_and_print
    from cotkit.foreign.answers import Asked
    from cotkit.foreign.sizes import read_sizes
    from cotkit.registry import split_specs
    from cotkit.scaled.job import Ask
    from cotkit.scaled.ladder import members

    named = tuple(name for text in models for name in text.split(",") if name)
    of_family = family is not None and not foreign.n_ladders
    if sum((bool(named), of_family, runs is not None, foreign.n_ladders)) != 1:
        hint = "--models A,B,C, --family NAME, --runs ID,ID, --published NAME or --from FILE"
        raise UsageError("name the ladder once", hint=hint)
    foreign.check()
    if reach is not None and not 0 < reach <= 100:
        raise UsageError(f"--reach {reach:g} is not a share of problems", hint="in percent: 50")
    if foreign.n_ladders:
        if len(bench) > 1:
            raise UsageError(
                "one --bench at a time for results that are there",
                hint="leave it out for every benchmark",
            )
        scale_foreign(
            foreign,
            Asked(
                bench=bench[0] if "bench" in foreign.given else None,
                family=family,
                strategies=spec.strategies if "strategy" in foreign.given else (),
                baseline=spec.baseline,
                params=read_sizes(foreign.params),
                losses=dict(map(_loss, loss)),
                axis=x.value,
                margin=spec.margin,
                assume_sustained=assume is not None,
                seed=spec.seed,
            ),
            reach=None if reach is None else reach / 100,
            format_=format_,
            timing=timing,
            page=page,
        )
        return
    scale_and_print(
        spec.paced(pace),
        Ladder(
            models=members(family) if family is not None else named,
            runs=tuple(one for one in (runs or "").split(",") if one),
            benches=split_specs(",".join(bench)),
        ),
        Ask(
            axis=x.value,
            assume_sustained=assume is not None,
            losses=dict(map(_loss, loss)),
            prices=prices,
            by_steps=by_steps,
            cluster=cluster,
        ),
        reach=None if reach is None else reach / 100,
        log_dir=log_dir,
        format_=format_,
        timing=timing,
        watch=watch,
        page=page,
    )


def _loss(text: str) -> tuple[str, float]:
    found = re.fullmatch(r"(.+)=(\d+(?:\.\d+)?)", text)
    if found is None:
        raise UsageError(f"cannot read --loss {text!r}", hint="--loss MODEL=2.31")
    return found[1], float(found[2])


scale.__doc__ = f"{scale.__doc__}\n\n\b{EXAMPLES}"
command = takes(
    fixing(read_spec, model="", bench="", stop_when=None, exemplar_seeds=None),
    read_pace,
    read_foreign,
    read_place,
    read_cluster,
    read_watch,
    read_page,
)(scale)
