"""Good files and answers of every kind, mutated: what is read, or one line; never anything else.

``make fuzz`` runs 50,000 cases in new places; ``make test`` 2,000, the same ones each time.
"""

from __future__ import annotations

import copy
import json
import math
import os
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cotkit.backends._anthropic import wire as anthropic
from cotkit.backends._hosted.faults import read_object, retry_after_s, server_sentence
from cotkit.backends._hosted.policy import Malformed
from cotkit.backends._openai.likelihood import read_echo, read_first_token
from cotkit.backends._openai.protocol import INTERFACES
from cotkit.backends.scripted import Scripted
from cotkit.benchmarks._files import read_task
from cotkit.benchmarks._problems import UserFile
from cotkit.benchmarks.lm_eval import LmEval
from cotkit.errors import CotkitError
from cotkit.interop.ladders import read_sources
from cotkit.interop.recorded import compare_recorded
from cotkit.models import folder, gguf
from cotkit.models.prices import read_prices
from cotkit.models.weights import read_header
from cotkit.types import Decoding, Message, Request
from cotkit.workflows.completions_file import FieldNames, read_file
from cotkit.workflows.score import ScoreQuestion, score_completions
from tests.tiny_gguf import write_llama

pytest.importorskip("yaml", reason="pip install 'cotkit[lm-eval-tasks]'")

N_CASES = int(os.environ.get("COTKIT_FUZZ_CASES", "0"))

# Good files, small.

