"""Benchmarks: reading, refusing, fetching and drawing problems."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
import types
from collections.abc import Generator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotkit.benchmarks import (
    UserFile,
    _files,
    check_disjoint,
    draw,
    draw_exemplars,
    gsm8k,
    load_benchmark,
)
from cotkit.benchmarks.gsm8k import Gsm8k
from cotkit.benchmarks.gsm_mini import GsmMini
from cotkit.errors import BadInputError, MissingDataError, UnknownNameError, UsageError
from cotkit.registry import entries, parse_spec
from cotkit.scoring.canonical import canonical_number
from cotkit.types import Exemplar, Problem, Question

# --- gold numbers


@pytest.mark.parametrize(
    ("text", "expected", "why"),
    [
        ("39", "39", "plain"),
        (" 39 ", "39", "white space around it"),
        ("1,234", "1234", "GSM8K writes commas in 14 test golds"),
        ("1,234,567.50", "1234567.5", "commas and a trailing zero"),
        ("-3", "-3", "2 GSM8K test golds are negative"),
        ("+3", "3", "a plus says nothing"),
        ("-$5", "-5", "currency after the sign"),
        ("$12.80", "12.8", "currency"),
        ("25%", "25", "the figure, as the readers read it"),
        ("007", "7", "leading zeros"),
        ("-0", "0", "zero has no sign"),
        ("0.0", "0", "nor places"),
        ("10.", "10", "official regex keeps the point and never matches"),
        (".5", "0.5", "no whole part"),
        ("-.05", "-0.05", "zeros after the point stay"),
        ("2/8", "0.25", "a fraction that ends as a decimal"),
        ("-7/40", "-0.175", "three places from 2 * 2 * 2 * 5"),
        ("2/6", "1/3", "lowest terms where the decimal does not end"),
        ("-4/6", "-2/3", "a negative fraction"),
        ("6/3", "2", "an integer after all"),
        ("123456789012345678901234567890", "123456789012345678901234567890", "no float inside"),
        ("0.1000000000000000055", "0.1000000000000000055", "no float inside"),
        ("1/0", None, "not a number"),
        ("12,34", None, "not a thousands separator"),
        ("1,2345", None, "the same"),
        ("forty", None, "words"),
        ("3 or 4", None, "two numbers"),
        ("1e3", None, "not how golds are written"),
        ("", None, "nothing"),
        ("-", None, "a sign only"),
        (".", None, "a point only"),
        ("٣", None, "digits are ASCII"),
        ("9" * 401, None, "nobody's answer"),
    ],
)
def test_canonical_number(text: str, expected: str | None, why: str) -> None:
    assert canonical_number(text) == expected, why


@given(st.fractions(max_denominator=10**6))
def test_canonical_number_is_exact_and_stable(value: Fraction) -> None:
    written = canonical_number(f"{value.numerator}/{value.denominator}")
    assert written is not None
    assert Fraction(written) == value
    assert canonical_number(written) == written


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6))
def test_canonical_number_reads_decimals(value: Decimal) -> None:
    written = canonical_number(f"{value:f}")
    assert written is not None
    assert Fraction(written) == Fraction(value)


# --- files of the user's own


def write(path: Path, *lines: object) -> Path:
    text = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(text) + "\n", encoding="utf-8")
    return path


GOOD = {"question": "How many?", "answer": "3"}


def test_user_file_reads_every_field(tmp_path: Path) -> None:
    path = write(
        tmp_path / "mine.jsonl",
        {
            "id": "a",
            "question": "Half of 5?\u2028In \u20ac.",
            "answer": "2.50",
            "rationale": "5 / 2 = 2.5.",
            "n_steps": 1,
            "cluster": "halves",
            "note": "unknown fields are the user's business",
        },
        "",
        {"question": "How many?", "answer": 1234},
        '{"question": "How much?", "answer": 0.10000000000000000001}',
    )
    first, second, third = UserFile(path=path).problems()
    assert first == Problem(
        question=Question(id="a", text="Half of 5?\u2028In \u20ac."),
        gold="2.5",
        rationale="5 / 2 = 2.5.",
        n_steps=1,
        cluster="halves",
    )
    assert second == Problem(question=Question(id="mine/3", text="How many?"), gold="1234")
    assert third.gold == "0.10000000000000000001", "JSON numbers lose no digit"


def test_user_file_with_choices_and_with_text(tmp_path: Path) -> None:
    choices = write(
        tmp_path / "pick.jsonl",
        {"question": "Which?", "answer": "red", "choices": ["red", "blue"]},
        {"question": "Which other?", "answer": "b", "choices": ["red", "blue"]},
    )
    bench = load_benchmark(parse_spec(str(choices)))
    assert bench.answer_kind == "choice"
    assert [p.gold for p in bench.problems()] == ["red", "b"]
    assert bench.problems()[0].question.choices == ("red", "blue")
    words = write(tmp_path / "words.jsonl", {"question": "Who?", "answer": "Ada"})
    bench = load_benchmark(parse_spec(f"{words}:answer_kind=text"))
    assert bench.problems()[0].gold == "Ada"
    assert bench.problems()[0].question.answer_kind == "text"


def test_user_file_version_follows_the_bytes(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.jsonl", GOOD)
    before = UserFile(path=path)
    assert (before.name, before.answer_kind) == ("mine.jsonl", "number")
    version, gold = before.version, before.problems()[0].gold
    write(path, GOOD | {"answer": "4"})
    assert (UserFile(path=path).version != version, UserFile(path=path).problems()[0].gold) == (
        True,
        "4",
    )
    assert gold == "3"


def test_a_byte_order_mark_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(GOOD).encode() + b"\r\n")
    assert UserFile(path=path).problems()[0].gold == "3"


PICK = {"question": "Which?", "answer": "red", "choices": ["red", "blue"]}


@pytest.mark.parametrize(
    ("lines", "place", "says"),
    [
        (["{oops"], ":1:", "not JSON"),
        ([GOOD, "{'question': 'a'}"], ":2:", "not JSON"),
        (["[" * 100_000], ":1:", "not JSON"),
        (["9" * 5_000], ":1:", "not JSON"),
        ([[1, 2]], ":1:", "a list, not an object"),
        (["null"], ":1:", "null, not an object"),
        ([""], "", "no problems in it"),
        ([{"answer": "3"}], ":1:question", "missing"),
        ([GOOD, {"question": "How many?"}], ":2:answer", "missing"),
        ([GOOD | {"question": "  "}], ":1:question", "empty"),
        ([GOOD | {"answer": ""}], ":1:answer", "empty"),
        ([GOOD | {"question": 7}], ":1:question", "must be text, not a number"),
        ([GOOD | {"question": None}], ":1:question", "must be text, not null"),
        ([GOOD | {"question": "\ud800"}], ":1:question", "surrogate"),
        ([GOOD | {"answer": True}], ":1:answer", "must be text, not true or false"),
        ([GOOD | {"answer": ["3"]}], ":1:answer", "must be text, not a list"),
        (['{"question": "a", "answer": NaN}'], ":1:answer", "nan is no number"),
        ([GOOD | {"answer": "3 or 4"}], ":1:answer", "cannot read '3 or 4' as a number"),
        ([GOOD | {"id": "x"}, "", GOOD | {"id": "x"}], ":3:id", "already the id of line 1"),
        ([GOOD | {"id": "bad/2"}, GOOD], ":2:id", "already the id of line 1"),
        ([GOOD | {"id": True}], ":1:id", "must be text, not true or false"),
        ([GOOD | {"id": 1.5}], ":1:id", "must be text, not a number"),
        ([GOOD | {"cluster": [3]}], ":1:cluster", "must be text, not a list"),
        ([GOOD | {"rationale": {}}], ":1:rationale", "must be text, not an object"),
        ([GOOD | {"rationale": ""}], ":1:rationale", "empty"),
        ([GOOD | {"n_steps": 0}], ":1:n_steps", "whole number from 1"),
        ([GOOD | {"n_steps": "2"}], ":1:n_steps", "whole number from 1"),
        ([GOOD | {"n_steps": 2.5}], ":1:n_steps", "whole number from 1"),
        ([GOOD | {"n_steps": True}], ":1:n_steps", "whole number from 1"),
        ([PICK | {"choices": "red"}], ":1:choices", "must be a list, not a text"),
        ([PICK | {"choices": ["red"]}], ":1:choices", "not a list of choices"),
        ([PICK | {"choices": ["red", "red"]}], ":1:choices", "not a list of choices"),
        ([PICK | {"choices": ["red", 1]}], ":1:choices", "not a list of choices"),
        ([PICK | {"answer": "green"}], ":1:answer", "'green' is none of the choices"),
        ([PICK | {"answer": "C"}], ":1:answer", "'C' is none of the choices"),
        ([PICK, GOOD], ":2:choices", "kind choice needs choices"),
        ([GOOD, PICK], ":2:choices", "kind number cannot have choices"),
    ],
)
def test_bad_user_file(tmp_path: Path, lines: list[object], place: str, says: str) -> None:
    path = write(tmp_path / "bad.jsonl", *lines)
    with pytest.raises(BadInputError) as caught:
        UserFile(path=path).problems()
    assert str(caught.value).startswith(f"{path}{place}")
    assert says in caught.value.message
    assert caught.value.hint, "every error says what to do"
    assert "\n" not in str(caught.value)


def test_broken_utf8_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_bytes(json.dumps(GOOD).encode() + b'\n{"question": "\xff"}\n')
    with pytest.raises(BadInputError, match=r"bad\.jsonl:2: not UTF-8"):
        UserFile(path=path).problems()


@pytest.mark.parametrize("ask", ["version", "answer_kind"])
def test_missing_user_file(tmp_path: Path, ask: str) -> None:
    with pytest.raises(BadInputError, match="no such file"):
        getattr(UserFile(path=tmp_path / "none.jsonl"), ask)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("gsm-minni", "did you mean gsm-mini"),
        ("gsm-mini:split=train", "unknown parameter of gsm-mini"),
        ("./a.jsonl:kind=text", "unknown parameter of ./a.jsonl 'kind'"),
        ("./a.jsonl:answer_kind=txt", "did you mean text"),
    ],
)
def test_unknown_names(spec: str, says: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        load_benchmark(parse_spec(spec))
    assert says in str(caught.value)


def test_benchmarks_are_listed_with_a_summary() -> None:
    listed = {entry.name: entry.summary for entry in entries("benchmark")}
    assert {"gsm-mini", "gsm8k"} <= listed.keys()
    assert all(listed.values())
    assert not any(name.startswith("-") for name in listed)


def test_names_load() -> None:
    assert load_benchmark(parse_spec("gsm_mini")) == GsmMini()
    assert load_benchmark(parse_spec("GSM8K")) == Gsm8k()


# --- GSM8K: the format, and where the file comes from

RAW = [
    {
        "question": "Ann\u2019s 2 hens?",
        "answer": "It is 2*3=<<2*3=6>>6.\n1,194+<<6+1=7>>6 x\n#### 1,200",
    },
    {"question": "Owed?", "answer": "No marks here.\n#### -5"},
]
RAW_BYTES = _files.to_jsonl(RAW)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data folder and cache, a small official file, and no reachable mirror."""
    monkeypatch.setenv("COTKIT_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COTKIT_CACHE_DIR", str(tmp_path / "cache"))
    sha256 = hashlib.sha256(RAW_BYTES).hexdigest()
    monkeypatch.setattr(gsm8k, "_SHA256", {"test": sha256, "train": sha256})
    monkeypatch.setattr(gsm8k, "MIRRORS", ("http://127.0.0.1:9/{split}.jsonl",))
    return tmp_path


