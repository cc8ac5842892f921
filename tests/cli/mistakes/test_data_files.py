"""Tests of missing or malformed data files: the message names file, line or column, and the expected content."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from .conftest import Refused

ROWS = "".join(f"{i},{i * 2}.5,{'pq'[i % 2]}\n" for i in range(40))
GOOD = "a,b,y\n" + ROWS


def _csv(text: str | bytes, target: str = "y") -> tuple[str | bytes, str]:
    return text, f"data=csv data.path=table.csv data.target={target}"


TABLES = {
    "empty": (*_csv(""), "table.csv is empty, expected a header line and rows"),
    "blank lines only": (*_csv("\n\n\n"), "table.csv is empty"),
    "header only": (*_csv("a,b,y\n"), "table.csv has no rows under its header"),
    "target only": (*_csv("y\np\nq\n"), "table.csv has no column beside 'y': nothing to learn from"),
    "no target": (*_csv(GOOD, "label"), "table.csv has no column 'label'. Known: a, b, y."),
    "target misspelt": (*_csv(GOOD.replace("y", "label"), "lable"), "no column 'lable'. Did you mean 'label'?"),
    "another separator": (
        "a;b;y\n1;2;p\n",
        _csv("")[1] + " data.separator=,",
        "table.csv has no column 'y'. Known: a;b;y. The header was read as one name",
    ),
    "a row too long": (*_csv("a,b,y\n1,2,p\n1,2,3,q\n"), "table.csv, line 3: expected 3 values, got 4"),
    "every row too long": (*_csv("a,b,y\n1,2,p,9\n1,2,q,9\n"), "table.csv, line 2: expected 3 values, got 4"),
    "a row too short": (*_csv("a,b,y\n1,2,p\n1,2\n"), "table.csv, line 3: expected 3 values, got 2"),
    "two columns of a name": (*_csv("a,y,y\n1,2,p\n"), "table.csv: two columns are named 'y'"),
    "a word": (*_csv("a,b,y\n1,2,p\n1,two,q\n"), "table.csv, line 3, column 'b': expected a number, got 'two'"),
    "a word behind a blank line": (*_csv("a,b,y\n1,2,p\n\n1,two,q\n"), "line 4, column 'b': expected a number"),
    "a word behind a text of two lines": (*_csv('a,b,y\n1,2,"p\nq"\n1,two,q\n'), "line 4, column 'b'"),
    "infinite": (*_csv("a,b,y\n1,2,p\n1,inf,q\n"), "line 3, column 'b': expected a finite number, got 'inf'"),
    "no target in a row": (*_csv("a,b,y\n1,2,p\n1,3,\n"), "line 3, column 'y': expected a value, got nothing"),
    "a target read as nothing": (*_csv("a,b,y\n1,2,p\n1,3,NA\n"), "line 3, column 'y': expected a value, got 'NA'"),
    "one class": (*_csv(GOOD.replace("q", "p")), "table.csv: target 'y' holds one class only, p"),
    "too few": (*_csv("a,y\n1,p\n2,q\n"), "2 samples are too few: split.val=0.16 and split.test=0.2 take 1 and 1"),
    "Latin-1": (
        "a,b,y\n1,2,p\n1,2,café\n".encode("latin-1"),
        _csv("")[1] + " data.encoding=utf-8",
        "table.csv, line 3, byte 0xe9: expected text in utf-8",
    ),
    "bytes": (*_csv(bytes(range(256)) * 4), "table.csv, line 1, byte 0x0: expected text in UTF-8"),
    "an open quotation mark": (*_csv('a,b,y\n1,2,p\n"1,2,q\n1,2,p\n'), "line 3: expected 3 values, got 1: is a quot"),
    "words as real numbers": (GOOD, _csv("")[1] + " data.kind=real", "line 2, column 'y': expected a number, got 'p'"),
    "no separator": (GOOD, _csv("")[1] + " data.separator=", "data.separator must be one character"),
    "fewer samples than a batch": (*_csv(GOOD), "batch_size=64 is larger than the 25 training samples"),
    "label noise on numbers": (
        "a,y\n" + "".join(f"{2 * i},{i}.5\n" for i in range(40)),
        _csv("")[1] + " corruption=[label_noise]",
        "corruption label_noise needs class targets, but data csv has real ones",
    ),
    "no path": (GOOD, "data=csv", "data.path must be given: data.path=..."),
    "no target said": (GOOD, "data=csv data.path=table.csv", "data.target must be given: data.target=..."),
    "an empty path": (GOOD, "data=csv data.path= data.target=y", "data.path must name a file, got ''"),
    "no such file": (GOOD, "data=csv data.path=tabel.csv data.target=y", "no file tabel.csv. Did you mean 'table.csv'"),
    "no such folder": (GOOD, "data=csv data.path=nowhere/table.csv data.target=y", "no file nowhere/table.csv."),
    "a folder": (GOOD, "data=csv data.path=. data.target=y", ". is a folder, expected a file"),
    "a name too long": (GOOD, f"data=csv data.path={'x' * 300} data.target=y", "File name too long"),
}


@pytest.mark.parametrize("case", TABLES)
def test_unusable_table_is_refused(refused: Refused, workdir: Path, case: str) -> None:
    content, line, words = TABLES[case]
    (workdir / "table.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    assert words in refused(line)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the owner of every file may read it")
def test_unreadable_file_is_refused(refused: Refused, workdir: Path) -> None:
    (workdir / "table.csv").write_text(GOOD)
    (workdir / "table.csv").chmod(0)
    assert "cannot read table.csv: Permission denied" in refused("data=csv data.path=table.csv data.target=y")


X, Y = np.arange(120.0).reshape(40, 3), np.arange(40) % 2
ARRAYS = {
    "no such array": ({"inputs": X, "y": Y}, "arrays.npz has no array 'x'. Known: inputs, y."),
    "fewer targets": ({"x": X, "y": Y[:-1]}, "'x' (40, 3) and 'y' (39,) do not fit: expected [N, ...] and [N]"),
    "flat inputs": ({"x": X[:, 0], "y": Y}, "'x' (40,) and 'y' (40,) do not fit"),
    "one target": ({"x": X, "y": np.array(1)}, "'x' (40, 3) and 'y' () do not fit"),
    "objects": ({"x": X.astype(object), "y": Y}, "array 'x' holds Python objects, expected numbers"),
    "objects as targets": ({"x": X, "y": Y.astype(object)}, "array 'y' holds Python objects, expected numbers"),
    "complex": ({"x": X * 1j, "y": Y}, "array 'x' holds complex128, expected numbers"),
    "texts as inputs": ({"x": X.astype(str), "y": Y}, "array 'x' holds <U"),
    "nan": ({"x": np.where(X == 7, np.nan, X), "y": Y}, "array 'x' holds nan at [2, 1], expected finite numbers"),
    "nan as target": ({"x": X, "y": np.where(Y, np.nan, 1.0)}, "array 'y' holds nan at [1], expected finite"),
    "no samples": ({"x": X[:0], "y": Y[:0]}, "arrays.npz holds no samples"),
    "one class": ({"x": X, "y": Y * 0}, "target 'y' holds one class only, 0"),
    "two targets a sample": ({"x": X, "y": np.stack([Y, Y], 1)}, None),
}


@pytest.mark.parametrize("case", ARRAYS)
def test_unusable_arrays_are_refused(refused: Refused, workdir: Path, case: str) -> None:
    arrays, words = ARRAYS[case]
    np.savez(workdir / "arrays.npz", **arrays)
    if words is None:
        assert "expected one class for each sample" in refused("data=npz data.path=arrays.npz data.kind=class")
    else:
        assert words in refused("data=npz data.path=arrays.npz")


def test_file_without_arrays_is_refused(refused: Refused, workdir: Path) -> None:
    path, line = workdir / "arrays.npz", "data=npz data.path=arrays.npz"
    np.savez(path, x=X, y=Y)
    whole = path.read_bytes()
    with path.open("wb") as file:
        np.save(file, X)
    bad = {"a .npy file": path.read_bytes(), "cut short": whole[: len(whole) // 2], "empty": b"", "text": b"hello"}
    for content in bad.values():
        path.write_bytes(content)
        assert "arrays.npz is not an npz file" in refused(line)
    damaged = bytearray(whole)
    damaged[200] ^= 255
    path.write_bytes(bytes(damaged))
    assert "arrays.npz is not a readable npz file: Bad CRC-32" in refused(line)


def test_unusable_parquet_file_is_refused(refused: Refused, workdir: Path) -> None:
    path, line = workdir / "t.parquet", "data=parquet data.path=t.parquet data.target=y"
    for content in (b"", b"PAR1garbage", GOOD.encode()):
        path.write_bytes(content)
        assert "t.parquet is not a readable Parquet file: Parquet " in refused(line)
    pd.DataFrame({"a": [1.0, np.inf], "y": ["p", "q"]}).to_parquet(path)
    assert "t.parquet, row 2, column 'a': expected a finite number, got 'inf'" in refused(line)
    pd.DataFrame({"a": ["1", "two"], "y": ["p", "q"]}).to_parquet(path)
    assert "t.parquet, row 2, column 'a': expected a number, got 'two'" in refused(line)


def test_overlapping_splits_are_refused_if_requested(refused: Refused) -> None:
    assert "samples are in more than one split (split.on_overlap=error)" in refused(
        "data=iris split.seed=1 split.on_overlap=error"
    )
