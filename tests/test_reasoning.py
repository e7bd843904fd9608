"""Least-to-most, plan-and-solve, program-aided and the calculator: prompts, flows, whole runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import cotkit
from cotkit.backends._function import Function
from cotkit.errors import UsageError
from cotkit.prompting import read_exemplars, read_locked
from cotkit.protocols import Strategy
from cotkit.registry import construct, parse_spec
from cotkit.run import RunSpec
from cotkit.store import AttemptRow, Store
from cotkit.strategies.least_to_most import decompositions, smaller_questions
from cotkit.strategies.program_aided import cut_code, programs
from cotkit.types import Attempt, Completion, Execute, Flow, Question, Request, StopReason
from cotkit.workflows.compare import run_spec
from tests.attack import needs_wall
from tests.conftest import Sums

ASKED = Question(id="x", text="Cost: $5 {{ x }} 10%. How much?")
INSTRUCTION = "End with one line of the form: The answer is <number>."


def flow(name: str, question: Question = ASKED) -> Flow:
    strategy = construct("strategy", parse_spec(name), exemplars=read_exemplars(2))
    solver: Strategy = strategy  # pyright: ignore[reportAssignmentType] - construct returns object
    return solver.solve(question)


def said(text: str, stop_reason: StopReason = "stop") -> tuple[Completion]:
    return (Completion(text=text, stop_reason=stop_reason),)


def content(step: Request | Execute) -> str:
    assert isinstance(step, Request)
    (message,) = step.messages
    return message.content


def end(running: Flow, reply: tuple[Completion]) -> Attempt:
    with pytest.raises(StopIteration) as ended:
        running.send(reply)
    return ended.value.value


PLAN = (
    "First I make sure what is asked and write down a plan. Then I follow the plan one step at a"
    " time."
)
PLUS = (
    "First I make sure what is asked. I note every quantity that matters with its value and write"
    " down a plan. Then I follow the plan one step at a time, work out each intermediate value with"
    " care, and mind the arithmetic and the sense of each result."
)


@pytest.mark.parametrize(
    ("name", "trigger"), [("plan-and-solve", PLAN), ("plan-and-solve:plus=true", PLUS)]
)
def test_plan_and_solve_to_the_byte(name: str, trigger: str) -> None:
    running = flow(name)
    first = next(running)
    head = f"Answer the question. {INSTRUCTION}\n\n"
    assert content(first) == f"{head}Q: {ASKED.text}\nA: {trigger}"
    second = running.send(said(" The plan.", "length"))
    assert isinstance(second, Request)
    assert [message.content for message in second.messages] == [
        content(first),
        " The plan.",
        "\nTherefore, the answer is",
    ]
    assert end(running, said(" 7.")) == Attempt(text="The answer is 7.", stop_reason="stop")


def test_program_aided_to_the_byte() -> None:
    shots = "".join(f"Q: {x.question}\nA:\n{programs()[x.question]}\n\n" for x in read_exemplars(2))
    assert content(next(flow("program-aided"))) == (
        "Answer each question with a Python function solution() that takes nothing and returns the"
        f" answer. Write the function and nothing else.\n\n{shots}Q: {ASKED.text}\nA:"
    )


def test_every_program_is_of_a_built_in_exemplar_and_comes_to_its_answer() -> None:
    rows = [json.loads(x) for x in read_locked("exemplars.program.v1.jsonl").splitlines()]
    exemplars = read_exemplars(8)
    assert [(r["question"], r["answer"]) for r in rows] == [
        (x.question, x.answer) for x in exemplars
    ]
    for row in rows:
        names: dict[str, object] = {}
        exec(row["code"] + "\nresult = solution()", names)
        assert names["result"] == int(row["answer"]), row["question"]


def test_program_aided_has_what_the_code_printed_last_as_its_answer() -> None:
    running = flow("program-aided:timeout_s=2")
    next(running)
    step = running.send(said("\ndef solution():\n    return 7"))
    assert isinstance(step, Execute)
    assert step.code.startswith("def solution():\n    return 7\n")
    assert "print(" in step.code.splitlines()[-1]
    assert step.timeout_s == 2
    assert end(running, said("working\n7\n")).text == "The answer is 7."


def test_code_that_gave_nothing_is_no_answer_with_a_note() -> None:
    for ran, note in (
        (Completion(text="", stop_reason="stop", error="killed after 5 s"), "killed after 5 s"),
        (Completion(text=" \n", stop_reason="stop"), "the code printed nothing"),
    ):
        running = flow("program-aided")
        next(running)
        running.send(said("def solution(): pass"))
        assert end(running, (ran,)) == Attempt(text="", stop_reason="stop", note=note)


def test_code_that_was_cut_or_refused_is_not_run() -> None:
    running = flow("program-aided")
    next(running)
    cut = end(running, said("def solution():\n    retu", "length"))
    assert (cut.text, cut.stop_reason) == ("", "length")
    assert cut.note == "the code was cut at 320 tokens, and not run"
    running = flow("program-aided")
    next(running)
    assert end(running, said("No.", "refusal")).stop_reason == "refusal"
    running = flow("program-aided")
    next(running)
    closed = running.send(said("```\ndef solution(): return 1\n```\nThis fun", "length"))
    assert isinstance(closed, Execute)


SOLUTION = "def solution():\n    return 1"


@pytest.mark.parametrize(
    ("reply", "code", "closed"),
    [
        (f" {SOLUTION}\n", SOLUTION, False),
        (f"```python\n{SOLUTION}\n```", SOLUTION, True),
        (f"Here it is:\n```py\n{SOLUTION}\n```\nIt returns 1.", SOLUTION, True),
        (f"```\npip install x\n```\n```\n{SOLUTION}\n```", SOLUTION, True),
        (f"```python\n{SOLUTION}", SOLUTION, False),
        ("", "", False),
    ],
)
def test_the_code_is_cut_out_of_its_reply(reply: str, code: str, closed: bool) -> None:
    assert cut_code(reply) == (code, closed)


def test_least_to_most_feeds_its_answers_back() -> None:
    running = flow("least-to-most")
    first = content(next(running))
    assert first.endswith(f"\n\nQ: {ASKED.text}\nSmaller questions:")
    second = content(running.send(said(f"\n1. One?\n2) Two?\n3. {ASKED.text[-9:]}")))
    assert second.endswith(f"\n\nQ: {ASKED.text}\nSmaller question: One?\nA:")
    assert INSTRUCTION not in second
    third = content(running.send(said(" It is\n1.")))
    tail = f"Q: {ASKED.text}\nSmaller question: One?\nA: It is 1.\nSmaller question: Two?\nA:"
    assert third.endswith("\n\n" + tail)
    last = running.send(said(" It is 2."))
    assert content(last).endswith(f"{tail} It is 2.\nNow the question itself.\nA:")
    assert INSTRUCTION in content(last)
    assert isinstance(last, Request)
    assert last.decoding.stop_after is not None
    assert end(running, said(" The answer is 3.")).text == " The answer is 3."


def test_least_to_most_asks_no_more_than_its_steps() -> None:
    running = flow("least-to-most:max_steps=3")
    next(running)
    step = running.send(said("\n".join(f"{n}. Part {n}?" for n in range(1, 9))))
    for _ in range(2):
        assert "Answer only the smaller question" in content(step)
        step = running.send(said("Yes."))
    assert content(step).endswith("Now the question itself.\nA:")


@pytest.mark.parametrize(
    ("listed", "parts", "why"),
    [
        ("1. A?\n2) B?\n- C?\n* D?", ["A?", "B?", "C?", "D?"], "numbers and bullets"),
        ("Sure:\n 1. A?  \n\n2. A?", ["A?"], "blanks, words before it, repetitions"),
        ("I would say 7.", [], "no list"),
        ("1. A?\n2. How much?", ["A?"], "restates the question"),
        ("1.5 liters?", [], "a decimal is no number of a list"),
    ],
)
def test_what_counts_as_a_smaller_question(listed: str, parts: list[str], why: str) -> None:
    assert smaller_questions(said(listed)[0], ASKED) == parts, why


def test_a_smaller_question_cut_at_the_limit_is_not_asked() -> None:
    assert smaller_questions(said("1. A?\n2. And wh", "length")[0], ASKED) == ["A?"]


def test_the_decompositions_are_of_built_in_exemplars() -> None:
    answers = {x.question: x.answer for x in read_exemplars(8)}
    assert len(decompositions()) == 3
    for worked in decompositions():
        assert answers[worked["question"]] == worked["answer"]


@pytest.mark.parametrize(
    "spec",
    ["least-to-most:max_steps=0", "least-to-most:step_tokens=0", "plan-and-solve:answer_tokens=0"],
)
def test_values_out_of_range_are_refused(spec: str) -> None:
    with pytest.raises(UsageError, match="must be"):
        flow(spec)


def test_program_aided_needs_code_for_its_exemplars_and_a_sane_timeout() -> None:
    with pytest.raises(UsageError, match="timeout_s is 0, must be above 0"):
        flow("program-aided:timeout_s=0")
    strange = [read_exemplars(1)[0].__class__(question="Why?", rationale="So.", answer="1")]
    with pytest.raises(UsageError, match=r"no code for 'Why\?': only our word problems have"):
        construct("strategy", parse_spec("program-aided"), exemplars=tuple(strange))


def test_the_calculator_asks_what_cot_asks_and_returns_the_corrected_chain() -> None:
    plain, checked = flow("cot"), flow("cot:calculator=true")
    assert next(plain) == next(checked)
    chain = " 3 * 4 = 13. 13 + 2 = 15. The answer is 15."
    assert end(plain, said(chain)).text == chain
    assert end(checked, said(chain)).text == " 3 * 4 = 12. 12 + 2 = 14. The answer is 14."


def sums_by_program(prompt: str) -> str:
    """Answers `What is A plus B?` in code; every fifth question misbehaves."""
    a, b = prompt.rpartition("What is ")[2].partition("?")[0].split(" plus ")
    if "solution()" not in prompt:
        return f" The answer is {int(a) + int(b)}."
    bad = {0: "while True: pass", 5: "open('/etc/passwd')", 10: "def f(:", 15: "1 / 0"}
    body = bad.get(int(a), f"return {a} + {b} + 0.0")
    return f"```python\ndef solution():\n    {body}\n```"


@needs_wall
def test_a_run_goes_on_past_code_that_misbehaves(tmp_path: Path) -> None:
    spec = RunSpec(
        model="given",
        strategies=("program-aided:timeout_s=1",),
        limit="all",
        run_unsafe_code=True,
        sandbox="kernel",
    )
    backend = Function(function=sums_by_program)
    found = run_spec(spec, Sums(n=17), log_dir=tmp_path, backend=backend)
    rows = rows_of(tmp_path, "program-aided:timeout_s=1")
    assert {row.problem_id: row.error for row in rows if row.error} == {
        "sums/0": "killed after 1 s",
        "sums/5": "PermissionError in line 2: [Errno 13] Permission denied: '/etc/passwd'",
        "sums/10": "syntax error in line 2: invalid syntax",
        "sums/15": "ZeroDivisionError in line 2: division by zero",
    }
    cell = next(cell for cell in found.cells if cell.arm.startswith("program-aided"))
    assert (cell.outcomes["correct"], cell.outcomes["unparsed"]) == (13, 4)


def test_without_leave_the_run_is_refused() -> None:
    with pytest.raises(UsageError, match="--confirm-run-unsafe-code"):
        cotkit.compare(sums_by_program, "program-aided", Sums(n=4))


def test_the_others_run_to_a_table() -> None:
    def model(prompt: str) -> str:
        a, b = prompt.rpartition("What is ")[2].partition("?")[0].split(" plus ")
        if prompt.endswith("Smaller questions:"):
            return "\n1. What comes first?\n"
        wrong, right = int(a) + int(b) + 1, int(a) + int(b)
        if prompt.endswith("the answer is"):
            return f" {right}."
        return f" {a} + {b} = {wrong}. The answer is {wrong}."

    arms = ["least-to-most", "plan-and-solve", "cot", "cot:calculator=true"]
    found = cotkit.compare(model, arms, Sums(n=6))
    correct = {cell.arm: cell.outcomes["correct"] for cell in found.cells}
    assert [correct[arm] for arm in arms] == [0, 6, 0, 6]


def rows_of(log_dir: Path, arm: str) -> list[AttemptRow]:
    with Store(log_dir / "cotkit.db") as store:
        (run,) = store.runs()
        return [row for row in store.attempts(run.id) if row.arm == arm]
