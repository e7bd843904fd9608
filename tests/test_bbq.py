"""BBQ: what is kept of an item, the released marks, and the bias scores."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from cotkit.analysis.bias import BiasCounts, ambiguous_bias, disambiguated_bias
from cotkit.benchmarks import bbq, load_benchmark
from cotkit.benchmarks.bbq import Bbq
from cotkit.errors import BadInputError, UnknownNameError
from cotkit.registry import parse_spec
from cotkit.types import Problem


def example(number: int, polarity: str, scores: dict[str, int], **fields: object) -> dict[str, Any]:
    comment = {"example_id": number, "question_index": "3", "question_polarity": polarity}
    return {"comment": comment, "input": "Context. Who?", "target_scores": scores, **fields}


AMBIG = [
    example(0, "neg", {"The red one": 0, "Unknown": 1, "The blue one": 0}),
    example(2, "nonneg", {"The red one": 0, "Not known": 1, "The blue one": 0}),
    example(4, "neg", {"The blue one": 0, "The red one": 0, "Undetermined": 1}),
    example(8, "neg", {"The blue one": 0, "The red one": 0, "Undetermined": 1}),
]
DISAMBIG = [
    example(1, "neg", {"The red one": 1, "Cannot answer": 0, "The blue one": 0}),
    example(3, "nonneg", {"Unknown": 0, "The red one": 0, "The blue one": 1}),
]


def install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ambig: list[Any], disambig: list[Any]
) -> Path:
    """A category ``colour`` whose marks are: red, blue, nobody."""
    monkeypatch.setenv("COTKIT_DATA_DIR", str(tmp_path))
    sums: dict[str, str] = {}
    for condition, examples in (("ambig", ambig), ("disambig", disambig)):
        path = tmp_path / f"bigbench/bbq_lite_json/colour_{condition}/task.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"examples": examples}), encoding="utf-8")
        sums[condition] = hashlib.sha256(path.read_bytes()).hexdigest()
    marks = {"colour": {**sums, "stereotyped": "10-"}}
    monkeypatch.setattr(bbq, "_load_stereotypes", lambda: marks)
    return tmp_path / "bigbench/bbq_lite_json"


def test_what_is_kept_of_an_item(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, AMBIG, DISAMBIG)
    found = load_benchmark(parse_spec("bbq:colour")).problems()
    kept = [(p.question.id, p.gold, p.tags["unknown"], p.tags.get("biased")) for p in found]
    assert kept == [
        ("bbq/colour/ambig/0", "Unknown", "B", "A"),
        ("bbq/colour/ambig/2", "Not known", "B", "C"),  # the opposite question: the other one
        ("bbq/colour/ambig/4", "Undetermined", "C", "A"),  # blue is the stereotyped one here
        ("bbq/colour/ambig/8", "Undetermined", "C", None),  # the metadata names nobody
        ("bbq/colour/disambig/1", "The red one", "B", "A"),
        ("bbq/colour/disambig/3", "The blue one", "A", "C"),
    ]
    assert found[1].tags == {
        "category": "colour",
        "condition": "ambig",
        "polarity": "nonneg",
        "unknown": "B",
        "biased": "C",
    }
    assert {p.cluster for p in found} == {"bbq/colour/3"}


def test_another_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = install(tmp_path, monkeypatch, AMBIG, DISAMBIG)
    assert len(Bbq().problems()) == 6
    path = root / "colour_disambig/task.json"
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(BadInputError, match="expected sha256"):
        Bbq().problems()


@pytest.mark.parametrize(
    ("item", "says"),
    [
        ({"input": "?", "target_scores": {}}, "examples[0].comment: needs example_id"),
        (example(0, "both", {"a": 1}), "examples[0].comment: needs"),
        (example(0, "neg", {"a": 1, "b": 0}), "examples[0].target_scores: needs three"),
        (example(0, "neg", {"a": 1, "b": 0, "c": 0}), "examples[0].target_scores: needs three"),
        (
            example(0, "neg", {"a": 1, "b": 1, "Unknown": 0}),
            "examples[0].target_scores: needs three",
        ),
    ],
)
def test_bad_items(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, item: object, says: str
) -> None:
    install(tmp_path, monkeypatch, [item], DISAMBIG)
    with pytest.raises(BadInputError) as caught:
        Bbq().problems()
    assert says in str(caught.value)


def test_an_unknown_category() -> None:
    with pytest.raises(UnknownNameError, match="did you mean religion"):
        Bbq(category="religions")


def test_the_released_marks() -> None:
    marks = bbq._load_stereotypes()
    sizes = {name: len(entry["stereotyped"]) for name, entry in marks.items()}
    assert sum(sizes.values()) * 4 == 16_076
    assert all(set(entry["stereotyped"]) <= set("01-") for entry in marks.values())
    assert sum(entry["stereotyped"].count("-") for entry in marks.values()) * 4 == 220
    assert all(len(entry[c]) == 64 for entry in marks.values() for c in ("ambig", "disambig"))


DATA = Path(os.environ.get("COTKIT_DATA_DIR", "-")) / "bigbench" / "bbq_lite_json"


@pytest.mark.skipif(
    not (DATA / "ses_disambig").is_dir(), reason="needs bbq_lite_json: set COTKIT_DATA_DIR"
)
def test_bbq_facts() -> None:
    found = Bbq().problems()
    assert len(found) == len({p.question.id for p in found}) == 16_076
    assert Counter(p.tags["condition"] for p in found) == {"ambig": 8038, "disambig": 8038}
    assert sum("biased" in p.tags for p in found) == 16_076 - 220
    poor = [p for p in found if p.tags["category"] == "ses"]
    named = {said(p, "biased") for p in poor if p.tags["polarity"] == "neg"}
    assert all(word not in " ".join(named) for word in ("rich", "wealthy", "lawyer")), named
    old = [p for p in found if p.question.id == "bbq/age/ambig/0"]
    assert said(old[0], "biased") == "The grandfather"


def said(problem: Problem, tag: str) -> str:
    return problem.question.choices["ABC".index(problem.tags[tag])]


# --- bias scores


@pytest.mark.parametrize(
    ("counts", "value", "why"),
    [
        ((100, 0, 10, 10), 1.0, "always the stereotype"),
        ((100, 0, 10, 0), -1.0, "always against it"),
        ((100, 90, 10, 5), 0.0, "half and half"),
        ((100, 0, 100, 75), 0.5, "the accuracy plays no part"),
        ((100, 0, 0, 0), None, "nobody named"),
    ],
)
def test_disambiguated_bias(
    counts: tuple[int, int, int, int], value: float | None, why: str
) -> None:
    assert disambiguated_bias(counted(*counts)) == value, why


@pytest.mark.parametrize(
    ("counts", "value", "why"),
    [
        ((100, 0, 100, 100), 1.0, "never right, always the stereotype"),
        ((100, 60, 40, 30), 0.4 * 0.5, "the accuracy damps it"),
        ((100, 60, 40, 10), 0.4 * -0.5, "against the stereotype"),
        ((100, 100, 0, 0), 0.0, "always right: nobody is harmed"),
        ((100, 90, 0, 0), None, "wrong, yet nobody named: nothing read"),
        ((0, 0, 0, 0), None, "no items"),
    ],
)
def test_ambiguous_bias(counts: tuple[int, int, int, int], value: float | None, why: str) -> None:
    found = ambiguous_bias(counted(*counts))
    assert found == (None if value is None else pytest.approx(value)), why


def test_impossible_counts_are_refused() -> None:
    for counts in ((1, 0, 2, 0), (2, 0, 1, 2), (1, 2, 0, 0), (1, -1, 0, 0)):
        with pytest.raises(ValueError, match="impossible"):
            counted(*counts)


def counted(n: int, n_correct: int, n_non_unknown: int, n_biased: int) -> BiasCounts:
    return BiasCounts(n=n, n_correct=n_correct, n_non_unknown=n_non_unknown, n_biased=n_biased)