RATES = b"""model,family,params,bench,strategy,n_items,value,metric
a,F,1B,g,standard,200,10.0,accuracy_pct
a,F,1B,g,cot,200,12.5,accuracy_pct
b,F,30B,g,standard,"1,319",0.2,accuracy
b,F,30B,g,cot,200,30,accuracy_pct
"""
PROBLEMS = b"""model,strategy,problem_id,correct,tokens,sample
a,standard,p,0,10,0
a,cot,p,true,20,0
a,standard,q,1,10,0
a,cot,q,0.5,20,0
"""
LOG: dict[str, Any] = {
    "version": 2,
    "status": "success",
    "eval": {"task": "t", "task_version": 0, "model": "m", "config": {"epochs_reducer": ["mean"]}},
    "results": {"scores": [{"name": "match", "metrics": {"accuracy": {"value": 0.5}}}]},
    "samples": [
        {
            "id": name,
            "epoch": 1,
            "input": [{"role": "user", "content": name}],
            "target": "1",
            "choices": [],
            "output": {"choices": [{"message": {"content": "1"}, "stop_reason": "stop"}]},
            "scores": {"match": {"value": value, "answer": "1"}},
            "model_usage": {"m": {"total_tokens": 25}},
            "total_time": 0.5,
        }
        for name, value in (("p", "C"), ("q", "I"))
    ],
}
RESULTS: dict[str, Any] = {
    "results": {"t": {"alias": "t", "exact_match,none": 0.5, "exact_match_stderr,none": 0.1}},
    "group_subtasks": {"t": []},
    "configs": {"t": {"metadata": {"version": 3.0}}},
    "versions": {"t": 3.0},
    "higher_is_better": {"t": {"exact_match": True}},
    "n-samples": {"t": {"original": 9, "effective": 2}},
    "config": {"model_args": "pretrained=m", "model_num_parameters": 1000},
    "model_name": "m",
}
SAMPLES: list[dict[str, Any]] = [
    {
        "doc_id": i,
        "doc": {"question": f"q{i}", "id": str(i)},
        "target": "#### 1",
        "filter": "none",
        "doc_hash": f"h{i}",
        "exact_match": i,
        "resps": [["1"]],
        "filtered_resps": ["1"],
    }
    for i in range(2)
]
COMPLETIONS: list[dict[str, Any]] = [
    {"id": "a", "text": "It is 2."},
    {"id": 1, "text": ["2", "3"], "stop_reason": "stop", "vote": True},
    {"id": "a", "text": "2", "arm": "b", "sample": 1, "cotkit": {"n_calls": 1, "metrics": {}}},
]
LINES: list[dict[str, Any]] = [
    {"question": "1+1?", "answer": 2, "rationale": "two", "n_steps": 1, "id": "a"},
    {"question": "1+2?", "answer": "3.0", "cluster": "c"},
]
CHOICES: list[dict[str, Any]] = [
    {"question": "so?", "answer": "A", "choices": ["x", "y"]},
    {"question": "or?", "label": "y", "choices": ["x", "y"]},
]
TASK: dict[str, Any] = {
    "name": "t",
    "preferred_score": "exact_str_match",
    "examples": [
        {"input": "1+1?", "target": ["2", "two"]},
        {"input": "so?", "target_scores": {"yes": 1, "no": 0.0}},
    ],
}
YAML = b"""task: t
dataset_path: json
dataset_kwargs: {data_files: {test: rows.jsonl}}
test_split: test
doc_to_text: "Q: {{question}}"
doc_to_target: answer
filter_list:
- name: f
  filter:
  - {function: regex, regex_pattern: "([0-9]+)", group_select: -1}
  - function: take_first
metric_list:
- {metric: exact_match, ignore_case: true, regexes_to_ignore: [","]}
metadata: &a {version: 1}
tag: [*a]
"""
PRICES = b"""as_of = "2026-01-01"
[provider.openai]
source = "https://example.org"
[[price]]
backend = "openai"
models = ["a*", "b"]
input = 1.5
output = 3
"""
CONFIG: dict[str, Any] = {"max_position_embeddings": 2048, "text_config": {"n_positions": 1}}
MANIFEST: dict[str, Any] = {
    "format": "cotkit-model-1",
    "source": {"a": "b"},
    "converter_version": 1,
    "n_params": 10,
    "fingerprint": "1" * 64,
    "files": {"x": {"sha256": "0" * 64, "bytes": 1}},
}
TENSORS = json.dumps({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
HEADER = 3000
"""Bytes of a small GGUF file that are mutated: metadata, and the first tensors' entries."""


def make_gguf() -> bytes:
    with tempfile.TemporaryDirectory() as home:
        return write_llama(Path(home) / "x.gguf").read_bytes()


GGUF = make_gguf()
REPLIES: list[dict[str, Any]] = [{"prompt": "a", "text": "b"}, {"prompt": "", "text": "c"}]
USAGE: dict[str, Any] = {
    "prompt_tokens": 5,
    "completion_tokens": 3,
    "prompt_tokens_details": {"cached_tokens": 1},
    "completion_tokens_details": {"reasoning_tokens": 1},
}
TOP = [{"token": " x", "logprob": -0.1}, {"token": " y", "logprob": -2.0}]
CHAT: dict[str, Any] = {
    "model": "m",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "2", "reasoning_content": "so"},
            "finish_reason": "stop",
            "logprobs": {"content": [{"token": " x", "logprob": -0.1, "top_logprobs": TOP}]},
        }
    ],
    "usage": USAGE,
}
TEXT: dict[str, Any] = {
    "model": "m",
    "choices": [{"index": 0, "text": "2", "finish_reason": "length", "logprobs": None}],
    "usage": USAGE,
}
ECHO: dict[str, Any] = {
    "model": "m",
    "choices": [
        {
            "index": i,
            "text": f"Q {option}",
            "logprobs": {
                "tokens": ["Q", f" {option}"],
                "token_logprobs": [None, -0.5],
                "text_offset": [0, 1],
            },
        }
        for i, option in enumerate("xy")
    ],
    "usage": {"prompt_tokens": 4},
}
RESPONSE: dict[str, Any] = {
    "model": "m",
    "status": "completed",
    "output": [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "so"}]},
        {"type": "message", "content": [{"type": "output_text", "text": "2"}]},
    ],
    "usage": {"input_tokens": 5, "output_tokens": 3},
}
MESSAGE: dict[str, Any] = {
    "model": "m",
    "stop_reason": "end_turn",
    "content": [{"type": "thinking", "thinking": "so"}, {"type": "text", "text": "2"}],
    "usage": {"input_tokens": 5, "output_tokens": 3, "cache_read_input_tokens": 1},
}
REQUEST = Request(
    messages=(Message(role="user", content="Q"),),
    decoding=Decoding(max_tokens=9),
    samples=(0,),
    options=(" x", " y"),
)


def lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(f"{json.dumps(row)}\n" for row in rows).encode()


# Readers: each takes a folder and the mutated content, and writes the rest itself.

Reader = Callable[[Path, bytes], object]


