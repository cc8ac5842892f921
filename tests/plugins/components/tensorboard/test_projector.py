import io

import numpy as np
import PIL.Image
import torch
from google.protobuf import text_format
from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

from harness_components.tensorboard.projector import SIDE, Projector, shrunk

VECTORS = torch.tensor([[0.5, -2.0], [1e-9, 3.25], [7.0, 0.125]])


def config(folder):
    return text_format.Parse((folder / "projector_config.pbtxt").read_text(), ProjectorConfig())


def test_vectors_and_labels_are_written_to_files(tmp_path):
    Projector(tmp_path).add("features/val", VECTORS, ["a", "b\tc", "d\ne"], None)
    (info,) = config(tmp_path).embeddings
    np.testing.assert_allclose(np.loadtxt(tmp_path / info.tensor_path), VECTORS, rtol=1e-3, atol=1e-6)
    assert (tmp_path / info.metadata_path).read_text().splitlines() == ["a", "b c", "d e"]
    assert (info.tensor_name, list(info.tensor_shape)) == ("features/val", [3, 2])


def test_tags_accumulate_and_the_latest_of_each_is_kept(tmp_path):
    made = Projector(tmp_path)
    for key, vectors in (("one", VECTORS), ("two", VECTORS), ("one", 2 * VECTORS)):
        made.add(key, vectors, None, None)
    first, second = config(tmp_path).embeddings
    assert (first.tensor_name, second.tensor_name) == ("one", "two")
    np.testing.assert_allclose(np.loadtxt(tmp_path / first.tensor_path), 2 * VECTORS, rtol=1e-3, atol=1e-6)


def test_images_form_a_square_row_by_row(tmp_path):
    images = torch.rand(3, 1, 4, 5, generator=torch.Generator().manual_seed(0))
    Projector(tmp_path).add("one", VECTORS, None, images)
    (info,) = config(tmp_path).embeddings
    assert list(info.sprite.single_image_dim) == [5, 4]
    read = np.asarray(PIL.Image.open(io.BytesIO((tmp_path / info.sprite.image_path).read_bytes())))
    assert read.shape == (8, 10)
    for index, image in enumerate(images[:, 0]):
        row, column = divmod(index, 2)
        np.testing.assert_array_equal(
            read[row * 4 : row * 4 + 4, column * 5 : column * 5 + 5], (image * 255).round().numpy()
        )


def test_large_images_are_shrunk():
    assert shrunk(torch.zeros(2, 3, 128, 64)).shape == (2, 3, SIDE, SIDE // 2)
    assert shrunk(torch.zeros(2, 3, 8, 9)).shape == (2, 3, 8, 9)
