"""Several benchmarks of one model, arranged in sections: the means first, then each of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from cotkit.analysis.suite import MeanGain, Weighting, average_gains
from cotkit.analysis.values import Comparison
from cotkit.report.comparison_tables import comparison_document, comparison_warnings
from cotkit.report.document import (
    Document,
    Field,
    Screen,
    Strip,
    Table,
    make_table,
    say_ends,
    say_level,
    say_number,
)
from cotkit.report.verdicts import verdict_cell

SCHEMA = "cotkit.suite/1"
"""Changes when a key is renamed, removed or changes meaning; a new key leaves it alone."""
_WEIGHTINGS: dict[Weighting, str] = {
    "problems": "every problem counted alike",
    "benchmarks": "every benchmark counted alike",
}


def is_suite(comparisons: Sequence[Comparison]) -> bool:
    """Return whether they are of one model on several benchmarks, judged alike."""
    benches = {comparison.bench for comparison in comparisons}
    criteria = {(c.model, c.reader, c.margin) for c in comparisons}
    return len(comparisons) > 1 and len(benches) == len(comparisons) and len(criteria) == 1


def suite_documents(
    comparisons: Sequence[Comparison], *, timing: bool = False
) -> tuple[Document, ...]:
    """Return what sums several benchmarks up, then a document for each."""
    documents = (comparison_document(comparison, timing=timing) for comparison in comparisons)
    return suite_overview(comparisons), *documents


def suite_overview(comparisons: Sequence[Comparison]) -> Document:
    """Return the means over benchmarks, and a row for each gain that they are of."""
    first, means = comparisons[0], average_gains(comparisons)
    tables = (_means_table(means), _benchmarks_table(comparisons, first.margin))
    return Document(
        headline=tuple(_write_sentences(means))
        or ("No arm is measured against one control on every benchmark.",),
        caption=(
            first.model,
            f"{len(comparisons)} benchmarks",
            f"reader {first.reader}",
            f"margin {say_number(first.margin, 'share')} points",
        ),
        facts=(
            ("model", first.model),
            ("n_params", first.n_params),
            ("n_benches", len(comparisons)),
            ("reader", first.reader),
            ("margin", first.margin),
        ),
        tables=tables,
        notes=("a mean is of these benchmarks, over their problems; it says nothing of others",),
        warnings=tuple(
            f"{c.bench}: {text}" for c in comparisons for text in comparison_warnings(c)
        ),
        screen=Screen(tables=tables),
    )


def _write_sentences(means: Sequence[MeanGain]) -> list[str]:
    """Return a sentence for each arm, with both of its means."""
    sentences: list[str] = []
    for (arm, control), group in groupby(means, lambda mean: (mean.arm, mean.control)):
        both = list(group)
        verdicts = [verdict_cell(m.label, over_chance=m.is_over_chance).text for m in both]
        words = " / ".join(dict.fromkeys(verdicts))
        ways: dict[str, list[str]] = {}
        for mean in both:
            ends = say_ends(mean.interval.low, mean.interval.high, "points")
            number = f"{say_number(mean.gain, 'points')} ({ends})"
            ways.setdefault(number, []).append(_WEIGHTINGS[mean.weighting])
        numbers = ", ".join(f"{number} with {' and '.join(how)}" for number, how in ways.items())
        sentences.append(
            f"{arm} over {control}, mean of {both[0].n_benches} benchmarks, {words}: {numbers} "
            f"({say_level(both[0].interval.level)} intervals)."
        )
    return sentences


def _means_table(means: Sequence[MeanGain]) -> Table:
    return make_table(
        "means",
        "Mean gain over the benchmarks",
        (
            (
                Field("arm", "arm", mean.arm),
                Field("control", "over", mean.control),
                Field("weighting", "counted alike", mean.weighting),
                Field("n_benches", "benchmarks", mean.n_benches),
                Field("n", "n", mean.n),
                Field("gain", "gain points", mean.gain, "points"),
                Field("interval", "{level} interval", mean.interval, "points"),
                Field(
                    "label",
                    "verdict",
                    verdict_cell(mean.label, over_chance=mean.is_over_chance),
                ),
            )
            for mean in means
        ),
        note="Counted alike: every problem, or every benchmark; intervals from those of the "
        "benchmarks' gains (MOVER)",
    )


def _benchmarks_table(comparisons: Sequence[Comparison], margin: float) -> Table:
    return make_table(
        "benchmarks",
        "Gain on each benchmark",
        (
            (
                Field("bench", "benchmark", comparison.bench),
                Field("arm", "arm", gain.arm),
                Field("control", "over", gain.control),
                Field("n", "n", gain.n),
                Field("gain", "gain points", gain.gain, "points"),
                Field("interval", "{level} interval", gain.interval, "points"),
                Field(
                    "label",
                    "verdict",
                    verdict_cell(gain.label, over_chance=gain.chance is not None),
                ),
            )
            for comparison in comparisons
            for gain in (verdict.gain for verdict in comparison.verdicts)
        ),
        note="Intervals simultaneous over the gains of one benchmark",
        strip=Strip(estimate="gain", interval="interval", axis=None, margin=margin),
    )
