import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.plugins.components.models.helpers import Scaled, WideBlock, block, count, model, places
from tests.training.helpers import train


def randn(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_bag_of_words_counts_tokens():
    net = model("bag_of_words", (6, 4), 3).double()
    tokens = np.random.default_rng(0).integers(0, 4, (5, 6))
    counts = np.stack([np.bincount(row, minlength=4) for row in tokens])
    w, b = (p.detach().numpy() for p in net.parameters())
    assert (w.shape, b.shape) == ((3, 4), (3,))
    y = net(torch.eye(4, dtype=torch.float64)[tokens]).detach().numpy()
    np.testing.assert_allclose(y, counts / 6 @ w.T + b, rtol=1e-12, atol=1e-12)


@given(st.permutations(range(7)), st.integers(0, 99))
@settings(deadline=None, max_examples=30)
def test_bag_of_words_ignores_order(order, seed):
    net = model("bag_of_words", (7, 3)).double()
    x = randn(2, 7, 3, seed=seed)
    torch.testing.assert_close(net(x[:, order]), net(x))


def test_convolution_learns_order_and_bag_of_words_does_not():
    line = ["data=order", "data.length=8", "data.vocabulary=4", "epochs=8", "optimizer.lr=0.01"]
    assert train([*line, "model=conv1d"])[0].metrics["test/accuracy"] > 0.9
    assert train([*line, "model=bag_of_words"])[0].metrics["test/accuracy"] < 0.65


def dilated(x, weight, bias, dilation, left):
    """Return [N, C, T] by hand: y_t = Σ_j W_j x_{t + j d - left} + b, with zeros outside."""
    n, _, steps = x.shape
    y = np.zeros((n, len(bias), steps)) + bias[:, None]
    for t in range(steps):
        for j in range(weight.shape[2]):
            at = t + j * dilation - left
            if 0 <= at < steps:
                y[:, :, t] += x[:, :, at] @ weight[:, :, j].T
    return y


@pytest.mark.parametrize("kernel", [1, 2, 3, 4])
@pytest.mark.parametrize(("padding", "pooling"), [("same", "average"), ("causal", "last"), ("causal", "average")])
@pytest.mark.parametrize(("dilation", "residual"), [(1, False), (2, False), (3, True)])
def test_conv1d_matches_its_formula(kernel, padding, pooling, dilation, residual):
    options = {"channels": 5, "depth": 3, "kernel": kernel, "padding": padding, "pooling": pooling}
    net = model("conv1d", (9, 2), 4, options | {"dilation": dilation, "residual": residual}).double()
    assert count(net) == (2 * kernel + 1) * 5 + 2 * (5 * kernel + 1) * 5 + 5 * 4 + 4
    x = randn(3, 9, 2)
    *w, head, last = (p.detach().numpy() for p in net.parameters())
    h = x.numpy().transpose(0, 2, 1)
    for layer in range(3):
        reach = (kernel - 1) * dilation**layer
        left = reach if padding == "causal" else reach // 2
        y = np.tanh(dilated(h, w[2 * layer], w[2 * layer + 1], dilation**layer, left))
        h = h + y if residual and layer else y
    pooled = h.mean(2) if pooling == "average" else h[:, :, -1]
    np.testing.assert_allclose(net(x).detach().numpy(), pooled @ head.T + last, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("kernel", "dilation", "depth"), [(2, 2, 4), (3, 2, 3), (3, 1, 4), (3, 3, 2)])
def test_conv1d_has_its_receptive_field(kernel, dilation, depth):
    field = 1 + (kernel - 1) * sum(dilation**index for index in range(depth))
    steps = 2 * field + 5
    options = {"channels": 3, "kernel": kernel, "dilation": dilation, "depth": depth}
    for padding, before in (("same", (field - 1) // 2 if kernel % 2 else None), ("causal", field - 1)):
        net = model("conv1d", (steps, 1), 3, options | {"padding": padding}).double()
        x = randn(1, 1, steps).requires_grad_()
        middle = steps // 2
        net.layers(x)[:, :, middle].sum().backward()
        seen = torch.nonzero(x.grad[0, 0]).flatten()
        assert len(seen) == field
        assert seen[-1] - seen[0] == field - 1
        if before is not None:
            assert middle - seen[0] == before


def test_causal_layers_do_not_see_later_steps():
    net = model("conv1d", (12, 2), 3, {"padding": "causal", "channels": 4}).double()
    x = randn(2, 2, 12)
    later = x.clone()
    later[:, :, 7:] += 1
    torch.testing.assert_close(net.layers(later)[:, :, :7], net.layers(x)[:, :, :7])
    assert not torch.allclose(net.layers(later)[:, :, 7:], net.layers(x)[:, :, 7:], rtol=1e-6, atol=1e-6)


def test_conv1d_has_a_branch_per_residual_layer_and_blocks_of_its_width():
    net = model("conv1d", (6, 2), 3, {"depth": 3, "residual": True}, block(branches=[Scaled]))
    assert places(net) == [(0, 2), (1, 2)]
    wide = WideBlock()
    net = model("conv1d", (6, 2), 3, {"depth": 2, "channels": 4}, wide)
    assert wide.seen == [(4, 1), (4, 1)]
    assert net(torch.ones(2, 6, 2)).shape == (2, 3)


@pytest.mark.parametrize(("name", "settings"), [("bag_of_words", {}), ("conv1d", {}), ("conv1d", {"pooling": "last"})])
def test_sequences_may_have_any_length(name, settings):
    net = model(name, (6, 2), 3, settings)
    assert {net(torch.ones(4, steps, 2)).shape for steps in (1, 6, 50)} == {(4, 3)}
