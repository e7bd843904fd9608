"""Files made to fill the memory, to take for ever, or to end in a traceback: one line for each.

All go through the command line of one process, whose memory is measured at its end.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from backports.zstd import zipfile as zstd_zipfile

pytest.importorskip("yaml", reason="pip install 'cotkit[lm-eval-tasks]'")

HEAD = """\
dataset_path: json
dataset_kwargs: {data_files: {test: rows.jsonl}}
test_split: test
"""
ROWS = '{"q": "1 + 1?", "a": 2}\n'
DEEP = "[" * 100_000
SLOW = r"(a+)+$"
RATES = "model,strategy,n_items,value,metric\n"
LOG: dict[str, Any] = {"version": 2, "status": "success", "eval": {"task": "t", "model": "m"}}


class Bombs:
    """Files in a folder; for each its command and what its line says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.commands: dict[str, tuple[list[str], str]] = {}

    def write(self, name: str, content: str | bytes) -> str:
        data = content.encode() if isinstance(content, str) else content
        (self.folder / name).write_bytes(data)
        return name

    def add(self, name: str, says: str, *command: str) -> None:
        self.commands[name] = [*command], says

    def scale(self, name: str, source: str, says: str) -> None:
        self.add(name, says, "scale", "--from", source)

    def score(self, name: str, content: str | bytes, says: str) -> None:
        path = self.write(f"{name}.jsonl", content)
        self.add(name, says, "score", path, "--bench", "gsm-mini")

    def task(self, name: str, text: str, says: str, rows: str = ROWS) -> None:
        self.write(f"{name}-rows.jsonl", rows)
        path = self.write(f"{name}.yaml", text.replace("rows.jsonl", f"{name}-rows.jsonl"))
        bench = f"lm-eval:./{path}"
        self.add(name, says, "show", "prompt", "--strategy", "cot", "--bench", bench)

    def template(self, name: str, source: str, says: str) -> None:
        text = f"{HEAD}doc_to_text: {json.dumps(source)}\ndoc_to_target: a\n"
        self.task(name, text, rf"{name}\.yaml:4:doc_to_text: {says}")

    def archive(self, name: str, members: dict[str, bytes], says: str) -> None:
        with zipfile.ZipFile(self.folder / name, "w", zipfile.ZIP_DEFLATED) as file:
            for member, content in members.items():
                file.writestr(member, content)
        self.scale(name, f"cot=inspect:{name}", says)


def add_archives_and_documents(bombs: Bombs) -> None:
    zeros = b'{"a": "' + bytes(1 << 27) + b'"}'
    bombs.archive(
        "header.eval", {"header.json": zeros}, r"header\.eval!header\.json: longer than 64 MiB"
    )
    head = json.dumps(LOG).encode()
    bombs.archive(
        "summaries.eval",
        {"header.json": head, "summaries.json": zeros},
        r"summaries\.json: longer than 64 MiB",
    )
    journal = b"[" + b" " * (1 << 24) + b"]"
    bombs.archive(
        "journal.eval",
        {"header.json": head} | {f"_journal/summaries/{i}.json": journal for i in range(9)},
        r"journal\.eval: unpacks to more than 40 times its size",
    )
    bombs.archive(
        "deep.eval", {"header.json": DEEP.encode()}, r"header\.json: not JSON: more than 200 levels"
    )
    with zstd_zipfile.ZipFile(bombs.folder / "zstd.eval", "w", zstd_zipfile.ZIP_ZSTANDARD) as file:
        file.writestr("header.json", zeros)
    bombs.scale("zstd.eval", "cot=inspect:zstd.eval", "longer than 64 MiB")
    with (bombs.folder / "long.json").open("wb") as file:
        file.truncate(1 << 33)
    bombs.scale("long.json", "cot=inspect:long.json", r"long\.json: longer than 64 MiB")
    bombs.scale(
        "values", f"cot=inspect:{bombs.write('values.json', '[' + '[],' * 5_000_000)}", "4 million"
    )
    bombs.write("results_deep.json", '{"results": ' + DEEP)
    bombs.scale("results", "cot=lm-eval:results_deep.json", "200 levels")
    page = {
        "results": {"t": {"acc,none": 0.5}},
        "model_name": "m",
        "n-samples": {"t": {"effective": 1e300}},
    }
    bombs.write("results_n.json", json.dumps(page))
    bombs.scale(
        "n", "cot=lm-eval:results_n.json", r"n-samples\.t\.effective: must be a whole number"
    )
    os.mkfifo(bombs.folder / "pipe.json")
    bombs.scale("pipe", "cot=inspect:pipe.json", "no such file")


