"""``cotkit score``: completions that some other program made, read and judged as a run's are."""

import sys
from enum import StrEnum
from pathlib import Path

import typer

from cotkit.cli.options import RUN_CODE, Display, View, read_view, with_options
from cotkit.errors import InterruptedRunError
from cotkit.run.spec import DEFAULTS

EXAMPLES = """
Examples:

  cotkit score answers.jsonl --bench gsm8k

  cotkit score answers.jsonl --bench ./mine.jsonl --reader strict --format markdown

  cotkit score two-arms.jsonl --bench gsm8k --baseline few-shot

  cotkit score samples_gsm8k.jsonl --bench gsm8k --id-field doc_id --text-field resps
"""


class MissingPolicy(StrEnum):
    """What becomes of problems without a completion."""

    wrong = "wrong"
    leave_out = "leave-out"


def score(
    view: View,
    file: Path = typer.Argument(help="JSON lines: id, text; maybe sample, arm, stop_reason, vote."),
    bench: str = typer.Option(
        ..., "--bench", "--tasks", help="Benchmark name, or a JSONL file of your own."
    ),
    reader: str = typer.Option(
        DEFAULTS.reader, "--reader", help="Who decides what is correct (cotkit list readers)."
    ),
    baseline: str | None = typer.Option(
        None,
        "--baseline",
        help="Measure the other arms of the file against this one, paired; or chance.",
    ),
    margin: float = typer.Option(
        100 * DEFAULTS.margin, "--margin", help="Smallest gain that counts as material, in points."
    ),
    missing: MissingPolicy = typer.Option(
        MissingPolicy.leave_out, "--missing", help="What becomes of problems without a completion."
    ),
    id_field: str = typer.Option(
        "id", "--id-field", help="Field with the problem's id, or its place (a number from 0)."
    ),
    text_field: str = typer.Option(
        "text", "--text-field", help="Field with the completion, or a list of samples."
    ),
    confirm_run_unsafe_code: bool = RUN_CODE,
    display: Display | None = typer.Option(
        None, "--display", help="Progress (default: full on a terminal, else plain)."
    ),
) -> None:
    """Score completions that some other program made, as if they were a run.

    One JSON object per line: id and text; several of one problem are numbered by sample (0, 1, 2).

    Same readers, outcomes, metrics and report as cotkit compare.
    """
    from cotkit.benchmarks import allow_code, load_benchmark
    from cotkit.cli.output import hint_lines, print_report, print_status
    from cotkit.registry import parse_spec
    from cotkit.report.progress import reading_display
    from cotkit.workflows.completions_file import FieldNames, read_file
    from cotkit.workflows.score import ScoreQuestion, score_completions

    question = ScoreQuestion(
        reader=reader, baseline=baseline, margin=margin / 100, missing=missing.value
    )
    mode = display.value if display else ("full" if sys.stderr.isatty() else "plain")
    n_bytes = file.stat().st_size if file.is_file() else 0
    try:
        with reading_display(mode, sys.stderr, n_bytes) as on_read:
            comparison = score_completions(
                read_file(file, FieldNames(id=id_field, text=text_field), on_read=on_read),
                allow_code(
                    load_benchmark(parse_spec(bench), print_status),
                    allowed=confirm_run_unsafe_code,
                ),
                question,
                source=file.name,
            )
    except KeyboardInterrupt:
        raise InterruptedRunError("interrupted; nothing was printed") from None
    print_report(comparison, view, hint_lines(view))


score.__doc__ = f"{score.__doc__}\n\n\b{EXAMPLES}"
command = with_options(read_view)(score)
