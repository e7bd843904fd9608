"""Answers that are free text, compared after normalising both sides."""

from __future__ import annotations

import re
import string
import unicodedata

from cotkit.scoring.candidates import find_candidates, last_line
from cotkit.scoring.scope import CLIP
from cotkit.types import Question, Reading

EDGES = string.whitespace + string.punctuation + "。、，！？：；「」『』《》“”‘’«»¿¡…–—"
"""What is stripped from both ends of a text."""

_WRAPPER = re.compile(
    r"\\(?:boxed|fbox|text(?:bf|it|rm|sf|tt)?|math(?:rm|bf|it|sf|tt|cal)|mbox|hbox|operatorname"
    r"|emph|bold"
    r"|boldsymbol|underline)\*?\s?(?=\{)|\\(?:bf|rm|it|sf|tt)(?![A-Za-z])|\\(?:left|right|displaystyle)\b|\\[()\[\]]"
    r"|</?(?:b|i|u|em|strong|span|mark|code|answer|ans)(?:\s[^<>]{0,60})?>"
)
_BOLD = re.compile(r"(\*\*)(?=\S)([^*\n]{1,200}?)(?<=\S)\1")
_CLAUSE = r"(?:it|he|she|they|this|that|the|there|we|as|because|since)\b"
_POLITE = re.compile(r"(?:です|でした|である|입니다|이에요|예요|이다)[。.!]?\s*\Z")
_REASON = re.compile(
    r"\s*[,;:(\u2013\u2014-]?\s*\b(?:because|since|as (?:it|he|she|they|this|that|the|there|we)"
    r"|due to|given (?:that|its|his|her|their|the)|rather than|instead of|and not"
    r"|which (?:is|are|was|were|means|makes)|whose|for the reason|not (?!only\b))\b.*|(?<=\w);\s.*"
    r"|(?<=[\w)\]\"'])\s*[,，]?\s*(?:因为|因為|なぜなら|而不是).*"
    r"|(?<=[\w)\]\"'*])\s+\((?!s\)).*|\s+[\u2013\u2014]\s.*"
    rf"|(?:\s-\s|\u2013|\u2014)(?={_CLAUSE}).*"
    r"|,\s(?:car|da|pues|bo|denn|vì)\s.*"
    r"|,?\s(?:parce qu['’e]|puisqu['’e]|weil|porque|ya que|perch[ée]|poich[ée]|omdat|потому что"
    r"|так как|поскольку|ponieważ|çünkü|karena|fordi).*"
    r"|(?<=[^\W\d_]{4})[.!?]\s+(?=[A-Z\"'(]).*|(?<=\w)[。！？].+",
    re.IGNORECASE | re.DOTALL,
)
_VERDICT = re.compile(
    r"(yes|no|true|false|valid|invalid)\b[\"'”’]?\s*[,;:.!\u2013\u2014-]\s*\S.*", re.DOTALL
)


def read_text(text: str, _question: Question, *, guess: bool) -> Reading:
    """Read free text after a marker, normalised, without the reason that follows it.

    ``guess`` also takes the last line.
    """
    for candidate in (*find_candidates(text), *(last_line(text) if guess else ())):
        if normal := answer_text(candidate.piece):
            return Reading(value=normal, rule=candidate.rule)
    return Reading(value=None, rule="none")


def equals_text(value: str, gold: str, _question: Question) -> bool:
    """Return whether both are equal after :func:`answer_text`, or as they are normalised."""
    return value in {normal_text(gold), answer_text(gold)}


def answer_text(text: str) -> str:
    """Normalise a text and leave out what explains it: ``Paris, because ...``, ``Yes, it is``."""
    normal = normal_text(text)
    verdict = _VERDICT.fullmatch(normal)
    if verdict:
        return verdict[1]
    plain = _POLITE.sub("", without_markup(text[:CLIP]))
    reason = _REASON.search(plain)
    short = normal_text(plain[: reason.start()] if reason else plain)
    return short or normal


def normal_text(text: str) -> str:
    """Normalise a text: fold compatibility forms and case, single spaces, no outer punctuation."""
    folded = unicodedata.normalize("NFKC", without_markup(text[:CLIP])).casefold()
    words = " ".join(folded.split())
    return words.strip(EDGES) or words.rstrip(".")


def without_markup(text: str) -> str:
    """Return a text without LaTeX wrappers, their braces, and tags that only mark it."""
    text = _BOLD.sub(r"\2", text)
    if "\\" not in text and "<" not in text:
        return text
    bare = _WRAPPER.sub("", text)
    return bare if bare == text else bare.replace("{", "").replace("}", "").replace("$", "")
