"""What is measured when a run has ended, through the public commands; and the presets."""

from __future__ import annotations

import csv
import math

import numpy as np
import pytest
import torch
import yaml
from sklearn.metrics import confusion_matrix

import harness
from harness import catalogue, telling
from harness.build import first_samples
from harness.diagnostics.diagnostic import Embedding, Image
from harness.diagnostics.written import to_logger
from harness.load_data import Loader
from harness.presets import conf_dir
from harness_components.diagnostic_pictures import bands, direction, surface

SHORT = ["epochs=1", "model=mlp", "model.width=9", "model.depth=1", "trainer=cpu"]


def preset(name):
    chosen = yaml.safe_load((conf_dir() / "diagnostic" / f"{name}.yaml").read_text())["defaults"]
    return [one for entry in chosen for one in (preset(entry) if entry == "standard" else [entry])]


def test_the_presets_name_every_diagnostic_that_comes_with_harness():
    known = {e["name"] for e in catalogue.current() if e["kind"] == "diagnostic" and e["plugin"] == "harness"}
    assert {*preset("full"), *preset("pictures")} == known
    assert set(preset("standard")) < set(preset("full"))
    assert not set(preset("full")) & set(preset("pictures"))
    page = (conf_dir().parent / "docs" / "diagnostics.md").read_text()
    assert [name for name in known if f"`{name}" not in page] == []


@pytest.fixture
def kept(monkeypatch):
    """{run: {tag: (type, values, step)}} of what diagnostics hand to loggers that is no number."""
    found = {}

    def keep(logger, looked, step):
        own = found.setdefault((logger._dir.parent.name, logger._dir.name[-12:]), {})
        own |= {tag: (type(v), tuple(v), step) for tag, v in looked.items() if not isinstance(v, float)}
        to_logger(logger, looked, step)

    monkeypatch.setattr(telling, "to_logger", keep)
    return found


def numbers(record):
    rows = list(csv.DictReader((record.folder / "curves.csv").read_text().splitlines()))
    return {r["metric"]: float(r["value"]) for r in rows if r["metric"].partition("/")[0] in record.diagnostics}


def test_all_of_them_alone_and_fused_and_by_hand(workdir, kept):
    line = [*SHORT, "diagnostic=[pictures]", "diagnostic.loss_slice.points=5", "trainer.precision=64-true"]
    alone = harness.run([*line, "path=alone", "seed=1", "study=alone"])
    fused = harness.sweep([*line, "path=fused", "executor=in_process", "seed=0,1", "study=fused"])[1]
    for record in (alone, fused):
        assert record.status == "completed"
        assert not [row for row in record.diagnostics.values() if "failed" in row]
        assert set(record.diagnostics) == set(preset("pictures"))
        assert all(row["looks"] == 1 and row["cost_share"] > 0 for row in record.diagnostics.values())
    assert numbers(alone) == pytest.approx(numbers(fused), rel=1e-6, abs=1e-9)
    ours, theirs = kept["alone", alone.id], kept["fused", fused.id]
    assert ours.keys() == theirs.keys()
    torch.testing.assert_close(ours["embedding"][1][0], theirs["embedding"][1][0])
    assert {tag: kind for tag, (kind, _, _) in ours.items() if "/" not in tag} == {
        "confusion": Image, "embedding": Embedding, "loss_slice": Image,
    }  # fmt: skip
    assert {step for _, _, step in ours.values()} == {alone.time["steps"]}

    model = harness.load_model(alone).double().eval()
    dataset = Loader().load(alone.config).dataset
    x, y = first_samples(dataset, 10_000, "val")
    with torch.no_grad():
        predicted = model(x.double()).argmax(1)
        inside = model[:-1](x[:500].double()) if isinstance(model, torch.nn.Sequential) else None
    table = confusion_matrix(y, predicted)
    written = [[int(c) for c in row.split("|")[2:-1]] for row in ours["confusion/table"][1][0].splitlines()[2:]]
    np.testing.assert_array_equal(written, table)
    wrong = float((predicted != y).double().mean())
    assert numbers(alone)["misclassified/share"] == pytest.approx(wrong)
    assert len(ours["misclassified/table"][1][0].splitlines()) == 2 + min(36, int((predicted != y).sum()))
    vectors, labels, images = ours["embedding"][1]
    assert (vectors.shape, len(labels), images.shape) == ((len(x), 9), len(x), (len(x), 1, 8, 8))
    assert inside is None or torch.allclose(vectors[:500], inside)
    scores, truths = ours["pr_curve/3"][1]
    torch.testing.assert_close(truths, y == 3)
    with torch.no_grad():
        torch.testing.assert_close(scores, model(x.double()).softmax(1)[:, 3])
    assert [tag for tag in ours if tag.startswith("filters/")]


