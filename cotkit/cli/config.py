"""Defaults of options from files: the user's own, and a project's, which may say less.

``~/.config/cotkit/config.toml`` is the user's. ``[tool.cotkit]`` of ``pyproject.toml`` here may
have come with a cloned project: it never chooses model, address, store or permissions.
Flags go before both, ``$COTKIT_STORE`` before the user's store, the project's before the user's.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import typer

from cotkit import inputs
from cotkit.cli.options import DEFAULT_MODEL, Display, Format, PanelledCommand
from cotkit.errors import BadInputError, CotkitError, Location
from cotkit.run.spec import DEFAULT_LOG_DIR, DEFAULTS

PROJECT_FILE = Path("pyproject.toml")
_PROJECT_KEYS = ("margin", "format", "display")
_USER_KEYS = ("model", "store", *_PROJECT_KEYS)
_PARAMETERS = {"format": "format_"}
"""Key -> the parameter of commands, where that is named otherwise."""
_COMMANDS: Mapping[str, tuple[str, ...]] = {
    "compare": ("model", "margin", "format", "display", "store"),
    "plan": ("model", "margin", "store"),
    "resume": ("format", "display", "store"),
    "scale": ("margin", "format", "display", "store"),
    "score": ("margin", "format", "display"),
    "report": ("store",),
    "export": ("store",),
    "list": ("store",),
    "show attempt": ("store",),
    "show run": ("store",),
    "store check": ("store",),
    "store recover": ("store",),
}
"""Command -> the keys that are defaults of its options."""
_RESULT_PARAMETERS = {"model": "model", "margin": "margin", "store": "store", "log_dir": "store"}
"""Parameter that can change a result -> its key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A default, and who says so."""

    value: str
    """As an option would have it."""
    place: str
    """``FILE:LINE``."""


def user_file() -> Path:
    """Return the path of the user's file: ``$XDG_CONFIG_HOME/cotkit/config.toml``."""
    home = os.environ.get("XDG_CONFIG_HOME", "")
    root = Path(home) if home and Path(home).is_absolute() else Path.home() / ".config"
    return root / "cotkit" / "config.toml"


def read_settings() -> dict[str, Setting]:
    """Return key -> default, of both files.

    Raises:
        BadInputError: a file cannot be read, or a key is unknown, not allowed there or out of
            range; names file, line and key.
    """
    settings: dict[str, Setting] = {}
    path = user_file()
    if path.is_file():
        content, table = _read_toml(path)
        settings |= _read_table(path, content, table, _USER_KEYS, section="")
    if PROJECT_FILE.is_file():
        content, document = _read_toml(PROJECT_FILE, only_if="cotkit")
        tool: Any = document.get("tool")
        table: Any = tool.get("cotkit", {}) if isinstance(tool, dict) else {}
        if not isinstance(table, dict):
            raise BadInputError(
                PROJECT_FILE,
                "is no table",
                line=inputs.find_toml_line(content, "tool", "cotkit"),
                field="cotkit",
            )
        table = cast("dict[str, Any]", table)
        settings |= _read_table(PROJECT_FILE, content, table, _PROJECT_KEYS, section="tool.cotkit")
    return settings


def default_map(settings: Mapping[str, Setting]) -> dict[str, Any]:
    """Return command -> parameter -> default, as click takes them."""
    defaults: dict[str, Any] = {}
    for command, keys in _COMMANDS.items():
        values = {
            _parameter(key, settings[key].value): settings[key].value
            for key in keys
            if key in settings
        }
        group, _, inner = command.partition(" ")
        if inner:
            defaults.setdefault(group, {})[inner] = values
        else:
            defaults[group] = values
    return defaults


