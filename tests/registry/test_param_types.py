"""Tests of parameter types: a hint, its JSON, and the values that it allows."""

import enum
import json
import math
from typing import Annotated, Any, Literal, Union

import annotated_types as at
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.registry.param_types import bounds_of, convert, decode, describe, doc_of, encode, space_of
from harness.space import Choice, Integers, Log, NonFinite, Uniform


class Color(enum.Enum):
    RED = 1
    BLUE = 2


SCALARS = {
    float: st.floats(-1e6, 1e6),
    int: st.integers(-(2**40), 2**40),
    str: st.text(max_size=5),
    bool: st.booleans(),
    type(None): st.none(),
}
LEAVES = [
    *SCALARS.items(),
    (Literal["auto", 3, True], st.sampled_from(["auto", 3, True])),
    (Annotated[float, at.Gt(0), at.Le(1), Log(1e-3, 1)], st.floats(1e-3, 1)),
    (Annotated[int, at.Ge(1), at.MultipleOf(3), "words"], st.integers(1, 99).map(lambda n: 3 * n)),
    (Annotated[str, at.MinLen(1), at.MaxLen(4)], st.text(min_size=1, max_size=4)),
    (Annotated[float, NonFinite()], st.floats(allow_nan=False)),
]


@st.composite
def hints_and_values(draw, depth=2):
    """Draw a hint and a value that it allows, of the hint's own type."""
    kinds = ["leaf", "list", "tuple", "many", "optional"] if depth else ["leaf"]
    kind = draw(st.sampled_from(kinds))
    if kind == "leaf":
        hint, values = draw(st.sampled_from(LEAVES))
        return hint, draw(values)
    if kind == "tuple":
        pairs = [draw(hints_and_values(depth=depth - 1)) for _ in range(draw(st.integers(1, 3)))]
        return tuple[tuple(h for h, _ in pairs)], tuple(v for _, v in pairs)
    hint, value = draw(hints_and_values(depth=depth - 1))
    if kind == "optional":
        return hint | None, draw(st.sampled_from([value, None]))
    count = draw(st.integers(0, 3))
    return (list[hint], [value] * count) if kind == "list" else (tuple[hint, ...], (value,) * count)


properties = settings(max_examples=150, deadline=None, derandomize=True)


@properties
@given(hints_and_values())
def test_hint_survives_json(pair):
    hint, _ = pair
    row = json.loads(json.dumps(encode(hint)))
    assert decode(row) == hint
    assert encode(decode(row)) == row
    assert describe(decode(row)) == describe(hint)


@properties
@given(hints_and_values())
def test_value_of_the_hints_type_is_kept(pair):
    hint, value = pair
    for known in (hint, decode(json.loads(json.dumps(encode(hint))))):
        assert repr(convert(known, value)) == repr(value)


@properties
@given(hints_and_values())
def test_value_survives_a_config_with_lists_only(pair):
    hint, value = pair
    plain = json.loads(json.dumps(value))
    once = convert(hint, plain)
    assert repr(once) == repr(value)
    assert repr(convert(hint, once)) == repr(once)


@properties
@given(
    hints_and_values(), st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.text()))
)
def test_any_value_is_kept_or_refused_with_a_reason(pair, value):
    hint, _ = pair
    try:
        result = convert(hint, value)
    except ValueError as error:
        message = str(error)
    else:
        message, value = "must be kept", result
    assert message.startswith("must ")
    assert message != "must be kept" or repr(convert(hint, value)) == repr(value)


