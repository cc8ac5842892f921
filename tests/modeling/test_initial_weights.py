"""Tests of the weights that a run starts from: `init_from`, through the public functions."""

from __future__ import annotations

import functools
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

import harness
from harness.modeling.initial_weights import read_state, start_from
from harness.system.errors import HarnessError
from harness.testing.training import cohort

LINE = ["data=iris", "model=mlp", "model.width=8", "logger=[]", "diagnostic=[]"]


@pytest.fixture
def trained(workdir: Path) -> harness.Record:
    return harness.run([*LINE, "epochs=2", "study=first"])


def weights_of(run: harness.Record) -> dict[str, torch.Tensor]:
    return read_state(run.folder / "weights.pt")


def test_a_run_starts_from_the_weights_of_another(trained: harness.Record) -> None:
    line = [*LINE, "epochs=1", "optimizer=sgd", "optimizer.lr=1e-30"]
    run = harness.run([*line, f"init_from=first/{trained.id[:6]}"])
    assert all(torch.equal(value, weights_of(trained)[name]) for name, value in weights_of(run).items())
    fresh = harness.run(line)
    assert fresh.id != run.id
    assert not torch.equal(*(next(iter(weights_of(r).values())) for r in (fresh, run)))


def test_identity_depends_on_the_content_of_the_weights(trained: harness.Record) -> None:
    copy = Path("copy.pt")
    shutil.copy(trained.folder / "weights.pt", copy)
    first = harness.run([*LINE, "epochs=1", f"init_from=first/{trained.id}"])
    same = harness.run([*LINE, "epochs=1", f"init_from={copy}"])
    assert (same.id, same.cached) == (first.id, True)
    torch.save({name: value + 1 for name, value in weights_of(trained).items()}, copy)
    assert harness.run([*LINE, "epochs=1", f"init_from={copy}"]).id != first.id


def test_a_stack_starts_from_the_weights_too(trained: harness.Record) -> None:
    line = [*LINE, "epochs=2", "init_from=" + str(_copied(trained))]
    alone = cohort([[*line, "seed=1"]], fused=False)[0].state
    stacked = cohort([[*line, "seed=1"], [*line, "seed=2"]])[0].state
    assert alone.metrics["val/loss"] == pytest.approx(stacked.metrics["val/loss"], rel=1e-5, abs=1e-6)
    assert stacked.history[0]["train/loss"] < cohort([[*LINE, "seed=1"]], fused=False)[0].state.history[0]["train/loss"]


def _copied(run: harness.Record) -> Path:
    shutil.copy(run.folder / "weights.pt", "start.pt")
    return Path("start.pt")


