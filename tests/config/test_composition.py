"""Composing one run after the other in a process: each is what it would be as the first."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

import harness
from harness.config import composition
from harness.config.composition import compose
from harness.registry import catalogue
from harness.system.errors import HarnessError

HEAD = "# @package _global_\n"


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(composition, "_cache", {})


@pytest.fixture
def composed(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The lines that Hydra composed."""
    seen: list[list[str]] = []
    real = composition._compose_with_hydra

    def full(overrides: list[str], config_dir: str | None) -> object:
        seen.append(overrides)
        return real(overrides, config_dir)

    monkeypatch.setattr(composition, "_compose_with_hydra", full)
    return seen


LINES = [
    ["optimizer=sgd", "optimizer.lr=0.1", "seed=1"],
    ["optimizer=sgd", "optimizer.lr=0.5", "seed=2"],
    ["optimizer=adam", "optimizer.betas=[0.5,0.6]"],
    ["optimizer=adam", "optimizer.betas=[0.8,0.9]"],
    ["optimizer=sgd", "optimizer.lr=0.1", "seed=1"],
    ["regularizer=[l2]", "regularizer.l2.strength=0.5"],
    ["regularizer=[l2]", "regularizer.l2.strength=${optimizer.lr}"],
]


def test_each_run_is_what_it_is_as_the_first(composed: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    kept = [compose(line) for line in LINES]
    assert composed == [LINES[0], LINES[2], LINES[5]]
    for line, job in zip(LINES, kept, strict=True):
        monkeypatch.setattr(composition, "_cache", {})
        alone = compose(line)
        assert (job.values, job.overrides, job.hydra) == (alone.values, alone.overrides, alone.hydra)


def test_what_is_refused_is_refused_again(composed: list[list[str]]) -> None:
    compose(["optimizer=sgd", "optimizer.lr=0.1"])
    for _ in range(2):
        with pytest.raises(HarnessError, match=r"optimizer\.lr must be > 0"):
            compose(["optimizer=sgd", "optimizer.lr=-1"])
    assert compose(["optimizer=sgd", "optimizer.lr=0.2"]).values["optimizer"]["lr"] == 0.2


def test_who_changes_a_record_changes_no_later_run(workdir: Path) -> None:
    line = ["data=iris", "epochs=1", "optimizer=sgd", "logger=[]"]
    first = harness.run([*line, "seed=0"])
    lr = first.config["optimizer"]["lr"]
    first.config["optimizer"]["lr"] = 5.0
    assert harness.run([*line, "seed=1"]).config["optimizer"]["lr"] == lr


def test_an_edit_of_a_users_file_is_seen(tmp_path: Path, composed: list[list[str]]) -> None:
    path = tmp_path / "experiment" / "mine.yaml"
    path.parent.mkdir()
    for place, epochs in enumerate((3, 4)):
        path.write_text(f"{HEAD}epochs: {epochs}\n")
        os.utime(path, ns=(place, place))  # a clock may be too coarse for a test
        assert compose(["experiment=mine"], str(tmp_path)).values["epochs"] == epochs
        assert compose(["experiment=mine"], str(tmp_path)).values["epochs"] == epochs
    assert len(composed) == 2


def test_what_an_editor_leaves_beside_a_file_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "experiment" / "mine.yaml"
    path.parent.mkdir()
    path.write_text(f"{HEAD}epochs: 3\n")
    path.with_name(".#mine.yaml").symlink_to("someone@somewhere.1234")  # Emacs's lock, which leads nowhere
    assert compose(["experiment=mine"], str(tmp_path)).values["epochs"] == 3


def test_a_plugin_that_was_installed_is_seen(composed: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    compose([])
    known = catalogue.current()
    rows = dict(known.entries["activation"])
    rows["fresh"] = rows["relu"] | {"name": "fresh"}
    other = catalogue.Catalogue(known.entries | {"activation": rows}, known.plugins, [], [], known.trainer)
    monkeypatch.setattr(catalogue, "_current", other)
    assert compose(["activation=fresh"]).values["activation"] == {"_component_": "fresh"}


def test_hydras_file_tells_of_its_own_run(workdir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = ["data=iris", "epochs=1", "logger=[]"]
    for seed in (0, 1):
        folder = tmp_path / f"quo'te {seed}"
        folder.mkdir()
        monkeypatch.chdir(folder)
        record = harness.run([*line, f"seed={seed}"])
        told = yaml.safe_load((record.folder / ".hydra" / "hydra.yaml").read_text())["hydra"]
        assert told["runtime"]["cwd"] == str(folder)
        assert told["overrides"]["task"] == [*line, f"seed={seed}"]
        assert told["job"]["override_dirname"] == ",".join([*line, f"seed={seed}"])


def test_few_configs_are_kept(composed: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(composition, "MAX_CONFIGS", 2)
    for name in ("sgd", "adam", "gd", "sgd"):
        compose([f"optimizer={name}"])
    (compositions,) = (kept for _, kept in composition._cache.values())
    assert len(composed) == 4
    assert len(compositions._configs) <= 2


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ("epochs=2 seed=1", r"write harness\.run\(\['epochs=2', 'seed=1'\]\), not a text"),
        ({"epochs": 2}, r"write harness\.run\(\['epochs=2'\]\), not a mapping"),
        (["epochs", 2], "must be a list of texts"),
    ],
)
def test_what_is_no_list_of_overrides_is_refused(overrides: object, message: str) -> None:
    with pytest.raises(harness.HarnessError, match=message):
        harness.run(overrides)  # type: ignore[arg-type]  # what is refused
