import math

import numpy as np
import pytest
import torch
from sklearn.metrics import precision_score, recall_score
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout
from tensorboard.plugins.hparams import api_pb2, metadata
from tensorboard.util.tensor_util import make_ndarray

from harness_components.tensorboard import event_values as values


def test_histogram_has_one_row_per_bin():
    shown = values.histogram("w", [3, 0, 5], torch.tensor([-1.0, 0.0, 0.5, 2.0]))
    assert shown.metadata.plugin_data.plugin_name == "histograms"
    np.testing.assert_array_equal(make_ndarray(shown.tensor), [[-1, 0, 3], [0, 0.5, 0], [0.5, 2, 5]])


def test_precision_recall_curve_is_scikit_learns():
    draw = torch.Generator().manual_seed(0)
    scores, truths = torch.rand(200, generator=draw), torch.rand(200, generator=draw) < 0.3
    rows = make_ndarray(values.pr_curve("c", scores, truths).tensor)
    assert rows.shape == (6, values.THRESHOLDS)
    for place, threshold in enumerate(np.linspace(0, 1, values.THRESHOLDS)):
        said = scores.double().numpy() >= threshold - 1e-12
        assert rows[:4, place].tolist() == [
            (said & truths.numpy()).sum(), (said & ~truths.numpy()).sum(),
            (~said & ~truths.numpy()).sum(), (~said & truths.numpy()).sum(),
        ]  # fmt: skip
        assert rows[4, place] == pytest.approx(precision_score(truths, said, zero_division=0), abs=1e-6)
        assert rows[5, place] == pytest.approx(recall_score(truths, said), abs=1e-6)


def test_settings_keep_their_types_in_the_table():
    given = {"lr": 0.1, "seed": 3, "nesterov": True, "optimizer": "sgd", "margin": math.inf}
    content = values.session_start(given, 5.0).metadata.plugin_data.content
    told = metadata.parse_session_start_info_plugin_data(content).hparams
    assert {name: (v.WhichOneof("kind"), getattr(v, v.WhichOneof("kind"))) for name, v in told.items()} == {
        "lr": ("number_value", 0.1),
        "seed": ("number_value", 3),
        "nesterov": ("bool_value", True),
        "optimizer": ("string_value", "sgd"),
        "margin": ("string_value", "inf"),  # a number that is none would be left out
    }


@pytest.mark.parametrize(("well", "status"), [(True, "STATUS_SUCCESS"), (False, "STATUS_FAILURE")])
def test_session_end_has_the_status(well, status):
    content = values.session_end(well, 7.0).metadata.plugin_data.content
    told = metadata.parse_session_end_info_plugin_data(content)
    assert (api_pb2.Status.Name(told.status), told.end_time_secs) == (status, 7.0)


def test_layout_combines_comparable_tags_in_one_chart():
    tags = ("train/loss", "train/lr", "val/loss", "val/f1", "test/loss", "norm/a.0", "norm/a.b", "margin")
    (content,) = values.layout(tags).tensor.string_val
    made = Layout.FromString(content)
    assert {c.title: {chart.title: list(chart.multiline.tag) for chart in c.chart} for c in made.category} == {
        "losses and metrics": {"loss": ["^train/loss$", "^val/loss$"], "f1": ["^val/f1$"]},
        "learning rate": {"learning rate": ["^train/lr$"]},
        "inside": {"norm": ["^norm/"]},
    }
