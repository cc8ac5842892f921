"""What TensorBoard's plugins read: one Summary.Value for each thing that is shown, as pure functions."""

from __future__ import annotations

import functools
import math
import struct
import zlib
from collections.abc import Mapping, Sequence

import torch
from google.protobuf.struct_pb2 import Value as Plain
from tensorboard.compat.proto.summary_pb2 import DATA_CLASS_TENSOR, Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_FLOAT, DT_STRING
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.custom_scalar import metadata as custom_scalars
from tensorboard.plugins.histogram import metadata as histograms
from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2
from tensorboard.plugins.hparams import metadata as hparams
from tensorboard.plugins.pr_curve import metadata as pr_curves
from tensorboard.plugins.text import metadata as texts
from torch import Tensor

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
    return Summary.Value(tag=tag, tensor=_string(markdown.encode()), metadata=_metadata(texts))


def histogram(tag: str, counts: Sequence[float] | Tensor, edges: Sequence[float] | Tensor) -> Summary.Value:
    """How many values lie in each bin: counts [K] between edges [K + 1]."""
    heights, at = torch.as_tensor(counts), torch.as_tensor(edges)
    rows = torch.stack([at[:-1].double(), at[1:].double(), heights.double()], 1)
    return Summary.Value(tag=tag, tensor=_floats(rows), metadata=_metadata(histograms))


def pr_curve(tag: str, scores: Tensor, truths: Tensor) -> Summary.Value:
    """Precision and recall of `score >= threshold` over the thresholds; scores [N] in 0 .. 1, truths [N]."""
    places = (scores.double().clamp(0, 1) * (THRESHOLDS - 1)).floor().long()
    above = [
        torch.bincount(places[chosen], minlength=THRESHOLDS).flip(0).cumsum(0).flip(0).double()
        for chosen in (truths.bool(), ~truths.bool())
    ]
    tp, fp = above
    tn, fn = fp[0] - fp, tp[0] - tp
    tiny = 1e-7  # nothing is called positive: precision is then told as 0, as TensorBoard's own writer does
    rows = torch.stack([tp, fp, tn, fn, tp / (tp + fp).clamp_min(tiny), tp / (tp + fn).clamp_min(tiny)])
    return Summary.Value(tag=tag, tensor=_floats(rows), metadata=_pr_metadata())


def session_start(settings: Mapping[str, Setting], at: float) -> Summary.Value:
    """The row of a run in the table of hyperparameters.

    No experiment goes before it: where there is one TensorBoard shows its columns alone, and a run knows only its own.
    """
    info = plugin_data_pb2.SessionStartInfo(start_time_secs=at)
    for key, value in settings.items():
        _set(info.hparams[key], value)
    return _session(hparams.SESSION_START_INFO_TAG, plugin_data_pb2.HParamsPluginData(session_start_info=info))


def session_end(succeeded: bool, at: float) -> Summary.Value:
    """How that run ended."""
    status = api_pb2.STATUS_SUCCESS if succeeded else api_pb2.STATUS_FAILURE
    info = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=at)
    return _session(hparams.SESSION_END_INFO_TAG, plugin_data_pb2.HParamsPluginData(session_end_info=info))


def _session(tag: str, data: plugin_data_pb2.HParamsPluginData) -> Summary.Value:
    return Summary.Value(tag=tag, metadata=hparams.create_summary_metadata(data), tensor=hparams.NULL_TENSOR)


def _set(plain: Plain, value: Setting) -> None:
    if isinstance(value, bool):
        plain.bool_value = value
    elif isinstance(value, (int, float)) and math.isfinite(value):  # the table cannot hold others, and drops them
        plain.number_value = value
    else:
        plain.string_value = str(value)


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
    made = layout_pb2.Layout(
        category=[
            layout_pb2.Category(title=title, chart=[_chart(name, lines) for name, lines in charts.items()])
            for title, charts in categories.items()
            if charts
        ]
    )
    content = _string(made.SerializeToString())
    metadata = custom_scalars.create_summary_metadata()
    return Summary.Value(tag=custom_scalars.CONFIG_SUMMARY_TAG, tensor=content, metadata=metadata)


def _chart(title: str, tags: list[str]) -> layout_pb2.Chart:
    return layout_pb2.Chart(title=title, multiline=layout_pb2.MultilineChartContent(tag=tags))


def _exactly(tag: str) -> str:
    return f"^{_quoted(tag)}$"


def _quoted(tag: str) -> str:
    return "".join(c if c.isalnum() or c in "_-/ " else f"\\{c}" for c in tag)


def _string(content: bytes) -> TensorProto:
    return TensorProto(dtype=DT_STRING, string_val=[content], tensor_shape=TensorShapeProto())


def _floats(rows: Tensor) -> TensorProto:
    shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=size) for size in rows.shape])
    return TensorProto(dtype=DT_FLOAT, tensor_shape=shape, tensor_content=rows.float().numpy().tobytes())


@functools.cache
def _metadata(plugin: object) -> SummaryMetadata:
    made = plugin.create_summary_metadata(display_name=None, description=None)  # type: ignore[attr-defined]
    made.data_class = DATA_CLASS_TENSOR
    return made


@functools.cache
def _pr_metadata() -> SummaryMetadata:
    made = pr_curves.create_summary_metadata(display_name=None, description=None, num_thresholds=THRESHOLDS)
    made.data_class = DATA_CLASS_TENSOR
    return made


def png(shown: Tensor) -> bytes:
    """An image [1 or 3, H, W] of values in 0 .. 1 as a PNG file (ISO/IEC 15948), without a library for it."""
    levels = (shown.detach().float().cpu().clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    height, width, channels = levels.shape

    def chunk(name: bytes, content: bytes) -> bytes:
        checked = name + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    head = struct.pack(">IIBBBBB", width, height, 8, {1: 0, 3: 2}[channels], 0, 0, 0)
    lines = b"".join(b"\0" + row.tobytes() for row in levels)  # 0: as it is, not as differences
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
