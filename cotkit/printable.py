"""Make visible what others wrote; whatever prints goes through here."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

_BLANK = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\uffa0]")
"""Letters and marks that Unicode calls printable and no font draws."""


def printable(text: str) -> str:
    r"""Escape what moves a cursor, hides, or reorders text, as ``\x1b`` or ``\u202e``.

    These are all characters that Unicode does not call printable (controls, formats such as bidi
    marks and zero widths, halves of surrogate pairs, unassigned and private ones, separators but
    the space), and letters without a glyph.
    """
    if _is_visible(text):
        return text
    return "".join(c if _is_visible(c) else c.encode("unicode_escape").decode() for c in text)


def printable_text(text: str) -> str:
    """Escape as :func:`printable` does, but for line feeds and tabs."""
    lines = text.split("\n")
    return "\n".join("\t".join(map(printable, line.split("\t"))) for line in lines)


def name_some(names: Sequence[str], most: int) -> str:
    """Return the first of some names, and how many more there are: ``a, b and 3 more``."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"


def printable_json(document: str) -> str:
    """Write a JSON document so that it can be printed and still says the same, to the character."""
    return "\n".join(
        line
        if _is_visible(line)
        else "".join(c if _is_visible(c) else json.dumps(c)[1:-1] for c in line)
        for line in document.split("\n")
    )


def _is_visible(text: str) -> bool:
    return text.isprintable() and not _BLANK.search(text)


# Passwords in addresses.

_PASSWORD = re.compile(r"((?:\b[a-z][a-z0-9+.-]*:/+|//)[^\s:/?#]*):\S*@", re.IGNORECASE)
"""Up to the last @ of an address: a password may hold anything."""
_PASSWORD_FIELD = re.compile(r"((?:password|passwd|pwd)\s*=\s*)('[^']*'|[^&\s]*)", re.IGNORECASE)


def mask_passwords(text: str) -> str:
    """Return a text without the passwords of the addresses in it, ``***`` in their places."""
    return _PASSWORD_FIELD.sub(r"\1***", _PASSWORD.sub(r"\1:***@", text))
