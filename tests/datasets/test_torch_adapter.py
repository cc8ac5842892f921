"""Tests of from_torch: data of torch and Lightning is taken in by one function, reproducibly."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, IterableDataset, Subset, TensorDataset, random_split
from torch.utils.data import Dataset as TorchDataset

import harness
from harness.config.seeds import generator
from harness.config.settings import Split
from harness.datasets import torch_adapter as adopting
from harness.datasets.dataset import SPLITS, Dataset, Samples, digest, overlap, size
from harness.datasets.torch_adapter import adopt, from_torch
from harness.datasets.validation import validate
from harness.system.errors import HarnessError
from harness.system.process_state import drawing
from harness.system.session import Session
from tests.helpers.strangers import install

N = 60
G = torch.Generator().manual_seed(0)
X = torch.randn(N, 4, generator=G)
Y = (X[:, 0] > 0).long()


class Listed(TorchDataset[Any]):
    """Samples of any kind."""

    def __init__(self, samples: Any, **more: Any) -> None:
        self.samples = samples
        self.__dict__ |= more

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Any:
        sample = self.samples[index]
        return sample() if callable(sample) else sample


class Module(pl.LightningDataModule):
    """A module with prepare_data and stages, divided by the global generator, one split shuffled by its loader."""

    def prepare_data(self) -> None:
        self.prepared = True

    def setup(self, stage: str) -> None:
        assert self.prepared
        if stage == "fit":
            self.train, self.val = random_split(TensorDataset(X[:50], Y[:50]), [40, 10])
        else:
            self.test = TensorDataset(X[50:], Y[50:])

    def train_dataloader(self) -> Any:
        return DataLoader(self.train, batch_size=7, shuffle=True)

    def val_dataloader(self) -> Any:
        return DataLoader(self.val, batch_size=7)

    def test_dataloader(self) -> Any:
        return DataLoader(self.test)


class Unvalidated(Module):
    val_dataloader = pl.LightningDataModule.val_dataloader
    test_dataloader = pl.LightningDataModule.test_dataloader


def taken(returned: Any, tmp_path: Path, seed: int = 0) -> Dataset:
    """Load the data as a run does."""
    dataset = adopt(returned, Split(seed=seed), generator(seed, "split"), tmp_path)
    validate(dataset, "mine")
    return dataset


def inputs(dataset: Dataset) -> set[bytes]:
    return {x.numpy().tobytes() for s in SPLITS for x in dataset.part(s).x}  # type: ignore[union-attr]


def test_single_dataset_is_divided_and_three_are_kept(tmp_path: Path) -> None:
    one = taken(TensorDataset(X, Y), tmp_path)
    arrays = harness.from_arrays(X.numpy(), Y.numpy(), Split(), generator(0, "split"), target="class", classes=(0, 1))
    assert digest(one) == digest(arrays)
    parts = [TensorDataset(X[a:b], Y[a:b]) for a, b in ((0, 40), (40, 50), (50, 60))]
    three = taken(parts, tmp_path)
    for split, part in zip(SPLITS, parts, strict=True):
        assert torch.equal(three.part(split).x, part.tensors[0])  # type: ignore[union-attr]
    lacking = taken((parts[0], None, parts[2]), tmp_path)
    assert [size(lacking.part(split)) for split in SPLITS] == [33, 7, 10]
    assert inputs(lacking) == {x.numpy().tobytes() for x in torch.cat([X[:40], X[50:]])}
    assert overlap(lacking) == 0
    assert taken(tuple(parts[:2]), tmp_path, 1).train.x.tolist() != taken(parts[:2], tmp_path, 2).train.x.tolist()  # type: ignore[union-attr]


def test_module_is_prepared_and_its_samples_are_taken(tmp_path: Path) -> None:
    with drawing(3):
        module = taken(Module(), tmp_path)
    with drawing(3):
        again = taken(Module(), tmp_path)
    assert [size(module.part(split)) for split in SPLITS] == [40, 10, 10]
    assert torch.equal(module.test.x, X[50:])  # type: ignore[union-attr]
    assert digest(module) == digest(again)
    assert inputs(module) == {x.numpy().tobytes() for x in X}
    drawn = taken(Unvalidated(), tmp_path)
    assert [size(drawn.part(split)) for split in SPLITS] == [25, 7, 8]


def test_custom_collate_function_is_used(tmp_path: Path) -> None:
    def collate(samples: list[Any]) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.stack([torch.tensor([len(s), s.count("a")]) for s in samples]).float(), torch.ones(len(samples), 2)

    words = Listed(["a", "bab", "aaaa", "ccaca"] * 5)
    dataset = taken(DataLoader(words, collate_fn=collate, batch_size=3), tmp_path)
    assert (dataset.target, dataset.inputs, dataset.width) == ("real", (2,), 2)
    assert inputs(dataset) == {torch.tensor(row).numpy().tobytes() for row in ([1.0, 1], [3.0, 1], [4.0, 4], [5.0, 2])}


@pytest.mark.parametrize("in_memory", [True, False])
def test_classes_may_be_any_integers(tmp_path: Path, in_memory: bool) -> None:
    pairs = Listed([(np.full((2, 3), i), 2 * (i % 2) - 1) for i in range(N)])
    arguments = {"split": Split(), "generator": generator(0, "split"), "cache_dir": tmp_path}
    dataset = from_torch(pairs, in_memory=in_memory, **arguments)
    assert dataset.classes == ("-1", "1")
    _, y = dataset.train[0] if not in_memory else (None, dataset.train.y[0])
    assert int(y) in (0, 1)


@pytest.mark.parametrize(
    ("y", "target", "classes"),
    [
        (lambda i: i % 3, "class", ("0", "1", "2")),
        (lambda i: i % 2 == 0, "class", ("0", "1")),
        (lambda i: np.int32(i % 2), "class", ("0", "1")),
        (lambda i: torch.tensor([i % 2]), "class", ("0", "1")),
        (lambda i: float(i % 2), "class", ("0", "1")),
        (lambda i: torch.tensor([float(i % 2), 1.0]), "labels", ("0", "1")),
        (lambda i: i / 2, "real", ()),
        (lambda i: np.array([i, 1.5]), "real", ()),
        (lambda i: [i % 2, 1, 0], "labels", ("0", "1", "2")),
    ],
)
def test_target_type_is_inferred_from_the_targets(
    tmp_path: Path, y: Any, target: str, classes: tuple[str, ...]
) -> None:
    dataset = taken(Listed([(np.full((2, 3), i), y(i)) for i in range(N)]), tmp_path)
    assert (dataset.target, dataset.classes) == (target, classes)
    assert isinstance(dataset.train, Samples)
    i = int(dataset.train.x[5, 0, 0])
    assert dataset.train.y[5].flatten().tolist() == torch.as_tensor(y(i)).flatten().tolist()
    assert dataset.train.y.ndim == (1 if target == "class" else 2)


def test_target_type_and_classes_can_be_given(tmp_path: Path) -> None:
    arguments = {"split": Split(), "generator": generator(0), "cache_dir": tmp_path}
    whole = TensorDataset(X, Y)
    assert from_torch(whole, target="real", **arguments).width == 1
    assert from_torch(whole, classes=("no", "yes"), **arguments).classes == ("no", "yes")
    named = Subset(Listed([(x, 1) for x in X] + [(x + 1, 0) for x in X], classes=["no", "yes"]), range(0, 120, 2))
    assert from_torch(named, **arguments).classes == ("no", "yes")
    with pytest.raises(HarnessError, match=r"train holds class 1, which is not in 0 \.\. 0"):
        from_torch(whole, classes=("no",), **arguments)


@pytest.mark.parametrize(
    ("x", "dtype"), [(X.double(), "float32"), ((X > 0), "float32"), (X.to(torch.uint8), "float32")]
)
def test_real_inputs_are_float32_and_integers_are_indices(tmp_path: Path, x: torch.Tensor, dtype: str) -> None:
    dataset = taken(TensorDataset(x, Y), tmp_path)
    assert isinstance(dataset.train, Samples)
    assert str(dataset.train.x.dtype) == f"torch.{dtype}"
    tokens = taken(TensorDataset(torch.arange(4 * N).view(N, 4).int(), Y), tmp_path)
    assert isinstance(tokens.train, Samples)
    assert tokens.train.x.dtype == torch.int64
    assert not tokens.real_inputs


def test_large_data_is_kept_in_files_with_equal_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = taken(TensorDataset(X, Y), tmp_path)
    monkeypatch.setattr(adopting, "LARGE", 100)
    monkeypatch.setattr(adopting, "BLOCK_BYTES", 100)
    outside, again = (taken(TensorDataset(X, Y), tmp_path) for _ in range(2))
    other = taken(TensorDataset(X, 1 - Y), tmp_path)
    assert not outside.in_memory
    assert digest(outside) == digest(again) != digest(other)
    assert len([p for p in (tmp_path / "samples").iterdir() if p.is_dir()]) == 2
    for split in SPLITS:
        part: Any = outside.part(split)
        x, y = part.take(torch.arange(len(part)))
        assert torch.equal(x, inside.part(split).x)  # type: ignore[union-attr]
        assert torch.equal(y, inside.part(split).y)  # type: ignore[union-attr]


def test_random_samples_need_a_digest(tmp_path: Path) -> None:
    drawn = Listed([lambda: (torch.randn(3), 0), *[lambda: (torch.randn(3), 1)] * 30], classes=["a", "b"])
    with pytest.raises(HarnessError, match="train, sample 0 differs when it is read again"):
        taken(drawn, tmp_path)
    arguments = {"split": Split(), "generator": generator(0), "cache_dir": tmp_path}
    later = from_torch(drawn, digest="2024-07", **arguments)
    validate(later, "mine")
    assert (digest(later), later.classes, later.inputs, size(later.train)) == ("2024-07", ("a", "b"), (3,), 19)
    with pytest.raises(HarnessError, match="give the names of all classes"):
        from_torch(TensorDataset(X, Y), digest="2024-07", **arguments)


class Feed(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return iter([(X[0], 1)])


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (7, "it returned int, not a harness.Dataset, a torch Dataset"),
        ((X, Y), "train is Tensor, expected a map-style torch Dataset"),
        (Feed(), "train is Feed, expected a map-style torch Dataset"),
        (DataLoader(Feed()), "train is Feed, expected a map-style"),
        (Listed([]), "the train split is empty"),
        (Listed([X[0]] * 20), "train, sample 0 is Tensor, expected a pair"),
        (Listed([{"x": 1, "y": 2}] * 20), "train, sample 0 is dict of 2, expected a pair"),
        (Listed([("text", 1)] * 20), "train, sample 0, input is str, expected a tensor, an array or numbers"),
        (Listed([(X[0], "cat")] * 20), "train, sample 0, target is str"),
        (
            Listed([(X[0], 1)] * 20 + [(X[0, :2], 1)]),
            r"train, sample 20: the shapes of input and target are \[2\] and \[\], but those of",
        ),
        (Listed([(X[0], 1)] * 20 + [(X[0], 0.5)]), "train, sample 20: the target is torch.float64"),
        (Listed([(X[0], 1)] * 20 + [(X[0] / 0, 1)]), "train, sample 20: the input is not finite"),
        (Listed([(X[0], -1)] * 20, classes=["a", "b"]), "train holds class -1, which is not in 0 .. 1"),
        (
            (TensorDataset(X, Y), TensorDataset(X[:, :2], Y)),
            r"the samples of val and train differ in shape or type: \[\[2\]",
        ),
    ],
)
def test_unreadable_data_is_refused(tmp_path: Path, returned: Any, message: str) -> None:
    with pytest.raises(HarnessError, match=message):
        taken(returned, tmp_path)


def test_global_generators_are_restored() -> None:
    import random

    before = torch.random.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    drawn = []
    for seed in (1, 1, 2):
        with drawing(seed):
            drawn.append((float(torch.rand(())), float(np.random.rand()), random.random()))  # noqa: NPY002
    assert drawn[0] == drawn[1]
    assert all(a != b for a, b in zip(drawn[0], drawn[2], strict=True))
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002
    assert random.getstate() == before[2]


MINE = '''
import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

G = torch.Generator().manual_seed(0)
X = torch.randn(300, 4, generator=G)

@harness.data
def flowers(*, sign: Literal["plus", "minus"] = "plus"):
    """A torch Dataset."""
    return TensorDataset(X, ((X[:, 0] > 0) if sign == "plus" else (X[:, 0] < 0)).long())

@harness.data
def lengths():
    """A triple of them, of real targets, one lacking."""
    return TensorDataset(X[:200], 5 + X[:200, 0] * 3), None, TensorDataset(X[200:], 5 + X[200:, 0] * 3)

class Module(pl.LightningDataModule):
    def setup(self, stage):
        self.parts = random_split(TensorDataset(X, (X[:, 1] > 0).long()), [200, 60, 40])

    def train_dataloader(self):
        return DataLoader(self.parts[0], shuffle=True)

    def val_dataloader(self):
        return DataLoader(self.parts[1])

    def test_dataloader(self):
        return DataLoader(self.parts[2])

@harness.data
def module():
    """A LightningDataModule."""
    return Module()

@harness.data
def loaded():
    """What cannot be read."""
    return [1, 2, 3]

class Net(nn.Module):
    def __init__(self, features, outputs):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(features))
        self.layers = nn.Sequential(nn.Linear(features, 16), nn.Tanh(), nn.Linear(16, outputs))
        nn.init.constant_(self.layers[0].weight, 0.5)  # learned elsewhere, say

    def forward(self, x):
        return self.layers(x * self.scale)

@harness.model
def net(inputs, outputs):
    """A Module."""
    return Net(inputs[0], outputs)
'''


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A plugin with a user's own data and model."""
    site = tmp_path_factory.mktemp("site")
    install(site, "mine", MINE, offers="flowers, lengths, module, loaded, net")
    with pytest.MonkeyPatch.context() as patch, Session():
        patch.syspath_prepend(str(site))
        yield


