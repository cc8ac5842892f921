"""Tests of a third-party plugin, installed by pip: its components are used by name, like built-in ones."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.commands import harness, python

SOURCE = Path(__file__).parent / "third_party"
OFFERED = {"activation/snake", "data/stripes", "optimizer/signum", "regularizer/weight_box"}


def install(folder: Path) -> Path:
    """Run pip install without a network."""
    source, site = folder / "source", folder / "site"
    shutil.copytree(SOURCE, source)  # a build must leave nothing in the checkout
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    offline = ["--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*pip, *offline, "--target", str(site), str(source)], check=True, capture_output=True, text=True)
    return site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("third_party"))


def test_components_are_listed_with_their_origin(site: Path, workdir: Path) -> None:
    rows = json.loads(harness("list", "--json", cwd=workdir, site=site).stdout)
    assert {f"{r['kind']}/{r['name']}" for r in rows if r["origin"] == "harness-example"} == OFFERED
    assert "relu" in {r["name"] for r in rows if r["origin"] == "dl-harness"}
    listing = json.loads(harness("plugins", "--json", cwd=workdir, site=site).stdout)
    mine = next(p for p in listing["plugins"] if p["distribution"] == "harness-example")
    assert mine == {
        "name": "example",
        "distribution": "harness-example",
        "version": "1.2",
        "status": "installed",
        "components": sorted(OFFERED),
        "commands": [],
    }
    assert listing["problems"] == []
    shown = harness("show", "optimizer/signum", cwd=workdir, site=site).stdout
    for part in ("(harness-example)", "optimizer.momentum = 0.9", "uniform(0.5, 0.99)", "arXiv:1802.04434"):
        assert part in shown
    shown = harness("show", "regularizer/weight_box", cwd=workdir, site=site).stdout
    assert "regularizer.weight_box.limit = 0.1" in shown
    assert "'regularizer=[weight_box]'" in shown


LARGEST = """
import sys
import harness
print(max(p.abs().max().item() for p in harness.load_model(sys.argv[1]).parameters()))
"""


def test_experiment_trains_and_a_changed_helper_makes_another_run(tmp_path: Path, workdir: Path) -> None:
    site = install(tmp_path)
    harness("experiment=stripes", "save=last", cwd=workdir, site=site)
    (first,) = workdir.glob("outputs/scratch/*/record.json")
    record = json.loads(first.read_text())
    assert record["status"] == "completed"
    assert record["choices"]["optimizer"] == "signum"
    assert record["choices"]["activation"] == "snake"
    assert record["choices"]["regularizer"] == ["weight_box"]
    assert record["config"]["optimizer"] == {"_component_": "signum", "lr": 0.005, "momentum": 0.8}
    assert record["config"]["activation"]["frequency"] == 2.0
    assert record["data"]["name"] == "stripes"
    assert record["data"]["digest"].startswith("stripes-1-0-200")
    version = record["environment"]["harness"]
    assert record["environment"]["plugins"] == {"dl-harness": version, "harness-example": "1.2"}
    assert record["metrics"]["train/loss"] < 0.69  # better than guessing between two classes
    assert float(python(LARGEST, str(first.parent), cwd=workdir, site=site)) <= 0.1 + 1e-7

    helper = site / "harness_example" / "stripes.py"
    helper.write_text(helper.read_text().replace("0.3 * torch.randn", "0.6 * torch.randn"))
    harness("experiment=stripes", "save=last", cwd=workdir, site=site)
    ids = {json.loads(p.read_text())["id"] for p in workdir.glob("outputs/scratch/*/record.json")}
    assert len(ids) == 2


COMPOSE = """
import sys
import harness.config.composition
from harness._compat.hydra import initialized
from hydra import compose
with initialized(str(harness.config.composition.conf_dir()), "app"):
    config = compose("config", sys.argv[1:])
print(config.optimizer.lr, config.optimizer._component_, config.activation.frequency, list(config.regularizer))
print("torch" in sys.modules)
"""


def test_hydra_composes_options_and_presets(site: Path, workdir: Path) -> None:
    words = ["experiment=stripes", "regularizer=[weight_box,l2]", "optimizer.lr=0.25"]
    first, second = python(COMPOSE, *words, cwd=workdir, site=site).splitlines()
    assert first == "0.25 signum 2.0 ['weight_box', 'l2']"
    assert second == "False"
    text = harness("--help", cwd=workdir, site=site).stdout
    for word in ("snake", "signum", "signum_fast", "weight_box", "stripes"):
        assert word in text.replace(",", " ").split(), word


def test_settings_are_checked_like_built_in_ones(site: Path, workdir: Path) -> None:
    done = harness("optimizer=signum", "optimizer.momentum=1", cwd=workdir, site=site, status=2)
    assert done.stderr.count("\n") == 1
    assert "optimizer.momentum" in done.stderr
    assert "< 1" in done.stderr
    assert not (workdir / "outputs").exists()


def test_user_folder_extends_presets_and_cannot_take_their_names(site: Path, workdir: Path) -> None:
    mine = workdir / "mine"
    (mine / "experiment").mkdir(parents=True)
    (mine / "experiment" / "faster.yaml").write_text(
        "# @package _global_\ndefaults:\n  - stripes\n  - _self_\noptimizer: {lr: 0.02}\n"
    )
    line = ("--config-dir", "mine", "experiment=faster", "--cfg", "job", "-p", "optimizer")
    assert "_component_: signum\nlr: 0.02\nmomentum: 0.8" in harness(*line, cwd=workdir, site=site).stdout
    for name in ("optimizer/signum_fast", "activation/snake", "experiment/stripes"):
        path = mine / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text("lr: 1\n")
        message = harness(*line, cwd=workdir, site=site, status=2).stderr
        assert message == f"harness: error: {path}: the name {name} is taken by harness-example; rename the file\n"
        path.unlink()


def test_components_are_unknown_without_the_plugin(workdir: Path) -> None:
    done = harness("activation=snake", cwd=workdir, status=2)
    assert done.stderr.startswith("harness: error: no activation 'snake'.")
    assert done.stderr.count("\n") == 1
    harness("experiment=stripes", cwd=workdir, status=2)
    assert not (workdir / "outputs").exists()


@pytest.mark.slow
def test_two_processes_share_data_not_in_memory(site: Path, workdir: Path) -> None:
    """The loader of each process reads its own samples; the result equals that of one process, dropout included."""
    line = ["data=stripes", "regularizer=[dropout]", "trainer=cpu", "trainer.precision=64-true", "epochs=2"]
    metrics = {}
    for devices in ("1", "2"):
        harness(*line, f"trainer.devices={devices}", f"study={devices}", cwd=workdir, site=site)
        record = json.loads(next((workdir / "outputs" / devices).glob("*/record.json")).read_text())
        assert record["cohort"]["processes"] == int(devices)
        metrics[devices] = record["metrics"]
    assert metrics["2"] == pytest.approx(metrics["1"], rel=1e-9)
