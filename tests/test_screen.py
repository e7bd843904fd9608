"""The answer first: what a terminal shows by default fits one screen, and what it leaves out."""

from __future__ import annotations

import ast
import fcntl
import json
import math
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from rich.cells import cell_len
from typer.testing import CliRunner

from cotkit.analysis.decision import choose_arm
from cotkit.analysis.values import Aside
from cotkit.cli import app
from cotkit.cli.options import PANELS, View, read_view
from cotkit.errors import UnknownNameError, UsageError
from cotkit.report import render
from cotkit.report.document import SECTIONS
from tests.conftest import REPOSITORY
from tests.made_ladder import made_ladder
from tests.test_report import cell, plain_case

ROWS, COLUMNS = 40, 80
CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def on_terminal(*arguments: str, columns: int = COLUMNS) -> tuple[list[str], list[str]]:
    """Return the lines of standard output and of standard error, both of them a terminal."""
    ends = [pty.openpty() for _ in range(2)]
    for _, child in ends:
        fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "cotkit", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=ends[0][1],
        stderr=ends[1][1],
        env=os.environ | {"COLUMNS": str(columns), "LINES": str(ROWS)},
    )
    for _, child in ends:
        os.close(child)
    written: list[bytes] = [b"", b""]
    parents = [parent for parent, _ in ends]
    while parents:
        for parent in select.select(parents, [], [], 120)[0]:
            try:
                part = os.read(parent, 65536)
            except OSError:  # the other end is closed
                part = b""
            if not part:
                parents.remove(parent)
            written[[p for p, _ in ends].index(parent)] += part
    assert process.wait(timeout=60) == 0, written[1].decode()
    for parent, _ in ends:
        os.close(parent)
    out, err = (CODES.sub("", text.decode()).replace("\r\n", "\n") for text in written)
    return out.splitlines(), err.splitlines()


def fits(lines: Sequence[str], columns: int = COLUMNS) -> bool:
    return len(lines) < ROWS and max(map(cell_len, lines)) <= columns


def test_a_comparison_ends_on_one_screen_with_the_answer_on_top() -> None:
    screen, _ = on_terminal(
        *("compare", "--model", "simulated/70b", "--strategy", "cot,zero-shot-cot"),
        *("--limit", "40"),
    )
    assert fits(screen), "\n".join(screen)
    assert screen[0].startswith("cot helps: ")
    text = " ".join(" ".join(screen).split())
    for words in ("zero-shot-cot helps: ", "To choose: ", "verdict tokens", "--full", "--show"):
        assert words in text
    assert re.search(r"cotkit show attempt [0-9a-f]{12}", text)
    whole, _ = on_terminal("report", "--full")
    for title in ("Arms", "Gain over the control", "Outcomes", "Does the verdict hold?"):
        assert title in whole
        assert title not in screen
    assert len(whole) > 2 * len(screen)
    narrow, _ = on_terminal("report", columns=40)
    assert max(map(cell_len, narrow)) <= 40
    assert {"few-shot", "standard", "cot", "zero-shot-cot"} <= {
        line.split()[0] for line in narrow if line.strip()
    }


def test_a_ladder_ends_on_one_screen_with_its_curve_and_bracket() -> None:
    command = ("scale", "--family", "simulated", "--bench", "gsm-mini", "--limit", "30")
    screen, _ = on_terminal(*command, "--strategy", "cot,zero-shot-cot")
    assert fits(screen), "\n".join(screen)
    assert screen[0].startswith("cot ")
    assert any(line.startswith("● cot   ▲ zero-shot-cot   ○ few-shot") for line in screen)
    assert any("parameters, logarithmic" in line for line in screen)
    text = " ".join(" ".join(screen).split())
    assert "zero-shot-cot - " in text or re.search(r"zero-shot-cot [\d.]+ [MB]", text)


