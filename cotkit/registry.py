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
import importlib.util
import itertools
import math
import re
import sys
import traceback
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from cotkit.errors import BadInputError, UnknownNameError, UsageError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoints

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
    "inspect": "task",
    "hub": "set",
    "gym": "generator",
    "p-true": "run",
    "mgsm": "language",
    "arc": "level",
    "gpqa": "subset",
    "jsonl": "path",
}
"""Name -> its parameter that may be written first and bare: ``bigbench:emoji_movie``."""

_OTHER_NAMES = {
    ("flipped-labels", "n_shot"): "k",
    ("unrelated-labels", "n_shot"): "k",
}
"""(name, what users write) -> the parameter, whose own name stands in stored runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryEntry:
    """One name of a registry."""

    name: str
    """As users write it, with hyphens."""
    summary: str
    """First line of its module's docstring; empty for third-party entries (not imported)."""
    control: str = ""
    """The ``control`` that its class declares, if it is a built-in strategy."""
    group: str = ""
    """Likewise its ``group``: under which heading it is listed."""
    needs: str = ""
    """Likewise what it ``needs`` besides a model and questions."""
    origin: str = "cotkit"
    """``cotkit``, or the distribution that brought it."""


# Specs: the one grammar of ``--strategy``, ``--bench``, ``--model-args`` and their like.
#
#   specs   a,b:key=value             ``,`` separates specs and parameters
#   values  b:key=low+high+off        ``+`` separates values of one parameter: a spec for each
#           b:key=0,0.5,1             so does ``,`` before a bare number
#   quotes  b:key='1,000 + 1'         one value, whatever is in it; ``''`` stands for a quote
#
# A number (``1e+3``), operators (``+-``), a path (``./a+b.jsonl``) and what begins or ends with
# ``+`` are one value without quotes, too.


