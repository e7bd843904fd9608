"""Draw with matplotlib into SVG that takes its colours and its font from the page around it.

Equal calls give equal bytes: no date, salted ids, the defaults of matplotlib and not the user's,
and a font that matplotlib carries to measure with.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

from cotkit.errors import MissingDependencyError
from cotkit.report.document import Tone

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 420
"""Pixels that every figure is designed for: a phone shows it whole."""

_VARIABLES = (
    *("ink", "muted", "rule", "good", "bad", "quiet", "warn", "band", "paper"),
    *("series-1", "series-2", "series-3", "series-4", "series-5", "series-6"),
)
COLORS: Mapping[str, str] = MappingProxyType(
    {name: f"#0000{i:02x}" for i, name in enumerate(_VARIABLES, start=1)}
)
"""CSS variable of ``report.css`` -> the colour that stands for it while matplotlib draws."""

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

_RC = {
    "axes.axisbelow": True,
    "axes.edgecolor": COLORS["rule"],
    "axes.facecolor": "none",
    "axes.labelcolor": COLORS["muted"],
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": COLORS["ink"],
    "axes.titlelocation": "left",
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "figure.dpi": 72,
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "grid.color": COLORS["rule"],
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.labelcolor": COLORS["ink"],
    "lines.linewidth": 1.8,
    "svg.fonttype": "none",  # text stays text: searched, read aloud, set in the page's font
    "svg.hashsalt": "cotkit",
    "text.color": COLORS["ink"],
    "text.parse_math": False,  # a model may be called "a$b$c"
    "xtick.color": COLORS["rule"],
    "xtick.labelcolor": COLORS["muted"],
    "xtick.labelsize": 10,
    "ytick.color": COLORS["rule"],
    "ytick.labelcolor": COLORS["muted"],
    "ytick.labelsize": 10,
}
_COLOR = re.compile(r"(?<=: )#0000([0-9a-f]{2})(?=[;\"])")
_ID = re.compile(r"((?<= id=\")|(?<=url\(#)|(?<=href=\"#))(?=[\w.-])")
_FONT = re.compile(r"'DejaVu Sans'[^;\"]*")
_OPENING = re.compile(r"^.*?<svg[^>]*>", re.DOTALL)
_METADATA = re.compile(r"\s*<metadata>.*?</metadata>", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedFigure:
    """A figure ready for the page."""

    key: str
    """Unique on the page; the element's id."""
    title: str
    """Heading."""
    caption: str
    """How to read it."""
    svg: str
    """One ``<svg>`` element; every text in it is escaped."""

    def to_html(self) -> str:
        """Return the figure with its colours, for a place that has no style sheet of ours."""
        style = (Path(__file__).parent / "report.css").read_text("utf-8").partition("[hidden]")[0]
        return (
            f'<figure class="cotkit"><style>{style.replace(":root", ".cotkit")}'
            f".cotkit svg {{ max-width: 33rem; }}</style>{self.svg}"
            f"<figcaption><small>{escape(self.caption)}</small></figcaption></figure>"
        )

    _repr_html_ = to_html


def draw_figure(
    key: str,
    *,
    title: str,
    caption: str,
    says: str,
    height: float,
    paint: Callable[[Figure], None],
) -> RenderedFigure:
    """Draw one figure of ``WIDTH`` times ``height`` pixels.

    Args:
        key: Unique on the page; letters, digits and hyphens.
        title: Heading.
        caption: How to read it.
        says: What it shows, in words, for those who do not see it.
        height: Pixels.
        paint: Draws into the figure.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure
    except ImportError as absent:
        raise MissingDependencyError("matplotlib", "report") from absent
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(cast("Any", _RC))
        figure = Figure(figsize=(WIDTH / 72, height / 72))
        FigureCanvasSVG(figure)
        figure.patch.set_visible(False)
        paint(figure)
        out = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(out, format="svg", metadata=nothing)
    opening = (
        f'<svg viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{escape(says)}" '
        'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
    )
    svg = _METADATA.sub("", _OPENING.sub("", out.getvalue(), count=1))
    svg = _COLOR.sub(lambda match: f"var(--{_VARIABLES[int(match[1], 16) - 1]})", svg)
    svg = _FONT.sub("var(--font)", _ID.sub(f"{key}-", svg))
    return RenderedFigure(key=key, title=title, caption=caption, svg=opening + svg.strip())


def make_axes(figure: Figure, *, left: float, right: float, top: float, bottom: float) -> Axes:
    """Make axes whose edges lie so many pixels inside the edges of the figure."""
    width, height = (float(inches) * 72 for inches in figure.get_size_inches())
    return figure.add_axes(
        (
            left / width,
            bottom / height,
            (width - left - right) / width,
            (height - top - bottom) / height,
        )
    )


def label_unit(axes: Axes, text: str) -> None:
    """Write what the vertical axis is, above it and level, easy to read."""
    axes.annotate(
        text,
        (0, 1),
        xytext=(-28, 7),
        xycoords="axes fraction",
        textcoords="offset pixels",
        color=COLORS["muted"],
        fontsize=10,
    )


def draw_legend(axes: Axes, *, above: float, ncols: int = 1) -> None:
    """Draw the names of the series, so many pixels above the axes, at their left."""
    box = axes.get_window_extent()
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(-28 / box.width, 1 + above / box.height),
        borderpad=0,
        borderaxespad=0,
        columnspacing=1.2,
        handlelength=1.6,
        labelspacing=0.3,
        ncols=ncols,
    )


def series_style(i: int) -> tuple[str, str]:
    """Return colour and marker of the i-th series, from 0."""
    return COLORS[f"series-{i % N_SERIES + 1}"], _MARKERS[(i + i // N_SERIES) % len(_MARKERS)]


def shorten_name(text: str, most: int) -> str:
    """Return a name cut in its middle, so that its beginning and its end can be read."""
    if len(text) <= most:
        return text
    head = (most - 1) // 2
    return f"{text[:head]}…{text[len(text) - (most - 1 - head) :]}"
