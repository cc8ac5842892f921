"""Statistics of runs as pure functions of arrays: intervals, tests, power, survival, ranks and tuning curves."""

from harness.analysis.stats.aggregate import (
    interquartile_mean,
    interquartile_mean_interval,
    normalise,
    probability_of_improvement,
    probability_of_improvement_interval,
)
from harness.analysis.stats.completion import fisher
from harness.analysis.stats.effects import interaction, main_effect, slope
from harness.analysis.stats.mean_ranks import Friedman, critical_difference, friedman, ranks
from harness.analysis.stats.multiple import holm
from harness.analysis.stats.paired import Estimate, equivalence, estimate, sign_test
from harness.analysis.stats.proportions import wilson
from harness.analysis.stats.sample_size import power, units_for_power
from harness.analysis.stats.survival import LogRank, Survival, kaplan_meier, log_rank, median_time
from harness.analysis.stats.tuning_curves import TuningCurve, tuning_curve

__all__ = [
    "Estimate",
    "Friedman",
    "LogRank",
    "Survival",
    "TuningCurve",
    "critical_difference",
    "equivalence",
    "estimate",
    "fisher",
    "friedman",
    "holm",
    "interaction",
    "interquartile_mean",
    "interquartile_mean_interval",
    "kaplan_meier",
    "log_rank",
    "main_effect",
    "median_time",
    "normalise",
    "power",
    "probability_of_improvement",
    "probability_of_improvement_interval",
    "ranks",
    "sign_test",
    "slope",
    "tuning_curve",
    "units_for_power",
    "wilson",
]
