"""Tests of the bridge to pytorch-optimizer: against its classes, and all of them on digits."""

import functools
import inspect
import random
import types

import numpy as np
import pytest
import pytorch_optimizer
import torch
from pytorch_optimizer.base.exception import NoClosureError
from torch import nn

import harness
import harness_pytorch_optimizer
from harness.config.seeds import generator
from harness.registry import catalogue
from harness.registry.catalogue import entry_parameters
from harness.registry.component import asks, mark_of, parameters, validate
from harness.registry.instantiate import component
from harness.registry.kinds import KEY
from harness.registry.registry import REGISTRY
from harness.system.errors import HarnessError
from harness_pytorch_optimizer import PREFIX, components, trial
from tests.plugins.components.helpers import make
from tests.training.helpers import cohort, train

ENTRIES = {e["name"]: e for e in catalogue.current() if e["plugin"] == "pytorch-optimizer"}
CLASSES = {
    PREFIX + cls.__name__.lower(): cls
    for cls in vars(pytorch_optimizer).values()
    if inspect.isclass(cls) and issubclass(cls, torch.optim.Optimizer)
}
DRAWING = [name for name, entry in ENTRIES.items() if "generator" in entry["asks"]]
SMALL = ["model=mlp", "model.width=16", "split.val=0.2", "split.test=0.5", "batch_size=32"]


def built(name, params, seed=0, **given):
    offers = {"params": params, "total_steps": 20, "generator": generator(seed)}
    return make("optimizer", name, given, **offers)


