import csv
import io

import numpy as np
import PIL.Image
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.plugins.components.helpers import make

ROWS = [({"train/loss": 0.5, "val/accuracy": 0.25}, 3), ({"train/loss": 0.125, "val/accuracy": 0.75}, 7)]


def logged(name, folder):
    logger = make("logger", name, run_dir=str(folder), name="relu,seed=0", in_sweep=True)
    for metrics, step in ROWS:
        logger.log_metrics(metrics, step)
    logger.save()
    logger.finalize("success")


def test_tensorboard_writes_scalars_to_the_run_folder(tmp_path):
    logged("tensorboard", tmp_path)
    events = EventAccumulator(str(tmp_path)).Reload()
    for tag in ROWS[0][0]:
        assert [(e.step, e.value) for e in events.Scalars(tag)] == [(step, metrics[tag]) for metrics, step in ROWS]


def test_csv_writes_one_row_per_step_to_the_run_folder(tmp_path):
    logged("csv", tmp_path)
    with (tmp_path / "metrics.csv").open() as file:
        found = [
            ({k: float(v) for k, v in row.items() if k != "step"}, int(row["step"])) for row in csv.DictReader(file)
        ]
    assert found == ROWS


@pytest.mark.parametrize("channels", [1, 3])
def test_tensorboard_writes_images_losslessly(channels, tmp_path):
    image = torch.rand(channels, 5, 9, generator=torch.Generator().manual_seed(0))
    logger = make("logger", "tensorboard", run_dir=str(tmp_path), name="vae,seed=0", in_sweep=False)
    logger.log_image("samples", [image], step=4)
    logger.finalize("success")
    (event,) = EventAccumulator(str(tmp_path)).Reload().Images("samples")
    assert (event.step, event.width, event.height) == (4, 9, 5)
    read = np.asarray(PIL.Image.open(io.BytesIO(event.encoded_image_string))).reshape(5, 9, channels)
    np.testing.assert_array_equal(read, (image.permute(1, 2, 0).numpy() * 255).round())
