"""Diagnostics to look at, measured once when a run has ended: pictures, tables, points and curves."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt
from torch import Tensor, nn

import harness
from harness.build import first_samples
from harness.dataset import Dataset
from harness.diagnostics.capture import roles
from harness.diagnostics.diagnostic import Diagnostic, Embedding, Image, PrCurve, Text
from harness.noise import Noise, keys
from harness.pictures import grid
from harness.space import Integers
from harness.tasks import Task
from harness_components.diagnostic_curvature import added, drawn, shaped

Named = Mapping[str, Tensor]
TOGETHER = 256  # samples that go through the model at a time
EDGE = 128  # pixels of a small picture's longer side, at least
Many = Annotated[int, Ge(1), "validation samples, at most"]


def enlarged(pixels: Tensor) -> Tensor:
    """A picture [C, H, W] whose every pixel is a square of as many as make it large enough to be seen."""
    times = max(1, EDGE // max(pixels.shape[1:]))
    return pixels.repeat_interleave(times, 1).repeat_interleave(times, 2)


def shown(x: Tensor) -> Tensor:
    """Inputs [N, C, H, W] as pictures: from the least to the largest of their numbers."""
    low = x.amin()
    return (x - low) / (x.amax() - low).clamp_min(1e-12)


def samples(model: nn.Module, dataset: Dataset, most: int) -> tuple[Tensor, Tensor]:
    """The first validation samples, which chance has chosen, in the model's precision."""
    x, y = first_samples(dataset, most, "val")
    dtype = next((p.dtype for p in model.parameters()), torch.float32)
    return tuple(t.to(dtype) if t.is_floating_point() else t for t in (x, y))  # type: ignore[return-value]


def predictions(model: nn.Module, task: Task, x: Tensor, y: Tensor) -> list[tuple[Any, Any]]:
    """What the task's metrics are given of some samples, as many at a time as fit together."""

    def call(*given: Any, method: str = "forward") -> Any:
        return model(*given) if method == "forward" else getattr(model, method)(*given)

    parts = zip(x.split(TOGETHER), y.split(TOGETHER), strict=True)
    return [task.evaluate(call, part, Noise(keys(torch.tensor(0), n)))[1] for n, part in enumerate(parts)]


def probabilities(model: nn.Module, dataset: Dataset, task: Task, x: Tensor, y: Tensor) -> Tensor | None:
    """The probability [N, C] that a classifier gives to each class or label; None of what is no classifier."""
    count = len(dataset.classes)
    if dataset.target not in ("class", "labels") or type(task).tuples is not Task.tuples:
        return None
    made = predictions(model, task, x, y)
    if not all(isinstance(prediction, Tensor) and isinstance(target, Tensor) for prediction, target in made):
        return None
    z, target = (torch.cat(parts) for parts in zip(*made, strict=True))
    if dataset.target == "labels":
        return z.sigmoid() if z.shape == target.shape == y.shape else None
    if z.shape == (len(x), 1) == target.shape and count == 2:
        return torch.cat([(-z).sigmoid(), z.sigmoid()], 1)
    classes = target.ndim == 1 and not target.is_floating_point()
    return z.softmax(-1) if classes and z.shape == (len(x), count) else None


