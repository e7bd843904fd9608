"""Generated arithmetic: the grid, the published shapes, and metrics that read digits and steps."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotkit.benchmarks import draw_exemplars, load_benchmark
from cotkit.benchmarks.arithmetic import Arithmetic
from cotkit.benchmarks.arithmetic.generate import PRESETS, divisors
from cotkit.errors import CotkitError, UsageError
from cotkit.paths import resource
from cotkit.registry import parse_spec
from cotkit.run import RunSpec, make_plan
from cotkit.run.forecast import start_without_gold
from cotkit.scoring.measure import digit_accuracy, first_wrong_step, read_steps
from cotkit.scoring.metrics import edit_distance, edit_similarity
from cotkit.types import Problem, Request

CELLS = [
    Arithmetic(n=9),
    Arithmetic(n=9, steps=2, digits=1, operators="+-"),
    Arithmetic(n=9, steps=1, digits=1, operators="+"),
    Arithmetic(n=9, steps=8, digits=5, operators="+-", shape="nested"),
    Arithmetic(n=9, steps="1-8", operators="+-"),
    Arithmetic(n=9, steps="2-4", digits="1-3", operators="x", shape="nested"),
    Arithmetic(n=9, steps=4, digits=2, operators="+-x/"),
    Arithmetic(n=9, steps=4, digits=2, operators="/x-+", shape="nested"),
    Arithmetic(n=9, steps=6, digits=2, operators="*"),
    Arithmetic(n=9, steps=1, digits=4, operators="/"),
    *(Arithmetic(n=9, preset=name) for name in PRESETS),
]


def load(text: str) -> Arithmetic:
    bench = load_benchmark(parse_spec(text))
    assert isinstance(bench, Arithmetic)
    return bench


def everything(bench: Arithmetic) -> list[Problem]:
    return [*bench.exemplar_pool(), *bench.problems()]


def content(bench: Arithmetic) -> str:
    said = (f"{p.question.text}\n{p.rationale}\n{p.gold}\n" for p in everything(bench))
    return hashlib.sha256("".join(said).encode()).hexdigest()[:12]


# --- the problems ---------------------------------------------------------------------------


@pytest.mark.parametrize("bench", CELLS, ids=lambda bench: bench.version)
def test_every_step_is_true_and_the_last_is_the_answer(bench: Arithmetic) -> None:
    assert len(bench.problems()) == 9
    for problem in everything(bench):
        steps = list(read_steps(problem.rationale or ""))
        assert len(steps) == problem.n_steps
        assert all(step.c == worked(step.a, step.sign, step.b) for step in steps)
        assert str(steps[-1].c) == problem.gold
        assert first_wrong_step(problem.rationale or "", problem.rationale or "") is None


def worked(a: Fraction, sign: str, b: Fraction) -> Fraction:
    return {"+": a + b, "-": a - b, "*": a * b, "/": a / b if b else a}[sign]


@pytest.mark.parametrize("bench", CELLS, ids=lambda bench: bench.version)
def test_a_question_says_what_its_gold_answer_says(bench: Arithmetic) -> None:
    for problem in bench.problems():
        assert str(value_of(problem.question.text, bench.preset or "")) == problem.gold


def value_of(text: str, preset: str) -> Fraction:
    """The value by Python's own rules, from the words of a question alone."""
    if text.startswith("Start with"):
        first, *parts = re.split(r", (?:then )?", text.removesuffix(". What is the result?"))
        value = Fraction(first.removeprefix("Start with "))
        for part in parts:
            verb, _, given = part.rpartition(" ")
            sign = {"add": "+", "subtract": "-", "multiply by": "*", "divide by": "/"}[verb]
            value = worked(value, sign, Fraction(given))
        return value
    text = text.splitlines()[-1].removeprefix("What is ").rstrip("?=>- ")
    for word, sign in (("plus", "+"), ("minus", "-"), ("times", "*")):
        text = text.replace(word, sign)
    assert re.fullmatch(r"[-+*/() 0-9]+", text)
    exact = re.sub(r"\d+", r"Fraction(\g<0>)", text)
    return eval(exact, {"Fraction": Fraction}) + ("plus-one" in preset)


