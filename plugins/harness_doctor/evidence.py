"""Evidence on a run as plain numbers, from its files, its data and its network: the only input of the rules."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness_doctor.engine import UPDATE

Series = list[tuple[int, float]]  # (step, value)
LEAP = 0.3  # relative change of a layer's weights above which the first step has left the initial weights


@dataclass(frozen=True)
class DataEvidence:
    """Evidence on a data set, after corruptions and transforms."""

    target: str
    outputs: int
    counts: tuple[int, ...] = ()  # training samples of each class
    center: float = 0.0  # largest |mean| of a feature
    widest: float = 1.0  # largest deviation of a feature
    narrowest: float = 1.0  # of those that vary
    real_inputs: bool = True
    floor: float = 0.0  # score on validation of the best constant
    reference: float = math.nan  # score on validation of the best of a few baseline estimators
    by_reference: str = ""  # its name
    usual: float = math.nan  # median score of these estimators on validation, less affected by chance
    attained: float = math.nan  # score of the best one on held-out training samples (cross-validation)
    floor_train: float = 0.0  # score on training of the best constant
    target_mean: float = 0.0  # of one real target
    target_std: float = 1.0  # of one real target; 0 where all are the same
    telling: int = -1  # index of the one input that determines the target
    telling_name: str = ""  # its column
    copied: bool = False  # True if its values correspond to the targets one to one
    telling_score: float = math.nan  # score of that input alone, in cross-validation
    others_score: float = math.nan  # score of all other inputs
    overlap: int | None = None  # samples that occur in several splits
    near: float = 0.0  # share of validation and test samples with a near-duplicate in training
    held_out: int = 0  # samples of validation and test
    distinct_targets: int = 0  # number of different values of one real target, if all are integers; else 0
    fetch_s: float = 0.0  # seconds to fetch a batch, of data that is read sample by sample
    n: int = 0  # training samples
    looked: int = 0  # examined training samples
    looked_val: int = 0  # examined validation samples

    @property
    def agreement(self) -> float:
        """Agreement of training classes with the predictions of an estimator fitted to other samples."""
        return self.attained if self.target == "class" else math.nan

    @property
    def error(self) -> float:
        """The standard error of `reference`: validation samples are few."""
        return score_error(self.target, self.reference, self.looked_val)

    @property
    def error_train(self) -> float:
        """Standard error of `attained`."""
        return score_error(self.target, self.attained, self.looked)

    @property
    def learnable(self) -> bool:
        """True if baseline estimators beat a constant on held-out samples beyond chance."""
        gain = self.attained - self.floor_train
        return not gain < max(0.05, 2 * self.error_train)


@dataclass(frozen=True)
class Scores:
    """Scores of predictions on a split: accuracy, or explained variance (r²); and by class."""

    train: float = math.nan  # in evaluation mode
    train_mode: float = math.nan  # on the same samples, in batches and in training mode
    val: float = math.nan
    recalls: tuple[float, ...] = ()  # of each class, on validation
    # score of each validation sample: 1 for a correct class, 1 - error² / variance for a number
    marks: tuple[float, ...] = ()
    shares: tuple[float, ...] = ()  # weight of each sample in the mean recall of the classes


@dataclass(frozen=True)
class ShortTraining:
    """A short training from the start with the learning rate times a factor, and the loss at its end."""

    factor: float
    steps: int
    loss: float
    start: float = math.nan  # loss before the first step, if every step is on the same batch


@dataclass(frozen=True)
class Block:
    """A module that takes what depends on the parameters and returns what does not."""

    layer: str
    kind: str = ""  # of the component that made it; "" if the model did
    name: str = ""


@dataclass(frozen=True)
class NetworkEvidence:
    """Evidence on a network, rebuilt and trained for some steps, and with its trained weights."""

    scores: Scores | None = None  # None: no trained weights, or targets that cannot be scored
    trials: tuple[ShortTraining, ...] = ()  # with other learning rates, and with the run's (factor 1)
    repeated: tuple[ShortTraining, ...] = ()  # the same rates, on one batch; only where no trial lowers the loss
    moved: float = math.nan  # |w - w₀| / |w₀| of all trained weights
    loss_start: float = math.nan  # loss with the initial weights
    loss_right: float = math.nan  # loss of correct predictions
    loss_made: float = math.nan  # loss of the trained network on the same samples
    sums_to_one: bool = False  # True if the predictions of classes are probabilities
    loss_of_certain: float = math.nan  # loss of correct predictions with probability 1
    cut: float = 0.0  # share of exact zeros in the output
    curvature: float = math.nan  # the Hessian's largest eigenvalue, at the initial weights
    plain_steps: bool = False  # a step is -lr times the gradient
    batch_statistics: tuple[str, ...] = ()  # modules that normalize over the batch
    batch_numbers: int = 0  # smallest number of values that they average over
    company: float = 0.0  # relative effect of the other samples in the batch on a prediction in evaluation mode
    unreached: tuple[str, ...] = ()  # trainable parameters without a gradient
    block: Block | None = None  # the first module that passes no gradient back, if parameters are unreached
    weighted: tuple[str, ...] = ()  # modules with weights, in the order of computation
    step_s: float = math.nan  # seconds of a forward and backward pass of a batch
    step4_s: float = math.nan  # seconds of one with four times as many samples


@dataclass(frozen=True)
class RunEvidence:
    """All evidence on a run; unknown values are empty, None or nan."""

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
    missing: tuple[str, ...] = ()  # parts that could not be examined, with reasons

    def curve(self, metric: str) -> list[float]:
        """Return a metric's values by epoch."""
        return [value for _, value in self.history.get(metric, ())]

    def layers(self, quantity: str) -> Mapping[str, Series]:
        """Return {layer: [(step, value)]} of a quantity."""
        return self.measured.get(quantity, {})

    def first(self, quantity: str) -> dict[str, tuple[int, float]]:
        """Return {layer: (step, value)} of the initial network.

        A diagnostic measures for the first time after one step. That value stands for the initial network if none is
        better, unless the step has changed the weights by much.
        """
        firsts = {layer: series[0] for layer, series in self.layers(quantity).items() if series}
        if self.net is not None:
            return {layer: (step, value) for layer, (step, value) in firsts.items() if step == 0}
        return {} if self.leap > LEAP else firsts

    @property
    def leap(self) -> float:
        """Largest relative change of a layer's weights in the first measured step; 0 if unknown."""
        return max((series[0][1] for series in self.layers(UPDATE).values() if series), default=0.0)

    def last(self, quantity: str) -> dict[str, tuple[int, float]]:
        """Return {layer: (step, value)} of the last measurement."""
        return {layer: series[-1] for layer, series in self.layers(quantity).items() if series}

    @property
    def lr(self) -> float:
        """The configured learning rate; nan if the optimizer has none."""
        value = self.config.get("optimizer", {}).get("lr")
        return float(value) if isinstance(value, (int, float)) else math.nan

    @property
    def steps(self) -> int:
        """Number of optimizer steps."""
        return int(self.time.get("steps", 0) or 0)

    def lag(self, score: str = "train") -> float:
        """Return the missing share of the attainable score: 0 none, 1 no better than a constant, nan if unknown.

        1 for a diverged run.
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
        """Return the lag of the training score behind baseline estimators on held-out training samples.

        If these learn nothing, the lag is 0 for a network that is no worse than a constant.
        """
        if math.isnan(data.attained) or math.isnan(scores.train):
            return self._stagnation()
        if not data.learnable:
            return 0.0 if scores.train >= data.floor_train - max(0.05, 2 * data.error_train) else 1.0
        return _missing(data.attained - data.error_train, scores.train, data.floor_train)

    def _lag_val(self, data: DataEvidence, scores: Scores) -> float:
        """Return the lag of the validation score; differences within the standard error do not count."""
        if math.isnan(data.reference) or math.isnan(scores.val):
            return self._stagnation()
        if data.reference - data.floor < max(0.05, data.error):
            return 0.0 if scores.val >= data.floor - max(0.05, 2 * data.error) else 1.0
        return _missing(data.reference - data.error, scores.val, data.floor)

    def _stagnation(self) -> float:
        """Return the share of the initial loss that is left, where no score is known; nan if it has no meaning."""
        losses = self.curve("train/loss")
        start = self.net.loss_start if self.net is not None and math.isfinite(self.net.loss_start) else math.nan
        first = start if math.isfinite(start) else (losses[0] if losses else math.nan)
        if not losses or not math.isfinite(first) or first <= 0 or not math.isfinite(losses[-1]):
            return math.nan
        return min(1.0, max(0.0, losses[-1] / first))


def _missing(best: float, made: float, floor: float) -> float:
    return min(1.5, max(0.0, (best - made) / max(best - floor, 1e-9)))


def score_error(target: str, score: float, n: int) -> float:
    """Return the standard error of an accuracy (Agresti and Coull, never 0) or of r² (Olkin and Finn) of n samples."""
    if n <= 0 or math.isnan(score):
        return 0.0
    if target == "real":
        return 2 * math.sqrt(max(score, 0.05)) * max(0.0, 1 - score) / math.sqrt(n)
    share = (score * n + 2) / (n + 4)
    return math.sqrt(max(0.0, share * (1 - share)) / n)
