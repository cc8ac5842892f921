"""Simulation of the error rates, the coverage and the power of `harness.analysis.stats`.

    $ python -m tests.analysis.stats.simulation  # prints the table of the docs, in two or three minutes

Each experiment draws thousands of studies with fixed seeds, decides each with the functions that harness uses, and
counts. Its results carry the range that they must lie in; `test_simulation.py` asserts it. Rows marked "control" are
methods that harness does not use: they show that an experiment can fail.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from harness.analysis.stats.completion import wins
from harness.analysis.stats.datasets import over_data_sets, over_new_data
from harness.analysis.stats.looks import spend
from harness.analysis.stats.multiple import holm
from harness.analysis.stats.paired import ALPHA, equivalence, estimate, sign_test, units_needed
from harness.analysis.stats.tuning_curves import tuning_curve
from tests.analysis.stats.draws import (
    Floats,
    again,
    arms_drawn,
    exchanged,
    generator,
    median_of_best,
    normal,
    recorded,
    resampled,
    rounded,
    skewed,
    tied,
    trials,
)

Level = Callable[[int, int], float]  # (units at this look, units at the last one) to the error rate of the look

SIZES = (5, 10, 30)
LOOKS = (5, 10, 15, 20, 30)
EACH_SEED = tuple(range(3, 31))
PLANNED = 30
ARMS = 6


@dataclass(frozen=True)
class Result:
    """A figure of an experiment.

    Attributes:
        what: The figure.
        design: The studies that were drawn.
        value: The figure measured.
        low: Smallest value allowed.
        high: Largest value allowed.
        digits: Decimals to print.
        n: Number of pairs, where an experiment has several.
    """

    what: str
    design: str
    value: float
    low: float = -np.inf
    high: float = np.inf
    digits: int = 3
    n: int | None = None

    @property
    def holds(self) -> bool:
        """Return True if the value is in the required range."""
        return self.low <= self.value <= self.high

    @property
    def required(self) -> str:
        """Return the required range as text."""
        if np.isfinite(self.low) and np.isfinite(self.high):
            return f"{self.low:g} to {self.high:g}"
        if np.isfinite(self.high):
            return f"at most {self.high:g}"
        return f"at least {self.low:g}" if np.isfinite(self.low) else ""


# One comparison


def covers(d: Floats, mean: float, resolution: float) -> float:
    """Return the share of studies whose interval covers the mean."""
    found = [estimate(x, resolution=resolution) for x in d]
    return float(np.mean([e.low <= mean + 1e-12 and mean - 1e-12 <= e.high for e in found]))


def coverage() -> Iterator[Result]:
    """Cover the mean with the 95% interval."""
    what, studies = "coverage of the 95% interval", 10_000
    for n in SIZES:
        d = normal(generator(n), studies, n)
        yield Result(what, "normal", covers(d, 0, 0), 0.94, 0.96, n=n)
        found = []
        for i, (a, b) in enumerate(itertools.combinations([c for c in recorded() if not c.endswith("again")][:4], 2)):
            draw, mean = resampled(a, b)
            found.append(covers(draw(generator(100 * n + i), studies, n), mean, 1 / 360))
        yield Result(what, "recorded accuracies, lowest of 6 pairs of arms", min(found), 0.93, 0.96, n=n)
        yield Result(what, "recorded accuracies, highest of 6 pairs of arms", max(found), 0.93, 0.96, n=n)
        draw, mean = resampled("wine relu", "wine tanh")
        few = draw(generator(n + 1), studies, n)
        yield Result(what, "recorded accuracies on 36 samples", covers(few, mean, 1 / 36), n=n)
        yield Result(what, "skewed (log-normal)", covers(skewed(generator(n + 2), studies, n), 0, 0), n=n)
        yield Result(what, "80% ties", covers(tied(generator(n + 3), studies, n), 0, 1 / 36), n=n)


def bootstrap() -> Iterator[Result]:
    """Cover the mean with bootstrap intervals, which harness does not offer."""
    for n in SIZES:
        rng = generator(n)
        percentile, bca = [], []
        for x in normal(rng, 2_000, n):
            means = np.sort(x[rng.integers(0, n, (1_000, n))].mean(axis=1))
            percentile.append(_covers_zero(means, 0.025, 0.975))
            bias = ndtri(np.clip(np.searchsorted(means, x.mean()) / 1_000, 1e-3, 1 - 1e-3))
            left = (x.mean() - x) / (n - 1)  # of jackknife means
            skew = -(left**3).sum() / (6 * (left**2).sum() ** 1.5)
            z = bias + np.array([-1.96, 1.96])
            bca.append(_covers_zero(means, *ndtr(bias + z / (1 - skew * z))))
        yield Result("coverage of the percentile bootstrap (control)", "normal", float(np.mean(percentile)), n=n)
        yield Result("coverage of the BCa bootstrap (control)", "normal", float(np.mean(bca)), high=0.945, n=n)


def _covers_zero(means: Floats, low: float, high: float) -> bool:
    ends = np.quantile(means, [low, high])
    return bool(ends[0] <= 0 <= ends[1])


def first_call(d: Floats, looks: Sequence[int], level: Level, resolution: float = 0.0) -> tuple[int, int]:
    """Return the number of units at the look that calls a difference, and its sign; (0, 0) if none does."""
    before = 0
    for n in looks:
        e = estimate(d[:n], resolution=resolution)
        if e.p <= level(n, before):
            return n, 1 if e.mean > 0 else -1
        before = n
    return 0, 0


def spent(n: int, before: int) -> float:
    """Return the error rate that harness spends on a look."""
    return spend(n, before, PLANNED)


def naive(n: int, before: int) -> float:
    """Return .05 at every look."""
    del n, before
    return ALPHA


def called(d: Floats, looks: Sequence[int], level: Level, resolution: float = 0.0) -> float:
    """Return the share of studies that call a difference."""
    return float(np.mean([first_call(x, looks, level, resolution)[0] > 0 for x in d]))


def equal_arms() -> Iterator[Result]:
    """Call a difference between two equal arms."""
    what, studies = "equal arms called different", 10_000
    for n in SIZES:
        yield Result(what, "normal", called(normal(generator(n), studies, n), [n], naive), high=0.062, n=n)
        same = again(generator(n), studies, n)
        yield Result(what, "recorded twice", called(same, [n], naive, 1 / 360), high=0.062, n=n)
        skew = called(exchanged(generator(n), studies, n), [n], naive)
        yield Result(what, "difference of two log-normal arms", skew, high=0.062, n=n)
        yield Result(what, "80% ties", called(tied(generator(n), studies, n), [n], naive, 1 / 36), high=0.062, n=n)
    listed = ", ".join(map(str, LOOKS))
    d = normal(generator(1), studies, 30)
    yield Result(what, f"normal, looks at {listed}", called(d, LOOKS, spent), high=0.055)
    yield Result(f"{what}, each look at .05 (control)", f"normal, looks at {listed}", called(d, LOOKS, naive), low=0.12)
    same = called(again(generator(2), studies, 30), LOOKS, spent, 1 / 360)
    yield Result(what, f"recorded twice, looks at {listed}", same, high=0.055)
    few = called(tied(generator(2), studies, 30), LOOKS, spent, 1 / 36)
    yield Result(what, f"80% ties, looks at {listed}", few, high=0.055)
    d = d[:4_000]
    yield Result(what, "normal, looks at each seed from 3", called(d, EACH_SEED, spent), high=0.055)
    each = called(d, EACH_SEED, naive)
    yield Result(f"{what}, each look at .05 (control)", "normal, looks at each seed from 3", each, low=0.2)


def called_while_adding(d: Floats, near: int, far: int) -> bool:
    """Return True if a difference is called where seeds are added, `near` of them if p < .2 and `far` otherwise."""
    n, before, e = 5, 0, estimate(d[:5])
    while e.p > spent(n, before) and n < PLANNED:
        before, n = n, min(PLANNED, n + (near if e.p < 0.2 else far))
        e = estimate(d[:n])
    return e.p <= spent(n, before)


def chosen_looks() -> Iterator[Result]:
    """Call a difference between equal arms if the number of seeds to add follows from the last p-value."""
    what, d = "equal arms called different", normal(generator(5), 6_000, PLANNED)
    for near, far in ((1, 5), (2, 25), (10, 2)):
        design = f"normal, {near} more seeds after a look with p < .2, {far} after another"
        yield Result(what, design, float(np.mean([called_while_adding(x, near, far) for x in d])), high=0.055)
    hidden = [any(estimate(x[:n]).p <= spent(n, 0) for n in range(5, PLANNED + 1)) for x in d[:3_000]]
    design = "normal, a first report at the best moment from 5 seeds"
    yield Result(f"{what}, looks that harness does not see (control)", design, float(np.mean(hidden)), low=0.1)


def power() -> Iterator[Result]:
    """Settle a difference that exists."""
    d = normal(generator(1), 10_000, 30) + 0.8
    for looks, least in ((LOOKS, 0.92), ((5, 10, 15, 20, 25, 30), 0.9)):
        found = [first_call(x, looks, spent) for x in d]
        design = f"d = .8 sd, looks at {', '.join(map(str, looks))} until settled"
        yield Result("power", design, float(np.mean([sign > 0 for _, sign in found])), low=least)
        yield Result("mean number of seeds", design, float(np.mean([n or 30 for n, _ in found])), high=19, digits=1)
    early = normal(generator(2), 10_000, 5) + 2
    yield Result("power", "d = 2 sd, a look at 5 of 30 planned", called(early, [5], spent), low=0.7)
    yield Result("power", "d = 2 sd, n = 5, no further look planned", called(early, [5], naive), low=0.88)


def needed() -> Iterator[Result]:
    """Number the seeds needed to settle d = .5 sd, from a first look at 10; 34 with the true deviation."""

    def level(n: int) -> float:
        return ALPHA

    first = [estimate(x) for x in normal(generator(1), 4_000, 10) + 0.5]
    for what, margin in (
        ("seeds needed, from the stated margin", lambda e: 0.5),
        ("seeds needed, from the observed effect (control)", lambda e: abs(e.mean)),
    ):
        numbers = [units_needed(e.sd, margin(e), level) or 100_000 for e in first]
        for name, q in (("lower", 0.25), ("upper", 0.75)):
            design = f"{name} quartile, d = .5 sd, 10 seeds seen; 34 are right"
            low, high = (20, 50) if "margin" in what else (-np.inf, 20) if q < 0.5 else (75, np.inf)
            yield Result(what, design, float(np.quantile(numbers, q)), low, high, digits=0)


def equal_within_margin() -> Iterator[Result]:
    """Call two arms equal within a margin."""
    studies, margin = 10_000, 1.0
    for n in (10, 30):
        d = normal(generator(n), studies, n)
        p = [equivalence(estimate(x + margin), margin) for x in d]
        what = "called equal"
        yield Result(what, "d = margin", float(np.mean(np.array(p) <= ALPHA)), high=0.055, n=n)
        p = [equivalence(estimate(x), margin) for x in d]
        yield Result(what, "d = 0, margin 1 sd", float(np.mean(np.array(p) <= ALPHA)), low=0.75, n=n)
    d = normal(generator(1), studies, 30)
    listed = ", ".join(map(str, LOOKS))
    for shift, name, low, high in ((margin, "d = margin", -np.inf, 0.055), (0.0, "d = 0, margin 1 sd", 0.9, np.inf)):
        levels = [spent(n, before) for n, before in zip(LOOKS, (0, *LOOKS), strict=False)]
        hits = [
            any(equivalence(estimate(x[:n] + shift), margin) <= level for n, level in zip(LOOKS, levels, strict=True))
            for x in d
        ]
        yield Result("called equal", f"{name}, looks at {listed}", float(np.mean(hits)), low, high)


# Several arms


def p_values(x: Floats) -> Floats:
    """Return the p-value of each pair of arms `[arms, arms]`."""
    p = np.ones((len(x), len(x)))
    for i, j in itertools.combinations(range(len(x)), 2):
        p[i, j] = p[j, i] = estimate(x[i] - x[j]).p
    return p


def rejects(p: Floats, level: float, baseline: int | None) -> bool:
    """Return True if Holm's procedure rejects a comparison with the baseline, or of any pair without one."""
    family = p[np.triu_indices(len(p), 1)] if baseline is None else np.delete(p[baseline], baseline)
    return bool(holm(family, level)[0].any())


