"""The house: which room may import which, no cycles, names that say something, cheap imports."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "cotkit"
BASE = {
    "types",
    "protocols",
    "errors",
    "identity",
    "inputs",
    "registry",
    "events",
    "stops",
    "printable",
    "reasoning",
    "paths",
}
STAGES = {
    "prompting",
    "benchmarks",
    "strategies",
    "backends",
    "executors",
    "models",
    "scoring",
    "store",
    "stats",
}
WORKFLOWS = STAGES | {"run", "analysis"}
MAY_IMPORT: dict[str, set[str]] = {
    "stats": set(),
    "scoring": set(),
    "store": set(),
    "models": set(),
    "prompting": set(),
    "trackers": set(),
    "benchmarks": {"scoring.canonical", "store", "prompting"},
    "strategies": {"prompting"},
    "backends": {"models", "store.batches"},
    "executors": {"backends", "models"},
    "analysis": {"stats", "scoring", "store"},
    "run": STAGES,
    "report": {"analysis", "stats"},
    "workflows": WORKFLOWS,
    "interop": WORKFLOWS | {"workflows"},
    "api": WORKFLOWS | {"workflows", "interop"},
    "labs": WORKFLOWS | {"workflows", "interop", "api", "report", "trackers"},
}
"""Room -> what it may import besides itself and the files of ``BASE``."""

BASE_IMPORTS: dict[str, set[str]] = {
    "types": set(),
    "errors": {"printable"},
    "printable": set(),
    "protocols": {"types"},
    "events": {"types"},
    "stops": {"types", "reasoning"},
    "reasoning": set(),
    "identity": {"types", "protocols", "errors"},
    "inputs": {"errors"},
    "paths": {"types", "protocols", "errors"},
    "registry": {"types", "protocols", "errors"},
}
"""The files of ``BASE`` are floors, too."""

EVERYTHING = {"cli", "bench", "__init__", "__main__"}
"""May import every room; nothing imports them."""

MODULES = sorted(PACKAGE.rglob("*.py"))


def module_name(path: Path) -> str:
    parts = ("cotkit", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


BY_NAME = {module_name(path): path for path in MODULES}


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    """Yield the modules of cotkit that a file imports, at its top or within a function.

    What only a type checker imports is no import.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_checker = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in for_checker:
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in BY_NAME else node.module for name in names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def cotkit_imports(path: Path) -> set[str]:
    return {name for name in imports(path) if name in BY_NAME and name != "cotkit"}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_module_imports_only_what_its_room_may(path: Path) -> None:
    own = room(path)
    if own in EVERYTHING:
        return
    allowed = BASE_IMPORTS[own] if own in BASE else BASE | MAY_IMPORT[own]
    inner = {name.removeprefix("cotkit.") for name in cotkit_imports(path)}
    refused = {n for n in inner if n.split(".")[0] not in allowed | {own} and n not in allowed}
    assert refused == set()


def test_every_room_has_a_rule() -> None:
    assert {room(path) for path in MODULES} == BASE | set(MAY_IMPORT) | EVERYTHING


def test_nothing_but_the_command_line_imports_the_labs() -> None:
    for path in MODULES:
        if room(path) not in {"labs", "cli"}:
            assert not [name for name in imports(path) if name.startswith("cotkit.labs")], path


def test_no_file_imports_itself_by_way_of_others() -> None:
    """Tarjan's algorithm, over imports at any depth of a file."""
    edges = {name: cotkit_imports(path) - {name} for name, path in BY_NAME.items()}
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    cycles: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in edges[name]:
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            start = stack.index(name)
            component = stack[start:]
            del stack[start:]
            if len(component) > 1:
                cycles.append(component)

    for name in edges:
        if name not in index:
            visit(name)
    assert cycles == []


VAGUE = frozenset(
    re.findall(
        r"\w+",
        "found one said of made given asked told taken kept held used whole known there "
        "here wanted seen left rest written shown named read done has its ours theirs "
        "mine at on by ",
    )
)
"""Names that do not say what they hold. A local is named for what it holds."""

LEFT_OPERAND = "left and right operands of an expression"
SEEN_SET = "the set of what a loop has met"
ALLOWED = {
    "cotkit.benchmarks.arithmetic.generate:_brackets:left": LEFT_OPERAND,
    "cotkit.benchmarks.arithmetic.generate:_expression:left": LEFT_OPERAND,
    "cotkit.benchmarks.arithmetic.generate:_gpt3:left": LEFT_OPERAND,
    "cotkit.benchmarks.arithmetic.generate:_modified:left": LEFT_OPERAND,
    "cotkit.benchmarks.arithmetic.generate:_shown:left": LEFT_OPERAND,
    "cotkit.benchmarks.arithmetic.generate:apply_operator:left": LEFT_OPERAND,
    "cotkit.workflows.ladder:_find_duplicate:seen": SEEN_SET,
}
"""``module:function:name`` -> the plain English by which it may stand."""


def vague_names() -> Iterator[str]:
    """Yield ``module:function:name`` of every function that binds a vague name."""
    for module, path in BY_NAME.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            names = {argument.arg for argument in (*node.args.args, *node.args.kwonlyargs)}
            names |= {
                inner.id
                for inner in ast.walk(node)
                if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store)
            }
            yield from (f"{module}:{node.name}:{name}" for name in sorted(names & VAGUE))


def test_names_say_what_they_hold() -> None:
    places = set(vague_names())
    assert places - set(ALLOWED) == set()
    assert set(ALLOWED) - places == set(), "an exception that is no longer needed"


PARTICIPLES = frozenset(
    re.findall(
        r"\w+",
        "Asked Told Wanted Made Taken Seen Found Given Kept Said Read Ran Done Scored "
        "Performed Executed Scaled Measured Checked Matched Batched Converted Drawn "
        "Recorded Tried ",
    )
)


def test_a_class_is_a_noun_and_means_one_thing() -> None:
    homes: dict[str, list[str]] = {}
    for module, path in BY_NAME.items():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes.setdefault(node.name, []).append(module)
    assert PARTICIPLES & set(homes) <= {"Said"}, "Said is an event that is stored under its name"
    assert {name: where for name, where in homes.items() if len(where) > 1} == {}


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


def test_the_command_line_starts_without_the_readers() -> None:
    code = "import sys, cotkit.cli; print([m for m in sys.modules if 'cotkit.scoring' in m])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_comparison_of_many_problems_needs_no_numpy() -> None:
    code = (
        "import sys, cotkit\n"
        "cotkit.compare('simulated/8b', 'cot', bench='arithmetic', limit=300)\n"
        "print('numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


def test_the_public_names_load_lazily() -> None:
    code = (
        "import sys, cotkit; print([m for m in sys.modules if m.split('.')[0] == 'numpy']);"
        "print(all(hasattr(cotkit, name) for name in cotkit.__all__), sorted(cotkit.__all__))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert first == "[]"
    assert second.startswith("True")
