"""The collection's optimizers as components; each is an attribute of this module under its name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytorch_optimizer as collection
from torch import Generator, nn
from torch.optim import Optimizer

from harness import one_line
from harness_components.bridges.signatures import LeftOut, described, refused
from harness_components.bridges.torch_words import sentence
from harness_pytorch_optimizer import PREFIX
from harness_pytorch_optimizer.chance import draws, seeded
from harness_pytorch_optimizer.reading import MATRICES, STEPS, closure, differentiates, matrices, settings

Component = Callable[..., Any]
REFERENCE = (
    "Kim, pytorch_optimizer: optimizer & lr scheduler & loss function collections in PyTorch, 2021, "
    "https://github.com/kozistr/pytorch_optimizer: "
)


def bridge(module: Any) -> tuple[dict[str, Component], dict[str, str]]:
    """Return ({name: component}, {name: why it is left out}) for the public optimizers of a module."""
    components: dict[str, Component] = {}
    out: dict[str, str] = {}
    for word in sorted({name for name in dir(module) if not name.startswith("_")}):
        cls = getattr(module, word, None)
        if not inspect.isclass(cls) or not issubclass(cls, Optimizer):
            continue
        name = PREFIX + cls.__name__.lower()
        try:
            components[name] = _component(name, cls)
        except LeftOut as reason:
            out[name] = str(reason)
        except Exception as error:  # an unusual class must not take the others with it
            out[name] = f"it cannot be read: {one_line(error)}"
    return components, out


def _component(name: str, cls: Any) -> Component:
    if cls.__module__.startswith("torch."):
        raise LeftOut(f"it is torch's own {cls.__name__}; harness list optimizer shows those as torch_*")
    parameters = settings(cls)
    if differentiates(cls):
        raise LeftOut("its step needs second derivatives: gradients made with create_graph=True, or a Hessian")
    evaluates, grouped = closure(cls), matrices(cls)
    asks: dict[str, Any] = {"params": list[nn.Parameter]}
    if STEPS in inspect.signature(cls.__init__).parameters:
        asks["total_steps"] = int
    if draws(cls):
        asks["generator"] = Generator

    def compute(*arguments: Any, **settings: Any) -> Any:
        offered = dict(zip(asks, arguments, strict=True))
        if "total_steps" in offered:
            settings[STEPS] = offered["total_steps"]

        def make() -> Optimizer:
            with refused(name):
                optimizer: Optimizer = cls(_groups(offered["params"]) if grouped else offered["params"], **settings)
            return optimizer

        return seeded(make, offered["generator"]) if "generator" in offered else make()

    path = f"pytorch_optimizer.{cls.__name__}"
    doc = (
        f"{sentence(cls.__doc__ or '') or f'{path}, as it is in the collection.'}\n\n"
        f"Computed by {path}; for details see\nhttps://pytorch-optimizers.readthedocs.io/\n"
    )
    if grouped:
        doc += "\nIt updates matrices and kernels; all other parameters are updated by AdamW (adamw_*).\n"
    traits = {"closure": True} if evaluates else {}
    return described("optimizer", name, __name__, compute, asks, parameters, Optimizer, doc, REFERENCE + path, **traits)


def _groups(params: list[nn.Parameter]) -> list[dict[str, Any]]:
    """Split parameters into matrices (and kernels) and others, marked as the collection requires."""
    groups = [{"params": [p for p in params if (p.ndim > 1) is kind], MATRICES: kind} for kind in (True, False)]
    return [group for group in groups if group["params"]]


_made, LEFT_OUT = bridge(collection)
globals().update(_made)