def family_error() -> Iterator[Result]:
    """Call a difference among six equal arms."""
    what = "a difference called among 6 equal arms"
    for name, top in (("deviations 1 to 1", 1), ("deviations 1 to 3", 3)):
        deviations = np.linspace(1, top, ARMS)
        for n in SIZES:
            hits = []
            for x in arms_drawn(generator(100 * top + n), 4_000, n, deviations):
                p = p_values(x)
                best = int(x.mean(axis=1).argmax())
                hits.append([rejects(p, ALPHA, baseline) for baseline in (0, ARMS - 1, None, best)])
            first, last, pairs, best_error = np.mean(hits, axis=0)
            yield Result(f"{what}: Holm, a baseline named", name, max(first, last), high=0.062, n=n)
            yield Result(f"{what}: Holm, all pairs", name, pairs, high=0.062, n=n)
            yield Result(f"{what}: Holm, against the best by chance (control)", name, best_error, low=0.062, n=n)
    hits = []
    for x in arms_drawn(generator(7), 2_000, 30, np.linspace(1, 3, ARMS)):
        levels = [spent(n, before) for n, before in zip(LOOKS, (0, *LOOKS), strict=False)]
        ps = [p_values(x[:, :n]) for n in LOOKS]
        hits.append([any(map(rejects, ps, levels, [baseline] * len(LOOKS))) for baseline in (0, None)])
    named, pairs = np.mean(hits, axis=0)
    design = f"deviations 1 to 3, looks at {', '.join(map(str, LOOKS))}"
    yield Result(f"{what}: Holm, a baseline named", design, named, high=0.055)
    yield Result(f"{what}: Holm, all pairs", design, pairs, high=0.055)


