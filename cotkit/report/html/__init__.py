"""Reports as one self-contained HTML file, with a browser of the samples."""

from cotkit.report.html.page import page
from cotkit.report.html.samples import PageRun, PageSample, SampleAttempt

__all__ = ["PageRun", "PageSample", "SampleAttempt", "page"]
