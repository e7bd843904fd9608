"""A report in a notebook: short, escaped, with its numbers as a data frame and its figure."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

import cotkit
from cotkit.analysis.scale.values import Scales
from cotkit.errors import UsageError
from tests.made_ladder import made_ladder
from tests.test_report import awkward, plain_case


class Frame:
    """What a frame of pandas or polars is made of."""

    def __init__(self, columns: dict[str, list[object]]) -> None:
        self.columns = columns


def test_a_comparison_shows_its_answer_numbers_and_figure() -> None:
    page = plain_case()._repr_html_()
    assert page.startswith("<div><p><strong>cot helps")
    for words in ("warnings: failed: cot 1 of 200", "<td>self-review</td>", "<svg ", "--paper:"):
        assert words in page
    assert page.count("<table>") == 1
    assert ":root" not in page, "a notebook keeps its own colours"


def test_names_are_escaped() -> None:
    page = awkward()._repr_html_()
    assert "\x1b" not in page
    assert "&lt;0.001 &amp; 100 % sure" in page


def test_a_ladder_shows_its_curve() -> None:
    page = made_ladder()._repr_html_()
    assert "cot starts to help" in page
    assert "By model size" in page or "<svg " in page
    assert made_ladder().plot().svg == made_ladder().plot().svg


def test_printing_a_report_prints_the_screen() -> None:
    assert str(plain_case()) == cotkit.render(plain_case(), "table", full=False).rstrip()
    assert len(str(plain_case()).splitlines()) < 40


@pytest.mark.parametrize("name", ["pandas", "polars"])
def test_the_numbers_come_as_a_frame_unrounded(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType(name)
    module.DataFrame = Frame  # pyright: ignore[reportAttributeAccessIssue] - it stands for a package
    monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr("cotkit.report.notebook.find_spec", {name: True}.get)
    frame = plain_case().to_frame()
    assert isinstance(frame, Frame)
    assert frame.columns["arm"] == ["direct", "cot", "self-review"]
    assert frame.columns["gain"] == [None, 0.405, 0.025]
    assert frame.columns["gain_interval_low"] == [None, 0.3161, -0.0467]
    assert frame.columns["label"] == [None, "helps", "undetermined"]


def test_without_either_package_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cotkit.report.notebook.find_spec", dict[str, bool]().get)
    with pytest.raises(UsageError, match="pip install pandas"):
        plain_case().to_frame()
    assert "<svg " not in plain_case()._repr_html_()


def test_every_public_name_is_listed() -> None:
    assert set(cotkit.__all__) <= set(dir(cotkit))


def test_the_notebook_of_the_examples_runs_from_top_to_bottom(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Its cells, in this process: they ask no more of a kernel than to show what is last."""
    path = Path(__file__).parent.parent / "examples" / "first_comparison.ipynb"
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    names: dict[str, object] = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [], "outputs are stripped"
            exec("".join(cell["source"]), names)
    assert "cot: helps" in capsys.readouterr().out
    assert Path("onset.pdf").read_bytes().startswith(b"%PDF")
    assert Path("onset.csv").read_text().count("simulated") > 4
    assert Path("report.html").read_text().startswith("<!doctype html>")


def test_a_list_of_reports_is_no_wall_of_text() -> None:
    ladder = Scales((made_ladder(), made_ladder()))
    assert len(repr(plain_case())) < 600
    assert repr(ladder).startswith("(<Scale: cot starts to help")
    assert ladder._repr_html_().count("<svg ") == 1


class Display(ModuleType):
    """``IPython.display`` as a kernel has it; what was shown is kept."""

    def __init__(self) -> None:
        super().__init__("IPython.display")
        self.pages: list[str] = []

    def HTML(self, text: str) -> str:  # noqa: N802 - its name there
        return text

    def display(self, page: str, *, display_id: bool) -> Display:
        assert display_id
        self.pages.append(page)
        return self

    def update(self, page: str) -> None:
        self.pages.append(page)


@pytest.mark.parametrize("has_kernel", [True, False])
def test_a_run_in_a_notebook_shows_bars_and_elsewhere_nothing(
    has_kernel: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = SimpleNamespace(kernel=object()) if has_kernel else SimpleNamespace()
    ipython, display = ModuleType("IPython"), Display()
    ipython.get_ipython = lambda: shell  # pyright: ignore[reportAttributeAccessIssue] - it stands for a package
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    cotkit.compare("simulated/70b", "cot,zero-shot-cot", bench="gsm-mini", limit=5)
    if not has_kernel:
        assert display.pages == []
        return
    assert 'value="0" max="5"' in display.pages[0]
    assert display.pages[-1].count("5 of 5") == 4
    assert "<th>zero-shot-cot</th>" in display.pages[-1]


def test_a_report_is_rendered_as_a_page() -> None:
    for report in (plain_case(), made_ladder()):
        text = cotkit.render(report, "html")
        assert text.startswith("<!doctype html>")
        assert "class=hero" in text
