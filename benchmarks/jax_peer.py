"""The peer that trains many runs as one by JAX: vmap over the members, scan over the steps, an epoch compiled."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax import Array, lax
from jax import numpy as jnp

Tree = Any  # a list of (weight, bias)
CHANNELS, KERNEL = (16, 32), 3  # of model=cnn
B1, B2, EPS = 0.9, 0.999, 1e-8  # Adam's


def initial(seed: int, model: str, inputs: tuple[int, ...], classes: int, width: int, depth: int) -> Tree:
    """He's initialization, as for everyone."""
    if model == "cnn":
        at, *sides = inputs
        shapes: list[tuple[int, ...]] = []
        for out in CHANNELS:
            shapes.append((out, at, KERNEL, KERNEL))
            sides = [side // 2 for side in sides] if min(sides) > 3 else sides
            at = out
        shapes.append((classes, at * sides[0] * sides[1]))
    else:
        sizes = [int(np.prod(inputs)), *[width] * depth, classes]
        shapes = [(out, into) for into, out in itertools.pairwise(sizes)]
    chance = np.random.default_rng(seed)
    return [
        (
            np.float32(np.sqrt(2 / np.prod(shape[1:]))) * chance.standard_normal(shape, dtype=np.float32),
            np.zeros(shape[0], np.float32),
        )
        for shape in shapes
    ]


def forward(params: Tree, x: Array) -> Array:
    """x: [N, ...] -> [N, classes]; a weight of four dimensions is a convolution with what follows it in the network."""
    *hidden, head = params
    for weight, bias in hidden:
        if weight.ndim == 4:
            x = lax.conv_general_dilated(x, weight, (1, 1), "SAME", dimension_numbers=("NCHW", "OIHW", "NCHW"))
            x = jax.nn.relu(x + bias[:, None, None])
            if min(x.shape[2:]) > 3:
                x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
        else:
            x = jax.nn.relu(x.reshape(len(x), -1) @ weight.T + bias)
    return x.reshape(len(x), -1) @ head[0].T + head[1]


def entropy(params: Tree, x: Array, y: Array, real: Array) -> Array:
    """The mean cross-entropy of the samples that are real: the last batch of an epoch is padded."""
    chosen = jnp.take_along_axis(jax.nn.log_softmax(forward(params, x)), y[:, None], 1)[:, 0]
    return -(chosen * real).sum() / real.sum()


def adam(params: Tree, m: Tree, v: Tree, t: Array, lr: Array, grads: Tree) -> tuple[Tree, Tree, Tree]:
    """One step of one member."""
    each = jax.tree_util.tree_map
    m = each(lambda a, g: B1 * a + (1 - B1) * g, m, grads)
    v = each(lambda a, g: B2 * a + (1 - B2) * g * g, v, grads)
    fast, slow = 1 - B1**t, 1 - B2**t
    params = each(lambda p, a, b: p - lr * (a / fast) / (jnp.sqrt(b / slow) + EPS), params, m, v)
    return params, m, v


def epoch(state: Tree, lr: Array, order: Array, real: Array, train: Tree, val: Tree) -> tuple[Tree, Tree]:
    """All steps of an epoch, then the validation; order: [steps, members, batch]."""
    x, y = train

    def step(state: Tree, given: Tree) -> tuple[Tree, None]:
        params, m, v, t = state
        index, mask = given
        gradient = jax.vmap(jax.grad(entropy), (0, 0, 0, None))
        grads = gradient(params, x[index], y[index], mask)
        return (*jax.vmap(adam, (0, 0, 0, None, 0, 0))(params, m, v, t + 1, lr, grads), t + 1), None

    state, _ = lax.scan(step, state, (order, real))
    return state, scores(state[0], *val)


def scores(params: Tree, x: Array, y: Array) -> Tree:
    """Loss and accuracy of each member."""
    out = jax.vmap(forward, (0, None))(params, x)
    loss = -jnp.take_along_axis(jax.nn.log_softmax(out), y[None, :, None], 2).mean((1, 2))
    return loss, (out.argmax(2) == y).mean(1)


class Programs:
    """Compiled functions by the shapes of their arguments, with the seconds that each took, and all that were spent."""

    def __init__(self) -> None:
        self.kept: dict[str, tuple[Callable[..., Any], float]] = {}
        self.used: set[str] = set()
        self.spent = 0.0

    def call(self, function: Callable[..., Any], *given: Any) -> Any:
        """Calls the compiled function."""
        key = f"{function.__name__} {jax.tree_util.tree_map(np.shape, given)}"
        self.used.add(key)
        if key not in self.kept:
            start = time.perf_counter()
            program = jax.jit(function).lower(*given).compile()
            self.kept[key] = program, time.perf_counter() - start
            self.spent += self.kept[key][1]
        return self.kept[key][0](*given)


PROGRAMS = Programs()  # of this process


def together(
    runs: list[tuple[int, float]],
    arrays: dict[str, np.ndarray],
    batch: int,
    epochs: int,
    **net: Any,
) -> list[float]:
    """Trains these members as one programme; their test accuracies."""
    x, y = arrays["x_train"], arrays["y_train"].astype(np.int32)
    train, val = (x, y), (arrays["x_val"], arrays["y_val"].astype(np.int32))
    test = (arrays["x_test"], arrays["y_test"].astype(np.int32))
    members = [initial(seed, inputs=x.shape[1:], classes=int(y.max()) + 1, **net) for seed, _ in runs]
    params = jax.tree_util.tree_map(lambda *leaves: jnp.stack(leaves), *members)
    zeros = jax.tree_util.tree_map(jnp.zeros_like, params)
    lr = jnp.array([lr for _, lr in runs], jnp.float32)
    steps = -(-len(x) // batch)
    real = (np.arange(steps * batch) < len(x)).astype(np.float32).reshape(steps, batch)
    chances = [np.random.default_rng((seed, 1)) for seed, _ in runs]
    state = (params, zeros, zeros, jnp.float32(0))
    for _ in range(epochs):
        orders = [np.resize(chance.permutation(len(x)).astype(np.int32), (steps, batch)) for chance in chances]
        state, found = PROGRAMS.call(epoch, state, lr, np.stack(orders, 1), real, train, val)
        jax.block_until_ready(found)
    return PROGRAMS.call(scores, state[0], *test)[1].tolist()


def sweep(
    arrays: str,
    model: str,
    width: int,
    depth: int,
    batch_size: int,
    epochs: int,
    runs: list[tuple[int, float]],
    chunk: int = 64,
) -> dict[str, float]:
    """All runs, `chunk` members at a time; compiling is not in the time."""
    start, spent, found = time.perf_counter(), PROGRAMS.spent, []
    PROGRAMS.used.clear()
    loaded = dict(np.load(arrays))
    for first in range(0, len(runs), chunk):
        part = runs[first : first + chunk]
        found += together(part, loaded, batch_size, epochs, model=model, width=width, depth=depth)
    seconds = time.perf_counter() - start - (PROGRAMS.spent - spent)
    compiling = sum(PROGRAMS.kept[key][1] for key in PROGRAMS.used)
    return {"ms": seconds / len(runs) * 1e3, "accuracy": sum(found) / len(found), "compiling": compiling}
