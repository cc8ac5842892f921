"""What is seen of a run, as plain numbers: of its files, of its data, of its network. Rules read this and no more."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness_doctor.engine import UPDATE

Series = list[tuple[int, float]]  # (step, value)
LEAP = 0.3  # of its weights: a first step that changes a layer by more has left where it began


@dataclass(frozen=True)
class DataEvidence:
    """What is seen of a data set, after corruptions and transforms."""

    target: str
    outputs: int
    counts: tuple[int, ...] = ()  # training samples of each class
    center: float = 0.0  # largest |mean| of a feature
    widest: float = 1.0  # largest deviation of a feature
    narrowest: float = 1.0  # of those that vary
    real_inputs: bool = True
    floor: float = 0.0  # score on validation of the best constant
    reference: float = math.nan  # of the best of a few plain estimators: what can be had
    by_reference: str = ""
    usual: float = math.nan  # score on validation of the middle one of them: less of a matter of luck
    attained: float = math.nan  # score of that estimator on training samples that it has not seen (cross-validation)
    floor_train: float = 0.0  # score on training of the best constant
    target_mean: float = 0.0  # of one real target
    target_std: float = 1.0  # of one real target; 0 where all are the same
    telling: int = -1  # the input that determines the target by itself, as no other does
    telling_score: float = math.nan  # of that input alone, in cross-validation
    others_score: float = math.nan  # and of all the others
    overlap: int | None = None  # samples that stand in several splits
    near: float = 0.0  # share of validation and test samples with a near-duplicate in training
    held_out: int = 0  # samples of validation and test
    distinct_targets: int = 0  # of one real target: how many values, where all are whole numbers; else 0
    fetch_s: float = 0.0  # to fetch a batch, of data that is read sample by sample
    n: int = 0
    looked: int = 0  # training samples that were looked at
    looked_val: int = 0  # and of validation

    @property
    def agreement(self) -> float:
        """Of training classes with what the estimator says that has not seen them."""
        return self.attained if self.target == "class" else math.nan

    @property
    def error(self) -> float:
        """The standard error of `reference`: validation samples are few."""
        return score_error(self.target, self.reference, self.looked_val)

    @property
    def error_train(self) -> float:
        """The standard error of `attained`."""
        return score_error(self.target, self.attained, self.looked)

    @property
    def learnable(self) -> bool:
        """Whether the plain estimators do better than a constant on what they have not seen, beyond chance."""
        gain = self.attained - self.floor_train
        return not gain < max(0.05, 2 * self.error_train)


@dataclass(frozen=True)
class Scores:
    """How good predictions are on a split: accuracy, or the share of variance explained (r²); and by class."""

    train: float = math.nan  # in evaluation mode
    train_mode: float = math.nan  # on the same samples, in batches and in training mode
    val: float = math.nan
    recalls: tuple[float, ...] = ()  # of each class, on validation
    marks: tuple[
        float, ...
    ] = ()  # of each sample of validation: 1 for a right class, 1 - error² / variance of a number
    shares: tuple[float, ...] = ()  # of each sample in the mean recall of the classes


@dataclass(frozen=True)
class ShortTraining:
    """Training again from the start for some steps, with the learning rate times a factor: the loss at its end."""

    factor: float
    steps: int
    loss: float


@dataclass(frozen=True)
class NetworkEvidence:
    """What is seen of a network, made and trained again for some steps, and with its trained weights."""

    scores: Scores | None = None  # None: there are no trained weights, or no scores of such targets
    trials: tuple[ShortTraining, ...] = ()  # of other learning rates, and of the run's own (factor 1)
    loss_start: float = math.nan  # of the initial weights
    loss_right: float = math.nan  # of right predictions
    loss_made: float = math.nan  # of the trained network's, on the same samples
    sums_to_one: bool = False  # predictions of classes are probabilities already
    loss_of_certain: float = math.nan  # of predictions that are right and as sure as probabilities can be
    cut: float = 0.0  # share of exact zeros among the output's numbers
    curvature: float = math.nan  # the Hessian's largest eigenvalue, at the initial weights
    plain_steps: bool = False  # a step is -lr times the gradient
    batch_statistics: tuple[str, ...] = ()  # modules that normalize over the batch
    batch_numbers: int = 0  # over so many numbers they do, at least
    company: float = 0.0  # how far an evaluated prediction depends on the others in its batch, relative
    unreached: tuple[str, ...] = ()  # trainable parameters without a gradient
    weighted: tuple[str, ...] = ()  # modules of weights, in the order in which they act
    step_s: float = math.nan  # of forward and backward pass of a batch
    step4_s: float = math.nan  # of one four times as large


@dataclass(frozen=True)
class RunEvidence:
    """Everything that is seen of one run. What could not be seen is empty, None or nan."""

    config: Mapping[str, Any]
    choices: Mapping[str, Any]
    status: str
    error: Mapping[str, Any] | None
    history: Mapping[str, Series]  # of each metric, by epoch
    measured: Mapping[str, Mapping[str, Series]]  # {quantity: {layer: by step}}
    time: Mapping[str, Any] = field(default_factory=dict)
    memory: Mapping[str, Any] = field(default_factory=dict)
    counts: Mapping[str, Any] = field(default_factory=dict)  # of the record's data and model
    data: DataEvidence | None = None
    net: NetworkEvidence | None = None
    missing: tuple[str, ...] = ()  # what could not be looked at, and why

    def curve(self, metric: str) -> list[float]:
        """A metric's values, epoch by epoch."""
        return [value for _, value in self.history.get(metric, ())]

    def layers(self, quantity: str) -> Mapping[str, Series]:
        """{layer: (step, value)s} of a quantity."""
        return self.measured.get(quantity, {})

    def first(self, quantity: str) -> dict[str, tuple[int, float]]:
        """{layer: (step, value)} of the network as it begins.

        A diagnostic looks for the first time when a step has been made. That stands for the beginning where nothing
        better is known, unless this one step has changed the weights by much.
        """
        found = {layer: series[0] for layer, series in self.layers(quantity).items() if series}
        if self.net is not None:
            return {layer: (step, value) for layer, (step, value) in found.items() if step == 0}
        return {} if self.leap > LEAP else found

    @property
    def leap(self) -> float:
        """The largest change of a layer's weights by the first step that was measured, relative to them; 0: unknown."""
        return max((series[0][1] for series in self.layers(UPDATE).values() if series), default=0.0)

    def last(self, quantity: str) -> dict[str, tuple[int, float]]:
        """{layer: (step, value)} of the latest."""
        return {layer: series[-1] for layer, series in self.layers(quantity).items() if series}

    @property
    def lr(self) -> float:
        """The learning rate as configured; nan where the optimizer has none."""
        value = self.config.get("optimizer", {}).get("lr")
        return float(value) if isinstance(value, (int, float)) else math.nan

    @property
    def steps(self) -> int:
        """Optimizer steps made."""
        return int(self.time.get("steps", 0) or 0)

    def lag(self, score: str = "train") -> float:
        """How much of what can be had is missing: 0 none, 1 no better than a constant. nan where nobody knows.

        A run that diverged has learned nothing.
        """
        if self.status == "diverged":
            return 1.0
        if self.net is None or self.net.scores is None or self.data is None:
            return self._stagnation()
        lags = {"train": self._lag_train(self.data, self.net.scores), "val": self._lag_val(self.data, self.net.scores)}
        if score != "both":
            return lags[score]
        known = [lag for lag in lags.values() if not math.isnan(lag)]
        return max(known, default=math.nan)

    def _lag_train(self, data: DataEvidence, scores: Scores) -> float:
        """Of the score on training: against what plain estimators reach on training samples that they have not seen.
        Where they learn nothing, a network that does no worse than a constant lacks nothing.
        """
        if math.isnan(data.attained) or math.isnan(scores.train):
            return self._stagnation()
        if not data.learnable:
            return 0.0 if scores.train >= data.floor_train - max(0.05, 2 * data.error_train) else 1.0
        return _missing(data.attained - data.error_train, scores.train, data.floor_train)

    def _lag_val(self, data: DataEvidence, scores: Scores) -> float:
        """Of the score on validation, where an advantage within the standard error is none."""
        if math.isnan(data.reference) or math.isnan(scores.val):
            return self._stagnation()
        if data.reference - data.floor < max(0.05, data.error):
            return 0.0 if scores.val >= data.floor - max(0.05, 2 * data.error) else 1.0
        return _missing(data.reference - data.error, scores.val, data.floor)

    def _stagnation(self) -> float:
        """Where no score is known: the share of the loss that is left; nan where it says nothing."""
        losses = self.curve("train/loss")
        start = self.net.loss_start if self.net is not None and math.isfinite(self.net.loss_start) else math.nan
        first = start if math.isfinite(start) else (losses[0] if losses else math.nan)
        if not losses or not math.isfinite(first) or first <= 0 or not math.isfinite(losses[-1]):
            return math.nan
        return min(1.0, max(0.0, losses[-1] / first))


def _missing(best: float, made: float, floor: float) -> float:
    return min(1.5, max(0.0, (best - made) / max(best - floor, 1e-9)))


def score_error(target: str, score: float, n: int) -> float:
    """The standard error of an accuracy, never 0 (Agresti and Coull), or of r² (Olkin and Finn), of n samples."""
    if n <= 0 or math.isnan(score):
        return 0.0
    if target == "real":
        return 2 * math.sqrt(max(score, 0.05)) * max(0.0, 1 - score) / math.sqrt(n)
    share = (score * n + 2) / (n + 4)
    return math.sqrt(max(0.0, share * (1 - share)) / n)
