"""Check whether advice helps: runs with and without it, on seeds and splits that the doctor has not seen.

The criterion was fixed before any of these cases was judged:

- Every advice that the doctor gives counts, whether or not the trouble that it names is the one that was planted. A
  run that it should leave alone is among the cases for that reason.
- SEEDS fresh pairs: both runs of a pair have the same fresh `seed` and `split.seed`, and are compared on test, which
  the doctor never looks at. A gain is a difference of accuracies (for imbalance, of balanced accuracies, which is what
  that advice promises), or the logarithm of a ratio of errors. A run that diverged or failed has accuracy 0, or ten
  times the other's error.
- Advice is worse if the mean gain is below minus MARGIN *and* its 95% t interval lies below 0. The margins are the
  least gain for which the doctor gives advice (0.01 of an accuracy, and as much of an r²: about a twentieth of an
  error); what is less is nothing that a user would act on, and what the interval holds is chance.
- Beside it, `lower` counts what has a mean below minus MARGIN whatever its interval: the upper end of what is worse.
"""

# ruff: noqa: E501  # a case is a line

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t

from harness_doctor.finding import Finding
from harness_doctor.rules.data import IMBALANCE
from harness_doctor.trying import with_tries
from tests.plugins.doctor.bench import Look, Run, higher
from tests.plugins.doctor.case import Case, cases, trained

SEEDS = 5
MARGIN = {True: 0.01, False: math.log(1.05)}  # by `higher_is_better`
TIMES = math.log(10)  # times the other's error, for a run without one
DRAWS = 5000  # of the judged tables
FRESH = 9000  # no other case uses seeds from here on


@dataclass(frozen=True)
class Advice:
    """Advice on a run, and its gains on fresh seeds and splits."""

    case: Case
    trouble: str
    tries: tuple[str, ...]
    outcome: str
    metric: str
    gains: tuple[float, ...]

    @property
    def margin(self) -> float:
        return MARGIN[higher(self.metric, {})]

    @property
    def interval(self) -> tuple[float, float]:
        """Return the 95% t interval of the mean gain."""
        return interval(self.gains)

    @property
    def lower(self) -> bool:
        """Return True if the mean gain is a relevant loss, significant or not."""
        return float(np.mean(self.gains)) < -self.margin

    @property
    def worse(self) -> bool:
        """Return True if the mean gain is a relevant and significant loss."""
        return self.lower and self.interval[1] < 0

    @property
    def better(self) -> bool:
        """Return True if the mean gain is relevant and significant."""
        return float(np.mean(self.gains)) > self.margin and self.interval[0] > 0


def interval(gains: Sequence[float]) -> tuple[float, float]:
    """Return the 95% t interval of a mean.

    >>> tuple(round(end, 3) for end in interval([1.0, 2.0, 3.0]))
    (-0.484, 4.484)
    """
    half = float(t.ppf(0.975, len(gains) - 1)) * float(np.std(gains, ddof=1)) / math.sqrt(len(gains))
    return float(np.mean(gains)) - half, float(np.mean(gains)) + half


def given(findings: Iterable[Finding]) -> Finding | None:
    """Return the first finding with overrides to try, an accusation or a hint, or None."""
    return next((finding for finding in findings if finding.tries), None)


def advised(made: Iterable[Case], look: Look) -> Iterator[tuple[Case, Run, Advice | None]]:
    """Yield the cases, each with its first advice tried on fresh seeds."""
    for case in made:
        run = look(case.words)
        result = given(run.findings)
        yield case, run, None if result is None else tried(case, result)


def tried(case: Case, finding: Finding) -> Advice:
    """Try advice on fresh seeds and splits."""
    gains, metric = [], ""
    for seed in range(FRESH, FRESH + SEEDS):
        fresh = [f"seed={seed}", f"split.seed={seed}", "diagnostic=[]"]
        if finding.trouble == IMBALANCE:
            fresh += ["metric=[balanced_accuracy]", "objective=val/balanced_accuracy"]
        pair = with_tries(case.words, fresh)
        metric, before = score(pair)
        gains.append(gain(before, score(with_tries(pair, finding.tries))[1], higher(metric, {})))
    return Advice(case, finding.trouble, finding.tries, finding.outcome, metric, tuple(gains))


