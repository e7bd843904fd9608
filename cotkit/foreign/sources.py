"""``--from``: ``[ARM=]lm-eval:DIR``, ``[ARM=]inspect:FILE``, ``[ARM=]csv:FILE``, with options.

Options follow the path: ``cot=lm-eval:out,task=gsm8k_cot,bench=gsm8k,filter=strict-match``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cotkit.errors import UnknownNameError, UsageError
from cotkit.foreign import inspect_log, lm_eval
from cotkit.foreign.csvfile import read_csv
from cotkit.foreign.grids import ladders
from cotkit.foreign.inspect_log import read_inspect
from cotkit.foreign.lm_eval import read_lm_eval
from cotkit.foreign.values import Ladder, Result

_SOURCE = re.compile(
    r"(?:(?P<arm>.+?)=)?(?P<kind>lm[-_]eval|inspect|csv):(?P<path>[^,]+)(?P<rest>(?:,.*)?)"
)
_OPTIONS = {
    "lm-eval": ("task", "metric", "filter", "bench"),
    "inspect": ("scorer", "bench"),
    "csv": ("metric",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One ``--from``, read."""

    kind: str
    """``lm-eval``, ``inspect`` or ``csv``."""
    path: Path
    """File or folder."""
    arm: str | None
    """What the user calls the strategy; of a CSV, the only one to be read."""
    options: Mapping[str, str]
    """What follows the path."""


def parse_source(written: str) -> Source:
    """Read one ``--from``.

    Raises:
        UsageError: it is not of the form, or has an option that its kind has not.
    """
    found = _SOURCE.fullmatch(written.strip())
    if found is None:
        hint = "ARM=lm-eval:DIR, ARM=inspect:FILE or csv:FILE"
        raise UsageError(f"--from {written!r} cannot be read", hint=hint)
    kind = found["kind"].replace("_", "-")
    options: dict[str, str] = {}
    for part in filter(None, found["rest"].split(",")):
        key, equals, value = part.partition("=")
        if key not in _OPTIONS[kind]:
            raise UnknownNameError(f"option of {kind}", key, _OPTIONS[kind])
        if not equals or not value:
            raise UsageError(f"--from {written!r}: {key} has no value", hint=f"{key}=NAME")
        options[key] = value
    return Source(kind=kind, path=Path(found["path"]), arm=found["arm"], options=options)


def read_source(source: Source) -> list[Result]:
    """The results of one source.

    Raises:
        BadInputError: names file, line and field.
    """
    if source.kind == "lm-eval":
        return read_lm_eval(source.path, lm_eval.Wanted(arm=source.arm, **source.options))
    if source.kind == "inspect":
        return read_inspect(source.path, inspect_log.Wanted(arm=source.arm, **source.options))
    return read_csv(source.path, arm=source.arm, metric=source.options.get("metric"))


def read_sources(
    written: Sequence[str],
    *,
    bench: str | None = None,
    family: str | None = None,
    params: Mapping[str, int] | None = None,
) -> list[Ladder]:
    """The ladders of all sources together.

    Args:
        written: As the user wrote them.
        bench: Only this benchmark; None: every one.
        family: Only this family, by the files or the catalogue; None: all.
        params: Model -> parameters, by the user.

    Raises:
        BadInputError: names file, line and field.
        UsageError: a source cannot be read, or nothing is left.
        UnknownNameError: no such benchmark or family.
    """
    results = [one for text in written for one in read_source(parse_source(text))]
    if bench is not None:
        known = {one.bench for one in results}
        results = [one for one in results if one.bench.lower() == bench.lower()]
        if not results:
            raise UnknownNameError("benchmark", bench, known)
    found = ladders(results, params)
    if family is not None:
        known = {rung.family or "unknown" for one in found for rung in one.grid.rungs}
        found = [one for one in (_of_family(one, family) for one in found) if one.grid.rungs]
        if not found:
            raise UnknownNameError("family", family, known)
    return found


def _of_family(ladder: Ladder, family: str) -> Ladder:
    kept = tuple(one for one in ladder.grid.rungs if one.family == family)
    names = {one.model for one in kept}
    cells = {key: cell for key, cell in ladder.grid.cells.items() if key[0] in names}
    return replace(ladder, family=family, grid=replace(ladder.grid, rungs=kept, cells=cells))
