"""Tests of verdicts: every shipped claim can be refuted, and equal sides support none."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

import harness
from harness_claims.claim import Claim, Region, parse, read
from harness_claims.deciding import Cell, decide, verdict
from tests.plugins.claims.test_claim import ROW

FILES = harness.config_files("claim")
CLAIMS = {slug: read(path) for slug, path in FILES.items()}


def planted(claim: Claim, effect: Callable[[str], float], noise: float | None = None) -> dict[Cell, list[float | None]]:
    """Return measurements in which each condition has an effect: a number, or +1 / -1 for ranks.

    By default the noise is small against the region, whose width may be that of rounding.
    """
    draw = random.Random(0)
    if noise is None:
        ends = [end for end in (claim.region.low, claim.region.high) if math.isfinite(end)]
        noise = min(1e-4, 0.01 * min(abs(inside(claim.region) - end) for end in ends))
    values: dict[Cell, list[float | None]] = {}
    levels = claim.factor[1] if claim.factor is not None else (0,)
    numbers = all(isinstance(level, (int, float)) for level in levels)
    for condition in claim.conditions:
        size = effect(condition.name)
        for side_place, side in enumerate(claim.sides):
            for place, level in enumerate(levels):
                x = float(level) if numbers else float(place)
                first = side_place == 0
                base = {
                    "level": size,
                    "difference": 2.0 + size * first,
                    "ratio": 2.0 * (size if first else 1.0),
                    "pick": 1.0 + (0.5 if size > 0 else -0.5) * first,
                    "spread": size * (place == len(levels) - 1),
                    "slope": size * x,
                    "interaction": size * x * first,
                    "correlation": math.copysign(1.0, size) * place,
                }[claim.effect]
                row = [base + noise * draw.gauss(0, 1) for _ in range(claim.seeds)]
                values[condition.name, side, place] = list(row)
    return values


def inside(region: Region) -> float:
    if math.isinf(region.low):
        return region.high - 1.0 if region.high <= 0 or region.high > 1 else region.high / 2
    return region.low + 1.0 if math.isinf(region.high) else (region.low + region.high) / 2


def outside(region: Region) -> float:
    """Return the effect reflected about the region's border."""
    if math.isinf(region.high):
        return region.low - 1.0
    width = 1.0 if math.isinf(region.low) else region.high - region.low
    return region.high + width


@pytest.mark.parametrize("slug", CLAIMS)
def test_shipped_claim_is_supported_by_its_effect_and_refuted_by_the_opposite(slug: str) -> None:
    claim = CLAIMS[slug]
    assert verdict(decide(claim, planted(claim, lambda _: inside(claim.region)))) == "supported"
    assert verdict(decide(claim, planted(claim, lambda _: outside(claim.region)))) == "refuted"


@pytest.mark.parametrize("slug", [slug for slug, claim in CLAIMS.items() if len(claim.conditions) > 1])
def test_claim_that_holds_in_one_condition_and_fails_in_another_is_conditional(slug: str) -> None:
    claim = CLAIMS[slug]
    first = claim.conditions[0].name
    mixed = planted(claim, lambda name: inside(claim.region) if name == first else outside(claim.region))
    assert verdict(decide(claim, mixed)) == "conditional"


@pytest.mark.parametrize("slug", [s for s, c in CLAIMS.items() if c.effect == "difference" and 0 not in c.region])
def test_equal_sides_support_no_claim_of_a_difference(slug: str) -> None:
    claim = CLAIMS[slug]
    supported = 0
    for repetition in range(200):
        draw = random.Random(repetition)
        values = {
            (condition.name, side, 0): [draw.gauss(0, 1) for _ in range(claim.seeds)]
            for condition in claim.conditions
            for side in claim.sides
        }
        supported += verdict(decide(claim, values)) == "supported"
    assert supported <= 200 * 0.025 + 3 * math.sqrt(200 * 0.025 * 0.975)


def claim_of(**changes: Any) -> Claim:
    return replace(parse("wide", ROW), **changes)


def values_of(*effects: float | None) -> dict[Cell, list[float | None]]:
    return {("adam", "wide", 0): list(effects), ("adam", "narrow", 0): [0.0] * len(effects)}


def test_interval_across_the_border_is_not_settled_and_says_how_many_seeds_would_do() -> None:
    (one,) = decide(claim_of(), values_of(0.0, 0.1, 0.4, 0.2, 0.3, 0.05))
    assert one.outcome == "not settled"
    assert one.estimate == pytest.approx(0.175, rel=1e-9, abs=0)
    assert one.needed is not None
    assert one.needed > 6


