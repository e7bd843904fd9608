"""A report opened from disk in headless Chromium: filters, samples, links, nothing leaves it."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cotkit.cli import app
from cotkit.store import STORE_NAME, Store
from tests.browser import CHROMIUM, Browser, browser

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: apt-get install chromium"),
]
COUNT = "document.getElementById('count').textContent"
ROWS = "document.querySelectorAll('.row').length"
SELECTED = "document.querySelector('.row[aria-selected=true]')?.firstChild.textContent"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two strategies, three models, 200 problems; with their controls 2,400 attempts."""
    folder = tmp_path_factory.mktemp("report")
    logs, out = ["--log-dir", str(folder / "logs")], folder / "report.html"
    asked = ["--bench", "arithmetic:steps=1-8,digits=1", "--strategy", "cot,zero-shot-cot"]
    for size in ("1b", "10b", "70b"):
        run("compare", "--model", f"simulated/{size}", *asked, "--display", "none", *logs)
    with Store(folder / "logs" / STORE_NAME) as store:
        ids = [row.id for row in reversed(store.runs())]
    run("report", *ids, "--html", str(out), *logs)
    return out


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Generator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def run(*arguments: str) -> None:
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output


def choose(tab: Browser, name: str, value: str) -> None:
    """Set a filter as a user does, and let the list follow."""
    field = f"document.getElementById('{name}')"
    event = "dispatchEvent(new Event('input', {bubbles: true}))"
    tab.run(f"{field}.value = {value!r}; {field}.{event}")


def outside(events: list[dict[str, Any]]) -> list[str]:
    """Addresses asked for that are not the file itself."""
    asked = [e["params"]["request"]["url"] for e in events if is_request(e)]
    return [url for url in asked if not url.startswith("file:")]


COLLISIONS = """(() => {
  const faults = [];
  for (const svg of document.querySelectorAll('figure svg')) {
    const frame = svg.getBoundingClientRect();
    if (!frame.width) continue;
    const texts = [...svg.querySelectorAll('text')].map(
      text => [text.textContent, text.getBoundingClientRect()]);
    texts.forEach(([name, box], i) => {
      if (box.left < frame.left - 1 || box.right > frame.right + 1
          || box.top < frame.top - 1 || box.bottom > frame.bottom + 1)
        faults.push(`${name} is cut`);
      for (const [other, b] of texts.slice(i + 1)) {
        const across = Math.min(box.right, b.right) - Math.max(box.left, b.left);
        const down = Math.min(box.bottom, b.bottom) - Math.max(box.top, b.top);
        if (across > 1 && down > 0.25 * Math.min(box.height, b.height))
          faults.push(`${name} lies on ${other}`);
      }
    });
  }
  return faults;
})()"""
"""Words of figures that are cut, or lie on one another; a line's box has air above and below."""


def is_request(event: dict[str, Any]) -> bool:
    return event["method"] == "Network.requestWillBeSent"


