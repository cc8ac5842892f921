"""Statistics of runs as pure functions of arrays: intervals, tests, power, survival, ranks and tuning curves."""

from harness.analysis.stats import *  # noqa: F403
from harness.analysis.stats import __all__ as __all__
