"""The documentation builds as a site. mkdocs is strict: a broken link or a page outside of the navigation fails."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.docs.pages import ROOT


def test_site_builds_without_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(tmp_path / "site")]
    quiet = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True, timeout=240, check=False)
    assert (built.returncode, built.stdout, built.stderr) == (0, "", "")
    _check_index(tmp_path / "site")
    assert 'id="harness.run"' in (tmp_path / "site" / "reference" / "api.html").read_text(encoding="utf-8")


def _check_index(site: Path) -> None:
    """llms.txt lists every page of the documentation, each as Markdown beside its HTML."""
    index = (site / "llms.txt").read_text(encoding="utf-8")
    assert index.startswith("# harness\n\n> Declare a deep-learning experiment")
    listed = re.findall(r"^- \[[^\]]+\]\(([^)]+)\)", index, re.MULTILINE)
    written = {path.relative_to(site).as_posix() for path in site.rglob("*.md")}
    assert set(listed) <= written
    assert {"index.md", "how-to/sweep.md", "reference/components/optimizer.md"} <= set(listed)
    sources = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert written == sources
    assert (site / "how-to/sweep.md").read_text(encoding="utf-8") == (ROOT / "docs/how-to/sweep.md").read_text("utf-8")
