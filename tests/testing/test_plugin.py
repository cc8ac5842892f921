"""Tests of `conformance`, the line in a plugin's own tests."""

from __future__ import annotations

from typing import Any

import pytest

from harness import HarnessError
from harness.testing import conformance


def rows(test: Any) -> dict[str, tuple[Any, ...]]:
    """Return {test id: arguments} of a parametrised test."""
    (mark,) = test.pytestmark
    return {row.id: row.values for row in mark.args[1]}


def test_every_check_of_every_component_has_a_test() -> None:
    tests = rows(conformance("activation/relu", "optimizer/sgd"))
    assert {"activation/relu-gradient", "optimizer/sgd-resumes", "optimizer/sgd-documented"} <= tests.keys()
    assert "activation/relu-resumes" not in tests
    few = rows(conformance("optimizer/sgd", only=["documented", "schema"], without=["schema"]))
    assert list(few) == ["optimizer/sgd-documented"]


def test_plugin_has_a_test_that_it_loads() -> None:
    test = conformance("harness", only=["schema"])
    tests = rows(test)
    assert len(tests) > 200
    test(*tests["harness-loads"])


def test_inconclusive_check_is_skipped_with_its_reason() -> None:
    test = conformance("data/csv", "optimizer/lbfgs")
    tests = rows(test)
    with pytest.raises(pytest.skip.Exception, match="its setting path has no default"):
        test(*tests["data/csv-builds"])
    with pytest.raises(pytest.skip.Exception, match="its setting path has no default"):
        test(*tests["data/csv-repeats"])
    with pytest.raises(pytest.skip.Exception, match="closure"):
        test(*tests["optimizer/lbfgs-fused"])
    test(*tests["optimizer/lbfgs-resumes"])


def test_missing_file_in_a_setting_fails() -> None:
    test = conformance("data/csv", settings={"data/csv": {"path": "nowhere.csv", "target": "y"}})
    with pytest.raises(pytest.fail.Exception, match=r"nowhere\.csv"):
        test(*rows(test)["data/csv-builds"])


@pytest.mark.parametrize("names", [(), ("no-such-plugin",), ("activation/rely",)])
def test_name_that_is_not_installed_is_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(HarnessError):
        conformance(*names)


def test_unknown_check_is_refused_with_a_suggestion() -> None:
    with pytest.raises(HarnessError, match="Did you mean 'gradient'"):
        conformance("activation/relu", only=["gradeint"])
