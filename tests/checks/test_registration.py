import numpy as np
import pytest

from mobanet_mmseg.checks.registration import (
    class_pattern,
    colour_pattern,
    correlation,
    edge_pattern,
    fill_strips,
    find_shift,
    find_symmetry,
    gradient_magnitude,
    label_edges,
)

TURNS = {
    'none': lambda image: image,
    'mirrored left-right': np.fliplr,
    'mirrored top-bottom': np.flipud,
    'turned by 180 degrees': lambda image: np.rot90(image, 2),
    'transposed': np.transpose,
    'turned by 90 degrees counter-clockwise': np.rot90,
    'turned by 90 degrees clockwise': lambda image: np.rot90(image, -1),
    'transposed along the other diagonal': lambda image: np.rot90(image, 2).T,
}


def blobs(shape, seed=0):
    """Rectangles of random height and place."""
    rng = np.random.default_rng(seed)
    image = np.zeros(shape, np.float32)
    for _ in range(shape[0] * shape[1] // 500):
        row, col = rng.integers(0, shape[0] - 8), rng.integers(0, shape[1] - 8)
        image[row : row + rng.integers(4, 30), col : col + rng.integers(4, 30)] += rng.uniform(1, 5)
    return image


def edges(image):
    return edge_pattern(gradient_magnitude(image))


def shift_of(*pairs):
    return find_shift([[(edges(first), edges(second)) for first, second in pairs]])


def symmetry_of(first, second):
    return find_symmetry([(edges(first), edges(second))])


def test_edges_of_labels_are_the_pixels_on_both_sides():
    labels = np.array([[0, 0, 1, 1], [0, 0, 1, 1]])
    np.testing.assert_array_equal(label_edges(labels), [[0, 1, 1, 0]] * 2)
    assert not label_edges(labels[:, :2]).any()


def test_edges_of_any_channel_count_and_missing_values_have_none():
    image = np.zeros((6, 9, 2), np.float32)
    image[:, 4:, 1] = 8
    np.testing.assert_array_equal(gradient_magnitude(image)[:, 2:7], [[0, 4, 4, 0, 0]] * 6)
    image = np.zeros((6, 9), np.float32)
    image[2, 3] = np.nan
    assert not gradient_magnitude(image).any()


@pytest.mark.parametrize('shift', [(3, -2), (0, 5), (-8, 8), (1, 0)])
def test_a_known_shift_is_found(shift):
    image = blobs((90, 130))
    found = shift_of((image, np.roll(image, shift, (0, 1)) * 7 - 100))  # another unit
    assert (found.row, found.col) == shift and found.fit.clear
    assert found.fit.best_score > 0.9 > found.fit.score


def test_windows_add_up_to_one_shift():
    images = [blobs((64, 96), seed) for seed in range(3)]
    found = shift_of(*((image, np.roll(image, (2, 4), (0, 1))) for image in images))
    assert (found.row, found.col) == (2, 4)


def test_nothing_is_said_of_images_that_fit_or_have_nothing_in_common():
    image = blobs((90, 130))
    same = shift_of((image, image))
    assert (same.row, same.col, same.fit.clear) == (0, 0, False)
    assert same.fit.score == pytest.approx(1, abs=1e-5)
    assert not shift_of((image, np.zeros_like(image))).fit.clear
    for seed in range(20):
        noise = np.random.default_rng(seed).random((2, 64, 96)).astype(np.float32)
        assert not shift_of(tuple(noise)).fit.clear
        assert not symmetry_of(*noise).fit.clear


@pytest.mark.parametrize('name', TURNS)
def test_a_turned_image_is_turned_back(name):
    image = blobs((80, 80))
    turned = next(
        other for turn in TURNS.values() if np.array_equal(TURNS[name](other := turn(image)), image)
    )
    found = symmetry_of(image, turned)
    assert found.name == name and found.fit.clear == (name != 'none')
    assert found.fit.best_score == pytest.approx(1, abs=1e-5)


def test_a_rectangle_is_not_transposed():
    image = blobs((60, 90))
    assert symmetry_of(image, image[::-1]).name == 'mirrored top-bottom'


def test_what_is_shifted_is_not_called_mirrored():
    image = blobs((96, 96))
    image = np.maximum(image, image[:, ::-1])  # fits when it is mirrored, too
    assert symmetry_of(image, np.roll(image, 4, 1)).name == 'none'
    assert shift_of((image, np.roll(image, 4, 1))).col == 4


def soft_pair(shape, seed=0):
    """An image without edges where its classes end: it goes up where they change."""
    rows, cols = np.indices(shape)
    rng = np.random.default_rng(seed)
    waves = sum(
        np.sin(row * rows + col * cols + phase)
        for row, col, phase in rng.uniform(-0.4, 0.4, (40, 3)) * (1, 1, 8)
    )
    image = np.stack([waves, -waves, 0 * waves], -1) + rng.normal(size=(*shape, 3))
    return image, (waves > 0).astype(np.uint8) + (waves > 4)


def test_classes_that_end_without_an_edge_are_found_by_their_colours():
    image, labels = soft_pair((96, 96))
    silent = edge_pattern(np.zeros((96, 96), np.float32))
    for name, turn in TURNS.items():
        way = colour_pattern(image), class_pattern(turn(labels), 3)
        found = find_symmetry([(silent, silent), way])
        assert found.fit.clear == (name != 'none') and (found.name == 'none') == (name == 'none')
    moved = np.roll(labels, (4, -4), (0, 1))
    way = colour_pattern(image), class_pattern(moved, 3)
    found = find_shift([[(silent, silent)], [way]])
    assert (found.row, found.col, found.fit.clear) == (4, -4, True)


def test_boundaries_that_have_no_label_are_in_between():
    labels = np.full((6, 40), 255)
    labels[:, :9], labels[:, 14:16] = 0, 1
    filled = fill_strips(labels, 2)
    np.testing.assert_array_equal(filled[0, :22], [0] * 11 + [filled[0, 11]] + [1] * 9 + [255])
    assert (filled[:, 21:] == 255).all()
    for alone in (np.zeros((6, 9)), np.full((6, 9), 255)):
        assert fill_strips(alone, 2) is alone


@pytest.mark.parametrize('grown', [3, -3])
def test_things_that_are_drawn_too_large_or_too_small_are_not_shifted(grown):
    rng = np.random.default_rng(0)
    image, labels = np.zeros((128, 128, 3)), np.zeros((128, 128), np.uint8)
    for _ in range(10):
        row, col = rng.integers(8, 90, 2)
        image[row : row + 20, col : col + 20] = rng.uniform(50, 90, 3)
        labels[row - grown : row + 20 + grown, col - grown : col + 20 + grown] = 1
    image += rng.normal(size=image.shape)
    ways = (
        [(edges(image), edge_pattern(label_edges(labels)))],
        [(colour_pattern(image), class_pattern(labels, 2))],
    )
    assert not find_shift(ways).fit.clear
    moved = np.roll(labels, (4, 4), (0, 1))
    ways = (
        [(edges(image), edge_pattern(label_edges(moved)))],
        [(colour_pattern(image), class_pattern(moved, 2))],
    )
    assert find_shift(ways).fit.clear


def test_another_way_is_not_asked_where_images_fit():
    image = blobs((96, 96))

    def ways():
        yield edges(image), edges(image)
        raise AssertionError

    assert find_symmetry(ways()).name == 'none'
    assert not find_shift([pair] for pair in ways()).fit.clear


def test_an_image_that_is_all_explained_by_its_classes_scores_1():
    labels = (blobs((64, 96)) > 1).astype(np.uint8) + (blobs((64, 96), 1) > 1)
    image = np.array([[10, 90, 7], [200, 60, 50], [30, 180, 60.0]])[labels]
    pair = colour_pattern(image), class_pattern(labels, 3)
    assert find_shift([[pair]]).fit.score == pytest.approx(1, abs=1e-3)
    image[3, 4] = np.nan  # one pixel less
    assert find_shift([[(colour_pattern(image), pair[1])]]).fit.score > 0.98


@pytest.mark.parametrize('labels', [np.zeros((64, 64)), np.full((64, 64), 255)])
def test_labels_of_one_class_or_of_none_say_nothing(labels):
    image = np.stack([blobs((64, 64))] * 3, -1)
    pair = colour_pattern(image), class_pattern(labels, 2)
    assert not find_shift([[pair]]).fit.clear and not find_symmetry([pair]).fit.clear
    flat = colour_pattern(np.full((64, 64, 3), 7.0))
    assert not find_symmetry([(flat, class_pattern(label_edges(labels), 2))]).fit.clear


def test_correlation_of_what_is_constant_is_none():
    assert correlation(np.ones(4), np.arange(4.0)) == 0
    assert correlation(np.arange(4.0), 5 - 2 * np.arange(4.0)) == pytest.approx(-1)
