"""Bridge to torch: its activations, losses and optimizers as components, made by inspection of the installed version.

Names are `torch_` and the class's name in snake_case, without `Loss`: torch.nn.Hardswish is `torch_hardswish`. Settings
and defaults are those of its signature. No class is listed here, so that those of a later torch are included;
`left_out()` returns the classes that are not components, with the reasons.
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
# Settings of how torch computes; reductions, because losses are means over the batch; maximize, because runs minimize
NOT_SETTINGS = {"self", "params", "inplace", "reduction", "capturable", "differentiable", "maximize"}
REFERENCE = "Paszke et al., PyTorch: an imperative style, high-performance deep learning library, NeurIPS 2019: "
# Messages of optimizers that do not take every parameter of a model with a dense gradient
_PARTIAL = re.compile(r"does not support dense|only supports \dD")


def bridge(kind: str, module: types.ModuleType) -> tuple[dict[str, Component], dict[str, str]]:
    """Return ({name: component}, {name: why it is left out}) for the public classes of one of torch's modules."""
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
        except Exception as error:  # an unusual class of a later torch must not take the others with it
            out[snake(name)] = f"it cannot be read: {one_line(error)}"
    return components, out


def left_out() -> dict[str, str]:
    """Return {kind/name: why} for every class of torch that is not a component."""
    return dict(_OUT)


def _activation(cls: Any) -> Component:
    """Convert a class, judged by its code: a forward that reads `dim` is not element-wise."""
    _check(cls, 1, "an activation is a function of x alone")
    reads = inspect.unwrap(cls.forward).__code__.co_names
    if "dim" in reads:
        raise LeftOut("it is not element-wise")
    if "training" in reads:
        raise LeftOut("it behaves differently in training, which an activation function does not know of")
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
    """Convert a class, judged by its code alone: running an optimizer would import torch's compiler, which is slow."""
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
    """Return the component of a class, with an explicit signature and its name."""
    path = f"torch.{'optim' if kind == 'optimizer' else 'nn'}.{cls.__name__}"
    doc = (
        f"{sentence(cls.__doc__ or '') or f'{path}, as it is in torch.'}\n\n"
        f"Computed by {path}; for its formula see\nhttps://docs.pytorch.org/docs/stable/generated/{path}.html\n"
    )
    name = snake(cls.__name__)
    return described(kind, name, __name__, compute, asks, settings, returns, doc, REFERENCE + path, **traits)


def _settings(cls: Any) -> list[inspect.Parameter]:
    """Return the parameters of a class that are plain data; those with the default None are left to torch."""
    settings = []
    for p in inspect.signature(cls.__init__, eval_str=True).parameters.values():
        if p.name in NOT_SETTINGS or p.default is None or p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            continue
        hint, doc = _plain(type(p.default) if p.annotation is p.empty else p.annotation), cls.__doc__ or ""
        if hint is str and p.default in (words := options(doc, p.name)):
            hint = Literal[words]
        if (converted := setting(p, hint, meaning(doc, p.name))) is not None:
            settings.append(converted)
    return settings


def _plain(hint: Any) -> Any:
    """Remove tensors that may stand for numbers from a hint: `float | Tensor` becomes float."""
    arguments = tuple(_plain(a) for a in get_args(hint) if a is not Tensor)
    if get_origin(hint) in (Union, types.UnionType):
        return Union[arguments]  # noqa: UP007  # from a list
    return types.GenericAlias(tuple, arguments) if get_origin(hint) is tuple else hint


def _check(cls: type[nn.Module], inputs: int, is_what: str) -> None:
    """Raise LeftOut for another number of inputs, or for a state, which a parameter `device` reveals."""
    taken = _needed(cls.forward)
    if len(taken) != inputs:
        raise LeftOut(f"it takes {', '.join(taken)}: {is_what}")
    if "device" in inspect.unwrap(cls.__init__).__code__.co_varnames:
        raise LeftOut(f"it has parameters of its own: {is_what}")


def _needed(method: Callable[..., Any]) -> tuple[str, ...]:
    """Return the positional arguments of a method without a default; `inspect.signature` takes ten times as long."""
    function = inspect.unwrap(method)
    code = function.__code__
    return code.co_varnames[1 : code.co_argcount - len(function.__defaults__ or ())]


def _called(cls: type, *given: Any, **settings: Any) -> Any:
    """Construct one of torch's classes; convert its refusal of a setting to HarnessError."""
    try:
        return cls(*given, **settings)
    except (ValueError, AssertionError) as error:
        raise HarnessError(f"{snake(cls.__name__)}: {error}") from error


@functools.lru_cache(256)
def _module(cls: Any, settings: tuple[tuple[str, Any], ...]) -> nn.Module:
    """Return a shared module without state: constructing one takes longer than computing with it."""
    made: nn.Module = _called(cls, **dict(settings))
    return made


def _number(*rows: list[float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64, device="cpu")


def _tried(module: nn.Module, *inputs: Tensor) -> Tensor | None:
    """Return the output of a module, or None if it refuses the inputs."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        try:
            made: Tensor = module.forward(*inputs)
        except (RuntimeError, ValueError, TypeError, IndexError):
            return None
    return made


def _tasks(module: nn.Module) -> tuple[str, ...]:
    """Return the tasks of a loss, judged by its values for right and wrong predictions of each kind of target."""
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
    """Return the gain that torch.nn.init knows for an activation, or None."""
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
