import cv2
import numpy as np
import pytest

from mobanet_mmseg.visualization.colours import NO_DATA_COLOUR, colourise, hillshade, stretch
from mobanet_mmseg.visualization.pictures import (
    FRAME_COLOUR,
    RIGHT_COLOUR,
    WRONG_COLOUR,
    draw_panels,
    render_panels,
)

LEGEND = {
    'classes': ('road', 'house', 'tree'),
    'palette': [[255, 255, 255], [0, 0, 255], [0, 255, 0]],
}


def scene(height=40, width=60):
    rng = np.random.default_rng(0)
    return {
        'rgb': rng.uniform(0, 255, (height, width, 3)).astype(np.float32),
        'aux': rng.uniform(0, 1, (height, width, 1)).astype(np.float32),
        'truth': rng.integers(0, 3, (height, width)),
        'prediction': rng.integers(0, 3, (height, width)),
    }


def find(picture, colour):
    """Whether a picture has pixels of exactly this colour."""
    return (picture == np.uint8(colour)).all(axis=-1).any()


def test_labels_get_their_colours_and_other_values_black():
    colours = colourise(np.array([[0, 1, 2], [255, -1, 3]]), LEGEND['palette'])
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


def test_panels_show_each_pixel_of_a_middle_sized_input_once():
    layers = scene(400, 500)
    picture = render_panels(**layers, **LEGEND)
    rgb = layers['rgb'].astype(np.uint8)
    rows, columns = (
        np.flatnonzero((picture == rgb[0, 0]).all(axis=-1).any(axis=axis)) for axis in (1, 0)
    )
    row, column = rows[0], columns[0]
    assert np.array_equal(picture[row : row + 400, column : column + 500], rgb)


@pytest.mark.parametrize(
    ('height', 'width'), [(40, 60), (1, 50), (300, 20), (20, 300), (1500, 900)]
)
def test_picture_of_any_shape_holds_all_its_panels(height, width):
    picture = render_panels(**scene(height, width), errors=True, **LEGEND)
    assert picture.dtype == np.uint8
    assert max(picture.shape) < 6200  # five panels of 1200 pixels, their gaps
    for colour in (*LEGEND['palette'], WRONG_COLOUR, RIGHT_COLOUR):
        assert find(picture, colour)


def test_errors_are_the_labelled_pixels_that_differ():
    layers = scene(360, 360)
    layers['truth'] = np.zeros((360, 360), int)
    layers['prediction'] = np.zeros((360, 360), int)
    assert not find(render_panels(**layers, errors=True, **LEGEND), WRONG_COLOUR)
    layers['prediction'][:, :90] = 1
    layers['truth'][:, :180] = 255
    assert not find(render_panels(**layers, errors=True, **LEGEND), WRONG_COLOUR)
    layers['truth'][:] = 0
    picture = render_panels(**layers, errors=True, **LEGEND)
    above_the_legend = picture[:390]
    assert (above_the_legend == np.uint8(WRONG_COLOUR)).all(axis=-1).sum() == 360 * 90
    assert find(picture[390:], WRONG_COLOUR)


def test_a_white_class_at_the_edge_of_a_panel_is_framed():
    layers = scene(360, 360) | {'truth': np.zeros((360, 360), int)}  # the white class
    picture = render_panels(**layers, **LEGEND)
    frame = (picture == FRAME_COLOUR).all(axis=-1)
    rows, columns = frame.sum(axis=1), frame.sum(axis=0)
    assert (rows >= 4 * 362).sum() == 2 and (columns >= 362).sum() == 8  # of four panels


def test_picture_is_written_whole_and_alone(tmp_path):
    path = tmp_path / 'pictures' / 'tile.png'
    layers = scene()
    draw_panels(path, **layers, **LEGEND)
    assert [item.name for item in path.parent.iterdir()] == ['tile.png']
    written = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    assert np.array_equal(written, render_panels(**layers, **LEGEND))


def test_inputs_are_left_as_they_were():
    layers = scene()
    before = {name: layer.copy() for name, layer in layers.items()}
    render_panels(**layers, errors=True, **LEGEND)
    assert all(np.array_equal(layers[name], before[name]) for name in layers)


def test_layers_of_two_sizes_are_refused():
    layers = scene()
    layers['truth'] = layers['truth'][:-1]
    with pytest.raises(ValueError, match=r'rgb is \(40, 60\) and truth \(39, 60\)'):
        render_panels(**layers, **LEGEND)


def test_errors_without_truth_are_refused():
    layers = scene() | {'truth': None}
    with pytest.raises(ValueError, match='needs truth and prediction'):
        render_panels(**layers, errors=True, **LEGEND)


def test_ending_that_is_no_picture_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r'tile\.tif is to be a picture'):
        draw_panels(tmp_path / 'tile.tif', **scene(), **LEGEND)


def test_place_that_cannot_be_a_folder_is_named(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(OSError, match=r'tile\.png could not be written'):
        draw_panels(tmp_path / 'file' / 'tile.png', **scene(), **LEGEND)
