"""Sets of the hub, named or not, on loopback: fetched, pinned, resumed, checked, read."""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

import cotkit
from cotkit.benchmarks import _files, _hub, hub, load_benchmark
from cotkit.benchmarks._hub import HubSplit, choose_files
from cotkit.errors import BadInputError, CotkitError, MissingDataError, UnknownNameError
from cotkit.prompting import exemplar_sets
from cotkit.protocols import Benchmark
from cotkit.registry import parse_spec, split_specs
from cotkit.run import RunSpec, make_plan
from cotkit.run.forecast import start_without_gold
from cotkit.scoring.score import score_attempt
from cotkit.stops import cut
from cotkit.types import Attempt, Completion, Request
from tests.conftest import Cotkit
from tests.hub_server import FakeHub, make_parquet, serve_hub
from tests.made_sets import CONVERTED, ROWS, N, files_of

pytest.importorskip("huggingface_hub", reason="needs the extra data")
pytest.importorskip("pyarrow", reason="needs the extra data")
GOLDENS = Path(__file__).parent / "cases" / "sets"
ROW = {"Body": "A box holds {} pens.", "Question": "How many?", "Answer": 0.0}


@pytest.fixture(scope="module")
def server() -> Iterator[FakeHub]:
    with serve_hub() as fake:
        yield fake


