"""Third-party distributions as pip installs them, written by hand: a module and its dist-info."""

from __future__ import annotations

import importlib
import shutil
import textwrap
from pathlib import Path

HEADER = "import harness\nfrom typing import Annotated, Literal\n"
OFFER = "\n@harness.hookimpl\ndef harness_components():\n    return [{}]\n"


def install(
    site: Path,
    distribution: str,
    source: str,
    *,
    offers: str | None = None,
    plugin: str | None = None,
    version: str = "1.0",
) -> Path:
    """Write a distribution whose plugin is one module; `offers` are the names that its hook returns."""
    module = distribution.replace("-", "_")
    path = site / f"{module}.py"
    hook = OFFER.format(offers) if offers is not None else ""
    path.write_text(HEADER + textwrap.dedent(source) + hook)
    info = site / f"{module}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[harness]\n{plugin or distribution} = {module}\n")
    importlib.invalidate_caches()
    return path


def uninstall(site: Path, distribution: str) -> None:
    """Remove a distribution, as `pip uninstall` does."""
    module = distribution.replace("-", "_")
    (site / f"{module}.py").unlink()
    shutil.rmtree(next(site.glob(f"{module}-*.dist-info")))
    importlib.invalidate_caches()
