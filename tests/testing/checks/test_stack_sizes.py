"""A run has the same bits in stacks of any size, with every component that can be part of a stack."""

from __future__ import annotations

from typing import Any

import pytest

from harness.registry import catalogue
from harness.testing.checks.fused import COMPUTING, alone_because, line, reshaped, suited, varied
from harness.testing.fixtures import accepted_shape
from harness.testing.suite import Subject, settings_for
from harness.testing.training import LOADER, composed, same, trained

SIZES = (2, 3, 8, 32)
GIVEN = {"activation/torch_threshold": {"threshold": 0.3, "value": -2.0}}  # settings without a default
ENTRIES = {
    f"{entry['kind']}/{entry['name']}": entry
    for entry in catalogue.current()
    if entry["kind"] in COMPUTING and entry["kind"] != "diagnostic" and not alone_because(entry)
}


@pytest.mark.slow
@pytest.mark.parametrize("label", ENTRIES)
def test_run_has_the_same_bits_in_stacks_of_any_size(label: str) -> None:
    entry = ENTRIES[label]
    case = Subject(entry, GIVEN.get(label, settings_for(entry, {}))).case
    config: dict[str, Any] = composed(tuple(line(entry, case.given))).values
    data = suited(entry)(LOADER.load(config).dataset)
    if case.kind == "model" and not case.list_trait("input_ndim") and data.target != "surface":
        data = reshaped(data, accepted_shape(case, tuple(data.inputs)))
    watched = varied(config, 1000)
    (alone,) = trained([watched], data)
    for size in SIZES:
        *_, last = trained([*(varied(config, seed) for seed in range(size - 1)), watched], data)
        assert same(alone, last), size
