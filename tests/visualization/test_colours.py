import numpy as np
import pytest

from mobanet_mmseg.visualization.colours import NO_DATA_COLOUR, colourise, hillshade, stretch


def test_labels_get_their_colours_and_other_values_black():
    colours = colourise(
        np.array([[0, 1, 2], [255, -1, 3]]), [[255, 255, 255], [0, 0, 255], [0, 255, 0]]
    )
    assert colours.tolist() == [
        [[255, 255, 255], [0, 0, 255], [0, 255, 0]],
        [[0, 0, 0], [0, 0, 0], [0, 0, 0]],
    ]


def test_image_of_0_to_255_is_drawn_as_it_is():
    rgb = np.array([[[0, 10, 250], [3, 2, 1]]], np.float32)
    assert stretch(rgb).tolist() == [[[0, 10, 250], [3, 2, 1]]]


def test_reflectances_are_stretched_over_their_range():
    reflectance = np.linspace(0, 0.3, 101, dtype=np.float32).reshape(1, 101, 1)
    grey = stretch(reflectance)
    assert grey.shape == (1, 101, 3)
    assert grey[0, [0, 2, 50, 98, 100], 0].tolist() == [0, 0, 127, 255, 255]


def test_not_a_number_is_black_and_does_not_stretch():
    rgb = np.array([[[np.nan] * 3, [10.0, 20.0, 200.0]]])
    assert stretch(rgb).tolist() == [[[0, 0, 0], [10, 20, 200]]]


def test_slope_facing_north_west_is_brighter_than_its_back():
    rows, columns = np.mgrid[:20, :30]
    hill = -np.abs(rows + columns - 24.0)  # a ridge from south-west to north-east
    shade = hillshade(hill)[..., 0].astype(int)
    assert shade[5, 5] > shade[15, 25] + 50


def test_relief_looks_alike_in_metres_and_scaled():
    heights = np.random.default_rng(0).uniform(250, 290, (20, 30))
    scaled = (heights - heights.min()) / np.ptp(heights)
    difference = hillshade(heights).astype(int) - hillshade(scaled).astype(int)
    assert np.abs(difference).max() <= 1


@pytest.mark.parametrize('shape', [(4, 6), (1, 6), (4, 1), (1, 1)])
def test_flat_thin_and_empty_surfaces_have_a_shade(shape):
    flat, empty = np.full(shape, 7.0), np.full(shape, np.nan)
    assert len(np.unique(hillshade(flat))) == 1
    assert (hillshade(empty) == NO_DATA_COLOUR).all()


def test_hole_in_the_surface_has_its_own_colour_and_casts_no_slope_far_away():
    surface = np.add.outer(np.arange(8.0), np.arange(12.0))
    holed = surface.copy()
    holed[:2, :3] = np.nan
    assert (hillshade(holed)[:2, :3] == NO_DATA_COLOUR).all()
    assert not (hillshade(holed)[2:, 3:] == NO_DATA_COLOUR).all(axis=-1).any()