def test_missing_measurement_leaves_a_claim_open() -> None:
    (one,) = decide(claim_of(), values_of(1.0, 1.01, 0.99, None, 1.0, 1.0))
    assert (one.outcome, one.missing) == ("not settled", 1)
    assert verdict([one]) == "not settled"


def test_two_seeds_settle_nothing() -> None:
    (one,) = decide(claim_of(), values_of(1.0, 1.0))
    assert one.outcome == "not settled"


def test_every_and_share_count_seeds() -> None:
    effects = values_of(*[1.0] * 15, 0.0)
    assert decide(claim_of(of="every"), effects)[0].outcome == "fails"
    (share,) = decide(claim_of(of="share"), effects)
    assert (share.outcome, share.estimate) == ("holds", 0.9375)
    assert decide(claim_of(of="share"), values_of(1.0, 1.0, 0.0, 0.0))[0].outcome == "not settled"


def test_ranks_decide_with_runs_that_never_reach_the_value() -> None:
    never = math.inf
    effects = values_of(3.0, 5.0, never, never, 4.0, 2.0, never, 6.0)
    (one,) = decide(claim_of(of="rank"), effects)
    assert (one.outcome, one.estimate) == ("holds", 5.5)
    opposite = values_of(*[-value for value in effects["adam", "wide", 0] if value is not None])
    assert decide(claim_of(of="rank"), opposite)[0].outcome == "fails"
    assert decide(claim_of(of="rank"), values_of(1.0, 1.0, 1.0, 1.0, 1.0))[0].needed == 6
    mixed = values_of(3.0, -5.0, never, -never, 4.0, -2.0)
    assert decide(claim_of(of="rank"), mixed)[0].outcome == "not settled"


def test_most_seeds_may_have_an_infinite_effect() -> None:
    effects = values_of(*[math.inf] * 10)
    assert [decide(claim_of(of=of), effects)[0].outcome for of in ("every", "share", "rank")] == ["holds"] * 3
    assert decide(claim_of(of="share"), values_of(*[-math.inf] * 10))[0].outcome == "fails"


def test_ranks_decide_nothing_against_a_median_on_the_border() -> None:
    """Effects on the border have no rank: without them six effects would outvote fourteen."""
    above = claim_of(of="rank", region=Region(0.0, math.inf))
    (one,) = decide(above, values_of(*[0.0] * 14, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0))
    assert (one.outcome, one.estimate) == ("not settled", 0.0)


def test_pick_without_any_measurement_is_missing() -> None:
    picked = claim_of(effect="pick", of="share", region=Region(0.5, math.inf))
    (one,) = decide(picked, {("adam", side, 0): [None] * 6 for side in ("wide", "narrow")})
    assert (one.outcome, one.missing) == ("not settled", 6)
    values: dict[Cell, list[float | None]] = {("adam", "wide", 0): [None] * 6, ("adam", "narrow", 0): [0.1] * 6}
    assert decide(picked, values)[0].outcome == "fails"


@pytest.mark.parametrize("effect", ["slope", "spread", "interaction"])
def test_infinite_values_have_no_slope(effect: str) -> None:
    varied = claim_of(effect=effect, factor=("model.depth", (1, 2, 3)), of="rank")
    values = {("adam", side, place): [math.inf, 1.0] for side in ("wide", "narrow") for place in range(3)}
    assert decide(varied, values)[0].effects == (None, 0.0)


def test_ranks_decide_an_equivalence() -> None:
    claim = claim_of(of="rank", region=Region(-1.0, 1.0))
    assert decide(claim, values_of(*[0.1, -0.1, 0.2, 0.05, -0.2, 0.3, 0.0, 0.1]))[0].outcome == "holds"
    assert decide(claim, values_of(*[2.1, 2.0, 3.0, 2.5, 1.5, 2.2, 9.0, 4.0]))[0].outcome == "fails"


def test_two_runs_that_never_reach_the_value_are_equally_bad() -> None:
    values: dict[Cell, list[float | None]] = {
        ("adam", "wide", 0): [math.inf, 3.0],
        ("adam", "narrow", 0): [math.inf, math.inf],
    }
    assert decide(claim_of(of="rank"), values)[0].effects == (0.0, -math.inf)
