"""Tests of what the record of a run tells about its sweep."""

from __future__ import annotations

import shlex
from pathlib import Path

import harness
from harness.config.job import MAX_COMMAND, command_line
from harness.execution.sweep.swept import current_command, launched_by, varied_keys
from harness.results.record import Records, read

QUICK = ["data=moons", "data.n=100", "epochs=1", "diagnostic=[]", "logger=[]", "save=none"]
HERE = ["path=alone", "executor=in_process"]


def test_varied_keys_are_those_whose_words_differ() -> None:
    grid = [[f"+experiment={e}", "epochs=2", f"optimizer={{lr:{lr}}}"] for e in ("a", "b") for lr in (0.1, 0.2)]
    assert varied_keys(grid) == ["experiment", "optimizer.lr"]
    zipped = [["optimizer=adam"], ["optimizer=sgd", "optimizer.momentum=0.9"]]
    assert varied_keys(zipped) == ["optimizer", "optimizer.momentum"]
    assert varied_keys([["seed=0"]]) == varied_keys([]) == []


def test_sweep_is_in_the_records_and_not_in_the_identity(workdir: Path) -> None:
    words = [*QUICK, *HERE, "regularizer=[],[l2,dropout]", "optimizer.lr=1,0.1", "seed=range(1,3)", "study=s"]
    records = harness.sweep(words)
    assert {tuple(r.swept) for r in records} == {("regularizer", "optimizer.lr", "seed")}
    assert records[0].swept_values == {"regularizer": [], "optimizer.lr": 1.0, "seed": 1}
    assert records[7].swept_values == {"regularizer": ["l2", "dropout"], "optimizer.lr": 0.1, "seed": 2}
    assert isinstance(records[0].swept_values["optimizer.lr"], float)
    assert isinstance(records[0].swept_values["seed"], int)
    for record in records:
        assert record.command.startswith("harness -m data=moons data.n=100")
        assert record.command.endswith(" 'regularizer=[],[l2,dropout]' optimizer.lr=1,0.1 'seed=range(1,3)' study=s")
        assert read(record.folder) == record
    assert records.factors() == {
        "regularizer": ["l2+dropout", "none"], "optimizer.lr": [0.1, 1.0], "seed": [1, 2],
    }  # fmt: skip
    single = harness.run([*QUICK, "path=alone", "optimizer.lr=1", "seed=1", "study=single", "regularizer=[]"])
    assert (single.id, single.swept, single.swept_values) == (records[0].id, [], {})
    assert single.command.startswith("harness data=moons")


def test_records_of_a_stack_in_workers_know_their_sweep(workdir: Path) -> None:
    records = harness.sweep([*QUICK, "path=fused", "executor=loky", "jobs=1", "seed=0,1", "study=s"])
    assert [(r.swept, r.swept_values) for r in records] == [(["seed"], {"seed": 0}), (["seed"], {"seed": 1})]
    assert records[0].command.endswith("seed=0,1 study=s")


def test_presets_and_experiments_have_the_names_that_were_typed(workdir: Path) -> None:
    for name, text in {
        "optimizer/slow": "defaults:\n  - sgd\nlr: 0.01\n",
        "experiment/2024_01": "# @package _global_\nepochs: 1\n",
        "experiment/long": "# @package _global_\nepochs: 2\n",
    }.items():
        path = workdir / "my folder" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    words = [*(w for w in QUICK if w != "epochs=1"), *HERE, "optimizer=slow,sgd", "experiment=2024_01,long", "study=s"]
    records = harness.sweep(words, config_dir="my folder")
    assert records[0].swept_values == {"optimizer": "slow", "experiment": "2024_01"}
    assert records[0].command.startswith("harness -m --config-dir 'my folder' data=moons")
    assert records.factors() == {"optimizer": ["sgd", "slow"], "experiment": ["2024_01", "long"]}
    table = records.to_pandas(factors_only=True)
    assert table["optimizer"].tolist() == ["slow", "slow", "sgd", "sgd"]


def test_auto_has_the_name_of_its_component(workdir: Path) -> None:
    records = harness.sweep([*QUICK, *HERE, "model=auto,deep_linear", "study=s"])
    assert [r.swept_values for r in records] == [{"model": "mlp"}, {"model": "deep_linear"}]


def test_sweep_over_runs_that_exist_finds_the_same_factors(workdir: Path) -> None:
    harness.run([*QUICK, "path=alone", "optimizer=sgd", "seed=10", "study=s"])
    harness.sweep([*QUICK, *HERE, "seed=10,2", "optimizer=sgd", "study=s"])
    harness.sweep([*QUICK, *HERE, "optimizer=sgd,adam", "seed=2", "study=s"])
    records = harness.load("s")
    assert [r.swept for r in records].count([]) == 1
    assert records.factors() == {"optimizer": ["adam", "sgd"], "seed": [2, 10]}
    assert [r.config["seed"] for r in records] == [2, 2, 10]


def test_launcher_of_hydra_records_the_command(workdir: Path) -> None:
    words = [*QUICK, "hydra/launcher=basic", "seed=0,1", "study=s"]
    assert {record.command for record in harness.sweep(words)} == {command_line(words, sweep=True)}
    assert harness.load("s").factors() == {"seed": [0, 1]}  # by their names, since it trains one job at a time


def test_zip_and_variants_are_swept_and_in_the_command(workdir: Path) -> None:
    variants = [[], ("optimizer=sgd", "optimizer.lr=0.5")]
    words = [*QUICK, *HERE, "seed=0,1", "split.seed=8,9", "zip=[seed,split.seed]", "study=s"]
    records = harness.sweep(words, variants=variants)
    expected = {"optimizer": ["adam", "sgd"], "optimizer.lr": [0.001, 0.5], "seed": [0, 1], "split.seed": [8, 9]}
    assert records.factors() == expected
    assert records[0].swept_values == {"optimizer": "adam", "optimizer.lr": 0.001, "seed": 0, "split.seed": 8}
    again = harness.sweep(shlex.split(records[0].command)[2:])
    assert [(r.id, r.cached, r.command) for r in again] == [(r.id, True, r.command) for r in records]


def test_very_long_command_is_not_kept() -> None:
    words = [f"seed={','.join(map(str, range(MAX_COMMAND)))}"]
    assert command_line(words, sweep=True) == ""


def test_command_belongs_to_its_sweep() -> None:
    with launched_by("outer"):
        with launched_by("inner"):
            assert current_command() == "inner"
        assert current_command() == "outer"
    assert current_command() == ""


def test_directions_are_those_that_metrics_declare(workdir: Path) -> None:
    words = [*QUICK, "path=alone", "metric=[accuracy,epochs_to_target]", "metric.epochs_to_target.target=10"]
    record = Records([harness.run(words)])[0]
    lower = dict.fromkeys(("train/loss", "val/loss", "test/loss", "epochs_to_target"), False)
    assert record.directions == lower | dict.fromkeys(("val/accuracy", "test/accuracy"), True)
    assert read(record.folder) == record
