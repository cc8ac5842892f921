"""Tests of private APIs of Python: a failing test names the feature that breaks when the API changes."""

from __future__ import annotations

import argparse
import os
import signal

import pytest

from harness._compat import python


def test_environment_is_a_copy_of_the_encoded_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_COMPAT", "ä")
    variables = python.environment()
    assert {os.fsdecode(k): os.fsdecode(v) for k, v in variables.items()} == dict(os.environ)
    assert variables[os.fsencode("HARNESS_COMPAT")] == os.fsencode("ä"), "variables are decoded: reading them is slow"
    variables.clear()
    assert os.environ["HARNESS_COMPAT"] == "ä"


def test_option_strings_are_those_of_the_parser() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("-m", "--multirun")
    parser.add_argument("overrides")
    assert python.option_strings(parser) == ["-h", "--help", "-m", "--multirun"], "no flag is suggested for a typo"


def test_signal_handler_matches_the_public_function() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        assert python.signal_handler(number) == signal.getsignal(number)
