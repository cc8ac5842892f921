"""Choices that a model has no use for: refused where somebody made them, left out where they are only the defaults."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from omegaconf import OmegaConf

from harness.config.schema import default_node
from harness.modeling.regularizer import Regularizer, acts_on
from harness.registry.catalogue import Catalogue
from harness.registry.kinds import KEY, KINDS, NONE
from harness.registry.presets import conf_dir
from harness.system.errors import HarnessError, shown

Choice = tuple[str, str]  # (kind, name), or (setting, "")

# An estimator is fitted at once: nothing of these is made, and there are no steps.
OF_TRAINING = ("activation", "normalization", "initializer", "optimizer", "scheduler", "regularizer", "augmentation")
OF_STEPS = {"epochs": 1, "batch_size": 64, "accumulate": 1, "warmup": 0.0}  # what these are where there are none
IN_NETWORKS = ("activation", "normalization", "initializer", "regularizer")


@dataclass
class ComponentUse:
    """The components that a network took while it was built: it may have no place for some that were chosen."""

    taken: set[Choice] = field(default_factory=set)
    _made: list[tuple[Any, Choice]] = field(default_factory=list, repr=False)

    def noting(self, kind: str, name: str, make: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, which notes when it has made something."""

        def noted(*args: Any) -> Any:
            made = make(*args)
            if made is not None:
                self.taken.add((kind, name))
                self._made.append((made, (kind, name)))
            return made

        return noted

    def maker(self, module: Any) -> Choice | None:
        """Return the component that made a module; None for one of the model's own."""
        return next((choice for made, choice in self._made if made is module), None)

    def note(self, regularizers: dict[str, Regularizer]) -> None:
        """Note those regularizers that act beside the network's layers."""
        for name, regularizer in regularizers.items():
            if acts_on(regularizer) - {"layer", "branch"}:
                self.taken.add(("regularizer", name))


def unused(values: dict[str, Any], taken: Iterable[Choice]) -> list[Choice]:
    """The chosen components of a network that it has no place for."""
    chosen = [(kind, node[KEY]) for kind in IN_NETWORKS for node in _nodes(values, kind)]
    return [choice for choice in chosen if choice[1] != NONE and choice not in set(taken)]


def of_estimator(values: dict[str, Any]) -> list[Choice]:
    """Everything in a config that an estimator has no use for."""
    kinds = [(kind, node[KEY]) for kind in OF_TRAINING for node in _nodes(values, kind) if node[KEY] != NONE]
    return [*kinds, *((setting, "") for setting in OF_STEPS)]


def _nodes(values: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return list(values[kind].values()) if KINDS[kind].many else [values[kind]]


def left_out(values: dict[str, Any], choices: Sequence[Choice]) -> dict[str, Any]:
    """The values without these choices: `none` of a kind, as it is where there are no steps of a setting."""
    out = dict(values)
    for kind, name in choices:
        if not name:
            out[kind] = OF_STEPS[kind]
        elif KINDS[kind].many:
            out[kind] = {other: node for other, node in out[kind].items() if other != name}
        else:
            out[kind] = {KEY: NONE}
    return out


def refuse_chosen(
    values: dict[str, Any], choices: Sequence[Choice], overrides: Iterable[str], catalogue: Catalogue
) -> None:
    """Raise HarnessError if somebody made one of these choices, on the command line or in a preset."""
    typed = {key_of(text) for text in overrides}
    made = [
        c for c in choices if (c[0] in typed and values[c[0]] != OF_STEPS.get(c[0])) or _differs(values, *c, catalogue)
    ]
    if not made:
        return
    model = values["model"][KEY]
    words = ", ".join(_as_typed(values, *choice) for choice in dict.fromkeys(made))
    row = catalogue.get("model", model)
    if row["traits"].get("estimator"):
        raise HarnessError(f"model {model} is fitted at once, in no steps: it cannot use {words}. Leave this out")
    task = values["task"][KEY]
    others = [n for n in catalogue.names("model") if "block" in catalogue.get("model", n)["asks"] and n != model]
    fit = [n for n in others if catalogue.serves(catalogue.get("model", n)["traits"].get("tasks"), task)]
    instead = f", or choose a model that asks for block ({', '.join(fit)})" if fit else ""
    if {kind for kind, _ in made} == {"initializer"}:
        raise HarnessError(f"model {model} has no weights for {words} to fill. Leave this out")
    if "block" in row["asks"]:
        raise HarnessError(f"model {model}, as it is set, has no place for {words}. Leave this out, or change model.*")
    raise HarnessError(f"model {model} does not ask for block: it has no place for {words}. Leave this out{instead}")


def _differs(values: dict[str, Any], kind: str, name: str, catalogue: Catalogue) -> bool:
    """Whether a component is none of the default choices; of settings, only what is typed is somebody's choice."""
    if not name:
        return False
    if KINDS[kind].many:
        return True
    return bool(values[kind] != default_node(catalogue, kind, default_choice(kind)))


def default_choice(kind: str) -> str:
    """The component of a kind that is chosen where nobody chooses; what `auto` usually stands for where that is it."""
    name = _defaults()[kind]
    return (KINDS[kind].auto or name) if name == "auto" else name


@functools.cache
def _defaults() -> dict[str, Any]:
    rows: Any = OmegaConf.to_container(OmegaConf.load(conf_dir() / "config.yaml"))
    return {kind: name for row in rows["defaults"] if isinstance(row, dict) for kind, name in row.items()}


def _as_typed(values: dict[str, Any], kind: str, name: str) -> str:
    if not name:
        return f"{kind}={shown(values[kind])}"
    return f"{kind}=[{name}]" if KINDS[kind].many else f"{kind}={name}"


def key_of(override: str) -> str:
    """The first word of an override's key.

    >>> key_of("optimizer.lr=0.1"), key_of("++epochs=2")
    ('optimizer', 'epochs')
    """
    return override.lstrip("+~").partition("=")[0].partition("@")[0].partition(".")[0]
