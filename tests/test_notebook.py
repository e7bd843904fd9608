"""A report in a notebook: short, escaped, with its numbers as a data frame and its figure."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

import cotkit
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
