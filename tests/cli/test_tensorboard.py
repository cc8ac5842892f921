"""Tests of `harness board` on a study, through the HTTP interface of TensorBoard's server."""

from __future__ import annotations

import io
import urllib.error
import urllib.parse
from collections.abc import Iterator
from typing import Any

import numpy as np
import PIL.Image
import pytest

import harness
from harness.cli.tensorboard import compared
from harness.execution import run_recorder
from harness.results.record import Record
from tests.helpers.boards import Board, serving

BASE = ["epochs=2", "batch_size=200", "study=looked"]
LOADER = "--load_fast=false"  # another loader; both read the same files


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Record]]:
    """A sweep of two optimizers, a single run with all details, one that diverged, one that failed."""

    def raises(*_: Any) -> None:
        raise RuntimeError("planted")

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("study"))
        swept = harness.sweep([*BASE, "optimizer=sgd,adam", "seed=0,1", "path=fused", "jobs=1"])
        records = {f"{r.choices['optimizer']}{r.config['seed']}": r for r in swept}
        records["cnn"] = harness.run([*BASE, "model=cnn", "normalization=batch_norm"])
        records["diverged"] = harness.run([*BASE, "optimizer=sgd", "optimizer.lr=1e30"])
        patch.setattr(run_recorder, "measure_at_end", raises)
        records["failed"] = harness.run([*BASE, "seed=7"])
        yield records


@pytest.fixture(scope="module")
def board(study: dict[str, Record]) -> Iterator[Board]:
    with serving(study["cnn"].folder.parent.resolve(), len(study)) as server:
        yield server


def test_every_run_has_its_curves(study: dict[str, Record], board: Board) -> None:
    for record in study.values():
        if record.status == "diverged":
            continue
        for name in ("train/loss", "val/loss", "val/accuracy"):
            rows = board.plugin("scalars/scalars", run=record.folder.name, tag=name)
            assert [step for _, step, _ in rows] == [6, 12]
            assert rows[-1][2] == pytest.approx(record.metrics[name], rel=1e-6)


def test_hparams_table_has_true_values_and_statuses(study: dict[str, Record], board: Board) -> None:
    table = board.table()
    assert table.keys() == {record.folder.name for record in study.values()}
    statuses = {"completed": "STATUS_SUCCESS", "diverged": "STATUS_FAILURE", "failed": "STATUS_FAILURE"}
    for record in study.values():
        row = table[record.folder.name]
        assert row["status"] == statuses[record.status]
        assert row["settings"]["optimizer"] == record.choices["optimizer"]
        assert row["settings"]["optimizer.lr"] == record.config["optimizer"]["lr"]
        if record.status == "diverged":
            assert not row["metrics"], "nothing was measured: an empty cell, and no zero"
        else:
            assert row["metrics"] == pytest.approx(record.metrics, rel=1e-6)


def test_first_columns_are_differing_settings_and_metrics(board: Board) -> None:
    answer = board.post("hparams/experiment")
    differing = {"model", "normalization", "optimizer", "optimizer.lr", "seed"}
    assert {info["name"] for info in answer["hparamInfos"][:5]} == differing
    assert [info["name"]["tag"] for info in answer["metricInfos"]] == [
        "val/accuracy", "val/loss", "test/accuracy", "test/loss", "train/loss",
    ]  # fmt: skip


def test_table_shows_comparable_scalars_of_many() -> None:
    tags = ["dead/a", "gradient_norm/layers.0", "test/f1", "train/loss", "train/lr", "val/f1", "auc_of_curve"]
    assert compared(tags) == ["val/f1", "test/f1", "auc_of_curve", "train/loss"]


def test_chart_layout_is_written_once(study: dict[str, Record], board: Board) -> None:
    answer = board.plugin("custom_scalars/layout")
    titles = {c["title"]: [chart["title"] for chart in c["chart"]] for c in answer["category"]}
    inside = titles.pop("inside")
    assert set(inside) == set(study["cnn"].choices["diagnostic"])
    assert titles == {"losses and metrics": ["loss", "accuracy"], "learning rate": ["learning rate"]}