def test_what_a_task_has_no_use_for_is_left_out_and_what_fails_is_named(workdir, kept):
    names = ["confusion", "misclassified", "pr_curve", "hessian_index", "embedding"]
    line = ["model=autoencoder", "task=reconstruction", "epochs=1", f"diagnostic=[{','.join(names)}]", "trainer=cpu"]
    record = harness.run([*line, "seed=2", "study=one"])
    assert record.status == "completed"
    assert "is too large to be written down: at most 2,000" in record.diagnostics["hessian_index"]["failed"]
    assert record.diagnostics["confusion"]["looks"] == 1
    assert kept["one", record.id].keys() == {"embedding"}
    again = harness.run([*line, "seed=2", "study=one"])
    assert again.cached


def test_a_diverged_run_has_nothing_to_look_at(workdir):
    line = [*SHORT, "optimizer=sgd", "optimizer.lr=1e9", "epochs=2", "diagnostic=[confusion,gradient_norm]"]
    record = harness.run([word for word in line if word != "epochs=1"])
    assert record.status == "diverged"
    assert "confusion" not in record.diagnostics
    assert record.diagnostics["gradient_norm"]["looks"] >= 1


def test_a_slice_of_a_bowl():
    """L = |w|² / 2 over w + a d + b e, with rows of d and e as long as w's."""
    w = {"a.weight": torch.tensor([[3.0, 4.0], [0.0, 2.0]]), "a.bias": torch.ones(2)}
    d, e = direction(w, 1), direction(w, 2)
    for made in (d, e):
        torch.testing.assert_close(made["a.weight"].norm(dim=1), torch.tensor([5.0, 2.0]))
        assert not made["a.bias"].any()
    assert not torch.equal(d["a.weight"], e["a.weight"])
    heights = surface(w, lambda p: sum(t.square().sum() for t in p.values()) / 2, 3, 0.5)
    flat = [torch.cat([t.flatten() for t in one.values()]) for one in (w, d, e)]
    for i, a in enumerate((-0.5, 0.0, 0.5)):
        for j, b in enumerate((-0.5, 0.0, 0.5)):
            point = flat[0] + a * flat[1] + b * flat[2]
            assert float(heights[i, j]) == pytest.approx(float(point.square().sum() / 2), rel=1e-5)
    point = {"point": torch.tensor([3.0, 4.0])}  # a surface's: no matrix at all
    assert float(direction(point, 1)["point"].norm()) == pytest.approx(5)


def test_heights_as_greys():
    pixels = bands(torch.tensor([[0.0, 1e-3, 1.0], [10.0, math.nan, math.inf]]))
    assert pixels.shape == (1, 2, 3)
    assert 0 <= float(pixels.min()) <= float(pixels.max()) <= 1
    assert pixels[0, 0, 0] == 0
    assert pixels[0, 1].tolist() == [1, 1, 1]
    assert pixels[0, 0, 0] <= pixels[0, 0, 1] < pixels[0, 0, 2] < 1
    assert bands(torch.full((2, 2), math.nan)).tolist() == [[[1, 1], [1, 1]]]
