"""How these tests make a component: as the harness does, by kind and name, with settings and what it asks for."""

from harness.build import component
from harness.schema import KEY
from harness.seeds import generator
from harness.settings import Split


def make(kind, name, settings=None, /, **offers):
    """A component, called with what it asks for of `offers`."""
    return component(kind, {KEY: name, **(settings or {})}, **offers)


def data(name, settings=None, /, seed=0, **split):
    """A data set as a run loads it."""
    made = Split(seed=seed, **split)
    return make("data", name, settings, split=made, generator=generator(seed, "split"), cache_dir="")
