"""The table of label experiments: solve rate over the share of flipped exemplar labels."""

from __future__ import annotations

from collections.abc import Sequence

from cotkit.analysis.results import Following, FollowingLabel
from cotkit.report.document import Column, Number, Span, Strip, Table, Tone, Words
from cotkit.report.words import MISSING, say_level, say_number

LABELS: dict[FollowingLabel, tuple[str, Tone]] = {
    "follows": ("follows the exemplars", "plain"),
    "keeps_prior": ("keeps its prior", "plain"),
    "undetermined": ("undetermined", "quiet"),
}
"""Label -> its words and tone: neither is better than the other."""


def following_tables(points: Sequence[Following]) -> tuple[Table, ...]:
    """One table; none if no labels were flipped."""
    if not points:
        return ()
    level, chance = say_level(points[0].interval.level), say_number(points[0].chance, "share")
    table = Table(
        key="following",
        title="Does it follow the exemplars?",
        note="Flipped: share of the exemplars that show the other label; the labels asked are never"
        " flipped; follows: answers with the other label / n. With all flipped: follows the"
        f" exemplars if the interval of the solve rate lies below chance ({chance} %) and that of"
        " follows above it, keeps its prior if the first lies above it",
        columns=(
            Column(key="arm", header="arm"),
            Column(key="fraction", header="flipped %"),
            Column(key="solve_rate", header="solve rate %"),
            Column(key="interval", header=f"{level} interval"),
            Column(key="follows", header="follows %"),
            Column(key="label", header="verdict"),
            Column(key="chance", header="chance %", opens=True),
            Column(key="n", header="n"),
        ),
        rows=tuple(
            (
                Words(text=point.arm, raw=point.arm),
                Number(value=point.fraction, form="share"),
                Number(value=point.solve_rate, form="share"),
                Span(interval=point.interval, form="share"),
                Number(value=point.follows, form="share"),
                _label(point.label),
                Number(value=point.chance, form="share"),
                Number(value=point.n, form="count"),
            )
            for point in points
        ),
        strip=Strip(estimate="solve_rate", interval="interval", axis=(0.0, 1.0), margin=None),
    )
    return (table,)


def _label(label: FollowingLabel | None) -> Words:
    if label is None:
        return Words(text=MISSING, raw="", tone="quiet")
    text, tone = LABELS[label]
    return Words(text=text, raw=label, tone=tone)
