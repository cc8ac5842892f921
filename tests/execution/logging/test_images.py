"""Tests of images drawn from numbers."""

from __future__ import annotations

import pytest
import torch

from harness.execution.logging.images import enlarged, grid, heat, matrix


def test_grid_holds_every_image_once_in_order() -> None:
    images = torch.rand(7, 3, 4, 5)
    picture = grid(images)
    assert picture.shape == (3, 3 * 5 - 1, 3 * 6 - 1)
    for index, image in enumerate(images):
        row, column = divmod(index, 3)
        assert torch.equal(picture[:, row * 5 : row * 5 + 4, column * 6 : column * 6 + 5], image)
    assert picture[:, 4].sum() == picture[:, :, 5].sum() == 0


def test_first_channel_is_shown_for_other_channel_counts() -> None:
    images = torch.rand(2, 5, 3, 3)
    assert torch.equal(grid(images), grid(images[:, :1]))


def test_heat_luminance_increases_with_the_value() -> None:
    colours = heat(torch.linspace(-3, 7, 50)[None])
    assert colours.shape == (3, 1, 50)
    luminance = (torch.tensor([0.2126, 0.7152, 0.0722])[:, None] * colours[:, 0]).sum(0)
    assert bool((luminance.diff() > 0).all())


def test_signed_heat_is_white_at_zero_and_symmetric() -> None:
    below, zero, above = heat(torch.tensor([[-2.0, 0.0, 1.0]]), signed=True)[:, 0].T
    assert torch.equal(zero, torch.ones(3))
    assert below[2] > below[0]
    assert above[0] > above[2]


@pytest.mark.parametrize("values", [torch.full((2, 2), torch.nan), torch.tensor([[1.0, torch.inf]]), torch.zeros(2, 2)])
def test_heat_is_defined_for_all_values(values: torch.Tensor) -> None:
    for signed in (False, True):
        colours = heat(values, signed)
        assert 0 <= colours.min() <= colours.max() <= 1
        assert bool((colours.movedim(0, -1)[~values.isfinite()] == 0.5).all())


def test_matrix_shows_row_shares_and_counts() -> None:
    counts = torch.tensor([[9, 1], [0, 400]])
    picture = matrix(counts)
    scale = 2
    cell = picture.shape[-1] // 3
    assert picture.shape == (3, 3 * cell, 3 * cell)
    corner = picture[:, scale + cell :: cell, scale + cell :: cell]  # a cell's corner has no digit
    expected = heat(torch.tensor([[0.9, 0.1], [0.0, 1.0]]))
    torch.testing.assert_close(corner[:, :2, :2], expected)
    written = picture[:, cell : 2 * cell, 2 * cell :]  # the count of one
    ones = (written == 1.0).all(0)[::scale, ::scale]
    rows, across = ones.nonzero(as_tuple=True)
    drawn = ones[rows.min() : rows.max() + 1, across.min() : across.max() + 1]
    assert drawn.int().tolist() == [[0, 1, 0], [1, 1, 0], [0, 1, 0], [0, 1, 0], [1, 1, 1]]
    assert len(picture[:, 2 * cell :, cell : 2 * cell].flatten(1).unique(dim=1).T) == 1  # zero is an empty cell


def test_enlarged_repeats_pixels() -> None:
    assert enlarged(torch.tensor([[1, 2]]), 2).tolist() == [[1, 1, 2, 2], [1, 1, 2, 2]]
