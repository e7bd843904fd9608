"""Unrelated labels: symbols in place of the labels, to be learned in context (Wei et al. 2023)."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import ClassVar

from cotkit.errors import UnknownNameError
from cotkit.strategies._labels import CUE, LabelStrategy
from cotkit.types import Attempt, Exemplar, Flow, Question

SETS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "foo-bar": ("Foo", "Bar", "Iff", "Roc", "Ket", "Dal"),
        "letters": ("A", "B", "C", "D", "E", "F"),
        "digits": ("0", "1", "2", "3", "4", "5"),
        "fruit": ("Apple", "Orange", "Cherry", "Mango", "Plum", "Grape"),
        "reversed": (),
    }
)
"""Name -> symbols, given to the sorted labels in this order; ``reversed``: each the next label."""

_MARKERS = re.compile(
    r"(?i:answer|result|solution|conclusion)|\\(?:boxed|fbox)|Q(?:uestion)?\*{0,3}:|#{2,}|[<>{}\[\]|:=]"
)
"""What readers could take for a marker of an answer, or for the next question."""


@dataclass(frozen=True, kw_only=True)
class UnrelatedLabels(LabelStrategy):
    """The exemplars show symbols that say nothing of the task (SUL-ICL of the paper).

    Source: arXiv:2303.03846, section 4. A symbol in the completion is turned back into its label
    before anything reads it; a completion that names no symbol, or several, has no answer, also
    where it names a natural label. The model's words before its symbol stay ahead of that label,
    for the audit to see, without what a reader could take for an answer. ``reversed`` asks the
    very request that ``flipped-labels`` asks with all its labels flipped, and counts as correct
    what is wrong there.
    """

    version: ClassVar[int] = 1
    group: ClassVar[str] = "exemplars"
    needs: ClassVar[str] = "labels to classify by"
    prompts: ClassVar[tuple[str, ...]] = ("labels.v1.jinja",)
    control: ClassVar[str] = "flipped-labels:fraction=0"
    reasons: ClassVar[bool] = False
    set: str = "foo-bar"
    """``foo-bar``, ``letters``, ``digits``, ``fruit`` or ``reversed``."""

    def __post_init__(self) -> None:
        """Refuse values out of range.

        Raises:
            UnknownNameError: no such set.
            ValueError: names the field and its range.
        """
        if self.set not in SETS:
            raise UnknownNameError("set of unrelated-labels", self.set, SETS)
        LabelStrategy.__post_init__(self)
        if SETS[self.set] and len(self.labels) > len(SETS[self.set]):
            raise ValueError(f"set {self.set} has 6 symbols, there are {len(self.labels)} labels")

    def symbols(self) -> dict[str, str]:
        """Return the symbol that is shown for each natural label."""
        symbols = SETS[self.set] or (*self.labels[1:], self.labels[0])
        return dict(zip(self.labels, symbols, strict=False))

    @property
    def exemplars(self) -> tuple[Exemplar, ...]:
        """Those shown, with symbols for labels."""
        symbols = self.symbols()
        return tuple(replace(x, answer=symbols[x.answer]) for x in self.drawn())

    def solve(self, question: Question) -> Flow:
        """Send one request; the attempt ends with the natural label, after the words before it."""
        (answer,) = yield self.request(self.exemplars, question)
        mention = _find_symbol(
            answer.text, {symbol: label for label, symbol in self.symbols().items()}
        )
        return Attempt(
            text="" if mention is None else f"{_clean_words(mention[0])}{CUE} {mention[1]}.",
            stop_reason=answer.stop_reason,
            note="the answer names none of the symbols, or several" if mention is None else None,
        )


def _find_symbol(text: str, labels: Mapping[str, str]) -> tuple[str, str] | None:
    """Return the words before the first mention of the text's only symbol, and its label.

    Within a sentence the case must fit: ``a`` is no ``A``; alone it need not.
    """
    answer = text.strip(string.whitespace + string.punctuation).casefold()
    if exact := [symbol for symbol in labels if symbol.casefold() == answer]:
        return "", labels[exact[0]]
    matches = {s: re.search(rf"(?<!\w){re.escape(s)}(?!\w)", text) for s in labels}
    mentions = [(text[: match.start()], labels[s]) for s, match in matches.items() if match]
    return mentions[0] if len(mentions) == 1 else None


def _clean_words(words: str) -> str:
    """Return a line of the words, without markers that a reader could take for an answer."""
    words = _MARKERS.sub(" ", words).strip()
    return f"{words}\n" if words else ""
