"""Pages: escaped, self-contained, stable to the byte, readable, and refused in one line."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from typer.testing import CliRunner

import cotkit
from cotkit.analysis.values import PageRun, PageSample, SampleAttempt
from cotkit.cli import app, main
from cotkit.errors import MissingDependencyError, UsageError
from cotkit.report.html import page
from cotkit.report.html.figure import shorten_name
from cotkit.store import STORE_NAME, Store
from cotkit.types import Problem, Question, Reading
from cotkit.workflows.stored_run import load_part
from tests.conftest import Sums
from tests.made_scale import made_scale

CSS = (Path(cotkit.__file__).parent / "report" / "html" / "report.css").read_text(encoding="utf-8")
EVIL = "</script><script>alert(1)</script><!-- <img src=x onerror=alert(2)> \u2028 \ud800 & \" '"

LIMIT = ("--limit", "40", "--display", "none")


class Elements(HTMLParser):
    """Every element of a page with its attributes, and the text of its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self._is_script = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._is_script = tag == "script"

    def handle_endtag(self, tag: str) -> None:
        self._is_script = False

    def handle_data(self, data: str) -> None:
        if self._is_script:
            self.scripts.append(data)

    def values(self, name: str) -> list[str]:
        return [value for _, attrs in self.elements if (value := attrs.get(name)) is not None]


def run(*arguments: str) -> None:
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output


def a_part(sums: Sums, strategy: str = "cot") -> PageRun:
    found = cotkit.compare("simulated/70b", strategy, bench=sums, limit=30)
    with Store(Path("logs") / STORE_NAME) as store:
        rows = store.attempts(found.run_id)
    takes = [
        SampleAttempt(
            arm=row.arm,
            outcome=row.outcome,
            text=row.text,
            readings=row.readings,
            correct_by=row.correct_by,
            error=row.error,
            n_generated_tokens=row.n_generated_tokens,
            drafts=(),
        )
        for row in rows
    ]
    samples = tuple(
        PageSample(
            problem=problem,
            takes=tuple(
                take
                for take, row in zip(takes, rows, strict=True)
                if row.problem_id == problem.question.id
            ),
        )
        for problem in sums.problems()
    )
    return PageRun(comparison=found, samples=samples)


def scale_page() -> str:
    return page([], scales=[made_scale()])


def evil_part(sums: Sums) -> PageRun:
    """A run in which everything that a model, a user or a benchmark may write is hostile."""
    part = a_part(sums)
    found = part.comparison
    cells = tuple(replace(cell, arm=EVIL + cell.arm) for cell in found.cells)
    verdict = found.verdicts[0]
    gain = replace(verdict.gain, arm=cells[1].arm, control=cells[0].arm)
    problem = Problem(question=Question(id=EVIL, text=EVIL, choices=(EVIL,)), gold=EVIL)
    take = SampleAttempt(
        arm=cells[0].arm,
        outcome="correct",
        text=EVIL,
        readings={"strict": Reading(value=EVIL, rule=EVIL)},
        correct_by={"strict": True},
        error=EVIL,
        n_generated_tokens=None,
        drafts=(("wrong", EVIL),),
    )
    return PageRun(
        comparison=replace(
            found,
            model=EVIL,
            cells=cells,
            verdicts=(replace(verdict, gain=gain, sentence=EVIL),),
            difficulty=(),
            notes=(EVIL,),
        ),
        samples=(PageSample(problem=problem, takes=(take,)),),
    )


def test_nothing_that_others_wrote_becomes_part_of_the_page(sums: Sums) -> None:
    part = evil_part(sums)
    text = page([part, part])
    found = Elements(text)
    assert [tag for tag, _ in found.elements].count("script") == 2
    assert not [tag for tag, _ in found.elements if tag == "img"]
    assert not [name for _, attrs in found.elements for name in attrs if name.startswith("on")]
    text.encode()  # no half surrogate pair is left
    assert "\u2028" not in text
    data = json.loads(found.scripts[0])
    assert data["problems"] == [[EVIL, EVIL, [EVIL], EVIL, None]]
    assert data["samples"][0][2][0][:4] == [0, EVIL, [[EVIL, EVIL, 1]], EVIL]
    assert "<" not in found.scripts[0]


def test_only_our_script_may_run_and_nothing_is_fetched(sums: Sums) -> None:
    text = page([a_part(sums)])
    found = Elements(text)
    policy = next(attrs["content"] for _, attrs in found.elements if "http-equiv" in attrs)
    digest = hashlib.sha256(found.scripts[1].encode()).digest()
    assert f"'sha256-{base64.b64encode(digest).decode()}'" in str(policy)
    assert str(policy).startswith("default-src 'none'")
    assert not found.values("src")
    assert {tag for tag, _ in found.elements} & {"link", "iframe", "object", "base"} == set()
    links = [*found.values("href"), *found.values("xlink:href")]
    assert [link for link in links if not link.startswith("#")] == []
    assert "@import" not in text
    assert re.findall(r"url\((?!#)", text) == []


