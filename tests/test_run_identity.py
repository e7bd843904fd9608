"""What changes a run's id and what does not; stores of cotkit 0.1; scores of an earlier scorer."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

import cotkit
from cotkit import prompting, registry
from cotkit.backends.simulated import Simulated
from cotkit.errors import UsageError
from cotkit.events import Event, RunEnded, Said
from cotkit.identity import canonical_json, code_text
from cotkit.prompting import locked_files
from cotkit.protocols import Backend
from cotkit.registry import parse_spec
from cotkit.run import ExecutionResult, Plan, RunSpec, make_plan
from cotkit.run import identity as run_identity
from cotkit.run.identity import change_since_0_1
from cotkit.run.loop import run_to_end
from cotkit.run.runner import reread
from cotkit.scoring import READERS
from cotkit.scoring.score import SCORER_VERSION
from cotkit.store import AttemptRow, Place, Store
from cotkit.strategies.cot import Cot
from cotkit.strategies.few_shot import FewShot
from cotkit.types import BackendInfo, Completion
from cotkit.workflows.compare import analyse
from cotkit.workflows.scale import ScaleOptions, ScaleResult, scale_runs
from cotkit.workflows.stored_run import load_part
from tests.conftest import REPOSITORY, Sums
from tests.lock_strategies import (
    COMMAND,
    FOLDER,
    Locked,
    built_in,
    changed_strategies,
    current_strategies,
    locked_strategies,
    source_hash,
)
from tests.request_keys import LABEL_STRATEGIES, VARIANTS, Fixed, all_keys, follow
from tests.test_cli import cotkit as command

INFO = BackendInfo(backend="b", model="m", fingerprint="f")
DATABASE = Path("logs/cotkit.db")
SCORER = "cotkit.scoring.score.SCORER_VERSION"


@pytest.fixture(autouse=True)
def no_file_of_another_test() -> None:
    registry.load_file.cache_clear()


def plan(strategy: str = "cot", **changed: object) -> Plan:
    spec = RunSpec(model="m", strategies=(strategy,), limit=5)
    return make_plan(dataclasses.replace(spec, **changed), Sums())


def run_id(strategy: str = "cot") -> str:
    return plan(strategy).run_id(INFO)


# --- what never changes an id

MINE = '''
"""My idea."""

from dataclasses import dataclass
from typing import ClassVar

from cotkit.strategies.cot import Cot


@dataclass(frozen=True, kw_only=True)
class Mine(Cot):
    """Mine."""

    shift: int = 1
'''


def test_no_source_of_a_built_in_strategy_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """So no comment, no docstring and no other strategy's file can change an id."""
    before = run_id()

    def refuse(strategy: object) -> bytes:
        raise AssertionError(f"the source of {strategy} was read")

    monkeypatch.setattr(run_identity, "_source", refuse)
    assert run_id() == before


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("", "", True),
        ("    shift: int = 1\n", "    # why\n    shift: int = 1  # one\n\n\n", True),
        ('"""Mine."""', '"""Mine, in other words."""\n    """And more."""', True),
        ('"""My idea."""\n', "", True),
        ("shift: int = 1", "shift: int = 2", False),
        ("(Cot)", "( Cot)", False),
    ],
)
def test_a_one_off_file_counts_without_comments_and_docstrings(
    old: str, new: str, same: bool
) -> None:
    Path("mine.py").write_text(MINE)
    before = run_id("./mine.py")
    assert plan("./mine.py").content(INFO) == plan("./mine.py").content(INFO)
    Path("mine.py").write_text(MINE.replace(old, new, 1))
    assert (run_id("./mine.py") == before) is same


def test_new_prompts_readers_and_scorers_change_no_id(monkeypatch: pytest.MonkeyPatch) -> None:
    before = run_id()
    more = {**locked_files(), "another.v1.jinja": "0", "standard.v1.jinja": "changed"}
    monkeypatch.setattr(run_identity, "locked_files", lambda: more)
    monkeypatch.setattr(SCORER, "99")
    readers = {**READERS, "another": READERS["flexible"]}
    monkeypatch.setattr("cotkit.scoring.READERS", readers)
    monkeypatch.setattr("cotkit.scoring.readers.READERS", readers)
    assert run_id() == before


# --- what does


