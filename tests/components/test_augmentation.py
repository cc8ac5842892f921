import pytest
import scipy.stats
import torch

from harness.learner.plan import rows
from harness.noise import Noise, keys
from tests.components.helpers import make

X = torch.arange(1.0, 6 * 2 * 5 * 7 + 1).reshape(6, 2, 5, 7)
Y = torch.arange(6)


def noise(seed=0, of=None):
    return Noise(keys(torch.tensor(seed), 0), of)


def shift(pixels):
    return make("augmentation", "random_shift", {"pixels": pixels}, classes=6)


def moved(image, dy, dx):
    """One image, slowly."""
    result = torch.zeros_like(image)
    channels, height, width = image.shape
    for c in range(channels):
        for i in range(height):
            for j in range(width):
                if 0 <= i + dy < height and 0 <= j + dx < width:
                    result[c, i, j] = image[c, i + dy, j + dx]
    return result


@pytest.mark.parametrize("pixels", [1, 2, 8])
def test_each_image_is_shifted_by_what_the_noise_draws(pixels):
    x, y = shift(pixels)(X, Y, noise(3))
    by = noise(3).integers(-pixels, pixels + 1, (len(X), 2))
    expected = torch.stack([moved(image, *d.tolist()) for image, d in zip(X, by, strict=True)])
    assert torch.equal(x, expected)
    assert torch.equal(y, Y)


def test_a_shift_of_nothing_changes_nothing():
    assert torch.equal(shift(0)(X, Y, noise())[0], X)


def test_all_shifts_are_alike():
    x = torch.zeros(9000, 1, 3, 3)
    x[:, :, 1, 1] = 1
    places = shift(1)(x, torch.zeros(9000), noise())[0].flatten(1).argmax(1)
    counts = places.bincount(minlength=9)
    assert counts.sum() == 9000
    assert scipy.stats.chisquare(counts.numpy()).pvalue > 0.01


def test_processes_shift_as_one_would():
    whole, _ = shift(2)(X, Y, noise(5))
    parts = [rows(6, rank, 4) for rank in range(4)]
    cut = [slice(p.start, p.start + p.count) for p in parts]
    split = [shift(2)(X[c], Y[c], noise(5, p))[0] for c, p in zip(cut, parts, strict=True)]
    assert torch.equal(torch.cat(split), whole)


def test_members_under_vmap_shift_as_alone():
    together = torch.func.vmap(lambda key: shift(1)(X, Y, Noise(key))[0])(keys(torch.arange(3), 0))
    assert all(torch.equal(together[seed], shift(1)(X, Y, noise(seed))[0]) for seed in range(3))
