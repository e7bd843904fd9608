"""Reports say every number in every format, and no name can break a page."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from rich.cells import cell_len

import cotkit
from cotkit.analysis.scale.contrasts import ContrastLabel
from cotkit.analysis.scale.values import JumpWord, SizeLabel
from cotkit.analysis.values import (
    BesideExact,
    BiasLabel,
    Cell,
    Comparison,
    Direction,
    FollowingLabel,
    Gain,
    Label,
    Variant,
    Verdict,
)
from cotkit.errors import UnknownNameError, UsageError
from cotkit.events import AttemptDone, Event, RunEnded, RunStarted, Said
from cotkit.report import FORMATS as ALL_FORMATS
from cotkit.report import RESULT_FORMATS, render
from cotkit.report.document import Field, Form, make_table, say_level, say_number
from cotkit.report.progress import progress_display
from cotkit.report.terminal import ASCII, UNICODE, StripAxis, axis_for, draw_strip, strip_header
from cotkit.report.verdicts import VERDICTS
from cotkit.stats.intervals import Interval
from cotkit.types import OUTCOMES, Outcome

FORMATS = [form for form in ALL_FORMATS if form not in RESULT_FORMATS]
"""Those of solve rates alone have the words of other programs."""
GOLDEN = Path(__file__).parent / "cases" / "report"
NAN = math.nan


def cell(arm: str, n: int, n_correct: int, low: float, high: float, **known: float | None) -> Cell:
    outcomes: dict[Outcome, int] = {
        "correct": n_correct,
        "wrong": max(n - n_correct - 3, 0),
        "unparsed": 2 if n else 0,
        "truncated": 1 if n else 0,
        "refused": 0,
        "failed": 200 - n,
    }
    return Cell(
        arm=arm,
        n=n,
        outcomes=outcomes,
        n_correct=n_correct,
        solve_rate=n_correct / n if n else NAN,
        interval=Interval(low=low, high=high, level=0.95),
        prompt_tokens=known.get("prompt"),
        shared_tokens=known.get("shared") or 0.0,
        generated_tokens=known.get("generated"),
        generated_per_correct=known.get("per_correct"),
        usd=known.get("usd"),
        usd_per_correct=known.get("usd_per_correct"),
        seconds=0.25,
        seconds_per_correct=1 / 3 if n_correct else None,
    )


def gain(arm: str, pairs: tuple[int, int], ends: tuple[float, float], label: Label) -> Gain:
    better, worse = pairs
    return Gain(
        arm=arm,
        control="direct",
        reader="line",
        n=200,
        n_better=better,
        n_worse=worse,
        gain=(better - worse) / 200,
        interval=Interval(low=ends[0], high=ends[1], level=0.974679),
        p_value=0.0000123 if label == "helps" else 0.4321,
        p_holm=0.0000246 if label == "helps" else 0.4321,
        label=label,
        mde=0.0873,
    )


def comparison(cells: tuple[Cell, ...], verdicts: tuple[Verdict, ...], **other: str) -> Comparison:
    return Comparison(
        run_id="3fa9c1d2e4b7",
        model=other.get("model", "Qwen2.5-1.5B"),
        n_params=1_543_714_304,
        bench=other.get("bench", "gsm8k"),
        bench_version="1.0",
        n_problems=200,
        n_total=1319,
        reader="line",
        margin=0.03,
        cells=cells,
        verdicts=verdicts,
        notes=tuple(filter(None, [other.get("note")])),
    )


def plain_case() -> Comparison:
    """What a user sees most: two arms against one control, one verdict that hangs on the reader."""
    cot = gain("cot", (91, 10), (0.3161, 0.4873), "helps")
    review = gain("self-review", (22, 17), (-0.0467, 0.0983), "undetermined")
    flexible = replace(
        gain("self-review", (14, 26), (-0.1315, 0.0102), "undetermined"), reader="flexible"
    )
    left_out = "unparsed and truncated left out"
    return comparison(
        cells=(
            cell("direct", 200, 24, 0.0821, 0.1720, prompt=612.4, generated=7.9, per_correct=65.8),
            cell("cot", 199, 105, 0.4584, 0.5960, prompt=1204, shared=1100, generated=118.25,
                 per_correct=225.2),
            cell("self-review", 200, 29, 0.1028, 0.2005, prompt=2480.6, shared=2204.4,
                 generated=402, per_correct=2772.4),
        ),
        verdicts=(
            Verdict(
                gain=cot,
                variants=(
                    Variant(name="reader flexible", gain=cot),
                    Variant(name=left_out, gain=cot),
                ),
                depends_on=(),
                sentence="cot helps Qwen2.5-1.5B on gsm8k: +40.5 points over direct"
                " (97.47 % interval +31.6 to +48.7), at 15 times the generated tokens.",
            ),
            Verdict(
                gain=review,
                variants=(
                    Variant(name="reader flexible", gain=flexible),
                    Variant(name=left_out, gain=review),
                ),
                depends_on=("reader flexible",),
                sentence="self-review: undetermined, +2.5 points (-4.7 to +9.8); the sign depends"
                " on the reader.",
            ),
        ),
        note="1 attempt of cot failed and is left out; resume the run to complete it.",
    )  # fmt: skip


def awkward() -> Comparison:
    """Names that are markup somewhere, an arm without problems, a backend that counts no tokens."""
    arm = "[bold red]a_b|c%&$#~^{x}\\[/]"
    bad = gain(arm, (0, 30), (-0.2234, -0.0891), "harms")
    return comparison(
        cells=(
            cell("direct", 200, 24, 0.0821, 0.1720),
            cell(arm, 0, 0, NAN, NAN),
            cell("./ideas/naïve_\x1b[31m思考.py:k=5,temperature=0.7", 200, 0, 0.0, 0.0188),
        ),
        verdicts=(
            Verdict(
                gain=bad,
                variants=(Variant(name="reader a|b_c", gain=replace(bad, gain=NAN)),),
                depends_on=("reader a|b_c",),
                sentence=f"{arm} harms: -15.0 points <0.001 & 100 % sure.",
            ),
        ),
        model="org/[link=x]M_1|β",
        bench="100%_sets",
        note="200 attempts | all of [b]one[/b] arm_x failed.",
    )


CASES: dict[str, Callable[[], Comparison]] = {"plain": plain_case, "awkward": awkward}

GOLDENS = [
    ("plain", "table", {"width": 120}, "terminal-120.txt"),
    ("plain", "table", {"width": 80, "timing": True}, "terminal-80-timing.txt"),
    ("plain", "table", {"width": 60, "encoding": "ascii"}, "terminal-60-ascii.txt"),
    ("awkward", "table", {"width": 80}, "awkward-80.txt"),
    ("awkward", "table", {"width": 120, "encoding": "latin-1"}, "awkward-120-ascii.txt"),
    ("plain", "markdown", {"timing": True}, "plain.md"),
    ("awkward", "markdown", {}, "awkward.md"),
    ("plain", "latex", {}, "plain.tex"),
    ("awkward", "latex", {}, "awkward.tex"),
    ("plain", "json", {}, "plain.json"),
    ("awkward", "csv", {}, "awkward.csv"),
]


@pytest.mark.parametrize(("case", "form", "options", "name"), GOLDENS, ids=str)
def test_golden(case: str, form: str, options: dict[str, object], name: str) -> None:
    """After an intended change: ``COTKIT_WRITE_GOLDEN=1 pytest tests/test_report.py``; read it."""
    page = render(CASES[case](), form, **options)  # pyright: ignore[reportArgumentType] - a table of keyword arguments has one value type
    if os.environ.get("COTKIT_WRITE_GOLDEN"):
        (GOLDEN / name).write_bytes(page.encode())
    assert page.encode() == (GOLDEN / name).read_bytes()


@pytest.mark.parametrize("form", FORMATS)
def test_seconds_appear_only_when_asked_for(form: str) -> None:
    first, again = plain_case(), plain_case()
    slower = replace(again, cells=tuple(replace(c, seconds=9.75) for c in again.cells))
    assert render(first, form) == render(slower, form)
    assert render(first, form, timing=True) != render(slower, form, timing=True)
    assert "seconds" not in render(first, form)


@pytest.mark.parametrize("form", FORMATS)
def test_no_table_is_printed_when_there_is_nothing_to_compare(form: str) -> None:
    page = render(replace(plain_case(), verdicts=(), cells=()), form)
    assert page.endswith("\n")
    if form not in ("csv", "json"):
        assert "no arm has a control" in page.replace("\n", " ")
        assert "Arms" not in page


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("width", [60, 61, 72, 80, 100, 120, 200])
def test_terminal_keeps_every_number_within_the_width(case: str, width: int) -> None:
    comparison = CASES[case]()
    page = render(comparison, "table", width=width, timing=True)
    assert max(map(cell_len, page.splitlines())) <= width
    wide = render(comparison, "table", width=400, timing=True)
    wanted = sorted(re.findall(r"[+-]?\d[\d,.]*\d", wide.partition("Arms")[2]))
    if case == "plain":  # no name here is long enough to be broken, which would split its digits
        assert set(wanted) <= set(re.findall(r"[+-]?\d[\d,.]*\d", page))


@pytest.mark.parametrize("case", CASES)
def test_ascii_console_is_sent_only_ascii(case: str) -> None:
    page = render(CASES[case](), "table", width=80, encoding="cp1252", timing=True)
    assert page.isascii()
    assert "o" in page.partition("interval")[2]


def test_terminal_prints_names_literally() -> None:
    page = render(awkward(), "table", width=200, color=True)
    assert "[bold red]a_b|c%&$#~^{x}\\[/]" in page, "rich markup in a name must not be obeyed"
    assert "org/[link=x]M_1" in page
    assert "one[/b] arm_x" in page
    assert "\x1b[31m思" not in page, "an escape code in a name must not reach the terminal"


def test_colour_adds_nothing_but_escape_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    bare = render(plain_case(), "table")
    coloured = render(plain_case(), "table", color=True)
    assert "\x1b" not in bare, "color=False beats FORCE_COLOR"
    assert "\x1b[32m" in coloured
    stripped = re.sub(r"\x1b\[[0-9;]*m", "", coloured)
    assert [line.rstrip() for line in stripped.splitlines()] == bare.splitlines()
    monkeypatch.setenv("NO_COLOR", "1")
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]", render(plain_case(), "table", color=True))


def test_json_holds_every_number_in_full() -> None:
    comparison = plain_case()
    page = json.loads(render(comparison, "json", timing=True))
    assert page["answer"] == [verdict.sentence for verdict in comparison.verdicts]
    assert page["margin"] == comparison.margin
    for record, arm in zip(page["arms"], comparison.cells, strict=True):
        assert record["solve_rate"] == arm.solve_rate
        assert record["interval"] == {
            "low": arm.interval.low,
            "high": arm.interval.high,
            "level": 0.95,
        }
        assert record["seconds_per_correct"] == arm.seconds_per_correct
    for record, verdict in zip(page["gains"], comparison.verdicts, strict=True):
        for key in (
            "arm",
            "control",
            "n",
            "n_better",
            "n_worse",
            "gain",
            "p_value",
            "p_holm",
            "mde",
        ):
            assert record[key] == getattr(verdict.gain, key)
        assert record["label"] == verdict.gain.label
    assert [{o: r[o] for o in OUTCOMES} for r in page["outcomes"]] == [
        dict(arm.outcomes) for arm in comparison.cells
    ]
    assert [record["holds"] for record in page["variants"]] == [True, True, False, True]


def test_json_has_no_nan() -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    page = json.loads(render(awkward(), "json"), parse_constant=refuse)
    assert page["arms"][1]["solve_rate"] is None
    assert page["arms"][1]["interval"]["low"] is None
    assert page["variants"][0]["gain"] is None


@pytest.mark.parametrize("case", CASES)
def test_csv_is_read_back_equal(case: str) -> None:
    comparison = CASES[case]()
    rows = list(csv.DictReader(io.StringIO(render(comparison, "csv", raw=True))))
    arms = [row for row in rows if row["section"] == "arms"]
    gains = [row for row in rows if row["section"] == "gains"]
    assert {row["model"] for row in rows} == {comparison.model}
    assert [row["arm"] for row in arms] == [cell.arm for cell in comparison.cells]
    for row, cell in zip(arms, comparison.cells, strict=True):
        assert float(row["solve_rate"] or "nan") == pytest.approx(
            cell.solve_rate, abs=0, nan_ok=True
        )
        assert float(row["interval_high"] or "nan") == pytest.approx(
            cell.interval.high, abs=0, nan_ok=True
        )
        assert (float(row["prompt_tokens"]) if row["prompt_tokens"] else None) == cell.prompt_tokens
        assert row["gain"] == "", "a column of another section is empty"
    for row, verdict in zip(gains, comparison.verdicts, strict=True):
        assert float(row["gain"]) == verdict.gain.gain
        assert float(row["interval_level"]) == verdict.gain.interval.level
        assert row["label"] == verdict.gain.label


def test_markdown_tables_stay_rectangular() -> None:
    for block in render(awkward(), "markdown").split("\n\n"):
        lines = block.splitlines()
        if lines[0].startswith("| "):
            bars = {len(re.findall(r"(?<!\\)\|", line)) for line in lines}
            assert len(bars) == 1, f"a name broke a row: {block}"


def test_latex_rows_have_as_many_cells_as_columns() -> None:
    page = render(awkward(), "latex")
    tables = re.findall(r"\\begin\{tabular\}\{([lr]+)\}\n(.*?)\\end", page, re.DOTALL)
    assert len(tables) == 4
    for alignment, body in tables:
        for line in filter(lambda line: line.endswith(r"\\"), body.splitlines()):
            assert len(re.findall(r"(?<!\\)&", line)) == len(alignment) - 1
    prose = re.sub(r"\$[-+]\$", "", page.partition("\n")[2])
    assert not re.search(r"(?<!\\)[%#_$^~]", prose), "a special character is not escaped"


@pytest.mark.parametrize(
    ("value", "form", "text", "why"),
    [
        (0.61, "share", "61.0", "one decimal"),
        (1.0, "share", "100.0", "the widest"),
        (math.nan, "share", "n/a", "no problems, no rate"),
        (0.124, "points", "+12.4", "a gain has a sign"),
        (-0.0004, "points", "0.0", "never -0.0"),
        (0.0004, "points", "0.0", "nor +0.0"),
        (-0.031, "points", "-3.1", "a minus that spreadsheets read"),
        (0.0124, "p", "0.012", "three decimals"),
        (0.00099, "p", "<0.001", "never 0.000"),
        (0.0, "p", "<0.001", "underflow is not certainty"),
        (1.0, "p", "1.000", "no discordant pair"),
        (None, "tokens", "n/a", "the backend could not tell"),
        (1204.6, "tokens", "1,205", "means are rounded"),
        (1_543_714_304, "params", "1.54 B", "three digits"),
        (134_515_008, "params", "135 M", "three digits"),
        (999_700_000, "params", "1 B", "rounding moves to the next unit"),
        (260_032, "params", "260 k", "toy models"),
        (1.6e12, "params", "1.6 T", "mixtures"),
        (0.034, "seconds", "0.03", "two decimals"),
    ],
)
def test_numbers_in_words(value: float | None, form: Form, text: str, why: str) -> None:
    assert say_number(value, form) == text, why


def test_levels_are_not_rounded_to_certainty() -> None:
    assert [say_level(x) for x in (0.95, 0.974679, 0.99974)] == ["95 %", "97.47 %", "99.97 %"]


def test_strip_marks_fall_where_the_scale_says() -> None:
    axis = StripAxis(low=-0.1, high=0.3, width=21, margin=0.04)
    interval = Interval(low=-0.02, high=0.24, level=0.95)
    assert strip_header(axis) == "-10  0            +30"
    assert draw_strip(axis, 0.1, interval, UNICODE) == "    ├│─┊──●──────┤   "
    assert draw_strip(axis, 0.1, interval, ASCII) == "    [|-:--o------]   "
    assert (
        draw_strip(axis, math.nan, replace(interval, low=math.nan), UNICODE)
        == "     │ ┊             "
    )


def test_strip_axis_holds_everything_it_shows() -> None:
    intervals = [
        Interval(low=-0.4712, high=0.081, level=0.9),
        Interval(low=NAN, high=NAN, level=0.9),
    ]
    axis = axis_for(intervals, 0.03, width=20)
    assert (axis.low, axis.high) == pytest.approx((-0.5, 0.1))
    empty = axis_for([], 0.0, width=20)
    assert empty.low < empty.high, "nothing to show must not divide by zero"


def test_unknown_format_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="markdown"):
        render(plain_case(), "markdwon")


def test_rich_is_imported_for_the_terminal_only() -> None:
    code = "import sys, cotkit.report, cotkit.report.progress; sys.exit('rich' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, cwd=Path(__file__).parent.parent
    )
    assert done.returncode == 0


def attempt(arm: str, outcome: Outcome, *, cached: bool = False) -> AttemptDone:
    tokens = None if outcome == "failed" else 50
    return AttemptDone(
        arm=arm,
        problem_id="p",
        outcome=outcome,
        cached=cached,
        n_prompt_tokens=tokens,
        n_generated_tokens=tokens,
        seconds=0.5,
        error=None,
    )


EVENTS: list[Event] = [
    RunStarted(
        run_id="0123456789ab",
        model="m",
        bench="b",
        n_attempts=12,
        n_cached=2,
        arms=("direct", "[b]cot"),
    ),
    attempt("direct", "correct", cached=True),
    attempt("[b]cot", "correct", cached=True),
    Said(text="the server asks\x1b[2J to wait [bold]9 s[/bold]"),
    *[attempt("direct", "wrong") for _ in range(5)],
    *[attempt("[b]cot", "failed") for _ in range(5)],
    RunEnded(
        run_id="0123456789ab",
        n_done=7,
        n_failed=5,
        n_generated=10,
        n_tokens=1234,
        usd=0.00567,
        seconds=61.0,
    ),
]


def show_all(mode: str) -> str:
    stderr = io.StringIO()
    assert mode in ("full", "plain", "none")
    now_s = itertools.count(start=2, step=2)
    at_s = 0
    with progress_display(mode, stderr, lambda: at_s) as show:
        for event in EVENTS:
            at_s = next(now_s)
            show(event)
    return stderr.getvalue()


def test_plain_progress_is_a_line_now_and_then() -> None:
    assert show_all("plain").splitlines() == [
        "12 attempts, 2 already done",
        "2/12 done, 2 correct",  # cached attempts say nothing of the speed
        "the server asks\\x1b[2J to wait [bold]9 s[/bold]",
        "4/12 done, 2 correct, 10 tokens/s, 40 s left",
        "7/12 done, 2 correct, 16 tokens/s, 16 s left",
        "10/12 done, 2 correct, 3 failed, 11 tokens/s, 6 s left",
        "run 0123456789ab: 7 done, 5 failed, 10 completions made in 1 min, 1,234 tokens, $0.00567",
    ]


def test_silent_progress_still_says_warnings() -> None:
    assert show_all("none") == "the server asks\\x1b[2J to wait [bold]9 s[/bold]\n"


def test_full_progress_has_a_bar_for_each_arm() -> None:
    shown = show_all("full")
    assert "to wait [bold]9 s[/bold]" in shown
    assert re.search(r"direct .* 6/6 0:00:00 1 correct", shown)
    assert re.search(r"\[b\]cot .* 6/6 0:00:00 1 correct, 5 failed", shown)


def test_a_table_takes_its_columns_from_its_rows() -> None:
    ends = [Interval(low=0.1, high=0.2, level=level) for level in (0.95, 0.95, 0.99)]

    def table(intervals: list[Interval], *, is_priced: bool = False) -> tuple[str, ...]:
        rows = (
            (
                Field("arm", "arm", "cot"),
                Field("interval", "{level} interval", interval, "share"),
                Field("usd", "dollars", None, "usd", when=is_priced),
            )
            for interval in intervals
        )
        return tuple(column.header for column in make_table("t", "T", rows).columns)

    assert table(ends[:2]) == ("arm", "95 % interval")
    assert table(ends) == ("arm", "interval"), "no one level holds for all of them"
    assert table(ends[:1], is_priced=True) == ("arm", "95 % interval", "dollars")
    assert table([]) == ()
    with pytest.raises(AssertionError, match="different columns"):
        make_table("t", "T", [[Field("a", "a", 1)], [Field("b", "b", 1)]])


def test_every_verdict_has_words() -> None:
    gains = (Label, SizeLabel, JumpWord, Direction, BesideExact, ContrastLabel)
    unions = (*gains, BiasLabel, FollowingLabel)
    assert set(VERDICTS) == {label for union in unions for label in get_args(union)}


def test_the_hub_reads_solve_rates_as_its_own_library_does(tmp_path: Path) -> None:
    yaml = pytest.importorskip("yaml")
    hub = pytest.importorskip("huggingface_hub")
    data = pytest.importorskip("huggingface_hub.repocard_data")
    comparison = cotkit.compare("simulated/70b", "cot", "gsm-mini", limit=30, log_dir=tmp_path)
    page = yaml.safe_load(render(comparison, "model-index"))
    name, results = data.model_index_to_eval_results(page["model-index"])
    assert name == comparison.model
    for result, cell in zip(results, comparison.cells, strict=True):
        assert result.metric_value == round(100 * cell.solve_rate, 2)
        assert (result.dataset_type, result.metric_type) == ("gsm-mini", "exact_match")
        assert result.metric_args["n"] == cell.n == 30
        assert result.metric_name.startswith(cell.arm)
    with pytest.raises(UsageError, match="gsm-mini is none"):
        render(comparison, "eval-results")
    if not hasattr(hub, "parse_eval_result_entries"):
        pytest.skip("this huggingface_hub does not read eval results")
    odd = replace(comparison, bench="gsm8k", model='a "b": [c]\n#')
    entries = hub.parse_eval_result_entries(yaml.safe_load(render(odd, "eval-results")))
    for entry, cell in zip(entries, comparison.cells, strict=True):
        assert (entry.dataset_id, entry.task_id) == ("openai/gsm8k", "gsm8k")
        assert entry.value == round(100 * cell.solve_rate, 2)
        assert f"{cell.arm}, read by flexible, 30 of 150 problems" in entry.notes
    again = yaml.safe_load(render(odd, "model-index"))
    assert again["model-index"][0]["name"] == odd.model
    ladder = cotkit.scale(["simulated/1b", "simulated/8b"], "cot", limit=20, log_dir=tmp_path)
    models = yaml.safe_load(render(ladder, "model-index"))["model-index"]
    assert [model["name"] for model in models] == ["simulated-1b", "simulated-8b"]
    with pytest.raises(UsageError, match="of one model, not 2"):
        render(ladder, "eval-results")