@pytest.fixture
def fake(server: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    """A hub with one set of two shards; no data folder, an empty cache."""
    monkeypatch.delenv("COTKIT_DATA_DIR", raising=False)
    monkeypatch.setenv("COTKIT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    for attribute in ("sets", "commits", "gated", "lies", "cuts", "asked"):
        getattr(server, attribute).clear()
    rows = [{**ROW, "Body": f"A box holds {i} pens.", "Answer": float(i)} for i in range(5)]
    server.sets["our/pens"] = {
        "README.md": b"pens",
        "main/test-00000-of-00002.parquet": make_parquet(rows[:3]),
        "main/test-00001-of-00002.parquet": make_parquet(rows[3:]),
        "main/train-00000-of-00001.parquet": make_parquet([{**ROW, "Answer": 12.0}]),
    }
    return server


PENS = "hub:our/pens,config=main,question='{Body} {Question}',answer=Answer"


def load(spec: str) -> Benchmark:
    return load_benchmark(parse_spec(spec))


def test_a_set_is_fetched_once_and_its_commit_is_kept(fake: FakeHub) -> None:
    bench = load(f"{PENS},exemplars=train")
    problems = bench.problems()
    assert [problem.gold for problem in problems] == ["0", "1", "2", "3", "4"]
    assert problems[3].question.text == "A box holds 3 pens. How many?"
    assert problems[3].question.id == "hub:our/pens/test/3"
    assert [problem.gold for problem in bench.exemplar_pool()] == ["12"]
    commit = fake.commit("our/pens")
    assert commit[:12] in bench.version
    assert isinstance(bench, hub.Hub)
    assert bench.notes() == (f"our/pens at commit {commit}",)
    fake.asked.clear()
    fake.commits["our/pens"] = "f" * 40  # the branch moves on
    again = load(f"{PENS},exemplars=train")
    assert (again.version, list(again.problems())) == (bench.version, list(problems))
    assert fake.asked == []
    assert load(PENS).version == bench.version
    moved = load(f"{PENS},revision={'f' * 40}")
    assert moved.version != bench.version
    assert list(moved.problems()) == list(problems)


def test_what_broke_off_goes_on_where_it_stopped(fake: FakeHub, tmp_path: Path) -> None:
    name = "main/test-00000-of-00002.parquet"
    content = fake.sets["our/pens"][name]
    part = tmp_path / "cache/data/hub/our--pens" / fake.commit("our/pens") / f"{name}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(content[:100])
    assert len(load(PENS).problems()) == 5
    assert any(line.endswith("bytes=100-") for line in fake.asked), fake.asked
    assert not part.exists()


def test_a_file_that_is_not_what_the_hub_lists_is_deleted(fake: FakeHub, tmp_path: Path) -> None:
    name = "main/test-00001-of-00002.parquet"
    content = fake.sets["our/pens"][name]
    fake.lies[name] = content[:-1] + b"?"
    with pytest.raises(BadInputError, match=r"expected sha256 \w{64}, found \w{64}: deleted"):
        load(PENS).problems()
    assert not list((tmp_path / "cache").rglob(f"{Path(name).name}*"))
    del fake.lies[name]
    assert len(load(PENS).problems()) == 5


def test_a_user_s_file_goes_first(
    fake: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COTKIT_DATA_DIR", str(tmp_path))
    (tmp_path / "pens").mkdir()
    (tmp_path / "pens" / "main_test.csv").write_text("Body,Question,Answer\nNine.,How many?,9\n")
    bench = load(PENS.replace("config=main,", ""))
    assert fake.asked == [] or len(bench.problems()) == 5
    (tmp_path / "pens" / "test.csv").write_text("Body,Question,Answer\nNine.,How many?,9\n")
    bench = load(PENS)
    assert [problem.gold for problem in bench.problems()] == ["9"]
    assert "local" in bench.version


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("hub:our/pens,split=tset", "unknown split of our/pens 'tset' (did you mean test?)"),
        ("hub:our/pens,config=man", "unknown configuration of our/pens 'man' (did you mean main?)"),
        ("hub:our/pens,question=Boddy,answer=Answer", "Boddy: missing (did you mean Body?"),
        ("hub:our/pens,question='{Boddy}',answer=Answer", "Boddy: missing (did you mean Body?"),
        ("hub:our/pens,question='{Body.x}',answer=Answer", "Body: has no part 'x'"),
        ("hub:our/pens,question=Body,answer=Question", "cannot read 'How many?' as a number"),
        (
            "hub:our/pens,question=Body,where='Question=Why?',answer=Answer",
            "no row has Question=Why?",
        ),
        ("hub:our/pens,where=Question", "cannot read where='Question'"),
        ("hub:our/pens,answer_kind=word", "unknown answer_kind 'word'"),
        ("hub:our/pens,shuffle=maybe", "shuffle=maybe?"),
        ("hub:our/pens,answr=x", "unknown parameter of hub 'answr'"),
        ("hub:our/pins", "the hub has no such set: it was moved or deleted, or is private"),
        ("hub:our/pens,revision=v9", "it has no revision v9"),
        ("hub:pens", "hub needs OWNER/SET, not 'pens'"),
        ("hub:our/locked", "it is gated: accept its terms on"),
        ("hub:our/blind", "our/blind test:answer: the split has no answers"),
        ("hub:our/lists", "must be text, not a list"),
        ("hub:our/many", "several configurations: en, fr"),
        ("hub:our/text", "has no file of rows"),
        ("csqqa", "unknown benchmark 'csqqa' (did you mean csqa"),
        ("mgsm:tlh", "unknown language of mgsm 'tlh'"),
        ("asdiv", "--bench asdiv:accept=cc-by-nc-4.0"),
    ],
)
def test_what_cannot_be_had_is_said_in_one_line(fake: FakeHub, spec: str, says: str) -> None:
    row = b'{"question": "Why?", "answer": %s}\n'
    fake.sets |= {
        "our/locked": {"test.jsonl": row % b'"1"'},
        "our/blind": {"test.jsonl": row % b'""'},
        "our/lists": {"test.jsonl": row % b"[1]"},
        "our/many": {"en/test.jsonl": row % b'"1"', "fr/test.jsonl": row % b'"2"'},
        "our/text": {"README.md": b"", "pens.py": b""},
    }
    fake.gated.add("our/locked")
    with pytest.raises(CotkitError) as caught:
        load(spec).problems()
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_hub_that_says_nothing_is_left_soon(
    fake: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert fake.asked == []
    assert _files.PATIENCE_S == 5
    monkeypatch.setattr(_hub, "PATIENCE_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{deaf.getsockname()[1]}")
        with pytest.raises(MissingDataError) as caught:
            load("csqa").problems()
    said = str(caught.value)
    assert "the hub did not answer in 0.3 s" in said or "timed out" in said, said
    assert "$COTKIT_DATA_DIR/csqa/ as validation.jsonl" in said
    assert "cotkit list benches" in said


@pytest.mark.parametrize(
    ("files", "config", "split", "chosen"),
    [
        (["test.jsonl", "train.jsonl"], None, "test", ["test.jsonl"]),
        (["data/test-00000-of-00001-ab12.parquet"], None, "test", [0]),
        (["a/test-0.parquet", "b/test-0.parquet"], "b", "test", [1]),
        (
            ["a/test/0000.parquet", "a/test/0001.parquet", "a/train/0000.parquet"],
            "a",
            "test",
            [0, 1],
        ),
        (["test.csv", "data/test-00000-of-00001.parquet"], None, "test", [1]),
        (["gpqa_main.csv", "gpqa_diamond.csv"], "gpqa_main", "train", [0]),
        (["zh_test.tsv", "en_test.tsv"], "zh", "test", [0]),
        (["main/test-0.parquet", "socratic/test-0.parquet"], "main", "test", [0]),
        (["contest.jsonl", "latest.json"], None, "test", []),
        (["test.py", "test.txt"], None, "test", []),
    ],
)
def test_which_files_hold_a_split(
    files: list[str], config: str | None, split: str, chosen: list[int | str]
) -> None:
    wanted = HubSplit(repo="o/s", config=config, split=split, folder="s", file=split)
    names = [files[item] if isinstance(item, int) else item for item in chosen]
    assert list(choose_files(files, wanted)) == names


# --- named sets


def serve_set(fake: FakeHub, name: str) -> None:
    """Put small files in the form of a named set on the hub."""
    bench = hub.open_set(parse_spec(name))
    repo = bench.test.repo
    splits = [bench.test.split, *([bench.pool.split] if bench.pool else [])]
    files = files_of(name, splits)
    if name in CONVERTED:
        fake.sets[repo] = {f"{repo.rpartition('/')[2]}.py": b"raise SystemExit"}
        fake.sets[f"{repo}@refs/convert/parquet"] = files
    else:
        fake.sets[repo] = files
    fake.commits[repo] = bench.test.revision if len(bench.test.revision) == 40 else "a" * 40


def spec_of(name: str) -> str:
    """Return how a named set is asked for: its licence is accepted."""
    accept = hub.named_sets()[name].get("accept")
    return f"{name}:accept={accept}" if accept else name


FAMILIES = ("standard", "zero-shot-cot", "few-shot", "cot", "self-correct", "flipped-labels:k=1")


def show_prompts(name: str) -> str:
    """Return the prompt of the first problem of each family of strategies that the set supports."""
    sections: list[str] = []
    for family in FAMILIES:
        spec = RunSpec(model="none", strategies=(family,), bench=name, exemplars="builtin:2")
        try:
            plan = make_plan(spec, load(spec_of(name)))
        except CotkitError as refused:
            sections.append(f"=== {family}: {refused}")
            continue
        arm = next(arm for arm in plan.arms if arm.name == family)
        step = next(start_without_gold(arm, plan.problems[0].question))
        assert isinstance(step, Request)
        sections.append(f"=== {family}\n{''.join(m.content for m in step.messages)}")
    return "\n".join(sections) + "\n"


@pytest.mark.parametrize("name", hub.named_sets())
def test_prompts_and_golds_of_a_named_set(fake: FakeHub, name: str) -> None:
    if name == "math500":
        pytest.importorskip("math_verify", reason="needs the extra math")
    serve_set(fake, name)
    text = show_prompts(name)
    path = GOLDENS / f"{name}.txt"
    if os.environ.get("COTKIT_WRITE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")
    for twice in ("  ", "..", "The answer is The", "So The", "A: A:"):
        assert twice not in text, twice
    problems = load(spec_of(name)).problems()
    assert len(problems) == (N - 1 if name == "drop" else N)
    for problem in problems:
        options = problem.question.choices or ("77777",)
        others = [option for option in options if option != problem.gold]
        answers = {problem.gold: True, others[-1]: False}
        for answer, is_right in answers.items():
            attempt = Attempt(text=f"The answer is {answer}.", stop_reason="stop")
            reader = "math-verify" if name == "math500" else "flexible"
            outcome = score_attempt(attempt, problem, reader).outcome
            assert (outcome == "correct") == (is_right or answer == problem.gold), problem


GERMAN = {
    "train": [
        {
            "question": f"Frage: Ada hat {i} Stifte und kauft 4. Wie viele hat sie?",
            "answer": f"Schritt-für-Schritt-Antwort: {i} + 4 = {i + 4}. Die Antwort ist {i + 4}.",
            "answer_number": i + 4,
        }
        for i in range(8)
    ],
    "test": [
        {"question": f"Bo hat {i} Äpfel. Wie viele?", "answer": None, "answer_number": i}
        for i in range(3)
    ],
}


def test_prompts_of_a_problem_in_german_end_in_german_answer_lines(fake: FakeHub) -> None:
    fake.sets["juletxara/mgsm"] = {"mgsm.py": b"raise SystemExit"}
    fake.sets["juletxara/mgsm@refs/convert/parquet"] = {
        f"de/{split}/0000.parquet": make_parquet(rows) for split, rows in GERMAN.items()
    }
    bench = load("mgsm:de")
    assert {problem.question.language for problem in bench.problems()} == {"de"}
    prompts: dict[str, str] = {}
    for exemplars in ("builtin:8", "multilingual:1", "multilingual:2"):
        spec = RunSpec(model="none", strategies=("cot",), bench="mgsm:de", exemplars=exemplars)
        for arm in make_plan(spec, bench).arms:
            flow = start_without_gold(arm, bench.problems()[0].question)
            step = next(flow)
            assert isinstance(step, Request)
            prompts[f"{arm.name} {exemplars}"] = step.messages[0].content
            written = Completion(text=" Es sind 0. Die Antwort ist also 0.", stop_reason="stop")
            with pytest.raises(StopIteration) as ended:
                flow.send((written,))
            assert ended.value.value.text == " Es sind 0. The answer is 0.", "as readers know it"
            longer = f"{written.text}\nQ: Und"
            assert cut(longer, step.decoding) == written.text
    for name, prompt in prompts.items():
        assert "The answer is" not in prompt, name
        assert "Die Antwort ist also <number>." in prompt, name
    assert "\nQ: Ada hat 0 Stifte und kauft 4. Wie viele hat sie?\n" in prompts["cot builtin:8"]
    assert "\nA: 0 + 4 = 4. Die Antwort ist also 4.\n" in prompts["cot builtin:8"]
    assert prompts["cot builtin:8"].count("Die Antwort ist also") == 9
    assert "\nA: Die Antwort ist also 4.\n" in prompts["few-shot builtin:8"]
    assert "Lena hat 5" in prompts["cot multilingual:1"]
    both = prompts["few-shot multilingual:2"]
    assert "Die Antwort ist also 12." in both
    assert "Por lo tanto, la respuesta es 25." in both, "each exemplar in its own language"


@pytest.mark.parametrize(("name", "exemplars"), [("csqa", "commonsense"), ("arc", "choices")])
def test_of_a_set_without_chains_builtin_exemplars_are_ours(
    fake: FakeHub, name: str, exemplars: str
) -> None:
    serve_set(fake, name)
    bench = load(name)
    assert not any(problem.rationale for problem in bench.exemplar_pool())
    question = bench.problems()[0].question
    asked: list[list[object]] = []
    for source in ("builtin:8", f"{exemplars}:8"):
        spec = RunSpec(model="none", strategies=("cot",), bench=name, exemplars=source)
        asked.append(
            [next(start_without_gold(arm, question)) for arm in make_plan(spec, bench).arms]
        )
    assert len(asked[0]) == 2, "the strategy and its control"
    assert asked[0] == asked[1]


def test_a_simulated_model_knows_german_prompts(fake: FakeHub, tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    rows = ({"question": f"Wie viel ist {i} + 1?", "answer": i + 1} for i in range(30))
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    result = cotkit.compare(
        "simulated/70b",
        "cot",
        f"{path}:language=de",
        exemplars="multilingual:3",
        log_dir=tmp_path / "logs",
    )
    cells = {cell.arm: cell.outcomes for cell in result.cells}
    assert cells["cot"]["correct"] > 20
    assert not cells["few-shot"].get("truncated"), "answers, no reasoning"


def test_english_and_files_of_another_language(fake: FakeHub, tmp_path: Path) -> None:
    serve_set(fake, "mgsm")
    assert load("mgsm").problems()[0].question.language is None
    path = tmp_path / "mine.jsonl"
    path.write_text('{"question": "Wie viele?", "answer": 2}\n')
    (problem,) = load(f"{path}:language=de").problems()
    assert problem.question.language == "de"
    assert load(f"{path}:language=de").version != load(str(path)).version
    assert load(f"{path}:language=en").version == load(str(path)).version
    with pytest.raises(UnknownNameError, match="unknown language 'xx'"):
        load(f"{path}:language=xx")


def test_every_name_is_listed_in_its_group_with_its_licence(fake: FakeHub, command: Cotkit) -> None:
    serve_set(fake, "csqa")
    assert re.search(r"csqa +commonsense +1221 +MIT +hub", command("list", "benches").out)
    load("csqa").problems()
    lines = command("list", "benches").out.splitlines()
    assert any(re.match(r"csqa +commonsense +1221 +MIT +on this machine", line) for line in lines)
    for name, data in hub.named_sets().items():
        assert any(re.match(rf"{name} +{data['group']} ", line) for line in lines), name
        card = command("show", "bench", name).out
        assert card.startswith(f"# {name}\n")
        assert all(f"| {part} |" in card for part in ("source", "licence", "size", "how sure"))
        ours = data.get("exemplar_set")
        assert ours is None or (ours in exemplar_sets() and f"our exemplars `{ours}:8`" in card)
    assert ROWS.keys() == hub.named_sets().keys()
    assert split_specs("mgsm:language=de+fr") == ("mgsm:language=de", "mgsm:language=fr")


def test_p_true_is_made_of_a_run(tmp_path: Path) -> None:
    comparison = cotkit.compare("simulated/8b", "cot", limit=6, log_dir=tmp_path / "logs")
    bench = load(f"p-true:{comparison.run_id[:8]},arm=cot")
    problems = bench.problems()
    n_right = next(c for c in comparison.cells if c.arm == "cot").outcomes.get("correct", 0)
    assert [problem.gold for problem in problems].count("True") == n_right
    assert "Proposed answer: " in problems[0].question.text
    assert problems[0].question.choices == ("True", "False")
    for spec, says in (
        ("p-true:run=zzz", "unknown run 'zzz'"),
        (f"p-true:{comparison.run_id},arm=cto", "unknown arm of"),
    ):
        with pytest.raises(CotkitError, match=says):
            load(spec).problems()
