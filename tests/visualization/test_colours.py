import numpy as np
import pytest

from mobanet_mmseg.visualization.colours import (
    NO_DATA_COLOUR,
    colourise,
    draw_aux,
    hillshade,
    stretch,
    unlike,
)


def test_labels_get_their_colours_and_other_values_black():
    colours = colourise(
        np.array([[0, 1, 2], [255, -1, 3]]), [[255, 255, 255], [0, 0, 255], [0, 255, 0]]
    )
    assert colours.tolist() == [
        [[255, 255, 255], [0, 0, 255], [0, 255, 0]],
        [[0, 0, 0], [0, 0, 0], [0, 0, 0]],
    ]


def test_what_is_no_class_is_not_black_where_a_class_is():
    colours = colourise(np.array([[0, 255]]), [[10, 0, 20]])
    assert colours.tolist() == [[[10, 0, 20], list(NO_DATA_COLOUR)]]


def test_colour_that_a_class_nearly_has_gives_way_to_the_next():
    red, orange, blue = (255, 0, 0), (255, 128, 0), (0, 0, 255)
    assert unlike([blue], red, orange) == red
    assert unlike([blue, (230, 20, 30)], red, orange) == orange
    assert unlike([blue, red, (250, 80, 0)], red, orange) == orange  # 48.3 from it, 0 from red


def test_image_of_0_to_255_is_drawn_as_it_is():
    rgb = np.array([[[0, 10, 250], [3, 2, 1]]], np.float32)
    assert stretch(rgb).tolist() == [[[0, 10, 250], [3, 2, 1]]]


def test_reflectances_are_stretched_over_their_range():
    reflectance = np.linspace(0, 0.3, 101, dtype=np.float32).reshape(1, 101, 1)
    grey = stretch(reflectance)
    assert grey.shape == (1, 101, 3)
    assert grey[0, [0, 2, 50, 98, 100], 0].tolist() == [0, 0, 127, 255, 255]


@pytest.mark.parametrize('greatest', [1.0, 60.0, 100.0, 4095.0, 10000.0])
def test_numbers_of_other_units_fill_the_bytes(greatest):
    image = np.linspace(0, greatest, 303, dtype=np.float32).reshape(1, 101, 3)
    assert stretch(image).min() == 0 and stretch(image).max() == 255


def test_bytes_stay_as_they_are_however_dark():
    dark = np.arange(30, dtype=np.uint8).reshape(1, 10, 3)
    assert np.array_equal(stretch(dark), dark)


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


def test_backscatter_is_grey_between_its_percentiles_and_no_relief():
    decibels = np.linspace(-25, 0, 101, dtype=np.float32).reshape(1, 101, 1)
    decibels[0, 50] = np.nan
    title, picture = draw_aux(np.concatenate([decibels, -decibels], axis=-1), 'sar')
    assert title == 'aux (SAR, dB)'
    assert picture[0, 50].tolist() == list(NO_DATA_COLOUR)
    grey = np.delete(picture[0], 50, axis=0)
    assert (grey == grey[:, :1]).all() and (np.diff(grey[:, 0].astype(int)) >= 0).all()
    assert grey[0, 0] == 0 and grey[-1, 0] == 255
    assert np.array_equal(draw_aux(decibels * 0.04 + 1, 'sar')[1], picture)  # scaled to 0..1


@pytest.mark.parametrize(('channels', 'shown'), [(1, (0, 0, 0)), (2, (0, 0, 0)), (10, (0, 1, 2))])
def test_bands_are_shown_in_colour_where_there_are_three(channels, shown):
    bands = np.random.default_rng(0).uniform(0, 0.4, (8, 12, channels))
    title, picture = draw_aux(bands, 'bands')
    low, high = np.percentile(bands[..., shown], (2, 98))
    expected = ((bands[..., shown] - low) / (high - low) * 255).clip(0, 255)
    assert title == 'aux (bands)'
    assert np.abs(picture - expected).max() <= 1


def test_heights_are_shaded():
    heights = np.random.default_rng(0).uniform(0, 9, (8, 12, 2))
    title, picture = draw_aux(heights, 'height')
    assert title == 'aux (hillshade)' and np.array_equal(picture, hillshade(heights[..., 0]))


@pytest.mark.parametrize('kind', ['height', 'sar', 'bands'])
def test_an_auxiliary_image_without_a_number_is_no_data(kind):
    assert (draw_aux(np.full((3, 4, 3), np.nan), kind)[1] == NO_DATA_COLOUR).all()
