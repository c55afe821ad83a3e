import numpy as np
import pytest

from mobanet_mmseg.checks.registration import (
    SYMMETRIES,
    correlation,
    find_shift,
    find_symmetry,
    gradient_magnitude,
    label_edges,
)


def blobs(shape, seed=0):
    """Rectangles of random height and place."""
    rng = np.random.default_rng(seed)
    image = np.zeros(shape, np.float32)
    for _ in range(12):
        row, col = rng.integers(0, shape[0] - 8), rng.integers(0, shape[1] - 8)
        image[row : row + rng.integers(4, 30), col : col + rng.integers(4, 30)] += rng.uniform(1, 5)
    return image


def test_edges_of_labels_are_the_pixels_on_both_sides():
    labels = np.array([[0, 0, 1, 1], [0, 0, 1, 1]])
    np.testing.assert_array_equal(label_edges(labels), [[0, 1, 1, 0]] * 2)
    assert not label_edges(labels[:, :2]).any()


def test_missing_values_have_no_edges():
    image = np.zeros((6, 9), np.float32)
    image[2, 3] = np.nan
    assert not gradient_magnitude(image).any()


@pytest.mark.parametrize('shift', [(3, -2), (0, 5), (-8, 8), (1, 0)])
def test_a_known_shift_is_found(shift):
    image = blobs((90, 130))
    moved = np.roll(image, shift, (0, 1)) * 7 - 100  # another unit
    found = find_shift([(gradient_magnitude(image), gradient_magnitude(moved))])
    assert (found.row, found.col) == shift and found.fit.clear
    assert found.fit.best_score > 0.9 > found.fit.score


def test_windows_add_up_to_one_shift():
    images = [blobs((64, 96), seed) for seed in range(3)]
    pairs = [
        (gradient_magnitude(image), gradient_magnitude(np.roll(image, (2, 4), (0, 1))))
        for image in images
    ]
    found = find_shift(pairs)
    assert (found.row, found.col) == (2, 4)


def test_nothing_is_said_of_images_that_fit_or_have_nothing_in_common():
    image = gradient_magnitude(blobs((90, 130)))
    same = find_shift([(image, image)])
    assert (same.row, same.col, same.fit.clear) == (0, 0, False)
    assert not find_shift([(image, np.zeros_like(image))]).fit.clear
    for seed in range(20):
        noise = np.random.default_rng(seed).random((2, 64, 96)).astype(np.float32)
        assert not find_shift([tuple(noise)]).fit.clear
        assert not find_symmetry(*noise).fit.clear


@pytest.mark.parametrize('name', SYMMETRIES)
def test_a_turned_image_is_turned_back(name):
    image = gradient_magnitude(blobs((80, 80)))
    turned = next(
        other
        for turn in SYMMETRIES.values()
        if np.array_equal(SYMMETRIES[name](other := turn(image)), image)
    )
    found = find_symmetry(image, turned)
    assert found.name == name and found.fit.clear == (name != 'none')
    assert found.fit.best_score == pytest.approx(1, abs=1e-5)


def test_a_rectangle_is_not_transposed():
    image = gradient_magnitude(blobs((60, 90)))
    assert find_symmetry(image, image[::-1]).name == 'mirrored top-bottom'


def test_correlation_of_what_is_constant_is_none():
    assert correlation(np.ones(4), np.arange(4.0)) == 0
    assert correlation(np.arange(4.0), 5 - 2 * np.arange(4.0)) == pytest.approx(-1)
