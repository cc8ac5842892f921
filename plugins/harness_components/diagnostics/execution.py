"""Diagnostics of how torch executes a network: its graph of operations, and its division into stages."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import torch
from annotated_types import Ge, Interval
from torch import Tensor, nn

import harness
from harness import Diagnostic, Noise, Task, keys
from harness.space import Integers, Uniform


def total_loss(model: nn.Module, task: Task, x: Tensor, y: Tensor) -> Tensor:
    """Return the sum of a task's losses of a model, as autograd sees it."""

    def call(*inputs: Any, method: str = "forward") -> Any:
        return model(*inputs) if method == "forward" else getattr(model, method)(*inputs)

    losses = task.losses(call, (x, y), Noise(keys(torch.tensor(0), 0)))
    return torch.stack(list(losses.values())).sum()


def count_nodes(result: Tensor) -> int:
    """Return the number of nodes of the graph that autograd holds behind a result.

    >>> count_nodes(torch.ones(2)), count_nodes(torch.ones(2, requires_grad=True).exp().sum())  # sum, exp, and the leaf
    (0, 3)
    """
    waiting, seen = [result.grad_fn], set[Any]()
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            waiting += [before for before, _ in node.next_functions]
    return len(seen)


def _graph(model: nn.Module, task: Task, x: Tensor, y: Tensor) -> dict[str, float]:
    model.train()
    with torch.enable_grad():
        nodes = count_nodes(total_loss(model, task, x, y))
        scalars = {"nodes": float(nodes)}
        if x.ndim == 3 and len(x[0]) > 1:  # sequences [N, T, C]
            half = count_nodes(total_loss(model, task, x[:, : x.shape[1] // 2], y))
            scalars["growth"] = nodes / half
    with torch.no_grad():
        scalars["without_gradients"] = float(count_nodes(total_loss(model, task, x, y)))
    return scalars


@harness.diagnostic(
    reference="Paszke et al., PyTorch: an imperative style, high-performance deep learning library, NeurIPS 2019, "
    "arXiv:1912.01703"
)
def graph() -> Diagnostic:
    """Number of operations in the graph that autograd records while the loss is computed, at the end of a run.

    `nodes` for the probe samples; `without_gradients`, under torch.no_grad; and for sequences `growth`, the nodes
    divided by those for sequences of half the length, by the same model: 1 if the graph is the same, about 2 if it
    follows a loop over the steps.
    """
    return Diagnostic(_graph)


@contextmanager
def cut_after(module: nn.Module) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """Context in which a copy of a module's output is handed on, without its graph, as to another device.

    Yields:
        The output and its copy, of each call.
    """
    pairs: list[tuple[Tensor, Tensor]] = []

    def hand_on(module: nn.Module, args: Any, output: Tensor) -> Tensor:
        copy = output.detach().clone().requires_grad_()
        pairs.append((output, copy))
        return copy

    handle = module.register_forward_hook(hand_on)
    try:
        yield pairs
    finally:
        handle.remove()


def called_modules(model: nn.Module, task: Task, x: Tensor, y: Tensor) -> list[nn.Module]:
    """Return the modules without children whose output is a tensor with a gradient, in the order of their calls."""
    called: list[nn.Module] = []

    def note(module: nn.Module, args: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.requires_grad:
            called.append(module)

    leaves = [module for module in model.modules() if not list(module.children())]
    handles = [module.register_forward_hook(note) for module in leaves]
    total_loss(model, task, x, y)
    for handle in handles:
        handle.remove()
    return called


def _gradient(model: nn.Module) -> Tensor:
    grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in model.parameters() if p.requires_grad]
    return torch.cat([g.flatten() for g in grads])


def _stages(model: nn.Module, task: Task, x: Tensor, y: Tensor, *, at: float, parts: int) -> dict[str, Tensor]:
    share = len(x) // parts
    x, y = x[: share * parts], y[: share * parts]
    model.train()
    with torch.enable_grad():
        called = called_modules(model, task, x, y)
        if len(called) < 2 or not share:
            return {}
        whole = total_loss(model, task, x, y)
        whole.backward()
        expected = _gradient(model)
        model.zero_grad()
        staged = torch.zeros_like(whole)
        with cut_after(called[min(int(at * len(called)), len(called) - 2)]) as pairs:
            for x_part, y_part in zip(x.split(share), y.split(share), strict=True):
                pairs.clear()
                loss = total_loss(model, task, x_part, y_part) / parts
                loss.backward()  # through the second stage
                for output, copy in reversed(pairs):
                    output.backward(copy.grad)  # through the first one
                staged += loss.detach()
    difference = torch.linalg.vector_norm(_gradient(model) - expected)
    return {
        "loss": (staged - whole).abs().detach() / whole.abs().detach().clamp_min(1e-30),
        "gradient": difference / torch.linalg.vector_norm(expected).clamp_min(1e-30),
    }


@harness.diagnostic(
    reference="Huang et al., GPipe: efficient training of giant neural networks using pipeline parallelism, NeurIPS "
    "2019, arXiv:1811.06965"
)
def stages(
    *,
    at: Annotated[float, Uniform(0, 1), Interval(ge=0, lt=1), "share of the layers in the first stage"] = 0.5,
    parts: Annotated[int, Integers(1, 8), Ge(1), "micro-batches that pass through the stages one after the other"] = 4,
) -> Diagnostic:
    """Difference between a model run in two stages, as on two devices, and the whole, at the end of a run.

    The output of the last layer of the first stage is handed to the second stage as a copy, and the gradient with
    respect to it is handed back. With m = `parts` micro-batches the losses and gradients of the parts are averaged.
    In training mode, over the probe samples, L the loss and g its gradient with respect to all parameters:

        loss = |L_staged - L| / |L|
        gradient = |g_staged - g| / |g|

    Rounding only, unless samples of a batch interact, as in batch normalization, or the network draws noise, which
    differs from one pass to the next.
    """
    return Diagnostic(functools.partial(_stages, at=at, parts=parts))
