"""The house: import directions, and what importing costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "cotkit"
BASE = {"types", "protocols", "errors"}
STAGES = {"bench", "prompting", "strategies", "backends", "models", "scoring", "store"}
ALL = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()}

MAY_IMPORT = {
    "types": set[str](),
    "errors": set[str](),
    "protocols": {"types"},
    "events": {"types"},
    "stops": {"types"},
    "identity": BASE,
    "outfile": BASE,
    "resources": BASE,
    "registry": BASE,
    "config": BASE | {"run"},
    "bench": BASE | {"identity", "resources", "registry"},
    "prompting": BASE | {"identity", "resources", "registry"},
    "models": BASE | {"identity", "resources", "registry"},
    "strategies": BASE | {"stops", "prompting"},
    "backends": BASE | {"stops", "identity", "models"},
    "scoring": BASE | {"stops"},
    "store": BASE | {"identity"},
    "analysis": BASE | {"store"},
    "report": BASE | {"events", "analysis"},
    "foreign": BASE
    | {"identity", "outfile", "resources", "registry", "models", "scoring", "store", "analysis"},
    "trackers": BASE | {"events", "outfile"},
    "cluster": BASE | {"identity", "store", "run"},
    "lab": BASE | {"identity", "bench", "analysis"},
    "run": BASE | STAGES | {"events", "stops", "identity", "resources", "registry"},
}
EVERYTHING = {
    "api",
    "running",
    "scored",
    "scaled",
    "scaling",
    "reporting",
    "tracking",
    "draws",
    "forecast",
    "interop",
    "cli",
    "__init__",
    "__main__",
}
MODULES = sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
            if node.module == "cotkit":
                names = [f"cotkit.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        found |= {n.split(".")[1] for n in names if n.startswith("cotkit.")}
    return found & ALL


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_module_imports_only_in_the_direction_of_the_flow(path: Path) -> None:
    if room(path) not in EVERYTHING:
        assert imports(path) <= MAY_IMPORT[room(path)] | {room(path)}


def test_every_room_has_a_rule() -> None:
    rooms = {room(path) for path in MODULES}
    assert rooms <= set(MAY_IMPORT) | EVERYTHING


def test_only_front_ends_print() -> None:
    printing = [
        path
        for path in MODULES
        if room(path) not in {"cli", "report"}
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print"
    ]
    assert printing == []


HEAVY = ("torch", "transformers", "openai", "anthropic", "scipy", "numpy", "jinja2", "pydantic")


@pytest.mark.parametrize(
    "command",
    [
        ["--help"],
        ["list", "strategies"],
        ["list", "benches"],
        ["compare", "--help"],
        ["lab", "train", "--help"],
        ["lab", "mirage", "--help"],
        ["lab", "icl", "--help"],
        ["lab", "flipped", "--help"],
    ],
)
def test_light_commands_import_nothing_heavy(command: list[str]) -> None:
    code = (
        "import sys; sys.argv = ['cotkit', *sys.argv[1:]]\n"
        "import atexit\n"
        f"atexit.register(lambda: print('HEAVY', [m for m in {HEAVY!r} if m in sys.modules]))\n"
        "from cotkit.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *command], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "HEAVY []"


def test_the_public_names_load_lazily() -> None:
    code = (
        "import sys, cotkit; print([m for m in sys.modules if m.split('.')[0] == 'numpy']);"
        "print(all(hasattr(cotkit, name) for name in cotkit.__all__), sorted(cotkit.__all__))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert first == "[]"
    assert second.startswith("True")
