"""Whether a component keeps what the harness promises of it: `harness check`, and one line in a plugin's own tests.

>>> from harness.testing import conformance
>>> test_conformance = conformance("activation/relu", only=["documented"])
"""

from __future__ import annotations

from harness.testing.plugin import conformance

__all__ = ["conformance"]
