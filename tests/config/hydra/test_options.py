"""Tests of the options that Hydra sees: every component, typed, in the group of its kind."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from hydra import compose
from hydra.core.object_type import ObjectType
from omegaconf import OmegaConf

from harness._compat.hydra import put_overrides
from harness.config import composition
from harness.config.error_messages import plain_errors
from harness.config.overrides import parse
from harness.config.settings import scalar_settings
from harness.registry import catalogue
from harness.registry.kinds import KEY, KINDS
from harness.registry.presets import builtin_presets
from harness.system.errors import HarnessError


# One option of each kind per test: a compose takes a fifth of a second, and a node is independent of the others.
def by_kind(own: bool) -> list[list[tuple[str, str]]]:
    """The components of each kind: harness's own, or those of bridges."""
    rows = [row for row in catalogue.current() if (row["plugin"] == "harness") is own]
    return [[(kind, row["name"]) for row in rows if row["kind"] == kind] for kind in KINDS]


def rows_of(kinds: list[list[tuple[str, str]]]) -> list[tuple[tuple[str, str], ...]]:
    """The first option of each kind, then the second, and so on."""
    return [tuple(filter(None, row)) for row in itertools.zip_longest(*kinds)]


MANY = [kind.name for kind in KINDS.values() if kind.many]


@pytest.fixture(scope="module")
def hydra() -> Iterator[Any]:
    with composition.hydra_session() as session:
        yield session


def choose(kind: str, *names: str) -> str:
    return f"{kind}=[{','.join(names)}]" if KINDS[kind].many else f"{kind}={names[0]}"


@pytest.mark.parametrize("kind", KINDS)
def test_options_of_a_kind_are_its_components(kind: str, hydra: Any) -> None:
    listed = hydra.config_loader.get_group_options(kind, ObjectType.CONFIG)
    auto = ["auto"] if KINDS[kind].auto is not None else []
    presets = [name.partition("/")[2] for name in builtin_presets() if name.startswith(f"{kind}/")]
    assert sorted(listed) == sorted(catalogue.current().names(kind) + auto + presets)
    assert kind in hydra.config_loader.list_groups("")


@pytest.mark.parametrize("options", rows_of(by_kind(own=True)), ids=lambda options: options[0][1])
def test_option_composes_its_parameters(options: tuple[tuple[str, str], ...], hydra: Any) -> None:
    config = compose("config", [choose(kind, name) for kind, name in options])
    for kind, name in options:
        assert_itself(kind, name, config)


@pytest.mark.slow
@pytest.mark.parametrize("options", rows_of(by_kind(own=False)), ids=lambda options: options[0][1])
def test_option_of_a_bridge_composes_its_parameters(options: tuple[tuple[str, str], ...], hydra: Any) -> None:
    config = compose("config", [choose(kind, name) for kind, name in options])
    for kind, name in options:
        assert_itself(kind, name, config)


def assert_itself(kind: str, name: str, config: Any) -> None:
    entry = catalogue.current().get(kind, name)
    node = config[kind][name] if KINDS[kind].many else config[kind]
    assert OmegaConf.to_container(node)[KEY] == name  # type: ignore[index,call-overload]
    assert list(node) == [KEY, *(p["name"] for p in entry["parameters"])]
    for p in entry["parameters"]:
        if p["required"]:
            assert OmegaConf.is_missing(node, p["name"])
        else:
            assert _plain(node[p["name"]]) == p["default"]
        if _core(p["type"]) in ("float", "int", "bool"):
            key = f"{kind}.{name}.{p['name']}" if KINDS[kind].many else f"{kind}.{p['name']}"
            with pytest.raises(HarnessError, match=f"^{key} "), plain_errors():
                put_overrides(parse([f"{key}=fast"]), config)


def _plain(value: Any) -> Any:
    return OmegaConf.to_container(value) if OmegaConf.is_config(value) else value


def _core(row: Any) -> Any:
    return _core(row["of"]) if isinstance(row, dict) and "of" in row else row


NUMBERS = [
    (entry["kind"], entry["name"], p["name"])
    for entry in catalogue.current()
    if entry["plugin"] == "harness"  # bridges make the same types, by rule
    for p in entry["parameters"]
    if _core(p["type"]) in ("float", "int", "bool")
]
FIRST = list({kind: (kind, name, parameter) for kind, name, parameter in reversed(NUMBERS)}.values())


@pytest.mark.parametrize(("kind", "name", "parameter"), FIRST, ids=str)
def test_numeric_setting_refuses_a_word(kind: str, name: str, parameter: str, hydra: Any) -> None:
    """Compose one setting of each kind in full; the others are tried on the composed option, above."""
    key = f"{kind}.{name}.{parameter}" if KINDS[kind].many else f"{kind}.{parameter}"
    with pytest.raises(HarnessError, match=f"^{key} "), plain_errors():
        compose("config", [choose(kind, name), f"{key}=fast"])


def test_numeric_settings_are_collected() -> None:
    assert len(NUMBERS) > 20


@pytest.mark.parametrize("order", [("l2", "dropout"), ("dropout", "l2"), ("l2",), ()])
def test_list_kinds_keep_the_chosen_order(order: tuple[str, ...], hydra: Any) -> None:
    config = compose("config", [choose("regularizer", *order)])
    assert list(config.regularizer) == list(order)


@pytest.mark.parametrize("kind", MANY)
def test_every_list_kind_can_be_empty(kind: str, hydra: Any) -> None:
    assert compose("config", [f"{kind}=[]"])[kind] == {}


def test_setting_of_a_list_entry_is_overridden_by_its_name(hydra: Any) -> None:
    config = compose("config", ["regularizer=[l2,dropout]", "regularizer.dropout.p=0.3"])
    assert config.regularizer.dropout.p == 0.3
    assert config.regularizer.l2[KEY] == "l2"


def test_composing_does_not_change_the_catalogue(hydra: Any) -> None:
    before = copy.deepcopy(catalogue.current().entries)
    config = compose("config", ["optimizer=adam", "optimizer.betas=[0.1,0.2]"])
    config.optimizer.betas[0] = 0.5
    assert catalogue.current().entries == before
    assert compose("config").optimizer.betas[0] != 0.5


def test_config_holds_every_setting_with_its_default(hydra: Any) -> None:
    config = compose("config")
    assert {p.name: config[p.name] for p in scalar_settings()} == {p.name: p.default for p in scalar_settings()}
    assert set(config.split) == {"seed", "val", "test", "stratify", "on_overlap"}