@pytest.mark.parametrize("bench", CELLS, ids=lambda bench: bench.version)
def test_no_exemplar_is_a_problem_and_nothing_comes_twice(bench: Arithmetic) -> None:
    texts = [problem.question.text for problem in everything(bench)]
    assert len(set(texts)) == len(texts) == 41
    assert len({problem.question.id for problem in everything(bench)}) == 41


@pytest.mark.parametrize(("steps", "digits"), list(product((1, 2, 5, 8), (1, 3, 5))))
def test_the_grid_keeps_its_numbers_of_steps_and_digits(steps: int, digits: int) -> None:
    for shape in ("chain", "signs", "nested"):
        bench = Arithmetic(n=20, steps=steps, digits=digits, operators="+-", shape=shape)
        for problem in bench.problems():
            given_numbers = re.findall(r"\d+", problem.question.text)
            assert len(given_numbers) == steps + 1
            assert {len(one) for one in given_numbers} == {digits}
            assert problem.n_steps == steps


WORDINGS = {
    "steps=2,digits=1,operators=+-": (
        "Start with 8, add 5, then subtract 1. What is the result?",
        "First 8 + 5 = 13. Then 13 - 1 = 12.",
    ),
    "steps=1,digits=2,operators=+-": (
        "Start with 65, subtract 70. What is the result?",
        "65 - 70 = -5.",
    ),
    "steps=3,digits=2,operators=+-x/": (
        "Start with 43, add 23, then subtract 46, then subtract 23. What is the result?",
        "First 43 + 23 = 66. Then 66 - 46 = 20. Then 20 - 23 = -3.",
    ),
    "steps=3,digits=2,shape=signs,operators=+-": (
        "What is 34 + 38 + 85 + 46?",
        "First 34 + 38 = 72. Then 72 + 85 = 157. Then 157 + 46 = 203.",
    ),
    "steps=3,digits=2,operators=+-x/,shape=nested": (
        "What is 94 - ((32 - 22) - 35)?",
        "First 32 - 22 = 10. Then 10 - 35 = -25. Then 94 - (-25) = 119.",
    ),
    "preset=gpt3-3d-sub": (
        "What is 374 minus 503?",
        "374 - 503 = -129.",
    ),
    "preset=gpt3-1d-composite": (
        "What is 7+(6-5)?",
        "First 6 - 5 = 1. Then 7 + 1 = 8.",
    ),
    "preset=multistep-1-2": (
        "((1 - 6) * (3 + 7)) =",
        "First 1 - 6 = -5. Then 3 + 7 = 10. Then -5 * 10 = -50.",
    ),
    "preset=modified-2d-mul-plus-one": (
        (
            "In each of these lines the arrow -> stands for the same calculation. | 64 * 12 -> 769"
            " | 4 * 86 -> 345 | 41 * 76 -> 3117 | 19 * 52 -> 989 | 28 * 26 -> 729 | 25 * 12 ->"
        ),
        "First 25 * 12 = 300. Then 300 + 1 = 301.",
    ),
}


@pytest.mark.parametrize(("spec", "expected"), WORDINGS.items())
def test_the_wording_to_the_letter(spec: str, expected: tuple[str, str]) -> None:
    first = load(f"arithmetic:{spec}").problems()[0]
    assert (first.question.text.replace("\n", " | "), first.rationale) == expected


@pytest.mark.parametrize(
    ("spec", "n"),
    [
        ("steps=1,digits=1", 49),
        ("steps=1,digits=1,operators=+-", 130),
        ("preset=multistep-0-2", 1051),
    ],
)
def test_a_small_set_is_taken_whole(spec: str, n: int) -> None:
    bench = load(f"arithmetic:{spec},n=2000")
    assert len(bench.problems()) == n
    assert {p.question.text for p in everything(bench)} == {
        p.question.text for p in everything(load(f"arithmetic:{spec},n=2000,seed=7"))
    }


