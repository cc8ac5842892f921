"""A bridge to torch: its activations, losses and optimizers by name, made by inspection of the torch that is installed.

`torch_` and the class's name in snake_case, without `Loss`: torch.nn.Hardswish is `torch_hardswish`. Settings and
defaults are those of its signature. No name is written here: a class that a later torch brings is there by itself, and
`left_out()` tells of every class that is not a component, and by which rule.
"""

from __future__ import annotations

import functools
import inspect
import re
import types
import warnings
from collections.abc import Callable
from typing import Any, Literal, Union, get_args, get_origin

import torch
from torch import Tensor, nn
from torch.nn import init
from torch.nn.modules import activation as _activations
from torch.nn.modules import loss as _losses
from torch.optim import Optimizer

from harness import HarnessError, one_line, use_threads
from harness_components.bridges.signatures import LeftOut, described, setting
from harness_components.bridges.torch_words import meaning, options, sentence, snake

Component = Callable[..., Any]
FROM = (("activation", _activations), ("loss", _losses), ("optimizer", torch.optim))
# How torch computes, and not what; a sum or no reduction is no mean over the batch, and a run is never to maximize.
NOT_SETTINGS = {"self", "params", "inplace", "reduction", "capturable", "differentiable", "maximize"}
REFERENCE = "Paszke et al., PyTorch: an imperative style, high-performance deep learning library, NeurIPS 2019: "
# What an optimizer says that takes not every parameter of a model, each with a dense gradient.
_PARTIAL = re.compile(r"does not support dense|only supports \dD")


def bridge(kind: str, module: types.ModuleType) -> tuple[dict[str, Component], dict[str, str]]:
    """({name: component}, {name: why it is left out}) of the public classes of one of torch's modules."""
    base = Optimizer if kind == "optimizer" else nn.Module
    make: Callable[[Any], Component] = {"activation": _activation, "loss": _loss, "optimizer": _optimizer}[kind]
    components: dict[str, Component] = {}
    out: dict[str, str] = {}
    for name in module.__all__:
        cls = getattr(module, name, None)
        if not inspect.isclass(cls) or not issubclass(cls, base) or cls is base:
            continue
        try:
            if deprecated := vars(cls).get("__deprecated__"):
                raise LeftOut(str(deprecated))
            components[snake(name)] = make(cls)
        except LeftOut as reason:
            out[snake(name)] = str(reason)
        except Exception as error:  # a class of a torch to come that is unlike all others takes no one else with it
            out[snake(name)] = f"it cannot be read: {one_line(error)}"
    return components, out


def left_out() -> dict[str, str]:
    """{kind/name: why} of every class of torch that is no component here."""
    return dict(_OUT)


def _activation(cls: Any) -> Component:
    """By its code: a forward that reads `dim` is not element-wise, one that reads `training` is two functions."""
    _check(cls, 1, "an activation is a function of x alone")
    reads = inspect.unwrap(cls.forward).__code__.co_names
    if "dim" in reads:
        raise LeftOut("it is not element-wise")
    if "training" in reads:
        raise LeftOut("it is another function in training, and an activation is not told whether a model trains")
    settings = _settings(cls)

    def compute(x: Tensor, **given: Any) -> Any:
        return _module(cls, tuple(given.items())).forward(x)

    gain = _gain(snake(cls.__name__, prefix=""), settings)
    return _made("activation", cls, compute, {"x": Tensor}, settings, Tensor, {} if gain is None else {"gain": gain})


def _loss(cls: Any) -> Component:
    _check(cls, 2, "a loss is a function of prediction and target")
    settings = _settings(cls)
    if needed := [p.name for p in settings if p.default is p.empty]:
        raise LeftOut(f"it needs {', '.join(needed)}, without which it cannot be tried")
    tasks = _tasks(cls())

    def compute(prediction: Tensor, target: Tensor, **given: Any) -> Any:
        return _module(cls, tuple(given.items())).forward(prediction, target)

    return _made("loss", cls, compute, {"prediction": Tensor, "target": Tensor}, settings, Tensor, {"tasks": tasks})


def _optimizer(cls: type[Optimizer]) -> Component:
    """By its code alone: to try an optimizer takes torch's compiler, whose import costs more than all of this."""
    if needed := _needed(cls.step):
        raise LeftOut(f"its step needs a {' and a '.join(needed)}")
    codes = [inspect.unwrap(method).__code__ for method in (cls.__init__, cls.step)]
    for said in (text for code in codes for text in code.co_consts):
        if isinstance(said, str) and _PARTIAL.search(said):
            raise LeftOut(f"in torch's words: {said}")

    def compute(params: list[nn.Parameter], **given: Any) -> Any:
        return _called(cls, params, **given)

    return _made("optimizer", cls, compute, {"params": list[nn.Parameter]}, _settings(cls), Optimizer, {})