@pytest.mark.parametrize("file", ["cot.v1.jinja", "answer.v1.jinja", "few-shot.v1.jinja"])
def test_a_prompt_that_an_arm_renders_changes_the_id(
    file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = run_id()
    monkeypatch.setattr(run_identity, "locked_files", lambda: {**locked_files(), file: "changed"})
    assert run_id() != before


@pytest.mark.parametrize("cls", [Cot, FewShot])
def test_a_version_changes_the_id(
    cls: type[Cot | FewShot], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = run_id()
    monkeypatch.setattr(cls, "version", 2)
    assert run_id() != before


def test_a_default_and_a_field_change_the_id(monkeypatch: pytest.MonkeyPatch) -> None:
    before = run_id()
    assert plan(generation={"top_p": "0.9"}).run_id(INFO) != before
    assert plan(exemplar_seed=2).run_id(INFO) != before
    defaults = Cot.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "max_tokens", 257)
    assert run_id() != before


def test_a_content_holds_what_its_arms_are_and_nothing_else() -> None:
    Path("mine.py").write_text(MINE)
    content = json.loads(canonical_json(plan("./mine.py").content(INFO)))
    assert set(content) == {"backend", "bench", "problems", "arms", "pairs", "reader", "margin"}
    assert set(content["arms"]) == {"few-shot", "./mine.py"}
    assert set(content["arms"]["few-shot"]) == {"strategy", "version", "fields", "prompts"}
    assert content["arms"]["few-shot"]["prompts"] == {
        file: locked_files()[file] for file in ("few-shot.v1.jinja", "answer.v1.jinja")
    }
    assert set(content["arms"]["./mine.py"]) == {
        *("strategy", "version", "fields", "prompts", "source")
    }, "the version and prompts of what it is built on, and its own source"


# --- declared prompts and the lock on sources

CASES = sorted({*built_in(), *(spec for specs in VARIANTS.values() for spec in specs)})


@pytest.mark.parametrize("strategy", CASES)
def test_a_strategy_reads_the_prompts_that_it_declares(
    strategy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = "choice" if parse_spec(strategy).name in LABEL_STRATEGIES else "number"
    spec = RunSpec(
        model="none", strategies=(strategy,), exemplars="builtin:4", run_unsafe_code=True
    )
    drawn = make_plan(spec, Fixed(answer_kind=kind))
    arm = next(arm for arm in drawn.arms if arm.name == str(parse_spec(strategy)))
    files: set[str] = set()

    def record(name: str, resource: Callable[[str], Path] = prompting.resource) -> Path:
        files.add(name.removeprefix("prompts/"))
        return resource(name)

    prompting._jinja_environment.cache_clear()
    prompting._render_around_question.cache_clear()
    monkeypatch.setattr(prompting, "resource", record)
    follow(arm, drawn.problems[0], "flexible")
    declared: tuple[str, ...] = getattr(arm.strategy, "prompts")  # noqa: B009 - no protocol has it
    assert files - {"LOCK.toml"} == set(declared)
    assert len(declared) == len(set(declared))


def test_a_changed_strategy_has_another_version_or_was_found_to_behave_as_before() -> None:
    changes = changed_strategies(locked_strategies(), current_strategies())
    said = "; ".join(f"{name} {change}" for name, change in changes.items())
    assert not changes, (
        f"{said}. If it could ask or return anything else, raise `version` in its class; in any "
        f"case then run, to lock it as it is now: {COMMAND}"
    )


@pytest.mark.parametrize(
    ("version", "source", "change"),
    [
        (1, "a", None),
        (1, "b", "changed, and is still of version 1"),
        (2, "b", "is of version 2 now"),
        (0, "a", "went back from version 1 to 0"),
    ],
)
def test_the_lock_names_what_does_not_fit(version: int, source: str, change: str | None) -> None:
    before = {"cot": Locked(version=1, source="a")}
    found = changed_strategies(before, {"cot": Locked(version=version, source=source)})
    assert found.get("cot") == change
    assert changed_strategies({}, before) == {"cot": "is new"}
    assert changed_strategies(before, {}) == {"cot": "is gone"}


def test_the_lock_is_of_code_and_of_all_that_is_imported(tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(FOLDER, folder)
    before = {stem: source_hash(stem, folder) for stem in ("q_if", "cot", "standard")}
    assert before["q_if"] == source_hash("q_if")

    def changed(file: str, more: str) -> set[str]:
        path = folder / file
        text = path.read_text(encoding="utf-8")
        path.write_text(text + more, encoding="utf-8")
        stems = {stem for stem in before if source_hash(stem, folder) != before[stem]}
        path.write_text(text, encoding="utf-8")
        return stems

    assert changed("_base.py", '\n\n# a comment\n"""Words."""\n') == set()
    assert changed("_base.py", "\nX = 1\n") == {"q_if", "cot", "standard"}
    assert changed("_calculator.py", "\nX = 1\n") == {"cot"}
    assert changed("self_correct.py", "\nX = 1\n") == {"q_if"}
    assert changed("_labels.py", "\nX = 1\n") == set()


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("x = 1  # one\n\n\n# two\ny = 2   \n", "x = 1\ny = 2"),
        ('"""Doc\n\nmore."""\nx = 1\n', "x = 1"),
        ('class A:\n    """é"""\n\n    x: int = 1\n    """Of é."""\n', "class A:\n    x: int = 1"),
        ("é = 'ü # no comment'  # é\n", "é = 'ü # no comment'"),
        ('x = """a  \n\n# b  \n"""  # c\n', 'x = """a  \n\n# b  \n"""'),
        ('x = f"""a  \n\n{1}  \n"""\n', 'x = f"""a  \n\n{1}  \n"""'),
        ('def f():\n    "a"; return 1\n', "def f():\n    ; return 1"),
        ("x = 1\r\ny = 2\r\n", "x = 1\ny = 2"),
    ],
)
def test_code_is_source_without_comments_and_docstrings(source: str, code: str) -> None:
    assert code_text(source) == code


# --- completions keep their keys


def test_request_keys_and_seeds_are_those_of_0_1() -> None:
    path = REPOSITORY / "tests/cases/request_keys-0.1.json"
    recorded: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    current = {(entry["case"], entry["sample"]): entry for entry in all_keys()}
    assert len(recorded) == 200
    for entry in recorded:
        assert current[entry["case"], entry["sample"]] == entry


# --- stores of 0.1

LADDER_IDS = ("0f448eac53a6", "0eb714def9d8", "87cdcfe6416c")
UNFINISHED_ID = "ff5c095f4516"
TRUSTED = "id and spec are taken as stored, not computed again"
SAME = ("--strategy", "cot,zero-shot-cot", "--limit", "5", "--exemplars", "builtin:2")


@pytest.fixture
def old_store() -> Path:
    """A store that cotkit 0.1 wrote: three sizes on one benchmark, and a run cut off."""
    DATABASE.parent.mkdir()
    return Path(shutil.copy(REPOSITORY / "tests/cases/store-0.1.db", DATABASE))


def n_completions() -> int:
    with sqlite3.connect(DATABASE) as db:
        return db.execute("SELECT count(*) FROM completion").fetchone()[0]


@pytest.mark.usefixtures("old_store")
@pytest.mark.parametrize("run", [(), (UNFINISHED_ID,)])
def test_a_run_of_0_1_is_resumed_under_its_id(run: tuple[str, ...]) -> None:
    before = n_completions()
    with Store(DATABASE) as store:
        content = store.run_content(UNFINISHED_ID)
    done = command("resume", *run)
    assert done.returncode == 0, done.stderr
    note = f"run {UNFINISHED_ID} was made by cotkit 0.1: id and spec are taken as stored"
    assert " ".join(done.stdout.split()).count(note) == 1
    assert n_completions() == before + 8, "half of it was there"
    with Store(DATABASE) as store:
        assert len(store.runs()) == 4
        assert store.run(UNFINISHED_ID).status == "complete"
        assert store.run_content(UNFINISHED_ID) == content, "what 0.1 recorded stays"
    again = command("resume", UNFINISHED_ID)
    assert (again.returncode, n_completions()) == (0, before + 8)


@pytest.mark.usefixtures("old_store")
def test_a_run_of_0_1_that_would_now_be_another_is_not_resumed() -> None:
    Store(DATABASE).__exit__()
    with sqlite3.connect(DATABASE) as db:
        db.execute("UPDATE run SET spec = json_set(spec, '$.margin', 0.07)")
    done = command("resume", UNFINISHED_ID)
    assert done.returncode == 2
    assert "cannot be resumed" in done.stderr


@pytest.mark.usefixtures("old_store")
def test_the_same_command_generates_nothing_in_a_store_of_0_1() -> None:
    before = n_completions()
    done = command("compare", "--model", "simulated/300b", *SAME)
    assert done.returncode == 0, done.stderr
    assert ", 0 to make" in done.stderr
    assert LADDER_IDS[2] not in done.stderr, "a new id"
    assert n_completions() == before


@pytest.mark.usefixtures("old_store")
def test_a_run_of_0_1_is_reported_under_its_id() -> None:
    with Store(DATABASE) as store:
        part = load_part(store, store.run(LADDER_IDS[0]), lambda _: None)
    assert part.comparison.run_id == LADDER_IDS[0]
    note = f"run {LADDER_IDS[0]} was made by cotkit 0.1: {TRUSTED}"
    assert [text for text in part.comparison.notes if "cotkit" in text] == [note]
    done = command("report", LADDER_IDS[0], "--html", "out.html")
    assert done.returncode == 0, done.stderr
    assert "made by cotkit 0.1" in Path("out.html").read_text(encoding="utf-8")


@pytest.mark.usefixtures("old_store")
def test_attempts_of_0_1_are_shown() -> None:
    done = command("show", "attempt", LADDER_IDS[0], "cot", "gsm-mini/014")
    assert done.returncode == 0, done.stderr
    assert "flexible" in done.stdout
    assert "resume" in done.stderr, "of an earlier scorer, and it says how to read them again"
    assert UNFINISHED_ID in command("list", "runs").stdout


@pytest.mark.usefixtures("old_store")
def test_runs_of_0_1_and_new_ones_stand_on_one_curve() -> None:
    (scale,) = read_runs(LADDER_IDS).scales
    assert scale.origin is not None
    assert tuple(scale.origin.runs.values()) == LADDER_IDS
    note = f"runs {', '.join(LADDER_IDS)} were made by cotkit 0.1: {TRUSTED}"
    assert [text for text in scale.notes if "cotkit 0.1" in text] == [note]
    options: dict[str, Any] = {"limit": 5, "exemplars": "builtin:2"}
    new = cotkit.compare("simulated/70b", ["cot", "zero-shot-cot"], "gsm-mini", **options).run_id
    (mixed,) = read_runs([new, *LADDER_IDS]).scales
    assert len(mixed.answers[0].points) == 4
    assert sum("cotkit 0.1" in note for note in mixed.notes) == 1


@pytest.mark.usefixtures("old_store")
@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"seed": 1}, "problems"),
        ({"limit": 6}, "problems"),
        ({"generation": {"max_tokens": "77"}}, "the max_tokens of cot, 77 and 256"),
        ({"exemplars": "builtin:3"}, "the exemplars of cot"),
        ({"reader": "strict"}, 'reader, "strict" and "flexible"'),
    ],
    ids=str,
)
def test_new_runs_that_differ_from_those_of_0_1_are_refused(
    changed: dict[str, Any], field: str
) -> None:
    options: dict[str, Any] = {"limit": 5, "exemplars": "builtin:2"} | changed
    new = cotkit.compare("simulated/70b", "cot", "gsm-mini", **options).run_id
    with pytest.raises(UsageError, match=f"they differ in {field}"):
        read_runs([new, LADDER_IDS[0]])