@pytest.mark.parametrize(
    "spec",
    [
        "steps=1,digits=1,operators=+-",
        "steps=2,digits=1",
        "steps=3,digits=4",
        "steps=1-8,digits=1-3",
    ],
)
def test_a_larger_set_contains_a_smaller_one_and_a_seed_makes_another(spec: str) -> None:
    small, large = load(f"arithmetic:{spec},n=20"), load(f"arithmetic:{spec},n=120")
    assert large.problems()[:20] == small.problems()
    assert large.exemplar_pool() == small.exemplar_pool()
    other = load(f"arithmetic:{spec},n=20,seed=1")
    assert other.version != small.version
    assert [p.question.text for p in other.problems()] != [
        p.question.text for p in small.problems()
    ]


def test_one_set_has_one_version_however_it_is_spelled() -> None:
    bench = load("arithmetic:operators=*-+,steps=4")
    assert bench.version == load("arithmetic:digits=1-1,operators=+-x,shape=chain").version
    assert bench.problems() == load("arithmetic:operators=+-x").problems()
    assert load("arithmetic").version == "1-4-steps-1-digits-add-chain-seed0-n1000"
    ranged = load("arithmetic:steps=1-8,digits=1-3").version
    assert ranged == "1-1to8-steps-1to3-digits-add-chain-seed0-n1000"


def test_a_range_takes_its_cells_in_turn() -> None:
    bench = load("arithmetic:steps=1-8,n=100")
    assert [problem.n_steps for problem in bench.problems()] == [1, 2, 3, 4, 5, 6, 7, 8] * 12 + [
        *(1, 2, 3, 4)
    ]
    assert [problem.n_steps for problem in bench.exemplar_pool()] == [1, 2, 3, 4, 5, 6, 7, 8] * 4
    for steps in (1, 5, 8):
        alone = load(f"arithmetic:steps={steps},n=20")
        own = [problem for problem in bench.problems() if problem.n_steps == steps]
        assert list(alone.problems()[: len(own)]) == own, "the problems of that cell alone"


def test_a_cell_that_runs_out_is_not_made_up_for() -> None:
    """One step of one digit has 81 additions: 49 beside the exemplars, not 100."""
    problems = load("arithmetic:steps=1-2,digits=1,n=200").problems()
    assert Counter(problem.n_steps for problem in problems) == {1: 49, 2: 100}
    few = load("arithmetic:steps=1-2,digits=1,n=60").problems()
    assert list(problems[:60]) == list(few)


def test_division_is_exact_and_never_idle() -> None:
    steps = [
        step
        for problem in Arithmetic(n=90, operators="+-x/").problems()
        for step in read_steps(problem.rationale or "")
    ]
    divided = [step for step in steps if step.sign == "/"]
    assert len(divided) > 0.1 * len(steps)
    for step in divided:
        assert step.c.denominator == 1
        assert abs(step.c) > 1
        assert abs(step.b) > 1


@given(st.integers(-3000, 3000), st.sampled_from([(1, 9), (10, 99), (100, 999)]))
def test_divisors_are_all_there_are(value: int, bounds: tuple[int, int]) -> None:
    low, high = bounds
    slow = [d for d in range(max(low, 2), high + 1) if value % d == 0 and abs(value) >= 2 * d]
    assert sorted(divisors(value, low, high)) == slow


def test_twins_differ_in_the_arrow_alone() -> None:
    control = load("arithmetic:preset=modified-3d-sub-control,n=50").problems()
    plus_one = load("arithmetic:preset=modified-3d-sub-plus-one,n=50").problems()
    for one, other in zip(control, plus_one, strict=True):
        assert int(other.gold) == int(one.gold) + 1
        assert (one.n_steps, other.n_steps) == (1, 2)
        assert [line.split("->")[0] for line in one.question.text.splitlines()[1:]] == [
            line.split("->")[0] for line in other.question.text.splitlines()[1:]
        ]


