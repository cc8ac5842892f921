"""A LightningModule as a model: harness calls its `forward`, and trains it in its own way."""

from __future__ import annotations

from torch import nn

from harness.system.errors import HarnessError

# What a LightningModule says of training; what it only hears of (on_train_start, ...) is called by nobody either.
TRAINING = (
    "training_step", "validation_step", "test_step", "predict_step", "configure_optimizers", "optimizer_step",
    "configure_gradient_clipping", "lr_scheduler_step", "train_dataloader", "val_dataloader", "test_dataloader",
)  # fmt: skip


def ignored(model: nn.Module) -> list[str]:
    """The methods of a LightningModule that harness would never call; none of a plain module's."""
    # by name: a model may come of `lightning` as of `pytorch_lightning`, and a plain one needs neither
    base = next((c for c in type(model).__mro__ if c.__name__ == "LightningModule"), None)
    if base is None:
        return []
    return [name for name in TRAINING if getattr(type(model), name, None) is not getattr(base, name, None)]


def refuse_ignored(name: str, model: nn.Module, forward_only: bool) -> None:
    """Raise HarnessError if a model's own way of training would be ignored, and its author has not said so."""
    methods = [] if forward_only else ignored(model)
    if methods:
        raise HarnessError(
            f"model {name} is a LightningModule with its own {' and '.join(methods[:3])}, which harness never calls: "
            "it trains forward() with the chosen loss=, optimizer= and scheduler=. Write "
            "@harness.model(forward_only=True) if that is what you want, or return a plain torch.nn.Module"
        )