def read_runs(run_ids: Sequence[str]) -> ScaleResult:
    return scale_runs(run_ids, ScaleOptions(), margin=0.02, seed=0, log_dir=Path("logs"))


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({}, None),
        ({"margin": 0.5}, "margin, 0.5 and 0.02"),
        ({"arms": {}}, "arms"),
        ({"scorer": ["1", "strict"]}, 'reader, "strict" and "flexible"'),
        ({"edited": True}, "the code of ./mine.py"),
    ],
    ids=str,
)
def test_a_run_of_0_1_is_trusted_as_far_as_it_says_the_same(
    changed: dict[str, object], field: str | None
) -> None:
    Path("mine.py").write_text(MINE)
    drawn = plan("./mine.py")
    now = drawn.content(INFO)
    current = json.loads(canonical_json(now))
    arms = {arm.name: arm.strategy for arm in drawn.arms}
    own = hashlib.sha256(MINE.encode()).hexdigest()
    content = {key: value for key, value in current.items() if key != "reader"} | {
        "scorer": ["2", "flexible"],
        "prompts": locked_files(),
        "arms": {name: [arm["fields"], own] for name, arm in current["arms"].items()},
    }
    if changed == {"edited": True}:
        Path("mine.py").write_text(f"{MINE}# edited\n")
        changed = {}
    assert change_since_0_1(content | changed, now, arms) == field
    assert change_since_0_1({}, now, arms) is None, "its first versions recorded nothing"