def _made(
    kind: str,
    cls: type,
    compute: Component,
    asks: dict[str, Any],
    settings: list[inspect.Parameter],
    returns: Any,
    traits: dict[str, Any],
) -> Component:
    """The function with the signature that a hand would have written, under the class's name."""
    path = f"torch.{'optim' if kind == 'optimizer' else 'nn'}.{cls.__name__}"
    doc = (
        f"{sentence(cls.__doc__ or '') or f'{path}, as it is in torch.'}\n\n"
        f"Computed by {path}; its formula stands at\nhttps://docs.pytorch.org/docs/stable/generated/{path}.html\n"
    )
    name = snake(cls.__name__)
    return described(kind, name, __name__, compute, asks, settings, returns, doc, REFERENCE + path, **traits)


def _settings(cls: Any) -> list[inspect.Parameter]:
    """What of a class's signature is plain data. A default of None leaves the choice to torch, and is no setting."""
    found = []
    for p in inspect.signature(cls.__init__, eval_str=True).parameters.values():
        if p.name in NOT_SETTINGS or p.default is None or p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            continue
        hint, doc = _plain(type(p.default) if p.annotation is p.empty else p.annotation), cls.__doc__ or ""
        if hint is str and p.default in (words := options(doc, p.name)):
            hint = Literal[words]
        if (made := setting(p, hint, meaning(doc, p.name))) is not None:
            found.append(made)
    return found


def _plain(hint: Any) -> Any:
    """A hint without the tensors that may stand for numbers: of `float | Tensor` the float."""
    arguments = tuple(_plain(a) for a in get_args(hint) if a is not Tensor)
    if get_origin(hint) in (Union, types.UnionType):
        return Union[arguments]  # noqa: UP007  # from a list
    return types.GenericAlias(tuple, arguments) if get_origin(hint) is tuple else hint


def _check(cls: type[nn.Module], inputs: int, is_what: str) -> None:
    """Refuses what takes another number of inputs, or has a state: torch's way is that it asks for its `device`."""
    taken = _needed(cls.forward)
    if len(taken) != inputs:
        raise LeftOut(f"it takes {', '.join(taken)}: {is_what}")
    if "device" in inspect.unwrap(cls.__init__).__code__.co_varnames:
        raise LeftOut(f"it has parameters of its own: {is_what}")


def _needed(method: Callable[..., Any]) -> tuple[str, ...]:
    """The positional arguments of a method that have no default; `inspect.signature` takes ten times as long."""
    function = inspect.unwrap(method)
    code = function.__code__
    return code.co_varnames[1 : code.co_argcount - len(function.__defaults__ or ())]


def _called(cls: type, *given: Any, **settings: Any) -> Any:
    """One of torch's classes, its refusal of a setting told as one of harness."""
    try:
        return cls(*given, **settings)
    except (ValueError, AssertionError) as error:
        raise HarnessError(f"{snake(cls.__name__)}: {error}") from error


@functools.lru_cache(256)
def _module(cls: Any, settings: tuple[tuple[str, Any], ...]) -> nn.Module:
    """A module without a state of its own: one serves all, for to make one takes longer than what it computes."""
    made: nn.Module = _called(cls, **dict(settings))
    return made


def _number(*rows: list[float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64, device="cpu")


def _tried(module: nn.Module, *inputs: Tensor) -> Tensor | None:
    """What a module makes of the inputs, or None where it refuses them."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        try:
            made: Tensor = module.forward(*inputs)
        except (RuntimeError, ValueError, TypeError, IndexError):
            return None
    return made


def _tasks(module: nn.Module) -> tuple[str, ...]:
    """What a loss is for, by what it makes of right and wrong predictions of the targets that a task has."""
    real, other = _number([0.5, -2.0], [3.0, 0.1]), _number([0.2, 1.0], [-1.0, 0.4])
    right, wrong = _tried(module, real, real), _tried(module, other, real)
    if right is not None and wrong is not None and wrong.shape == () and right == 0 < wrong:
        return ("regression", "reconstruction")
    classes = torch.tensor([0, 1, 2, 0], device="cpu")
    sure = _number([1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0])
    right, wrong = _tried(module, 9 * sure, classes), _tried(module, -9 * sure, classes)
    if right is None or wrong is None or wrong.shape != () or not right < wrong:
        raise LeftOut("its targets are neither real values nor classes")
    if (soft := _tried(module, 9 * sure, sure)) is None or not torch.isclose(soft, right) or right < 0:
        raise LeftOut("it takes classes, but no probabilities of classes (label smoothing, mixup) beside logits")
    return ("classification", "one_shot")


def _gain(nonlinearity: str, settings: list[inspect.Parameter]) -> Any:
    """What torch.nn.init knows of an activation; None where it knows nothing."""
    try:
        known = init.calculate_gain(nonlinearity)  # type: ignore[arg-type]
    except ValueError:
        return None
    if not settings:
        return float(known)
    return lambda **given: float(init.calculate_gain(nonlinearity, given[settings[0].name]))  # type: ignore[arg-type]


_OUT: dict[str, str] = {}

with use_threads(1):  # a pool of threads, once started by an import, would hang every worker forked from the process
    for _kind, _torch in FROM:
        _made_of_it, _left_out = bridge(_kind, _torch)
        globals().update(_made_of_it)
        _OUT.update({f"{_kind}/{_name}": _why for _name, _why in _left_out.items()})
