"""Draw with matplotlib: for the page, whose colours and font it takes, and into files of its own.

Equal calls give equal bytes: no date, salted ids, the defaults of matplotlib and not the user's,
and a font that matplotlib carries to measure with. All lengths are points (1/72 inch).
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

from cotkit.errors import MissingDependencyError, UsageError
from cotkit.printable import printable
from cotkit.report.document import Document, Table, Tone, say_cell

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Columns = Literal[1, 2]
"""How many columns of a journal's page a figure spans."""
WIDTHS: Mapping[Columns, float] = MappingProxyType({1: 252.0, 2: 516.0})
"""Columns -> points. A phone shows one column whole."""
FILE_FORMATS = ("svg", "pdf", "png")
"""What a chart is written as, beside the CSV of its numbers."""
_DPI = 300  # of PNG

_STYLE = (Path(__file__).parent / "report.css").read_text("utf-8").partition("[hidden]")[0]
_NAMES = (
    *("ink", "muted", "rule", "band", "paper", "good", "bad", "quiet", "warn"),
    *("series-1", "series-2", "series-3", "series-4", "series-5", "series-6"),
)
_LIGHT = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", _STYLE.partition("@media")[0]))
COLORS: Mapping[str, str] = MappingProxyType({name: _LIGHT[name] for name in _NAMES})
"""CSS variable of ``report.css`` -> its colour on light paper."""
_VARIABLES = {color: name for name, color in COLORS.items()}
"""The way back; those that are equal on light paper are equal in the dark and in print."""

TONE_COLORS: Mapping[Tone, str] = MappingProxyType(
    {
        "plain": COLORS["ink"],
        "good": COLORS["good"],
        "bad": COLORS["bad"],
        "quiet": COLORS["muted"],
        "warn": COLORS["warn"],
    }
)
"""Tone of a verdict -> the colour that it is drawn in."""

N_SERIES = 6
"""Series colours; beyond them they come again, with another marker."""
_MARKERS = "osD^vP"

FONT, SMALL_FONT, LINE = 7.0, 6.0, 9.5
"""Size of words, of the numbers along an axis, and from line to line."""

