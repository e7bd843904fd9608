"""Exemplar draws in words and as JSON: what the gain hangs on, the exemplars or the problems."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from cotkit.analysis.draws import DrawVariance
from cotkit.report.words import printable, say_ends, say_level, say_number

SCHEMA = "cotkit.draws/1"
"""Changes when a key is renamed, removed or changes meaning; a new key leaves it alone."""


def draws_text(variances: Sequence[DrawVariance], seeds: Sequence[int]) -> str:
    """A paragraph for each arm; ends in a newline. ``seeds``: of the draws, in their order."""
    return "\n".join(_paragraph(found, seeds) for found in variances)


def draws_json(variances: Sequence[DrawVariance], seeds: Sequence[int]) -> str:
    """Indented JSON, full precision, gains and deviations as fractions."""
    page = {"schema": SCHEMA, "seeds": list(seeds), "draws": [asdict(v) for v in variances]}
    return json.dumps(page, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _paragraph(found: DrawVariance, seeds: Sequence[int]) -> str:
    interval = found.interval
    each = " · ".join(
        f"{seed}: {say_number(gain, 'points')}"
        for seed, gain in zip(seeds, found.gains, strict=True)
    )
    names = f"{printable(found.arm)} over {printable(found.control)}"
    return (
        f"{names}: {say_number(found.gain, 'points')} points"
        f" ({say_ends(interval.low, interval.high, 'points')}, {say_level(interval.level)},"
        f" two-way bootstrap) over {len(seeds)} exemplar draws of"
        f" {say_number(found.n, 'count')} problems\n"
        f"  of one draw: sd {say_number(found.sd_draws, 'share')} points by the exemplars,"
        f" {say_number(found.sd_items, 'share')} by the problems\n"
        f"  gain by exemplar seed  {each}\n"
    )
