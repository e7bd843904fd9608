"""The whole public API as a user calls it: checked by mypy --strict and pyright, never run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import cotkit
from cotkit.events import Event, GainFound
from cotkit.protocols import Backend, Benchmark, Strategy
from cotkit.types import (
    Attempt,
    Completion,
    Decoding,
    Message,
    Problem,
    Question,
    Request,
)


def model(prompt: str) -> str:
    return f"The answer is {len(prompt)}"


async def slow_model(prompt: str) -> str:
    return model(prompt)


def listen(event: Event) -> None:
    if isinstance(event, GainFound):
        print(event.arm, event.gain, event.low, event.high, event.verdict)


def compare(bench: Benchmark, backend: Backend, folder: Path) -> cotkit.Comparison:
    budget = cotkit.Budget(usd=2.0, tokens=10_000, seconds=60.0)
    resources = cotkit.Resources(budget=budget)
    comparison = cotkit.compare(
        model,
        ["cot", "zero-shot-cot"],
        bench,
        model_id="mine, 2026",
        resources=resources,
        log_dir=folder,
        on_event=listen,
        limit=20,
        margin=0.05,
        seed=1,
    )
    cotkit.compare(slow_model, "cot", "gsm-mini")
    cotkit.compare(backend, bench=bench, baseline="chance")
    for cell in comparison.cells:
        rate: float = cell.solve_rate
        low: float = cell.interval.low
        print(cell.arm, rate, low, cell.n)
    for verdict in comparison.verdicts:
        label: str = verdict.gain.label
        print(verdict.sentence, label, verdict.gain.interval.high)
    text: str = cotkit.render(comparison, "markdown")
    print(text, comparison.run_id, list(comparison.notes))
    return comparison


def plan() -> str:
    forecast: cotkit.Forecast = cotkit.plan("openai/gpt-5.4-mini", "cot", "gsm-mini", limit=10)
    print([(arm.arm, arm.n_to_make) for arm in forecast.arms], forecast.detectable)
    return forecast.run_id


def scale(folder: Path) -> None:
    scales: tuple[cotkit.Scale, ...] = cotkit.scale("simulated", "cot", log_dir=folder, limit=20)
    for each in scales:
        for answer in each.answers:
            print(answer.sentence, answer.onset.status)
            for point in answer.points:
                print(point.rung.model, point.gain, point.interval.low)
    print(cotkit.render(scales, "json"))
    spent: cotkit.Spending = cotkit.measure_spending(
        "simulated/30b", "standard:thinking=16+64", "gsm-mini", reach=0.5, log_dir=folder
    )
    print(spent.sentences, [(p.arm, p.rate, p.tokens) for p in spent.points])
    print(cotkit.render(spent, "markdown"))
    contrasts: tuple[cotkit.ModelContrasts, ...] = cotkit.compare_models(
        ["simulated/1b", "simulated/70b"], ["simulated/8b", "simulated/30b"], "cot", x="ordinal"
    )
    print(cotkit.render(contrasts, "csv"), contrasts[0].sentences)


def score(completions: Mapping[str, str]) -> float:
    result: cotkit.ScoreResult = cotkit.score(completions, "gsm-mini", reader="strict")
    lines = ({"id": name, "text": text, "arm": "cot"} for name, text in completions.items())
    cotkit.score(lines, "gsm-mini", baseline="cot", missing="wrong")
    return result.cell.solve_rate


class Shout:
    """A strategy of one's own."""

    control = "standard"
    reasons = True

    def solve(self, question: Question) -> Iterator[Request]:
        message = Message(role="user", content=question.text.upper())
        yield Request(messages=(message,), decoding=Decoding(max_tokens=100))


def problems() -> list[Problem]:
    question = Question(id="q1", text="1 + 1?", answer_kind="number")
    return [Problem(question=question, gold="2", rationale="1 + 1 = 2", n_steps=1)]


def read(attempt: Attempt, completion: Completion) -> str:
    return attempt.text + completion.text


def catch(strategy: Strategy) -> cotkit.RunOptions | None:
    try:
        print(strategy)
        return cotkit.RunOptions(limit=3, margin=0.01)
    except cotkit.CotkitError as error:
        print(error.exit_code)
        return None
