"""When to measure: at least a dozen looks in a run, and as many more as a share of the training time allows."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

LOOKS = 100  # in a run, where a diagnostic does not say how often
BETWEEN = 10  # looks between the first step and the last that do not depend on the budget
FLOOR_S, FLOOR_SHARE = (
    0.25,
    0.5,
)  # they may take so many seconds, or that share of the training time: the dear are fewer
CLOCKED = 0.6  # of a budget is given out: what a look leaves behind, as cold caches and pages, no clock tells apart
EPOCHS = 0.5  # of that may go to what is measured at epochs; the rest is for looks at steps


@dataclass
class Cost:
    """What one diagnostic has cost, in seconds."""

    interval: int  # steps, as asked for
    widened: int  # steps, as the budget allows, but never more than the minimum of looks needs
    least: int  # steps between two looks of that minimum
    next: int = 0  # the step at which it is due
    last: int = 0  # the step at which it was measured last
    spent: float = 0.0
    latest: float = 0.0
    looks: int = 0


class Budget:
    """Decides at which steps which diagnostics are due. `share` is of the time of training without them.

    Each diagnostic has an account of its own: one that is dear is measured less often, and the others are not.
    """

    def __init__(self, every: Mapping[str, int], share: float, steps: int, epochs: int = 1) -> None:
        self.share, self.steps = CLOCKED * share, steps
        self.level = self.share  # of the training time, that one diagnostic may take
        self.epochs = 0.0  # seconds that measurements of epochs have cost
        self.latest_epoch = 0.0
        self.last_epoch, self.least_epochs = epochs - 1, _spacing(epochs)
        usual = max(1, steps // LOOKS)
        self.costs = {}
        for name, asked in every.items():
            interval = asked or usual
            self.costs[name] = Cost(interval, interval, interval * max(1, _spacing(steps) // interval))
        self.next = 0 if self.costs else NEVER
        self._begun: int | None = None  # the step of the first look: another than 0 where a run is gone on with
        self._step_s = 0.0  # of training, in seconds

    @property
    def spent(self) -> float:
        """Seconds, all together."""
        return self.epochs + sum(cost.spent for cost in self.costs.values())

    def due(self, step: int, elapsed: float) -> list[str]:
        """What to measure at a step, `elapsed` seconds after the first one began, measurements included.

        The first step and the last are always measured, and so are the looks of the minimum. Another look is made
        where the diagnostic's own account can pay for it, and for the last one as well.
        """
        trained = elapsed - self.spent
        last = step == self.steps - 1
        names = []
        for name, cost in self.costs.items():
            if not cost.looks or (last and self.share):
                names.append(name)
                continue
            if step < cost.next:
                continue
            missing = cost.spent + (1 if last else 2) * cost.latest - self.level * trained
            if missing <= 0 or self._promised(cost, step):
                names.append(name)
                continue
            paid = missing / self.level / self._step_s if self.level else NEVER
            self._schedule(cost, step + max(1, math.ceil(min(paid, NEVER))))
        if not names:
            self._plan()
        return names

    def _promised(self, cost: Cost, step: int) -> bool:
        """Whether the next step of its grid would be too late for the minimum of looks."""
        return bool(self.share) and step + cost.widened > cost.last + self._least(cost)

    def _least(self, cost: Cost) -> int:
        """The interval of the minimum of looks, wider for what is dear: the first look, which warms up, cannot tell."""
        if not self.share:
            return NEVER
        if cost.looks < 2:
            return cost.least
        allowed = max(FLOOR_S, FLOOR_SHARE * self._step_s * self.steps)
        between = min(BETWEEN, allowed / cost.latest) if cost.latest > 0 else BETWEEN
        return cost.least * math.ceil(BETWEEN / between) if between >= 1 else NEVER

    def _schedule(self, cost: Cost, wanted: int) -> None:
        """Due on its grid, from a step on; no later than the minimum of looks needs."""
        grid = cost.widened
        latest = (cost.last + self._least(cost)) // grid * grid
        cost.next = min(_multiple(grid, wanted), max(latest, _multiple(grid, cost.last + 1)))

    def measured(self, costs: Mapping[str, float], step: int, elapsed: float) -> None:
        """Notes what some measurements cost at a step, and when they are due again."""
        for name, seconds in costs.items():
            cost = self.costs[name]
            cost.spent += seconds
            # the first look at anything warms up what the others find warm
            cost.latest = seconds if cost.looks else seconds / 2
            cost.looks += 1
            cost.last = step
        trained = max(elapsed - self.spent, 1e-9)
        self._begun = step if self._begun is None else self._begun
        self._step_s = trained / (step + 1 - self._begun)
        known = {name: cost for name, cost in self.costs.items() if cost.looks}
        rates = {name: cost.latest / (cost.interval * self._step_s) for name, cost in known.items()}
        self.level = level(rates, max((1 - EPOCHS) * self.share, self.share - self.epochs / trained))
        for name, cost in known.items():
            cost.widened = min(widened(cost.interval, rates[name], self.level), self._least(cost))
            if name in costs:
                cost.next = _multiple(cost.widened, step + 1)
        self._plan()

    def epoch_due(self, epoch: int, elapsed: float) -> bool:
        """Whether to measure at the end of an epoch: of the first, of the last, of at least ten between them, and as
        often as a part of the budget allows.
        """
        if epoch == 0 or (self.share and (epoch == self.last_epoch or epoch % self.least_epochs == 0)):
            return True
        return self.epochs + self.latest_epoch <= EPOCHS * self.share * (elapsed - self.spent)

    def epoch_measured(self, seconds: float) -> None:
        """Notes what that cost."""
        self.epochs += seconds
        self.latest_epoch = seconds

    def wrote(self, names: Collection[str], seconds: float) -> None:
        """Notes what it cost to write their results down."""
        for name in names:
            self.costs[name].spent += seconds / len(names)
            self.costs[name].latest += seconds / len(names)

    def drop(self, name: str) -> None:
        """A diagnostic that cannot be measured here."""
        del self.costs[name]
        self._plan()

    def _plan(self) -> None:
        upcoming = [cost.next for cost in self.costs.values()]
        self.next = min(upcoming, default=NEVER)
        if self.next > self.steps - 1 and upcoming:
            self.next = self.steps - 1  # the last step is looked at


NEVER = 1 << 62


def _multiple(of: int, least: int) -> int:
    return -(-least // of) * of


def _spacing(steps: int) -> int:
    """The widest interval with which `BETWEEN` looks lie between the first step and the last."""
    return max(1, (steps - 2) // BETWEEN)


def level(rates: Mapping[str, float], share: float) -> float:
    """The most that each may take so that all together take no more than a share: who wants less leaves it to others.

    >>> level({"cheap": 0.01, "dear": 1.0, "dearer": 10.0}, share=0.07)
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
    """An interval times the power of two with which what takes the share `rate` of the time takes at most `level`.

    Powers of two: what several measurements need is then made for them at the same steps.

    >>> widened(10, 0.01, 0.03), widened(10, 1.0, 0.03)
    (10, 640)
    """
    if rate <= level:
        return interval
    times = rate / level if level > 0 else math.inf
    return int(interval * 2 ** max(0, math.ceil(math.log2(times) - 1e-9))) if times < NEVER else NEVER
