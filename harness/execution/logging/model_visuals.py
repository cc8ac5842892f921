"""Visualise the model of a finished run, for loggers that take more than numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from harness.datasets.sampling import sampled
from harness.execution.final_measures import INSIDE, trained
from harness.execution.logging.images import enlarged, grid, heat, matrix
from harness.modeling.calling import calling, cast, dtype_of
from harness.modeling.rng.noise import Noise, keys
from harness.modeling.rng.torch_functions import Redirect
from harness.system.escape import markdown
from harness.training.fit import Run

# Limits
SAMPLES = 500  # of the validation split
WORK = 2e10  # multiplications
NUMBERS = 40_000  # in an embedding, whose file is text
CLASSES = 20  # a larger confusion matrix cannot be read
CURVES = 10  # precision-recall curves
WRONG = 25  # misclassified samples
FILTERS = 64
BINS = 30
TENSORS = 100  # parameters with a histogram


@dataclass
class ModelVisuals:
    """Visualisations of a model, each by its tag.

    Args:
        images: Images, shape `[1 or 3, H, W]`, values in 0 .. 1.
        pr_curves: Scores `[N]` and truths `[N]` of precision-recall curves.
        embeddings: Vectors `[N, D]`, labels and images.
        texts: Texts in Markdown.
    """

    images: dict[str, Tensor] = field(default_factory=dict)
    pr_curves: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    embeddings: dict[str, tuple[Tensor, list[str] | None, Tensor | None]] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SampleViews:
    """Validation samples with a model's predictions.

    Args:
        x: Inputs, shape `[N, ...]`.
        y: Targets as the data has them.
        prediction: Predictions, as the task makes them.
        target: Targets that the predictions are compared with.
        features: Inputs of the last linear layer, shape `[N, D]`; None if there is none.
    """

    x: Tensor
    y: Tensor
    prediction: Any
    target: Any
    features: Tensor | None


def visualize(run: Run) -> ModelVisuals:
    """Make all visualisations of a finished run; none if it has no weights."""
    visuals = ModelVisuals()
    dataset = run.dataset
    if run.state.weights is None or dataset.target == "surface":
        return visuals
    model = trained(run)
    visuals.images |= filters(model, dataset.inputs)
    views = view_samples(run, model)
    scores = _scores(views, len(dataset.classes))
    pixels = _pixels(views.x)
    names = list(dataset.classes)
    if scores is not None:
        truths = _truths(views.target, scores)
        for index, name in list(enumerate(names if scores.shape[1] > 1 else names[1:]))[:CURVES]:
            visuals.pr_curves[name] = scores[:, index], truths[:, index]
    if scores is not None and dataset.target == "class":
        both = scores if scores.shape[1] > 1 else torch.cat([1 - scores, scores], 1)
        _add_classes(visuals, both, views.y.long(), names, pixels)
    if views.features is not None:
        count = max(2, NUMBERS // views.features.shape[1])
        labels = [names[int(c)] for c in views.y[:count]] if dataset.target == "class" else None
        visuals.embeddings["features"] = views.features[:count], labels, None if pixels is None else pixels[:count]
    return visuals


def view_samples(run: Run, model: nn.Module) -> SampleViews:
    """Predict the first validation samples of a run."""
    count = int(min(SAMPLES, max(16, WORK // (run.parts.probe.work or WORK))))
    x, y = sampled(run.dataset, count, "val")
    x = cast(x, dtype_of(model))
    last = next((m for m in reversed(list(model.modules())) if isinstance(m, nn.Linear)), None)
    inputs: list[Tensor] = []  # of the last linear layer
    hook = None if last is None else last.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    noise = Noise(keys(torch.tensor(run.plan.seed), INSIDE))
    try:
        with torch.no_grad(), Redirect(noise):
            prediction, target = run.parts.task.predict(calling(model), (x, y))
    finally:
        if hook is not None:
            hook.remove()
    features = inputs[-1] if inputs and inputs[-1].ndim == 2 and len(inputs[-1]) == len(x) else None
    return SampleViews(x, y, prediction, target, features)


def _scores(views: SampleViews, classes: int) -> Tensor | None:
    """Return the probabilities of the classes, shape `[N, C]`, or of the second of two classes, shape `[N, 1]`.

    None if the predictions are no logits of classes.
    """
    logits = views.prediction
    if not isinstance(logits, Tensor) or logits.ndim != 2 or not classes or not logits.isfinite().all():
        return None
    if views.y.ndim == 1 and logits.shape[1] == classes:
        return logits.double().softmax(1)
    if logits.shape[1] == (1 if views.y.ndim == 1 else classes):
        return logits.double().sigmoid()
    return None


def _truths(target: Tensor, scores: Tensor) -> Tensor:
    if target.ndim == 1:
        return torch.nn.functional.one_hot(target.long(), scores.shape[1]).bool()
    return target > 0.5


def _add_classes(visuals: ModelVisuals, scores: Tensor, y: Tensor, names: list[str], pixels: Tensor | None) -> None:
    """Add the confusion matrix, and the misclassified samples with the largest probabilities."""
    classes, predicted = scores.shape[1], scores.argmax(1)
    if pixels is not None:
        visuals.images["inputs"] = grid(pixels[:WRONG])
    if classes <= CLASSES:
        counts = torch.bincount(y * classes + predicted, minlength=classes**2).reshape(classes, classes)
        visuals.images["confusion_matrix"] = matrix(counts)
    confidence = scores.gather(1, predicted[:, None])[:, 0]
    wrong = [i for i in confidence.argsort(descending=True, stable=True).tolist() if predicted[i] != y[i]][:WRONG]
    if not wrong:
        return
    rows = [
        f"| {n + 1} | {markdown(names[y[i]])} | {markdown(names[predicted[i]])} | {confidence[i]:.3f} |"
        for n, i in enumerate(wrong)
    ]
    head = "Validation samples of which the model is surest and wrong"
    if pixels is not None:
        visuals.images["misclassified"] = grid(pixels[wrong])
        head += ", as in pictures/misclassified, row by row"
    table = ["| | class | predicted | probability |", "|---|---|---|---|", *rows]
    visuals.texts["misclassified"] = "\n".join([head + ".", "", *table])


def _pixels(x: Tensor) -> Tensor | None:
    """Return samples that are images, scaled to 0 .. 1; None if they are none."""
    if x.ndim != 4 or not x.is_floating_point() or x.shape[1] not in (1, 3):
        return None
    return ((x - x.min()) / (x.max() - x.min()).clamp_min(1e-12)).float()


def filters(model: nn.Module, inputs: tuple[int, ...]) -> dict[str, Tensor]:
    """Draw the weights of a first layer that takes images.

    Args:
        model: The model.
        inputs: The shape of a sample.

    Returns:
        {"filters": a grid with a cell for each unit}, blue for negative and red for positive weights, unless the layer
        takes three channels; empty if no layer takes images.
    """
    for module in model.modules() if len(inputs) == 3 else ():
        if isinstance(module, nn.Conv2d):
            weight = module.weight
        elif isinstance(module, nn.Linear) and module.in_features == math.prod(inputs):
            weight = module.weight.unflatten(1, inputs)
        else:
            continue
        first = enlarged(weight.detach().float()[:FILTERS], max(1, 16 // weight.shape[-1]))
        if first.shape[1] == 3:
            return {"filters": grid(first / (2 * first.abs().amax().clamp_min(1e-12)) + 0.5)}
        return {"filters": grid(heat(first[:, 0], signed=True))}
    return {}


def histogram(values: Tensor) -> tuple[Tensor, Tensor] | None:
    """Return the histogram of the finite values: counts `[K]` and edges `[K + 1]`; None if no value is finite."""
    numbers = values.detach().flatten()
    numbers = numbers[numbers.isfinite()].float()
    if not len(numbers):
        return None
    low, high = numbers.min().item(), numbers.max().item()
    if low == high:
        reach = max(abs(low), 1.0) * 1e-3
        return torch.tensor([float(len(numbers))]), torch.tensor([low - reach, high + reach])
    return torch.histc(numbers, BINS, low, high), torch.linspace(low, high, BINS + 1)


def weight_histograms(parameters: Mapping[str, Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    """Return the histograms of the first `TENSORS` parameters, by name."""
    first = list(parameters.items())[:TENSORS]
    histograms = {name: histogram(value) for name, value in first if value.is_floating_point()}
    return {name: counts for name, counts in histograms.items() if counts is not None}
