"""Tune the contestants of a sweep, each with the same budget, and set their judged runs to the winners.

A contestant is a combination of the swept values without the seed. Its trials are runs of the study NAME/tuning, of
seeds that are not judged, and are not evaluated on the test split. Everything is a function of the config: a search
that was killed is repeated, its trials are cached, and two launchers that search at once share them.
"""

from __future__ import annotations

import hashlib
import json
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from harness.config.job import Job
from harness.config.override_text import written
from harness.config.settings import Tune
from harness.execution.sweep.objective import higher_is_better
from harness.execution.sweep.swept import swept_values
from harness.execution.tuning.drawing import grid_settings, load_optuna, random_settings, tpe_rounds, tpe_settings
from harness.execution.tuning.search_space import Dimension, check_spaces, search_space, swept_kinds
from harness.registry import catalogue
from harness.registry.catalogue import Catalogue
from harness.registry.kinds import KEY
from harness.results.record import Record
from harness.results.study import output_root
from harness.results.tuning import Trial, Tuning, trials_study, write
from harness.space import Choice, space_text
from harness.system.errors import HarnessError

Compose = Callable[[list[str]], Job]
Train = Callable[[list[Job]], Sequence[Record]]
OBSERVERS = ("diagnostic", "logger")  # kinds that trials do without
NO_TUNING: dict[str, Any] = vars(Tune())  # one object: jobs that share their nodes are prepared together


@dataclass
class Contestant:
    """One combination of the swept values.

    Attributes:
        job: The first of its judged jobs.
        overrides: The overrides that its trials share.
        tune: Its settings of tuning.
        levels: The swept values that it consists of.
        seeds: The tuning seeds.
        split: The split of its judged runs, on whose training and validation parts it is tuned.
        stream: Names the draws of its settings.
        space: The searched space.
        trials: The trials so far.
    """

    job: Job
    overrides: list[str]
    tune: Tune
    levels: dict[str, Any]
    seeds: list[int]
    split: dict[str, Any]
    stream: str
    space: dict[str, Dimension]
    trials: list[Trial] = field(default_factory=list)
    objective: str = ""
    higher_is_better: bool = True

    @property
    def name(self) -> str:
        """Its levels in words."""
        return ", ".join(f"{key}={value}" for key, value in self.levels.items()) or "the run"

    @property
    def component(self) -> str:
        """The swept components that are tuned, in words."""
        tuned = swept_kinds(self.levels) if self.tune.over is None else self.tune.over
        return ", ".join(f"{key}={self.levels[key]}" for key in tuned if key in self.levels) or self.name

    def next_settings(self) -> list[dict[str, Any]]:
        """Return the settings of the trials to train next; none if the search has ended."""
        budget = self.tune.budget or 0
        if self.tune.method == "tpe":
            rounds = tpe_rounds(budget)
            done = next(number for number in range(len(rounds) + 1) if sum(rounds[:number]) == len(self.trials))
            if done == len(rounds):
                return []
            return tpe_settings(self.space, self.stream, rounds[: done + 1], self.trials, self.higher_is_better)
        if self.trials:
            return []
        if self.tune.method == "grid":
            return grid_settings(self.space, budget)
        return [random_settings(self.space, self.stream, place) for place in range(budget)]

    def result(self) -> Tuning:
        """Return the result of the search."""
        space = {key: space_text(dimension.space) for key, dimension in self.space.items()}
        asked = [self.job.settings.study, self.overrides, vars(self.tune), space, self.seeds, self.stream]
        return Tuning(
            id=hashlib.sha256(json.dumps(asked, default=str).encode()).hexdigest()[:12],
            levels=self.levels,
            objective=self.objective,
            higher_is_better=self.higher_is_better,
            method=self.tune.method,
            budget=self.tune.budget or 0,
            seeds=tuple(self.seeds),
            space=space,
            trials=tuple(self.trials),
        )


def is_tuned(jobs: Sequence[Job]) -> bool:
    """Return True if a sweep is tuned before it is judged."""
    return any(job.settings.tune.budget is not None for job in jobs)


