"""``cotkit scale`` of existing results: tables of papers and files of other tools."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cotkit import compare
from cotkit.cli import app
from cotkit.errors import CotkitError
from cotkit.interop.inspect_.export import write_inspect
from cotkit.interop.ladders import ResultsQuestion, analyse_published, analyse_sources
from cotkit.interop.lm_eval.export import write_lm_eval
from cotkit.interop.stored import StoredRun
from cotkit.store import Store


def test_wei_by_family_with_harm_at_small_sizes_and_the_bracket() -> None:
    found = analyse_published("wei2022", ResultsQuestion(bench="gsm8k"))
    said = {
        one.family: (
            [point.label for point in one.answers[0].points],
            one.answers[0].onset.status,
            [
                rung and rung.model
                for rung in (one.answers[0].onset.lower, one.answers[0].onset.upper)
            ],
        )
        for one in found
    }
    assert said == {
        "LaMDA": (
            ["harms", "harms", "harms", "undetermined", "helps"],
            "bracket",
            ["LaMDA 8B", "LaMDA 137B"],
        ),
        "GPT (InstructGPT)": (
            ["harms", "harms", "no_material_help", "helps"],
            "bracket",
            ["GPT (InstructGPT) 6.7B", "GPT (InstructGPT) 175B"],
        ),
        "PaLM": (["no_material_help", "helps", "helps"], "bracket", ["PaLM 8B", "PaLM 62B"]),
    }
    methods = {point.method for one in found for point in one.answers[0].points}
    assert methods == {"newcombe"}
    assert "left out, fewer than two models of known size: UL2, Codex" in found[0].notes


def test_models_of_unknown_size_take_the_order_of_the_table_if_asked() -> None:
    of = ResultsQuestion(bench="multiarith", family="InstructGPT")
    with pytest.raises(CotkitError, match=r"no family has two models of known size .*--x ordinal"):
        analyse_published("kojima2022", of)
    (scale,) = analyse_published(
        "kojima2022", ResultsQuestion(bench="multiarith", family="InstructGPT", axis="ordinal")
    )
    onset = scale.answers[0].onset
    assert onset.upper is not None
    assert onset.upper.model == "text-davinci-001"
    sizes = {"text-curie-001": 7 * 10**9, "text-davinci-001": 175 * 10**9}
    (scale,) = analyse_published(
        "kojima2022", ResultsQuestion(bench="multiarith", family="InstructGPT", params=sizes)
    )
    assert [p.x for p in scale.answers[0].points] == [7e9, 175e9, None, None, None]


def test_self_consistency_is_measured_against_greedy_chains() -> None:
    (scale,) = analyse_published(
        "ruan2024", ResultsQuestion(family="Qwen2", strategies=("cot-self-consistency-maj5",))
    )
    assert (scale.answers[0].arm, scale.answers[0].control) == (
        "cot_self_consistency_maj5",
        "cot_fewshot_sampled_single",
    )
    assert {p.label for p in scale.answers[0].points} == {"some_help", "helps"}


def test_another_baseline_than_the_tables_own() -> None:
    (scale,) = analyse_published(
        "kojima2022",
        ResultsQuestion(
            bench="multiarith",
            family="gpt-3 original",
            strategies=("few-shot-cot",),
            baseline="zero-shot-cot",
        ),
    )
    (answer,) = scale.answers
    assert (answer.arm, answer.control) == ("few_shot_cot", "zero_shot_cot")
    assert answer.points[-1].gain == pytest.approx(0.443 - 0.19)


@pytest.mark.parametrize(
    ("write", "kind"), [(write_lm_eval, "lm-eval"), (write_inspect, "inspect")]
)
def test_exported_runs_are_analysed_as_the_runs_themselves(
    write: Callable[[StoredRun, Path], list[Path]], kind: str
) -> None:
    compared = {size: compare(f"simulated/{size}", "cot", limit=40) for size in ("1b", "70b")}
    with Store(Path("logs/cotkit.db")) as store:
        for run in store.runs():
            write(StoredRun.load(store, run.id), Path("out"))
    (scale,) = analyse_sources([f"{kind}:out"], ResultsQuestion())
    assert scale.family == "simulated"
    assert [point.method for point in scale.answers[0].points] == ["tango", "tango"]
    for point, one in zip(scale.answers[0].points, compared.values(), strict=True):
        gain = one.verdicts[0].gain
        assert (point.n_better, point.n_worse) == (gain.n_better, gain.n_worse)
        assert point.gain == pytest.approx(gain.gain)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["scale", *arguments])


def test_the_command_prints_every_family_and_json_has_every_label() -> None:
    done = run("--published", "wei2022", "--bench", "gsm8k")
    assert done.exit_code == 0, done.output
    assert "GSM8K, LaMDA: cot starts to help between 8 B and 137 B parameters" in done.stdout
    assert "GSM8K, PaLM: cot starts to help between 8 B and 62 B parameters" in done.stdout
    done = run("--published", "wei2022", "--bench", "gsm8k", "--family", "lamda", "-f", "json")
    page = json.loads(done.stdout)
    labels = [row["label"] for row in page["sizes"]]
    assert labels == ["harms", "harms", "harms", "undetermined", "helps"]


CSV = (
    "model,family,params,bench,strategy,n_items,value,metric\n"
    "s,F,1B,g,standard,500,12,accuracy_pct\ns,F,1B,g,cot,500,9,accuracy_pct\n"
    "l,F,30B,g,standard,500,20,accuracy_pct\nl,F,30B,g,cot,500,61,accuracy_pct\n"
)


def test_a_csv_and_the_users_sizes() -> None:
    Path("a.csv").write_text(CSV.replace("1B", "").replace("30B", ""), encoding="utf-8")
    done = run("--from", "csv:a.csv")
    assert "no family has two models of known size" in str(done.exception)
    done = run("--from", "csv:a.csv", "--params", "s=1B", "--params", "l=30B", "--margin", "5")
    assert done.exit_code == 0, done.output
    assert "cot starts to help between 1 B and 30 B parameters" in " ".join(done.stdout.split())
    assert "margin 5.0 points" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name the ladder once"),
        (["--published", "wei2022", "--from", "csv:a.csv"], "name the ladder once"),
        (["--published", "wei2022", "--models", "a,b"], "name the ladder once"),
        (["--published", "wei2022", "--limit", "5"], "--limit has no effect on existing results"),
        (["--from", "csv:a.csv", "--reader", "strict"], "--reader has no effect on existing"),
        (["--family", "simulated", "--params", "a=7B"], "unknown model of the ladder 'a'"),
        (["--from", "csv:a.csv", "--include-unverified"], "has no effect without --published"),
        (["--published", "wei22"], "unknown published table 'wei22' (did you mean wei20"),
        (["--published", "wei2022", "-s", "cott"], "unknown strategy of wei2022 'cott'"),
        (["--from", "csv:a.csv", "-s", "cott"], "unknown arm 'cott' (did you mean cot?)"),
        (["--from", "csv:a.csv", "--params", "z=7B"], "unknown model 'z'"),
        (["--from", "csv:a.csv", "--params", "s"], "--params 's' cannot be read"),
        (["--from", "csv:a.csv", "--bench", "h"], "unknown benchmark 'h'"),
        (["--from", "csv:b.csv"], "b.csv: no such file"),
        (["--from", "csv:a.csv", "--x", "loss"], "no family has two models of known size"),
        (["--published", "brown2020"], "28 unverified rows are left out (--include-unverified"),
        (["--published", "wei2022", "--family", "codex"], "size unknown: Codex code-davinci-002"),
        (["--from", "csv:a.csv", "--bench", "g", "--bench", "h"], "one --bench at a time"),
    ],
)
def test_a_wrong_word_is_one_line(arguments: list[str], said: str) -> None:
    Path("a.csv").write_text(CSV, encoding="utf-8")
    done = run(*arguments)
    assert isinstance(done.exception, CotkitError), done.output
    assert said in str(done.exception)


def test_a_csv_has_the_margin_free_bracket_in_words_json_csv_and_html(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = ["model,params,strategy,n_items,value,metric"]
    for model, params, gain in (("s", "1B", 0), ("m", "10B", 0), ("l", "100B", 35)):
        rows.append(f"{model},{params},standard,200,4,accuracy_pct")
        rows.append(f"{model},{params},cot,200,{4 + gain},accuracy_pct")
    Path("x.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (scale,) = analyse_sources(["csv:x.csv"], ResultsQuestion())
    answer = scale.answers[0]
    bracket = answer.onset.bracket
    assert bracket is not None
    assert (bracket.lower.model, bracket.upper.model) == ("m", "l")
    assert bracket.no_more_than == max(point.interval.high for point in answer.points[:2])
    assert bracket.at_least == answer.points[2].interval.low
    words = "starts between 10 B and 100 B parameters (100 B gains at least "
    assert answer.sentence.startswith("A gain of more than ")
    assert words in answer.sentence
    assert "help (2 points) starts at or below 100 B parameters" in answer.sentence
    page = json.loads(run("--from", "csv:x.csv", "-f", "json").stdout)
    assert page["schema"] == "cotkit.scale/2"
    (onset,) = page["onsets"]
    assert (onset["lower"], onset["upper"]) == ("", "l"), "at the margin, as before"
    assert (onset["bracket_lower"], onset["bracket_upper"]) == ("m", "l")
    assert (onset["no_more_than"], onset["at_least"]) == (bracket.no_more_than, bracket.at_least)
    steps = [(step["threshold"], step["lower"], step["upper"]) for step in page["staircase"]]
    assert steps == [(0.05, "", "l"), (0.1, "m", "l"), (0.2, "m", "l"), (0.3, "m", "")]
    table = run("--from", "csv:x.csv", "-f", "csv", "--thresholds", "7,21").stdout
    assert "staircase" in table
    assert [line[-5:] for line in table.splitlines()[-2:]] == [",0.07", ",0.21"]
    run("--from", "csv:x.csv", "--html", "o.html")
    html = Path("o.html").read_text(encoding="utf-8")
    assert ">a gain of more than " in html
    assert "starts here: (10 B, 100 B]" in html


@pytest.mark.parametrize("thresholds", ["10,5", "5,5", "0,5", "5,101", "-5,5", "5;10", "", "5,,10"])
def test_thresholds_that_do_not_rise_to_100_are_refused(thresholds: str) -> None:
    with pytest.raises(CotkitError, match="thresholds"):
        run_raising("--published", "wei2022", f"--thresholds={thresholds}")


def run_raising(*arguments: str) -> None:
    failure = run(*arguments).exception
    if failure is not None:
        raise failure
