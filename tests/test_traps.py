"""Every bug that was seen in other evaluation code has a test that would find it here.

The table names, for each, the test that holds us to it, so that none is lost when tests move.
``extract: WHERE`` means rows of ``cases/extract.jsonl`` that were seen there.
"""

from __future__ import annotations

import ast
import json
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
TRAPS = [
    ("a final 39 is read as 3, $39. not at all", "extract: lm-eval gsm8k-cot strict"),
    ("lm-eval flexible takes dots for a number", "extract: lm-eval flexible"),
    (
        "strict takes the first ####, flexible the last",
        "extract: lm-eval strict and flexible differ",
    ),
    ("[invalid] votes, and can win", "extract: lm-eval majority vote ([invalid] votes)"),
    ("[invalid] votes, and can win", "test_votes.py::test_every_reader_counts_its_own_readings"),
    ("[invalid] votes", "test_lm_eval_tasks.py::test_a_filter_votes_as_lm_eval_does"),
    ("group_select counts matches", "test_lm_eval_tasks.py::test_a_filter_reads_as_lm_eval_does"),
    ("a minus sign is lost; nothing read is 0", "extract: simple-evals MGSM, dspy"),
    ("#### 10. differs from 10, #### $10 is nothing", "extract: official GSM8K regex, nanochat"),
    ("five digits are compared", "extract: inspect match(numeric=True)"),
    ("120,006 equals 120000, 2500 equals 25", "extract: EvalScope"),
    ("8,000 is read as 000", "extract: OpenCompass"),
    ("golds keep their commas", "extract: DeepEval"),
    ("golds keep their commas", "test_scoring.py::test_every_gsm8k_gold_is_read_exactly"),
    (
        "unread answers leave the denominator",
        "test_comparison.py::test_a_cell_counts_all_but_the_failed",
    ),
    ("exemplars are test questions", "test_bench.py::test_a_leaked_exemplar_is_refused"),
    ("correct is carried forward", "test_votes.py::test_transitions_by_hand"),
    ("100 is taken of '18. I am 100% sure'; on into the next Q:", "extract: any last-number rule"),
    ("decoys in <think>; an unclosed one is guessed at", "extract: last-number rules"),
    ("--limit takes the first", "test_bench.py::test_draws_are_nested_ordered_and_seeded"),
    ("rows are billed with their padding", "test_hf.py::test_accounting_is_exact"),
    (
        "a second model is served the first one's answers",
        "test_run.py::test_another_model_is_never_served_the_first_ones_answers",
    ),
    (
        "answers are written at the end only",
        "test_kill.py::test_killed_at_random_points_the_table_is_the_same_and_nothing_is_made_twice",
    ),
    (
        "a bootstrap error too small by sqrt(B)",
        "test_measure.py::test_intervals_cover_the_truth_at_about_their_rate",
    ),
    ("a relative match passes every negative target", "test_metrics.py::test_numeric_match"),
    ("two Brier scores under one name", "test_metrics.py::test_brier_of_a_uniform_guess"),
    (
        "items with more options weigh more",
        "test_metrics.py::test_brier_per_option_weighs_items_by_their_options",
    ),
    ("NaN becomes a number", "test_metrics.py::test_refused"),
    (
        "NaN of a provider becomes a number",
        "test_likelihood_requests.py::test_a_log_probability_that_is_none_ends_the_run_in_one_line",
    ),
    ("1-(1-c/n)^k is biased", "test_metrics.py::test_pass_at_k_counts_the_subsets"),
    (
        "a failure is a wrong answer",
        "test_run.py::test_a_transient_failure_is_data_and_is_tried_again",
    ),
]


@cache
def functions_of(file: str) -> frozenset[str]:
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


@cache
def seen() -> frozenset[str]:
    lines = (TESTS / "cases" / "extract.jsonl").read_text(encoding="utf-8").splitlines()
    return frozenset(json.loads(line).get("seen_in", "") for line in lines)


@pytest.mark.parametrize(("trap", "where"), TRAPS)
def test_every_trap_has_its_test(trap: str, where: str) -> None:
    if where.startswith("extract: "):
        assert where.removeprefix("extract: ") in seen(), trap
    else:
        file, _, name = where.partition("::")
        assert name in functions_of(file), trap