def tuned(jobs: Sequence[Job], compose: Compose, train: Train, on_search: Callable[[int, int], None]) -> list[Job]:
    """Return the jobs of a sweep with the settings that a search found best for their contestant.

    Args:
        jobs: The judged jobs.
        compose: Composes overrides into a checked job.
        train: Trains jobs, and returns their records in the same order.
        on_search: Called with the number of contestants that are searched, and of the runs of their trials.

    Raises:
        HarnessError: If a sweep cannot be tuned as asked. Nothing has been trained then.
    """
    groups = _groups(jobs)
    contestants = [_contestant([jobs[place] for place in places]) for places in groups]
    _check(jobs, contestants)
    _check_bounds(contestants, compose)
    searched = [contestant for contestant in contestants if contestant.space]
    if without := list(dict.fromkeys(contestant.component for contestant in contestants if not contestant.space)):
        _warn(f"{'; '.join(without)}: no setting to search, so judged with the defaults")
    on_search(len(searched), sum((c.tune.budget or 0) * len(c.seeds) for c in searched))
    searching = {id(c): c for c in searched}
    while searching:
        batch = [(c, settings) for c in searching.values() for settings in c.next_settings()]
        _train_trials(batch, compose, train)
        ended = {id(c) for c in searching.values()} - {id(c) for c, _ in batch}
        searching = {key: c for key, c in searching.items() if key not in ended}
    results: dict[int, Job] = {}
    for contestant, places in zip(contestants, groups, strict=True):
        for place, job in zip(places, _judged([jobs[p] for p in places], contestant, compose), strict=True):
            results[place] = job
    return [results[place] for place in range(len(jobs))]


def _groups(jobs: Sequence[Job]) -> list[list[int]]:
    """Return the places of the jobs of each contestant."""
    groups: dict[tuple[str, ...], list[int]] = {}
    for place, job in enumerate(jobs):
        groups.setdefault(tuple(_shared_overrides(job)), []).append(place)
    return list(groups.values())


def _shared_overrides(job: Job) -> list[str]:
    keep_seed = job.settings.tune.per_seed
    return [text for text in job.overrides if keep_seed or _key(text) != "seed"]


def _is_set_for_trials(key: str) -> bool:
    return key in ("seed", "split.seed") or key.startswith("tune.")


def _key(text: str) -> str:
    return text.lstrip("+~").partition("=")[0].strip()


def _contestant(jobs: Sequence[Job]) -> Contestant:
    job, known = jobs[0], catalogue.current()
    tune = job.settings.tune
    if tune.budget is None:
        raise HarnessError("tune.budget is set for some runs of the sweep and not for others: set it for all")
    swept = [key for key in job.swept if tune.per_seed or key != "seed"]
    kinds = swept_kinds(job.swept) if tune.over is None else list(tune.over)
    first = tune.seed + (job.settings.seed * tune.seeds if tune.per_seed else 0)
    split = _split_of(jobs)
    levels = swept_values(swept, job.overrides, job.values, known)
    elsewhere = {key: value for key, value in levels.items() if key not in kinds and not key.startswith("tune.")}
    return Contestant(
        job=job,
        overrides=[text for text in job.overrides if not _is_set_for_trials(_key(text))],
        tune=tune,
        levels=levels,
        seeds=list(range(first, first + tune.seeds)),
        split=split,
        stream=json.dumps([tune.seed, elsewhere], sort_keys=True, default=str),
        space=search_space(job.values, job.overrides, kinds, known),
    )


def _split_of(jobs: Sequence[Job]) -> dict[str, Any]:
    """Return the settings of the one split of a contestant's judged runs.

    Raises:
        HarnessError: If the runs have several splits: tuning on any of them would see what is tested in another.
    """
    if len({job.settings.split.seed for job in jobs}) > 1:
        raise HarnessError(
            "split.seed follows the seed, so that tuning on one split would see samples that another one tests: fix it "
            "(split.seed=0), or tune each seed on its own split with tune.per_seed=true"
        )
    split: dict[str, Any] = jobs[0].values["split"]
    return split


def _check(jobs: Sequence[Job], contestants: Sequence[Contestant]) -> None:
    """Refuse a sweep that cannot be tuned fairly."""
    known = catalogue.current()
    kinds = list(dict.fromkeys(k for c in contestants for k in c.tune.over or swept_kinds(c.job.swept)))
    check_spaces([c.job.values for c in contestants], kinds, known)
    if not any(contestant.space for contestant in contestants):
        if not kinds:
            raise HarnessError(
                "tune.budget has nothing to search, since no kind is swept: name kinds, tune.over=[optimizer], or a "
                "space, tune.space.optimizer.lr=log(1e-4,1e-1)"
            )
        free = f"setting of {', '.join(kinds)} that is not typed"
        raise HarnessError(f"tune.budget has nothing to search: no {free} declares a search space")
    judged = {job.settings.seed for job in jobs}
    for contestant in contestants:
        if both := sorted(judged & set(contestant.seeds)):
            other = f"choose others with tune.seed={max(judged) + 1}"
            raise HarnessError(f"seed={both[0]} would be a tuning seed and a judged one: {other}")
    for objective in {job.settings.objective for job in jobs} - {None}:
        _check_objective(str(objective), jobs[0], known)
    if any(contestant.tune.method == "tpe" for contestant in contestants):
        load_optuna()  # refuses here if it is not installed


