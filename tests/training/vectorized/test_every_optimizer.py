"""Tests of every installed optimizer in stacks of different members: bitwise equal to stacks of one."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from harness.registry import catalogue
from harness.testing.training import LOADER, composed, same, trained
from harness.training.fit import Run
from harness.training.vectorized.lifting import RestackDifferently, TrainSeparately

LINE = ["split.test=0.7", "split.val=0.2", "batch_size=48", "epochs=3", "model=mlp", "model.width=7", "model.depth=2"]
GIVEN: dict[str, Any] = {"int": 100, "float": 0.1}  # of settings without a default
ALL = {  # except those with a closure, which are not stacked
    e["name"]: e
    for e in catalogue.current()
    if e["kind"] == "optimizer" and not e["traits"].get("closure") and e["traits"].get("gradient", True)
}
QUICK = (  # one of each sort: element-wise, norms of the whole, factored, with matrices, with draws, adaptive in `d`
    "adam", "muon", "noisy_gd", "schedule_free", "torch_rprop", "torch_adafactor", "torch_nadam", "sgd", "lion",
    *(f"pytorch_optimizer_{name}" for name in (
        "prodigy", "dadaptsgd", "dadaptlion", "dadaptadan", "adabelief", "lamb", "shampoo", "soap", "madgrad",
        "emonavi", "aggmo", "adashift", "muon", "schedulefreeadamw",
    )),
)  # fmt: skip


@functools.cache
def config(name: str) -> dict[str, Any]:
    required = [p for p in ALL[name]["parameters"] if p["required"]]
    given = [f"optimizer.{p['name']}={GIVEN[p['type']['of']]}" for p in required]
    return composed((*LINE, f"optimizer={name}", *given)).values


def member(name: str, place: int) -> dict[str, Any]:
    """Settings of a member: neighbours share them in pairs, seeds and learning rates differ."""
    values = config(name)
    lr = values["optimizer"].get("lr")
    own = {"lr": lr * (1.0, 0.3, 3.0, 0.01)[place // 2 % 4]} if isinstance(lr, float) else {}
    return values | {"seed": place, "optimizer": values["optimizer"] | own}


def stacked(name: str, places: range) -> list[Run]:
    configs = [member(name, place) for place in places]
    while True:
        try:
            return trained(configs, LOADER.load(configs[0]).dataset)
        except RestackDifferently:
            continue


def assert_exact(name: str, sizes: tuple[int, ...]) -> None:
    try:
        alone = {place: stacked(name, range(place, place + 1))[0] for place in (0, 1)}
    except TrainSeparately:
        with pytest.raises(TrainSeparately):  # in any stack
            stacked(name, range(sizes[-1]))
        return
    for size in sizes:
        whole = stacked(name, range(size))
        for place, run in alone.items():
            assert same(whole[place], run), f"member {place} of {size}"


@pytest.mark.parametrize("name", QUICK)
def test_optimizer_is_exact_in_stacks(name: str) -> None:
    assert_exact(name, (3,))


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_optimizer_is_exact_in_stacks_of_many(name: str) -> None:
    assert_exact(name, (2, 3, 8, 32))
