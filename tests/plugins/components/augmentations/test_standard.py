import numpy as np
import pytest
import scipy.ndimage
import scipy.stats
import torch

from harness.modeling.rng.noise import Noise, keys
from harness.training.plan import shard
from harness_components.augmentations.mixing import beta
from tests.plugins.components.helpers import make

X = torch.arange(1.0, 6 * 2 * 5 * 7 + 1).reshape(6, 2, 5, 7)
Y = torch.arange(6)


def noise(seed=0, of=None):
    return Noise(keys(torch.tensor(seed), 0), of)


def shift(pixels):
    return make("augmentation", "random_shift", {"pixels": pixels}, classes=6)


def moved(image, dy, dx):
    """Shift one image, element by element."""
    result = torch.zeros_like(image)
    channels, height, width = image.shape
    for c in range(channels):
        for i in range(height):
            for j in range(width):
                if 0 <= i + dy < height and 0 <= j + dx < width:
                    result[c, i, j] = image[c, i + dy, j + dx]
    return result


@pytest.mark.parametrize("pixels", [1, 2, 8])
def test_images_are_shifted_by_the_drawn_offsets(pixels):
    x, y = shift(pixels)(X, Y, noise(3))
    by = noise(3).integers(-pixels, pixels + 1, (len(X), 2))
    expected = torch.stack([moved(image, *d.tolist()) for image, d in zip(X, by, strict=True)])
    assert torch.equal(x, expected)
    assert torch.equal(y, Y)


def test_shift_by_zero_is_the_identity():
    assert torch.equal(shift(0)(X, Y, noise())[0], X)


def test_shifts_are_uniform():
    x = torch.zeros(9000, 1, 3, 3)
    x[:, :, 1, 1] = 1
    places = shift(1)(x, torch.zeros(9000), noise())[0].flatten(1).argmax(1)
    counts = places.bincount(minlength=9)
    assert counts.sum() == 9000
    assert scipy.stats.chisquare(counts.numpy()).pvalue > 0.01


def test_shifts_of_processes_join_to_those_of_one():
    whole, _ = shift(2)(X, Y, noise(5))
    parts = [shard(6, rank, 4) for rank in range(4)]
    cut = [slice(p.start, p.start + p.count) for p in parts]
    split = [shift(2)(X[c], Y[c], noise(5, p))[0] for c, p in zip(cut, parts, strict=True)]
    assert torch.equal(torch.cat(split), whole)


def augmented(name, x, y, seed=0, of=None, **settings):
    return make("augmentation", name, settings, classes=6)(x, y, noise(seed, of))


def test_input_noise_is_normal_and_added():
    x, y = augmented("input_noise", X.double(), Y, std=0.2)
    assert scipy.stats.kstest((x - X).flatten().numpy() / 0.2, "norm").pvalue > 0.01
    assert torch.equal(y, Y)
    assert torch.equal(augmented("input_noise", X, Y, std=0.0)[0], X)
    assert augmented("input_noise", X[:, 0, 0], Y)[0].shape == (6, 7)


@pytest.mark.parametrize(("direction", "axis"), [("horizontal", 3), ("vertical", 2)])
def test_flip_mirrors_a_share_of_the_images(direction, axis):
    x = X.repeat(200, 1, 1, 1)
    images, _ = augmented("flip", x, torch.arange(1200), p=0.3, direction=direction)
    mirrored = torch.from_numpy(np.flip(x.numpy(), axis).copy())
    was = [torch.equal(a, b) for a, b in zip(images, mirrored, strict=True)]
    assert all(torch.equal(a, b) for a, b, f in zip(images, x, was, strict=True) if not f)
    assert scipy.stats.binomtest(sum(was), 1200, 0.3).pvalue > 0.01
    assert torch.equal(augmented("flip", x, x, p=1.0, direction=direction)[0], mirrored)
    assert torch.equal(augmented("flip", x, x, p=0.0, direction=direction)[0], x)


def test_flip_both_draws_each_direction_independently():
    x = torch.arange(4.0).reshape(1, 1, 2, 2).repeat(4000, 1, 1, 1)
    images, _ = augmented("flip", x, x, direction="both")
    counts = images[:, 0, 0, 0].long().bincount(minlength=4)
    assert scipy.stats.chisquare(counts.numpy()).pvalue > 0.01


