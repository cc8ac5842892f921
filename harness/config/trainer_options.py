"""Check the parameters of Lightning's Trainer, and refuse those that harness manages itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from harness.system.errors import HarnessError, shown, suggest

NO_COMPILE = (
    "nothing: torch.compile takes seconds for each shape and changes bits; recorded steps are replayed "
    "(recording=auto), and a sweep trains many runs as one program"
)
INSTEAD = {
    "max_epochs": "epochs=",
    "min_epochs": "epochs=",
    "max_steps": "epochs=",
    "min_steps": "epochs=",
    "gradient_clip_val": "'regularizer=[gradient_clipping]'",
    "gradient_clip_algorithm": "'regularizer=[gradient_clipping]'",
    "accumulate_grad_batches": "accumulate=",
    "logger": "'logger=[tensorboard,csv]'",
    "callbacks": "'callback=[NAME]' (harness list callback)",
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
    "num_sanity_val_steps": "nothing: data is checked before the run",
    "log_every_n_steps": "nothing: curves have one point per epoch",
    "use_distributed_sampler": "nothing: harness divides the batches",
    "reload_dataloaders_every_n_epochs": "nothing: harness makes the batches",
    "inference_mode": "nothing: harness evaluates the model itself",
    "model_registry": "nothing: weights are kept in the run's folder",
    "sync_batchnorm": "nothing: batch statistics are always taken over the global batch",
    "barebones": "'logger=[]'",
    "enable_autolog_hparams": "nothing: the whole config is in the record",
    "plugins": "trainer.precision= and trainer.strategy=: a config names no Python objects",
    "profiler": "torch.profiler around harness.run: the record only holds the time of a run",
}
UNKNOWN = {  # parameters of older versions of Lightning, and of other tools' trainers
    "auto_lr_find": "a sweep over optimizer.lr: harness -m optimizer.lr=0.001,0.01,0.1",
    "compile": NO_COMPILE,
    "gpus": "trainer.accelerator=gpu trainer.devices=N",
    "num_processes": "trainer.devices=N",
    "resume_from_checkpoint": "resume=true, or init_from=FILE for its weights",
    "tpu_cores": "trainer.accelerator=tpu trainer.devices=N",
}


def _is_count(value: Any) -> bool:
    whole = type(value) is int or (isinstance(value, str) and value.isdigit())
    return whole and int(value) >= 1


def _is_index_list(value: Any) -> bool:
    parts = [p.strip() for p in value.split(",") if p.strip()] if isinstance(value, str) else value
    return isinstance(parts, list) and bool(parts) and all(str(p).isdigit() for p in parts)


_WHOLE = "a whole number >= 1"
_SWITCH = ("true or false", lambda v: v is None or isinstance(v, bool))
_EXPECTED: dict[str, tuple[str, Callable[[Any], bool]]] = {  # (description of valid values, test of a value)
    "check_val_every_n_epoch": (_WHOLE, _is_count),
    "num_nodes": (_WHOLE, _is_count),
    "devices": (
        f"auto, {_WHOLE}, -1 for all, or a list of indices",
        lambda v: v in ("auto", "-1", -1, None) or _is_count(v) or _is_index_list(v),
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
_NEEDS_SCALING = ("16", "16-mixed", "16-true")


def allowed(parameters: Iterable[str]) -> list[str]:
    """Return the parameters of the Trainer that can be set as `trainer.*`."""
    return [name for name in parameters if name not in INSTEAD]


def refusal(key: str) -> str:
    """Return the error line for a parameter that harness manages."""
    return f"trainer.{key} is managed by harness; use {INSTEAD[key]}"


def other(key: str) -> str | None:
    """Return what to type instead of a parameter that the Trainer does not have, or None if nothing is known."""
    return f" Instead: {UNKNOWN[key]}" if key in UNKNOWN else None


def check_trainer(options: dict[str, Any], parameters: Iterable[str], epochs: int) -> None:
    """Check the `trainer` node of a config.

    Args:
        options: The node.
        parameters: Parameters of Lightning's Trainer.
        epochs: Number of epochs of the run.

    Raises:
        HarnessError: If a key is unknown or managed by harness, or if a value is not valid.
    """
    known = allowed(parameters)
    for key, value in options.items():
        if key in INSTEAD:
            raise HarnessError(refusal(key))
        if key not in known:
            raise HarnessError(f"unknown key 'trainer.{key}'.{other(key) or suggest(key, known, path='trainer.')}")
        if key == "precision" and str(value) in _NEEDS_SCALING:
            raise HarnessError(
                f"trainer.precision={value} needs loss scaling, which harness does not do; use bf16-mixed"
            )
        words = _WORDS.get(key)
        if words and value is not None and str(value) not in words:
            near = suggest(value, words, listed=False)
            got = shown(value) + (f".{near}" if near else "")
            raise HarnessError(f"trainer.{key} must be one of {', '.join(words)}, got {got}")
        if key in _EXPECTED and not _EXPECTED[key][1](value):
            raise HarnessError(f"trainer.{key} must be {_EXPECTED[key][0]}, got {shown(value)}")
    every = options.get("check_val_every_n_epoch") or 1
    if every > epochs:
        raise HarnessError(f"trainer.check_val_every_n_epoch={every} never validates within epochs={epochs}")
