"""Several benchmarks in one report: both means by hand, every format, and what they depend on."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import replace

import pytest

from cotkit.analysis.suite import average_gains
from cotkit.analysis.values import Comparison
from cotkit.errors import UsageError
from cotkit.report import render
from cotkit.report.suite_tables import is_suite
from tests.conftest import Cotkit
from tests.test_comparison import compared, rows_of


def made(cot: str, few_shot: str) -> Comparison:
    return compared([*rows_of("cot", cot), *rows_of("few-shot", few_shot)], len(cot))


SMALL = made("++--", "+---")
LARGE = replace(made("+" * 12 + "-" * 8, "+" * 6 + "-" * 14), bench="large")


def gain(comparison: Comparison) -> tuple[float, float, float]:
    gain = comparison.verdicts[0].gain
    return gain.gain, gain.interval.low, gain.interval.high


def test_both_means_and_their_intervals_are_those_of_the_formula() -> None:
    by_problem, by_bench = average_gains([SMALL, LARGE])
    (g1, l1, h1), (g2, l2, h2) = gain(SMALL), gain(LARGE)
    assert (by_problem.weighting, by_bench.weighting) == ("problems", "benchmarks")
    for mean, w1 in ((by_problem, 4 / 24), (by_bench, 1 / 2)):
        w2 = 1 - w1
        assert mean.gain == pytest.approx(w1 * g1 + w2 * g2)
        low = mean.gain - math.sqrt((w1 * (g1 - l1)) ** 2 + (w2 * (g2 - l2)) ** 2)
        high = mean.gain + math.sqrt((w1 * (h1 - g1)) ** 2 + (w2 * (h2 - g2)) ** 2)
        assert (mean.interval.low, mean.interval.high) == (pytest.approx(low), pytest.approx(high))
        assert (mean.n, mean.n_benches) == (24, 2)
    assert by_problem.interval.high - by_problem.interval.low < h2 - l2 + 1e-9 < h1 - l1


def test_a_mean_holds_no_better_than_what_it_is_of() -> None:
    verdict = LARGE.verdicts[0]
    withheld = replace(verdict, gain=replace(verdict.gain, label="withheld"))
    means = average_gains([SMALL, replace(LARGE, verdicts=(withheld,))])
    assert {mean.label for mean in means} == {"withheld"}
    assert average_gains([SMALL, replace(LARGE, verdicts=())]) == ()
    assert "No arm is measured" in render([SMALL, replace(LARGE, verdicts=())], "table")


def test_every_format_begins_with_the_means() -> None:
    suite = [SMALL, LARGE]
    assert is_suite(suite)
    assert not is_suite([SMALL, SMALL])
    page = json.loads(render(suite, "json"))
    assert page["schema"] == "cotkit.suite/1"
    assert [row["weighting"] for row in page["means"]] == ["problems", "benchmarks"]
    assert [part["bench"] for part in page["parts"]] == ["toy", "large"]
    rows = list(csv.DictReader(io.StringIO(render(suite, "csv"))))
    assert {row["section"] for row in rows} >= {"means", "benchmarks", "arms"}
    for form in ("table", "markdown", "latex"):
        assert "every benchmark counted alike" in " ".join(render(suite, form).split())
    short = render(suite, "table", full=False)
    assert "Mean gain over the benchmarks" in short
    assert "Metrics" not in short
    with pytest.raises(UsageError, match="no mean of benchmarks"):
        render(suite, "lm-eval")


def test_the_command_writes_a_page_and_files(command: Cotkit, tmp_path: object) -> None:
    asked = ("compare", "--model", "simulated/70b", "--limit", "6", "--strategy", "cot")
    outputs = ("--output", "a.json", "--output", "a.csv", "--html", "a.html")
    benches = ("--bench", "gsm-mini,arithmetic", "--display", "none")
    first = command(*asked, *benches, *outputs)
    assert first.code == 0
    files = [open(name, "rb").read() for name in ("a.json", "a.csv", "a.html")]  # noqa: PTH123, SIM115
    assert b"2 benchmarks together" in files[2]
    again = command("report", *(part["run_id"] for part in json.loads(files[0])["parts"]))
    assert again.out.splitlines()[:9] == first.out.splitlines()[:9]
    refused = command(*asked, *benches, "--output", "a.txt")
    assert "in which format?" in refused.err
    missing = command(*asked, "--bench", "gsm-mini,gms8k", "--log-dir", "new")
    assert "did you mean gsm8k" in missing.err
    assert "written" not in missing.err


def test_a_strategy_that_cannot_run_fails_alone(command: Cotkit) -> None:
    asked = ("compare", "--model", "simulated/8b", "--limit", "5", "--display", "none")
    done = command(*asked, "--strategy", "cot,program-aided,flipped-labels")
    assert done.code == 2
    assert "cot against few-shot" in done.out
    assert "not run: program-aided" in done.out
    assert "not run: flipped-labels: gsm-mini is not a label benchmark" in " ".join(
        done.out.split()
    )
    assert done.err.splitlines()[-1].startswith("cotkit: not run: program-aided")
    ladder = command(
        *("scale", "--models", "simulated/1b,simulated/8b", "--limit", "5", "--display", "none"),
        *("--strategy", "cot,flipped-labels"),
    )
    assert (ladder.code, "not run: flipped-labels" in ladder.out) == (2, True)
    typo = command(*asked, "--strategy", "cot,self-consistency:k=0", "--log-dir", "new")
    assert (typo.code, typo.out) == (2, "")
    assert "k is 0, must be 1 to 100" in typo.err
    alone = command(*asked, "--strategy", "program-aided")
    assert (alone.code, alone.out) == (2, "")
