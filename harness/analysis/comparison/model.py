"""The result of comparing the arms of a study, as plain data that every renderer reads.

An arm is one combination of the swept choices and settings, without seeds. A unit is what differences are paired by:
a seed, a split, or both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Scale = Literal["difference", "ratio"]
Verdict = Literal["better", "worse", "equal", "not settled", "too few"]


@dataclass(frozen=True)
class Metric:
    """The metric that is compared.

    Attributes:
        name: Its name in the record, for example "test/accuracy", or "time/share_s".
        higher_is_better: Its direction.
        scale: "ratio" if arms are compared by the logarithm of their ratio, as losses and times are.
        share: True if values are shares k/n of the samples of the split.
    """

    name: str
    higher_is_better: bool
    scale: Scale
    share: bool = False


@dataclass(frozen=True)
class Arm:
    """One combination of levels of the factors, on one data set or over all of them.

    Attributes:
        name: The levels, for example "adam,relu".
        levels: The level of each factor.
        runs: Number of runs.
        completed: Number of completed runs.
        mean: Mean over the units, or None without a completed run. For a ratio scale the geometric mean.
        sd: Standard deviation over the units.
        low: Lower end of the 95% t interval of the mean.
        high: Upper end.
        seconds: Mean seconds of a run, or None if the arms were trained by different paths.
        parameters: Number of trainable parameters, or None if they differ.
        values: The value of each unit, by the unit's label.
        epochs: Mean number of epochs made.
    """

    name: str
    levels: Mapping[str, Any]
    runs: int
    completed: int
    mean: float | None = None
    sd: float | None = None
    low: float | None = None
    high: float | None = None
    seconds: float | None = None
    parameters: int | None = None
    values: Mapping[str, float] = field(default_factory=dict)
    epochs: float | None = None


@dataclass(frozen=True)
class Difference:
    """An arm against another, paired by unit.

    Estimates are of `arm - against`, or of `arm / against` on the ratio scale.

    Attributes:
        arm: Name of the arm.
        against: Name of the arm that it is compared with.
        n: Number of pairs in which both completed.
        estimate: Mean difference, or geometric mean ratio.
        low: Lower end of the interval, at the level that the verdict was decided at.
        high: Upper end.
        sd: Standard deviation of the paired differences, of their logarithms on the ratio scale.
        p: p-value of the test that decided.
        level: Error rate that this look spends on the comparison, before Holm's correction.
        coverage: Coverage of the interval, for example 0.9904.
        won: Share of the pairs in which the arm is better; ties count half.
        verdict: The verdict on the arm: "better", "worse", "equal", "not settled", or "too few" pairs to decide.
        settled_at: Number of pairs at the look that settled it, or None.
        decided_by: "t" for the t interval of the pairs; "sign" for the share of pairs won, where runs failed.
        floor: Smallest difference that this design settles in 8 of 10 studies; a ratio above 1 on the ratio scale.
        needed: Units needed to settle the margin, or None without a margin.
        pairs: The difference (or ratio) of each unit, by its label.
    """

    arm: str
    against: str
    n: int
    estimate: float | None
    low: float | None
    high: float | None
    sd: float | None
    p: float | None
    level: float
    coverage: float | None
    won: float | None
    verdict: Verdict
    settled_at: int | None = None
    decided_by: Literal["t", "sign"] = "t"
    floor: float | None = None
    needed: int | None = None
    pairs: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Chance:
    """What a constant prediction scores.

    Attributes:
        value: Its score in the metric compared.
        text: In words, for example "answering 'no' always scores .63".
    """

    value: float
    text: str


@dataclass(frozen=True)
class Table:
    """The comparison on one data set, or over all data sets.

    Attributes:
        data: Name of the data set; None over all data sets.
        scope: "on this split", "over splits of this data set" or "over data sets".
        unit: Noun of the units: "seed", "split" or "data set".
        units: Number of units.
        test_size: Number of samples that the metric was measured on, or None if it differs.
        arms: The arms, the best first; arms without a completed run last.
        reference: Name of the arm that the others are shown against.
        differences: Every pair that was decided: each arm against the reference; without a named baseline, all pairs.
        groups: Sets of arms, the best first, none of which is settled to be worse than another of its set.
        variance: Shares of the variance: {"seed" or "split and seed": .75, "arm": .03, "rest": .22}; empty if unknown.
        chance: The score of a constant prediction, or None.
    """

    data: str | None
    scope: str
    unit: str
    units: int
    test_size: int | None
    arms: Sequence[Arm]
    reference: str
    differences: Sequence[Difference]
    groups: Sequence[Sequence[str]]
    variance: Mapping[str, float] = field(default_factory=dict)
    chance: Chance | None = None

    def difference(self, arm: str, against: str | None = None) -> Difference | None:
        """Return an arm against another (default: the reference), or None if they were not compared."""
        against = self.reference if against is None else against
        return next((d for d in self.differences if (d.arm, d.against) == (arm, against)), None)


@dataclass(frozen=True)
class Look:
    """How much of the error rate the looks at a study have spent.

    Attributes:
        number: The number of this look at new data, from 1.
        n: Number of units at this look.
        planned: Number of units planned.
        level: Error rate that this look spends.
        spent: Error rate spent by all looks, this one included.
        family: Number of comparisons that Holm's correction covers.
        new: False if the data of this look was looked at before, which spends nothing.
    """

    number: int
    n: int
    planned: int
    level: float
    spent: float
    family: int
    new: bool = True


@dataclass(frozen=True)
class Effect:
    """A main effect or an interaction of factors on one data set.

    Attributes:
        data: Name of the data set.
        factors: One factor for a main effect, two for an interaction.
        levels: The contrast: ("tanh", "relu") is tanh - relu averaged over the other factors; for an interaction
            ("tanh", "relu", "orthogonal", "he_normal") is that difference under orthogonal minus that under he_normal.
        n: Number of units.
        estimate: Mean of the contrast; on the ratio scale a ratio (of ratios).
        low: Lower end of its interval.
        high: Upper end.
        p: p-value.
        verdict: "settled" or "not settled", by Holm's procedure over the effects of these factors.
    """

    data: str
    factors: tuple[str, ...]
    levels: tuple[str, ...]
    n: int
    estimate: float
    low: float
    high: float
    p: float
    verdict: Literal["settled", "not settled"]


@dataclass(frozen=True)
class Failure:
    """Runs that did not complete, for one reason.

    Attributes:
        arm: Name of the arm.
        data: Name of the data set.
        status: "failed", "diverged", "interrupted" or "running".
        why: The reason in one line.
        runs: Number of runs.
        of: Number of runs of this arm on this data set.
        p: p-value of Fisher's test that the arm completes as often as the one that completes most often, or None.
        findings: What the doctor's findings say, one line each.
    """

    arm: str
    data: str
    status: str
    why: str
    runs: int
    of: int
    p: float | None = None
    findings: Sequence[str] = ()


@dataclass(frozen=True)
class Curve:
    """Learning curve of an arm on a data set: the mean over units with a 95% band of the mean.

    Attributes:
        arm: Name of the arm.
        data: Name of the data set.
        metric: Name of the metric.
        epochs: Epochs, from 1.
        mean: Mean at each epoch.
        low: Lower edge of the band.
        high: Upper edge.
    """

    arm: str
    data: str
    metric: str
    epochs: Sequence[int]
    mean: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


@dataclass(frozen=True)
class Sensitivity:
    """The metric against the values of one numeric setting, averaged over everything else.

    Attributes:
        key: The setting, for example "optimizer.lr".
        data: Name of the data set.
        arm: The levels of the other factors, or the empty string if the setting is the only factor.
        values: Its values, ascending.
        mean: Mean of the metric at each.
        low: Lower end of the 95% interval of each mean.
        high: Upper end.
    """

    key: str
    data: str
    arm: str
    values: Sequence[float]
    mean: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


@dataclass(frozen=True)
class Aggregate:
    """An arm over all data sets, each data set with weight 1.

    Attributes:
        arm: Name of the arm.
        iqm: Interquartile mean of the normalised scores.
        low: Lower end of its 95% interval, by a stratified bootstrap over units.
        high: Upper end.
        rank: Mean rank over the data sets, 1 is best.
        profile: Performance profile: (score, share of runs with at least this score), ascending in the score.
        improvement: {other arm: probability that a run of this arm beats one of the other}.
    """

    arm: str
    iqm: float
    low: float
    high: float
    rank: float
    profile: Sequence[tuple[float, float]] = ()
    improvement: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Winner:
    """The best trial of one search.

    Attributes:
        settings: The values that were searched, by key: {"optimizer.lr": 0.003}.
        score: Its score on validation; None if no trial completed.
        border: The settings that lie at the border of their space.
        neighbours: The scores of the trials that are nearest to it in the space; None for one that did not complete.
    """

    settings: Mapping[str, Any]
    score: float | None
    border: Sequence[str]
    neighbours: Sequence[float | None]


@dataclass(frozen=True)
class BudgetCurve:
    """The best score of a search against the number of its trials.

    Attributes:
        budgets: Numbers of trials, from 1.
        score: The score at each: of random search the median of the best, of other methods the best one so far.
        low: The lower edge of the band; empty without a band.
        high: The upper edge.
    """

    budgets: Sequence[int]
    score: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()


@dataclass(frozen=True)
class Tuned:
    """How the settings of an arm were found on a data set.

    Attributes:
        arm: Name of the arm; with the levels that the comparison averages over, if there are several searches.
        data: Name of the data set.
        metric: The metric that trials are scored by, on validation.
        method: "random", "tpe" or "grid".
        budget: Trials that the search was allowed.
        trials: Trials that it made, of all searches.
        failed: Trials that did not complete.
        steps: Optimizer steps of all trials.
        seeds: Number of tuning seeds of each trial.
        space: The searched space of each setting, as text.
        winners: The best trial; with `tune.per_seed` that of each search.
        curve: Its tuning curve; None if the trials are not known, or are a part of those of another arm.
    """

    arm: str
    data: str
    metric: Metric
    method: str
    budget: int
    trials: int
    failed: int
    steps: int
    seeds: int
    space: Mapping[str, str]
    winners: Sequence[Winner]
    curve: BudgetCurve | None = None


@dataclass(frozen=True)
class Tuning:
    """How the settings of all arms were found.

    Attributes:
        contestants: The arms that were tuned, on each data set.
        coverage: Probability that all bands of a data set hold together, at every budget.
        leaders: A line for each data set: which arm leads at which budget.
        warnings: Lines on winners at the border of their space.
    """

    contestants: Sequence[Tuned] = ()
    coverage: float = 0.95
    leaders: Sequence[str] = ()
    warnings: Sequence[str] = ()


@dataclass(frozen=True)
class Comparison:
    """The answer of a study.

    Attributes:
        study: Name of the study.
        metric: The metric compared.
        factors: The levels of each factor, {"optimizer": ["adam", "sgd"]}.
        varied: Keys that differ with the units: "seed", "split.seed".
        tables: The comparison on each data set.
        overall: The comparison over data sets, or None for fewer than four.
        look: The look that this comparison is.
        margin: The margin of equality, or None.
        effects: Main effects and interactions, for two factors or more.
        failures: Runs that did not complete, grouped.
        curves: Learning curves of the metric on validation.
        sensitivity: The metric against numeric settings.
        aggregates: Arms over all data sets, for two data sets or more.
        critical_difference: Nemenyi's critical difference of mean ranks, for five data sets or more.
        notes: Lines that a reader should know: what was left out, and why.
        verdict: The verdict in words, the first line of the report.
        command: The command that trained the study.
        more: The command that adds seeds, or the empty string.
        runs: Number of runs.
        environment: Versions, device and processor, as recorded.
        tuning: How the settings of the arms were found, if they were tuned.
    """

    study: str
    metric: Metric
    factors: Mapping[str, Sequence[Any]]
    varied: Sequence[str]
    tables: Sequence[Table]
    overall: Table | None
    look: Look
    margin: float | None
    effects: Sequence[Effect]
    failures: Sequence[Failure]
    curves: Sequence[Curve]
    sensitivity: Sequence[Sensitivity]
    aggregates: Sequence[Aggregate]
    critical_difference: float | None
    notes: Sequence[str]
    verdict: Sequence[str]
    command: str
    more: str
    runs: int
    environment: Mapping[str, Any] = field(default_factory=dict)
    tuning: Tuning = field(default_factory=Tuning)
