"""Figures of a comparison, each defined once, for files and for the HTML report."""

from harness.analysis.figures.files import FORMATS, save
from harness.analysis.figures.registry import FIGURES, draw

__all__ = ["FIGURES", "FORMATS", "draw", "save"]
