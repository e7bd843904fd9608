"""What hosted models cost: a dated table, and the user's own file before it.

The tables are ``prices.toml`` and any file of its format (its head says what that is). A model that
no row names has no price: unknown is said, never guessed, and local models are unknown too.
"""

from __future__ import annotations

import datetime as dt
import functools
import importlib
import importlib.metadata
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from fnmatch import fnmatchcase
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from cotkit import inputs
from cotkit.errors import BadInputError, Location

__all__ = ["Price", "load_prices", "price_of"]

_DATA = Path(__file__).with_name("prices.toml")
_SERVICES = Path(__file__).with_name("prices-services.toml")
_PROVIDER_URLS = ("https://api.openai.com", "https://api.anthropic.com")
_PACKAGE = "genai-prices"


def price_of(
    backend: str, model: str, overrides: Path | None = None, *, base_url: str | None = None
) -> Price | None:
    """Return the list price of a model; None: unknown.

    The user's file (``overrides``, else ``$COTKIT_PRICES``) is asked first, then our own tables,
    then the package genai-prices where it is installed. In each the pattern with the most letters
    wins, so a name wins over any pattern. Ours and the package's say what the providers ask: at
    another ``base_url`` only the user's counts.

    Raises:
        BadInputError: the user's file cannot be read; names line and field.
    """
    variable = os.environ.get("COTKIT_PRICES")
    file = overrides or (Path(variable) if variable else None)
    tables = [read_prices(file)] if file is not None else []
    if base_url is None or _is_at(base_url, _PROVIDER_URLS):
        tables.append(load_prices())
    elif _is_at(base_url, service_urls()):
        tables.append(load_service_prices())
    for table in tables:
        fits = [
            (sum(letter not in "*?" for letter in pattern), price)
            for price in table
            if price.backend == backend
            for pattern in price.models
            if fnmatchcase(model, pattern)
        ]
        if fits:
            return max(fits, key=lambda fit: fit[0])[1]
    return _ask_package(backend, model, base_url)


def _is_at(url: str, bases: Iterable[str]) -> bool:
    return any(inputs.is_below(url, base) for base in bases)


@functools.cache
def load_service_prices() -> tuple[Price, ...]:
    """Return the table of services by name, in its order."""
    return read_prices(_SERVICES)


@functools.cache
def service_urls() -> tuple[str, ...]:
    """Return the addresses of the services of our table."""
    return tuple(tomllib.loads(_SERVICES.read_text(encoding="utf-8"))["urls"])


def _ask_package(backend: str, model: str, base_url: str | None) -> Price | None:
    """Return the price that genai-prices has; None: it is not installed, or has none."""
    is_own = base_url is None or _is_at(base_url, _PROVIDER_URLS)
    provider, name, url = (backend, model, None) if is_own else (None, model, base_url)
    if backend in {"inspect", "litellm"}:
        provider, _, name = model.partition("/")
        url = base_url if base_url and "://" in base_url else None
        provider = None if url else provider
    elif backend == "openai-api":
        provider, name = None, model.partition("/")[2]
    is_asked = (provider or url) and backend in {*_ASKED, "openai-api"}
    if not is_asked or find_spec("genai_prices") is None:
        return None
    snapshot: Any = importlib.import_module("genai_prices.data_snapshot").get_snapshot()
    try:
        _, info = snapshot.find_provider_model(name, None, provider, url)
        prices = info.get_prices(dt.datetime.now(dt.UTC))
    except LookupError:
        return None
    names = ("input", "cache_read", "cache_write", "output")
    values = [getattr(prices, f"{name}_mtok", None) for name in names]
    rates = [getattr(value, "base", value) for value in values]  # of tiers the first
    if rates[0] is None or rates[3] is None:
        return None
    fresh, cached, cache_write, output = (float(rates[0] if x is None else x) for x in rates)
    return Price(
        backend=backend,
        models=(model,),
        input=fresh,
        cached_input=cached,
        cache_write=cache_write,
        output=output,
        batch_discount=0.0,
        as_of=f"{_PACKAGE} {importlib.metadata.version(_PACKAGE)}",
        status="single",
        source="https://github.com/pydantic/genai-prices",
    )


