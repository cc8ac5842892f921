"""The figures of a comparison, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.figure import Figure

from harness.analysis.comparison.model import Comparison
from harness.analysis.figures.cost import cost
from harness.analysis.figures.curves import curves, sensitivity
from harness.analysis.figures.factors import effects, interactions
from harness.analysis.figures.forest import forest
from harness.analysis.figures.heatmap import heatmap
from harness.analysis.figures.ranks import critical_difference, profiles
from harness.analysis.figures.runs import completion, variance
from harness.analysis.figures.style import style
from harness.analysis.figures.tuning import tuning


@dataclass(frozen=True)
class Plot:
    """A kind of figure.

    Attributes:
        title: Its heading.
        caption: How to read it.
        function: Draws it; returns None if the comparison has no data for it.
    """

    title: str
    caption: str
    function: Callable[[Comparison], Figure | None]


FIGURES: dict[str, Plot] = {
    "forest": Plot(
        "Difference of each arm",
        "A small dot is one pair of runs, the large marker the mean difference, and the line its interval. A filled "
        "marker is a settled verdict. A dashed line only describes: runs failed, and the share of pairs won decided. "
        "At most 40 arms and 13 tables are drawn.",
        forest,
    ),
    "heatmap": Plot(
        "Arms on every data set",
        "Means. Within a data set the darkest arm has the best mean; bold arms are not settled to be worse than it. "
        "At most 40 arms and 24 data sets are drawn.",
        heatmap,
    ),
    "effects": Plot(
        "Effects of the factors",
        "A main effect is the difference of two levels, averaged over the other factors. An interaction is a "
        "difference of such differences: if it is settled, read the levels together and not the main effects.",
        effects,
    ),
    "interactions": Plot(
        "Factors together",
        "Mean for each combination of two factors, with a 95% interval where it is one arm. "
        "Parallel lines mean no interaction.",
        interactions,
    ),
    "profiles": Plot(
        "Over all data sets",
        "Left: the share of runs with at least a given score; a higher line is better. A score of 1 is the best mean "
        "of a data set, 0 its chance level, or without one its worst mean. Right: the mean of the middle half of the "
        "scores, with its 95% interval.",
        profiles,
    ),
    "critical_difference": Plot(
        "Mean ranks",
        "Rank 1 is best. A thick bar joins arms whose mean ranks differ by less than Nemenyi's critical difference.",
        critical_difference,
    ),
    "curves": Plot(
        "Learning curves",
        "Mean over the runs with its 95% band, of at most the eight best arms. A steep start may lie outside.",
        curves,
    ),
    "sensitivity": Plot(
        "Sensitivity to settings",
        "Mean at each value of a setting, averaged over everything else, with a 95% band of the mean.",
        sensitivity,
    ),
    "tuning": Plot(
        "Tuning curves",
        "Best score on validation after so many trials, of at most eight arms and twelve data sets. Of random search "
        "it is the median; its bands (areas, or lines beside each other) hold together, for all arms and budgets, with "
        "95% confidence. Of other methods it is the best score so far, without a band. A steep start may lie outside.",
        tuning,
    ),
    "cost": Plot(
        "Cost against quality",
        "Filled arms, with bold names, are on the Pareto front: no arm is both cheaper and better in the mean. Lines "
        "are 95% intervals.",
        cost,
    ),
    "completion": Plot("Completion", "Runs of each arm by their status, with completed/all at the right.", completion),
    "variance": Plot("Variance", "Shares of the variance of the metric between runs.", variance),
}


def draw(name: str, comparison: Comparison) -> Figure | None:
    """Draw a figure.

    Args:
        name: A name of `FIGURES`.
        comparison: The comparison.

    Returns:
        The figure, or None if the comparison has no data for it.
    """
    with style():
        return FIGURES[name].function(comparison)
