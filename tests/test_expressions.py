"""Answers that are expressions: math-verify in processes that can be killed."""

import importlib.metadata
import json
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cotkit.errors import MissingDependencyError
from cotkit.scoring import expressions, score_attempt
from cotkit.scoring.expressions import find_expression
from cotkit.scoring.readers import READERS, panel_of
from cotkit.types import AnswerKind, Attempt, Problem, Question, Score, StopReason

NAME = f"math-verify-{importlib.metadata.version('math-verify')}"


def judge(
    text: str,
    gold: str,
    *,
    kind: AnswerKind = "expression",
    reader: str = "flexible",
    stop: StopReason = "stop",
    also: tuple[str, ...] = (),
) -> Score:
    question = Question(id="e/1", text="?", answer_kind=kind)
    problem = Problem(question=question, gold=gold, also=also)
    return score_attempt(Attempt(text=text, stop_reason=stop), problem, reader)


@pytest.mark.parametrize(
    ("text", "gold"),
    [
        (r"So it is a half. The answer is $\frac{1}{2}$.", "0.5"),
        ("The answer is 1/2.", r"$\frac12$"),
        (r"Thus $x = 3$. \boxed{3\sqrt{2}}", r"\sqrt{18}"),
        ("The answer is 3√2 cm.", r"3\sqrt2"),
        ("The answer is sqrt(2)/2.", r"\dfrac{\sqrt{2}}{2}"),
        ("The answer is [2, 5).", "[2,5)"),
        ("The answer is (1, -2).", r"\left(1,-2\right)"),
        ("The answer is ($1$, $-2$).", "(1,-2)"),
        ("The answer is $1$ or $2$.", "1,2"),
        ("The answer is 2 and 1.", r"\{1, 2\}"),
        ("The answer is x = 5 because 5 - 5 = 0.", "5"),
        ("The answer is $y = 3 + 2x$.", "y=2x+3"),
        ("The answer is (x - 1)(x + 1).", "x^2-1"),
        ("The answer is 2π.", r"2\pi"),
        ("The answer is 5!.", "120"),
        ("The answer is 3 + 4 = 7.", "7"),
        ("The answer is $90^\\circ$.", "90"),
        ("The answer is -∞ < x.", r"x>-\infty"),
        ("The answer is Evelyn.", r"\text{Evelyn}"),
        ("The answer is **$\\dfrac{3}{4}$**.", "0.75"),
        ("The answer is:\n\\[\n\\frac{3}{4}\n\\]", "0.75"),
        (
            r"The answer is \(\begin{pmatrix} 1 \\ 2 \end{pmatrix}\).",
            r"\begin{bmatrix}1\\2\end{bmatrix}",
        ),
        ("The answer is 5x² + 1.", "1+5x^2"),
    ],
)
def test_what_equals_the_gold_answer(text: str, gold: str) -> None:
    score = judge(text, gold)
    assert score.outcome == "correct", score.readings
    assert set(score.readings) == {"strict", "flexible", NAME}


@pytest.mark.parametrize(
    ("text", "gold"),
    [
        ("The answer is 3√2.", "3"),
        ("The answer is (1, 2).", "(2,1)"),
        ("The answer is [2, 5].", "[2,5)"),
        ("The answer is x + 3.", "x-3"),
        ("The answer is Evelyn.", r"\text{Carla}"),
    ],
)
def test_what_does_not(text: str, gold: str) -> None:
    assert judge(text, gold).outcome == "wrong"


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("I cannot tell.", "none"),
        ("The answer is not $3$.", "ambiguous"),
        (r"The answer is $\frac{1}{$.", "none"),
    ],
)
def test_what_cannot_be_read_is_unparsed(text: str, rule: str) -> None:
    score = judge(text, "3")
    assert score.outcome == "unparsed"
    assert (score.readings["flexible"].value, score.readings["flexible"].rule) == (None, rule)


def test_a_last_line_is_guessed_by_flexible_alone() -> None:
    score = judge(r"We add them. This gives $a + b = 2\sqrt{3}$", r"\sqrt{12}")
    assert (score.readings["strict"].value, score.outcome) == (None, "correct")
    assert score.readings["flexible"].rule == "last-line"


def test_a_cut_text_is_truncated() -> None:
    assert judge(r"so the answer is $\frac{1}{2", r"\frac12", stop="length").outcome == "truncated"


def test_other_answers_count() -> None:
    assert judge("The answer is 7.", "5", also=("7",)).outcome == "correct"


