"""Scikit-learn's estimators as models: each is an attribute of this module, under its name."""

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
from harness_sklearn.estimators import Centres, Classifier, Code, Fitted, Regressor
from harness_sklearn.reading import described, path, settings, snake

Component = Callable[..., Any]
CLASSES = ("classification", "binary_classification")
# How it computes, and not what.
NOT_SETTINGS = {"n_jobs", "verbose", "verbose_interval", "random_state", "warm_start", "cache_size", "memory"}
INVERSE = "fit_inverse_transform"  # a reconstruction is asked for: always yes
MORE = {
    Classifier: "Predicts logarithms of probabilities [N, C], or its decision function where it has none.",
    Regressor: "Predicts real numbers [N, D], by an estimator for each where it can do one only.",
    Centres: "Predicts squared distances [N, K] to the centres that it finds.",
    Code: "Predicts its inputs, from what is left of them in its code.",
}
TASKS = {Classifier: CLASSES, Regressor: ("regression",), Centres: ("clustering",), Code: ("reconstruction",)}


def estimators() -> Iterator[type]:
    """The public classes of scikit-learn's public modules; its own list of them imports its tests too."""
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
    """({name: component}, {name: why it is left out}) of the estimators that a task of harness could be for."""
    components: dict[str, Component] = {}
    out: dict[str, str] = {}
    for cls in classes:
        name = PREFIX + snake(cls.__name__)
        try:
            if (face := _face(cls)) is not None:
                components[name] = _component(name, cls, face)
        except LeftOut as reason:
            out[name] = str(reason)
        except Exception as error:  # a class that is unlike all others takes no one else with it
            out[name] = textwrap.shorten(f"it cannot be read: {one_line(error)}", 160, placeholder=" ...")
    return components, out


def _face(cls: Any) -> type[Fitted] | None:
    """What stands for an estimator in a run; None for what is none of the tasks that there are."""
    if issubclass(cls, ClassifierMixin):
        return Classifier
    if issubclass(cls, RegressorMixin):
        return Regressor
    if issubclass(cls, ClusterMixin):
        if "\ncluster_centers_ :" not in (inspect.getdoc(cls) or "") or not hasattr(cls, "predict"):
            raise LeftOut("it finds no centres, by which samples that it was not fitted to could be judged")
        return Centres
    if not path(cls).startswith("sklearn.decomposition."):
        return None
    if not hasattr(cls, "inverse_transform"):
        raise LeftOut("it has no inverse_transform, which would give the inputs back")
    return Code


def _component(name: str, cls: Any, face: type[Fitted]) -> Component:
    constraints = getattr(cls, "_parameter_constraints", {})
    own = settings(cls.__init__, constraints, cls.__doc__ or "", _no_setting)
    taken = cls.__init__.__code__.co_varnames
    fixed = {INVERSE: True} if INVERSE in taken else {}
    asks: dict[str, Any] = {"outputs": int} | ({"generator": Generator} if "random_state" in taken else {})
    positive = _check(cls, fixed, complete=all(p.default is not p.empty for p in own))
    skips = {"builds": "it wants positive targets, and those of the checks are not"} if positive else {}

    def compute(outputs: int, generator: Generator | None = None, **given: Any) -> Fitted:
        seed = {} if generator is None else {"random_state": generator.initial_seed() % 2**32}
        return face(name, lambda: cls(**given, **fixed, **seed), outputs)

    return signatures.described(
        "model", name, __name__, compute, asks, own, harness.Estimator, described(cls, MORE[face]),
        REFERENCE + path(cls), tasks=TASKS[face], estimator=True, **({"skips": skips} if skips else {}),
    )  # fmt: skip


def _no_setting(name: str) -> bool:
    return name in NOT_SETTINGS or name == INVERSE or name.startswith("copy")


def _check(cls: Any, fixed: dict[str, Any], complete: bool) -> bool:
    """Refuses what takes no table of real numbers as its inputs, and what is on its way out. Whether its targets must
    be positive.
    """
    if not complete:
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        try:
            made = cls(**fixed)
        except FutureWarning as warning:
            raise LeftOut(str(warning)) from warning
    tags = made.__sklearn_tags__()
    if not tags.input_tags.two_d_array:
        raise LeftOut("it takes one number a sample")
    if tags.input_tags.pairwise:
        raise LeftOut("it takes distances between samples")
    return bool(tags.target_tags.positive_only)


_made, LEFT_OUT = bridge(estimators())
globals().update(_made)
