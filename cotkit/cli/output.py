"""What commands print and write: reports, status, progress, pages, gates and forecasts."""

from __future__ import annotations

import itertools
import math
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import typer

from cotkit.cli.options import FILE_FORMATS, Display, Format, View
from cotkit.errors import IncompleteRunError, MissingDependencyError, UsageError
from cotkit.paths import check_overwrites, write_atomically
from cotkit.printable import printable, printable_text
from cotkit.run.spec import DEFAULT_LOG_DIR
from cotkit.types import say_nothing

if TYPE_CHECKING:
    from cotkit.analysis.scale.contrasts import ModelContrasts
    from cotkit.analysis.scale.values import Scale
    from cotkit.analysis.values import Comparison, Gain, Label, PageRun
    from cotkit.events import Event
    from cotkit.report import Report
    from cotkit.report.html import Chart
    from cotkit.report.progress import Mode
    from cotkit.run.budget import Budget
    from cotkit.run.forecast import ArmSurvey, CostEstimate
    from cotkit.workflows.contrasts import ContrastResult
    from cotkit.workflows.plan import Forecast
    from cotkit.workflows.spending import SpendingResult


# Answers go to standard output, everything else to standard error.


def print_status(*lines: str) -> None:
    """Print lines on standard error: standard output is for answers alone."""
    for line in lines:
        typer.echo(printable(line), err=True)


def print_lines(*lines: str) -> None:
    """Print lines on standard output, with what could move the cursor made visible."""
    for line in lines:
        typer.echo(printable(line))


def print_text(text: str, *, raw: bool) -> None:
    """Print a text of several lines as :func:`print_lines` does; ``raw``: as it is."""
    typer.echo(text if raw else printable_text(text), color=True)  # else it drops escapes


def print_rendered(render: Callable[..., str]) -> None:
    """Print what ``render`` writes, in colour where standard output is a terminal.

    ``render``: a function of ``width``, ``color`` and ``encoding``.
    """
    color = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    width = shutil.get_terminal_size((100, 24)).columns
    text = render(width=width, color=color, encoding=sys.stdout.encoding or "utf-8")
    typer.echo(text, nl=False, color=color)


def print_report(
    report: Report,
    view: View,
    hints: Sequence[str] = (),
    **settings: Any,  # noqa: ANN401 - of render
) -> None:
    """Print a report, and write it to the files that were asked for; ``settings``: of ``render``.

    Raises:
        UsageError: a file cannot be written, or a format that the report does not have.
    """
    from cotkit.report import render

    print_rendered(partial(render, report, hints=hints, **settings, **view.settings()))
    for path in view.outputs:
        format_name, _ = FILE_FORMATS[path.suffix]
        write_page(path, render(report, format_name, **settings), option="--output FILE")
        print_status(f"written: {path}")


def hint_lines(view: View, run: str | None = None, log_dir: Path | str = "") -> tuple[str, ...]:
    """Return how to see more of an answer than one screen; ``run``: whose chains there are.

    The store is not named, so that equal answers of two stores have equal bytes.
    """
    if view.format is not Format.table:
        return ()
    words = "what a word means: cotkit explain WORD"
    if view.full or view.show:
        return (words,)
    more = "more: --full; or --show with some of: {sections}"
    if run is None:
        return (f"{more}; {words}",)
    where = "" if log_dir == DEFAULT_LOG_DIR else " (in the same --log-dir or --store)"
    return more, f"the chains: cotkit show attempt {run}{where}; {words}"


