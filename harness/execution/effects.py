"""Settings that a person typed and that have no effect: refused in one line, or told where refusing would hurt.

`RULES` holds a rule for every key. A default that has no effect is silent, and so is a value that a sweep's other runs
have a use for.
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
    """A setting was typed that changes nothing of the runs that it was typed for."""


@dataclass(frozen=True)
class Situation:
    """What decides whether a setting has an effect: a prepared run, and whether it is a run of a sweep."""

    run: RunSpec
    in_sweep: bool
    known: Catalogue

    @property
    def values(self) -> dict[str, Any]:
        return self.run.values

    @property
    def model(self) -> str:
        return str(self.values["model"][KEY])

    @property
    def estimator(self) -> bool:
        """Whether the model is fitted at once."""
        return bool(trait("model", self.values["model"], "estimator", False))

    def asks(self, kind: str, name: str) -> list[str]:
        """What a component asks for."""
        return list(self.known.get(kind, name)["asks"])


Rule = Callable[[Situation], str]  # why a setting has no effect; "" where it has one


def _seed(s: Situation) -> str:
    if s.estimator:
        return "" if "generator" in s.asks("model", s.model) else f"model {s.model} draws nothing by chance"
    if s.run.facts.target != "surface" or s.values["regularizer"] or s.values["augmentation"]:
        return ""
    drawing = [kind for kind in ("model", "optimizer") if "generator" in s.asks(kind, s.values[kind][KEY])]
    return (
        "" if drawing else f"nothing is drawn by chance on data {s.values['data'][KEY]}, which has a start of its own"
    )


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
    return f"it is {s.values['warmup'] * plan.total_steps:.2g} of the {plan.total_steps} steps, and a warmup takes two"


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


def _diagnostic_budget(s: Situation) -> str:
    if s.estimator or all(_is_at_end(s, name) for name in s.values["diagnostic"]):
        return "no diagnostic is measured while this run trains"
    return ""


def _diagnostic(s: Situation) -> str:
    useless = [name for name in s.values["diagnostic"] if s.estimator and not _is_at_end(s, name)]
    return f"model {s.model} is fitted at once, in no steps that a diagnostic could measure" if useless else ""


def _is_at_end(s: Situation, name: str) -> bool:
    return make_diagnostic(name, s.values["diagnostic"][name]).when == "end"


def _loss(s: Situation) -> str:
    return f"model {s.model} is fitted by a rule of its own: the loss is only measured" if s.estimator else ""


def _split(name: str) -> Rule:
    def rule(s: Situation) -> str:
        read = s.run.facts.divided_by
        return "" if read is None or name in read else f"data {s.values['data'][KEY]} is divided without split.{name}"

    return rule


def _split_seed(s: Situation) -> str:
    if s.values["corruption"] or trait("task", s.values["task"], "tuples", False):
        return ""  # these draw from it too
    return _split("seed")(s)


def _on_overlap(s: Situation) -> str:
    if s.values["split"]["on_overlap"] != "error" or s.run.record.data["overlap"] is not None:
        return ""
    return f"the samples of data {s.values['data'][KEY]} are not compared"


def _max_time(s: Situation) -> str:
    given = s.values["trainer"].get("max_time")
    return f"model {s.model} is fitted at once, and is not ended in between" if given and s.estimator else ""


def _check_val(s: Situation) -> str:
    given = s.values["trainer"].get("check_val_every_n_epoch")
    return f"model {s.model} is fitted at once, in one epoch" if given not in (None, 1) and s.estimator else ""


def _benchmark(s: Situation) -> str:
    given = s.values["trainer"].get("benchmark")
    return "it chooses algorithms on a GPU, and this run is on the CPU" if given and s.run.device == "cpu" else ""


# None: it has an effect on every run, or is refused elsewhere where it has none (unused.py for what a model cannot use,
# resuming.py for checkpoints that are not there).
RULES: dict[str, Rule | None] = dict.fromkeys((*KINDS, "experiment")) | {
    "seed": _seed,
    "epochs": None,
    "batch_size": _batch_size,
    "accumulate": _accumulate,
    "warmup": _warmup,
    "study": None,
    "objective": None,
    "rerun": None,
    "fail_fast": _fail_fast,
    "path": None,
    "resume": None,
    "checkpoint_every": _checkpoint_every,
    "save": _save,
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
TOLD = ("seed", "loss")  # a sweep over these is not refused: other runs are compared by them, or it is measured


def check_effects(runs: Sequence[RunSpec], known: Catalogue, in_sweep: bool) -> None:
    """Refuse, or warn of, what was typed for one run or for some of a sweep, and has no effect on any of these.

    Raises:
        HarnessError: Naming the first such setting, and why.
    """
    useful: set[str] = set()
    useless: dict[str, tuple[str, str]] = {}
    for run in runs:
        situation = Situation(run, in_sweep, known)
        for text in run.overrides:
            if text in useful:
                continue
            whys = [(key, rule(situation) if (rule := _rule(key)) else "") for key in _keys(text)]
            if whys and all(why for _, why in whys):
                useless.setdefault(text, whys[0])
            else:
                useful.add(text)
                useless.pop(text, None)
    for text, (key, why) in useless.items():
        line = f"{text.lstrip('+')} has no effect: {why}"
        if key.partition(".")[0] not in TOLD and "${" not in text:  # a value from elsewhere was not meant for this key
            raise HarnessError(f"{line}. Leave it out")
        warnings.warn(line, NoEffectWarning, stacklevel=outside())


def _rule(key: str) -> Rule | None:
    return RULES[key] if key in RULES else RULES.get(key.partition(".")[0])


def _keys(text: str) -> list[str]:
    """The keys that an override sets, `split.seed` also of `split={seed: 1}`."""
    (override,) = parse([text])
    return list(_leaves(override.key_or_group, None if override.is_delete() else override.value()))


def _leaves(key: str, value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for inner, more in value.items():
            yield from _leaves(f"{key}.{inner}", more)
    else:
        yield key


def check_distinct(runs: Sequence[RunSpec]) -> None:
    """Refuse a sweep over what changes no result: its values are one run, of which one alone would be kept.

    Args:
        runs: Those of one identity in one study.

    Raises:
        HarnessError: Naming the keys whose values differ.
    """
    first = flat(runs[0].values)
    for run in runs[1:]:
        other = flat(run.values)
        differing = [key for key in first | other if first.get(key) != other.get(key)]
        if differing:
            kinds = dict.fromkeys(key.partition(".")[0] for key in differing if key.partition(".")[0] in KINDS)
            keys = ", ".join([*kinds, *(key for key in differing if key.partition(".")[0] not in KINDS)])
            raise HarnessError(
                f"a sweep over {keys}: it changes no result, so its values are one run, which would be trained with "
                "the first of them alone. Choose one, or launch each in a study of its own"
            )
