"""The library that computes the matrix products of stacks: a function of the processor and of what is installed."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

Library = Literal["torch", "numpy"]


@functools.cache
def product_library() -> Library:
    """Return the library of products: numpy on processors of AMD, where numpy uses OpenBLAS; torch on others.

    MKL, which torch uses, reached 78 GFLOP/s on a core of an AMD Zen 5, and OpenBLAS 237. On Intel both are alike.
    """
    return "numpy" if vendor() == "AuthenticAMD" and _numpy_has_openblas() else "torch"


def vendor() -> str:
    """Return the vendor of the processor as it names itself, such as "AuthenticAMD"; empty if it is unknown.

    >>> vendor() in ("AuthenticAMD", "GenuineIntel", "")
    True
    """
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("vendor_id")), "")


def _numpy_has_openblas() -> bool:
    import numpy as np

    config: Any = np.show_config(mode="dicts")
    return "openblas" in config["Build Dependencies"]["blas"]["name"]


@functools.cache
def _controller() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


@contextmanager
def one_thread() -> Iterator[None]:
    """Context in which numpy computes its products with one thread, if they are numpy's."""
    if product_library() == "torch":
        yield
        return
    with _controller().limit(limits=1, user_api="blas"):
        yield
