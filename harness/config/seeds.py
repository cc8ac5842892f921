"""Seeds for the generators of a run: each purpose has its own, so that one does not advance another."""

from __future__ import annotations

import hashlib

import torch


def derive(seed: int, *purpose: object) -> int:
    """Derive a 63-bit seed from a seed and a purpose.

    >>> derive(0, "model") != derive(0, "order", 0) and derive(0, "model") == derive(0, "model")
    True
    """
    text = "/".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *purpose: object) -> torch.Generator:
    """Return a CPU generator for a purpose."""
    return torch.Generator().manual_seed(derive(seed, *purpose))
