"""What diagnostics are handed of a step: tensors of the path as it is, and of probe samples that go through it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from harness.modeling.diagnostic import Diagnostic
from harness.modeling.rng.noise import Noise
from harness.training.diagnostics.hooks import captured, roles
from harness.training.diagnostics.measure import DiagnosticCalls, Measured
from harness.training.diagnostics.view import ModelView, Named, copied, untracked
from harness.training.distributed import by_itself

LOOKED = 1 << 44  # the noise of looking at step 0; that of training and evaluation never meets it


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


class DiagnosticInputs:
    """`rows` is None where the path has one member and no dimension for it; `count` samples are looked at."""

    def __init__(self, scene: ModelView, count: int, rows: int | None) -> None:
        self.scene, self.count, self.rows = scene, count, rows
        self._probes: dict[str, tuple[Tensor, Tensor]] = {}
        self._roles = roles(scene.model)
        self._measuring = DiagnosticCalls(scene, self._roles)
        self._first: Named | None = None  # what the layers made at the start

    def keep(self, index: list[int]) -> None:
        """Goes on with these rows of a stack."""
        self.rows, self._probes = len(index), {}
        if self._first is not None:
            self._first = {name: t[index] for name, t in self._first.items()}

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
            y = self._probe("train")[1]
            count = len(y) if self.rows is None else y.shape[1]  # the loss is their mean
            grads = torch.autograd.grad(total.sum() * count, list(outputs.values()), allow_unused=True)
        pairs = zip(outputs.items(), grads, strict=True)
        return {name: (out.detach(), g) for (name, out), g in pairs if g is not None}, found

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

    def measured(self, due: Mapping[str, Diagnostic], given: Mapping[str, Any]) -> Measured:
        """What some diagnostics find, of all rows together, or row by row where vmap refuses one."""
        return self._measuring.measured(due, given, self.rows)

    def measure(self, diagnostic: Diagnostic, given: Mapping[str, Any]) -> dict[str, Any]:
        """What one finds. Raises what it raises."""
        made = self.measured({"": diagnostic}, given)
        for error in made.failed.values():
            raise error
        return made.found[""]
