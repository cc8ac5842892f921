"""Private APIs of scikit-learn: seen on scikit-learn 1.9.

`Hidden`, `Interval`, `Options` and `RealNotInt` (`sklearn.utils._param_validation`) are the constraints by which
scikit-learn checks parameters. Without them, settings have no ranges and no choices.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sklearn.utils._param_validation import Hidden, Interval, Options, RealNotInt

__all__ = ["Hidden", "Interval", "Options", "RealNotInt", "constraints"]


def constraints(member: type | Callable[..., Any]) -> dict[str, Any]:
    """Return the constraints of each parameter of an estimator's class or of a function; {} if it has none.

    Uses `_parameter_constraints` of classes and `_skl_parameter_constraints` of functions, seen on scikit-learn 1.9.
    Without them, types of settings are those of their defaults, without ranges and choices.
    """
    name = "_parameter_constraints" if isinstance(member, type) else "_skl_parameter_constraints"
    found: dict[str, Any] = getattr(member, name, {})
    return found
