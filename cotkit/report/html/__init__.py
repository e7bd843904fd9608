"""Reports as one self-contained HTML file, with a browser of the samples."""

from cotkit.report.html.page import contrasts_page, page

__all__ = ["contrasts_page", "page"]
