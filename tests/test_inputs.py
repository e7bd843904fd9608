"""The one reader of what others wrote: nothing twice, no other digits, nothing without a limit."""

from __future__ import annotations

import gzip
import json
import os
import struct
import sys
import zipfile
from decimal import Decimal
from pathlib import Path

import pytest

if sys.version_info >= (3, 14):
    import zipfile as new_zipfile
else:
    from backports.zstd import zipfile as new_zipfile

from cotkit import inputs
from cotkit.backends.hf.source import quantisation, read_json
from cotkit.benchmarks._problems import UserFile
from cotkit.errors import BadInputError, Location, ModelLoadError
from cotkit.interop.ladders import read_sources

PLACE = Location(file="x.json")


def refusal(content: bytes | str, *, exact: bool = False) -> str:
    with pytest.raises(BadInputError) as refused:
        inputs.parse_json(content, PLACE, exact=exact)
    message = str(refused.value)
    assert "\n" not in message
    assert len(message) < 400
    return message


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('{"a": 1, "a": 1}', "'a' stands twice"),
        ('{"a": {"b": [{"c": 1, "c": 2}]}}', "'c' stands twice"),
        ('{"a": 1, "\\u0061": 2}', "'a' stands twice"),
        ("[" * 100_000, "200 levels"),
        ("[" * 201 + "]" * 201, "200 levels"),
        ('{"a":' * 300 + "1" + "}" * 300, "200 levels"),
        ("[" * 100_000 + "]" * 100_000, "200 levels"),
        ("9" * 5000, "too long"),
        ("[1.0, -" + "9" * 401 + "]", "too long"),
        ("{", "x.json:1: not JSON: Expecting"),
        ('{\n"a": 1,\n}', "x.json:3: not JSON"),
        (b'{"a": "\xff"}', "not UTF-8"),
        (b'{\n\n"a": "\xff"}', "x.json:3: not UTF-8"),
        ('{"a": 1}'.encode("utf-16"), "not UTF-8"),
        ("[\u0661]", "not JSON"),
        ("[0x10]", "not JSON"),
    ],
)
def test_json_is_read_strictly(content: bytes | str, problem: str) -> None:
    assert problem in refusal(content)


@pytest.mark.parametrize(
    "number", ["1e999999999", "-1E-999999999", "1.0e99999999999999999999", "1." + "3" * 400]
)
def test_an_exact_number_has_a_size(number: str) -> None:
    assert "too long" in refusal(f"[{number}]", exact=True)


def test_json_that_is_right_is_read() -> None:
    deep = "[" * 200 + "]" * 200
    assert inputs.parse_json(deep, PLACE) == json.loads(deep)
    assert inputs.parse_json(b'\xef\xbb\xbf{"a": [1, 2.50]}', PLACE) == {"a": [1, 2.5]}
    assert inputs.parse_json("2.50", PLACE, exact=True) == Decimal("2.50")
    many = json.dumps([[[]]] * 1000 + ["[" * 5000])
    assert inputs.parse_json(many, PLACE) == json.loads(many)


