"""Tests of `harness.stats`, the public collection of the statistics."""

from __future__ import annotations

import inspect

import pytest

import harness


@pytest.mark.parametrize("name", harness.stats.__all__)
def test_public_name_is_documented_with_an_example(name: str) -> None:
    value = getattr(harness.stats, name)
    text = inspect.getdoc(value) or ""
    assert "Attributes:" in text if inspect.isclass(value) else ">>> " in text


def test_functions_are_those_of_the_report() -> None:
    low, high = harness.stats.wilson(10, 10)
    assert 0.7 < low < high == 1.0
    assert harness.stats.units_for_power(0.5) == 34
