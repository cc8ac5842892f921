"""Functions that make a component as harness does: by kind and name, with settings and injected arguments."""

import torch

from harness.config.seeds import generator
from harness.config.settings import Split
from harness.datasets.dataset import SPLITS
from harness.registry.instantiate import component
from harness.registry.kinds import KEY


def make(kind, name, settings=None, /, **offers):
    """Make a component with the injected arguments that it needs from `offers`; training inputs come in blocks too."""
    if kind == "transform":
        offers.setdefault("chunks", lambda: iter(offers["train"].split(7)))
    if kind == "loss":
        offers.setdefault("class_counts", None)
    return component(kind, {KEY: name, **(settings or {})}, **offers)


def data(name, settings=None, /, seed=0, cache_dir="", **split):
    """Return a data set as a run loads it."""
    dataset = Split(seed=seed, **split)
    return make("data", name, settings, split=dataset, generator=generator(seed, "split"), cache_dir=cache_dir)


def whole(dataset):
    """Return the inputs (each flattened, float64) and targets of all splits, concatenated."""
    parts = [dataset.part(split) for split in SPLITS]
    x = torch.cat([part.x.flatten(1) for part in parts]).double().numpy()
    return x, torch.cat([part.y for part in parts]).numpy()


def measured(name, settings=None, /, **offers):
    """Return the values of a diagnostic, with the injected arguments that it needs from `offers`."""
    diagnostic = make("diagnostic", name, settings)
    values = diagnostic.measure(**{ask: offers[ask] for ask in diagnostic.asks})
    numbers = torch.Tensor, float, int
    return {tag: float(value) if isinstance(value, numbers) else value for tag, value in values.items()}
