"""Tests of sweeps declared in a file (`hydra.sweeper.params`), of globs, and of objectives for sweepers."""

from __future__ import annotations

import enum
import math
import shlex
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra
import pytest
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from omegaconf import OmegaConf

import harness
from harness.cli import main
from harness.execution.sweep.objective import for_search, higher_is_better
from harness.results.record import Record

QUICK = ["data=moons", "data.n=60", "batch_size=16", "epochs=1", "logger=[]", "diagnostic=[]", "path=alone", "jobs=1"]


def write(folder: Path, body: str, name: str = "mine") -> str:
    file = folder / "mine" / "experiment" / f"{name}.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"# @package _global_\n{body}\n")
    return str(folder / "mine")


def swept(words: list[str], folder: str) -> list[tuple[int, float]]:
    records = harness.sweep([*words, *QUICK], config_dir=folder)
    return [(r.config["seed"], r.config["optimizer"]["lr"]) for r in records]


@pytest.mark.parametrize("sweeper", ["harness", "basic"])
def test_declared_sweep_runs_and_typed_overrides_win(sweeper: str, workdir: Path) -> None:
    folder = write(workdir, "hydra:\n  sweeper:\n    params:\n      seed: 0,1\n      optimizer.lr: 0.1,1e-3\n")
    words = ["experiment=mine", f"hydra/sweeper={sweeper}"]
    assert swept(words, folder) == [(0, 0.1), (0, 0.001), (1, 0.1), (1, 0.001)]
    assert swept([*words, "seed=5"], folder) == [(5, 0.1), (5, 0.001)]
    assert swept([*words, "seed=5,6", "optimizer.lr=0.2"], folder) == [(5, 0.2), (6, 0.2)]


ZIPPED = """\
hydra:
  sweeper:
    params: {seed: "0,1", optimizer.lr: "0.1,0.2"}
    zip: [seed, optimizer.lr]
"""
VARIANTS = """\
hydra:
  sweeper:
    params: {seed: "5,6"}
    variants:
      - []
      - [optimizer=sgd, optimizer.lr=0.5]
"""


def test_declared_zip_is_applied_and_the_typed_one_replaces_it(workdir: Path) -> None:
    folder = write(workdir, ZIPPED)
    assert swept(["experiment=mine"], folder) == [(0, 0.1), (1, 0.2)]
    assert swept(["experiment=mine", "seed=5,6"], folder) == [(5, 0.1), (6, 0.2)]
    assert swept(["experiment=mine", "zip=[]"], folder) == [(0, 0.1), (0, 0.2), (1, 0.1), (1, 0.2)]
    typed = ["experiment=mine", "split.seed=7,8", "zip=[[seed,optimizer.lr,split.seed]]"]
    assert [r.config["split"]["seed"] for r in harness.sweep([*typed, *QUICK], config_dir=folder)] == [7, 8]


def test_declared_variants_are_combined_with_the_grid_and_python_replaces_them(workdir: Path) -> None:
    folder = write(workdir, VARIANTS)
    lr = harness.run(QUICK).config["optimizer"]["lr"]
    assert swept(["experiment=mine"], folder) == [(5, lr), (6, lr), (5, 0.5), (6, 0.5)]
    records = harness.sweep(["experiment=mine", *QUICK], variants=[["optimizer.lr=0.25"]], config_dir=folder)
    assert [(r.config["seed"], r.config["optimizer"]["lr"]) for r in records] == [(5, 0.25), (6, 0.25)]


def test_interpolation_in_a_declared_sweep_is_resolved_in_each_job(workdir: Path) -> None:
    text = "hydra: {sweeper: {params: {seed: '3,4', split.seed: '${seed}'}, variants: [['optimizer.lr=0.${seed}']]}}"
    records = harness.sweep(["experiment=mine", *QUICK], config_dir=write(workdir, text))
    assert [r.config["split"]["seed"] for r in records] == [3, 4]
    assert [r.config["optimizer"]["lr"] for r in records] == [0.3, 0.4]