@contextlib.contextmanager
def serving(files: dict[str, bytes], *, stall: bool = False) -> Generator[tuple[str, list[str]]]:
    """A loopback server: its base URL and the paths it was asked for."""
    asked: list[str] = []
    done = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            if stall:
                done.wait(10)
                return
            content = files.get(self.path)
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        done.set()
        server.shutdown()
        server.server_close()


def put(folder: Path, content: bytes) -> Path:
    folder.mkdir(parents=True)
    (folder / "test.jsonl").write_bytes(content)
    return folder / "test.jsonl"


@pytest.mark.parametrize("where", ["data/gsm8k", "cache/data/gsm8k"])
def test_gsm8k_from_a_local_file(home: Path, where: str) -> None:
    assert not Gsm8k().is_local()
    put(home / where, RAW_BYTES)
    assert Gsm8k().is_local()
    first, second = Gsm8k().problems()
    assert first == Problem(
        question=Question(id="gsm8k/test/0", text="Ann\u2019s 2 hens?"),
        gold="1200",
        rationale="It is 2*3=6.\n1,194+6 x",
        n_steps=2,
    )
    assert (second.question.id, second.gold, second.n_steps) == ("gsm8k/test/1", "-5", None)


@pytest.mark.parametrize("where", ["data/gsm8k", "cache/data/gsm8k"])
def test_another_file_is_refused(home: Path, where: str) -> None:
    path = put(home / where, RAW_BYTES + b"\n")
    with pytest.raises(BadInputError) as caught:
        Gsm8k().problems()
    text = str(caught.value)
    assert str(path) in text
    assert hashlib.sha256(RAW_BYTES).hexdigest() in text, "what was expected"
    assert hashlib.sha256(RAW_BYTES + b"\n").hexdigest() in text, "what was found"
    assert "official file" in text, "the fix"


