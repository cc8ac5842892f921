import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import harness
from harness.config.seeds import generator
from harness.registry.instantiate import trait
from harness.registry.kinds import KEY
from tests.plugins.components.helpers import make

SHAPES = {0: (16, 5), 1: (8, 5, 7), 2: (8, 5, 4, 3), 3: (4, 5, 2, 3, 2)}


def inputs(ndim, seed=0):
    x = torch.randn(SHAPES[ndim], dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return x * torch.arange(1.0, 6).reshape(1, 5, *[1] * ndim) + 3


def normalization(name, ndim, settings=None):
    module = make("normalization", name, settings, features=5, ndim=ndim).double()
    with torch.no_grad():
        module.weight.copy_(torch.linspace(0.5, 2, 5))
        module.bias.copy_(torch.linspace(-1, 1, 5))
    return module


def expected(x, axes, eps):
    x = x.numpy()
    mean, var = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    scale, shift = (v.reshape(1, 5, *[1] * (x.ndim - 2)) for v in (np.linspace(0.5, 2, 5), np.linspace(-1, 1, 5)))
    return scale * (x - mean) / np.sqrt(var + eps) + shift


def test_none_gives_no_module():
    assert make("normalization", "none", features=5, ndim=2) is None


@pytest.mark.parametrize("ndim", SHAPES)
def test_batch_norm_is_torchs_for_any_number_of_dimensions(ndim):
    module = normalization("batch_norm", ndim, {"eps": 0.5, "momentum": 0.3})
    mean, var = torch.zeros(5, dtype=torch.float64), torch.ones(5, dtype=torch.float64)
    for seed, training in ((0, True), (1, True), (9, False)):
        x = inputs(ndim, seed)
        theirs = F.batch_norm(x, mean, var, module.weight, module.bias, training, momentum=0.3, eps=0.5)
        torch.testing.assert_close(module.train(training)(x), theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("eps", [1e-5, 0.5])
@pytest.mark.parametrize("ndim", SHAPES)
def test_layer_norm_normalizes_over_the_channels_of_each_sample_and_place(ndim, eps):
    module, x = normalization("layer_norm", ndim, {"eps": eps}), inputs(ndim)
    np.testing.assert_allclose(module(x).detach().numpy(), expected(x, (1,), eps), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(module(x[:1]), module(x)[:1])
    assert f"eps={eps}" in repr(module)


@pytest.mark.parametrize("name", ["none", "batch_norm", "layer_norm"])
def test_bias_is_cancelled_as_the_trait_says(name):
    module, x = make("normalization", name, features=5, ndim=0), inputs(0).float()
    shift = torch.linspace(-2, 3, 5)
    same = module is not None and torch.allclose(module(x), module(x + shift), atol=1e-5)
    assert trait("normalization", {KEY: name}, "cancels_bias", False) is same


IMAGES = torch.randn(4, 6, 5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) * 3 + 1


def normalized(x, axes, eps):
    x = x.numpy()
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps)


def test_group_norm_is_over_a_group_of_channels_and_space():
    module = make("normalization", "group_norm", {"groups": 3}, features=6, ndim=2).double()
    grouped = IMAGES.view(4, 3, 2, 5, 3)
    assert module(IMAGES).detach().numpy() == pytest.approx(normalized(grouped, (2, 3, 4), 1e-5).reshape(4, 6, 5, 3))
    assert make("normalization", "group_norm", {"groups": 8}, features=6, ndim=0).num_groups == 2  # the common divisor


def test_instance_norm_is_over_the_space_of_each_channel():
    module = make("normalization", "instance_norm", features=6, ndim=2).double()
    assert module(IMAGES).detach().numpy() == pytest.approx(normalized(IMAGES, (2, 3), 1e-5))
    with pytest.raises(harness.HarnessError, match="this model have none"):
        make("normalization", "instance_norm", features=6, ndim=0)


def test_rms_norm_divides_by_the_root_mean_square_of_the_channels():
    module = make("normalization", "rms_norm", {"eps": 1e-6}, features=6, ndim=2).double()
    x = IMAGES.numpy()
    wanted = x / np.sqrt((x**2).mean(1, keepdims=True) + 1e-6)
    assert module(IMAGES).detach().numpy() == pytest.approx(wanted)
    assert module(IMAGES[:, :, 0, 0]).detach().numpy() == pytest.approx(wanted[:, :, 0, 0])


@pytest.mark.parametrize("layer", [nn.Linear(5, 4), nn.Conv2d(3, 4, 3)])
def test_weight_norm_keeps_the_weight_and_separates_length_from_direction(layer):
    before = layer.weight.detach().clone()
    make("normalization", "weight_norm", layer=layer, name="weight")
    torch.testing.assert_close(layer.weight, before)
    g, v = layer.parametrizations.weight.original0, layer.parametrizations.weight.original1
    assert g.numel() == 4
    with torch.no_grad():
        v.mul_(7)
        torch.testing.assert_close(layer.weight, before)
        g.mul_(2)
    torch.testing.assert_close(layer.weight, 2 * before)
    reference = torch.nn.utils.parametrizations.weight_norm(nn.Linear(5, 4)) if layer.weight.ndim == 2 else None
    if reference is not None:
        assert {tuple(p.shape) for p in reference.parameters()} == {tuple(p.shape) for p in layer.parameters()}


@pytest.mark.parametrize("layer", [nn.Linear(5, 4), nn.Conv2d(3, 4, 3)])
def test_spectral_norm_divides_by_the_largest_singular_value(layer):
    before = layer.weight.detach().clone()
    largest = np.linalg.svd(before.flatten(1).numpy(), compute_uv=False)[0]
    make("normalization", "spectral_norm", {"power_iterations": 5}, layer=layer, name="weight", generator=generator(0))
    for _ in range(20):
        layer.train()
        assert layer.weight.shape == before.shape
    assert layer.weight.detach().numpy() == pytest.approx(before.numpy() / largest, rel=1e-3, abs=1e-4)
    layer.eval()
    kept = layer.parametrizations.weight[0].u.clone()
    assert layer.weight is not None
    assert torch.equal(kept, layer.parametrizations.weight[0].u)  # evaluation does not change the estimate


@pytest.mark.parametrize("name", ["weight_norm", "spectral_norm"])
def test_parametrized_weights_are_saved_and_loaded(name, workdir):
    record = harness.run([f"normalization={name}", "epochs=1", "model=mlp", "model.width=8"])
    assert record.status == "completed"
    model = harness.load_model(record)
    assert sum("parametrizations" in key for key in model.state_dict()) >= 3
    again = harness.run([f"normalization={name}", "epochs=1", "model=mlp", "model.width=8", "rerun=true"])
    assert again.metrics == record.metrics


@pytest.mark.parametrize("ndim", SHAPES)
def test_batch_norm_may_evaluate_groups_by_their_own_statistics(ndim):
    module = make("normalization", "batch_norm", {"evaluation": "batch", "group": 3}, features=5, ndim=ndim).double()
    x = torch.cat([inputs(ndim, seed) for seed in range(2)])[:8]
    plain = normalization("batch_norm", ndim)
    with torch.no_grad():
        module.norm.weight.copy_(plain.weight)
        module.norm.bias.copy_(plain.bias)
    theirs = torch.cat([plain(part) for part in (x[:4], x[4:])])  # 8 samples are two groups of 3, the rest joins them
    torch.testing.assert_close(module.eval()(x), theirs, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(module.train()(x), plain(x), rtol=1e-9, atol=1e-12)
    whole = make("normalization", "batch_norm", {"evaluation": "batch"}, features=5, ndim=ndim).double().eval()
    torch.testing.assert_close(whole(x), whole.train()(x), rtol=1e-9, atol=1e-12)
