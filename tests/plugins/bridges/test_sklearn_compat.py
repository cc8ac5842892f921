"""Tests of private APIs of scikit-learn: a failing test names the feature that breaks when the API changes."""

from __future__ import annotations

import numbers

from sklearn.datasets import make_classification
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from harness_sklearn._compat import Hidden, Interval, Options, RealNotInt, constraints


def test_constraints_of_a_class_are_intervals_and_options() -> None:
    result = constraints(SVC)
    (limit,) = result["C"]
    assert isinstance(limit, Interval), "settings have no ranges"
    assert (limit.type, limit.left, limit.right, limit.closed) == (numbers.Real, 0.0, None, "right")
    assert {"linear", "rbf"} <= result["kernel"][0].options, "settings have no choices"
    assert isinstance(result["kernel"][0], Options)


def test_constraints_of_a_function_are_intervals() -> None:
    (limit,) = constraints(make_classification)["n_samples"]
    assert isinstance(limit, Interval), "data of scikit-learn have no ranges"


def test_fractions_are_distinguished_from_counts() -> None:
    kinds = {limit.type for limit in constraints(DecisionTreeClassifier)["min_samples_leaf"]}
    assert kinds == {numbers.Integral, RealNotInt}, "a fraction of the samples is no longer accepted"


def test_hidden_constraints_wrap_others() -> None:
    assert Hidden(Options(str, {"a"})).constraint.options == {"a"}, "values on their way out become choices"


def test_object_without_constraints_has_none() -> None:
    assert constraints(dict) == {}
