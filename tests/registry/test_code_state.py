"""What the code of a component keeps is seen where it changes, and put back."""

from __future__ import annotations

import types
from typing import Any

import pytest
import torch

from harness.registry.code_state import CodeState

SOURCE = """
import array, collections, contextvars, functools
import numpy as np
import torch

def slotted():
    class Slot:
        __slots__ = ("value",)
    return Slot()

KEPT = {kept}

def component():
    {change}
"""
KINDS = {  # {what it is: (KEPT, how it changes)}
    "tensor": ("torch.zeros(1)", "KEPT.add_(1)"),
    "tensor that becomes nan": ("torch.zeros(1)", "KEPT.mul_(float('nan'))"),
    "numpy array": ("np.zeros(1)", "KEPT.__setitem__(0, 1.0)"),
    "array": ("array.array('d', [0.0])", "KEPT.__setitem__(0, 1.0)"),
    "bytearray": ("bytearray(b'a')", "KEPT.__setitem__(0, 98)"),
    "numpy's generator": ("np.random.default_rng(0)", "KEPT.random()"),
    "numpy's old generator": ("np.random.RandomState(0)", "KEPT.rand()"),
    "module of torch's": ("torch.nn.BatchNorm1d(1)", "KEPT.running_mean.add_(1)"),
    "context variable": ("contextvars.ContextVar('a', default=0)", "KEPT.set(KEPT.get() + 1)"),
    "object with slots": ("slotted()", "setattr(KEPT, 'value', 1)"),
    "list in a cache": ("functools.cache(lambda: [0])", "KEPT().append(1)"),
    "dictionary in a cache": ("functools.cache(lambda: {'a': 0})", "KEPT().update(a=1)"),
    "list in a bounded cache": ("functools.lru_cache(8)(lambda: [0])", "KEPT().append(1)"),
    "counter": ("collections.Counter()", "KEPT.update('a')"),
}


def made(kept: str, change: str) -> Any:
    module = types.ModuleType("some_plugin")
    exec(SOURCE.replace("{kept}", kept).replace("{change}", change), module.__dict__)
    return module


@pytest.mark.parametrize("kind", KINDS)
def test_state_of_each_kind_is_seen_and_put_back(kind: str) -> None:
    module = made(*KINDS[kind])
    if "cache" in kind:
        module.KEPT()  # it is there before
    code = CodeState(module.component)
    assert code.changed() == []
    module.component()
    assert code.changed() != []
    code.restore()
    assert code.changed() == []


def test_context_variable_without_a_value_is_seen() -> None:
    module = made("contextvars.ContextVar('a')", "KEPT.set(1)")
    code = CodeState(module.component)
    module.component()
    assert code.changed() == ["some_plugin.KEPT"]
    code.restore()  # it cannot be unset


def test_equal_tensors_are_the_same_where_they_are_nan() -> None:
    module = made("torch.full((1,), float('nan'))", "pass; KEPT")
    code = CodeState(module.component)
    module.component()
    assert code.changed() == []
    assert bool(torch.isnan(module.KEPT).all())
