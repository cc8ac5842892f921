"""The settings of a run that belong to no component. Schema, help, docs and checks are derived from their fields."""

from __future__ import annotations

import functools
import typing
from dataclasses import MISSING, dataclass, field, fields
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Interval, Le

from harness.registry.component import Parameter

_MAX_SEED = 2**63 - 1  # noise counts in 64-bit integers


@dataclass(frozen=True)
class Split:
    """The settings `split.*`: how data without its own split is divided.

    Attributes:
        seed: The seed of the division.
        val: The share of validation, in (0, 1).
        test: The share of the test, in (0, 1).
        stratify: True to give each split the same share of each class; "auto" if classes are large enough.
        on_overlap: "warn", "error" or "ignore" samples that are in several splits.
    """

    seed: Annotated[int, Ge(0), Le(_MAX_SEED), "seed of the split; no other setting changes it"] = 0
    val: Annotated[float, Interval(gt=0, lt=1), "share of the samples for validation"] = 0.16
    test: Annotated[float, Interval(gt=0, lt=1), "share of the samples for the test"] = 0.2
    stratify: Annotated[
        bool | Literal["auto"], "same share of each class in every split; auto: if each class has enough samples"
    ] = "auto"
    on_overlap: Annotated[Literal["warn", "error", "ignore"], "reaction to a sample that is in more than one split"] = (
        "warn"
    )


@dataclass(frozen=True)
class Tune:
    """The settings `tune.*`: how a sweep searches settings for each of its contestants, before it compares them.

    Attributes:
        budget: Trials for each contestant; None: no tuning.
        seeds: Seeds that each trial is trained with.
        seed: The first of these seeds; the draws of the search depend on it too.
        method: How settings are chosen.
        over: Kinds whose declared spaces are searched; None: the swept ones.
        per_seed: True to tune anew for each judged seed.
        space: Spaces in place of, or beside, the declared ones, by key: {"optimizer.lr": "log(0.0001, 0.1)"}.
    """

    budget: Annotated[int | None, Ge(1), "trials for each contestant of a sweep; null: no tuning"] = None
    seeds: Annotated[int, Ge(1), "seeds that each trial is trained with, other than the judged ones"] = 3
    seed: Annotated[int, Ge(0), Le(2**62), "first of these seeds; the draws of the search depend on it too"] = 1_000_000
    method: Annotated[Literal["random", "tpe", "grid"], "how the settings of trials are chosen"] = "random"
    over: Annotated[tuple[str, ...] | None, "kinds whose declared spaces are searched; null: the swept kinds"] = None
    per_seed: Annotated[bool, "tune anew for each judged seed, so that a report includes the chance in tuning"] = False
    space: Annotated[dict[str, str], "spaces in place of the declared ones: tune.space.optimizer.lr=log(1e-4,1e-1)"] = (
        field(default_factory=dict)
    )


@dataclass(frozen=True)
class Settings:
    """The top-level settings of the config, beside the choices of components."""

    seed: Annotated[int, Ge(0), Le(_MAX_SEED), "seed of initial weights, batch order and all noise"] = 0
    epochs: Annotated[int, Ge(1), "passes over the training split"] = 20
    batch_size: Annotated[int, Ge(1), "samples per batch, over all devices together"] = 64
    accumulate: Annotated[int, Ge(1), "batches whose gradients are averaged into one step"] = 1
    warmup: Annotated[float, Interval(ge=0, lt=1), "share of the steps with a linearly growing learning rate"] = 0.0
    init_from: Annotated[str | None, "weights to start from: a run (STUDY/ID or its folder) or a file"] = None
    train: Annotated[bool, "train; false: evaluate the weights of init_from as they are"] = True
    study: Annotated[str, "folder under outputs/ that gathers runs to compare"] = "scratch"
    output_root: Annotated[str, "folder of the studies, for example on another disk"] = "outputs"
    objective: Annotated[str | None, "metric that a sweep optimises; null: the task's metric on validation"] = None
    rerun: Annotated[bool, "train completed runs again"] = False
    fail_fast: Annotated[bool, "end a sweep at its first failed run"] = False
    path: Annotated[
        Literal["auto", "alone", "fused"], "train runs one by one (alone), many as one program (fused), or the faster"
    ] = "auto"
    recording: Annotated[
        Literal["auto", "always", "never"],
        "replay recorded steps: where that saves time (auto), always or never",
    ] = "auto"
    resume: Annotated[bool, "continue from a run's last checkpoint"] = False
    checkpoint_every: Annotated[int, Ge(0), "epochs between two checkpoints; 0: none"] = 0
    save: Annotated[Literal["last", "best", "none"], "weights to keep"] = "last"
    evaluate_train: Annotated[
        bool, "evaluate the training split after each epoch too: train/eval_loss and metrics such as train/accuracy"
    ] = False
    diagnostic_budget: Annotated[float, Ge(0), "largest share of the training time that diagnostics may take"] = 0.05
    jobs: Annotated[Annotated[int, Gt(0)] | Literal["auto"], "workers of the executor"] = "auto"
    cache_dir: Annotated[str, "folder of prepared data"] = "~/.cache/harness"
    split: Split = field(default_factory=Split)
    tune: Tune = field(default_factory=Tune)


# Settings that do not change a run's result: where it is written, how it is launched and observed.
NOT_IDENTITY = (
    "study", "output_root", "objective", "rerun", "fail_fast", "path", "recording", "resume", "checkpoint_every",
    "save", "jobs", "cache_dir", "diagnostic_budget", "evaluate_train",
)  # fmt: skip


@functools.cache
def scalar_settings(settings: type = Settings) -> list[Parameter]:
    """Return the fields of the settings that hold one value, as parameters."""
    hints = typing.get_type_hints(settings, include_extras=True)
    return [Parameter(f.name, hints[f.name], f.default) for f in fields(settings) if f.default is not MISSING]


@functools.cache
def nested_settings(settings: type = Settings) -> dict[str, list[Parameter]]:
    """Return the fields of each nested setting, as parameters: {"split": [...]}."""
    hints = typing.get_type_hints(settings)
    return {f.name: scalar_settings(hints[f.name]) for f in fields(settings) if f.default is MISSING}


def typed_settings(values: dict[str, Any]) -> Settings:
    """Return typed settings from checked plain values."""
    names = {p.name for p in scalar_settings()}
    return Settings(
        **{k: v for k, v in values.items() if k in names}, split=Split(**values["split"]), tune=Tune(**values["tune"])
    )
