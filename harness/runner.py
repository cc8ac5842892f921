"""One run: from a checked job to one complete record, whatever happens on the way."""

from __future__ import annotations

import json
import logging
import shutil
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from omegaconf import OmegaConf

from harness import environment
from harness.app import Job
from harness.build import Parts, build, component
from harness.curves import Curves
from harness.errors import HarnessError
from harness.learner.fit import Outcome, fit, make_trainer
from harness.learner.member import Member
from harness.learner.plan import Plan
from harness.load_data import Loader, warn_of_overlap
from harness.prepare import Prepared, prepare
from harness.record import FILE, Record, read, write
from harness.weights import save_weights

Watch = Callable[[dict[str, float], int, int], None]
log = logging.getLogger("harness")


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
    trainer = make_trainer(prepared.values["trainer"], prepared.plan, _payload(prepared))
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
        other = read(record.folder)  # another process may have completed this run meanwhile: that is kept
        if record.status in ("completed", "diverged") or other is None or other.status != "completed":
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
    loggers = [component("logger", node, run_dir=run_dir, name=record.name) for node in values["logger"].values()]
    log.info("run %s (%s) of study %s", record.id, record.name, record.study)
    with Curves(record.folder) as curves:
        watchers = [curves.add, *(_to_logger(logger) for logger in loggers), *([watch] if watch else [])]
        member = _member(prepared, parts, watchers)
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
            # what was measured stands in the record also of a run that failed or was interrupted
            record.metrics = {k: v for k, v in member.metrics.items() if k != "train/lr"}
            record.best = member.best
    record.status, record.error = status, member.diverged
    _times(record, prepared.plan, member, outcome)
    if values["save"] != "none" and status == "completed":
        best = member.best_weights if values["save"] == "best" else None
        save_weights(record.folder, best or outcome.weights[0], prepared.loaded.dataset)
    log.info("%s: %s", status, json.dumps(record.metrics))


def _member(prepared: Prepared, parts: Parts, watchers: list[Watch]) -> Member:
    values = prepared.values
    return Member(
        parts.regularizers,
        {name: bool(make().higher_is_better) for name, make in parts.metrics.items()},
        keep_best=values["objective"] if values["save"] == "best" else None,
        watchers=watchers,
    )


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


def _payload(prepared: Prepared) -> str:
    """What another process of this run has to know."""
    job = prepared.job
    return json.dumps({"overrides": job.overrides, "values": job.values, "id": prepared.record.id})


def main_rank(payload: str) -> None:
    """What the other processes of a distributed run do: the same training, and no writing."""
    given = json.loads(payload)
    prepared = prepare(Job(given["values"], given["overrides"], OmegaConf.create({})))
    if prepared.record.id != given["id"]:
        raise RuntimeError(f"this process sees run {prepared.record.id}, its launcher {given['id']}")
    parts = build(prepared.values, prepared.loaded.dataset, prepared.plan.total_steps)
    warnings.simplefilter("ignore")
    trainer = make_trainer(prepared.values["trainer"], prepared.plan, payload)
    fit(trainer, parts, prepared.loaded.dataset, prepared.plan, _member(prepared, parts, []))
