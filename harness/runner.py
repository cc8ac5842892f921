"""One run: from a checked job to one complete record, whatever happens on the way."""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import OmegaConf

from harness import catalogue, environment
from harness.app import Job
from harness.build import Parts, build, component
from harness.curves import Curves
from harness.dataset import SPLITS, size
from harness.errors import HarnessError
from harness.identity import identity
from harness.learner.fit import Outcome, fit, make_trainer
from harness.learner.member import Member
from harness.learner.plan import Plan
from harness.load_data import Loaded, Loader, warn_of_overlap
from harness.overrides import folder_name, readable
from harness.record import FILE, OUTPUTS, Record, read, write, write_file
from harness.rehearse import rehearse
from harness.resolve import choices, resolve

WEIGHTS = "weights.pt"
Watch = Callable[[dict[str, float], int, int], None]
log = logging.getLogger("harness")


@dataclass
class Prepared:
    """A job that has passed every check, with its data in memory and its identity frozen; nothing is written yet."""

    job: Job
    values: dict[str, Any]
    loaded: Loaded
    plan: Plan
    device: str
    record: Record

    def finished(self) -> Record | None:
        """The complete record of this identity that holds everything asked for, if there is one."""
        old = read(self.record.folder)
        if self.values["rerun"] or old is None or old.id != self.record.id:
            return None
        if old.status not in ("completed", "diverged"):
            return None
        asked, held = self.values["metric"], old.config.get("metric", {})
        if any(held.get(name) != node for name, node in asked.items()):
            return None
        wants = self.values["save"]
        if wants != "none" and (old.config.get("save") != wants or not (old.folder / WEIGHTS).exists()):
            return None if old.status == "completed" else replace(old, cached=True)
        # what is optimised is asked anew at each launch, and decides nothing about the training
        return replace(old, cached=True, config=old.config | {"objective": self.values["objective"]})


def prepare(job: Job, loader: Loader | None = None) -> Prepared:
    """Loads the data, resolves `auto`, checks what only the data can tell, and freezes the identity."""
    known = catalogue.current()
    loaded = (loader or Loader()).load(job.values)
    values = resolve(job.values, loaded.dataset, known)
    dataset, settings = loaded.dataset, job.settings
    n = size(dataset.train)
    if settings.batch_size > n:
        raise HarnessError(f"batch_size={settings.batch_size} is larger than the {n} training samples")
    plan = Plan(settings.seed, settings.epochs, settings.batch_size, settings.accumulate, settings.warmup, n)
    device = environment.device_type(values["trainer"])
    rehearse(values, dataset, plan)
    run_id = identity(values, device, loaded.digest, known.trainer)
    folder = Path(OUTPUTS) / settings.study / folder_name(job.overrides, run_id)
    folder = _existing(folder, run_id) or folder
    record = Record(
        id=run_id,
        name=readable(job.overrides),
        study=settings.study,
        config=values,
        choices=choices(values),
        data={"name": values["data"]["_component_"], "digest": loaded.digest}
        | {split: size(dataset.part(split)) for split in SPLITS}
        | {"overlap": loaded.overlap},
        folder=folder,
    )
    return Prepared(job, values, loaded, plan, device, record)


def _existing(folder: Path, run_id: str) -> Path | None:
    """The folder that this identity already has in its study, however the overrides were written."""
    return next((p for p in sorted(folder.parent.glob(f"*-{run_id}")) if (p / FILE).exists()), None)


