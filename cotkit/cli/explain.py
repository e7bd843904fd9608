"""``cotkit explain``: what a word of a report means."""

from __future__ import annotations

import typer


def explain(
    word: list[str] = typer.Argument(None, help="A word of a report; none: list all."),
) -> None:
    """Say what a word of a report means, or list the words there are.

    Examples:

      cotkit explain MDE

      cotkit explain no material help
    """
    import shutil
    import textwrap

    from cotkit.cli.output import print_lines
    from cotkit.report.glossary import find_entry, load_glossary

    width = min(100, shutil.get_terminal_size((80, 24)).columns)
    if not word:
        words = " · ".join(load_glossary())
        print_lines(*textwrap.wrap(words, width), "", "what one means: cotkit explain WORD")
        return
    entry = find_entry(" ".join(word))
    print_lines(entry.word, *textwrap.wrap(entry.text, width))
    if entry.also:
        print_lines(f"also: {', '.join(entry.also)}")
    print_lines(f"more: {entry.address}")


command = explain
