"""Parameters of Lightning's Trainer that harness manages, and what to set instead."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from harness.system.errors import HarnessError, shown, suggest

INSTEAD = {
    "max_epochs": "epochs=",
    "min_epochs": "epochs=",
    "max_steps": "epochs=",
    "min_steps": "epochs=",
    "gradient_clip_val": "'regularizer=[gradient_clipping]'",
    "gradient_clip_algorithm": "'regularizer=[gradient_clipping]'",
    "accumulate_grad_batches": "accumulate=",
    "logger": "'logger=[tensorboard,csv]'",
    "callbacks": "a component of the kind that fits (a regularizer may stop a run)",
    "enable_checkpointing": "save=",
    "default_root_dir": "study=",
    "enable_progress_bar": "a pipe or a file for the output: the bar is drawn on terminals only",
    "enable_model_summary": "harness show, and model.parameters in the record",
    "limit_train_batches": "'corruption=[fraction]', which keeps a share of the training samples",
    "limit_val_batches": "split.val=",
    "limit_test_batches": "split.test=",
    "limit_predict_batches": "harness.load_model",
    "overfit_batches": "'corruption=[fraction]', which keeps a share of the training samples",
    "fast_dev_run": "epochs=1",
    "val_check_interval": "trainer.check_val_every_n_epoch=",
    "num_sanity_val_steps": "nothing: validation needs no rehearsal, data is checked before the run",
    "log_every_n_steps": "nothing: curves have one point an epoch",
    "use_distributed_sampler": "nothing: batches are divided by the learner",
    "reload_dataloaders_every_n_epochs": "nothing: batches are made by the learner",
    "inference_mode": "nothing: evaluation is the learner's",
    "model_registry": "nothing: weights are kept in the run's folder",
    "sync_batchnorm": "nothing: batch statistics are always those of the global batch",
    "barebones": "'logger=[]'",
    "enable_autolog_hparams": "nothing: the whole config is in the record",
    "plugins": "trainer.precision= and trainer.strategy=: a config names no Python objects",
    "profiler": "nothing yet: harness records the time of a run",
}
FORMER = {  # of older versions of Lightning
    "auto_lr_find": "a sweep over optimizer.lr: harness -m optimizer.lr=0.001,0.01,0.1",
    "gpus": "trainer.accelerator=gpu trainer.devices=N",
    "num_processes": "trainer.devices=N",
    "resume_from_checkpoint": "resume=true",
    "tpu_cores": "trainer.accelerator=tpu trainer.devices=N",
}


def _count(value: Any) -> bool:
    whole = type(value) is int or (isinstance(value, str) and value.isdigit())
    return whole and int(value) >= 1


def _indices(value: Any) -> bool:
    parts = [p.strip() for p in value.split(",") if p.strip()] if isinstance(value, str) else value
    return isinstance(parts, list) and bool(parts) and all(str(p).isdigit() for p in parts)


_WHOLE = "a whole number >= 1"
_SWITCH = ("true or false", lambda v: v is None or isinstance(v, bool))
_EXPECTED: dict[str, tuple[str, Callable[[Any], bool]]] = {  # what is told, and whether a value is that
    "check_val_every_n_epoch": (_WHOLE, _count),
    "num_nodes": (_WHOLE, _count),
    "devices": (
        f"auto, {_WHOLE}, -1 for all, or a list of indices",
        lambda v: v in ("auto", "-1", -1, None) or _count(v) or _indices(v),
    ),
    "benchmark": _SWITCH,
    "detect_anomaly": _SWITCH,
    "deterministic": ("true, false or warn", lambda v: v in (None, "warn") or isinstance(v, bool)),
}
_WORDS = {
    "accelerator": ("auto", "cpu", "gpu", "cuda", "mps", "tpu"),
    "strategy": ("auto", "ddp"),
    "precision": ("32-true", "64-true", "bf16-true", "bf16-mixed", "32", "64", "bf16"),
}
_SCALED = ("16", "16-mixed", "16-true")


def allowed(parameters: Iterable[str]) -> list[str]:
    """The Trainer's parameters that pass through `trainer.*`."""
    return [name for name in parameters if name not in INSTEAD]


def refusal(key: str) -> str:
    """The line on a key that the learner owns."""
    return f"trainer.{key} is managed by harness; use {INSTEAD[key]}"


def check(given: dict[str, Any], parameters: Iterable[str], epochs: int) -> None:
    """Raises HarnessError for a key that is not the Trainer's, or that the learner does itself, or for its value."""
    known = allowed(parameters)
    for key, value in given.items():
        if key in INSTEAD:
            raise HarnessError(refusal(key))
        if key not in known:
            raise HarnessError(f"unknown key 'trainer.{key}'.{suggest(key, known)}")
        if key == "precision" and str(value) in _SCALED:
            raise HarnessError(f"trainer.precision={value} needs loss scaling, which is not done here; use bf16-mixed")
        words = _WORDS.get(key)
        if words and value is not None and str(value) not in words:
            near = suggest(value, words, listed=False)
            got = shown(value) + (f".{near}" if near else "")
            raise HarnessError(f"trainer.{key} must be one of {', '.join(words)}, got {got}")
        if key in _EXPECTED and not _EXPECTED[key][1](value):
            raise HarnessError(f"trainer.{key} must be {_EXPECTED[key][0]}, got {shown(value)}")
    every = given.get("check_val_every_n_epoch") or 1
    if every > epochs:
        raise HarnessError(f"trainer.check_val_every_n_epoch={every} never validates within epochs={epochs}")