def score(words: Sequence[str]) -> tuple[str, float]:
    """Return the name of a run's objective and the same metric on test; nan if the run is incomplete."""
    record = trained(words, "advice")
    metric = str(record.config["objective"]).replace("val/", "test/")
    return metric, float(record.metrics.get(metric, math.nan)) if record.status == "completed" else math.nan


def gain(before: float, after: float, higher_is_better: bool) -> float:
    """Return the improvement of a run: a difference of accuracies, or minus the logarithm of a ratio of errors.

    >>> gain(0.5, 0.75, True), round(gain(2.0, 1.0, False), 3), round(gain(math.nan, 1.0, False), 3)
    (0.25, 0.693, 2.303)
    """
    if higher_is_better:
        return (0.0 if math.isnan(after) else after) - (0.0 if math.isnan(before) else before)
    if math.isnan(before) or math.isnan(after):
        return TIMES * (float(math.isnan(before)) - float(math.isnan(after)))
    return min(TIMES, max(-TIMES, math.log(max(before, 1e-30)) - math.log(max(after, 1e-30))))


def held_out(draws: int) -> list[Case]:
    """Cases whose tables are drawn from `draws` on: other draws and generators than those used to set the rules."""
    result = cases(TEMPLATES)
    return [
        Case(case.overrides.replace("DRAW", str(draws + place)) + f" seed={draws + place}", case.trouble)
        for place, case in enumerate(result)
    ]


