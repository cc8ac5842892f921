"""Bridge to Lightning: its callbacks as components, made by inspection of the installed version.

Names are `lightning_` and the class's name in snake_case: ModelCheckpoint is `lightning_model_checkpoint`. Settings and
defaults are those of its signature, if they are plain data. `left_out()` returns the classes that are not components,
with the reasons.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Literal

from pytorch_lightning import Callback, callbacks
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from harness import HarnessError, one_line
from harness_components.bridges.signatures import LeftOut, described, setting
from harness_components.bridges.torch_words import meaning, sentence, snake

Component = Callable[..., Any]
REFERENCE = "Falcon et al., PyTorch Lightning, 2019: pytorch_lightning.callbacks."
MONITOR = "val/loss"  # the metric that every run has
NOT_SETTINGS = {"self", "verbose", "log_rank_zero_only"}  # what is printed is no setting of a run
# Callbacks, and bases of callbacks, that do a part of training which harness does itself; by name, since a version may
# lack some.
INSTEAD: dict[str, str] = {
    "ProgressBar": "harness draws the progress of runs itself",
    "ModelSummary": "harness show prints the layers of the model",
    "BatchSizeFinder": "it replaces the batches that harness makes: sweep over batch_size",
    "GradientAccumulationScheduler": "it changes steps that harness makes: set accumulate=",
    "LearningRateFinder": "it trains by itself: sweep over optimizer.lr",
    "StochasticWeightAveraging": "it replaces the schedule of harness: set regularizer=[weight_averaging]",
    "WeightAveraging": "it copies the training loop of harness: set regularizer=[weight_averaging]",
    "Timer": "set trainer.max_time",
    "BaseFinetuning": "its methods name layers of one model: a plugin subclasses it",
    "BasePredictionWriter": "harness makes no predictions while it trains: see harness.load_model",
    "LambdaCallback": "its settings are functions",
    "SpikeDetection": "it writes into the working folder",
}


def bridge() -> tuple[dict[str, Component], dict[str, str]]:
    """Return ({name: component}, {name: why it is left out}) for Lightning's callbacks."""
    components: dict[str, Component] = {}
    out: dict[str, str] = {}
    for class_name in callbacks.__all__:
        cls = getattr(callbacks, class_name)
        if cls in (Callback, Checkpoint):  # base classes
            continue
        name = snake(class_name, "lightning_")
        try:
            components[name] = _component(name, cls)
        except LeftOut as reason:
            out[name] = str(reason)
    return components, out


def left_out() -> dict[str, str]:
    """Return {callback/name: why} for every callback of Lightning that is not a component."""
    return {f"callback/{name}": why for name, why in _OUT.items()}


def _component(name: str, cls: type[Callback]) -> Component:
    if (why := next((INSTEAD[base.__name__] for base in cls.__mro__ if base.__name__ in INSTEAD), None)) is not None:
        raise LeftOut(why)
    settings = _settings(cls)

    def compute(**given: Any) -> Any:
        try:
            return cls(**given)
        except (ValueError, TypeError, ImportError, MisconfigurationException) as error:
            raise HarnessError(f"{name}: {one_line(error)}") from error

    path = f"pytorch_lightning.callbacks.{cls.__name__}"
    doc = f"{sentence(cls.__doc__ or '') or f'{path}, as it is in Lightning.'}\n\nThis is {path}.\n"
    return described("callback", name, __name__, compute, {}, settings, Callback, doc, REFERENCE + cls.__name__)


def _settings(cls: type[Callback]) -> list[inspect.Parameter]:
    settings = []
    for p in inspect.signature(cls.__init__, eval_str=True).parameters.values():
        if p.name in NOT_SETTINGS or p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            continue
        if p.name == "monitor" and p.default is p.empty:
            p = p.replace(default=MONITOR)
        hint = Literal["min", "max"] if p.name == "mode" else p.annotation
        if (converted := setting(p, hint, meaning(cls.__doc__ or "", p.name))) is not None:
            settings.append(converted)
    return settings


_MADE, _OUT = bridge()
globals().update(_MADE)
