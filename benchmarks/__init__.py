"""Ours against its peers, as interleaved ratios in one run: `python -m benchmarks`, which is `make bench`."""
