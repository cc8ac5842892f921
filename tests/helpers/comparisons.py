"""Comparisons of synthetic studies, for the tests of what renders them.

The numbers come from the formulas of the real thing: paired t intervals, Holm over the pairs, a share of the error rate
for the look. So signs, widths and verdicts fit together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations, product
from statistics import fmean
from typing import Literal

import numpy as np
from scipy import stats

from harness.analysis.comparison.model import (
    Aggregate,
    Arm,
    Chance,
    Comparison,
    Curve,
    Difference,
    Effect,
    Failure,
    Look,
    Metric,
    Sensitivity,
    Table,
    Verdict,
)  # fmt: skip
from tests.helpers.tunings import tuning_of

ACCURACY = Metric("test/accuracy", higher_is_better=True, scale="difference", share=True)
LOSS = Metric("test/loss", higher_is_better=False, scale="ratio")
ENVIRONMENT = {
    "python": "3.12.4", "torch": "2.8.0", "harness": "0.1.0", "device": "cpu", "processor": "AMD EPYC 7763",
}  # fmt: skip
HOSTILE = [
    "<script>alert(1)</script>", "a&b\"c'd", "red\x1b[31mtext", "[red]markup[/red]", r"$_%\input{x}", "\u202eevil",
    "naïve 결과 🦊 with a name that is so long that it does not fit into any column of any table, whatever its width",
]  # fmt: skip
Values = Mapping[str, Mapping[str, float]]  # {arm: {unit: value}}; a unit that is missing did not complete


def one_data_set(arms: int = 4, seeds: int = 10, margin: float | None = None) -> Comparison:
    """Arms of one factor, or of two factors from four arms on, compared by accuracy on one data set."""
    names = ["adam,relu", "adam,tanh", "sgd,relu", "sgd,tanh"] if arms == 4 else [f"adam-{i}" for i in range(arms)]
    effects = np.linspace(0, -0.02, arms) if arms != 4 else [0.0, -0.002, -0.003, -0.018]
    values = {"digits": _accuracies(0, names, effects, seeds, base=0.973, test_size=360)}
    factors = {"optimizer": ["adam", "sgd"], "activation": ["relu", "tanh"]} if arms == 4 else {"optimizer": names}
    return _comparison("ab", ACCURACY, factors, values, margin=margin)


def many_data_sets(data_sets: int = 6, arms: int = 5, seeds: int = 5) -> Comparison:
    """Arms on several data sets, with the comparison over all of them."""
    data = ["digits", "wine", "breast_cancer", "covertype", "iris", "spirals"]
    data += [f"synthetic-{i}" for i in range(6, data_sets)]
    names = ["adamw", "adam", "lion", "sgd", "rmsprop", *(f"optimizer-{i}" for i in range(5, arms))][:arms]
    values = {}
    for i, name in enumerate(data[:data_sets]):
        effects = np.linspace(0, -0.04, arms) + np.random.default_rng(100 + i).normal(0, 0.012, arms)
        values[name] = _accuracies(i + 1, names, effects, seeds, base=0.97 - 0.055 * (i % 6), test_size=200 + 90 * i)
    return _comparison("suite", ACCURACY, {"optimizer": names}, values, seconds=0.8)


def two_factors(seeds: int = 10) -> Comparison:
    """Two factors, between which there is an interaction: tanh suits one initializer only."""
    activations, initializers = ["relu", "tanh", "gelu"], ["he_normal", "orthogonal"]
    names = [f"{a},{i}" for a, i in product(activations, initializers)]
    values = {"digits": _accuracies(7, names, [0, -0.004, -0.03, -0.002, -0.001, -0.003], seeds, 0.966, 360)}
    return _comparison("init", ACCURACY, {"activation": activations, "initializer": initializers}, values)


def with_failures() -> Comparison:
    """Five arms: one diverges on four of ten seeds, one fails on all, one was interrupted once."""
    names = ["adam", "adamw", "sgd", "rmsprop", "lion"]
    values = _accuracies(3, names, [0, -0.001, -0.012, -0.02, 0], 10, 0.968, 360)
    values["rmsprop"] = {
        unit: v for unit, v in values["rmsprop"].items() if int(unit.partition("=")[2]) not in (1, 4, 5, 8)
    }
    values["sgd"].popitem()
    values["lion"] = {}
    comparison = _comparison("rates", ACCURACY, {"optimizer": names}, {"digits": values})
    failures = [
        Failure("rmsprop", "digits", "diverged", "loss is nan at step 40 of 600", 4, 10, 0.087, (
            "optimizer.lr=0.3 is too large: the norm of the gradient grew from 2.1 to 1.9e+08 within 12 steps",
            "try optimizer.lr=0.03",
        )),
        Failure("lion", "digits", "failed", "ValueError: beta2 must be less than 1", 10, 10, 1.1e-5),
        Failure("sgd", "digits", "interrupted", "interrupted by Ctrl-C at epoch 7 of 20", 1, 10, 1.0),
    ]  # fmt: skip
    notes = ["rmsprop is compared by its share of seeds won, since 4 of its 10 runs did not complete"]
    return replace(comparison, failures=failures, notes=notes)


def losses(seeds: int = 8) -> Comparison:
    """Two optimizers at five learning rates, compared by the ratio of their losses."""
    rates = [0.001, 0.003, 0.01, 0.03, 0.1]
    rng = np.random.default_rng(11)
    common = rng.normal(0, 0.06, seeds)
    values = {}
    for optimizer, rate in product(["adam", "sgd"], rates):
        best = np.log(0.01 if optimizer == "adam" else 0.05)
        level = np.log(0.11 if optimizer == "adam" else 0.125) + 0.09 * (np.log(rate) - best) ** 2
        logs = level + common + rng.normal(0, 0.05, seeds)
        values[f"{optimizer},{rate}"] = {f"seed={i}": float(np.exp(v)) for i, v in enumerate(logs)}
    factors = {"optimizer": ["adam", "sgd"], "optimizer.lr": rates}
    comparison = _comparison("rates", LOSS, factors, {"digits": values})
    sensitivity = []
    for optimizer in ("adam", "sgd"):
        arms = [a for rate in rates for a in comparison.tables[0].arms if a.name == f"{optimizer},{rate}"]
        columns = zip(*((a.mean, a.low, a.high) for a in arms), strict=True)
        sensitivity.append(
            Sensitivity("optimizer.lr", "digits", optimizer, rates, *(list(map(float, c)) for c in columns))
        )  # type: ignore[arg-type]
    return replace(comparison, sensitivity=sensitivity)


def single_seed() -> Comparison:
    """Three arms of one run each: nothing can be decided."""
    comparison = one_data_set(arms=3, seeds=1)
    verdict = ["Nothing is settled on digits: 1 seed, and a difference needs at least 3."]
    return replace(
        comparison, verdict=verdict, notes=["with one seed the difference of two arms cannot be told from noise"]
    )


def nothing_completed() -> Comparison:
    """Two arms without a completed run."""
    comparison = _comparison("broken", ACCURACY, {"optimizer": ["adam", "sgd"]}, {"digits": {"adam": {}, "sgd": {}}})
    why = "ValueError: the data has no column 'label'"
    failures = [Failure(arm, "digits", "failed", why, 10, 10) for arm in ("adam", "sgd")]
    return replace(comparison, failures=failures, curves=[], verdict=["No run of broken completed."])


def hostile_names() -> Comparison:
    """Names that a browser, a terminal, rich or LaTeX would act on, in every text of a comparison."""
    names = HOSTILE
    data = [HOSTILE[0], HOSTILE[4], *HOSTILE[5:]]
    values = {d: _accuracies(i, names, np.linspace(0, -0.03, len(names)), 5, 0.95, 360) for i, d in enumerate(data)}
    comparison = _comparison(HOSTILE[0], ACCURACY, {HOSTILE[0]: names[:4], HOSTILE[4]: names[4:]}, values)
    tables = [replace(t, chance=Chance(0.1, f"answering {HOSTILE[0]!r} always scores .1")) for t in comparison.tables]
    failures = [Failure(n, data[0], "failed", n, 1, 5, 0.5, (n, HOSTILE[0])) for n in names]
    sensitivity = [
        Sensitivity(HOSTILE[4], d, names[0], [1, 2, 3], [0.9, 0.91, 0.9], [0.88] * 3, [0.93] * 3) for d in data
    ]
    effects = [
        Effect(data[0], (HOSTILE[0],), (names[0], names[1]), 5, 0.01, -0.01, 0.03, 0.2, "not settled"),
        Effect(data[0], (HOSTILE[0], HOSTILE[4]), tuple(names[:4]), 5, 0.03, 0.01, 0.05, 0.01, "settled"),
    ]
    text = " ".join(HOSTILE)
    tuning = tuning_of(comparison, HOSTILE[0], text)
    return replace(
        comparison, tables=tables, failures=failures, sensitivity=sensitivity, effects=effects, notes=[text],
        tuning=tuning, verdict=[text], environment={text: text},
        command=f"harness -m study={text}", more=f"harness -m seed={text}",
    )  # fmt: skip


def tuned_arms() -> Comparison:
    """Five arms that were tuned on each of two data sets."""
    comparison = many_data_sets(data_sets=2)
    return replace(comparison, tuning=tuning_of(comparison))


def builders() -> dict[str, Comparison]:
    """Return every comparison of this module by name, and some with many arms or data sets."""
    return {
        "one_data_set": one_data_set(),
        "with_margin": one_data_set(seeds=30, margin=0.006),
        "twenty_arms": one_data_set(arms=20),
        "many_data_sets": many_data_sets(),
        "twelve_data_sets": many_data_sets(data_sets=12, arms=8),
        "two_factors": two_factors(),
        "with_failures": with_failures(),
        "losses": losses(),
        "single_seed": single_seed(),
        "nothing_completed": nothing_completed(),
        "hostile_names": hostile_names(),
        "tuned": tuned_arms(),
    }


def _accuracies(
    seed: int, names: Sequence[str], effects: Sequence[float] | np.ndarray, seeds: int, base: float, test_size: int
) -> dict[str, dict[str, float]]:
    """Draw shares k/n of a split: a part that all arms of a seed have in common, and a part of the run."""
    rng = np.random.default_rng(seed)
    common = rng.normal(0, 0.007, seeds)
    values = {}
    for name, effect in zip(names, effects, strict=True):
        raw = base + effect + common + rng.normal(0, 0.004, seeds)
        shares = np.clip(np.round(raw * test_size), 0, test_size) / test_size
        values[name] = {f"seed={i}": float(v) for i, v in enumerate(shares)}
    return values


def _comparison(
    study: str,
    metric: Metric,
    factors: Mapping[str, Sequence[object]],
    values: Mapping[str, Values],
    margin: float | None = None,
    seconds: float = 0.22,
) -> Comparison:
    levels = _levels(factors, next(iter(values.values())))
    units = max((len(runs) for arms in values.values() for runs in arms.values()), default=0) or 10
    planned = max(30, units)
    level = 0.05 * (units / planned) ** 0.5
    tables = [_table(metric, data, arms, levels, units, level, margin, seconds) for data, arms in values.items()]
    overall = None
    if len(values) >= 4:
        means = {arm: {d: fmean(values[d][arm].values()) for d in values} for arm in levels}
        overall = _table(metric, None, means, levels, len(values), level, margin, seconds)
    first = overall or tables[0]
    pairs = len(first.arms) * (len(first.arms) - 1) // 2
    several = len(factors) > 1
    best = first.arms[0].name
    settled = [d for d in first.differences if d.against == best and d.verdict == "worse"]
    words = ", ".join(f"{key}={','.join(map(str, each))}" for key, each in factors.items())
    return Comparison(
        study=study, metric=metric, factors=factors, varied=["seed", "split.seed"], tables=tables, overall=overall,
        look=Look(number=1, n=units, planned=planned, level=level, spent=level, family=pairs), margin=margin,
        effects=[e for data in values for e in _effects(metric, data, values[data], factors)] if several else [],
        failures=[], curves=[c for data in values for c in _curves(data, values[data], metric)], sensitivity=[],
        aggregates=_aggregates(values) if len(values) > 1 else [],
        critical_difference=1.85 if len(values) >= 5 else None, notes=[],
        verdict=[
            f"{best} has the highest mean {'over data sets' if overall else f'on {first.data}'}, and {len(settled)} of "
            f"{len(first.arms) - 1} differences to it are settled with {units} seeds."
        ],
        command=f"harness -m study={study} {words} 'seed=range({units})'",
        more=f"harness -m study={study} {words} 'seed=range({planned})'" if units < planned else "",
        runs=len(values) * len(levels) * units, environment=ENVIRONMENT,
    )  # fmt: skip


def _levels(factors: Mapping[str, Sequence[object]], arms: Values) -> dict[str, dict[str, object]]:
    cells = list(product(*factors.values()))
    if [",".join(map(str, cell)) for cell in cells] != list(arms):  # names that are not made of their levels
        return {arm: {next(iter(factors)): arm} for arm in arms}
    return {arm: dict(zip(factors, cell, strict=True)) for arm, cell in zip(arms, cells, strict=True)}


def _table(
    metric: Metric, data: str | None, values: Values, levels: Mapping[str, Mapping[str, object]], units: int,
    level: float, margin: float | None, seconds: float,
) -> Table:  # fmt: skip
    arms = [
        _arm(metric, name, values[name], levels[name], units, seconds * (1 + 0.15 * i)) for i, name in enumerate(levels)
    ]
    sign = -1 if metric.higher_is_better else 1
    arms.sort(key=lambda arm: (arm.mean is None, sign * (arm.mean or 0)))
    pairs = [(worse, better) for better, worse in combinations(arms, 2)]
    drafts = [_difference(metric, a, b, level, len(pairs), units) for a, b in pairs]
    differences = _holm(drafts, level, margin)
    groups = []
    for i, arm in enumerate(arms):
        worse = {d.arm for d in differences if d.against == arm.name and d.verdict == "worse"}
        group = [a.name for a in arms[i:] if a.completed and a.name not in worse]
        if group and not any(set(group) <= set(g) for g in groups):
            groups.append(group)
    return Table(
        data=data, scope="over data sets" if data is None else "over splits of this data set",
        unit="data set" if data is None else "split", units=units, test_size=None if data is None else 360, arms=arms,
        reference=arms[0].name, differences=differences, groups=groups,
        variance=_variance(data, units),
        chance=Chance(0.102, "answering '3' always scores .1020") if metric.share and data else None,
    )  # fmt: skip


def _variance(data: str | None, units: int) -> dict[str, float]:
    if units < 3:
        return {}
    return {"data set" if data is None else "split and seed": 0.75, "arm": 0.03, "rest": 0.22}


def _arm(
    metric: Metric, name: str, values: Mapping[str, float], levels: Mapping[str, object], runs: int, seconds: float
) -> Arm:
    if not values:
        return Arm(name, levels, runs, 0)
    ratio = metric.scale == "ratio"
    x = np.array(list(values.values()))
    z = np.log(x) if ratio else x
    mean, low, high, _ = _interval(z, 0.95)
    back = np.exp if ratio else float
    return Arm(
        name, levels, runs, len(values), float(back(mean)), float(x.std(ddof=1)) if len(x) > 1 else None,
        None if low is None else float(back(low)), None if high is None else float(back(high)), round(seconds, 3),
        26122, dict(values), 20.0,
    )  # fmt: skip


def _interval(z: np.ndarray, coverage: float) -> tuple[float, float | None, float | None, float | None]:
    """Return mean, ends of the t interval, and p-value."""
    if len(z) < 3:
        return float(z.mean()), None, None, None
    error = float(z.std(ddof=1)) / len(z) ** 0.5 or 1e-12
    half = float(stats.t.ppf((1 + coverage) / 2, len(z) - 1)) * error
    p = float(2 * stats.t.sf(abs(z.mean()) / error, len(z) - 1))
    return float(z.mean()), float(z.mean()) - half, float(z.mean()) + half, p


def _difference(metric: Metric, a: Arm, b: Arm, level: float, family: int, units: int) -> Difference:
    shared = [unit for unit in a.values if unit in b.values]
    x, y = (np.array([arm.values[unit] for unit in shared]) for arm in (a, b))
    coverage = 1 - level / family
    if not shared:
        return Difference(a.name, b.name, 0, None, None, None, None, None, level, coverage, None, "too few")
    ratio = metric.scale == "ratio"
    z = np.log(x / y) if ratio else x - y
    mean, low, high, p = _interval(z, coverage)
    won = float(((z > 0) if metric.higher_is_better else (z < 0)).mean() + (z == 0).mean() / 2)
    back = np.exp if ratio else float
    ends = [None if end is None else float(back(end)) for end in (low, high)]
    sd = float(z.std(ddof=1)) if len(z) > 1 else None
    floor = None if sd is None else (2.26 + 0.88) * sd / len(z) ** 0.5
    failed = min(a.completed, b.completed) < units
    if failed:  # a unit on which one arm failed is lost for that arm
        wins = won * len(z) + sum(unit not in b.values for unit in a.values)
        won = wins / len(a.values.keys() | b.values.keys())
        p = float(stats.binomtest(round(won * units), units).pvalue)
    return Difference(
        a.name, b.name, len(z), float(back(mean)), *ends, sd, p, level, coverage, won,
        "too few" if p is None else "not settled", decided_by="sign" if failed else "t",
        floor=None if floor is None else float(np.exp(floor)) if ratio else floor,
        pairs={unit: float(back(value)) for unit, value in zip(shared, z, strict=True)},
    )  # fmt: skip


def _holm(drafts: Sequence[Difference], level: float, margin: float | None) -> list[Difference]:
    """Settle the differences in the order of their p-values; without one the others stay open."""
    verdicts: dict[int, Verdict] = {}
    order = sorted((i for i, d in enumerate(drafts) if d.p is not None), key=lambda i: drafts[i].p or 0)
    for rank, i in enumerate(order):
        if (drafts[i].p or 0) > level / (len(order) - rank):
            break
        verdicts[i] = "worse"  # the arms are sorted: the first of a pair has the lower mean
    for i, d in enumerate(drafts):
        if margin is not None and d.low is not None and d.high is not None and -margin < d.low and d.high < margin:
            verdicts.setdefault(i, "equal")
    needed = None if margin is None else 34
    return [
        replace(d, verdict=verdicts.get(i, d.verdict), settled_at=d.n if i in verdicts else None, needed=needed)
        for i, d in enumerate(drafts)
    ]


def _effects(metric: Metric, data: str, values: Values, factors: Mapping[str, Sequence[object]]) -> list[Effect]:
    """Return each level against the first of its factor, and the interactions of two factors."""
    (one, ones), (two, twos) = list(factors.items())[:2]
    into, back = (np.log, np.exp) if metric.scale == "ratio" else (float, float)
    cells = {arm: np.array([into(value) for value in runs.values()]) for arm, runs in values.items()}
    if f"{ones[0]},{twos[0]}" not in cells:
        return []

    def simple(a: object, b: object) -> np.ndarray:
        """Return the effect of a level of the first factor at a level of the second."""
        return cells[f"{a},{b}"] - cells[f"{ones[0]},{b}"]

    def second(b: object) -> np.ndarray:
        return np.mean([cells[f"{a},{b}"] - cells[f"{a},{twos[0]}"] for a in ones], axis=0)

    contrasts: list[tuple[tuple[str, ...], tuple[object, ...], np.ndarray]] = [
        *(((one,), (a, ones[0]), np.mean([simple(a, b) for b in twos], axis=0)) for a in ones[1:]),
        *(((two,), (b, twos[0]), second(b)) for b in twos[1:]),
        *(
            ((one, two), (a, ones[0], b, twos[0]), simple(a, b) - simple(a, twos[0]))
            for a in ones[1:]
            for b in twos[1:]
        ),
    ]
    effects = []
    for of, levels, contrast in contrasts:
        mean, low, high, p = _interval(contrast, 0.95)
        if low is not None and high is not None and p is not None:
            ends = (float(back(x)) for x in (mean, low, high))
            verdict: Literal["settled", "not settled"] = "settled" if p < 0.05 / len(contrasts) else "not settled"
            effects.append(Effect(data, of, tuple(map(str, levels)), len(contrast), *ends, p, verdict))
    return effects


def _curves(data: str, values: Values, metric: Metric) -> list[Curve]:
    """Return a saturating curve for each arm, which ends near its mean."""
    epochs = list(range(1, 21))
    curves = []
    for i, (arm, runs) in enumerate(values.items()):
        if not runs:
            continue
        end, start = fmean(runs.values()), 0.5 if metric.higher_is_better else 2.3
        speed = 2.0 + 0.7 * (i % 5)
        mean = [end + (start - end) * float(np.exp(-(e - 1) / speed)) for e in epochs]
        half = 0.004 if len(runs) > 1 else 0.0
        band = [half * (1 + 3 * float(np.exp(-(e - 1) / speed))) for e in epochs]
        name = metric.name.replace("test/", "val/")
        low, high = ([m + s * b for m, b in zip(mean, band, strict=True)] for s in (-1, 1))
        curves.append(Curve(arm, data, name, epochs, mean, low, high))
    return curves


def _aggregates(values: Mapping[str, Values]) -> list[Aggregate]:
    """Normalise each data set to [0, 1], and describe every arm over them."""
    arms = list(next(iter(values.values())))
    scores: dict[str, np.ndarray] = {}
    ranks = np.zeros((len(values), len(arms)))
    for row, (_, of) in enumerate(values.items()):
        ends = [v for runs in of.values() for v in runs.values()]
        low, high = min(ends), max(ends)
        for arm in arms:
            normal = (np.array(list(of[arm].values())) - low) / (high - low or 1)
            scores[arm] = np.concatenate([scores.get(arm, np.empty(0)), normal])
        ranks[row] = stats.rankdata([-fmean(of[arm].values()) for arm in arms])
    grid = np.linspace(0, 1, 51)
    aggregates = []
    for i, arm in enumerate(arms):
        iqm = float(stats.trim_mean(scores[arm], 0.25))
        profile = [(float(x), float((scores[arm] >= x).mean())) for x in grid]
        improvement = {
            other: float(
                (scores[arm][:, None] > scores[other]).mean() + (scores[arm][:, None] == scores[other]).mean() / 2
            )
            for other in arms
            if other != arm
        }
        aggregates.append(Aggregate(arm, iqm, iqm - 0.06, iqm + 0.06, float(ranks[:, i].mean()), profile, improvement))
    return sorted(aggregates, key=lambda a: -a.iqm)
