"""Translate the keys of other tools, and short forms of harness's keys, into what to type in harness."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

from harness.config import trainer_options
from harness.config.settings import nested_settings, scalar_settings
from harness.registry.kinds import KINDS

# Other words for keys of harness.
_SYNONYMS = {
    "bs": "batch_size",
    "criterion": "loss",
    "datamodule": "data",
    "dataset": "data",
    "learning_rate": "lr",
    "lr_scheduler": "scheduler",
    "max_epochs": "epochs",
    "n_epochs": "epochs",
    "net": "model",
    "network": "model",
    "num_epochs": "epochs",
    "optim": "optimizer",
    "seed_everything": "seed",
    "wd": "weight_decay",
}
_STUDY = "study=NAME gathers runs under outputs/NAME, and each run is named after its overrides"
_GPU = "trainer=gpu uses a GPU (trainer.devices=2: two); trainer=auto, the default, uses what the machine has"
_RESUME = "resume=true continues from a run's last checkpoint, which checkpoint_every=N writes"
_WANDB = "harness export STUDY --to wandb writes the runs of a study there, each once"
# Words that have no key in harness, and what to type instead.
_INSTEAD = {
    "callbacks": "'callback=[lightning_early_stopping]' (harness list callback); save=best keeps the best weights",
    "ckpt_path": f"init_from=FILE starts from weights; {_RESUME}",
    "compile": trainer_options.NO_COMPILE,
    "data_dir": "cache_dir= is the folder of prepared data",
    "debug": "a quick run: epochs=1 'corruption=[fraction]'; harness doctor RUN finds the cause of a problem",
    "device": _GPU,
    "early_stopping": "'regularizer=[early_stopping]'",
    "drop_last": "nothing: the last batch is smaller",
    "exp_name": _STUDY,
    "experiment_name": _STUDY,
    "extras": "harness has no extras; harness --cfg job prints the config",
    "gpus": _GPU,
    "hparams_search": "tune.budget=N searches settings; an experiment may declare a sweep (hydra.sweeper.params)",
    "local": "--config-dir FOLDER reads presets of your own",
    "model_checkpoint": "save=best keeps the best weights, checkpoint_every=N writes checkpoints to resume from",
    "monitor": "objective=val/accuracy is what a sweep optimises",
    "name": _STUDY,
    "num_workers": "nothing: data in memory needs no loading processes; jobs= is the number of workers of a sweep",
    "optimized_metric": "objective=val/accuracy is what a sweep optimises",
    "output_dir": _STUDY,
    "paths": "study=NAME gathers runs under outputs/NAME; cache_dir= is the folder of prepared data",
    "pin_memory": "nothing: harness moves the batches",
    "print_config": "harness [overrides] --cfg job",
    "project": _STUDY,
    "resume_from_checkpoint": f"{_RESUME}; init_from=FILE starts from weights",
    "run_name": _STUDY,
    "tags": _STUDY,
    "task_name": _STUDY,
    "test": "nothing: every run is tested at its end; split.test= is the share of test samples",
    "wandb": _WANDB,
    "use_wandb": _WANDB,
}


def synonym(word: str) -> str | None:
    """Return harness's name for a setting that other tools call `word`, or None."""
    return _SYNONYMS.get(word)


def suggest_key(path: str) -> str | None:
    """Return what to type instead of a key that harness does not have, or None if nothing is known about it.

    Args:
        path: The key as typed, without `+` and `~`: `lr`, `model.optimizer.lr`, `callbacks.early_stopping`.

    >>> suggest_key("lr")
    'Did you mean optimizer.lr?'
    >>> suggest_key("max_epochs")
    'Did you mean epochs?'
    """
    words = [_SYNONYMS.get(word, word) for word in path.split(".")]
    if words[0] in _INSTEAD:
        return f"Instead: {_INSTEAD[words[0]]}"
    if len(words) == 1 and (answer := trainer_options.INSTEAD.get(words[0])):
        return f"Instead: {answer}"
    keys = next((known for start in range(len(words)) if (known := _keys_ending_in(words[start:]))), [])
    keys = [key for key in keys if key != path]
    return f"Did you mean {' or '.join(keys)}?" if keys else None


def _keys_ending_in(words: list[str]) -> list[str]:
    """Return up to three keys of the config that end in these words, the likeliest first."""
    from harness.registry import catalogue

    first, rest = words[0], words[1:]
    settings = {name: {p.name for p in inner} for name, inner in nested_settings().items()}
    if first in settings and len(rest) == 1 and rest[0] in settings[first]:
        return [".".join(words)]
    if not rest and first in {p.name for p in scalar_settings()}:
        return [first]
    if not rest and first in KINDS:
        return [f"'{first}=[NAME]'" if KINDS[first].many else f"{first}=NAME"]
    known = catalogue.current()
    if not rest and first in trainer_options.allowed(known.trainer):
        return [f"trainer.{first}"]
    if first in KINDS and not KINDS[first].many and len(rest) == 1:
        return [".".join(words)] if _owners(known.entries.get(first, {}), rest[0]) else []
    if parents := [name for name, inner in settings.items() if not rest and first in inner]:
        return [f"{name}.{first}" for name in parents]
    for kind in KINDS.values():  # a component by its name, with or without one of its settings
        entry = known.entries.get(kind.name, {}).get(first)
        if entry is not None and not rest:
            choice = f"'{kind.name}=[{first}]'" if kind.many else f"{kind.name}={first}"
            return [*_settings_of_components(known.entries, first), choice]
        if entry is not None and rest[0] in {p["name"] for p in entry["parameters"]}:
            if kind.many:
                return [f"'{kind.name}=[{first}]' with {kind.name}.{first}.{rest[0]}"]
            return [f"{kind.name}={first} with {kind.name}.{rest[0]}"]
    return [] if rest else _settings_of_components(known.entries, first)


def _settings_of_components(entries: dict[str, dict[str, dict[str, Any]]], name: str) -> list[str]:
    """Return the keys of component settings of this name, first the kind in which most components have it."""
    owners = {kind: _owners(entries.get(kind, {}), name) for kind in KINDS}
    ranked = sorted((kind for kind in owners if owners[kind]), key=lambda kind: -len(owners[kind]))
    if not ranked:
        return []
    most = len(owners[ranked[0]])
    keys = []
    for kind in ranked[:3]:
        if len(owners[kind]) * 4 < most:
            continue
        keys.append(f"{kind}.{owners[kind][0]}.{name}" if KINDS[kind].many else f"{kind}.{name}")
    return keys


def _owners(entries: dict[str, dict[str, Any]], name: str) -> list[str]:
    return [
        component for component in sorted(entries) if any(p["name"] == name for p in entries[component]["parameters"])
    ]


def default_of(kind: str) -> str | None:
    """Return the default choice of a kind as an override, read from harness's own config; None if it is a list."""
    chosen = _defaults().get(kind)
    return f"{kind}={chosen}" if isinstance(chosen, str) else None


@functools.cache
def _defaults() -> dict[str, Any]:
    import yaml

    from harness.registry.presets import conf_dir

    body = yaml.safe_load((conf_dir() / "config.yaml").read_text(encoding="utf-8"))
    return {kind: chosen for entry in body["defaults"] if isinstance(entry, dict) for kind, chosen in entry.items()}


def is_key(path: str) -> bool:
    """Return True if a path is a key of harness's config."""
    return path in _keys_ending_in(path.split("."))


def top_level() -> Iterable[str]:
    """Return every name that an override may begin with."""
    return (*(p.name for p in scalar_settings()), *nested_settings(), *KINDS, "trainer", "experiment", "hydra")
