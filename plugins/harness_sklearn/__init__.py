"""A bridge to scikit-learn: its data sets and estimators by name, made by inspection of what is installed.

`sklearn_` and the function's name, or the class's in snake_case: sklearn.datasets.make_moons is the data
`sklearn_make_moons`, sklearn.svm.SVC the model `sklearn_svc`. No name is written here; what has no place in a run is
left out with its reason.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import harness

PREFIX = "sklearn_"
HINT = "the package scikit-learn is not installed: pip install scikit-learn brings it"
REFERENCE = "Pedregosa et al., Scikit-learn: machine learning in Python, JMLR 12, 2011: "


def _installed() -> bool:
    return find_spec("sklearn") is not None


@harness.hookimpl
def harness_components() -> list[Callable[..., Any]]:
    """Every data set and estimator that can be a component."""
    if not _installed():
        return []
    from harness_sklearn import data, models

    return [*harness.marked(data), *harness.marked(models)]


@harness.hookimpl
def harness_left_out() -> dict[str, str]:
    """What cannot be a component by its code, and what was tried and gives no data set."""
    if not _installed():
        return {f"{kind}/{PREFIX}*": HINT for kind in ("data", "model")}
    from harness_sklearn import data, models

    tried = data.failures({made.__name__: made for made in harness.marked(data)})
    out = {"data": data.LEFT_OUT | tried, "model": models.LEFT_OUT}
    return {f"{kind}/{name}": reason for kind, names in out.items() for name, reason in names.items()}
