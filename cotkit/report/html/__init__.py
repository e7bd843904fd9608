"""Figures, and reports as one self-contained HTML file with a browser of the samples."""

from cotkit.report.html.charts import list_charts
from cotkit.report.html.figure import Chart
from cotkit.report.html.page import contrasts_page, page, spending_page

__all__ = ["Chart", "contrasts_page", "list_charts", "page", "spending_page"]
