import copy
import math

import numpy as np
import pytest
import sklearn.linear_model
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.optim.swa_utils import AveragedModel

from tests.plugins.components.helpers import make
from tests.training.helpers import train

MODEL = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Conv1d(3, 2, 2)).double()
MATRICES = ("0.weight", "2.weight")


def regularizer(name, settings=None, total=10):
    return make("regularizer", name, settings, classes=3, total_steps=total)


def params(seed=0, scale=1.0):
    draw = torch.Generator().manual_seed(seed)
    return {n: scale * torch.randn(p.shape, dtype=p.dtype, generator=draw) for n, p in MODEL.named_parameters()}


def stepped(name, given, settings=None, lr=0.1, previous=None):
    """Return the parameters after the hook, applied in place to a copy."""
    rule, after = regularizer(name, settings), {n: p.clone() for n, p in given.items()}
    rule.after_step(after, previous or given, lr, rule.init(given))
    return after


@pytest.mark.parametrize("name", ["l1_proximal", "weight_decay", "max_norm"])
def test_biases_and_scales_are_unchanged(name):
    settings = {"limit": 0.01} if name == "max_norm" else {"strength": 1.0}
    before = params()
    after = stepped(name, before, settings)
    assert [n for n in before if not torch.equal(after[n], before[n])] == list(MATRICES)


@pytest.mark.parametrize("strength", [0.0, 0.5, 20.0])
def test_proximal_step_is_torchs_soft_threshold(strength):
    before = params()
    after = stepped("l1_proximal", before, {"strength": strength}, lr=0.2)
    for name in MATRICES:
        torch.testing.assert_close(after[name], nn.functional.softshrink(before[name], 0.2 * strength))
    assert strength < 20 or all(after[name].count_nonzero() == 0 for name in MATRICES)


def test_gradient_descent_with_the_proximal_step_solves_the_lasso():
    rng = np.random.default_rng(0)
    x, alpha = rng.normal(size=(60, 8)), 0.3
    y = x @ np.array([3.0, -2, 0, 0, 1, 0, 0, 0]) + 0.1 * rng.normal(size=60)
    expected = sklearn.linear_model.Lasso(alpha=alpha, fit_intercept=False, tol=1e-12, max_iter=100000).fit(x, y).coef_
    w = torch.zeros(1, 8, dtype=torch.float64)
    rule = regularizer("l1_proximal", {"strength": alpha})
    for _ in range(2000):
        w -= 0.1 * ((w @ torch.tensor(x).T - torch.tensor(y)) @ torch.tensor(x)) / 60
        rule.after_step({"w": w}, {"w": w}, 0.1, None)
    assert w[0].numpy() == pytest.approx(expected, abs=1e-8)
    assert ((w[0].numpy() == 0) == (expected == 0)).all()


