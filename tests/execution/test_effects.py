"""Tests that every setting has an effect, or is refused or warned of where it has none."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

import harness
from harness.config.composition import compose
from harness.config.settings import nested_settings, scalar_settings
from harness.config.trainer_options import allowed
from harness.execution.effects import RULES, NoEffectWarning, check_effects
from harness.execution.preparation import Preparation
from harness.registry import catalogue
from harness.registry.kinds import KINDS

QUIET = ["logger=[]", "trainer=cpu"]

# (line, message about its first word); the first word of the second line has an effect
USELESS = [
    ("batch_size=64 data=rosenbrock", "data rosenbrock is a surface: a step takes its one point"),
    ("accumulate=3 data=rosenbrock", "an epoch has 1 batch to accumulate"),
    ("accumulate=7 data=iris batch_size=16 epochs=2", "an epoch has 6 batches to accumulate"),
    ("accumulate=2 optimizer=lbfgs data=iris batch_size=16", "optimizer lbfgs takes the gradients of all batches"),
    ("warmup=0.01 data=iris epochs=2", "it is 0.04 of the 4 steps, and a warmup needs two"),
    ("fail_fast=true data=iris", r"it is for the runs of a sweep \(harness -m\)"),
    ("jobs=2 data=iris", r"it is for the runs of a sweep \(harness -m\)"),
    ("executor=loky data=iris", r"it is for the runs of a sweep \(harness -m\)"),
    ("executor.cluster=local executor=submitit data=iris", r"it is for the runs of a sweep \(harness -m\)"),
    ("checkpoint_every=5 data=iris epochs=3", "no checkpoint is due within epochs=3"),
    ("checkpoint_every=1 data=iris model=random_forest", "model random_forest is fitted at once, and there is nothing"),
    ("save=best data=iris model=random_forest", "it has no epochs of which one is the best"),
    ("evaluate_train=true data=rosenbrock", "data rosenbrock is a surface: it has no samples"),
    ("diagnostic_budget=0.5 diagnostic=[] data=iris", "no diagnostic is measured while this run trains"),
    ("diagnostic_budget=0.5 model=random_forest data=iris", "no diagnostic is measured while this run trains"),
    ("diagnostic=[hessian] data=iris model=random_forest", "without steps that a diagnostic could measure"),
    ("split.seed=1 data=rosenbrock", "data rosenbrock does not use split.seed"),
    ("split.val=0.1 data=rosenbrock", "data rosenbrock does not use split.val"),
    ("split.test=0.1 data=rosenbrock", "data rosenbrock does not use split.test"),
    ("split.stratify=false data=rosenbrock", "data rosenbrock does not use split.stratify"),
    ("split={val: 0.1, test: 0.1} data=rosenbrock", "data rosenbrock does not use split.val"),
    ("split.on_overlap=error data=rosenbrock", "the samples of data rosenbrock are not checked for overlap"),
    ("trainer.max_time=00:00:01:00 data=iris model=random_forest", "fitted at once, and cannot be stopped in between"),
    ("tune.seeds=2 data=iris", "tune.budget says how many trials are made, and it is null"),
    ("tune.seed=2 data=iris", "tune.budget says how many trials"),
    ("tune.method=tpe data=iris", "tune.budget says how many trials"),
    ("tune.over=[optimizer] data=iris", "tune.budget says how many trials"),
    ("tune.per_seed=true data=iris", "tune.budget says how many trials"),
    ("tune.space.optimizer.lr='log(1e-4,1e-1)' data=iris", "tune.budget says how many trials"),
    ("trainer.benchmark=true data=iris", "it chooses algorithms on a GPU, and this run is on the CPU"),
]
TOLD = [
    ("seed=3 data=diabetes model=linear_regression", "model linear_regression uses no random numbers"),
    ("seed=3 data=rosenbrock", "this run uses no random numbers: data rosenbrock"),
    ("loss=cross_entropy data=iris model=random_forest", "the loss is only measured"),
    ("split.seed=${seed} data=rosenbrock", "data rosenbrock does not use split.seed"),
]
USEFUL = [
    "seed=3 data=iris",
    "seed=3 data=iris model=random_forest",
    "seed=3 data=rosenbrock regularizer=[gradient_noise]",
    "batch_size=64 data=iris",
    "accumulate=2 data=iris batch_size=16",
    "warmup=0.1 data=iris batch_size=16",
    "checkpoint_every=3 data=iris epochs=3",
    "save=best data=iris",
    "evaluate_train=true data=iris",
    "diagnostic_budget=0.5 data=iris",
    "diagnostic=[hessian] data=iris",
    "loss=cross_entropy data=iris",
    "split.seed=1 data=iris",
    "split.seed=1 data=sklearn_make_moons",
    "split.val=0.1 data=iris",
    "split.test=0.1 data=iris",
    "split.stratify=false data=iris",
    "split.on_overlap=error data=moons",
    "split.on_overlap=ignore data=rosenbrock",
    "trainer.max_time=00:00:01:00 data=iris",
    "trainer.check_val_every_n_epoch=2 data=iris",
    "executor=in_process jobs=1 fail_fast=false data=iris",
    "batch_size=1 accumulate=1 data=rosenbrock",
]


def warnings_of(line: str) -> list[str]:
    """Return the warnings of a run, without training it."""
    words = line.replace(": ", ":").replace(", ", ",").split()
    of = Preparation()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_effects([of.prepare(compose([*QUIET, *words]))], of.known, in_sweep=False)
    return [str(one.message) for one in caught if one.category is NoEffectWarning]


def test_every_key_has_a_rule() -> None:
    """A new setting needs a rule that says where it has no effect."""
    inner = [f"{name}.{row.name}" for name, own in nested_settings().items() for row in own]
    trainer = [f"trainer.{name}" for name in allowed(catalogue.current().trainer)]
    assert {
        *KINDS,
        *(row.name for row in scalar_settings()),
        *inner,
        *trainer,
        "trainer",
        "experiment",
        "tune.space",
    } == set(RULES)


def test_every_rule_is_tested_with_and_without_an_effect() -> None:
    def keys(lines: list[str]) -> set[str]:
        words = [word.partition("=")[0] for line in lines for word in line.split() if "=" in word]
        return {*words, *(word.partition(".")[0] for word in words), *(".".join(word.split(".")[:2]) for word in words)}

    ruled = {key for key, rule in RULES.items() if rule is not None} - {"trainer.check_val_every_n_epoch"}
    assert ruled <= keys([line for line, _ in USELESS + TOLD])
    # these need a GPU, or a sweep that is tuned (tests/execution/tuning)
    elsewhere = {"trainer.benchmark", *(key for key in ruled if key.startswith("tune."))}
    assert ruled - elsewhere <= keys(USEFUL)


@pytest.mark.parametrize(("line", "why"), USELESS)
def test_setting_without_effect_is_refused_in_one_line(line: str, why: str, workdir: Path) -> None:
    words = line.replace(": ", ":").replace(", ", ",").split()
    with pytest.raises(harness.HarnessError, match=why) as refused:
        harness.run([*QUIET, *words])
    assert str(refused.value).startswith(f"{words[0]} has no effect: ")
    assert str(refused.value).endswith(". Leave it out")
    assert len(str(refused.value).splitlines()) == 1
    assert list(workdir.iterdir()) == []


@pytest.mark.parametrize(("line", "why"), TOLD)
def test_unused_setting_that_is_often_swept_is_warned_of(line: str, why: str) -> None:
    (message,) = warnings_of(line)
    assert message.startswith(f"{line.split()[0]} has no effect: ")
    assert why in message


@pytest.mark.parametrize("line", USEFUL)
def test_setting_with_an_effect_gives_no_warning(line: str) -> None:
    assert warnings_of(line) == []


@pytest.mark.parametrize(
    "line", ["data=iris", "data=rosenbrock", "data=iris model=random_forest", "data=iris optimizer=lbfgs epochs=1"]
)
def test_defaults_give_no_warning(line: str) -> None:
    assert warnings_of(line) == []


def test_data_with_own_splits_names_the_split_settings_it_uses(workdir: Path) -> None:
    """If a data set has a test split, only its training samples are divided: for validation, by a seed."""
    from datasets import Dataset, DatasetDict

    rows = {"a": [float(i) for i in range(60)], "y": [i % 2 for i in range(60)]}
    DatasetDict({"train": Dataset.from_dict(rows), "test": Dataset.from_dict(rows)}).save_to_disk("own")
    line = "data=hugging_face data.path=own data.inputs=[a] data.target=y batch_size=16"
    assert warnings_of(f"{line} split.val=0.3 split.seed=2 split.stratify=false") == []
    with pytest.raises(harness.HarnessError, match=r"split\.test=0\.3 has no effect"):
        warnings_of(f"{line} split.test=0.3")
    DatasetDict({s: Dataset.from_dict(rows) for s in ("train", "validation", "test")}).save_to_disk("all")
    for word in ("split.val=0.3", "split.seed=2", "split.stratify=false"):
        with pytest.raises(harness.HarnessError, match="has no effect: data hugging_face does not use"):
            warnings_of(f"{line.replace('own', 'all')} {word}")


@pytest.mark.parametrize(
    ("swept", "key"),
    [
        ("save=last,best", "save"),
        ("path=alone,fused", "path"),
        ("metric=[],[f1]", "metric"),
        ("jobs=1,2", "jobs"),
        ("executor=in_process,loky", "executor"),
        ("diagnostic=[],[hessian]", "diagnostic"),
        ("split.on_overlap=warn,ignore", "split.on_overlap"),
        ("checkpoint_every=0,1", "checkpoint_every"),
    ],
)
def test_sweep_over_a_setting_without_effect_on_results_is_refused(swept: str, key: str, workdir: Path) -> None:
    """The values would be one run, trained with the first of them."""
    with pytest.raises(harness.HarnessError, match=f"a sweep over {key}: it changes no result"):
        harness.sweep([*QUIET, "data=iris", "epochs=2", swept])
    assert list(workdir.iterdir()) == []


def test_setting_used_by_one_run_of_a_sweep_is_accepted(workdir: Path) -> None:
    line = [*QUIET, "diagnostic=[]", "executor=in_process"]
    records = harness.sweep([*line, "data=moons,rosenbrock", "batch_size=32", "epochs=1", "split.val=0.3"])
    assert [record.status for record in records] == ["completed"] * 2
    with pytest.raises(harness.HarnessError, match="batch_size=32 has no effect"):
        harness.sweep([*line, "data=rosenbrock,beale", "batch_size=32", "epochs=1"])
    with pytest.raises(harness.HarnessError, match="jobs=2 has no effect: executor=in_process trains one run after"):
        harness.sweep([*line, "data=iris", "jobs=2", "seed=0,1"])


@pytest.mark.parametrize("key", ["enable_autolog_hparams=true", "plugins=[x]"])
def test_trainer_keys_without_any_effect_are_refused(key: str) -> None:
    with pytest.raises(harness.HarnessError, match=f"trainer.{key.partition('=')[0]} is managed by harness"):
        harness.run([f"trainer.{key}"])
