"""The inputs of diagnostics at a step: tensors of the training path, and those of a pass of probe samples."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from harness.modeling.diagnostic import Diagnostic
from harness.modeling.rng.noise import Noise
from harness.training.diagnostics.hooks import capture, module_roles
from harness.training.diagnostics.measure import DiagnosticCalls, Measurements
from harness.training.diagnostics.view import ModelView, Named, clone, without_running_stats
from harness.training.distributed import local_only

DIAGNOSTICS = 1 << 44  # the noise key of diagnostics at step 0: neither training nor evaluation has it


@dataclass
class Step:
    """A step at which diagnostics are measured.

    Attributes:
        number: The step, counted from 0.
        previous: The parameters before the step.
        start: The parameters at the beginning of the run.
        grads: The gradients of the step.
        lr: The learning rate, a float or `[rows]`.
        samples: Samples in a batch.
        each: Samples in an item of the batch: those of a tuple, or 1.
    """

    number: int
    previous: Named
    start: Named
    grads: Named
    lr: Tensor | float
    samples: int
    each: int


class DiagnosticInputs:
    """Compute the inputs of diagnostics.

    Args:
        view: The model or the stack that is measured.
        count: The number of probe samples.
        rows: Rows of the stack; None for a single model, whose tensors have no dimension for rows.
    """

    def __init__(self, view: ModelView, count: int, rows: int | None) -> None:
        self.view, self.count, self.rows = view, count, rows
        self._probes: dict[str, tuple[Tensor, Tensor]] = {}
        self._roles = module_roles(view.model)
        self._calls = DiagnosticCalls(view, self._roles)
        self._start_layers: Named | None = None  # outputs of the layers at the start

    def keep(self, index: list[int]) -> None:
        """Continue with these rows only."""
        self.rows, self._probes = len(index), {}
        if self._start_layers is not None:
            self._start_layers = {name: t[index] for name, t in self._start_layers.items()}

    def compute(self, step: Step, names: Iterable[str]) -> tuple[dict[str, Any], dict[str, Exception]]:
        """Compute the inputs that diagnostics ask for.

        Args:
            step: The step.
            names: The inputs, by the names of the diagnostics' parameters.

        Returns:
            The inputs by name, and the errors of those that cannot be computed.
        """
        wanted = set(names)
        view = self.view
        if "loss" in wanted:
            wanted |= {"x", "y", "params", "fixed", "buffers", "key"}
        train_pass = functools.cache(lambda: self._train_pass(step.number, "slopes" in wanted))
        predictions = functools.cache(lambda: self._predictions(step.number))
        compute: dict[str, Callable[[], Any]] = {
            "params": lambda: {n: p.detach() for n, p in view.params().items() if p.requires_grad},
            "fixed": lambda: {n: p.detach() for n, p in view.params().items() if not p.requires_grad},
            "buffers": lambda: clone(view.buffers()),
            "previous": lambda: step.previous,
            "start": lambda: step.start,
            "grads": lambda: {n: g.detach() for n, g in step.grads.items()},
            "lr": lambda: step.lr,
            "batch_size": lambda: step.samples,
            "each": lambda: step.each,
            "key": lambda: view.key(DIAGNOSTICS + step.number),
            "x": lambda: self._probe("train")[0],
            "y": lambda: self._probe("train")[1],
            "layers": lambda: train_pass()[0],
            "slopes": lambda: train_pass()[1],
            "start_layers": lambda: self._layers_at_start(step.start),
            "prediction": lambda: predictions()[0],
            "target": lambda: predictions()[1],
        }
        inputs: dict[str, Any] = {}
        errors: dict[str, Exception] = {}
        for name in sorted(wanted & compute.keys()):
            try:
                inputs[name] = compute[name]()
            except Exception as error:
                errors[name] = error
        return inputs, errors

    def _probe(self, split: str) -> tuple[Tensor, Tensor]:
        if split not in self._probes:
            self._probes[split] = self.view.probe(split, self.count)
        return self._probes[split]

    def _train_pass(self, step: int, slopes: bool) -> tuple[dict[str, tuple[Tensor, Tensor]], Named]:
        """Pass the probe samples in training mode; return (output, gradient) of layers, and slopes of activations."""
        with torch.enable_grad():
            total, inputs, outputs = self._forward(self.view.params(), step)
            slope_of: Named = {}
            for name, x_in in inputs.items() if slopes else ():
                if x_in.requires_grad:
                    (slope,) = torch.autograd.grad(outputs[name].sum(), x_in, retain_graph=True, allow_unused=True)
                    slope_of |= {} if slope is None else {name: slope}
            outputs = {name: out for name, out in outputs.items() if out.requires_grad}
            y = self._probe("train")[1]
            count = len(y) if self.rows is None else y.shape[1]  # the loss is a mean over the samples
            grads = torch.autograd.grad(total.sum() * count, list(outputs.values()), allow_unused=True)
        pairs = zip(outputs.items(), grads, strict=True)
        return {name: (out.detach(), g) for (name, out), g in pairs if g is not None}, slope_of

    def _forward(self, params: Named, step: int) -> tuple[Tensor, Named, Named]:
        """Return the loss of the probe samples, and the inputs and outputs of modules, in training mode."""
        view = self.view

        def forward_row(inputs: Any) -> Any:
            params, buffers, key, x, y = inputs
            noise = Noise(key)
            with (
                capture(view.model, self._roles) as captured,
                view.redirect_noise(noise),
                local_only(),
                without_running_stats(view.model),
            ):
                losses = view.task.losses(view.bind(params, buffers), (x, y), noise)
            return sum(losses.values()), *(dict(tensors) for tensors in captured)

        key = view.key(DIAGNOSTICS + step)
        result: tuple[Tensor, Named, Named] = view.map(
            forward_row, (params, clone(view.buffers()), key, *self._probe("train"))
        )
        return result

    def _layers_at_start(self, start: Named) -> Named:
        """Return the outputs of the layers for the probe samples, with the parameters of the start."""
        if self._start_layers is None:
            with torch.no_grad():
                self._start_layers = self._forward(start, 0)[2]
        return self._start_layers

    def _predictions(self, step: int) -> tuple[Any, Any]:
        """Return the task's predictions and targets of validation samples, in evaluation mode."""
        view = self.view

        def predict_row(inputs: Any) -> Any:
            params, buffers, key, x, y = inputs
            noise = Noise(key)
            with view.redirect_noise(noise):
                return view.task.evaluate(view.bind(params, buffers), (x, y), noise)[1]

        view.model.eval()
        try:
            with torch.no_grad():
                key = view.key(DIAGNOSTICS + step)
                outputs = view.map(predict_row, (view.params(), clone(view.buffers()), key, *self._probe("val")))
        finally:
            view.model.train()
        return tuple(outputs)

    def measure_all(self, due: Mapping[str, Diagnostic], inputs: Mapping[str, Any]) -> Measurements:
        """Measure several diagnostics, of all rows together, or row by row if vmap refuses one."""
        return self._calls.measure(due, inputs, self.rows)

    def measure(self, diagnostic: Diagnostic, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Measure one diagnostic and raise what it raises.

        Args:
            diagnostic: The diagnostic.
            inputs: Its inputs, from `compute`.

        Returns:
            The values by tag.
        """
        measurements = self.measure_all({"": diagnostic}, inputs)
        for error in measurements.errors.values():
            raise error
        return measurements.values[""]
