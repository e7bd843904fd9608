"""Write a page to a file; what cannot work is refused before anything is spent."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from cotkit.cli.options import Display
from cotkit.errors import MissingDependencyError, UsageError
from cotkit.paths import check_overwrites, write_atomically
from cotkit.types import say_nothing

if TYPE_CHECKING:
    from cotkit.analysis.scale.values import Scale
    from cotkit.analysis.values import Comparison, Gain, Label
    from cotkit.events import Event
    from cotkit.report.html import PageRun
    from cotkit.report.progress import Mode
    from cotkit.run.budget import Budget
    from cotkit.run.forecast import ArmSurvey, CostEstimate
    from cotkit.workflows.plan import Forecast


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRequest:
    """What file is wanted."""

    path: Path
    """Where."""
    samples: bool
    """Whether it shows problems, golds and what was written, and not only what follows."""

    def of(self, part: PageRun) -> PageRun:
        """A run with the samples that its page shows."""
        return part if self.samples else replace(part, samples=())


def check_page(path: Path) -> None:
    """Refuse what :func:`write_page` could not write.

    Raises:
        UsageError: the file cannot be written, or is there and is no page.
        MissingDependencyError: matplotlib is not installed.
    """
    check_overwrites(path, b"<!doctype html>", "HTML page")
    why = None
    if not path.parent.is_dir():
        why = f"there is no folder {path.parent}"
    elif not os.access(path if path.exists() else path.parent, os.W_OK):
        why = "no permission"
    if why is not None:
        raise UsageError(f"cannot write {path}: {why}", hint="--html FILE")
    if find_spec("matplotlib") is None:
        raise MissingDependencyError("matplotlib", "report")


def write_run(wanted: PageRequest, found: Comparison, log_dir: Path | str, *, timing: bool) -> None:
    """Write the page of a run that has just been made.

    Raises:
        UsageError: as :func:`write_page`.
    """
    from cotkit.report.html import page
    from cotkit.store import Store, place_of
    from cotkit.workflows.stored_run import load_part

    with Store(place_of(log_dir)) as store:
        part = load_part(store, store.run(found.run_id), say_nothing)
    part = wanted.of(replace(part, comparison=found))
    write_page(wanted.path, page([part], timing=timing))


def write_scales(
    wanted: PageRequest,
    scales: Sequence[Scale],
    log_dir: Path | str | None,
    *,
    reach: float | None,
    timing: bool,
) -> None:
    """Write the page of scale analyses and of the runs that they are of; ``log_dir``: of these.

    Raises:
        UsageError: as :func:`write_page`.
    """
    from cotkit.report.html import page
    from cotkit.store import Store, place_of
    from cotkit.workflows.stored_run import load_part

    runs = [run for one in scales if one.origin for run in one.origin.runs.values()]
    parts: list[PageRun] = []
    if log_dir is not None:
        with Store(place_of(log_dir)) as store:
            parts = [wanted.of(load_part(store, store.run(run), say_nothing)) for run in runs]
    write_page(wanted.path, page(parts, scales=scales, reach=reach, timing=timing))


def write_page(path: Path, text: str) -> None:
    """Write it whole, or leave what was there; through links.

    Raises:
        UsageError: the file cannot be written.
    """
    try:
        write_atomically(path, text.encode())
    except OSError as refused:
        raise UsageError(
            f"cannot write {path}: {refused.strerror}", hint="--html FILE"
        ) from refused


# The options that say what page is written beside the answer.
#
# No ``from __future__ import annotations`` here, for the reason that ``_options`` gives.


def read_page(
    html: Path | None = typer.Option(
        None, "--html", help="Also write one HTML file: figures, tables, every sample."
    ),
    samples: bool = typer.Option(
        True,
        "--samples/--no-samples",
        help="Whether that file shows problems, gold answers and what was written.",
    ),
) -> PageRequest | None:
    """The page; None: none is wanted.

    Raises:
        CotkitError: it cannot be written, as ``check_page`` says.
    """
    if html is None:
        if not samples:
            raise UsageError("--no-samples says nothing without --html", hint="--html FILE")
        return None

    check_page(html)
    return PageRequest(path=html, samples=samples)


# Plain aligned columns: what lists print, the same in a terminal and in a pipe.


def align_columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Each row as one line, columns padded to their widest cell, two spaces between them."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


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
}


def worst_gate(comparison: Comparison) -> Gate:
    """The worst verdict of a comparison; an upper bound is none.

    A gain that is surely above 0 is no pass by itself: it is ``no_material_help`` if it is surely
    below the margin, else ``undetermined``. So is a withheld verdict.

    Raises:
        UsageError: it has no verdict.
    """
    gains = [verdict.gain for verdict in comparison.verdicts]
    found = [
        _gate_of_gain(gain, comparison.margin) for gain in gains if gain.label != "upper_bound"
    ]
    if not found:
        raise UsageError(
            "there is nothing to gate on: no strategy is measured against a control",
            hint="--strategy cot, or --baseline few-shot",
        )
    return next(one for one in reversed(EXIT_CODES) if one in found)


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


# The options that say how a run is watched, shared by every command that runs one.
#
# No ``from __future__ import annotations`` here, for the reason that ``_options`` gives.


class LogLevel(StrEnum):
    """How much the log says."""

    debug = "debug"
    info = "info"
    warning = "warning"
    error = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDisplay:
    """Who is told what a run says."""

    mode: Mode
    """How progress is shown."""
    trackers: tuple[str, ...]
    """Specs of trackers."""
    log_level: LogLevel | None
    """Of the log on standard error; None: no log."""

    @contextmanager
    def told(self) -> Generator[Callable[[Event], None]]:
        """Whom to tell the events, as long as runs go on.

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

            with track_events(show_and_log, self.trackers) as tell:
                yield tell