HASHES = {
    "steps=2,digits=1,operators=+-": "1e965ad494bf",
    "steps=2,digits=1": "d8577fe12202",
    "steps=1-8,digits=2": "47979c414649",
    "steps=2-3,digits=1-2,operators=+-x/": "4fc7d4753b5a",
    "steps=8,digits=5,operators=+-": "61188de6dbb6",
    "steps=3,digits=2,operators=+-x/": "381a1fe5d760",
    "steps=3,digits=2,operators=+-x/,shape=nested": "622ed1a60523",
    "steps=1,digits=1,operators=+-,shape=signs": "b8a50377a20d",
    "preset=gpt3-2d-add": "cc9e0892160c",
    "preset=gpt3-1d-composite": "f39318048940",
    "preset=multistep-3-2": "5e8cd52bfaca",
    "preset=modified-3d-sub-control": "8a7681b9caf0",
}


@pytest.mark.parametrize(("spec", "expected"), HASHES.items())
def test_the_problems_are_the_same_on_every_machine(spec: str, expected: str) -> None:
    """If this fails, the generator changed: raise GENERATOR_VERSION, then write the new hashes."""
    bench = load(f"arithmetic:{spec},n=50")
    assert bench.version.startswith("1-")
    assert content(bench) == expected


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ("steps=0", "steps is 0, must be 1 to 8"),
        ("steps=9", "steps is 9, must be 1 to 8"),
        ("steps=two", "steps is two, must be 1 to 8, or a range such as 1-3"),
        ("steps=0-3", "steps is 0-3, must be 1 to 8"),
        ("steps=1-9", "steps is 1-9, must be 1 to 8"),
        ("steps=5-2", "steps is 5-2, must be 1 to 8"),
        ("steps=-3", "steps is -3, must be 1 to 8"),
        ("steps=2-", "steps is 2-, must be 1 to 8"),
        ("steps=1-2-3", "steps is 1-2-3, must be 1 to 8"),
        ("digits=1-6", "digits is 1-6, must be 1 to 5"),
        ("steps=1-8,digits=2,operators=x", "steps is 7 and digits 2: with x in operators"),
        ("steps=1-2,operators=/", "steps is 2, but operators=/ divides exactly only once"),
        ("digits=0", "digits is 0, must be 1 to 5"),
        ("digits=6", "digits is 6, must be 1 to 5"),
        ("n=0", "n is 0, must be 1 to 2000"),
        ("n=2001", "n is 2001, must be 1 to 2000"),
        ("shape=tree", "shape is 'tree', must be chain, signs or nested"),
        ("shape=signs,operators=+x", "shape is signs, where operators may be"),
        ("operators=add", "operators is 'add', must be some of"),
        ("operators=++", "operators is '++', must be some of"),
        ("operators=x*", "each once"),
        ("operators=", "operators is '', must be some of"),
        ("operators=x,steps=8,digits=5", "a value may have 45 digits, more than 15"),
        ("operators=/,steps=2", "steps is 2, but operators=/ divides exactly only once"),
        ("preset=gpt3-3d-ad", "did you mean gpt3-3d-add"),
        ("preset=gpt3-3d-add,digits=3", "digits is fixed by preset=gpt3-3d-add"),
        ("step=3", "did you mean steps"),
    ],
)
def test_what_cannot_be_made_is_refused_in_one_line(params: str, says: str) -> None:
    with pytest.raises(CotkitError, match=re.escape(says)) as caught:
        load(f"arithmetic:{params}")
    assert "\n" not in caught.value.message


def test_a_set_that_is_all_exemplars_is_refused() -> None:
    for steps in ("1", "1-1"):
        with pytest.raises(UsageError, match="has 6 different problems"):
            load(f"arithmetic:steps={steps},digits=1,operators=/").problems()


# --- in a run -------------------------------------------------------------------------------

FEW_SHOT = (
    *("few-shot", "cot", "equation-only", "filler", "answer-first", "cot-shuffled"),
    *("self-consistency", "self-review", "self-correct"),
)