def train(job: Job, watch: Watch | None = None, loader: Loader | None = None) -> Record:
    """Trains a job, unless a complete record of its identity stands in its study.

    Raises HarnessError for bad input, with nothing written, and KeyboardInterrupt after recording it. What goes
    wrong in training is a failed record, and no exception.
    """
    started = time.perf_counter()
    prepared = prepare(job, loader)
    done = prepared.finished()
    if done is not None:
        return done
    record = prepared.record
    parts = _build(prepared)
    trainer = make_trainer(prepared.values["trainer"], prepared.plan, lambda: _payload(prepared))
    record.time = {"started": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
    executor = prepared.values["executor"]["_component_"]
    record.cohort = {"size": 1, "path": "alone", "executor": executor, "why": "one run at a time"}
    record.environment = environment.describe(prepared.device)
    _open_folder(prepared)
    try:
        with _log_file(record.folder):
            warn_of_overlap(prepared.loaded, prepared.values)
            if isinstance(parts, BaseException):
                raise parts
            _train(prepared, parts, trainer, watch)
    except KeyboardInterrupt:
        record.status = "interrupted"
        record.error = {"type": "KeyboardInterrupt", "message": "interrupted by the user", "traceback": None}
        raise
    except BaseException as error:
        record.status = "failed"
        record.error = {
            "type": type(error).__name__,
            "message": str(error),
            "traceback": traceback.format_exc(),
        }
    finally:
        record.time["total_s"] = round(time.perf_counter() - started, 6)
        record.memory = {"estimate": None, "peak": environment.peak_memory(prepared.device)}
        write(record)
    return record


def _build(prepared: Prepared) -> Parts | BaseException:
    """The run's parts. A setting that a component refuses is bad input, and raised; other exceptions are a result."""
    try:
        parts = build(prepared.values, prepared.loaded.dataset, prepared.plan.total_steps)
    except HarnessError:
        raise
    except (Exception, SystemExit) as error:
        return error
    parameters = list(parts.model.parameters())
    prepared.record.model = {
        "parameters": sum(p.numel() for p in parameters),
        "trainable": sum(p.numel() for p in parameters if p.requires_grad),
    }
    return parts


def _open_folder(prepared: Prepared) -> None:
    """The run's folder with its config and a record that says `running`; what an older attempt left is removed."""
    record, full = prepared.record, prepared.job.config
    try:
        (record.folder / ".hydra").mkdir(parents=True, exist_ok=True)
        write(record)
    except OSError as error:
        raise HarnessError(f"cannot write {record.folder}: {error.strerror or error}") from error
    for path in record.folder.iterdir():
        if path.name not in (FILE, ".hydra"):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    hydra = OmegaConf.masked_copy(full, ["hydra"])
    plain = OmegaConf.create(prepared.values)
    for name, content in {
        "config": OmegaConf.to_yaml(plain),
        "hydra": OmegaConf.to_yaml(hydra),
        "overrides": OmegaConf.to_yaml(OmegaConf.create(prepared.job.overrides)),
    }.items():
        (record.folder / ".hydra" / f"{name}.yaml").write_text(content)


@contextmanager
def _log_file(folder: Path) -> Iterator[None]:
    """log.txt: what the harness and Lightning say while the run lasts."""
    handler = logging.FileHandler(folder / "log.txt")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    names = ("harness", "pytorch_lightning")
    loggers = [logging.getLogger(name) for name in names]
    log.setLevel(logging.INFO)
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
        handler.close()


def _train(prepared: Prepared, parts: Parts, trainer: pl.Trainer, watch: Watch | None) -> None:
    record, values = prepared.record, prepared.values
    run_dir = str(record.folder)
    directions = {name: bool(make().higher_is_better) for name, make in parts.metrics.items()}
    loggers = [component("logger", node, run_dir=run_dir, name=record.name) for node in values["logger"].values()]
    log.info("run %s (%s) of study %s", record.id, record.name, record.study)
    with Curves(record.folder) as curves:
        member = Member(
            parts.regularizers,
            directions,
            keep_best=values["objective"] if values["save"] == "best" else None,
            watchers=[curves.add, *(_to_logger(logger) for logger in loggers), *([watch] if watch else [])],
        )
        status = "failed"
        try:
            outcome = fit(trainer, parts, prepared.loaded.dataset, prepared.plan, member)
            status = "diverged" if member.diverged else "completed"
            final = {k: v for k, v in member.metrics.items() if k.startswith("test/")}
            if final:
                curves.add(final, member.steps, member.epochs - 1)
                for logger in loggers:
                    logger.log_metrics(final, step=member.steps)
        finally:
            for logger in loggers:
                logger.finalize("success" if status == "completed" else "failed")
    record.status, record.error = status, member.diverged
    record.metrics = {k: v for k, v in member.metrics.items() if k != "train/lr"}
    record.best = member.best
    _times(record, prepared.plan, member, outcome)
    if values["save"] != "none" and status == "completed":
        best = member.best_weights if values["save"] == "best" else None
        save_weights(record.folder, best or outcome.weights[0], prepared)
    log.info("%s: %s", status, json.dumps(record.metrics))


def _to_logger(logger: Any) -> Watch:
    return lambda metrics, step, epoch: logger.log_metrics(metrics, step=step)


def _times(record: Record, plan: Plan, member: Member, outcome: Outcome) -> None:
    seconds = outcome.fit_s
    seen = member.epochs * plan.n
    record.time |= {
        "fit_s": round(seconds, 6),
        "share_s": round(seconds, 6),
        "samples_per_s": round(seen / seconds, 1) if seconds else 0.0,
        "epochs": member.epochs,
        "steps": member.steps,
    }
    record.cohort["processes"] = outcome.world


def save_weights(folder: Path, weights: dict[str, torch.Tensor], prepared: Prepared) -> None:
    """The weights, with the shapes that building their model again wants."""
    dataset = prepared.loaded.dataset
    content = {"state": weights, "inputs": list(dataset.inputs), "outputs": dataset.width}
    write_file(folder / WEIGHTS, lambda file: torch.save(content, file))


def load_model(run: str | Path | Record) -> torch.nn.Module:
    """The trained model of a run, in evaluation mode on the CPU: a Record, or the run's folder.

    Raises HarnessError if the run has kept no weights.
    """
    from harness.build import make_model
    from harness.record import load

    record = run if isinstance(run, Record) else next(iter(load(run)), None)
    if record is None or not (record.folder / WEIGHTS).exists():
        raise HarnessError(f"{run if record is None else record.folder} has no weights (save=none, or not completed)")
    kept = torch.load(record.folder / WEIGHTS, weights_only=True, map_location="cpu")
    regularizers = [
        component("regularizer", node, classes=kept["outputs"], total_steps=1)
        for node in record.config["regularizer"].values()
    ]
    model = make_model(record.config, tuple(kept["inputs"]), kept["outputs"], regularizers)
    state = kept["state"]
    floats = [t.dtype for t in state.values() if t.is_floating_point()]
    model.to(floats[0] if floats else torch.float32).load_state_dict(state)
    return model.eval()


def _payload(prepared: Prepared) -> str:
    """A file that tells another process of this run what to train."""
    with tempfile.NamedTemporaryFile("w", suffix=".json", prefix="harness-", delete=False) as file:
        json.dump(
            {"overrides": prepared.job.overrides, "values": prepared.job.values, "id": prepared.record.id},
            file,
        )
    return file.name


def main_rank(payload: str) -> None:
    """What the other processes of a distributed run do: the same training, and no writing."""
    given = json.loads(Path(payload).read_text())
    job = Job(given["values"], given["overrides"], OmegaConf.create({}))
    prepared = prepare(job)
    if prepared.record.id != given["id"]:
        raise RuntimeError(f"this process sees run {prepared.record.id}, its launcher {given['id']}")
    parts = build(prepared.values, prepared.loaded.dataset, prepared.plan.total_steps)
    member = Member(parts.regularizers, {name: bool(make().higher_is_better) for name, make in parts.metrics.items()})
    warnings.simplefilter("ignore")
    trainer = make_trainer(prepared.values["trainer"], prepared.plan, lambda: payload)
    fit(trainer, parts, prepared.loaded.dataset, prepared.plan, member)
