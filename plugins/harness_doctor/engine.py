"""Inner modules of harness that the doctor uses and that do not import torch."""

from harness.analysis.report.table import render
from harness.config.composition import compose
from harness.config.settings import typed_settings
from harness.datasets.balance import sure_ratio
from harness.registry.catalogue import Catalogue, current
from harness.registry.kinds import KEY, KINDS
from harness.results.curves import read_curves
from harness.results.study import load
from harness.system.errors import one_line, reraise_interrupt, says_out_of_memory
from harness.system.escape import lines
from harness.system.spinner import Spinner
from harness.training.diagnostics import quantities
from harness.training.diagnostics.quantities import UPDATE, full_tag

__all__ = [
    "KEY",
    "KINDS",
    "UPDATE",
    "Catalogue",
    "Spinner",
    "compose",
    "current",
    "full_tag",
    "lines",
    "load",
    "one_line",
    "quantities",
    "read_curves",
    "render",
    "reraise_interrupt",
    "says_out_of_memory",
    "sure_ratio",
    "typed_settings",
]