def add_tables(bombs: Bombs) -> None:
    bombs.scale(
        "cells", f"csv:{bombs.write('cells.csv', RATES + ',' * 5_000_000)}", "4 million cells"
    )
    bombs.scale(
        "field", f"csv:{bombs.write('field.csv', RATES + 'x' * 1_000_000)}", "not CSV: field larger"
    )
    for name, n in (("n-1e400", "1e400"), ("n-digits", "9" * 5000), ("n-1e99", "1e99")):
        path = bombs.write(f"{name}.csv", f"{RATES}m,cot,{n},0.5,acc\n")
        bombs.scale(name, f"csv:{path}", r":2:n_items: '.{1,40}' is not a count")


def add_arrow(bombs: Bombs) -> None:
    """A text of a dictionary that many rows name, a column that compresses well, a name twice."""
    pa = pytest.importorskip("pyarrow")
    feather = pytest.importorskip("pyarrow.feather")
    parquet = pytest.importorskip("pyarrow.parquet")
    text = pa.array(["x" * (4 << 20)])
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 500, pa.int32()), text)
    table = pa.table({"question": column, "answer": [1] * 500})
    parquet.write_table(table, bombs.folder / "many.parquet", compression="zstd")
    zeros = pa.array([bytes(320 << 20)], pa.large_binary())
    table = pa.table({"question": zeros, "answer": [1]})
    feather.write_feather(table, bombs.folder / "zeros.feather", compression="zstd")
    rows = pa.Table.from_arrays([pa.array(["1+1?"]), pa.array([1]), pa.array([2])], names=[*"qaa"])
    parquet.write_table(rows, bombs.folder / "twice.parquet")
    inner = pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], names=["b", "b"])
    nested = pa.table({"question": ["1+1?"], "answer": [2], "c": inner})
    feather.write_feather(nested, bombs.folder / "nested.arrow", compression="uncompressed")
    for name, says in (
        ("many.parquet", "unpacks to more than fits"),
        ("zeros.feather", "unpacks to more than fits"),
        ("twice.parquet", ":a: stands twice"),
        ("nested.arrow", r":c\.b: stands twice"),
    ):
        command = ("show", "prompt", "--strategy", "cot", "--bench", f"./{name}")
        bombs.add(name, rf"{re.escape(name)}:? ?{says}", *command)


def add_lines(bombs: Bombs) -> None:
    bombs.score("line", b'{"id": "' + b"x" * (9 << 20) + b'"}', r":1: longer than 8 MiB")
    bombs.score("nested", '{"id": ' + DEEP, "200 levels")
    bombs.score("objects", '{"a": ' * 5000 + "1" + "}" * 5000, "200 levels")
    bombs.score("digits", '{"id": ' + "9" * 5000 + "}", "too long a number")
    bombs.add("zero", "no ordinary file", "score", "/dev/zero", "--bench", "gsm-mini")
    for name, content in (("prices", "a = " + "[" * 5000), ("price-digits", "a = " + "9" * 5000)):
        path = bombs.write(f"{name}.toml", content)
        command = ["compare", "--model", "simulated/7b", "--bench", "gsm-mini", "--prices", path]
        bombs.add(name, rf"{name}\.toml:?1?: this is no TOML", *command)
    path = bombs.write("replies.jsonl", '{"prompt": ' + DEEP)
    bombs.add(
        "replies", "200 level", "compare", "--model", f"scripted/{path}", "--bench", "gsm-mini"
    )


def add_tasks(bombs: Bombs) -> None:
    doubling = "a0: &a0 [x, x]\n" + "".join(
        f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 60)
    )
    bombs.task("alias", doubling + HEAD, r"alias\.yaml:14: more than 20,000 values")
    merging = "a0: &a0 {x: 1}\n" + "".join(
        f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}\n" for i in range(1, 60)
    )
    bombs.task("merge", merging + HEAD, "more than 20,000 values")
    bombs.task("itself", HEAD + "metadata: &a [*a]\n", "an alias names what it stands in")
    bombs.task("long", HEAD + "description: " + "x " * 100_000, "longer than 128 KiB")
    bombs.task(
        "flow", HEAD + "metadata: [" + "1," * 50_000 + "]", "more than 20,000 lines and values"
    )
    bombs.task("levels", HEAD + "metadata: " + "[" * 10_000, "not YAML")
    bombs.task("year", HEAD + "num_fewshot: " + "1:" * 20_000 + "1\n", "too long a number")
    for i in range(30):
        bombs.write(f"inc{i}.yaml", f"include: [inc{i + 1}.yaml, inc{i + 1}.yaml]\n")
    bombs.write("inc30.yaml", HEAD + "surprise: 1\n")
    bombs.task("includes", "include: inc0.yaml\n", r"inc30\.yaml:4:surprise: unknown field")
    for i in range(3):
        bombs.write(f"big{i}.yaml", f"include: big{i + 1}.yaml\ndescription: {'x ' * 30_000}\n")
    bombs.write("big3.yaml", HEAD)
    bombs.task("bigs", "include: big0.yaml\n", "all files are longer than 128 KiB")