def write(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def read_csv(home: Path, content: bytes) -> None:
    read_sources([f"csv:{write(home, 'x.csv', content)}"])


def read_log(home: Path, content: bytes) -> None:
    read_sources([f"cot=inspect:{write(home, 'x.json', content)}"])


def compare_logs(home: Path, content: bytes) -> None:
    good = write(home, "good.json", json.dumps(LOG).encode())
    compare_recorded([f"a={write(home, 'x.json', content)}", f"b={good}"])


def read_archive(home: Path, content: bytes) -> None:
    read_sources([f"cot=inspect:{write(home, 'x.eval', content)}"])


def read_results(home: Path, content: bytes) -> None:
    write(home, "results_1.json", content)
    (home / "samples_t_1.jsonl").unlink(missing_ok=True)
    read_sources([f"cot=lm-eval:{home / 'results_1.json'}"])


def read_samples(home: Path, content: bytes) -> None:
    write(home, "results_1.json", json.dumps(RESULTS).encode())
    write(home, "samples_t_1.jsonl", content)
    read_sources([f"cot=lm-eval:{home / 'results_1.json'}"])


def compare_samples(home: Path, content: bytes) -> None:
    good = write(home, "samples_good.jsonl", lines(SAMPLES))
    compare_recorded([f"a={write(home, 'samples_t.jsonl', content)}", f"b={good}"])


def score(home: Path, content: bytes) -> None:
    bench = UserFile(path=write(home, "p.jsonl", lines(LINES)))
    completions = read_file(write(home, "x.jsonl", content), FieldNames())
    score_completions(completions, bench, ScoreQuestion(), source="x")


def read_problems(home: Path, content: bytes) -> None:
    bench = UserFile(path=write(home, "x.jsonl", content))
    bench.problems()


def read_task_file(home: Path, content: bytes) -> None:
    task = read_task(write(home, "task.json", content))
    for example in task.examples:
        example.find_integer("target")
        example.find_text("input")


def read_yaml(home: Path, content: bytes) -> None:
    write(home, "rows.jsonl", lines(LINES))
    bench = LmEval(path=write(home, "x.yaml", content))
    for problem in bench.problems():
        for reader in problem.readers.values():
            reader.is_correct(reader.read(("It is 2.",)) or "")


def read_rows(home: Path, content: bytes) -> None:
    write(home, "rows.jsonl", content)
    LmEval(path=write(home, "x.yaml", YAML)).problems()


def read_price_file(home: Path, content: bytes) -> None:
    read_prices(write(home, "x.toml", content))


def read_replies(home: Path, content: bytes) -> None:
    assert Scripted(model=str(write(home, "x.jsonl", content))).info


def read_config(home: Path, content: bytes) -> None:
    write(home, "config.json", content)
    folder.context_window(home)


def read_manifest(home: Path, content: bytes) -> None:
    write(home, folder.MANIFEST_NAME, content)
    write(home, "x", b"1")
    folder.read_manifest(home)


def read_tensors(home: Path, content: bytes) -> None:
    read_header(write(home, "model.safetensors", content))


def read_gguf(home: Path, content: bytes) -> None:
    with tempfile.TemporaryDirectory(dir=home) as target:
        path = write(home, "x.gguf", content + GGUF[HEADER:])
        gguf.convert(path, Path(target), lambda _: None)


def read_completions(api: str) -> Reader:
    def read(_: Path, content: bytes) -> None:
        answer = read_object(content)
        body = {"model": "m", "messages": [], "prompt": ["Q"], "n": 1, "max_tokens": 9}
        for completion in INTERFACES[cast("Any", api)].read_completions(answer, body):
            assert completion.text.encode() is not None
            assert completion.n_generated_tokens is None or completion.n_generated_tokens < 2**63

    return read


def read_weights(_: Path, content: bytes) -> None:
    for completion in read_first_token(read_object(content), {"model": "m"}, REQUEST):
        assert completion.logprob is None or math.isfinite(completion.logprob)


def read_echoed(_: Path, content: bytes) -> None:
    body = {"model": "m", "prompt": ["Q x", "Q y"], "max_tokens": 0}
    for completion in read_echo(read_object(content), body, REQUEST):
        assert completion.logprob is not None
        assert math.isfinite(completion.logprob)


def read_message(_: Path, content: bytes) -> None:
    completion = anthropic.read_completion(read_object(content), {"model": "m"})
    assert completion.text.encode() is not None


def read_headers(_: Path, content: bytes) -> None:
    text = content.decode("latin-1")
    seconds = retry_after_s({"retry-after": text})
    assert seconds is None or not math.isnan(seconds)
    assert "\n" not in server_sentence(text)


def archive() -> bytes:
    with tempfile.TemporaryFile() as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as members:
            head = {name: value for name, value in LOG.items() if name != "samples"}
            members.writestr("header.json", json.dumps(head))
            members.writestr("summaries.json", json.dumps(LOG["samples"]))
        file.seek(0)
        return file.read()


READERS: Mapping[str, tuple[Reader, object]] = {
    "a CSV of rates": (read_csv, RATES),
    "a CSV of problems": (read_csv, PROBLEMS),
    "a log": (read_log, LOG),
    "a log compared": (compare_logs, LOG),
    "an archived log": (read_archive, archive()),
    "results": (read_results, RESULTS),
    "samples": (read_samples, SAMPLES),
    "samples compared": (compare_samples, SAMPLES),
    "completions": (score, COMPLETIONS),
    "problems": (read_problems, LINES),
    "problems with choices": (read_problems, CHOICES),
    "a task of BIG-bench": (read_task_file, TASK),
    "a task of lm-eval": (read_yaml, YAML),
    "rows of a task": (read_rows, LINES),
    "prices": (read_price_file, PRICES),
    "replies": (read_replies, REPLIES),
    "a model's config": (read_config, CONFIG),
    "a manifest": (read_manifest, MANIFEST),
    "tensors": (read_tensors, len(TENSORS).to_bytes(8, "little") + TENSORS + bytes(4)),
    "a GGUF file": (read_gguf, GGUF[:HEADER]),
    "an answer in chat": (read_completions("chat"), CHAT),
    "an answer in text": (read_completions("completions"), TEXT),
    "a response": (read_completions("responses"), RESPONSE),
    "weights of options": (read_weights, CHAT),
    "an echo": (read_echoed, ECHO),
    "a message": (read_message, MESSAGE),
    "a header": (read_headers, b"Wed, 21 Oct 2026 07:28:00 GMT"),
}

# Mutations: of bytes, and of the values of JSON.

TOKENS = [
    *(b"", b'"', b"{", b"}", b"[", b"]", b",", b":", b"\n", b"\r", b"\0", b"\xff", b"\\"),
    *(b"\\ud800", b"\\u0000"),
    *(b"null", b"true", b"NaN", b"-Infinity", b"1e999", b"-1", b"1e-999", b"0.5", b"9" * 500),
    *(b"[" * 300, b'{"a":' * 300, b"\xef\xbb\xbf", "\u0661".encode(), b"1,23", b"'", b"- ", b"&a "),
    *(b"*a", b"<<: *a", b"!!python/name:os", b"{{ ", b" }}", b"{% for i in range(9) %}", b"(a+)+$"),
    *(b"\xed\xa0\x80", b"\x1b[31m", b"=", b"[[price]]\n", b"!!binary ", b"2001-99-99", b"0x", b"?"),
]  # fmt: skip
VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1, 2**63, 10**399, -0.0, 0.5, 1e308, math.inf, math.nan, "", "x"),
    *("\ud800", "\0", "1", "NaN", "\u0661", "a\nb", "x" * 5000, [], [[]], {}, [None], {"a": 1}),
    *({"value": {}}, ["x", "y"], [1, "x"], [{}], "C", "{{ x }}", "1e999", {"": ""}, [True]),
]
Mutation = tuple[int, float, float, int]
MUTATIONS = st.lists(
    st.tuples(
        st.integers(0, 5), st.floats(0, 1, width=32), st.floats(0, 1, width=32), st.integers(0, 99)
    ),
    min_size=1,
    max_size=3,
)