@pytest.mark.parametrize("exemplars", ["builtin:8", "builtin:32", "train:8"])
def test_every_few_shot_strategy_shows_exemplars_of_the_pool(exemplars: str) -> None:
    bench = load("arithmetic:steps=2,digits=1")
    spec = RunSpec(model="m", strategies=FEW_SHOT, exemplars=exemplars, limit=40)
    pool = {problem.question.text for problem in bench.exemplar_pool()}
    plan = make_plan(spec, bench)
    shown = [getattr(arm.strategy, "exemplars", ()) for arm in plan.arms]
    assert sum(bool(exemplars) for exemplars in shown) >= 5
    assert {x.question for exemplars in shown for x in exemplars} <= pool
    assert not pool & {problem.question.text for problem in plan.problems}


@pytest.mark.parametrize(("k", "per_step"), [(4, {0, 1}), (8, {1}), (16, {2}), (32, {4})])
def test_exemplars_of_a_range_are_spread_over_the_steps(k: int, per_step: set[int]) -> None:
    bench = load("arithmetic:steps=1-8,n=50")
    steps_of = {problem.question.text: problem.n_steps for problem in bench.exemplar_pool()}
    for seed in (0, 1):
        spec = RunSpec(model="m", exemplars=f"builtin:{k}", exemplar_seed=seed)
        shown, again = (
            [x.question for x in getattr(make_plan(spec, bench).arms[0].strategy, "exemplars", ())]
            for _ in range(2)
        )
        assert shown == again
        counts = Counter(steps_of[text] for text in shown)
        assert {counts[steps] for steps in range(1, 9)} == per_step


def test_exemplars_of_one_number_of_steps_are_drawn_as_from_any_pool() -> None:
    pool = load("arithmetic:steps=3").exemplar_pool()
    assert draw_exemplars(pool, 8, 0, spread=True) == draw_exemplars(pool, 8, 0)


def test_a_pool_has_no_more_than_it_has() -> None:
    with pytest.raises(UsageError, match="33 exemplars asked, 32 can be drawn"):
        make_plan(RunSpec(model="m", exemplars="builtin:33"), Arithmetic())


def test_the_prompt_to_the_byte() -> None:
    bench = load("arithmetic:steps=2,digits=1,operators=+-,n=20")
    plan = make_plan(RunSpec(model="m", exemplars="builtin:1", limit=1), bench)
    prompts: dict[str, str] = {}
    for arm in plan.arms:
        request = next(start_without_gold(arm, plan.problems[0].question))
        assert isinstance(request, Request)
        prompts[arm.name] = request.messages[0].content
    head = "Answer the question. End with one line of the form: The answer is <number>.\n\n"
    exemplar = "Q: Start with 7, subtract 8, then add 1. What is the result?\nA: "
    asked = (
        "The answer is 0.\n\nQ: Start with 4, subtract 4, then subtract 3. What is the result?\nA:"
    )
    assert prompts == {
        "few-shot": f"{head}{exemplar}{asked}",
        "cot": f"{head}{exemplar}First 7 - 8 = -1. Then -1 + 1 = 0. {asked}",
    }


def test_the_card_names_every_preset() -> None:
    card = resource("benchmarks/arithmetic/card.md").read_text(encoding="utf-8")
    families = {re.sub(r"\d(?=d-)|(?<=-)\d", "N", name) for name in PRESETS}
    assert families <= set(re.findall(r"`([a-zN0-9-]+)`", card))