@pytest.mark.parametrize("shape", [(7, 7), (5, 8)])
def test_rotation_is_scipys(shape):
    x = torch.rand(6, 2, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    images, y = augmented("rotation", x, Y, seed=4, degrees=40.0)
    angles = (2 * noise(4).uniform((6, 1, 1), torch.float64) - 1).flatten() * 40
    assert torch.equal(y, Y)
    assert angles.abs().max() > 10
    for image, turned, angle in zip(x, images, angles, strict=True):
        for channel, other in zip(image, turned, strict=True):
            expected = scipy.ndimage.rotate(channel, angle.item(), reshape=False, order=1, mode="grid-constant")
            np.testing.assert_allclose(other, expected, atol=1e-9)


def test_positive_angle_turns_counter_clockwise():
    x = torch.rand(500, 1, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    images, _ = augmented("rotation", x, x, degrees=180.0)
    angles = (2 * noise().uniform((500, 1, 1), torch.float64) - 1).flatten() * 180
    for sign in (1, -1):
        near = (angles - sign * 90).abs().argmin()
        assert (angles[near] - sign * 90).abs() < 2
        assert (images[near] - torch.rot90(x[near], sign, (1, 2))).abs().max() < 0.2
    torch.testing.assert_close(augmented("rotation", x, x, degrees=0.0)[0], x)


@pytest.mark.parametrize("size", [1, 3, 4, 30])
def test_cutout_sets_a_square_to_zero(size):
    images, y = augmented("cutout", X, Y, seed=2, size=size)
    draws = noise(2)
    shard, columns = (draws.integers(0, n, (6,)) for n in X.shape[-2:])
    for image, cut, row, column in zip(X, images, shard.tolist(), columns.tolist(), strict=True):
        expected = image.clone()
        top, left = row - size // 2, column - size // 2
        expected[:, max(0, top) : max(0, top + size), max(0, left) : max(0, left + size)] = 0
        assert torch.equal(cut, expected)
    assert torch.equal(y, Y)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_mixing_shares_have_the_beta_distribution(alpha):
    shares = beta(noise(), alpha, (20000,))
    assert scipy.stats.kstest(shares.numpy(), scipy.stats.beta(alpha, alpha).cdf).pvalue > 0.01


def test_mixing_shares_of_a_small_alpha_are_finite_and_near_0_or_1():
    shares = beta(noise(), 0.001, (20000,))
    assert ((shares >= 0) & (shares <= 1)).all()
    inside = int(((shares > 0.1) & (shares < 0.9)).sum())
    expected = np.diff(scipy.stats.beta(0.001, 0.001).cdf([0.1, 0.9]))[0]
    assert scipy.stats.binomtest(inside, 20000, expected).pvalue > 0.01


ONE_HOT = torch.eye(6)


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_mixed_targets_are_the_shares_of_each_sample(name):
    x = ONE_HOT[:, :, None, None].expand(6, 6, 8, 9)  # the class is the channel
    images, y = augmented(name, x, Y, seed=3, alpha=1.0)
    torch.testing.assert_close(images.mean((2, 3)), y)
    torch.testing.assert_close(y.sum(1), torch.ones(6))
    partners = noise(3).permutation(6)
    assert all(set(row.nonzero().flatten().tolist()) <= {i, int(partners[i])} for i, row in enumerate(y))
    assert (y.amax(1) < 1).any()
    if name == "cutmix":
        assert set(images.unique().tolist()) == {0.0, 1.0}
        for image in 1 - images[torch.arange(6), Y]:  # the pixels from the partner form a box
            high, wide = image.any(1).sum(), image.any(0).sum()
            assert image.sum() == high * wide


def test_mixup_matches_its_formula_for_vectors_and_real_targets():
    x, y = X[:, 0, 0].double(), X[:, 1, :2, 0].double()
    images, mixed = make("augmentation", "mixup", {"alpha": 0.7}, classes=None)(x, y, noise(8))
    draws = noise(8)
    other = draws.permutation(6)
    share = beta(draws, 0.7, (6,))[:, None]
    torch.testing.assert_close(images, share * x + (1 - share) * x[other])
    torch.testing.assert_close(mixed, share * y + (1 - share) * y[other])


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_class_probabilities_are_mixed_like_classes(name):
    first = augmented(name, X, Y, seed=5, alpha=1.0)
    again = augmented(name, X, ONE_HOT, seed=5, alpha=1.0)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_cutmix_keeps_the_beta_share_except_at_the_border():
    x = torch.rand(3000, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    y = make("augmentation", "cutmix", {"alpha": 1.0}, classes=None)(x, torch.arange(3000.0)[:, None], noise())[0]
    kept = (y == x).float().mean((1, 2, 3))
    drawn = beta(_after_permutation(), 1.0, (3000,)).float()
    assert (kept >= drawn - 1e-6).all()  # whole pixels, cut at the border
    assert (kept - drawn).abs().median() < 0.2


def _after_permutation():
    draws = noise()
    draws.permutation(3000)
    return draws


NEW = ["input_noise", "flip", "rotation", "cutout", "mixup", "cutmix"]


@pytest.mark.parametrize("name", ["input_noise", "flip", "rotation", "cutout"])
def test_augmentations_of_processes_join_to_those_of_one(name):
    whole, _ = augmented(name, X, Y, 5)
    parts = [shard(6, rank, 4) for rank in range(4)]
    split = [augmented(name, X[c], Y[c], 5, p)[0] for p in parts for c in [slice(p.start, p.start + p.count)]]
    torch.testing.assert_close(torch.cat(split), whole)


def test_input_dropout_drops_its_share_and_keeps_the_mean():
    x = torch.ones(500, 40)
    dropped, y = make("augmentation", "input_dropout", {"p": 0.25}, classes=6)(x, Y, noise())
    assert y is Y
    assert dropped.unique().tolist() == pytest.approx([0.0, 1 / 0.75], rel=1e-6)
    assert float((dropped == 0).double().mean()) == pytest.approx(0.25, abs=0.01)
    assert torch.equal(make("augmentation", "input_dropout", {"p": 0.0}, classes=6)(x, Y, noise())[0], x)
