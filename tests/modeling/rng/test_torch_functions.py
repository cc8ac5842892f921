"""Tests that draws of torch functions come from the run's noise, and leave torch's global generator alone."""

import numpy as np
import pytest
import scipy.stats
import torch
from torch import nn
from torch.nn import functional as F

from harness.modeling.rng.noise import Noise, keys
from harness.modeling.rng.torch_functions import OPENED, SEEDED, TABLE, Redirect
from harness.training.plan import shard


def redirected(function, seed=0, step=0, of=None):
    """Return the result of a function with draws redirected, and whether it drew; fail if torch's generator moved."""
    before = torch.get_rng_state()
    with Redirect(Noise(keys(torch.tensor(seed), step), of)) as mode:
        result = function()
    assert torch.equal(before, torch.get_rng_state())
    return result, mode.drawn


X = torch.linspace(-2, 2, 4 * 8 * 16).reshape(4, 8, 16)
IMAGE = torch.linspace(0.1, 1, 2 * 3 * 8 * 8).reshape(2, 3, 8, 8)
LSTM = nn.LSTM(16, 8, num_layers=2, dropout=0.5)
ATTENTION = nn.MultiheadAttention(16, 2, dropout=0.5)
ENCODER = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.5)

DRAWING = {
    "Dropout": lambda: nn.Dropout(0.5)(X),
    "Dropout1d": lambda: nn.Dropout1d()(X),
    "Dropout2d": lambda: nn.Dropout2d()(IMAGE),
    "Dropout3d": lambda: nn.Dropout3d()(IMAGE[:, :, None]),
    "AlphaDropout": lambda: nn.AlphaDropout()(X),
    "FeatureAlphaDropout": lambda: nn.FeatureAlphaDropout()(X),
    "RReLU": lambda: nn.RReLU()(X),
    "FractionalMaxPool2d": lambda: nn.FractionalMaxPool2d(2, output_size=13)(IMAGE.repeat(4, 4, 4, 4)),
    "LSTM": lambda: LSTM(X)[0],
    "MultiheadAttention": lambda: ATTENTION(X, X, X)[0],
    "MultiheadAttention without weights": lambda: ATTENTION(X, X, X, need_weights=False)[0],
    "TransformerEncoderLayer": lambda: ENCODER(X),
    "gumbel_softmax": lambda: F.gumbel_softmax(X),
    "scaled_dot_product_attention": lambda: F.scaled_dot_product_attention(X, X, X, dropout_p=0.5),
    "rand": lambda: torch.rand(3, 4),
    "rand size": lambda: torch.rand(size=(3, 4)),
    "randn": lambda: torch.randn((3, 4), dtype=torch.float64),
    "rand_like": lambda: torch.rand_like(X),
    "randn_like": lambda: torch.randn_like(X, dtype=torch.float64),
    "randperm": lambda: torch.randperm(50),
    "randint": lambda: torch.randint(100, (9,)),
    "randint low": lambda: torch.randint(-100, 100, size=(9,)),
    "randint named": lambda: torch.randint(low=5, high=100, size=(9,)),
    "randint_like": lambda: torch.randint_like(X, 100),
    "bernoulli": lambda: torch.bernoulli(X.sigmoid()),
    "bernoulli p": lambda: torch.bernoulli(X, 0.3),
    "bernoulli_": lambda: torch.empty(90).bernoulli_(0.3),
    "normal": lambda: torch.normal(X, 0.5),
    "normal size": lambda: torch.normal(1.0, 0.5, size=(9,)),
    "normal_": lambda: torch.empty(9).normal_(2, 3),
    "uniform_": lambda: torch.empty(9).uniform_(2, 3),
    "exponential_": lambda: torch.empty(9).exponential_(2),
    "multinomial": lambda: torch.multinomial(torch.ones(90), 20),
    "log_normal_": lambda: torch.empty(9).log_normal_(),
    "torch.dropout": lambda: torch.dropout(X, 0.5, True),
    "Normal": lambda: torch.distributions.Normal(0.0, 1.0).rsample((9,)),
    "Categorical": lambda: torch.distributions.Categorical(torch.ones(40)).sample((9,)),
    "Beta": lambda: torch.distributions.Beta(torch.ones(4), 1.0).sample(),
}


@pytest.mark.parametrize("function", DRAWING.values(), ids=DRAWING.keys())
def test_redirected_draw_depends_on_seed_and_step_only(function):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        first, drawn = redirected(function)
        torch.manual_seed(2)
        again, _ = redirected(function)
        plain = function()
    assert drawn
    assert torch.equal(first, again)
    assert first.shape == plain.shape
    assert first.dtype == plain.dtype
    for seed, step in ((1, 0), (0, 1)):
        assert not torch.equal(first, redirected(function, seed, step)[0])


QUIET = {
    "Dropout in evaluation": lambda: nn.Dropout(0.5).eval()(X),
    "dropout without training": lambda: F.dropout2d(IMAGE, training=False),
    "attention without dropout": lambda: F.scaled_dot_product_attention(X, X, X),
    "linear": lambda: F.linear(X, torch.ones(3, 16)),
    "RReLU in evaluation": lambda: nn.RReLU().eval()(X),
}


