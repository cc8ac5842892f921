"""Make the Summary.Value protos that TensorBoard's plugins read, one for each value, as pure functions."""

from __future__ import annotations

import functools
import io
import math
from collections.abc import Mapping, Sequence

import torch
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.histogram import metadata as histograms
from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2
from tensorboard.plugins.hparams import metadata as hparams
from tensorboard.plugins.hparams.summary_v2 import hparams_pb
from tensorboard.plugins.text.summary_v2 import text_pb
from tensorboard.util.tensor_util import make_tensor_proto
from torch import Tensor
from torch.utils.tensorboard import summary as torch_summary

THRESHOLDS = 51  # of a precision-recall curve: 0, 0.02 .. 1
LR = "train/lr"
Setting = bool | int | float | str


def scalar(tag: str, value: float) -> Summary.Value:
    """A number."""
    return Summary.Value(tag=tag, simple_value=float(value))


def image(tag: str, shown: Tensor) -> Summary.Value:
    """An image [1 or 3, H, W] of values in 0 .. 1."""
    channels, height, width = shown.shape
    made = Summary.Image(height=height, width=width, colorspace=channels, encoded_image_string=png(shown))
    return Summary.Value(tag=tag, image=made)


def text(tag: str, markdown: str) -> Summary.Value:
    """Markdown."""
    value = Summary.Value()
    value.CopyFrom(_text())
    value.tag, value.tensor.string_val[0] = tag, markdown.encode()
    return value


@functools.cache
def _text() -> Summary.Value:
    """Return an empty text, which is slow to make."""
    return text_pb("", "").value[0]


def histogram(tag: str, counts: Sequence[float] | Tensor, edges: Sequence[float] | Tensor) -> Summary.Value:
    """Make a histogram from counts `[K]` between edges `[K + 1]`."""
    heights, at = torch.as_tensor(counts), torch.as_tensor(edges)
    rows = torch.stack([at[:-1].double(), at[1:].double(), heights.double()], 1)
    metadata = histograms.create_summary_metadata(display_name=None, description=None)
    return Summary.Value(tag=tag, tensor=make_tensor_proto(rows.float().numpy()), metadata=metadata)


def pr_curve(tag: str, scores: Tensor, truths: Tensor) -> Summary.Value:
    """Precision and recall of `score >= threshold` over the thresholds; scores [N] in 0 .. 1, truths [N]."""
    shown = scores.double().clamp(0, 1).numpy()
    return torch_summary.pr_curve(tag, truths.bool().numpy(), shown, THRESHOLDS).value[0]


def session_start(settings: Mapping[str, Setting], at: float) -> Summary.Value:
    """The row of a run in the table of hyperparameters.

    No experiment goes before it: where there is one TensorBoard shows its columns alone, and a run knows only its own.
    """
    row = {key: value if _is_plain(value) else str(value) for key, value in settings.items()}
    return hparams_pb(row, trial_id="", start_time_secs=at).value[0]


def _is_plain(value: Setting) -> bool:
    """Return True unless the table drops a value: it holds booleans, finite numbers, and strings."""
    return isinstance(value, (bool, int, float)) and math.isfinite(value)


def session_end(succeeded: bool, at: float) -> Summary.Value:
    """Make the summary of how a run ended."""
    status = api_pb2.STATUS_SUCCESS if succeeded else api_pb2.STATUS_FAILURE
    info = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=at)
    metadata = hparams.create_summary_metadata(plugin_data_pb2.HParamsPluginData(session_end_info=info))
    return Summary.Value(tag=hparams.SESSION_END_INFO_TAG, metadata=metadata, tensor=hparams.NULL_TENSOR)


@functools.cache
def layout(tags: tuple[str, ...]) -> Summary.Value:
    """The page of custom scalars: what belongs in one chart.

    Training against validation for each metric, the loss first; the learning rate; and one chart for each group of the
    other tags (gradient_norm/layers.0, gradient_norm/layers.2).
    """
    compared: dict[str, list[str]] = {}
    groups: dict[str, list[str]] = {}
    for tag in tags:
        first, _, rest = tag.partition("/")
        if first in ("train", "val") and tag != LR:
            compared.setdefault(rest, []).append(_exactly(tag))
        elif rest and first not in ("train", "test"):
            groups.setdefault(first, [f"^{_quoted(first)}/"])
    categories = {
        "losses and metrics": {name: compared[name] for name in sorted(compared, key=lambda name: name != "loss")},
        "learning rate": {"learning rate": [_exactly(LR)]} if LR in tags else {},
        "inside": groups,
    }
    charts = {
        category: {title: ["Multiline", lines] for title, lines in group.items()}
        for category, group in categories.items()
        if group
    }
    return torch_summary.custom_scalars(charts).value[0]


def _exactly(tag: str) -> str:
    return f"^{_quoted(tag)}$"


def _quoted(tag: str) -> str:
    return "".join(c if c.isalnum() or c in "_-/ " else f"\\{c}" for c in tag)


def png(shown: Tensor) -> bytes:
    """An image [1 or 3, H, W] of values in 0 .. 1 as a PNG file."""
    from PIL import Image  # most runs of a sweep show no image

    levels = (shown.detach().float().cpu().clamp(0, 1) * 255).round().to(torch.uint8)
    file = io.BytesIO()
    Image.fromarray(levels.movedim(0, -1).squeeze(-1).numpy()).save(file, "PNG")
    return file.getvalue()
