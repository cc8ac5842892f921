"""Tests of the check that a claim can fail."""

from __future__ import annotations

import math

import pytest

import harness
from harness_claims.checking import Checked, failed, lines, most_supported, reflect, refutes_equal
from harness_claims.claim import Region, read
from harness_claims.deciding import decide_effects, verdict
from harness_claims.running import Result
from tests.plugins.claims.test_deciding import claim_of

CLAIMS = {slug: read(path) for slug, path in harness.config_files("claim").items()}


@pytest.mark.parametrize(
    ("region", "effects", "reflected"),
    [
        (Region(0.1, math.inf), [0.3, None], [-0.1, None]),
        (Region(-math.inf, -1.0), [-3.0, math.inf], [1.0, -math.inf]),
        (Region(-1.0, 1.0), [0.5, -0.5], [6.5, 5.5]),
        (Region(-1.0, 1.0), [-5.0, None, -7.0], [-11.0, None, -13.0]),
    ],
)
def test_effects_are_reflected_about_the_border(
    region: Region, effects: list[float | None], reflected: list[float | None]
) -> None:
    assert reflect(claim_of(region=region), effects) == pytest.approx(reflected)


@pytest.mark.parametrize("slug", CLAIMS)
def test_reflected_effects_turn_the_verdict_of_a_shipped_claim(slug: str) -> None:
    claim = CLAIMS[slug]
    low, high = claim.region.low, claim.region.high
    inside = (low + high) / 2 if math.isfinite(high - low) else low + 1 if math.isfinite(low) else high - 1
    step = 1e-3 * min(1.0, high - low)
    effects = {one.name: [inside + step * place for place in range(12)] for one in claim.conditions}
    assert verdict(decide_effects(claim, effects)) == "supported"
    turned = {name: reflect(claim, row) for name, row in effects.items()}
    assert verdict(decide_effects(claim, turned)) == "refuted"


def test_equivalence_is_supported_by_equal_sides() -> None:
    assert not refutes_equal(claim_of(region=Region(-0.1, 0.1)))
    assert not refutes_equal(claim_of(effect="level"))
    assert refutes_equal(claim_of())


def test_too_many_claims_supported_by_equal_sides_fail() -> None:
    result = Result(claim_of(), "supported", (), 0, False)
    fair = [Checked(result, "refuted", "not settled")] * 95
    wrong = [Checked(result, "refuted", "supported")]
    limit = most_supported(100)
    assert not failed(fair[: 100 - limit] + wrong * limit)
    assert failed([*fair[: 99 - limit], *wrong * (limit + 1)])
    assert lines(fair)[-1] == f"0 of 95 claims are supported by equal sides; by chance at most {most_supported(95)}"


@pytest.mark.parametrize(
    ("region", "before", "turned", "fails"),
    [
        (Region(0.0, math.inf), "conditional", "conditional", False),
        (Region(0.0, math.inf), "conditional", "refuted", True),
        (Region(-1.0, 1.0), "conditional", "refuted", False),
        (Region(-1.0, 1.0), "refuted", "refuted", False),
        (Region(-1.0, 1.0), "supported", "conditional", True),
        (Region(-1.0, 1.0), "not settled", "refuted", False),
    ],
)
def test_verdict_on_an_equivalence_turns_into_refuted(region: Region, before: str, turned: str, fails: bool) -> None:
    assert failed([Checked(Result(claim_of(region=region), before, (), 0, False), turned, None)]) == fails


def test_verdict_that_does_not_turn_fails() -> None:
    one = Checked(Result(claim_of(), "supported", (), 0, False), "supported", None)
    assert failed([one])
    assert "turned supported, not refuted; no equal sides" in lines([one])[0]