@pytest.mark.parametrize(
    ("sweeper", "message"),
    [
        ("zip: [[seed, sead]]", "zip=[seed,sead]: sead is not swept. Did you mean 'seed'?"),
        ("zip: [[seed, 1]]", "zip takes keys, zip=[a,b], or groups of keys, zip=[[a,b],[c,d]], got [['seed', 1]]"),
        (
            "variants: [warmup=0.1]",
            "variant 1 must be a list of overrides, [model.depth=1,seed=2], got 'warmup=0.1'",
        ),
        ("variants: [[], [seed=3]]", "variant 2: seed=3 is also given for all variants: seed=0,1"),
    ],
)
def test_wrong_declared_zip_or_variants_are_refused(sweeper: str, message: str, workdir: Path) -> None:
    folder = write(workdir, f"hydra: {{sweeper: {{params: {{seed: '0,1'}}, {sweeper}}}}}")
    with pytest.raises(harness.HarnessError) as refused:
        harness.sweep(["experiment=mine", *QUICK], config_dir=folder)
    assert str(refused.value) == message


def test_single_run_of_declared_variants_warns(workdir: Path) -> None:
    folder = write(workdir, "hydra: {sweeper: {variants: [[seed=3]]}}")
    with pytest.warns(UserWarning, match=r"^hydra\.sweeper\.variants declares a sweep, and this is one run: add -m"):
        assert harness.run(["experiment=mine", *QUICK], config_dir=folder).config["seed"] == 0


def test_single_run_of_a_declared_sweep_warns(workdir: Path) -> None:
    folder = write(workdir, "hydra: {sweeper: {params: {seed: '0,1'}}}")
    with pytest.warns(UserWarning, match=r"^hydra\.sweeper\.params declares a sweep, and this is one run: add -m"):
        assert harness.run(["experiment=mine", *QUICK], config_dir=folder).config["seed"] == 0


def test_file_can_request_multirun_mode(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(workdir, "hydra: {mode: MULTIRUN, sweeper: {params: {seed: '0,1'}}}")
    with pytest.raises(SystemExit) as stop:
        main(["--config-dir", "mine", "experiment=mine", *QUICK])
    assert stop.value.code == 0
    assert "2 runs: 2 completed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ("{study: 2024_01}", "hydra.sweeper.params.study must be text: put it in quotes, study: '...', got 202401"),
        (
            "{seed: [0, 1]}",
            "hydra.sweeper.params.seed must be quoted text as after -m (seed: '0,1,2'), got [0, 1]",
        ),
        ("{sead: '1,2'}", "unknown key 'sead'. Did you mean 'seed'?"),
        ("{seed: 'interval(0,1)'}", "seed=interval(0,1): a grid needs a list of values: seed=a,b,c"),
    ],
)
def test_wrong_declared_sweep_is_refused(params: str, message: str, workdir: Path) -> None:
    folder = write(workdir, f"hydra: {{sweeper: {{params: {params}}}}}")
    with pytest.raises(harness.HarnessError) as refused:
        harness.sweep(["experiment=mine", *QUICK], config_dir=folder)
    assert str(refused.value) == message
    assert not (workdir / "outputs").exists()


DECLARED = "hydra: {sweeper: {params: {seed: 'range(2)', optimizer.lr: '0.1', regularizer: '[],[l2]'}}}"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["seed+=5"], {"seed": [0, 1, 5]}),
        (["seed+=5,7", "optimizer.lr+=0.2"], {"seed": [0, 1, 5, 7], "lr": [0.1, 0.2]}),
        (["seed+=5", "seed+=7"], {"seed": [0, 1, 5, 7]}),
        (["seed=3", "seed+=range(8,10)"], {"seed": [3, 8, 9]}),
        (["regularizer+=[l1,l2]", "seed=0"], {"seed": [0], "regularizer": [[], ["l2"], ["l1", "l2"]]}),
        (["regularizer+=[l1],[dropout]", "seed=0"], {"seed": [0], "regularizer": [[], ["l2"], ["l1"], ["dropout"]]}),
    ],
)
def test_added_values_follow_the_declared_ones(words: list[str], expected: dict[str, list[Any]], workdir: Path) -> None:
    records = harness.sweep(["experiment=mine", *words, *QUICK], config_dir=write(workdir, DECLARED))
    found = {
        "seed": [r.config["seed"] for r in records],
        "lr": [r.config["optimizer"]["lr"] for r in records],
        "regularizer": [r.choices["regularizer"] for r in records],
    }
    for key, values in ({"lr": [0.1], "regularizer": [[], ["l2"]]} | expected).items():
        assert [value for n, value in enumerate(found[key]) if value not in found[key][:n]] == values
    assert words[0] in shlex.split(records[0].command)


