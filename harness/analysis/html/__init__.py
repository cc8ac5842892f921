"""The report of a comparison as one self-contained HTML page."""

from harness.analysis.html.page import page

__all__ = ["page"]
