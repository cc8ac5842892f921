"""The conformance checks, by subject."""
