"""Tests of private APIs of OmegaConf: a failing test names the feature that breaks when the API changes."""

from __future__ import annotations

import copy

import pytest
from omegaconf import OmegaConf

from harness._compat.omegaconf import TextNode


@pytest.mark.parametrize("value", [100000.0, 20240115, True, None])
def test_text_node_keeps_values_of_other_types(value: object) -> None:
    config = OmegaConf.create({"name": TextNode("a")})
    config.name = value
    for one in (config, copy.deepcopy(config)):
        assert one.name is value or one.name == value
        assert type(one.name) is type(value), "what was typed for a text can no longer be restored"


def test_text_node_is_a_string_to_interpolations() -> None:
    config = OmegaConf.create({"n": 2, "name": TextNode("a${n}")})
    assert config.name == "a2"
    with pytest.raises(ValueError, match="Cannot convert"):
        config.name = [1]