LINE = ["model=net", "executor=in_process", "epochs=4", "optimizer.lr=0.03", "batch_size=32", "logger=[]"]


def test_user_data_and_model_are_trained(mine: None, workdir: Path) -> None:
    records = {name: harness.run([*LINE, f"data={name}"]) for name in ("flowers", "lengths", "module")}
    assert {name: record.status for name, record in records.items()} == dict.fromkeys(records, "completed")
    assert records["flowers"].metrics["test/accuracy"] > 0.8
    assert records["module"].metrics["test/accuracy"] > 0.8
    assert records["lengths"].metrics["test/mse"] < 6  # its variance is 9
    assert [records["lengths"].data[split] for split in SPLITS] == [168, 32, 100]
    assert [records["module"].data[split] for split in SPLITS] == [200, 60, 40]
    assert records["flowers"].choices["transform"] == ["standardize"]
    other = harness.run([*LINE, "data=flowers", "data.sign=minus"])
    assert other.data["digest"] != records["flowers"].data["digest"]
    assert harness.run([*LINE, "data=module"]).cached
    with pytest.raises(HarnessError, match="data loaded: train is int, expected a map-style torch Dataset"):
        harness.run([*LINE, "data=loaded"])


def test_as_built_keeps_the_weights_of_a_user_model(mine: None, workdir: Path) -> None:
    line = [*LINE, "data=flowers", "optimizer=sgd", "optimizer.lr=1e-12"]
    line = [word for word in line if word != "optimizer.lr=0.03"]
    for initializer, kept in (("as_built", True), ("he_normal", False)):
        model: Any = harness.load_model(harness.run([*line, f"initializer={initializer}"]))
        assert torch.allclose(model.layers[0].weight, torch.tensor(0.5), rtol=1e-5, atol=1e-7) is kept


@pytest.mark.parametrize("count", [1, 2])
def test_single_loader_in_a_list_is_accepted(tmp_path: Path, count: int) -> None:
    class Listing(pl.LightningDataModule):
        def train_dataloader(self) -> DataLoader[Any]:
            return DataLoader(TensorDataset(X, Y), 8)

        def val_dataloader(self) -> list[DataLoader[Any]]:
            return [DataLoader(TensorDataset(X[:9] + 7, Y[:9]), 8)] * count

    if count > 1:
        with pytest.raises(HarnessError, match="val_dataloader returns 2 loaders, but a split has one"):
            taken(Listing(), tmp_path)
        return
    assert len(taken(Listing(), tmp_path).val) == 9
