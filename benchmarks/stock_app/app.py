"""A stock Hydra and Lightning application, as the tutorials have it: `python app.py -m lr=0.001,0.003 seed=0,1`."""

import json
import os
import time

import hydra
import numpy as np
import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from networks import network
from omegaconf import DictConfig
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics.classification import MulticlassAccuracy


class Classifier(pl.LightningModule):
    """Cross-entropy by Adam."""

    def __init__(self, model: torch.nn.Module, classes: int, lr: float) -> None:
        super().__init__()
        self.model, self.lr = model, lr
        self.val_accuracy = MulticlassAccuracy(classes, average="micro")
        self.test_accuracy = MulticlassAccuracy(classes, average="micro")

    def training_step(self, batch: list[torch.Tensor], index: int) -> torch.Tensor:
        x, y = batch
        loss = F.cross_entropy(self.model(x), y)
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch: list[torch.Tensor], index: int) -> None:
        x, y = batch
        out = self.model(x)
        self.val_accuracy(out, y)
        self.log("val/loss", F.cross_entropy(out, y))
        self.log("val/accuracy", self.val_accuracy)

    def test_step(self, batch: list[torch.Tensor], index: int) -> None:
        x, y = batch
        out = self.model(x)
        self.test_accuracy(out, y)
        self.log("test/loss", F.cross_entropy(out, y))
        self.log("test/accuracy", self.test_accuracy)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), self.lr)


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(config: DictConfig) -> float:
    """One run."""
    pl.seed_everything(config.seed, verbose=False)
    arrays = np.load(config.arrays)
    x, y = arrays["x_train"], arrays["y_train"]
    splits = {
        split: TensorDataset(torch.from_numpy(arrays[f"x_{split}"]), torch.from_numpy(arrays[f"y_{split}"]))
        for split in ("train", "val", "test")
    }
    classes = int(y.max()) + 1
    model = network(config.model, x.shape[1:], classes, config.width, config.depth)
    module = Classifier(model, classes, config.lr)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=config.epochs,
        logger=pl.loggers.TensorBoardLogger(HydraConfig.get().runtime.output_dir),
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    train = DataLoader(splits["train"], config.batch_size, shuffle=True)
    val, test = (DataLoader(splits[split], config.batch_size) for split in ("val", "test"))
    trainer.fit(module, train, val)
    accuracy = trainer.test(module, test, verbose=False)[0]["test/accuracy"]
    with open(config.stamps, "a") as file:  # the one line that is not stock: what the benchmark reads
        times = {"wall": time.time(), "cpu": time.process_time()}
        file.write(json.dumps({"worker": os.getpid(), **times, "accuracy": accuracy}) + "\n")
    return accuracy


if __name__ == "__main__":
    main()
