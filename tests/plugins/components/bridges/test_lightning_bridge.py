"""Tests of the bridge to the callbacks of Lightning."""

from __future__ import annotations

import inspect

import pytest
from pytorch_lightning import Callback, callbacks

from harness.registry.component import parameters
from harness.system.errors import HarnessError
from harness_components.bridges import lightning_bridge
from tests.plugins.components.helpers import make

MADE, OUT = lightning_bridge.bridge()


def test_every_callback_of_lightning_is_a_component_or_left_out_with_a_reason() -> None:
    names = {name for name in callbacks.__all__ if name not in ("Callback", "Checkpoint")}
    assert len(MADE) + len(OUT) == len(names)
    assert {"lightning_early_stopping", "lightning_model_checkpoint"} <= set(MADE)
    assert all(OUT.values())


@pytest.mark.parametrize("name", MADE)
def test_settings_have_the_defaults_of_the_class(name: str) -> None:
    made = make("callback", name)
    assert isinstance(made, Callback)
    theirs = inspect.signature(type(made).__init__).parameters
    for p in parameters(MADE[name]):
        assert p.default == theirs[p.name].default or (p.name, p.default) == ("monitor", lightning_bridge.MONITOR)


def test_a_refusal_of_lightning_is_one_line() -> None:
    with pytest.raises(HarnessError, match=r"lightning_model_checkpoint: .*save_top_k"):
        make("callback", "lightning_model_checkpoint", {"save_top_k": -2})
