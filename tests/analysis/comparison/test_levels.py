"""Factors, arms, data sets and units are read from records."""

from __future__ import annotations

import pytest

from harness.analysis.comparison.levels import find_arm, layout
from harness.system.errors import HarnessError
from tests.helpers.studies import record, study


def _value(*levels: object) -> float:
    return 0.9


def _arms(records: list, **asked: object) -> list[str]:
    return list(dict.fromkeys(run.arm for run in layout(records, **asked).runs))


def test_arms_are_the_swept_choices_without_seeds() -> None:
    found = layout(study({"optimizer": ["adam", "sgd"], "activation": ["relu", "tanh"]}, _value, seeds=2))
    assert list(dict.fromkeys(run.arm for run in found.runs)) == ["adam,relu", "adam,tanh", "sgd,relu", "sgd,tanh"]
    assert found.factors == {"optimizer": ["adam", "sgd"], "activation": ["relu", "tanh"]}
    assert list(found.varied) == ["seed", "split.seed"]
    assert found.notes == []


def test_setting_is_named_by_its_last_word() -> None:
    assert _arms(study({"optimizer.lr": [0.1, 0.01]}, _value, seeds=2)) == ["lr=0.1", "lr=0.01"]


def test_lists_of_components_are_joined_and_none_is_named() -> None:
    levels = {"regularizer": [[], ["l2"], ["l2", "dropout"]]}
    assert _arms(study(levels, _value, seeds=2)) == ["none", "l2", "l2+dropout"]


def test_by_averages_over_other_factors() -> None:
    records = study({"optimizer": ["adam", "sgd"], "activation": ["relu", "tanh"]}, _value, seeds=2)
    found = layout(records, by=["activation"])
    assert list(dict.fromkeys(run.arm for run in found.runs)) == ["relu", "tanh"]
    assert {run.rest for run in found.runs} == {("adam",), ("sgd",)}


def test_where_keeps_matching_runs() -> None:
    records = study({"optimizer": ["adam", "sgd"], "optimizer.lr": [0.1, 0.01]}, _value, seeds=2)
    assert _arms(records, where=["optimizer=sgd"]) == ["lr=0.1", "lr=0.01"]
    assert _arms(records, where=["optimizer.lr=1e-2"]) == ["adam", "sgd"]


def test_data_sets_are_no_arms() -> None:
    found = layout(study({"data": ["digits", "wine"], "optimizer": ["adam", "sgd"]}, _value, seeds=2))
    assert list(dict.fromkeys(run.data for run in found.runs)) == ["digits", "wine"]
    assert list(found.factors) == ["optimizer"]


def test_tables_are_named_by_their_file() -> None:
    records = study({"data.path": ["a/red.csv", "b/white.csv"], "optimizer": ["adam", "sgd"]}, _value, seeds=2)
    assert {run.data for run in layout(records).runs} == {"red", "white"}


def test_sweeps_with_different_epochs_are_different_arms() -> None:
    records = study({"optimizer": ["adam", "sgd"]}, _value, seeds=2)
    records += study({"optimizer": ["adam", "sgd"]}, _value, seeds=2, config={"epochs": 20})
    assert _arms(records) == ["adam,epochs=5", "sgd,epochs=5", "adam,epochs=20", "sgd,epochs=20"]


def test_setting_that_differs_with_the_arms_is_noted() -> None:
    records = study({"optimizer": ["adam"]}, _value, seeds=2)
    records += study({"optimizer": ["sgd"]}, _value, seeds=2, config={"epochs": 20})
    assert layout(records).notes == ["the arms differ in epochs, too: adam 5, sgd 20"]


def test_arm_is_found_by_level() -> None:
    runs = layout(study({"optimizer": ["adam", "sgd"], "activation": ["relu", "tanh"]}, _value, seeds=2)).runs
    assert find_arm("sgd,tanh", runs) == "sgd,tanh"
    assert find_arm("tanh,sgd", runs) == "sgd,tanh"
    assert find_arm("optimizer=sgd,activation=relu", runs) == "sgd,relu"
    with pytest.raises(HarnessError, match="several arms have it"):
        find_arm("sgd", runs)
    with pytest.raises(HarnessError, match=r"no such arm. Did you mean 'adam,relu'"):
        find_arm("adam,rellu", runs)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"by": ["optimiser"]}, "Did you mean 'optimizer'"),
        ({"by": ["seed"]}, "seeds pair the runs"),
        ({"by": ["data"]}, "compared by itself"),
        ({"by": ["epochs"]}, "has one value"),
        ({"where": ["optimizer"]}, "write KEY=VALUE"),
        ({"where": ["optimiser=adam"]}, "Did you mean 'optimizer'"),
        ({"where": ["optimizer=lion"]}, "optimizer is adam, sgd"),
    ],
)
def test_unknown_names_are_refused(asked: dict, message: str) -> None:
    records = study({"optimizer": ["adam", "sgd"]}, _value, seeds=2)
    with pytest.raises(HarnessError, match=message):
        layout(records, **asked)


def test_runs_of_before_the_record_of_swept_keys_are_compared() -> None:
    records = [record({"optimizer": o, "seed": s}, 0.9) for o in ("adam", "sgd") for s in (0, 1)]
    assert _arms(records) == ["adam", "sgd"]
