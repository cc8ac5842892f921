"""Tests of the functions shared by bridges to other collections."""

from __future__ import annotations

import logging
import warnings

import numpy as np
import pytest

from harness.system.errors import HarnessError
from harness_components.bridges.signatures import refused
from harness_sklearn.estimators import numpy_seeded


def _trouble() -> None:
    for _ in range(3):
        warnings.warn("it has\n not converged", UserWarning, stacklevel=1)
    raise ValueError("no such\n thing")


def test_warning_is_logged_once_and_error_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    with (
        caplog.at_level(logging.WARNING, "harness"),
        pytest.raises(HarnessError, match=r"^solver: no such thing$"),
        refused("solver"),
    ):
        _trouble()
    assert [record.getMessage() for record in caplog.records] == ["solver: it has not converged"]


def test_own_chance_seeds_and_restores_numpys_global_generator() -> None:
    before, drawn = np.random.get_state()[1].copy(), []  # noqa: NPY002
    for _ in range(2):
        with numpy_seeded():
            drawn.append(np.random.random())  # noqa: NPY002
    assert drawn[0] == drawn[1]
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002