_ASKED = frozenset({"openai", "anthropic", "inspect", "litellm"})


@functools.cache
def load_prices() -> tuple[Price, ...]:
    """Return our own table, in its order."""
    return read_prices(_DATA)


# One price: what models of one backend cost, and the dollars for a number of tokens.


_MILLION = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """One row: what models of one backend cost, in US dollars for a million tokens."""

    backend: str
    """The backend's registry name."""
    models: tuple[str, ...]
    """Patterns of model names: ``*`` is anything, ``?`` one character."""
    input: float
    """Prompt tokens."""
    cached_input: float
    """Prompt tokens that the provider read from its cache."""
    cache_write: float
    """Prompt tokens that the provider wrote to its cache."""
    output: float
    """Generated tokens, reasoning included."""
    batch_discount: float
    """Share that the batch interface takes off everything, in 0..1."""
    as_of: str
    """ISO date on which the price was looked up; say it with every figure made from it."""
    status: str
    """How sure it is: ``checked`` (two sources agree), ``single`` (one source), or the user's."""
    source: str
    """Where to check it."""

    def batched(self) -> Price:
        """Return the price through the batch interface."""
        factor = 1 - self.batch_discount
        return replace(
            self,
            input=self.input * factor,
            cached_input=self.cached_input * factor,
            cache_write=self.cache_write * factor,
            output=self.output * factor,
            batch_discount=0.0,
        )

    def cost(
        self, n_prompt: float, n_shared: float, n_cache_write: float, n_generated: float
    ) -> float:
        """Return US dollars for so many tokens; counts may be means.

        Args:
            n_prompt: All prompt tokens, the next two included.
            n_shared: Of these, read from the provider's cache.
            n_cache_write: Of these, written to it.
            n_generated: Generated tokens, reasoning included.
        """
        fresh = n_prompt - n_shared - n_cache_write
        return (
            fresh * self.input
            + n_shared * self.cached_input
            + n_cache_write * self.cache_write
            + n_generated * self.output
        ) / _MILLION


# Read a price file, and say line and field of what is wrong with it.


_FILE = ("as_of", "provider", "price", "urls")
_COMMON = ("source", "status", "as_of", "batch_discount")
_ROW = tuple(field.name for field in fields(Price))
_REQUIRED_FIELDS = ("backend", "models", "input", "output", "as_of")
_MAX_VALUES = {"batch_discount": 1.0}
_MOST_USD = 1e5  # for a million tokens: no price is that high, cents mistaken for dollars may be
_MAX_BYTES = 1024 * 1024
_HEADER = re.compile(r"\s*\[\[\s*price\s*\]\]")


def read_prices(path: Path) -> tuple[Price, ...]:
    """Read every row of a price file, in its order.

    Raises:
        BadInputError: no such file, no TOML, a field missing, unknown or out of range, or a name
            given twice.
    """
    content = inputs.read_bytes(path, limit=_MAX_BYTES)
    data = inputs.parse_toml(content, Location(file=path))
    text = content.decode("utf-8-sig")
    return tuple(_PriceFile(path, text.splitlines()).prices(data))


