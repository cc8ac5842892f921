"""Which parameters of Lightning's Trainer are the learner's own business, and where a person finds them instead."""

from __future__ import annotations

from collections.abc import Iterable

from harness.errors import HarnessError, suggest

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
    "limit_train_batches": "data of the size that you want",
    "limit_val_batches": "split.val=",
    "limit_test_batches": "split.test=",
    "limit_predict_batches": "harness.load_model",
    "overfit_batches": "data of the size that you want",
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
    "profiler": "nothing yet: harness records the time of a run",
}
_STRATEGIES = ("auto", "ddp")


def allowed(parameters: Iterable[str]) -> list[str]:
    """The Trainer's parameters that pass through `trainer.*`."""
    return [name for name in parameters if name not in INSTEAD]


def check(given: dict[str, object], parameters: Iterable[str]) -> None:
    """Raises HarnessError for a key that is not the Trainer's, or that the learner does itself."""
    known = allowed(parameters)
    for key, value in given.items():
        if key in INSTEAD:
            raise HarnessError(f"trainer.{key} is the learner's own business; use {INSTEAD[key]}")
        if key not in known:
            raise HarnessError(f"Lightning's Trainer has no parameter {key!r}.{suggest(key, known)}")
        if key == "precision" and value is not None and str(value) in ("16", "16-mixed", "16-true"):
            raise HarnessError(f"trainer.precision={value} needs loss scaling, which is not done here; use bf16-mixed")
        if key == "strategy" and value not in _STRATEGIES:
            raise HarnessError(f"trainer.strategy must be one of {', '.join(_STRATEGIES)}, got {value!r}")
