"""Export a study: as a bundle to send, as a table, or to another tool.

A bundle (FILE.zip) holds the records, curves and configs, and those of the tuning. `harness report FILE.zip`, `harness
merge` and `harness.load` read it as a study. An existing FILE is not replaced.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from pathlib import Path

from harness.results.study import study_folder
from harness.system.errors import HarnessError
from harness.system.escape import printable


def arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("study", metavar="STUDY", help="a folder, or a name under outputs/")
    add("--to", metavar="FILE", required=True, help="FILE.zip, a bundle")


def run(args: argparse.Namespace) -> int:
    path = Path(args.to)
    write = _FILES.get(path.suffix.lower())
    if write is None:
        raise HarnessError(f"harness export: --to {args.to}: expected FILE{', FILE'.join(_FILES)}")
    print(printable(write(args.study, path)))
    return 0


def _bundle(study: str, path: Path) -> str:
    from harness.results.bundle import write_bundle

    runs, trials, left_out = write_bundle(study_folder(study), path)
    if left_out:
        more = f"; and {len(left_out) - 3} more files" if len(left_out) > 3 else ""
        warnings.warn(f"left out: {'; '.join(left_out[:3])}{more}", stacklevel=2)
    tuned = f" and {trials} trials" if trials else ""
    return f"wrote {path}: {runs} runs{tuned}, {path.stat().st_size / 1e6:.1f} MB"


_FILES: dict[str, Callable[[str, Path], str]] = {".zip": _bundle}
