"""Figures as files: each format, both widths, their numbers, the same bytes again."""

from __future__ import annotations

import csv
import io
import math
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cotkit.analysis.scale.values import Scale
from cotkit.cli import app
from cotkit.errors import UsageError
from cotkit.report.html import Chart, list_charts
from cotkit.report.html.figure import COLORS
from cotkit.report.html.size_charts import draw_multiples
from cotkit.stats.intervals import Interval
from tests.made_scale import made_scale
from tests.test_html import CSS
from tests.test_report import plain_case

STYLES = {"cot": ("#0b5cad", "o"), "few-shot": ("#c2500f", "s")}


def family(name: str, bench: str) -> Scale:
    return replace(made_scale(prefix=name), family=name, bench=bench)


def panel_titles(chart: Chart, columns: int) -> list[str]:
    svg = chart.svg if columns == 1 else chart.wide_svg
    return re.findall(r"<text style=\"font-weight: 700[^>]*>([^<]+)", svg)


def test_every_figure_is_written_in_each_format_and_width_and_is_the_same_again(
    tmp_path: Path,
) -> None:
    (chart, *_) = list_charts([plain_case()])
    files = dict(chart.files())
    assert sorted(files) == sorted(
        [*(f"forest-{n}col.{kind}" for n in (1, 2) for kind in ("pdf", "png", "svg")), "forest.csv"]
    )
    assert dict(chart.files()) == files
    assert b"/MediaBox [ 0 0 252" in files["forest-1col.pdf"]
    assert b"/MediaBox [ 0 0 516" in files["forest-2col.pdf"]
    assert files["forest-1col.png"].startswith(b"\x89PNG")
    for name, content in files.items():
        assert not re.search(rb"20\d\d-\d\d|Matplotlib v", content), name
    svg = files["forest-1col.svg"].decode()
    assert 'width="252pt"' in svg
    assert "var(--" not in svg
    assert "#0b5cad" in svg
    assert chart.save(tmp_path / "gain.svg").read_text(encoding="utf-8") == svg
    with pytest.raises(UsageError, match="no format 'gif'"):
        chart.save(tmp_path / "gain.gif")


def test_the_numbers_beside_a_figure_are_those_that_it_draws() -> None:
    curve = next(c for c in list_charts(scales=[made_scale()]) if c.key == "curve-1-1")
    rows = list(csv.DictReader(io.StringIO(curve.to_csv())))
    assert [row["model"] for row in rows][:2] == ["sim-2b", "sim-8b"]
    assert [row["gain"] for row in rows] == ["-0.02", "0.01", "", "0.3", "0.42"]
    assert {row["arm"] for row in rows} == {"cot"}


def test_benchmarks_are_rows_and_families_columns() -> None:
    scales = [family(name, bench) for bench in ("sums", "words") for name in ("PaLM", "GPT")]
    (chart,) = draw_multiples("rates", scales, STYLES)
    assert sorted(panel_titles(chart, 2)) == ["GPT", "PaLM", "sums", "words"]
    (alone,) = draw_multiples("rates", scales[:1], STYLES)
    assert panel_titles(alone, 1) == []


def test_many_families_are_wrapped_and_many_panels_split_by_benchmark() -> None:
    scales = [family(f"family-{i}", "sums") for i in range(7)]
    (chart,) = draw_multiples("rates", scales, STYLES)
    assert panel_titles(chart, 1) == [f"family-{i}" for i in range(7)]
    many = [family(f"f{i}", bench) for i in range(16) for bench in ("sums", "words")]
    assert [c.key for c in draw_multiples("rates", many, STYLES)] == ["rates-1", "rates-2"]


def test_nothing_is_drawn_where_nothing_was_measured() -> None:
    scale = made_scale()
    points = tuple(
        replace(point, arm_rate=math.nan, arm_interval=Interval(low=0.0, high=1.0, level=0.95))
        if point.n == 0
        else point
        for point in scale.answers[0].points
    )
    hole = replace(scale, answers=(replace(scale.answers[0], points=points),))
    charts = [next(draw_multiples("rates", [each], STYLES)) for each in (scale, hole)]
    drawn, without = (chart.svg.partition(">")[2] for chart in charts)  # but for their words
    assert drawn == without


def test_an_arm_has_one_colour_in_all_figures_of_a_page() -> None:
    charts = {chart.key: chart for chart in list_charts(scales=[made_scale()])}
    for key in ("curve-1-1", "metrics-1", "frontier-1-tokens"):
        legend = charts[key].svg.partition('legend_1">')[2].partition("legend_2")[0]
        words = re.findall(r"stroke: var\(--(series-\d)\)|>(cot|few-shot)</text>", legend)
        colors: dict[str, str] = {}
        for (color, _), (_, name) in pairwise(words):
            colors |= {name: color} if name else {}
        assert colors == {"cot": "series-1", "few-shot": "series-2"}, key


def test_colours_that_are_equal_on_light_paper_are_equal_everywhere() -> None:
    """So that a colour in a drawing says which variable of the page it is."""
    schemes = [
        dict(re.findall(r"--([\w-]+): (#[0-9a-f]{3,6})", part)) for part in CSS.split("@media")
    ]
    for scheme in schemes:
        for name, color in COLORS.items():
            twin = next(other for other in COLORS if COLORS[other] == color)
            assert scheme.get(name) == scheme.get(twin), name


@pytest.mark.parametrize(
    ("folder", "expected"), [("none/figures", "no folder none"), ("a-file", "a-file is no folder")]
)
def test_a_folder_that_cannot_be_is_refused_before_anything_is_spent(
    folder: str, expected: str
) -> None:
    Path("a-file").write_text("", encoding="utf-8")
    asked = ("compare", "--model", "simulated/70b", "--limit", "2", "--figures", folder)
    done = CliRunner().invoke(app, asked)
    assert isinstance(done.exception, UsageError)
    assert expected in str(done.exception)
    assert not Path("logs").exists()


def test_commands_write_figures_of_several_benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    def name_alone(chart: Chart) -> list[tuple[str, bytes]]:
        return [(f"{chart.key}.csv", b"")]

    monkeypatch.setattr(Chart, "files", name_alone)  # the files are drawn above
    asked = ("--model", "simulated/70b", "--limit", "8", "--bench", "gsm-mini,arithmetic")
    done = CliRunner().invoke(app, ["compare", *asked, "--figures", "out", "--display", "none"])
    assert done.exit_code == 0, done.output
    assert "written: out" in done.output
    names = {path.name for path in Path("out").iterdir()}
    assert names == {"forest.csv", "frontier-1-tokens.csv", "frontier-2-tokens.csv"}
