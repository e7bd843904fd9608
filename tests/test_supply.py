"""Lock files: all pinned, all hashed, no torch, and what pyproject.toml and the Dockerfile need."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import REPOSITORY

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
MAKEFILE = (REPOSITORY / "Makefile").read_text()
DOCKERFILE = (REPOSITORY / "Dockerfile").read_text()
LOCKS = ["container", "ci", "supply", "docs"]


def read_lock(name: str) -> dict[str, tuple[str, list[str]]]:
    """Return package -> (version, SHA-256 of its files)."""
    text = (REPOSITORY / "requirements" / f"{name}.txt").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    pinned = re.compile(r"([\w.-]+)==(\S+)((?:\s+--hash=sha256:[0-9a-f]{64})+)\s*")
    rows = [pinned.fullmatch(line) for line in lines]
    assert all(rows), [line for line, row in zip(lines, rows, strict=True) if row is None]
    return {canonicalize_name(r[1]): (r[2], r[3].split()) for r in rows if r is not None}


def unmet(lock: dict[str, tuple[str, list[str]]], needs: Iterable[str]) -> list[str]:
    requirements = [Requirement(need) for need in needs]
    return [
        str(need)
        for need in requirements
        if canonicalize_name(need.name) not in lock
        or not need.specifier.contains(lock[canonicalize_name(need.name)][0])
    ]


@pytest.mark.parametrize("name", LOCKS)
def test_all_is_pinned_by_hash_and_nothing_brings_torch(name: str) -> None:
    lock = read_lock(name)
    assert len(lock) > 10
    assert [package for package in lock if re.match("torch|nvidia|triton|cuda", package)] == []
    assert "://" not in (REPOSITORY / "requirements" / f"{name}.txt").read_text()


def test_the_container_has_what_its_extras_need() -> None:
    line = re.search(r"^CONTAINER_EXTRAS = (.+)$", MAKEFILE, re.MULTILINE)
    assert line is not None
    extras = PROJECT["optional-dependencies"]
    needs = [need for extra in line[1].split() for need in extras[extra]]
    build = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["build-system"]["requires"]
    lock = read_lock("container")
    assert unmet(lock, [*PROJECT["dependencies"], *needs, *build]) == []
    assert unmet({**lock, "numpy": ("1.0", [])}, PROJECT["dependencies"]) != []  # it can fail


@pytest.mark.parametrize("name", ["ci", "supply", "docs"])
def test_a_lock_has_what_it_was_made_of(name: str) -> None:
    needs = (REPOSITORY / "requirements" / f"{name}.in").read_text().splitlines()
    assert unmet(read_lock(name), [need for need in needs if not need.startswith("#")]) == []


def test_the_tools_of_ci_are_those_of_the_development_extra() -> None:
    lock = read_lock("ci")
    tools = {Requirement(need).name: need for need in PROJECT["optional-dependencies"]["dev"]}
    needs = [tools[name] for name in ("ruff", "basedpyright", "pytest", "hypothesis")]
    assert unmet(lock, needs) == []
    assert "--require-hashes -r requirements/ci.txt" in MAKEFILE


def test_the_image_installs_by_hash_copies_all_data_and_is_not_root() -> None:
    assert "--require-hashes -r requirements/container.txt" in DOCKERFILE
    whole = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    ignored = (REPOSITORY / ".dockerignore").read_text().splitlines()
    for folder in ["cotkit", *whole["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]]:
        assert f"COPY {folder} {folder}\n" in DOCKERFILE
        assert f"!{folder}" in ignored
    assert re.findall(r"^USER (\S+)$", DOCKERFILE, re.MULTILINE) == ["10001"]