def test_download_once_into_the_cache(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"/b/test.jsonl": RAW_BYTES, "/b/train.jsonl": RAW_BYTES}
    with serving(files) as (base, asked):
        mirrors = (f"{base}/a/{{split}}.jsonl", f"{base}/b/{{split}}.jsonl")
        monkeypatch.setattr(gsm8k, "MIRRORS", mirrors)
        assert len(Gsm8k().problems()) == 2
        assert [p.question.id for p in Gsm8k().exemplar_pool()] == [
            "gsm8k/train/0",
            "gsm8k/train/1",
        ]
        Gsm8k().problems()
    assert asked == ["/a/test.jsonl", "/b/test.jsonl", "/a/train.jsonl", "/b/train.jsonl"]
    kept = home / "cache/data/gsm8k"
    assert sorted(p.name for p in kept.iterdir()) == ["test.jsonl", "train.jsonl"], "no part files"
    assert (kept / "test.jsonl").read_bytes() == RAW_BYTES


def fake_parquet(monkeypatch: pytest.MonkeyPatch, rows: list[dict[str, str]]) -> None:
    class Table:
        def to_pylist(self) -> list[dict[str, str]]:
            return rows

    def read_table(source: object) -> Table:
        return Table()

    fake: Any = types.ModuleType("pyarrow.parquet")
    fake.read_table = read_table
    monkeypatch.setitem(sys.modules, "pyarrow", types.ModuleType("pyarrow"))
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", fake)


