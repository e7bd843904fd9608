"""``cotkit scale`` of results that are there: tables of papers, files of other tools."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from cotkit.errors import UsageError

if TYPE_CHECKING:
    from cotkit.cli._formats import Format
    from cotkit.cli._page import Page
    from cotkit.foreign.answers import Asked

_FITTING = frozenset(
    {
        *("published", "sources", "params", "include_unverified", "bench", "family", "strategy"),
        *("baseline", "margin", "seed", "x", "loss", "assume"),
        *("reach", "format_", "timing", "display", "html", "samples"),
    }
)
"""Options that mean something for results that are there."""

_OF_RUNS = (_FITTING - {"published", "sources", "params", "include_unverified", "family"}) - {
    *("bench", "strategy", "baseline")
} | {"runs", "by_steps", "prices", "log_dir", "store", "track", "log_level"}
"""Options that mean something for runs of the store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """Which results are meant, if any, and what else was written."""

    published: str | None
    """Name of a table; None: none."""
    sources: tuple[str, ...]
    """Each ``--from``."""
    params: tuple[str, ...]
    """Each ``--params``."""
    include_unverified: bool
    """Whether unverified rows count."""
    given: frozenset[str]
    """Names of the options that the user wrote."""

    @property
    def n_ladders(self) -> int:
        """How many ways of naming results were used: 0, 1 or 2."""
        return (self.published is not None) + bool(self.sources)

    def check(self) -> None:
        """Refuse options that say nothing here.

        Raises:
            UsageError: names the option.
        """
        own = {"published", "sources"} & self.given
        for name in sorted(self.given - _FITTING if own else self.given & {"params"}):
            raise UsageError(
                f"--{name.replace('_', '-')} says nothing "
                + ("of results that are there" if own else "without --from or --published"),
                hint="cotkit scale --help",
            )
        if self.include_unverified and self.published is None:
            raise UsageError("--include-unverified says nothing without --published")
        for name in sorted(self.given - _OF_RUNS if "runs" in self.given else ()):
            raise UsageError(
                f"--{name.replace('_', '-')} says nothing of runs that are there",
                hint="the runs say it themselves; cotkit scale --models runs others",
            )


def read_foreign(
    ctx: typer.Context,
    published: str | None = typer.Option(
        None,
        "--published",
        help="Instead: a table typed from a paper (cotkit list published); family by family.",
    ),
    sources: list[str] = typer.Option(
        [],
        "--from",
        help="Instead: [ARM=]lm-eval:DIR, [ARM=]inspect:FILE or csv:FILE; may be repeated.",
    ),
    params: list[str] = typer.Option(
        [], "--params", help="MODEL=7B: a size that neither the file nor the catalogue knows."
    ),
    include_unverified: bool = typer.Option(
        False, "--include-unverified", help="Count rows of --published that were not verified."
    ),
) -> Foreign:
    """What the options mean."""
    sourced = {name: ctx.get_parameter_source(name) for name in ctx.params}
    return Foreign(
        published=published,
        sources=tuple(sources),
        params=tuple(params),
        include_unverified=include_unverified,
        given=frozenset(
            name for name, of in sourced.items() if of is not None and of.name == "COMMANDLINE"
        ),
    )


def scale_foreign(
    foreign: Foreign,
    asked: "Asked",
    *,
    reach: float | None,
    format_: "Format",
    timing: bool,
    page: "Page | None",
) -> None:
    """Analyse and print; ``page``: to be written, too.

    Raises:
        CotkitError: as ``foreign.answers``.
    """
    from cotkit.cli._scale import print_scales
    from cotkit.foreign.answers import published_scales, source_scales

    if foreign.published is not None:
        unverified = foreign.include_unverified
        found = published_scales(foreign.published, asked, include_unverified=unverified)
    else:
        found = source_scales(foreign.sources, asked)
    print_scales(found, reach=reach, format_=format_, timing=timing, page=page)
