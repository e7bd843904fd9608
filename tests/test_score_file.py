"""``cotkit score``: other programs' completions, read line by line, judged as a run's are."""

from __future__ import annotations

import io
import itertools
import json
import random
import subprocess
import sys
import tracemalloc
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

import cotkit
from cotkit.analysis.samples import rate_interval
from cotkit.analysis.values import Comparison
from cotkit.errors import BadInputError, CotkitError, UnknownNameError, UsageError
from cotkit.inputs import MAX_LINE_BYTES
from cotkit.report import FORMATS, RESULT_FORMATS, render
from cotkit.report.progress import reading_display
from cotkit.stats.intervals import wilson
from cotkit.store import STORE_NAME, AttemptRow, Store
from cotkit.types import AnswerKind, Problem, Question
from cotkit.workflows.completions_file import FieldNames, read_file
from cotkit.workflows.score import ScoreQuestion, score_completions
from tests.conftest import Sums

RIGHT, WRONG, NOTHING = "So. The answer is {}.", "So. The answer is 99999.", "I cannot say."


def gold(i: int) -> int:
    return i + i * i


def right(i: int) -> str:
    return RIGHT.format(gold(i))


def line(i: int, text: str, **more: object) -> dict[str, object]:
    return {"id": f"sums/{i}", "text": text, **more}


def write(*lines: object) -> Path:
    path = Path("made.jsonl")
    path.write_text("".join(json.dumps(one) + "\n" for one in lines), encoding="utf-8")
    return path


def score_file(
    path: Path,
    ask: ScoreQuestion = ScoreQuestion(),  # noqa: B008 - frozen
    *,
    n: int = 40,
    names: FieldNames = FieldNames(),  # noqa: B008 - frozen
) -> Comparison:
    return score_completions(read_file(path, names), Sums(n=n), ask, source=path.name)


# --- what is wrong with a file ------------------------------------------------------------------

GOOD = b'{"id": "sums/1", "text": "2"}\n'
BAD_FILES: list[tuple[bytes, str, str]] = [
    (b"", r"made.jsonl: no completions in it \(", "an empty file"),
    (b"\n \n", r"made.jsonl: no completions in it", "blank lines only"),
    (GOOD + b'{"id": "sums/2", "text": "\xff"}\n', r"made.jsonl:2: not UTF-8 \(save", "bytes"),
    ("\ufeff[]".encode("utf-16"), r"made.jsonl:1: not UTF-8", "another encoding"),
    (GOOD + b"[1]\n", r"made.jsonl:2: a list, not an object \(one object", "no object"),
    (GOOD + b"{nope\n", r"made.jsonl:2: not JSON: ", "no JSON"),
    (b"[" * 100_000 + b"\n", r"made.jsonl:1: not JSON: ", "endless nesting"),
    (b'{"id": ' + b"9" * 5000 + b"}\n", r"made.jsonl:1: not JSON: ", "an endless number"),
    (
        b'{"id": "sums/1", "completion": "2"}\n',
        r"made.jsonl:1:text: missing \(the line has 'completion', 'id'; another name: --text-field",
        "another program's name for the text",
    ),
    (b'{"text": "2"}\n', r"made.jsonl:1:id: missing \(the line has 'text'; .*--id-field", "no id"),
    (b'{"id": "sums/1", "text": null}\n', r"made.jsonl:1:text: null, not a text", "null"),
    (b'{"id": "sums/1", "text": []}\n', r"made.jsonl:1:text: an empty list", "no samples"),
    (b'{"id": "sums/1", "text": ["2", 2]}\n', r":1:text: a number at 1, not a text", "a number"),
    (b'{"id": true, "text": "2"}\n', r"made.jsonl:1:id: must be a text or a whole", "true"),
    (
        GOOD + b'{"id": "sums/99", "text": "2"}\n',
        r"made.jsonl:2:id: sums/99: sums has no such problem \(did you mean sums/9 or",
        "an id unknown to the benchmark",
    ),
    (b'{"id": 40, "text": "2"}\n', r"made.jsonl:1:id: 40: .* 0 to 39", "a place beyond the last"),
    (
        GOOD + GOOD,
        r"made.jsonl:2:sample: sample 0 of sums/1 by completions was given before \(number",
        "the same sample twice",
    ),
    (
        b'{"id": "sums/1", "text": "2", "sample": 3}\n' * 2,
        r"made.jsonl:2:sample: sample 3 of sums/1",
        "the same numbered sample twice",
    ),
    (b'{"id": "sums/1", "text": "2", "sample": -1}\n', r":1:sample: must be a whole", "below 0"),
    (b'{"id": "sums/1", "text": ["1", "2"], "sample": 0}\n', r":1:sample: beside 2 texts", "both"),
    (b'{"id": "sums/1", "text": "2", "arm": " "}\n', r"made.jsonl:1:arm: must be a name", "blank"),
    (b'{"id": "sums/1", "text": "2", "arm": "\\ud800"}\n', r":1:arm: half a surrogate", "half"),
    (
        b'{"id": "sums/1", "text": "2", "stop_reason": "eos"}\n',
        r"made.jsonl:1:stop_reason: 'eos' is not known \(stop, length, refusal",
        "another program's reason",
    ),
]


