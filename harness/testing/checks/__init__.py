"""Conformance checks, one module per subject."""
