"""Reports as one self-contained HTML file, with a browser of the samples."""

from cotkit.labs.report import lab_page
from cotkit.report.html.page import page
from cotkit.report.html.samples import PageRun, PageSample, SampleAttempt

__all__ = ["PageRun", "PageSample", "SampleAttempt", "lab_page", "page"]
