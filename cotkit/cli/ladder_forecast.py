"""What a ladder of runs takes before it begins, and which gains and steps it can find."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cotkit.cli.output import align_columns, count_of, estimate_cells
from cotkit.stats.hypotheses import minimum_detectable_effect

if TYPE_CHECKING:
    from cotkit.workflows.plan import Forecast
    from cotkit.workflows.scale import LadderForecast


def ladder_forecast_lines(forecast: LadderForecast, margin: float) -> list[str]:
    """Return what a ladder takes, model by model, and which gains and steps it can find."""
    return [*forecast_rows(forecast), *_say_power(forecast, margin), *_say_steps(forecast)]


def forecast_rows(forecast: LadderForecast) -> list[str]:
    """Return what the runs take, model by model."""
    rows: list[tuple[str, ...]] = [
        ("model", "benchmark", "attempts", "to make", "generated tokens", "dollars", "seconds")
    ]
    rows += [_forecast_row(run.model, bench, [run]) for bench, run in forecast.forecasts]
    rows.append(_forecast_row("all", "", [run for _, run in forecast.forecasts]))
    return align_columns(rows)


def _say_power(forecast: LadderForecast, margin: float) -> list[str]:
    """Say which gain each size can show."""
    gains = {
        n: [
            minimum_detectable_effect(
                n, rate, level=forecast.each, correlation=forecast.design.correlation
            )
            for rate in forecast.shown_rates
        ]
        for n in sorted(set(forecast.n_problems))
    }
    how = (
        f"power 0.8; {count_of(forecast.n_sizes, 'size')}, {count_of(forecast.n_pairs, 'gain')}, "
        f"{count_of(len(forecast.n_problems), 'curve')}: "
        f"each interval at {100 * forecast.each:.4g} %"
    )
    lines = [
        f"smallest gain found at one size, in points ({how})",
        *align_columns(
            [
                ("problems", *_rate_headers(forecast)),
                *((f"{n:,}", *map(_format_points, of_n)) for n, of_n in gains.items()),
            ]
        ),
    ]
    if not any(gain <= margin for of_n in gains.values() for gain in of_n):
        lines.append(
            f"all above the margin of {100 * margin:g} points: where there is no help, that may "
            "not be shown"
        )
    return lines


_SHOWN_STEPS = (0.1, 0.2, 0.3)


def _say_steps(forecast: LadderForecast) -> list[str]:
    """Say which sudden gain is named with both its ends, and how many problems others take."""
    design = forecast.design
    rows = [
        (f"{n:,}", *(_format_points(design.smallest_step(n, r)) for r in forecast.shown_rates))
        for n in sorted(set(forecast.n_problems))
    ]
    needed = [
        (
            f"{100 * step:g} points",
            *(
                "none" if n is None else f"{n:,}"
                for n in (design.problems_for_step(step, rate) for rate in forecast.shown_rates)
            ),
        )
        for step in _SHOWN_STEPS
    ]
    return [
        "smallest step, in points, that is named by both ends, one size apart (power 0.8)",
        *align_columns([("problems", *_rate_headers(forecast)), *rows]),
        "problems that name both ends of a step",
        *align_columns([("step", *_rate_headers(forecast)), *needed]),
    ]


def _rate_headers(forecast: LadderForecast) -> list[str]:
    name = "control" if forecast.chance is None else "chance"
    return [f"{name} at {100 * rate:.3g} %" for rate in forecast.shown_rates]


def _forecast_row(model: str, bench: str, runs: Sequence[Forecast]) -> tuple[str, ...]:
    from cotkit.run.forecast import sum_estimates

    n_attempts = sum(run.n_problems * len(run.arms) for run in runs)
    n_to_make = sum(arm.n_to_make + arm.n_later for run in runs for arm in run.arms)
    total = sum_estimates([estimate for run in runs for estimate in run.estimates])
    return model, bench, f"{n_attempts:,}", f"{n_to_make:,}", *estimate_cells(total)


def _format_points(gain: float) -> str:
    return "none" if math.isnan(gain) else f"{100 * gain:.1f}"
