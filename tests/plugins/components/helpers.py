"""How these tests make a component: as the harness does, by kind and name, with settings and what it asks for."""

import torch

from harness.config.seeds import generator
from harness.config.settings import Split
from harness.datasets.dataset import SPLITS
from harness.registry.instantiate import component
from harness.registry.kinds import KEY


def make(kind, name, settings=None, /, **offers):
    """A component, called with what it asks for of `offers`; training inputs come in pieces too."""
    if kind == "transform":
        offers.setdefault("chunks", lambda: iter(offers["train"].split(7)))
    if kind == "loss":
        offers.setdefault("class_counts", None)
    return component(kind, {KEY: name, **(settings or {})}, **offers)


def data(name, settings=None, /, seed=0, cache_dir="", **split):
    """A data set as a run loads it."""
    made = Split(seed=seed, **split)
    return make("data", name, settings, split=made, generator=generator(seed, "split"), cache_dir=cache_dir)


def whole(dataset):
    """The inputs (each flattened, float64) and targets of all splits, one after the other."""
    parts = [dataset.part(split) for split in SPLITS]
    x = torch.cat([part.x.flatten(1) for part in parts]).double().numpy()
    return x, torch.cat([part.y for part in parts]).numpy()


def measured(name, settings=None, /, **offers):
    """What a diagnostic finds, handed what it asks for of `offers`."""
    made = make("diagnostic", name, settings)
    found = made.measure(**{ask: offers[ask] for ask in made.asks})
    numbers = torch.Tensor, float, int
    return {tag: float(value) if isinstance(value, numbers) else value for tag, value in found.items()}
