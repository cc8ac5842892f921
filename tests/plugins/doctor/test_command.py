"""Tests of `harness doctor --estimate`: a table or JSON, and nothing is trained or written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.cli.completion import complete
from harness.cli.main import dispatch
from harness.config.error_messages import plain_errors
from harness.system.errors import HarnessError
from harness_doctor import engine_training


def test_estimate_is_shown_by_part_layer_and_batch_size(
    workdir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_training, "free_bytes", lambda device: 3_000_000)
    line = ["doctor", "model=mlp", "model.width=100", "--estimate", "batch_size=400", "optimizer=adam"]
    assert dispatch(line) == 0
    text = capsys.readouterr().out
    assert [*workdir.iterdir()] == []
    assert "hidden.layer0.1.activation" in text
    assert dispatch([*line, "--json"]) == 0
    output = json.loads(capsys.readouterr().out)
    assert output["parts"]["parameters"] == 4 * (64 * 100 + 100 + 100 * 100 + 100 + 100 * 10 + 10)
    assert output["parts"]["activations"] == sum(output["activations"].values())
    assert {size: row["fits"] for size, row in output["batch_sizes"].items()} == {
        size: row["total"] <= output["free"] for size, row in output["batch_sizes"].items()
    }
    assert [*output["batch_sizes"]] == ["200", "400", "800"]  # four times as many would exceed the data
    totals = [row["total"] for row in output["batch_sizes"].values()]
    assert totals == sorted(totals)
    assert output["total"] == totals[1]
    assert f"{totals[0] / 1e6:,.1f}" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--estimate"),
        (["--estimate", "optimizer=adm"], "adam"),
        (["--estimate", "batch_size=5000"], "larger than the 1149"),
        (["--estimat"], "--estimate"),
    ],
)
def test_mistake_is_one_line(workdir: Path, words: list[str], message: str) -> None:
    with pytest.raises(HarnessError, match=message), plain_errors():
        dispatch(["doctor", *words])
    assert [*workdir.iterdir()] == []


def test_overrides_are_completed_after_the_flag() -> None:
    assert complete(["doctor", "--estimate", "optimizer=sg"]) == ["optimizer=sgd"]
    assert "--estimate" in complete(["doctor", "--"])
