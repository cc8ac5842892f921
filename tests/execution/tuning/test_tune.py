"""Tests of tuned sweeps: equal budgets, fresh seeds, and nothing of what is judged is seen by the search."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.cli import main
from harness.execution.sweep.callbacks import SweepCallback
from harness.results.record import Record, Records
from harness.results.tuning import Tuning, read_tunings
from tests.helpers.planted import planted

PLUGIN = '''
import os

import torch
from annotated_types import Gt
from harness import Dataset, Samples
from harness.space import Log

Rate = Annotated[float, Log(1e-4, 1.0), Gt(0)]


@harness.optimizer
def twin(params, *, lr: Rate = 0.05):
    """Plain descent."""
    return torch.optim.SGD(params, lr)


@harness.optimizer
def other_twin(params, *, lr: Rate = 0.05):
    """Plain descent."""
    return torch.optim.SGD(params, lr)


@harness.optimizer
def timid(params, *, lr: Rate = 1e-9):
    """Plain descent, with a default that learns nothing."""
    return torch.optim.SGD(params, lr)


@harness.optimizer
def rigid(params, *, lr: float = 0.05):
    """Plain descent, without a search space."""
    return torch.optim.SGD(params, lr)


@harness.optimizer
def fragile(params, *, lr: Rate = 0.01):
    """Plain descent that refuses most learning rates while it trains."""
    optimizer = torch.optim.SGD(params, lr)
    if lr > float(os.environ.get("FRAGILE", "1")):
        optimizer.step = None
    return optimizer


@harness.data
def sealed():
    """Two clouds, whose test split is what the environment says."""
    def part(n, seed, shift=1.5):
        generator = torch.Generator().manual_seed(seed)
        y = torch.arange(n) % 2
        return Samples(torch.randn(n, 4, generator=generator) + shift * y[:, None], y)

    test = part(60, 3, shift=float(os.environ.get("TEST_SHIFT", "1.5")))
    return Dataset(part(96, 1), part(60, 2), test, target="class", classes=("a", "b"))
'''
OFFERS = "twin, other_twin, timid, rigid, fragile, sealed"
QUICK = ["data=sealed", "model=mlp", "model.width=4", "epochs=2", "batch_size=16", "logger=[]", "diagnostic=[]"]
SMALL = [*QUICK, "tune.budget=4", "tune.seeds=2"]


@pytest.fixture(scope="module", autouse=True)
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with planted(tmp_path_factory.mktemp("site"), "tuned-parts", PLUGIN, OFFERS):
        yield


def trials(study: str) -> Records:
    return harness.load(f"{study}/tuning")


def tunings(study: str) -> dict[str, Tuning]:
    return {str(t.levels["optimizer"]): t for t in read_tunings(Path("outputs") / study)}


def accuracies(records: Records, optimizer: str) -> list[float]:
    return [r.metrics["test/accuracy"] for r in records if r.choices["optimizer"] == optimizer]


def test_each_contestant_gets_equally_many_trials_of_its_own_seeds(workdir: Path) -> None:
    records = harness.sweep([*SMALL, "optimizer=twin,adam", "seed=0,1,2", "study=s"])
    assert len(records) == 6
    assert len(harness.load("s")) == 6
    assert len(trials("s")) == 2 * 4 * 2
    assert {r.config["seed"] for r in trials("s")} == {1_000_000, 1_000_001}
    assert {r.config["seed"] for r in records} == {0, 1, 2}
    for name, tuning in tunings("s").items():
        assert len(tuning.trials) == 4
        judged = [r for r in records if r.choices["optimizer"] == name]
        winner = tuning.trials[tuning.winner]
        for record in judged:
            assert record.tuning["settings"] == winner.settings
            assert {f"optimizer.{k}": record.config["optimizer"][k] for k in record.config["optimizer"]}.items() >= (
                winner.settings.items()
            )
            assert record.swept == ["optimizer", "seed"]
            assert record.tuning["trials"] == record.tuning["budget"] == 4
            assert record.tuning["steps"] == 4 * 2 * 2 * 6  # trials, seeds, epochs, steps of an epoch
        by_id = {r.id: r for r in trials("s")}
        for trial in tuning.trials:
            for run, value in zip(trial.runs, trial.values, strict=True):
                assert by_id[run].metrics["val/accuracy"] == value
    assert set(harness.load("s").factors()) == {"optimizer", "seed"}


def test_winner_is_best_on_validation_and_no_trial_sees_the_test_split(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A test split on which every prediction is wrong changes the verdict, and neither the trials nor the winner."""
    found: list[Any] = []
    for shift in ("1.5", "-1.5"):
        monkeypatch.setenv("TEST_SHIFT", shift)
        records = harness.sweep([*SMALL, "optimizer=twin", "seed=0,1", f"study=s{shift}", "tune.over=[optimizer]"])
        metrics = [{**r.metrics} for r in trials(f"s{shift}")]
        assert not [name for row in metrics for name in row if name.startswith("test/")]
        assert all("test/accuracy" in r.metrics for r in records)
        (tuning,) = read_tunings(workdir / "outputs" / f"s{shift}")
        found.append([(t.settings, t.values, t.losses) for t in tuning.trials] + [records[0].tuning["settings"]])
        found.append([r.metrics["test/accuracy"] for r in records])
    assert found[0] == found[2]
    assert found[1] != found[3]
    scores = [sum(values) for _, values, _ in found[0][:-1]]
    assert found[0][-1] == found[0][scores.index(max(scores))][0] or scores.count(max(scores)) > 1


