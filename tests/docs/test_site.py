"""The documentation builds as a site. mkdocs is strict: a broken link or a page outside of the navigation fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.docs.pages import ROOT


def test_site_builds_without_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(tmp_path / "site")]
    quiet = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True, timeout=240, check=False)
    assert (built.returncode, built.stdout, built.stderr) == (0, "", "")
    assert 'id="harness.run"' in (tmp_path / "site" / "reference" / "api.html").read_text(encoding="utf-8")
