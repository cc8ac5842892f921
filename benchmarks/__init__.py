"""Ours against its peers, as interleaved ratios in one run: `python -m benchmarks`, which is `make bench`."""

import os

# Some machines set these: they halve the speed of numpy's products. Every process of a benchmark imports this first.
for _name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
    os.environ.pop(_name, None)
