"""Tests that predictions of a finished run match the metrics in its record."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

import harness
from harness.datasets.dataset import Samples
from harness.system.errors import HarnessError

LINE = ["epochs=1", "logger=[]", "diagnostic=[]", "study=t", "executor=in_process"]


def trained(*words: str) -> tuple[harness.Record, torch.Tensor, torch.Tensor]:
    """Train a run; return its record and its test samples before transforms."""
    record = harness.run([*LINE, *words])
    assert record.status == "completed", record.error
    test = harness.load_data(record, transformed=False).test
    x, y = (test.x, test.y) if isinstance(test, Samples) else test.take(torch.arange(len(test)))  # type: ignore
    return record, x, y


@pytest.mark.parametrize(
    "words",
    [
        ["model=mlp", "regularizer=[dropout]", "normalization=batch_norm"],
        ["model=random_forest", "model.trees=5"],
        ["model=logistic_regression", "transform=[min_max]"],
        ["trainer.precision=64-true"],
        ["corruption=[permuted_pixels]"],
    ],
)
def test_accuracy_of_predicted_labels_is_the_records(words) -> None:
    record, x, y = trained("data=digits", *words)
    prediction = harness.predict(record, x)
    assert prediction.classes == tuple("0123456789")
    right = np.mean([label == prediction.classes[c] for label, c in zip(prediction.labels, y.tolist(), strict=True)])
    assert right == pytest.approx(record.metrics["test/accuracy"], abs=1e-6)
    np.testing.assert_allclose(prediction.probabilities.sum(1), 1, rtol=0, atol=1e-9)


def test_saved_best_weights_reach_the_best_value() -> None:
    record = harness.run([*LINE[1:], "data=digits", "epochs=3", "save=best", "optimizer.lr=0.05"])
    val = harness.load_data(record, transformed=False).val
    prediction = harness.predict(record.folder, val.x)
    right = (prediction.probabilities.argmax(1) == val.y).double().mean()
    assert float(right) == pytest.approx(record.best["val/accuracy"]["value"], abs=1e-6)


def test_predictions_on_data_in_files_match_the_record(tmp_path) -> None:
    x = np.random.default_rng(0).normal(10, 3, (200, 4))
    np.savez(tmp_path / "a.npz", x=x, y=np.where(x[:, 0] > 10, "yes", "no"))
    record, x, y = trained("data=npz", f"data.path={tmp_path / 'a.npz'}", "data.in_memory=false", "optimizer.lr=0.01")
    prediction = harness.predict(record, x.numpy())
    assert set(prediction.labels) <= {"yes", "no"}
    assert (prediction.probabilities.argmax(1) == y).double().mean() == pytest.approx(
        record.metrics["test/accuracy"], abs=1e-6
    )


def test_single_logit_and_multilabel_predictions_have_class_names() -> None:
    record, x, y = trained("data=moons", "task=binary_classification")
    prediction = harness.predict(record, x)
    assert prediction.probabilities.shape == (len(x), 2)
    right = np.mean([prediction.classes[c] == label for label, c in zip(prediction.labels, y.tolist(), strict=True)])
    assert right == pytest.approx(record.metrics["test/binary_accuracy"], abs=1e-6)
    record, x, y = trained("data=sklearn_make_multilabel_classification")
    prediction = harness.predict(record, x)
    right = np.mean([[n in label for n in prediction.classes] for label in prediction.labels] == y.bool().numpy())
    assert right == pytest.approx(record.metrics["test/binary_accuracy"], abs=1e-6)


@pytest.mark.parametrize("model", ["mlp", "linear_regression"])
def test_predicted_values_are_in_target_units(model) -> None:
    record, x, y = trained("data=diabetes", f"model={model}")
    prediction = harness.predict(record, x)
    assert (prediction.labels, prediction.probabilities) == ((), None)
    assert float((prediction.values - y).square().mean()) == pytest.approx(record.metrics["test/mse"], rel=1e-5)


def test_reconstructions_clusters_and_words_are_predicted() -> None:
    record, x, _ = trained("data=digits", "task=reconstruction")
    transformed = harness.load_data(record).test.x
    prediction = harness.predict(record, x)
    assert float((prediction.values - transformed).square().mean()) == pytest.approx(
        record.metrics["test/mse"], rel=1e-5
    )
    record, x, _ = trained("data=digits", "task=clustering")
    nearest = harness.predict(record, x).values.amin(1).mean()
    assert float(nearest) == pytest.approx(record.metrics["test/loss"], rel=1e-5)
    record, x, _ = trained("data=toy_grammar", "task=embedding")
    assert torch.equal(harness.predict(record, [[3]]).values[0], harness.load_model(record).embeddings()[3])


@pytest.mark.parametrize(
    ("words", "x", "message"),
    [
        (["data=digits", "task=generation"], torch.zeros(2, 1, 8, 8), "task generation predicts nothing for single"),
        (["data=digits", "save=none"], torch.zeros(2, 1, 8, 8), "has no weights"),
        (["data=iris"], [[1.0]], r"data iris has inputs \[N, 4\], got \[1, 1\]"),
        (["data=iris"], [1.0, 2, 3, 4], r"got \[4\]: for one sample, pass x\[None\]"),
        (["data=iris"], [[1.0, 2, 3, np.nan]], "the inputs hold nan"),
        (["data=iris"], [["a", "b", "c", "d"]], "predict expects numbers"),
        (["data=iris"], [[1.0], [1.0, 2]], "predict expects an array"),
        (["data=iris"], "x.csv", "data iris is not a table"),
    ],
)
def test_bad_inputs_are_refused_in_one_line(words, x, message) -> None:
    record = harness.run([*LINE, *words])
    with pytest.raises(HarnessError, match=message):
        harness.predict(record, x)


def test_changed_data_is_refused(tmp_path) -> None:
    path, x = tmp_path / "a.npz", np.random.default_rng(0).normal(size=(60, 3))
    np.savez(path, x=x, y=x[:, 0])
    record = harness.run([*LINE, "data=npz", f"data.path={path}", "batch_size=16"])
    assert len(harness.load_data(record.folder).test) == 12
    np.savez(path, x=x, y=x[:, 1])
    with pytest.raises(HarnessError, match=r"data npz has changed since .* was trained on it \(digest"):
        harness.load_data(record)
    with pytest.raises(HarnessError, match="has changed"):
        harness.predict(record, x)
    gone = dataclasses.replace(record, folder=tmp_path / "none")
    with pytest.raises(HarnessError, match="has no weights"):
        harness.predict(gone, x)


def test_folders_of_records_are_absolute(workdir) -> None:
    record = harness.run([*LINE, "data=iris"])
    for requested in ("t", "outputs/t", Path("outputs"), record.folder.relative_to(workdir)):
        (loaded,) = harness.load(requested)
        assert loaded.folder == record.folder
        assert loaded.folder.is_absolute()


@pytest.mark.parametrize("function", ["load", "load_data", "load_model", "predict"])
@pytest.mark.parametrize("wrong", [None, 3, {"a": 1}, ["t"]])
def test_argument_that_is_no_run_is_refused_in_one_line(function, wrong) -> None:
    more = [[[1.0]]] if function == "predict" else []
    with pytest.raises(
        HarnessError, match=r"expected a (run \(its record or its folder\)|folder, or the name of)"
    ) as refused:
        getattr(harness, function)(wrong, *more)
    assert str(refused.value).endswith(f"got {type(wrong).__name__}")


@pytest.mark.parametrize("function", ["load_data", "load_model", "predict"])
def test_several_runs_are_refused_in_one_line(function, workdir) -> None:
    more = [[[1.0] * 4]] if function == "predict" else []
    records = harness.sweep([*LINE, "data=iris", "seed=0,1"])
    with pytest.raises(HarnessError, match=r"expected one run, got .*2 runs.*: take one of them, records"):
        getattr(harness, function)(records, *more)
    with pytest.raises(HarnessError, match="t has the records of 2 runs: name the folder of one"):
        getattr(harness, function)("t", *more)
