"""Refuse a LightningModule whose own training code would be ignored: harness only calls its `forward`."""

from __future__ import annotations

from torch import nn

from harness.system.errors import HarnessError

# Methods of a LightningModule that define its training. Its hooks (on_train_start, ...) are not called either.
TRAINING = (
    "training_step", "validation_step", "test_step", "predict_step", "configure_optimizers", "optimizer_step",
    "configure_gradient_clipping", "lr_scheduler_step", "train_dataloader", "val_dataloader", "test_dataloader",
)  # fmt: skip


def ignored(model: nn.Module) -> list[str]:
    """Return the overridden methods of a LightningModule that harness never calls; empty for a plain module."""
    # compare by name, since the class may be of `lightning` or `pytorch_lightning`
    base = next((c for c in type(model).__mro__ if c.__name__ == "LightningModule"), None)
    if base is None:
        return []
    return [name for name in TRAINING if getattr(type(model), name, None) is not getattr(base, name, None)]


def refuse_ignored(name: str, model: nn.Module, forward_only: bool) -> None:
    """Refuse a model whose own training code would be ignored.

    Args:
        name: Name of the model.
        model: The model.
        forward_only: True if the component declares that only `forward` is used.

    Raises:
        HarnessError: If code would be ignored without that declaration.
    """
    methods = [] if forward_only else ignored(model)
    if methods:
        raise HarnessError(
            f"model {name} is a LightningModule with its own {' and '.join(methods[:3])}, which harness never calls: "
            "it trains forward() with the chosen loss=, optimizer= and scheduler=. Write "
            "@harness.model(forward_only=True) if that is what you want, or return a plain torch.nn.Module"
        )