@pytest.mark.parametrize("function", QUIET.values(), ids=QUIET.keys())
def test_function_that_does_not_draw_is_unchanged(function):
    result, drawn = redirected(function)
    assert not drawn
    assert torch.equal(result, function())


def test_dropout_module_draws_from_the_noise():
    expected = Noise(keys(torch.tensor(4), 2)).dropout(X, 0.3)
    assert torch.equal(redirected(lambda: nn.Dropout(0.3)(X), 4, 2)[0], expected)


def test_dropout_in_place_changes_its_input():
    x = X.clone()
    result, _ = redirected(lambda: nn.Dropout(0.5, inplace=True)(x))
    assert result is x
    assert not torch.equal(x, X)


@pytest.mark.parametrize(
    ("module", "shape"), [(nn.Dropout1d, (4, 8, 5)), (nn.Dropout2d, (4, 8, 5, 5)), (nn.Dropout3d, (4, 8, 3, 3, 3))]
)
def test_channel_dropout_drops_whole_channels(module, shape):
    kept, _ = redirected(lambda: module(0.5)(torch.ones(shape)))
    flat = kept.flatten(2)
    assert torch.equal(flat, flat[:, :, :1].expand_as(flat))
    assert set(kept.unique().tolist()) == {0.0, 2.0}
    alone, _ = redirected(lambda: nn.Dropout1d(0.5)(torch.ones(64, 5)))
    assert torch.equal(alone, alone[:, :1].expand_as(alone))


def test_attention_without_dropout_is_torchs():
    def attend(p, **rest):
        return redirected(lambda: F.scaled_dot_product_attention(q, k, v, dropout_p=p, **rest))[0]

    q, k, v = (torch.randn(2, 4, 6, 8, generator=torch.Generator().manual_seed(i)) for i in range(3))
    mask = torch.ones(6, 6, dtype=torch.bool).triu(-1)
    for rest in ({}, {"is_causal": True}, {"attn_mask": mask}, {"attn_mask": mask.float()}, {"scale": 0.3}):
        torch.testing.assert_close(attend(1e-9, **rest), F.scaled_dot_product_attention(q, k, v, **rest))
    k, v = k[:, :2], v[:, :2]
    torch.testing.assert_close(attend(1e-9, enable_gqa=True), F.scaled_dot_product_attention(q, k, v, enable_gqa=True))


def test_redirected_samplers_have_their_distributions():
    n = 4096
    checks = [
        (lambda: torch.empty(n).exponential_(2.0), scipy.stats.expon(scale=0.5).cdf),
        (lambda: torch.empty(n).normal_(2.0, 3.0), scipy.stats.norm(2, 3).cdf),
        (lambda: torch.empty(n).uniform_(-1.0, 3.0), scipy.stats.uniform(-1, 4).cdf),
        (lambda: torch.empty(n).log_normal_(0.0, 1.0), scipy.stats.lognorm(1).cdf),
        (lambda: torch.normal(torch.full((n,), 1.0), torch.full((n,), 0.5)), scipy.stats.norm(1, 0.5).cdf),
    ]
    for function, cdf in checks:
        assert scipy.stats.kstest(redirected(function)[0].double().numpy(), cdf).pvalue > 1e-3
    low, _ = redirected(lambda: torch.randint(-3, 4, (n,)))
    assert scipy.stats.chisquare(np.unique(low.numpy(), return_counts=True)[1]).pvalue > 1e-3
    assert set(low.tolist()) == set(range(-3, 4))


def test_exponential_is_never_zero():
    assert redirected(lambda: torch.empty(1 << 20, dtype=torch.float16).exponential_())[0].min() > 0


def test_dropout_of_processes_joins_to_that_of_one():
    whole = redirected(lambda: nn.Dropout(0.5)(X.flatten(1)))[0]
    parts = [shard(4, rank, 3) for rank in range(3)]
    split = [redirected(lambda p=p: nn.Dropout(0.5)(X.flatten(1)[p.start : p.start + p.count]), of=p)[0] for p in parts]
    assert torch.equal(torch.cat(split), whole)


def test_dropout_module_works_under_vmap():
    model = nn.Sequential(nn.Linear(16, 5), nn.Dropout(0.5), nn.ReLU())

    def call(key, x):
        with Redirect(Noise(key)):
            return torch.func.functional_call(model, dict(model.named_parameters()), x)

    together = torch.func.vmap(call)(keys(torch.arange(3), 1), X[:3])
    for seed in range(3):
        alone = call(keys(torch.tensor(seed), 1), X[seed])
        assert torch.equal(together[seed] == 0, alone == 0)
        torch.testing.assert_close(together[seed], alone)


def test_each_function_is_redirected_in_one_way():
    assert not set(TABLE) & SEEDED
    assert not set(TABLE) & set(OPENED)
    assert not SEEDED & set(OPENED)


def test_kernel_that_does_not_draw_takes_no_place():
    for dropout, place in ((0.0, 0), (0.5, 1)):
        noise = Noise(keys(torch.tensor(0), 0))
        with Redirect(noise) as redirect:
            nn.LSTM(16, 8, num_layers=2, dropout=dropout)(X)
        assert (noise.place, redirect.drawn) == (place, dropout > 0)
