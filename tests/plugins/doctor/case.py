"""Cases of the doctor's test bench, their training and examination, and the planted plugin that some of them use."""

from __future__ import annotations

import importlib
import shutil
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import harness
from harness.registry import catalogue
from harness.results.record import Record
from harness.system.session import Session
from harness_doctor.finding import ACCUSES, Finding
from tests.helpers.planted import forget

QUIET = ("logger=[]", "split.on_overlap=ignore", "path=alone", "jobs=1")


@dataclass(frozen=True)
class Case:
    """A run; `trouble` is the planted trouble, "" if it is healthy."""

    overrides: str
    trouble: str = ""

    @property
    def words(self) -> list[str]:
        return self.overrides.split()


def cases(runs: Mapping[str, str]) -> list[Case]:
    """Return cases of a trouble, one for each line."""
    return [Case(line.strip(), trouble) for trouble, text in runs.items() for line in text.strip().splitlines()]


@contextmanager
def planted(site: Path) -> Iterator[None]:
    """Install the planted plugin within this context, as pip does."""
    shutil.copytree(Path(__file__).parent / "planted", site / "planted", ignore=shutil.ignore_patterns("__pycache__"))
    info = site / "planted-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: planted\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[harness]\nplanted = planted\n")
    sys.path.insert(0, str(site))
    importlib.invalidate_caches()
    try:
        with Session():
            assert not catalogue.current().problems
            yield
    finally:
        sys.path.remove(str(site))
        forget("planted")


def trained(words: Sequence[str], study: str) -> Record:
    """Train a case; return its record."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return harness.run([*words, *QUIET, f"study={study}"])


def named(findings: Sequence[Finding]) -> str:
    """Return the first accusation's trouble, "" if there is none."""
    return next((f.trouble for f in findings if f.confidence >= ACCUSES), "")