def test_single_run_shows_graph_weights_and_images(study: dict[str, Record], board: Board) -> None:
    run = study["cnn"].folder.name
    graph = board.plugin("graphs/graph", run=run).decode()
    assert 'name: "stages/stage0/1/normalization (BatchNorm2d)/batch_norm"' in graph
    state = harness.load_model(study["cnn"].folder).state_dict()
    start, end = board.plugin("histograms/histograms", run=run, tag="weights/head.weight")
    assert (start[1], end[1]) == (0, 12)
    edges = np.array(end[2])
    assert edges[:, 2].sum() == state["head.weight"].numel()
    weight = state["head.weight"]
    np.testing.assert_allclose([edges[0, 0], edges[-1, 1]], [weight.min(), weight.max()], rtol=1e-6, atol=1e-7)
    (shown,) = board.plugin("images/images", run=run, tag="pictures/confusion_matrix", sample=0)
    content = board.plugin("images/individualImage", **dict(urllib.parse.parse_qsl(shown["query"])))
    width, height = PIL.Image.open(io.BytesIO(content)).size
    assert width == height > 200
    tags = board.plugin("images/tags")[run]
    assert tags.keys() == {f"pictures/{t}" for t in ("inputs", "filters", "confusion_matrix", "misclassified")}


def test_single_run_shows_pr_curves_and_embedding(study: dict[str, Record], board: Board) -> None:
    run, data = study["cnn"].folder.name, study["cnn"].data
    answer = board.plugin("pr_curves/pr_curves", run=run, tag="pr_curves/3")[run][0]
    assert answer["true_positives"][0] + answer["false_positives"][0] == data["val"]
    assert board.plugin("projector/runs") == [run]
    (info,) = board.plugin("projector/info", run=run)["embeddings"]
    assert info["tensorName"] == "features"
    vectors = np.frombuffer(board.plugin("projector/tensor", run=run, name="features"), np.float32)
    assert vectors.size == np.prod(info["tensorShape"])
    assert len(board.plugin("projector/metadata", run=run, name="features").split()) == info["tensorShape"][0]


def test_texts_show_overrides_config_and_summary(study: dict[str, Record], board: Board) -> None:
    def text(which: str, tag: str) -> str:
        (answer,) = board.plugin("text/text", run=study[which].folder.name, tag=tag)
        return str(answer["text"])

    assert "harness epochs=2 batch_size=200 study=looked model=cnn" in text("cnn", "config").replace("\n", " ")
    assert "<strong>cnn</strong>" in text("cnn", "config")
    assert f"{study['sgd1'].metrics['test/accuracy']:.4f}" in text("sgd1", "summary")
    assert "RuntimeError: planted" in text("failed", "summary")


def test_sweep_members_write_little(study: dict[str, Record], board: Board) -> None:
    """A sweep of 500 has 500 of these files; a dozen measurements of diagnostics are most of each."""
    files = [path for path in study["adam1"].folder.rglob("*") if "tfevents" in path.name or "projector" in str(path)]
    assert [path.name.split(".")[0] for path in files] == ["events"]
    assert files[0].stat().st_size < 25_000  # a scalar takes some 37 bytes, most of them its tag
    with pytest.raises(urllib.error.HTTPError):
        board.plugin("graphs/graph", run=study["adam1"].folder.name)


def test_other_loader_reads_the_same(study: dict[str, Record], board: Board) -> None:
    with serving(study["cnn"].folder.parent.resolve(), len(study), LOADER) as other:
        assert other.table() == board.table()
        assert other.plugin("custom_scalars/layout") == board.plugin("custom_scalars/layout")


def test_board_prints_its_address_at_once(board: Board, study: dict[str, Record]) -> None:
    folder = study["cnn"].folder.parent.resolve()
    first, second = (folder.parent / f"{folder.name}.board").read_text().splitlines()[:2]
    assert first.startswith("Serving TensorBoard")
    assert board.url in second
