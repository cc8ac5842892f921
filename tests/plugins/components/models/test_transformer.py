import numpy as np
import pytest
import torch
from scipy.special import softmax
from torch import nn

from harness.system.errors import HarnessError
from tests.plugins.components.models.helpers import Scaled, WideBlock, block, count, model, places


def randn(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def made_of(settings=None, inputs=(5, 3), made=None):
    chosen = {"width": 8, "heads": 2, "hidden": 6, "depth": 2} | (settings or {})
    return model("transformer", inputs, 4, chosen, made, torch.Generator().manual_seed(1)).double()


def normed(x, norm):
    centred = x - x.mean(-1, keepdims=True)
    w, b = (p.detach().numpy() for p in norm.parameters())
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + norm.eps) * w + b


def linear(x, layer):
    return x @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()


def attended(x, attention, heads):
    """Compute attention head by head, sample by sample and step by step."""
    q, k, v = (linear(x, layer) for layer in (attention.queries, attention.keys, attention.values))
    outputs, size = np.zeros_like(x), x.shape[2] // heads
    for sample in range(len(x)):
        for head in range(heads):
            own = slice(head * size, (head + 1) * size)
            for t in range(x.shape[1]):
                share = softmax([q[sample, t, own] @ k[sample, s, own] / np.sqrt(size) for s in range(x.shape[1])])
                outputs[sample, t, own] = sum(share[s] * v[sample, s, own] for s in range(x.shape[1]))
    return linear(outputs, attention.out)


@pytest.mark.parametrize("heads", [1, 2, 8])
@pytest.mark.parametrize(("positions", "pooling"), [("learned", "token"), ("sinusoidal", "average"), ("none", "token")])
def test_transformer_matches_its_formula(heads, positions, pooling):
    net = made_of({"heads": heads, "positions": positions, "pooling": pooling})
    with torch.no_grad():  # non-trivial norms, and positions and a token of the size of the rest
        for index, p in enumerate(net.parameters()):
            p.copy_(randn(*p.shape, seed=index))
    x = randn(3, 5, 3)
    h = linear(x.numpy(), net.embedding)
    if positions == "learned":
        h = h + net.positions.table.detach().numpy()
    if positions == "sinusoidal":
        for t in range(5):
            for i in range(4):
                h[:, t, 2 * i] += np.sin(t / 10_000 ** (2 * i / 8))
                h[:, t, 2 * i + 1] += np.cos(t / 10_000 ** (2 * i / 8))
    if pooling == "token":
        h = np.concatenate([np.broadcast_to(net.token.detach().numpy(), (3, 1, 8)), h], axis=1)
    for index, layer in enumerate(net.layers):
        norm, branch, _ = layer.branch
        z = normed(h, norm)
        h = h + (linear(np.tanh(linear(z, branch.inner)), branch.out) if index % 2 else attended(z, branch, heads))
    h = normed(h, net.norm)
    y = linear(h[:, 0] if pooling == "token" else h.mean(1), net.head)
    np.testing.assert_allclose(net(x).detach().numpy(), y, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("positions", "pooling"), [("learned", "average"), ("sinusoidal", "token")])
def test_number_of_parameters(positions, pooling):
    net = made_of({"positions": positions, "pooling": pooling, "width": 8, "hidden": 6, "depth": 3})
    layer = 4 * 8 * 9 + 6 * 9 + 8 * 7 + 2 * 2 * 8
    places = 5 * 8 * (positions == "learned") + 8 * (pooling == "token")
    assert count(net) == 8 * 4 + 3 * layer + 2 * 8 + 4 * 9 + places


def test_order_matters_only_with_positions():
    x = randn(2, 5, 3)
    blind = made_of({"positions": "none"})
    torch.testing.assert_close(blind(x.flip(1)), blind(x))
    for positions in ("learned", "sinusoidal"):
        net = made_of({"positions": positions})
        assert not torch.allclose(net(x.flip(1)), net(x), rtol=1e-6, atol=1e-6)


def test_learned_positions_are_limited_and_sinusoidal_ones_are_not():
    learned, sines = made_of({"positions": "learned"}), made_of({"positions": "sinusoidal"})
    assert learned(randn(2, 4, 3)).shape == (2, 4)
    with pytest.raises(HarnessError, match=r"model\.positions=learned takes sequences of at most 5 steps, got 6"):
        learned(randn(2, 6, 3))
    longer = made_of({"positions": "sinusoidal"}, inputs=(9, 3))
    longer.load_state_dict(sines.state_dict())
    x = randn(2, 9, 3)
    torch.testing.assert_close(sines(x), longer(x), rtol=1e-5, atol=1e-6)  # tables are float32


def test_initial_state_depends_on_the_generator():
    first, again = (made_of({"pooling": "token"}) for _ in range(2))
    torch.testing.assert_close(first.positions.table, again.positions.table)
    torch.testing.assert_close(first.token, again.token)
    assert 0.01 < first.positions.table.std() < 0.03


def test_each_branch_has_its_place_and_each_feed_forward_a_block():
    assert places(made_of(made=block(branches=[Scaled]))) == [(0, 4), (1, 4), (2, 4), (3, 4)]
    wide = WideBlock()
    net = made_of(made=wide)
    assert wide.seen == [(6, 0), (6, 0)]
    assert net(randn(2, 5, 3)).shape == (2, 4)
    bare = made_of(made=block(lambda f, n: nn.BatchNorm1d(f), bias=False))
    assert not any(name.endswith("inner.bias") for name, _ in bare.named_parameters())
    assert bare(randn(2, 5, 3)).shape == (2, 4)


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(HarnessError, match=r"model\.width must be a multiple of model\.heads=3, got 8"):
        made_of({"heads": 3})
