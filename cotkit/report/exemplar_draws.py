"""Exemplar draws in words and as JSON: what the gain hangs on, the exemplars or the problems."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict

from cotkit.analysis.audit import withholding_reason
from cotkit.analysis.draws import DrawVariance
from cotkit.analysis.values import Comparison
from cotkit.events import printable
from cotkit.report.document import say_ends, say_level, say_number

SCHEMA = "cotkit.draws/1"
"""Changes when a key is renamed, removed or changes meaning; a new key leaves it alone."""


def draws_text(
    variances: Sequence[DrawVariance], seeds: Sequence[int], comparisons: Sequence[Comparison]
) -> str:
    """A paragraph for each arm, then the notes; ends in a newline.

    ``seeds`` and ``comparisons`` are those of the draws, in their order.
    """
    bounds = _upper_bounds(comparisons)
    parts = [
        _write_paragraph(
            found,
            seeds,
            _mark_name(found.arm, bounds),
            _withholding_reasons(found, seeds, comparisons),
        )
        for found in variances
    ]
    notes = "".join(f"  note: {printable(note)}\n" for note in _draw_notes(seeds, comparisons))
    if notes:
        parts.append(f"of the single draws\n{notes}")
    return "\n".join(parts)


def draws_json(
    variances: Sequence[DrawVariance], seeds: Sequence[int], comparisons: Sequence[Comparison]
) -> str:
    """Indented JSON, full precision, gains and deviations as fractions.

    ``withheld`` of a draw says why its gain means nothing; its ``interval`` is then null.
    """
    page = {
        "schema": SCHEMA,
        "seeds": list(seeds),
        "draws": [_make_record(found, seeds, comparisons) for found in variances],
        "notes": _draw_notes(seeds, comparisons),
    }
    return json.dumps(page, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _make_record(
    found: DrawVariance, seeds: Sequence[int], comparisons: Sequence[Comparison]
) -> dict[str, object]:
    record: dict[str, object] = asdict(found)
    record["arm"] = _mark_name(found.arm, _upper_bounds(comparisons))
    record["withheld"] = why = _withholding_reasons(found, seeds, comparisons)
    return record | {"interval": None} if why else record


def _write_paragraph(
    found: DrawVariance, seeds: Sequence[int], arm: str, why: Sequence[str]
) -> str:
    interval = found.interval
    each = " · ".join(
        f"{seed}: {say_number(gain, 'points')}"
        for seed, gain in zip(seeds, found.gains, strict=True)
    )
    names = f"{printable(arm)} over {printable(found.control)}"
    size = f"over {len(seeds)} exemplar draws of {say_number(found.n, 'count')} problems"
    if why:
        said = "".join(f"  {printable(sentence)}\n" for sentence in why)
        return f"{names}: withheld {size}\n{said}  gain by exemplar seed (withheld)  {each}\n"
    return (
        f"{names}: {say_number(found.gain, 'points')} points"
        f" ({say_ends(interval.low, interval.high, 'points')}, {say_level(interval.level)},"
        f" two-way bootstrap) {size}\n"
        f"  of one draw: sd {say_number(found.sd_draws, 'share')} points by the exemplars,"
        f" {say_number(found.sd_items, 'share')} by the problems\n"
        f"  gain by exemplar seed  {each}\n"
    )


def _upper_bounds(comparisons: Sequence[Comparison]) -> set[str]:
    verdicts = [verdict for comparison in comparisons for verdict in comparison.verdicts]
    return {v.gain.arm for v in verdicts if v.gain.label == "upper_bound"}


def _mark_name(arm: str, upper_bounds: Collection[str]) -> str:
    return f"{arm} (upper bound)" if arm in upper_bounds else arm


def _withholding_reasons(
    found: DrawVariance, seeds: Sequence[int], comparisons: Sequence[Comparison]
) -> list[str]:
    """Why the gain means nothing: a mean holds no better than the worst of its draws."""
    why = [withholding_reason(found.arm, found.control, one.audits) for one in comparisons]
    return _merge_by_seed([[] if sentence is None else [sentence] for sentence in why], seeds)


def _draw_notes(seeds: Sequence[int], comparisons: Sequence[Comparison]) -> list[str]:
    return _merge_by_seed([comparison.notes for comparison in comparisons], seeds)


def _merge_by_seed(said: Sequence[Sequence[str]], seeds: Sequence[int]) -> list[str]:
    """What the draws say, once each; with the seeds where not all say it."""
    by: dict[str, list[int]] = {}
    for seed, texts in zip(seeds, said, strict=True):
        for text in texts:
            by.setdefault(text, []).append(seed)
    return [
        text if len(at) == len(seeds) else f"exemplar seed {', '.join(map(str, at))}: {text}"
        for text, at in by.items()
    ]
