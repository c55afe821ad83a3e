import pytest
import torch
from torch.nn import functional as F

from mobanet_mmseg.tiling.symmetries import (
    SYMMETRIES,
    apply_symmetry,
    average_over,
    undo_symmetry,
)

EVERY = range(8)


def test_the_eight_views_of_two_rows_are_these():
    image = torch.tensor([[1, 2, 3], [4, 5, 6]])
    views = [apply_symmetry(image, k).tolist() for k in EVERY]
    assert views == [
        [[1, 2, 3], [4, 5, 6]],  # as it is
        [[3, 6], [2, 5], [1, 4]],  # a quarter anticlockwise
        [[6, 5, 4], [3, 2, 1]],
        [[4, 1], [5, 2], [6, 3]],
        [[3, 2, 1], [6, 5, 4]],  # mirrored left-right
        [[6, 3], [5, 2], [4, 1]],
        [[4, 5, 6], [1, 2, 3]],  # mirrored top-bottom
        [[1, 4], [2, 5], [3, 6]],  # rows become columns
    ]


@pytest.mark.parametrize('k', EVERY)
def test_undoing_gives_the_image_back(k):
    image = torch.rand(2, 3, 5, 7)
    turned = apply_symmetry(image, k)
    assert turned.shape[-2:] == ((7, 5) if k % 2 else (5, 7))
    assert torch.equal(undo_symmetry(turned, k), image)


def test_an_image_without_symmetry_has_eight_different_views():
    square = torch.arange(9).reshape(3, 3)
    assert len({tuple(apply_symmetry(square, k).flatten().tolist()) for k in EVERY}) == 8


@pytest.mark.parametrize('symmetries', ['flips', 'd4'])
def test_two_symmetries_in_a_row_are_one_of_the_same_set(symmetries):
    square, chosen = torch.arange(9).reshape(3, 3), SYMMETRIES[symmetries]
    views = [apply_symmetry(square, k).tolist() for k in chosen]
    for first in chosen:
        for then in chosen:
            assert apply_symmetry(apply_symmetry(square, first), then).tolist() in views


def blur(x):
    """Sum each pixel's 3 x 3 neighbours: it is the same for a turned image."""
    return F.conv2d(x, torch.ones(1, 1, 3, 3), padding=1)


def test_a_network_that_turns_with_its_input_stays_as_it_is():
    image = torch.rand(2, 1, 5, 7)
    averaged = average_over(blur, 'd4')
    torch.testing.assert_close(averaged(image), blur(image))


def test_the_average_of_any_network_turns_with_its_input():
    weight = torch.rand(3, 2, 3, 3)
    averaged = average_over(lambda x: F.conv2d(x, weight, padding=1), 'd4')
    image = torch.rand(1, 2, 5, 7)
    for k in EVERY:
        torch.testing.assert_close(
            averaged(apply_symmetry(image, k)), apply_symmetry(averaged(image), k)
        )


def test_the_average_is_that_of_each_view_undone():
    # rows are numbered by the network, so that a mirrored input gives the numbers mirrored
    def network(x):
        return torch.arange(x.shape[-2], dtype=x.dtype)[:, None].expand(x.shape).clone()

    image = torch.zeros(1, 1, 2, 3)
    # rows 0 1 and, mirrored top-bottom, 1 0
    assert average_over(network, 'flips')(image).eq(0.5).all()
    # turned by a quarter, columns 0 1 2 or 2 1 0: half of the views give 1 / 2, half of them 1
    assert average_over(network, 'd4')(image).eq(0.75).all()


def test_half_precision_is_averaged_in_full_precision_and_the_input_stays():
    image = torch.rand(1, 1, 3, 5).half()
    kept = image.clone()
    averaged = average_over(lambda x: x, 'd4')(image)
    assert averaged.dtype == torch.float32
    assert torch.equal(averaged, image.float())
    assert torch.equal(image, kept)


def test_without_augmentation_the_network_is_itself():
    assert average_over(blur, None) is blur


def test_an_augmentation_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match=r"tta='d5'; it is 'flips' \(4 views\), 'd4'"):
        average_over(blur, 'd5')
