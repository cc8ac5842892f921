"""Tests of `harness eval` and `harness.evaluate`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import harness
from harness.cli.main import main
from harness.system.errors import HarnessError

LINE = ["data=iris", "epochs=2", "model=mlp", "model.width=8", "logger=[]", "diagnostic=[]", "optimizer.lr=0.01"]


@pytest.fixture
def trained(workdir: Path) -> harness.Record:
    return harness.run([*LINE, "study=first"])


def on_val_and_test(record: harness.Record) -> dict[str, float]:
    return {name: value for name, value in record.metrics.items() if not name.startswith("train/")}


def evaluated(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, object]:
    with pytest.raises(SystemExit) as stop:
        main(["eval", *words, "--json"])
    assert stop.value.code == 0
    return dict(json.loads(capsys.readouterr().out))


def test_evaluation_of_the_same_data_repeats_the_metrics_of_the_run(
    trained: harness.Record, capsys: pytest.CaptureFixture[str]
) -> None:
    record = evaluated(capsys, f"first/{trained.id[:6]}")
    assert record["metrics"] == on_val_and_test(trained)
    assert record["id"] != trained.id
    assert (record["study"], record["status"]) == ("evaluations", "completed")
    assert record["steps"] == {"planned": 0, "made": 0}
    assert record["command"] == f"harness eval first/{trained.id[:6]}"


def test_other_metrics_and_splits_are_evaluated_and_cached(trained: harness.Record) -> None:
    words = ["metric=[f1]", "split.seed=1", "split.on_overlap=ignore", "study=checked"]
    record = harness.evaluate(trained, words)
    assert "test/f1" in record.metrics
    assert record.metrics["test/loss"] != trained.metrics["test/loss"]
    again = harness.evaluate(trained, words)
    assert (again.id, again.cached, again.study) == (record.id, True, "checked")


def test_inputs_are_transformed_as_those_of_the_training_data_were(trained: harness.Record, tmp_path: Path) -> None:
    """On data whose inputs are all shifted, transforms that were fitted anew would hide the shift."""
    data = harness.load_data(trained, transformed=False)
    rows = [[*(x + 3).tolist(), data.classes[int(y)]] for x, y in zip(data.test.x, data.test.y, strict=True)]
    text = "\n".join(["a,b,c,d,kind", *(",".join(map(str, row)) for row in rows)])
    (tmp_path / "shifted.csv").write_text(text)
    words = ["data=csv", f"data.path={tmp_path / 'shifted.csv'}", "data.target=kind"]
    shifted = harness.evaluate(trained, words)
    test = harness.load_data(shifted, transformed=False).test
    prediction = harness.predict(trained, test.x)
    right = [label == data.classes[int(y)] for label, y in zip(prediction.labels, test.y, strict=True)]
    assert shifted.metrics["test/accuracy"] == pytest.approx(sum(right) / len(right), abs=1e-6)
    assert shifted.metrics["test/loss"] > trained.metrics["test/loss"] + 0.1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["optimizer=sgd"], "harness eval trains nothing, so that optimizer is that of the run"),
        (["data=digits"], "the run was trained on inputs of the shape 4, and this data has 1, 8, 8"),
        (["metric.f1.average=macro"], "choose it with 'metric=[f1]'"),
        (["batch_size=0"], "batch_size must be >= 1"),
        (["metric=[nothing]"], "no metric 'nothing'"),
    ],
)
def test_mistakes_are_one_line(trained: harness.Record, words: list[str], message: str) -> None:
    with pytest.raises(HarnessError) as caught:
        harness.evaluate(trained, words)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_run_without_weights_is_refused(workdir: Path) -> None:
    record = harness.run([*LINE, "save=none"])
    with pytest.raises(HarnessError, match="has no weights"):
        harness.evaluate(record)