def test_equal_answers_have_one_spelling_to_vote_with() -> None:
    texts = [r"\frac{1}{2}", "1/2", r"\dfrac12", "½", "0.5"]
    values = {judge(f"The answer is {x}.", "1").readings["flexible"].value for x in texts}
    assert len(values) == 1


def test_an_installed_extra_changes_no_other_panel() -> None:
    others: tuple[AnswerKind, ...] = ("number", "choice", "text")
    for kind in others:
        assert NAME not in panel_of(kind, "flexible")
    score = judge("It is $18$.", "18", kind="number", reader="math-verify")
    assert score.correct_by[NAME]
    assert set(score.readings) == {*panel_of("number", "flexible"), NAME}
    assert set(READERS) >= {"math-verify"}


def test_without_math_verify_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    expressions.math_verify_name.cache_clear()
    monkeypatch.setattr(importlib.metadata, "version", missing)
    try:
        with pytest.raises(MissingDependencyError, match=r"cotkit\[math\]"):
            judge("The answer is 1.", "1")
        assert judge("The answer is 1.", "1", kind="number").outcome == "correct"
    finally:
        expressions.math_verify_name.cache_clear()


def test_a_job_beyond_its_limit_is_killed_and_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    expressions._answer.cache_clear()
    judge("The answer is 1.", "1")  # a worker is up
    worker = expressions._take_worker()
    os.kill(worker._process.pid, signal.SIGSTOP)  # it will not answer
    expressions._give_back(worker)
    monkeypatch.setattr(expressions, "LIMIT_S", 0.2)
    score = judge("The answer is 8765.", "8765")
    assert score.outcome == "unparsed"
    assert score.readings["strict"].rule == "timeout"
    assert worker._process.poll() is not None
    monkeypatch.undo()
    expressions._answer.cache_clear()
    assert judge("The answer is 8765.", "8765").outcome == "correct"  # by a new one


def test_a_worker_that_dies_is_replaced() -> None:
    judge("The answer is 1.", "1")
    worker = expressions._take_worker()
    worker._process.kill()
    worker._process.wait()
    expressions._give_back(worker)
    expressions._answer.cache_clear()
    assert judge("The answer is 4321.", "4321").readings["strict"].rule == "crashed"
    expressions._answer.cache_clear()
    assert judge("The answer is 4321.", "4321").outcome == "correct"


def test_threads_may_ask_at_once() -> None:
    assert threading.current_thread() is threading.main_thread()
    with ThreadPoolExecutor(2) as pool:
        texts = [f"The answer is {n}/7." for n in range(1, 5)]
        golds = [rf"\frac{{{n}}}{{7}}" for n in range(1, 5)]
        scores = list(pool.map(judge, texts, golds))
    assert [score.outcome for score in scores] == ["correct"] * 4


def test_an_answer_is_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert judge("The answer is 17/19.", r"\frac{17}{19}").outcome == "correct"
    monkeypatch.setattr(expressions, "_take_worker", lambda: pytest.fail("asked again"))
    assert judge("The answer is 17/19.", r"\frac{17}{19}").outcome == "correct"


@pytest.mark.parametrize(
    ("piece", "latex"),
    [
        ("the interval $[2,5)$, not $[2,5]$.", "[2,5)"),
        (r"$\$5$", "5"),
        ("5 units", "5"),
        (r"\text{(A)}", r"\text{(A)}"),
        ("", None),
        (" . ", None),
    ],
)
def test_which_part_is_the_expression(piece: str, latex: str | None) -> None:
    assert find_expression(piece) == latex


def test_a_file_of_expressions_runs_from_the_command_line(tmp_path: Path) -> None:
    bench = tmp_path / "mine.jsonl"
    bench.write_text(
        json.dumps({"question": "Half of root 8?", "answer": r"\sqrt{2}", "id": "a"})
        + "\n"
        + json.dumps({"question": "Solve x = 2 + 1.", "answer": "$x = 3$", "id": "b"})
        + "\n"
    )
    answers = tmp_path / "answers.jsonl"
    answers.write_text(
        '{"id": "a", "text": "The answer is 2/√2."}\n{"id": "b", "text": "The answer is 4."}\n'
    )
    command = [sys.executable, "-m", "cotkit", "score", str(answers), "--format", "json"]
    command += ["--bench", f"{bench}:answer_kind=expression", "--reader", "math-verify"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert f"{NAME}" in json.dumps(report)
