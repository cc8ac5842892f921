"""Train the runs of a claim as one sweep, and measure them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import harness
from harness_claims.claim import OF_RANKS, Claim
from harness_claims.deciding import Cell, Decided, decide, verdict
from harness_claims.reading import Directions


@dataclass(frozen=True)
class Result:
    """The result of a claim.

    Attributes:
        claim: The claim.
        verdict: Its verdict.
        decided: The outcome of each condition.
        runs: The number of its runs.
        quick: True if only a part of its seeds and conditions was run.
    """

    claim: Claim
    verdict: str
    decided: tuple[Decided, ...]
    runs: int
    quick: bool

    @property
    def changed(self) -> bool:
        """True if the verdict is not the recorded one."""
        return self.claim.verdict is not None and self.verdict != self.claim.verdict


def study(claim: Claim) -> str:
    """Return the study of a claim's runs."""
    return f"claims/{claim.slug}"


def cells(claim: Claim, quick: bool) -> Iterator[tuple[Cell, list[str]]]:
    """Yield the cells of a claim, each with the overrides of its runs."""
    levels: Sequence[Any] = claim.factor[1] if claim.factor is not None else (None,)
    for condition in claim.conditions:
        if quick and condition.name not in claim.quick_conditions:
            continue
        for side, words in claim.sides.items():
            for place, level in enumerate(levels):
                of_level = [] if claim.factor is None else [f"{claim.factor[0]}={level}"]
                of_side = condition.sides.get(side, words)
                yield (condition.name, side, place), [*claim.hold, *condition.words, *of_side, *of_level]


def common(claim: Claim) -> list[str]:
    """Return the overrides of every run that the claim does not state itself."""
    readings = [reading for reading in claim.measure.readings if reading.diagnostic is not None]
    watching = [f"diagnostic=[{','.join(sorted({str(reading.diagnostic) for reading in readings}))}]"]
    if any(reading.source == "curve" and reading.at != "end" for reading in readings):
        watching.append("diagnostic_budget=1000")  # measure each look; what is measured after training has no budget
    tuned = claim.tune.words if claim.tune is not None else []
    return [*tuned, *watching, f"study={study(claim)}", "save=none"]


def run(claim: Claim, quick: bool = False, first_seed: int = 0) -> Result:
    """Train the runs of a claim that are not cached, and decide it.

    Args:
        claim: The claim.
        quick: True for a part of its seeds and conditions.
        first_seed: The first of its seeds.
    """
    count = claim.quick_seeds if quick else claim.seeds
    named = list(cells(claim, quick))
    values = measurements(claim, named, [range(first_seed, first_seed + count)] * len(named))
    decided = decide(claim, values)
    return Result(claim, verdict(decided), tuple(decided), len(named) * count, quick)


def measurements(
    claim: Claim, named: Sequence[tuple[Cell, list[str]]], seeds: Sequence[range], split_seeds: range | None = None
) -> dict[Cell, list[float | None]]:
    """Train the runs of some cells that are not cached, as one sweep, and measure them.

    Where times are measured, each seed is a sweep.

    Args:
        claim: The claim.
        named: The cells, each with the overrides of its runs.
        seeds: The seeds of each cell.
        split_seeds: The seeds of the splits; None for those of the runs.
    """

    def split(place: int) -> list[str]:
        if claim.splits == "fixed":
            return []
        return ["split.seed=${seed}" if split_seeds is None else f"split.seed={split_seeds[place]}"]

    runs = [(index, place) for index, of_cell in enumerate(seeds) for place in range(len(of_cell))]
    launches = [runs]
    if claim.measure.timed:  # seed by seed, so that what else the machine does meets all cells alike
        places = range(max(map(len, seeds)))
        launches = [[run for run in runs if run[1] == place] for place in places]
    trained: list[tuple[Cell, harness.Record]] = []
    for launch in launches:
        variants = [
            [*claim.match.words(named[index][1]), f"seed={seeds[index][place]}", *split(place)]
            for index, place in launch
        ]
        records = harness.sweep(common(claim), variants=variants)
        trained += [(named[index][0], record) for (index, _), record in zip(launch, records, strict=True)]
    directions: dict[str, bool] = {}
    if claim.of in OF_RANKS and claim.effect != "pick":  # where a run that diverged is the worst one
        for _, record in trained:  # a run that diverges early has not measured all metrics
            directions |= record.directions
    values: dict[Cell, list[float | None]] = {cell: [] for cell, _ in named}
    for cell, record in trained:
        values[cell].append(_measured(claim, record, directions))
    return values


def _measured(claim: Claim, record: harness.Record, directions: Directions) -> float | None:
    """Return the measurement of a run; None if it has none, or if it did not reach what the sides are matched by.

    The worst value needs no match.
    """
    value = claim.measure.of(record, directions)
    worst = value is not None and math.isinf(value)
    return value if worst or claim.match.reached(record) else None
