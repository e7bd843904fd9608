"""Whether runs may stand on one curve: they must differ in the model alone."""

from __future__ import annotations

from collections.abc import Sequence

from cotkit.errors import UsageError
from cotkit.run.identity import Content, difference


def check_alike(runs: Sequence[tuple[str, Content]]) -> None:
    """Refuse runs that differ in what they asked, or how it was read.

    Runs of cotkit 0.1 and later ones are compared in what both record.

    Args:
        runs: Id and content of each; an arm that only some have is not compared.

    Raises:
        UsageError: names the first field that differs.
    """
    (first, content), *others = runs
    for run_id, other in others:
        if (field := difference(content, other)) is not None:
            raise UsageError(
                f"runs {first} and {run_id} cannot stand on one curve: they differ in {field}",
                hint="cotkit scale --models runs them alike; what is done is not made again",
            )