class Plain(pl.LightningModule):
    """A module that Lightning trains with the batches of a run."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        return nn.functional.cross_entropy(self.net(batch[0]), batch[1])


class Keep(pl.Callback):
    """Keeps the batches of a run."""

    def __init__(self) -> None:
        self.batches: list[Any] = []

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, index: int) -> None:
        self.batches.append([part.clone() for part in batch])


class Batches:
    """The batches of each epoch, one list for each pass."""

    def __init__(self, epochs: list[list[Any]]) -> None:
        self.epochs, self.count = epochs, len(epochs[0])

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Any:
        yield from self.epochs.pop(0)


@pytest.mark.filterwarnings("ignore")  # of Lightning, in a plain training
def test_a_run_continues_from_a_checkpoint_as_lightning_does_with_ckpt_path(workdir: Path) -> None:
    before = harness.run([*LINE, "epochs=1", "study=data"])
    data, net = harness.load_data(before), harness.load_model(before).train()
    options: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "accelerator": "cpu"}
    kept, first = Keep(), Batches([[(data.train.x[:32], data.train.y[:32])]])
    begun = pl.Trainer(max_epochs=1, enable_checkpointing=False, **options)
    begun.fit(Plain(net), first)
    begun.save_checkpoint("begun.ckpt")

    def change(parts: Any) -> None:
        start_from(parts.model, Path("begun.ckpt"))
        parts.callbacks["kept"] = kept

    (run,) = cohort([[*LINE, "optimizer=sgd", "optimizer.lr=0.1", "epochs=2"]], change=change, fused=False)
    continued = Plain(net)
    last = pl.Trainer(max_epochs=3, enable_checkpointing=False, **options)
    last.fit(continued, Batches([kept.batches[:2], kept.batches[2:]]), ckpt_path="begun.ckpt", weights_only=True)
    assert run.state.weights is not None
    for ours, theirs in zip(run.state.weights.values(), continued.net.state_dict().values(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"0.weight": (3, 4)}, "it lacks 0.bias"),
        ({"0.weight": (3, 4), "0.bias": (3,), "1.scale": ()}, "it also has 1.scale"),
        ({"0.weight": (5, 4), "0.bias": (3,)}, "of another shape: 0.weight [5, 4] instead of [3, 4]"),
        ({}, "holds no weights by name"),
    ],
)
def test_weights_that_do_not_fit_are_named(tmp_path: Path, state: dict[str, Any], message: str) -> None:
    path = tmp_path / "w.pt"
    torch.save({name: torch.zeros(shape) for name, shape in state.items()}, path)
    with pytest.raises(HarnessError) as caught:
        start_from(nn.Sequential(nn.Linear(4, 3)), path)
    assert message in str(caught.value)


def test_files_of_every_kind_are_read(tmp_path: Path) -> None:
    path, module = tmp_path / "w.pt", nn.Sequential(nn.Linear(2, 1))
    state = {name: torch.ones_like(value) for name, value in module.state_dict().items()}
    prefixed = {f"net.{name}": value for name, value in state.items()}
    for content in (state, {"state_dict": prefixed, "epoch": 3}, {"state": {"model": state}, "member": {}}, prefixed):
        torch.save(content, path)
        nn.init.zeros_(module[0].weight)
        start_from(module, path)
        assert module[0].weight.tolist() == [[1.0, 1.0]]


class Hostile:
    def __reduce__(self) -> Any:
        return os.mkdir, ("hostile",)


def test_objects_in_a_checkpoint_are_not_built(workdir: Path) -> None:
    """Lightning saves hyperparameters, such as the optimizer as a partial; a stranger may save anything."""
    module = nn.Sequential(nn.Linear(2, 1))
    hyperparameters = {"optimizer": functools.partial(torch.optim.Adam, lr=0.1), "more": [Hostile()]}
    content = {"hyper_parameters": hyperparameters, "state_dict": module.state_dict()}
    torch.save(content, "begun.ckpt")
    torch.manual_seed(1)
    other = nn.Sequential(nn.Linear(2, 1))
    start_from(other, Path("begun.ckpt"))
    assert torch.equal(other[0].weight, module[0].weight)
    assert not Path("hostile").exists()
    torch.save({"state_dict": {"0.weight": Hostile()}}, "begun.ckpt")
    with pytest.raises(HarnessError, match="holds no weights by name"):
        start_from(other, Path("begun.ckpt"))
    assert not Path("hostile").exists()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["init_from=nothing"], "init_from=nothing: no such file, and no study 'nothing'"),
        (["init_from=bad.pt"], "init_from: bad.pt cannot be read"),
        (["train=false"], "train=false evaluates weights: name them, init_from=RUN"),
        (["init_from=first", "initializer=orthogonal"], "initializer=orthogonal has no effect: init_from replaces"),
        (["init_from=first", "model.width=9"], "instead of [9, 4]"),
        (["init_from=first", "model=random_forest"], "is fitted at once: it starts from no weights"),
    ],
)
def test_refused_in_one_line(trained: harness.Record, line: list[str], message: str) -> None:
    Path("bad.pt").write_bytes(b"no weights")
    keys = {word.partition("=")[0] for word in line}
    small = [word for word in LINE if word.partition("=")[0] not in keys and "model=random_forest" not in line]
    with pytest.raises(HarnessError) as caught:
        harness.run([*small, *(["data=iris"] if "model=random_forest" in line else []), "study=new", *line])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not Path("outputs/new").exists()
