"""Tests of installation with pip: a wheel and an editable install that work from any folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import blocks, commands

ROOT = Path(__file__).resolve().parents[2]
OFFLINE = ("--quiet", "--no-deps", "--no-index", "--no-build-isolation")

WHERE = """
import importlib, json, pathlib
import harness, harness.config.composition, harness_components
from hydra_plugins.harness_hydra import source
files = [harness.__file__, harness_components.__file__, source.__file__, harness.config.composition.conf_dir()]
print(json.dumps([str(pathlib.Path(file).resolve()) for file in files]))
"""


def run(*command: str | Path, cwd: Path, timeout: float = 300, **more: str) -> str:
    """Return the output of a command, run in an environment without this checkout."""
    variables = {
        k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV", "MAKEFLAGS", "HARNESS_CACHE")
    }
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=variables | {"HARNESS_CACHE": str(cwd / "cache")} | more,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def tracked(folder: Path) -> Path:
    """Copy the files that git tracks, which are those of a clone."""
    names = run("git", "ls-files", "-z", cwd=ROOT).split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():  # unless deleted and not yet committed
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def environment(folder: Path, with_pip: bool = False) -> Path:
    """Create an environment that sees the packages of this one, except editable ones."""
    venv.create(folder, with_pip=with_pip, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    ours = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    (site / "beside.pth").write_text("\n".join(ours) + "\n")
    return folder / "bin"


def install(bin_: Path, *words: str | Path, cwd: Path) -> None:
    """Run pip install without a network."""
    run(sys.executable, "-m", "pip", "--python", bin_ / "python", "install", *OFFLINE, *words, cwd=cwd)


def check(bin_: Path, inside: Path, cwd: Path) -> None:
    """Train a first network with the installed package, and check that it lies in one place."""
    assert run(bin_ / "harness", "epochs=1", cwd=cwd).startswith("completed  epochs=1\n")
    (record,) = cwd.glob("outputs/scratch/*/record.json")
    assert json.loads(record.read_text())["metrics"]["val/accuracy"] > 0.3  # for ten classes
    for file in json.loads(run(bin_ / "python", "-c", WHERE, cwd=cwd)):
        assert Path(file).is_relative_to(inside.resolve()), file
    run_record = json.loads(run(bin_ / "harness", "plugins", "--json", cwd=cwd))
    assert run_record["problems"] == []
    (plugin,) = [p for p in run_record["plugins"] if p["name"] == "harness"]
    assert (plugin["status"], plugin["distribution"]) == ("installed", "dl-harness")
    assert "trainer: auto, cpu, gpu" in run(bin_ / "harness", "--help", cwd=cwd)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    return folder


@pytest.mark.slow
def test_wheel_built_from_sdist_is_complete(tmp_path: Path, elsewhere: Path) -> None:
    source = tracked(tmp_path / "source")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", tmp_path / "dist", source, cwd=tmp_path)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for top, inside in (("harness", ""), ("conf", "harness/"), ("plugins", "")):
        for path in (source / top).rglob("*"):
            if path.is_file():
                name = path.relative_to(source / "plugins" if top == "plugins" else source).as_posix()
                assert inside + name in names
    plugins = {path.name for path in (source / "plugins").iterdir()}
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"harness", *plugins}
    assert "hydra_plugins/__init__.py" not in names  # a namespace package, which others share
    bin_ = environment(tmp_path / "environment")
    install(bin_, wheel, cwd=tmp_path)
    check(bin_, tmp_path / "environment", elsewhere)


def test_editable_install_uses_the_checkout(tmp_path: Path, elsewhere: Path) -> None:
    source = tracked(tmp_path / "source")
    bin_ = environment(tmp_path / "environment")
    install(bin_, "--editable", source, cwd=tmp_path)
    check(bin_, source, elsewhere)
    preset = source / "conf" / "trainer" / "mine.yaml"
    preset.write_text("defaults: [cpu]\n")
    assert "trainer: auto, cpu, gpu, mine" in run(bin_ / "harness", "--help", cwd=elsewhere)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_plugin_tutorial_runs_from_new_plugin_to_comparison(tmp_path: Path, elsewhere: Path) -> None:
    bin_ = environment(tmp_path / "environment", with_pip=True)
    source = tracked(tmp_path / "source")
    install(bin_, source, cwd=tmp_path)
    path = os.pathsep.join([str(bin_), os.environ["PATH"]])
    more = {"PATH": path, "PIP_CONSTRAINT": str(source / "constraints.txt")}
    page = blocks(ROOT / "docs" / "how-to" / "plugins" / "write.md")
    five = [command for command, _ in commands(next(block for block in page if block.language == "console"))]
    assert len(five) == 5
    outputs = [run("bash", "-c", command, cwd=elsewhere, timeout=600, **more) for command in five]
    records = [json.loads(path.read_text()) for path in elsewhere.glob("outputs/swirl/*/record.json")]
    assert {record["status"] for record in records} == {"completed"}
    assert sorted(record["choices"]["activation"] for record in records) == sorted(
        3 * ["swirl", "relu", "tanh", "gelu"]
    )
    for record in records:
        assert record["name"] in outputs[-1]
    run("bash", "-c", "python -m pytest -q -p no:cacheprovider", cwd=elsewhere / "swirl", **more)

    for block in page:  # with the reader's own formula and a test of it
        if block.file in ("swirl/swirl/activation.py", "swirl/tests/test_swirl.py"):
            (elsewhere / block.file).write_text(block.text)
    run("bash", "-c", "python -m pytest -q -p no:cacheprovider", cwd=elsewhere / "swirl", **more)


@pytest.fixture
def roomy(tmp_path: Path) -> Iterator[Path]:
    """A folder that is deleted afterwards: a full environment takes gigabytes."""
    yield tmp_path
    shutil.rmtree(tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_first_readme_command_runs_in_a_clean_clone(roomy: Path) -> None:
    source = tracked(roomy / "source")
    out = run("make", f"PYTHON={sys.executable}", "run", cwd=source, timeout=3000)
    assert "completed  default" in out
    (record,) = source.glob("outputs/scratch/*/record.json")
    assert json.loads(record.read_text())["status"] == "completed"
    run("git", "init", "--quiet", cwd=source)
    assert ".venv" not in run("git", "status", "--porcelain", "--untracked-files=all", cwd=source)
    before = (source / ".venv" / ".ready").stat().st_mtime_ns
    assert "already" in run("make", f"PYTHON={sys.executable}", "run", cwd=source)
    assert (source / ".venv" / ".ready").stat().st_mtime_ns == before  # a second run installs nothing
    run(source / ".venv/bin/python", "-m", "pip", "check", cwd=source)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_full_wheel_install_satisfies_the_constraints(roomy: Path, elsewhere: Path) -> None:
    source = tracked(roomy / "source")
    venv.create(roomy / "environment", with_pip=True, symlinks=True)
    bin_ = roomy / "environment" / "bin"
    pip = [bin_ / "python", "-m", "pip", "--disable-pip-version-check"]
    run(*pip, "install", "--quiet", "--constraint", source / "constraints.txt", source, cwd=roomy, timeout=3000)
    run(*pip, "check", cwd=roomy)
    check(bin_, roomy / "environment", elsewhere)
    pinned = set((source / "constraints.txt").read_text().splitlines())
    installed = run(*pip, "freeze", "--exclude", "dl-harness", cwd=roomy).splitlines()
    builds = {line.partition("+")[0] for line in installed}  # a CPU build of torch calls itself 2.13.0+cpu
    assert builds <= pinned
