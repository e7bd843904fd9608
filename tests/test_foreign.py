"""Results of other tools: read into the cells they mean, or refused in one line that says where."""

from __future__ import annotations

import hashlib
import json
import math
import sys
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

if sys.version_info >= (3, 14):
    import zipfile as new_zipfile
else:
    from backports.zstd import zipfile as new_zipfile

from cotkit.analysis.scale.grid import ArmOutcomes, ArmTotals
from cotkit.errors import BadInputError, CotkitError, UsageError
from cotkit.inputs import parse_count
from cotkit.interop.ladders import parse_source, read_sources
from cotkit.interop.recorded import compare_recorded
from cotkit.interop.results import pair_arms
from cotkit.workflows.ladder import read_sizes
from tests.conftest import Cotkit

HUB = "Qwen/Qwen2.5-7B"


def lm_eval(  # noqa: PLR0917 - a small file of the schema, field by field
    folder: Path,
    right: Mapping[str, Sequence[float]],
    task: str = "gsm8k",
    model: str = HUB,
    date: str = "2025-06-01T10-00-00.000001",
    samples: bool = True,
) -> Path:
    """As lm_eval leaves it with its samples; `right`: filter -> exact match of each document."""
    home = folder / model.replace("/", "__")
    home.mkdir(parents=True, exist_ok=True)
    n = len(next(iter(right.values())))
    scores: dict[str, object] = {"alias": task}
    for name, values in right.items():
        scores |= {f"exact_match,{name}": sum(values) / n, f"exact_match_stderr,{name}": 0.01}
    page = {
        "results": {task: scores},
        "group_subtasks": {task: []},
        "configs": {task: {"task": task, "metadata": {"version": 3.0}}},
        "versions": {task: 3.0},
        "n-shot": {task: 5},
        "higher_is_better": {task: {"exact_match": True}},
        "n-samples": {task: {"original": 1319, "effective": n}},
        "config": {"model": "hf", "model_args": f"pretrained={model}", "model_num_parameters": -1},
        "model_name": model,
    }
    (home / f"results_{date}.json").write_text(json.dumps(page, indent=2), encoding="utf-8")
    if samples:
        lines = [
            {
                "doc_id": doc,
                "doc": {"question": f"q{doc}"},
                "target": "1",
                "filter": name,
                "metrics": ["exact_match"],
                "doc_hash": hashlib.sha256(f"q{doc}".encode()).hexdigest(),
                "exact_match": value,
            }
            for name, values in right.items()
            for doc, value in enumerate(values)
        ]
        text = "\n".join(map(json.dumps, lines)) + "\n"
        (home / f"samples_{task}_{date}.jsonl").write_text(text, encoding="utf-8")
    return home


def inspect_samples(right: Mapping[str, Sequence[object]]) -> list[dict[str, object]]:
    return [
        {
            "id": name,
            "epoch": epoch,
            "input": "q",
            "target": "1",
            "scores": {"match": {"value": value, "answer": "1"}, "other": {"value": {"a": 1.0}}},
            "model_usage": {"m": {"input_tokens": 20, "output_tokens": 5, "total_tokens": 25}},
            "total_time": 0.5,
        }
        for name, values in right.items()
        for epoch, value in enumerate(values, start=1)
    ]


def inspect_log(
    path: Path, right: Mapping[str, Sequence[object]], **changed: object
) -> dict[str, object]:
    head: dict[str, object] = {
        "version": 2,
        "status": "success",
        "eval": {"task": "sums", "task_version": 0, "model": f"hf/{HUB}", "dataset": {}},
    }
    head |= changed
    samples = inspect_samples(right)
    if path.suffix == ".json":
        path.write_text(json.dumps({**head, "samples": samples}), encoding="utf-8")
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("header.json", json.dumps(head))
            archive.writestr("summaries.json", json.dumps(samples))
    return head


def correct(written: Sequence[str], model: str, arm: str) -> list[float]:
    (ladder,) = read_sources(written)
    cell = ladder.grid.cells[model, arm]
    assert isinstance(cell, ArmOutcomes)
    return cell.correct.tolist()


