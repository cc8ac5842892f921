"""Scikit-learn's estimators as models; each is an attribute of this module under its name."""

from __future__ import annotations

import importlib.util
import inspect
import textwrap
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import sklearn
from sklearn.base import BaseEstimator, ClassifierMixin, ClusterMixin, RegressorMixin
from torch import Generator

import harness
from harness import one_line
from harness_components.bridges import signatures
from harness_components.bridges.signatures import LeftOut
from harness_sklearn import PREFIX, REFERENCE
from harness_sklearn._compat import constraints
from harness_sklearn.estimators import Centres, Classifier, Code, Fitted, Regressor
from harness_sklearn.reading import described, path, settings, snake

Component = Callable[..., Any]
CLASSES = ("classification", "binary_classification")
# Settings of how it computes
NOT_SETTINGS = {"n_jobs", "verbose", "verbose_interval", "random_state", "warm_start", "cache_size", "memory"}
INVERSE = "fit_inverse_transform"  # always True: predictions are reconstructions
MORE = {
    Classifier: "Predicts log-probabilities `[N, C]`, or its decision function if it has none.",
    Regressor: "Predicts real numbers `[N, D]`; an estimator of one output is fitted once for each.",
    Centres: "Predicts squared distances `[N, K]` to its cluster centres.",
    Code: "Predicts its inputs, reconstructed from their code.",
}
TASKS = {Classifier: CLASSES, Regressor: ("regression",), Centres: ("clustering",), Code: ("reconstruction",)}


def estimators() -> Iterator[type]:
    """Yield the public classes of scikit-learn's public modules; its own list of them would import its tests too."""
    seen: set[type] = set()
    for name in sklearn.__all__:
        if importlib.util.find_spec(f"sklearn.{name}") is None:  # a function
            continue
        module = importlib.import_module(f"sklearn.{name}")
        listed = set(getattr(module, "__all__", ()))
        for word, cls in list(vars(module).items()):
            if not inspect.isclass(cls) or not issubclass(cls, BaseEstimator) or word.startswith("_"):
                continue
            if cls not in seen and (word in listed or cls.__module__ == module.__name__):
                seen.add(cls)
                yield cls


def bridge(classes: Iterable[type]) -> tuple[dict[str, Component], dict[str, str]]:
    """Return ({name: component}, {name: why it is left out}) for the estimators that fit a task of harness."""
    components: dict[str, Component] = {}
    out: dict[str, str] = {}
    for cls in classes:
        name = PREFIX + snake(cls.__name__)
        try:
            if (wrapper := _wrapper(cls)) is not None:
                components[name] = _component(name, cls, wrapper)
        except LeftOut as reason:
            out[name] = str(reason)
        except Exception as error:  # an unusual class must not take the others with it
            out[name] = textwrap.shorten(f"it cannot be read: {one_line(error)}", 160, placeholder=" ...")
    return components, out


def _wrapper(cls: Any) -> type[Fitted] | None:
    """Return the class that wraps an estimator, or None if no task fits it."""
    if issubclass(cls, ClassifierMixin):
        return Classifier
    if issubclass(cls, RegressorMixin):
        return Regressor
    if issubclass(cls, ClusterMixin):
        if "\ncluster_centers_ :" not in (inspect.getdoc(cls) or "") or not hasattr(cls, "predict"):
            raise LeftOut("it finds no centres, which new samples could be assigned to")
        return Centres
    if not path(cls).startswith("sklearn.decomposition."):
        return None
    if not hasattr(cls, "inverse_transform"):
        raise LeftOut("it has no inverse_transform, which would reconstruct the inputs")
    return Code


def _component(name: str, cls: Any, wrapper: type[Fitted]) -> Component:
    parameters = settings(cls.__init__, constraints(cls), cls.__doc__ or "", _no_setting)
    taken = cls.__init__.__code__.co_varnames
    fixed = {INVERSE: True} if INVERSE in taken else {}
    asks: dict[str, Any] = {"outputs": int} | ({"generator": Generator} if "random_state" in taken else {})
    positive = _check(cls, fixed, complete=all(p.default is not p.empty for p in parameters))
    skips = {"builds": "it requires positive targets, and those of the checks are not"} if positive else {}

    def compute(outputs: int, generator: Generator | None = None, **settings: Any) -> Fitted:
        seed = {} if generator is None else {"random_state": generator.initial_seed() % 2**32}
        return wrapper(name, lambda: cls(**settings, **fixed, **seed), outputs)

    return signatures.described(
        "model", name, __name__, compute, asks, parameters, harness.Estimator, described(cls, MORE[wrapper]),
        REFERENCE + path(cls), tasks=TASKS[wrapper], estimator=True, **({"skips": skips} if skips else {}),
    )  # fmt: skip


def _no_setting(name: str) -> bool:
    return name in NOT_SETTINGS or name == INVERSE or name.startswith("copy")


def _check(cls: Any, fixed: dict[str, Any], complete: bool) -> bool:
    """Raise LeftOut unless an estimator takes tables of real numbers; return True if targets must be positive."""
    if not complete:
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        try:
            estimator = cls(**fixed)
        except FutureWarning as warning:
            raise LeftOut(str(warning)) from warning
    tags = estimator.__sklearn_tags__()
    if not tags.input_tags.two_d_array:
        raise LeftOut("it takes one number for each sample")
    if tags.input_tags.pairwise:
        raise LeftOut("it takes distances between samples")
    return bool(tags.target_tags.positive_only)


_made, LEFT_OUT = bridge(estimators())
globals().update(_made)
