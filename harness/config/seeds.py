"""Seeds for the generators of one run: each purpose has its own, so that asking for one never moves another."""

from __future__ import annotations

import hashlib

import torch


def derive(seed: int, *purpose: object) -> int:
    """A 63-bit seed from a seed and what it is for.

    >>> derive(0, "model") != derive(0, "order", 0) and derive(0, "model") == derive(0, "model")
    True
    """
    text = "/".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *purpose: object) -> torch.Generator:
    """A CPU generator for one purpose."""
    return torch.Generator().manual_seed(derive(seed, *purpose))