def test_adam_with_weight_decay_is_torchs_adamw():
    first = nn.Linear(5, 4, bias=False).double()
    second = copy.deepcopy(first)
    adam = torch.optim.Adam(first.parameters(), lr=0.03)
    adamw = torch.optim.AdamW(second.parameters(), lr=0.03, weight_decay=0.4)
    rule = regularizer("weight_decay", {"strength": 0.4})
    x = torch.randn(9, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for lr in (0.03, 0.02, 0.005):
        for model, optimizer in ((first, adam), (second, adamw)):
            optimizer.param_groups[0]["lr"] = lr
            optimizer.zero_grad()
            model(x).square().sum().backward()
            before = {n: p.detach().clone() for n, p in model.named_parameters()}
            optimizer.step()
            if optimizer is adam:
                with torch.no_grad():
                    rule.after_step(dict(model.named_parameters()), before, lr, None)
    torch.testing.assert_close(first.weight, second.weight, rtol=1e-12, atol=1e-12)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(limit=st.floats(0.1, 10), scale=st.floats(0, 5), seed=st.integers(0, 99))
def test_max_norm_is_torchs_renorm(limit, scale, seed):
    given_, after = params(seed, scale), stepped("max_norm", params(seed, scale), {"limit": limit})
    for name in MATRICES:
        torch.testing.assert_close(after[name], given_[name].renorm(2, 0, limit), rtol=1e-6, atol=1e-9)
        assert (after[name].flatten(1).norm(dim=1) <= limit * (1 + 1e-12)).all()
        short = given_[name].flatten(1).norm(dim=1) < limit
        assert torch.equal(after[name][short], given_[name][short])


def averaged(settings, total, steps):
    """Return the evaluated weights after each step, and the weights of all steps."""
    rule, initial = regularizer("weight_averaging", settings, total), params(99)
    state, path, means = rule.init(initial), [], []
    for i in range(steps):
        now = params(i)
        kept = {n: p.clone() for n, p in now.items()}
        rule.after_step(now, initial, 0.1, state)
        assert all(torch.equal(now[n], kept[n]) for n in kept)  # training continues with the raw weights
        path.append(kept)
        means.append({n: p.clone() for n, p in rule.evaluate(now, state).items()})
    return means, path


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.999])
def test_ema_is_the_weighted_mean_of_all_steps(decay):
    means, path = averaged({"decay": decay}, 20, 20)
    for t, mean in enumerate(means):
        shares = decay ** np.arange(t, -1.0, -1.0)
        for name, result in mean.items():
            all_ = np.stack([step[name].numpy() for step in path[: t + 1]])
            np.testing.assert_allclose(result, np.average(all_, axis=0, weights=shares), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("start", [0.0, 0.3, 0.5, 0.95])
def test_swa_is_torchs_average_of_the_last_steps(start):
    means, path = averaged({"mode": "swa", "start": start}, 15, 15)
    begin, model = math.floor(start * 15), copy.deepcopy(MODEL)
    theirs = AveragedModel(model)
    for t, mean in enumerate(means):
        if t < begin:
            assert all(torch.equal(mean[n], path[t][n]) for n in mean)
            continue
        model.load_state_dict(path[t], strict=False)
        theirs.update_parameters(model)
        for name, p in theirs.module.named_parameters():
            torch.testing.assert_close(mean[name], p.detach(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("mode", ["ema", "swa"])
def test_average_of_bfloat16_weights_keeps_its_precision(mode):
    rule = regularizer("weight_averaging", {"mode": mode, "decay": 0.999, "start": 0.0}, 2000)
    state = rule.init({"w": torch.zeros(1, 1, dtype=torch.bfloat16)})
    for i in range(2000):
        now = {"w": torch.full((1, 1), float(i < 1000), dtype=torch.bfloat16)}
        rule.after_step(now, now, 0.1, state)
    result = rule.evaluate(now, state)["w"]
    expected = 0.5 if mode == "swa" else (0.999**1000 - 0.999**2000) / (1 - 0.999**2000)
    assert result.dtype == torch.bfloat16
    assert result.item() == pytest.approx(expected, rel=0.01)


def weights(*line):
    member, kept, _ = train(["epochs=4", "optimizer.lr=0.01", "model=mlp", "model.width=32", *line])
    return member, kept


def test_regularizers_have_their_effect_in_training():
    plain, free = weights()
    sparse, thin = weights("regularizer=[l1_proximal]", "regularizer.l1_proximal.strength=0.3")
    assert free["head.weight"].count_nonzero() == free["head.weight"].numel()
    assert thin["head.weight"].count_nonzero() < 0.9 * thin["head.weight"].numel()
    decayed, small = weights("regularizer=[weight_decay]", "regularizer.weight_decay.strength=0.5")
    assert small["head.weight"].norm() < 0.95 * free["head.weight"].norm()
    limited, short = weights("regularizer=[max_norm]", "regularizer.max_norm.limit=0.7")
    assert free["head.weight"].norm(dim=1).max() > 0.7
    assert short["head.weight"].norm(dim=1).max() <= 0.7 * (1 + 1e-6)
    mean, _ = weights("regularizer=[weight_averaging]")
    assert [row["train/loss"] for row in mean.history] == [row["train/loss"] for row in plain.history]
    assert mean.metrics["val/loss"] != plain.metrics["val/loss"]
    assert all(m.metrics["val/accuracy"] > 0.85 for m in (sparse, decayed, limited, mean))