def test_json_of_many_values_is_refused_before_it_is_made() -> None:
    assert "4 million values" in refusal("[" + "[]," * 3_000_000 + "[]]")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a,b,a\n1,2,3\n", ":1:a: stands twice in the header"),
        ("a, b ,b\n1,2,3\n", ":1:b: stands twice in the header"),
        ('a,"a"\n1,2\n', ":1:a: stands twice in the header"),
        ("a,b\n1,2,3\n", ":2: 3 fields, the header has 2"),
        ('a,b\n1,"2\n3,4\n', "not CSV"),
        ('a,b\n1,"2"3\n', "not CSV"),
        ("a,b\n1,\xff\n", ":2: not UTF-8"),
        ("a,b\n1," + "x" * 200_000 + "\n", "not CSV"),
    ],
)
def test_csv_is_read_strictly(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(BadInputError) as refused:
        list(inputs.iterate_csv(path)[1])
    assert problem in str(refused.value)


def test_csv_that_is_right_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes('\ufeffa, b,,\r\n\r\n"1,\n2",\u20283 ,,\r\n'.encode())
    columns, rows = inputs.iterate_csv(path)
    assert columns == ("a", "b")
    ((place, row),) = rows
    assert (place.line, row) == (4, {"a": "1,\n2", "b": "3"})


@pytest.mark.parametrize(
    "text",
    ["1,23", "1,2345", ",123", "1_23", "\u0661\u0662", "\uff11", "1.5", "1e19", "0", "", "1 000"],
)
def test_what_is_no_count(text: str) -> None:
    assert inputs.parse_count(text) is None


def test_what_is_a_count() -> None:
    texts = ("1,319", "12,345,678", "1_319", "7B", "350m", "1.5e9", "1,319.0", " 12 ")
    assert list(map(inputs.parse_count, texts)) == [
        *(1319, 12_345_678, 1319, 7 * 10**9, 350 * 10**6, 1_500_000_000, 1319, 12)
    ]


@pytest.mark.parametrize(
    "text", ["\u0660.\u0665", "1_0", "nan", "inf", "1e999", "0,5", "0x1", "", "\u22121", "1" * 500]
)
def test_what_is_no_number(text: str) -> None:
    assert inputs.parse_number(text) is None


def test_what_is_a_number() -> None:
    assert [inputs.parse_number(text) for text in ("-1", "+.5", "1.", "1e3", " 2 ")] == [
        *(-1, 0.5, 1, 1000, 2)
    ]


def test_only_ordinary_files_are_read(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.json"
    os.mkfifo(pipe)
    for path, problem in (
        (pipe, "no ordinary file"),
        (Path("/dev/zero"), "no ordinary file"),
        (tmp_path, "it is a folder"),
        (tmp_path / "none", "no such file"),
        (tmp_path / "nul\0", "cannot be read"),
    ):
        with pytest.raises(BadInputError, match=problem):
            inputs.read_bytes(path)


def test_what_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "zeros.gz"
    path.write_bytes(gzip.compress(bytes(inputs.MAX_FILE_BYTES + 1), 1))
    with gzip.open(path) as stream, pytest.raises(BadInputError, match="longer than 64 MiB"):
        inputs.read_limited(stream, Location(file=path))
    path.write_bytes(path.read_bytes()[:-9])
    with gzip.open(path) as stream, pytest.raises(BadInputError, match="damaged"):
        inputs.read_limited(stream, Location(file=path), 1 << 40)


def zip_of(path: Path, members: list[tuple[str, bytes]]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def test_a_zip_unpacks_within_limits(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "bomb.zip", [("a", bytes(inputs.MAX_FILE_BYTES + 1))])
    with (
        inputs.ZipFile(path) as archive,
        pytest.raises(BadInputError, match=r"bomb\.zip!a: longer"),
    ):
        archive.read("a")
    half = bytes(inputs.MAX_FILE_BYTES // 2)
    path = zip_of(tmp_path / "many.zip", [(str(i), half) for i in range(3)])
    with inputs.ZipFile(path) as archive:
        archive.read("0")
        archive.read("1")
        with pytest.raises(BadInputError, match="more than 40 times its size"):
            archive.read("2")


def test_a_member_that_is_in_a_zip_twice_is_refused(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        path = zip_of(tmp_path / "x.zip", [("a", b"1"), ("a", b"2")])
    with pytest.raises(BadInputError, match="'a' stands twice"):
        inputs.ZipFile(path)


def test_a_zip_that_lies_is_refused(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "x.zip", [("a", b"x" * 1000)])
    content = bytearray(path.read_bytes())
    end = content.rindex(b"PK\x05\x06")
    long = bytearray(content)
    struct.pack_into("<I", long, end + 12, 1 << 25)  # its directory's size
    path.write_bytes(bytes(1 << 25) + long)
    with pytest.raises(BadInputError, match="not a zip archive"):
        inputs.ZipFile(path)
    method = bytearray(content)
    struct.pack_into("<H", method, content.rindex(b"PK\x01\x02") + 10, 12)  # bzip2
    path.write_bytes(method)
    with inputs.ZipFile(path) as archive, pytest.raises(BadInputError, match="method 12"):
        archive.read("a")


def test_zstandard_is_read_within_limits(tmp_path: Path) -> None:
    path = tmp_path / "x.eval"
    for content, problem in (
        (bytes(inputs.MAX_FILE_BYTES + 1), "longer than 64 MiB"),
        (b"x" * 1000, None),
    ):
        with new_zipfile.ZipFile(path, "w", new_zipfile.ZIP_ZSTANDARD) as archive:
            archive.writestr("a", content)
        with inputs.ZipFile(path) as archive:
            if problem is None:
                assert archive.read("a") == content
            else:
                with pytest.raises(BadInputError, match=problem):
                    archive.read("a")
    whole = path.read_bytes()
    n_refused = 0
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            with inputs.ZipFile(path) as archive:
                assert all(archive.read(name) == content for name in archive.names)
        except BadInputError:
            n_refused += 1
    assert n_refused > len(whole) / 3


def test_toml_is_read_within_limits() -> None:
    for content in (b"a = 1\na = 2\n", b"a = " + b"[" * 5000, b"a = " + b"9" * 5000, b"\xff"):
        with pytest.raises(BadInputError) as refused:
            inputs.parse_toml(content, PLACE)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("x.json", '[{"question": "1+1?", "answer": 2, "answer": 3}]', "'answer' stands twice"),
        ("x.json", '{"examples": [{"question": "1?", "answer": 1}], "a": 1, "a": 2}', "twice"),
        (
            "x.json",
            '[{"question": "1?", "answer": 1, "meta": {"a": 1, "a": 2}}]',
            "'a' stands twice",
        ),
        (
            "x.jsonl",
            '{"question": "1+1?", "answer": 2, "\\u0061nswer": 3}',
            "'answer' stands twice",
        ),
        ("x.tsv", "question\tanswer\tanswer\n1+1?\t2\t3\n", "x.tsv:1:answer: stands twice"),
    ],
)
def test_a_problem_says_nothing_twice(
    tmp_path: Path, name: str, content: str, problem: str
) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(BadInputError, match=problem):
        UserFile(path=path).problems()


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ("a,cot,p,0,10,0\na,cot,p,1,10,00\n", ":3:sample: sample 0 twice"),
        ("a,cot,p,0,10,1\na,cot,p,1,10,1.0\n", ":3:sample: sample 1 twice"),
        ("a,cot,p,0,-1,0\n", ":2:tokens: must not be below 0"),
        ("a,cot,p,\u0661,1,0\n", ":2:correct: '\u0661' is not a number"),
        ("a,cot,p,1,\uff11,0\n", ":2:tokens: '\uff11' is not a number"),
    ],
)
def test_a_sample_of_a_csv_is_one(tmp_path: Path, rows: str, problem: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text(f"model,strategy,problem_id,correct,tokens,sample\n{rows}", encoding="utf-8")
    with pytest.raises(BadInputError, match=problem):
        read_sources([f"csv:{path}"])


@pytest.mark.parametrize("content", ["[" * 100_000, "[1]", "7", '{"a": 1', "\xff", "9" * 5000])
def test_a_config_of_a_model_folder_is_an_object_or_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content, encoding="latin-1")
    with pytest.raises(ModelLoadError) as refused:
        read_json(tmp_path / "config.json")
    assert len(str(refused.value)) < 300
    (tmp_path / "config.json").write_text('{"quantization_config": "x"}')
    assert quantisation(tmp_path) == "none"
