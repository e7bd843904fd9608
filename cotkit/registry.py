"""A folder is a registry: ``cotkit/strategies/self_review.py`` is ``--strategy self-review``.

The module ``two_words.py`` (or package ``two_words/``) holds a dataclass ``TwoWords``; its fields
are the parameters of ``two-words:key=value``. Hyphens and underscores are the same. Third parties
use the entry-point groups ``cotkit.strategies``, ``cotkit.backends``, ``cotkit.benchmarks``,
``cotkit.trackers``, each entry naming a module. A one-off is a path: ``./my_idea.py``. Listing
reads docstrings and imports nothing.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import importlib
import importlib.metadata
import importlib.util
import itertools
import math
import sys
import traceback
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from cotkit.errors import BadInputError, UnknownNameError, UsageError

_PACKAGE = Path(__file__).parent

KINDS: Mapping[str, str] = {
    "strategy": "strategies",
    "backend": "backends",
    "benchmark": "benchmarks",
    "tracker": "trackers",
}
"""What can be looked up -> the folder of this package that holds it."""

_GROUPS = {kind: f"cotkit.{folder}" for kind, folder in KINDS.items()}

_BARE_PARAMETERS = {
    "bigbench": "task",
    "bbh": "task",
    "bbq": "category",
    "mmlu": "subject",
    "lm-eval": "path",
    "jsonl": "path",
}
"""Name -> its parameter that may be written first and bare: ``bigbench:emoji_movie``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryEntry:
    """One name of a registry."""

    name: str
    """As users write it, with hyphens."""
    summary: str
    """First line of its module's docstring; empty for third-party entries (not imported)."""
    control: str = ""
    """The ``control`` that its class declares, where it is a strategy of ours."""
    origin: str = "cotkit"
    """``cotkit``, or the distribution that brought it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What a user wrote: a name and its parameters."""

    name: str
    """Registry name with hyphens, or a path that ends in ``.py``."""
    params: Mapping[str, str]
    """Parameter name (underscores) -> text as written."""

    def __str__(self) -> str:
        """The canonical spelling, parameters sorted: ``name:a=1,b=2``."""
        params = ",".join(f"{key}={value}" for key, value in sorted(self.params.items()))
        return f"{self.name}:{params}" if params else self.name


def parse_spec(text: str) -> Spec:
    """Read ``name`` or ``name:key=value,key=value``; a bare first value where ``_BARE`` names it.

    Raises:
        UsageError: a parameter has no ``=`` or no name.
    """
    name, _, rest = text.strip().partition(":")
    is_path = name.endswith((".py", ".jsonl"))
    name = name if is_path else name.replace("_", "-").lower()
    if name in _BARE_PARAMETERS and rest and "=" not in rest.partition(",")[0]:
        rest = f"{_BARE_PARAMETERS[name]}={rest}"
    return Spec(name=name, params=parse_params(rest))


def split_specs(text: str) -> tuple[str, ...]:
    """Split ``a,b:k=1,2,t=3,c`` into specs, expanded: ``a``, ``b:k=1,t=3``, ``b:k=2,t=3``, ``c``.

    A part ``key=value`` belongs to the spec before it, and so does a bare number after a
    ``key=value``: one more value of that key.
    """
    specs: list[str] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        is_param = "=" in part and ":" not in part.partition("=")[0]
        if specs and (is_param or ("=" in specs[-1] and _is_number(part))):
            specs[-1] += f",{part}"
        else:
            specs.append(part)
    return tuple(one for spec in specs for one in expand_spec(spec))


def expand_spec(text: str) -> tuple[str, ...]:
    """Every combination of the values in ``name:a=1,2,b=3,4``; the last parameter varies fastest.

    Raises:
        UsageError: the first part has no ``=``.
    """
    name, colon, rest = text.partition(":")
    values: list[list[str]] = []
    for part in filter(None, (part.strip() for part in rest.split(","))):
        if values and "=" not in part:
            values[-1].append(f"{values[-1][0].partition('=')[0]}={part}")
        else:
            values.append([part])
    return tuple(f"{name}{colon}{','.join(chosen)}" for chosen in itertools.product(*values))


def parse_params(text: str) -> dict[str, str]:
    """Read ``key=value,key=value``; names get underscores.

    Raises:
        UsageError: a part has no ``=`` or no name, or a name comes twice.
    """
    params: dict[str, str] = {}
    for part in filter(None, text.split(",")):
        key, equals, value = part.partition("=")
        name = key.strip().replace("-", "_")
        if not equals or not name:
            raise UsageError(f"cannot read {part!r} in {text!r}", hint="write key=value,key=value")
        if name in params:
            raise UsageError(f"{text!r} gives {name} twice", hint="leave one out")
        params[name] = value.strip()
    return params


def entries(kind: str) -> list[RegistryEntry]:
    """Every name of a kind with its summary, sorted; imports none of the modules."""
    found = {name: _describe_module(name, path) for name, path in _builtin_modules(kind).items()}
    for point in importlib.metadata.entry_points(group=_GROUPS[kind]):
        name = point.name.replace("_", "-")
        origin = point.dist.name if point.dist else "unknown"
        found.setdefault(name, RegistryEntry(name=name, summary="", origin=origin))
    return [found[name] for name in sorted(found)]


