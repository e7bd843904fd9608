"""Tables typed from papers: what ships is well-formed, and what is read from it is what it says."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cotkit.analysis.scale.grid import ArmTotals
from cotkit.cli import app
from cotkit.errors import CotkitError, Location
from cotkit.interop.csv_file import ItemCount, read_item_count, read_rows
from cotkit.interop.ladders import ResultsQuestion, analyse_published
from cotkit.interop.published import (
    find_table,
    is_unverified,
    load_ladders,
    load_tables,
    load_thresholds,
)
from cotkit.interop.results import is_rate, pair_arms, to_rate
from cotkit.stats.intervals import wilson
from tests.conftest import REPOSITORY

SHELF = REPOSITORY / "published"
CLAIMS = "thresholds2022"
NAMES = sorted(path.stem for path in SHELF.glob("*.csv") if path.stem != CLAIMS)


def test_every_table_has_its_card_and_every_card_its_table() -> None:
    assert sorted(load_tables()) == NAMES
    text = (SHELF / "README.md").read_text("utf-8")
    assert [name for name in (*NAMES, CLAIMS) if f"`{name}`" not in text] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_row_says_where_it_is_from_and_how_sure_it_is(name: str) -> None:
    rows = read_rows(SHELF / f"{name}.csv")
    for row in rows:
        source = row.need("source")
        assert re.search(
            r"arXiv \d{4}\.\d{5}.* (Table|Section|its file) [\w.]+|cotkit, docs/\w+\.md", source
        )
        sure = {"verified against stored copy", "verified: our own measurement"}
        assert row.need("status") in {*sure, "from memory, unverified"}
        if is_rate(metric := row.need("metric")):
            assert 0 <= to_rate(metric, row.number("value"), row.place) <= 1
    cells = [tuple(row.fields[c] for c in ("model", "bench", "strategy", "metric")) for row in rows]
    assert len(set(cells)) == len(cells), "one value for one cell"


@pytest.mark.parametrize("name", NAMES)
def test_a_card_names_only_what_its_table_has(name: str) -> None:
    rows = read_rows(SHELF / f"{name}.csv")
    known = {row.fields["strategy"] for row in rows}
    card = find_table(name)
    assert set(card.answers) <= set(card.controls)
    assert {*card.controls, *card.controls.values()} - {"chance"} <= known
    assert set(card.n_items) <= {row.fields["bench"] for row in rows}
    keys = tomllib.loads((SHELF / "tables.toml").read_text("utf-8"))[name]
    optional = {"chance", "axis", "benches_here", "strategies_here"}
    assert set(keys) - optional == {"title", "paper", "answers", "controls", "n_items"}
    assert set(card.chance) <= {row.fields["bench"] for row in rows}


def rate(cell: object) -> float:
    assert isinstance(cell, ArmTotals)
    return cell.rate


TYPED_AGAIN = [  # the numbers of the papers' tables, a second time
    ("wei2022", "gsm8k", "LaMDA 420M", "standard", 420_000_000, 0.026, 1319),
    ("wei2022", "GSM8K", "LaMDA 137B", "cot", 137_000_000_000, 0.143, 1319),
    ("wei2022", "gsm8k", "PaLM 540B", "cot", 540_000_000_000, 0.569, 1319),
    ("Wei-2022", "svamp", "LaMDA 137B", "cot", 137_000_000_000, 0.375, 1000),
    (
        "kojima2022",
        "multiarith",
        "GPT-3 original 175B (davinci)",
        "zero_shot_cot",
        175_000_000_000,
        0.19,
        600,
    ),
    ("ruan2024", "gsm8k", "Qwen/Qwen2-0.5B", "cot_fewshot", 500_000_000, 0.334, 500),
    ("huang2023", "gsm8k", "GPT-3.5", "self_correct_r2", None, 0.747, 1319),
    ("huang2023", "commonsenseqa", "Llama-2-70b-chat", "standard", 70_000_000_000, 0.64, 200),
    ("huang2023", "hotpotqa", "GPT-4", "self_correct_r2", None, 0.43, 100),
    ("wang2022", "gsm8k", "PaLM 540B", "cot_self_consistency40", 540_000_000_000, 0.744, 1319),
    ("wang2022", "gsm8k", "LaMDA 137B", "cot_greedy", 137_000_000_000, 0.171, 1319),
    ("wei2023", "sst-2, exemplars of rt", "text-ada-001", "sul_foo_bar", None, 0.44, 100),
    (
        "ruan2024tasks",
        "arithmetic_3ds",
        "meta-llama/Llama-2-7b-hf",
        "few_shot",
        7 * 10**9,
        0.859,
        2000,
    ),
]


@pytest.mark.parametrize("typed", TYPED_AGAIN, ids=lambda typed: f"{typed[0]}-{typed[2]}")
def test_a_cell_is_what_the_paper_prints(
    typed: tuple[str, str, str, str, int | None, float, int],
) -> None:
    name, bench, model, arm, n_params, expected, n = typed
    found = {
        rung.model: (rung, one)
        for one in load_ladders(name, bench=bench)
        for rung in one.grid.rungs
    }
    rung, ladder = found[model]
    cell = ladder.grid.cells[model, arm]
    assert isinstance(cell, ArmTotals)
    assert (cell.rate, cell.n) == (pytest.approx(expected), n)
    assert (rung.n_params, rung.family) == (n_params, ladder.family)


def test_flipped_labels_are_a_mean_over_six_hundred_problems() -> None:
    (ladder,) = load_ladders("wei2023", bench="six binary tasks", strategies=["flip-100-pct"])
    cells = {arm: ladder.grid.cells["text-davinci-002", arm] for arm in ladder.arms}
    rates = {
        arm: (rate(cell), cell.n) for arm, cell in cells.items() if isinstance(cell, ArmTotals)
    }
    assert rates["flip_0_pct"] == (pytest.approx(0.903), 600)
    assert rates["flip_100_pct"] == (pytest.approx(0.225), 600)


def test_a_number_of_problems_in_words_is_left_out_where_it_says_none() -> None:
    (ladder,) = load_ladders("huang2023", bench="hotpotqa")
    assert {rung.model for rung in ladder.grid.rungs} == {"GPT-4"}
    assert any("3 rows are left out" in note for note in ladder.notes)


@pytest.mark.parametrize(
    ("text", "n", "is_exact"),
    [
        ("1319", 1319, True),
        ("1,319", 1319, True),
        ("1 319", 1319, True),
        ("n = 1,319", 1319, True),
        ("1.3k", 1300, True),
        ("200 sampled questions", 200, True),
        ("100 of 1,319", 100, True),
        ("250 out of 500 questions", 250, True),
        ("6 x 100", 600, True),
        ("6 × 100 problems", 600, True),
        ("1,319 (the test set)", 1319, True),
        ("two hundred questions", 200, True),
        ("about 250", 250, False),
        ("About two hundred and fifty questions", 250, False),
        ("~250", 250, False),
        ("≈ 1,300 items", 1300, False),
        ("approx. 500 problems", 500, False),
        ("ca. 250", 250, False),
        ("at least 300", 300, False),
        ("more than 1,000", 1000, False),
        (">1000", 1000, False),
        ("200-250", 200, False),
        ("200 to 250 questions", 200, False),
        ("200 or 250", 200, False),
        ("100 per dataset", 100, False),
        ("100 each", 100, False),
        ("about 6 x 100", 600, False),
    ],
)
def test_numbers_of_problems_are_understood(text: str, n: int, is_exact: bool) -> None:
    count = read_item_count(text)
    assert count == ItemCount(n, None if is_exact else text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "full set",
        "all",
        "up to 500",
        "fewer than 500",
        "<500",
        "10 % of 1,319",
        "10% of 1319",
        "0",
        "-5",
        "12.5",
        "1,31",
        "1,2345",
        "v2",
        "a few hundred, or more",
        "9" * 500,
        "one set",
    ],
)
def test_what_is_no_number_of_problems(text: str) -> None:
    assert read_item_count(text) is None


def test_claims_are_listed_and_are_no_results() -> None:
    claims = load_thresholds()
    assert len(claims) == 22
    assert sum(claim.is_strategy for claim in claims) == 13
    chain = next(claim for claim in claims if claim.ability.startswith("Chain-of-thought: math"))
    assert (chain.model, chain.n_params, chain.train_flops) == ("LaMDA 68B", 68 * 10**9, 1.3e23)
    done = CliRunner().invoke(app, ["list", "thresholds"])
    assert done.exit_code == 0
    assert "Zero-shot chain-of-thought" in done.stdout
    assert len(done.stdout.splitlines()) == 23


def test_tables_without_sizes_take_the_order_of_the_table() -> None:
    scales = analyse_published("huang2023", ResultsQuestion())
    labels = {
        (scale.bench, answer.arm): [point.label for point in answer.points]
        for scale in scales
        for answer in scale.answers
    }
    assert set(labels) == {
        (bench, arm)
        for bench in ("GSM8K", "CommonSenseQA")
        for arm in ("self_correct_r1", "self_correct_r2")
    }
    assert not {"helps", "some_help"} & {label for found in labels.values() for label in found}
    assert labels["CommonSenseQA", "self_correct_r1"][0] == "harms"


def test_tasks_are_measured_against_guessing() -> None:
    (scale,) = analyse_published(
        "ruan2024tasks", ResultsQuestion(bench="parsinlu_qa", family="Llama-2")
    )
    (answer,) = scale.answers
    assert answer.control == "chance"
    assert [round(point.gain, 4) for point in answer.points] == [0.0014, 0.0167, 0.109]
    last = answer.points[-1]
    rate_alone = wilson(377, 1050, last.interval.level)
    assert last.interval.low == pytest.approx(rate_alone.low - 0.25, abs=1e-3)
    assert last.interval.high == pytest.approx(rate_alone.high - 0.25, abs=1e-3)


def test_families_are_apart_and_small_lamdas_lose_by_reasoning() -> None:
    found = {one.family: one for one in load_ladders("wei2022", bench="gsm8k")}
    assert list(found) == ["UL2", "LaMDA", "GPT (InstructGPT)", "Codex", "PaLM"]
    lamda = found["LaMDA"].grid
    gains = [
        rate(lamda.cells[one.model, "cot"]) - rate(lamda.cells[one.model, "standard"])
        for one in lamda.rungs
    ]
    assert gains == pytest.approx([-0.022, -0.017, -0.016, 0.025, 0.078])
    assert pair_arms(found["LaMDA"].arms, controls=find_table("wei2022").controls) == (
        ("cot", "standard"),
    )


def test_unverified_rows_count_only_when_asked_for() -> None:
    bench = "gpt3-arithmetic/2D+"
    (sure,) = load_ladders("brown2020", bench=bench)
    (all_,) = load_ladders("brown2020", bench=bench, include_unverified=True)
    assert [one.model for one in sure.grid.rungs] == ["GPT-3 175B"]
    assert len(all_.grid.rungs) == 8
    assert any("14 unverified rows are left out" in note for note in sure.notes)
    assert any("14 of 16 rows are unverified" in note for note in all_.notes)
    rows = read_rows(SHELF / "brown2020.csv")
    assert sum(map(is_unverified, rows)) == 42


def test_without_a_choice_only_curves_are_shown() -> None:
    found = load_ladders("kojima2022")
    assert {(one.grid.bench, one.family) for one in found} == {
        ("MultiArith", "GPT-3 original"),
        ("MultiArith", "InstructGPT"),
        ("GSM8K", "PaLM"),
    }
    assert any("results at one size only are left out" in note for note in found[0].notes)
    (instruct,) = [one for one in found if one.family == "InstructGPT"]
    assert any(note.startswith("size unknown: text-ada-001") for note in instruct.notes)


def test_a_size_of_the_test_set_is_said_to_be_assumed() -> None:
    (ladder,) = load_ladders("wei2022", bench="StrategyQA", family="PaLM")
    assert any("not in the table" in note for note in ladder.notes)
    (ladder,) = load_ladders("wei2022", bench="GSM8K", family="PaLM")
    assert not any("not in the table" in note for note in ladder.notes)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"name": "wei222"}, "unknown published table 'wei222' (did you mean wei2022"),
        ({"name": "wei2022", "bench": "gsm8"}, "unknown benchmark 'gsm8' (did you mean GSM8K"),
        ({"name": "wei2023", "bench": "zz"}, "known: 'RT, exemplars of SST-2', 'SST-2', 'SST-2, "),
        ({"name": "wei2022", "family": "lambda"}, "unknown family 'lambda' (did you mean LaMDA"),
        ({"name": "wei2022", "strategies": ["cott"]}, "unknown strategy of wei2022 'cott'"),
        ({"name": "wei2022", "bench": "MAWPS"}, "does not give the number of problems"),
        (
            {
                "name": "wei2022",
                "bench": "gsm8k",
                "family": "UL2",
                "strategies": ["cot_concise_style"],
            },
            "no model here has both a strategy and its control",
        ),
    ],
)
def test_a_wrong_word_is_one_line(asked: dict[str, object], said: str) -> None:
    with pytest.raises(CotkitError) as refused:
        load_ladders(**asked)  # pyright: ignore[reportArgumentType] - a table of arguments
    assert said in str(refused.value)


def test_percent_and_errors_are_read_by_the_name_of_the_metric() -> None:
    place = Location(file="x.csv", line=2)
    for metric, value, expected in [
        ("accuracy_pct", 41.6, 0.416),
        ("accuracy", 0.416, 0.416),
        ("exact_match_strict", 1.0, 1.0),
        ("error_rate_pct", 25.0, 0.75),
        ("error_rate", 0.25, 0.75),
        ("acc_norm", 0.5, 0.5),
    ]:
        assert is_rate(metric), metric
        assert to_rate(metric, value, place) == pytest.approx(expected), metric
    for metric in ("f1", "bleu", "difference_pct_points", "train_flops", "perplexity", "brier"):
        assert not is_rate(metric), metric
    with pytest.raises(CotkitError, match=r"x.csv:2:value: 41.6 is not in 0 to 1 .*accuracy_pct"):
        to_rate("accuracy", 41.6, place)


def test_list_published_names_every_table(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["list", "published"])
    assert done.exit_code == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(load_tables())
