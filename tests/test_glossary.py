"""The glossary: one page that the command, the reports and the site read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cotkit.errors import UnknownNameError
from cotkit.report.glossary import find_entry, find_words, load_glossary
from cotkit.report.html.page import link_words
from tests.conftest import REPOSITORY, Cotkit


def test_every_entry_says_something_and_no_word_stands_twice() -> None:
    entries = load_glossary()
    assert len(entries) > 60
    names = [name.lower() for e in entries.values() for name in (e.word, *e.also)]
    assert sorted(names) == sorted(set(names))
    assert list(entries) == sorted(entries, key=str.lower)
    for entry in entries.values():
        assert entry.text.endswith((".", "`"))
        assert not re.search(r"[`*\[\]]|Also:|More:", entry.text), entry
        assert not entry.page or (REPOSITORY / "docs" / entry.page).is_file()


@pytest.mark.parametrize(
    ("word", "entry"),
    [
        ("mde", "MDE"),
        ("no-material_help", "no material help"),
        ("worse", "better, worse"),
        ("Discordant pairs", "better, worse"),
        ("cannot be decided", "undetermined"),
        ("pass@k", "pass@k"),
    ],
)
def test_a_word_is_found_in_any_dress(word: str, entry: str) -> None:
    assert find_entry(word).word == entry


def test_an_unknown_word_is_answered_with_what_comes_near() -> None:
    with pytest.raises(UnknownNameError, match="did you mean margin"):
        find_entry("margn")


def test_the_command_explains_and_lists(command: Cotkit) -> None:
    listed = command("explain")
    assert "MDE" in listed.out
    told = command("explain", "some", "help")
    assert told.out.startswith("some help\nThe whole interval")
    assert command("explain", "margn").code == 2


def test_words_of_a_note_link_to_their_entries_once_and_the_rest_is_escaped() -> None:
    note = "MDE, then MDE again; <b>better</b> & mid-p; p^L; maj@k of 'steps'"
    html = link_words(note)
    assert html.startswith('<a href="#word-mde">MDE</a>, then MDE again; &lt;b&gt;')
    assert (
        '<a href="#word-better-worse">better</a>&lt;/b&gt; &amp; <a href="#word-mcnemar">' in html
    )
    assert "; p^L; " in html
    assert {entry.key for entry in find_words([note])} == set(re.findall(r"#word-([\w-]+)", html))


def test_pages_of_the_site_are_all_of_the_docs() -> None:
    config = (REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8")
    docs = REPOSITORY / "docs"
    pages = {path.relative_to(docs).as_posix() for path in docs.rglob("*.md")}
    assert pages == set(re.findall(r"[\w./-]+\.md\b", config))


def test_the_installed_glossary_is_the_page() -> None:
    wheel = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    assert '"docs/glossary.md" = "cotkit/_data/docs/glossary.md"' in wheel
    assert Path(REPOSITORY / "docs" / "glossary.md").is_file()
