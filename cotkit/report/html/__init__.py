"""Reports as one self-contained HTML file, with a browser of the samples."""

from cotkit.report.html.page import page

__all__ = ["page"]
