"""Tests of the JSON Schema of the config: it accepts what composes, and refuses what harness refuses."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import jsonschema
import pytest

from harness.cli import main
from harness.config.composition import compose, conf_dir
from harness.config.json_schema import config_schema
from harness.config.settings import scalar_settings
from harness.registry import catalogue
from harness.registry.catalogue import entry_parameters
from harness.registry.kinds import KINDS
from harness.registry.param_types import space_of

SINGLE = ("optimizer", "activation", "initializer", "scheduler", "normalization")
LISTS = ("regularizer", "metric", "transform", "augmentation")


@cache
def validator() -> Any:
    schema = config_schema(catalogue.current())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def entries(kind: str) -> dict[str, Any]:
    known = catalogue.current().entries[kind].items()
    return {name: e for name, e in known if all(not p.required for p in entry_parameters(e))}


def drawn(draw: Random) -> list[str]:
    """Return overrides that choose components and draw some of their settings."""
    words = [f"seed={draw.randrange(100)}", f"epochs={draw.randint(1, 9)}"]
    for kind in (*SINGLE, *LISTS):
        name = draw.choice(sorted(entries(kind)))
        words.append(f"{kind}=[{name}]" if KINDS[kind].many else f"{kind}={name}")
        path = f"{kind}.{name}" if KINDS[kind].many else kind
        for p in entry_parameters(entries(kind)[name]):
            space = space_of(p.hint)
            if space is not None and draw.random() < 0.5:
                value = space.sample(draw)
                if isinstance(value, (bool, int, float)):
                    words.append(f"{path}.{p.name}={str(value).lower() if isinstance(value, bool) else value!r}")
    return words


COUNTS = [10, pytest.param(200, marks=pytest.mark.slow)]  # Hydra takes a fifth of a second for each


@pytest.mark.parametrize("count", COUNTS)
def test_composed_configs_are_valid(count: int) -> None:
    draw = Random(0)
    for _ in range(count):
        words = drawn(draw)
        errors = [error.message for error in validator().iter_errors(compose(words).values)]
        assert errors == [], words


@pytest.mark.parametrize("count", COUNTS)
def test_what_harness_refuses_is_refused(count: int) -> None:
    """Values out of bounds, of another type, and unknown keys."""
    draw, seen = Random(1), 0
    while seen < count:
        kind = draw.choice(SINGLE)
        name = draw.choice(sorted(entries(kind)))
        parameters = entry_parameters(entries(kind)[name])
        wrong: list[tuple[str, Any]] = [("no_such_setting", 1)]
        wrong += [(p.name, "a word") for p in parameters if isinstance(p.default, (bool, int, float))]
        wrong += [(p.name, -1e30) for p in parameters if type(p.default) is float]
        key, value = draw.choice(wrong)
        try:
            compose(
                [
                    f"{kind}={name}",
                    f"+{kind}.{key}={value!r}" if key == "no_such_setting" else f"{kind}.{key}={value!r}",
                ]
            )
            continue  # a number without a bound, for example
        except Exception:  # Hydra's own errors too
            seen += 1
        config = compose([f"{kind}={name}"]).values
        changed = json.loads(json.dumps(config, default=str))
        changed[kind][key] = value
        assert not validator().is_valid(changed), (kind, name, key, value)


@pytest.mark.parametrize("path", sorted((conf_dir() / "experiment").glob("*.yaml")), ids=lambda path: path.stem)
def test_experiment_files_are_valid(path: Path) -> None:
    from omegaconf import OmegaConf

    assert validator().is_valid(OmegaConf.to_container(OmegaConf.load(path), resolve=False))


def test_settings_have_their_bounds_and_descriptions() -> None:
    properties = validator().schema["properties"]
    assert {p.name for p in scalar_settings()} <= set(properties)
    assert properties["epochs"]["anyOf"][0] == {"type": "integer", "minimum": 1}
    assert "passes over" in properties["epochs"]["description"]
    assert not validator().is_valid({"epochs": 0})
    assert validator().is_valid({"split": {"seed": "${seed}"}})
    assert not validator().is_valid({"epoch": 3})


def test_schema_is_printed_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["schema"])
    assert stop.value.code == 0
    printed = capsys.readouterr().out
    with pytest.raises(SystemExit) as stop:
        main(["schema", "--to", str(tmp_path / "config.json")])
    assert stop.value.code == 0
    assert (tmp_path / "config.json").read_text() == printed
    with pytest.raises(SystemExit) as stop:
        main(["schema", "--to", str(tmp_path / "missing" / "config.json")])
    assert stop.value.code == 2
    assert capsys.readouterr().err.startswith("harness: error: cannot write ")
