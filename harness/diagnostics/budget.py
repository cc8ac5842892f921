"""How often to measure, so that all measurements together cost no more than a share of the training time."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

LOOKS = 100  # in a run, where a diagnostic does not say how often
CLOCKED = 0.6  # of a budget is given out: what a look leaves behind, as cold caches and pages, no clock tells apart
EPOCHS = 0.5  # of that may go to what is measured at epochs; the rest is for looks at steps


@dataclass
class Cost:
    """What one diagnostic has cost, in seconds."""

    interval: int  # steps, as asked for
    widened: int  # steps, as the budget allows
    next: int = 0  # the step at which it is due
    spent: float = 0.0
    latest: float = 0.0
    looks: int = 0


class Budget:
    """Decides at which steps which diagnostics are due. `share` is of the time of training without them."""

    def __init__(self, every: Mapping[str, int], share: float, steps: int) -> None:
        self.share, self.steps = CLOCKED * share, steps
        self.epochs = 0.0  # seconds that measurements of epochs have cost
        self.latest_epoch = 0.0
        usual = max(1, steps // LOOKS)
        self.costs = {name: Cost(interval or usual, interval or usual) for name, interval in every.items()}
        self.next = 0 if self.costs else NEVER

    @property
    def spent(self) -> float:
        """Seconds, all together."""
        return self.epochs + sum(cost.spent for cost in self.costs.values())

    def due(self, step: int, elapsed: float) -> list[str]:
        """What to measure at a step, `elapsed` seconds after the first one began, measurements included.

        The first step is always measured, and the last where the budget has something left for it: between them, what
        the last will cost is kept back.
        """
        trained = elapsed - self.spent
        last = step == self.steps - 1
        names = [name for name, cost in self.costs.items() if step >= cost.next or (last and cost.looks)]
        wanted = sum(self.costs[name].latest for name in names)
        kept = 0.0 if last else sum(cost.latest for cost in self.costs.values())
        missing = self.spent + wanted + kept - self.share * trained
        if step and missing > 0:
            wait = math.ceil(missing / self.share / (trained / step)) if self.share and trained > 0 else NEVER
            for name in names:
                cost = self.costs[name]
                cost.next = _multiple(cost.widened, step + max(1, wait))
            names = []
            self._plan()
        return names

    def measured(self, costs: Mapping[str, float], step: int, elapsed: float) -> None:
        """Notes what some measurements cost at a step, and when they are due again."""
        for name, seconds in costs.items():
            cost = self.costs[name]
            cost.spent += seconds
            # the first look at anything warms up what the others find warm
            cost.latest = seconds if cost.looks else seconds / 2
            cost.looks += 1
        trained = max(elapsed - self.spent, 1e-9)
        step_s = trained / (step + 1)
        known = {name: cost for name, cost in self.costs.items() if cost.looks}
        found = widened(
            {name: cost.latest for name, cost in known.items()},
            {name: cost.interval for name, cost in known.items()},
            step_s,
            max((1 - EPOCHS) * self.share, self.share - self.epochs / trained),
        )
        for name, cost in known.items():
            cost.widened = found[name]
            if name in costs:
                cost.next = _multiple(cost.widened, step + 1)
        self._plan()

    def epoch_due(self, epoch: int, elapsed: float) -> bool:
        """Whether to measure at the end of an epoch: of the first, and then as often as a part of the budget allows."""
        allowed = EPOCHS * self.share * (elapsed - self.spent)
        return epoch == 0 or self.epochs + self.latest_epoch <= allowed

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


def widened(costs: Mapping[str, float], intervals: Mapping[str, int], step_s: float, share: float) -> dict[str, int]:
    """The intervals times powers of two, so that measurements of these costs take at most a share of the time.

    What is cheap keeps its interval, and what is dear shares evenly what is left. Powers of two: what several
    measurements need is then made for them at the same steps.

    >>> widened({"cheap": 0.001, "dear": 0.1}, {"cheap": 10, "dear": 10}, step_s=0.01, share=0.06)
    {'cheap': 10, 'dear': 320}
    """
    if not costs:
        return {}
    if share <= 0:
        return dict.fromkeys(costs, NEVER)
    rates = {name: cost / (intervals[name] * step_s) for name, cost in costs.items()}  # shares of the time
    left, cap = share, math.inf
    ordered = sorted(rates.values())
    for place, rate in enumerate(ordered):
        even = left / (len(ordered) - place)
        if rate > even:
            cap = even
            break
        left -= rate
    found = {}
    for name, rate in rates.items():
        times = rate / cap if rate > cap else 1.0
        found[name] = intervals[name] * 2 ** max(0, math.ceil(math.log2(times) - 1e-9)) if times < NEVER else NEVER
    return found
