"""Tests of the rule of components: the mark keeps the function, the signature gives settings, errors are refused."""

import enum
import json
import pickle
from types import SimpleNamespace
from typing import Annotated, Literal

import pytest
from annotated_types import Gt
from torch import Tensor

import harness
from harness.registry.component import REQUIRED, ComponentError, asks, describe, mark_of, marked, parameters, validate
from harness.space import Choice, Log


class Mode(enum.Enum):
    FAST = 1
    EXACT = 2


@harness.activation(reference="Someone, 1999", gain=2.0)
def bent(
    x: Tensor,
    *,
    slope: Annotated[float, Log(0.01, 1), Gt(0), "below zero"] = 0.1,
    mode: Annotated[Mode, Choice(Mode.FAST)] = Mode.FAST,
    modes: tuple[Mode, ...] = (Mode.FAST, Mode.EXACT),
    pair: tuple[float, float] = (0.9, 0.99),
    kind: Literal["a", "b"],
) -> Tensor:
    """Bends.

    f(x) = x.
    """
    return x * slope


@harness.activation
def plain(x):
    return x


@harness.optimizer
class Stepper:
    """An optimizer that is a class."""

    def __init__(self, params, total_steps, *, lr: float = 0.1) -> None:
        self.lr = lr


def test_mark_keeps_the_function():
    assert bent(2.0, kind="a") == 0.2
    assert pickle.loads(pickle.dumps(bent)) is bent
    assert mark_of(bent).kind == "activation"
    assert mark_of(bent).traits == {"gain": 2.0}
    assert mark_of(plain).name == "plain"
    assert mark_of(len) is None


def test_component_can_be_named():
    @harness.loss(name="huber_loss")
    def f(prediction, target):
        return prediction

    assert validate(f).name == "huber_loss"


def test_signature_gives_injected_arguments_and_settings():
    assert asks(bent) == ["x"]
    assert [p.name for p in parameters(bent)] == ["slope", "mode", "modes", "pair", "kind"]
    assert parameters(bent)[-1].default == REQUIRED
    assert [p.required for p in parameters(bent)] == [False] * 4 + [True]
    assert asks(Stepper) == ["params", "total_steps"]
    assert [(p.name, p.hint, p.default) for p in parameters(Stepper)] == [("lr", float, 0.1)]


def test_description_is_json():
    row = describe(bent)
    assert json.loads(json.dumps(row)) == row
    assert (row["kind"], row["name"], row["asks"]) == ("activation", "bent", ["x"])
    assert row["reference"] == "Someone, 1999"
    assert row["doc"].splitlines() == ["Bends.", "", "f(x) = x."]
    assert [p["default"] for p in row["parameters"]] == [0.1, "FAST", ["FAST", "EXACT"], [0.9, 0.99], REQUIRED]
    assert row["parameters"][1]["type"]["space"] == {"Choice": ["FAST"]}
    assert row["traits"] == {"gain": 2.0}


def test_trait_that_depends_on_settings_is_described_so():
    @harness.activation(gain=lambda slope: slope)
    def sloped(x, *, slope: float = 0.5):
        return x * slope

    assert describe(sloped)["traits"] == {"gain": "by its settings"}


def test_marked_returns_own_components_in_order():
    module = SimpleNamespace(__name__=__name__, b=plain, a=bent, other=len, number=3)
    stranger = SimpleNamespace(__name__="elsewhere", b=plain)
    assert marked(module) == [plain, bent]
    assert marked(stranger) == []


def refused():
    def several(x, *values):
        return x

    def hidden(x, **settings):
        return x

    def unknown(x, learning_rate):
        return x

    def typeless(x, *, slope=1):
        return x

    def dictionary(x, *, slope: dict[str, int]):
        return x

    def wrong(x, *, slope: Annotated[float, Gt(0)] = 0.0):
        return x

    def typo(x, *, slope: "flaot" = 0.0):  # noqa: F821
        return x

    def auto(x):
        return x

    def Camel(x):
        return x

    mark = harness.activation
    return {
        "not marked": auto,
        r"\*values hides its parameters": mark(several),
        r"\*settings hides its parameters": mark(hidden),
        "asks for 'learning_rate'; a activation may ask for x.*after a bare": mark(unknown),
        "asks for 'model'; a diagnostic may ask for nothing": harness.diagnostic(name="d")(lambda model: None),
        "parameter 'slope' has no type": mark(typeless),
        "parameter 'slope'.*not plain data": mark(dictionary),
        "parameter 'slope': must be > 0, got 0.0": mark(wrong),
        "name 'flaot' is not defined": mark(typo),
        "the name 'auto' is reserved": mark(name="auto")(lambda x: x),
        "lower case letters": mark(Camel),
        r"has no trait 'cost' \(it has gain, width_factor\)": mark(name="f", cost=1)(lambda x: x),
        r"has no trait 'cost' \(it has describe, reads\)": harness.data(name="f", cost=1)(lambda split: None),
    }


@pytest.mark.parametrize("message", refused())
def test_invalid_component_is_refused(message):
    with pytest.raises(ComponentError, match=message):
        validate(refused()[message])
