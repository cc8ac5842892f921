"""Train the runs of a claim as one sweep, and measure them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import harness
from harness_claims.claim import Claim
from harness_claims.deciding import Cell, Decided, decide, verdict

MATCH = {  # the overrides behind a matching rule
    "epochs": [],
    "best_validation": ["regularizer=[early_stopping]", "regularizer.early_stopping.patience=1000"],
}


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
    if any(reading.source == "curve" for reading in readings):
        watching.append("diagnostic_budget=1000")
    return [*MATCH[claim.match], *watching, f"study={study(claim)}", "save=none"]


def run(claim: Claim, quick: bool = False, first_seed: int = 0) -> Result:
    """Train the runs of a claim that are not cached, and decide it.

    Args:
        claim: The claim.
        quick: True for a part of its seeds and conditions.
        first_seed: The first of its seeds.
    """
    seeds = range(first_seed, first_seed + (claim.quick_seeds if quick else claim.seeds))
    named = list(cells(claim, quick))
    split = ["split.seed=${seed}"] if claim.splits == "drawn" else []
    variants = [[*words, f"seed={seed}", *split] for _, words in named for seed in seeds]
    records = iter(harness.sweep(common(claim), variants=variants))
    values = {cell: [claim.measure.of(next(records)) for _ in seeds] for cell, _ in named}
    decided = decide(claim, values)
    return Result(claim, verdict(decided), tuple(decided), len(variants), quick)
