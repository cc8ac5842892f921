"""Tests of the declared ranges of versions: the lowest of each package, and Hydra's next minor version."""

from __future__ import annotations

import importlib.metadata
import json
import sys
import venv
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.packaging.test_install import ROOT, environment, install, roomy, run, tracked

__all__ = ["roomy"]  # a fixture
SWEEP = ["-m", "data=iris", "optimizer=adam,sgd", "seed=0,1,2", "epochs=3"]


def lowest() -> dict[str, str]:
    """Return the lowest declared version of each package that harness needs."""
    needed = [Requirement(line) for line in importlib.metadata.requires("dl-harness") or []]
    return {
        package.name: next(spec.version for spec in package.specifier if spec.operator == ">=")
        for package in needed
        if package.marker is None  # of no extra
    }


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_lowest_versions_train_and_report(roomy: Path) -> None:
    source = tracked(roomy / "source")
    constraints = (source / "constraints.txt").read_text(encoding="utf-8").splitlines()
    (torch,) = [line for line in constraints if line.startswith("torch==")]
    pins = [torch, *(f"{name}=={version}" for name, version in lowest().items() if name != "torch")]
    venv.create(roomy / "environment", with_pip=True, symlinks=True)
    bin_ = roomy / "environment" / "bin"
    run(bin_ / "python", "-m", "pip", "install", "--quiet", *pins, cwd=roomy, timeout=3000)
    run(bin_ / "python", "-m", "pip", "install", "--quiet", "--no-deps", source, cwd=roomy, timeout=600)
    _try(bin_, roomy)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_next_version_of_hydra_trains_sweeps_completes_and_finds_plugins(tmp_path: Path) -> None:
    bin_ = environment(tmp_path / "environment")
    newest = ["--pre", "--no-deps", "hydra-core>=1.4.0rc1,<1.5", "omegaconf>=2.4.0rc1,<2.5"]
    run(sys.executable, "-m", "pip", "--python", bin_ / "python", "install", "--quiet", *newest, cwd=tmp_path)
    install(bin_, tracked(tmp_path / "source"), cwd=tmp_path)
    code = "import hydra, omegaconf; print(hydra.__version__, omegaconf.__version__)"
    versions = run(bin_ / "python", "-c", code, cwd=tmp_path).split()
    assert [version.rpartition(".")[0] for version in versions] == ["1.4", "2.4"]
    _try(bin_, tmp_path)
    line = "harness optimizer=ada"
    found = run(bin_ / "harness", "-sc", "query=bash", cwd=tmp_path, COMP_LINE=line, COMP_POINT=str(len(line)))
    assert "optimizer=adam" in found.split()
    run(bin_ / "harness", "new", "swirl", cwd=tmp_path)
    install(bin_, tmp_path / "swirl", cwd=tmp_path)
    out = run(bin_ / "harness", "-m", "activation=swirl,relu", "data=iris", "epochs=1", cwd=tmp_path)
    assert "2 runs: 2 completed" in out


def _try(bin_: Path, folder: Path) -> None:
    """Train a run and a sweep, and report it, without a warning."""
    assert run(bin_ / "harness", "epochs=1", cwd=folder).startswith("completed  epochs=1\n")
    assert "6 runs: 6 completed" in run(bin_ / "harness", *SWEEP, cwd=folder)
    report = json.loads(run(bin_ / "harness", "report", "outputs/scratch", "--json", cwd=folder))
    assert report


def test_versions_that_were_tried_are_documented() -> None:
    page = (ROOT / "docs/explanation/versions.md").read_text(encoding="utf-8")
    for name, version in lowest().items():
        assert f"| {name} | {version} |" in page
