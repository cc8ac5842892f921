"""Tests of the depth limit of JSON text."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.system import typed_json
from harness.system.typed_json import MAX_DEPTH, refuse_depth

TEXTS = st.text('"\\[]{}aé\n', max_size=5)
VALUES = st.recursive(TEXTS, lambda v: st.lists(v, max_size=3) | st.dictionaries(TEXTS, v, max_size=3), max_leaves=20)


def depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value
    return 1 + max(map(depth, inner), default=0) if isinstance(value, (dict, list)) else 0


def refused(text: str | bytes) -> bool:
    try:
        refuse_depth(text)
    except ValueError:
        return True
    return False


@given(VALUES, st.booleans())
def test_depth_is_independent_of_strings(value: Any, ascii_only: bool) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typed_json, "MAX_DEPTH", 3)
        patch.setattr(typed_json, "_FLAT_ROUNDS", 1)
        text = json.dumps(value, ensure_ascii=ascii_only)
        assert refused(text) == refused(text.encode()) == (depth(value) > 3)


def test_brackets_in_strings_hide_no_depth() -> None:
    many = 2 * MAX_DEPTH
    text = '["]",' * many + '"' + "[" * many + '"' + "]" * many
    assert depth(json.loads(text)) == many
    assert refused(text)


def test_many_brackets_in_a_row_are_not_deep() -> None:
    assert not refused(json.dumps([[{"a": []}]] * 5 * MAX_DEPTH))
