"""Tests of diagnostics at the end of a run, through public commands; and of the presets."""

from __future__ import annotations

import csv
import math

import pytest
import torch
import yaml

import harness
from harness.execution.logging import run_loggers
from harness.modeling.diagnostic import Image
from harness.registry import catalogue
from harness.registry.presets import conf_dir
from harness.training.diagnostics.logging import to_logger
from harness_components.diagnostics.landscape import bands, direction, surface

SHORT = ["epochs=1", "model=mlp", "model.width=9", "model.depth=1", "trainer=cpu"]


def preset(name):
    chosen = yaml.safe_load((conf_dir() / "diagnostic" / f"{name}.yaml").read_text())["defaults"]
    return [one for entry in chosen for one in (preset(entry) if entry == "standard" else [entry])]


def test_presets_name_every_diagnostic_of_harness():
    known = {e["name"] for e in catalogue.current() if e["kind"] == "diagnostic" and e["plugin"] == "harness"}
    assert {*preset("full"), *preset("landscape")} == known
    assert set(preset("standard")) < set(preset("full"))
    assert not set(preset("full")) & set(preset("landscape"))
    page = (conf_dir().parent / "docs" / "how-to" / "diagnostics.md").read_text()
    assert [name for name in known if f"`{name}" not in page] == []


@pytest.fixture
def kept(monkeypatch):
    """Record {run: {tag: (type, values, step)}} of non-numeric values that diagnostics hand to loggers."""
    results = {}

    def keep(logger, looked, step):
        own = results.setdefault((logger._dir.parent.name, logger._dir.name[-12:]), {})
        own |= {tag: (type(v), tuple(v), step) for tag, v in looked.items() if not isinstance(v, float)}
        to_logger(logger, looked, step)

    monkeypatch.setattr(run_loggers, "to_logger", keep)
    return results


def numbers(record):
    rows = list(csv.DictReader((record.folder / "curves.csv").read_text().splitlines()))
    return {r["metric"]: float(r["value"]) for r in rows if r["metric"].partition("/")[0] in record.diagnostics}


def test_landscape_diagnostics_alone_match_fused(workdir, kept):
    line = [*SHORT, "diagnostic=[landscape]", "diagnostic.loss_slice.points=5", "trainer.precision=64-true"]
    alone = harness.run([*line, "path=alone", "seed=1", "study=alone"])
    fused = harness.sweep([*line, "path=fused", "executor=in_process", "seed=0,1", "study=fused"])[1]
    for record in (alone, fused):
        assert record.status == "completed"
        assert set(record.diagnostics) == set(preset("landscape"))
        assert all(row["looks"] == 1 and row["cost_share"] > 0 for row in record.diagnostics.values())
    assert numbers(alone) == pytest.approx(numbers(fused), rel=1e-6, abs=1e-9)
    sizes = [p.numel() for p in harness.load_model(alone).parameters()]
    counts = [numbers(alone)[f"hessian_index/{name}"] for name in ("negative", "zero", "positive")]
    assert sum(counts) == pytest.approx(sum(sizes))
    assert all(count > 0 for count in counts)
    ours, theirs = kept["alone", alone.id], kept["fused", fused.id]
    assert ours.keys() == theirs.keys() == {"loss_slice/picture"}
    kind, (pixels,), step = ours["loss_slice/picture"]
    assert (kind, step) == (Image, alone.time["steps"])
    assert pixels.shape[1:] == (125, 125)
    assert numbers(alone)["loss_slice/lowest"] <= numbers(alone)["loss_slice/centre"]


def test_failing_diagnostic_is_reported_and_the_run_completes(workdir, monkeypatch):
    monkeypatch.setattr("harness_components.diagnostics.landscape.surface", lambda *given: 1 / 0)
    record = harness.run([*SHORT, "diagnostic=[loss_slice,hessian_index]", "path=alone"])
    assert record.status == "completed"
    assert record.diagnostics["loss_slice"] == {"failed": "ZeroDivisionError: division by zero"}
    assert record.diagnostics["hessian_index"]["looks"] == 1
    again = harness.run([*SHORT, "diagnostic=[loss_slice,hessian_index]", "path=alone"])
    assert again.cached


def test_diverged_run_has_no_final_diagnostics(workdir):
    # it overflows at the first step; after steps of 1e9 all units may be dead, and the loss finite
    line = [*SHORT, "optimizer=sgd", "optimizer.lr=1e30", "epochs=2", "diagnostic=[hessian_index,gradient_norm]"]
    record = harness.run([word for word in line if word != "epochs=1"])
    assert record.status == "diverged"
    assert "hessian_index" not in record.diagnostics
    assert record.diagnostics["gradient_norm"]["looks"] >= 1


def test_loss_slice_of_a_quadratic_matches_the_closed_form():
    """L = |w|² / 2 over w + a d + b e, with rows of d and e as long as those of w."""
    w = {"a.weight": torch.tensor([[3.0, 4.0], [0.0, 2.0]]), "a.bias": torch.ones(2)}
    d, e = direction(w, 1), direction(w, 2)
    for vector in (d, e):
        torch.testing.assert_close(vector["a.weight"].norm(dim=1), torch.tensor([5.0, 2.0]))
        assert not vector["a.bias"].any()
    assert not torch.equal(d["a.weight"], e["a.weight"])
    heights = surface(w, lambda p: sum(t.square().sum() for t in p.values()) / 2, 3, 0.5)
    flat = [torch.cat([t.flatten() for t in one.values()]) for one in (w, d, e)]
    for i, a in enumerate((-0.5, 0.0, 0.5)):
        for j, b in enumerate((-0.5, 0.0, 0.5)):
            point = flat[0] + a * flat[1] + b * flat[2]
            assert float(heights[i, j]) == pytest.approx(float(point.square().sum() / 2), rel=1e-5)
    point = {"point": torch.tensor([3.0, 4.0])}  # of a surface: no matrix
    assert float(direction(point, 1)["point"].norm()) == pytest.approx(5)


def test_heights_become_grey_levels():
    pixels = bands(torch.tensor([[0.0, 1e-3, 1.0], [10.0, math.nan, math.inf]]))
    assert pixels.shape == (1, 2, 3)
    assert 0 <= float(pixels.min()) <= float(pixels.max()) <= 1
    assert pixels[0, 0, 0] == 0
    assert pixels[0, 1].tolist() == [1, 1, 1]
    assert pixels[0, 0, 0] <= pixels[0, 0, 1] < pixels[0, 0, 2] < 1
    assert bands(torch.full((2, 2), math.nan)).tolist() == [[[1, 1], [1, 1]]]