class ConfiguredCommand(PanelledCommand):
    """A command that says which of its defaults a file gave, where they can change a result."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - click's, or typer's copy of it
        """Run it."""
        from cotkit.cli.output import print_status

        if _source(ctx, "log_dir") == "COMMANDLINE" and _source(ctx, "store") == "DEFAULT_MAP":
            ctx.params["store"] = None
        names = [name for name in _RESULT_PARAMETERS if _source(ctx, name) == "DEFAULT_MAP"]
        settings = ctx.find_root().obj or {}
        phrases = [
            f"{key} {_hide_password(settings[key].value)} ({settings[key].place})"
            for name in names
            if ctx.params.get(name) is not None and (key := _RESULT_PARAMETERS[name]) in settings
        ]
        if phrases:
            print_status(f"settings from files: {', '.join(phrases)}")
        return super().invoke(ctx)


def describe_settings() -> list[tuple[str, ...]]:
    """Return a row for each default: name, value, and where it is from; the header first."""
    settings = read_settings()
    built_in = {
        "model": DEFAULT_MODEL,
        "store": str(DEFAULT_LOG_DIR),
        "margin": f"{100 * DEFAULTS.margin:g}",
        "format": Format.table.value,
        "display": "full on a terminal, else plain",
    }
    rows: list[tuple[str, ...]] = [("default", "value", "from")]
    for key, value in built_in.items():
        setting = settings.get(key, Setting(value=value, place="cotkit"))
        if key == "store" and (url := os.environ.get("COTKIT_STORE")):
            setting = Setting(value=url, place="$COTKIT_STORE")
        rows.append((key, _hide_password(setting.value), setting.place))
    return rows


VARIABLES: Mapping[str, str] = {
    "COTKIT_CACHE_DIR": "folder of downloads and of models made from them",
    "COTKIT_DATA_DIR": "folder with data of benchmarks, looked at first",
    "COTKIT_INDEX_URL": "package index from which data in packages come",
    "COTKIT_MODELS_DIR": "folder of embedded models, looked at first",
    "COTKIT_PRICES": "price table that goes before the dated list",
    "COTKIT_STORE": "store in place of logs/cotkit.db",
    "GITHUB_STEP_SUMMARY": "file that --gate appends its table to",
    "HTTPS_PROXY": "proxy of hosted calls; also HTTP_PROXY, NO_PROXY",
    "NO_COLOR": "no colours in a terminal",
    "XDG_CONFIG_HOME": "folder of cotkit/config.toml",
}
"""Environment variable -> what it decides; keys and addresses of services are in .env, too."""


def describe_surroundings() -> list[list[tuple[str, ...]]]:
    """Return tables of the variables as they are set, of files, and of exit statuses.

    Of a key or an address of a service only the name is given.
    """
    from cotkit import paths

    values = [(name, os.environ.get(name) or "-", what) for name, what in VARIABLES.items()]
    variables = [(name, _hide_password(value), what) for name, value, what in values]
    variables += [
        (name, "set", "key or address of a service")
        for name in sorted(os.environ)
        if name.endswith(("_API_KEY", "_BASE_URL"))
    ]
    store = next(value for key, value, _ in describe_settings() if key == "store")
    places = {
        "runs": store if "://" in store else str(Path(store) / "cotkit.db"),
        "cache": str(paths.cache_dir()),
        "your defaults": str(user_file()),
        "a project's defaults": str(PROJECT_FILE.absolute()),
    }
    files = [
        (what, place, "" if "://" in place else "there" if Path(place).exists() else "not there")
        for what, place in places.items()
    ]
    means = {0: ["Done; --gate: helps."], 3: ["--gate: no material help."]}
    means |= {4: ["--gate: undetermined."], 5: ["--gate: harms."]}
    kinds: list[type[CotkitError]] = [CotkitError]
    for kind in kinds:
        kinds += kind.__subclasses__()
        if "exit_code" in vars(kind):
            about = (kind.__doc__ or "").partition("\n")[0]
            means.setdefault(kind.exit_code, []).append(about)
    means[CotkitError.exit_code] = ["Any other error of cotkit's own."]
    statuses = [(str(code), " ".join(texts)) for code, texts in sorted(means.items())]
    return [
        [("variable", "value", "decides"), *variables],
        [("file", "place", ""), *files],
        [("status", "means"), *statuses],
    ]


def _hide_password(value: str) -> str:
    if "://" not in value:
        return value
    from cotkit.store import mask_password

    return str(mask_password(value))


def _source(ctx: Any, name: str) -> str:  # noqa: ANN401 - as above
    """Return where a parameter's value is from; empty: the command has none of this name."""
    source = ctx.get_parameter_source(name) if name in ctx.params else None
    return source.name if source is not None else ""


def _parameter(key: str, value: str) -> str:
    if key == "store" and "://" not in value:
        return "log_dir"
    return _PARAMETERS.get(key, key)


def _read_toml(path: Path, *, only_if: str = "") -> tuple[str, dict[str, Any]]:
    """Return text and content of a file; no content where a word does not occur in it."""
    content = inputs.read_bytes(path)
    text = content.decode("utf-8-sig", "replace")
    if only_if not in text:
        return text, {}
    return text, dict(inputs.parse_toml(content, Location(file=path)))


def _read_table(
    path: Path, content: str, table: Mapping[str, Any], allowed: tuple[str, ...], *, section: str
) -> dict[str, Setting]:
    settings: dict[str, Setting] = {}
    for key, value in table.items():
        line = inputs.find_toml_line(content, *filter(None, section.split(".")), key)
        if key not in allowed:
            where = f"only {', '.join(allowed)} may stand here"
            if section and key in _USER_KEYS:
                where += f", for a folder may be a stranger's; {key} may stand in {user_file()}"
            problem = "a project does not choose this" if section else "no such setting"
            raise BadInputError(path, problem, line=line, field=key, hint=where)
        try:
            text = _CHECKS[key](value)
        except ValueError as wrong:
            raise BadInputError(path, str(wrong), line=line, field=key) from wrong
        settings[key] = Setting(value=text, place=f"{path}:{line}" if line else str(path))
    return settings


def _check_name(value: object) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise ValueError(f"{str(value)[:40]!r} is no name")
    return value


def _check_store(value: object) -> str:
    text = _check_name(value)
    if "://" in text:
        return text
    path = Path(text).expanduser()
    if not path.is_absolute():
        raise ValueError(f"{text[:40]!r} is neither a URL nor an absolute path of a folder")
    return str(path)


def _check_margin(value: object) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 100:
        return f"{value:g}"
    raise ValueError(f"{str(value)[:40]} is no number of points between 0 and 100")


def _check_choice(choices: type[Format | Display]) -> Callable[[object], str]:
    names = [choice.value for choice in choices]

    def check(value: object) -> str:
        if value not in names:
            raise ValueError(f"{str(value)[:40]!r} is none of {', '.join(names)}")
        return str(value)

    return check


_CHECKS: Mapping[str, Callable[[object], str]] = {
    "model": _check_name,
    "store": _check_store,
    "margin": _check_margin,
    "format": _check_choice(Format),
    "display": _check_choice(Display),
}


def load_defaults(ctx: typer.Context) -> None:
    """Make what the files say the defaults of every command."""
    settings = read_settings()
    ctx.obj = settings
    ctx.default_map = default_map(settings)
