import cv2
import numpy as np
import pytest
from mmseg.structures import SegDataSample

from mobanet_mmseg.classes import Classes
from mobanet_mmseg.modalities import AUX_KINDS
from mobanet_mmseg.visualization import pictures
from mobanet_mmseg.visualization.pictures import (
    FRAME_COLOUR,
    RIGHT_COLOUR,
    WRONG_COLOURS,
    render_panels,
    sample_name,
    save_picture,
)
from mobanet_mmseg.writing import Stems

WRONG_COLOUR = WRONG_COLOURS[0]
CLASSES = Classes(('road', 'house', 'tree'), [[255, 255, 255], [0, 0, 255], [0, 255, 0]])


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


def test_panels_show_each_pixel_of_a_middle_sized_input_once():
    layers = scene(400, 500)
    picture = render_panels(**layers, classes=CLASSES)
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
    picture = render_panels(**scene(height, width), classes=CLASSES)
    assert picture.dtype == np.uint8
    assert max(picture.shape) < 6200  # five panels of 1200 pixels, their gaps
    for colour in (*CLASSES.palette, WRONG_COLOUR, RIGHT_COLOUR):
        assert find(picture, colour)


def test_errors_are_the_labelled_pixels_that_differ():
    layers = scene(360, 360)
    layers['truth'] = np.zeros((360, 360), int)
    layers['prediction'] = np.zeros((360, 360), int)
    assert not find(render_panels(**layers, classes=CLASSES), WRONG_COLOUR)
    layers['prediction'][:, :90] = 1
    layers['truth'][:, :180] = 255
    assert not find(render_panels(**layers, classes=CLASSES), WRONG_COLOUR)
    layers['truth'][:] = 0
    picture = render_panels(**layers, classes=CLASSES)
    above_the_legend = picture[:390]
    assert (above_the_legend == np.uint8(WRONG_COLOUR)).all(axis=-1).sum() == 360 * 90
    assert find(picture[390:], WRONG_COLOUR)


def test_share_of_errors_is_of_the_labelled_pixels_alone(monkeypatch):
    titles = []
    monkeypatch.setattr(
        pictures, 'compose_panels', lambda panels, legend: titles.append([*panels][-1])
    )
    layers = scene(400, 5000)  # larger than a panel: each pixel counts
    layers['truth'] = np.zeros((400, 5000), int)
    layers['prediction'] = np.zeros((400, 5000), int)
    layers['prediction'][0, :1600] = 1
    layers['truth'][:, 4000:] = 255  # no label
    layers['truth'][200:] = 3  # no class
    layers['prediction'][100:200] = 255  # no optical data
    render_panels(**layers, classes=CLASSES)  # 1600 of 100 x 4000
    layers['truth'][:] = 255
    render_panels(**layers, classes=CLASSES)
    assert titles == ['errors (0.4 %)', 'errors (no labels)']


def test_errors_have_a_colour_that_no_class_is_like():
    layers = scene(360, 360)
    near = Classes(CLASSES.names, [(220, 10, 150), *CLASSES.palette[1:]])
    picture = render_panels(**layers, classes=near)
    assert not find(picture, WRONG_COLOUR) and find(picture, WRONG_COLOURS[1])


def test_auxiliary_image_of_several_channels_is_drawn_by_its_kind_at_any_size():
    for size in ((40, 60), (1500, 900)):
        layers = scene(*size) | {'truth': None, 'prediction': None}
        layers['aux'] = np.random.default_rng(0).uniform(0, 1, (*size, 2)).astype(np.float32)
        drawn = [render_panels(**layers, aux_kind=kind) for kind in AUX_KINDS]
        assert len({picture.tobytes() for picture in drawn}) == 3


def test_a_white_class_at_the_edge_of_a_panel_is_framed():
    layers = scene(360, 360) | {'truth': np.zeros((360, 360), int)}  # the white class
    layers['prediction'] = None
    picture = render_panels(**layers, classes=CLASSES)
    frame = (picture == FRAME_COLOUR).all(axis=-1)
    rows, columns = frame.sum(axis=1), frame.sum(axis=0)
    assert (rows >= 3 * 362).sum() == 2 and (columns >= 362).sum() == 6  # of three panels


def test_an_optical_image_alone_has_no_hillshade():
    layers = scene(360, 360)
    both = render_panels(**layers, classes=CLASSES)
    layers['aux'] = layers['aux'][..., :0]
    alone = render_panels(**layers, classes=CLASSES)
    assert np.array_equal(alone, render_panels(**layers | {'aux': None}, classes=CLASSES))
    frames = [(picture == FRAME_COLOUR).all(axis=-1).sum(axis=0) for picture in (both, alone)]
    assert [(columns >= 362).sum() / 2 for columns in frames] == [5, 4]


def test_images_without_labels_have_no_legend():
    layers = scene() | {'truth': None, 'prediction': None}
    assert not find(render_panels(**layers), CLASSES.palette[1])


def test_picture_is_written_whole_and_alone(tmp_path):
    path = tmp_path / 'pictures' / 'tile.png'
    picture = render_panels(**scene(), classes=CLASSES)
    save_picture(path, picture)
    assert [item.name for item in path.parent.iterdir()] == ['tile.png']
    assert np.array_equal(cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB), picture)


def test_inputs_are_left_as_they_were():
    layers = scene()
    before = {name: layer.copy() for name, layer in layers.items()}
    render_panels(**layers, classes=CLASSES)
    assert all(np.array_equal(layers[name], before[name]) for name in layers)


def test_ending_that_is_no_picture_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r'tile\.tif is to be a picture'):
        save_picture(tmp_path / 'tile.tif', np.zeros((2, 3, 3), np.uint8))


def test_place_that_cannot_be_a_folder_is_named(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(OSError, match=r'tile\.png could not be written'):
        save_picture(tmp_path / 'file' / 'tile.png', np.zeros((2, 3, 3), np.uint8))


def test_a_sample_is_named_by_its_raster_and_the_corner_of_its_window():
    sample = SegDataSample(metainfo={'img_path': 'data/rgb/tile_1.tif'})
    assert sample_name(sample, Stems()) == 'tile_1'
    sample.set_metainfo({'window': (20, 30, 11, 13)})
    assert sample_name(sample, Stems()) == 'tile_1_20_30'
