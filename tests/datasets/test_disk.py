"""Tests of samples on disk: any reader gets what was written, and a folder is complete or absent."""

import copy
import multiprocessing
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from harness.datasets import disk
from harness.datasets.disk import DiskSamples, keep, name_for, write
from harness.system.errors import HarnessError

N = 50
X = np.random.default_rng(0).normal(size=(N, 2, 3)).astype(np.float32)
Y = np.arange(N)


def chunks(size=7):
    return ((X[i : i + size], Y[i : i + size]) for i in range(0, N, size))


@pytest.fixture
def folder(tmp_path):
    write(tmp_path, chunks(), "samples")
    return tmp_path


def test_rows_can_be_taken_in_any_order(folder):
    index = torch.randperm(N, generator=torch.Generator().manual_seed(0))[:30]
    part = DiskSamples(folder, index)
    places = torch.tensor([3, 3, 29, 0])
    x, y = part.take(places)
    np.testing.assert_array_equal(x, X[index[places]])
    np.testing.assert_array_equal(y, Y[index[places]])
    assert x.dtype == torch.float32
    assert y.dtype == torch.int64
    assert len(part) == 30
    assert part[5][1] == Y[index[5]]


@pytest.mark.parametrize("block", [1, 100, 1 << 20])
def test_pass_sees_each_sample_once_in_file_order(folder, block, monkeypatch):
    monkeypatch.setattr(disk, "BLOCK_BYTES", block)
    index = torch.tensor([40, 3, 17, 4, 49, 0])
    part = DiskSamples(folder, index)
    for rows, values in ((part.x, X), (part.y, Y)):
        np.testing.assert_array_equal(torch.cat(list(part.blocks(rows))), values[index.sort().values])


def test_copies_threads_and_other_processes_read_the_same(folder):
    part = DiskSamples(folder, torch.arange(N))
    part.take(torch.tensor([1]))
    for other in (pickle.loads(pickle.dumps(part)), copy.deepcopy(part)):
        assert torch.equal(other[7][0], part[7][0])
    with ThreadPoolExecutor(4) as pool:
        labels = list(pool.map(lambda i: int(part[i][1]), list(range(N)) * 4))
    assert labels == list(range(N)) * 4
    with multiprocessing.get_context("fork").Pool(1) as forked:
        assert forked.apply(part.take, (torch.tensor([9]),))[1].tolist() == [9]


def test_digest_depends_on_the_samples_and_not_on_chunks(tmp_path):
    digests = []
    for size in (7, 50):
        target = tmp_path / str(size)
        target.mkdir()
        digests.append(write(target, chunks(size), ""))
    other = tmp_path / "other"
    other.mkdir()
    digests.append(write(other, ((x, y + 1) for x, y in chunks()), ""))
    assert digests[0] == digests[1] != digests[2]


def test_folder_is_complete_or_absent_and_made_once(tmp_path):
    folders = []

    def make(folder):
        folders.append(folder)
        (folder / "half").write_text("")
        if len(folders) == 1:
            raise HarnessError("no more")
        return "d" * 64

    with pytest.raises(HarnessError, match="no more"):
        keep(tmp_path / "kept", "a", make)
    assert [p.name for p in (tmp_path / "kept").iterdir() if p.is_dir()] == []
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda _: keep(tmp_path / "kept", "a", make), range(4))) == {tmp_path / "kept" / "a"}
    assert len(folders) == 2
    assert keep(tmp_path / "kept", "", make) == keep(tmp_path / "kept", "", make) == tmp_path / "kept" / ("d" * 32)


def test_truncated_or_unwritable_samples_are_reported(folder, tmp_path):
    with (folder / "x.bin").open("r+b") as file:
        file.truncate(100)
    with pytest.raises(HarnessError, match=r"x\.bin is cut short\. Delete its folder to write it again"):
        DiskSamples(folder, torch.arange(N)).take(torch.tensor([N - 1]))
    (tmp_path / "file").write_text("")
    with pytest.raises(HarnessError, match=r"cannot keep data in .*file"):
        keep(tmp_path / "file", "a", lambda folder: "")


def test_name_depends_on_content_and_reading_options(tmp_path):
    path = tmp_path / "a"
    names = []
    for content, how in ((b"1", "x"), (b"2", "x"), (b"1", "y"), (b"1", "x")):
        path.write_bytes(content)
        names.append(name_for(path, how))
    assert names[0] == names[3]
    assert len(set(names)) == 3


@pytest.mark.parametrize("file", ["x.bin", "y.bin", "keys.bin", "about.json"])
@pytest.mark.parametrize("name", ["a", ""])
def test_damaged_samples_are_made_again(tmp_path, file, name):
    def make(folder):
        return write(folder, chunks(), "")

    folder = keep(tmp_path, name, make)
    good = (folder / file).read_bytes()
    (folder / file).write_bytes(good[:-9] if file == "about.json" else good[:-9] + b"?" + good[-8:])
    with pytest.warns(UserWarning, match="were damaged, and are written again"):
        assert keep(tmp_path, name, make) == folder
    if file != "about.json":  # it holds times
        assert (folder / file).read_bytes() == good
    (folder / "x.bin").touch()  # other times, same content
    assert keep(tmp_path, name, make) == folder
