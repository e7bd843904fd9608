"""How a run was made: its command, model, decoding, exemplars, prompts and date, in words."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import cotkit
from cotkit.errors import UsageError
from cotkit.run import RunSpec
from cotkit.run.spec import DEFAULTS, GIVEN_IN_PYTHON, RunOptions
from cotkit.store import Store
from cotkit.types import BackendInfo

_OPTION_NAMES = {"generation": "gen-kwargs", "run_unsafe_code": "confirm-run-unsafe-code"}


def run_settings(store: Store, run_id: str, info: BackendInfo) -> dict[str, str]:
    """Return what a stored run was made with, in reading order; what was not set is left out.

    The date is that of ``SOURCE_DATE_EPOCH``, where that is set, else the day on which it began.
    Runs of cotkit 0.1 kept neither prompts nor parameters.

    Raises:
        UsageError: another version of cotkit wrote the run, or ``SOURCE_DATE_EPOCH`` is no number.
    """
    run = store.run(run_id)
    spec = RunSpec.from_json(run.spec)
    content = store.run_content(run_id)
    arms = {name: arm for name, arm in content.get("arms", {}).items() if isinstance(arm, dict)}
    bench, version = content.get("bench") or (spec.bench, "")
    settings = {
        "command": write_command(spec),
        "cotkit": cotkit.__version__,
        "date": _read_date() or run.created_utc[:10],
        "model": info.model,
        "fingerprint": info.fingerprint,
        **{name: info.settings[name] for name in sorted(info.settings)},
        "benchmark": f"{bench}@{version}" if version else bench,
        **{
            option.name.replace("_", " "): _format_value(getattr(spec, option.name))
            for option in fields(RunOptions)
        },
        "prompts": ", ".join(_list_prompts(arms)),
        **{f"arm {name}": _format_value(_decoding(arm)) for name, arm in arms.items()},
    }
    return {name: value for name, value in settings.items() if value not in {"", "none", "no"}}


def shared_settings(settings: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Return what the runs of a ladder have in common, and the names of what differs.

    Their models and fingerprints are left out, and their commands, which are of one model each.
    """
    names = dict.fromkeys(name for each in settings for name in each)
    values = {name: {each.get(name, "none") for each in settings} for name in names}
    return {
        name: next(iter(texts)) if len(texts) == 1 else "differs by model (cotkit show run RUN)"
        for name, texts in values.items()
        if name not in {"command", "model", "fingerprint"}
    }


def write_command(spec: RunSpec) -> str:
    """Return the command that makes a run; empty: its model was an object of Python."""
    if spec.model == GIVEN_IN_PYTHON:
        return ""
    words = ["cotkit", "compare", "--model", spec.model, "--strategy", ",".join(spec.strategies)]
    words += ["--bench", spec.bench]
    for name, seeds in (("exemplar", spec.exemplar_seeds), ("sample", spec.sample_seeds)):
        words += [f"--{name}-seeds", ",".join(map(str, seeds))] if seeds else []
    for option in fields(RunOptions):
        value = getattr(spec, option.name)
        if value == getattr(DEFAULTS, option.name):
            continue
        words.append(f"--{_OPTION_NAMES.get(option.name, option.name.replace('_', '-'))}")
        if value is not True:
            words.append(f"{100 * value:g}" if option.name == "margin" else _format_value(value))
    return shlex.join(words)


def _format_value(value: object) -> str:
    if isinstance(value, Mapping):
        return ",".join(f"{name}={each}" for name, each in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


def _list_prompts(arms: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield file name and hash of the prompts that the arms render, each once."""
    prompts: dict[str, str | None] = {}
    for arm in arms.values():
        prompts |= arm.get("prompts") or {}
    for name, digest in prompts.items():
        yield f"{name} {digest[:12]}" if digest else name


def _decoding(arm: Mapping[str, Any]) -> dict[str, object]:
    """Return the version and the parameters of a strategy, its exemplars apart."""
    values = {"version": arm.get("version"), **arm["fields"]}
    return {name: value for name, value in values.items() if isinstance(value, str | int | float)}


def _read_date() -> str | None:
    text = os.environ.get("SOURCE_DATE_EPOCH")
    if not text:
        return None
    try:
        return datetime.fromtimestamp(int(text), UTC).date().isoformat()
    except (ValueError, OverflowError, OSError) as wrong:
        raise UsageError(
            f"SOURCE_DATE_EPOCH is {text!r}, no number of seconds since 1970", hint="unset it"
        ) from wrong
