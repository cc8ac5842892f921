"""Tests of files kept as rows on disk: read, split, scaled and trained on as data in memory."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

import harness
from harness.config.schema import default_node
from harness.datasets import disk
from harness.datasets.dataset import SPLITS, digest, overlap
from harness.datasets.loading import _transformed
from harness.datasets.validation import validate
from harness.registry import catalogue
from harness.system.errors import HarnessError
from harness_components.data.tables import large_table
from harness_components.data.tables.reader import ParquetTable
from tests.plugins.components.helpers import data

N = 203
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 3)).round(3) * [1, 100, 1e-2]
TARGETS = {
    "texts": np.array(["cat", "dog", "ant"])[np.arange(N) % 3],
    "truths": np.arange(N) % 2 == 0,
    "few whole numbers": np.arange(N) % 4 + 3,
    "many whole numbers": np.arange(N),
    "real numbers": X[:, 0] * 2,
}
NODE = {"epochs": 2, "model.width": 8, "executor": "in_process", "batch_size": 32}


@pytest.fixture(autouse=True)
def a_few_rows_at_a_time(monkeypatch):
    """Read few rows at a time, so that small files take many reads."""
    monkeypatch.setattr(disk, "BLOCK_BYTES", 300)


def written(folder, component, y, x=X):
    """Write x and y to a file; return the settings that read it."""
    path = folder / f"table.{component}"
    if component == "npz":
        np.savez_compressed(path, x=x, y=y)
        return {"path": str(path)}
    table = pd.DataFrame(x, columns=["a", "b", "c"])
    table.insert(1, "label", y)
    table.to_csv(path, index=False) if component == "csv" else table.to_parquet(path)
    return {"path": str(path), "target": "label"}


def whole(part):
    return part.take(torch.arange(len(part)))


@pytest.mark.parametrize("component", ["csv", "parquet", "npz"])
@pytest.mark.parametrize("target", TARGETS)
def test_data_on_disk_equals_data_in_memory(tmp_path, component, target):
    settings = written(tmp_path, component, TARGETS[target])
    inside = data(component, settings)
    outside = data(component, {**settings, "in_memory": False}, cache_dir=tmp_path / "kept")
    validate(outside, component)
    assert (outside.target, outside.classes, outside.width) == (inside.target, inside.classes, inside.width)
    assert outside.inputs == inside.inputs
    assert not outside.in_memory
    for split in SPLITS:
        x, y = whole(outside.part(split))
        assert torch.equal(x.float(), inside.part(split).x.float())
        assert torch.equal(y.float(), inside.part(split).y.float())
    assert overlap(outside) == overlap(inside) == 0


def test_images_and_several_targets_keep_their_shapes(tmp_path):
    images, poses = RNG.integers(0, 255, size=(N, 2, 4, 5), dtype=np.uint8), RNG.normal(size=(N, 3))
    np.savez(tmp_path / "a.npz", x=images, y=poses)
    inside, outside = (
        data("npz", {"path": str(tmp_path / "a.npz"), "in_memory": m}, cache_dir=tmp_path) for m in (True, False)
    )
    assert (outside.inputs, outside.width) == ((2, 4, 5), 3)
    assert torch.equal(whole(outside.test)[0], inside.test.x)
    assert torch.equal(whole(outside.test)[1], inside.test.y)


def test_numeric_column_that_ends_in_texts_is_text(tmp_path):
    y = ["01"] * 90 + ["2.50"] * 90 + ["none-such"] * 23
    settings = written(tmp_path, "csv", y)
    inside, outside = (data("csv", {**settings, "in_memory": m}, cache_dir=tmp_path) for m in (True, False))
    assert outside.classes == inside.classes == ("01", "2.50", "none-such")
    assert torch.equal(whole(outside.train)[1], inside.train.y)


def test_digest_depends_on_content_and_kept_files_are_reused(tmp_path, monkeypatch):
    settings = {**written(tmp_path, "csv", TARGETS["texts"]), "in_memory": False}
    kept = tmp_path / "kept"
    first = data("csv", settings, cache_dir=kept)
    same = data("parquet", {**written(tmp_path, "parquet", TARGETS["texts"]), "in_memory": False}, cache_dir=kept)
    assert digest(first) == digest(same)
    folders = {p for p in (kept / "files").iterdir() if p.is_dir()}
    with monkeypatch.context() as patch:
        patch.setattr(disk, "write", None)
        assert digest(data("csv", settings, cache_dir=kept)) == digest(first)
    assert digest(data("csv", settings, cache_dir=kept, seed=1)) != digest(first)
    changed = X.copy()
    changed[7, 1] += 0.001
    written(tmp_path, "csv", TARGETS["texts"], changed)
    assert digest(data("csv", settings, cache_dir=kept)) != digest(first)
    assert len({p for p in (kept / "files").iterdir() if p.is_dir()}) == len(folders) + 2
    assert digest(data("csv", {**settings, "kind": "class"}, cache_dir=kept)) != digest(first)


def test_duplicate_samples_are_counted(tmp_path):
    x = np.concatenate([X, X[:40]])
    settings = written(tmp_path, "npz", np.arange(len(x)) % 2, x)
    inside, outside = (data("npz", {**settings, "in_memory": m}, cache_dir=tmp_path) for m in (True, False))
    assert overlap(outside) == overlap(inside) > 0


@pytest.mark.parametrize("name", ["standardize", "min_max", "whiten", "one_hot", "flatten"])
def test_transforms_fitted_in_passes_match_those_in_memory(tmp_path, name):
    x = np.concatenate([X, RNG.integers(0, 5, (N, 1))], axis=1)
    settings = written(tmp_path, "npz", TARGETS["truths"], x)
    inside, outside = (
        _transformed(
            data("npz", {**settings, "in_memory": m}, cache_dir=tmp_path),
            {name: default_node(catalogue.current(), "transform", name)},
        )
        for m in (True, False)
    )
    assert outside.inputs == inside.inputs
    rows, _ = whole(outside.test)
    for transform in outside.transforms:
        rows = transform(rows)
    torch.testing.assert_close(rows, inside.test.x, rtol=1e-4, atol=1e-5)


def test_transform_that_needs_all_inputs_is_refused(tmp_path):
    outside = data("npz", {**written(tmp_path, "npz", TARGETS["truths"]), "in_memory": False}, cache_dir=tmp_path)
    with pytest.raises(HarnessError, match=r"robust needs all training inputs .* data\.in_memory=true"):
        _transformed(outside, {"robust": default_node(catalogue.current(), "transform", "robust")})


@pytest.mark.parametrize("target", ["texts", "real numbers"])
def test_run_on_disk_matches_the_run_in_memory(workdir, target):
    settings = written(workdir, "csv", TARGETS[target])
    line = [f"data.{k}={v}" for k, v in settings.items()] + [f"{k}={v}" for k, v in NODE.items()]
    line += ["data=csv", "cache_dir=kept", "path=alone", "model=mlp"]
    inside, outside = (harness.run([*line, f"data.in_memory={m}", f"study={m}"]) for m in ("true", "false"))
    assert outside.status == "completed"
    assert outside.choices["transform"] == ["standardize"]
    assert outside.metrics == pytest.approx(inside.metrics, rel=1e-5)
    assert outside.data["overlap"] == 0
    again = harness.run([*line, "data.in_memory=false", "study=again"])
    assert (again.id, again.metrics) == (outside.id, outside.metrics)


def test_file_size_decides_on_memory(tmp_path, monkeypatch):
    settings = written(tmp_path, "parquet", TARGETS["texts"])
    size = Path(settings["path"]).stat().st_size
    for limit, held in ((size, True), (size - 1, False)):
        monkeypatch.setattr(disk, "LARGE", limit)
        assert data("parquet", settings, cache_dir=tmp_path).in_memory is held


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "table.csv is empty"),
        ("a,y\n", "no rows"),
        ("a,z\n1,2\n", "no column 'y'"),
        ("a,b,y\n" + "1,2,p\n3,4,q\n" * 30 + "1,two,q\n", "line 62, column 'b': expected a number, got 'two'"),
        ("a,b,y\n" + "1,2,p\n3,4,q\n" * 30 + "1,2,\n", "line 62, column 'y': expected a value, got nothing"),
        ("a,b,y\n" + "1,2,p\n3,4,q\n" * 30 + "1,2,3,4\n", "line 62: expected 3 values, got 4"),
        ("a,b,y\n" + "1,2,p\n3,4,p\n" * 30, "one class only, p"),
    ],
)
def test_malformed_large_file_is_refused_with_its_line_and_not_kept(tmp_path, text, message):
    (tmp_path / "table.csv").write_text(text)
    settings = {"path": str(tmp_path / "table.csv"), "target": "y", "in_memory": False}
    with pytest.raises(HarnessError, match=message):
        data("csv", settings, cache_dir=tmp_path / "kept")
    assert not any(p.is_dir() for p in tmp_path.glob("kept/files/*"))


def test_arrays_that_cannot_be_read_by_rows_are_refused(tmp_path):
    settings = {"path": str(tmp_path / "a.npz"), "in_memory": False}
    bad = X.copy()
    bad[150, 2] = np.inf
    for x, message in (
        (np.asfortranarray(X), "is stored in Fortran order"),
        (bad, r"'x' holds inf at \[150, 2\]"),
        (X.astype(object), "Python objects"),
        (X.astype(str), "expected numbers"),
    ):
        np.savez(tmp_path / "a.npz", x=x, y=TARGETS["truths"])
        with pytest.raises(HarnessError, match=message):
            data("npz", settings, cache_dir=tmp_path / "kept")
    assert not any(p.is_dir() for p in tmp_path.glob("kept/files/*"))


@pytest.mark.parametrize("group", [50_000, 2_000_000])
def test_parquet_is_read_a_page_of_each_column_at_a_time(tmp_path, group):
    path = tmp_path / "a.parquet"
    pd.DataFrame(RNG.standard_normal((2_000_000, 2)), columns=["a", "b"]).to_parquet(path, row_group_size=group)
    before, held = pa.total_allocated_bytes(), []
    for frame in ParquetTable(path).frames(20_000):
        held.append(pa.total_allocated_bytes() - before)
        del frame
    assert len(held) >= 100
    assert max(held) < 0.3 * path.stat().st_size


@pytest.mark.parametrize("most", [50, 10_000])
def test_wide_tables_are_fitted_on_fewer_rows(tmp_path, monkeypatch, most):
    fitted = []
    fit = large_table.Encoder.fit

    def noted(self, columns):
        fitted.append(len(columns))
        return fit(self, columns)

    monkeypatch.setattr(large_table.Encoder, "fit", noted)
    monkeypatch.setattr(large_table, "FITTED_BYTES", 8 * 3 * most)  # three numeric columns
    settings = {**written(tmp_path, "csv", TARGETS["texts"]), "in_memory": False}
    dataset = data("csv", settings, cache_dir=tmp_path)
    assert fitted == [min(most, len(dataset.train))]


PEAK = """
import sys, harness
record = harness.run(sys.argv[1:])
assert record.status == "completed", record.error
with open("/proc/self/status") as status:  # what getrusage tells begins with the parent's
    print(next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM")))
"""


def peak(folder, *words):
    """Return the peak resident memory of a process that trains one run."""
    line = ["epochs=1", "model=mlp", "model.width=8", "executor=in_process", "batch_size=1000", "logger=[]", *words]
    done = subprocess.run([sys.executable, "-c", PEAK, *line], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.timeout(900)  # every cell of the text is read several times
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="read from /proc")
@pytest.mark.parametrize(
    ("component", "share"),
    [("csv", 0.5), ("parquet", 0.3), ("npz", 0.3)],  # the values of a text are Python's objects, each of 55 bytes
)
def test_run_on_a_large_file_takes_a_fraction_of_its_size(tmp_path, component, share):
    sizes, peaks = {}, {}
    for name, n in (("small", 4_000), ("large", 400_000)):
        folder = tmp_path / name
        folder.mkdir()
        path, rng = folder / f"t.{component}", np.random.default_rng(0)
        x = rng.standard_normal((n, 200), np.float32)
        y = (x[:, 0] > 0).astype(int)
        if component == "npz":
            np.savez(path, x=x, y=y)
        else:
            table = pd.DataFrame(
                x if component == "parquet" else x[: n // 2].round(3), columns=[f"c{i}" for i in range(200)]
            )
            table["y"] = y[: len(table)]
            # a page of each of 200 columns is in memory at a time, each at least as large as its rows in a group
            table.to_csv(path, index=False) if component == "csv" else table.to_parquet(path, row_group_size=20_000)
            del table
        del x
        sizes[name] = path.stat().st_size
        words = [f"data={component}", f"data.path={path}", "data.target=y", "data.in_memory=false", "cache_dir=kept"]
        peaks[name] = peak(folder, *words)
    assert sizes["large"] > 200e6
    assert peaks["large"] - peaks["small"] < share * sizes["large"]
