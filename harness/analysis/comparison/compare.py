"""Compare the arms of a study, from its records to the answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from harness.analysis.comparison import commands, details, effects, words
from harness.analysis.comparison.chance import chance, chance_notes
from harness.analysis.comparison.decide import Rules, decide, family
from harness.analysis.comparison.levels import Layout, Run, find_arm, layout, level_text
from harness.analysis.comparison.looks import Looks, Question
from harness.analysis.comparison.model import Arm, Comparison, Difference, Look, Metric, Table
from harness.analysis.comparison.outcomes import choose_metric, refuse_mixed_paths, shown_value, size, unusual
from harness.analysis.comparison.pairing import Outcomes, Pairs, Units, mean_ranks, outcomes, pair, units_of
from harness.analysis.comparison.tuned import tuning
from harness.analysis.stats.datasets import MIN_DATA_SETS, over_new_data
from harness.analysis.stats.looks import planned_units
from harness.analysis.stats.multiple import groups
from harness.analysis.stats.paired import Estimate, estimate
from harness.results.record import Record
from harness.system.errors import HarnessError

Scope = Literal["default", "population"]


def compare(
    records: Sequence[Record],
    *,
    study: Path | None,
    by: Sequence[str] | None = None,
    metric: str | None = None,
    baseline: str | None = None,
    where: Sequence[str] = (),
    margin: float | None = None,
    planned: int | None = None,
    scope: Scope = "default",
    keep_looks: bool = True,
    curves: bool = False,
) -> Comparison:
    """Compare the arms of a study.

    Args:
        records: The records.
        study: Folder of the study, which keeps the looks; None to keep none.
        by: Keys that make the arms; None for every swept key but seeds and data sets.
        metric: Metric to compare; None for the objective as measured on the test split.
        baseline: Arm that the others are compared with; None to compare all pairs.
        where: Conditions KEY=VALUE that runs must meet.
        margin: Largest difference that counts as equal; a ratio such as 1.02 for losses and times.
        planned: Number of units planned; it is fixed by the first look.
        scope: "population" for a statement about new data of the same kind.
        keep_looks: False to look without noting it, for tests.
        curves: Whether to read learning curves and findings of the doctor, which takes time.

    Returns:
        The comparison.

    Raises:
        HarnessError: If a name is unknown, or there is nothing to compare.
    """
    if not records:
        raise HarnessError("there are no runs to compare")
    _check(margin, planned)
    found = layout(records, by, where)
    records = [run.record for run in found.runs]
    chosen = choose_metric(records, metric)
    refuse_mixed_paths(records, chosen)
    base = None if baseline is None else find_arm(baseline, found.runs)
    asked = _Asked(chosen, found, where, base, margin, planned, scope, Looks(study if keep_looks else None))
    notes = [*found.notes, *unusual(records, chosen.name)]
    tuned = tuning(found.runs, study, notes)
    tables, by_data = [], {}
    for data in dict.fromkeys(run.data for run in found.runs):
        runs = [run for run in found.runs if run.data == data]
        units = units_of(runs, found.varied)
        question = asked.question(data, units.scope)
        table, by_data[data] = _table(data, runs, units, question, asked, notes)
        tables.append(table)
        if len(tables) == 1:
            look = _look(table, question, base)
    overall = None
    if len(tables) >= MIN_DATA_SETS:
        question = asked.question("", "data sets")
        overall = _overall(tables, by_data, question, asked)
        look = _look(overall, question, base, len(tables))
    elif len(tables) > 1:
        notes.append(f"a statement over data sets needs at least {MIN_DATA_SETS} of them, this study has {len(tables)}")

    def effect_question(table: Table, factors: Sequence[str]) -> Question:
        return asked.question(str(table.data), table.scope, factors)

    found_effects = effects.effects(tables, found.factors, chosen, effect_question, planned)
    needed = max((d.needed or 0 for table in tables for d in table.differences), default=0)
    if needed > look.planned and margin is not None:
        notes.append(
            f"settling every difference of {margin:g} needs {needed} {tables[0].unit}s, more than the {look.planned} "
            f"planned: start a new study with --planned {needed}"
        )
    if problem := asked.looks.save():
        notes.append(problem)
    aggregates, critical, left_out = effects.aggregates(tables, chosen)
    notes += left_out
    comparison = Comparison(
        study=study.name if study is not None else records[0].study,
        metric=chosen,
        factors=found.factors,
        varied=found.varied,
        tables=tables,
        overall=overall,
        look=look,
        margin=margin,
        effects=found_effects,
        failures=details.failures(found.runs, tables, examine=curves),
        curves=details.learning_curves(found.runs, chosen) if curves else (),
        sensitivity=effects.sensitivity(tables, found.factors, chosen),
        aggregates=aggregates,
        critical_difference=critical,
        notes=notes,
        verdict=(),
        command=commands.command(records),
        more=commands.more_seeds(records, min(table.units for table in tables), look.planned),
        runs=len(records),
        environment=records[0].environment,
        tuning=tuned,
    )
    return replace(comparison, verdict=words.verdict(comparison, base))


def _check(margin: float | None, planned: int | None) -> None:
    if margin is not None and not 0 < margin < float("inf"):
        raise HarnessError(f"--margin must be a positive number, got {margin}")
    if planned is not None and planned < 2:
        raise HarnessError(f"--planned must be at least 2 units, got {planned}")


@dataclass(frozen=True)
class _Asked:
    """What was asked, and how: the fields that every table of a comparison shares."""

    metric: Metric
    found: Layout
    where: Sequence[str]
    base: str | None
    margin: float | None
    planned: int | None
    scope: Scope
    looks: Looks

    @cached_property
    def ids(self) -> dict[str, str]:
        """The levels of each arm by key, in a fixed order."""
        return {
            run.arm: ",".join(f"{k}={level_text(v)}" for k, v in sorted(run.levels.items())) for run in self.found.runs
        }

    def question(self, data: str, units: str = "", effect: Sequence[str] = ()) -> Question:
        """Return the looks at a question. Whatever changes the numbers that are tested makes another question."""
        key = {
            "metric": self.metric.name,
            "by": sorted(self.found.factors),
            "where": sorted(self.where),
            "data": data,
            "baseline": None if self.base is None else self.ids[self.base],
            "units": units,
            "scope": self.scope,
            "effect": sorted(effect),
        }
        return self.looks.question(json.dumps(key, separators=(",", ":"), ensure_ascii=False))


def _table(
    data: str, runs: Sequence[Run], units: Units, question: Question, asked: _Asked, notes: list[str]
) -> tuple[Table, dict[tuple[str, str], Pairs]]:
    """Return the comparison on one data set, and the paired runs of its arms."""
    metric, base = asked.metric, asked.base
    found = outcomes(runs, units, metric)
    of: dict[str, list[Run]] = {}
    for run in runs:
        of.setdefault(run.arm, []).append(run)
    arms = [_arm(name, of[name], found[name], metric) for name in found]
    arms.sort(key=lambda arm: _order(arm, metric))
    if any(arm.failed for arm in found.values()):  # the mean of the runs that completed would favour arms that fail
        ranks = mean_ranks(found, metric.higher_is_better)
        arms.sort(key=lambda arm: (arm.mean is None, ranks[arm.name]))
    names = [arm.name for arm in arms]
    if base is not None and base not in found:
        raise HarnessError(f"--baseline {base}: it has no run on {data}")
    pairs, covered = family(names, base)
    paired = {(a, b): pair(found[a], found[b], metric.higher_is_better) for a, b in pairs}
    notes += _unpaired(data, found, paired, units)
    sizes = {size(run.record, metric.name) for run in runs}
    test_size = sizes.pop() if len(sizes) == 1 else None
    resolution = 1 / test_size if metric.share and test_size else 0.0
    rules = Rules(metric, _margin(asked.margin, metric), asked.planned, asked.ids, resolution)
    scope_text = units.scope
    if asked.scope == "population":
        if "over splits" not in units.scope:
            raise HarnessError(
                "--scope population needs a new split for each seed: sweep with 'split.seed=${seed}' and seed=range(30)"
            )
        record = runs[0].record
        rules = replace(rules, estimate=_population(int(record.data["train"]), int(record.data["test"])))
        scope_text = "over new data of this kind"
    differences = decide(paired, covered, question, rules)
    reference = base or names[0]
    level = chance(runs[0].record.data, metric.name)
    notes += [f"{data}: {note}" for note in chance_notes(arms, level, metric, runs[0].record.metrics)]
    return Table(
        data=data,
        scope=scope_text,
        unit=units.noun,
        units=len({unit for arm in found.values() for unit, _ in arm.at}),
        test_size=test_size,
        arms=arms,
        reference=reference,
        differences=differences,
        groups=_groups(names, differences, base),
        variance=details.variance(arms, units, metric),
        chance=level,
    ), paired


def _margin(margin: float | None, metric: Metric) -> float | None:
    """Return a margin on the scale of the comparison: 1.02 and .02 both are a ratio of at most 1.02."""
    if margin is None or metric.scale == "difference":
        return margin
    return float(np.log(margin if margin > 1 else 1 + margin))


def _population(train: int, test: int) -> Callable[[NDArray[np.float64], float, float], Estimate]:
    def estimated(d: NDArray[np.float64], alpha: float, resolution: float) -> Estimate:
        return over_new_data(d, train, test, alpha, resolution)

    return estimated


def _arm(name: str, mine: Sequence[Run], found: Outcomes, metric: Metric) -> Arm:
    means = found.means()
    values = np.array(list(means.values()))
    mean = sd = low = high = None
    if values.size:
        mean = shown_value(float(values.mean()), metric)
    if values.size > 1:
        e = estimate(values)
        sd, low, high = e.sd, shown_value(e.low, metric), shown_value(e.high, metric)
    done = [run.record for run in mine if run.record.status == "completed"]
    paths = {record.cohort.get("path") for record in done}
    seconds = [x for record in done if (x := record.time.get("share_s")) is not None]
    parameters = {record.model.get("trainable") for record in done}
    epochs = [x for record in done if (x := record.time.get("epochs")) is not None]
    return Arm(
        name=name,
        levels=mine[0].levels,
        runs=found.runs,
        completed=found.completed,
        mean=mean,
        sd=sd,
        low=low,
        high=high,
        seconds=float(np.mean(seconds)) if seconds and len(paths) == 1 else None,
        parameters=parameters.pop() if len(parameters) == 1 else None,
        values={unit: shown_value(x, metric) for unit, x in means.items()},
        epochs=float(np.mean(epochs)) if epochs else None,
    )


def _order(arm: Arm, metric: Metric) -> tuple[bool, float, str]:
    if arm.mean is None:
        return True, 0.0, arm.name
    return False, -arm.mean if metric.higher_is_better else arm.mean, arm.name


def _unpaired(data: str, found: dict[str, Outcomes], paired: dict[tuple[str, str], Pairs], units: Units) -> list[str]:
    """Return a note on units that some arms lack."""
    if not paired:
        return []
    every = {place for arm in found.values() for place in arm.at}
    lacking = {name: len(every) - len(arm.at) for name, arm in found.items() if len(arm.at) < len(every)}
    if not lacking:
        return []
    listed = ", ".join(f"{name} lacks {n}" for name, n in list(lacking.items())[:4])
    return [
        f"{data}: {len(every)} {units.noun}s, but {listed}: differences are of the {units.noun}s that both arms have"
    ]


def _groups(names: Sequence[str], differences: Sequence[Difference], base: str | None) -> list[list[str]]:
    if base is None and len(differences) >= len(names) * (len(names) - 1) // 2:
        settled = {frozenset((d.arm, d.against)) for d in differences if d.verdict in ("better", "worse")}
        return groups(names, settled)
    verdicts = {d.arm: d.verdict for d in differences}
    better = [name for name in names if verdicts.get(name) == "better"]
    worse = [name for name in names if verdicts.get(name) == "worse"]
    near = [name for name in names if name not in better and name not in worse]
    return [group for group in (better, near, worse) if group]


def _overall(
    tables: Sequence[Table], by_data: dict[str, dict[tuple[str, str], Pairs]], question: Question, asked: _Asked
) -> Table:
    """Return the comparison over data sets: each data set has weight 1, whatever its seeds."""
    metric, base = asked.metric, asked.base
    means: dict[str, list[Arm]] = {}
    for table in tables:
        for arm in table.arms:
            means.setdefault(arm.name, []).append(arm)
    arms = [_arm_over(name, found, tables, metric) for name, found in means.items()]
    arms.sort(key=lambda arm: _order(arm, metric))
    if any(pairs.failed for paired in by_data.values() for pairs in paired.values()):
        places = {arm.name: [[a.name for a in table.arms].index(arm.name) for table in tables] for arm in arms}
        arms.sort(key=lambda arm: (arm.mean is None, np.mean(places[arm.name])))
    names = [arm.name for arm in arms]
    pairs, covered = family(names, base)
    paired = {(a, b): _over(a, b, by_data, metric.higher_is_better) for a, b in pairs}
    rules = Rules(metric, _margin(asked.margin, metric), None, asked.ids, least=MIN_DATA_SETS)
    clock = sum(table.units for table in tables)  # data sets that are added later are information, as seeds are
    plan = max(clock, len(tables) * (asked.planned or planned_units(min(table.units for table in tables))))
    differences = decide(paired, covered, question, rules, clock, plan)
    return Table(
        data=None,
        scope="over data sets",
        unit="data set",
        units=len(tables),
        test_size=None,
        arms=arms,
        reference=base or names[0],
        differences=differences,
        groups=_groups(names, differences, base),
    )


def _arm_over(name: str, arms: Sequence[Arm], tables: Sequence[Table], metric: Metric) -> Arm:
    values = {
        str(table.data): arm.mean for table in tables for arm in table.arms if arm.name == name and arm.mean is not None
    }
    x = np.array(list(values.values()))
    if metric.scale == "ratio":
        x = np.log(x)
    e = estimate(x) if x.size > 1 else None
    seconds = [arm.seconds for arm in arms if arm.seconds is not None]
    return Arm(
        name=name,
        levels=arms[0].levels,
        runs=sum(arm.runs for arm in arms),
        completed=sum(arm.completed for arm in arms),
        mean=shown_value(float(x.mean()), metric) if x.size else None,
        sd=None if e is None else e.sd,
        low=None if e is None else shown_value(e.low, metric),
        high=None if e is None else shown_value(e.high, metric),
        seconds=float(np.mean(seconds)) if len(seconds) == len(arms) else None,
        values=values,
    )


def _over(arm: str, against: str, by_data: dict[str, dict[tuple[str, str], Pairs]], higher: bool) -> Pairs:
    """Pair two arms by data set, by the mean difference on each."""
    d: dict[str, float] = {}
    won = lost = tied = 0
    failed = False
    outcomes: dict[str, str] = {}
    for data, paired in by_data.items():
        sign, pairs = 1, paired.get((arm, against))
        if pairs is None:
            sign, pairs = -1, paired.get((against, arm))
        if pairs is None or pairs.n == 0:
            continue
        failed |= pairs.failed
        outcomes |= {f"{data} {place}": text for place, text in pairs.outcomes.items()}
        lead: float = sign * (pairs.won - pairs.lost)
        if pairs.d:
            d[data] = sign * float(pairs.array().mean())
            if not pairs.failed:
                lead = d[data] if higher else -d[data]
        won, lost, tied = won + (lead > 0), lost + (lead < 0), tied + (lead == 0)
    return Pairs(d, won, lost, tied, failed, outcomes)


def _look(table: Table, question: Question, base: str | None, data_sets: int = 1) -> Look:
    """Return the look at a table, as numbers; the clock of several data sets counts the units of all of them."""
    size = family([arm.name for arm in table.arms], base)[1]
    current = question.fresh or {pair: looks[-1] for pair, looks in question.looks.items() if looks}
    if not current:
        return Look(1, table.units, question.planned or 0, 0.0, 0.0, size)
    return Look(
        number=max(look.number for look in current.values()),
        n=max(look.n for look in current.values()) // data_sets,
        planned=(question.planned or 0) // data_sets,
        level=max(look.level for look in current.values()),
        spent=max(question.spent(pair) for pair in current),
        family=size,
        new=bool(question.fresh),
    )
