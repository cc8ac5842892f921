"""Check that components keep the rules: `harness check` as a pytest test.

>>> from harness.testing import conformance
>>> test_conformance = conformance("activation/relu", only=["documented"])
"""

from __future__ import annotations

from harness.testing.plugin import conformance

__all__ = ["conformance"]
