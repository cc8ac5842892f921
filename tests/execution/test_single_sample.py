"""Tests of a last batch of one sample: refused in one line only if the run cannot train on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import harness
from harness.config.composition import compose
from harness.execution.preparation import prepare
from harness.system.errors import HarnessError
from tests.helpers.planted import planted

MOONS = ["data=moons", "data.n=300", "epochs=1"]  # 192 training samples

PLUGIN = '''
import torch

@harness.model(reference="Example, A model of its own, 2026")
def own(inputs, outputs):
    """Normalises its inputs itself."""
    return torch.nn.Sequential(torch.nn.BatchNorm1d(inputs[0]), torch.nn.Linear(inputs[0], outputs))

@harness.loss(reference="Example, A loss of neighbours, 2026", tasks=("classification", "binary_classification"))
def spread(prediction, target):
    """Wants at least two samples."""
    if len(prediction) < 2:
        raise ValueError("one sample has no neighbours")
    return torch.nn.functional.cross_entropy(prediction, target)
'''


@pytest.fixture(autouse=True, scope="module")
def _plugin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with planted(tmp_path_factory.mktemp("site"), "single", PLUGIN, "own, spread"):
        yield


def test_batch_norm_refuses_a_last_batch_of_one(workdir: Path) -> None:
    line = ["normalization=batch_norm", "epochs=1"]
    with pytest.raises(HarnessError) as refused:
        harness.run([*line, "batch_size=574"])
    assert str(refused.value) == (
        "normalization batch_norm cannot train on a batch of one sample, and batch_size=574 leaves one of 1149 "
        "training samples in the last batch: choose batch_size=575"
    )
    with pytest.raises(HarnessError, match="batch_size=574 leaves one of 1149"):
        harness.sweep([*line, "batch_size=575,574"])
    assert not (workdir / "outputs").exists()
    assert harness.run([*line, "batch_size=575"]).status == "completed"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["batch_size=1"], "batch_size=1 makes only such batches: choose batch_size=2"),
        (["batch_size=191"], "batch_size=191 leaves one of 192 .* in the last batch: choose batch_size=192"),
    ],
)  # fmt: skip
def test_refusal_names_a_batch_size_that_fits(words: list[str], message: str, workdir: Path) -> None:
    with pytest.raises(HarnessError, match=f"normalization batch_norm .* {message}$"):
        harness.run([*MOONS, "normalization=batch_norm", *words])
    assert not (workdir / "outputs").exists()


def test_batch_size_is_checked_again_where_all_else_is_equal(workdir: Path) -> None:
    line = [*MOONS, "normalization=batch_norm", "accumulate=2"]  # one step an epoch, either way
    prepare(compose([*line, "batch_size=192"]))
    with pytest.raises(HarnessError, match="batch_size=191 leaves one"):
        prepare(compose([*line, "batch_size=191"]))


@pytest.mark.parametrize("words", [["normalization=none"], ["normalization=layer_norm"]])
def test_other_normalizations_train_on_one_sample(words: list[str], workdir: Path) -> None:
    assert harness.run([*MOONS, *words, "batch_size=191"]).status == "completed"


def test_batch_norm_on_images_trains_on_one_sample(workdir: Path) -> None:
    line = ["model=cnn", "model.channels=[2]", "normalization=batch_norm", "epochs=1", "batch_size=574"]
    assert harness.run(line).status == "completed"


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["model=own"], "model own (its BatchNorm1d 0) cannot train"),
        (["loss=spread"], "model mlp with loss spread (ValueError: one sample has no neighbours) cannot train"),
    ],
)
def test_refusal_names_the_component_of_a_plugin(words: list[str], named: str, workdir: Path) -> None:
    with pytest.raises(HarnessError) as refused:
        harness.run([*MOONS, *words, "batch_size=191"])
    assert named in str(refused.value)
