"""What others ran, compared: aligned by question, read again, and every disagreement explained."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cotkit import compare
from cotkit.analysis.values import Comparison
from cotkit.cli import app
from cotkit.errors import BadInputError, CotkitError, UsageError
from cotkit.interop.inspect_.export import write_inspect
from cotkit.interop.lm_eval.export import write_lm_eval
from cotkit.interop.recorded import compare_recorded
from cotkit.interop.stored import StoredRun
from cotkit.store import Store

QUESTION = "What is {} and 30?"
LONG = "Think. The answer is 31."


def sample(at: int, text: str, *, value: object = "C", **more: object) -> dict[str, object]:
    return {
        "id": f"s{at}",
        "epoch": 1,
        "input": [{"role": "user", "content": QUESTION.format(at)}],
        "target": str(at + 30),
        "output": {"choices": [{"message": {"content": text}, "stop_reason": "stop"}]},
        "scores": {
            "match": {"value": value, "answer": (text or "?").rsplit(maxsplit=1)[-1].strip(".")}
        },
        **more,
    }


def inspect_log(path: Path, samples: Sequence[Mapping[str, object]], model: str = "m") -> Path:
    """As Inspect leaves it: a JSON log, or a zip with a member for each sample."""
    head: dict[str, object] = {
        "version": 2,
        "status": "success",
        "eval": {"task": "sums", "model": model, "dataset": {}},
    }
    if path.suffix == ".json":
        path.write_text(json.dumps({**head, "samples": samples}), encoding="utf-8")
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("header.json", json.dumps(head))
            archive.writestr("summaries.json", "[]")
            for one in samples:
                archive.writestr(f"samples/{one['id']}_epoch_1.json", json.dumps(one))
    return path


def lm_eval_samples(path: Path, said: Mapping[int, tuple[str, str, float]]) -> Path:
    """A line for each document and filter; said: number -> (completion, read, score)."""
    lines = [
        {
            "doc_id": at,
            "doc": {"question": f"{QUESTION.format(at)} ", "answer": f"{at} + 30 #### {at + 30}"},
            "target": f"{at} + 30 #### {at + 30}",
            "resps": [[text]],
            "filtered_resps": [read],
            "filter": name,
            "exact_match": score if name == "flexible-extract" else 0.0,
        }
        for at, (text, read, score) in said.items()
        for name in ("strict-match", "flexible-extract")
    ]
    path.write_text("\n".join(map(json.dumps, lines)) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def two(tmp_path: Path) -> tuple[str, str]:
    log = inspect_log(
        tmp_path / "a.eval",
        [
            sample(1, LONG),
            sample(2, "The answer is 32.", value="C"),
            sample(3, "The answer is 40.", value="I"),
            sample(4, "The answer is 34.", value="C"),
            sample(5, "The answer is 35.", value="I"),
            sample(7, "only here"),
        ],
    )
    lines = lm_eval_samples(
        tmp_path / "samples_sums_2026-01-01T00-00-00.000001.jsonl",
        {
            1: (LONG, "31", 1.0),
            2: ("The answer is 32.", "3", 0.0),  # the same text, another reading
            3: ("The answer is 33.", "33", 1.0),  # another answer
            4: ("34, then 99", "99", 0.0),  # another text; our reader takes 99, too
            5: ("So: The answer is 35.", "35", 1.0),  # Inspect called 35 wrong
        },
    )
    return f"a={log}", f"sums={lines}"


def reasons(found: Comparison) -> list[tuple[str, str, str]]:
    return [(one.problem, one.cause, one.why) for one in found.disagreements]


def test_every_disagreement_has_its_reason(two: tuple[str, str]) -> None:
    found = compare_recorded(two)
    (verdict,) = found.verdicts
    assert (verdict.gain.arm, verdict.gain.control) == ("sums", "a")
    assert found.n_problems == 5
    assert [cell.outcomes["correct"] for cell in found.cells] == [4, 4]
    assert reasons(found) == [
        ("What is 2 and 30?", "reading", "the same text: sums reads 3 and a reads 32"),
        ("What is 3 and 30?", "answer", "sums says 33 and a says 40"),
        ("What is 4 and 30?", "answer", "sums says 99 and a says 34"),
        ("What is 5 and 30?", "reading", "a calls 35 wrong, where the text says 35"),
    ]
    assert {one.right for one in found.disagreements} == {"a", "sums"}
    names = {variant.name for variant in verdict.variants}
    assert {"reader as-scored", "reader strict", "reader lm-eval-strict"} <= names
    assert any("a: 1 problems are not in every file" in note for note in found.notes)
    assert any(
        n == "sums: scored by filter flexible-extract, not strict-match" for n in found.notes
    )


def test_the_tools_own_scores_can_decide(two: tuple[str, str]) -> None:
    found = compare_recorded(two, reader="as-scored", baseline="sums")
    assert [(cell.arm, cell.outcomes["correct"]) for cell in found.cells] == [("sums", 3), ("a", 3)]
    assert len(found.disagreements) == 4


def test_a_cut_text_and_another_gold_answer_are_named(tmp_path: Path) -> None:
    cut = sample(1, "Let me think of 1 and", value="I")
    choice: dict[str, Any] = {"message": {"content": "Let me think of 1 and"}}
    cut["output"] = {"choices": [choice | {"stop_reason": "max_tokens"}]}
    other = sample(2, "The answer is 5.", value="C", target="5")
    first = inspect_log(tmp_path / "a.json", [cut, other])
    second = inspect_log(
        tmp_path / "b.json", [sample(1, LONG), sample(2, "The answer is 4.", value="I")]
    )
    assert reasons(compare_recorded([str(first), str(second)])) == [
        ("What is 1 and 30?", "cut off", "the text of a ends at its token limit"),
        ("What is 2 and 30?", "gold", "b wants 32, a 5"),
    ]


def test_an_error_is_a_hole_and_never_wrong(tmp_path: Path) -> None:
    broken = sample(1, "", error={"message": "the server left"}, scores={})
    first = inspect_log(tmp_path / "a.json", [broken, sample(2, "The answer is 32.")])
    second = inspect_log(tmp_path / "b.json", [sample(1, LONG), sample(2, "The answer is 32.")])
    found = compare_recorded([str(first), str(second)])
    assert [cell.outcomes["failed"] for cell in found.cells] == [1, 0]
    assert found.verdicts[0].gain.n == 1
    assert found.disagreements == ()


def test_our_own_exports_align_with_each_other(tmp_path: Path) -> None:
    compare("simulated/7b", "cot", bench="gsm-mini", limit=12)
    with Store(Path("logs/cotkit.db")) as store:
        taken = StoredRun.load(store, store.runs()[0].id)
        rows = store.attempts(taken.run_id)
        logs = write_inspect(taken, tmp_path / "inspect")
        files = [one for one in write_lm_eval(taken, tmp_path / "lm") if one.suffix == ".jsonl"]
    (cot,) = [one for one in logs if "-cot_" in one.name]
    (few_shot,) = [one for one in files if "few-shot" in one.name]
    found = compare_recorded([f"few-shot={few_shot},filter=flexible", f"cot={cot}"])
    right = {
        arm: sum(row.outcome == "correct" for row in rows if row.arm == arm)
        for arm in ("few-shot", "cot")
    }
    assert {cell.arm: cell.outcomes["correct"] for cell in found.cells} == right
    assert {cell.arm: cell.n for cell in found.cells} == {"few-shot": 12, "cot": 12}


def test_the_command_prints_it_in_every_format(two: tuple[str, str]) -> None:
    command = ["compare", "--from", two[0], "--from", two[1].replace("sums", "theirs", 1)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "Why the two tools disagree" in done.stdout
    assert "Problem by problem" not in done.stdout
    done = CliRunner().invoke(app, [*command, "--full"])
    assert "the same text: theirs reads 3 and a reads 32" in " ".join(done.stdout.split())
    page = json.loads(CliRunner().invoke(app, [*command, "--format", "json"]).stdout)
    assert [one["cause"] for one in page["disagreement_causes"]] == ["reading", "answer"]
    assert len(page["disagreements"]) == 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--from", "A"], "one file has nothing to be compared with"),
        (["--from", "A", "--from", "A"], "two files are called a"),
        (["--from", "A", "--from", "no.eval"], "no.eval: no such file"),
        (["--from", "A", "--from", "what.txt"], "what wrote it?"),
        (["--from", "A", "--from", "B,filter=none"], "no filter none"),
        (["--from", "A", "--from", "B", "--bench", "gsm8k"], "--bench has no effect"),
        (["--from", "A", "--from", "B", "--baseline", "c"], "unknown arm 'c'"),
        (["--from", "A", "--from", "B", "--reader", "mine"], "unknown reader"),
        (["--from", "A", "--from", "OTHER"], "no problem in common"),
        (["--from", "A", "--from", "NEWER"], "log version 99"),
    ],
)
def test_a_wrong_word_is_one_line(
    two: tuple[str, str], tmp_path: Path, arguments: list[str], said: str
) -> None:
    other = inspect_log(tmp_path / "other.json", [sample(90, LONG)])
    newer = tmp_path / "newer.json"
    newer.write_text(json.dumps({"version": 99, "samples": []}), encoding="utf-8")
    words = {"A": two[0], "B": two[1], "OTHER": str(other), "NEWER": str(newer)}
    words["B,filter=none"] = f"{two[1]},filter=none"
    done = CliRunner().invoke(app, ["compare", *(words.get(one, one) for one in arguments)])
    assert isinstance(done.exception, CotkitError), done.output
    assert isinstance(done.exception, (UsageError, BadInputError))
    assert said in str(done.exception)
    assert "\n" not in str(done.exception)
