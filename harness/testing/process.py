"""The state of a process that no component may change: read, and put back. Imports nothing beside torch."""

from __future__ import annotations

import contextlib
import os
import random
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

# What a process shares, and how it is read. Each compares by ==. NPY002 would have a numpy Generator of one's own in
# place of the global one: the global one is what is watched here, and nothing is drawn from it.
SHARED: dict[str, Callable[[], Any]] = {
    "torch's random generator": lambda: torch.get_rng_state().tolist(),
    "numpy's random generator": lambda: [str(part) for part in np.random.get_state()],  # noqa: NPY002
    "Python's random generator": random.getstate,
    "torch's default dtype": torch.get_default_dtype,
    "torch's default device": torch.get_default_device,
    "torch's number of threads": torch.get_num_threads,
    "whether torch records gradients": torch.is_grad_enabled,
    "whether torch is deterministic": torch.are_deterministic_algorithms_enabled,
    "torch's check for anomalies": torch.is_anomaly_enabled,
    "the filters of warnings": lambda: list(warnings.filters),
    "the working folder": os.getcwd,
    "the environment variables": lambda: dict(os.environ),
}


def shared() -> dict[str, Any]:
    """The state of this process that no component may change."""
    return {name: read() for name, read in SHARED.items()}


@contextlib.contextmanager
def preserved() -> Iterator[None]:
    """Puts back what `shared` reads."""
    kept = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    dtype, threads, gradients = torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled()
    deterministic, anomaly = torch.are_deterministic_algorithms_enabled(), torch.is_anomaly_enabled()
    folder, variables, device = os.getcwd(), dict(os.environ), torch.get_default_device()
    with warnings.catch_warnings():
        try:
            yield
        finally:
            torch.set_rng_state(kept[0])
            np.random.set_state(kept[1])  # noqa: NPY002
            random.setstate(kept[2])
            torch.set_default_dtype(dtype)
            if torch.get_num_threads() != threads:
                torch.set_num_threads(threads)
            if torch.get_default_device() != device:
                torch.set_default_device(device)
            torch.set_grad_enabled(gradients)
            torch.use_deterministic_algorithms(deterministic)
            torch.autograd.set_detect_anomaly(anomaly)
            os.chdir(folder)
            for name in os.environ.keys() - variables.keys():
                del os.environ[name]
            os.environ.update(variables)