def test_added_values_of_zipped_keys_belong_together(workdir: Path) -> None:
    folder = write(workdir, ZIPPED)
    assert swept(["experiment=mine", "seed+=5", "optimizer.lr+=0.3"], folder) == [(0, 0.1), (1, 0.2), (5, 0.3)]
    with pytest.raises(harness.HarnessError, match=r"equally many values; seed has 3, optimizer\.lr has 2$"):
        harness.sweep(["experiment=mine", "seed+=5", *QUICK], config_dir=folder)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["seed+=1"], "seed+=1: the sweep has seed=1 already"),
        (["regularizer+=[l2]"], "regularizer+=[l2]: the sweep has regularizer=[l2] already"),
        (["seed+=5,5"], "seed+=5,5: the sweep has seed=5 already"),
        (["optimizer+=sgd"], "optimizer+=sgd: optimizer is not swept, so no value can be added."),
        (["regularzer+=[l1]"], "regularzer is not swept, so no value can be added. Did you mean 'regularizer'?"),
        (["regularizer+=[l3]"], "no regularizer 'l3'. Known: activation_noise, "),
        (["seed+="], "seed must be a whole number >= 0, <= 9223372036854775807, got ''"),
        (["hydra/sweeper=basic", "seed+=5"], "+= needs harness's own sweeper: leave out hydra/sweeper=basic"),
    ],
)
def test_wrong_added_value_is_refused(words: list[str], message: str, workdir: Path) -> None:
    with pytest.raises(harness.HarnessError) as refused:
        harness.sweep(["experiment=mine", *words, *QUICK], config_dir=write(workdir, DECLARED))
    assert message in str(refused.value)
    assert not (workdir / "outputs").exists()


@pytest.mark.parametrize("words", [["seed+=5"], ["-m", "seed+=5", "--cfg", "job"]])
def test_added_value_needs_a_sweep(words: list[str], workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["experiment=digits_mlp", *words])
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "harness -m experiment=NAME KEY+=VALUE" in line or "show one run, not a sweep" in line


@pytest.mark.parametrize("declared", ["params: {seed: '0,1'}", "variants: [[seed=1]]", "zip: [seed, epochs]"])
def test_declared_sweep_in_one_of_several_experiments_is_refused(declared: str, workdir: Path) -> None:
    folder = write(workdir, f"hydra: {{sweeper: {{{declared}}}}}")
    where = "experiment=mine" if hydra.__version__.startswith("1.3.") else "a file"  # 1.4 names no file
    expected = rf"^{where} declares a sweep of its own"
    with pytest.raises(harness.HarnessError, match=expected):
        harness.sweep(["experiment=digits_mlp,mine", *QUICK], config_dir=folder)


@pytest.mark.parametrize(
    ("word", "kind", "names"),
    [
        ("optimizer=glob(ada*)", "optimizer", ["adadelta", "adagrad", "adam", "adamw"]),
        ("optimizer=glob([adag*,sg*],exclude=sgd)", "optimizer", ["adagrad"]),
        ("regularizer=glob(l2*)", "regularizer", [["l2"]]),
    ],
)
@pytest.mark.parametrize("sweeper", ["harness", "basic"])
def test_glob_expands_to_the_options_of_a_group(
    word: str, kind: str, names: list[Any], sweeper: str, workdir: Path
) -> None:
    records = harness.sweep([word, f"hydra/sweeper={sweeper}", *QUICK])
    assert [record.choices[kind] for record in records] == names


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("optimizer=glob(zzz*)", "optimizer=glob(zzz*): no optimizer matches. Known: adadelta, adagrad"),
        ("seed=glob(*)", "seed=glob(*): glob(...) selects options of a group, and seed is a setting"),
    ],
)
def test_glob_without_matches_is_refused(word: str, message: str, workdir: Path) -> None:
    with pytest.raises(harness.HarnessError) as refused:
        harness.sweep([word, *QUICK])
    assert str(refused.value).startswith(message)


