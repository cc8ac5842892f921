import torch
from torch import nn

from harness.modeling.calling import calling, cast, dtype_of


class Twice(nn.Linear):
    def encode(self, x, y):
        return self(x) + y


def test_call_reaches_every_method_and_the_hooks_of_forward():
    model, seen = Twice(2, 1), []
    model.register_forward_hook(lambda *_: seen.append(1))
    x = torch.ones(3, 2)
    call = calling(model)
    assert torch.equal(call(x, 1.0, method="encode"), call(x) + 1)
    assert seen == [1, 1]


def test_dtype_is_that_of_real_parameters():
    mixed = nn.Module()
    mixed.register_parameter("index", nn.Parameter(torch.zeros(1, dtype=torch.int64), requires_grad=False))
    assert dtype_of(mixed) == torch.float32
    mixed.register_parameter("weight", nn.Parameter(torch.zeros(1, dtype=torch.float64)))
    assert dtype_of(mixed) == torch.float64


def test_cast_leaves_indices():
    assert cast(torch.zeros(1), torch.float64).dtype == torch.float64
    assert cast(torch.zeros(1, dtype=torch.int64), torch.float64).dtype == torch.int64