def _check_bounds(contestants: Sequence[Contestant], compose: Compose) -> None:
    """Refuse a space of `tune.space` with a value that its setting does not allow, whether or not it is drawn."""
    for contestant in contestants:
        for key in contestant.space.keys() & contestant.tune.space.keys():
            space = contestant.space[key].space
            for value in space.options if isinstance(space, Choice) else (space.at(0), space.at(1)):
                try:
                    compose([*contestant.overrides, *_overrides({key: value})])
                except HarnessError as error:
                    raise HarnessError(f"tune.space.{key}: {error}") from error


def _check_objective(objective: str, job: Job, known: Catalogue) -> None:
    """Refuse to tune by a metric that sees the test split."""
    node = job.values["metric"].get(objective.rpartition("/")[2])
    sees_test = objective.startswith("test/") or (
        "/" not in objective and node is not None and "dataset" in known.get("metric", node[KEY])["asks"]
    )
    if sees_test:
        raise HarnessError(f"objective={objective} sees the test split, which tuning never does: choose one of val/...")


def _train_trials(batch: Sequence[tuple[Contestant, dict[str, Any]]], compose: Compose, train: Train) -> None:
    """Train the trials of one round of all contestants together, and add them to their contestants."""
    if not batch:
        return
    jobs = [job for contestant, settings in batch for job in _trial_jobs(contestant, settings, compose)]
    records = iter(train(jobs))
    for contestant, settings in batch:
        runs = [next(records) for _ in contestant.seeds]
        contestant.objective = str(runs[0].config["objective"])
        contestant.higher_is_better = higher_is_better(runs[0])
        contestant.trials.append(
            Trial(
                settings=settings,
                runs=tuple(run.id for run in runs),
                statuses=tuple(run.status for run in runs),
                values=tuple(_value(run, run.objective) for run in runs),
                losses=tuple(_value(run, run.metrics.get("val/loss", math.nan)) for run in runs),
                steps=sum(int(run.steps.get("made", 0)) for run in runs),
            )
        )


def _value(run: Record, value: float) -> float:
    return value if run.status == "completed" and math.isfinite(value) else math.nan


def _trial_jobs(contestant: Contestant, settings: Mapping[str, Any], compose: Compose) -> Iterator[Job]:
    """Yield the job of each tuning seed. A trial keeps no weights, and nothing observes it."""
    values = _overrides(settings)
    without: dict[str, Any] = {kind: {} for kind in OBSERVERS}
    study = trials_study(contestant.job.settings.study)
    for seed in contestant.seeds:
        job = compose([*contestant.overrides, *values, f"seed={seed}"])
        changed = without | {
            "study": study,
            "split": contestant.split,
            "save": "none",
            "tune": NO_TUNING,
            "checkpoint_every": 0,
            "fail_fast": False,
        }
        yield replace(job, values=job.values | changed)


def _judged(jobs: Sequence[Job], contestant: Contestant, compose: Compose) -> Iterator[Job]:
    """Yield the judged jobs of a contestant with the winner's settings."""
    if not contestant.space:
        yield from jobs
        return
    result = contestant.result()
    write(result, output_root(contestant.job.values) / contestant.job.settings.study)
    summary = result.summary()
    if summary["failed"] == summary["trials"]:
        _warn(f"{contestant.name}: none of its {summary['trials']} trials completed; it is judged with the first")
    for job in jobs:
        found = compose([*job.overrides, *_overrides(summary["settings"])])
        yield replace(found, swept=job.swept, command=job.command, tuning=summary)


def _warn(line: str) -> None:
    from harness.datasets.loading import outside  # imports torch

    warnings.warn(line, stacklevel=outside())


def _overrides(settings: Mapping[str, Any]) -> list[str]:
    return [f"{key}={written(value)}" for key, value in settings.items()]
