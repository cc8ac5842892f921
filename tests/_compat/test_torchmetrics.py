"""torchmetrics is imported without the libraries that it uses rarely, and uses them when they are wanted."""

from __future__ import annotations

import subprocess
import sys

TEST = """
import sys
import harness
import torch
import torchmetrics
assert "scipy.signal" not in sys.modules and "matplotlib" not in sys.modules
import scipy.signal
assert scipy.signal.windows.hamming(3).shape == (3,)
from torchmetrics.classification import BinaryAccuracy
figure, axes = BinaryAccuracy().plot(torch.tensor(0.5))
import matplotlib.axes
assert isinstance(axes, matplotlib.axes.Axes)
"""


def test_deferred_modules_are_imported_when_they_are_used() -> None:
    subprocess.run([sys.executable, "-c", TEST], check=True, timeout=120)