def joint_coverage() -> Iterator[Result]:
    """Cover every difference of a family by its printed interval, at the rate that Holm's procedure gave it."""
    n, effects = 10, np.array([0.0, 1, 2, 3, 4, 5]) * 3
    joint, single = [], []
    for x in arms_drawn(generator(1), 4_000, n, [1.0] * ARMS):
        d = (x + effects[:, None])[1:] - x[0]
        _, divisor = holm([estimate(row).p for row in d])
        found = [estimate(row, ALPHA / k) for row, k in zip(d, divisor, strict=True)]
        hit = [e.low <= effect <= e.high for e, effect in zip(found, effects[1:], strict=True)]
        joint.append(all(hit))
        single.append(np.mean(hit))
    design = "6 arms that all differ, against the first, n = 10"
    yield Result("coverage of a printed interval, Holm", design, float(np.mean(single)), low=0.95)
    yield Result("coverage of all printed intervals at once, Holm", design, float(np.mean(joint)))


# Several data sets


def several_data_sets() -> Iterator[Result]:
    """Call a difference over data sets that have effects of their own, mean 0."""
    what = "equal arms called different over data sets"
    rng = generator(1)
    for sets in (4, 8, 20):
        by_set, pooled = [], []
        for _ in range(5_000):
            seeds = rng.integers(5, 31, sets)  # unequal numbers of seeds
            d = [2 * rng.standard_normal() + rng.standard_normal(n) for n in seeds]
            by_set.append(over_data_sets([x.mean() for x in d]).p <= ALPHA)
            pooled.append(estimate(np.concatenate(d)).p <= ALPHA)
        design = f"{sets} data sets with effects of 2 sd, 5 to 30 seeds"
        yield Result(f"{what}: t of data-set means", design, float(np.mean(by_set)), high=0.062)
        yield Result(f"{what}: runs pooled (control)", design, float(np.mean(pooled)), low=0.4)


