"""Draws as text and JSON: does the gain depend on the exemplars, the samples or the problems?"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict

from cotkit.analysis.audit import withholding_reason
from cotkit.analysis.draws import DrawVariance
from cotkit.analysis.values import Comparison
from cotkit.printable import printable, printable_json
from cotkit.report.document import say_ends, say_level, say_number

SCHEMA = "cotkit.draws/1"
"""Changes when a key is renamed, removed or changes meaning; a new key leaves it alone."""
EXEMPLAR_SEED = "exemplar seed"
"""What tells draws apart unless they are of samples, too."""


def draws_text(
    variances: Sequence[DrawVariance],
    seeds: Sequence[int | str],
    comparisons: Sequence[Comparison],
    kind: str = EXEMPLAR_SEED,
) -> str:
    """Return a paragraph for each arm, then the notes; ends in a newline.

    ``seeds``, ``comparisons`` and ``kind`` are those of ``ExemplarDraws``.
    """
    bounds = _upper_bounds(comparisons)
    parts = [
        _write_paragraph(
            variance,
            seeds,
            _mark_name(variance.arm, bounds),
            _withholding_reasons(variance, seeds, comparisons, kind),
            kind,
        )
        for variance in variances
    ]
    notes = _draw_notes(seeds, comparisons, kind)
    notes = "".join(f"  note: {printable(note)}\n" for note in notes)
    if notes:
        parts.append(f"of the single draws\n{notes}")
    return "\n".join(parts)


def draws_json(
    variances: Sequence[DrawVariance],
    seeds: Sequence[int | str],
    comparisons: Sequence[Comparison],
    kind: str = EXEMPLAR_SEED,
) -> str:
    """Return indented JSON, full precision, gains and deviations as fractions.

    ``withheld`` of a draw says why its gain means nothing; its ``interval`` is then null.
    """
    page = {
        "schema": SCHEMA,
        **({} if kind == EXEMPLAR_SEED else {"kind": kind}),
        "seeds": list(seeds),
        "draws": [_make_record(variance, seeds, comparisons, kind) for variance in variances],
        "notes": _draw_notes(seeds, comparisons, kind),
    }
    return printable_json(json.dumps(page, indent=2, ensure_ascii=False, allow_nan=False)) + "\n"


def _make_record(
    variance: DrawVariance,
    seeds: Sequence[int | str],
    comparisons: Sequence[Comparison],
    kind: str,
) -> dict[str, object]:
    record: dict[str, object] = asdict(variance)
    record["arm"] = _mark_name(variance.arm, _upper_bounds(comparisons))
    record["withheld"] = reasons = _withholding_reasons(variance, seeds, comparisons, kind)
    return record | {"interval": None} if reasons else record


def _write_paragraph(
    variance: DrawVariance, seeds: Sequence[int | str], arm: str, reasons: Sequence[str], kind: str
) -> str:
    interval = variance.interval
    gains = " · ".join(
        f"{seed}: {say_number(gain, 'points')}"
        for seed, gain in zip(seeds, variance.gains, strict=True)
    )
    names = f"{printable(arm)} over {printable(variance.control)}"
    cause = {EXEMPLAR_SEED: "exemplars", "sample seed": "samples"}.get(kind, "draws")
    draws = "exemplar draws" if kind == EXEMPLAR_SEED else "draws"
    size = f"over {len(seeds)} {draws} of {say_number(variance.n, 'count')} problems"
    if reasons:
        why = "".join(f"  {printable(sentence)}\n" for sentence in reasons)
        return f"{names}: withheld {size}\n{why}  gain by {kind} (withheld)  {gains}\n"
    return (
        f"{names}: {say_number(variance.gain, 'points')} points"
        f" ({say_ends(interval.low, interval.high, 'points')}, {say_level(interval.level)},"
        f" two-way bootstrap) {size}\n"
        f"  of one draw: sd {say_number(variance.sd_draws, 'share')} points by the {cause},"
        f" {say_number(variance.sd_items, 'share')} by the problems\n"
        f"  gain by {kind}  {gains}\n"
    )


def _upper_bounds(comparisons: Sequence[Comparison]) -> set[str]:
    verdicts = [verdict for comparison in comparisons for verdict in comparison.verdicts]
    return {v.gain.arm for v in verdicts if v.gain.label == "upper_bound"}


def _mark_name(arm: str, upper_bounds: Collection[str]) -> str:
    return f"{arm} (upper bound)" if arm in upper_bounds else arm


def _withholding_reasons(
    variance: DrawVariance,
    seeds: Sequence[int | str],
    comparisons: Sequence[Comparison],
    kind: str,
) -> list[str]:
    """Return why the gain means nothing: a mean holds no better than the worst of its draws."""
    reasons = [
        withholding_reason(variance.arm, variance.control, comparison.audits)
        for comparison in comparisons
    ]
    return _merge_by_seed([[] if reason is None else [reason] for reason in reasons], seeds, kind)


def _draw_notes(
    seeds: Sequence[int | str], comparisons: Sequence[Comparison], kind: str
) -> list[str]:
    return _merge_by_seed([comparison.notes for comparison in comparisons], seeds, kind)


def _merge_by_seed(
    sentences: Sequence[Sequence[str]], seeds: Sequence[int | str], kind: str
) -> list[str]:
    """Return each sentence of the draws once; with its seeds where not all draws have it."""
    seeds_by_sentence: dict[str, list[int | str]] = {}
    for seed, draw_sentences in zip(seeds, sentences, strict=True):
        for sentence in draw_sentences:
            seeds_by_sentence.setdefault(sentence, []).append(seed)
    return [
        sentence
        if len(draw_seeds) == len(seeds)
        else f"{kind} {', '.join(map(str, draw_seeds))}: {sentence}"
        for sentence, draw_seeds in seeds_by_sentence.items()
    ]
