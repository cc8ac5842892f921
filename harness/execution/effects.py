"""Refuse settings that were typed and have no effect, or warn of them where a refusal would forbid useful sweeps.

`RULES` holds a rule for every key. Defaults are never refused, and neither is a value that has an effect on another run
of the sweep.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from harness.config.overrides import parse
from harness.datasets.loading import outside
from harness.execution.preparation import RunSpec
from harness.modeling.builder import make_diagnostic
from harness.registry.catalogue import Catalogue
from harness.registry.instantiate import trait
from harness.registry.kinds import AUTO, KEY, KINDS
from harness.results.record import flat
from harness.system.errors import HarnessError


class NoEffectWarning(UserWarning):
    """A setting was typed that has no effect on any of its runs."""


@dataclass(frozen=True)
class Situation:
    """A run, and its launch, that decide whether a setting has an effect.

    Args:
        run: The run.
        in_sweep: True if it is a run of a sweep.
        catalogue: The catalogue of components.
    """

    run: RunSpec
    in_sweep: bool
    catalogue: Catalogue

    @property
    def values(self) -> dict[str, Any]:
        return self.run.values

    @property
    def model(self) -> str:
        return str(self.values["model"][KEY])

    @property
    def estimator(self) -> bool:
        """True if the model is fitted at once."""
        return bool(trait("model", self.values["model"], "estimator", False))

    def is_random(self, kind: str, name: str) -> bool:
        """Return True if a component draws random numbers when it is made."""
        return "generator" in self.catalogue.get(kind, name)["asks"]


Rule = Callable[[Situation], str]  # returns the reason why a setting has no effect; "" if it has one


def _seed(s: Situation) -> str:
    if s.estimator:
        return "" if s.is_random("model", s.model) else f"model {s.model} uses no random numbers"
    if s.run.facts.target != "surface" or s.values["regularizer"] or s.values["augmentation"]:
        return ""
    if any(s.is_random(kind, s.values[kind][KEY]) for kind in ("model", "optimizer")):
        return ""
    return f"this run uses no random numbers: data {s.values['data'][KEY]} has a fixed starting point"


def _batch_size(s: Situation) -> str:
    if s.run.facts.target != "surface" or s.values["batch_size"] == 1:
        return ""
    return f"data {s.values['data'][KEY]} is a surface: a step takes its one point"


def _accumulate(s: Situation) -> str:
    accumulate, plan = s.values["accumulate"], s.run.plan
    if s.estimator or accumulate in (1, plan.batches):
        return ""
    if trait("optimizer", s.values["optimizer"], "full_batch", False):
        return f"optimizer {s.values['optimizer'][KEY]} takes the gradients of all batches in one step"
    batches = f"{plan.batches} batch{'es' * (plan.batches > 1)}"
    return f"an epoch has {batches} to accumulate" if accumulate > plan.batches else ""


def _warmup(s: Situation) -> str:
    plan = s.run.plan
    if s.estimator or not s.values["warmup"] or plan.warmup_steps > 1:
        return ""
    return f"it is {s.values['warmup'] * plan.total_steps:.2g} of the {plan.total_steps} steps, and a warmup needs two"


def _in_sweep(s: Situation) -> str:
    return "" if s.in_sweep else "it is for the runs of a sweep (harness -m), and this is one run"


def _fail_fast(s: Situation) -> str:
    return _in_sweep(s) if s.values["fail_fast"] else ""


def _executor(s: Situation) -> str:
    return "" if s.run.asked["executor"][KEY] in (AUTO, "in_process") else _in_sweep(s)


def _jobs(s: Situation) -> str:
    if s.values["jobs"] in (1, AUTO):
        return ""
    if s.in_sweep and s.run.asked["executor"][KEY] == "in_process":
        return "executor=in_process trains one run after another"
    return _in_sweep(s)


def _checkpoint_every(s: Situation) -> str:
    every = s.values["checkpoint_every"]
    if every and s.estimator:
        return f"model {s.model} is fitted at once, and there is nothing to resume"
    return f"no checkpoint is due within epochs={s.run.plan.epochs}" if every > s.run.plan.epochs else ""


def _save(s: Situation) -> str:
    if s.values["save"] != "best" or not s.estimator:
        return ""
    return f"model {s.model} is fitted at once: it has no epochs of which one is the best"


def _tune(s: Situation) -> str:
    return "" if s.values["tune"]["budget"] is not None else "tune.budget says how many trials are made, and it is null"


def _evaluate_train(s: Situation) -> str:
    return "" if s.run.facts.target != "surface" else f"data {s.values['data'][KEY]} is a surface: it has no samples"


def _diagnostic_budget(s: Situation) -> str:
    if s.estimator or all(_is_at_end(s, name) for name in s.values["diagnostic"]):
        return "no diagnostic is measured while this run trains"
    return ""


def _diagnostic(s: Situation) -> str:
    useless = [name for name in s.values["diagnostic"] if s.estimator and not _is_at_end(s, name)]
    return f"model {s.model} is fitted at once, without steps that a diagnostic could measure" if useless else ""


def _is_at_end(s: Situation, name: str) -> bool:
    return make_diagnostic(name, s.values["diagnostic"][name]).when == "end"


def _loss(s: Situation) -> str:
    return f"model {s.model} is fitted without it: the loss is only measured" if s.estimator else ""


def _split(name: str) -> Rule:
    def rule(s: Situation) -> str:
        used = s.run.facts.divided_by
        return "" if used is None or name in used else f"data {s.values['data'][KEY]} does not use split.{name}"

    return rule


def _split_seed(s: Situation) -> str:
    if s.values["corruption"] or trait("task", s.values["task"], "tuples", False):
        return ""  # corruptions and tuples of samples are drawn with this seed too
    return _split("seed")(s)


def _on_overlap(s: Situation) -> str:
    if s.values["split"]["on_overlap"] != "error" or s.run.record.data["overlap"] is not None:
        return ""
    return f"the samples of data {s.values['data'][KEY]} are not checked for overlap"


def _max_time(s: Situation) -> str:
    limit = s.values["trainer"].get("max_time")
    return f"model {s.model} is fitted at once, and cannot be stopped in between" if limit and s.estimator else ""


def _check_val(s: Situation) -> str:
    epochs = s.values["trainer"].get("check_val_every_n_epoch")
    return f"model {s.model} is fitted at once, in one epoch" if epochs not in (None, 1) and s.estimator else ""


def _benchmark(s: Situation) -> str:
    benchmark = s.values["trainer"].get("benchmark")
    return "it chooses algorithms on a GPU, and this run is on the CPU" if benchmark and s.run.device == "cpu" else ""


# None: the setting has an effect on every run, or another module refuses it (modeling/unused.py, resuming.py).
RULES: dict[str, Rule | None] = dict.fromkeys((*KINDS, "experiment")) | {
    "seed": _seed,
    "epochs": None,
    "batch_size": _batch_size,
    "accumulate": _accumulate,
    "warmup": _warmup,
    "init_from": None,
    "train": None,
    "study": None,
    "output_root": None,
    "objective": None,
    "rerun": None,
    "fail_fast": _fail_fast,
    "path": None,
    "recording": None,
    "resume": None,
    "checkpoint_every": _checkpoint_every,
    "save": _save,
    "evaluate_train": _evaluate_train,
    "diagnostic_budget": _diagnostic_budget,
    "jobs": _jobs,
    "cache_dir": None,
    "executor": _executor,
    "diagnostic": _diagnostic,
    "loss": _loss,
    "split.seed": _split_seed,
    "split.val": _split("val"),
    "split.test": _split("test"),
    "split.stratify": _split("stratify"),
    "split.on_overlap": _on_overlap,
    "tune.budget": None,
    "tune.seeds": _tune,
    "tune.seed": _tune,
    "tune.method": _tune,
    "tune.over": _tune,
    "tune.per_seed": _tune,
    "tune.space": _tune,
    "trainer": None,
    "trainer.accelerator": None,
    "trainer.strategy": None,
    "trainer.devices": None,
    "trainer.num_nodes": None,
    "trainer.precision": None,
    "trainer.max_time": _max_time,
    "trainer.check_val_every_n_epoch": _check_val,
    "trainer.deterministic": None,
    "trainer.benchmark": _benchmark,
    "trainer.detect_anomaly": None,
}
# Warned of, and not refused: a sweep may repeat all of its runs with several seeds, and the loss is measured anyway.
WARNED = ("seed", "loss")


def check_effects(runs: Sequence[RunSpec], catalogue: Catalogue, in_sweep: bool) -> bool:
    """Check that every typed setting has an effect on one of its runs.

    Args:
        runs: The runs of a launch.
        catalogue: The catalogue of components.
        in_sweep: True if they are the runs of a sweep.

    Returns:
        False if it has warned.

    Raises:
        HarnessError: If a setting has no effect.

    Warns:
        NoEffectWarning: If the seed or the loss has no effect.
    """
    useful: set[str] = set()
    useless: dict[str, tuple[str, str]] = {}
    for run in runs:
        situation = Situation(run, in_sweep, catalogue)
        for text in run.overrides:
            if text in useful:
                continue
            reasons = [(key, rule(situation) if (rule := _rule(key)) else "") for key in _keys(text)]
            if reasons and all(why for _, why in reasons):
                useless.setdefault(text, reasons[0])
            else:
                useful.add(text)
                useless.pop(text, None)
    for text, (key, why) in useless.items():
        line = f"{text.lstrip('+')} has no effect: {why}"
        interpolated = "${" in text  # the value may be meant for another key
        if key.partition(".")[0] not in WARNED and not interpolated:
            raise HarnessError(f"{line}. Leave it out")
        warnings.warn(line, NoEffectWarning, stacklevel=outside())
    return not useless


def _rule(key: str) -> Rule | None:
    words = key.split(".")
    prefixes = [".".join(words[:length]) for length in range(len(words), 0, -1)]
    return next((RULES[prefix] for prefix in prefixes if prefix in RULES), None)


def _keys(text: str) -> list[str]:
    """Return the keys that an override sets: `split.seed` for `split.seed=1` and for `split={seed: 1}`."""
    (override,) = parse([text])
    return list(_leaves(override.key_or_group, None if override.is_delete() else override.value()))


def _leaves(key: str, value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for inner, more in value.items():
            yield from _leaves(f"{key}.{inner}", more)
    else:
        yield key


def check_distinct(runs: Sequence[RunSpec]) -> None:
    """Refuse a sweep over a setting that changes no result, since only one of its values would be trained.

    Args:
        runs: The runs of a study with one and the same ID.

    Raises:
        HarnessError: If their settings differ.
    """
    if len(runs) == 1:
        return
    first = flat(runs[0].values)
    for run in runs[1:]:
        other = flat(run.values)
        differing = [key for key in first | other if first.get(key) != other.get(key)]
        if differing:
            kinds = dict.fromkeys(key.partition(".")[0] for key in differing if key.partition(".")[0] in KINDS)
            keys = ", ".join([*kinds, *(key for key in differing if key.partition(".")[0] not in KINDS)])
            raise HarnessError(
                f"a sweep over {keys}: it changes no result, so all of its values are one run, which would be trained "
                "once, with the first value. Choose one value, or launch each in a study of its own"
            )
