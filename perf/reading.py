"""What readers read of the cases of tests/cases/extract.jsonl, and how long they take.

    python -m perf.reading

Beside our two: the readers of the panel that reproduce lm-evaluation-harness and Inspect, and two
rules written from what their tools document: simple-evals' for MGSM (the last number, commas left
out) and lighteval's fallback for GSM8K (the last number after any "answer is", else the last). With
math-verify installed, what it reads alone. Numbers only but for our own readers.
"""

from __future__ import annotations

import importlib.util
import json
import re
import statistics
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

from cotkit.scoring import answers
from cotkit.scoring.numbers import canonical_form, read_number
from cotkit.scoring.readers import READERS
from cotkit.scoring.scope import answer_scope
from cotkit.types import Question

CASES = Path(__file__).parent.parent / "tests" / "cases" / "extract.jsonl"
_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")
LONG = {
    "prose": "The cat sat on 12 mats and ate 3 rats. ",
    "cues": "the answer is ",
    "fields": '{"answer": "',
    "digits": "1",
    "lists": "1,",
    "lines": "x\n",
}

Read = Callable[[str, Question], str | None]


def own_reader(name: str) -> Read:
    """Return one of our readers, on what follows the reasoning."""
    reader = READERS[name]

    def read(text: str, question: Question) -> str | None:
        answers.read_marked.cache_clear()
        return reader.read(answer_scope(text), question).value

    return read


def peer_reader(name: str) -> Read:
    """Return a reader of the panel that reproduces another tool: it sees the whole text."""
    return lambda text, question: as_value(READERS[name].read(text, question).value)


def read_last(text: str, _: Question) -> str | None:
    """Read as simple-evals does for MGSM: the last number."""
    numbers = _NUMBER.findall(text)
    return as_value(numbers[-1].replace(",", "")) if numbers else None


def read_after_cue(text: str, question: Question) -> str | None:
    """Read as lighteval falls back to: the first number after the last cue, else the last one."""
    _, cue, tail = text.lower().rpartition("answer is")
    number = _NUMBER.search(tail) if cue else None
    return as_value(number[0].replace(",", "")) if number else read_last(text, question)


def read_math_verify(text: str, _: Question) -> str | None:
    """Read as math-verify does by itself; only numbers count."""
    module: Any = importlib.import_module("math_verify")
    values = module.parse(text, parsing_timeout=None)
    try:
        return canonical_form(Fraction(str(values[0]))) if values else None
    except (ValueError, ZeroDivisionError):
        return None


def as_value(text: str | None) -> str | None:
    """Write a number in plain digits, so that spellings count alike."""
    value = None if text is None else read_number(text)
    return None if value is None else canonical_form(value)


def readers() -> dict[str, Read]:
    """Return every reader that can be had here."""
    available: dict[str, Read] = {name: own_reader(name) for name in ("flexible", "strict")}
    available |= {
        name: peer_reader(name) for name in ("lm-eval-strict", "lm-eval-flexible", "inspect-match")
    }
    available |= {"simple-evals' rule": read_last, "lighteval's rule": read_after_cue}
    if importlib.util.find_spec("math_verify"):
        available["math-verify"] = read_math_verify
    return available


def main() -> None:
    """Print one table of cases and times, and one of long texts."""
    rows = [json.loads(line) for line in CASES.read_text(encoding="utf-8").splitlines()]
    rows = [
        row
        for row in rows
        if row.get("stop", "stop") == "stop"
        and row.get("reader", "flexible") in {"flexible", "strict"}
        and row.get("kind", "number") in {"number", "choice", "text"}
    ]
    print("| reader | numbers | choices | texts | median of a number |")
    print("|---|---|---|---|---|")
    for name, read in readers().items():
        cells: list[str] = []
        for kind in ("number", "choice", "text"):
            cases = [row for row in rows if row.get("kind", "number") == kind]
            if name == "flexible":
                cases = [row for row in cases if row.get("reader", name) == name]
            if kind != "number" and name not in {"flexible", "strict"}:
                cells.append("-")
                continue
            n_right = 0
            for row in cases:
                question = Question(
                    id="x", text="?", answer_kind=kind, choices=tuple(row.get("choices", ()))
                )
                n_right += read(row["text"], question) == row["expected"]
            cells.append(f"{n_right} of {len(cases)}")
        number = Question(id="x", text="?", answer_kind="number")
        texts = [row["text"] for row in rows if row.get("kind", "number") == "number"]
        cells.append(
            f"{1e6 * statistics.median(timed(read, text, number) for text in texts):.0f} µs"
        )
        print(f"| {name} | {' | '.join(cells)} |")
    print("\n| a text of 1 MB | half of it | whole |\n|---|---|---|")
    question = Question(id="x", text="?", answer_kind="number")
    for name, piece in LONG.items():
        text = piece * (1_000_000 // len(piece))
        half, whole = (
            timed(own_reader("flexible"), text[:end], question, 1) for end in (len(text) // 2, None)
        )
        print(f"| {name} | {half:.2f} s | {whole:.2f} s |")


def timed(read: Read, text: str, question: Question, n: int = 5) -> float:
    """Return the processor seconds of a reading, the best of ``n``."""
    seconds: list[float] = []
    for _ in range(n):
        begin = time.process_time()
        read(text, question)
        seconds.append(time.process_time() - begin)
    return min(seconds)


if __name__ == "__main__":
    main()
