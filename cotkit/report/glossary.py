"""The words of reports, read from ``docs/glossary.md``, a page of the documentation."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cotkit.errors import UnknownNameError
from cotkit.paths import resource

_ALSO = re.compile(r" ?Also: ([^.\n]+)\.(?=\s|$)")
_MORE = re.compile(r" ?More: \[[^]]+\]\((?P<page>[^)]+)\)\.")
_LINK = re.compile(r"\[([^]]+)\]\([^)]+\)")
_MARKUP = re.compile(r"[`*]")
_DOCS = "https://github.com/cotkit/cotkit/blob/main/docs"


@dataclass(frozen=True, slots=True, kw_only=True)
class GlossaryEntry:
    """One word and what it means."""

    word: str
    """As the page's heading has it."""
    text: str
    """What it means, in one line without markup."""
    also: tuple[str, ...]
    """Other words for it."""
    page: str
    """The page of the documentation that says more; empty: none does."""

    @property
    def key(self) -> str:
        """The anchor of its heading."""
        return re.sub(r"[^\w -]", "", self.word.lower()).replace(" ", "-")

    @property
    def address(self) -> str:
        """Where the documentation says more."""
        return f"{_DOCS}/{self.page or f'glossary.md#{self.key}'}"


@functools.cache
def load_glossary() -> Mapping[str, GlossaryEntry]:
    """Return every entry by its word, in the order of the page."""
    _, *parts = resource("docs/glossary.md").read_text(encoding="utf-8").split("\n## ")
    return {entry.word: entry for entry in map(_read_entry, parts)}


def _read_entry(part: str) -> GlossaryEntry:
    word, _, body = part.partition("\n")
    text = " ".join(body.split())
    also, more = _ALSO.search(text), _MORE.search(text)
    return GlossaryEntry(
        word=word,
        text=_MARKUP.sub("", _LINK.sub(r"\1", _MORE.sub("", _ALSO.sub("", text)))).strip(),
        also=tuple(also[1].split(", ")) if also else (),
        page=more["page"] if more else "",
    )


def find_entry(word: str) -> GlossaryEntry:
    """Return the entry of a word, in any case, with hyphens or underscores for spaces.

    Raises:
        UnknownNameError: no entry has it; names those that come close.
    """
    names = _names()
    key = _normalise(word)
    if key not in names:
        raise UnknownNameError("word", word, [name for name, _ in _spellings()])
    return names[key]


def find_words(texts: Sequence[str]) -> list[GlossaryEntry]:
    """Return the entries of the words that occur in some texts, in the order of the page."""
    words = {find_entry(word).word for text in texts for word in word_pattern().findall(text)}
    return [entry for word, entry in load_glossary().items() if word in words]


@functools.cache
def word_pattern() -> re.Pattern[str]:
    """Return a pattern of all words and the other words for them, longest first."""
    words = sorted({name for name, _ in _spellings()}, key=len, reverse=True)
    return re.compile(
        rf"(?<![\w@/-])(?:{'|'.join(map(re.escape, words))})(?![\w@^-])", re.IGNORECASE
    )


@functools.cache
def _names() -> Mapping[str, GlossaryEntry]:
    return {_normalise(name): entry for name, entry in _spellings()}


def _spellings() -> list[tuple[str, GlossaryEntry]]:
    entries = load_glossary().values()
    return [(name, entry) for entry in entries for name in (*entry.word.split(", "), *entry.also)]


def _normalise(word: str) -> str:
    return " ".join(re.sub(r"[-_]+", " ", word.lower()).split())