def test_ids_are_unique_and_every_reference_has_its_target(sums: Sums) -> None:
    for text in (page([a_part(sums), a_part(sums, "zero-shot-cot")]), scale_page()):
        found = Elements(text)
        ids = found.values("id")
        assert len(ids) == len(set(ids))
        wanted = [link[1:] for link in [*found.values("href"), *found.values("xlink:href")]]
        wanted += [one for names in found.values("aria-labelledby") for one in names.split()]
        wanted += re.findall(r"url\(#([^)]+)\)", text)
        assert set(wanted) - set(ids) == set()


def test_landmarks_and_words_for_every_drawing() -> None:
    found = Elements(scale_page())
    tags = [tag for tag, _ in found.elements]
    assert [tags.count(tag) for tag in ("h1", "header", "nav", "main", "footer")] == [1] * 5
    drawings = [attrs for tag, attrs in found.elements if tag == "svg"]
    assert len(drawings) == 5  # the first is there in two widths
    for attrs in drawings:
        assert attrs["role"] == "img"
        assert "sim-70b" in str(attrs["aria-label"])


def test_figures_take_their_colours_from_the_page() -> None:
    svg = "".join(re.findall(r"<svg.*?</svg>", scale_page(), re.DOTALL))
    colours = set(re.findall(r"(?:fill|stroke): ([^;\"]+)", svg))
    assert {c for c in colours if not c.startswith(("var(--", "none"))} == set()
    names = {c.removeprefix("var(--").rstrip(")") for c in colours if c != "none"}
    assert {name for name in names if f"--{name}:" not in CSS} == set()
    assert "DejaVu" not in svg


def test_the_curve_says_bracket_labels_and_holes() -> None:
    text = scale_page()
    for said in ("(8 B, 70 B]", "missing", "no material help", "every larger size"):
        assert said in text


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_their_paper(scheme: str) -> None:
    """WCAG 2 AA: 4.5 to 1 for text of any size."""
    colours = variables("light") | variables(scheme)
    texts = ("ink", "muted", "good", "bad", "quiet", "warn")
    pairs = [(text, paper) for text in texts for paper in ("paper", "raised", "band")]
    pairs += [("on-dark", name) for name in ("correct", "refused")]
    pairs += [("on-pale", name) for name in ("unparsed", "truncated", "failed")]
    pairs.append(("on-wrong", "wrong"))
    weak = {pair: contrast(*(colours[name] for name in pair)) for pair in pairs}
    assert {pair: round(value, 2) for pair, value in weak.items() if value < 4.5} == {}


def variables(scheme: str) -> dict[str, str]:
    light, dark = CSS.split("@media (prefers-color-scheme: dark)", 1)
    found = light if scheme == "light" else dark.split("*, ::before", 1)[0]
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", found))


def contrast(one: str, other: str) -> float:
    bright, dim = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_equal_rows_give_equal_bytes_in_every_process() -> None:
    arguments = ("--model", "simulated/70b", "--strategy", "cot,self-review", "--limit", "30")
    run("compare", *arguments, "--html", "first.html", "--display", "none")
    subprocess.run(
        [sys.executable, "-m", "cotkit", "report", "--html", "second.html"],
        check=True,
        env=os.environ | {"PYTHONHASHSEED": "1"},
    )
    assert Path("first.html").read_bytes() == Path("second.html").read_bytes()


def test_the_answer_comes_first_and_everything_is_there(sums: Sums) -> None:
    run("compare", "--model", "simulated/70b", "--strategy", "self-review", *LIMIT)
    run("report", "--html", "out.html")
    text = Path("out.html").read_text(encoding="utf-8")
    body = text.index("<h1")
    assert text.index("self-review", body) < text.index("<nav")
    for wanted in (
        "Gain over the control",
        "Gain by number of steps",
        "Outcomes",
        "What correction",
    ):
        assert wanted in text[body:]
    assert len(json.loads(Elements(text).scripts[0])["samples"]) == 40


def test_several_runs_make_one_page() -> None:
    for size in ("1b", "70b"):
        run("compare", "--model", f"simulated/{size}", *LIMIT)
    with Store(Path("logs") / STORE_NAME) as store:
        ids = [row.id for row in store.runs()]
    run("report", ids[0], ids[1][:6], ids[0], "--html", "out.html")
    text = Path("out.html").read_text(encoding="utf-8")
    data = json.loads(Elements(text).scripts[0])
    assert [one["id"] for one in data["runs"]] == ids
    assert "Gain by model and steps: cot over few-shot" in text
    assert len(data["problems"]) == 40  # the same ones, told once
    assert len(data["samples"]) == 80