_QUOTED = r"'(?:[^']|'')*'"
_PART = re.compile(rf"(?:(?<=[=+,]){_QUOTED}|[^,])+")
"""What stands between two commas."""
_VALUE = re.compile(rf"(?:(?<![^+]){_QUOTED}|(?<=[\d.])[eE]\+(?=\d)|[^+])+")
"""What stands between two signs ``+``, but for those of exponents."""
_OPERATORS = frozenset("+-x*/")
_PATH_BEGINNINGS = ("./", "../", "/", "~/")
DATA_ENDINGS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".arrow", ".feather")
"""Of files of problems; each may be followed by ``.gz``."""
_PATH_ENDINGS = (*DATA_ENDINGS, ".gz", ".yaml", ".yml", ".toml", ".py", ".jinja", ".eval", ".gguf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What a user wrote: a name and its parameters."""

    name: str
    """Registry name with hyphens, or a path that ends in ``.py``."""
    params: Mapping[str, str]
    """Parameter name (underscores) -> text, without quotes."""

    def __str__(self) -> str:
        """Return the canonical spelling, parameters sorted: ``name:a=1,b=2``."""
        params = ",".join(f"{key}={_quote(value)}" for key, value in sorted(self.params.items()))
        return f"{self.name}:{params}" if params else self.name


def parse_spec(text: str) -> Spec:
    """Read ``name`` or ``name:key=value,key=value``; some names take a bare first value.

    Raises:
        UsageError: a parameter has no ``=`` or no name, or comes twice; or it is an address.
    """
    name, _, params_text = text.strip().partition(":")
    if params_text.startswith("//"):
        raise UsageError(
            f"{text} is an address, and nothing here is fetched from one",
            hint="a file that you fetched yourself, or of benchmarks hub:OWNER/SET",
        )
    is_path = (
        name.startswith(_PATH_BEGINNINGS) or name.endswith((".py", ".jinja")) or is_data_file(name)
    )
    name = name if is_path else name.replace("_", "-").lower()
    if name in _BARE_PARAMETERS and params_text and "=" not in params_text.partition(",")[0]:
        params_text = f"{_BARE_PARAMETERS[name]}={params_text}"
    params: dict[str, str] = {}
    for key, value in parse_params(params_text).items():
        parameter = parameter_name(name, key)
        if parameter in params:
            raise UsageError(f"{text!r} gives {parameter} twice", hint="leave one out")
        params[parameter] = value
    return Spec(name=name, params=params)


def is_data_file(name: str) -> bool:
    """Return whether a name ends as that of a file of problems does."""
    return name.lower().removesuffix(".gz").endswith(DATA_ENDINGS)


def parameter_name(name: str, key: str) -> str:
    """Return what a class calls a parameter that users may write in another way, too."""
    return _OTHER_NAMES.get((name, key), key)


def split_specs(text: str) -> tuple[str, ...]:
    """Split ``a,b:k=1+2,t=3,c`` into one spec for each combination of values.

    Here ``a``, ``b:k=1,t=3``, ``b:k=2,t=3`` and ``c``; the last parameter varies fastest. A part
    ``key=value`` belongs to the spec before it, and so does a bare number after a ``key=value``:
    one more value of that key.

    Raises:
        UsageError: a ``key=value`` comes before any spec that could take it.
    """
    specs: list[tuple[str, list[list[str]]]] = []  # a name with its colon, values of each parameter
    for part in _split_parts(text):
        key, equals, _ = part.partition("=")
        if equals and ":" not in key:
            if not specs or not specs[-1][0].endswith(":"):
                name = specs[-1][0] if specs else "NAME"
                raise UsageError(f"{part!r} belongs to no spec", hint=f"write {name}:{part}")
            specs[-1][1].append(_split_param(part))
        elif specs and specs[-1][1] and "=" in specs[-1][1][-1][0] and _are_numbers(part):
            key = specs[-1][1][-1][0].partition("=")[0]
            specs[-1][1][-1] += [f"{key}={value}" for value in _split_values(part)]
        else:
            name, colon, first = part.partition(":")
            specs.append((f"{name}{colon}", [_split_param(first)] if first else []))
    return tuple(
        f"{name}{','.join(values)}"
        for name, params in specs
        for values in itertools.product(*params)
    )


def parse_params(text: str) -> dict[str, str]:
    """Read ``key=value,key=value``; names get underscores, values lose their quotes.

    Raises:
        UsageError: a part has no ``=`` or no name, or a name comes twice.
    """
    params: dict[str, str] = {}
    for part in _split_parts(text):
        key, equals, value = part.partition("=")
        name = key.strip().replace("-", "_")
        if not equals or not name:
            raise UsageError(f"cannot read {part!r} in {text!r}", hint="write key=value,key=value")
        if name in params:
            raise UsageError(f"{text!r} gives {name} twice", hint="leave one out")
        params[name] = _unquote(value.strip())
    return params


def _split_parts(text: str) -> list[str]:
    return [part.strip() for part in _PART.findall(text) if part.strip()]


def _split_param(text: str) -> list[str]:
    """Split ``key=a+b`` into ``key=a`` and ``key=b``; the key may be missing."""
    key, equals, values = text.partition("=")
    return [f"{key}={value}" for value in _split_values(values)] if equals else _split_values(text)


def _split_values(text: str) -> list[str]:
    """Split ``a+b``; the module's comment on specs says what is one value."""
    values: list[str] = _VALUE.findall(text)
    is_one = (
        _OPERATORS.issuperset(text)
        or text.startswith(_PATH_BEGINNINGS)
        or text.endswith(_PATH_ENDINGS)
        or "+".join(values) != text
    )
    return [text] if is_one else values


def _quote(value: str) -> str:
    needs_quotes = (
        value != value.strip()
        or any(mark in f"={value}" for mark in (",", "='", "+'"))
        or len(_split_values(value)) > 1
    )
    return "'{}'".format(value.replace("'", "''")) if needs_quotes else value


def _unquote(value: str) -> str:
    return value[1:-1].replace("''", "'") if re.fullmatch(_QUOTED, value) else value


def _are_numbers(text: str) -> bool:
    return all(map(_is_number, _split_values(text)))


# Looking a name up, and making what a spec describes.


def entries(kind: str) -> list[RegistryEntry]:
    """Return every name of a kind with its summary, sorted; imports none of the modules."""
    by_name = {name: _describe_module(name, path) for name, path in _builtin_modules(kind).items()}
    for point in _entry_points(kind):
        name = point.name.replace("_", "-")
        origin = point.dist.name if point.dist else "unknown"
        by_name.setdefault(name, RegistryEntry(name=name, summary="", origin=origin))
    return [by_name[name] for name in sorted(by_name)]


def load_class(kind: str, name: str) -> type:
    """Return the class behind a name: built in, third party, or in a ``.py`` or prompt file.

    Raises:
        UnknownNameError: nothing has this name.
        BadInputError: the file or module does not hold the class its name promises.
    """
    if kind == "strategy" and name.endswith(".jinja"):
        module = importlib.import_module("cotkit.strategies._prompt_file")
        return module.load_prompt_file(Path(name))
    if name.endswith(".py"):
        module, stem = load_file(Path(name)), Path(name).stem
    elif name in _builtin_modules(kind):
        stem = name.replace("-", "_")
        module = importlib.import_module(f"cotkit.{KINDS[kind]}.{stem}")
    else:
        points = _entry_points(kind)
        point = next((p for p in points if p.name.replace("_", "-") == name), None)
        if point is None:
            raise UnknownNameError(kind, name, [entry.name for entry in entries(kind)])
        module, stem = point.load(), name.replace("-", "_")
    class_name = "".join(word.capitalize() for word in stem.split("_"))
    cls = getattr(module, class_name, None)
    if not isinstance(cls, type):
        raise BadInputError(
            module.__file__ or name,
            f"holds no class {class_name}",
            hint=f"a {kind} in {stem}.py is a class named {class_name}",
        )
    return cls


def construct(kind: str, spec: Spec, **fixed: object) -> object:
    """Make the object that a spec describes.

    Args:
        kind: One of :data:`KINDS`.
        spec: Its class and parameters.
        fixed: Values of fields, where the class has them; a spec sets none of them but ``model``.

    Raises:
        UnknownNameError: no such name, or no such parameter (names the nearest).
        UsageError: a parameter's text does not fit its type, or the class refused its value.
    """
    cls = load_class(kind, spec.name)
    if not dataclasses.is_dataclass(cls):
        raise UsageError(f"{kind} {spec.name}: class {cls.__name__} is not a dataclass")
    hints = typing.get_type_hints(cls)
    fields = {f.name for f in dataclasses.fields(cls) if f.init}
    values = {key: value for key, value in fixed.items() if key in fields}
    settable = fields - fixed.keys() | fields & {"model"}
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
        if int in options:
            return parse_integer(text)
        if float in options:
            return _finite_float(text)
        if Path in options:
            return Path(text)
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


def parse_integer(text: str) -> int:
    """Read a whole number in the digits 0 to 9: ``int`` takes ``1_0`` and other digits, too.

    Raises:
        ValueError: it is none.
    """
    if re.fullmatch(r"\s*[-+]?[0-9]{1,400}\s*", text) is None:
        raise ValueError(f"{text[:20]!r} is no whole number")
    return int(text)


def _finite_float(text: str) -> float:
    """Read a number; NaN and infinity, which have no JSON and so no identity, are refused."""
    value = float(text)
    if not math.isfinite(value) or not text.isascii() or "_" in text:
        raise ValueError(text)
    return value


def _entry_points(kind: str) -> EntryPoints:
    import importlib.metadata  # takes as long as all of cotkit that ``cotkit --help`` imports

    return importlib.metadata.entry_points(group=_GROUPS[kind])


def _builtin_modules(kind: str) -> dict[str, Path]:
    folder = _PACKAGE / KINDS[kind]
    files = [path for path in folder.iterdir() if not path.name.startswith(("_", "."))]
    modules = {p.stem: p for p in files if p.suffix == ".py"}
    modules |= {p.name: p / "__init__.py" for p in files if (p / "__init__.py").is_file()}
    return {name.replace("_", "-"): path for name, path in modules.items()}


@functools.cache
def _describe_module(name: str, path: Path) -> RegistryEntry:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    lines = (ast.get_docstring(tree) or "").splitlines()
    declared = {
        node.target.id: str(node.value.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and node.target.id in {"control", "group", "needs"}
        and isinstance(node.value, ast.Constant)
    }
    return RegistryEntry(name=name, summary=lines[0] if lines else "", **declared)


@functools.cache
def load_file(path: Path) -> ModuleType:
    """Import a Python file; once.

    Raises:
        BadInputError: there is none, or its code fails.
    """
    if not path.is_file():
        raise BadInputError(path, "no such file")
    module_spec = importlib.util.spec_from_file_location(f"cotkit_user_{path.stem}", path)
    assert module_spec is not None
    assert module_spec.loader is not None
    module = importlib.util.module_from_spec(module_spec)
    sys.modules[module_spec.name] = module  # dataclasses look their module up
    try:
        module_spec.loader.exec_module(module)
    except SyntaxError as broken:
        raise BadInputError(path, f"does not parse: {broken.msg}", line=broken.lineno) from broken
    except Exception as broken:
        line = next(
            (
                f.lineno
                for f in traceback.extract_tb(broken.__traceback__)[::-1]
                if Path(f.filename) == path.absolute()
            ),
            None,
        )
        what = f"cannot be imported: {type(broken).__name__}: {broken}"
        raise BadInputError(path, what, line=line) from broken
    return module
