"""The files that TensorBoard's projector reads: vectors, their labels, their images, and what belongs together."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import torch
from google.protobuf import text_format
from tensorboard.plugins.projector.metadata import PROJECTOR_FILENAME
from tensorboard.plugins.projector.projector_config_pb2 import EmbeddingInfo, ProjectorConfig
from torch import Tensor
from torch.nn import functional as F

from harness import images as drawing
from harness_components.tensorboard.event_values import png

FOLDER = "projector"
SIDE = 32  # pixels of a sample's image, at most


class Projector:
    """The embeddings of one run's folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, EmbeddingInfo] = {}

    def add(self, key: str, vectors: Tensor, labels: Sequence[str] | None, images: Tensor | None) -> None:
        """Writes vectors [N, D], and the list of all so far. An older one of this key is replaced."""
        place = Path(FOLDER) / re.sub(r"[^\w.-]", "_", key)
        (self._folder / place).mkdir(parents=True, exist_ok=True)
        info = EmbeddingInfo(tensor_name=key, tensor_path=f"{place}/vectors.tsv", tensor_shape=vectors.shape)
        rows = vectors.detach().float().cpu().tolist()
        self._write(info.tensor_path, "".join("\t".join(f"{v:.3g}" for v in row) + "\n" for row in rows))
        if labels is not None:
            info.metadata_path = f"{place}/labels.tsv"
            self._write(info.metadata_path, "".join(" ".join(label.split()) + "\n" for label in labels))
        if images is not None:
            small = shrunk(images.detach().float().cpu())
            info.sprite.image_path = f"{place}/images.png"
            info.sprite.single_image_dim.extend((small.shape[3], small.shape[2]))
            (self._folder / info.sprite.image_path).write_bytes(png(sprite(small)))
        self._known[key] = info
        self._write(PROJECTOR_FILENAME, text_format.MessageToString(ProjectorConfig(embeddings=self._known.values())))

    def _write(self, path: str, content: str) -> None:
        (self._folder / path).write_text(content, encoding="utf-8")


def shrunk(images: Tensor) -> Tensor:
    """Images [N, 1 or 3, H, W] whose longer side has no more than SIDE pixels."""
    height, width = images.shape[2:]
    share = SIDE / max(height, width)
    if share >= 1:
        return images
    return F.interpolate(images, (max(1, round(height * share)), max(1, round(width * share))), mode="area")


def sprite(images: Tensor) -> Tensor:
    """Images [N, C, H, W] as one square of them [C, R · H, R · W], row by row, as the projector cuts it."""
    n, channels, height, width = images.shape
    side = drawing.columns(n)
    cells = torch.zeros(side * side, channels, height, width)
    cells[:n] = images
    cells = cells.reshape(side, side, channels, height, width).permute(2, 0, 3, 1, 4)
    return cells.reshape(channels, side * height, side * width)
