"""A scale analysis as pages: every format to the byte, and a curve that can be read anywhere."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rich.cells import cell_len

from cotkit.analysis.scale.values import Scale
from cotkit.errors import UsageError
from cotkit.report import render
from cotkit.report.document import Curve, Figure
from cotkit.report.terminal import draw_figure
from tests.made_ladder import NAN, awkward_ladder, made_ladder

GOLDEN = Path(__file__).parent / "cases" / "report"
CASES: dict[str, Callable[[], Scale | tuple[Scale, ...]]] = {
    "made": made_ladder,
    "awkward": awkward_ladder,
    "two": lambda: (made_ladder(), replace(made_ladder(), bench="other")),
}
GOLDENS = [
    ("made", "table", {"width": 100, "reach": 0.5}, "scale-100.txt"),
    ("made", "table", {"width": 80, "timing": True}, "scale-80-timing.txt"),
    ("two", "table", {"width": 80}, "scale-two-80.txt"),
    ("awkward", "table", {"width": 60, "encoding": "ascii"}, "scale-awkward-60-ascii.txt"),
    ("made", "markdown", {"reach": 0.9}, "scale.md"),
    ("awkward", "markdown", {}, "scale-awkward.md"),
    ("made", "json", {}, "scale.json"),
    ("two", "csv", {}, "scale-two.csv"),
    ("made", "latex", {}, "scale.tex"),
    ("made", "lm-eval", {}, "scale.lm-eval.jsonl"),
]


@pytest.mark.parametrize(("case", "form", "options", "name"), GOLDENS, ids=str)
def test_golden(case: str, form: str, options: dict[str, object], name: str) -> None:
    """After an intended change: ``COTKIT_WRITE_GOLDEN=1 pytest tests/test_scale_report.py``."""
    page = render(CASES[case](), form, **options)  # pyright: ignore[reportArgumentType] - a table of keyword arguments has one value type
    if os.environ.get("COTKIT_WRITE_GOLDEN"):
        (GOLDEN / name).write_bytes(page.encode())
    assert page.encode() == (GOLDEN / name).read_bytes()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_the_terminal_page_keeps_its_width_and_its_numbers(case: str, width: int) -> None:
    page = render(CASES[case](), "table", width=width, timing=True)
    assert max(map(cell_len, page.splitlines())) <= width
    if case != "awkward":  # its names are broken over lines, digits and all
        wide = render(CASES[case](), "table", width=400, timing=True)
        assert _numbers(wide) <= _numbers(page)


def _numbers(page: str) -> set[str]:
    """All but those of drawings and axes, which hang on the width."""
    lines = (
        line for line in page.splitlines() if not re.search("[│└┊]|  (parameters|interval) ", line)
    )
    return {number for line in lines for number in re.findall(r"[+-]?\d[\d,.]*\d", line)}


def test_the_answer_comes_first_and_a_hole_is_shown_in_every_format() -> None:
    made = made_ladder()
    first = made.answers[0].sentence
    assert render(made, "table", width=100).startswith(first)
    assert render(made, "markdown").startswith(f"**{first}**")
    assert json.loads(render(made, "json"))["answer"][0] == first
    for form, word in [("table", "missing"), ("markdown", "missing"), ("csv", "missing")]:
        assert word in render(made, form, width=100)
    (hole,) = [
        row for row in json.loads(render(made, "json"))["sizes"] if row["label"] == "missing"
    ]
    assert hole["gain"] is None, "a hole is no zero"
    assert hole["n"] == 0


def test_several_benchmarks_share_one_table_of_onsets_and_one_csv() -> None:
    two = CASES["two"]()
    page = json.loads(render(two, "json"))
    assert [(row["bench"], row["arm"], row["status"]) for row in page["onsets"]] == [
        ("sums", "cot", "bracket"),
        ("sums", "vote", "at_or_below"),
        ("other", "cot", "bracket"),
        ("other", "vote", "at_or_below"),
    ]
    assert [part["bench"] for part in page["parts"]] == ["sums", "other"]
    rows = list(csv.DictReader(io.StringIO(render(two, "csv"))))
    assert {row["bench"] for row in rows if row["section"] == "sizes"} == {"sums", "other"}


@pytest.mark.parametrize(
    ("reach", "said"),
    [
        (0.5, "The cheapest in tokens that solves 50.0 % is cot on made-3: 70.0 % for 600 tokens"),
        (0.68, "but its interval begins below 68.0 %"),
        (0.99, "No model and strategy whose dollars are known solves 99.0 %"),
    ],
)
def test_the_cheapest_that_reaches_a_rate_is_named(reach: float, said: str) -> None:
    page = " ".join(render(made_ladder(), "markdown", reach=reach).split())
    assert said in page
    assert "in seconds" not in page, "seconds are measured: only with timing"
    assert "seconds" in render(made_ladder(), "markdown", reach=reach, timing=True)


def test_lm_eval_files_hold_one_model_a_line_and_need_runs() -> None:
    lines = [json.loads(line) for line in render(made_ladder(), "lm-eval").splitlines()]
    assert [line["model_name"] for line in lines] == ["made-0", "made-1", "made-3", "made-2"]
    last = lines[2]
    assert last["results"]["sums_cot"]["exact_match,flexible"] == 0.7
    assert last["results"]["sums_cot"]["exact_match_stderr,flexible"] == pytest.approx(
        (0.7 * 0.3 / 199) ** 0.5
    )
    assert last["n-shot"]["sums_cot"] == 8
    assert last["versions"].keys() == last["results"].keys() == last["configs"].keys()
    with pytest.raises(UsageError, match="not of runs"):
        render(replace(made_ladder(), origin=None), "lm-eval")


FIGURE = Figure(
    x=(8.0, 9.0, 10.0, 11.0),
    ticks=("100 M", "1 B", "10 B", "100 B"),
    axis="parameters",
    arms=(Curve(name="cot", y=(0.0, 0.1, NAN, 0.8)),),
    controls=(Curve(name="few-shot", y=(0.0, 0.0, 0.1, 0.2)),),
    brackets=(("help begins", 1, 3),),
)


@pytest.mark.parametrize(("is_unicode", "marks"), [(True, "●○◉"), (False, "ox8")])
@pytest.mark.parametrize("width", [60, 80, 100])
def test_a_curve_has_every_point_where_it_belongs(width: int, marks: str, is_unicode: bool) -> None:
    legend, *drawn = draw_figure(FIGURE, width=width, is_unicode=is_unicode)
    arm, control, both = marks
    assert all(mark in legend for mark in marks)
    assert max(map(cell_len, (legend, *drawn))) <= width
    field = drawn[:11]
    assert sum(line.count(arm) for line in field) == 2, "three are known, one of them is shared"
    assert sum(line.count(control) for line in field) == 3
    assert sum(line.count(both) for line in field) == 1
    assert arm in field[2], "0.8 stands in the third row from the top"
    assert field[2].rstrip().endswith(arm), "the largest size stands at the right end"
    assert field[0].lstrip().startswith("100")
    if not is_unicode:
        assert "\n".join(drawn).isascii()


def test_a_curve_marks_the_bracket_and_leaves_out_ticks_without_room() -> None:
    *_, bracket, ticks, axis = draw_figure(FIGURE, width=80, is_unicode=True)
    low, high = bracket.index("("), bracket.index("]")
    assert ticks.index("1 B") - 1 <= low <= ticks.index("1 B") + 2
    assert high > ticks.index("10 B")
    assert axis.strip() == "parameters"
    close = replace(FIGURE, x=(8.0, 8.01, 8.02, 11.0), brackets=())
    *_, ticks, _ = draw_figure(close, width=80, is_unicode=True)
    assert "100 M" in ticks
    assert "1 B " not in ticks.replace("100 B", "")


def test_a_curve_of_holes_is_drawn_without_points() -> None:
    flat = replace(FIGURE, x=(1.0, 2.0, 3.0, 4.0), arms=(Curve(name="c", y=(NAN,) * 4),))
    assert "●" not in "\n".join(draw_figure(flat, width=80, is_unicode=True)[1:])
