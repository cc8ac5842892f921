"""Prepare a run: load its data, resolve `auto`, validate its settings, compute its ID. Nothing is written."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pytorch_lightning import Trainer

from harness.config.job import Job
from harness.config.overrides import folder_name, run_name
from harness.config.settings import Settings, typed_settings
from harness.datasets.dataset import SPLITS, Dataset, size
from harness.datasets.loading import DatasetFacts, Loaded, Loader
from harness.execution import known_runs
from harness.execution.dry_run import Rehearsal, rehearse
from harness.execution.known_runs import sufficient
from harness.execution.resolve import choices, resolve
from harness.execution.sweep.swept import swept_values
from harness.modeling.builder import make_task
from harness.modeling.profile import Probe
from harness.modeling.task import Task
from harness.modeling.unused import Choice, drop_choices, key_of, refuse_chosen, unused_by_estimator
from harness.registry import catalogue
from harness.registry.catalogue import Catalogue
from harness.registry.instantiate import trait
from harness.registry.kinds import KEY
from harness.results import environment
from harness.results.index import by_id
from harness.results.record import Record, read
from harness.results.run_id import changed, components, identity, identity_by_seed, sources
from harness.results.study import find_weights, output_root, run_of
from harness.results.tuning import holds_trials
from harness.system.errors import HarnessError, reraise_interrupt
from harness.system.process_state import ignore, kept
from harness.system.safe_files import refuse_links
from harness.training.plan import Plan, evaluation_tuples

MAX_COMMONS = 64


@dataclass
class RunSpec:
    """A run that has passed every check, with its ID; nothing is written yet.

    It holds no data, so that it can be sent to another process: `dataset` loads it.
    """

    values: dict[str, Any]  # resolved
    asked: dict[str, Any]  # as composed, where `auto` may stand
    overrides: list[str]
    hydra: str  # the text of .hydra/hydra.yaml (folder.py)
    plan: Plan
    device: str
    record: Record
    facts: DatasetFacts  # of the data
    probe: Probe | None = None  # of the model; None where it could not be built
    directions: dict[str, bool] | None = None  # of the metrics; None where they could not be built
    loader: Loader | None = field(default=None, repr=False)
    checkpoint: dict[str, Any] | None = field(default=None, repr=False)  # to go on from
    fresh: str = ""  # why it starts from the beginning, where resume=true finds nothing to resume
    orphan: bool = False  # a process had begun it, and died
    trainer: Trainer | None = field(default=None, repr=False)  # Lightning's, where it was made to check its settings

    @property
    def dataset(self) -> Dataset:
        """The data set. The loader may drop it when the caller does."""
        assert self.loader is not None
        return self.loader.load(self.asked).dataset

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"loader": None, "trainer": None}

    def finished(self) -> Record | None:
        """Return the record of the cached run, if it holds every metric and diagnostic that this run asks for."""
        old = read(self.record.folder)
        if old is None or old.id != self.record.id:
            return None
        self.orphan = old.status == "running"
        return None if self.values["rerun"] else sufficient(old, self.values)


@dataclass(frozen=True)
class Common:
    """What jobs that differ only in their seed have in common. It holds no data.

    Args:
        asked: The config of the first job, as composed.
        resolved: The same with every `auto` replaced.
        reduced: The same without what an estimator has no use for (`of_steps`).
        values: The same without the components that the model does not use (`unused`).
    """

    asked: dict[str, Any]
    resolved: dict[str, Any]
    reduced: dict[str, Any]
    values: dict[str, Any]
    of_steps: list[Choice]
    unused: list[Choice]
    plan: Plan
    device: str
    rehearsal: Rehearsal
    facts: DatasetFacts
    choices: dict[str, Any]
    data: dict[str, Any]
    warnings: list[str]
    study: Path
    sources: dict[str, str]
    identity: Callable[[int], str]

    def refuse_chosen(self, overrides: Sequence[str], known: Catalogue) -> None:
        """Raise HarnessError if a job chose what its model does not use."""
        refuse_chosen(self.resolved, self.of_steps, overrides, known)
        refuse_chosen(self.reduced, self.unused, overrides, known)


class Preparation:
    """Prepares the jobs of one launch; what they have in common is computed once."""

    def __init__(self, loader: Loader | None = None, over_models: bool = False) -> None:
        self.loader = loader or Loader()
        self.over_models = over_models  # what one of several models cannot use is left out for it, and not refused
        self.known = catalogue.current()
        self._folders: dict[Path, dict[str, Path]] = {}
        self._sources: dict[tuple[tuple[str, str], ...], dict[str, str]] = {}
        self._nodes: dict[tuple[str, str], Any] = {}
        self._commons: dict[tuple[tuple[str, type, Any], ...], Common] = {}

    def prepare(self, job: Job) -> RunSpec:
        """Prepare one job.

        Raises:
            HarnessError: If a setting does not fit the data, the model or the other settings.
        """
        common = self._common(job)
        if not self.over_models:
            common.refuse_chosen(job.overrides, self.known)
        values = common.values | {"seed": job.values["seed"]}
        unused_kinds = {kind for kind, _ in (*common.of_steps, *common.unused)}
        used = [text for text in job.overrides if key_of(text) not in unused_kinds]
        run_id = common.identity(values["seed"])
        record = Record(
            id=run_id,
            name=run_name(used),
            study=values["study"],
            config=values,
            choices=common.choices,
            command=job.command,
            swept=list(job.swept),
            swept_values=swept_values(job.swept, job.overrides, values, self.known),
            tuning=job.tuning,
            data=dict(common.data),
            environment={"sources": common.sources},
            warnings=list(common.warnings),
            folder=self._existing(common.study, run_id) or common.study / folder_name(used, run_id),
        )
        refuse_links(output_root(values), Path(record.study) / record.folder.name)
        return RunSpec(
            values,
            job.values,
            job.overrides,
            job.hydra,
            replace(common.plan, seed=values["seed"]),
            common.device,
            record,
            common.facts,
            common.rehearsal.probe,
            common.rehearsal.directions,
            self.loader,
        )

    def _common(self, job: Job) -> Common:
        """Return what a job shares with the jobs that only have another seed; it is computed for the first of them."""
        key = tuple(
            (name, type(value), id(value) if isinstance(value, (dict, list)) else value)
            for name, value in job.values.items()
            if name != "seed"
        )
        if key not in self._commons:
            if len(self._commons) == MAX_COMMONS:
                self._commons.clear()
            self._commons[key] = self._first(job)
        return self._commons[key]

    @kept(ignore)  # what its components change they change again in the run, which records it
    def _first(self, job: Job) -> Common:
        loaded = self.loader.load(job.values)
        asked, dataset = job.values | {"transform": loaded.transform}, loaded.dataset
        if (source := asked["init_from"]) is not None:
            asked["init_from"] = str(find_weights(source))
        resolved = resolve(asked, dataset, self.known)
        estimator = trait("model", resolved["model"], "estimator", False)
        refuse_initial_weights(resolved, estimator)
        of_steps = unused_by_estimator(resolved) if estimator else []
        if not self.over_models:
            refuse_chosen(resolved, of_steps, job.overrides, self.known)
        reduced = drop_choices(resolved, of_steps)
        settings = typed_settings(reduced)
        plan = make_plan(settings, dataset, reduced)
        device = environment.device_type(reduced["trainer"])
        rehearsal = rehearse(reduced, dataset, plan)
        values = {k: self._shared(k, v) for k, v in drop_choices(reduced, rehearsal.unused).items()}
        lacking = () if trait("task", values["task"], "tuples", False) else loaded.lacking  # episodes have few classes
        remarks = [*loaded.remarks, *lacking]
        code = self._sources_of(values)
        return Common(
            asked=job.values,
            resolved=resolved,
            reduced=reduced,
            values=values,
            of_steps=of_steps,
            unused=rehearsal.unused,
            plan=plan,
            device=device,
            rehearsal=rehearsal,
            facts=loaded.facts,
            choices=self._shared("choices", choices(values)),
            data={"name": values["data"]["_component_"], "digest": loaded.digest}
            | {split: size(dataset.part(split)) for split in SPLITS}
            | {"overlap": loaded.overlap}
            | ({"remarks": remarks} if remarks else {})
            | (loaded.baseline if self._predicts_targets(values) else {})
            | ({"left_out": loaded.dataset.left_out} if loaded.dataset.left_out else {}),
            warnings=[*lacking, *loaded.changes, *trained_samples(resolved, loaded)],
            study=output_root(values) / settings.study,  # a component may change the working folder
            sources=code,
            identity=identity_by_seed(values, device, loaded.digest, self.known.trainer, code),
        )

    def keep(self, question: str | None, specs: Sequence[RunSpec]) -> None:
        """Keep the IDs of all jobs of a launch, for the next launch of the same jobs (`known_runs.py`)."""
        known_runs.keep(question, specs, self._sources)

    def refuse_stale(self, spec: RunSpec) -> None:
        """Raise HarnessError if this process holds code of a run that was prepared here, and its files have changed."""
        _refuse_changed(self._sources_of(spec.values))

    def identity(self, values: dict[str, Any], asked: dict[str, Any] | None = None) -> str:
        """Return the ID of resolved values, as this process sees sources and data.

        The data is loaded by the settings as composed, where they are known: other runs then share it.
        """
        device = environment.device_type(values["trainer"])
        return self._identity(values, device, self.loader.load(asked or values).digest)

    def with_epochs(self, member: RunSpec, epochs: int) -> str:
        """Return the ID that a run would have with another number of epochs."""
        values = member.values | {"epochs": epochs}
        return self._identity(values, member.device, member.record.data["digest"])

    def _identity(self, values: dict[str, Any], device: str, digest: str) -> str:
        return identity(values, device, digest, self.known.trainer, self._sources_of(values))

    def _predicts_targets(self, values: dict[str, Any]) -> bool:
        """Return True if the task predicts the targets; one for several kinds of targets predicts none of them."""
        return len(self.known.get("task", values["task"][KEY])["traits"].get("targets", ())) == 1

    def _shared(self, key: str, node: Any) -> Any:
        """Return the equal node of an earlier job, if there is one: thousands of jobs are in memory at once."""
        return self._nodes.setdefault((key, repr(node)), node) if isinstance(node, dict) else node

    def _existing(self, study: Path, run_id: str) -> Path | None:
        """Return the folder that the ID already has in its study, however the overrides were written."""
        if study not in self._folders:
            self._folders[study] = by_id(study)
        return self._folders[study].get(run_id)

    def _sources_of(self, values: dict[str, Any]) -> dict[str, str]:
        used = tuple(components(values))
        if used not in self._sources:
            self._sources[used] = sources(used)
        return self._sources[used]


def refuse_initial_weights(values: dict[str, Any], estimator: bool) -> None:
    """Raise HarnessError for an estimator, which starts from no weights, and for `train=false` without weights."""
    if values["init_from"] is None and not values["train"]:
        raise HarnessError("train=false evaluates weights: name them, init_from=RUN (or: harness eval RUN)")
    if values["init_from"] is not None and estimator:
        model = values["model"][KEY]
        raise HarnessError(f"model {model} is fitted at once: it starts from no weights. Leave init_from out")


def make_plan(s: Settings, dataset: Dataset, values: dict[str, Any]) -> Plan:
    """Return the numbers of batches and steps of a run. A full-batch optimizer accumulates the gradients of all
    batches; an estimator has one epoch.

    Raises:
        HarnessError: If a batch is larger than the training split.
    """
    n, each = _drawn(values, dataset) or (size(dataset.train), 1)
    batch_size = 1 if dataset.target == "surface" else s.batch_size
    if trait("model", values["model"], "estimator", False) or not s.train:
        batch_size = min(batch_size, n)  # of evaluation alone
    if batch_size > n:
        what = "samples" if each == 1 else f"tuples of {each} samples"
        raise HarnessError(f"batch_size={batch_size} is larger than the {n} training {what}")
    whole = trait("optimizer", values["optimizer"], "full_batch", False)
    accumulate = math.ceil(n / batch_size) if whole else s.accumulate
    test = not holds_trials(s.study)
    epochs = s.epochs if s.train else 0
    return Plan(s.seed, epochs, batch_size, accumulate, s.warmup, n, s.checkpoint_every, each, test)


def _drawn(values: dict[str, Any], dataset: Dataset) -> tuple[int, int] | None:
    """Return the number of tuples in an epoch and the samples of each, of a task that draws tuples; otherwise None.

    Every split is drawn from once, so that a split that is too small is refused here. Any other exception is left to
    the run, whose failure it is.
    """
    try:
        task, seed = make_task(values, dataset), values["split"]["seed"]
        if type(task).tuples is Task.tuples:
            return None
        if not dataset.in_memory:
            raise HarnessError(f"task {values['task'][KEY]} draws samples that are seen together from data in memory")
        drawn = {split: evaluation_tuples(task, dataset.part(split), split, seed) for split in SPLITS}["train"]
    except HarnessError:
        raise
    except BaseException as error:
        reraise_interrupt(error)
        return None
    return None if drawn is None else (drawn.shape[0], drawn.shape[1])


def prepare(job: Job) -> RunSpec:
    """Prepare one job."""
    return Preparation().prepare(job)


def refuse_stale(members: Sequence[RunSpec]) -> None:
    """Raise HarnessError if this process holds code of some runs, and its files have changed since."""
    for used in {tuple(components(member.values)) for member in members}:
        _refuse_changed(sources(used))


def trained_samples(values: Mapping[str, Any], loaded: Loaded) -> list[str]:
    """Return a warning if samples that are evaluated may be among those that the initial weights were trained on.

    Args:
        values: The resolved config.
        loaded: Its data.
    """
    run = None if values["init_from"] is None else run_of(Path(values["init_from"]))
    if run is None or run.data.get("digest") == loaded.digest or run.config.get("data") != values["data"]:
        return []
    theirs, ours = run.config.get("split", {}), values["split"]
    differing = [name for name in sorted(loaded.divided_by or ()) if theirs.get(name) != ours[name]]
    if not differing:
        return []
    settings = ", ".join(f"split.{name}={theirs.get(name)}" for name in differing)
    return [
        f"init_from: its run had another division of this data ({settings}), so that samples of this test split may be "
        "among those that it was trained on"
    ]


def _refuse_changed(sources: dict[str, str]) -> None:
    if names := changed(sources):
        raise HarnessError(f"{', '.join(names)} changed after this process had imported it; start a new one")