def test_four_gains_with_every_warning_still_fit_one_screen() -> None:
    base = plain_case()
    arms = ("cot", "self-review", "zero-shot-cot", "plan-and-solve")
    review = base.verdicts[1]
    full = replace(
        base,
        cells=(base.cells[0], *(cell(arm, 150, 140, 0.88, 0.96, prompt=9.0, generated=2.0)
                                for arm in arms)),
        verdicts=tuple(
            replace(
                review,
                gain=replace(review.gain, arm=arm),
                sentence=review.sentence.replace("self-review", arm) + " " + "why " * 20,
            )
            for arm in arms
        ),
        notes=tuple(Aside(f"how {i}") for i in range(9)) + tuple(f"note {i}" for i in range(5)),
        ended_by="budget",
    )  # fmt: skip
    page = render(full, "table", width=COLUMNS, full=False, hints=("more: {sections}", "chains"))
    lines = page.splitlines()
    assert fits(lines), page
    assert "budget used up: 200 of 200 problems" in page
    assert "DIFFERS by reader flexible" in page
    assert "note 0" in page
    assert re.search(r"and \d more notes: --show notes", page)
    assert "how 1" not in page, "an aside is for --full"
    assert "more: arms, gains, outcomes, variants, notes" in page


def test_warnings_stand_beside_the_answer_in_every_format_for_people() -> None:
    words = "failed: cot 1 of 200"
    for options in ({"full": False}, {"full": True}, {"show": ("outcomes",)}):
        page = render(plain_case(), "table", **options)  # pyright: ignore[reportArgumentType] - a table of keyword arguments
        head = page.partition("reader line")[0]
        assert words in head, options
    assert words in render(plain_case(), "markdown").partition("##")[0]
    page = render(made_ladder(), "table", full=False)
    assert "cot over few-shot: floor at 1 of 4 sizes" in page.partition("margin")[0]


def test_a_picked_section_is_printed_whole_and_a_missing_one_is_named() -> None:
    page = render(plain_case(), "table", show=("outcomes", "votes"))
    assert "Outcomes" in page
    assert "Arms" not in page
    assert "nothing here: votes" in page
    assert render(plain_case(), "table", show=SECTIONS).count("Gain over the control") == 1


def view(**options: object) -> View:
    arguments: dict[str, object] = {"format_": None, "full": False, "show": [], "raw": False}
    arguments["output"] = []
    return read_view(**arguments | options)  # pyright: ignore[reportArgumentType] - a table of keyword arguments


def test_sections_are_checked_before_anything_is_spent() -> None:
    from cotkit.cli.options import Format

    assert view(format_=Format.table, show=["arms,gains", "notes"]).show == (
        "arms",
        "gains",
        "notes",
    )
    with pytest.raises(UnknownNameError, match="did you mean metrics"):
        view(format_=Format.table, show=["metrcs"])
    with pytest.raises(UsageError, match="always whole"):
        view(format_=Format.json, full=True)
    with pytest.raises(UsageError, match="no effect"):
        view(format_=Format.table, full=True, show=["arms"])


