"""``cotkit.score``: completions made elsewhere, read by the same readers."""

from __future__ import annotations

import pytest

import cotkit
from cotkit.errors import BadInputError
from tests.conftest import Sums


def test_texts_become_outcomes_and_a_cell() -> None:
    scored = cotkit.score(
        {"sums/1": "The answer is 2.", "sums/2": "The answer is 7.", "sums/3": "No idea."},
        Sums(),
        arm="elsewhere",
    )
    assert [row.outcome for row in scored.rows] == ["correct", "wrong", "unparsed"]
    assert (scored.cell.n, scored.cell.n_correct, scored.cell.arm) == (3, 1, "elsewhere")
    assert scored.cell.interval.low < 1 / 3 < scored.cell.interval.high
    assert scored.cell.generated_tokens is None


def test_the_reader_decides() -> None:
    texts = {"sums/1": "It makes 2"}
    assert cotkit.score(texts, Sums(), reader="flexible").cell.n_correct == 1
    assert cotkit.score(texts, Sums(), reader="strict").cell.n_correct == 0


def test_an_unknown_id_is_named() -> None:
    with pytest.raises(BadInputError, match=r"sums/99: sums has no such problem"):
        cotkit.score({"sums/99": "1"}, Sums())


def test_an_unknown_reader_is_named() -> None:
    with pytest.raises(cotkit.CotkitError, match="did you mean flexible"):
        cotkit.score({"sums/1": "1"}, Sums(), reader="flexibel")