_RC = {
    "axes.axisbelow": True,
    "axes.edgecolor": COLORS["rule"],
    "axes.facecolor": "none",
    "axes.labelcolor": COLORS["muted"],
    "axes.labelpad": 2,
    "axes.linewidth": 0.5,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": COLORS["ink"],
    "axes.titlelocation": "left",
    "axes.titlepad": 4,
    "axes.titlesize": FONT,
    "axes.titleweight": "bold",
    "figure.dpi": 72,
    "font.family": "DejaVu Sans",
    "font.size": FONT,
    "grid.color": COLORS["rule"],
    "grid.linewidth": 0.4,
    "legend.frameon": False,
    "legend.labelcolor": COLORS["ink"],
    "lines.linewidth": 1.1,
    "lines.markeredgewidth": 0.6,
    "lines.markersize": 3.6,
    "pdf.fonttype": 42,  # whole outlines: journals refuse the other kind
    "svg.fonttype": "none",  # text stays text: searched, read aloud, set in the page's font
    "svg.hashsalt": "cotkit",
    "text.color": COLORS["ink"],
    "text.parse_math": False,  # a model may be called "a$b$c"
    **{
        f"{axis}tick.{key}": value
        for axis in "xy"
        for key, value in {
            "color": COLORS["rule"],
            "labelcolor": COLORS["muted"],
            "labelsize": SMALL_FONT,
            "major.pad": 2,
            "major.size": 2,
            "major.width": 0.5,
            "minor.size": 1.2,
            "minor.width": 0.4,
        }.items()
    },
}
_METADATA: Mapping[str, Mapping[str, None]] = {
    "svg": dict.fromkeys(("Date", "Creator", "Format", "Type")),
    "pdf": dict.fromkeys(("CreationDate", "Creator", "Producer")),
    "png": {"Software": None},
}
_COLOR = re.compile(r"(?<=: )#[0-9a-f]{6}(?=[;\"])")
_ID = re.compile(r"((?<= id=\")|(?<=url\(#)|(?<=href=\"#))(?=[\w.-])")
_FONT = re.compile(r"'DejaVu Sans'[^;\"]*")
_FONTS = "'DejaVu Sans', Verdana, Arial, sans-serif"  # the widest first: nothing grows
_OPENING = re.compile(r"^.*?<svg[^>]*>", re.DOTALL)
_EMPTY_METADATA = re.compile(r"\s*<metadata>.*?</metadata>", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A figure, drawn when it is asked for.

    Drawing raises ``MissingDependencyError`` where matplotlib is not installed.
    """

    key: str
    """Unique on the page; letters, digits and hyphens."""
    title: str
    """Heading."""
    caption: str
    """How to read it."""
    data: Table
    """The numbers that are drawn."""
    height: Callable[[float], float]
    """Height of a width."""
    paint: Callable[[Figure], None]
    """Draws into a figure of such a size."""

    @property
    def svg(self) -> str:
        """One ``<svg>`` element of one column, in the colours of the page; its text is escaped."""
        return self._inline_svg(1)

    @property
    def wide_svg(self) -> str:
        """The same of two columns."""
        return self._inline_svg(2)

    def to_html(self) -> str:
        """Return the figure with its colours, for a place that has no style sheet of ours."""
        return (
            f'<figure class="cotkit"><style>{_STYLE.replace(":root", ".cotkit")}'
            f".cotkit svg {{ max-width: 33rem; }}</style>{self.svg}"
            f"<figcaption><small>{escape(printable(self.caption))}</small></figcaption></figure>"
        )

    _repr_html_ = to_html

    def to_csv(self) -> str:
        """Return the numbers that are drawn, unrounded."""
        from cotkit.report.formats import to_csv

        document = Document(headline=(), caption=(), facts=(), tables=(self.data,), notes=())
        return to_csv([document])

    def to_bytes(self, format: str, *, columns: Columns = 1) -> bytes:  # noqa: A002 - as in render
        """Return the file of a format: ``svg``, ``pdf``, ``png`` or, of the numbers, ``csv``.

        Raises:
            UsageError: another format.
        """
        if format == "csv":
            return self.to_csv().encode()
        if format not in FILE_FORMATS:
            raise UsageError(
                f"a figure has no format {format!r}", hint=", ".join((*FILE_FORMATS, "csv"))
            )
        return self._draw((format,), columns)[format]

    def save(self, path: str | Path, *, columns: Columns = 1) -> Path:
        """Write the figure as its file name ends (``.svg``, ``.pdf``, ``.png``, ``.csv``).

        Raises:
            UsageError: another ending.
        """
        path = Path(path)
        path.write_bytes(self.to_bytes(path.suffix.removeprefix("."), columns=columns))
        return path

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Yield the names and contents of all its files: each format in both widths, and CSV."""
        for columns in WIDTHS:
            for ending, content in self._draw(FILE_FORMATS, columns).items():
                yield f"{self.key}-{columns}col.{ending}", content
        yield f"{self.key}.csv", self.to_bytes("csv")

    def _inline_svg(self, columns: Columns) -> str:
        words = "; ".join(", ".join(filter(None, map(say_cell, row))) for row in self.data.rows)
        key, width = self.key if columns == 1 else f"{self.key}-wide", WIDTHS[columns]
        opening = (
            f'<svg viewBox="0 0 {width:g} {self.height(width):g}" role="img" '
            f'aria-label="{escape(printable(words))}" '
            'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
        )
        svg = _OPENING.sub(
            "", self._draw(("svg",), columns, has_paper=False)["svg"].decode(), count=1
        )
        svg = _EMPTY_METADATA.sub("", svg)
        svg = _COLOR.sub(
            lambda m: f"var(--{_VARIABLES[m[0]]})" if m[0] in _VARIABLES else m[0], svg
        )
        return opening + _FONT.sub("var(--font)", _ID.sub(f"{key}-", svg)).strip()

    def _draw(
        self, formats: Sequence[str], columns: Columns, *, has_paper: bool = True
    ) -> dict[str, bytes]:
        """Return the file of each format."""
        try:
            import matplotlib as mpl
            from matplotlib.backends.backend_agg import FigureCanvasAgg
            from matplotlib.figure import Figure
        except ImportError as absent:
            raise MissingDependencyError("matplotlib", "report") from absent
        width = WIDTHS[columns]
        with mpl.rc_context(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")
            mpl.rcdefaults()
            mpl.rcParams.update(cast("Any", _RC))
            figure = Figure(figsize=(width / 72, self.height(width) / 72))
            FigureCanvasAgg(figure)
            self.paint(figure)
            _hide_cut_ticks(figure)
            return {name: _write_figure(figure, name, has_paper=has_paper) for name in formats}


def _write_figure(figure: Figure, format: str, *, has_paper: bool) -> bytes:  # noqa: A002
    out = io.BytesIO()
    figure.patch.set_visible(has_paper)
    figure.savefig(
        out, format=format, dpi=_DPI, metadata=dict(_METADATA[format]), facecolor=COLORS["paper"]
    )
    if format != "svg":
        return out.getvalue()
    return _FONT.sub(_FONTS, out.getvalue().decode()).encode()


def _hide_cut_ticks(figure: Figure) -> None:
    """Hide the numbers along an axis that would be cut by the edge, or run into one another."""
    width, height = figure.bbox.size
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            previous = None
            for label in axis.get_ticklabels():
                box = label.get_window_extent()
                if not label.get_text() or not box.width:
                    continue
                is_inside = box.x0 >= 0 and box.x1 <= width and box.y0 >= 0 and box.y1 <= height
                if is_inside and (previous is None or not box.overlaps(previous)):
                    previous = box
                else:
                    label.set_visible(False)


def make_axes(figure: Figure, *, x: float, y: float, width: float, height: float) -> Axes:
    """Make axes whose upper left corner lies so far right of and below that of the figure."""
    whole_width, whole_height = figure.bbox.size
    return figure.add_axes(
        (
            x / whole_width,
            1 - (y + height) / whole_height,
            width / whole_width,
            height / whole_height,
        )
    )


def label_unit(axes: Axes, text: str) -> None:
    """Write what the vertical axis is, above it and level, easy to read."""
    axes.annotate(
        text,
        (0, 1),
        xytext=(-18, 5),
        xycoords="axes fraction",
        textcoords="offset points",
        color=COLORS["muted"],
        fontsize=SMALL_FONT,
    )


# Legends: as many columns as there is room for.


def count_legend_columns(names: Sequence[str], width: float) -> int:
    """Return how many columns a legend of these names has in a figure of a width."""
    longest = max(map(len, names), default=1)
    return max(1, min(len(names), int(width // (0.64 * FONT * longest + 26))))


def legend_height(names: Sequence[str], width: float) -> float:
    """Return how high a legend of these names is."""
    return LINE * math.ceil(len(names) / count_legend_columns(names, width))


def draw_legend(
    axes: Axes,
    *,
    above: float = 13,
    width: float | None = None,
    handles: Sequence[Artist] | None = None,
) -> None:
    """Draw the names of the series, so far above the axes, at their left.

    ``width``: of the legend; None: of the figure; ``handles``: of the series; None: of the axes.
    """
    box = axes.get_window_extent()
    handles = axes.get_legend_handles_labels()[0] if handles is None else handles
    names = [str(handle.get_label()) for handle in handles]
    axes.legend(
        handles=list(handles),
        loc="lower left",
        bbox_to_anchor=(-18 / box.width, 1 + above / box.height),
        borderpad=0,
        borderaxespad=0,
        columnspacing=1.2,
        handlelength=1.6,
        labelspacing=0.3,
        ncols=count_legend_columns(names, width or float(axes.figure.bbox.width) - 20),
    )


# Series: a name has one colour and one marker in all figures of a page.


Style: TypeAlias = tuple[str, str]
"""Colour and marker."""


def series_style(i: int) -> Style:
    """Return colour and marker of the i-th series, from 0."""
    return COLORS[f"series-{i % N_SERIES + 1}"], _MARKERS[(i + i // N_SERIES) % len(_MARKERS)]


def series_styles(names: Iterable[str]) -> dict[str, Style]:
    """Return the style of each name, in the order in which they first come."""
    return {name: series_style(i) for i, name in enumerate(dict.fromkeys(names))}


# Words that fit.


def shorten_name(text: str, most: int) -> str:
    """Return a name cut in its middle, so that its beginning and its end can be read."""
    if len(text) <= most:
        return text
    head = (most - 1) // 2
    return f"{text[:head]}…{text[len(text) - (most - 1 - head) :]}"


def fit_name(text: str, width: float, *, fontsize: float = FONT, bold: bool = False) -> str:
    """Return a name, made printable and cut in its middle so that it is at most so wide."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    text = printable(text)
    font = FontProperties(family="DejaVu Sans", size=fontsize, weight="bold" if bold else "normal")
    most = len(text)
    while most > 3:
        short = shorten_name(text, most)
        if text_to_path.get_text_width_height_descent(short, font, ismath=False)[0] <= width:
            return short
        most -= 1
    return shorten_name(text, most)