def add_templates(bombs: Bombs) -> None:
    limit = r".*takes more than (0.5 s or )?256 MiB"
    loop = "{% for i in range(99999) %}"
    bombs.template("loops", loop * 3 + "x" + "{% endfor %}" * 3, limit)
    bombs.template("times", "{{ q * 1000000000 }}", limit)
    bombs.template("power", "{{ 9 ** (9 ** 9) }}", limit)
    bombs.template("pad", "{{ '%1000000000d' | format(1) }}", limit)
    bombs.template(
        "center", "{{ q | center(100000000) }}", ".*rows.jsonl:1: makes a text of more than 4 MiB"
    )
    bombs.template("replace", f"{{{{ ('a' * 40 ~ '!') | regex_replace('{SLOW}', '') }}}}", limit)
    bombs.template(
        "macro", "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", ".*Recursion|.*takes more"
    )
    bombs.template(
        "parens", "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "not a template|.*takes more"
    )
    bombs.template("minus", "{{ " + "-" * 20_000 + "1 }}", "not a template|.*takes more")


def add_filters(bombs: Bombs) -> None:
    bombs.task(
        "row",
        HEAD + "doc_to_text: q\ndoc_to_target: a\n",
        "too long a number",
        '{"a": 1e999999999}\n',
    )
    sums = HEAD + "doc_to_text: q\ndoc_to_target: a\n"
    compile_slowly = "(?i)" + "[\\u0001-\\U0010fffe]" * 400

    def filters(pattern: str, options: str = "") -> str:
        step = f"{{function: regex, regex_pattern: {json.dumps(pattern)}}}"
        steps = f"filter_list: [{{name: f, filter: [{step}, {{function: take_first}}]}}]\n"
        return f"{sums}{steps}{options}"

    bombs.task("compile", filters(compile_slowly), ":filter_list: .*(cannot be used|takes more)")
    bombs.task(
        "brackets", filters("(" * 5000 + ")" * 5000), ":filter_list: .*(no regular|takes more)"
    )
    answer = json.dumps({"id": 0, "text": "a" * 60 + "!"})
    metric = f"metric_list: [{{metric: exact_match, regexes_to_ignore: ['{SLOW}']}}]\n"
    for name, text in (("answers", filters(SLOW)), ("ignored", filters(".+", metric))):
        bombs.write(f"{name}.yaml", text.replace("rows.jsonl", "itself-rows.jsonl"))
        path = bombs.write(f"{name}-texts.jsonl", answer)
        says = r"filter_list of the task: '\(a\+\)\+\$' takes more than 0.5 s"
        bombs.add(name, says, "score", path, "--bench", f"lm-eval:./{name}.yaml")


RUN = """
import io, json, re, sys, time
from cotkit.cli import main
results = {}
output, errors = sys.stdout, sys.stderr
for name, (command, _) in json.load(open("bombs")).items():
    sys.argv = ["cotkit", *command]
    sys.stdout = sys.stderr = io.StringIO()
    started, trace, code = time.time(), None, 0
    try:
        main()
    except SystemExit as ended:
        code = ended.code
    except BaseException as failure:
        trace = repr(failure)[:500]
    results[name] = (code, sys.stderr.getvalue(), trace)
    sys.stdout, sys.stderr = output, errors
    peak = int(re.search(r"VmHWM:\\s*([0-9]+) kB", open("/proc/self/status").read())[1])
    print(name, f"{time.time() - started:.2f} s", peak >> 10, "MiB", file=sys.stderr, flush=True)
print(json.dumps((results, peak)))
"""
ADD = (
    add_lines,
    add_tables,
    add_arrow,
    add_tasks,
    add_templates,
    add_filters,
    add_archives_and_documents,
)


LIKE_OTHERS = {"times", "pad", "parens", "minus", "ignored", "bigs", "price-digits", "n-1e99"}
"""Of a kind of which another is tried in each run of the tests."""


@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.full)])
def test_a_bomb_is_one_line(tmp_path: Path, whole: bool) -> None:
    files = Bombs(tmp_path)
    for add in ADD:
        add(files)
    assert set(files.commands) > LIKE_OTHERS
    left_out = set[str]() if whole else LIKE_OTHERS
    bombs = {name: bomb for name, bomb in files.commands.items() if name not in left_out}
    (tmp_path / "bombs").write_text(json.dumps(bombs), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", RUN], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    sys.stderr.write(done.stderr)
    results, peak = json.loads(done.stdout.splitlines()[-1])
    assert results.keys() == bombs.keys()
    problems: list[object] = []
    for name, (_, says) in bombs.items():
        code, output, trace = results[name]
        lines = [line for line in output.splitlines() if line.strip()]
        is_right = trace is None and code in {2, 65} and len(lines) == 1
        if not is_right or len(lines[0]) > 1000 or re.search(says, lines[0]) is None:
            problems.append((name, code, trace, output[:500], says))
    assert not problems, "\n".join(map(repr, problems))
    assert peak < 500 * 1024, "KiB of memory"
