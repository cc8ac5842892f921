"""Decide when diagnostics measure: at least a dozen times in a run, and more often as their time budget allows."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

PER_RUN = 100  # measurements in a run, if a diagnostic does not say how often
MINIMUM = 10  # measurements between the first step and the last that do not depend on the budget
# The measurements of the minimum may take so many seconds, or this share of the training time; costly ones are fewer.
FLOOR_S, FLOOR_SHARE = 0.25, 0.5
CLOCKED = 0.6  # share of the budget that is spent: no clock shows the cold caches and pages that a measurement leaves
EPOCHS = 0.5  # share of it for measurements at epochs; the rest is for measurements at steps


@dataclass
class Cost:
    """The schedule of one diagnostic, and its cost in seconds."""

    interval: int  # steps, as requested
    widened: int  # steps, as the budget allows, but no more than the minimum of measurements permits
    minimum_interval: int  # steps between two measurements of the minimum
    next: int = 0  # the step at which it is due
    last: int = 0  # the step of the last measurement
    spent: float = 0.0
    latest: float = 0.0
    count: int = 0  # measurements


class Budget:
    """Decide at which steps and epochs which diagnostics are due.

    Each diagnostic has an account of its own: a costly one is measured less often, and the others are not affected.

    Args:
        every: The requested interval of each diagnostic in steps; 0 if it does not say.
        share: The time that all diagnostics may take, as a share of the time of training without them.
        steps: Optimizer steps of the run.
        epochs: Epochs of the run.
    """

    def __init__(self, every: Mapping[str, int], share: float, steps: int, epochs: int = 1) -> None:
        self.share, self.steps = CLOCKED * share, steps
        self.level = self.share  # share of the training time that one diagnostic may take
        self.epoch_spent = 0.0  # seconds of measurements at epochs
        self.latest_epoch = 0.0  # seconds of the latest
        self.last_epoch, self.minimum_epochs = epochs - 1, _spacing(epochs)
        default = max(1, steps // PER_RUN)
        self.costs = {}
        for name, requested in every.items():
            interval = requested or default
            self.costs[name] = Cost(interval, interval, interval * max(1, _spacing(steps) // interval))
        self.next = 0 if self.costs else NEVER
        self._first_step: int | None = None  # the step of the first measurement: not 0 in a run that is resumed
        self._step_s = 0.0  # seconds of a training step

    @property
    def spent(self) -> float:
        """Seconds of all measurements."""
        return self.epoch_spent + sum(cost.spent for cost in self.costs.values())

    def due(self, step: int, elapsed: float) -> list[str]:
        """Return the diagnostics to measure at a step.

        The first step and the last are always measured, and so is the minimum of measurements. Others are made if the
        diagnostic's own account can pay for them, and for the last one as well.

        Args:
            step: The step, counted from 0.
            elapsed: Seconds since the start of training, measurements included.
        """
        trained = elapsed - self.spent
        last = step == self.steps - 1
        names = []
        for name, cost in self.costs.items():
            if not cost.count or (last and self.share):
                names.append(name)
                continue
            if step < cost.next:
                continue
            missing = cost.spent + (1 if last else 2) * cost.latest - self.level * trained
            if missing <= 0 or self._needed_for_minimum(cost, step):
                names.append(name)
                continue
            steps_to_pay = missing / self.level / self._step_s if self.level else NEVER
            self._postpone(cost, step + max(1, math.ceil(min(steps_to_pay, NEVER))))
        if not names:
            self._update_next()
        return names

    def _needed_for_minimum(self, cost: Cost, step: int) -> bool:
        """Return True if the next step of its grid is too late for the minimum of measurements."""
        return bool(self.share) and step + cost.widened > cost.last + self._longest_interval(cost)

    def _longest_interval(self, cost: Cost) -> int:
        """Return the interval of the minimum of measurements, wider for a costly diagnostic.

        The cost of the first measurement, which warms up, does not count.
        """
        if not self.share:
            return NEVER
        if cost.count < 2:
            return cost.minimum_interval
        allowed = max(FLOOR_S, FLOOR_SHARE * self._step_s * self.steps)
        affordable = min(MINIMUM, allowed / cost.latest) if cost.latest > 0 else MINIMUM
        return cost.minimum_interval * math.ceil(MINIMUM / affordable) if affordable >= 1 else NEVER

    def _postpone(self, cost: Cost, step: int) -> None:
        """Make a diagnostic due on its grid from a step on, but no later than the minimum of measurements needs."""
        grid = cost.widened
        latest = (cost.last + self._longest_interval(cost)) // grid * grid
        cost.next = min(_round_up(step, grid), max(latest, _round_up(cost.last + 1, grid)))

    def measured(self, costs: Mapping[str, float], step: int, elapsed: float) -> None:
        """Add the cost of measurements and schedule the next ones.

        Args:
            costs: Seconds of each diagnostic that was measured.
            step: The step, counted from 0.
            elapsed: Seconds since the start of training, measurements included.
        """
        for name, seconds in costs.items():
            cost = self.costs[name]
            cost.spent += seconds
            # the first measurement warms up caches for the later ones
            cost.latest = seconds if cost.count else seconds / 2
            cost.count += 1
            cost.last = step
        trained = max(elapsed - self.spent, 1e-9)
        self._first_step = step if self._first_step is None else self._first_step
        self._step_s = trained / (step + 1 - self._first_step)
        known = {name: cost for name, cost in self.costs.items() if cost.count}
        rates = {name: cost.latest / (cost.interval * self._step_s) for name, cost in known.items()}
        self.level = level(rates, max((1 - EPOCHS) * self.share, self.share - self.epoch_spent / trained))
        for name, cost in known.items():
            cost.widened = min(widened(cost.interval, rates[name], self.level), self._longest_interval(cost))
            if name in costs:
                cost.next = _round_up(step + 1, cost.widened)
        self._update_next()

    def epoch_due(self, epoch: int, elapsed: float) -> bool:
        """Return True if the end of an epoch is to be measured.

        The first epoch, the last and at least ten between them are measured, and others as a part of the budget allows.
        """
        if epoch == 0 or (self.share and (epoch == self.last_epoch or epoch % self.minimum_epochs == 0)):
            return True
        return self.epoch_spent + self.latest_epoch <= EPOCHS * self.share * (elapsed - self.spent)

    def epoch_measured(self, seconds: float) -> None:
        """Add the cost of measuring an epoch."""
        self.epoch_spent += seconds
        self.latest_epoch = seconds

    def add_write_cost(self, names: Collection[str], seconds: float) -> None:
        """Add the cost of recording the values of some diagnostics, in equal parts."""
        for name in names:
            self.costs[name].spent += seconds / len(names)
            self.costs[name].latest += seconds / len(names)

    def drop(self, name: str) -> None:
        """Remove a diagnostic that cannot be measured."""
        del self.costs[name]
        self._update_next()

    def _update_next(self) -> None:
        upcoming = [cost.next for cost in self.costs.values()]
        self.next = min(upcoming, default=NEVER)
        if self.next > self.steps - 1 and upcoming:
            self.next = self.steps - 1  # the last step is measured


NEVER = 1 << 62


def _round_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


def _spacing(steps: int) -> int:
    """Return the widest interval with `MINIMUM` measurements between the first step and the last."""
    return max(1, (steps - 2) // MINIMUM)


def level(rates: Mapping[str, float], share: float) -> float:
    """Return the most that each of several consumers may take so that together they take no more than a share.

    A consumer that takes less leaves the difference to the others.

    >>> round(level({"cheap": 0.01, "costly": 1.0, "costlier": 10.0}, share=0.07), 6)
    0.03
    """
    left, even = share, share
    for place, rate in enumerate(sorted(rates.values())):
        even = left / (len(rates) - place)
        if rate > even:
            break
        left -= rate
    return even


def widened(interval: int, rate: float, level: float) -> int:
    """Multiply an interval by a power of two, so that a measurement takes at most the share `level` of the time.

    Diagnostics with intervals in powers of two are measured at the same steps, and share their inputs.

    Args:
        interval: The interval in steps.
        rate: The share of the time that the measurement takes with this interval.
        level: The share that it may take.

    >>> widened(10, 0.01, 0.03), widened(10, 1.0, 0.03)
    (10, 640)
    """
    if rate <= level:
        return interval
    factor = rate / level if level > 0 else math.inf
    return int(interval * 2 ** max(0, math.ceil(math.log2(factor) - 1e-9))) if factor < NEVER else NEVER