def test_a_ladder_has_its_curves_and_the_samples_of_its_runs() -> None:
    asked = ("--bench", "arithmetic:steps=1,2,digits=1", *LIMIT)
    run("scale", "--models", "simulated/1b,simulated/10b,simulated/70b", *asked, "--html", "o.html")
    text = Path("o.html").read_text(encoding="utf-8")
    found = Elements(text)
    ids = found.values("id")
    assert len(ids) == len(set(ids))
    for wanted in ("curve-1-1", "curve-2-1", "metrics-1", "frontier-2-tokens", "forest-1-1"):
        assert wanted in ids
    assert "forest" not in ids  # the runs' own intervals of the same gains would confuse
    data = json.loads(found.scripts[0])
    assert len({one["name"] for one in data["runs"]}) == len(data["runs"]) == 6
    assert len(data["samples"]) == 240
    prompts = text[text.index('id="prompts"') : text.index('id="tables"')]
    assert prompts.count("<summary>few-shot<") == 2, "once for the three models of a benchmark"
    assert prompts.count("<h3>") == 2


def test_a_page_without_samples_holds_no_problem_and_no_answer() -> None:
    asked = ("--models", "simulated/1b,simulated/70b", "--bench", "gsm-mini", *LIMIT)
    run("scale", *asked, "--html", "all.html")
    run("scale", *asked, "--html", "bare.html", "--no-samples")
    run("report", "--html", "run.html", "--no-samples")
    run("compare", "--model", "simulated/70b", *LIMIT, "--html", "compare.html", "--no-samples")
    full = Path("all.html").read_text(encoding="utf-8")
    data = json.loads(Elements(full).scripts[0])
    asked_text = data["problems"][0][1]
    assert json.dumps(asked_text)[1:-1] in full
    for name in ("bare.html", "run.html", "compare.html"):
        text = Path(name).read_text(encoding="utf-8")
        assert "<script" not in text, name
        assert asked_text[:30] not in text, name
        assert "The answer is" not in text, name
        assert "Gain over the control" in text or "curve-1" in text, name


def test_a_table_of_a_paper_has_curves_and_no_samples() -> None:
    run("scale", "--published", "wei2022", "--bench", "gsm8k", "--html", "o.html")
    text = Path("o.html").read_text(encoding="utf-8")
    assert "<script" not in text
    assert text.count(">material help starts here: ") == 3
    assert 'id="samples"' not in text


def test_a_ladder_read_from_the_store_has_the_same_page() -> None:
    run("scale", "--models", "simulated/1b,simulated/70b", *LIMIT, "--html", "first.html")
    with Store(Path("logs") / STORE_NAME) as store:
        ids = sorted(store.runs(), key=lambda row: row.created_utc)
    asked = ("--runs", ",".join(row.id for row in ids), "--display", "none")
    run("scale", *asked, "--html", "second.html")
    assert Path("first.html").read_bytes() == Path("second.html").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "said", "why"),
    [
        (["zzz", "--html", "o.html"], "no run 'zzz'", "lists the latest ones"),
        (["--html", "none/o.html"], "no folder none", "before anything is read"),
        (["--html", "logs"], "it is a folder", "would be written over"),
        (["--html", "o.html", "--log-dir", "none"], "no store at none", "names the place"),
        (["0123", "--html", "o.html"], "has no attempts yet", "begun, then cut off at once"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    arguments: list[str],
    said: str,
    why: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run("compare", "--model", "simulated/70b", "--limit", "2", "--display", "none")
    with Store(Path("logs") / STORE_NAME) as store:
        done = store.runs()[0]
        store.start_run("0123456789ab", done.spec, store.run_backend(done.id)[0])
    capsys.readouterr()
    monkeypatch.setattr(sys, "argv", ["cotkit", "report", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("cotkit: "), why
    assert said in error, why
    assert error.count("\n") == 1
    assert not Path("o.html").exists()


def test_a_benchmark_that_changed_since_the_run_is_refused() -> None:
    lines = [{"question": f"What is {i} plus {i}?", "answer": str(2 * i)} for i in range(4)]
    mine = Path("mine.jsonl")
    mine.write_text("".join(json.dumps(line) + "\n" for line in lines))
    run("compare", "--model", "simulated/70b", "--bench", "./mine.jsonl", "--display", "none")
    mine.write_text("".join(json.dumps(line | {"answer": "7"}) + "\n" for line in lines))
    with Store(Path("logs") / STORE_NAME) as store, pytest.raises(UsageError, match="is not what"):
        load_part(store, store.runs()[0], lambda _: None)


def test_matplotlib_is_asked_for_before_anything_is_spent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    arguments = ["compare", "--model", "simulated/70b", "--limit", "2", "--html", "o.html"]
    done = CliRunner().invoke(app, arguments)
    assert isinstance(done.exception, MissingDependencyError)
    assert "pip install 'cotkit[report]'" in str(done.exception)
    assert not Path("logs").exists()


@pytest.mark.parametrize(
    ("text", "most", "expected"),
    [("short", 5, "short"), ("abcdefghij", 5, "ab…ij"), ("abcdefghij", 6, "ab…hij")],
)
def test_a_long_name_keeps_both_ends(text: str, most: int, expected: str) -> None:
    assert shorten_name(text, most) == expected