# --- metrics --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "gold", "expected", "why"),
    [
        ("142", "142", 1, "equal"),
        ("0", "0", 1, "one column"),
        ("152", "142", 2 / 3, "one digit of three"),
        ("42", "142", 2 / 3, "aligned at the units, the first column is empty"),
        ("1142", "142", 3 / 4, "one column too many"),
        ("1420", "142", 0, "shifted by one: no column agrees"),
        ("-7", "7", 1 / 2, "the digit agrees, the sign does not"),
        ("-7", "-7", 1, "the sign is a column where either is negative"),
        ("-17", "-7", 2 / 3, "sign and units of three columns"),
        ("7.5", "7", 1 / 2, "a decimal is a column that no integer has"),
        ("1/3", "1", 0, "a fraction has no columns"),
    ],
)
def test_digit_accuracy(value: str, gold: str, expected: float, why: str) -> None:
    assert digit_accuracy(value, gold) == pytest.approx(expected), why


def test_a_gold_answer_that_is_no_integer_has_no_digit_accuracy() -> None:
    with pytest.raises(ValueError, match=r"7\.5"):
        digit_accuracy("7", "7.5")


INTEGERS = st.integers(-(10**15), 10**15)
TEXTS = st.text("0123456789-", max_size=8)


@given(INTEGERS, INTEGERS)
def test_digit_accuracy_is_one_for_equals_only_and_symmetric(one: int, other: int) -> None:
    accuracy = digit_accuracy(str(one), str(other))
    assert 0 <= accuracy <= 1
    assert (accuracy == 1) == (one == other)
    assert accuracy == digit_accuracy(str(other), str(one))
    assert digit_accuracy(str(one), str(one)) == 1


@given(TEXTS, TEXTS, TEXTS)
def test_edit_distance_is_a_metric(a: str, b: str, c: str) -> None:
    assert (edit_distance(a, b) == 0) == (a == b)
    assert edit_distance(a, b) == edit_distance(b, a)
    assert edit_distance(a, c) <= edit_distance(a, b) + edit_distance(b, c)
    assert abs(len(a) - len(b)) <= edit_distance(a, b) <= max(len(a), len(b))
    assert 0 <= edit_similarity(a, b) <= 1


@pytest.mark.parametrize(
    ("one", "other", "distance", "similarity"),
    [
        ("1234", "1234", 0, 1),
        ("1234", "123", 1, 3 / 4),
        ("1234", "4321", 4, 0),
        ("21", "12", 2, 0),
        ("-5", "5", 1, 1 / 2),
        ("", "", 0, 1),
        ("", "12", 2, 0),
        ("138", "1438", 1, 3 / 4),
    ],
)
def test_edit_distance_by_hand(one: str, other: str, distance: int, similarity: float) -> None:
    assert edit_distance(one, other) == distance
    assert edit_similarity(one, other) == similarity
    assert edit_distance(one.split(), other.split()) <= 1, "any sequence has items"


GOLD = "First 12 + 7 = 19. Then 19 * 3 = 57. Then 57 - 60 = -3."


@pytest.mark.parametrize(
    ("chain", "expected", "why"),
    [
        (GOLD, None, "the gold chain itself"),
        ("12+7=19\n19*3=57\n57-60=-3", None, "no spaces"),
        ("- 12 + 7 = 19\n- 3 × 19 = 57\n- 57 \u2212 60 = \u22123", None, "bullets, turned product"),
        ("1. 12 + 7 = 19\n2. 19 x 3 = 57\n3. 57 - 60 = (-3)", None, "numbered, brackets"),
        ("12 + 7 = 19 * 3 = 57 - 60 = -3", None, "one running chain"),
        (r"\(12 + 7 = 19\), \(19 \times 3 = 57\), \[57 - 60 = -3\]", None, "LaTeX"),
        ("12 plus 7 is 19, 19 times 3 equals 57, 57 minus 60 gives -3", None, "words"),
        ("**12 + 7 = 19**. (19 * 3) = 57. So (57 - 60 = -3).", None, "bold, brackets"),
        ("12 + 7 = 19. 12 + 7 = 19. 19 * 3 = 57. 57 - 60 = -3", None, "said twice"),
        (GOLD + " Check: -3 + 60 = 58.", None, "what follows the last step is not looked at"),
        ("12 + 7 = 20. 20 * 3 = 60. 60 - 60 = 0.", 1, "later steps follow from the first"),
        ("12 + 7 = 19. 19 * 3 = 47. 47 - 60 = -13.", 2, "the second"),
        ("12 + 7 = 19. 19 * 3 = 57. 57 - 60 = 3.", 3, "the sign"),
        ("12 + 7 = 19. 19 + 3 = 22. 22 - 60 = -38.", 2, "a true equation of another problem"),
        ("12 + 7 = 19. 19 * 3 = 57.", 3, "stops early"),
        ("12 + 7 = 19. 60 - 57 = 3.", 2, "a difference turned round is another step"),
        ("The answer is -3.", "no-chain", "an answer alone"),
        ("", "no-chain", "nothing"),
        ("12 + 7 * 3 - 60 = -3", "no-chain", "one expression states no step"),
        ("What is 12 + 7?", "no-chain", "no result"),
    ],
)
def test_the_first_wrong_step(chain: str, expected: object, why: str) -> None:
    assert first_wrong_step(chain, GOLD) == expected, why


