"""Reports as one self-contained HTML file, with a browser of the samples."""

from cotkit.report.html.lab import lab_page
from cotkit.report.html.page import page
from cotkit.report.html.values import Part, Sample, Take

__all__ = ["Part", "Sample", "Take", "lab_page", "page"]
