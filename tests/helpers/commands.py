"""The command line as a user has it: the installed `harness`, in its own process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HARNESS = str(Path(sys.executable).parent / "harness")


def environment(site: Path | None = None, **more: str) -> dict[str, str]:
    """Return the environment of the test, with a folder of packages and more variables."""
    variables = os.environ | {"COLUMNS": "80"} | more
    if site is not None:
        variables["PYTHONPATH"] = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH", "")]))
    return variables


def harness(
    *words: str, cwd: Path, site: Path | None = None, status: int = 0, timeout: float = 240, **more: str
) -> subprocess.CompletedProcess[str]:
    """Run `harness WORDS` and expect an exit status."""
    done = subprocess.run(
        [HARNESS, *words],
        cwd=cwd,
        env=environment(site, **more),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == status, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def python(source: str, *words: str, cwd: Path, site: Path | None = None, **more: str) -> str:
    """Return the output of a Python program."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", source, *words],
        cwd=cwd,
        env=environment(site, **more),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