def test_glob_matches_user_files_but_not_auto(workdir: Path) -> None:
    folder = write(workdir, "epochs: 1", "abc")
    write(workdir, "epochs: 2", "abd")
    records = harness.sweep(["experiment=glob(ab*)", *[w for w in QUICK if w != "epochs=1"]], config_dir=folder)
    assert [record.config["epochs"] for record in records] == [1, 2]
    records = harness.sweep(["loss=glob([auto,cross_*])", *QUICK])
    assert [record.choices["loss"] for record in records] == ["cross_entropy"]


class Direction(enum.Enum):
    """Direction, as in the config of optuna's sweeper."""

    minimize = 1
    maximize = 2


class Seeker(Sweeper):
    """Sweeper that asks for one job at a time and reads its objective, as optuna's does."""

    __module__ = "hydra_plugins.seeker"  # Hydra accepts sweepers from there only
    launcher: Launcher
    told: list[float]  # set by the test

    def __init__(self, direction: Direction, tries: str) -> None:
        assert direction is Direction.maximize
        self.tries = tries.split(";")

    def setup(self, *, hydra_context: Any, task_function: Any, config: Any) -> None:
        self.config = config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        OmegaConf.to_yaml(self.config)  # other sweepers write multirun.yaml
        for place, word in enumerate(self.tries):
            (done,) = self.launcher.launch([[*arguments, word]], initial_job_idx=place)
            value = float(done.return_value)
            if math.isnan(value):
                raise RuntimeError("the value nan is not acceptable")
            Seeker.told.append(value)


@dataclass
class SeekerConf:
    tries: str
    _target_: str = "hydra_plugins.seeker.Seeker"
    direction: Direction = Direction.maximize


@pytest.fixture
def seeker(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Seeker]]:
    Seeker.told = []
    module = types.ModuleType("hydra_plugins.seeker")
    monkeypatch.setattr(module, "Seeker", Seeker, raising=False)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    Plugins.instance().register(Seeker)
    ConfigStore.instance().store(group="hydra/sweeper", name="seeker", node=SeekerConf, provider="tests")
    yield Seeker
    ConfigStore.instance().repo["hydra"]["sweeper"].pop("seeker.yaml")


@pytest.mark.parametrize("launcher", ["harness", "basic"])
@pytest.mark.parametrize(("objective", "worst"), [("val/accuracy", -math.inf), ("val/loss", math.inf)])
def test_diverged_run_scores_worst_and_search_continues(
    launcher: str, objective: str, worst: float, seeker: type[Seeker], workdir: Path
) -> None:
    words = ["hydra/sweeper=seeker", "hydra.sweeper.tries='optimizer.lr=1e30;optimizer.lr=0.1'", "optimizer=sgd"]
    records = harness.sweep([*words, f"hydra/launcher={launcher}", f"objective={objective}", *QUICK])
    assert [record.status for record in records] == ["diverged", "completed"]
    assert seeker.told[0] == worst
    assert seeker.told[1] == records[1].metrics[objective]
    assert "direction: maximize" in (records[0].folder / ".hydra" / "hydra.yaml").read_text()


@pytest.mark.parametrize(("metric", "higher"), [("accuracy", True), ("mse", False), ("epochs_to_target", False)])
def test_direction_is_known_without_measurements(metric: str, higher: bool) -> None:
    from harness.config.composition import compose

    more = ["metric.epochs_to_target.target=0.1"] if metric == "epochs_to_target" else []
    values = compose([f"metric=[{metric}]", *more]).values
    name = metric if metric == "epochs_to_target" else f"val/{metric}"
    record = Record("", "", "", status="failed", config=values | {"objective": name, "task": {"_component_": "x"}})
    assert higher_is_better(record) is higher
    assert for_search(record) == (-math.inf if higher else math.inf)
