"""Scikit-learn's data sets as components; each is an attribute of this module under its name."""

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
# Settings of the return value, of downloads, and of the order, which the split draws
NOT_SETTINGS = {"random_state", "data_home", "download_if_missing", "as_frame", "coef", "shuffle", "cache", "parser",
                "n_retries", "delay", "sparse"}  # fmt: skip
GIVEN = {"return_X_y": False, "as_frame": False}
TRIED = 10  # value of parameters without a default, all of which are sizes


def bridge(module: Any) -> tuple[dict[str, Component], dict[str, str]]:
    """Return ({name: component}, {name: why it is left out}) for the functions that load, make or fetch data."""
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
        except Exception as error:  # an unusual function must not take the others with it
            out[name] = f"it cannot be read: {one_line(error)}"
    return components, out


def _component(name: str, word: str, module: Any) -> Component:
    function = getattr(module, word)
    taken = inspect.signature(function).parameters
    if not word.startswith("make_") and "return_X_y" not in taken:
        raise LeftOut("it returns no inputs with targets")
    doc = inspect.getdoc(function) or ""
    parameters = settings(function, constraints(function), doc, _no_setting)
    fetched = word.startswith("fetch_")
    asks: dict[str, Any] = {"split": Split} | ({"cache_dir": Path} if fetched else {}) | {"generator": Generator}

    def compute(*arguments: Any, **settings: Any) -> Dataset:
        offered = dict(zip(asks, arguments, strict=True))
        fixed: dict[str, Any] = (
            {} if word.startswith("make_") else {key: value for key, value in GIVEN.items() if key in taken}
        )
        if "random_state" in taken:
            fixed["random_state"] = offered["generator"].initial_seed() % 2**32
        if fetched:
            fixed["data_home"] = str(Path(offered["cache_dir"]) / "sklearn")
        with refused(word):
            x, y, classes = _arrays(getattr(module, word)(**settings, **fixed))
            return _dataset(word, x, y, classes, offered["split"], offered["generator"])

    more = "Downloaded to `cache_dir` on first use." if fetched else "Inputs `[features]`, or images."
    text = described(function, more)
    reference = REFERENCE + path(function)
    return signatures.described("data", name, __name__, compute, asks, parameters, Dataset, text, reference)


def _no_setting(name: str) -> bool:
    return name in NOT_SETTINGS or name.startswith("return_")


def _arrays(result: Any) -> tuple[np.ndarray, np.ndarray, Any]:
    """Return the inputs, the targets, and the names of the classes or None from a function's result."""
    if isinstance(result, tuple):
        if len(result) != 2:
            raise HarnessError("it returns no inputs with targets")
        return np.asarray(result[0]), np.asarray(result[1]), None
    if not isinstance(result, Mapping):
        raise HarnessError("it returns no inputs with targets")
    x, y = result["data"], result["target"]
    if hasattr(x, "toarray"):
        raise HarnessError("its inputs are sparse")
    x, images = np.asarray(x), result.get("images")
    if images is not None and len(images) == len(x) and np.asarray(images).ndim in (3, 4):
        pixels = np.asarray(images)
        x = pixels[:, None] if pixels.ndim == 3 else pixels.transpose(0, 3, 1, 2)
    return x, np.asarray(y), result.get("target_names")


def _dataset(word: str, x: np.ndarray, y: np.ndarray, names: Any, split: Split, generator: Generator) -> Dataset:
    """Build the data set; a single column of targets that are not floats is classes, as in scikit-learn."""
    if x.ndim < 2 or len(x) != len(y) or x.dtype.kind not in "fiub":
        raise HarnessError("its inputs are no table of numbers with a row for each sample")
    if y.ndim > 2 or (y.ndim == 2 and y.dtype.kind not in "fiub"):
        raise HarnessError("its targets are neither classes nor real numbers")
    target = column_of(y, "target", "class" if y.ndim == 1 and y.dtype.kind != "f" else "auto", Path(word))
    named = target.kind == "class" and names is not None and len(names) == len(target.classes)
    classes = list(names) if named else target.classes
    dataset = from_arrays(x, target.encode(y), split, generator, target=target.kind, classes=classes)
    return replace(dataset, remarks=target.remarks)


def failures(components: Mapping[str, Component]) -> dict[str, str]:
    """Return {name: why} for data sets that fail with their defaults; downloads are not tried."""
    out: dict[str, str] = {}
    offers = {"split": Split(), "generator": seeds.generator(0, "split")}
    for name, component in components.items():
        if "cache_dir" in marking.asks(component):
            continue
        required = {p.name: TRIED for p in marking.parameters(component) if p.required}
        try:
            component(*(offers[name] for name in marking.asks(component)), **required)
        except Exception as error:
            out[name] = str(error)
    return out


_made, LEFT_OUT = bridge(datasets)
globals().update(_made)