def test_parquet_mirror_gives_the_official_bytes(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_parquet(monkeypatch, RAW)
    with serving({"/test.parquet": b"PAR1"}) as (base, _):
        monkeypatch.setattr(gsm8k, "MIRRORS", (f"{base}/{{split}}.parquet",))
        assert len(Gsm8k().problems()) == 2
    assert (home / "cache/data/gsm8k/test.jsonl").read_bytes() == RAW_BYTES


def test_parquet_mirror_needs_pyarrow(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pyarrow", "pyarrow.parquet"):  # the second may be loaded already
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(gsm8k, "MIRRORS", ("http://127.0.0.1:9/{split}.parquet",))
    with pytest.raises(MissingDataError, match="needs pyarrow"):
        Gsm8k().problems()


@pytest.mark.parametrize(
    ("files", "says"),
    [({}, "Not Found"), ({"/test.jsonl": b"{}\n"}, "wrong sha256")],
)
def test_useless_mirror(
    home: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, bytes], says: str
) -> None:
    with serving(files) as (base, _):
        monkeypatch.setattr(gsm8k, "MIRRORS", (f"{base}/{{split}}.jsonl",))
        with pytest.raises(MissingDataError) as caught:
            Gsm8k().problems()
    assert says in str(caught.value)
    assert not (home / "cache").exists(), "nothing unverified is kept"


def test_a_cache_that_cannot_be_written(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "cache").write_text("a file where the folder should be")
    with serving({"/test.jsonl": RAW_BYTES}) as (base, _):
        monkeypatch.setattr(gsm8k, "MIRRORS", (f"{base}/{{split}}.jsonl",))
        with pytest.raises(MissingDataError, match="COTKIT_CACHE_DIR"):
            Gsm8k().problems()


def test_unreachable_is_one_sentence(home: Path) -> None:
    with pytest.raises(MissingDataError) as caught:
        Gsm8k().problems()
    text = str(caught.value)
    assert "$COTKIT_DATA_DIR/gsm8k/" in text
    assert "--bench gsm-mini" in text
    assert "\n" not in text


def test_a_silent_mirror_does_not_hang(home: Path) -> None:
    file = _files.DataFile(folder="gsm8k", name="test.jsonl", sha256="0" * 64)
    with (
        serving({}, stall=True) as (base, asked),
        pytest.raises(MissingDataError, match="no answer"),
    ):
        _files.obtain(file, (f"{base}/a", f"{base}/b"), patience_s=0.4)
    assert asked == ["/a", "/b"]


NEEDS_GSM8K = pytest.mark.skipif(
    not (Path(os.environ.get("COTKIT_DATA_DIR", "-")) / "gsm8k" / "train.jsonl").is_file(),
    reason="needs the GSM8K files: set COTKIT_DATA_DIR",
)


@NEEDS_GSM8K
def test_gsm8k_facts() -> None:
    test, train = Gsm8k().problems(), Gsm8k().exemplar_pool()
    assert (len(test), len(train)) == (1319, 7473)
    assert all(str(int(p.gold)) == p.gold for p in [*test, *train]), "integers, canonical"
    assert sum(int(p.gold) < 0 for p in test) == 2
    assert sum(len(p.gold.lstrip("-")) >= 6 for p in test) == 18
    assert all(p.rationale and "<<" not in p.rationale for p in test)
    assert all("####" not in str(p.rationale) for p in [*test, *train])
    assert (test[0].gold, test[0].n_steps, test[-1].question.id) == ("18", 2, "gsm8k/test/1318")


@NEEDS_GSM8K
def test_gsm8k_raw_file_facts() -> None:
    path = Path(os.environ["COTKIT_DATA_DIR"]) / "gsm8k" / "test.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert sum("," in row["answer"].rpartition("####")[2] for row in rows) == 14
    assert _files.to_jsonl(rows) == path.read_bytes(), "parquet rows re-serialise to the file"


# --- drawing

SET = [
    Problem(question=Question(id=f"s/{n}", text=f"What is {n}?"), gold=str(n), rationale=f"{n}.")
    for n in range(60)
]


def test_draws_are_nested_ordered_and_seeded() -> None:
    seen: set[str] = set()
    for limit in (1, 7, 30, 60):
        drawn = draw(SET, limit, seed=3)
        ids = {p.question.id for p in drawn}
        assert len(drawn) == len(ids) == limit
        assert [*drawn] == [p for p in SET if p in drawn], "in the published order"
        assert seen <= ids, "a larger draw holds the smaller one"
        seen = ids
    assert draw(SET, 30, seed=3) != draw(SET, 30, seed=4)
    assert draw(SET, None, seed=3) == tuple(SET)


def test_a_draw_is_the_same_on_every_machine() -> None:
    drawn = [p.question.id for p in draw(SET, 5, seed=0)]
    assert drawn == ["s/18", "s/22", "s/35", "s/42", "s/48"], (
        "changing this changes every user's subset: raise a version instead"
    )


def test_a_draw_does_not_depend_on_order() -> None:
    there = {p.question.id for p in draw(SET, 9, seed=1)}
    back = {p.question.id for p in draw(SET[::-1], 9, seed=1)}
    assert there == back


@pytest.mark.parametrize(("limit", "says"), [(0, "no problems"), (-3, "-3"), (61, "60 problems")])
def test_bad_limit(limit: int, says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        draw(SET, limit, seed=0)
    assert "all" in str(caught.value.hint)


def test_exemplars_are_nested_and_leave_out_what_is_evaluated() -> None:
    four, eight = draw_exemplars(SET, 4, 0), draw_exemplars(SET, 8, 0)
    assert eight[:4] == four
    assert eight != draw_exemplars(SET, 8, 1)
    left = draw_exemplars(SET, 10, 0, exclude=SET[:50])
    assert {x.question for x in left} == {p.question.text for p in SET[50:]}
    check_disjoint(left, SET[:50])


def test_exclusion_is_also_by_question() -> None:
    twin = Problem(question=Question(id="t", text=" what IS\n0? "), gold="0", rationale="0.")
    with pytest.raises(UsageError, match="1 can be drawn"):
        draw_exemplars([twin, SET[1]], 2, 0, exclude=SET[:1])


@pytest.mark.parametrize(
    ("pool", "k", "says"),
    [
        (SET, 0, "0 exemplars asked"),
        (SET[:3], 4, "3 can be drawn"),
        ([], 1, "0 can be drawn"),
        ([Problem(question=Question(id="x", text="?"), gold="1")], 1, "0 can be drawn"),
    ],
)
def test_bad_exemplar_draws(pool: list[Problem], k: int, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        draw_exemplars(pool, k, 0)


def test_a_leaked_exemplar_is_refused() -> None:
    leak = Exemplar(question="  what is\n 41? ", rationale="It is 41.", answer="41")
    check_disjoint([leak], SET[:41])
    with pytest.raises(UsageError, match="s/41"):
        check_disjoint([leak], SET)


def test_bench_is_importable_by_its_old_name() -> None:
    code = (
        "import warnings; warnings.simplefilter('error', DeprecationWarning)\n"
        "try:\n    import cotkit.bench\n"
        "except DeprecationWarning as warning:\n    print(warning)\n"
        "warnings.simplefilter('ignore')\n"
        "from cotkit.bench import load_benchmark\n"
        "from cotkit.bench.gsm_mini import GsmMini\n"
        "from cotkit.registry import parse_spec\n"
        "print(GsmMini().version == load_benchmark(parse_spec('gsm-mini')).version)\n"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert process.stdout.splitlines() == ["cotkit.bench is cotkit.benchmarks now", "True"]
