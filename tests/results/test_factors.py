"""Tests of the factors of a study: several sweeps, single runs, and records from before sweeps were recorded."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from typing import Any

from harness.results.record import Record, Records

SETTINGS: dict[str, dict[str, Any]] = {
    "sgd": {"lr": 0.1, "momentum": 0.0},
    "adam": {"lr": 0.001, "betas": [0.9, 0.999]},
}


def run(values: dict[str, Any], swept: Iterable[str] = (), name: str | None = None, **config: Any) -> Record:
    """A record of a run with some overrides.

    Args:
        values: The overrides: choices, and settings by their dotted keys.
        swept: Keys that its sweep varied.
        name: The name; None for the overrides.
        config: Further parts of the config.
    """
    optimizer = values.get("optimizer", "adam")
    config = {
        "seed": 0,
        "epochs": 20,
        "study": "s",
        "split": {"seed": 0, "on_overlap": "warn"},
        "optimizer": {"_component_": optimizer, **SETTINGS[optimizer]},
        "regularizer": {},
        "metric": {"accuracy": {"_component_": "accuracy"}},
    } | config
    for key, value in values.items():
        first, _, rest = key.partition(".")
        if key == "regularizer":
            config[key] = {n: {"_component_": n, "strength": 0.1} for n in value}
        elif rest:
            config[first] = config[first] | {rest: value}
        elif key != "optimizer":
            config[key] = value
    name = ",".join(f"{key}={value}" for key, value in values.items()) if name is None else name
    swept_values = {key: values[key] for key in swept if key in values}
    return Record("0" * 12, name, "s", config=config, swept=list(swept), swept_values=swept_values)


def sweep(swept: dict[str, list[Any]], **fixed: Any) -> list[Record]:
    """The records of a grid."""
    return [run(dict(zip(swept, levels, strict=True)) | fixed, swept) for levels in product(*swept.values())]


def before(records: Iterable[Record]) -> list[Record]:
    """The records as they were before they told what their sweep varied."""
    return [Record(r.id, r.name, r.study, config=r.config) for r in records]


def factors(*records: Iterable[Record]) -> dict[str, list[Any]]:
    return Records([record for part in records for record in part]).factors()


def test_factors_of_a_grid_have_levels_in_natural_order() -> None:
    grid = sweep({"optimizer": ["sgd", "adam"], "optimizer.lr": [1e-2, 1e-4, 1e-3], "seed": [10, 2]})
    expected = {"optimizer": ["adam", "sgd"], "optimizer.lr": [1e-4, 1e-3, 1e-2], "seed": [2, 10]}
    assert factors(grid) == expected
    assert list(factors(grid)) == list(expected)  # in the order in which they were typed
    assert factors(before(grid)) == expected


def test_settings_that_come_with_another_choice_are_no_factors() -> None:
    expected = {"optimizer": ["adam", "sgd"], "seed": [0, 1]}
    grid = sweep({"optimizer": ["sgd", "adam"], "seed": [0, 1]})
    assert factors(grid) == factors(before(grid)) == expected
    tuned = [
        run({"optimizer": name, "optimizer.lr": lr, "seed": s})
        for name, lr in (("sgd", 0.2), ("adam", 0.01))
        for s in (0, 1)
    ]
    assert factors(tuned) == expected


def test_setting_of_some_arms_is_a_factor_where_it_varies() -> None:
    jobs = [
        {"optimizer": "adam"},
        {"optimizer": "sgd", "optimizer.momentum": 0.9},
        {"optimizer": "sgd", "optimizer.momentum": 0.5},
    ]
    keys = ["optimizer", "optimizer.momentum", "seed"]
    runs = [run(job | {"seed": seed}, keys) for job in jobs for seed in (0, 1)]
    assert factors(runs) == {"optimizer": ["adam", "sgd"], "optimizer.momentum": [0.5, 0.9], "seed": [0, 1]}
    assert factors(before(runs)) == {"seed": [0, 1], "optimizer": ["adam", "sgd"], "optimizer.momentum": [0.5, 0.9]}
    assert factors(runs[:4]) == {"optimizer": ["adam", "sgd"], "seed": [0, 1]}  # one momentum, of sgd


def test_zipped_keys_are_factors() -> None:
    keys = ["model.depth", "model.width"]
    runs = [
        run({"model.depth": d, "model.width": w}, keys, model={"_component_": "mlp"}) for d, w in ((1, 256), (4, 64))
    ]
    assert factors(runs) == {"model.depth": [1, 4], "model.width": [64, 256]}


def test_swept_keys_that_do_not_vary_in_these_runs_are_left_out() -> None:
    grid = sweep({"optimizer": ["sgd", "adam"], "seed": [0, 1]})
    assert factors(grid[:2]) == {"seed": [0, 1]}
    assert factors(grid[:1]) == factors([]) == {}


def test_sweeps_with_other_keys_and_single_runs_are_compared_by_all_of_them() -> None:
    optimizers = sweep({"optimizer": ["sgd", "adam"], "seed": [0, 1]})
    rates = sweep({"optimizer.lr": [0.01, 0.1], "seed": [0, 1]}, optimizer="sgd")
    single = run({"optimizer": "sgd", "epochs": 5, "seed": 7})
    expected = {"optimizer": ["adam", "sgd"], "seed": [0, 1], "optimizer.lr": [0.001, 0.01, 0.1]}
    assert factors(optimizers, rates) == factors(optimizers, before(rates)) == expected
    assert factors(optimizers, [single]) == {"optimizer": ["adam", "sgd"], "seed": [0, 1, 7], "epochs": [5, 20]}


def test_word_that_differs_between_sweeps_is_a_factor() -> None:
    short = sweep({"optimizer": ["sgd", "adam"], "seed": [0, 1]}, epochs=5)
    long = sweep({"optimizer": ["sgd", "adam"], "seed": [0, 1]}, epochs=50)
    assert factors(short, long)["epochs"] == [5, 50]
    assert factors(before(short[:2]), before(long[2:]))["epochs"] == [
        5,
        50,
    ]  # sgd was trained for 5 epochs, adam for 50


def test_default_of_another_version_is_a_factor_where_nothing_else_differs() -> None:
    old, new = (sweep({"seed": [0, 1]}, name=None) for _ in range(2))
    for record in new:
        record.config["warmup"] = 0.1
    for record in old:
        record.config["warmup"] = 0.0
    assert factors(old, new) == {"seed": [0, 1], "warmup": [0.0, 0.1]}


def test_split_seed_that_follows_the_seed_is_a_factor() -> None:
    runs = [run({"split.seed": s, "seed": s}, ["seed"], name=f"split.seed=${{seed}},seed={s}") for s in (3, 1)]
    assert factors(runs) == factors(before(runs)) == {"seed": [1, 3], "split.seed": [1, 3]}
    drawn = [
        run({"seed": s}, ["seed"], f"data.draw=${{seed}},seed={s}", data={"_component_": "x", "draw": s})
        for s in (0, 1)
    ]
    assert factors(drawn) == {"seed": [0, 1]}


def test_lists_of_components_are_one_level() -> None:
    lists = [[], ["l2"], ["l2", "dropout"]]
    grid = sweep({"regularizer": lists, "seed": [0, 1]})
    expected = {"regularizer": ["l2", "l2+dropout", "none"], "seed": [0, 1]}
    assert factors(grid) == factors(before(grid)) == expected


def test_preset_is_a_level_of_its_own() -> None:
    slow = [run({"seed": s, "optimizer.lr": 1e-5}, ["optimizer", "seed"], f"optimizer=slow,seed={s}") for s in (0, 1)]
    for record in slow:
        record.swept_values["optimizer"] = "slow"
    usual = sweep({"optimizer": ["adam"], "seed": [0, 1]})
    assert factors(slow, usual) == {"optimizer": ["adam", "slow"], "seed": [0, 1]}
    # of before: the names of the runs hold the preset, and their configs its component
    assert factors(before(slow), before(usual)) == {"seed": [0, 1], "optimizer.lr": [1e-5, 0.001]}


def test_choice_that_follows_the_data_is_no_factor() -> None:
    def on(data: str, task: str, loss: str, seed: int) -> Record:
        nodes = {"data": {"_component_": data}, "task": {"_component_": task}, "loss": {"_component_": loss}}
        return run({"seed": seed}, name=f"data={data},seed={seed}", **nodes)

    runs = [
        on(*x, seed) for x in (("digits", "classification", "ce"), ("wine", "regression", "mse")) for seed in (0, 1)
    ]
    assert factors(runs) == {"seed": [0, 1], "data": ["digits", "wine"]}


def test_what_changes_no_result_is_no_factor() -> None:
    runs = [
        run({"study": s}, ["study"], split={"seed": 0, "on_overlap": o}, metric={m: {"_component_": m}})
        for s, o, m in (("a", "warn", "f1"), ("b", "error", "accuracy"))
    ]
    assert factors(runs) == {}
