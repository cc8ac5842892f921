"""Tests that numbers keep the precision of the data until they are scaled."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import harness
from harness.config.settings import Split
from harness.datasets.dataset import Samples, digest, from_arrays, overlap
from harness.datasets.precision import cast, exact
from harness.modeling.rng.noise import Noise, keys
from harness.system.errors import HarnessError
from harness_components.tasks.supervised import regression

N = 400
SECONDS = 1_700_000_000 + 10 * np.arange(N)  # float32 rounds numbers of this size to multiples of 128
LINE = ["metric=[mse,mae,r2]", "logger=[]", "diagnostic=[]"]


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([0.5, 2.0**24], torch.float32),
        ([0.1], torch.float64),
        ([2**24 + 1], torch.float64),
        (np.array([255], np.uint8), torch.float32),
        (np.array([0.1], np.float32), torch.float32),
        ([1e300], torch.float64),
        ([True, False], torch.float32),
    ],
)
def test_exact_uses_float32_only_without_rounding(values, dtype) -> None:
    tensor = exact(values)
    assert tensor.dtype == dtype
    np.testing.assert_array_equal(tensor.numpy(), np.asarray(values))


def test_digest_sees_a_small_change_of_a_large_target() -> None:
    def made(y: np.ndarray) -> harness.Dataset:
        return from_arrays(SECONDS[:, None], y, Split(), torch.Generator(), target="real")

    changed = SECONDS.copy()
    changed[7] += 20
    assert digest(made(SECONDS)) != digest(made(changed))
    assert overlap(made(SECONDS)) == 0  # 400 different times


@pytest.mark.parametrize(
    ("source", "scaling"),
    [("npz", "standardize"), ("npz", "min_max"), ("npz", "robust"), ("csv", "standardize"), ("stored", "standardize")],
)
def test_predictions_of_times_are_accurate_to_the_second(tmp_path, source, scaling) -> None:
    y = SECONDS + 5.0 * np.sin(SECONDS)
    if source == "csv":
        path = tmp_path / "t.csv"
        np.savetxt(path, np.column_stack([SECONDS, y]), delimiter=",", header="x,y", comments="", fmt="%.6f")
        data = ["data=csv", "data.target=y"]
    else:
        path = tmp_path / "t.npz"
        np.savez(path, x=SECONDS[:, None], y=y)
        data = ["data=npz", *(["data.in_memory=false"] if source == "stored" else [])]
    if source == "stored":  # no estimator reads it
        model = ["model=mlp", "model.width=8", "activation=identity", "optimizer.lr=0.01", "epochs=60"]
    else:
        model = ["model=linear_regression"]
    record = harness.run([*LINE, *data, f"data.path={path}", f"transform=[{scaling}]", *model, "study=t"])
    # a straight line leaves the sine's 5² / 2; its deviation is 5 / √2, that of the targets 1155
    assert record.metrics["test/mse"] == pytest.approx(12.5, rel=0.15)
    assert record.metrics["test/r2"] == pytest.approx(1 - 12.5 / 1155**2, rel=1e-5)


@pytest.mark.parametrize("path", ["alone", "fused"])
def test_network_error_is_free_of_rounding(tmp_path, path) -> None:
    np.savez(tmp_path / "t.npz", x=np.linspace(0, 1, N)[:, None], y=1_700_000_000 + 10.0 * np.linspace(-1, 1, N))
    line = [*LINE, "data=npz", f"data.path={tmp_path / 't.npz'}", f"path={path}"]
    record = harness.run([*line, "model=mlp", "model.width=8", "optimizer.lr=0.01", "epochs=40", "study=t"])
    assert 0 < record.metrics["test/mse"] < 1  # of a variance of 33; float32 rounds to multiples of 64
    spread = (10 / 3**0.5) ** 2
    assert record.metrics["test/mse"] == pytest.approx(record.metrics["test/loss"] * spread, rel=0.1)


def test_numbers_beyond_float32_are_refused_with_a_remedy() -> None:
    message = r"inputs of up to 1e\+300 exceed the range of float32.*transform=\[standardize\]"
    with pytest.raises(HarnessError, match=message):
        cast(torch.float32)(torch.tensor([[1e300]], dtype=torch.float64))


def test_torch_data_keeps_its_numbers() -> None:
    pairs = [([float(t)], float(t)) for t in SECONDS[:40]]

    class Own(torch.utils.data.Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return len(pairs)

        def __getitem__(self, index: int):  # type: ignore[no-untyped-def]
            return pairs[index]

    dataset = harness.from_torch(Own(), split=Split(), generator=torch.Generator())
    assert isinstance(dataset.train, Samples)
    assert set(dataset.train.y[:, 0].tolist()) <= set(SECONDS.astype(float).tolist())
    assert torch.equal(dataset.train.x, dataset.train.y)


def test_unscaled_targets_are_not_rounded() -> None:
    """In float32 most targets are one number, and a network that predicts it would have no error."""
    dataset = from_arrays(SECONDS[:, None], SECONDS, Split(), torch.Generator(), target="real")
    assert isinstance(dataset.train, Samples)
    x, y = dataset.train.x.float(), dataset.train.y
    task = regression(torch.nn.functional.mse_loss, dataset, standardize=False)

    def call(x, method="forward"):  # type: ignore[no-untyped-def]
        return torch.full((len(x), 1), 1_700_000_000.0, requires_grad=True)

    prediction, target = task.predict(call, (x, y))
    assert len(target.unique()) == len(y)
    error = float((y.double() - 1_700_000_000).square().mean())
    assert float((prediction - target).detach().square().mean()) == pytest.approx(error, rel=1e-12, abs=0.0)
    loss = task.losses(call, (x, y), Noise(keys(torch.tensor(0), 0)))["model"].detach()
    assert (loss.dtype, float(loss)) == (torch.float32, pytest.approx(error, rel=1e-6, abs=0.0))


@pytest.mark.parametrize("path", ["alone", "fused"])
def test_networks_learn_unscaled_targets(tmp_path, path) -> None:
    np.savez(tmp_path / "t.npz", x=np.linspace(0, 1, N)[:, None], y=np.linspace(-1, 1, N) / 3)
    line = [*LINE, "data=npz", f"data.path={tmp_path / 't.npz'}", "task.standardize=false", "model=mlp"]
    record = harness.run([*line, "epochs=20", "model.width=8", "optimizer.lr=0.01", f"path={path}", "study=t"])
    assert record.cohort["path"] == path
    assert record.metrics["test/mse"] == pytest.approx(record.metrics["test/loss"], rel=1e-5)
    assert record.metrics["test/mse"] < 0.01  # of a variance of 0.037