def complaints(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the console would show in red or yellow, or at all."""
    loud = {"Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"}
    return [event for event in events if event["method"] in loud]


def test_filters_samples_and_links_work_and_nothing_leaves_the_page(
    tab: Browser, report: Path
) -> None:
    tab.open(report.as_uri())
    assert tab.run(COUNT) == "600 of 600 samples"
    assert tab.run(ROWS) < 60  # only what is in sight exists
    choose(tab, "f-show", "disagree")
    tab.wait(f"{COUNT} !== '600 of 600 samples'")
    n_disagree = int(tab.run(COUNT).split()[0])
    assert 0 < n_disagree < 600
    marks = (
        "[...document.querySelectorAll('.row')].map(r => r.querySelectorAll('.o-correct').length)"
    )
    assert all(0 < n < 4 for n in tab.run(marks))
    choose(tab, "f-show", "")
    choose(tab, "f-arm", "cot")
    choose(tab, "f-outcome", "wrong")
    tab.wait("document.querySelector('.row .mark.o-correct[aria-label^=\"cot:\"]') === null")
    choose(tab, "f-search", "no such words anywhere")
    tab.wait(f"{COUNT} === '0 of 600 samples'")
    assert "No sample" in tab.run("document.getElementById('sample').textContent")
    tab.run("document.getElementById('filters').reset()")
    choose(tab, "f-search", "")
    tab.wait(f"{COUNT} === '600 of 600 samples'")
    tab.click("#row-3")
    tab.wait(f"{SELECTED} === document.querySelector('#row-3').firstChild.textContent")
    assert tab.run("document.querySelectorAll('.take').length") == 4
    assert tab.run("document.querySelectorAll('.others button').length") == 2  # the other models
    link = tab.run("document.querySelector('#sample a').hash")
    shown = tab.run("document.querySelector('#sample').textContent")
    tab.open(report.as_uri() + "?again" + link)
    tab.wait(f"{SELECTED} !== undefined")
    assert tab.run("document.querySelector('#sample').textContent") == shown
    tab.wait("scrollY > 500")  # the link leads to the sample
    assert not outside(tab.events)
    assert [e for e in tab.events if is_request(e)]  # so that the line above could fail
    assert not complaints(tab.events)


def test_the_list_is_worked_by_the_keyboard(tab: Browser, report: Path) -> None:
    tab.open(report.as_uri() + "?keys")
    tab.run("document.getElementById('list').focus()")
    first = tab.run(SELECTED)
    for key, expected in (("End", "row-599"), ("Home", "row-0"), ("ArrowDown", "row-1")):
        tab.call("Input.dispatchKeyEvent", type="keyDown", key=key)
        active = "document.getElementById('list').getAttribute('aria-activedescendant')"
        tab.wait(f"{active} === {expected!r}")
    assert tab.run(SELECTED) != first
    assert tab.run("document.querySelector('.row[aria-selected=true]').id") == "row-1"


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_no_width_makes_the_page_scroll_sideways(tab: Browser, report: Path, width: int) -> None:
    set_width(tab, width)
    tab.open(f"{report.as_uri()}?width={width}")
    assert tab.run("document.documentElement.scrollWidth") <= width
    assert tab.run("getComputedStyle(document.getElementById('browser')).display") == "block"


def test_no_words_of_a_figure_are_cut_or_lie_on_others(
    tab: Browser, report: Path, tmp_path: Path
) -> None:
    ladder = tmp_path / "ladder.html"
    run("scale", "--published", "wei2022", "--bench", "GSM8K", "--html", str(ladder))
    for path in (report, ladder):
        for width in (390, 1280):
            set_width(tab, width)
            tab.open(f"{path.as_uri()}?words={width}")
            assert tab.run("document.querySelectorAll('figure svg text').length") > 40
            assert tab.run(COLLISIONS) == []
    text = "<text x='{}' y='50'>{}</text>"
    figure = f"<svg viewBox='0 0 200 99'>{text.format(9, 'abc')}{text.format(20, 'de')}"
    (tmp_path / "bad.html").write_text(f"<figure>{figure}{text.format(190, 'fgh')}</svg></figure>")
    tab.open((tmp_path / "bad.html").as_uri())
    assert tab.run(COLLISIONS) == ["abc lies on de", "fgh is cut"]


def test_the_first_figure_has_the_whole_width(tab: Browser, report: Path) -> None:
    for width, expected in ((1280, "wide"), (390, "narrow")):
        set_width(tab, width)
        tab.open(f"{report.as_uri()}?hero={width}")
        box = f"document.querySelector('.hero .{expected} svg').getBoundingClientRect().width"
        assert tab.run(box) > 0.9 * width
        drawn = "[...document.querySelectorAll('.hero svg')].filter(e => e.clientWidth).length"
        assert tab.run(drawn) == 1


def set_width(tab: Browser, width: int) -> None:
    tab.call(
        "Emulation.setDeviceMetricsOverride",
        width=width,
        height=800,
        deviceScaleFactor=1,
        mobile=width < 500,
    )


def test_the_list_of_runs_is_filtered_and_opens_a_report(tab: Browser, tmp_path: Path) -> None:
    logs, pages = ["--log-dir", str(tmp_path / "logs")], tmp_path / "pages"
    for size in ("1b", "70b"):
        run("compare", "--model", f"simulated/{size}", "--limit", "8", "--display", "none", *logs)
    run("view", "--out", str(pages), *logs)
    before = len(tab.events)
    tab.open((pages / "index.html").as_uri() + "#gate=nothing&search=")
    assert tab.run(COUNT) == "2 of 2 runs"
    choose(tab, "f-search", "70B fewshot")
    assert tab.run(COUNT) == "0 of 2 runs"
    choose(tab, "f-search", "70B few-shot")
    assert tab.run(COUNT) == "1 of 2 runs"
    assert tab.run("location.hash") == "#search=70B+few-shot"
    choose(tab, "f-model", "simulated/1b")
    assert tab.run(COUNT) == "0 of 2 runs"
    tab.open((pages / "index.html").as_uri() + "?again#search=70b")
    assert tab.run(COUNT) == "1 of 2 runs"
    tab.run("document.querySelector('.runs li:not([hidden]) a').click()")
    tab.wait("document.getElementById('words') !== null")
    anchors = "[...document.querySelectorAll('.note a')].map(a => a.hash.slice(1))"
    assert tab.run(f"{anchors}.every(id => document.getElementById(id))")
    assert not outside(tab.events[before:])
    assert not complaints(tab.events[before:])


def test_dark_is_dark(tab: Browser, report: Path) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    tab.open(report.as_uri() + "?light")
    light = tab.run(paper)
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    tab.call("Emulation.setEmulatedMedia", features=dark)
    assert (light, tab.run(paper)) == ("rgb(255, 255, 255)", "rgb(19, 21, 24)")


def test_complaints_and_requests_would_be_seen(tab: Browser, tmp_path: Path) -> None:
    """The tests above would fail if there were any."""
    page = tmp_path / "loud.html"
    page.write_text("<img src='http://localhost:9/x.png'><script>throw new Error('loud')</script>")
    before = len(tab.events)
    tab.call("Page.navigate", url=page.as_uri())
    tab.wait("document.images.length === 1 && document.images[0].complete")
    assert outside(tab.events[before:]) == ["http://localhost:9/x.png"]
    assert complaints(tab.events[before:])
