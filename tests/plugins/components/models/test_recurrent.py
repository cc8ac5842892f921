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
def test_its_readout_is_of_the_last_state(name):
    made = model(name, (7, 3), 4, {"width": 5, "depth": 2, "readout": 1}).double()
    states, _ = made.cell(randn(6, 7, 3))
    hidden = torch.tanh(made.hidden.layer0[0](states[:, -1]))
    torch.testing.assert_close(made(randn(6, 7, 3)), made.head(hidden), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("width", "depth", "readout"), [(5, 1, 0), (8, 3, 2)])
def test_its_number_of_parameters(name, width, depth, readout):
    made = model(name, (7, 3), 4, {"width": width, "depth": depth, "readout": readout})
    layers = GATES[name] * sum(width * (at + width + 2) for at in (3, *[width] * (depth - 1)))
    assert count(made) == layers + readout * width * (width + 1) + 4 * (width + 1)


@pytest.mark.parametrize("name", NAMES)
def test_it_sees_the_order_and_the_first_step_and_takes_any_length(name):
    made = model(name, (7, 3), 4, {"width": 5}).double()
    x = randn(2, 7, 3)
    assert not torch.allclose(made(x.flip(1)), made(x), rtol=1e-6, atol=1e-6)
    first = x.clone()
    first[:, 0] += 1
    assert not torch.equal(made(first), made(x))
    assert {made(randn(2, steps, 3)).shape for steps in (1, 7, 40)} == {(2, 4)}


def test_the_forget_bias_is_that_of_torchs_lstm_and_outlives_an_initializer():
    made = model("lstm", (7, 3), 4, {"width": 5, "forget_bias": 2.0}).double()
    fill = lambda weight, generator, **_: weight.normal_(generator=generator)  # noqa: E731
    initialize(made, fill, 1.0, torch.Generator().manual_seed(0))
    theirs = nn.LSTM(3, 5, batch_first=True).double()
    theirs.load_state_dict(made.cell.state_dict())  # nothing but torch's own names
    with torch.no_grad():
        theirs.bias_hh_l0[5:10] += 2
    x = randn(6, 7, 3)
    for mine, other in zip((made.cell(x)[0], *made.cell(x)[1]), (theirs(x)[0], *theirs(x)[1]), strict=True):
        torch.testing.assert_close(mine, other)
    plain = model("lstm", (7, 3), 4, {"width": 5, "forget_bias": 0.0}).double()
    plain.load_state_dict(made.state_dict())
    assert not torch.allclose(plain(x), made(x), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_its_readout_is_made_of_blocks(name):
    wide = WideBlock()
    made = model(name, (7, 3), 4, {"width": 6, "readout": 2}, wide)
    assert wide.seen == [(6, 0), (6, 0)]
    assert made(torch.ones(2, 7, 3)).shape == (2, 4)
    bare = model(name, (7, 3), 4, {"width": 6, "readout": 1}, block(bias=False))
    assert [n for n, _ in bare.hidden.named_parameters()] == ["layer0.0.weight"]


@pytest.mark.parametrize("name", NAMES)
def test_its_recurrent_weights_are_the_initializers(name):
    made = model(name, (7, 3), 4, {"width": 5})
    asked = []

    def fill(weight, bias, fan_in, fan_out, **_):
        make("initializer", "constant", {"value": 0.5}, weight=weight)
        asked.append((fan_in, fan_out))

    initialize(made, fill, 1.0, torch.Generator())
    rows = 5 * GATES[name]
    assert asked == [(3, rows), (5, rows), (5, 4)]
    assert all((p == (0.5 if p.ndim > 1 else 0)).all() for p in made.parameters())
