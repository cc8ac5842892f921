"""Tests of functions that are recorded and replayed: bits, memory, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.func import vmap

from harness.training.recorded.function import RECORDED, RecordedFunction, RecordedFunctions, StateWatch

CALLS = RECORDED + 3
WEIGHT = torch.randn(5, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()


def inputs(call: int) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(call)
    return torch.randn(3, 5, generator=draw), torch.rand(3, 4, generator=draw)


def clones(tree: Any) -> list[Tensor]:
    return [t.clone() for t in tree]


def differentiated(loss_of: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    def compute(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        loss = loss_of(x @ WEIGHT, y)
        (g,) = torch.autograd.grad(loss, [WEIGHT])
        return loss.detach(), g

    return compute


@pytest.mark.parametrize(
    "loss_of",
    [
        lambda p, y: (p - y).square().mean(),
        lambda p, y: F.cross_entropy(p, y.argmax(1)),
        lambda p, y: F.binary_cross_entropy(p.sigmoid(), y),  # torch's variant with `out` resizes the result
        lambda p, y: F.layer_norm(p, (4,)).tanh().sum() + torch.tensor(2.0),
        lambda p, y: p[torch.tensor([2, 0])].sum() + p[:, 1].mean(),
        lambda p, y: vmap(lambda a, b: (a * b).softmax(0).log().sum())(p, y).mean(),
        lambda p, y: torch.zeros(4).index_add(0, torch.tensor([0, 2]), p[0, :2]).pow(3).sum() + p.cumsum(1).sum(),
    ],
)
def test_replay_equals_the_function_to_the_bit(loss_of: Callable[[Tensor, Tensor], Tensor]) -> None:
    function = differentiated(loss_of)
    recorded = RecordedFunction(StateWatch([]))
    for call in range(CALLS):
        expected = clones(function(*inputs(call)))
        for value, other in zip(recorded(function, *inputs(call)), expected, strict=True):
            assert torch.equal(value, other)
    assert recorded.program is not None


@pytest.mark.parametrize("function", [F.celu, F.elu, torch.sigmoid, torch.relu])
def test_elements_of_a_padded_matrix_have_the_same_bits(function: Callable[[Tensor], Tensor]) -> None:
    def compute(x: Tensor) -> tuple[Tensor]:
        return (function(F.pad(x, (0, 3))[:, :-2]),)  # in a dense copy, other elements would end a vector

    recorded = RecordedFunction(StateWatch([]))
    for call in range(CALLS):
        x = torch.randn(30, 4, generator=torch.Generator().manual_seed(call))
        assert torch.equal(recorded(compute, x)[0], compute(x)[0])
    assert recorded.program is not None


@pytest.mark.parametrize("change", ["transpose_", "t_", "squeeze_", "unsqueeze_"])
def test_shape_that_is_changed_in_place_is_made_anew_in_each_call(
    change: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """torch's recurrent layers transpose their outputs in place. A tensor that keeps the shape is resized, with a
    warning on the standard error."""
    arguments = {"transpose_": (0, 1), "squeeze_": (0,), "unsqueeze_": (1,)}.get(change, ())

    def compute(x: Tensor) -> tuple[Tensor, Tensor]:
        y = torch.stack([x, 2 * x], 1)[:1] if change == "squeeze_" else torch.cat([x, 2 * x], 1)
        y = y.mul(3)
        total = y.sum(0)
        getattr(y, change)(*arguments)
        return y.exp(), total

    recorded = RecordedFunction(StateWatch([]))
    for call in range(CALLS):
        x, _ = inputs(call)
        expected = clones(compute(x))
        for value, other in zip(recorded(compute, x), expected, strict=True):
            assert torch.equal(value, other)
    assert recorded.program is not None
    assert capfd.readouterr().err == ""


def test_changes_outside_of_the_function_are_replayed() -> None:
    def average(x: Tensor) -> Tensor:
        running.mul_(0.9).add_(x.mean(0), alpha=0.1)
        return running * 2

    running, expected = torch.zeros(5), torch.zeros(5)
    recorded = RecordedFunction(StateWatch([]))
    for call in range(CALLS):
        x, _ = inputs(call)
        expected.mul_(0.9).add_(x.mean(0), alpha=0.1)
        assert torch.equal(recorded(average, x), expected * 2)
        assert torch.equal(running, expected)
    assert recorded.program is not None


@pytest.mark.parametrize("state", [{"calls": 0}, {"deep": [{"calls": 0}]}])
def test_counter_in_a_container_of_a_component_is_refused(state: dict[str, Any]) -> None:
    class Counting:
        def __init__(self) -> None:
            self.state = state

        def __call__(self, x: Tensor, y: Tensor) -> tuple[Tensor]:
            counter = self.state if "calls" in self.state else self.state["deep"][0]
            counter["calls"] += 1
            return (x.sum() * (2 if counter["calls"] > RECORDED else 1),)

    component = Counting()
    recorded = RecordedFunction(StateWatch([component]))
    for call in range(CALLS):
        (value,) = recorded(component, *inputs(call))
        assert torch.equal(value, inputs(call)[0].sum() * (2 if call >= RECORDED else 1))
    assert "it changes Counting.state" in recorded.refusal


def test_tensors_share_memory_when_they_are_not_alive_together() -> None:
    def chain(x: Tensor) -> Tensor:
        for _ in range(20):
            x = (x + 1).tanh()
        return x

    recorded = RecordedFunction(StateWatch([]))
    for _ in range(RECORDED):
        recorded(chain, torch.ones(16))
    assert recorded.program is not None
    assert recorded.program.nbytes == 2 * 64  # the result, and a tensor that all other operations change in place


UNARY = [torch.relu, torch.tanh, torch.neg, torch.exp, lambda t: t.masked_fill(t > 0, 0.5), lambda t: t.mT.clone().mT]
BINARY = [torch.add, torch.mul, torch.maximum, lambda a, b: a - b[:1], lambda a, b: a * b.sum(), torch.where]
STEPS = st.tuples(st.integers(0, len(UNARY) + len(BINARY) - 1), st.integers(0, 9), st.integers(0, 9))


@given(steps=st.lists(STEPS, min_size=1, max_size=9), kept=st.integers(0, 9))
def test_memory_is_taken_over_only_from_tensors_that_are_not_needed(
    steps: list[tuple[int, int, int]], kept: int
) -> None:
    def compute(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        tensors = [x @ WEIGHT.detach(), y]
        for operation, first, second in steps:
            a, b = tensors[first % len(tensors)], tensors[second % len(tensors)]
            if operation < len(UNARY):
                tensors.append(UNARY[operation](a))
            else:
                binary = BINARY[operation - len(UNARY)]
                tensors.append(binary(a > 0, a, b) if binary is torch.where else binary(a, b))
        return tensors[-1], tensors[kept % len(tensors)] + 0

    recorded = RecordedFunction(StateWatch([]))
    for call in range(CALLS):
        expected = clones(compute(*inputs(call)))
        for value, other in zip(recorded(compute, *inputs(call)), expected, strict=True):
            assert torch.equal(value.nan_to_num(), other.nan_to_num())
    assert recorded.program is not None


def _branching(x: Tensor) -> Tensor:
    return x * 2 if float(x.sum()) > 0 else x


def _drawing(x: Tensor) -> Tensor:
    return x + torch.rand(5)


def _selecting(x: Tensor) -> Tensor:
    return x[x > 0].sum()


def _other_numbers(x: Tensor) -> Tensor:
    return x + torch.tensor(x.tolist())


class _Counting(nn.Module):
    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x if self.calls < 100 else 2 * x


_COUNTING = _Counting()


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (_branching, "it reads numbers from a tensor"),
        (_drawing, "rand draws from a generator of torch"),
        (_selecting, "the shape of index depends on numbers"),
        (_other_numbers, "it makes a tensor of other numbers in each step"),
        (_COUNTING, "it changes _Counting"),
    ],
)
def test_functions_that_cannot_be_replayed_are_called_as_they_are(
    function: Callable[[Tensor], Tensor], reason: str
) -> None:
    recorded = RecordedFunction(StateWatch([_COUNTING]))
    for call in range(CALLS):
        x = inputs(call)[0]
        torch.manual_seed(0)
        expected = function(x)
        torch.manual_seed(0)
        assert torch.equal(recorded(function, x), expected)
    assert recorded.program is None
    assert recorded.refusal.startswith(reason)


def test_scalars_that_change_are_refused() -> None:
    steps = iter(range(CALLS))
    recorded = RecordedFunction(StateWatch([]))
    results = [recorded(lambda x: x * next(steps), torch.ones(2)).tolist() for _ in range(CALLS)]
    assert results == [[i, i] for i in range(CALLS)]
    assert recorded.refusal == "mul has other arguments in each step"


def test_first_call_may_differ_from_the_others() -> None:
    cache: list[Tensor] = []

    def cached(x: Tensor) -> Tensor:
        if not cache:
            cache.append(torch.arange(5.0) * 2)
        return x * cache[0]

    recorded = RecordedFunction(StateWatch([]))
    for call in range(CALLS):
        x, _ = inputs(call)
        assert torch.equal(recorded(cached, x), x * torch.arange(5.0) * 2)
    assert recorded.program is not None


def test_reason_is_that_of_the_functions_until_one_was_replayed() -> None:
    functions = RecordedFunctions([])
    assert functions.plain_because == "too few steps to record one"
    for _ in range(CALLS):
        assert functions.of(2)(lambda x: 2 * x, torch.ones(1)).tolist() == [2]
        assert functions.of(3)(lambda x: 3 * x, torch.ones(1)).tolist() == [3]
    assert functions.plain_because == ""
    functions.reset()
    assert functions.plain_because == ""


def test_function_with_a_reason_is_never_recorded() -> None:
    functions = RecordedFunctions([], "a reason")
    for call in range(CALLS):
        assert functions.of(2)(lambda x: 2 * x, torch.full((1,), float(call))).tolist() == [2 * call]
    assert functions.plain_because == "a reason"