def read_watch(
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
    """How the run is watched."""
    full = sys.stderr.isatty() and log_level is None
    return RunDisplay(
        mode=display.value if display else ("full" if full else "plain"),
        trackers=tuple(track),
        log_level=log_level,
    )


# A forecast in words: the table of ``cotkit plan`` and what every run says before it begins.


_COUNT_FIELDS = (
    "n_attempts",
    "n_requests",
    "n_asked",
    "n_shared",
    "n_stored",
    "n_to_make",
    "n_later",
)


def forecast_lines(found: Forecast) -> list[str]:
    """The run, its size, its completions, and the smallest gain it can find."""
    arms = " · ".join(_arm_name(arm, found) for arm in found.arms)
    n, n_arms = found.n_problems, len(found.arms)
    said = [
        f"run {found.run_id} · {found.model} · {found.bench} · {arms}",
        f"{n} of {found.n_total} problems in {n_arms} arms: {n * n_arms} attempts",
        _say_completions(found.arms),
    ]
    if found.n_weighed:
        said.append(
            f"on top of these: the log-probabilities of at most {found.n_weighed:,} options, all of"
            " a problem's after each attempt"
        )
    gains = [
        f"{100 * effect:.0f} points over a control at {100 * rate:.0f} %"
        for rate, effect in found.detectable
        if not math.isnan(effect)
    ]
    if gains:
        said.append(f"smallest gain that {n} problems can show (power 0.8): {', '.join(gains)}")
    elif found.detectable:
        said.append(f"no gain, however large, would surely show on {n} problems (power 0.8)")
    if (cost := _say_cost(found)) is not None:
        said.append(cost)
    return said


def budget_lines(found: Forecast, budget: Budget) -> list[str]:
    """How far a budget goes: between so many problems and so many."""
    from cotkit.run.forecast import sum_estimates

    whole = sum_estimates(found.estimates)
    tokens = tuple(map(sum, zip(whole.prompt_tokens, whole.generated_tokens, strict=True)))
    said: list[str] = []
    for name, limit, taken in (
        ("usd", budget.usd, whole.usd),
        ("tokens", budget.tokens, tokens),
        ("time", budget.seconds, whole.seconds),
    ):
        if limit is None:
            continue
        if taken is None:
            said.append(f"--budget-{name}: what a problem takes of it is not known")
            continue
        n = found.n_problems
        least, most = (min(n, int(n * limit / one)) if one else n for one in reversed(taken))
        said.append(f"--budget-{name} is enough for {least} to {most} of the {n} problems")
    return said


def _say_cost(found: Forecast) -> str | None:
    from cotkit.run.forecast import sum_estimates

    whole = sum_estimates(found.estimates)
    if found.price is None or whole.usd is None:
        return None
    low, high = whole.usd
    if not high:
        return None
    return (
        f"price: ${low:.2g} to ${high:.2g} (list prices of {found.price.as_of}; answers of one "
        "token to answers at their limit, prompts from the cache or not)"
    )


def forecast_table(found: Forecast) -> list[tuple[str, ...]]:
    """One row for each arm and one for all of them, the header first."""
    from cotkit.run.forecast import sum_estimates

    header = ("arm", "attempts", "requests", "asked", "shared", "in the store", "to make")
    header = (*header, "later turns", "prompt tokens", "generated tokens", "dollars", "seconds")
    rows = [
        (
            _arm_name(arm, found),
            *(f"{getattr(arm, name):,}" for name in _COUNT_FIELDS),
            _format_about(tokens) if tokens is not None else _format_range(ahead.prompt_tokens),
            *estimate_cells(ahead),
        )
        for arm, tokens, ahead in zip(found.arms, found.prompt_tokens, found.estimates, strict=True)
    ]
    known = [tokens for tokens in found.prompt_tokens if tokens is not None]
    tokens = sum(known) if len(known) == len(found.prompt_tokens) else None
    sums = (f"{sum(getattr(arm, name) for arm in found.arms):,}" for name in _COUNT_FIELDS)
    whole = sum_estimates(found.estimates)
    prompts = _format_about(tokens) if tokens is not None else _format_range(whole.prompt_tokens)
    return [header, *rows, ("all", *sums, prompts, *estimate_cells(whole))]


def estimate_cells(ahead: CostEstimate) -> tuple[str, str, str]:
    """Generated tokens, dollars and seconds of an estimate, as cells of a table."""
    return (
        _format_range(ahead.generated_tokens),
        "price unknown" if ahead.usd is None else _format_range(ahead.usd, "$", ".2g"),
        "not known" if ahead.seconds is None else _format_range(ahead.seconds),
    )


def _format_range(of: tuple[float, float], unit: str = "", form: str = ",.0f") -> str:
    low, high = of
    if math.isinf(high):
        return f"at least {unit}{low:{form}}"
    return f"{unit}{low:{form}} to {unit}{high:{form}}" if high > low else f"{unit}{low:{form}}"


def _arm_name(arm: ArmSurvey, found: Forecast) -> str:
    return f"{arm.arm} (upper bound)" if arm.arm in found.upper_bounds else arm.arm


def _say_completions(arms: tuple[ArmSurvey, ...]) -> str:
    asked, shared, stored, to_make, later = (
        sum(getattr(arm, name) for arm in arms) for name in _COUNT_FIELDS[2:]
    )
    turns = f" (later turns, by the answers: about {later:,} more)" if later else ""
    return (
        f"asked {asked:,} completions, {shared:,} shared, {stored:,} in the store, "
        f"{to_make:,} to make{turns}"
    )


def _format_about(tokens: int) -> str:
    return f"about {tokens:,}" if tokens else "0"