class _PriceFile:
    """One file: its values come from TOML, the lines of mistakes from looking for the keys."""

    def __init__(self, path: Path, lines: list[str]) -> None:
        self._path, self._lines = path, lines
        self._starts = [i for i, line in enumerate(lines) if _HEADER.match(line)]

    def prices(self, data: Mapping[str, Any]) -> Iterator[Price]:
        """Yield each row, completed from its provider's table and the file's date."""
        self._table(data, _FILE, "", None)
        providers = self._table(data.get("provider", {}), None, "provider", None)
        common = {
            name: self._table(table, _COMMON, name, None) for name, table in providers.items()
        }
        rows = data.get("price")
        if not isinstance(rows, list) or not rows:
            raise self._make_error(
                "there is no price", "price", None, hint="a row begins [[price]]"
            )
        names: set[tuple[str, str]] = set()
        for i, item in enumerate(cast("list[object]", rows)):
            row = self._table(item, _ROW, "price", i)
            of_file = {"as_of": data["as_of"]} if "as_of" in data else {}
            of_backend = common.get(str(row.get("backend")), {})
            price = self._price({**of_file, **of_backend, **row}, i)
            for name in price.models:
                if (price.backend, name) in names:
                    raise self._make_error(f"{price.backend}/{name} has a row already", "models", i)
                names.add((price.backend, name))
            yield price

    def _price(self, row: Mapping[str, Any], i: int) -> Price:
        for field in _REQUIRED_FIELDS:
            if field not in row:
                raise self._make_error("missing", field, i)
        usual = {"cached_input": row["input"], "cache_write": row["input"], "batch_discount": 0}
        complete = {"status": "yours", "source": str(self._path), **usual, **row}
        return Price(
            backend=self._text(complete, "backend", i),
            models=self._names(complete["models"], i),
            input=self._number(complete, "input", i),
            cached_input=self._number(complete, "cached_input", i),
            cache_write=self._number(complete, "cache_write", i),
            output=self._number(complete, "output", i),
            batch_discount=self._number(complete, "batch_discount", i),
            as_of=self._date(complete["as_of"], i),
            status=self._text(complete, "status", i),
            source=self._text(complete, "source", i),
        )

    def _table(
        self, value: object, allowed: tuple[str, ...] | None, name: str, i: int | None
    ) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            raise self._make_error("this is no table", name, i)
        table = cast("dict[str, Any]", value)
        for key in table:
            if allowed is not None and key not in allowed:
                raise self._make_error("no such field", key, i, hint=f"known: {', '.join(allowed)}")
        return table

    def _text(self, row: Mapping[str, Any], field: str, i: int) -> str:
        if not isinstance(row[field], str) or not row[field]:
            raise self._make_error(f"{row[field]!r} is no text", field, i)
        return row[field]

    def _names(self, value: object, i: int) -> tuple[str, ...]:
        names = cast("list[object]", value) if isinstance(value, list) else []
        if not names or not all(isinstance(name, str) and name for name in names):
            raise self._make_error(f"{value!r} is no list of model names", "models", i)
        return tuple(str(name) for name in names)

    def _number(self, row: Mapping[str, Any], field: str, i: int) -> float:
        value, most = row[field], _MAX_VALUES.get(field, _MOST_USD)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= most:
            return float(value)
        unit = "a share" if field in _MAX_VALUES else "US dollars for a million tokens"
        raise self._make_error(f"{value!r} is not a number from 0 to {most:g}", field, i, hint=unit)

    def _date(self, value: object, i: int) -> str:
        try:
            return dt.date.fromisoformat(str(value)).isoformat()
        except ValueError as failure:
            error = self._make_error(f"{value!r} is no date", "as_of", i, hint='"2026-11-22"')
            raise error from failure

    def _make_error(
        self, problem: str, field: str, i: int | None, *, hint: str | None = None
    ) -> BadInputError:
        line = self._find_line(field, i)
        return BadInputError(self._path, problem, line=line, field=field or None, hint=hint)

    def _find_line(self, field: str, i: int | None) -> int | None:
        """Find the line of a key: in row ``i``, else above the rows, else the row's own line."""
        above = range(self._starts[0] if self._starts else len(self._lines))
        own = range(0)
        if i is not None and i < len(self._starts):
            own = range(self._starts[i] + 1, [*self._starts, len(self._lines)][i + 1])
        for index in (*own, *above):
            if re.match(rf"\s*{re.escape(field)}\s*=", self._lines[index]):
                return index + 1
        return own.start if own else None
