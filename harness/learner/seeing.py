"""What diagnostics are handed of a step: tensors of the path as it is, and of probe samples that go through it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.batchnorm import _NormBase
from torch.utils import _pytree as pytree

from harness.diagnostics.capture import captured, roles
from harness.diagnostics.diagnostic import Diagnostic, Layer
from harness.learner.distributed import by_itself
from harness.noise import Noise, mix
from harness.tasks import Call, Task

LOOKED = 1 << 44  # the noise of looking at step 0; that of training and evaluation never meets it
Named = dict[str, Tensor]


class Scene(Protocol):
    """What a path shows of itself. Tensors of a stack have a first dimension for its rows."""

    task: Task
    model: nn.Module  # whose modules are called

    def params(self) -> Named: ...
    def buffers(self) -> Named: ...
    def bind(self, params: Named, buffers: Named) -> Call: ...
    def probe(self, split: str, count: int) -> tuple[Tensor, Tensor]: ...
    def key(self, number: int) -> Tensor: ...
    def redirected(self, noise: Noise) -> AbstractContextManager[Any]: ...
    def differentiated(self, noise: Noise, together: bool) -> AbstractContextManager[Any]: ...
    def apart(self, row: int) -> AbstractContextManager[Any]: ...
    def map(self, one: Callable[..., Any], given: Any) -> Any: ...


@dataclass
class Step:
    """A step that is being looked at."""

    number: int
    previous: Named
    start: Named
    grads: Named
    lr: Tensor | float
    samples: int
    each: int  # of them are seen together: those of a tuple, or 1


class Seeing:
    """`rows` is None where the path has one member and no dimension for it; `count` samples are looked at."""

    def __init__(self, scene: Scene, count: int, rows: int | None) -> None:
        self.scene, self.count, self.rows = scene, count, rows
        self._probes: dict[str, tuple[Tensor, Tensor]] = {}
        self._apart: set[int] = set()  # diagnostics that vmap has refused
        self._first: Named | None = None  # what the layers made at the start

    def keep(self, index: list[int]) -> None:
        """Goes on with these rows of a stack."""
        self.rows, self._probes = len(index), {}
        if self._first is not None:
            self._first = {name: t[index] for name, t in self._first.items()}

    @functools.cached_property
    def _roles(self) -> dict[str, str]:
        return roles(self.scene.model)

    def given(self, step: Step, asked: Iterable[str]) -> tuple[dict[str, Any], dict[str, Exception]]:
        """What diagnostics ask for, and what of it could not be had."""
        wanted = set(asked)
        scene = self.scene
        if "loss" in wanted:
            wanted |= {"x", "y", "params", "fixed", "buffers", "key"}
        passed = functools.cache(lambda: self._pass(step.number, "slopes" in wanted))
        predicted = functools.cache(lambda: self._predicted(step.number))
        make: dict[str, Callable[[], Any]] = {
            "params": lambda: {n: p.detach() for n, p in scene.params().items() if p.requires_grad},
            "fixed": lambda: {n: p.detach() for n, p in scene.params().items() if not p.requires_grad},
            "buffers": lambda: copied(scene.buffers()),
            "previous": lambda: step.previous,
            "start": lambda: step.start,
            "grads": lambda: {n: g.detach() for n, g in step.grads.items()},
            "lr": lambda: step.lr,
            "batch_size": lambda: step.samples,
            "each": lambda: step.each,
            "key": lambda: scene.key(LOOKED + step.number),
            "x": lambda: self._probe("train")[0],
            "y": lambda: self._probe("train")[1],
            "layers": lambda: passed()[0],
            "slopes": lambda: passed()[1],
            "start_layers": lambda: self._started(step.start),
            "prediction": lambda: predicted()[0],
            "target": lambda: predicted()[1],
        }
        made: dict[str, Any] = {}
        troubles: dict[str, Exception] = {}
        for name in sorted(wanted & make.keys()):
            try:
                made[name] = make[name]()
            except Exception as error:
                troubles[name] = error
        return made, troubles

    def _probe(self, split: str) -> tuple[Tensor, Tensor]:
        if split not in self._probes:
            self._probes[split] = self.scene.probe(split, self.count)
        return self._probes[split]

    def _pass(self, step: int, slopes: bool) -> tuple[dict[str, tuple[Tensor, Tensor]], Named]:
        """{name: (output, gradient)} of a pass of the probe samples in training mode, and the slopes of activations."""
        with torch.enable_grad():
            total, inputs, made = self._made(self.scene.params(), step)
            found: Named = {}
            for name, x_in in inputs.items() if slopes else ():
                if x_in.requires_grad:
                    (slope,) = torch.autograd.grad(made[name].sum(), x_in, retain_graph=True, allow_unused=True)
                    found |= {} if slope is None else {name: slope}
            outputs = {name: out for name, out in made.items() if out.requires_grad}
            grads = torch.autograd.grad(total.sum(), list(outputs.values()), allow_unused=True)
        y = self._probe("train")[1]
        count = len(y) if self.rows is None else y.shape[1]
        pairs = zip(outputs.items(), grads, strict=True)
        return {name: (out.detach(), g * count) for (name, out), g in pairs if g is not None}, found

    def _made(self, params: Named, step: int) -> tuple[Tensor, Named, Named]:
        """The loss of the probe samples, and the inputs and outputs of modules, in training mode."""
        scene = self.scene

        def one(given: Any) -> Any:
            params, buffers, key, x, y = given
            noise = Noise(key)
            with (
                captured(scene.model, self._roles) as made,
                scene.redirected(noise),
                by_itself(),
                untracked(scene.model),
            ):
                losses = scene.task.losses(scene.bind(params, buffers), (x, y), noise)
            return sum(losses.values()), *(dict(tensors) for tensors in made)

        key = scene.key(LOOKED + step)
        found: tuple[Tensor, Named, Named] = scene.map(
            one, (params, copied(scene.buffers()), key, *self._probe("train"))
        )
        return found

    def _started(self, start: Named) -> Named:
        """What the layers made of the probe samples at the start."""
        if self._first is None:
            with torch.no_grad():
                self._first = self._made(start, 0)[2]
        return self._first

    def _predicted(self, step: int) -> tuple[Any, Any]:
        """The task's predictions and targets of validation samples, in evaluation mode."""
        scene = self.scene

        def one(given: Any) -> Any:
            params, buffers, key, x, y = given
            noise = Noise(key)
            with scene.redirected(noise):
                return scene.task.evaluate(scene.bind(params, buffers), (x, y), noise)[1]

        scene.model.eval()
        try:
            with torch.no_grad():
                key = scene.key(LOOKED + step)
                found = scene.map(one, (scene.params(), copied(scene.buffers()), key, *self._probe("val")))
        finally:
            scene.model.train()
        return tuple(found)

    def measure(self, diagnostic: Diagnostic, given: Mapping[str, Any]) -> dict[str, Any]:
        """What a diagnostic finds, of all rows together, or row by row where vmap refuses it."""
        wanted = set(diagnostic.asks)
        if "loss" in wanted:
            wanted |= {"params", "fixed", "buffers", "key", "x", "y"}
        own = {key: value for key, value in given.items() if key in wanted}
        plain = {key: value for key, value in own.items() if not _tensors(value)}
        tree = {key: value for key, value in own.items() if key not in plain}

        def one(tree: dict[str, Any]) -> dict[str, Any]:
            offers = plain | tree
            if "layers" in offers:
                offers["layers"] = {n: Layer(out, g, self._roles[n]) for n, (out, g) in offers["layers"].items()}
            if "loss" in diagnostic.asks:
                offers["loss"] = self._loss(offers, id(diagnostic) not in self._apart)
            found = diagnostic.measure(**{n: offers[n] for n in diagnostic.asks})
            return {t: torch.as_tensor(v) if isinstance(v, (int, float)) else v for t, v in found.items()}

        with torch.no_grad():
            if id(diagnostic) not in self._apart:
                try:
                    return dict(self.scene.map(one, tree))
                except Exception:
                    if self.rows is None:
                        raise
                    self._apart.add(id(diagnostic))
            found = []
            for row in range(self.rows or 0):
                with self.scene.apart(row):
                    found.append(one(_row(tree, row)))
            return {tag: _stacked([row[tag] for row in found]) for tag in found[0]}

    def _loss(self, offers: Mapping[str, Any], together: bool) -> Callable[..., Tensor]:
        """The loss as a function that torch.func can differentiate twice, under vmap where rows are together: with
        torch's own functions, since what stands in for them in a stack is differentiated once, outside of vmap.
        """
        scene, key = self.scene, offers["key"]
        fixed, buffers = offers["fixed"], offers["buffers"]

        def loss(
            params: Named, x: Tensor = offers["x"], y: Tensor = offers["y"], draw: Tensor | int = 0, train: bool = True
        ) -> Tensor:
            noise = Noise(key if isinstance(draw, int) and draw == 0 else mix(key + draw))
            with (
                _mode(scene.model, train),
                scene.differentiated(noise, together),
                by_itself(),
                untracked(scene.model),
                sdpa_kernel(SDPBackend.MATH),  # the others have no second derivative
                torch.enable_grad(),
            ):
                losses = scene.task.losses(scene.bind(fixed | params, buffers), (x, y), noise)
            first, *more = losses.values()
            return sum(more, first)

        return loss


@contextmanager
def _mode(model: nn.Module, train: bool) -> Iterator[None]:
    """Inside, the model trains or is evaluated."""
    was = model.training
    if was != train:
        model.train(train)
    try:
        yield
    finally:
        if was != train:
            model.train(was)


@contextmanager
def untracked(model: nn.Module) -> Iterator[None]:
    """Inside, batch normalization notes nothing of the batches that it sees."""
    tracking = [m for m in model.modules() if isinstance(m, _NormBase) and m.track_running_stats]
    for module in tracking:
        module.track_running_stats = False
    try:
        yield
    finally:
        for module in tracking:
            module.track_running_stats = True


def copied(tensors: Mapping[str, Tensor]) -> Named:
    """Copies, with the same names."""
    return {name: t.detach().clone() for name, t in tensors.items()}


def _tensors(value: Any) -> bool:
    return any(isinstance(leaf, Tensor) for leaf in pytree.tree_leaves(value))


def _row(tree: Any, row: int) -> Any:
    return pytree.tree_map_only(Tensor, lambda t: t[row], tree)


def _stacked(values: list[Any]) -> Any:
    return pytree.tree_map(lambda *leaves: torch.stack(leaves), values[0], *values[1:])
