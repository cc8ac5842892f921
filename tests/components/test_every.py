"""What holds for every built-in component, whatever it is: a component that is added is tested here unseen."""

from __future__ import annotations

from harness import catalogue
from harness.kinds import KINDS
from harness.testing import conformance

test_conformance = conformance("harness")


def test_the_catalogue_is_whole() -> None:
    assert not catalogue.current().problems
    assert {row["kind"] for row in catalogue.current() if row["origin"] == "harness"} == set(KINDS)
