"""How each verdict is shown: its words, tone and marks. All reports read this one table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

from cotkit.report.document import MISSING, Tone, Words

if TYPE_CHECKING:
    from cotkit.analysis.scale.contrasts import ContrastLabel
    from cotkit.analysis.scale.values import JumpWord, SizeLabel
    from cotkit.analysis.values import BesideExact, BiasLabel, Direction, FollowingLabel, Label

_TableLabel: TypeAlias = "Direction | BesideExact | BiasLabel | FollowingLabel"
VerdictLabel: TypeAlias = "Label | SizeLabel | ContrastLabel | JumpWord | _TableLabel"
"""A verdict as programs read it; one that several analyses give means the same in all."""


@dataclass(frozen=True, slots=True)
class VerdictStyle:
    """How one verdict is shown."""

    words: str
    """As people read it; they alone say it, whatever the tone."""
    tone: Tone = "plain"
    """Its colour."""
    mark: str = ""
    """Its sign in a grid of gains."""
    marker: str = ""
    """Its point in a figure, by matplotlib's names; ``o`` is drawn hollow."""


VERDICTS: Mapping[VerdictLabel, VerdictStyle] = MappingProxyType(
    {
        # A gain over the control:
        "helps": VerdictStyle("helps", "good", "▲", "^"),
        "some_help": VerdictStyle("some help", "good", "△", "o"),
        "harms": VerdictStyle("harms", "bad", "▼", "v"),
        "no_material_help": VerdictStyle("no material help", "plain", "=", "_"),
        "undetermined": VerdictStyle("undetermined", "quiet", "?", "o"),
        "upper_bound": VerdictStyle("upper bound", "quiet", "!"),
        "withheld": VerdictStyle("withheld", "warn", "!"),
        "missing": VerdictStyle("missing", "warn", marker="x"),
        # A model against another of its size:
        "higher": VerdictStyle("higher", "good", marker="^"),
        "lower": VerdictStyle("lower", "bad", marker="v"),
        "alike": VerdictStyle("alike to the margin", "plain", marker="s"),
        # A jump over model size:
        "real_jump": VerdictStyle("real jump", "good"),
        "metric_artefact": VerdictStyle("metric artefact", "warn"),
        "no_jump": VerdictStyle("no jump", "plain"),
        # The gain in one metric, and how it stands to that of exact match:
        "better": VerdictStyle("better", "good", "△", "^"),
        "worse": VerdictStyle("worse", "bad", "▽", "v"),
        "undecided": VerdictStyle("undecided", "quiet"),
        "agrees": VerdictStyle("agrees"),
        "opposite": VerdictStyle("OPPOSITE", "warn"),
        "opposite_undecided": VerdictStyle("opposite, undecided", "quiet"),
        "only_this": VerdictStyle("only this decided", "warn"),
        "only_exact": VerdictStyle("only exact match", "quiet"),
        "neither": VerdictStyle("neither decided", "quiet"),
        # Bias against that of the control:
        "less_biased": VerdictStyle("less biased", "good"),
        "more_biased": VerdictStyle("MORE biased", "bad"),
        # A model whose exemplars show flipped labels, or symbols; neither is better than the other:
        "falls": VerdictStyle("follows them", "plain", "▽", "v"),
        "no_better": VerdictStyle("no better", "plain", "=", "_"),
        "follows": VerdictStyle("follows the exemplars"),
        "keeps_prior": VerdictStyle("keeps its prior", "plain", "=", "_"),
    }
)
"""Verdict -> how it is shown."""


_OVER_CHANCE: Mapping[VerdictLabel, str] = MappingProxyType(
    {
        "helps": "leaves chance",
        "some_help": "leaves chance a little",
        "harms": "below chance",
        "no_material_help": "at chance",
    }
)
"""The words of a gain over guessing, which is no help."""


def verdict_cell(label: VerdictLabel | None, *, over_chance: bool = False) -> Words:
    """Return the cell of a verdict; None: there is none."""
    if label is None:
        return Words(text=MISSING, raw="", tone="quiet")
    style = VERDICTS[label]
    words = _OVER_CHANCE.get(label, style.words) if over_chance else style.words
    return Words(text=words, raw=label, tone=style.tone)
