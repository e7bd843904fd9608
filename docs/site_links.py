"""A hook of mkdocs: links of a page to files beside docs/ lead to the repository."""

import re
from pathlib import Path
from typing import Any

_DOCS = Path(__file__).parent
_LINK = re.compile(r"\]\((?P<target>\.\./[^)#\s]*|[^):#\s]+/)(?P<anchor>#[^)]*)?\)")


def on_page_markdown(markdown: str, *, page: Any, config: Any, **_: object) -> str:  # noqa: ANN401 - of mkdocs
    """Return the page with such links, and those to folders, made absolute."""
    folder = (_DOCS / page.file.src_uri).parent

    def point_to_repository(match: re.Match[str]) -> str:
        path = (folder / match["target"]).resolve()
        if not path.exists() or (_DOCS in path.parents and path.is_file()):
            return match[0]  # a page of the site, or wrong: mkdocs says so
        kind = "tree" if path.is_dir() else "blob"
        name = path.relative_to(_DOCS.parent).as_posix()
        return f"]({config.repo_url}/{kind}/main/{name}{match['anchor'] or ''})"

    return _LINK.sub(point_to_repository, markdown)
