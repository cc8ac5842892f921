"""Tests of composition: runs composed in one process do not affect each other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hydra.types import RunMode
from omegaconf import DictConfig

import harness
from harness.config import composition
from harness.config.composition import compose
from harness.config.composition_cache import Compositions
from harness.config.overrides import expand
from harness.registry import catalogue
from harness.system.errors import HarnessError
from harness.system.session import Session

HEAD = "# @package _global_\n"


@pytest.fixture(autouse=True)
def session() -> Iterator[Session]:
    """A session in which nothing was composed yet."""
    with Session() as session:
        yield session


@pytest.fixture
def composed(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Record the lines that Hydra composes."""
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
    ["split.seed=${seed}", "optimizer.lr=0.1", "seed=3"],
    ["split.seed=${seed}", "optimizer.lr=0.2", "seed=3"],
    ["split.seed=${seed}", "optimizer.lr=0.2", "seed=4"],  # of which only the seed is set again
    ["split.seed=5", "optimizer.lr=0.2", "seed=4"],
]


def test_run_composes_the_same_first_or_later(composed: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    kept = [compose(line) for line in LINES]
    assert composed == [LINES[0], LINES[2], LINES[5], LINES[7]]
    for line, job in zip(LINES, kept, strict=True):
        with Session():
            alone = compose(line)
        assert (job.values, job.overrides, job.hydra) == (alone.values, alone.overrides, alone.hydra)


def test_refused_override_is_refused_again(composed: list[list[str]]) -> None:
    compose(["optimizer=sgd", "optimizer.lr=0.1"])
    for _ in range(2):
        with pytest.raises(HarnessError, match=r"optimizer\.lr must be > 0"):
            compose(["optimizer=sgd", "optimizer.lr=-1"])
    assert compose(["optimizer=sgd", "optimizer.lr=0.2"]).values["optimizer"]["lr"] == 0.2


def test_changing_a_record_does_not_affect_later_runs(workdir: Path) -> None:
    line = ["data=iris", "epochs=1", "optimizer=sgd", "logger=[]"]
    first = harness.run([*line, "seed=0"])
    lr = first.config["optimizer"]["lr"]
    first.config["optimizer"]["lr"] = 5.0
    assert harness.run([*line, "seed=1"]).config["optimizer"]["lr"] == lr


def test_edited_user_file_is_composed_again(tmp_path: Path, composed: list[list[str]]) -> None:
    path = tmp_path / "experiment" / "mine.yaml"
    path.parent.mkdir()
    for place, epochs in enumerate((3, 4)):
        path.write_text(f"{HEAD}epochs: {epochs}\n")
        os.utime(path, ns=(place, place))  # the clock may be too coarse for a test
        assert compose(["experiment=mine"], str(tmp_path)).values["epochs"] == epochs
        assert compose(["experiment=mine"], str(tmp_path)).values["epochs"] == epochs
    assert len(composed) == 2


def test_editor_lock_files_are_ignored(tmp_path: Path) -> None:
    path = tmp_path / "experiment" / "mine.yaml"
    path.parent.mkdir()
    path.write_text(f"{HEAD}epochs: 3\n")
    path.with_name(".#mine.yaml").symlink_to("someone@somewhere.1234")  # Emacs's lock file, a dangling link
    assert compose(["experiment=mine"], str(tmp_path)).values["epochs"] == 3


def test_newly_installed_plugin_is_seen(composed: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    compose([])
    known = catalogue.current()
    rows = dict(known.entries["activation"])
    rows["fresh"] = rows["relu"] | {"name": "fresh"}
    other = catalogue.Catalogue(known.entries | {"activation": rows}, known.plugins, [], [], known.trainer)
    monkeypatch.setattr(catalogue, "current", lambda: other)
    assert compose(["activation=fresh"]).values["activation"] == {"_component_": "fresh"}


def test_hydra_yaml_describes_its_own_run(workdir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = ["data=iris", "epochs=1", "logger=[]"]
    for seed in (0, 1):
        folder = tmp_path / f"quo'te {seed}"
        folder.mkdir()
        monkeypatch.chdir(folder)
        record = harness.run([*line, f"seed={seed}"])
        config = yaml.safe_load((record.folder / ".hydra" / "hydra.yaml").read_text())["hydra"]
        assert config["runtime"]["cwd"] == str(folder)
        assert config["overrides"]["task"] == [*line, f"seed={seed}"]
        assert config["job"]["override_dirname"] == ",".join([*line, f"seed={seed}"])


def test_composition_cache_is_bounded(
    composed: list[list[str]], session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(composition, "MAX_CONFIGS", 2)
    for name in ("sgd", "adam", "gd", "sgd"):
        compose([f"optimizer={name}"])
    (compositions,) = (kept for _, kept in session.state(composition.Composed).values())
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
def test_overrides_other_than_a_list_of_strings_are_refused(overrides: object, message: str) -> None:
    with pytest.raises(harness.HarnessError, match=message):
        harness.run(overrides)  # type: ignore[arg-type]  # what is refused


SWEEPS = {
    "values": (["optimizer=sgd", "optimizer.lr=0.1,0.2", "seed=range(2)"], 0),
    "reference": (["split.seed=${seed}", "seed=3,4", "regularizer=[l2]"], 0),
    "texts": (["data=csv", "data.path=a.csv", "data.target=1e5,2e5"], 0),
    "choices": (["optimizer=sgd,adam", "seed=3,4"], 2),
    "choice and its setting": (["model=mlp,cnn", "data=digits", "seed=1"], 2),
    "experiment": (["experiment=digits_mlp", "seed=1,2"], 0),
    "refused value": (["optimizer.lr=0.1,-1"], 0),
}


@pytest.mark.parametrize("sweep", SWEEPS)
def test_job_of_a_sweep_is_composed_the_same_from_the_config_of_the_sweep(sweep: str) -> None:
    words, expected = SWEEPS[sweep]
    with composition.hydra_session() as hydra:
        config = composition.compose_unchecked(hydra, words, RunMode.MULTIRUN)
        config.hydra.mode = RunMode.MULTIRUN
        composed: list[list[str]] = []

        def compose_job(overrides: list[str]) -> DictConfig:
            composed.append(overrides)
            return hydra.config_loader.load_sweep_config(config, overrides)

        def outcome(compositions: Compositions, overrides: list[str]) -> object:
            try:
                job = compositions.job(overrides)
            except HarnessError as error:
                return str(error)
            return job.values, job.overrides, job.hydra

        jobs = expand(words, lambda group: [])
        of_sweep = Compositions(compose_job, sweep=config)
        found = [outcome(of_sweep, job) for job in jobs]
        assert len(composed) == expected
        assert found == [outcome(Compositions(compose_job), job) for job in jobs]
