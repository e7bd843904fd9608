"""One assembler: a run, its stored form and its exports print the same tables."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

import cotkit
from cotkit.analysis.values import Comparison
from cotkit.benchmarks import load_benchmark
from cotkit.interop.completions import write_completions
from cotkit.interop.inspect_.export import write_inspect
from cotkit.interop.lm_eval.export import write_lm_eval
from cotkit.interop.recorded import compare_recorded
from cotkit.interop.stored import StoredRun
from cotkit.registry import parse_spec
from cotkit.report.comparison_tables import comparison_document
from cotkit.report.document import Table
from cotkit.store import STORE_NAME, Store
from cotkit.types import say_nothing
from cotkit.workflows.completions_file import FieldNames, read_file
from cotkit.workflows.score import ScoreQuestion, score_completions
from cotkit.workflows.stored_run import load_part
from tests.conftest import Sums

BENCH = "arithmetic:steps=1-3,n=120"
ARMS = ["cot", "self-consistency:k=3", "self-review"]


@dataclass(frozen=True)
class Exports:
    run: Comparison
    stored: Comparison
    completions: Path
    inspect: list[str]
    lm_eval: list[str]


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Exports:
    folder = tmp_path_factory.mktemp("round-trip")
    run = cotkit.compare(
        "simulated/7b",
        ARMS[1:],
        BENCH,
        baseline="cot",
        limit=60,
        log_dir=folder / "logs",
        generation={"max_tokens": "30"},
    )
    with Store(folder / "logs" / STORE_NAME) as store:
        stored = StoredRun.load(store, run.run_id)
        (completions,) = write_completions(stored, folder / "completions")
        logs = write_inspect(stored, folder / "inspect")
        samples = [path for path in write_lm_eval(stored, folder / "lm") if path.suffix == ".jsonl"]
        part = load_part(store, store.run(run.run_id), say_nothing)
    return Exports(
        run=run,
        stored=part.comparison,
        completions=completions,
        inspect=[str(path) for path in logs],
        lm_eval=[str(path) for path in samples],
    )


def tables(comparison: Comparison) -> dict[str, Table]:
    return {table.key: table for table in comparison_document(comparison).tables}


def scored(path: Path) -> Comparison:
    return score_completions(
        read_file(path, FieldNames()),
        load_benchmark(parse_spec(BENCH)),
        ScoreQuestion(baseline="cot"),
        source=path.name,
    )


READ_BACK: dict[str, Callable[[Exports], Comparison]] = {
    "report": lambda exports: exports.stored,
    "score": lambda exports: scored(exports.completions),
    "Inspect": lambda exports: compare_recorded(exports.inspect, baseline="cot"),
    "lm-eval": lambda exports: compare_recorded(exports.lm_eval, baseline="cot"),
    "both": lambda exports: compare_recorded([exports.inspect[0], *exports.lm_eval[1:]]),
}


def test_the_run_has_every_table(exports: Exports) -> None:
    """Else the comparison of tables below would compare little."""
    assert tables(exports.run).keys() >= {
        "arms",
        "gains",
        "outcomes",
        "variants",
        "transitions",
        "votes",
        "metrics",
        "difficulty",
        "first_wrong_step",
        "audit",
    }
    assert len(exports.run.audits) == 3


@pytest.mark.parametrize("way", READ_BACK)
def test_every_way_prints_the_tables_of_the_run(exports: Exports, way: str) -> None:
    expected, found = tables(exports.run), tables(READ_BACK[way](exports))
    for each in (expected, found):
        each.pop("settings", None)  # of the run itself
    assert list(found) == list(expected)
    assert READ_BACK[way](exports).verdicts == exports.run.verdicts
    for key, table in found.items():
        assert table == expected[key], key


def test_texts_alone_say_what_they_cannot_tell(exports: Exports, tmp_path: Path) -> None:
    path = tmp_path / "texts.jsonl"
    with exports.completions.open(encoding="utf-8") as lines, path.open("w") as bare:
        for line in map(json.loads, lines):
            attempt = line.pop("cotkit")
            line["stop_reason"] = attempt["stop_reason"]
            if attempt.get("is_vote"):
                line |= {"text": [draft["text"] for draft in attempt["drafts"]], "vote": True}
            bare.write(json.dumps(line) + "\n")
    found = scored(path)
    expected = tables(exports.run)
    for key in ("gains", "outcomes", "variants", "votes", "difficulty"):
        assert tables(found)[key] == expected[key], key
    assert "transitions" not in tables(found)
    assert found.audits == ()
    (unknown,) = [note for note in found.notes if "no audit" in note]
    assert all(arm in unknown for arm in ARMS)


# --- a vote is voted on, never read by its first text -------------------------------------------

QUESTION, RIGHT, WRONG = "What is {} and 30?", "The answer is {}.", "The answer is 999."


def texts(i: int) -> list[str]:
    """The majority is right and the first is wrong."""
    return [WRONG, RIGHT.format(i + 30), RIGHT.format(i + 30)]


def inspect_log(
    path: Path, samples: Sequence[dict[str, object]], config: dict[str, object] | None = None
) -> str:
    about = {"task": "sums", "model": "m", "config": config or {}}
    log = {"version": 2, "status": "success", "eval": about, "samples": samples}
    path.write_text(json.dumps(log), encoding="utf-8")
    return str(path)


def inspect_sample(
    i: int, texts: list[str], *, is_right: bool, epoch: int = 1
) -> dict[str, object]:
    return {
        "id": i,
        "epoch": epoch,
        "input": QUESTION.format(i),
        "target": str(i + 30),
        "output": {"choices": [{"message": {"content": t}, "stop_reason": "stop"} for t in texts]},
        "scores": {"match": {"value": "C" if is_right else "I", "answer": None}},
    }


def control(folder: Path) -> str:
    samples = [inspect_sample(i, [RIGHT.format(i + 30)], is_right=True) for i in range(40)]
    return inspect_log(folder / "control.json", samples)


def several_choices(folder: Path) -> str:
    samples = [inspect_sample(i, texts(i), is_right=True) for i in range(40)]
    return inspect_log(folder / "vote.json", samples)


def voted_epochs(folder: Path) -> str:
    samples = [
        inspect_sample(i, [text], is_right=text != WRONG, epoch=epoch)
        for i in range(40)
        for epoch, text in enumerate(texts(i), start=1)
    ]
    return inspect_log(folder / "vote.json", samples, {"epochs": 3, "epochs_reducer": ["mode"]})


def lm_eval_repeats(folder: Path) -> str:
    lines = [
        {
            "doc": {"question": QUESTION.format(i)},
            "target": str(i + 30),
            "resps": [texts(i)],
            "filtered_resps": [str(i + 30) if name == "maj@3" else "999"],
            "filter": name,
            "exact_match": float(name == "maj@3"),
        }
        for i in range(40)
        for name in ("score-first", "maj@3")
    ]
    path = folder / "samples_vote.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("way", [several_choices, voted_epochs, lm_eval_repeats])
def test_a_majority_that_is_right_does_not_harm(way: Callable[[Path], str], tmp_path: Path) -> None:
    found = compare_recorded([control(tmp_path), f"vote={way(tmp_path)}"])
    assert [cell.n_correct for cell in found.cells] == [40, 40]
    (verdict,) = found.verdicts
    labels = {variant.name: variant.gain.label for variant in verdict.variants}
    assert "harms" not in {verdict.gain.label, *labels.values()}
    assert verdict.gain.gain == 0
    assert "reader as-scored" in labels
    assert [curve.rates[-1] for curve in found.votes] == [1.0]
    assert any("every reader votes over them" in note for note in found.notes)


def test_epochs_are_means_and_are_paired(tmp_path: Path) -> None:
    epochs = [
        inspect_sample(i, [text], is_right=text != WRONG, epoch=epoch)
        for i in range(40)
        for epoch, text in enumerate(texts(i), start=1)
    ]
    log = inspect_log(tmp_path / "epochs.json", epochs, {"epochs": 3})
    found = compare_recorded([control(tmp_path), f"epochs={log}"])
    assert [(cell.n, cell.n_samples) for cell in found.cells] == [(40, None), (40, 120)]
    assert found.verdicts[0].gain.gain == pytest.approx(-1 / 3)
    assert [one.k for one in found.repeats] == [1, 2, 3]
    assert found.repeats[-1].maj_at_k == 1


def test_our_own_export_of_a_vote_is_voted_on(tmp_path: Path) -> None:
    asked = Counter[str]()

    def model(prompt: str) -> str:
        i = int(prompt.rsplit("What is ", 1)[1].split(" plus", maxsplit=1)[0])
        asked[prompt] += 1
        is_wrong = "+" in prompt and asked[prompt] == 1  # a prompt with chains, for the first time
        return WRONG if is_wrong else RIGHT.format(i + i * i)

    run = cotkit.compare(
        model,
        "self-consistency:k=3",
        Sums(),
        baseline="few-shot",
        limit="all",
        log_dir=tmp_path / "logs",
    )
    assert [cell.n_correct for cell in run.cells] == [40, 40]
    with Store(tmp_path / "logs" / STORE_NAME) as store:
        stored = StoredRun.load(store, run.run_id)
        assert all(row.text == WRONG for row in stored.rows()["self-consistency:k=3"])
        logs = write_inspect(stored, tmp_path / "inspect")
        files = [one for one in write_lm_eval(stored, tmp_path / "lm") if one.suffix == ".jsonl"]
    for paths in (logs, files):
        found = compare_recorded([str(path) for path in paths], baseline="few-shot")
        assert found.verdicts[0].gain == run.verdicts[0].gain
        assert found.votes == run.votes
