"""Conformance tests of bridged components, except for known faults of their authors."""

from __future__ import annotations

import pytest

from harness.testing import conformance

pytestmark = pytest.mark.slow  # hundreds of components by other authors

test_optimizers = conformance("pytorch-optimizer")
test_estimators_and_data = conformance("scikit-learn", settings={"data/sklearn_fetch_openml": {"name": "iris"}})