def load_class(kind: str, name: str) -> type:
    """The class behind a name: built in, then third party, then a path to a ``.py`` file.

    Raises:
        UnknownNameError: nothing has this name.
        BadInputError: the file or module does not hold the class its name promises.
    """
    if name.endswith(".py"):
        module, stem = _load_file(Path(name)), Path(name).stem
    elif name in _builtin_modules(kind):
        stem = name.replace("-", "_")
        module = importlib.import_module(f"cotkit.{KINDS[kind]}.{stem}")
    else:
        points = importlib.metadata.entry_points(group=_GROUPS[kind])
        point = next((p for p in points if p.name.replace("_", "-") == name), None)
        if point is None:
            raise UnknownNameError(kind, name, [entry.name for entry in entries(kind)])
        module, stem = point.load(), name.replace("-", "_")
    wanted = "".join(word.capitalize() for word in stem.split("_"))
    found = getattr(module, wanted, None)
    if not isinstance(found, type):
        raise BadInputError(
            module.__file__ or name,
            f"holds no class {wanted}",
            hint=f"a {kind} in {stem}.py is a class named {wanted}",
        )
    return found


def construct(kind: str, spec: Spec, **given: object) -> object:
    """Make the object a spec describes: ``given`` where the class has such a field, then params.

    Raises:
        UnknownNameError: no such name, or no such parameter (names the nearest).
        UsageError: a parameter's text does not fit its type, or the class refused its value.
    """
    cls = load_class(kind, spec.name)
    if not dataclasses.is_dataclass(cls):
        raise UsageError(f"{kind} {spec.name}: class {cls.__name__} is not a dataclass")
    hints = typing.get_type_hints(cls)
    fields = {f.name for f in dataclasses.fields(cls) if f.init}
    values = {key: value for key, value in given.items() if key in fields}
    settable = fields - given.keys() | fields & {"model"}
    for key, text in spec.params.items():
        if key not in settable:
            raise UnknownNameError(f"parameter of {spec.name}", key, settable)
        values[key] = _coerce(f"{spec.name}:{key}", text, hints[key])
    required = [f.name for f in dataclasses.fields(cls) if f.init and _is_required(f)]
    if missing := [name for name in required if name not in values]:
        example = "/NAME" if "model" in missing else f":{missing[0]}=..."
        raise UsageError(f"{kind} {spec} needs {', '.join(missing)}", hint=f"{spec.name}{example}")
    try:
        return cls(**values)
    except ValueError as refused:
        raise UsageError(f"{kind} {spec}: {refused}") from refused


def _is_required(field: dataclasses.Field[object]) -> bool:
    missing = dataclasses.MISSING
    return field.default is missing and field.default_factory is missing


def _coerce(place: str, text: str, hint: object) -> object:
    options = [t for t in typing.get_args(hint) if t is not type(None)] or [hint]
    try:
        if bool in options:
            return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[
                text.lower()
            ]
        for kind in (int, float, Path):
            if kind in options:
                return _finite_float(text) if kind is float else kind(text)
    except (KeyError, ValueError):
        if str in options:  # `int | str`: a number, or what the class itself can read
            return text
        names = " or ".join(getattr(t, "__name__", str(t)) for t in options)
        raise UsageError(f"{place}={text!r} is not of type {names}") from None
    return text


def _is_number(text: str) -> bool:
    try:
        _finite_float(text)
    except ValueError:
        return False
    return True


def _finite_float(text: str) -> float:
    """Neither NaN nor infinity: they have no JSON, so no identity."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _builtin_modules(kind: str) -> dict[str, Path]:
    folder = _PACKAGE / KINDS[kind]
    files = [path for path in folder.iterdir() if not path.name.startswith(("_", "."))]
    modules = {p.stem: p for p in files if p.suffix == ".py"}
    modules |= {p.name: p / "__init__.py" for p in files if (p / "__init__.py").is_file()}
    return {name.replace("_", "-"): path for name, path in modules.items()}


def _describe_module(name: str, path: Path) -> RegistryEntry:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    lines = (ast.get_docstring(tree) or "").splitlines()
    control = ""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.AnnAssign)
            and isinstance(node.target, ast.Name)
            and node.target.id == "control"
            and isinstance(node.value, ast.Constant)
        ):
            control = str(node.value.value)
    return RegistryEntry(name=name, summary=lines[0] if lines else "", control=control)


@functools.cache
def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise BadInputError(path, "no such file")
    found = importlib.util.spec_from_file_location(f"cotkit_user_{path.stem}", path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[found.name] = module  # dataclasses look their module up
    try:
        found.loader.exec_module(module)
    except SyntaxError as broken:
        raise BadInputError(path, f"does not parse: {broken.msg}", line=broken.lineno) from broken
    except Exception as broken:
        line = next(
            (
                f.lineno
                for f in traceback.extract_tb(broken.__traceback__)[::-1]
                if f.filename == str(path)
            ),
            None,
        )
        what = f"cannot be imported: {type(broken).__name__}: {broken}"
        raise BadInputError(path, what, line=line) from broken
    return module