def draw(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def stepped(make_optimizer, steps=4):
    """Return parameters after a few steps down a quadratic bowl."""
    held = [nn.Parameter(draw(4, 3)), nn.Parameter(draw(3))]
    optimizer = make_optimizer(held)
    for _ in range(steps):
        optimizer.zero_grad()
        sum((p**2).sum() for p in held).backward()
        optimizer.step()
    return [p.detach().clone() for p in held]


def test_most_optimizers_are_bridged_and_others_give_a_reason():
    out = {name.removeprefix("optimizer/"): why for name, (_, why) in catalogue.current().absent.items()}
    assert CLASSES.keys() == ENTRIES.keys() | {name for name in out if name.startswith(PREFIX)}
    assert not ENTRIES.keys() & out.keys()
    assert len(ENTRIES) >= 60
    assert "second derivatives" in out[f"{PREFIX}sophiah"]
    assert "second derivatives" in out[f"{PREFIX}adahessian"]
    assert "the model itself" in out[f"{PREFIX}adammini"]
    assert "another optimizer" in out[f"{PREFIX}lookahead"]
    assert "another optimizer" in out[f"{PREFIX}sam"]
    assert "torch's own" in out[f"{PREFIX}adamw"]


def test_bridged_optimizer_is_a_regular_component():
    for name, entry in ENTRIES.items():
        result = REGISTRY.get("optimizer", name)
        assert validate(result) == mark_of(result)
        assert getattr(components, name) is result
        assert asks(result) == entry["asks"]
        first, empty, *more = entry["doc"].splitlines()
        assert 10 < len(first) <= 120
        assert (empty, bool(more)) == ("", True)
        for declared, described in zip(parameters(result), entry_parameters(entry), strict=True):
            assert (declared.name, declared.required) == (described.name, described.required)


@pytest.mark.parametrize("name", [n for n, e in ENTRIES.items() if not e["traits"] and set(e["asks"]) == {"params"}])
def test_steps_and_defaults_match_the_collection(name):
    cls = CLASSES[name]
    theirs = inspect.signature(cls).parameters
    for p in parameters(REGISTRY.get("optimizer", name)):
        assert p.required == (theirs[p.name].default is inspect.Parameter.empty)
        assert p.required or p.default == theirs[p.name].default
    if "use_muon" in inspect.getsource(cls):  # they need parameter groups of their own
        return
    ours, wanted = (stepped(lambda held: built(name, held)), stepped(cls))
    assert all(torch.equal(a, b) for a, b in zip(ours, wanted, strict=True))


def test_settings_reach_the_collection():
    held = [nn.Parameter(draw(2))]
    group = built(f"{PREFIX}adabelief", held, lr=0.3, betas=[0.5, 0.6], weight_decay=0.1).param_groups[0]
    assert (group["lr"], group["betas"], group["weight_decay"]) == (0.3, (0.5, 0.6), 0.1)
    ranger = built(f"{PREFIX}ranger21", held)
    assert ranger.start_warm_down + ranger.num_warm_down_iterations == 20  # the steps of the run


def test_error_of_the_collection_is_one_line():
    with pytest.raises(HarnessError, match=r"^pytorch_optimizer_lion: .*positive.*-1"):
        built(f"{PREFIX}lion", [nn.Parameter(draw(2))], lr=-1.0)


def test_matrices_have_their_own_group():
    held = [nn.Parameter(draw(4, 3)), nn.Parameter(draw(3))]
    groups = built(f"{PREFIX}muon", held, lr=0.1, adamw_lr=0.01).param_groups
    assert [(g["use_muon"], g["lr"], len(g["params"])) for g in groups] == [(True, 0.1, 1), (False, 0.01, 1)]


@pytest.mark.parametrize("name", DRAWING)
def test_draws_are_isolated_from_global_generators(name):
    """Other draws between two runs change nothing, and the run does not change the global generators."""
    first = stepped(lambda held: built(name, held))
    torch.manual_seed(7)
    np.random.seed(7)  # noqa: NPY002
    random.seed(7)
    before = torch.get_rng_state(), np.random.get_state()[1], random.getstate()  # noqa: NPY002
    again = stepped(lambda held: built(name, held))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002
    assert before[2] == random.getstate()


def test_other_optimizers_draw_nothing():
    """Drawing is detected from the code; this test confirms it by running the others."""
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    for name, entry in ENTRIES.items():
        if name in DRAWING or entry["traits"]:
            continue
        before = torch.get_rng_state(), np.random.get_state()[1], random.getstate()  # noqa: NPY002
        stepped(lambda held, name=name: built(name, held), steps=2)
        assert torch.equal(before[0], torch.get_rng_state()), name
        assert np.array_equal(before[1], np.random.get_state()[1]), name  # noqa: NPY002
        assert before[2] == random.getstate(), name


def test_seed_decides_draws_and_resume_continues_them():
    name = f"{PREFIX}kron"
    arguments = {"pre_conditioner_update_probability": 0.5}
    a, b = (stepped(lambda held, s=s: built(name, held, seed=s, **arguments), steps=6) for s in (1, 2))
    assert not torch.equal(a[0], b[0])
    held = [nn.Parameter(draw(4, 3)), nn.Parameter(draw(3))]
    first = built(name, held, seed=1, **arguments)
    for step in range(6):
        if step == 3:
            held = [nn.Parameter(p.detach().clone()) for p in held]
            second = built(name, held, seed=9, **arguments)
            second.load_state_dict(first.state_dict())
            first = second
        first.zero_grad()
        sum((p**2).sum() for p in held).backward()
        first.step()
    assert all(torch.equal(p, q) for p, q in zip(held, a, strict=True))


class Ball(torch.optim.Optimizer):
    """Rolls a ball down the hill.

    Args:
        params: Parameters to optimize.
        lr: Learning rate, of a step. And more.
        shape: Of the ball.
    """

    def __init__(self, params, lr: float | torch.Tensor = 0.1, shape: object = None, radii: tuple[float, ...] = (1.0,)):
        super().__init__(params, {"lr": lr})

    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.data.add_(p.grad, alpha=-group["lr"])


class Broken(Ball):
    """Breaks with this torch."""

    def step(self, closure=None):
        raise AttributeError("torch has no such thing")


class Closing(Ball):
    """Wants a closure."""

    def step(self, closure=None):
        if closure is None:
            raise NoClosureError(str(self))
        closure()
        super().step()


class Unlike(Ball):
    """Cannot be read."""

    __init__ = None


class Wrapper(Ball):
    """Wraps."""

    def __init__(self, optimizer):
        self.optimizer = optimizer


def test_broken_optimizer_is_left_out_with_its_reason(monkeypatch):
    module = types.ModuleType("collection.to.come")
    for cls in (Ball, Broken, Closing, Unlike, Wrapper):
        setattr(module, cls.__name__, cls)
    bridged, out = components.bridge(module)
    assert {name.removeprefix(PREFIX) for name in bridged} == {"ball", "broken", "closing"}
    assert {p.name: p.default for p in parameters(bridged[f"{PREFIX}ball"])} == {"lr": 0.1, "radii": (1.0,)}
    assert mark_of(bridged[f"{PREFIX}closing"]).traits == {"closure": True}
    assert out[f"{PREFIX}unlike"].startswith("it cannot be read: ")
    assert out[f"{PREFIX}wrapper"] == "it needs another optimizer to wrap"
    reason = "a step of it fails: AttributeError: torch has no such thing"
    assert trial.failures(bridged) == {f"{PREFIX}broken": reason}


def test_missing_package_is_reported_with_a_hint(monkeypatch):
    monkeypatch.setattr(harness_pytorch_optimizer, "find_spec", lambda name: None)
    assert harness_pytorch_optimizer.harness_components() == []
    (line,) = harness_pytorch_optimizer.harness_left_out().items()
    assert line[0] == "optimizer/pytorch_optimizer_*"
    assert "pip install 'dl-harness[optimizers]'" in line[1]


def node(name):
    required = {p["name"]: trial.GIVEN[int] for p in ENTRIES[name]["parameters"] if p["required"]}
    return {KEY: name} | {p["name"]: required.get(p["name"], p["default"]) for p in ENTRIES[name]["parameters"]}


@pytest.mark.parametrize("name", ENTRIES)
def test_optimizer_descends_on_digits_with_defaults(name):
    """Two of three draws of weights and split suffice: dadaptadan and vsgd overshoot now and then."""

    def change(parts):
        parts.optimizer = functools.partial(component, "optimizer", node(name))

    def descends(seed):
        line = [*SMALL, "epochs=2", f"seed={seed}", f"split.seed={seed}"]
        first, second = train(line, change=change)[0].history  # composed once for all
        return second["train/loss"] < first["train/loss"]

    successes = descends(0) + descends(1)
    assert successes == 2 or (successes == 1 and descends(2))


@pytest.mark.slow
def test_all_optimizers_train_on_digits_in_one_sweep(workdir):
    assert not [name for name, entry in ENTRIES.items() if any(p["required"] for p in entry["parameters"])]
    records = harness.sweep([f"optimizer={','.join(ENTRIES)}", "epochs=10", "study=all"])
    assert len(records) == len(ENTRIES)
    assert {r.status for r in records} == {"completed"}
    learned = {r.choices["optimizer"]: r.metrics["val/accuracy"] for r in records}
    assert sum(accuracy > 0.5 for accuracy in learned.values()) >= 60, learned


@pytest.mark.parametrize("name", ["adabelief", "kron", "muon"])
def test_fused_matches_alone_and_is_independent_of_other_members(name):
    """Element-wise ones share an optimizer over the stack; the others, and those that draw, have one each."""
    lines = [[*SMALL, f"optimizer={PREFIX}{name}", "epochs=1", f"seed={seed}"] for seed in (1, 2, 3)]
    whole = cohort(lines)
    for line, run in zip(lines[:2], whole, strict=False):
        alone = train(line)[0]
        assert run.state.history[0]["train/loss"] == pytest.approx(alone.history[0]["train/loss"], rel=1e-4)
    (last,) = cohort([lines[2]])
    assert last.state.history == whole[2].state.history
    pairs = zip(last.state.weights.values(), whole[2].state.weights.values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
