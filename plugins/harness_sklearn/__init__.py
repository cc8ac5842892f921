"""Bridge to scikit-learn: its data sets and estimators as components, made by inspection of the installed version.

Names are `sklearn_` and the function's name, or the class's in snake_case: sklearn.datasets.make_moons is the data
`sklearn_make_moons`, sklearn.svm.SVC the model `sklearn_svc`. No name is listed here; members that cannot be components
are left out with the reason.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import harness

PREFIX = "sklearn_"
HINT = "the package scikit-learn is not installed: pip install scikit-learn"
REFERENCE = "Pedregosa et al., Scikit-learn: machine learning in Python, JMLR 12, 2011: "


def _installed() -> bool:
    return find_spec("sklearn") is not None


@harness.hookimpl
def harness_components() -> list[Callable[..., Any]]:
    """Return every data set and estimator that can be a component."""
    if not _installed():
        return []
    from harness_sklearn import data, models

    return [*harness.marked(data), *harness.marked(models)]


@harness.hookimpl
def harness_left_out() -> dict[str, str]:
    """Return the members that cannot be components by their code, and data sets that fail."""
    if not _installed():
        return {f"{kind}/{PREFIX}*": HINT for kind in ("data", "model")}
    from harness_sklearn import data, models

    failed = data.failures({component.__name__: component for component in harness.marked(data)})
    out = {"data": data.LEFT_OUT | failed, "model": models.LEFT_OUT}
    return {f"{kind}/{name}": reason for kind, names in out.items() for name, reason in names.items()}