def test_bracketed_terms_may_be_worked_in_any_order() -> None:
    gold = "First 2 + 3 = 5. Then 4 + 5 = 9. Then 5 * 9 = 45."
    assert first_wrong_step("4 + 5 = 9, 2 + 3 = 5, 9 * 5 = 45", gold) is None
    assert first_wrong_step("4 + 5 = 8, 2 + 3 = 5, 8 * 5 = 40", gold) == 1


SPOILT = [
    load(f"arithmetic:steps=3,digits=3,operators=+-x/,shape={x}") for x in ("chain", "nested")
]
SIGNS: dict[str, tuple[str, ...]] = {
    "+": ("+", "plus"),
    "-": ("-", "\u2212", "\u2013", "minus"),
    "*": ("*", "x", "×", "·", r"\times", "times", "multiplied by"),
    "/": ("/", "÷", r"\div", "divided by"),
}
NUMBERS: tuple[Callable[[int], str], ...] = (
    str,
    lambda n: f"{n:,}",
    lambda n: f"{n}".replace("-", "\u2212"),
    lambda n: f"({n})" if n < 0 else str(n),
    lambda n: f"{n:,}".replace(",", "{,}"),
)
JOINTS = (". ", ".\n", "\n", ", then ", "; ", ".\n- ", ". Then ", "\n\n* ")
EQUALS = ("=", "is", "equals")


@given(st.data())
def test_a_chain_with_a_spoilt_step_is_wrong_there(data: st.DataObject) -> None:
    bench = data.draw(st.sampled_from(SPOILT))
    gold = data.draw(st.sampled_from([p.rationale or "" for p in bench.exemplar_pool()]))
    spoilt = data.draw(st.none() | st.integers(1, 3))
    off = data.draw(st.integers(-2000, 2000).filter(bool))
    show = data.draw(st.sampled_from(NUMBERS))
    equals = data.draw(st.sampled_from(EQUALS))
    joint = data.draw(st.sampled_from(JOINTS))
    parts: list[str] = []
    for at, step in enumerate(read_steps(gold), start=1):
        a, b, c = (show(int(number)) for number in (step.a, step.b, step.c + off * (at == spoilt)))
        sign = data.draw(st.sampled_from(SIGNS[step.sign]))
        tight = sign in "+*/×÷" and equals == "=" and data.draw(st.booleans())
        gap = "" if tight else " "
        parts.append(f"{a}{gap}{sign}{gap}{b}{gap}{equals}{gap}{c}")
    assert first_wrong_step(f"We work: {joint.join(parts)}.", gold) == spoilt


@pytest.mark.parametrize(
    ("text", "n"),
    [("1" * 100_000, 0), ("1+" * 50_000, 0), ("1," * 50_000, 0), ("3 + 5 = " * 6_000, 5_999)],
    ids=["digits", "sum", "list", "running"],
)
def test_a_long_text_is_read_in_linear_time(text: str, n: int) -> None:
    assert sum(1 for _ in read_steps(text)) == n  # a quadratic reader would take minutes
