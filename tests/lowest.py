"""Print the lowest versions that pyproject.toml allows, as constraints for `make test-lowest`."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

PROJECT = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
LISTS = [PROJECT["dependencies"], *(EXTRAS[name] for name in EXTRAS if name != "dev")]
FLOOR = re.compile(r"(?P<name>[\w.-]+)(?:\[[\w,-]+\])?>=(?P<version>[\d.]+)")


def main() -> None:
    """Print ``name==version`` for each; torch is pinned elsewhere."""
    floors = {
        found["name"]: found["version"]
        for each in LISTS
        for need in each
        if (found := FLOOR.match(need))
    }
    for name, version in sorted(floors.items()):
        if not name.startswith("torch"):
            print(f"{name}=={version}")  # noqa: T201 - a script


if __name__ == "__main__":
    main()