def test_samples_of_lm_eval_are_paired_by_document(tmp_path: Path) -> None:
    lm_eval(tmp_path / "cot", {"strict-match": [0, 0, 1], "flexible-extract": [1, 0, 1]})
    lm_eval(tmp_path / "few", {"strict-match": [0, 0, 0], "flexible-extract": [0, 1, 0]})
    written = [f"cot=lm-eval:{tmp_path / 'cot'}", f"few-shot=lm-eval:{tmp_path / 'few'}"]
    (ladder,) = read_sources(written)
    assert (ladder.grid.bench, ladder.arms) == ("gsm8k", ("cot", "few-shot"))
    assert correct(written, HUB, "cot") == [1, 0, 1]
    assert correct(written, HUB, "few-shot") == [0, 1, 0]
    assert correct([f"{written[0]},filter=strict-match", written[1]], HUB, "cot") == [0, 0, 1]
    assert any("filter flexible-extract, not strict-match" in note for note in ladder.notes)
    (rung,) = ladder.grid.rungs
    assert rung.family == "qwen2.5-base"
    assert rung.n_params == 7_615_616_512, "the catalogue's; lm-eval said -1, which is unknown"
    assert pair_arms(ladder.arms) == (("cot", "few-shot"),)


def test_two_tasks_are_one_benchmark_where_the_user_says_so(tmp_path: Path) -> None:
    lm_eval(tmp_path, {"flexible-extract": [1, 1, 0]}, task="gsm8k_cot")
    lm_eval(tmp_path, {"flexible-extract": [0, 1, 0]}, date="2025-06-02T10-00-00.000001")
    cot, plain = f"cot=lm-eval:{tmp_path},task=gsm8k_cot", f"plain=lm-eval:{tmp_path},task=gsm8k"
    assert len(read_sources([cot, plain])) == 2
    (ladder,) = read_sources([f"{cot},bench=gsm", f"{plain},bench=gsm"])
    assert set(ladder.grid.cells) == {(HUB, "cot"), (HUB, "plain")}


def test_totals_of_lm_eval_make_every_cell_a_rate(tmp_path: Path) -> None:
    lm_eval(tmp_path / "a", {"none": [1, 0, 0, 1]}, samples=False)
    lm_eval(tmp_path / "b", {"none": [1, 1, 0, 1]})
    (ladder,) = read_sources([f"cot=lm-eval:{tmp_path / 'a'}", f"direct=lm-eval:{tmp_path / 'b'}"])
    assert ladder.grid.cells[HUB, "cot"] == ArmTotals(rate=0.5, n=4)
    assert ladder.grid.cells[HUB, "direct"] == ArmTotals(rate=0.75, n=4)
    assert any("Newcombe" in note for note in ladder.notes)
    assert pair_arms(ladder.arms) == (("cot", "direct"),)


def test_two_versions_of_a_task_are_not_compared(tmp_path: Path) -> None:
    lm_eval(tmp_path / "a", {"none": [1, 0]})
    edited(
        next(lm_eval(tmp_path / "b", {"none": [1, 0]}).glob("results*")),
        lambda page: page.update({"versions": {"gsm8k": 2.0}}),
    )
    with pytest.raises(BadInputError, match=r"version: gsm8k 2.0, but another version in .*/a/"):
        read_sources([f"cot=lm-eval:{tmp_path / 'a'}", f"plain=lm-eval:{tmp_path / 'b'}"])


def test_the_latest_of_several_runs_counts_and_is_named(tmp_path: Path) -> None:
    lm_eval(tmp_path, {"none": [0, 0]}, date="2025-01-01T00-00-00.0")
    lm_eval(tmp_path, {"none": [1, 1]}, date="2025-02-01T00-00-00.0")
    (ladder,) = read_sources([f"cot=lm-eval:{tmp_path}"])
    assert correct([f"cot=lm-eval:{tmp_path}"], HUB, "cot") == [1, 1]
    assert any("results_2025-02-01T00-00-00.0.json counts" in note for note in ladder.notes)


