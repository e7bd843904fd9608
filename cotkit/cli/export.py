"""``cotkit export``: runs as Parquet, or as the files of other evaluation tools."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cotkit.cli.options import fix_options, read_place, read_specs, with_options
from cotkit.run.spec import DEFAULTS

if TYPE_CHECKING:
    from cotkit.run import RunSpec

EXAMPLES = """
Examples:

  cotkit export 3fa9 --parquet attempts.parquet

  cotkit export 3fa9 77b1 c02e --parquet ladder.parquet

  cotkit export 3fa9 --to inspect:logs-inspect     # then: inspect view --log-dir logs-inspect

  cotkit export 3fa9 --to lm-eval:out

  cotkit export 3fa9 --to completions:out     # then: cotkit score out/FILE.jsonl --bench gsm8k

  cotkit export --to lm-eval-tasks:tasks --strategy cot --bench gsm8k --limit 200

  lm_eval --include_path tasks --tasks cotkit-gsm8k-cot,cotkit-gsm8k-few-shot --model hf ...
"""

_TASKS = "lm-eval-tasks"
_KINDS = "inspect:DIR, lm-eval:DIR, completions:DIR or lm-eval-tasks:DIR"

_read_task_specs = fix_options(
    read_specs,
    model="(asked by lm-eval)",
    model_args="",
    reader=DEFAULTS.reader,
    margin=100 * DEFAULTS.margin,
    exemplar_seeds=None,
    sample_seeds=None,
    batch_size=None,
    device=None,
    dtype=None,
    replicas=None,
    apply_chat_template=False,
    batch=False,
    likelihood=False,
    stop_when=None,
    accept_terms=False,
    tag=None,
    confirm_run_unsafe_code=False,
)


def export(
    specs: "list[RunSpec]",
    log_dir: Path | str,
    runs: list[str] = typer.Argument(
        None, help="Ids of runs, or how they begin (cotkit list runs)."
    ),
    parquet: Path | None = typer.Option(
        None, "--parquet", help="Write this file: one row for each attempt, a fixed schema."
    ),
    to: list[str] = typer.Option(
        [],
        "--to",
        help="inspect:DIR, lm-eval:DIR, completions:DIR or lm-eval-tasks:DIR: files for that tool.",
    ),
) -> None:
    """Write runs of the store as Parquet, or as the logs that other tools read.

    --to lm-eval-tasks:DIR takes no run: it writes a task for each strategy and its control, with
    the prompts of cotkit compare, for lm-eval to run. --strategy and the like are for it alone.
    """
    from cotkit.errors import UsageError

    targets = [_read_to(text) for text in to]
    if parquet is None and not to:
        raise UsageError("export to what?", hint=f"--parquet FILE, --to {_KINDS}")
    is_tasks = [kind == _TASKS for kind, _ in targets]
    if any(is_tasks) and (runs or parquet or not all(is_tasks)):
        raise UsageError(
            "--to lm-eval-tasks:DIR writes what is to be asked, and a run was asked already",
            hint="leave out the run, or use --to lm-eval:DIR",
        )
    if any(is_tasks):
        for spec in specs:
            _write_tasks(spec, [folder for _, folder in targets])
    else:
        _write_runs(runs or [], parquet, targets, log_dir)


def _read_to(text: str) -> tuple[str, Path]:
    from cotkit.errors import UsageError

    kind, _, folder = text.partition(":")
    name = kind.replace("_", "-")
    if name not in {"inspect", "lm-eval", "completions", _TASKS} or not folder:
        raise UsageError(f"--to {kind}:{folder}?", hint=f"--to {_KINDS}")
    return name, Path(folder)


def _write_tasks(spec: "RunSpec", folders: list[Path]) -> None:
    from cotkit.benchmarks import load_benchmark
    from cotkit.cli.output import print_lines, print_status
    from cotkit.interop.lm_eval.tasks import write_tasks
    from cotkit.registry import parse_spec

    bench = load_benchmark(parse_spec(spec.bench), print_status)
    for folder in folders:
        for file in write_tasks(spec, bench, folder):
            print_lines(str(file))


def _write_runs(
    runs: list[str], parquet: Path | None, targets: list[tuple[str, Path]], log_dir: Path | str
) -> None:
    from cotkit.cli.output import print_lines
    from cotkit.errors import UsageError
    from cotkit.interop.completions import write_completions
    from cotkit.interop.inspect_.export import write_inspect
    from cotkit.interop.lm_eval.export import write_lm_eval
    from cotkit.interop.parquet import write_parquet
    from cotkit.interop.stored import StoredRun
    from cotkit.store import Store, existing_place

    if not runs:
        raise UsageError("export which run?", hint="its id, as cotkit list runs prints it")
    place = existing_place(log_dir)
    writers = {
        "inspect": write_inspect,
        "lm-eval": write_lm_eval,
        "completions": write_completions,
    }
    with Store(place) as store:
        stored = [StoredRun.load(store, prefix) for prefix in runs]
        if parquet is not None:
            print_lines(f"{parquet}: {write_parquet(stored, parquet):,} attempts")
        for kind, folder in targets:
            for run in stored:
                for file in writers[kind](run, folder):
                    print_lines(str(file))


export.__doc__ = f"{export.__doc__}\n\n\b{EXAMPLES}"
command = with_options(_read_task_specs, read_place)(export)
