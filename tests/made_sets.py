"""Small files of our own in the form of every named set, as its repository on the hub has them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

from tests.hub_server import make_parquet

Row = Mapping[str, object]
N = 6


def _sum(i: int) -> tuple[str, int]:
    return f"Ada has {i} pens and buys {i + 3} more. How many has she?", 2 * i + 3


def _question(i: int) -> str:
    return f"Which of these is made of {('wood', 'glass', 'wool')[i % 3]}, number {i}?"


def _options(i: int, n: int) -> list[str]:
    return [f"thing {i}-{k}" for k in range(n)]


def _lettered(i: int, n: int) -> Row:
    return {
        "id": f"r{i}",
        "question": _question(i),
        "choices": {"label": list("ABCDE"[:n]), "text": _options(i, n)},
        "answerKey": "ABCDE"[i % n],
    }


def _label(*texts: str, n: int) -> Callable[[int], Row]:
    return lambda i: {**{name: f"{name} {i} of ours." for name in texts}, "label": i % n}


def _aqua(i: int) -> Row:
    options = [f"{letter}){i + k}" for k, letter in enumerate("ABCDE")]
    return {
        "question": f"What is {i} + 1?",
        "options": options,
        "correct": "B",
        "rationale": f"One more than {i} is {i + 1}.  Answer: B",
    }


def _gpqa(i: int) -> Row:
    wrong = {f"Incorrect Answer {k}": f"{i} + {k} mol" for k in (1, 2, 3)}
    explanation = f"It is {i}, as the law says."
    return {
        "Question": _question(i),
        "Correct Answer": f"{i} mol",
        "Explanation": explanation,
    } | wrong


def _mmlu_pro(i: int) -> Row:
    letter = "ABCDEFGHIJ"[i % 10]
    return {
        "question_id": i,
        "question": _question(i),
        "options": _options(i, 10),
        "answer": letter,
        "answer_index": i % 10,
        "cot_content": f"A: Let's think step by step. It is number {i}. The answer is ({letter}).",
        "category": ("physics", "law")[i % 2],
    }


def _mgsm(i: int) -> Row:
    text, gold = _sum(i)
    return {
        "question": text,
        "answer": f"Step-by-Step Answer: {i} + {i + 3} = {gold}. The answer is {gold}.",
        "answer_number": gold,
    }


def _drop(i: int) -> Row:
    kind = "span" if i == 2 else "number"
    spans = {"spans": [str(i + 5), str(i + 5)], "types": [kind, kind]}
    return {
        "section_id": f"game_{i // 2}",
        "query_id": f"q{i}",
        "passage": f"The Larks kicked {i} goals, then 5.",
        "question": f"How many goals were kicked in game {i}?",
        "answers_spans": spans,
    }


def _truthful(i: int) -> Row:
    choices = _options(i, 3)
    return {"question": _question(i), "mc1_targets": {"choices": choices, "labels": [1, 0, 0]}}


ROWS: Mapping[str, Callable[[int], Row]] = {
    "multiarith": lambda i: {"question": f" {_sum(i)[0]} ", "final_ans": str(_sum(i)[1])},
    **{
        name: lambda i: {"input": _sum(i)[0], "target": float(_sum(i)[1])}
        for name in ("addsub", "singleop", "singleeq")
    },
    "mawps": lambda i: {
        "id": f"m{i}",
        "question": _sum(i)[0],
        "result": f"{_sum(i)[1]}",
        "result_float": float(_sum(i)[1]),
    },
    "asdiv": lambda i: {
        "body": f"Ada has {i} pens and buys {i + 3}.",
        "question": "How many has she?",
        "answer": f"{_sum(i)[1]} (pens)",
    },
    "aqua": _aqua,
    "csqa": lambda i: _lettered(i, 5),
    "strategyqa": lambda i: {
        "qid": f"s{i}",
        "question": f"Would a heron fit into bottle {i}?",
        "answer": i % 2 == 0,
        "facts": f"A heron is a metre tall. Bottle {i} is smaller.",
    },
    "math500": lambda i: {
        "problem": f"Find $\\frac{{{i}}}{{7}}$ of 1.",
        "solution": f"It is $\\boxed{{\\frac{{{i}}}{{7}}}}$.",
        "answer": f"\\frac{{{i}}}{{7}}",
        "subject": "Algebra",
        "unique_id": f"test/algebra/{i}.json",
    },
    "aime2024": lambda i: {"id": i, "problem": _sum(i)[0], "answer": f"0{i}3"},
    "aime2025": lambda i: {"id": str(i), "problem": _sum(i)[0], "answer": str(_sum(i)[1])},
    "gpqa": _gpqa,
    "mmlu-pro": _mmlu_pro,
    "mgsm": _mgsm,
    "drop": _drop,
    "arc": lambda i: _lettered(i, 4),
    "truthfulqa": _truthful,
    "sst2": _label("sentence", n=2),
    "subj": lambda i: {
        "text": f"text {i} of ours.",
        "label": i % 2,
        "label_text": ("objective", "subjective")[i % 2],
    },
    "trec": lambda i: {"text": f"question {i} of ours?", "coarse_label": i % 6, "fine_label": 0},
    "qqp": _label("question1", "question2", n=2),
    "rte": _label("sentence1", "sentence2", n=2),
    "financial-phrasebank": _label("sentence", n=3),
    "ethos": _label("text", n=2),
}
"""Name -> row i of it."""

FILES: Mapping[str, str] = {
    "aqua": "raw/{split}-00000-of-00001.parquet",
    "math500": "{split}.jsonl",
    "aime2025": "{split}.jsonl",
    "gpqa": "gpqa_diamond.csv",
    "addsub": "data/mawps/addsub.jsonl",
    "singleop": "data/mawps/singleop.jsonl",
    "singleeq": "data/mawps/singleeq.jsonl",
    "mgsm": "en/{split}/0000.parquet",
    "arc": "ARC-Challenge/{split}-00000-of-00001.parquet",
    "truthfulqa": "multiple_choice/{split}-00000-of-00001.parquet",
    "sst2": "sst2/{split}-00000-of-00001.parquet",
    "qqp": "qqp/{split}-00000-of-00001.parquet",
    "rte": "rte/{split}-00000-of-00001.parquet",
    "subj": "{split}.jsonl",
    "ethos": "{split}.jsonl",
    "trec": "default/{split}/0000.parquet",
    "financial-phrasebank": "sentences_allagree/{split}/0000.parquet",
}
"""Name -> its file; others are ``data/{split}-00000-of-00001.parquet``."""
CONVERTED = {"mgsm", "trec", "financial-phrasebank"}
"""Sets whose repository is a script: what is read is the hub's own conversion."""


def write_file(name: str, rows: Sequence[Row]) -> bytes:
    """Return a file of rows in the format that its name's end says."""
    if name.endswith(".parquet"):
        return make_parquet(rows)
    if name.endswith(".csv"):
        cells = [list(rows[0]), *([str(value) for value in row.values()] for row in rows)]
        return "".join(",".join(f'"{cell}"' for cell in line) + "\n" for line in cells).encode()
    return "".join(f"{json.dumps(row)}\n" for row in rows).encode()


def files_of(name: str, splits: Sequence[str]) -> dict[str, bytes]:
    """Return the repository of a named set: six rows, of the training split six others."""
    files: dict[str, bytes] = {}
    for number, split in enumerate(splits):
        file = FILES.get(name, "data/{split}-00000-of-00001.parquet").format(split=split)
        files[file] = write_file(file, [ROWS[name](i) for i in range(number * N, number * N + N)])
    return files
