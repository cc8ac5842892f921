"""Scikit-learn's data sets as data: each is an attribute of this module, under its name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn import datasets
from torch import Generator

from harness import Dataset, HarnessError, Split, from_arrays, one_line, seeds
from harness import component as marking
from harness_components.bridges import signatures
from harness_components.bridges.signatures import LeftOut, refused
from harness_components.data.files.targets import column_of
from harness_sklearn import PREFIX, REFERENCE
from harness_sklearn._compat import constraints
from harness_sklearn.reading import described, path, settings

Component = Callable[..., Any]
VERBS = ("load_", "make_", "fetch_")
# What is given back and how, from where it comes, and the order, which the split draws.
NOT_SETTINGS = {"random_state", "data_home", "download_if_missing", "as_frame", "coef", "shuffle", "cache", "parser",
                "n_retries", "delay", "sparse"}  # fmt: skip
GIVEN = {"return_X_y": False, "as_frame": False}
TRIED = 10  # of what has no default, all of which are sizes


def bridge(module: Any) -> tuple[dict[str, Component], dict[str, str]]:
    """({name: component}, {name: why it is left out}) of a module's functions that load, make or fetch data."""
    components: dict[str, Component] = {}
    out: dict[str, str] = {}
    for word in module.__all__:
        if not word.startswith(VERBS):
            continue
        name = PREFIX + word
        try:
            components[name] = _component(name, word, module)
        except LeftOut as reason:
            out[name] = str(reason)
        except Exception as error:  # a function that is unlike all others takes no one else with it
            out[name] = f"it cannot be read: {one_line(error)}"
    return components, out


def _component(name: str, word: str, module: Any) -> Component:
    function = getattr(module, word)
    taken = inspect.signature(function).parameters
    if not word.startswith("make_") and "return_X_y" not in taken:
        raise LeftOut("it gives no inputs with their targets")
    doc = inspect.getdoc(function) or ""
    own = settings(function, constraints(function), doc, _no_setting)
    fetched = word.startswith("fetch_")
    wanted: dict[str, Any] = {"split": Split} | ({"cache_dir": Path} if fetched else {}) | {"generator": Generator}

    def compute(*asked: Any, **settings: Any) -> Dataset:
        offered = dict(zip(wanted, asked, strict=True))
        given: dict[str, Any] = (
            {} if word.startswith("make_") else {key: value for key, value in GIVEN.items() if key in taken}
        )
        if "random_state" in taken:
            given["random_state"] = offered["generator"].initial_seed() % 2**32
        if fetched:
            given["data_home"] = str(Path(offered["cache_dir"]) / "sklearn")
        with refused(word):
            x, y, classes = _arrays(getattr(module, word)(**settings, **given))
            return _dataset(word, x, y, classes, offered["split"], offered["generator"])

    more = (
        "It is downloaded when it is first asked for, into cache_dir." if fetched else "Inputs [features], or images."
    )
    text = described(function, more)
    return signatures.described("data", name, __name__, compute, wanted, own, Dataset, text, REFERENCE + path(function))


def _no_setting(name: str) -> bool:
    return name in NOT_SETTINGS or name.startswith("return_")


def _arrays(found: Any) -> tuple[np.ndarray, np.ndarray, Any]:
    """(inputs, targets, names of classes or None) of what one of scikit-learn's functions gives."""
    if isinstance(found, tuple):
        if len(found) != 2:
            raise HarnessError("it gives no inputs with their targets")
        return np.asarray(found[0]), np.asarray(found[1]), None
    if not isinstance(found, Mapping):
        raise HarnessError("it gives no inputs with their targets")
    x, y = found["data"], found["target"]
    if hasattr(x, "toarray"):
        raise HarnessError("its inputs are sparse")
    x, images = np.asarray(x), found.get("images")
    if images is not None and len(images) == len(x) and np.asarray(images).ndim in (3, 4):
        pixels = np.asarray(images)
        x = pixels[:, None] if pixels.ndim == 3 else pixels.transpose(0, 3, 1, 2)
    return x, np.asarray(y), found.get("target_names")


def _dataset(word: str, x: np.ndarray, y: np.ndarray, names: Any, split: Split, generator: Generator) -> Dataset:
    """Targets are what they are in a file (targets.py), but one column that is no floats is of classes, however many:
    so scikit-learn tells them from real numbers.
    """
    if x.ndim < 2 or len(x) != len(y) or x.dtype.kind not in "fiub":
        raise HarnessError("its inputs are no table of numbers, a row a sample")
    if y.ndim > 2 or (y.ndim == 2 and y.dtype.kind not in "fiub"):
        raise HarnessError("its targets are neither classes nor real numbers")
    found = column_of(y, "target", "class" if y.ndim == 1 and y.dtype.kind != "f" else "auto", Path(word))
    named = found.kind == "class" and names is not None and len(names) == len(found.classes)
    classes = list(names) if named else found.classes
    made = from_arrays(x, found.encode(y), split, generator, target=found.kind, classes=classes)
    return replace(made, remarks=found.remarks)


def failures(components: Mapping[str, Component]) -> dict[str, str]:
    """{name: why} of those that give no data set with their defaults; what would be downloaded is not tried."""
    out: dict[str, str] = {}
    offers = {"split": Split(), "generator": seeds.generator(0, "split")}
    for name, component in components.items():
        if "cache_dir" in marking.asks(component):
            continue
        given = {p.name: TRIED for p in marking.parameters(component) if p.required}
        try:
            component(*(offers[asked] for asked in marking.asks(component)), **given)
        except Exception as error:
            out[name] = str(error)
    return out


_made, LEFT_OUT = bridge(datasets)
globals().update(_made)