def align_columns(rows: Sequence[Sequence[str]], *, folds: bool = True) -> list[str]:
    """Return each row as one line, columns padded to their widest cell, two spaces between them.

    On a terminal that is narrower, cells are folded between words; where no word may be (``folds``)
    or not even the words fit, columns that are too many stand below, behind the first one again.
    """
    rows = [[printable(cell) for cell in row] for row in rows]
    columns = list(zip(*rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    least = [
        max((len(word) for x in column for word in x.split()), default=0) for column in columns
    ]
    limit = _terminal_width()
    if _sum_widths(widths) > limit and (len(columns) <= 2 or folds) and _sum_widths(least) <= limit:
        while _sum_widths(widths) > limit:
            _, widest = max((w, i) for i, w in enumerate(widths) if w > least[i])
            widths[widest] -= 1
    if _sum_widths(widths) <= limit or len(columns) <= 2:
        return [line for row in rows for line in _fold_row(row, widths)]
    n = next(n for n in range(len(widths), 1, -1) if n == 2 or _sum_widths(widths[:n]) <= limit)
    first = align_columns([row[:n] for row in rows], folds=folds)
    return [*first, "", *align_columns([[row[0], *row[n:]] for row in rows], folds=folds)]


def _sum_widths(widths: Sequence[int]) -> int:
    return sum(widths) + 2 * (len(widths) - 1)


def _fold_row(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Return a row whose cells are folded between words, padded to the widths of the columns."""
    cells = [
        [cell] if len(cell) <= width else textwrap.wrap(cell, width, break_on_hyphens=False)
        for cell, width in zip(row, widths, strict=True)
    ]
    return [
        "  ".join(part.ljust(width) for part, width in zip(parts, widths, strict=True)).rstrip()
        for parts in itertools.zip_longest(*cells, fillvalue="")
    ]


def _terminal_width() -> float:
    """Return the columns of the terminal; infinite: of a pipe or file, where a row is one line."""
    is_known = sys.stdout.isatty() or "COLUMNS" in os.environ
    return shutil.get_terminal_size().columns if is_known else math.inf


# Pages: HTML files beside the answer. What cannot be written is refused before anything is spent.


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRequest:
    """The HTML file and the figures that a user asks for."""

    path: Path | None
    """Of the HTML file; None: none is written."""
    samples: bool
    """Whether it shows problems, gold answers and completions beside what follows from them."""
    figures: Path | None = None
    """Folder that each figure is written into; None: none is."""

    def paths(self) -> tuple[Path, ...]:
        """Return what is written."""
        return tuple(path for path in (self.path, self.figures) if path is not None)

    def select_samples(self, part: PageRun) -> PageRun:
        """Return a run with the samples and prompts that its page shows."""
        return part if self.samples else replace(part, samples=(), prompts=())


def check_page(path: Path) -> None:
    """Refuse what :func:`write_page` could not write.

    Raises:
        UsageError: the file cannot be written, or is there and is no page.
        MissingDependencyError: matplotlib is not installed.
    """
    check_overwrites(path, b"<!doctype html>", "HTML page")
    _check_writable(path, "--html FILE")


def _check_figures(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is no folder", hint="--figures DIR")
    _check_writable(folder, "--figures DIR")


def _check_writable(path: Path, hint: str) -> None:
    why = None
    if not path.parent.is_dir():
        why = f"there is no folder {path.parent}"
    elif not os.access(path if path.exists() else path.parent, os.W_OK):
        why = "no permission"
    if why is not None:
        raise UsageError(f"cannot write {path}: {why}", hint=hint)
    check_report_extra()


def check_report_extra() -> None:
    """Refuse where HTML reports cannot be made.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    if find_spec("matplotlib") is None:
        raise MissingDependencyError("matplotlib", "report")


def write_runs(
    request: PageRequest, comparisons: Sequence[Comparison], log_dir: Path | str, *, timing: bool
) -> None:
    """Write the page and the figures of runs that have just been made.

    Raises:
        UsageError: as :func:`write_page` and :func:`write_figures`.
    """
    from cotkit.analysis.values import PageRun
    from cotkit.store import Store, place_of
    from cotkit.workflows.stored_run import load_part

    parts = [PageRun(comparison=comparison, samples=()) for comparison in comparisons]
    if request.path is not None:
        with Store(place_of(log_dir)) as store:
            parts = [
                replace(
                    load_part(store, store.run(comparison.run_id), say_nothing, trusts_code=True),
                    comparison=comparison,
                )
                for comparison in comparisons  # by this command itself, so its code is trusted
            ]
    write_parts(request, parts, timing=timing)


def write_parts(request: PageRequest, parts: Sequence[PageRun], *, timing: bool = False) -> None:
    """Write the page and the figures of comparisons.

    Raises:
        UsageError: as :func:`write_page` and :func:`write_figures`.
    """
    from cotkit.report.html import list_charts, page

    if request.path is not None:
        write_page(request.path, page(list(map(request.select_samples, parts)), timing=timing))
    if request.figures is not None:
        comparisons = [part.comparison for part in parts]
        write_figures(request.figures, list_charts(comparisons, timing=timing))
    print_status(*(f"written: {path}" for path in request.paths()))


def write_scales(
    request: PageRequest,
    scales: Sequence[Scale],
    log_dir: Path | str | None,
    *,
    reach: float | None,
    timing: bool,
) -> None:
    """Write page and figures of scale analyses and of the runs that they are of.

    ``log_dir``: of these runs.

    Raises:
        UsageError: as :func:`write_page` and :func:`write_figures`.
    """
    from cotkit.report.html import list_charts, page
    from cotkit.store import Store, place_of
    from cotkit.workflows.stored_run import load_part

    runs = [run for scale in scales if scale.origin for run in scale.origin.runs.values()]
    parts: list[PageRun] = []
    if log_dir is not None and request.path is not None:
        with Store(place_of(log_dir)) as store:
            parts = [
                request.select_samples(
                    load_part(store, store.run(run), say_nothing, trusts_code=True)
                )
                for run in runs  # which this command made, or was allowed to read
            ]
    if request.path is not None:
        write_page(request.path, page(parts, scales=scales, reach=reach, timing=timing))
    if request.figures is not None:
        write_figures(request.figures, list_charts(scales=scales, timing=timing))
    print_status(*(f"written: {path}" for path in request.paths()))


def print_contrasts(
    contrasts: Sequence[ModelContrasts], view: View, page: PageRequest | None
) -> None:
    """Print what two models or ladders differ in; write its page, too, if there is one asked for.

    Raises:
        UsageError: as :func:`write_page`, or a format that they do not have.
    """
    print_report(contrasts, view, hint_lines(view))
    if page is not None:
        from cotkit.report.html import contrasts_page, list_charts

        if page.path is not None:
            write_page(page.path, contrasts_page(contrasts))
        if page.figures is not None:
            write_figures(page.figures, list_charts(contrasts=contrasts))
        print_status(*(f"written: {path}" for path in page.paths()))


def print_spending(
    result: SpendingResult, view: View, page: PageRequest | None, log_dir: Path | str
) -> None:
    """Print solve rates by what was spent; write their page, too, if there is one asked for.

    Raises:
        UsageError: as :func:`write_page`, or a format that they do not have.
    """
    hints = hint_lines(view, result.parts[-1].comparison.run_id, log_dir)
    print_report(result.spending, view, hints)
    if page is not None:
        from cotkit.report.html import list_charts, spending_page

        if page.path is not None:
            parts = list(map(page.select_samples, result.parts))
            write_page(page.path, spending_page(result.spending, parts))
        if page.figures is not None:
            write_figures(page.figures, list_charts(spending=result.spending))
        print_status(*(f"written: {path}" for path in page.paths()))
    check_left_out(result.spending.notes)
    _check_complete(result)


def check_contrasts(result: ContrastResult) -> None:
    """Refuse to end well where attempts are missing.

    Raises:
        IncompleteRunError: they are.
    """
    check_left_out(note for contrasts in result.contrasts for note in contrasts.notes)
    _check_complete(result)


def _check_complete(result: ContrastResult | SpendingResult) -> None:
    if result.n_failed:
        raise IncompleteRunError(
            f"{result.n_failed} attempts failed or were not made and are left out"
            + (f", most for this: {result.why_failed}" if result.why_failed else ""),
            hint="the same command tries them again",
        )


def check_left_out(notes: Iterable[str]) -> None:
    """Refuse to end well where a strategy that was asked for could not run.

    Raises:
        UsageError: the first such note.
    """
    from cotkit.analysis.values import LeftOut

    for note in notes:
        if isinstance(note, LeftOut):
            raise UsageError(note)


def write_page(path: Path, text: str, *, option: str = "--html FILE") -> None:
    """Write a page as a whole, or leave the file as it was; follows links.

    Raises:
        UsageError: the file cannot be written.
    """
    try:
        write_atomically(path, text.encode())
    except OSError as refused:
        raise UsageError(f"cannot write {path}: {refused.strerror}", hint=option) from refused


def write_figures(folder: Path, charts: Sequence[Chart]) -> None:
    """Write each figure as SVG, PDF and PNG, one column wide and two, and its numbers as CSV.

    Raises:
        UsageError: a file cannot be written.
    """
    for chart in charts:
        for name, content in chart.files():
            try:
                folder.mkdir(exist_ok=True)
                write_atomically(folder / name, content)
            except OSError as refused:
                raise UsageError(
                    f"cannot write {folder / name}: {refused.strerror}", hint="--figures DIR"
                ) from refused


def read_page(
    html: Path | None = typer.Option(
        None, "--html", help="Also write one HTML file: figures, tables, every sample."
    ),
    figures: Path | None = typer.Option(
        None,
        "--figures",
        help="Also write each figure there: SVG, PDF and PNG for one column and two, and CSV.",
    ),
    samples: bool = typer.Option(
        True,
        "--samples/--no-samples",
        help="Whether that file shows problems, gold answers, prompts and what was written.",
    ),
) -> PageRequest | None:
    """Return the page and the figures to write; None: neither.

    Raises:
        CotkitError: it cannot be written, as ``check_page`` says.
    """
    if html is None and not samples:
        raise UsageError("--no-samples has no effect without --html", hint="--html FILE")
    if html is not None:
        check_page(html)
    if figures is not None:
        _check_figures(figures)
    if html is None and figures is None:
        return None
    return PageRequest(path=html, samples=samples, figures=figures)


# ``--gate``: a comparison's verdict as the exit code of a process, for continuous integration.


Gate = Literal["helps", "undetermined", "no_material_help", "harms"]
"""What a gate says, from the best to the worst."""

EXIT_CODES: dict[Gate, int] = {"helps": 0, "undetermined": 4, "no_material_help": 3, "harms": 5}
"""Exit code of each, in the order of :data:`Gate`."""


_GATE_OF_LABEL: dict[Label, Gate] = {
    "helps": "helps",
    "no_material_help": "no_material_help",
    "harms": "harms",
    "undetermined": "undetermined",
    "withheld": "undetermined",
    "falls": "harms",
    "worse": "harms",
    "keeps_prior": "no_material_help",
    "no_better": "no_material_help",
    "better": "helps",
}


def worst_gate(comparison: Comparison) -> Gate:
    """Return the worst verdict of a comparison; an upper bound is none.

    A gain that is surely above 0 is no pass by itself: it is ``no_material_help`` if it is surely
    below the margin, else ``undetermined``. So is a withheld verdict.

    Raises:
        UsageError: it has no verdict.
    """
    gains = [verdict.gain for verdict in comparison.verdicts]
    gates: list[Gate] = [
        _gate_of_gain(gain, comparison.margin) for gain in gains if gain.label != "upper_bound"
    ]
    if not gates:
        raise UsageError(
            "there is nothing to gate on: no strategy is measured against a control",
            hint="--strategy cot, or --baseline few-shot",
        )
    return _worst(gates)


def exit_by_worst(comparisons: Sequence[Comparison]) -> NoReturn:
    """Exit by the worst verdict of several comparisons; standard error says which that is.

    Raises:
        typer.Exit: always.
    """
    from cotkit.report.verdicts import verdict_cell

    gates: list[Gate] = [worst_gate(comparison) for comparison in comparisons]
    worst = _worst(gates)
    comparison = comparisons[gates.index(worst)]
    gain = next(
        verdict.gain
        for verdict in comparison.verdicts
        if verdict.gain.label != "upper_bound"
        and _gate_of_gain(verdict.gain, comparison.margin) == worst
    )
    codes = ", ".join(f"{code} {gate.replace('_', ' ')}" for gate, code in EXIT_CODES.items())
    verdict = worst.replace("_", " ")
    if gain.label not in EXIT_CODES:
        verdict = f"{verdict_cell(gain.label).text}, which counts as {verdict}"
    print_status(
        f"gate: {comparison.bench}, {gain.arm} over {gain.control}: {verdict}, "
        f"so exit code {EXIT_CODES[worst]} ({codes})"
    )
    raise typer.Exit(EXIT_CODES[worst])


def _worst(gates: Sequence[Gate]) -> Gate:
    return next(gate for gate in reversed(EXIT_CODES) if gate in gates)


def write_summary(comparison: Comparison) -> None:
    """Append the report to GitHub's summary of the step, where ``GITHUB_STEP_SUMMARY`` names one.

    Raises:
        UsageError: it cannot be written.
    """
    from cotkit.report import render

    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if not path:
        return
    try:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(render(comparison, "markdown") + "\n")
    except OSError as refused:
        raise UsageError(
            f"cannot write {path}: {refused.strerror}", hint="check GITHUB_STEP_SUMMARY"
        ) from refused


def _gate_of_gain(gain: Gain, margin: float) -> Gate:
    if gain.label == "some_help":
        return "no_material_help" if gain.interval.high < margin else "undetermined"
    return _GATE_OF_LABEL[gain.label]


# How a run is watched.


class LogLevel(StrEnum):
    """How much the log says."""

    debug = "debug"
    info = "info"
    warning = "warning"
    error = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDisplay:
    """Where the events of a run are shown and sent."""

    mode: Mode
    """How progress is shown."""
    trackers: tuple[str, ...]
    """Specs of trackers."""
    log_level: LogLevel | None
    """Of the log on standard error; None: no log."""

    @contextmanager
    def event_sink(self) -> Generator[Callable[[Event], None]]:
        """Open display, log and trackers, and yield the function that takes every event.

        Raises:
            UsageError: a tracker that is not there or refuses its parameters.
        """
        from cotkit.report.progress import progress_display
        from cotkit.trackers import log_event, start_log, track_events

        if self.log_level is not None:
            start_log(self.log_level.value, sys.stderr)
        with progress_display(self.mode, sys.stderr) as show:

            def show_and_log(event: Event) -> None:
                show(event)
                log_event(event)

            with track_events(show_and_log, self.trackers) as take_event:
                yield take_event


def read_display(
    display: Display | None = typer.Option(
        None, "--display", help="Progress (default: full on a terminal, else plain)."
    ),
    track: list[str] = typer.Option(
        [],
        "--track",
        help="Also tell every event to NAME:key=value, e.g. jsonl:events.jsonl; may be repeated.",
    ),
    log_level: LogLevel | None = typer.Option(
        None, "--log-level", help="Log on standard error, with plain progress."
    ),
) -> RunDisplay:
    """Return how the run is watched."""
    full = sys.stderr.isatty() and log_level is None
    return RunDisplay(
        mode=display.value if display else ("full" if full else "plain"),
        trackers=tuple(track),
        log_level=log_level,
    )


# Forecasts: the table of ``cotkit plan`` and what every run prints before it begins.


_COUNT_FIELDS = (
    "n_attempts",
    "n_requests",
    "n_asked",
    "n_shared",
    "n_stored",
    "n_to_make",
    "n_later",
)


def count_of(n: int, noun: str) -> str:
    """Write a number with its noun: ``1 arm``, ``1,200 arms``."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def forecast_lines(forecast: Forecast) -> list[str]:
    """Return lines on the run, its size, its completions, and the smallest gain it can find."""
    arms = " · ".join(_arm_name(arm, forecast) for arm in forecast.arms)
    n, n_arms = forecast.n_problems, len(forecast.arms)
    size = f"{n:,} of {forecast.n_total:,} problems in {count_of(n_arms, 'arm')}"
    lines = [
        f"run {forecast.run_id} · {forecast.model} · {forecast.bench} · {arms}",
        f"{size}: {n * n_arms:,} attempts",
        _say_completions(forecast.arms),
    ]
    if n_judged := sum(arm.n_judged for arm in forecast.arms):
        lines.append(f"on top of these: {n_judged:,} completions of the judge, in no cost below")
    if forecast.n_weighed:
        lines.append(
            f"on top of these: the log-probabilities of at most {forecast.n_weighed:,} options, all"
            " of a problem's after each attempt"
        )
    gains = [
        f"{100 * effect:.0f} points over a control at {100 * rate:.0f} %"
        for rate, effect in forecast.detectable
        if not math.isnan(effect)
    ]
    if gains:
        lines.append(f"smallest gain that {n} problems can show (power 0.8): {', '.join(gains)}")
    elif forecast.detectable:
        lines.append(f"no gain, however large, would surely show on {n} problems (power 0.8)")
    if (cost := _say_cost(forecast)) is not None:
        lines.append(cost)
    return lines


def budget_lines(forecast: Forecast, budget: Budget) -> list[str]:
    """Return for how many problems, at least and at most, each part of a budget is enough."""
    from cotkit.run.forecast import sum_estimates

    total = sum_estimates(forecast.estimates)
    tokens = tuple(map(sum, zip(total.prompt_tokens, total.generated_tokens, strict=True)))
    lines: list[str] = []
    for name, limit, spending in (
        ("usd", budget.usd, total.usd),
        ("tokens", budget.tokens, tokens),
        ("time", budget.seconds, total.seconds),
    ):
        if limit is None:
            continue
        if spending is None:
            lines.append(f"--budget-{name}: what a problem takes of it is not known")
            continue
        n = forecast.n_problems
        least, most = (
            min(n, int(n * limit / amount)) if amount else n for amount in reversed(spending)
        )
        lines.append(f"--budget-{name} is enough for {least} to {most} of the {n} problems")
    return lines


def _say_cost(forecast: Forecast) -> str | None:
    from cotkit.run.forecast import sum_estimates

    total = sum_estimates(forecast.estimates)
    if forecast.price is None or total.usd is None:
        return None
    low, high = total.usd
    if not high:
        return None
    return (
        f"price: {_format_usd(low)} to {_format_usd(high)} (list prices of "
        f"{forecast.price.as_of}; answers of one "
        "token to answers and thinking at their limit, prompts from the cache or not)"
    )


def forecast_table(forecast: Forecast) -> list[tuple[str, ...]]:
    """Return one row for each arm and one for all of them, the header first."""
    from cotkit.run.forecast import sum_estimates

    header = ("arm", "attempts", "requests", "asked", "shared", "in the store", "to make")
    header = (*header, "later turns", "prompt tokens", "generated tokens", "dollars", "seconds")
    rows = [
        (
            _arm_name(arm, forecast),
            *(f"{getattr(arm, name):,}" for name in _COUNT_FIELDS),
            _format_about(tokens) if tokens is not None else _format_range(ahead.prompt_tokens),
            *estimate_cells(ahead),
        )
        for arm, tokens, ahead in zip(
            forecast.arms, forecast.prompt_tokens, forecast.estimates, strict=True
        )
    ]
    counted = [tokens for tokens in forecast.prompt_tokens if tokens is not None]
    tokens = sum(counted) if len(counted) == len(forecast.prompt_tokens) else None
    sums = (f"{sum(getattr(arm, name) for arm in forecast.arms):,}" for name in _COUNT_FIELDS)
    total = sum_estimates(forecast.estimates)
    prompts = _format_about(tokens) if tokens is not None else _format_range(total.prompt_tokens)
    return [header, *rows, ("all", *sums, prompts, *estimate_cells(total))]


def estimate_cells(ahead: CostEstimate) -> tuple[str, str, str]:
    """Return generated tokens, dollars and seconds of an estimate, as cells of a table."""
    return (
        _format_range(ahead.generated_tokens),
        "price unknown" if ahead.usd is None else _format_range(ahead.usd, _format_usd),
        "not known" if ahead.seconds is None else _format_range(ahead.seconds),
    )


def _format_range(
    bounds: tuple[float, float], say: Callable[[float], str] = "{:,.0f}".format
) -> str:
    low, high = bounds
    if math.isinf(high):
        return f"at least {say(low)}"
    return f"{say(low)} to {say(high)}" if high > low else say(low)


def _format_usd(usd: float) -> str:
    from cotkit.report.document import say_usd

    return f"${say_usd(usd, 2)}"


def _arm_name(arm: ArmSurvey, forecast: Forecast) -> str:
    return f"{arm.arm} (upper bound)" if arm.arm in forecast.upper_bounds else arm.arm


def _say_completions(arms: tuple[ArmSurvey, ...]) -> str:
    n_asked, shared, stored, to_make, later = (
        sum(getattr(arm, name) for arm in arms) for name in _COUNT_FIELDS[2:]
    )
    turns = f" (later turns, by the answers: about {later:,} more)" if later else ""
    return (
        f"asked {n_asked:,} completions, {shared:,} shared, {stored:,} in the store, "
        f"{to_make:,} to make{turns}"
    )


def _format_about(tokens: int) -> str:
    return f"about {tokens:,}" if tokens else "0"
