import copy
import math

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from harness.modeling.regularizer import Regularizer
from harness.modeling.rng.noise import Noise, keys
from harness.modeling.rng.torch_functions import Redirect
from harness.system.errors import HarnessError
from tests.plugins.components.helpers import make
from tests.training.helpers import train

MODEL = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Conv1d(3, 2, 2)).double()
PARAMS = dict(MODEL.named_parameters())
WEIGHTS = np.concatenate([PARAMS[n].detach().numpy().ravel() for n in ("0.weight", "2.weight")])


def regularizer(name, settings=None):
    return make("regularizer", name, settings, classes=3, total_steps=10)


@pytest.mark.parametrize("strength", [0.0, 1e-4, 2.0])
def test_penalties_are_sums_over_weights_without_biases_and_scales(strength):
    penalties = {name: regularizer(name, {"strength": strength}).penalty(PARAMS).item() for name in ("l1", "l2")}
    assert penalties == pytest.approx({"l1": strength * np.abs(WEIGHTS).sum(), "l2": strength * (WEIGHTS**2).sum() / 2})


@pytest.mark.parametrize(("name", "slope"), [("l1", torch.sign), ("l2", lambda p: p)])
def test_gradient_of_a_penalty_matches_its_formula(name, slope):
    leaf = [PARAMS["0.weight"]]
    (gradient,) = torch.autograd.grad(regularizer(name, {"strength": 0.3}).penalty(PARAMS), leaf)
    torch.testing.assert_close(gradient, 0.3 * slope(leaf[0].detach()))


def test_model_without_weights_has_no_penalty():
    assert regularizer("l2").penalty({"bias": torch.ones(3)}).item() == 0
    assert regularizer("l2").penalty({}).shape == ()


@pytest.mark.parametrize(("ndim", "shape"), [(0, (8, 64)), (1, (8, 64, 3)), (2, (8, 64, 3, 2)), (3, (8, 64, 2, 2, 2))])
def test_dropout_drops_units_or_whole_channels_in_training_only(ndim, shape):
    layer = regularizer("dropout", {"p": 0.25}).layer(64, ndim)
    x = torch.ones(shape)
    with Redirect(Noise(keys(torch.tensor(0), 0))):
        y = layer(x).flatten(2) if ndim else layer(x)[..., None]
    assert torch.equal(y, y[..., :1].expand_as(y))
    assert set(y.unique().tolist()) == {0.0, 1 / np.float32(0.75)}
    assert abs((y[..., 0] == 0).double().mean().item() - 0.25) < 4 * math.sqrt(0.25 * 0.75 / 512)
    assert torch.equal(layer.eval()(x), x)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 100.0])
@pytest.mark.parametrize("by", ["norm", "value"])
def test_gradient_clipping_is_torchs(by, scale):
    limit, model = 0.5, copy.deepcopy(MODEL)
    for i, p in enumerate(model.parameters()):
        p.grad = scale * torch.randn(p.shape, dtype=p.dtype, generator=torch.Generator().manual_seed(i))
    grads = {name: p.grad.clone() for name, p in model.named_parameters()}
    kept = {name: g.clone() for name, g in grads.items()}
    result = regularizer("gradient_clipping", {"limit": limit, "by": by}).gradient(grads, PARAMS, None)
    if by == "norm":
        nn.utils.clip_grad_norm_(model.parameters(), limit)
    else:
        nn.utils.clip_grad_value_(model.parameters(), limit)
    for name, p in model.named_parameters():
        torch.testing.assert_close(result[name], p.grad)
        assert torch.equal(grads[name], kept[name])


def test_gradient_clipping_accepts_zero_and_missing_gradients():
    clip = regularizer("gradient_clipping")
    assert torch.equal(clip.gradient({"a": torch.zeros(3)}, {}, None)["a"], torch.zeros(3))
    assert clip.gradient({}, {}, None) == {}


@pytest.mark.parametrize(("eta", "gamma"), [(0.01, 0.55), (1.0, 0.0), (0.0, 0.5)])
def test_gradient_noise_is_normal_and_decays_as_in_the_paper(eta, gamma):
    grads = {"a": torch.ones(60, 50, dtype=torch.float64), "b": torch.zeros(2000, dtype=torch.float64)}
    for step in (0, 1, 99):
        noise = Noise(keys(torch.tensor(0), step), count_steps=lambda step=step: step)
        result = regularizer("gradient_noise", {"eta": eta, "gamma": gamma}).gradient(grads, {}, noise)
        added = torch.cat([(result[n] - grads[n]).flatten() for n in grads]).numpy()
        std = math.sqrt(eta / (1 + step) ** gamma)
        assert np.abs(added).max() == 0 if not std else scipy.stats.kstest(added / std, "norm").pvalue > 0.01


def test_gradient_noise_counts_optimizer_steps():
    seen = []

    class Watch(Regularizer):
        def gradient(self, grads, params, noise):
            seen.append(noise.step)
            return grads

    train(["epochs=2", "accumulate=4"], change=lambda parts: parts.regularizers.append(Watch()))
    assert seen == list(range(10))  # 18 batches an epoch


