import numpy as np
import pytest
from PIL import Image

from harness.datasets.dataset import SPLITS
from harness.datasets.validation import validate
from harness.system.errors import HarnessError
from tests.plugins.components.helpers import data

RED, BLUE = (255, 0, 0), (0, 0, 255)


@pytest.fixture
def folder(tmp_path):
    """Ten red images of one class and ten blue ones of another, each with its number in one pixel."""
    for name, colour in (("red", RED), ("blue", BLUE)):
        (tmp_path / name / "more").mkdir(parents=True)
        for i in range(10):
            pixels = np.full((8, 6, 3), colour, dtype=np.uint8)
            pixels[2, 1] = 10 * i
            Image.fromarray(pixels).save(tmp_path / name / ("more" if i > 7 else "") / f"{i}.PNG")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "red" / "notes.txt").write_text("mine")
    return tmp_path


def test_each_folder_is_a_class(folder):
    dataset = data("image_folder", {"path": str(folder), "size": [8, 6]})
    validate(dataset, "image_folder")
    assert dataset.classes == ("blue", "red")
    assert dataset.inputs == (3, 8, 6)
    numbers = []
    for split in SPLITS:
        part = dataset.part(split)
        for image, label in zip(part.x, part.y, strict=True):
            assert image[:, 0, 0].tolist() == ([1, 0, 0] if label else [0, 0, 1])
            numbers.append((int(label), round(float(image[0, 2, 1]) * 25.5)))
    assert sorted(numbers) == [(c, i) for c in (0, 1) for i in range(10)]


def test_images_are_resized_and_converted_to_grey(folder):
    Image.new("RGB", (40, 30), RED).save(folder / "red" / "large.jpg")
    dataset = data("image_folder", {"path": str(folder), "size": [5, 4], "colour": False})
    assert dataset.inputs == (1, 5, 4)
    assert sum(len(dataset.part(split)) for split in SPLITS) == 21
    # luma of ITU-R 601: 0.299 red, 0.114 blue
    for c, grey in ((0, 0.114), (1, 0.299)):
        assert dataset.train.x[dataset.train.y == c].median().item() == pytest.approx(grey, abs=0.005)


def test_unreadable_folder_or_image_is_refused(folder, tmp_path):
    def refused(message, path=folder):
        with pytest.raises(HarnessError, match=message):
            data("image_folder", {"path": str(path)})

    refused(r"data\.path must name a folder", "")
    refused("no folder .*Did you mean 'red'", tmp_path / "rad")
    refused("has 1 folders, expected one for each of two classes", folder / "red")
    (folder / "empty").mkdir()
    refused("empty holds no images")
    (folder / "empty" / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n cut short")
    refused(r"a\.png is not a readable image")