def test_a_document_that_one_arm_lacks_is_a_hole(tmp_path: Path) -> None:
    lm_eval(tmp_path / "a", {"none": [1, 0, 1]})
    lm_eval(tmp_path / "b", {"none": [1, 0]})
    written = [f"cot=lm-eval:{tmp_path / 'a'}", f"direct=lm-eval:{tmp_path / 'b'}"]
    assert np.array_equal(correct(written, HUB, "direct"), [1, 0, math.nan], equal_nan=True)


def test_epochs_of_inspect_are_samples_of_a_problem(tmp_path: Path) -> None:
    log = tmp_path / "one.json"
    inspect_log(log, {"s0": ["C", "I"], "s1": ["P", "P"], "s2": [True, 1], "s3": [None, None]})
    (ladder,) = read_sources([f"cot=inspect:{log}"])
    cell = ladder.grid.cells[f"hf/{HUB}", "cot"]
    assert isinstance(cell, ArmOutcomes)
    expected = [0.5, 0.5, 1.0, math.nan]
    assert np.array_equal(cell.correct, expected, equal_nan=True)
    assert cell.tokens is not None
    assert cell.tokens.tolist() == [50, 50, 50, 50]
    assert ladder.grid.rungs[0].family == "qwen2.5-base", "hf/ is the provider, not the name"
    assert any("scorer match, not other" in note for note in ladder.notes)
    assert correct([f"cot=inspect:{log},scorer=other/a"], f"hf/{HUB}", "cot") == [1, 1, 1, 1]


def test_a_zipped_log_says_the_same_as_a_plain_one(tmp_path: Path) -> None:
    right = {"s0": ["C"], "s1": ["I"]}
    inspect_log(tmp_path / "a.json", right)
    inspect_log(tmp_path / "b.eval", right)
    pack_by_zstandard(tmp_path / "b.eval", tmp_path / "c.eval")
    for name in ("a.json", "b.eval", "c.eval"):
        assert correct([f"cot=inspect:{tmp_path / name}"], f"hf/{HUB}", "cot") == [1, 0], name


def pack_by_zstandard(plain: Path, packed: Path) -> None:
    """As Inspect writes its archives."""
    with (
        zipfile.ZipFile(plain) as old,
        new_zipfile.ZipFile(packed, "w", new_zipfile.ZIP_ZSTANDARD) as new,
    ):
        for info in old.infolist():
            new.writestr(info.filename, old.read(info))


RATES = "model,family,params,bench,strategy,n_items,value,metric\n"
PROBLEMS = "model,strategy,problem_id,correct,tokens\n"


def test_rates_of_a_csv_split_by_the_families_it_names(tmp_path: Path) -> None:
    path = tmp_path / "rates.csv"
    path.write_text(
        RATES
        + "a-1,A,1B,g,cot,200,10,accuracy_pct\na-1,A,1B,g,standard,200,5,accuracy_pct\n"
        + "b-1,B,2e9,g,cot,100,0.5,exact_match\nb-1,B,2e9,g,standard,100,0.6,exact_match\n",
        encoding="utf-8",
    )
    (first,) = read_sources([f"csv:{path}"])
    assert (first.family, first.grid.cells["a-1", "cot"]) == ("A", ArmTotals(rate=0.1, n=200))
    assert any("metric accuracy_pct, not exact_match" in note for note in first.notes)
    (second,) = read_sources([f"csv:{path},metric=exact_match"])
    assert second.family == "B"
    assert second.grid.rungs[0].n_params == 2_000_000_000