def test_one_component_under_two_names_gets_one_result(workdir: Path) -> None:
    records = harness.sweep([*SMALL, "optimizer=twin,other_twin", "seed=0,1,2", "study=s"])
    assert accuracies(records, "twin") == accuracies(records, "other_twin")
    assert records[0].tuning["settings"] == records[3].tuning["settings"]


def test_component_with_a_bad_default_is_as_good_once_tuned(workdir: Path) -> None:
    untuned = harness.sweep([*QUICK, "optimizer=twin,timid", "seed=0,1,2", "study=u"])
    assert max(accuracies(untuned, "timid")) < min(accuracies(untuned, "twin"))
    tuned = harness.sweep([*SMALL, "optimizer=twin,timid", "seed=0,1,2", "study=s"])
    assert accuracies(tuned, "timid") == accuracies(tuned, "twin")


def test_budget_of_one_is_the_first_random_setting(workdir: Path) -> None:
    harness.sweep([*QUICK, "optimizer=twin,adam", "tune.budget=4", "tune.seeds=1", "study=s"])
    records = harness.sweep([*QUICK, "optimizer=twin,adam", "tune.budget=1", "tune.seeds=1", "study=one"])
    for record in records:
        assert record.tuning["settings"] == tunings("s")[record.choices["optimizer"]].trials[0].settings


def test_larger_budget_and_second_launch_reuse_trials(workdir: Path) -> None:
    line = [*SMALL, "optimizer=twin", "tune.over=[optimizer]", "study=s"]
    harness.sweep(line)
    stamps = {path: path.stat().st_mtime_ns for path in Path("outputs/s").rglob("record.json")}
    assert all(r.cached for r in harness.sweep(line))
    assert {path: path.stat().st_mtime_ns for path in Path("outputs/s").rglob("record.json")} == stamps
    harness.sweep([text if text != "tune.budget=4" else "tune.budget=6" for text in line])
    assert len(trials("s")) == 6 * 2
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())


@pytest.mark.parametrize("method", ["random", "tpe", "grid"])
def test_search_that_lost_some_trials_repeats_only_those(method: str, workdir: Path) -> None:
    line = [*SMALL, f"tune.method={method}", "optimizer=twin,adam", "study=s"]
    before = harness.sweep(line)
    expected = [(t.trials, t.winner) for t in read_tunings(Path("outputs/s"))]
    lost = sorted(trials("s"), key=lambda r: r.id)[::3]
    for record in [*lost, before[0]]:
        shutil.rmtree(record.folder)
    for path in Path("outputs/s/tuning").glob("*.json"):
        path.unlink()
    kept = {r.id: (r.folder / "record.json").stat().st_mtime_ns for r in trials("s")}
    after = harness.sweep(line)
    assert [(t.trials, t.winner) for t in read_tunings(Path("outputs/s"))] == expected
    assert [r.metrics for r in after] == [r.metrics for r in before]
    now = {r.id: (r.folder / "record.json").stat().st_mtime_ns for r in trials("s")}
    assert {run: now[run] for run in kept} == kept
    assert set(now) - set(kept) == {r.id for r in lost}


