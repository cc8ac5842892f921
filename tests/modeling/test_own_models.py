"""Tests of users' own models, data and optimizers: unsupported parts are refused, documented ones pass."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import harness
from harness.cli.main import dispatch
from harness.system.session import Session
from tests.helpers.strangers import install

OWN = '''
"""Of my own."""
import math
import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

class Waves(pl.LightningDataModule):
    def setup(self, stage):
        t = torch.linspace(0, 6, 12)
        frequency = 1 + 4 * torch.rand(120, generator=torch.Generator().manual_seed(0))
        whole = TensorDataset(torch.sin(frequency[:, None] * t), (frequency > 3).long())
        self.parts = random_split(whole, [80, 20, 20])

    def train_dataloader(self):
        return DataLoader(self.parts[0], batch_size=50, shuffle=True)

    def val_dataloader(self):
        return DataLoader(self.parts[1])

    def test_dataloader(self):
        return DataLoader(self.parts[2])

@harness.data
def waves():
    """Waves, as a LightningDataModule divides them."""
    return Waves()

class Pictures(nn.Module):
    def __init__(self, channels, outputs):
        super().__init__()
        self.filters, self.last = nn.Conv2d(channels, 4, 3, padding=1), nn.Linear(4, outputs)
        nn.init.constant_(self.last.weight, 0.5)

    def forward(self, x):
        return self.last(self.filters(x).relu().mean((2, 3)))

@harness.model
def pictures(inputs, outputs):
    """A network of convolutions for images."""
    return Pictures(inputs[0], outputs)

@harness.model
def colours(outputs):
    """A network of convolutions for images of three channels."""
    return Pictures(3, outputs)

class Lit(pl.LightningModule):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.layer = nn.Linear(inputs, outputs)

    def forward(self, x):
        return self.layer(x.flatten(1))

class Stepping(Lit):
    def training_step(self, batch, index):
        raise RuntimeError

    def configure_optimizers(self):
        raise RuntimeError

@harness.model
def lit(inputs, outputs):
    """A LightningModule that only computes."""
    return Lit(math.prod(inputs), outputs)

@harness.model
def stepping(inputs, outputs):
    """A LightningModule that would train itself."""
    return Stepping(math.prod(inputs), outputs)

@harness.model(forward_only=True)
def forwarding(inputs, outputs):
    """The same, of which harness is to use the forward pass alone."""
    return Stepping(math.prod(inputs), outputs)

class Closing(torch.optim.SGD):
    def step(self, closure):
        return super().step(closure)

@harness.optimizer(reference="Polyak, 1964")
def closing(params, *, lr: float = 0.1):
    """Descends by the closure.

    w = w - lr g
    """
    return Closing(params, lr=lr)

@harness.optimizer(closure=True, reference="arXiv:1412.6980")
def closing_declared(params, *, lr: float = 0.1):
    """Descends by the closure.

    w = w - lr g
    """
    return Closing(params, lr=lr)

@harness.optimizer(reference="no one in particular")
def unfindable(params, *, lr: float = 0.1):
    """Descends.

    w = w - lr g
    """
    return torch.optim.SGD(params, lr=lr)
'''
OFFERS = "waves, pictures, colours, lit, stepping, forwarding, closing, closing_declared, unfindable"
LINE = ["trainer=cpu", "diagnostic=[]", "logger=[]", "epochs=1", "executor=in_process"]


@pytest.fixture(scope="module", autouse=True)
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    site = tmp_path_factory.mktemp("site")
    install(site, "own", OWN, offers=OFFERS)
    with pytest.MonkeyPatch.context() as patch, Session():
        patch.syspath_prepend(str(site))
        yield


def test_lightning_module_with_a_training_step_is_refused(workdir: Path) -> None:
    message = (
        "^model stepping is a LightningModule with its own training_step and configure_optimizers, which harness never "
        r"calls: it trains forward\(\) .* Write @harness\.model\(forward_only=True\)"
    )
    with pytest.raises(harness.HarnessError, match=message):
        harness.run([*LINE, "model=stepping"])
    assert list(workdir.iterdir()) == []


@pytest.mark.parametrize("model", ["lit", "forwarding"])
def test_forward_only_lightning_module_is_trained(model: str, workdir: Path) -> None:
    records = harness.sweep([*LINE, f"model={model}", "seed=0,1", "path=fused"])
    assert [(record.status, record.cohort["path"]) for record in records] == [("completed", "fused")] * 2


def test_user_model_keeps_its_weights_unless_an_initializer_is_chosen(workdir: Path) -> None:
    line = [*LINE, "model=pictures", "optimizer=sgd", "optimizer.lr=1e-12"]
    for text, chosen, kept in (([], "as_built", True), (["initializer=he_normal"], "he_normal", False)):
        record = harness.run([*line, *text])
        assert (record.choices["initializer"], record.choices["activation"]) == (chosen, "none")
        weight = harness.load_model(record).last.weight
        assert torch.allclose(weight, torch.tensor(0.5), rtol=1e-6, atol=1e-6) is kept


def test_model_without_blocks_refuses_settings_of_blocks(workdir: Path) -> None:
    with pytest.raises(harness.HarnessError, match=r"model pictures does not ask for block: it has no place for reg"):
        harness.run([*LINE, "model=pictures", "regularizer=[dropout]"])


def test_optimizer_that_needs_a_closure_must_declare_it(workdir: Path) -> None:
    with pytest.raises(harness.HarnessError, match=r"optimizer closing: its step\(closure\).*closure=True"):
        harness.run([*LINE, "optimizer=closing"])
    assert list(workdir.iterdir()) == []
    assert harness.run([*LINE, "optimizer=closing_declared"]).status == "completed"


@pytest.mark.parametrize(
    ("label", "only"),
    [
        ("data/waves", ()),
        ("model/pictures", ("--only", "builds,traits,fused")),
        ("model/colours", ("--only", "builds,traits")),
        ("optimizer/closing_declared", ("--only", "builds,referenced,descends")),
    ],
)
def test_documented_components_pass_the_checks(
    label: str, only: tuple[str, ...], workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dispatch(["check", label, *only]) == 0, capsys.readouterr().out


@pytest.mark.parametrize(
    ("label", "check", "message"),
    [
        ("optimizer/closing", "builds", "closure=True"),
        ("optimizer/unfindable", "referenced", "no year, arXiv number, DOI or address"),
        ("model/stepping", "fused", "forward_only=True"),
    ],
)
def test_failed_checks_say_what_to_write(
    label: str, check: str, message: str, workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dispatch(["check", label, "--only", check]) == 1
    assert message in capsys.readouterr().out