def test_problems_of_a_csv_are_paired_and_samples_averaged(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(
        PROBLEMS
        + "m,cot,p1,1,10\nm,cot,p1,0,30\nm,cot,p2,true,20\nm,standard,p1,no,5\nm,standard,p2,1,5\n",
        encoding="utf-8",
    )
    (ladder,) = read_sources([f"csv:{path}"], params={"m": 10**9})
    cell = ladder.grid.cells["m", "cot"]
    assert isinstance(cell, ArmOutcomes)
    assert (ladder.grid.bench, ladder.grid.problem_ids) == ("mine", ("p1", "p2"))
    assert cell.correct.tolist() == [0.5, 1]
    assert cell.tokens is not None
    assert cell.tokens.tolist() == [40, 20]
    assert ladder.grid.rungs[0].n_params == 10**9


def edited(path: Path, change: Callable[[dict[str, object]], object]) -> None:
    page = json.loads(path.read_text(encoding="utf-8"))
    change(page)
    path.write_text(json.dumps(page), encoding="utf-8")


def broken_lm_eval(home: Path, what: str) -> None:
    (results,), (samples,) = home.glob("results*"), home.glob("samples*")
    lines = samples.read_text(encoding="utf-8").splitlines()
    if what == "no results":
        results.unlink()
    elif what == "not json":
        results.write_text("{", encoding="utf-8")
    elif what == "half a line":
        samples.write_text("\n".join([lines[0], lines[1][:20]]), encoding="utf-8")
    elif what == "no metric in a line":
        lines[1] = lines[1].replace('"exact_match": 0', '"exact": 0')
        samples.write_text("\n".join(lines), encoding="utf-8")
    elif what == "a list as id":
        lines[1] = lines[1].replace('"doc_id": 1', '"doc_id": [1]')
        samples.write_text("\n".join(lines), encoding="utf-8")
    elif what == "a huge number":
        lines[2] = lines[2].replace('"exact_match": 1', f'"exact_match": 1{"0" * 400}')
        samples.write_text("\n".join(lines), encoding="utf-8")
    elif what == "no filter field":
        text = "\n".join(line.replace('"filter"', '"sieve"') for line in (*lines, *lines))
        samples.write_text(text, encoding="utf-8")
    elif what == "no results field":
        edited(results, lambda page: page.pop("results"))
    elif what == "no n":
        samples.unlink()
        edited(results, lambda page: page.pop("n-samples"))
    else:
        edited(results, lambda page: page.update({"higher_is_better": {"gsm8k": {what: False}}}))


@pytest.mark.parametrize(
    ("what", "options", "said"),
    [
        ("no results", "", "no results*.json under it"),
        ("not json", "", "results_2025-06-01T10-00-00.000001.json:1: not JSON"),
        ("half a line", "", ".jsonl:2: not JSON"),
        ("no metric in a line", "", ".jsonl:2:exact_match: missing"),
        ("a list as id", "", ".jsonl:2:doc_id: must be a number or a text"),
        ("a huge number", "", ".jsonl:3: not JSON: 10000000000000000000... is too long a number"),
        ("no filter field", "", ".jsonl:4:doc_id: document 0 a second time"),
        ("no results field", "", ".json:results: missing"),
        ("no n", "", ":n-samples.gsm8k.effective: missing"),
        ("exact_match", "", ":higher_is_better.gsm8k.exact_match: lower is better"),
        ("other", ",filter=nun", ":results.gsm8k: no filter nun of exact_match (there: none)"),
        ("other", ",metric=f1", ":results.gsm8k: no metric f1 (there: exact_match"),
        ("other", ",task=gsm", "no results of task gsm (tasks there: gsm8k)"),
        ("other", ",tasks=gsm", "unknown option of lm-eval 'tasks' (did you mean task?)"),
    ],
)
def test_broken_results_of_lm_eval_are_named(
    tmp_path: Path, what: str, options: str, said: str
) -> None:
    broken_lm_eval(lm_eval(tmp_path, {"none": [1, 0, 1]}), what)
    with pytest.raises(CotkitError) as refused:
        read_sources([f"cot=lm-eval:{tmp_path}{options}"])
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("changed", "options", "said"),
    [
        ({"version": 3}, "", ":version: log version 3 (cotkit knows 2: upgrade it)"),
        ({"eval": {"task": "t"}}, "", ":eval.model: missing"),
        ({}, ",scorer=mach", ":samples.0.scores.mach: missing (there: match, other"),
        ({}, ",scorer=other", ":samples.0.scores.other.value: is an object (,scorer=other/KEY"),
    ],
)
def test_broken_logs_of_inspect_are_named(
    tmp_path: Path, changed: dict[str, object], options: str, said: str
) -> None:
    inspect_log(tmp_path / "x.json", {"s0": ["C"]}, **changed)
    with pytest.raises(BadInputError) as refused:
        read_sources([f"cot=inspect:{tmp_path / 'x.json'}{options}"])
    assert said in str(refused.value)


