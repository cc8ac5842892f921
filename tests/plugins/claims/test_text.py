"""Tests of a claim's result as data."""

from __future__ import annotations

import json
import math

from harness_claims.deciding import Decided
from harness_claims.running import Result
from harness_claims.text import row
from tests.plugins.claims.test_deciding import claim_of


def test_infinite_effects_are_words_in_json() -> None:
    decided = Decided("always", "open", "not settled", (math.inf, -math.inf, 0.5, None), math.inf, None, None)
    data = json.loads(json.dumps(row(Result(claim_of(), "not settled", (decided,), 8, False)), allow_nan=False))
    assert data["conditions"][0]["effects"] == ["inf", "-inf", 0.5, None]
    assert data["conditions"][0]["estimate"] == "inf"