def test_failed_trial_is_a_result_and_does_not_win(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAGILE", "0.01")
    records = harness.sweep([*SMALL, "optimizer=fragile", "tune.over=[optimizer]", "study=s", "path=alone"])
    (tuning,) = read_tunings(Path("outputs/s"))
    statuses = {t.settings["optimizer.lr"] > 0.01: set(t.statuses) for t in tuning.trials}
    assert statuses == {True: {"failed"}, False: {"completed"}}
    assert records[0].status == "completed"
    assert records[0].tuning["failed"] == sum(t.settings["optimizer.lr"] > 0.01 for t in tuning.trials) > 0


def test_contestant_without_a_completed_trial_is_judged_with_the_first(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRAGILE", "0")
    line = [*SMALL, "optimizer=fragile", "tune.over=[optimizer]", "study=s", "path=alone"]
    with pytest.warns(UserWarning, match="none of its 4 trials completed"):
        records = harness.sweep(line)
    assert records[0].status == "failed"
    assert records[0].tuning["trial"] == 0


def test_component_without_a_space_is_judged_with_its_defaults(workdir: Path) -> None:
    with pytest.warns(UserWarning, match="^optimizer=rigid: no setting to search"):
        records = harness.sweep([*SMALL, "optimizer=rigid,twin", "study=s"])
    assert [bool(r.tuning) for r in records] == [False, True]
    assert records[0].config["optimizer"]["lr"] == 0.05


def test_typed_setting_is_not_searched(workdir: Path) -> None:
    records = harness.sweep([*SMALL, "optimizer=adam", "optimizer.lr=0.02", "tune.over=[optimizer]", "study=s"])
    assert records[0].config["optimizer"]["lr"] == 0.02
    assert "optimizer.lr" not in records[0].tuning["settings"]


def test_own_spaces_replace_declared_ones_and_add_others(workdir: Path) -> None:
    spaces = ["tune.space.optimizer.lr=choice(0.03,0.07)", "tune.space.batch_size=integers(8,32)"]
    harness.sweep([*[text for text in SMALL if text != "batch_size=16"], "optimizer=twin,rigid", *spaces, "study=s"])
    for tuning in read_tunings(Path("outputs/s")):
        assert tuning.space == {"optimizer.lr": "choice(0.03, 0.07)", "batch_size": "integers(8, 32)"}
        assert {t.settings["optimizer.lr"] for t in tuning.trials} <= {0.03, 0.07}
        assert all(8 <= t.settings["batch_size"] <= 32 for t in tuning.trials)


def test_settings_of_a_list_kind_are_tuned(workdir: Path) -> None:
    records = harness.sweep([*SMALL, "regularizer=[l2],[dropout]", "study=s"])
    assert {key for r in records for key in r.tuning["settings"]} >= {"regularizer.dropout.p"}


def test_tuning_for_each_seed_draws_anew(workdir: Path) -> None:
    records = harness.sweep(
        [*SMALL, "optimizer=twin", "tune.over=[optimizer]", "tune.per_seed=true", "seed=0,1", "study=s"]
    )
    first, second = (t.trials for t in read_tunings(Path("outputs/s")))
    assert not {t.settings["optimizer.lr"] for t in first} & {t.settings["optimizer.lr"] for t in second}
    assert {r.config["seed"] for r in trials("s")} == {1_000_000, 1_000_001, 1_000_002, 1_000_003}
    assert len(records) == 2


def test_each_seed_is_tuned_on_its_own_split(workdir: Path) -> None:
    line = [*[text for text in SMALL if text != "data=sealed"], "data=wine", "optimizer=twin", "study=s"]
    records = harness.sweep([*line, "tune.over=[optimizer]", "tune.per_seed=true", "seed=3,4", "split.seed=${seed}"])
    assert [r.config["split"]["seed"] for r in records] == [3, 4]
    splits = {r.config["seed"]: r.config["split"]["seed"] for r in trials("s")}
    assert splits == {1_000_006: 3, 1_000_007: 3, 1_000_008: 4, 1_000_009: 4}


def test_budgets_can_be_compared_in_one_sweep(workdir: Path) -> None:
    records = harness.sweep([*QUICK, "optimizer=twin,adam", "tune.budget=1,4", "tune.seeds=1", "seed=0,1", "study=s"])
    assert harness.load("s").factors() == {"optimizer": ["adam", "twin"], "tune.budget": [1, 4], "seed": [0, 1]}
    assert len(records) == 8
    assert len(trials("s")) == 2 * 4


class Told(SweepCallback):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.trials: list[Record] = []
        self.runs: list[int] = []
        self.announced: list[tuple[int, int]] = []

    def on_tuning_start(self, contestants: int, runs: int) -> None:
        self.announced.append((contestants, runs))

    def on_trial_end(self, record: Record) -> None:
        self.trials.append(record)

    def on_run_end(self, index: int, jobs: int | None, record: Record) -> None:
        self.runs.append(index)


def test_callbacks_tell_trials_from_runs(workdir: Path) -> None:
    told = Told()
    harness.sweep([*SMALL, "optimizer=twin,adam", "seed=0,1", "study=s"], callbacks=[told])
    assert told.announced == [(2, 16)]
    assert len(told.trials) == 16
    assert sorted(told.runs) == [0, 1, 2, 3]


WRONG = [
    ("optimizer=twin,adam tune.budget=0", "tune.budget must be >= 1, got 0"),
    ("optimizer=twin,adam tune.budget=2 tune.seeds=0", "tune.seeds must be >= 1, got 0"),
    ("seed=0,1 tune.budget=2", "tune.budget has nothing to search, since no kind is swept"),
    ("optimizer=rigid,twin optimizer.lr=1 tune.budget=2", "tune.budget has nothing to search: no setting of optimizer"),
    ("optimizer=twin,adam tune.budget=2 objective=test/accuracy", "objective=test/accuracy sees the test split"),
    ("optimizer=twin,adam tune.budget=2 seed=1000001", "seed=1000001 would be a tuning seed and a judged one"),
    ("optimizer=twin,adam tune.budget=2 tune.over=[data]", "tune.over: settings of 'data' cannot be tuned"),
    ("optimizer=twin,adam tune.budget=2 tune.over=[optimiser]", "tune.over: settings of 'optimiser' cannot be tuned"),
    ("optimizer=twin,adam tune.budget=2 tune.space.optimizer.rate=log(1,2)", "no contestant has this setting"),
    ("optimizer=twin,adam tune.budget=2 tune.space.optimizer.lr=choice()", "is no search space"),
    ("optimizer=twin,adam tune.budget=2 tune.space.optimizer.lr=log(2,1)", "is no search space"),
    ("optimizer=twin,adam tune.budget=2 tune.space.optimizer.lr=uniform(-1,1)", "space.optimizer.lr: .* must be > 0"),
    ("optimizer=twin,adam tune.budget=2 tune.space=3", "tune.space is a group of keys"),
    ("optimizer=twin,adam tune.budget=2 optimizer.lr=1 tune.space.optimizer.lr=log(.1,1)", "sets the value that is to"),
    ("optimizer=twin,adam tune.budget=2 tune.method=luck", "tune.method must be one of random, tpe, grid"),
    ("optimizer=twin,adam tune.budget=2 study=tuning", "the name is kept for the trials"),
    ("optimizer=twin,adam tune.budget=2 hydra/launcher=basic", "tune.budget needs harness's own launcher"),
    ("optimizer=twin,adam tune.budget=2 seed=0,1 split.seed=${seed}", "split.seed follows the seed"),
    ("optimizer=twin,adam tune.seeds=2", "tune.seeds=2 has no effect: tune.budget says how many trials"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "message"), WRONG)
def test_sweep_that_cannot_be_tuned_is_refused_in_one_line(line: str, message: str, workdir: Path) -> None:
    with pytest.raises(harness.HarnessError, match=message) as refused:
        harness.sweep([*QUICK, *line.split()])
    assert len(str(refused.value).splitlines()) == 1
    assert not list(workdir.rglob("record.json"))


def test_single_run_is_not_tuned(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([*QUICK, "optimizer=twin", "tune.budget=4"])
    assert stop.value.code == 2
    assert capsys.readouterr().err == "harness: error: tune.budget tunes the contestants of a sweep: write harness -m\n"


def test_record_of_a_tuned_run_is_read_as_it_was_written(workdir: Path) -> None:
    (record,) = harness.sweep([*SMALL, "optimizer=twin", "tune.over=[optimizer]", "study=s"])
    written = json.loads((record.folder / "record.json").read_text())["tuning"]
    assert written == harness.load("s")[0].tuning == record.tuning
    with pytest.raises(SystemExit) as stop:
        main(["report", "outputs/s"])
    assert stop.value.code == 0
