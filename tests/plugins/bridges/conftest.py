"""Expected faults of bridged components: each check failure is listed, and one that is fixed is reported."""

from __future__ import annotations

from pathlib import Path

import pytest

_PICKLED = "its state_dict holds objects of its own, which torch reads from no file that is not trusted"
_WAITS = "its first steps move nothing at all, and no more than these are made"

FAULTS = {
    "adafactor-devices": "its state is in bfloat16, whatever the parameters are in",
    "adashift-resumes": _PICKLED,
    "adashift-ungraded": _WAITS,
    "conda-resumes": _PICKLED,
    "fadam-devices": "it mixes float and double where parameters are in float64",
    "kate-descends": "with its default learning rate the loss of least squares rises",
    "kron-devices": "its state is in float32, whatever the parameters are in",
    "radam-ungraded": _WAITS,
    "sara-descends": "with its defaults, 40 steps move next to nothing",
    "sara-ungraded": _WAITS,
    "scalableshampoo-resumes": _PICKLED,
    "schedulefreeradam-ungraded": _WAITS,
    "scion-resumes": _PICKLED,
    "scionlight-resumes": _PICKLED,
    "soap-fused": "2e-4 apart: it follows eigenvectors, which rounding can turn",
    "splus-descends": "its evaluation mode reads a state that its first step has not made: KeyError",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        known = item.name.partition("[optimizer/pytorch_optimizer_")[2].removesuffix("]")
        if item.path == Path(__file__).with_name("test_conformance.py") and known in FAULTS:
            item.add_marker(pytest.mark.xfail(reason=FAULTS[known], strict=True))
