import numpy as np
import pytest
import torch
from torch import nn

from tests.plugins.components.models.helpers import Scaled, WideBlock, block, count, model, places


def convolutions(made):
    return [m for m in made.modules() if isinstance(m, nn.Conv2d)]


@pytest.mark.parametrize("n", [1, 2, 3])
def test_resnet_has_6n_2_layers_and_the_papers_parameters(n):
    net = model("resnet", (3, 32, 32), 10, {"blocks": n}, block(lambda f, ndim: nn.BatchNorm2d(f), bias=False))
    assert len(convolutions(net)) + 1 == 6 * n + 2
    widths = (16, 32, 64)
    kernels = 9 * 3 * 16 + sum(9 * 2 * n * c * c for c in widths) - sum(9 * c * c // 2 for c in widths[1:])
    norms = sum(2 * 2 * n * c for c in widths) + 2 * 64 - 2 * (16 + 32)  # the first of a stage has the previous width
    assert count(net) == kernels + norms + 64 * 10 + 10
    if n == 3:
        assert round(count(net) / 1e6, 2) == 0.27  # ResNet-20 in table 6 of the paper


@pytest.mark.parametrize("inputs", [(1, 8, 8), (3, 9, 5), (2, 1, 1)])
@pytest.mark.parametrize("shortcut", ["identity", "projection"])
def test_resnet_accepts_images_of_any_size_and_any_widths(inputs, shortcut):
    for channels in ([4], [4, 4], [3, 8, 5]):
        net = model("resnet", inputs, 3, {"channels": channels, "blocks": 2, "shortcut": shortcut})
        assert net(torch.ones(2, *inputs)).shape == (2, 3)
        ones = [c for c in convolutions(net) if c.kernel_size == (1, 1)]
        assert len(ones) == (len(channels) - 1 if shortcut == "projection" else 0)


def test_every_stage_but_the_first_halves_the_image():
    net = model("resnet", (1, 16, 12), 3, {"channels": [4, 6, 8], "blocks": 2})
    h, sizes = net.stem(torch.ones(1, 1, 16, 12)), []
    for part in net.blocks:
        h = part(h)
        sizes.append(tuple(h.shape[1:]))
    assert sizes == [(4, 16, 12)] * 2 + [(6, 8, 6)] * 2 + [(8, 4, 3)] * 2


def test_zero_branches_leave_the_shortcuts():
    net = model("resnet", (1, 8, 8), 3, {"channels": [2, 5], "blocks": 2}, block(branches=[Scaled]))
    assert places(net) == [(0, 4), (1, 4), (2, 4), (3, 4)]
    x = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    stem = net.stem(x).detach().numpy()
    expected = np.concatenate([stem[:, :, ::2, ::2], np.zeros((4, 3, 4, 4))], axis=1)
    np.testing.assert_allclose(net.blocks(net.stem(x)).detach().numpy(), expected, atol=1e-7)
    means = np.tanh(expected).mean((2, 3))
    w, b = net.head.weight.detach().numpy(), net.head.bias.detach().numpy()
    np.testing.assert_allclose(net(x).detach().numpy(), means @ w.T + b, rtol=1e-4, atol=1e-5)


def test_residual_block_matches_its_formula():
    net = model("resnet", (2, 6, 6), 3, {"channels": [4]})
    h = torch.randn(3, 4, 6, 6, generator=torch.Generator().manual_seed(0))
    _, first, second = convolutions(net)
    expected = h + second(torch.tanh(first(torch.tanh(h))))
    torch.testing.assert_close(net.blocks(h), expected)


def test_blocks_that_need_wider_layers_get_them():
    wide = WideBlock()
    net = model("resnet", (1, 8, 8), 3, {"channels": [4, 6]}, wide)
    assert wide.seen == [(4, 2), (4, 2), (4, 2), (6, 2), (6, 2)]
    assert [c.out_channels for c in convolutions(net)] == [8, 8, 8, 12, 12]
    assert net(torch.ones(2, 1, 8, 8)).shape == (2, 3)
