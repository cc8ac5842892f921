"""Tests of every built-in component from the catalogue, so that new components are covered."""

from __future__ import annotations

from harness.registry import catalogue
from harness.registry.kinds import KINDS
from harness.testing import conformance

NUMBERS = {  # numbers without a default
    f"{row['kind']}/{row['name']}": {p["name"]: 0.1 for p in row["parameters"] if p["required"]}
    for row in catalogue.current()
    if row["origin"] == "dl-harness" and any(p["required"] and "float" in str(p["type"]) for p in row["parameters"])
}

test_conformance = conformance("harness", settings=NUMBERS)


def test_catalogue_has_components_of_every_kind() -> None:
    assert not catalogue.current().problems
    assert {row["kind"] for row in catalogue.current() if row["origin"] == "dl-harness"} == set(KINDS)