def table(header: list[str], rows: list[list[str]]) -> str:
    """In Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


def _confusion(model: nn.Module, dataset: Dataset, task: Task, *, most: int) -> dict[str, Any]:
    x, y = samples(model, dataset, most)
    p = probabilities(model, dataset, task, x, y) if dataset.target == "class" else None
    if p is None:
        return {}
    names = list(dataset.classes)
    counts = torch.zeros(len(names), len(names))
    counts.index_put_((y, p.argmax(-1)), torch.ones(()), accumulate=True)
    share = counts / counts.sum(1, keepdim=True).clamp_min(1)
    rows = [[name, *(f"{int(n)}" for n in row)] for name, row in zip(names, counts.tolist(), strict=True)]
    return {"": Image(enlarged(share[None])), "table": Text(table(["class, predicted as", *names], rows))}


@harness.diagnostic
def confusion(*, most: Many = 10_000) -> Diagnostic:
    """The confusion matrix: of the samples of each class (a row), the share that is taken for each (a column).

    Of validation samples; with the counts as a table. Nothing where the task is no classification.
    """
    return Diagnostic(functools.partial(_confusion, most=most))


def _misclassified(model: nn.Module, dataset: Dataset, task: Task, *, most: int, shown_at_most: int) -> dict[str, Any]:
    x, y = samples(model, dataset, most)
    p = probabilities(model, dataset, task, x, y) if dataset.target == "class" else None
    if p is None:
        return {}
    best = p.max(-1)
    wrong = (best.indices != y).nonzero()[:, 0]
    found: dict[str, Any] = {"share": len(wrong) / len(y)}
    worst = wrong[best.values[wrong].argsort(descending=True)][:shown_at_most]
    if not len(worst):
        return found
    names = dataset.classes
    rows = [[str(i), names[y[i]], names[best.indices[i]], f"{best.values[i]:.3f}"] for i in worst.tolist()]
    found["table"] = Text(table(["validation sample", "is", "is taken for", "with probability"], rows))
    if x.ndim == 4:
        found["samples"] = Image(enlarged(grid(shown(x[worst]))))
    return found


@harness.diagnostic
def misclassified(*, most: Many = 10_000, at_most: Annotated[int, Ge(1), "samples that are shown"] = 36) -> Diagnostic:
    """The validation samples that a classifier gets wrong, those first of which it is most sure, and their share."""
    return Diagnostic(functools.partial(_misclassified, most=most, shown_at_most=at_most))


def _pr_curve(model: nn.Module, dataset: Dataset, task: Task, *, most: int) -> dict[str, PrCurve]:
    x, y = samples(model, dataset, most)
    p = probabilities(model, dataset, task, x, y)
    if p is None:
        return {}
    truths = y > 0.5 if dataset.target == "labels" else y[:, None] == torch.arange(p.shape[1])
    return {name: PrCurve(p[:, i], truths[:, i]) for i, name in enumerate(dataset.classes)}


@harness.diagnostic
def pr_curve(*, most: Many = 10_000) -> Diagnostic:
    """Precision over recall of each class against the rest, or of each label: of validation samples."""
    return Diagnostic(functools.partial(_pr_curve, most=most))


def hidden(model: nn.Module, x: Tensor) -> Tensor | None:
    """What the last layer of weights is given [N, D]; None of a model without one, or that calls none."""
    seen: list[Tensor] = []

    def keep(module: nn.Module, args: tuple[Any, ...]) -> None:
        if args and isinstance(args[0], Tensor):
            seen.append(args[0])

    layers = [name for name, role in roles(model).items() if role == "weights"]
    handles = [model.get_submodule(name).register_forward_pre_hook(keep) for name in layers]
    rows = []
    try:
        for part in x.split(TOGETHER):
            seen.clear()
            model(part)
            if not seen or len(seen[-1]) != len(part) or not seen[-1].is_floating_point():
                return None
            rows.append(seen[-1].flatten(1))
    finally:
        for handle in handles:
            handle.remove()
    return torch.cat(rows)


def _embedding(model: nn.Module, dataset: Dataset, *, most: int) -> dict[str, Embedding]:
    x, y = samples(model, dataset, most)
    vectors = hidden(model, x)
    if vectors is None:
        return {}
    labels = [dataset.classes[i] for i in y.tolist()] if dataset.target == "class" else None
    images = shown(x if x.shape[1] in (1, 3) else x[:, :1]) if x.ndim == 4 else None
    return {"": Embedding(vectors, labels, images)}


@harness.diagnostic
def embedding(*, most: Many = 500) -> Diagnostic:
    """What the last hidden layer makes of validation samples: points to look at in TensorBoard's projector.

    The input of the last layer of weights, flattened, with each sample's class and picture where it has one.
    """
    return Diagnostic(functools.partial(_embedding, most=most))


def _filters(model: nn.Module, dataset: Dataset) -> dict[str, Image]:
    weights = [(name, p.detach()) for name, p in model.named_parameters() if p.ndim > 1]
    if not weights:
        return {}
    name, w = weights[0]
    if w.ndim == 2 and len(dataset.inputs) == 3 and w.shape[1] == torch.Size(dataset.inputs).numel():
        w = w.view(-1, *dataset.inputs)  # what a unit of an mlp looks for in an image
    if w.ndim == 3:
        w = w[:, None]
    if w.ndim != 4:
        return {}
    scale = w.abs().flatten(1).amax(1).clamp_min(1e-12).view(-1, 1, 1, 1)
    return {name.removesuffix(".weight"): Image(enlarged(grid(0.5 + w / scale / 2)))}


@harness.diagnostic(
    reference="Krizhevsky, Sutskever, Hinton, ImageNet classification with deep convolutional neural networks, "
    "NeurIPS 2012, figure 3"
)
def filters() -> Diagnostic:
    """The weights of the first layer as pictures: each filter of a convolution, or each unit of an mlp on images.

    Grey is zero, white the filter's largest weight in magnitude, where that is positive, and black where it is
    negative. Of more channels than three the first is shown.
    """
    return Diagnostic(_filters)


def direction(params: Named, number: int) -> dict[str, Tensor]:
    """A random direction whose every filter is as long as the filter of the parameters; none in biases and scales. Of
    parameters that are all vectors, each is a filter.
    """
    vectors = all(p.ndim < 2 for p in params.values())
    found = {}
    for name, d in shaped(drawn(params, number), params).items():
        p = params[name]
        if p.ndim < 2 and not vectors:
            found[name] = torch.zeros_like(p)
            continue
        rows, own = (t.reshape(1 if p.ndim < 2 else len(t), -1) for t in (d, p))
        ratio = torch.linalg.vector_norm(own, dim=1) / torch.linalg.vector_norm(rows, dim=1).clamp_min(1e-30)
        found[name] = (rows * ratio[:, None]).view(p.shape)
    return found


def surface(params: Named, loss: Callable[..., Tensor], points: int, radius: float) -> Tensor:
    """L(w + a d + b e) [points, points] for a (down) and b (across) from -radius to radius."""
    d, e = direction(params, 1), direction(params, 2)
    places = torch.linspace(-radius, radius, points).tolist()
    return torch.stack([torch.stack([loss(added(added(params, a, d), b, e)) for b in places]) for a in places])


def bands(heights: Tensor, count: int = 24) -> Tensor:
    """Heights [H, W] as a picture of so many greys, dark where it is low, on a logarithmic scale: their borders are
    lines of equal height. White where they are not finite.
    """
    known = heights[heights.isfinite()]
    if not known.numel():
        return torch.ones_like(heights)[None]
    low, high = known.amin(), known.amax()
    t = (heights.nan_to_num(torch.inf).clamp_max(high) - low) / (high - low).clamp_min(1e-30)
    level = torch.log1p(99 * t) / torch.log(torch.tensor(100.0))
    return torch.where(heights.isfinite(), (level * count).floor().clamp_max(count - 1) / (count - 1), 1.0)[None]


def _loss_slice(params: Named, loss: Callable[..., Tensor], *, points: int, radius: float) -> dict[str, Any]:
    points += 1 - points % 2  # with the centre
    heights = surface(params, loss, points, radius)
    known = torch.where(heights.isfinite(), heights, torch.nan)
    return {
        "": Image(enlarged(bands(heights))),
        "centre": heights[points // 2, points // 2],
        "lowest": known.nan_to_num(torch.inf).amin(),
        "highest": known.nan_to_num(-torch.inf).amax(),
    }


@harness.diagnostic(
    reference="Li et al., Visualizing the loss landscape of neural nets, NeurIPS 2018, arXiv:1712.09913"
)
def loss_slice(
    *,
    points: Annotated[int, Integers(9, 25), Ge(3), "on a side, made odd: the middle is the model itself"] = 15,
    radius: Annotated[float, Gt(0), "how far it goes, in lengths of the weights"] = 1.0,
) -> Diagnostic:
    """The training loss over a plane through the trained weights, along two random directions.

    L(w + a d + b e), a and b from -radius to radius: each filter of d and e (a row of a matrix) is as long as that of
    w, so that slices of different networks can be compared; biases and scales stay. Dark is low, on a logarithmic scale
    from the lowest to the highest point; the borders of greys are lines of equal loss.
    """
    return Diagnostic(functools.partial(_loss_slice, points=points, radius=radius), once=True)
