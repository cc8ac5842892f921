import pytest
import torch
from torch import nn

from harness.modeling.initialization import initialize
from tests.plugins.components.helpers import make
from tests.plugins.components.models.helpers import WideBlock, block, count, model

GATES = {"rnn": 1, "gru": 3, "lstm": 4}
NAMES = list(GATES)


def randn(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", NAMES)
def test_readout_uses_the_last_state(name):
    made = model(name, (7, 3), 4, {"width": 5, "depth": 2, "readout": 1}).double()
    states, _ = made.cell(randn(6, 7, 3))
    hidden = torch.tanh(made.hidden.layer0[0](states[:, -1]))
    torch.testing.assert_close(made(randn(6, 7, 3)), made.head(hidden), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("width", "depth", "readout"), [(5, 1, 0), (8, 3, 2)])
def test_number_of_parameters(name, width, depth, readout):
    net = model(name, (7, 3), 4, {"width": width, "depth": depth, "readout": readout})
    layers = GATES[name] * sum(width * (at + width + 2) for at in (3, *[width] * (depth - 1)))
    assert count(net) == layers + readout * width * (width + 1) + 4 * (width + 1)


@pytest.mark.parametrize("name", NAMES)
def test_output_depends_on_order_and_first_step_for_any_length(name):
    net = model(name, (7, 3), 4, {"width": 5}).double()
    x = randn(2, 7, 3)
    assert not torch.allclose(net(x.flip(1)), net(x), rtol=1e-6, atol=1e-6)
    first = x.clone()
    first[:, 0] += 1
    assert not torch.equal(net(first), net(x))
    assert {net(randn(2, steps, 3)).shape for steps in (1, 7, 40)} == {(2, 4)}


def test_forget_bias_is_added_to_torchs_lstm_and_survives_an_initializer():
    net = model("lstm", (7, 3), 4, {"width": 5, "forget_bias": 2.0}).double()
    fill = lambda weight, generator, **_: weight.normal_(generator=generator)  # noqa: E731
    initialize(net, fill, 1.0, torch.Generator().manual_seed(0))
    theirs = nn.LSTM(3, 5, batch_first=True).double()
    theirs.load_state_dict(net.cell.state_dict())  # all names are torch's
    with torch.no_grad():
        theirs.bias_hh_l0[5:10] += 2
    x = randn(6, 7, 3)
    for mine, other in zip((net.cell(x)[0], *net.cell(x)[1]), (theirs(x)[0], *theirs(x)[1]), strict=True):
        torch.testing.assert_close(mine, other)
    plain = model("lstm", (7, 3), 4, {"width": 5, "forget_bias": 0.0}).double()
    plain.load_state_dict(net.state_dict())
    assert not torch.allclose(plain(x), net(x), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_readout_is_made_of_blocks(name):
    wide = WideBlock()
    net = model(name, (7, 3), 4, {"width": 6, "readout": 2}, wide)
    assert wide.seen == [(6, 0), (6, 0)]
    assert net(torch.ones(2, 7, 3)).shape == (2, 4)
    bare = model(name, (7, 3), 4, {"width": 6, "readout": 1}, block(bias=False))
    assert [n for n, _ in bare.hidden.named_parameters()] == ["layer0.0.weight"]


@pytest.mark.parametrize("name", NAMES)
def test_recurrent_weights_are_initialized(name):
    net = model(name, (7, 3), 4, {"width": 5})
    requested = []

    def fill(weight, bias, fan_in, fan_out, **_):
        make("initializer", "constant", {"value": 0.5}, weight=weight)
        requested.append((fan_in, fan_out))

    initialize(net, fill, 1.0, torch.Generator())
    rows = 5 * GATES[name]
    assert requested == [(3, rows), (5, rows), (5, 4)]
    assert all((p == (0.5 if p.ndim > 1 else 0)).all() for p in net.parameters())