def test_values_that_say_neither_right_nor_wrong_are_refused(tmp_path: Path) -> None:
    inspect_log(tmp_path / "x.json", {"s0": ["B"]})
    with pytest.raises(BadInputError, match=r"samples.0.scores.match.value: 'B' says neither"):
        read_sources([f"cot=inspect:{tmp_path / 'x.json'}"])


def test_an_archive_that_is_none_and_one_that_nothing_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.eval").write_bytes(b"no zip")
    with pytest.raises(BadInputError, match="not a zip archive"):
        read_sources([f"cot=inspect:{tmp_path / 'x.eval'}"])
    inspect_log(tmp_path / "y.eval", {"s0": ["C"]})
    pack_by_zstandard(tmp_path / "y.eval", tmp_path / "z.eval")
    monkeypatch.setitem(sys.modules, "backports.zstd", None)
    with pytest.raises(BadInputError, match=r"inspect log convert .*z.eval --to json"):
        read_sources([f"cot=inspect:{tmp_path / 'z.eval'}"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no results"),
        (RATES, "holds no results"),
        (
            "model,strategy,problem_id,corect\nm,cot,p,1\n",
            ":1:correct: no such column (is it 'corect'",
        ),
        ("model,strategy,value,metric\nm,cot,1,acc\n", ":1:n_items: no such column"),
        (RATES + "m,F,1B,g,cot,200,10,accuracy_pct,x\n", ":2: 9 fields, the header has 8"),
        (RATES + "m,F,1B,g,cot,200,41.6,accuracy\n", ":2:value: 41.6 is not in 0 to 1"),
        (RATES + "m,F,big,g,cot,200,10,accuracy_pct\n", ":2:params: 'big' is not a count"),
        (RATES + "m,F,1B,g,cot,,10,accuracy_pct\n", ":2:n_items: empty"),
        (RATES + ",F,1B,g,cot,200,10,accuracy_pct\n", ":2:model: empty"),
        (RATES + "m,F,1B,g,cot,200,0.3,f1\n", ":metric: f1: no share of problems"),
        (
            RATES + "m,F,1B,g,cot,200,10,acc_pct\nm,F,1B,g,cot,200,11,acc_pct\n",
            ":3: m, cot, g: a second result, unlike the first",
        ),
        (
            RATES + "m,F,1B,g,cot,200,10,acc_pct\nm,F,1.5B,g,plain,200,11,acc_pct\n",
            ":3:params: another size (line 2 gives the same model another size)",
        ),
        (RATES + f"m,F,1B,g,cot,200,{'1' * 200_000},acc_pct\n", ":2: not CSV: field larger than"),
        (PROBLEMS + "m,cot,p,maybe,\n", ":2:correct: 'maybe' is not a number"),
        (PROBLEMS + "m,cot,p,1,\nm,plain,q,1,\n", ":3: m: plain has no problem in common with cot"),
    ],
)
def test_a_broken_csv_is_named_by_line_and_column(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CotkitError) as refused:
        read_sources([f"csv:{path}"])
    assert str(path) in str(refused.value)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("lm-eval", "cannot be read"),
        ("cot=json:x", "cannot be read"),
        ("csv:x,metric", "metric has no value"),
        ("csv:no/such.csv", "no/such.csv: no such file"),
        ("cot=inspect:no.eval", "no.eval: no such file"),
    ],
)
def test_a_source_that_cannot_be_read(written: str, said: str) -> None:
    with pytest.raises(CotkitError) as refused:
        read_sources([written])
    assert said in str(refused.value)