def test_every_table_of_a_report_can_be_picked() -> None:
    """A new table: add its key to ``document.SECTIONS``."""
    keys = {
        node.args[0].value
        for name in (
            *("comparison_tables", "scale_tables", "contrast_tables"),
            *("suite_tables", "sweep_tables", "spending_tables"),
        )
        for node in ast.walk(ast.parse((REPOSITORY / f"cotkit/report/{name}.py").read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "make_table"
        and isinstance(node.args[0], ast.Constant)
    }
    assert keys == set(SECTIONS) - {"notes"}


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_help_shows_every_option_whole_in_its_panel(columns: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cotkit", "compare", "--help"],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"COLUMNS": str(columns)},
    )
    order = [line for line in done.stdout.splitlines() if line.removesuffix(":") in PANELS]
    assert order == [f"{panel}:" for panel in PANELS]
    assert "…" not in done.stdout
    assert "Options:" in done.stdout, "only --help has no panel"
    assert "--confirm-run-unsafe-code" in done.stdout
    assert re.search(r"Options:\n +-h, --help .*\n$", done.stdout), "an option has no panel"


# Which to choose.


def scores(rates: dict[str, float], n: int, seed: int = 0) -> dict[str, dict[str, float]]:
    """Return scores that agree where they can: each problem has one difficulty."""
    difficulty = np.random.default_rng(seed).random(n)
    return {
        arm: {str(i): float(d < r) for i, d in enumerate(difficulty)} for arm, r in rates.items()
    }


def test_the_cheapest_that_is_as_good_is_chosen_with_what_it_saves() -> None:
    costs = {"long": 900.0, "short": 300.0, "none": 10.0}
    decision = choose_arm(
        scores({"long": 0.801, "short": 0.8, "none": 0.3}, 2000), {}, costs, "tokens",
        margin=0.02, level=0.95,
    )  # fmt: skip
    assert decision is not None
    assert decision.arm == "short"
    assert "67 % fewer tokens than long, which solves most" in decision.sentence
    assert [c.is_shown for c in decision.contenders] == [True, True, False]


def test_nothing_is_chosen_without_evidence_and_the_problems_needed_are_named() -> None:
    costs = {"long": 900.0, "short": 300.0}
    made = scores({"long": 0.6, "short": 0.6}, 80)
    made["short"] = {name: made["long"][str((int(name) + 1) % 80)] for name in made["long"]}
    made["short"][max(made["short"], key=made["short"].__getitem__)] = 0.0  # one fewer
    decision = choose_arm(made, {}, costs, "tokens", margin=0.02, level=0.95)
    assert decision is not None
    assert decision.arm is None
    assert re.search(
        r"no cheaper arm is shown .* about [\d,]+ problems would tell", decision.sentence
    )
    n = decision.n_needed
    assert n is not None
    often = n // 80 + 1
    more = {
        arm: {f"{i}-{k}": v for k, v in of.items() for i in range(often)}
        for arm, of in made.items()
    }
    again = choose_arm(more, {}, costs, "tokens", margin=0.02, level=0.95)
    assert again is not None
    assert again.arm == "short", "so many problems do tell"
    assert choose_arm({"one": {"p": 1.0}}, {}, {"one": 1.0}, "usd", margin=0.02, level=0.95) is None


def test_the_limits_hold_together_whichever_arm_is_best() -> None:
    """A limit that is too low for any arm is a wrong report: at most 5 % of them."""
    rng = np.random.default_rng(7)
    rates, n, n_reports, wrong = (0.5, 0.5, 0.5, 0.45), 150, 200, 0
    for _ in range(n_reports):
        made = {
            str(arm): dict(
                zip(map(str, range(n)), ((rng.random(n) < rate) * 1.0).tolist(), strict=True)
            )
            for arm, rate in enumerate(rates)
        }
        decision = choose_arm(made, {}, dict.fromkeys(made, 1.0), "usd", margin=0.02, level=0.95)
        assert decision is not None
        wrong += any(
            max(contender.shortfall, 0.0) < max(rates) - rates[int(contender.arm)]
            for contender in decision.contenders
        )
    assert wrong / n_reports < 0.05 + 3 * math.sqrt(0.05 * 0.95 / n_reports)


def test_a_decision_is_a_table_in_every_format() -> None:
    decision = choose_arm(
        scores({"cot": 0.8, "few-shot": 0.3}, 200), {}, {"cot": 0.002, "few-shot": 0.001}, "usd",
        margin=0.02, level=0.95,
    )  # fmt: skip
    decided = replace(plain_case(), decision=decision)
    (few, cot) = sorted(
        json.loads(render(decided, "json"))["decision"], key=lambda row: row["cost"]
    )
    assert (few["arm"], few["is_shown"], cot["arm"], cot["is_shown"]) == (
        *("few-shot", False),
        *("cot", True),
    )
    for form in ("table", "markdown", "latex"):
        assert "To choose: cot, shown to be" in " ".join(render(decided, form).split())


def test_the_demo_shows_an_answer_and_a_chain_without_any_model() -> None:
    done = CliRunner().invoke(app, ["demo"])
    assert done.exit_code == 0, done.output
    head, _, chain = done.stdout.partition("where the two disagree:")
    assert head.startswith("cot ")
    assert "24 of 150 problems" in head
    assert "note:" not in head
    gold = re.search(r"the right answer: (\S+)", chain)
    assert gold is not None
    assert re.search(rf"\ncot: .*The answer is {re.escape(gold[1])}\.", chain, re.DOTALL)
    assert not re.search(rf"few-shot: The answer is {re.escape(gold[1])}\.\n", chain)
    bare = CliRunner().invoke(app, [])
    assert "cotkit demo" in bare.output
    assert "--strategy cot,zero-shot-cot" in bare.output
