"""The first wrong step in reports: counted by hand, and end to end."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from cotkit.analysis.steps import count_chain_steps
from cotkit.analysis.values import ChainStep
from cotkit.benchmarks.arithmetic import Arithmetic
from cotkit.cli import app
from cotkit.report.comparison_tables import chains_table
from cotkit.scoring.measure import measure_attempt
from cotkit.store import AttemptRow
from cotkit.types import Attempt, Reading


def row(arm: str, n_steps: int | None, **metrics: float) -> AttemptRow:
    return AttemptRow(arm=arm, problem_id="p", outcome="wrong", n_steps=n_steps, metrics=metrics)


def written(n_steps: int, n_right: int) -> AttemptRow:
    return row("cot", n_steps, chain_written=1, steps_right=n_right / n_steps)


def test_steps_are_counted_by_hand() -> None:
    rows = [
        *(written(3, 3), written(3, 2), written(3, 0), written(1, 1), written(2, 1)),
        row("cot", 3, chain_written=0, steps_right=0),
        row("few-shot", 3, exact_match=1),
        row("cot", None, chain_written=1, steps_right=1),
    ]
    found = count_chain_steps(rows)
    assert [(one.step, one.n_reached, one.n_wrong) for one in found] == [
        (1, 5, 1),
        (2, 3, 1),  # of those with two steps: three and not the one that was wrong before
        (3, 2, 1),
        (None, 6, 1),
    ]
    assert {one.arm for one in found} == {"cot"}, "no table for an arm without chains"
    assert count_chain_steps([row("few-shot", 3, exact_match=1)]) == ()
    assert chains_table(()).rows == ()


def test_shares_of_seven_steps_come_back_whole() -> None:
    for n in range(1, 9):
        for right in range(n + 1):
            steps = {one.step: one for one in count_chain_steps([written(n, right)])}
            assert [s for s in range(1, n + 1) if steps[s].n_wrong] == [right + 1][: right < n]


def test_a_step_that_nobody_reached_has_no_share() -> None:
    table = chains_table([ChainStep(arm="cot", step=2, n_reached=0, n_wrong=0)])
    assert getattr(table.rows[0][-1], "value", 0) is None


def test_what_is_measured_says_where_the_chain_went_wrong(tmp_path: Path) -> None:
    """Also of completions made elsewhere: the second step is spoilt, a third text states none."""
    problems = Arithmetic(steps=3, digits=2).problems()[:3]
    first, second = problems[0].rationale or "", problems[1].rationale or ""
    steps = second.split(" Then ")
    spoilt = " Then ".join([steps[0], steps[1].rpartition("=")[0] + "= 7.", steps[2]])
    texts = [f"{first} The answer is {problems[0].gold}.", spoilt, "The answer is 7."]
    for text, problem, right in zip(texts, problems, (1, 1 / 3, 0), strict=True):
        attempt = Attempt(text=text, stop_reason="stop")
        found = measure_attempt(attempt, problem, Reading(value=None, rule="none"), chain=text)
        assert found["steps_right"] == right
        assert found["chain_written"] == (right > 0)
    made = tmp_path / "made.jsonl"
    lines = [{"id": p.question.id, "text": t} for p, t in zip(problems, texts, strict=True)]
    made.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    asked = ["score", str(made), "--bench", "arithmetic:steps=3,digits=2", "--format", "json"]
    said = json.loads(CliRunner().invoke(app, asked).stdout)
    assert [(x["step"], x["n_reached"], x["n_wrong"]) for x in said["first_wrong_step"]] == [
        ("1", 2, 0),
        ("2", 2, 1),
        ("3", 1, 0),
        ("none", 2, 0),  # one that states no equation may not have been to reason
    ]