def test_what_the_strategy_is_must_be_said(tmp_path: Path) -> None:
    lm_eval(tmp_path, {"none": [1]})
    inspect_log(tmp_path / "x.json", {"s0": ["C"]})
    for written in (f"lm-eval:{tmp_path}", f"inspect:{tmp_path / 'x.json'}"):
        with pytest.raises(BadInputError, match="which strategy is it"):
            read_sources([written])


def test_an_arm_may_have_parameters_of_its_own() -> None:
    source = parse_source("self-consistency:k=5=lm-eval:out,filter=none,task=gsm8k")
    assert (source.arm, source.kind, source.path) == (
        "self-consistency:k=5",
        "lm-eval",
        Path("out"),
    )
    assert source.options == {"filter": "none", "task": "gsm8k"}


@pytest.mark.parametrize(
    ("arms", "options", "expected"),
    [
        (["cot", "few-shot"], {}, [("cot", "few-shot")]),
        (["zero_shot_cot", "standard"], {}, [("zero_shot_cot", "standard")]),
        (["cot", "standard"], {}, [("cot", "standard")]),  # the only plain one
        (
            ["cot", "standard", "few-shot"],  # each has the control that cotkit's own has
            {},
            [("cot", "few-shot"), ("few-shot", "standard")],
        ),
        (["a", "b"], {"baseline": "b"}, [("a", "b")]),
        (["a", "b"], {"controls": {"b": "a"}}, [("b", "a")]),
        (["cot", "mine", "few-shot"], {"strategies": ["mine"]}, [("mine", "few-shot")]),
    ],
)
def test_which_arm_is_measured_against_which(
    arms: list[str], options: dict[str, object], expected: list[tuple[str, str]]
) -> None:
    assert list(pair_arms(arms, **options)) == expected  # pyright: ignore[reportArgumentType] - a table


def test_arms_without_a_control_are_not_guessed() -> None:
    with pytest.raises(UsageError, match="--baseline ARM; arms: a, b"):
        pair_arms(["a", "b"])
    with pytest.raises(UsageError, match="what is a measured against"):
        pair_arms(["a", "cot", "few-shot", "standard"], strategies=["a"])


def test_sizes_are_read_as_people_write_them() -> None:
    written = ["7B", "350M", "1.5e9", "13_000_000_000", "1.5b"]
    expected = [7 * 10**9, 350 * 10**6, 15 * 10**8, 13 * 10**9, 15 * 10**8]
    assert [parse_count(one) for one in ("0", "big", "-1", "", "5.5", "1e30")] == [None] * 6
    assert list(map(parse_count, written)) == expected
    assert read_sizes(["org/m=7B"]) == {"org/m": 7 * 10**9}
    with pytest.raises(UsageError, match="--params MODEL=7B"):
        read_sizes(["m"])


def refused_of(written: Sequence[str]) -> str:
    with pytest.raises(CotkitError) as refused:
        read_sources(written)
    return str(refused.value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "model,strategy,n_items,value,metric,value\nm,cot,9,0.5,acc,1\n",
            ":1:value: stands twice",
        ),
        (RATES + 'm,F,1B,g,cot,"1,23",10,accuracy_pct\n', ":2:n_items: '1,23' is not a count"),
        (RATES + "m,F,1B,g,cot,\u0661\u0662,10,accuracy_pct\n", ":2:n_items: '\u0661\u0662' is"),
        (RATES + "m,F,1B,g,cot,12,\uff11\uff10,accuracy_pct\n", ":2:value: '\uff11\uff10' is not"),
        (RATES + "m,F,1B,g,cot,12,1_0,accuracy_pct\n", ":2:value: '1_0' is not a number"),
        (
            "model,strategy,problem_id,correct,sample\nm,cot,p,1,0\nm,cot,p,0,0\n",
            ":3:sample: sample 0 twice",
        ),
        (
            "model,strategy,n_items,value,metric,train_flops\nm,cot,9,0.5,acc,-1\n",
            ":2:train_flops: must be above 0",
        ),
    ],
)
def test_what_a_csv_says_twice_or_in_other_digits_is_refused(
    tmp_path: Path, text: str, problem: str
) -> None:
    path = tmp_path / "x.csv"
    path.write_text(text, encoding="utf-8")
    assert problem in refused_of([f"csv:{path}"])