@pytest.mark.parametrize(
    ("hint", "value", "expected"),
    [
        (float, 1, 1.0),
        (int | float, 1, 1),
        (float | int, 1, 1),
        (int | float, 1.0, 1.0),
        (float | None, None, None),
        (Literal[1, True], True, True),
        (tuple[float, ...], [1, 2.5], (1.0, 2.5)),
        (list[tuple[int, str]], [[1, "a"]], [(1, "a")]),
        (Annotated[int, at.Gt(0)] | Literal["auto"], "auto", "auto"),
        (Annotated[float | Literal["auto"], at.Gt(0)], "auto", "auto"),
        (Annotated[list[int] | None, at.MinLen(1)], None, None),
        (Annotated[list[int] | int, at.MinLen(1)], 3, 3),
        (Annotated[float, at.MultipleOf(0.1)], 0.3, 0.3),
        (Color, "RED", Color.RED),
        (Color, Color.BLUE, Color.BLUE),
    ],
)
def test_convert_returns_the_hints_type(hint, value, expected):
    result = convert(hint, value)
    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize(
    ("hint", "value", "expected"),
    [
        (float, "1", "a number, got '1'"),
        (float, True, "a number"),
        (int, 1.0, "a whole number, got 1.0"),
        (int, False, "a whole number"),
        (bool, 1, "true or false, got 1"),
        (str, None, "a string"),
        (float, math.nan, "a finite number, got nan"),
        (float, -math.inf, "a finite number, got -inf"),
        (float, 10**400, "a finite number"),
        (Annotated[float, at.Gt(0)], math.inf, "a finite number, got inf"),
        (Annotated[float, at.Gt(0)], 0, "> 0, got 0"),
        (Annotated[float, at.Interval(ge=0, lt=1)], 1, "< 1, got 1"),
        (Annotated[float, at.Ge(1), at.Ge(0)], 0.5, ">= 1, got 0.5"),
        (Annotated[float, at.Le(0), at.Le(1)], 0.5, "<= 0, got 0.5"),
        (Annotated[int, at.MultipleOf(4)], 6, "a multiple of 4, got 6"),
        (Annotated[float, at.MultipleOf(0.1)], 0.35, "a multiple of 0.1, got 0.35"),
        (Annotated[float | None, at.Gt(0)], -1, "> 0, got -1"),
        (Annotated[float, at.Gt(0)] | None, -1.0, "> 0, got -1.0"),
        (Annotated[list[int], at.Len(1, 2)], [], "at least 1"),
        (Annotated[list[int], at.Len(1, 2)], [1, 2, 3], "at most 2"),
        (tuple[float, float], [1], "2 values, got 1"),
        (tuple[float, float], 1, "2 values"),
        (tuple[Annotated[float, at.Gt(0)], ...], [1, -1], "> 0, got -1"),
        (list[int], "ab", "got 'ab'"),
        (Literal["a", "b"], "c", "one of a, b, got 'c'"),
        (Literal[1], True, "must be"),
        (int | None, "x", "a whole number or null, got 'x'"),
        (Color, "GREEN", "one of RED, BLUE, got 'GREEN'"),
    ],
)
def test_convert_refuses_other_values(hint, value, expected):
    with pytest.raises(ValueError, match=r"^must (be|have) .*got ") as caught:
        convert(hint, value)
    assert expected in str(caught.value)


def test_grouped_bounds_are_expanded():
    hint = Annotated[list[Annotated[float, at.Interval(gt=0, le=1)]], at.Len(1, 4)]
    assert bounds_of(hint.__metadata__) == {"min_length": 1, "max_length": 4}
    assert encode(hint)["of"]["list"]["bounds"] == {"gt": 0, "le": 1}


@pytest.mark.parametrize(
    "hint", [list, tuple, dict[str, int], object, bytes, Literal[b"x"], Literal[Color.RED], set[int]]
)
def test_hint_that_is_not_plain_data_has_no_json(hint):
    with pytest.raises(TypeError, match="is not plain data"):
        encode(hint)


@pytest.mark.parametrize("hint", [list[int] | int, Union[tuple[float, ...], Annotated[float, at.Gt(0)], None]])  # noqa: UP007
def test_union_of_a_list_and_another_type_is_refused(hint: Any) -> None:
    """Hydra cannot compose such an option, so the component is refused when it is made."""
    with pytest.raises(TypeError, match="mixes a list with another type"):
        encode(hint)
    assert encode(list[int] | None) == {"union": [{"list": "int"}, "None"]}


def test_enum_survives_json_by_its_names():
    back = decode(json.loads(json.dumps(encode(Annotated[Color, Choice(Color.RED), "which"]))))
    assert convert(back, "BLUE").name == "BLUE"
    assert space_of(back) == Choice("RED")
    with pytest.raises(ValueError, match="one of RED, BLUE"):
        convert(back, "GREEN")


@pytest.mark.parametrize(
    "space", [Uniform(0, 0.5), Log(1e-5, 1), Integers(1, 9), Integers(1, 9, log=True), Choice((0.9, 0.99), (0.5, 0.5))]
)
def test_spaces_and_docs_survive_json(space):
    hint = Annotated[tuple[float, ...] | None, at.Ge(0), space, "words"]
    back = decode(json.loads(json.dumps(encode(hint))))
    assert space_of(back) == space
    assert doc_of(back) == "words"
    assert bounds_of(back.__metadata__) == {"ge": 0}
    assert hash(back) == hash(hint)


def test_plain_hint_has_no_space_and_no_doc():
    assert space_of(float) is None
    assert doc_of(float) == ""


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        (Annotated[int, at.Ge(1), at.MultipleOf(2)], "a whole number >= 1, multiple of 2"),
        (bool | None, "true or false or null"),
        (Literal["a", 2], "one of a, 2"),
        (Color, "one of RED, BLUE"),
    ],
)
def test_describe_names_type_and_bounds(hint, words):
    assert describe(hint) == words