def mutate_bytes(content: bytes, mutation: Mutation) -> bytes:
    kind, start, length, token = mutation
    i = int(start * len(content))
    j = min(len(content), i + int(length**3 * (len(content) - i)))
    new = TOKENS[token % len(TOKENS)]
    match kind:
        case 0:
            return content[:i] + new + content[i:]
        case 1:
            return content[:i] + new + content[j:]
        case 2:
            return content[:i] + content[i:j] * 2 + content[j:]
        case 3:
            return content[:i] + bytes([token * 5 % 256]) + content[i + 1 :]
        case 4:
            return content[:i]
        case _:
            return content[:i] + content[i:j][::-1] + content[j:]


def places(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children: list[tuple[Any, object]] = []
    if isinstance(value, dict):
        children = list(cast("dict[str, object]", value).items())
    elif isinstance(value, list):
        children = list(enumerate(cast("list[object]", value)))
    return [path, *(place for key, child in children for place in places(child, (*path, key)))]


def mutate_value(value: Any, mutation: Mutation) -> Any:  # noqa: ANN401 - JSON
    kind, start, _, token = mutation
    paths = places(value)
    path = paths[min(int(start * len(paths)), len(paths) - 1)]
    new = copy.deepcopy(VALUES[token % len(VALUES)])
    if not path:
        return value if isinstance(value, list) else new
    parent = value
    for key in path[:-1]:
        parent = parent[key]
    if kind == 0 and isinstance(parent, dict):
        del parent[path[-1]]
    elif kind == 1 and isinstance(parent, list):
        parent.append(copy.deepcopy(parent[path[-1]]))
    elif kind == 2 and isinstance(parent, dict):
        parent[f"x{token}"] = parent.pop(path[-1])
    else:
        parent[path[-1]] = new
    return value


def make_content(good: object, mutations: list[Mutation], *, of_bytes: bool) -> bytes:
    """Mutate the bytes of a good file or, where it is JSON and it is so chosen, its values."""
    if isinstance(good, bytes):
        content = good
    elif of_bytes:
        content = lines(cast("Any", good)) if isinstance(good, list) else json.dumps(good).encode()
    else:
        value = json.loads(json.dumps(good))
        for mutation in mutations:
            value = mutate_value(value, mutation)
        return lines(value) if isinstance(good, list) else json.dumps(value).encode()
    for mutation in mutations:
        content = mutate_bytes(content, mutation)
    return content


def read_or_refuse(reader: Reader, home: Path, content: bytes) -> str:
    """Return the line of an error; empty: it was read."""
    try:
        reader(home, content)
    except (CotkitError, Malformed) as refused:
        return str(refused)
    return ""


@pytest.mark.parametrize("kind", READERS)
@settings(
    max_examples=(N_CASES or 2000) // len(READERS),
    derandomize=not N_CASES,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(mutations=MUTATIONS, of_bytes=st.booleans())
def test_a_mutated_input_is_read_or_is_one_line(
    tmp_path_factory: pytest.TempPathFactory,
    kind: str,
    mutations: list[Mutation],
    of_bytes: bool,
) -> None:
    reader, good = READERS[kind]
    content = make_content(good, mutations, of_bytes=of_bytes)
    home = tmp_path_factory.getbasetemp() / "fuzz"
    home.mkdir(exist_ok=True)
    line = read_or_refuse(reader, home, content)
    assert len(line.splitlines()) <= 1
    assert len(line) < 3000


NAMES = [
    b"1",
    b"1.5",
    b"true",
    b"~",
    b"2001-01-01",
    b"? [a]",
    b"? {a: 1}",
    b"!!binary aGk=",
    b".nan",
]
"""Names of fields in YAML that are no texts."""
FOUND: list[tuple[str, bytes]] = [
    *(("a task of lm-eval", YAML + name + b": x\n") for name in NAMES),
    *(
        ("a task of lm-eval", YAML.replace(b"{" + field, b"{1: x, " + field))
        for field in (b"data", b"test", b"version", b"metric", b"function")
    ),
    ("a task of lm-eval", YAML.replace(b"{test", b"{1: x, dev")),
    ("rows of a task", b'{"1": 2}\n'),
]
"""What mutations found, by kind: content that ended in a traceback once, and its siblings."""


@pytest.mark.parametrize("kind", sorted({kind for kind, _ in FOUND}))
def test_what_was_found_stays_mended(tmp_path: Path, kind: str) -> None:
    for content in (content for other, content in FOUND if other == kind):
        assert len(read_or_refuse(READERS[kind][0], tmp_path, content).splitlines()) <= 1


@pytest.mark.parametrize("kind", READERS)
def test_the_files_are_good_before_they_are_mutated(tmp_path: Path, kind: str) -> None:
    reader, good = READERS[kind]
    reader(tmp_path, make_content(good, [], of_bytes=True))


def test_the_fuzzer_would_find_a_traceback() -> None:
    def fragile(_: Path, content: bytes) -> None:
        if b"NaN" in content:
            raise KeyError("NaN")

    for mutation in ((0, 0.5, 0.0, TOKENS.index(b"NaN")), (3, 0.0, 0.0, VALUES.index(math.nan))):
        content = make_content(LOG, [mutation], of_bytes=mutation[0] == 0)
        with pytest.raises(KeyError):
            fragile(Path(), content)