def test_a_value_that_its_samples_contradict_is_refused(tmp_path: Path) -> None:
    home = lm_eval(tmp_path, {"none": [1, 0, 0, 1]})
    results, samples = sorted(home.iterdir())
    edited(results, lambda page: page.update(results={"gsm8k": {"exact_match,none": 0.75}}))
    source = f"cot=lm-eval:{tmp_path}"
    assert "results.gsm8k.exact_match,none: states 0.75, but the mean of its 4 samples is 0.5" in (
        refused_of([source])
    )
    text = samples.read_text(encoding="utf-8")
    samples.write_text(text.replace('"target"', '"resps": [["1"]], "target"'), encoding="utf-8")
    with pytest.raises(BadInputError, match=r"states 0\.75, but the mean"):
        compare_recorded([f"cot={samples}", f"plain={samples}"])
    edited(results, lambda page: page.update({"n-samples": {"gsm8k": {"effective": 8}}}))
    (ladder,) = read_sources([source])
    assert "gsm8k: the samples are of 4 of 8 documents: they alone count" in ladder.notes


def test_an_accuracy_that_its_log_contradicts_is_refused(tmp_path: Path) -> None:
    def write(value: float, reducer: str | None) -> Path:
        path = tmp_path / "x.json"
        metrics = {"accuracy": {"name": "accuracy", "value": value}}
        scores = [{"name": "match", "reducer": reducer, "metrics": metrics}]
        inspect_log(path, {"a": ["C", "I"], "b": ["C", "C"]}, results={"scores": scores})
        return path

    for reducer in (None, "mean"):
        assert "states 0.5, but the mean of its 2 samples is 0.75" in refused_of(
            [f"cot=inspect:{write(0.5, reducer)}"]
        )
        path = write(0.5, reducer)
        with pytest.raises(BadInputError, match=r"states 0\.5"):
            compare_recorded([f"a={path}", f"b={path}"])
    for value, reducer in ((0.75, "mean"), (1.0, "mode")):
        read_sources([f"cot=inspect:{write(value, reducer)}"])


def test_an_epoch_that_stands_in_a_log_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    head = inspect_log(path, {"a": ["C"], "b": ["I"]})
    samples = [*inspect_samples({"a": ["C"]}), *inspect_samples({"a": ["I"]})]
    path.write_text(json.dumps({**head, "samples": samples}), encoding="utf-8")
    assert "samples.1: epoch 1 of 'a' twice" in refused_of([f"cot=inspect:{path}"])
    with pytest.raises(BadInputError, match="epoch 1 of 'a' twice"):
        compare_recorded([f"a={path}", f"b={path}"])


def test_a_key_that_stands_in_an_object_twice_is_refused(tmp_path: Path) -> None:
    home = lm_eval(tmp_path, {"none": [1, 0, 0, 1]})
    results, samples = sorted(home.iterdir())
    line = samples.read_text(encoding="utf-8")
    samples.write_text(line.replace('"target"', '"exact_match": 0, "target"', 1), encoding="utf-8")
    source = f"cot=lm-eval:{tmp_path}"
    assert "jsonl:1: not JSON: 'exact_match' stands twice" in refused_of([source])
    page = results.read_text(encoding="utf-8")
    results.write_text(
        page.replace('"alias"', '"exact_match,none": 0.9, "alias"'), encoding="utf-8"
    )
    assert "'exact_match,none' stands twice" in refused_of([source])
    log = tmp_path / "x.json"
    inspect_log(log, {"a": ["C"]})
    text = log.read_text(encoding="utf-8").replace('"value": "C"', '"value": "C", "value": "I"')
    log.write_text(text, encoding="utf-8")
    assert "'value' stands twice" in refused_of([f"cot=inspect:{log}"])


