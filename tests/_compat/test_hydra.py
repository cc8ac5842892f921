"""Tests of private APIs of Hydra: a failing test names the feature that breaks when the API changes."""

from __future__ import annotations

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException
from hydra.types import HydraContext
from omegaconf import OmegaConf

from harness._compat import hydra
from harness.config import composition

PARSER = OverridesParser.create()


def test_arguments_parser_reads_flags_and_overrides() -> None:
    arguments = hydra.arguments_parser().parse_args(["--multirun", "seed=0,1"])
    assert (arguments.multirun, arguments.overrides) == (True, ["seed=0,1"]), "no command line can be read"


def test_words_are_completed() -> None:
    with composition.hydra_session() as session:
        words = hydra.completed(session.config_loader, composition.CONFIG, "batch_si")
    assert words == ["batch_size="], "the shell completes no override"


def test_no_callbacks_fits_a_context_of_hydra() -> None:
    with composition.hydra_session() as session:
        context = HydraContext(config_loader=session.config_loader, callbacks=hydra.no_callbacks())
    started = context.callbacks.on_multirun_start(config=OmegaConf.create(), config_name=None)
    assert started is None, "no sweep starts"


def test_overrides_are_put_into_a_config() -> None:
    config = OmegaConf.create({"seed": 0, "model": {"width": 8}})
    OmegaConf.set_struct(config, True)
    hydra.put_overrides(PARSER.parse_overrides(["model.width=16"]), config)
    assert config.model.width == 16, "each job of a sweep must be composed anew"
    with pytest.raises(HydraException):
        hydra.put_overrides(PARSER.parse_overrides(["depth=2"]), config)


@pytest.mark.parametrize("number", ["0", "7", "120", "0.001", "1.50", "1e5", "1e-05", "2.5e-3"])
def test_override_with_another_number_is_as_parsed(number: str) -> None:
    text = f"optimizer.lr={number}"
    override, parsed = (
        hydra.with_number(PARSER.parse_override("optimizer.lr=0"), number, text),
        PARSER.parse_override(text),
    )
    assert override == parsed, "each value of a swept key must be parsed"
    assert type(override.value()) is type(parsed.value())
    assert override.get_value_string() == parsed.get_value_string()


def test_swept_values_keep_the_types_of_the_configs() -> None:
    override = PARSER.parse_override("name=1e5,[2,'a'],null")
    assert hydra.swept_values(override) == [1e5, [2, "a"], None], "a swept text turns into a number"


def test_value_text_follows_the_grammar_of_overrides() -> None:
    value = {"a": [QuotedString("1e5", Quote.single), 2]}
    assert hydra.value_text(value) == "{a:['1e5',2]}", "a text that looks like a number turns into one"
