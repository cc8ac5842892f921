"""Check that a claim can fail: the opposite effect turns its verdict, and equal sides do not support it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy import stats

from harness_claims.claim import Claim
from harness_claims.deciding import ALPHA, decide, decide_effects, verdict
from harness_claims.running import Result, cells, measurements, run

NULL = {"difference": 0.0, "ratio": 1.0, "slope": 0.0, "interaction": 0.0, "correlation": 0.0}  # of equal sides
FAR = 3  # widths of an equivalence region by which an effect is moved
_APART = 10**7  # between the seeds of equal sides
TURNED = {"supported": "refuted", "refuted": "supported"}


@dataclass(frozen=True)
class Checked:
    """What came out of a check of a claim.

    Attributes:
        result: The result of the claim itself.
        turned: The verdict with the measured effects reflected about the border of the region.
        equal: The verdict with sides, or levels, that are one setting with other seeds; None if that has no meaning.
    """

    result: Result
    turned: str
    equal: str | None

    @property
    def expected(self) -> str:
        """The verdict that the reflected effects must have."""
        if _bounded(self.result.claim) and self.result.verdict != "not settled":
            return "refuted"  # all effects are outside of the region
        return TURNED.get(self.result.verdict, self.result.verdict)

    @property
    def turns(self) -> bool:
        """True if the reflected effects have the expected verdict; unsettled ones may leave a region settled."""
        return self.turned == self.expected or (_bounded(self.result.claim) and self.result.verdict == "not settled")


def check(claim: Claim, quick: bool = False, first_seed: int = 0) -> Checked:
    """Train a claim, and a version of it in which nothing differs.

    Args:
        claim: The claim.
        quick: True for a part of its seeds and conditions.
        first_seed: The first of its seeds.
    """
    result = run(claim, quick, first_seed)
    reflected = {one.condition: reflect(claim, one.effects) for one in result.decided}
    turned = verdict(decide_effects(claim, reflected))
    return Checked(result, turned, _equal(claim, quick, first_seed) if refutes_equal(claim) else None)


def refutes_equal(claim: Claim) -> bool:
    """Return True if equal sides, or equal levels, must not support a claim."""
    return claim.effect in NULL and NULL[claim.effect] not in claim.region


def reflect(claim: Claim, effects: Sequence[float | None]) -> list[float | None]:
    """Return effects reflected about the border of the region, or moved away from a region with two borders."""
    low, high = claim.region.low, claim.region.high
    if _bounded(claim):
        known = [effect for effect in effects if effect is not None]
        away = math.copysign(FAR * (high - low), math.fsum(known) / len(known) - (low + high) / 2 if known else 1)
        return [None if effect is None else effect + away for effect in effects]
    border = low if math.isfinite(low) else high
    return [None if effect is None else 2 * border - effect for effect in effects]


def _bounded(claim: Claim) -> bool:
    return math.isfinite(claim.region.high - claim.region.low)


def _equal(claim: Claim, quick: bool, first_seed: int) -> str:
    """Return the verdict with every cell of a condition trained as its first, with other seeds on the same splits."""
    count = claim.quick_seeds if quick else claim.seeds
    split_seeds = range(first_seed, first_seed + count)
    first: dict[str, list[str]] = {}
    named, seeds = [], []
    for place, (cell, words) in enumerate(cells(claim, quick), 1):
        named.append((cell, first.setdefault(cell[0], words)))
        start = first_seed + place * _APART
        seeds.append(range(start, start + count))
    return verdict(decide(claim, measurements(claim, named, seeds, split_seeds)))


def lines(checks: Sequence[Checked]) -> list[str]:
    """Return what the checks found, a line for each claim and a summary."""
    width = max((len(one.result.claim.slug) for one in checks), default=0)
    found = []
    for one in checks:
        turned = one.turned if one.turns else f"{one.turned}, not {one.expected}"
        equal = "no equal sides" if one.equal is None else f"equal sides {one.equal}"
        found.append(f"{one.result.claim.slug:{width}}  {one.result.verdict:12} turned {turned}; {equal}")
    compared = [one for one in checks if one.equal is not None]
    supported = sum(one.equal == "supported" for one in compared)
    limit = most_supported(len(compared))
    found.append(f"{supported} of {len(compared)} claims are supported by equal sides; by chance at most {limit}")
    return found


def failed(checks: Sequence[Checked]) -> bool:
    """Return True if a verdict does not turn, or if equal sides support more claims than chance does."""
    compared = [one.equal for one in checks if one.equal is not None]
    return not all(one.turns for one in checks) or compared.count("supported") > most_supported(len(compared))


def most_supported(claims: int) -> int:
    """Return how many claims equal sides support by chance: exceeded in less than one book of a thousand."""
    return int(stats.binom.ppf(0.999, claims, ALPHA / 2))


def row(one: Checked) -> Mapping[str, object]:
    """Return a check as plain data."""
    return {
        "claim": one.result.claim.slug,
        "verdict": one.result.verdict,
        "turned": one.turned,
        "expected": one.expected,
        "equal": one.equal,
    }
