import itertools

import numpy as np
import pytest
import torch
from torch import nn

from harness.config.composition import compose
from harness.datasets.loading import load
from harness.execution.resolve import resolve
from harness.modeling.block import Block
from harness.registry import catalogue
from harness.registry.kinds import KEY
from harness.system.errors import HarnessError
from tests.plugins.components.models.helpers import block, model, parameters


@pytest.mark.parametrize(("width", "depth"), [(5, 0), (5, 1), (7, 3)])
def test_mlp_has_its_layers(width, depth):
    net = model("mlp", (2, 3), 4, {"width": width, "depth": depth})
    at = [6, *[width] * depth]
    shapes = [s for a, b in itertools.pairwise(at) for s in [(b, a), (b,)]] + [(4, at[-1]), (4,)]
    assert list(parameters(net).values()) == shapes


def test_mlp_matches_its_formula():
    net = model("mlp", (2, 3), 4, {"width": 5, "depth": 2}).double()
    x = torch.randn(9, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    w = [p.detach().numpy() for p in net.parameters()]
    h = x.numpy().reshape(9, 6)
    for i in (0, 2):
        h = np.tanh(h @ w[i].T + w[i + 1])
    np.testing.assert_allclose(net(x).detach().numpy(), h @ w[4].T + w[5], rtol=1e-12, atol=1e-12)


def test_mlp_without_biases_has_none():
    assert all(len(shape) == 2 for shape in parameters(model("mlp", (4,), 2, {"bias": False})).values())


@pytest.mark.parametrize(
    ("name", "inputs"), [("mlp", (4,)), ("cnn", (1, 8, 8)), ("resnet", (1, 8, 8)), ("conv1d", (6, 2))]
)
def test_bias_cancelled_by_a_normalization_is_left_out(name, inputs):
    net = model(name, inputs, made=block(bias=False))
    biases = [p for p in parameters(net) if p.endswith("bias")]
    assert biases == ["head.bias"]


@pytest.mark.parametrize(("name", "inputs"), [("mlp", (4,)), ("cnn", (1, 8, 8))])
def test_hidden_layers_get_a_block_for_their_width_and_dimensions(name, inputs):
    seen = []

    class Wide(Block):
        def inputs(self, width):
            return 2 * width

        def __call__(self, features, ndim=0):
            seen.append((features, ndim))
            return nn.Sequential(Halve())

    class Halve(nn.Module):
        def forward(self, x):
            return x[:, ::2]

    settings = {"width": 6, "depth": 2} if name == "mlp" else {"channels": [6, 10]}
    net = model(name, inputs, 3, settings, Wide(nn.Tanh, lambda f, n: None, [], True))
    assert seen == ([(6, 0), (6, 0)] if name == "mlp" else [(6, 2), (10, 2)])
    assert net(torch.zeros(2, *inputs)).shape == (2, 3)


@pytest.mark.parametrize("inputs", [(1, 8, 8), (3, 9, 5), (2, 3, 3), (1, 2, 20), (4, 1, 1)])
@pytest.mark.parametrize("channels", [[2], [2, 3], [2, 3, 4, 5]])
@pytest.mark.parametrize("kernel", [1, 3, 7])
def test_cnn_accepts_images_of_any_size(inputs, channels, kernel):
    net = model("cnn", inputs, 3, {"channels": channels, "kernel": kernel})
    assert net(torch.zeros(2, *inputs)).shape == (2, 3)
    convolutions = [m for m in net.modules() if isinstance(m, nn.Conv2d)]
    assert [(c.in_channels, c.out_channels) for c in convolutions] == list(
        zip([inputs[0], *channels], channels, strict=False)
    )
    assert {c.kernel_size for c in convolutions} == {(kernel, kernel)}


def test_cnn_halves_the_image_while_larger_than_three():
    net = model("cnn", (1, 16, 16), 3, {"channels": [2, 2, 2, 2]})
    sizes, x = [], torch.zeros(1, 1, 16, 16)
    for stage in net.stages:
        x = stage(x)
        sizes.append(x.shape[-1])
    assert sizes == [8, 4, 2, 2]
    assert net.head.in_features == 2 * 2 * 2


def test_cnn_pools_the_maximum_or_mean_of_four_pixels():
    x = torch.randn(5, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    for pooling, pool in (("max", np.max), ("average", np.mean)):
        stage = model("cnn", (2, 8, 8), 3, {"channels": [4], "pooling": pooling}).stages.stage0
        before = stage[:-1](x).detach().numpy()
        pooled = pool(before.reshape(5, 4, 4, 2, 4, 2), axis=(3, 5))
        np.testing.assert_allclose(stage(x).detach().numpy(), pooled, rtol=1e-5, atol=1e-6)


def test_cnn_stages_are_translation_equivariant():
    net = model("cnn", (1, 16, 16), 3, {"channels": [4]})
    x = torch.zeros(1, 1, 16, 16)
    x[0, 0, 4, 4] = 1
    shifted = x.roll((2, 4), (2, 3))
    torch.testing.assert_close(net.stages(shifted)[..., 2:7, 3:7], net.stages(x)[..., 1:6, 1:5])


@pytest.mark.parametrize("kernel", [2, 6])
def test_cnn_refuses_even_kernels(kernel):
    with pytest.raises(HarnessError, match=f"model.kernel must be odd, got {kernel}"):
        model("cnn", (1, 8, 8), 3, {"kernel": kernel})


MODELS = [
    row
    for row in catalogue.current()
    if row["kind"] == "model" and row["plugin"] == "harness" and not row["traits"].get("estimator")
    if "classification" in row["traits"]["tasks"]
]
INPUTS = {1: (7,), 2: (6, 5), 3: (2, 8, 6)}
every_model = pytest.mark.parametrize("row", MODELS, ids=[row["name"] for row in MODELS])


def dimensions(row):
    return row["traits"].get("input_ndim", [1])[0]


@every_model
def test_every_parameter_has_a_gradient_and_samples_are_independent(row):
    inputs = INPUTS[dimensions(row)]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = model(row["name"], inputs, made=block(lambda f, n: nn.GroupNorm(1, f)))
    x = torch.randn(6, *inputs, generator=torch.Generator().manual_seed(1))
    y = net(x)
    y.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in net.parameters())
    torch.testing.assert_close(net(x[2:3]), y[2:3])


@every_model
def test_samples_of_another_shape_are_refused_at_composition(row):
    for wrong, line in ((1, "data=iris"), (2, "data=order"), (3, "data=digits")):
        job = compose([f"model={row['name']}", line])
        dataset = load(job.values).dataset
        if "input_ndim" not in row["traits"] or wrong in row["traits"]["input_ndim"]:
            assert resolve(job.values, dataset, catalogue.current())["model"][KEY] == row["name"]
        else:
            with pytest.raises(
                HarnessError, match=f"^model {row['name']} wants samples of .* dimensions, and data .*$"
            ):
                resolve(job.values, dataset, catalogue.current())


def test_global_pooling_averages_the_maps_whatever_their_size():
    counts = set()
    for size in (8, 11):
        net = model("cnn", (1, size, size), 3, {"channels": (4, 5), "global_pooling": True}).double()
        x = torch.randn(2, 1, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        maps = net.stages[:-1](x).detach().numpy()
        expected = maps.mean((2, 3)) @ net.head.weight.detach().numpy().T + net.head.bias.detach().numpy()
        np.testing.assert_allclose(net(x).detach().numpy(), expected, rtol=1e-12, atol=1e-12)
        counts.add(sum(p.numel() for p in net.parameters()))
    assert counts == {(9 + 1) * 4 + (9 * 4 + 1) * 5 + (5 + 1) * 3}
