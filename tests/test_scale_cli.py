"""``cotkit scale`` and ``compare --gate`` as a user meets them: pages, exit codes, one line."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

import cotkit
from cotkit.analysis.values import Label
from cotkit.cli.output import EXIT_CODES, Gate, worst_gate
from cotkit.errors import UsageError
from cotkit.workflows.settings import shared_settings
from tests.test_cli import cotkit as command

QUICK = ["scale", "--models", "simulated/1b,simulated/30b,simulated/300b", "--limit", "10"]


def test_the_answer_is_on_standard_output_and_what_it_takes_is_said_before() -> None:
    done = command(*QUICK, "--reach", "50")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("cot starts to help")
    assert "The cheapest in tokens that solves 50.0 % is cot" in done.stdout
    assert "● cot   ○ few-shot" in done.stdout
    assert "smallest gain found at one size" in done.stderr
    assert "2 of 3, simulated-30b on gsm-mini: 20 attempts, 0 already done" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    again = command(*QUICK, "--reach", "50", "--display", "none")
    assert (again.stdout, again.stderr) == (done.stdout, "")


def test_a_grid_of_steps_and_sizes_is_one_command() -> None:
    bench = "arithmetic:steps=1,2,digits=1"
    done = command(*QUICK, "--bench", bench, "--format", "csv", "--display", "none")
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    onsets = [row["bench"] for row in rows if row["section"] == "onsets" and row["bench"]]
    assert sorted(set(onsets)) == [f"arithmetic:{part}" for part in STEPS]
    assert len([row for row in rows if row["section"] == "sizes"]) == 2 * 3


STEPS = ("steps=1,digits=1", "steps=2,digits=1")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "name the ladder once"),
        (["--family", "simulated", "--runs", "a"], "name the ladder once"),
        (["--family", "nobody"], "unknown family 'nobody'"),
        (["--models", "simulated/1b"], "a ladder needs two models or more, not 1"),
        (["--models", "simulated/1b,simulated/2b", "--margin", "100"], "margin 1.0 is not"),
        (["--models", "simulated/1b,simulated/2b", "--reach", "0"], "--reach 0 is not"),
        (["--models", "simulated/1b,simulated/2b", "--loss", "x"], "cannot read --loss 'x'"),
        (["--runs", "a,b", "--limit", "5"], "--limit has no effect on stored runs"),
        (["--runs", "a,b", "--reader", "strict"], "--reader has no effect on stored runs"),
        (["--runs", "a,b", "--no-samples"], "--no-samples has no effect without --html"),
        (["--runs", "a,b"], "no store at logs/cotkit.db"),
    ],
    ids=str,
)
def test_bad_options_are_one_line(options: list[str], said: str) -> None:
    done = command("scale", *options)
    assert done.returncode == 2
    assert done.stderr.startswith(f"cotkit: {said}"), done.stderr
    assert done.stderr.count("\n") == 1


def test_failed_attempts_are_holes_and_never_exit_zero() -> None:
    done = command(*QUICK, "--model-args", "failing=0.4", "--display", "none")
    assert done.returncode == 75
    assert "attempts failed or were not made and are holes" in done.stderr
    assert "warnings: failed: " in done.stdout


GATES: list[tuple[tuple[Label, ...], float, Gate, str]] = [
    (("helps",), 0.3, "helps", "the only pass"),
    (("helps", "undetermined"), 0.3, "undetermined", "the worst of several counts"),
    (("undetermined", "no_material_help"), 0.01, "no_material_help", "no more problems can help"),
    (("no_material_help", "harms", "helps"), 0.3, "harms", "nothing is worse"),
    (("some_help",), 0.01, "no_material_help", "surely above 0 and surely below the margin"),
    (("some_help",), 0.3, "undetermined", "surely above 0, but perhaps below the margin"),
    (("withheld",), 0.3, "undetermined", "an arm did not do what it says"),
    (("helps", "upper_bound"), 0.3, "helps", "an oracle is not judged"),
]


@pytest.mark.parametrize(("labels", "high", "said", "why"), GATES, ids=lambda one: str(one)[:30])
def test_a_gate_is_the_worst_verdict(
    labels: tuple[Label, ...], high: float, said: Gate, why: str
) -> None:
    found = cotkit.compare("simulated/70b", "cot", limit=3)
    (verdict,) = found.verdicts
    interval = replace(verdict.gain.interval, low=0.001, high=high)
    verdicts = tuple(
        replace(verdict, gain=replace(verdict.gain, label=label, interval=interval))
        for label in labels
    )
    assert worst_gate(replace(found, verdicts=verdicts)) == said, why


def test_a_gate_without_a_verdict_is_refused() -> None:
    with pytest.raises(UsageError, match="nothing to gate on"):
        worst_gate(cotkit.compare("simulated/70b", "standard", limit=3))


def test_a_gate_exits_by_its_verdict_and_writes_a_summary() -> None:
    compare = [
        "compare",
        "--model",
        "simulated/70b",
        "--limit",
        "40",
        "--gate",
        "--display",
        "none",
    ]
    summary = {"GITHUB_STEP_SUMMARY": "summary.md"}
    harms = ["--model-args", "reasoning=0.1,direct=0.9"]
    assert command(*compare, env=summary).returncode == EXIT_CODES["helps"] == 0
    done = command(*compare, *harms, env=summary)
    assert done.returncode == EXIT_CODES["harms"] == 5
    assert done.stdout.startswith("cot harms")
    assert "gate: gsm-mini, cot over few-shot: harms, so exit code 5" in done.stderr
    labels = ["--strategy", "flipped-labels:fraction=0+1", "--bench", "sentiment-mini"]
    done = command(*compare, *labels)
    assert done.returncode == EXIT_CODES["harms"]
    assert ": follows them, which counts as harms, so exit code 5" in done.stderr
    text = Path("summary.md").read_text(encoding="utf-8")
    assert text.count("**cot ") == 2, "each run adds its own"
    assert "| cot |" in text
    failing = command(*compare, "--model-args", "failing=0.5")
    assert failing.returncode == 75, "a verdict on half of the attempts is no verdict"
    broken = command(*compare, env={"GITHUB_STEP_SUMMARY": "no/such/folder"})
    assert broken.returncode == 2
    assert "cannot write no/such/folder" in broken.stderr


def test_lm_eval_results_of_a_comparison() -> None:
    found = json.loads(
        command(
            *("compare", "--model", "simulated/70b", "--limit", "10", "--format", "lm-eval")
        ).stdout
    )
    (bench,) = {config["dataset_name"] for config in found["configs"].values()}
    assert bench == "gsm-mini"
    assert found["n-shot"] == {"gsm-mini_few-shot": 8, "gsm-mini_cot": 8}
    assert found["n-samples"]["gsm-mini_cot"] == {"original": 150, "effective": 10}
    assert 0 <= found["results"]["gsm-mini_cot"]["exact_match,flexible"] <= 1
    assert found["higher_is_better"]["gsm-mini_cot"] == {"exact_match": True}


def test_a_ladder_says_how_it_was_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    ladder = ["scale", "--models", "simulated/1b,simulated/70b", "--limit", "12"]
    ended = command(*ladder, "--exemplar-seed", "3", "--format", "json", "--log-dir", str(tmp_path))
    rows = {row["fact"]: row["value"] for row in json.loads(ended.stdout)["settings"]}
    assert rows["exemplar seed"] == "3"
    assert rows["date"] == "1970-01-02"
    assert rows["arm cot"].startswith("version=1")
    assert not {"command", "model", "fingerprint"} & rows.keys(), "they are of one model each"


def test_what_runs_do_not_share_is_named() -> None:
    settings = [{"model": "a", "seed": "1", "limit": "9"}, {"model": "b", "limit": "9"}]
    assert shared_settings(settings) == {
        "seed": "differs by model (cotkit show run RUN)",
        "limit": "9",
    }
