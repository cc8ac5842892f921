"""Find the components that a model does not use: refuse them if the user chose them, drop them if they are defaults."""

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

# An estimator is fitted at once: it uses none of these kinds, and has no steps.
OF_TRAINING = (
    "activation", "normalization", "initializer", "optimizer", "scheduler", "regularizer", "augmentation", "callback",
)  # fmt: skip
OF_STEPS = {"epochs": 1, "batch_size": 64, "accumulate": 1, "warmup": 0.0}  # values in the record of an estimator
IN_NETWORKS = ("activation", "normalization", "initializer", "regularizer")


@dataclass
class ComponentUse:
    """The components that a network used while it was built, which may not be all that are chosen."""

    taken: set[Choice] = field(default_factory=set)
    _modules: list[tuple[Any, Choice]] = field(default_factory=list, repr=False)

    def tracked(self, kind: str, name: str, make: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap a factory such that its component counts as used when it returns a module."""

        def make_tracked(*args: Any) -> Any:
            module = make(*args)
            if module is not None:
                self.taken.add((kind, name))
                self._modules.append((module, (kind, name)))
            return module

        return make_tracked

    def maker(self, module: Any) -> Choice | None:
        """Return the component that made a module; None for one of the model's own."""
        return next((choice for known, choice in self._modules if known is module), None)

    def add_regularizers(self, regularizers: dict[str, Regularizer]) -> None:
        """Count the regularizers as used that act by other hooks than layers of the network."""
        for name, regularizer in regularizers.items():
            if acts_on(regularizer) - {"layer", "branch"}:
                self.taken.add(("regularizer", name))


def unused(values: dict[str, Any], taken: Iterable[Choice]) -> list[Choice]:
    """Return the chosen components that a network does not use.

    Args:
        values: The resolved config.
        taken: The components that it uses.
    """
    chosen = [(kind, node[KEY]) for kind in IN_NETWORKS for node in _nodes(values, kind)]
    return [choice for choice in chosen if choice[1] != NONE and choice not in set(taken)]


def unused_by_estimator(values: dict[str, Any]) -> list[Choice]:
    """Return the components and settings of a config that an estimator does not use."""
    kinds = [(kind, node[KEY]) for kind in OF_TRAINING for node in _nodes(values, kind) if node[KEY] != NONE]
    return [*kinds, *((setting, "") for setting in OF_STEPS)]


def _nodes(values: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return list(values[kind].values()) if KINDS[kind].many else [values[kind]]


def drop_choices(values: dict[str, Any], choices: Sequence[Choice]) -> dict[str, Any]:
    """Return a config without some choices: a kind becomes `none`, a setting gets its value for estimators."""
    reduced = dict(values)
    for kind, name in choices:
        if not name:
            reduced[kind] = OF_STEPS[kind]
        elif KINDS[kind].many:
            reduced[kind] = {other: node for other, node in reduced[kind].items() if other != name}
        else:
            reduced[kind] = {KEY: NONE}
    return reduced


def refuse_chosen(
    values: dict[str, Any], choices: Sequence[Choice], overrides: Iterable[str], catalogue: Catalogue
) -> None:
    """Refuse unused components and settings that the user chose on the command line or in a preset.

    Args:
        values: The resolved config.
        choices: Components and settings that the model does not use.
        overrides: The overrides of the run.
        catalogue: The installed components.

    Raises:
        HarnessError: If one of them is chosen explicitly.
    """
    typed = {key_of(text) for text in overrides}
    explicit = [
        c for c in choices if (c[0] in typed and values[c[0]] != OF_STEPS.get(c[0])) or _differs(values, *c, catalogue)
    ]
    if not explicit:
        return
    model = values["model"][KEY]
    words = ", ".join(_as_typed(values, *choice) for choice in dict.fromkeys(explicit))
    row = catalogue.get("model", model)
    if row["traits"].get("estimator"):
        raise HarnessError(f"model {model} is fitted at once, without steps: it cannot use {words}. Leave this out")
    task = values["task"][KEY]
    others = [n for n in catalogue.names("model") if "block" in catalogue.get("model", n)["asks"] and n != model]
    fit = [n for n in others if catalogue.serves(catalogue.get("model", n)["traits"].get("tasks"), task)]
    instead = f", or choose a model that asks for block ({', '.join(fit)})" if fit else ""
    if {kind for kind, _ in explicit} == {"initializer"}:
        if values["init_from"] is not None:
            raise HarnessError(f"{words} has no effect: init_from replaces all weights. Leave it out")
        raise HarnessError(f"model {model} has no weights for {words} to fill. Leave this out")
    if "block" in row["asks"]:
        raise HarnessError(
            f"model {model} with these settings has no place for {words}. Leave this out, or change model.*"
        )
    raise HarnessError(f"model {model} does not ask for block: it has no place for {words}. Leave this out{instead}")


def _differs(values: dict[str, Any], kind: str, name: str, catalogue: Catalogue) -> bool:
    """Return True if a component differs from the default choice; settings only count if they are typed.

    Beside `init_from` an initializer only counts if it is typed: a model may have brought its own.
    """
    if not name or (kind == "initializer" and values["init_from"] is not None):
        return False
    if KINDS[kind].many:
        return True
    return bool(values[kind] != default_node(catalogue, kind, default_choice(kind)))


def default_choice(kind: str) -> str:
    """Return the default component of a kind; if that is `auto`, the component that `auto` usually stands for."""
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
    """Return the first word of an override's key.

    >>> key_of("optimizer.lr=0.1"), key_of("++epochs=2")
    ('optimizer', 'epochs')
    """
    return override.lstrip("+~").partition("=")[0].partition("@")[0].partition(".")[0]
