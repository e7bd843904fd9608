"""What others wrote is made visible at every door: terminals, pages, tables and files.

One text with what moves cursors, hides or reorders stands in ids, questions, answers, golds, arms,
models and servers' words at once; whatever is printed of it is looked through, to the character.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

import pytest

import cotkit
from cotkit.cli import main
from cotkit.errors import CotkitError, UsageError
from cotkit.printable import mask_passwords, printable, printable_json, printable_text
from cotkit.store import Store, mask_password, place_of, postgresql
from tests.raw_server import RawServer, response

LINK = "\x1b]8;;http://evil.example/\x1b\\here\x1b]8;;\x07"
EVIL = (
    f"{LINK}\x1b[2J\x1b]0;title\x07\x08\x7f\x9b31m\x85\r\v\u202ecba\u202c\u2066x\u2069\u200b\u200f"
    "\ufeff\u2028\U000e0041\u3164\u00ad"
)


def test_all_that_hides_or_moves_is_visible() -> None:
    for first in (*range(0, 0x20000, 4096), 0xE0000, 0x10F000):
        escaped = printable("".join(map(chr, range(first, first + 4096))))
        assert escaped.isprintable()
        assert printable(escaped) == escaped
    assert printable("\x1b[31m\u202e\ud800\u200d é ひ 🙂") == r"\x1b[31m\u202e\ud800\u200d é ひ 🙂"
    assert printable("a\u115fb\u3164") == r"a\u115fb\u3164"
    assert printable_text("a\tb\n\x1b\r\n") == "a\tb\n\\x1b\\r\n"


def test_json_says_the_same_and_can_be_printed() -> None:
    value = {EVIL: [EVIL, "\ud800", "é\n\t\\u202e"]}
    document = json.dumps(value, ensure_ascii=False, indent=1)
    assert json.loads(printable_json(document)) == value
    assert not hidden(printable_json(document))


def hidden(text: str, *, but: str = "\n") -> set[str]:
    return {c for c in text if c not in but and printable(c) != c}


class Run(Protocol):
    """Runs a command in this process and returns its answer, once all it prints was looked at."""

    def __call__(self, *arguments: object, code: int | None = 0, but: str = "\n") -> str: ...


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.setattr(logging.getLogger("cotkit"), "handlers", [])  # --log-level adds one

    def run_command(*arguments: object, code: int | None = 0, but: str = "\n") -> str:
        monkeypatch.setattr(sys, "argv", ["cotkit", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        assert code is None or (ended.value.code or 0) == code, err
        assert hidden(out + err, but=but) == set(), arguments
        return out

    return run_command


def write_lines(name: str, *rows: Mapping[str, object]) -> Path:
    path = Path(name)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_every_door_of_a_run(run: Run, tmp_path: Path) -> None:
    rows = [
        {"id": f"p{EVIL}{i}", "question": f"1+{i}? {EVIL}", "answer": 1 + i, "cluster": EVIL}
        for i in range(4)
    ]
    bench = write_lines("problems.jsonl", *rows)
    model = write_lines(f"m{EVIL.replace('/', '')}.jsonl", {"prompt": "", "text": f"{EVIL} 2."})
    common = (
        "--model",
        f"scripted/{model}",
        "--bench",
        f"./{bench}",
        "--strategy",
        "zero-shot-cot",
    )
    run("compare", *common, "--tag", EVIL, "--html", "page.html", "--log-level", "debug")
    for form in ("table", "markdown", "json", "csv", "latex", "lm-eval"):
        out = run("compare", *common, "--tag", EVIL, "--format", form)
        assert r"\x1b" in out or r"\u001b" in out or "textbackslash{}x1b" in out, form
    assert hidden(Path("page.html").read_text("utf-8")) == set()
    run("plan", *common)
    run("list", "runs")
    with Store(place_of("logs")) as store:
        run_id = store.runs()[0].id
    out = run("show", "attempt", run_id, "zero-shot-cot", rows[1]["id"], but="\n\t")
    assert out.count(r"\u202ecba") > 3
    run("show", "attempt", run_id, "zero-shot-cot", EVIL, code=2)
    run("show", "prompt", *common[2:], "--problem", rows[1]["id"])
    run("show", "prompt", *common[2:], "--problem", f"no{EVIL}", code=2)
    run("export", run_id, "--to", f"completions:{tmp_path / 'out'}")
    run("report", run_id, "--html", "page.html")
    run("resume", run_id)
    run("resume", f"x{EVIL}", code=2)


def test_raw_prints_to_the_character(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    bench = write_lines("problems.jsonl", {"question": f"1+1?{EVIL}", "answer": 2, "id": "a"})
    command = ["show", "prompt", "--bench", f"./{bench}", "--strategy", "standard", "--raw"]
    monkeypatch.setattr(sys, "argv", ["cotkit", *command])
    with pytest.raises(SystemExit):
        main()
    assert EVIL.encode() in capfd.readouterr().out.encode(errors="surrogateescape")


def test_every_door_of_files_of_others(run: Run) -> None:
    bench = write_lines(
        "p.jsonl", *({"question": f"{i}?", "answer": i, "id": f"{i}"} for i in "12")
    )
    arms = ["a", f"b{EVIL.removeprefix(LINK)}"]
    lines = [{"id": i, "text": f"{EVIL}{i}", "arm": arm} for i in "12" for arm in arms]
    texts = write_lines(f"t{EVIL.replace('/', '')}.jsonl", *lines)
    table = io.StringIO()
    cells = csv.writer(table)
    cells.writerow(["model", "family", "params", "bench", "strategy", "n_items", "value", "metric"])
    for size, rate in ((1, 0.1), (8, 0.5)):
        for arm, gain in (("standard", 0), ("cot", 0.2)):
            names = (f"m{size}{EVIL}", EVIL, f"{size}B", "g", arm)
            cells.writerow((*names, 200, rate + gain, "accuracy"))
    Path("rates.csv").write_text(table.getvalue(), encoding="utf-8", newline="")
    for form in ("table", "markdown", "json", "csv", "latex"):
        run("score", texts, "--bench", f"./{bench}", "--baseline", arms[0], "--format", form)
        run("scale", "--from", "csv:rates.csv", "--baseline", "standard", "--format", form)
    run("scale", "--from", "csv:rates.csv", "--baseline", "standard", "--html", "scale.html")
    assert hidden(Path("scale.html").read_text("utf-8")) == set()
    for name in (f"no{EVIL}", f"no{EVIL}.jsonl", f"no{EVIL}.csv"):
        run(
            "compare",
            "--bench",
            f"./{name}".replace("\0", ""),
            "--model",
            "simulated/7b",
            code=None,
        )
        run("scale", "--from", f"csv:{name}", code=None)
        run("compare", "--model", name, "--bench", "gsm-mini", code=None)
        run("compare", "--strategy", name, "--bench", "gsm-mini", code=2)
        run("score", name, "--bench", "gsm-mini", code=65)


@pytest.mark.parametrize("status", ["400 Bad Request", "401 Unauthorized", "500 Server Error"])
def test_what_a_server_says(run: Run, monkeypatch: pytest.MonkeyPatch, status: str) -> None:
    monkeypatch.setenv("EVIL_API_KEY", "sk-none-1234")
    error = {"error": {"message": f"no: {EVIL}", "code": EVIL, "type": EVIL}}
    with RawServer(lambda _, __: response(error, status)) as server:
        settings = f"base_url={server.url}/v1,max_tries=1"
        common = ("--bench", "gsm-mini", "--limit", "2", "--strategy", "zero-shot-cot")
        run("compare", "--model", "openai-api/evil/m", "--model-args", settings, *common, code=None)
        run("list", "runs")


def test_what_an_answer_says_of_its_server(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVIL_API_KEY", "sk-none-1234")
    answer = {
        "model": f"other{EVIL}",
        "system_fingerprint": EVIL,
        "choices": [{"index": 0, "message": {"content": ""}, "finish_reason": f"x{EVIL}"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1},
    }
    with RawServer(lambda _, __: response(answer)) as server:
        settings = f"base_url={server.url}/v1,max_tries=1"
        common = ("--bench", "gsm-mini", "--limit", "2", "--strategy", "zero-shot-cot")
        model = ("--model", f"openai-api/evil/m{EVIL}", "--model-args", settings)
        for form in ("table", "csv", "json"):
            run("compare", *model, *common, "--format", form, code=None)


# Spreadsheets.

FORMULAS = ["=1+1", "+1-1", "-x", "@SUM(A1)", "\t=1", "\r=1", " =1", "＝1", "a;=1", "-1e3x", "--1"]
NUMBERS = ["-1", "+1.5", "-1e3", "-.5"]


@pytest.mark.parametrize("word", FORMULAS + NUMBERS)
def test_a_cell_of_a_csv_is_no_formula(word: str, run: Run) -> None:
    bench = write_lines("p.jsonl", {"question": "1?", "answer": 1, "id": "1"})
    texts = write_lines("t.jsonl", *({"id": "1", "text": "1", "arm": arm} for arm in ("a", word)))
    command = ("score", texts, "--bench", f"./{bench}", "--baseline", "a", "--format", "csv")
    cells = [cell for row in csv.reader(io.StringIO(run(*command))) for cell in row]
    if word in NUMBERS:
        assert word in cells
    else:
        assert not [c for c in cells if c[:1] in set("=+-@\t\r＝") and not is_number(c)]
        assert not [c for c in cells if ";=" in c]
        assert any(c.replace("'", "") == printable(word) for c in cells)
    but = "\n\t\r＝"
    raw = run(*command, "--raw", but=but)
    if "\r" not in word:  # which reading what was printed turns into a line feed
        assert word in [cell for row in csv.reader(io.StringIO(raw, newline="")) for cell in row]


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def test_raw_is_of_csv(run: Run) -> None:
    run("compare", "--model", "simulated/7b", "--bench", "gsm-mini", "--raw", code=2)


# Passwords in addresses.

PASSWORD = "gehe1m"
STORES = [
    "postgresql://u:{}@127.0.0.1:1/d",
    "postgres://u:{}@127.0.0.1:1/d",
    "postgresql://:{}@127.0.0.1:1/d",
    "postgresql://u:{}/x@127.0.0.1:1/d",
    "postgresql://u:x@{}@127.0.0.1:1/d",
    "postgresql://u:x?{}#y@127.0.0.1:1/d",
    "postgresql://u:{} x@127.0.0.1:1/d",
    "postgresql://u:%zz{}@127.0.0.1:1/d",
    "postgresql://u:{}@127.0.0.1:port/d",
    "postgresql://127.0.0.1:1/d?user=u&password={}",
    "postgresql://127.0.0.1:1/d?sslpassword={}&PASSWORD={}",
    "postgresql+psycopg://u:{}@h/d",
    "POSTGRESQL://u:{}@h/d",
    "mysql://u:{}@h/d",
    "https://u:{}@h/d",
    "host=127.0.0.1 port=1 password={}",
    "host=127.0.0.1 password = '{} x'",
]


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("option", ["--store", "--log-dir"])
def test_no_address_prints_its_password(
    store: str,
    option: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(postgresql, "CONNECT_TIMEOUT_S", 1)
    address = store.replace("{}", PASSWORD)
    for command in (["list", "runs"], ["store", "check"]):
        monkeypatch.setattr(sys, "argv", ["cotkit", *command, option, address])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        assert ended.value.code in {2, 69, 74}
        assert PASSWORD not in out + err
        assert len(err.splitlines()) == 1
    assert not list(Path().iterdir()), "an address is no folder"
    with pytest.raises(CotkitError) as refused:
        cotkit.compare("simulated/7b", "cot", bench="gsm-mini", limit=2, log_dir=address)
    assert PASSWORD not in str(refused.value)
    assert PASSWORD not in mask_password(address)


def test_an_error_hides_passwords_of_any_address() -> None:
    text = "no answer from https://me:geheim@h:80/v1 and ray://u:a@b:c@h, but http://h:80/a is fine"
    expected = "no answer from https://me:***@h:80/v1 and ray://u:***@h, but http://h:80/a is fine"
    assert mask_passwords(text) == expected
    assert str(UsageError(text)) == expected


@pytest.mark.parametrize(
    "option", ["--executor", "--bench", "--model", "--strategy", "--track", "-x"]
)
def test_an_address_where_none_belongs_is_refused_without_its_password(
    option: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    address = f"https://u:{PASSWORD}@127.0.0.1:9/p.jsonl"
    monkeypatch.setattr(sys, "argv", ["cotkit", "compare", "--limit", "2", option, address])
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capfd.readouterr()
    assert ended.value.code == 2
    assert PASSWORD not in out + err
    if option in {"--bench", "--strategy", "--track"}:
        assert "is an address, and nothing here is fetched from one" in err


def test_a_store_that_nobody_reaches_is_not_called_damaged(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(postgresql, "CONNECT_TIMEOUT_S", 1)
    address = "postgresql://u@127.0.0.1:1/d"
    monkeypatch.setattr(sys, "argv", ["cotkit", "store", "check", "--store", address])
    with pytest.raises(SystemExit) as ended:
        main()
    err = capfd.readouterr().err
    assert ended.value.code == 74
    assert "cannot reach the store" in err
    assert "damaged" not in err


def test_an_error_repeats_no_more_of_a_value_than_a_screen_holds() -> None:
    refused = UsageError(f"{'m' * 9000} is nothing", hint=f"known: {'h' * 9000}")
    assert len(str(refused)) < 3000
    assert str(refused).count("…") == 2


def doors() -> Iterator[Path]:
    yield from (Path(cotkit.__file__).parent / "cli").glob("*.py")


def test_commands_print_by_one_way() -> None:
    for path in doors():
        if path.name not in {"output.py", "__init__.py"}:
            text = path.read_text("utf-8")
            assert "typer.echo" not in text, f"{path.name}: print_lines, print_status, print_text"
            assert not re.search(r"\bprint\(|stdout|stderr\.write", text), path.name
