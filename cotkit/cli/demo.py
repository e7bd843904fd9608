"""``cotkit demo``: a recorded run read and judged again, with one of its chains; needs no model."""

from __future__ import annotations

from functools import partial

MODEL = "pocket-57k"
BENCH = "arithmetic:steps=4,digits=1,operators=+-"
RECORDED = "benchmarks/arithmetic/demo.jsonl"
ARM = "cot"


def demo() -> None:
    """Read a recorded run again, print its answer and one chain of thought; needs no model.

    Two arms of pocket-57k, a model that comes with cotkit, on 24 problems of four steps.

    Examples:

      cotkit demo
    """
    import json

    from cotkit.benchmarks import load_benchmark
    from cotkit.cli.output import print_lines, print_rendered
    from cotkit.paths import resource
    from cotkit.registry import parse_spec
    from cotkit.report import render
    from cotkit.run.spec import DEFAULTS
    from cotkit.workflows.completions_file import FieldNames, read_file
    from cotkit.workflows.score import ScoreQuestion, score_completions

    path = resource(RECORDED)
    bench = load_benchmark(parse_spec(BENCH))
    comparison = score_completions(
        read_file(path, FieldNames()),
        bench,
        ScoreQuestion(
            reader=DEFAULTS.reader,
            baseline="few-shot",
            margin=DEFAULTS.margin,
            missing="leave-out",
        ),
        source=f"{MODEL}, recorded",
    )
    command = f'cotkit compare --model {MODEL} --strategy {ARM} --bench "{BENCH}" --limit 24'
    hints = (f"the same, run on the model itself: {command}",)
    print_rendered(partial(render, comparison, "table", full=False, hints=hints))
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    problems = {problem.question.id: problem for problem in bench.problems()}
    chain = next(line for line in lines if line["arm"] == ARM)
    problem = problems[chain["id"]]
    print_lines("")
    print_lines(
        f"one chain ({chain['id']}): Q: {problem.question.text}",
        *f"A:{chain['text']}".splitlines(),
        f"(the answer is {problem.gold})",
    )


command = demo