def stops(values, patience, min_delta, higher):
    """Return the epoch after which training ends, by looking back from each epoch."""
    sign = 1 if higher else -1
    best, at = None, -1
    for epoch, value in enumerate(values):
        if not math.isnan(value) and (best is None or sign * value > sign * best + min_delta):
            best, at = value, epoch
        if epoch - at >= patience:
            return epoch
    return None


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    values=st.lists(st.integers(-5, 5).map(lambda i: i / 4) | st.just(math.nan), min_size=1, max_size=20),
    patience=st.integers(1, 5),
    min_delta=st.sampled_from([0.0, 0.25, 0.5]),
    mode=st.sampled_from(["min", "max"]),
)
def test_early_stopping_matches_a_naive_rule(values, patience, min_delta, mode):
    rule = regularizer("early_stopping", {"patience": patience, "min_delta": min_delta, "watch": "val/f1"})
    rule.higher_is_better = mode == "max"
    history = [{"train/loss": 0.0, "val/f1": value} for value in values]
    decisions = [rule.should_stop(history[: epoch + 1]) for epoch in range(len(history))]
    expected = stops(values, patience, min_delta, mode == "max")
    assert (decisions.index(True) if True in decisions else None) == expected


def test_early_stopping_waits_for_epochs_with_validation():
    rule = regularizer("early_stopping", {"patience": 1})
    assert not rule.should_stop([{"train/loss": 1.0}] * 9)
    assert rule.should_stop([{"val/loss": 1.0}, {"train/loss": 0.5}, {"val/loss": 1.0}])


def test_early_stopping_names_a_metric_that_is_not_measured():
    rule = regularizer("early_stopping", {"watch": "val/acuracy"})
    with pytest.raises(HarnessError, match=r"'val/acuracy'.*Did you mean 'val/accuracy'"):
        rule.should_stop([{"val/accuracy": 0.5, "val/loss": 1.0}])


def test_early_stopping_has_its_watched_metric_and_kept_weights():
    rule = regularizer("early_stopping", {"watch": "val/f1", "keep": "last"})
    assert (rule.watch, rule.keep) == ("val/f1", "last")
    assert regularizer("early_stopping").keep == "best"


def noisy(std, x, seed=0):
    layer = regularizer("activation_noise", {"std": std}).layer(x.shape[1], x.ndim - 2).double()
    with Redirect(Noise(keys(torch.tensor(seed), 0))):
        y = layer(x)
    assert torch.equal(layer.eval()(x), x)
    return y - x


@pytest.mark.parametrize("shape", [(100, 50), (20, 25, 5, 2)])
def test_activation_noise_is_normal_and_in_training_only(shape):
    x = torch.linspace(-3, 3, 5000, dtype=torch.float64).reshape(shape)
    noise = noisy(0.3, x)
    assert scipy.stats.kstest(noise.flatten().numpy() / np.float32(0.3), "norm").pvalue > 0.01
    assert torch.equal(noise, noisy(0.3, x))
    assert not torch.equal(noise, noisy(0.3, x, seed=1))
    assert torch.equal(noisy(0.0, x), torch.zeros_like(x))


def test_activation_noise_has_no_saved_state():
    assert regularizer("activation_noise").layer(4, 0).state_dict() == {}


@pytest.mark.parametrize("strength", [0.0, 0.1, 1.0])
def test_label_smoothing_matches_torchs_smoothed_cross_entropy(strength):
    draw = torch.Generator().manual_seed(0)
    logits, y = torch.randn(20, 3, generator=draw), torch.arange(20) % 3
    smooth = regularizer("label_smoothing", {"strength": strength}).target(y)
    expected = nn.functional.cross_entropy(logits, y, label_smoothing=strength)
    torch.testing.assert_close(nn.functional.cross_entropy(logits, smooth), expected)
    torch.testing.assert_close(smooth.sum(1), torch.ones(20))
    soft = torch.softmax(torch.randn(20, 3, generator=draw), 1)
    expected = nn.functional.cross_entropy(logits, soft, label_smoothing=strength)
    result = nn.functional.cross_entropy(logits, regularizer("label_smoothing", {"strength": strength}).target(soft))
    torch.testing.assert_close(result, expected)


def test_label_smoothing_refuses_targets_that_are_no_classes():
    with pytest.raises(HarnessError, match="label_smoothing requires class targets"):
        make("regularizer", "label_smoothing", classes=None, total_steps=10)


def test_network_learns_with_label_smoothing_and_activation_noise():
    line = ["epochs=4", "optimizer.lr=0.01", "model=mlp", "model.width=32"]
    plain, _, _ = train(line)
    smooth, _, _ = train([*line, "regularizer=[label_smoothing]"])
    rough, _, _ = train([*line, "regularizer=[activation_noise]", "regularizer.activation_noise.std=0.5"])
    floor = scipy.stats.entropy([0.91, *[0.01] * 9])  # the minimum for targets with a tenth spread over all classes
    assert smooth.metrics["train/loss"] > floor > plain.metrics["train/loss"]
    assert rough.metrics["train/loss"] > plain.metrics["train/loss"]
    assert min(smooth.metrics["val/accuracy"], rough.metrics["val/accuracy"]) > 0.85
