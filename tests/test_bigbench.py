"""BIG-bench tasks: both modes of the same items, what is refused, and how a task is fetched."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cotkit.benchmarks import bigbench, load_benchmark
from cotkit.benchmarks._files import TaskFile
from cotkit.benchmarks.bigbench import Bigbench, task_file
from cotkit.cli import app
from cotkit.errors import BadInputError, MissingDataError, UnknownNameError, UsageError
from cotkit.registry import parse_spec
from cotkit.scoring import score_attempt
from cotkit.scoring.measure import preferred_scale
from cotkit.types import Attempt, Problem
from tests.test_bench import serving

PLAIN: dict[str, Any] = {"input": "Which fruit is yellow?", "target": "banana"}
FRUIT: dict[str, Any] = {**PLAIN, "target_scores": {"banana": 1, "plum": 0, "cherry": 0}}
UNTARGETED = {name: value for name, value in FRUIT.items() if name != "target"}


def task(*examples: object, **fields: object) -> dict[str, Any]:
    return {"name": "t", "preferred_score": "exact_str_match", "examples": [*examples], **fields}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data folder and cache, and an index that nobody serves."""
    monkeypatch.setenv("COTKIT_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COTKIT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("COTKIT_INDEX_URL", "http://127.0.0.1:9/simple")
    return tmp_path


def put(home: Path, content: object, folder: str = "t") -> Path:
    path = home / "data" / "bigbench" / folder / "task.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    path.write_bytes(data)
    return path


def read(home: Path, content: object, mode: str | None = None) -> tuple[Problem, ...]:
    put(home, content)
    return tuple(Bigbench(task="t", mode=mode).problems())


def test_a_file_is_read_once_until_it_changes(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ladder of eight models read 16,000 items 112 times, for two minutes."""
    paths: list[Path] = []
    read_task = bigbench.read_task

    def counted(path: Path, *, marks: bool) -> TaskFile:
        paths.append(path)
        return read_task(path, marks=marks)

    monkeypatch.setattr(bigbench, "read_task", counted)
    first = read(home, task(FRUIT))
    assert Bigbench(task="t").answer_kind
    assert tuple(Bigbench(task="t").problems()) == first
    assert len(paths) == 1
    second = read(home, task(FRUIT, {**FRUIT, "input": "Which one is red?"}))
    assert (len(first), len(second), len(paths)) == (1, 2, 2)


# --- the preferred score


@pytest.mark.parametrize(
    ("examples", "preferred", "mode", "expected", "why"),
    [
        ([PLAIN], "exact_str_match", None, ("exact_match", 0, 1), ""),
        ([UNTARGETED], "multiple_choice_grade", None, ("multiple_choice_grade", 1 / 3, 1), ""),
        ([FRUIT], "multiple_choice_grade", "generate", ("multiple_choice_grade", 1 / 3, 1), ""),
        (
            [UNTARGETED, {"input": "?", "target_scores": {"a": 1, "b": 0.5}}],
            "multiple_choice_grade",
            None,
            ("multiple_choice_grade", (1 / 3 + 0.75) / 2, 1),
            "chance is the mean score of the options of each item",
        ),
        ([PLAIN], "bleu", None, None, "not measured here"),
        ([PLAIN], "multiple_choice_grade", "generate", None, "there are no options"),
        ([PLAIN], "", None, None, "none is named"),
    ],
)
def test_the_scale_of_the_preferred_score(  # noqa: PLR0917  # a table
    home: Path, examples: list[object], preferred: str, mode: str, expected: object, why: str
) -> None:
    found = preferred_scale(read(home, task(*examples, preferred_score=preferred), mode))
    assert found == expected, why


def test_subtasks_that_prefer_different_scores_have_no_common_scale(home: Path) -> None:
    put(home, task(FRUIT), "t/a")
    put(home, task(FRUIT, preferred_score="multiple_choice_grade"), "t/b")
    assert preferred_scale(Bigbench(task="t").problems()) is None
    assert preferred_scale(Bigbench(task="t/a").problems()) == ("exact_match", 0, 1)
    (note,) = Bigbench(task="t").notes()
    assert "(exact_str_match, multiple_choice_grade): none is normalised" in note
    assert Bigbench(task="t/a").notes() == ()


def test_a_preferred_score_that_is_not_measured_is_said(home: Path) -> None:
    put(home, task(PLAIN, preferred_score="bleu"))
    assert Bigbench(task="t").notes() == (
        "t prefers bleu, which is not measured here: nothing is normalised",
    )


@pytest.mark.usefixtures("home")
def test_a_preferred_score_that_is_no_text_is_refused(home: Path) -> None:
    with pytest.raises(BadInputError, match=r"task\.json:preferred_score: must be text"):
        read(home, task(PLAIN, preferred_score=3))


def test_a_report_has_the_preferred_score_normalised(home: Path, tmp_path: Path) -> None:
    items = [{"input": f"Say {word}.", "target": word} for word in ("red", "green", "blue", "two")]
    put(home, task(*items))
    lines = [{"id": i, "text": f"The answer is {w}."} for i, w in enumerate(("red", "x", "y", "z"))]
    (tmp_path / "made.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    asked = ["score", str(tmp_path / "made.jsonl"), "--bench", "bigbench:t", "--format", "json"]
    said = json.loads(CliRunner().invoke(app, asked).stdout)
    means = {row["metric"]: row for row in said["metrics"]}
    assert means["normalised_exact_match"]["mean"] == 25
    assert means["normalised_exact_match"]["range"] == "0..100"


@pytest.mark.parametrize("named", ["bigbench", "bigbench:emoji_movie", "bigbench:t,mode=choice"])
def test_the_card_is_found_under_the_name_that_was_run(named: str) -> None:
    assert CliRunner().invoke(app, ["show", "bench", named]).stdout.startswith("# bigbench\n")


# --- both modes


def test_both_modes_are_the_same_items(home: Path) -> None:
    other = {**FRUIT, "input": "Which fruit is blue?", "target": "plum"}
    other["target_scores"] = {"banana": 0, "plum": 1, "cherry": 0.5}
    written = read(home, task(FRUIT, other), "generate")
    chosen = read(home, task(FRUIT, other), "choice")
    assert [p.question.id for p in written] == [p.question.id for p in chosen]
    assert [p.question.id for p in chosen] == ["bigbench/t/0", "bigbench/t/1"]
    assert [(p.gold, p.question.answer_kind) for p in written] == [
        ("banana", "text"),
        ("plum", "text"),
    ]
    assert [(p.gold, p.question.answer_kind) for p in chosen] == [
        ("banana", "choice"),
        ("plum", "choice"),
    ]
    assert chosen[1].question.text == "Which fruit is blue?", "prompts write the choices"
    assert dict(zip(chosen[1].question.choices, chosen[1].option_scores, strict=True)) == {
        "banana": 0.0,
        "plum": 1.0,
        "cherry": 0.5,
    }, "graded scores stay with their options"
    for one, other in zip(written, chosen, strict=True):
        assert one.options == other.question.choices, "what is weighed is the same in both"
        assert one.option_scores == other.option_scores
    shown = [f"\n  choice: {choice}" for choice in chosen[0].question.choices]
    assert written[0].question.text == PLAIN["input"] + "".join(shown), "the same order in both"


def test_the_right_option_does_not_stay_first(home: Path) -> None:
    many = [{**FRUIT, "input": f"{FRUIT['input']} ({n})"} for n in range(90)]
    chosen = read(home, task(*many), "choice")
    places = Counter(p.question.choices.index("banana") for p in chosen)
    assert all(places[at] >= 15 for at in range(3)), places
    assert [p.question.choices for p in chosen[:3]] == [
        ("cherry", "banana", "plum"),
        ("plum", "cherry", "banana"),
        ("banana", "cherry", "plum"),
    ], "changing this changes every user's questions: raise a version instead"


@pytest.mark.parametrize(
    ("example", "preferred", "mode", "kind"),
    [
        (FRUIT, "multiple_choice_grade", None, "text"),
        (FRUIT, "exact_str_match", None, "text"),
        (UNTARGETED, "multiple_choice_grade", None, "choice"),
        (UNTARGETED, "exact_str_match", None, "text"),
        (FRUIT, "multiple_choice_grade", "generate", "text"),
        (FRUIT, "exact_str_match", "choice", "choice"),
    ],
)
def test_the_mode_is_both_ways_where_it_can_be_else_follows_the_preferred_score(
    home: Path, example: dict[str, Any], preferred: str, mode: str | None, kind: str
) -> None:
    put(home, task(example, preferred_score=preferred))
    bench = Bigbench(task="t", mode=mode)
    assert bench.answer_kind == kind
    word = "choice" if kind == "choice" else "generate"
    assert bench.version.startswith(f"1-t-{word}-")


@pytest.mark.parametrize(
    ("fields", "text", "why"),
    [
        ({}, "Which fruit is yellow?", "Q: and A: are the prompt's"),
        ({"task_prefix": "Name it.\n"}, "Name it.\nWhich fruit is yellow?", "the instruction"),
        (
            {"example_input_prefix": "\nText: ", "example_output_prefix": "\nFruit: "},
            "Text: Which fruit is yellow?\nFruit:",
            "a frame of the task's own says what is wanted",
        ),
        ({"example_output_prefix": " "}, "Which fruit is yellow?", "white space says nothing"),
    ],
)
def test_the_question_keeps_the_frame(
    home: Path, fields: dict[str, str], text: str, why: str
) -> None:
    (problem,) = read(home, task(PLAIN, **fields))
    assert problem.question.text == text, why


def test_choices_are_shown_as_the_task_says(home: Path) -> None:
    (bare,) = read(home, task(FRUIT, append_choices_to_input=False))
    assert bare.question.text == PLAIN["input"]
    (marked,) = read(home, task(FRUIT, choice_prefix=" / "))
    assert marked.question.text.startswith(f"{PLAIN['input']} / ")


@pytest.mark.parametrize(
    ("target", "answer", "outcome"),
    [
        ("banana", "The answer is Banana.", "correct"),
        (["banana", "plantain"], "The answer is plantain.", "correct"),
        (["banana", "plantain"], "The answer is a plum.", "wrong"),
        (["!", "plantain"], "The answer is plantain.", "correct"),
        (["1,130"], "So the answer is 1130.", "correct"),
        (["7", "-7"], "The answer is -7.", "correct"),
    ],
)
def test_every_target_counts(home: Path, target: object, answer: str, outcome: str) -> None:
    (problem,) = read(home, task({"input": "?", "target": target}))
    attempt = Attempt(text=answer, stop_reason="stop")
    assert score_attempt(attempt, problem).outcome == outcome


@pytest.mark.parametrize("appends", [True, False])
def test_options_are_hidden_or_shown_as_asked(home: Path, *, appends: bool) -> None:
    put(home, task(FRUIT, append_choices_to_input=appends))
    texts = {
        options: load_benchmark(parse_spec(f"bigbench:t{options}")).problems()[0].question.text
        for options in ("", ",options=hide", ",options=show", ",options=show,mode=generate")
    }
    assert texts[",options=hide"] == "Which fruit is yellow?"
    assert texts[",options=show"].count("\n  choice: ") == 3
    assert texts[",options=show,mode=generate"] == texts[",options=show"]
    assert texts[""] == texts[",options=show" if appends else ",options=hide"]
    specs = ("bigbench:t", "bigbench:t,options=hide", "bigbench:t,options=show")
    assert len({load_benchmark(parse_spec(spec)).version for spec in specs}) == 3


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("bigbench:t,options=no", "options is 'no', must be hide or show"),
        ("bigbench:t,options=hide,mode=choice", "but mode=choice shows them"),
        ("bigbench:t,options=show", "examples[0].target_scores: missing"),
    ],
)
def test_options_that_cannot_be_shown(home: Path, spec: str, says: str) -> None:
    put(home, task(PLAIN))
    with pytest.raises(UsageError) as caught:
        load_benchmark(parse_spec(spec)).problems()
    assert says in str(caught.value)


def test_zero_is_chance_only_where_no_options_are_shown(home: Path, tmp_path: Path) -> None:
    put(home, task(*({**FRUIT, "input": f"Fruit {i}?"} for i in range(3))))
    units: dict[str, str] = {}
    for options in ("hide", "show"):
        spec = f"bigbench:t,options={options}"
        names = ["zero-shot-cot", "--bench", spec, "--log-dir", str(tmp_path / "logs")]
        command = ["compare", "--model", "simulated/8b", "--format", "json", "--strategy", *names]
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 0, result.output
        (units[options],) = set(re.findall(r"0 (?:chance|none right), 100 best", result.stdout))
    assert units == {"hide": "0 chance, 100 best", "show": "0 none right, 100 best"}


@pytest.mark.parametrize("mode", [None, "choice"])
def test_an_explained_target_is_an_option_and_its_rationale(home: Path, mode: str | None) -> None:
    scores = {"Yes": 1, "No": 0}
    problems = read(
        home,
        task(
            {
                "input": "Is ice cold?",
                "target": "Yes. It is frozen.  Water, too.",
                "target_scores": scores,
            },
            {
                "input": "Is tea?",
                "target": "no: it is brewed",
                "target_scores": {"Yes": 0, "No": 1},
            },
            {"input": "Is rain?", "target": "Yes", "target_scores": scores},
            {"input": "Is snow?", "target": "Yesterday. It was.", "target_scores": scores},
        ),
        mode,
    )
    rationales = ["It is frozen.  Water, too.", "it is brewed", None, None]
    assert [problem.rationale for problem in problems] == rationales
    golds = ["Yes", "No", "Yes", "Yes" if mode else "Yesterday. It was."]
    assert [problem.gold for problem in problems] == golds
    assert Bigbench(task="t", mode=mode).version.startswith("2-t-")
    for problem in problems[:3]:
        text = Attempt(text=f"So the answer is {problem.gold}.", stop_reason="stop")
        assert score_attempt(text, problem).outcome == "correct"


def test_numbers_are_numbers_only_if_all_are(home: Path) -> None:
    one, two = {"input": "1+1?", "target": "2"}, {"input": "Who?", "target": "Ann"}
    assert read(home, task(one))[0].question.answer_kind == "number"
    assert {p.question.answer_kind for p in read(home, task(one, two))} == {"text"}


def test_tied_options_are_all_right(home: Path) -> None:
    tied = {"input": "?", "target_scores": {"-3": 1, "3": 0, "three": 1}}
    (problem,) = read(home, task(tied), "choice")
    right = {c for c in problem.question.choices if c != "3"}
    assert {problem.gold, *problem.also} == right
    for letter, choice in zip("ABC", problem.question.choices, strict=True):
        attempt = Attempt(text=f"The answer is ({letter}).", stop_reason="stop")
        wanted = "correct" if choice in right else "wrong"
        assert score_attempt(attempt, problem).outcome == wanted, (
            '"-3" is not "3", although punctuation is not compared in texts'
        )
    (written,) = read(home, task(tied), "generate")
    assert {written.gold, *written.also} == right, "without targets, the best-scored options"


def test_subtasks_one_or_all(home: Path) -> None:
    put(home, {"name": "sums"}, "sums")
    put(home, task({"input": "1+1?", "target": "2"}), "sums/easy")
    put(home, task({"input": "9+9?", "target": "18"}), "sums/hard")
    both = [p.question.id for p in Bigbench(task="sums").problems()]
    assert both == ["bigbench/sums/easy/0", "bigbench/sums/hard/0"]
    one = load_benchmark(parse_spec("bigbench:sums/hard"))
    assert [p.question.id for p in one.problems()] == both[1:]


def test_an_example_that_stands_there_twice_counts_once(home: Path) -> None:
    found = read(home, task(PLAIN, PLAIN, {**PLAIN, "target": "plum"}))
    assert [p.question.id for p in found] == ["bigbench/t/0", "bigbench/t/2"]


def test_another_file_is_another_version(home: Path) -> None:
    put(home, task(PLAIN))
    before = Bigbench(task="t").version
    put(home, task({**PLAIN, "target": "plum"}))
    assert Bigbench(task="t").version != before


# --- what is refused


@pytest.mark.parametrize(
    ("content", "mode", "says"),
    [
        (b"", None, ": empty"),
        (b"{\n\n  oops", None, ":3: not JSON"),
        (b'{"examples":\n "\xff"}', None, ":2: not UTF-8"),
        (b"[" * 100_000, None, ": not JSON"),
        ({"name": "t"}, None, ":examples: no examples"),
        (task(), None, ":examples: no examples"),
        (task(PLAIN, 7), None, ":examples[1]: must be an object"),
        (task({"target": "x"}), None, "examples[0].input: must be text"),
        (task({"input": " ", "target": "x"}), None, "examples[0].input: empty"),
        (task(PLAIN, {"input": "?"}), None, "examples[1].target_scores: missing"),
        (task(PLAIN, {"input": "?", "target": "..."}), None, "examples[1].target: no reader"),
        (task({"input": "?", "target": 3}), None, "examples[0].target: no reader"),
        (task({"input": "?", "target": []}), None, "examples[0].target: no reader"),
        (task(PLAIN), "choice", "examples[0].target_scores: missing"),
        (task({**FRUIT, "target_scores": {"a": 0, "b": 0}}), "choice", "all score 0"),
        (task({**FRUIT, "target_scores": {"a": 1, "b": 1}}), "choice", "all score 1"),
        (task({**FRUIT, "target_scores": {"a": -1, "b": 0}}), "choice", "the best scores 0"),
        (task({**FRUIT, "target_scores": {"a": -1, "b": 1}}), "generate", "an option scores -1"),
        (task({**FRUIT, "target_scores": {"a": "1", "b": 0}}), "choice", "'a' is no number"),
        (task({**FRUIT, "target_scores": {" ": 1, "b": 0}}), "choice", "an option is empty"),
        (task({**FRUIT, "target_scores": {"a": 1}}), "choice", "1 options, must be 2 to 26"),
        (task({**FRUIT, "target_scores": {str(n): n for n in range(27)}}), "choice", "2 to 26"),
        (
            b'{"examples": [{"input": "?", "target_scores": {"a": 1, "b": 0, "a": 0}}]}',
            "choice",
            "examples[0].target_scores: option 'a' stands there twice",
        ),
        (task(PLAIN, task_prefix=3), None, ":task_prefix: must be text"),
    ],
)
def test_bad_files(home: Path, content: object, mode: str | None, says: str) -> None:
    with pytest.raises(BadInputError) as caught:
        read(home, content, mode)
    text = str(caught.value)
    assert text.startswith(str(home / "data/bigbench/t/task.json"))
    assert says in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("spec", "error", "says"),
    [
        ("bigbench", UsageError, "bigbench:task=..."),
        ("bigbench:../etc", UsageError, "folder's name"),
        ("bigbench:t,mode=both", UsageError, "generate or choice"),
        ("bigbench:emoji_movi", UnknownNameError, "did you mean emoji_movie"),
        ("bigbench:emoji_movie", MissingDataError, "$COTKIT_DATA_DIR/bigbench/emoji_movie/"),
    ],
)
def test_what_cannot_be_had(home: Path, spec: str, error: type[Exception], says: str) -> None:
    with pytest.raises(error) as caught:
        load_benchmark(parse_spec(spec)).problems()
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("bigbench:emoji_movie", "bigbench:task=emoji_movie"),
        ("bigbench:task=emoji_movie,mode=choice", "bigbench:mode=choice,task=emoji_movie"),
        ("bigbench:arithmetic/3_digit_addition,mode=choice", None),
        ("mmlu:abstract_algebra", "mmlu:subject=abstract_algebra"),
    ],
)
def test_the_short_form(text: str, canonical: str | None) -> None:
    wanted = canonical or "bigbench:mode=choice,task=arithmetic/3_digit_addition"
    assert str(parse_spec(text)) == wanted
    assert str(parse_spec(wanted)) == wanted


# --- the source package


def archive(files: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{task_file.PACKAGE.folder}{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return data.getvalue() + b"\0" * 200_000  # what stands behind the end is part of the hash


TASKS = {
    "emoji_movie/task.json": json.dumps(task(PLAIN)).encode(),
    "emoji_movie/README.md": b"no",
    "emoji_movie/../../evil/task.json": b"no",
    "arithmetic/task.json": b'{"name": "arithmetic"}',
    "arithmetic/one/task.json": json.dumps(task({"input": "1+1?", "target": "2"})).encode(),
}


@pytest.fixture
def pinned(home: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """An archive that counts as the release."""
    data = archive(TASKS)
    package = task_file.TaskPackage(
        name="bigbench",
        archive="bigbench-1.0.0.tar.gz",
        sha256=hashlib.sha256(data).hexdigest(),
        folder=task_file.PACKAGE.folder,
    )
    monkeypatch.setattr(task_file, "PACKAGE", package)
    return data


LINK = b'<a\n rel="x" href="../../files/bigbench-1.0.0.tar.gz#sha256=0">bigbench-1.0.0.tar.gz</a>'


def test_a_task_is_fetched_once(home: Path, pinned: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"/simple/bigbench/": LINK, "/files/bigbench-1.0.0.tar.gz": pinned}
    said: list[str] = []
    with serving(files) as (base, asked):
        monkeypatch.setenv("COTKIT_INDEX_URL", f"{base}/simple")
        for _ in range(2):
            bench = load_benchmark(parse_spec("bigbench:emoji_movie"), said.append)
            assert bench.problems()[0].gold == "banana"
        assert asked == ["/simple/bigbench/", "/files/bigbench-1.0.0.tar.gz"]
        with pytest.raises(UnknownNameError, match="arithmetic/one"):
            Bigbench(task="arithmetic/two").problems()
        assert len(Bigbench(task="arithmetic/one").problems()) == 1
        assert len(asked) == 4, "a subtask brings its siblings"
    kept = {
        p.relative_to(home / "cache").as_posix() for p in home.glob("cache/**/*.*") if p.is_file()
    }
    root = "data/bigbench-1.0.0"
    assert kept == {f"{root}/{n}" for n in TASKS if "README" not in n and ".." not in n}
    assert "fetching emoji_movie" in said[0]
    assert any(line.startswith("read ") for line in said)


@pytest.mark.parametrize(
    ("page", "damage", "says"),
    [
        (b"<a href='bigbench-0.9.tar.gz'>", b"", "has no bigbench-1.0.0.tar.gz"),
        (LINK, b"more", "wrong sha256"),
    ],
)
def test_another_archive_is_refused(
    pinned: bytes, monkeypatch: pytest.MonkeyPatch, page: bytes, damage: bytes, says: str
) -> None:
    files = {"/simple/bigbench/": page, "/files/bigbench-1.0.0.tar.gz": pinned + damage}
    with serving(files) as (base, _):
        monkeypatch.setenv("COTKIT_INDEX_URL", f"{base}/simple/")
        with pytest.raises(MissingDataError) as caught:
            Bigbench(task="emoji_movie").problems()
    assert says in str(caught.value)
    cache = Path(os.environ["COTKIT_CACHE_DIR"])
    assert not list(cache.glob("**/task.json")), "nothing half-written"


def test_an_archive_that_breaks_off(
    home: Path, pinned: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"/simple/bigbench/": LINK, "/files/bigbench-1.0.0.tar.gz": pinned[:300]}
    with serving(files) as (base, _):
        monkeypatch.setenv("COTKIT_INDEX_URL", f"{base}/simple/")
        with pytest.raises(MissingDataError, match="cannot be fetched"):
            Bigbench(task="emoji_movie").problems()
    assert not (home / "cache").exists()


def test_a_password_in_the_index_url_is_not_told(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COTKIT_INDEX_URL", "http://me:secret@127.0.0.1:9/simple")
    with pytest.raises(MissingDataError) as caught:
        Bigbench(task="emoji_movie").problems()
    assert "secret" not in str(caught.value)


# --- the real files

DATA = Path(os.environ.get("COTKIT_DATA_DIR", "-")) / "bigbench"
NEEDS_FILES = pytest.mark.skipif(
    not (DATA / "emoji_movie" / "task.json").is_file(),
    reason="needs BIG-bench tasks: set COTKIT_DATA_DIR",
)


@NEEDS_FILES
def test_emoji_movie_facts() -> None:
    written = Bigbench(task="emoji_movie", mode="generate").problems()
    chosen = Bigbench(task="emoji_movie", mode="choice").problems()
    assert [p.question.id for p in written] == [p.question.id for p in chosen]
    assert [p.gold for p in written] == [p.gold for p in chosen], "five choices, one target"
    assert len(chosen) == 100
    assert {len(p.question.choices) for p in chosen} == {5}
    places = Counter(p.question.choices.index(p.gold) for p in chosen)
    assert all(10 <= places[at] <= 30 for at in range(5)), places


@NEEDS_FILES
@pytest.mark.parametrize(
    ("name", "n", "kind"),
    [
        ("arithmetic/3_digit_addition", 1000, "number"),
        ("modified_arithmetic/three_digit_addition_plus_one", 1000, "number"),
        ("word_unscrambling", 8917, "text"),
        ("international_phonetic_alphabet_transliterate", 1003, "text"),
        ("periodic_elements", 654, "text"),
        ("swahili_english_proverbs", 153, "choice"),
        ("hinglish_toxicity", 200, "choice"),
        ("figure_of_speech_detection", 59, "choice"),
    ],
)
def test_task_facts(name: str, n: int, kind: str) -> None:
    bench = Bigbench(task=name)
    assert bench.answer_kind == kind
    assert n * 0.99 <= len(bench.problems()) <= n, "but for examples that stand there twice"
