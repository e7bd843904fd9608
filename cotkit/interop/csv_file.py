"""Results in a CSV file: a rate in each row, or one problem in each row.

Rates: ``model, strategy, n_items, value, metric``. Problems: ``model, strategy, problem_id,
correct``. Either may have ``bench``, ``family``, ``params``, ``train_flops``, and what guessing
solves as ``chance`` (in the unit of the result) or ``choices``; problems also ``tokens``, ``usd``,
``seconds``, ``cluster``, the metrics of ``results.LINEAR_METRICS``, and several rows each, which
are samples. Other columns are ignored.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cotkit.analysis.scale.grid import ArmTotals
from cotkit.errors import BadInputError, Location
from cotkit.inputs import iterate_csv, parse_count, parse_number
from cotkit.interop.results import (
    LINEAR_METRICS,
    ModelSize,
    ProblemScore,
    Result,
    is_percent,
    is_rate,
    to_rate,
)

RATES = ("model", "strategy", "n_items", "value", "metric")
"""Columns that a file of rates must have."""
PROBLEMS = ("model", "strategy", "problem_id", "correct")
"""Columns that a file of problems must have."""
_SHAPE = f"rates: {','.join(RATES)}; problems: {','.join(PROBLEMS)}"
_YES_NO = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvRow:
    """One row, its fields stripped."""

    place: Location
    """Where it stands."""
    fields: Mapping[str, str]
    """Column -> text."""

    def need(self, name: str) -> str:
        """Return a field that must not be empty.

        Raises:
            BadInputError: it is empty.
        """
        if not (value := self.fields.get(name, "")):
            raise self.place.make_error("empty", field=name, hint="every row needs it")
        return value

    def number(self, name: str, *, hint: str = "a number") -> float:
        """Return a field as a finite number.

        Raises:
            BadInputError: it is no number.
        """
        text = self.need(name)
        value = parse_number(text)
        if value is None:
            raise self.place.make_error(f"{text[:40]!r} is not a number", field=name, hint=hint)
        return value

    def count(self, name: str) -> int | None:
        """Return a field as a whole number of 1 or more (``7B`` is read); None: it is empty.

        Raises:
            BadInputError: it is no such number.
        """
        if not (text := self.fields.get(name, "")):
            return None
        value = parse_count(text)
        if value is None:
            raise self.place.make_error(
                f"{text[:40]!r} is not a count", field=name, hint="e.g. 7000000000, 7B, 1,319"
            )
        return value

    @property
    def n_items(self) -> ItemCount | None:
        """Return the number of problems; None: the field is empty, or says no number.

        Raises:
            BadInputError: it holds numbers of which none is the number of problems.
        """
        text = self.fields.get("n_items", "")
        count = read_item_count(text)
        if count is None and re.search(r"\d", text):
            raise self.place.make_error(
                f"{text[:40]!r} is not a count",
                field="n_items",
                hint="e.g. 1319, 1,319, about 250, 200 questions, 6 x 100",
            )
        return count

    @property
    def size(self) -> ModelSize:
        """Return the size of the model, as far as the row gives it."""
        flops = self.number("train_flops") if self.fields.get("train_flops") else None
        if flops is not None and flops <= 0:
            raise self.place.make_error("must be above 0", field="train_flops", hint="e.g. 3.1e23")
        return ModelSize(
            family=self.fields.get("family") or None,
            n_params=self.count("params"),
            train_flops=flops,
        )


@dataclass(frozen=True, slots=True)
class ItemCount:
    """How many problems a rate is of."""

    n: int
    """As many; the fewest of a range."""
    words: str | None = None
    """As the table has it, where that is not exact; None: it is."""


_QUALIFIER = (
    r"(?P<qualifier>about|approximately|approx\.?|around|roughly|circa|ca\.?|c\.|nearly|almost"
    r"|some|at least|more than|over|[~≈≥>]=?)"
)
_NUMBER = r"(?:[0-9]{1,3}(?:[,_ \u00a0\u202f][0-9]{3})+|[0-9]+(?:\.[0-9]+)?[kK]?)(?![0-9%])"
_ITEMS = re.compile(
    rf"(?:[nN]\s*=\s*)?(?:{_QUALIFIER}\s*)?(?P<number>{_NUMBER})"
    r"(?:\s*(?:(?P<times>[x×*])|(?P<range>-|–|to\b|\bor\b|\band\b)|of\b|out of\b|/)"
    rf"\s*(?P<second>{_NUMBER}))?"
    r"(?P<unit>(?:[^\d%.]|\.(?!\d))*)",
    re.IGNORECASE,
)
_MORE_UNITS = re.compile(r"\b(?:per|each|every)\b", re.IGNORECASE)
_MOST_WORDS = 80


def read_item_count(text: str) -> ItemCount | None:
    """Read a number of problems in digits or words; None: there is none.

    ``1,319``, ``200 sampled questions``, ``100 of 1,319`` and ``6 x 100`` are exact; ``about 250``,
    ``200-250``, ``at least 300`` and ``100 per dataset`` are not, and count as 250, 200, 300, 100.
    ``up to 500`` is no number of problems.
    """
    if (n := parse_count(text)) is not None:
        return ItemCount(n)
    match = _ITEMS.fullmatch(_write_digits(text.strip())) if len(text) <= _MOST_WORDS else None
    if match is None:
        return None
    number, second = (_parse_items(match[name]) for name in ("number", "second"))
    if number is None or (match["second"] is not None and second is None):
        return None
    is_exact = not (match["qualifier"] or match["range"] or _MORE_UNITS.search(match["unit"]))
    if match["times"] and second is not None:
        number *= second
    elif match["range"] and second is not None:
        number = min(number, second)
    return ItemCount(number, None if is_exact else text.strip())


def _write_digits(text: str) -> str:
    """Return a text whose only number, of ten or more, is spelled in words with it in digits."""
    from cotkit.scoring.number_words import find_number_words

    numbers = [] if re.search(r"[0-9]", text) else find_number_words(text)
    value = numbers[0].value if len(numbers) == 1 else 0
    if value < 10 or value != int(value):
        return text
    return f"{text[: numbers[0].start]}{int(value)}{text[numbers[0].end :]}"


def _parse_items(text: str | None) -> int | None:
    return None if text is None else parse_count(re.sub(r"[\s]", ",", text))


def read_rows(path: Path, needed: Sequence[str] = ()) -> list[CsvRow]:
    """Return every row of a file that has a header.

    Raises:
        BadInputError: as :func:`iterate_csv`, a column missing, or no rows.
    """
    header, lines = iterate_csv(path, hint=_SHAPE)
    for name in needed:
        if name not in header:
            close = difflib.get_close_matches(name, header, n=1)
            hint = f"is it {close[0]!r}? rename it" if close else _SHAPE
            raise BadInputError(path, "no such column", line=1, field=name, hint=hint)
    rows = [CsvRow(place=place, fields=fields) for place, fields in lines]
    if not rows:
        raise BadInputError(path, "holds no results", hint=_SHAPE)
    return rows


def _check_sizes(rows: Sequence[CsvRow]) -> None:
    """Refuse a model to which rows give several sizes; empty fields are ignored."""
    first: dict[tuple[str, str], tuple[float, int]] = {}
    for row in rows:
        sizes = {"params": row.size.n_params, "train_flops": row.size.train_flops}
        for name, value in sizes.items():
            if value is None:
                continue
            first_value, line = first.setdefault(
                (row.need("model"), name), (value, row.place.line or 0)
            )
            if value != first_value:
                hint = f"line {line} gives the same model another size"
                raise row.place.make_error("another size", field=name, hint=hint)


def read_csv(path: Path, *, arm: str | None = None, metric: str | None = None) -> list[Result]:
    """Read the results of a file of either kind.

    Args:
        path: The file.
        arm: Only rows of this strategy; None: all.
        metric: Only rows of this metric; None: the first that is a share of problems.

    Raises:
        BadInputError: names file, line and column.
    """
    rows = read_rows(path)
    of_problems = "problem_id" in rows[0].fields or "correct" in rows[0].fields
    rows = read_rows(path, PROBLEMS if of_problems else RATES)
    _check_sizes(rows)
    if arm is not None:
        rows = [row for row in rows if row.need("strategy") == arm]
        if not rows:
            raise BadInputError(path, f"no row of strategy {arm!r}", hint="as the file spells it")
    return list(_read_problem_rows(rows, path) if of_problems else read_rates(rows, path, metric))


def read_rates(
    rows: Sequence[CsvRow],
    path: Path,
    metric: str | None = None,
    sizes: Mapping[str, int] | None = None,
) -> Iterator[Result]:
    """Yield a result for each row that has the metric.

    Args:
        rows: Of one file.
        path: Its path.
        metric: Only this; None: the first that is a share of problems.
        sizes: Benchmark -> problems, for rows without ``n_items``.

    Raises:
        BadInputError: no row has it, or a field is not as it must be.
    """
    metrics = list(dict.fromkeys(row.need("metric") for row in rows))
    chosen = metric or next((name for name in metrics if is_rate(name)), None)
    if chosen is None or chosen not in metrics or not is_rate(chosen):
        hint = "accuracy, exact_match, solve_rate, pass@1, error_rate; with _pct for percent"
        described = chosen or ", ".join(metrics)
        raise BadInputError(
            path, f"{described}: no share of problems here", field="metric", hint=hint
        )
    others = [name for name in metrics if name != chosen]
    notes = (f"{path.name}: metric {chosen}, not {', '.join(others)}",) if others else ()
    for row in rows:
        if row.fields["metric"] != chosen:
            continue
        bench = row.fields.get("bench") or path.stem
        count = row.n_items
        assumed: tuple[str, ...] = ()
        if count is None and bench in (sizes or {}):
            count = ItemCount((sizes or {})[bench])
            assumed = ("number of problems: the size of the test set, not in the table",)
        elif count is not None and count.words is not None:
            assumed = (f"number of problems: {count.words!r} counts as {count.n:,}",)
        if count is None:
            hint = "an interval needs the number of problems"
            text = row.fields.get("n_items", "")
            problem = f"{text[:40]!r} is not a count" if text else "empty"
            raise row.place.make_error(problem, field="n_items", hint=hint)
        yield Result(
            place=row.place,
            model=row.need("model"),
            bench=bench,
            arm=row.need("strategy"),
            size=row.size,
            ladder=row.size.family,
            scores=ArmTotals(rate=to_rate(chosen, row.number("value"), row.place), n=count.n),
            chance=_read_chance(row, chosen),
            notes=(*notes, *assumed),
        )


def _read_problem_rows(rows: Sequence[CsvRow], path: Path) -> Iterator[Result]:
    groups: dict[tuple[str, str, str], list[CsvRow]] = {}
    for row in rows:
        bench = row.fields.get("bench") or path.stem
        groups.setdefault((row.need("model"), bench, row.need("strategy")), []).append(row)
    for (model, bench, arm), group in groups.items():
        samples: dict[str, list[CsvRow]] = {}
        for row in group:
            if row.size != group[0].size:
                hint = f"line {group[0].place.line} gives the same model another size"
                raise row.place.make_error("another size", field="family, params", hint=hint)
            samples.setdefault(row.need("problem_id"), []).append(row)
        for same in samples.values():
            _check_samples(same)
            _check_same(same, "cluster")
            _check_same(same, "chance")
            _check_same(same, "choices")
        yield Result(
            place=group[0].place,
            model=model,
            bench=bench,
            arm=arm,
            size=group[0].size,
            ladder=group[0].size.family,
            scores={problem: _score_of_rows(same) for problem, same in samples.items()},
        )


def _read_chance(row: CsvRow, metric: str = "accuracy") -> float | None:
    """Return what guessing solves, 0..1; None: the row does not say.

    ``metric``: in whose unit the column is.
    """
    if row.fields.get("chance"):
        value = row.number("chance")
        share = value / 100 if is_percent(metric) else value
        if not 0 <= share <= 1:
            most = 100 if is_percent(metric) else 1
            raise row.place.make_error(
                f"{value:g} is not in 0 to {most}", field="chance", hint=f"in the unit of {metric}"
            )
        return share
    n_choices = row.count("choices")
    return None if n_choices is None else 1 / n_choices


def _check_samples(rows: Sequence[CsvRow]) -> None:
    """Refuse a sample of a problem that stands there twice, where a column numbers them."""
    lines: dict[str, int | None] = {}
    for row in rows:
        text = row.fields.get("sample", "")
        value = parse_number(text)
        number = text if value is None else f"{value:g}"  # 1 and 01 are one sample
        if number and lines.setdefault(number, row.place.line) != row.place.line:
            hint = f"line {lines[number]} has it, too; leave one out"
            raise row.place.make_error(f"sample {number} twice", field="sample", hint=hint)


def _check_same(rows: Sequence[CsvRow], name: str) -> None:
    """Refuse rows of one problem that differ in what belongs to the problem."""
    for row in rows:
        if row.fields.get(name, "") != rows[0].fields.get(name, ""):
            hint = f"line {rows[0].place.line} gives the same problem another one"
            raise row.place.make_error(f"another {name}", field=name, hint=hint)


def _score_of_rows(rows: Sequence[CsvRow]) -> ProblemScore:
    return ProblemScore(
        correct=sum(map(_read_correct, rows)) / len(rows),
        metrics={
            name: sum(row.number(name) for row in rows) / len(rows)
            for name in LINEAR_METRICS
            if all(row.fields.get(name) for row in rows)
        },
        tokens=_sum_column(rows, "tokens"),
        usd=_sum_column(rows, "usd"),
        seconds=_sum_column(rows, "seconds"),
        cluster=rows[0].fields.get("cluster") or None,
        chance=_read_chance(rows[0]),
    )


def _sum_column(rows: Sequence[CsvRow], name: str) -> float | None:
    if not all(row.fields.get(name) for row in rows):
        return None
    for row in rows:
        if row.number(name) < 0:
            raise row.place.make_error("must not be below 0", field=name)
    return sum(row.number(name) for row in rows)


def _read_correct(row: CsvRow) -> float:
    text = row.need("correct").lower()
    if text in _YES_NO:
        return _YES_NO[text]
    value = row.number("correct", hint="1 or 0, true or false")
    if not 0 <= value <= 1:
        raise row.place.make_error(
            f"{text} is not in 0 to 1", field="correct", hint="a share of samples"
        )
    return value
