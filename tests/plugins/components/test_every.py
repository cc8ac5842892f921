"""What holds for every built-in component, whatever it is: a component that is added is tested here unseen."""

from __future__ import annotations

from harness.registry import catalogue
from harness.registry.kinds import KINDS
from harness.testing import conformance

NUMBERS = {  # what has no default and is a number
    f"{row['kind']}/{row['name']}": {p["name"]: 0.1 for p in row["parameters"] if p["required"]}
    for row in catalogue.current()
    if row["origin"] == "harness" and any(p["required"] and "float" in str(p["type"]) for p in row["parameters"])
}

test_conformance = conformance("harness", settings=NUMBERS)


def test_the_catalogue_is_whole() -> None:
    assert not catalogue.current().problems
    assert {row["kind"] for row in catalogue.current() if row["origin"] == "harness"} == set(KINDS)
