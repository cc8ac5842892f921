"""The peer that trains many runs as one by JAX: vmap over the members, scan over the steps, an epoch compiled.

Each core has a process of its own with its part of the runs: faster than one process whose products use all cores.
"""

from __future__ import annotations

import functools
import itertools
import multiprocessing
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import jax
import numpy as np
from jax import Array, lax
from jax import numpy as jnp

Tree = Any  # a list of (weight, bias)
CHANNELS, KERNEL = (16, 32), 3  # of model=cnn
B1, B2, EPS = 0.9, 0.999, 1e-8  # Adam's
UNROLLED = 2  # steps of the scan: a few percent faster than one, and more only compile longer


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
    each = jax.tree.map
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

    state, _ = lax.scan(step, state, (order, real), unroll=UNROLLED)
    return state, scores(state[0], *val)


def scores(params: Tree, x: Array, y: Array) -> Tree:
    """Loss and accuracy of each member."""
    out = jax.vmap(forward, (0, None))(params, x)
    loss = -jnp.take_along_axis(jax.nn.log_softmax(out), y[None, :, None], 2).mean((1, 2))
    return loss, (out.argmax(2) == y).mean(1)


def now() -> np.ndarray:
    """Wall and processor seconds of this process."""
    return np.array([time.perf_counter(), time.process_time()])


class Programs:
    """Compiled functions by the shapes of their arguments, with the seconds that each took, and all that were spent."""

    def __init__(self) -> None:
        self.kept: dict[str, tuple[Callable[..., Any], float]] = {}
        self.used: set[str] = set()
        self.spent = np.zeros(2)

    def call(self, function: Callable[..., Any], *given: Any, donate: tuple[int, ...] = ()) -> Any:
        """Calls the compiled function; the buffers of the arguments in `donate` are used for its results."""
        key = f"{function.__name__} {jax.tree.map(np.shape, given)}"
        self.used.add(key)
        if key not in self.kept:
            start = now()
            program = jax.jit(function, donate_argnums=donate).lower(*given).compile()
            spent = now() - start
            self.spent += spent
            self.kept[key] = program, float(spent[0])
        return self.kept[key][0](*given)


PROGRAMS = Programs()  # of this process


def together(
    runs: list[tuple[int, float]],
    data: dict[str, Array],
    batch: int,
    epochs: int,
    **net: Any,
) -> list[float]:
    """Trains these members as one programme; their test accuracies."""
    train, val, test = ((data[f"x_{split}"], data[f"y_{split}"]) for split in ("train", "val", "test"))
    x, y = train
    members = [initial(seed, inputs=x.shape[1:], classes=int(np.asarray(y).max()) + 1, **net) for seed, _ in runs]
    params = jax.tree.map(lambda *leaves: np.stack(leaves), *members)
    m, v = (jax.tree.map(np.zeros_like, params) for _ in range(2))
    lr = jax.device_put(np.array([lr for _, lr in runs], np.float32))
    steps = -(-len(x) // batch)
    real = jax.device_put((np.arange(steps * batch) < len(x)).astype(np.float32).reshape(steps, batch))
    chances = [np.random.default_rng((seed, 1)) for seed, _ in runs]
    state = jax.device_put((params, m, v, np.float32(0)))
    for _ in range(epochs):
        orders = [np.resize(chance.permutation(len(x)).astype(np.int32), (steps, batch)) for chance in chances]
        state, found = PROGRAMS.call(epoch, state, lr, np.stack(orders, 1), real, train, val, donate=(0,))
        jax.block_until_ready(found)
    return PROGRAMS.call(scores, state[0], *test)[1].tolist()


def part(
    arrays: str, runs: list[tuple[int, float]], chunk: int, batch: int, epochs: int, **net: Any
) -> tuple[float, float, float, list[float]]:
    """Some of the runs in this process: wall and processor seconds without compiling, seconds of that, accuracies."""
    start, spent, found = now(), PROGRAMS.spent.copy(), []
    PROGRAMS.used.clear()
    data = {
        name: jax.device_put(array.astype(np.int32) if name[0] == "y" else array)
        for name, array in np.load(arrays).items()
    }
    for first in range(0, len(runs), chunk):
        found += together(runs[first : first + chunk], data, batch, epochs, **net)
    wall, cpu = now() - start - (PROGRAMS.spent - spent)
    return wall, cpu, sum(PROGRAMS.kept[key][1] for key in PROGRAMS.used), found


@functools.cache
def workers() -> list[ProcessPoolExecutor]:
    """A process for each core. It is pinned before it computes, so that JAX starts as many threads as it has cores."""
    context = multiprocessing.get_context("spawn")
    if not hasattr(os, "sched_setaffinity"):
        return [ProcessPoolExecutor(1, context) for _ in range(os.cpu_count() or 1)]
    pinned = [(0, {core}) for core in sorted(os.sched_getaffinity(0))]
    return [ProcessPoolExecutor(1, context, os.sched_setaffinity, each) for each in pinned]


def sweep(
    arrays: str,
    model: str,
    width: int,
    depth: int,
    batch_size: int,
    epochs: int,
    runs: list[tuple[int, float]],
    chunk: int,
) -> dict[str, float]:
    """All runs on all cores, `chunk` members as one; compiling is not in the time."""
    net = {"model": model, "width": width, "depth": depth}
    pools = workers()[: len(runs)]
    asked = [
        pool.submit(part, arrays, runs[first :: len(pools)], chunk, batch_size, epochs, **net)
        for first, pool in enumerate(pools)
    ]
    walls, cpus, compiling, found = zip(*(each.result() for each in asked), strict=True)
    count = len(runs)
    return {
        "wall": max(walls) / count * 1e3,
        "cpu": sum(cpus) / count * 1e3,
        "compiling": max(compiling),
        "accuracy": sum(map(sum, found)) / count,
    }
