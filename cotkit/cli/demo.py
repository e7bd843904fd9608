"""``cotkit demo``: a recorded run read and judged again, with one of its chains; needs no model."""

from __future__ import annotations

from functools import partial

MODEL = "qwen2.5-coder-1.5b"
BENCH = "gsm-mini"
RECORDED = "benchmarks/gsm-mini/demo.jsonl"
ARM, CONTROL = "cot", "few-shot"


def demo() -> None:
    """Read a recorded run again, print its answer and one chain of thought; needs no model.

    Two arms of the default model (1.5 billion parameters, bfloat16, on a CPU) on 24 word problems.

    Examples:

      cotkit demo
    """
    import shutil
    import textwrap

    from cotkit.benchmarks import load_benchmark
    from cotkit.cli.output import print_lines, print_rendered
    from cotkit.paths import resource
    from cotkit.registry import parse_spec
    from cotkit.report import render
    from cotkit.store import AttemptRow
    from cotkit.workflows.completions_file import FieldNames, read_file
    from cotkit.workflows.score import ScoreQuestion, score_completions

    bench = load_benchmark(parse_spec(BENCH))
    rows: dict[tuple[str, str], AttemptRow] = {}
    comparison = score_completions(
        read_file(resource(RECORDED), FieldNames()),
        bench,
        ScoreQuestion(baseline=CONTROL),
        source=f"{MODEL}, recorded",
        on_row=lambda row: rows.update({(row.arm, row.problem_id): row}),
    )
    command = f"cotkit compare --model {MODEL} --strategy {ARM} --bench {BENCH} --limit 24"
    hints = (
        f"the same, asked of the model itself (pip install 'cotkit[hf]'): {command}",
        "what a word means: cotkit explain WORD; more: cotkit compare --help",
    )
    print_rendered(partial(render, comparison, "table", full=False, hints=hints))
    problem = next(
        problem
        for problem in bench.problems()
        if (row := rows.get((ARM, problem.question.id))) is not None
        and row.outcome == "correct" != rows[CONTROL, problem.question.id].outcome
    )
    width = min(100, shutil.get_terminal_size((100, 24)).columns)
    print_lines("", "one of them, where the two disagree:", f"({problem.question.id})")
    for name, text in (
        ("Q", problem.question.text),
        *((arm, rows[arm, problem.question.id].text) for arm in (CONTROL, ARM)),
        ("the right answer", problem.gold),
    ):
        print_lines(*textwrap.wrap(f"{name}: {' '.join(text.split())}", width))


command = demo