TEMPLATES = {
    "overfitting": """
      data=drawn data.kind=quantiles data.draw=DRAW data.n=220 data.features=16 data.flip=0.2 model=mlp model.width=256 epochs=120
      data=drawn data.kind=hastie data.draw=DRAW data.n=240 model=mlp model.width=256 epochs=120
      data=drawn data.kind=low_rank data.draw=DRAW data.n=150 data.features=40 data.noise=0.5 model=mlp model.width=256 epochs=150
      data=drawn data.kind=sparse data.draw=DRAW data.n=140 data.features=25 data.noise=0.6 model=mlp model.width=256 epochs=200
      data=rows data.draw=DRAW data.n=160 data.features=60 data.flip=0.25 model=mlp model.width=512 epochs=100
      data=rows data.draw=DRAW data.n=180 data.classes=3 data.features=50 data.flip=0.15 model=mlp model.width=256 epochs=150
      data=amounts data.kind=friedman data.draw=DRAW data.n=120 data.features=20 data.noise=0.7 model=mlp model.width=256 epochs=150
      data=rows data.draw=DRAW data.n=50 data.features=200 data.informative=10 batch_size=8 epochs=40
      data=diabetes model=mlp model.width=384 epochs=150 optimizer.lr=0.003 split.seed=DRAW
    """,
    "underfitting": """
      data=drawn data.kind=quantiles data.draw=DRAW data.n=900 data.features=4 data.classes=3 model=mlp model.depth=0 optimizer.lr=0.02 epochs=60
      data=drawn data.kind=hastie data.draw=DRAW data.n=1200 model=logistic optimizer.lr=0.02 epochs=40
      data=drawn data.kind=checks data.draw=DRAW data.n=900 data.features=4 model=mlp model.depth=0 optimizer.lr=0.02 epochs=60
      data=drawn data.kind=friedman2 data.draw=DRAW data.n=900 data.noise=0.1 model=mlp model.depth=0 optimizer.lr=0.02 epochs=60
      data=drawn data.kind=friedman3 data.draw=DRAW data.n=900 data.noise=0.1 model=mlp model.depth=0 optimizer.lr=0.02 epochs=60
      data=amounts data.kind=pairs data.draw=DRAW data.n=900 data.features=5 model=mlp model.depth=0 optimizer.lr=0.02 epochs=60
      data=rows data.draw=DRAW data.n=1000 data.classes=5 data.features=16 data.informative=8 model=mlp model.width=1 optimizer.lr=0.01 epochs=40
      data=drawn data.kind=quantiles data.draw=DRAW data.n=900 data.features=3 regularizer=[l2] regularizer.l2.strength=1 epochs=40
      data=rows data.draw=DRAW data.clusters=3 data.n=1000 data.flip=0.1 model=logistic optimizer.lr=0.02 epochs=40
    """,
    "label noise": """
      data=drawn data.kind=checks data.draw=DRAW data.n=1200 data.features=4 corruption=[label_noise] corruption.label_noise.p=0.3 model=mlp model.width=256 epochs=100
      data=rows data.draw=DRAW data.n=1300 data.apart=2 corruption=[label_noise] corruption.label_noise.p=0.25 epochs=60
      data=blobs data.classes=4 data.features=8 corruption=[label_noise] corruption.label_noise.p=0.35 epochs=60 split.seed=DRAW
      data=noisy data.name=digits data.p=0.3 epochs=40 split.seed=DRAW
    """,
    "imbalance": """
      data=rows data.draw=DRAW data.n=1500 data.rare=0.05 data.apart=0.7 epochs=15
      data=rows data.draw=DRAW data.n=2000 data.rare=0.03 data.apart=0.8 epochs=15
      data=drawn data.kind=quantiles data.draw=DRAW data.n=1500 data.features=4 data.rare=0.05 epochs=15
      data=drawn data.kind=checks data.draw=DRAW data.n=1500 data.features=3 data.rare=0.05 epochs=20
      corruption=[imbalance] corruption.imbalance.ratio=0.02 epochs=12 split.seed=DRAW
    """,
    "learning rate too high": """
      data=drawn data.kind=quantiles data.draw=DRAW data.features=4 optimizer.lr=0.5 epochs=15
      data=drawn data.kind=friedman2 data.draw=DRAW optimizer.lr=1 epochs=20
      data=drawn data.kind=hastie data.draw=DRAW data.n=900 optimizer=sgd optimizer.lr=10 epochs=15
      data=rows data.draw=DRAW data.classes=3 optimizer=momentum optimizer.lr=3 epochs=15
    """,
    "learning rate too low": """
      data=drawn data.kind=quantiles data.draw=DRAW data.features=4 optimizer.lr=1e-5 epochs=15
      data=drawn data.kind=friedman3 data.draw=DRAW optimizer.lr=3e-6 epochs=20
      data=rows data.draw=DRAW data.classes=3 optimizer=sgd optimizer.lr=1e-4 epochs=15
      data=amounts data.draw=DRAW optimizer=momentum optimizer.lr=1e-5 epochs=20
    """,
    "inputs not scaled": """
      data=drawn data.kind=friedman2 data.draw=DRAW transform=[] epochs=30
      data=rows data.draw=DRAW data.decades=2.5 transform=[] epochs=20
    """,
    "targets not scaled": """
      data=drawn data.kind=friedman3 data.draw=DRAW data.unit=1e4 task=regression task.standardize=false epochs=30
    """,
    "vanishing gradients": """
      data=drawn data.kind=quantiles data.draw=DRAW data.features=4 model=mlp model.depth=7 activation=sigmoid epochs=20
    """,
    "exploding gradients": """
      data=rows data.draw=DRAW model=mlp model.depth=6 initializer=normal initializer.std=0.6 epochs=20
    """,
    "dying ReLU": """
      data=drawn data.kind=hastie data.draw=DRAW initializer=bias_shift initializer.value=-25 epochs=15
    """,
    "symmetric units": """
      data=drawn data.kind=friedman2 data.draw=DRAW initializer=constant initializer.value=0.1 epochs=25
    """,
    "batch too small for the device": """
      batch_size=1 data=drawn data.kind=quantiles data.draw=DRAW data.n=300 data.features=3 optimizer.lr=0.003 epochs=10
    """,
    "": """
      data=rows data.draw=DRAW data.n=500 data.flip=0.2 model=logistic optimizer.lr=0.01 epochs=40
      data=rows data.draw=DRAW data.n=400 data.features=30 data.flip=0.1 epochs=40
      data=rows data.draw=DRAW data.n=1200 data.rare=0.08 data.apart=1.2 epochs=15
      data=drawn data.kind=quantiles data.draw=DRAW data.n=500 data.features=6 data.flip=0.1 epochs=40
      data=drawn data.kind=hastie data.draw=DRAW data.n=600 epochs=30
      data=drawn data.kind=low_rank data.draw=DRAW data.n=300 data.features=20 data.noise=0.3 epochs=60
      data=drawn data.kind=friedman3 data.draw=DRAW data.n=400 data.noise=0.3 epochs=60
      data=amounts data.draw=DRAW data.n=300 data.noise=0.5 epochs=60
      data=amounts data.kind=steps data.draw=DRAW data.n=400 data.noise=0.3 epochs=60
    """,
}