def new_data() -> Iterator[Result]:
    """Cover the difference on new data from splits that share their samples."""
    train, test = 800, 200
    share = test / (train + test)  # correlation of the differences of two splits
    for n in (10, 30):
        rng = generator(n)
        common = np.sqrt(share) * rng.standard_normal((10_000, 1))
        d = common + np.sqrt(1 - share) * rng.standard_normal((10_000, n))
        found = [over_new_data(x, train, test) for x in d]
        covered = float(np.mean([e.low <= 0 <= e.high for e in found]))
        design = f"splits with correlation {share:g}"
        yield Result("coverage on new data: Nadeau-Bengio", design, covered, 0.94, 0.96, n=n)
        yield Result("coverage on new data: plain t (control)", design, covers(d, 0, 0), high=0.85, n=n)


# Runs that fail


def verdict(ours: Sequence[float | None], others: Sequence[float | None]) -> int:
    """Return 1 if our arm is called better, -1 if worse, 0 if it is not settled."""
    if None in ours or None in others:
        won, lost, _ = wins(ours, others, True)
        return int(np.sign(won - lost)) if sign_test(won, lost) <= ALPHA else 0
    return _verdict_of_pairs(ours, others)


def _verdict_of_pairs(ours: Sequence[float | None], others: Sequence[float | None]) -> int:
    d = [x - y for x, y in zip(ours, others, strict=True) if x is not None and y is not None]
    if len(d) < 2:
        return 0
    e = estimate(d)
    return int(np.sign(e.mean)) if e.p <= ALPHA else 0


