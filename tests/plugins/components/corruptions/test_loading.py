"""Tests of slow loading."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import harness
from harness import HarnessError
from tests.plugins.components.helpers import data, make


def test_samples_are_the_same() -> None:
    clean = data("wine")
    slow = make("corruption", "slow_loading", {"seconds": 0.0}, dataset=clean)
    assert torch.equal(torch.stack([slow.train[i][0] for i in range(len(slow.train))]), clean.train.x)
    assert [int(slow.train[i][1]) for i in range(len(slow.train))] == clean.train.y.tolist()
    assert (slow.val, slow.test) == (clean.val, clean.test)


def test_digest_tells_data_apart() -> None:
    one, other, again = (
        make("corruption", "slow_loading", {}, dataset=data("wine", seed=seed)).digest for seed in (0, 1, 0)
    )
    assert one == again != other
    assert len(one) == 16


def test_training_waits_for_slow_samples(workdir: Path) -> None:
    words = ["data=wine", "model=logistic", "epochs=1", "corruption=[slow_loading]", "diagnostic=[systems]"]
    record = harness.run([*words, "corruption.slow_loading.seconds=0.003"])
    assert record.time["fit_s"] > 0.003 * record.data["train"]
    assert record.diagnostics["systems"]["last"]["waiting"] > 0.5


def test_real_targets_keep_their_number(workdir: Path) -> None:
    record = harness.run(["data=line", "epochs=1", "corruption=[slow_loading]", "corruption.slow_loading.seconds=0"])
    assert record.status == "completed"


def test_data_that_is_not_in_memory_is_refused() -> None:
    slow = make("corruption", "slow_loading", {}, dataset=data("wine"))
    with pytest.raises(HarnessError, match=r"data in memory: set data\.in_memory=true"):
        make("corruption", "slow_loading", {}, dataset=slow)