@pytest.mark.parametrize(("content", "message", "why"), BAD_FILES, ids=[b[2] for b in BAD_FILES])
def test_a_bad_file_is_one_line_that_says_where(content: bytes, message: str, why: str) -> None:
    path = Path("made.jsonl")
    path.write_bytes(content)
    with pytest.raises(BadInputError, match=message) as caught:
        score_file(path)
    assert "\n" not in str(caught.value), why
    assert caught.value.exit_code == 65


def test_no_such_file_is_said() -> None:
    for path in (Path("none.jsonl"), Path()):
        with pytest.raises(BadInputError, match="no such file"):
            score_file(path)


def test_a_line_without_end_is_refused_before_it_is_read() -> None:
    path = Path("long.jsonl")
    with path.open("wb") as file:
        file.write(GOOD + b'{"id": "sums/2", "text": "')
        file.truncate(100_000_000)  # a hole: 100 MB that take no room on the disk
    tracemalloc.start()
    with pytest.raises(BadInputError, match=r"long.jsonl:2: longer than 8 MiB"):
        score_file(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * MAX_LINE_BYTES


def test_several_samples_are_paired_as_means_over_each_problem() -> None:
    lines = [
        line(i, right(i) if ok else WRONG, arm="a", sample=k)
        for i in range(40)
        for k, ok in enumerate((True, True, i < 10, i < 10))  # 1 on ten problems, else 1/2
    ]
    lines += [line(i, right(i) if i < 20 else WRONG, arm="b") for i in range(40)]
    found = score_file(write(*lines), ScoreQuestion(baseline="b"))
    (verdict,) = found.verdicts
    assert verdict.gain.gain == pytest.approx((10 * 1 + 30 / 2 - 20) / 40)
    assert (verdict.gain.n, verdict.gain.n_better, verdict.gain.n_worse) == (40, 20, 10)
    assert verdict.gain.interval.low < verdict.gain.gain < verdict.gain.interval.high
    assert [(cell.arm, cell.n, cell.n_samples) for cell in found.cells] == [
        ("b", 40, None),
        ("a", 40, 160),
    ]
    assert [one.arm for one in found.repeats] == ["a"] * 3
    assert {variant.name for variant in verdict.variants} >= {"reader strict"}


def test_a_list_may_be_a_vote() -> None:
    vote = [line(i, "") | {"text": [WRONG, right(i), right(i)], "vote": True} for i in range(40)]
    found = score_file(write(*vote))
    assert (found.cells[0].n_correct, found.cells[0].n_samples) == (40, None)
    assert [curve.rates[-1] for curve in found.votes] == [1.0]
    with pytest.raises(BadInputError, match=r"made.jsonl:1:vote: must be true or false"):
        score_file(write(line(1, "2", vote="yes")))


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        ([], "1:cotkit: must be an object"),
        ({"n_calls": "3"}, "1:cotkit.n_calls: must be of type int"),
        ({"n_calls": True}, "1:cotkit.n_calls: must be of type int"),
        ({"reasons": 1}, "1:cotkit.reasons: must be of type bool"),
        ({"is_vote": True}, "1:cotkit.drafts: a vote without samples"),
        ({"drafts": ["2"]}, "1:cotkit.drafts: must hold objects with a text"),
        ({"metrics": {"x": "1"}}, "1:cotkit.metrics.x: no such metric"),
        ({"stop_reason": "eos"}, "1:cotkit.stop_reason: must be one of stop, length, refusal"),
    ],
)
def test_an_attempt_of_an_export_is_checked_field_by_field(attempt: object, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        score_file(write(line(1, "2", cotkit=attempt)))


def test_a_baseline_that_is_not_there_is_refused() -> None:
    path = write(line(1, right(1), arm="a"), line(1, right(1), arm="a", sample=1))
    with pytest.raises(UnknownNameError, match="unknown arm 'b'"):
        score_file(path, ScoreQuestion(baseline="b"))


def test_an_unknown_baseline_reader_or_margin_is_refused() -> None:
    path = write(line(1, right(1), arm="few-shot"))
    with pytest.raises(UnknownNameError, match="did you mean few-shot"):
        score_file(path, ScoreQuestion(baseline="fewshot"))
    with pytest.raises(UnknownNameError, match="did you mean flexible"):
        score_file(path, ScoreQuestion(reader="flexibel"))
    with pytest.raises(UsageError, match="margin"):
        ScoreQuestion(margin=2.0)


# --- one sample of each problem -----------------------------------------------------------------


def test_the_same_texts_come_to_what_compare_says_of_them() -> None:
    rng = random.Random(3)

    def model(prompt: str) -> str:
        i = int(prompt.rsplit("What is ", 1)[1].split(" plus", maxsplit=1)[0])
        return rng.choice([f" The answer is {gold(i)}.", " The answer is 99999.", " No idea."])

    run = cotkit.compare(model, "cot", Sums(), limit="all", log_dir="logs")
    with Store(Path("logs") / STORE_NAME) as store:
        rows = store.attempts(run.run_id)
    lines = [
        {"id": row.problem_id, "text": row.text, "arm": row.arm, "stop_reason": "stop"}
        for row in rows
    ]
    rng.shuffle(lines)
    scored = score_file(write(*lines), ScoreQuestion(baseline="few-shot"))
    assert scored.verdicts == run.verdicts
    assert scored.metrics == run.metrics
    reasoning, tokens, *notes = scored.notes
    assert "the file does not say whether reasoning was asked for" in reasoning
    assert "the file does not say how many tokens the texts took" in tokens
    assert tuple(notes) == tuple(note for note in run.notes if "exemplar" not in note)
    assert {(c.arm, c.n, c.n_correct, c.interval) for c in scored.cells} == {
        (c.arm, c.n, c.n_correct, c.interval) for c in run.cells
    }
    assert [c.outcomes for c in scored.cells] == [c.outcomes for c in run.cells]
    assert scored.run_id != run.run_id
    assert len(scored.run_id) == 12


def test_what_is_missing_is_said_and_counted_only_on_request() -> None:
    path = write(line(0, right(0)), line(1, WRONG), line(2, right(2), stop_reason="stop"))
    left_out, wrong = score_file(path), score_file(path, ScoreQuestion(missing="wrong"))
    assert (left_out.cells[0].n, left_out.cells[0].n_correct, left_out.n_problems) == (3, 2, 3)
    assert (wrong.cells[0].n, wrong.cells[0].n_correct, wrong.n_problems) == (40, 2, 40)
    assert wrong.cells[0].outcomes["wrong"] == 38
    said = "completions: 37 of 40 problems have no completion; they"
    assert f"{said} are left out of its solve rate" in left_out.notes
    assert f"{said} count as wrong" in wrong.notes
    assert left_out.run_id != wrong.run_id


def test_a_stop_reason_decides_what_is_read() -> None:
    ends = [("length", "truncated"), ("refusal", "refused"), ("stop", "correct"), (None, "correct")]
    for end, outcome in ends:
        found = score_file(write(line(3, "It makes 12", stop_reason=end)))
        assert found.cells[0].outcomes[outcome] == 1  # pyright: ignore[reportArgumentType] - a table of texts
        assert any("no stop_reason" in note for note in found.notes) == (end is None)


@dataclass(frozen=True, kw_only=True)
class Tagged(Sums):
    """Ambiguous questions about two people, as bbq tags them."""

    answer_kind: AnswerKind = "choice"

    def problems(self) -> Sequence[Problem]:
        tags = {"condition": "ambig", "category": "age", "unknown": "C", "biased": "A"}
        asked = Question(id="", text="Who?", choices=("x", "y", "neither"), answer_kind="choice")
        return [
            Problem(question=replace(asked, id=f"q/{i}"), gold="C", tags=tags)
            for i in range(self.n)
        ]


def test_bias_is_scored_where_problems_are_tagged() -> None:
    made = [{"id": f"q/{i}", "text": "The answer is (A)."} for i in range(3)]
    found = cotkit.score(made, Tagged(n=4), missing="wrong").comparison
    assert [(one.n, one.n_unread, one.score) for one in found.bias] == [(4, 1, 1.0)]
    again = [*made, {**made[0], "sample": 1}]
    assert cotkit.score(again, Tagged(n=4)).comparison.bias == ()


def test_other_programs_names_and_places() -> None:
    rows = [{"doc_id": i, "resps": [[f"#### {gold(i)}"]], "target": "?"} for i in range(40)]
    found = score_file(write(*rows), names=FieldNames(id="doc_id", text="resps"))
    assert (found.cells[0].n, found.cells[0].n_correct) == (40, 40)
    with pytest.raises(BadInputError, match=r"made.jsonl:1:doc_id: 99: sums has no such problem"):
        score_file(write({"doc_id": 99, "resps": "1"}), names=FieldNames(id="doc_id", text="resps"))


# --- several samples of a problem ---------------------------------------------------------------

SAMPLES = {1: [1, 1, 0, 0], 2: [0, 0, 0, 1], 3: [1, 1, 1, 1], 4: [0, 0, 0, 0]}
"""Problem -> which of its samples are right; the wrong ones all say the same."""


def sampled() -> list[dict[str, object]]:
    return [
        line(i, right(i) if ok else WRONG, sample=k)
        for i, oks in SAMPLES.items()
        for k, ok in enumerate(oks)
    ]


def test_samples_of_a_problem_are_not_problems() -> None:
    found = score_file(write(*sampled()), n=5)
    (cell,) = found.cells
    assert (cell.n, cell.n_samples, cell.n_correct) == (4, 16, 7)
    assert cell.solve_rate == pytest.approx((2 / 4 + 1 / 4 + 1 + 0) / 4)
    as_if_independent = wilson(7, 16, 0.95)
    assert cell.interval.high - cell.interval.low > as_if_independent.high - as_if_independent.low
    of = {one.k: one for one in found.repeats}
    assert list(of) == [1, 2, 4]
    # pass@2 by hand: 1 - C(2,2)/C(4,2), 1 - C(3,2)/C(4,2), 1, 0
    assert of[2].pass_at_k == pytest.approx((5 / 6 + 3 / 6 + 1 + 0) / 4)
    assert of[1].pass_at_k == of[1].maj_at_k == cell.solve_rate
    # maj@4: the tie of problem 1 goes to the value read first, which is right in each window
    assert (of[4].pass_at_k, of[4].maj_at_k) == (3 / 4, 2 / 4)


def test_a_list_is_the_same_as_numbered_lines_in_any_order() -> None:
    lines = sampled()
    lists = [
        line(i, "") | {"text": [str(x["text"]) for x in lines[4 * at : 4 * at + 4]]}
        for at, i in enumerate(SAMPLES)
    ]
    random.Random(0).shuffle(lines)
    one, other = score_file(write(*lines), n=5), score_file(write(*lists), n=5)
    assert (one.cells, one.repeats) == (other.cells, other.repeats)


def test_missing_problems_weigh_as_much_as_others_when_they_count_as_wrong() -> None:
    left_out = score_file(write(*sampled()), n=8)
    wrong = score_file(write(*sampled()), ScoreQuestion(missing="wrong"), n=8)
    assert wrong.cells[0].solve_rate == pytest.approx(left_out.cells[0].solve_rate / 2)
    for one, other in zip(left_out.repeats, wrong.repeats, strict=True):
        assert (other.n, other.pass_at_k, other.maj_at_k) == (
            8,
            pytest.approx(one.pass_at_k / 2),
            pytest.approx(one.maj_at_k / 2),
        )


def test_uneven_samples_are_said() -> None:
    found = score_file(write(*sampled()[:-1]), n=5)
    assert max(one.k for one in found.repeats) == 3
    assert any("problems have 3 to 4 samples" in note for note in found.notes)


@pytest.mark.parametrize("format_", sorted({*FORMATS} - {*RESULT_FORMATS}))  # of one sample
def test_every_format_says_it(format_: str) -> None:
    text = render(score_file(write(*sampled()), n=5), format_)
    for word in ("pass", "maj") if format_ != "json" else ("pass_at_k", "maj_interval"):
        assert word in text


def test_the_interval_of_one_sample_is_wilsons() -> None:
    for k, n in ((0, 10), (3, 10), (10, 10), (1, 1), (0, 0)):
        ours, theirs = rate_interval([1.0] * k + [0.0] * (n - k), n, 0.95), wilson(k, n, 0.95)
        assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


@pytest.mark.parametrize(
    ("a", "b", "n", "why"),
    [(0.3, 0.7, 60, "very unequal"), (4.0, 6.0, 60, "rather equal"), (1.0, 19.0, 100, "rare")],
)
def test_the_interval_covers_the_mean_over_problems(a: float, b: float, n: int, why: str) -> None:
    rng, k, hits, naive, n_runs = random.Random(11), 8, 0, 0, 400
    truth = a / (a + b)
    for _ in range(n_runs):
        skills = [rng.betavariate(a, b) for _ in range(n)]
        values = [sum(rng.random() < skill for _ in range(k)) / k for skill in skills]
        found, wrong = rate_interval(values, n * k, 0.95), wilson(sum(values) * k, n * k, 0.95)
        hits += found.low <= truth <= found.high
        naive += wrong.low <= truth <= wrong.high
    assert hits / n_runs > 0.92, why
    assert naive < hits


# --- long files ---------------------------------------------------------------------------------


@pytest.mark.full
def test_memory_does_not_grow_with_the_file() -> None:
    n, n_lines, traced_from, pad = 2_000, 20_000, 18_000, "word " * 200
    with Path("long.jsonl").open("w", encoding="utf-8") as file:
        for i in range(n_lines):
            end = "stop" if i % 20 == 0 else "refusal"  # refusals are not read: a fast test
            text = f"{pad}{i} {right(i % n)}"
            one = line(i % n, text, sample=i // n, stop_reason=end)
            file.write(json.dumps(one) + "\n")
    n_seen, peaks = itertools.count(1), list[int]()

    def seen(_: AttemptRow) -> None:
        match next(n_seen):
            case n if n == traced_from:  # tracing all of it would take a minute
                tracemalloc.start()
            case n if n == n_lines:
                peaks.append(tracemalloc.get_traced_memory()[1])
                tracemalloc.stop()
            case _:
                pass

    made = read_file(Path("long.jsonl"), FieldNames())
    found = score_completions(made, Sums(n=n), ScoreQuestion(), source="long", on_row=seen)
    assert found.cells[0].n_samples == n_lines
    assert peaks[0] < 0.3 * (n_lines - traced_from) * len(pad)  # of the text read meanwhile


def test_progress_is_said_now_and_then() -> None:
    stderr, now = io.StringIO(), iter(range(0, 100, 2))
    with reading_display("plain", stderr, 4_000_000, clock=lambda: next(now)) as show:
        for n_read in range(0, 4_000_000, 1_000_000):
            show(n_read)
    assert stderr.getvalue() == "2.0 of 4.0 MB read\n"


# --- the front doors ----------------------------------------------------------------------------


def cli(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cotkit", "score", *args],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_prints_a_report_or_one_line() -> None:
    rows = [{"id": "gsm-mini/001", "text": "It is 5.", "arm": arm} for arm in ("a", "b")]
    done = cli(str(write(*rows)), "--bench", "gsm-mini", "--baseline", "a", "--format", "json")
    assert done.returncode == 0, done.stderr
    page = json.loads(done.stdout)
    assert [arm["arm"] for arm in page["arms"]] == ["a", "b"]
    assert page["model"] == "made.jsonl"
    done = cli(str(write({"id": "x", "text": "1"})), "--bench", "gsm-mini")
    assert (done.returncode, done.stdout) == (65, "")
    assert done.stderr.startswith("cotkit: made.jsonl:1:id: x: gsm-mini has no such problem (")
    assert done.stderr.count("\n") == 1


def test_python_takes_any_iterable() -> None:
    seen: list[AttemptRow] = []
    scored = cotkit.score((one for one in sampled()), Sums(n=5), on_row=seen.append)
    assert scored.comparison.cells == score_file(write(*sampled()), n=5).cells
    assert scored.rows == ()
    assert [row.sample for row in seen[:4]] == [0, 1, 2, 3]
    assert seen[0].text == right(1)
    given = {str(one["id"]): str(one["text"]) for one in sampled()}
    assert [row.text for row in cotkit.score(given, Sums(n=5)).rows] == list(given.values())


def test_python_says_which_item_is_wrong() -> None:
    with pytest.raises(CotkitError, match=r"completions:2:text: missing"):
        cotkit.score([line(1, "2"), {"id": "sums/2"}], Sums())
    with pytest.raises(CotkitError, match=r"completions:1: a text, not an object"):
        cotkit.score(["sums/1"], Sums())  # pyright: ignore[reportArgumentType] - an untyped caller


# --- texts that ran on ---------------------------------------------------------------------------


def test_texts_that_ran_on_are_counted_where_outcomes_are() -> None:
    tails = ["", "\n\nUser: 1 + 1?\nAssistant: 2", "<|im_end|>", "\n\nProblem 2: 1 + 1?"]
    lines = [line(i, f"So {gold(i)}.{tail}") for i, tail in enumerate(tails)]
    comparison = score_file(write(*lines), n=len(tails))
    assert comparison.cells[0].n_run_on == 2
    assert comparison.cells[0].outcomes["correct"] == len(tails)
    assert json.loads(render(comparison, "json"))["outcomes"][0]["ran_on"] == 2
    assert "cut there before reading" in render(comparison, "table")
    assert "cut there before reading" in render(comparison, "markdown")
