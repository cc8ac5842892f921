"""Parsers of the verbs' own words; a mistake is one line, with the nearest right word."""

from __future__ import annotations

import argparse
from typing import Any

from harness.system.errors import HarnessError, nearest_flag


class Parser(argparse.ArgumentParser):
    """Raises what argparse would print."""

    def error(self, message: str) -> Any:
        raise HarnessError(f"{self.prog}: {message}.{nearest_flag(message, self)}")


def verb_parser(verb: str, about: str) -> Parser:
    """The parser of a verb."""
    return Parser(prog=f"harness {verb}", description=about, allow_abbrev=False)