def failures() -> Iterator[Result]:
    """Compare an arm whose runs fail with one that is otherwise equal."""
    threshold, n = float(ndtri(0.4)), 60
    for name, worst in (("in its worst 40% of runs", True), ("in 40% of runs at random", False)):
        ours, dropped = [], []
        rng = generator(worst)
        for _ in range(4_000):
            x, y = rng.standard_normal((2, n))
            fails = x < threshold if worst else rng.random(n) < 0.4
            arm = [None if bad else float(v) for v, bad in zip(x, fails, strict=True)]
            ours.append(verdict(arm, list(y)))
            dropped.append(_verdict_of_pairs(arm, list(y)))
        design = f"fails {name}, otherwise equal, n = {n}"
        yield Result("failing arm called better", design, float(np.mean(np.array(ours) > 0)), high=0.025)
        yield Result("failing arm called worse", design, float(np.mean(np.array(ours) < 0)), low=0.1 if worst else 0.7)
        better = float(np.mean(np.array(dropped) > 0))
        low = 0.5 if worst else -np.inf
        yield Result("failing arm called better, failed runs dropped (control)", design, better, low=low)
    rng, hits = generator(3), []
    for _ in range(10_000):
        x = rng.standard_normal((2, 20))
        a, b = ([None if v < ndtri(0.05) else float(v) for v in row] for row in x)
        hits.append(verdict(a, b) != 0)
    design = "both fail in their worst 5% of runs, n = 20"
    yield Result("equal arms called different", design, float(np.mean(hits)), high=0.055)


# Tuning curves


def tuning_curves() -> Iterator[Result]:
    """Hold the median of the best of 1 to n trials in the band, at every budget at once."""
    designs: dict[str, Callable[[Floats], Floats]] = {
        "random search": np.asarray,
        "random search, accuracies on 20 samples": rounded,
    }
    for (design, measured), n in itertools.product(designs.items(), (8, 32)):
        truth = measured(median_of_best(n))
        curves = [tuning_curve(x, support=(0, 1)) for x in measured(trials(generator(n), 2_000, n))]
        inside = [np.all((curve.low <= truth) & (truth <= curve.high)) for curve in curves]
        yield Result("tuning curve in its band at every budget", design, float(np.mean(inside)), low=0.95, n=n)
    for n in (8, 32):
        bands = [bootstrap_band(x, generator(n)) for x in trials(generator(n), 500, n)]
        inside = [np.all((low <= median_of_best(n)) & (median_of_best(n) <= high)) for low, high in bands]
        share = float(np.mean(inside))
        yield Result("tuning curve in a bootstrap band (control)", "random search", share, high=0.8, n=n)
    for n in (8, 32):
        arms = zip(trials(generator(n), 2_000, n), trials(generator(n + 1), 2_000, n), strict=True)
        pairs = [[tuning_curve(x, coverage=1 - ALPHA / 2, support=(0, 1)) for x in pair] for pair in arms]
        apart = [np.any((a.low > b.high) | (b.low > a.high)) for a, b in pairs]
        share = float(np.mean(apart))
        yield Result("bands of two equal arms apart at any budget", "random search", share, high=0.05, n=n)


def bootstrap_band(scores: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Return the percentile bootstrap interval of the median of the best, at each budget."""
    n = len(scores)
    resamples = np.sort(rng.choice(scores, (1_000, n)), axis=1)
    places = np.ceil(n * 0.5 ** (1 / np.arange(1, n + 1)) - 1e-12).astype(int) - 1
    low, high = np.quantile(resamples[:, places], (ALPHA / 2, 1 - ALPHA / 2), axis=0)
    return low, high


EXPERIMENTS = (
    coverage,
    bootstrap,
    equal_arms,
    chosen_looks,
    power,
    needed,
    equal_within_margin,
    family_error,
    joint_coverage,
    several_data_sets,
    new_data,
    failures,
    tuning_curves,
)


def table(results: Iterable[Result]) -> str:
    """Return results as a Markdown table, with the numbers of pairs of an experiment in one row."""
    rows: dict[tuple[str, str, str], list[Result]] = {}
    for result in results:
        rows.setdefault((result.what, result.design, result.required), []).append(result)
    lines = ["| figure | studies | measured | required |", "| --- | --- | --- | --- |"]
    for (what, design, required), found in rows.items():
        sizes = ", ".join(str(result.n) for result in found if result.n)
        studies = f"{design}, n = {sizes}" if sizes else design
        values = ", ".join(f"{result.value:.{result.digits}f}" for result in found)
        lines.append(f"| {what} | {studies} | {values} | {required} |")
    return "\n".join(lines)


if __name__ == "__main__":
    every = [result for experiment in EXPERIMENTS for result in experiment()]
    print(table(every))
    sys.exit(not all(result.holds for result in every))