# --- scores of an earlier scorer


class Silent(Simulated):
    """A model that must not be asked."""

    async def generate(self, request: object) -> tuple[Completion, ...]:
        raise AssertionError(f"asked {request}")


def model(cls: type[Simulated] = Simulated) -> Backend:
    return cast("Backend", cls(problems=Sums().problems(), model="70b"))


def compare(
    cls: type[Simulated] = Simulated, strategy: str = "cot"
) -> tuple[cotkit.Comparison, list[Event]]:
    events: list[Event] = []
    found = cotkit.compare(model(cls), strategy, Sums(n=6), on_event=events.append)
    return found, events


def spoil_scores() -> None:
    """Make all stored scores those of an earlier scorer that found everything wrong."""
    date_scores()
    with sqlite3.connect(DATABASE) as db:
        db.execute("UPDATE attempt SET outcome = 'wrong'")


def date_scores() -> None:
    """Make all stored scores those of an earlier scorer."""
    with sqlite3.connect(DATABASE) as db:
        db.execute("UPDATE attempt SET scorer_version = '1'")


def rows_of(run: str) -> list[AttemptRow]:
    with Store(DATABASE) as store:
        return store.attempts(run)


@pytest.mark.parametrize("strategy", ["cot", "zero-shot-cot", "self-consistency", "self-review"])
def test_a_new_scorer_reads_again_and_asks_nothing(
    strategy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = compare(strategy=strategy)
    rows = rows_of(first.run_id)
    assert {row.scorer_version for row in rows} == {SCORER_VERSION}
    monkeypatch.setattr(SCORER, "3")
    spoil_scores()
    again, events = compare(Silent, strategy)
    assert again == first, "the same id, and the same scores"
    assert [event.n_generated for event in events if isinstance(event, RunEnded)] == [0]
    assert sum("read again" in event.text for event in events if isinstance(event, Said)) == 1
    fresh = [
        dataclasses.replace(row, scorer_version=SCORER_VERSION) for row in rows_of(first.run_id)
    ]
    assert fresh == rows
    _, events = compare(Silent, strategy)
    assert not [event for event in events if isinstance(event, Said)], "once"


def test_what_cannot_be_read_again_stays_and_a_note_says_so() -> None:
    first, _ = compare()
    spoil_scores()
    assert not [note for note in notes_on(first.run_id, 12) if "scorer" in note]
    date_scores()
    with sqlite3.connect(DATABASE) as db:
        db.execute(
            "DELETE FROM completion WHERE key IN (SELECT json_extract(turns, '$[0][0]') "
            "FROM attempt WHERE arm = 'cot' AND problem_id = 'sums/1')"
        )
    notes = [note for note in notes_on(first.run_id, 0) if "scorer" in note]
    assert len(notes) == 1
    assert notes[0].startswith("12 attempts keep the scores of another version of the scorer")
    _, events = compare()
    assert [event.n_generated for event in events if isinstance(event, RunEnded)] == [1]
    assert {row.scorer_version for row in rows_of(first.run_id)} == {SCORER_VERSION}


def notes_on(run: str, n_expected: int) -> tuple[str, ...]:
    with Store(DATABASE) as store:
        drawn = make_plan(RunSpec(model="given", strategies=("cot",)), Sums(n=6))
        _, info = store.run_backend(run)
        assert drawn.run_id(info) == run
        n_reread = run_to_end(reread(drawn, info, store))
        assert n_reread == n_expected
        done = ExecutionResult(rows=tuple(store.attempts(run)), ended_by=None)
    return analyse(drawn, info, done, None).notes


def test_report_scale_and_show_of_scores_of_an_earlier_scorer() -> None:
    options: dict[str, Any] = {"limit": 4}
    runs = [cotkit.compare(f"simulated/{size}", "cot", **options) for size in ("1b", "300b")]
    spoil_scores()
    done = command("show", "attempt", runs[0].run_id, "cot", "gsm-mini/014")
    assert f"of version 1 of the scorer, which is now of version {SCORER_VERSION}" in done.stderr
    with Store(DATABASE) as store:
        part = load_part(store, store.run(runs[0].run_id), lambda _: None)
        moved = f"read again by scorer version {SCORER_VERSION}: 0 of 8 outcomes moved"
        assert part.comparison == dataclasses.replace(runs[0], notes=(*runs[0].notes, moved))
        assert not store.n_outdated(runs[0].run_id, [SCORER_VERSION])
    spoil_scores()
    read_runs([run.run_id for run in runs])
    with Store(DATABASE) as store:
        assert not any(store.n_outdated(run.run_id, [SCORER_VERSION]) for run in runs)
    spoil_scores()
    cotkit.scale(["simulated/1b", "simulated/300b"], "cot", **options)
    with Store(DATABASE) as store:
        assert not any(store.n_outdated(run.run_id, [SCORER_VERSION]) for run in runs)


def test_either_store_knows_which_scorer_scored(place: Place) -> None:
    with Store(place) as store:
        store.put_backend("key", INFO)
        store.start_run("run", "{}", "key")
        for position, version in enumerate(("", "1", "2")):
            row = AttemptRow(
                arm="cot", problem_id=str(position), outcome="wrong", scorer_version=version
            )
            store.put_attempt("run", position, row, [])
        assert [row.scorer_version for row in store.attempts("run")] == ["", "1", "2"]
        assert store.n_outdated("run", ["2"]) == 1
