"""The samples of a page as JSON, in a form that can lie inside a ``<script>`` element.

``report.js`` reads it: ``readers``, ``outcomes``; ``runs`` (id, name, chosen reader, arms);
``problems`` ([id, text, choices, gold, steps]); ``samples`` ([run, problem, takes by arm]), where a
take is null or [outcome, text, readings or null, note, tokens, drafts], a reading [value, rule,
correct] and a draft [outcome, text]. Runs, problems, outcomes and readers are named by position.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from cotkit.analysis.values import Comparison, PageRun, PageSample, SampleAttempt
from cotkit.printable import printable
from cotkit.types import OUTCOMES, Problem


def samples_json(parts: Sequence[PageRun]) -> str:
    """Return ASCII without ``<``, so that neither ``</script>`` nor ``<!--`` ends the element."""
    readers = sorted({name for take in _all_takes(parts) for name in take.readings})
    problems: dict[tuple[str, str, str], int] = {}
    problem_fields: list[list[object]] = []
    samples: list[list[object]] = []
    for run, part in enumerate(parts):
        arms = [cell.arm for cell in part.comparison.cells]
        for sample in part.samples:
            bench = (part.comparison.bench, part.comparison.bench_version)
            key = (*bench, sample.problem.question.id)
            if key not in problems:
                problems[key] = len(problem_fields)
                problem_fields.append(_problem_fields(sample.problem))
            samples.append([run, problems[key], _takes_by_arm(sample, arms, readers)])
    data = {
        "readers": readers,
        "outcomes": OUTCOMES,
        "runs": [
            {
                "id": part.comparison.run_id,
                "name": printable(name),
                "reader": part.comparison.reader,
                "arms": [cell.arm for cell in part.comparison.cells],
            }
            for part, name in zip(
                parts, name_runs([part.comparison for part in parts]), strict=True
            )
        ],
        "problems": problem_fields,
        "samples": samples,
    }
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")


def _all_takes(parts: Sequence[PageRun]) -> list[SampleAttempt]:
    return [take for part in parts for sample in part.samples for take in sample.takes]


def _problem_fields(problem: Problem) -> list[object]:
    question = problem.question
    gold = " or ".join([problem.gold, *problem.also])
    return [question.id, question.text, question.choices, gold, problem.n_steps]


def _takes_by_arm(sample: PageSample, arms: Sequence[str], readers: Sequence[str]) -> list[object]:
    takes = {take.arm: take for take in sample.takes}
    return [_take_fields(takes[arm], readers) if arm in takes else None for arm in arms]


def _take_fields(take: SampleAttempt, readers: Sequence[str]) -> list[object]:
    readings = [
        [take.readings[name].value, take.readings[name].rule, int(take.correct_by[name])]
        if name in take.readings
        else None
        for name in readers
    ]
    drafts = [[OUTCOMES.index(outcome), text] for outcome, text in take.drafts]
    thoughts = [[take.n_reasoning_tokens, take.thoughts]] if take.thoughts else []
    return [
        OUTCOMES.index(take.outcome),
        take.text,
        readings if take.readings else None,
        take.error,
        take.n_generated_tokens,
        drafts,
        *thoughts,
    ]


def name_runs(runs: Sequence[Comparison]) -> list[str]:
    """Return a name for each run: its model, and as much more as tells it from the others."""
    several = len({run.bench for run in runs}) > 1
    names = [f"{run.model} · {run.bench}" if several else run.model for run in runs]
    return [
        f"{name} · {run.run_id}" if names.count(name) > 1 else name
        for name, run in zip(names, runs, strict=True)
    ]