def test_a_size_that_is_given_twice_is_refused() -> None:
    assert read_sizes(["m=7B", "m=7,000,000,000"]) == {"m": 7 * 10**9}
    with pytest.raises(UsageError, match="two sizes"):
        read_sizes(["m=7B", "m=8B"])


def solved_log(path: Path, steps: Sequence[str], n_right: int, **changed: object) -> str:
    samples = [
        {
            "id": i,
            "input": f"What is {i} plus 34?",
            "target": str(i + 34),
            "scores": {"match": {"value": "C" if i < n_right else "I", "answer": str(i + 34)}},
            "model_usage": {
                "m": {"input_tokens": 90, "input_tokens_cache_read": 10, "output_tokens": 20 + i}
            },
            "working_time": 2.0,
            "output": {
                "choices": [
                    {
                        "message": {"content": f"It is {i + 34 if i < n_right else 1}"},
                        "stop_reason": "stop",
                    }
                ]
            },
        }
        for i in range(30)
    ]
    page = {
        "version": 2,
        "status": "success",
        "eval": {"task": "sums", "model": "m", **changed},
        "plan": {"steps": [{"solver": name} for name in steps]},
        "samples": samples,
    }
    path.write_text(json.dumps(page), encoding="utf-8")
    return str(path)


def test_arms_are_called_by_solver_or_task_and_measured_against_their_control(
    tmp_path: Path,
) -> None:
    cot = solved_log(tmp_path / "a.json", ["system_message", "chain_of_thought", "generate"], 28)
    plain = solved_log(tmp_path / "b.json", ["generate"], 3)
    found = compare_recorded([cot, plain])
    (verdict,) = found.verdicts
    assert (verdict.gain.arm, verdict.gain.control) == (
        "system_message+chain_of_thought",
        "generate",
    )
    assert verdict.gain.label == "helps"
    cell = found.cells[0]
    assert (cell.prompt_tokens, cell.generated_tokens) == (100, 34.5)
    assert not [note for note in found.notes if "how many tokens" in note]
    ours = solved_log(
        tmp_path / "c.json", [], 20, solver="cotkit/cot", solver_args={"calculator": True}
    )
    shot = solved_log(tmp_path / "d.json", [], 3, solver="cotkit/few-shot")
    gain = compare_recorded([ours, shot]).verdicts[0].gain
    assert (gain.arm, gain.control) == ("cot:calculator=True", "few-shot")
    # two of one name are told apart by what else is known of them, and then by their file
    again = solved_log(tmp_path / "e.json", ["generate"], 9, task="more")
    assert [cell.arm for cell in compare_recorded([plain, again]).cells] == [
        "sums generate",
        "more generate",
    ]
    same = solved_log(tmp_path / "f.json", ["generate"], 9)
    assert [cell.arm for cell in compare_recorded([plain, same]).cells] == ["b", "f"]


def test_a_page_of_what_other_tools_ran(tmp_path: Path, command: Cotkit) -> None:
    pytest.importorskip("matplotlib")
    files = [
        solved_log(tmp_path / "a.json", ["chain_of_thought"], 28),
        solved_log(tmp_path / "b.json", ["generate"], 3),
    ]
    sources = [word for file in files for word in ("--from", file)]
    ended = command("compare", *sources, "--html", str(tmp_path / "x.html"))
    assert ended.code == 0, ended.err
    page = (tmp_path / "x.html").read_text(encoding="utf-8")
    assert "chain_of_thought" in page
    assert "It is 34" in page
    refused = command("compare", *sources, "--limit", "3")
    assert refused.code == UsageError.exit_code
