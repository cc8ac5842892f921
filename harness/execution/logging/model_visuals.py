"""What a finished run's model looks like from inside: for loggers that take more than numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from harness.datasets.dataset import first_samples
from harness.execution.final_metrics import INSIDE, calling, trained
from harness.execution.logging.images import enlarged, grid, heat, matrix
from harness.modeling.rng.noise import Noise, keys
from harness.modeling.rng.torch_functions import Redirect
from harness.system.escape import markdown
from harness.training.fit import Run

SAMPLES = 500  # of the validation split that are looked at, or fewer
WORK = 2e10  # multiplications that this may take
NUMBERS = 40_000  # of an embedding: its file is text
CLASSES = 20  # with more, a matrix of their counts cannot be read
CURVES = 10  # precision-recall curves
WRONG = 25  # samples of another class than predicted that are shown
FILTERS = 64
BINS = 30
TENSORS = 100  # of parameters whose histograms are kept


@dataclass
class ModelVisuals:
    """Everything by its tag: images [1 or 3, H, W] in 0 .. 1, precision-recall curves (scores [N], truths [N]),
    embeddings (vectors [N, D], labels, images), and texts.
    """

    images: dict[str, Tensor] = field(default_factory=dict)
    pr_curves: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    embeddings: dict[str, tuple[Tensor, list[str] | None, Tensor | None]] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SampleViews:
    """Validation samples, what the model says of them, and what its last linear layer is given for each."""

    x: Tensor  # [N, ...]
    y: Tensor
    prediction: Any
    target: Any
    features: Tensor | None  # [N, D]


def inside(run: Run) -> ModelVisuals:
    """What can be shown of a finished run; nothing where it has no weights."""
    shown = ModelVisuals()
    dataset = run.dataset
    if run.state.weights is None or dataset.target == "surface":
        return shown
    model = trained(run)
    shown.images |= filters(model, dataset.inputs)
    seen = look(run, model)
    scores = _scores(seen, len(dataset.classes))
    pixels = _pixels(seen.x)
    names = list(dataset.classes)
    if scores is not None:
        truths = _truths(seen.target, scores)
        for index, name in list(enumerate(names if scores.shape[1] > 1 else names[1:]))[:CURVES]:
            shown.pr_curves[name] = scores[:, index], truths[:, index]
    if scores is not None and dataset.target == "class":
        both = scores if scores.shape[1] > 1 else torch.cat([1 - scores, scores], 1)
        _add_classes(shown, both, seen.y.long(), names, pixels)
    if seen.features is not None:
        labels = [names[int(c)] for c in seen.y] if dataset.target == "class" else None
        count = max(2, NUMBERS // seen.features.shape[1])
        vectors, kept = seen.features[:count], None if labels is None else labels[:count]
        shown.embeddings["features"] = vectors, kept, None if pixels is None else pixels[:count]
    return shown


def look(run: Run, model: nn.Module) -> SampleViews:
    """Passes some validation samples through a model."""
    count = int(min(SAMPLES, max(16, WORK // (run.parts.probe.work or WORK))))
    x, y = first_samples(run.dataset, count, "val")
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)
    x = x.to(dtype) if x.is_floating_point() else x
    last = next((m for m in reversed(list(model.modules())) if isinstance(m, nn.Linear)), None)
    given: list[Tensor] = []
    hook = None if last is None else last.register_forward_pre_hook(lambda _, args: given.append(args[0]))
    noise = Noise(keys(torch.tensor(run.plan.seed), INSIDE))
    try:
        with torch.no_grad(), Redirect(noise):
            prediction, target = run.parts.task.predict(calling(model), (x, y))
    finally:
        if hook is not None:
            hook.remove()
    features = given[-1] if given and given[-1].ndim == 2 and len(given[-1]) == len(x) else None
    return SampleViews(x, y, prediction, target, features)


def _scores(seen: SampleViews, classes: int) -> Tensor | None:
    """The probabilities [N, C] that logits stand for, or [N, 1] for that of the second of two classes."""
    logits = seen.prediction
    if not isinstance(logits, Tensor) or logits.ndim != 2 or not classes or not logits.isfinite().all():
        return None
    if seen.y.ndim == 1 and logits.shape[1] == classes:
        return logits.double().softmax(1)
    if logits.shape[1] == (1 if seen.y.ndim == 1 else classes):
        return logits.double().sigmoid()
    return None


def _truths(target: Tensor, scores: Tensor) -> Tensor:
    if target.ndim == 1:
        return torch.nn.functional.one_hot(target.long(), scores.shape[1]).bool()
    return target > 0.5


def _add_classes(shown: ModelVisuals, scores: Tensor, y: Tensor, names: list[str], pixels: Tensor | None) -> None:
    """Which classes are taken for which, and the samples of which the model is surest and wrong."""
    classes, said = scores.shape[1], scores.argmax(1)
    if pixels is not None:
        shown.images["inputs"] = grid(pixels[:WRONG])
    if classes <= CLASSES:
        counts = torch.bincount(y * classes + said, minlength=classes**2).reshape(classes, classes)
        shown.images["confusion_matrix"] = matrix(counts)
    sure = scores.gather(1, said[:, None])[:, 0]
    wrong = [i for i in sure.argsort(descending=True, stable=True).tolist() if said[i] != y[i]][:WRONG]
    if not wrong:
        return
    rows = [
        f"| {n + 1} | {markdown(names[y[i]])} | {markdown(names[said[i]])} | {sure[i]:.3f} |"
        for n, i in enumerate(wrong)
    ]
    head = "Validation samples of which the model is surest and wrong"
    if pixels is not None:
        shown.images["misclassified"] = grid(pixels[wrong])
        head += ", as in pictures/misclassified, row by row"
    table = ["| | class | predicted | probability |", "|---|---|---|---|", *rows]
    shown.texts["misclassified"] = "\n".join([head + ".", "", *table])


def _pixels(x: Tensor) -> Tensor | None:
    """Samples that are images, in 0 .. 1."""
    if x.ndim != 4 or not x.is_floating_point() or x.shape[1] not in (1, 3):
        return None
    return ((x - x.min()) / (x.max() - x.min()).clamp_min(1e-12)).float()


def filters(model: nn.Module, inputs: tuple[int, ...]) -> dict[str, Tensor]:
    """The weights of the first layer where that sees images: one cell a unit, blue for negative, red for positive."""
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
    """(counts [K], edges [K + 1]) of the finite ones among some values; None where there are none."""
    known = values.detach().flatten()
    known = known[known.isfinite()].float()
    if not len(known):
        return None
    low, high = known.min().item(), known.max().item()
    if low == high:
        reach = max(abs(low), 1.0) * 1e-3
        return torch.tensor([float(len(known))]), torch.tensor([low - reach, high + reach])
    return torch.histc(known, BINS, low, high), torch.linspace(low, high, BINS + 1)


def weights(named: dict[str, Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    """{parameter: its histogram}, of the first TENSORS."""
    found = {name: histogram(value) for name, value in list(named.items())[:TENSORS] if value.is_floating_point()}
    return {name: made for name, made in found.items() if made is not None}
